/* The module's log: lines of stdout and stderr, stamped, in files of bounded size and number.
 *
 *   2026-11-21T09:12:44.123Z O text of a stdout line
 *   2026-11-21T09:12:44.124Z E text of a stderr line
 *   2026-11-21T09:12:44.125Z S a remark of the shim (bytes dropped, what shuts the module in is lacking)
 *
 * FILE grows to bytes_max, then becomes FILE.1, FILE.1 becomes FILE.2 … FILE.(files-1); the oldest
 * goes. A line of more than LINE_BYTES_MAX is cut; a cut part ends in SPLIT_MARK and the next line
 * continues it. A full or failing disk never stops the reading: what cannot be written is counted,
 * and the count is written as a remark as soon as writing works again. A line is never divided
 * between two files, and a line torn by a failed write is ended before the next one begins.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPLIT_MARK " [weir: line continues]"

enum { PREFIX_BYTES_MAX = 32, READ_BYTES = 16 * 1024, PENDING_BYTES_MAX = 32 * 1024 };

static struct {
  const char *path;
  int fd; /* -1: closed, the next flush tries to open it */
  int64_t size;
  int64_t bytes_max;
  int files;
  bool torn; /* the file does not end with a newline */
  int64_t dropped_total;
  int64_t dropped_unreported;
  int last_error;
  struct text pending;
} sink = {.fd = -1};

static struct {
  char bytes[LINE_BYTES_MAX];
  size_t length;
} lines[2];

static char pending_memory[PENDING_BYTES_MAX];
static char read_memory[READ_BYTES];

