/* The options that shut a module in: limits, capabilities, mounts, network, system calls, files.
 *
 * All are wishes of the one who starts the module. What the kernel cannot give is skipped and told
 * in state.json; only words that can never be meant are wrong usage.
 */
#include "shim.h"

#include <signal.h>
#include <string.h>
#include <sys/un.h>

static const struct {
  const char *name;
  int number;
} stop_signals[] = {
    {"SIGTERM", SIGTERM}, {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT},
    {"SIGHUP", SIGHUP},   {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2},
};

static int stop_signal(const char *name) {
  for (size_t at = 0; at < sizeof stop_signals / sizeof *stop_signals; at++) {
    if (strcmp(stop_signals[at].name, name) == 0) return stop_signals[at].number;
  }
  usage("--stop-signal is SIGTERM, SIGINT, SIGQUIT, SIGHUP, SIGUSR1 or SIGUSR2, not", name);
}

/* A decimal fraction of a processor, 0.001 to 1024, in thousandths. */
static int64_t cpu_share(const char *words) {
  char copy[16];
  if (strlen(words) >= sizeof copy) usage("--cpus is too long:", words);
  strcpy(copy, words);
  char *point = strchr(copy, '.');
  int64_t thousandths = 0;
  if (point != NULL) {
    *point = '\0';
    int64_t weight = CPU_SHARE_ONE / 10;
    for (const char *digit = point + 1; *digit != '\0'; digit++, weight /= 10) {
      if (*digit < '0' || *digit > '9') usage("--cpus needs a number like 0.5, not", words);
      thousandths += (*digit - '0') * weight;
    }
  }
  int64_t whole = parse_int(copy, 1024);
  if (whole < 0) usage("--cpus needs a number like 0.5, not", words);
  int64_t share = whole * CPU_SHARE_ONE + thousandths;
  if (share == 0) usage("--cpus needs at least 0.001, not", words);
  return share;
}

static int64_t at_least(int64_t value, int64_t min, const char *name) {
  if (value < min) usage("the value is too small after", name);
  return value;
}

/* It becomes a directory of its own below a cgroup, so it must not lead anywhere else. */
static const char *cgroup_name(const char *name) {
  bool good = name[0] != '\0' && name[0] != '.' && strlen(name) <= CGROUP_NAME_MAX;
  for (const char *at = name; *at != '\0'; at++) {
    unsigned char byte = (unsigned char)*at;
    if (byte <= ' ' || byte == '/' || byte == 0x7f) good = false;
  }
  if (!good) usage("--cgroup needs a plain name of 1 to 100 bytes, not", name);
  return name;
}

static enum egress egress_word(const char *word) {
  if (strcmp(word, "any") == 0) return EGRESS_ANY;
  if (strcmp(word, "local") == 0) return EGRESS_LOCAL;
  if (strcmp(word, "none") == 0) return EGRESS_NONE;
  usage("--egress is any, local or none, not", word);
}

static void add_path(struct paths *paths, const char *name, const char *path) {
  if (paths->count >= PATHS_MAX) usage("too many of", name);
  if (strcmp(option_absolute(name, path), "/") == 0) usage("/ itself cannot stand after", name);
  paths->at[paths->count++] = path;
}

bool sandbox_flag(struct options *options, const char *name) {
  bool *flag = NULL;
  if (strcmp(name, "--drop-capabilities") == 0) flag = &options->drop_capabilities;
  if (strcmp(name, "--private-tmp") == 0) flag = &options->private_tmp;
  if (strcmp(name, "--read-only-root") == 0) flag = &options->read_only_root;
  if (strcmp(name, "--seccomp") == 0) flag = &options->seccomp;
  if (strcmp(name, "--landlock") == 0) flag = &options->landlock;
  if (flag == NULL) return false;
  *flag = true;
  return true;
}

static bool limit_option(struct limits *limits, const char *name, const char *value) {
  if (strcmp(name, "--memory") == 0) {
    limits->memory_bytes = at_least(option_number(name, value, INT64_MAX / 2), MEMORY_BYTES_MIN, name);
  } else if (strcmp(name, "--cpus") == 0) {
    limits->cpu_share = cpu_share(value);
  } else if (strcmp(name, "--pids") == 0) {
    limits->pids = at_least(option_number(name, value, INT32_MAX), 1, name);
  } else if (strcmp(name, "--io-weight") == 0) {
    limits->io_weight = at_least(option_number(name, value, IO_WEIGHT_MAX), 1, name);
  } else if (strcmp(name, "--io-bytes") == 0) {
    limits->io_bytes = at_least(option_number(name, value, INT64_MAX / 2), 1, name);
  } else {
    return false;
  }
  return true;
}

static bool path_option(struct options *options, const char *name, const char *value) {
  struct paths *paths = NULL;
  if (strcmp(name, "--writable") == 0) paths = &options->writable;
  if (strcmp(name, "--readable") == 0) paths = &options->readable;
  if (strcmp(name, "--hide") == 0) paths = &options->hidden;
  if (strcmp(name, "--device") == 0) paths = &options->devices;
  if (paths != NULL) add_path(paths, name, value);
  return paths != NULL;
}

bool sandbox_option(struct options *options, const char *name, const char *value) {
  if (limit_option(&options->limits, name, value)) return true;
  if (path_option(options, name, value)) return true;
  if (strcmp(name, "--cgroup") == 0) {
    options->cgroup = cgroup_name(value);
  } else if (strcmp(name, "--egress") == 0) {
    options->egress = egress_word(value);
  } else if (strcmp(name, "--stop-signal") == 0) {
    options->stop_signal = stop_signal(value);
  } else if (strcmp(name, "--tmp-bytes") == 0) {
    options->tmp_bytes = at_least(option_number(name, value, INT64_MAX / 2), 1, name);
  } else if (strcmp(name, "--keep-capability") == 0) {
    int number = capability_number(value);
    if (number < 0) usage("--keep-capability does not know", value);
    options->keep_capabilities |= UINT64_C(1) << number;
  } else if (strcmp(name, "--notify") == 0) {
    struct sockaddr_un address;
    if (strlen(option_absolute(name, value)) >= sizeof address.sun_path) {
      usage("--notify is longer than a socket's address:", value);
    }
    options->notify_path = value;
  } else {
    return false;
  }
  return true;
}

void sandbox_check(struct options *options) {
  /* Without privileges the kernel takes neither from a program that could gain some. */
  if (options->seccomp || options->landlock || options->egress == EGRESS_NONE) options->no_new_privs = true;
  const struct limits *limits = &options->limits;
  bool limited = limits->memory_bytes != 0 || limits->cpu_share != 0 || limits->pids != 0 ||
                 limits->io_weight != 0 || limits->io_bytes != 0;
  if (limited && options->cgroup == NULL) usage("a limit needs --cgroup", NULL);
  if (options->keep_capabilities != 0 && !options->drop_capabilities) {
    usage("--keep-capability needs --drop-capabilities", NULL);
  }
}
