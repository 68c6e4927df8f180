/* The command line. Everything is explicit; there is no configuration file and no default that hides
 * a path. Wrong usage ends with status 64 and one line on stderr that names the argument.
 */
#include "shim.h"

#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct {
  const char *name;
  int resource;
} rlimit_names[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},     {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},   {"memlock", RLIMIT_MEMLOCK},
    {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},   {"nofile", RLIMIT_NOFILE},
    {"nproc", RLIMIT_NPROC},     {"rtprio", RLIMIT_RTPRIO}, {"rttime", RLIMIT_RTTIME},
    {"sigpending", RLIMIT_SIGPENDING}, {"stack", RLIMIT_STACK},
};

_Noreturn void usage(const char *what, const char *which) {
  die(EXIT_USAGE, what, which, 0);
}

int64_t option_number(const char *name, const char *words, int64_t max) {
  int64_t value = parse_int(words, max);
  if (value < 0) usage("a whole number within its range is needed after", name);
  return value;
}

static rlim_t rlimit_value(const char *words) {
  if (strcmp(words, "unlimited") == 0) return RLIM_INFINITY;
  return (rlim_t)option_number("--rlimit", words, INT64_MAX - 1);
}

/* name=soft[:hard]; hard is soft when absent. */
static struct rlimit_choice rlimit_choice(const char *words) {
  char copy[96];
  if (strlen(words) >= sizeof copy) usage("--rlimit is too long:", words);
  strcpy(copy, words);
  char *equals = strchr(copy, '=');
  if (equals == NULL) usage("--rlimit needs name=soft[:hard], got", words);
  *equals = '\0';
  char *soft = equals + 1, *colon = strchr(soft, ':');
  if (colon != NULL) *colon = '\0';
  for (size_t at = 0; at < sizeof rlimit_names / sizeof *rlimit_names; at++) {
    if (strcmp(rlimit_names[at].name, copy) != 0) continue;
    struct rlimit_choice choice = {rlimit_names[at].resource, {0, 0}};
    choice.value.rlim_cur = rlimit_value(soft);
    choice.value.rlim_max = colon == NULL ? choice.value.rlim_cur : rlimit_value(colon + 1);
    if (choice.value.rlim_cur > choice.value.rlim_max) usage("--rlimit soft is above hard in", words);
    return choice;
  }
  usage("--rlimit does not know the name in", words);
}

const char *option_absolute(const char *name, const char *path) {
  if (path[0] != '/') usage("an absolute path is needed after", name);
  return path;
}

static void no_more_than(int count, int max, const char *name) {
  if (count >= max) usage("too many of", name);
}

struct seen {
  bool uid, gid;
};

static void take(struct options *options, struct seen *seen, const char *name, const char *value) {
  if (strcmp(name, "--dir") == 0) {
    options->dir = option_absolute(name, value);
  } else if (strcmp(name, "--log") == 0) {
    options->log_path = option_absolute(name, value);
  } else if (strcmp(name, "--cwd") == 0) {
    options->cwd = option_absolute(name, value);
  } else if (strcmp(name, "--log-bytes") == 0) {
    options->log_bytes = option_number(name, value, INT64_MAX / 2);
    if (options->log_bytes < LOG_BYTES_MIN) usage("at least 16384 is needed after", name);
  } else if (strcmp(name, "--log-files") == 0) {
    options->log_files = (int)option_number(name, value, LOG_FILES_MAX);
    if (options->log_files < 1) usage("at least 1 is needed after", name);
  } else if (strcmp(name, "--grace-ms") == 0) {
    options->grace_ms = option_number(name, value, GRACE_MS_MAX);
  } else if (strcmp(name, "--uid") == 0) {
    options->uid = (uid_t)option_number(name, value, UINT32_MAX - 1); /* -1 means "leave as is" */
    seen->uid = true;
  } else if (strcmp(name, "--gid") == 0) {
    options->gid = (gid_t)option_number(name, value, UINT32_MAX - 1);
    seen->gid = true;
  } else if (strcmp(name, "--group") == 0) {
    no_more_than(options->group_count, GROUPS_MAX, name);
    options->groups[options->group_count++] = (gid_t)option_number(name, value, UINT32_MAX - 1);
  } else if (strcmp(name, "--rlimit") == 0) {
    no_more_than(options->rlimit_count, RLIMITS_MAX, name);
    options->rlimits[options->rlimit_count++] = rlimit_choice(value);
  } else if (strcmp(name, "--keep-fd") == 0) {
    no_more_than(options->keep_fd_count, KEEP_FDS_MAX, name);
    int fd = (int)option_number(name, value, INT32_MAX);
    if (fd <= STDERR_FILENO || fcntl(fd, F_GETFD) == -1) usage("--keep-fd is not open or is 0..2:", value);
    options->keep_fds[options->keep_fd_count++] = fd;
  } else if (!sandbox_option(options, name, value)) {
    usage("unknown option", name);
  }
}

void options_parse(struct options *options, int argc, char **argv) {
  struct seen seen = {false, false};
  memset(options, 0, sizeof *options);
  options->cwd = "/";
  options->grace_ms = GRACE_MS_DEFAULT;
  options->stop_signal = SIGTERM;
  options->tmp_bytes = TMP_BYTES_DEFAULT;
  int at = 1;
  for (; at < argc && strcmp(argv[at], "--") != 0; at++) {
    if (strcmp(argv[at], "--no-new-privs") == 0) {
      options->no_new_privs = true;
      continue;
    }
    if (sandbox_flag(options, argv[at])) continue;
    if (at + 1 >= argc) usage("a value is needed after", argv[at]);
    take(options, &seen, argv[at], argv[at + 1]);
    at++;
  }
  if (at + 1 >= argc) usage("-- and the module's command are needed at the end", NULL);
  options->argv = argv + at + 1;
  option_absolute("--", options->argv[0]);
  if (options->dir == NULL) usage("--dir is needed", NULL);
  if (options->log_path == NULL) usage("--log is needed", NULL);
  if (options->log_bytes == 0) usage("--log-bytes is needed", NULL);
  if (options->log_files == 0) usage("--log-files is needed", NULL);
  if (seen.uid != seen.gid) usage("--uid and --gid are needed together", NULL);
  if (options->group_count > 0 && !seen.uid) usage("--group needs --uid and --gid", NULL);
  options->drop_identity = seen.uid;
  sandbox_check(options);
}
