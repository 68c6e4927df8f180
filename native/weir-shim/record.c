/* What the shim writes down, and what it reads from /proc for that. Both files are one JSON line,
 * written whole: temporary name, then rename, in the module's directory.
 *
 *   state.json  {"shimPid":n,"shimStart":ticks,"pid":n,"pidStart":ticks,"bootId":"…",
 *                "startedAtMs":unix,"monotonicMs":n,"lacking":["memory",…]}
 *   exit.json   {"pid":n,"code":n|null,"signal":n|null,"reason":"exit|signal|exec","message":"…",
 *                "startedAtMs":unix,"endedAtMs":unix,"uptimeMs":n,"oomKilled":bool,"logDroppedBytes":n}
 *
 * A start time is field 22 of /proc/<pid>/stat, in clock ticks since boot: with the boot id it tells
 * a process from a later one that has the same pid. exit.json is synced, because it is the only
 * witness of how a module ended.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STAT_FIELD_START = 22, KMSG_RECORDS_MAX = 16 * 1024 };

size_t read_small_file(const char *path, char *buffer, size_t capacity) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  size_t length = 0;
  while (fd >= 0 && length < capacity - 1) {
    ssize_t got = read(fd, buffer + length, capacity - 1 - length);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    length += (size_t)got;
  }
  if (fd >= 0) close(fd);
  buffer[length] = '\0';
  return length;
}

int64_t stat_field(pid_t pid, int field) {
  char path_memory[48], stat[1024];
  struct text path;
  text_init(&path, path_memory, sizeof path_memory);
  text_add(&path, "/proc/");
  text_int(&path, pid);
  text_add(&path, "/stat");
  if (read_small_file(path.start, stat, sizeof stat) == 0) return -1;
  const char *at = strrchr(stat, ')'); /* field 2 may hold blanks and brackets itself */
  for (int before = 2; at != NULL && before < field; before++) {
    at = strchr(at, ' ');
    if (at != NULL) at++;
  }
  int64_t number = 0;
  for (; at != NULL && *at >= '0' && *at <= '9'; at++) number = number * 10 + (*at - '0');
  return number;
}

static int64_t start_ticks(pid_t pid) {
  int64_t ticks = stat_field(pid, STAT_FIELD_START);
  return ticks > 0 ? ticks : 0;
}

void write_record(const char *name, const char *temporary, const struct text *text, bool sync) {
  int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (fd < 0) return; /* the clients on the socket still hear it */
  bool whole = write(fd, text->start, text->length) == (ssize_t)text->length;
  if (whole && sync) fsync(fd);
  close(fd);
  if (!whole || rename(temporary, name) != 0) {
    unlink(temporary);
    return;
  }
  int dir_fd = sync ? open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
  if (dir_fd >= 0) {
    fsync(dir_fd);
    close(dir_fd);
  }
}

static void field(struct text *line, const char *name, int64_t number) {
  text_add(line, name);
  text_int(line, number);
}

void record_state(const struct life *life, struct text *line) {
  char boot_id[64];
  read_small_file("/proc/sys/kernel/random/boot_id", boot_id, sizeof boot_id);
  boot_id[strcspn(boot_id, "\n")] = '\0';
  field(line, "{\"shimPid\":", getpid());
  field(line, ",\"shimStart\":", start_ticks(getpid()));
  field(line, ",\"pid\":", life->pid);
  field(line, ",\"pidStart\":", start_ticks(life->pid));
  text_add(line, ",\"bootId\":");
  text_json(line, boot_id);
  field(line, ",\"startedAtMs\":", life->started_unix_ms);
  field(line, ",\"monotonicMs\":", life->started_monotonic_ms);
  text_add(line, ",\"lacking\":");
  gaps_json(line);
  text_add(line, "}\n");
  write_record("state.json", "state.json.tmp", line, false);
}

/* The kernel's log names the process it killed; a record begins `prio,seq,time-in-µs,…;text`. */
static bool oom_record(const char *record, const char *needle, int64_t since_ms) {
  if (strstr(record, needle) == NULL) return false;
  const char *at = record;
  for (int comma = 0; comma < 2; comma++) {
    at = strchr(at, ',');
    if (at == NULL) return false;
    at++;
  }
  int64_t us = 0;
  for (; *at >= '0' && *at <= '9'; at++) us = us * 10 + (*at - '0');
  return us / 1000 >= since_ms;
}

static bool killed_for_memory(const struct life *life) {
  char needle_memory[48], record[1024];
  struct text needle;
  text_init(&needle, needle_memory, sizeof needle_memory);
  text_add(&needle, "Killed process ");
  text_int(&needle, life->pid);
  text_add(&needle, " (");
  int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  bool found = false;
  for (int count = 0; fd >= 0 && !found && count < KMSG_RECORDS_MAX; count++) {
    ssize_t got = read(fd, record, sizeof record - 1);
    if (got < 0 && (errno == EPIPE || errno == EINVAL)) continue; /* overwritten, or too long */
    if (got <= 0) break;
    record[got] = '\0';
    /* A second of tolerance: the kernel's stamp and CLOCK_MONOTONIC are not the same clock. */
    found = oom_record(record, needle.start, life->started_monotonic_ms - 1000);
  }
  if (fd >= 0) close(fd);
  return found;
}

/* The cgroup counts whom the kernel took, and without one its log names them. A module may also be a
 * shell whose program was taken: then it ends with 128 + SIGKILL, as shells do. */
static bool ran_out_of_memory(const struct life *life, const struct ending *ending) {
  int status = ending->wait_status;
  bool taken = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  bool told = WIFEXITED(status) && WEXITSTATUS(status) == 128 + SIGKILL;
  if (!taken && !told) return false;
  return ending->oom_kills > 0 || (taken && killed_for_memory(life));
}

void record_exit(const struct life *life, const struct ending *ending, struct text *line) {
  bool exited = !ending->exec_failed && WIFEXITED(ending->wait_status);
  bool signalled = !ending->exec_failed && WIFSIGNALED(ending->wait_status);
  int signal = signalled ? WTERMSIG(ending->wait_status) : 0;
  bool oom = !ending->exec_failed && !ending->killed_by_shim && ran_out_of_memory(life, ending);
  field(line, "{\"pid\":", life->pid);
  text_add(line, ",\"code\":");
  if (exited) text_int(line, WEXITSTATUS(ending->wait_status));
  if (!exited) text_add(line, "null");
  text_add(line, ",\"signal\":");
  if (signalled) text_int(line, signal);
  if (!signalled) text_add(line, "null");
  text_add(line, ",\"reason\":");
  text_json(line, ending->exec_failed ? "exec" : signalled ? "signal" : "exit");
  text_add(line, ",\"message\":");
  text_json(line, ending->message);
  field(line, ",\"startedAtMs\":", life->started_unix_ms);
  field(line, ",\"endedAtMs\":", now_unix_ms());
  field(line, ",\"uptimeMs\":", now_monotonic_ms() - life->started_monotonic_ms);
  text_add(line, oom ? ",\"oomKilled\":true" : ",\"oomKilled\":false");
  field(line, ",\"logDroppedBytes\":", log_dropped_bytes());
  text_add(line, "}\n");
  write_record("exit.json", "exit.json.tmp", line, true);
}
