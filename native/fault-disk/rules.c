/* The rules: which calls fail, stall or kill. Read from the file FAULT_DISK_RULES, which may be replaced (by a
 * rename) while the program runs; then all counts begin anew. One rule a line, the first that holds decides,
 * except that waits add up:
 *
 *   CALLS ACTION GLOB [FIRST [COUNT]]
 *
 *   CALLS   any, or a list: open,create,read,write,sync,truncate,rename,unlink,mkdir,rmdir,link
 *   ACTION  EIO ENOSPC EROFS EACCES EDQUOT · half · kill-before kill-half kill-after · 500ms ·
 *           hold: does not return for as long as a rule of the file holds such calls
 *   GLOB    of the path below the root, as fnmatch(3) has it: * goes across slashes
 *   FIRST   from this matching call on, 1 when absent; COUNT so many, all when absent */
#define _GNU_SOURCE
#include "fault-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RULES_MAX 16
#define TEXT_BYTES 4096
#define NS_PER_MS 1000000L
#define HOLD_LOOK_MS 2L
#define MS_PER_S 1000L

struct rule {
  unsigned calls; /* bit by enum call */
  struct verdict verdict;
  long wait_ms;
  bool hold;
  char glob[256];
  long first, count, seen;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *rules_file;
static struct stat loaded;
static struct rule rules[RULES_MAX];
static int rule_count;

static const char *const call_names[] = {NULL,       "open",   "create", "read",  "write", "sync",
                                         "truncate", "rename", "unlink", "mkdir", "rmdir", "link"};
static const struct {
  const char *name;
  struct verdict verdict;
} actions[] = {
    {"EIO", {ACTION_ERRNO, EIO}},        {"ENOSPC", {ACTION_ERRNO, ENOSPC}},
    {"EROFS", {ACTION_ERRNO, EROFS}},    {"EACCES", {ACTION_ERRNO, EACCES}},
    {"EDQUOT", {ACTION_ERRNO, EDQUOT}},  {"half", {ACTION_HALF, 0}},
    {"kill-before", {ACTION_KILL_BEFORE, 0}}, {"kill-half", {ACTION_KILL_HALF, 0}},
    {"kill-after", {ACTION_KILL_AFTER, 0}},
};

void rules_start(const char *file) { rules_file = file; }

void die_now(void) {
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* A rule that is not understood must not look like a test that passed. */
static void refuse(const char *what) {
  fprintf(stderr, "fault-disk: cannot understand '%s' in %s\n", what, rules_file);
  abort();
}

static unsigned parse_calls(char *text) {
  if (strcmp(text, "any") == 0) return ~0u;
  unsigned calls = 0;
  char *rest = NULL;
  for (char *name = strtok_r(text, ",", &rest); name != NULL; name = strtok_r(NULL, ",", &rest)) {
    unsigned call = CALL_OPEN;
    while (call < CALL_MARK && strcmp(call_names[call], name) != 0) call++;
    if (call == CALL_MARK) refuse(name);
    calls |= 1u << call;
  }
  return calls;
}

static void parse_action(const char *text, struct rule *rule) {
  for (size_t index = 0; index < sizeof actions / sizeof *actions; index++) {
    if (strcmp(actions[index].name, text) != 0) continue;
    rule->verdict = actions[index].verdict;
    return;
  }
  if (strcmp(text, "hold") == 0) {
    rule->hold = true;
    return;
  }
  char *end;
  rule->wait_ms = strtol(text, &end, 10);
  if (end == text || strcmp(end, "ms") != 0) refuse(text);
}

static void parse(char *text) {
  rule_count = 0;
  char *rest = NULL;
  for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
    if (rule_count == RULES_MAX) refuse(line);
    struct rule *rule = &rules[rule_count++];
    memset(rule, 0, sizeof *rule);
    rule->first = 1;
    char calls[128], action[32];
    int fields = sscanf(line, "%127s %31s %255s %ld %ld", calls, action, rule->glob, &rule->first, &rule->count);
    if (fields < 3) refuse(line);
    rule->calls = parse_calls(calls);
    parse_action(action, rule);
  }
}

static void load(void) {
  struct stat facts;
  if (stat(rules_file, &facts) != 0) {
    rule_count = 0;
    memset(&loaded, 0, sizeof loaded);
    return;
  }
  if (facts.st_ino == loaded.st_ino && facts.st_mtim.tv_nsec == loaded.st_mtim.tv_nsec &&
      facts.st_mtim.tv_sec == loaded.st_mtim.tv_sec)
    return;
  loaded = facts;
  char text[TEXT_BYTES];
  int fd = real_open(rules_file, O_RDONLY | O_CLOEXEC, 0);
  ssize_t count = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  if (fd >= 0) close(fd);
  if (count < 0 || count == (ssize_t)sizeof text - 1) refuse("the file");
  text[count] = 0;
  parse(text);
}

static bool holds(struct rule *rule, enum call call, const char *path) {
  if ((rule->calls & (1u << call)) == 0 || fnmatch(rule->glob, path, 0) != 0) return false;
  rule->seen++;
  return rule->seen >= rule->first && (rule->count == 0 || rule->seen < rule->first + rule->count);
}

static void sleep_ms(long wait_ms) {
  struct timespec span = {wait_ms / MS_PER_S, wait_ms % MS_PER_S * NS_PER_MS};
  while (wait_ms > 0 && nanosleep(&span, &span) != 0) continue;
}

static bool is_held(enum call call, const char *path) {
  bool held = false;
  pthread_mutex_lock(&lock);
  load();
  for (int index = 0; index < rule_count; index++) {
    const struct rule *rule = &rules[index];
    held |= rule->hold && (rule->calls & (1u << call)) != 0 && fnmatch(rule->glob, path, 0) == 0;
  }
  pthread_mutex_unlock(&lock);
  return held;
}

struct verdict rules_judge(enum call call, const char *path) {
  struct verdict verdict = {ACTION_NONE, 0};
  if (rules_file == NULL) return verdict;
  long wait_ms = 0;
  bool held = false;
  pthread_mutex_lock(&lock);
  load();
  for (int index = 0; index < rule_count; index++) {
    struct rule *rule = &rules[index];
    if (!holds(rule, call, path)) continue;
    wait_ms += rule->wait_ms;
    held |= rule->hold;
    if (verdict.action == ACTION_NONE) verdict = rule->verdict;
  }
  pthread_mutex_unlock(&lock);
  sleep_ms(wait_ms);
  while (held && is_held(call, path)) sleep_ms(HOLD_LOOK_MS);
  if (verdict.action == ACTION_KILL_BEFORE) die_now();
  return verdict;
}