static bool sink_open(void) {
  sink.fd = open(sink.path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (sink.fd < 0) return false;
  struct stat stat;
  sink.size = fstat(sink.fd, &stat) == 0 ? stat.st_size : 0;
  char last = '\n';
  sink.torn = sink.size > 0 && pread(sink.fd, &last, 1, sink.size - 1) == 1 && last != '\n';
  return true;
}

static void numbered(struct text *name, char *memory, size_t capacity, int number) {
  text_init(name, memory, capacity);
  text_add(name, sink.path);
  if (number == 0) return;
  text_add(name, ".");
  text_int(name, number);
}

void log_open(const char *path, int64_t bytes_max, int files) {
  char memory[PATH_MAX];
  struct text name;
  sink.path = path;
  sink.bytes_max = bytes_max;
  sink.files = files;
  text_init(&sink.pending, pending_memory, sizeof pending_memory);
  sink_open(); /* a failure here is a failure of the first flush: the module runs all the same */
  /* An earlier life may have been allowed more files. */
  for (int number = files; number < LOG_FILES_MAX; number++) {
    numbered(&name, memory, sizeof memory, number);
    if (unlink(name.start) != 0) break;
  }
}

/* False when the files cannot be moved: then nothing more is written, rather than without bound. */
static bool rotate(void) {
  char older_memory[PATH_MAX], newer_memory[PATH_MAX];
  struct text older, newer;
  if (sink.files == 1) {
    if (ftruncate(sink.fd, 0) != 0) return false;
    sink.size = 0;
    sink.torn = false;
    return true;
  }
  for (int number = sink.files - 1; number > 0; number--) {
    numbered(&older, older_memory, sizeof older_memory, number);
    numbered(&newer, newer_memory, sizeof newer_memory, number - 1);
    if (rename(newer.start, older.start) != 0 && errno != ENOENT) return false;
  }
  close(sink.fd);
  return sink_open();
}

static void drop(size_t bytes, int error) {
  sink.dropped_total += (int64_t)bytes;
  sink.dropped_unreported += (int64_t)bytes;
  sink.last_error = error;
}

/* Makes sure that `bytes` more fit into an open file. */
static bool make_room(size_t bytes) {
  struct stat stat;
  if (sink.fd >= 0 && fstat(sink.fd, &stat) == 0 && stat.st_nlink == 0) {
    close(sink.fd); /* an operator deleted it: writing on would fill the disk unseen */
    sink.fd = -1;
  }
  if (sink.fd < 0 && !sink_open()) return false;
  if (sink.size == 0 || sink.size + (int64_t)bytes + 1 <= sink.bytes_max) return true;
  return rotate();
}

static bool write_whole(const char *bytes, size_t length) {
  if (sink.torn) {
    if (write(sink.fd, "\n", 1) != 1) return false;
    sink.size++;
    sink.torn = false;
  }
  size_t done = 0;
  while (done < length) {
    ssize_t wrote = write(sink.fd, bytes + done, length - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) break;
    done += (size_t)wrote;
    sink.size += wrote;
  }
  if (done < length && done > 0) sink.torn = bytes[done - 1] != '\n';
  return done == length;
}

static void report_dropped(void) {
  char memory[192];
  struct text text;
  text_init(&text, memory, sizeof memory);
  text_utc(&text, now_unix_ms());
  text_add(&text, " S ");
  text_int(&text, sink.dropped_unreported);
  text_add(&text, " bytes of output dropped: ");
  text_add(&text, strerror(sink.last_error));
  text_add(&text, "\n");
  if (make_room(text.length) && write_whole(text.start, text.length)) sink.dropped_unreported = 0;
}

void log_remark(const char *words) {
  char memory[320];
  struct text text;
  text_init(&text, memory, sizeof memory - 1);
  text_utc(&text, now_unix_ms());
  text_add(&text, " S ");
  text_add(&text, words);
  text_add(&text, "\n");
  if (!make_room(text.length) || !write_whole(text.start, text.length)) drop(text.length, errno);
}

static void flush(void) {
  if (sink.pending.length == 0) return;
  errno = 0;
  if (sink.dropped_unreported > 0) report_dropped();
  bool clear = sink.dropped_unreported == 0;
  if (!clear || !make_room(sink.pending.length) ||
      !write_whole(sink.pending.start, sink.pending.length)) {
    drop(sink.pending.length, errno != 0 ? errno : sink.last_error);
  }
  sink.pending.length = 0;
}

static void emit(enum stream stream, bool split) {
  size_t needed = PREFIX_BYTES_MAX + lines[stream].length + sizeof SPLIT_MARK + 1;
  /* Also flushed before a file would overflow, so that a batch never has to be divided. */
  int64_t batch = (int64_t)(sink.pending.length + needed);
  if (sink.pending.length + needed > sink.pending.capacity ||
      batch + 1 > sink.bytes_max || sink.size + batch + 1 > sink.bytes_max) {
    flush();
  }
  text_utc(&sink.pending, now_unix_ms());
  text_add(&sink.pending, stream == STREAM_OUT ? " O " : " E ");
  text_bytes(&sink.pending, lines[stream].bytes, lines[stream].length);
  if (split) text_add(&sink.pending, SPLIT_MARK);
  text_add(&sink.pending, "\n");
  lines[stream].length = 0;
}

static void append(enum stream stream, const char *bytes, size_t length) {
  while (length > 0) {
    size_t room = LINE_BYTES_MAX - lines[stream].length;
    if (room == 0) {
      emit(stream, true);
      continue;
    }
    size_t part = length < room ? length : room;
    memcpy(lines[stream].bytes + lines[stream].length, bytes, part);
    lines[stream].length += part;
    bytes += part;
    length -= part;
  }
}

bool log_copy(enum stream stream, int fd) {
  ssize_t got = read(fd, read_memory, sizeof read_memory);
  if (got < 0) return errno == EAGAIN || errno == EINTR;
  if (got == 0) return false;
  const char *at = read_memory, *end = read_memory + got;
  while (at < end) {
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    append(stream, at, (size_t)((newline == NULL ? end : newline) - at));
    if (newline == NULL) break;
    emit(stream, false);
    at = newline + 1;
  }
  flush();
  return true;
}

void log_finish(void) {
  if (lines[STREAM_OUT].length > 0) emit(STREAM_OUT, false);
  if (lines[STREAM_ERR].length > 0) emit(STREAM_ERR, false);
  flush();
  if (sink.dropped_unreported > 0) report_dropped();
}

int64_t log_dropped_bytes(void) { return sink.dropped_total; }
