/* What the module tells of itself: the datagrams of sd_notify(3), heard, checked, and passed on.
 *
 *   module ─ datagram "READY=1\nSTATUS=polling" ─▶ shim ─ {"notify":"READY=1\nSTATUS=polling"} ─▶ clients
 *                                                       └▶ notify.json, what holds
 *
 * The kernel says who sent a datagram (SO_PASSCRED). Counted is only what a process says that
 * descends from this shim. One that is gone before it can be looked at is not heard: systemd-notify
 * waits for that (BARRIER), by a descriptor that we close.
 *
 * Bounds: what is new is gathered and leaves ten times a second at most, so that a module that calls
 * in a loop costs its clients nothing; only the newest STATUS counts.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum {
  DATAGRAM_BYTES_MAX = 4096,
  DATAGRAMS_AT_ONCE = 32,
  LINE_INTERVAL_MS = 100,
  WATCHDOG_RECORD_MS = 1000, /* the age in notify.json need not be finer */
  PARENTS_MAX = 64,
  STAT_PARENT = 4,
  DESCRIPTORS_MAX = 16
};

/* What holds, and of it what is new. */
static struct {
  const char *path;
  int fd;
  bool told, ready, reloading, stopping;
  char status[NOTIFY_STATUS_MAX];
  int64_t watchdog_ms; /* monotonic, of the last WATCHDOG=1; -1: none yet */
  int64_t sent_ms;
  int64_t recorded_ms;
} notify = {.fd = -1, .watchdog_ms = -1};

static struct {
  bool any, ready, reloading, stopping, status, watchdog, trigger;
  int64_t error, watchdog_us, extend_us; /* -1: not told */
} fresh;

static void nothing_new(void) {
  memset(&fresh, 0, sizeof fresh);
  fresh.error = fresh.watchdog_us = fresh.extend_us = -1;
}

void notify_listen(const struct options *options) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int on = 1;
  unlink("notify.json");
  nothing_new();
  notify.path = options->notify_path;
  if (notify.path == NULL) return;
  strcpy(address.sun_path, notify.path); /* its length was checked with the options */
  unlink(notify.path);
  notify.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (notify.fd < 0) die(EXIT_OS, "cannot make the notify socket", NULL, errno);
  setsockopt(notify.fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on);
  mode_t before = umask(0177);
  int bound = bind(notify.fd, (struct sockaddr *)&address, sizeof address);
  umask(before);
  if (bound != 0) die(EXIT_OS, "cannot bind", notify.path, errno);
  if (options->drop_identity && chown(notify.path, options->uid, options->gid) != 0) {
    die(EXIT_OS, "cannot give to the module", notify.path, errno);
  }
}

int notify_fd(void) { return notify.fd; }

static bool is_ours(pid_t pid) {
  for (int generation = 0; generation < PARENTS_MAX && pid > 1; generation++) {
    pid = (pid_t)stat_field(pid, STAT_PARENT);
    if (pid == getpid()) return true;
  }
  return false;
}

static bool value_of(const char *line, const char *name, int64_t *number) {
  size_t length = strlen(name);
  if (strncmp(line, name, length) != 0) return false;
  *number = parse_int(line + length, INT64_MAX);
  return *number >= 0;
}

static void take_line(const char *line) {
  if (strcmp(line, "READY=1") == 0) {
    fresh.ready = notify.ready = true;
    notify.reloading = fresh.reloading = false;
  } else if (strcmp(line, "RELOADING=1") == 0) {
    fresh.reloading = notify.reloading = true;
    notify.ready = fresh.ready = false;
  } else if (strcmp(line, "STOPPING=1") == 0) {
    fresh.stopping = notify.stopping = true;
  } else if (strncmp(line, "STATUS=", 7) == 0) {
    size_t length = strnlen(line + 7, NOTIFY_STATUS_MAX - 1);
    memcpy(notify.status, line + 7, length);
    notify.status[length] = '\0';
    fresh.status = true;
  } else if (strcmp(line, "WATCHDOG=1") == 0) {
    fresh.watchdog = true;
    notify.watchdog_ms = now_monotonic_ms();
  } else if (strcmp(line, "WATCHDOG=trigger") == 0) {
    fresh.trigger = true;
  } else if (!value_of(line, "ERRNO=", &fresh.error) && !value_of(line, "WATCHDOG_USEC=", &fresh.watchdog_us) &&
             !value_of(line, "EXTEND_TIMEOUT_USEC=", &fresh.extend_us)) {
    return;
  }
  fresh.any = notify.told = true;
}

static pid_t sender_of(struct msghdr *message) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_CREDENTIALS) continue;
    struct ucred credentials;
    memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
    return credentials.pid;
  }
  return 0;
}

static void close_descriptors(struct msghdr *message) {
  for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part != NULL; part = CMSG_NXTHDR(message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t at = 0; at < count; at++) {
      int fd;
      memcpy(&fd, CMSG_DATA(part) + at * sizeof fd, sizeof fd);
      close(fd);
    }
  }
}

static bool hear_one(void) {
  char bytes[DATAGRAM_BYTES_MAX + 1];
  union { /* aligned for cmsghdr */
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * DESCRIPTORS_MAX)];
  } control;
  struct iovec part = {bytes, DATAGRAM_BYTES_MAX};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                           .msg_controllen = sizeof control};
  ssize_t got = recvmsg(notify.fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  if (got < 0) return errno == EINTR;
  pid_t pid = sender_of(&message);
  bool counts = pid > 1 && (message.msg_flags & MSG_TRUNC) == 0 && is_ours(pid);
  bytes[got] = '\0';
  for (char *rest = bytes, *line; counts && (line = strsep(&rest, "\n")) != NULL;) take_line(line);
  close_descriptors(&message); /* last: a sender may wait for just that, and then be gone */
  return true;
}

void notify_hear(void) {
  for (int count = 0; notify.fd >= 0 && count < DATAGRAMS_AT_ONCE && hear_one(); count++) {
  }
}

int notify_wait_ms(void) {
  if (!fresh.any) return -1;
  int64_t rest_ms = notify.sent_ms + LINE_INTERVAL_MS - now_monotonic_ms();
  return rest_ms > 0 ? (int)rest_ms : 0;
}

static void word(struct text *line, bool told, const char *words) {
  if (told) text_add(line, words);
}

static void counted(struct text *line, const char *name, int64_t number) {
  if (number < 0) return;
  text_add(line, name);
  text_int(line, number);
  text_add(line, "\\n");
}

static void status(struct text *line, bool told) {
  if (!told) return;
  text_add(line, "STATUS=");
  text_json_utf8(line, notify.status);
  text_add(line, "\\n");
}

/* Every word ended with an escaped newline; the last of them goes. */
static void end_line(struct text *line) {
  line->length -= 2;
  text_add(line, "\"}\n");
}

static void keep(void) {
  char memory[NOTIFY_LINE_MAX];
  struct text text;
  bool only_alive = !fresh.ready && !fresh.reloading && !fresh.stopping && !fresh.status;
  int64_t now_ms = now_monotonic_ms();
  if (only_alive && now_ms - notify.recorded_ms < WATCHDOG_RECORD_MS) return;
  notify.recorded_ms = now_ms;
  text_init(&text, memory, sizeof memory);
  text_add(&text, notify.ready ? "{\"ready\":true" : "{\"ready\":false");
  text_add(&text, notify.reloading ? ",\"reloading\":true" : ",\"reloading\":false");
  text_add(&text, notify.stopping ? ",\"stopping\":true" : ",\"stopping\":false");
  text_add(&text, ",\"status\":");
  if (notify.status[0] != '\0') {
    text_add(&text, "\"");
    text_json_utf8(&text, notify.status);
    text_add(&text, "\"");
  } else {
    text_add(&text, "null");
  }
  text_add(&text, ",\"watchdogMonotonicMs\":");
  if (notify.watchdog_ms >= 0) text_int(&text, notify.watchdog_ms);
  else text_add(&text, "null");
  text_add(&text, ",\"atMs\":");
  text_int(&text, now_unix_ms());
  text_add(&text, "}\n");
  write_record("notify.json", "notify.json.tmp", &text, false);
}

bool notify_line(struct text *line) {
  if (notify_wait_ms() != 0) return false;
  text_add(line, "{\"notify\":\"");
  word(line, fresh.ready, "READY=1\\n");
  word(line, fresh.reloading, "RELOADING=1\\n");
  word(line, fresh.stopping, "STOPPING=1\\n");
  status(line, fresh.status);
  word(line, fresh.watchdog, "WATCHDOG=1\\n");
  word(line, fresh.trigger, "WATCHDOG=trigger\\n");
  counted(line, "ERRNO=", fresh.error);
  counted(line, "WATCHDOG_USEC=", fresh.watchdog_us);
  counted(line, "EXTEND_TIMEOUT_USEC=", fresh.extend_us);
  end_line(line);
  keep();
  nothing_new();
  notify.sent_ms = now_monotonic_ms();
  return true;
}

bool notify_greeting(struct text *line) {
  if (!notify.ready && !notify.reloading && !notify.stopping && notify.status[0] == '\0') return false;
  text_add(line, "{\"notify\":\"");
  word(line, notify.ready, "READY=1\\n");
  word(line, notify.reloading, "RELOADING=1\\n");
  word(line, notify.stopping, "STOPPING=1\\n");
  status(line, notify.status[0] != '\0');
  end_line(line);
  return true;
}

void notify_close(void) {
  if (notify.fd < 0) return;
  unlink(notify.path);
  close(notify.fd);
  notify.fd = -1;
}
