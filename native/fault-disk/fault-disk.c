/* fault-disk: stands between a program and its disk, for tests. Loaded with LD_PRELOAD (glibc, x86-64).
 *
 *   FAULT_DISK_ROOT   the directory that is watched, absolute and without symbolic links
 *   FAULT_DISK_LOG    file for a recording of all that changes something below it (record.c)
 *   FAULT_DISK_MARKS  file whose writes become marks in the recording: the program speaking about itself
 *   FAULT_DISK_RULES  file that says which calls fail, stall or kill (rules.c)
 *
 * Watched are the calls by which libuv and SQLite reach files. Node's io_uring and the kernel's copies between
 * files would pass by here: both are refused, and their callers fall back to plain calls. Children of the program
 * are not watched. The -shm file of SQLite is mapped memory that no power cut preserves: it is not recorded. */
#define _GNU_SOURCE
#include "fault-disk.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX 4096

struct watched {
  char *path; /* below the root; NULL for a descriptor that is not watched */
  bool mark;
};

static struct watched table[FDS_MAX];
static const char *root, *marks;
static size_t root_bytes;

#define REAL(name, type, ...) \
  static type (*next_##name)(__VA_ARGS__); \
  static void find_##name(void) { next_##name = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name); }
REAL(open64, int, const char *, int, ...)
REAL(openat64, int, int, const char *, int, ...)
REAL(close, int, int)
REAL(read, ssize_t, int, void *, size_t)
REAL(pread64, ssize_t, int, void *, size_t, off64_t)
REAL(write, ssize_t, int, const void *, size_t)
REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t)
REAL(writev, ssize_t, int, const struct iovec *, int)
REAL(pwritev64, ssize_t, int, const struct iovec *, int, off64_t)
REAL(fsync, int, int)
REAL(fdatasync, int, int)
REAL(ftruncate64, int, int, off64_t)
REAL(rename, int, const char *, const char *)
REAL(unlink, int, const char *)
REAL(mkdir, int, const char *, mode_t)
REAL(rmdir, int, const char *)
REAL(link, int, const char *, const char *)
REAL(sendfile64, ssize_t, int, int, off64_t *, size_t)
REAL(syscall, long, long, ...)

__attribute__((constructor)) static void start(void) {
  find_open64(), find_openat64(), find_close(), find_read(), find_pread64(), find_write(), find_pwrite64();
  find_writev(), find_pwritev64(), find_fsync(), find_fdatasync(), find_ftruncate64(), find_rename(), find_unlink();
  find_mkdir(), find_rmdir(), find_link(), find_sendfile64(), find_syscall();
  root = getenv("FAULT_DISK_ROOT");
  if (root == NULL) return;
  root = strdup(root);
  root_bytes = strlen(root);
  if (getenv("FAULT_DISK_MARKS") != NULL) marks = strdup(getenv("FAULT_DISK_MARKS"));
  if (getenv("FAULT_DISK_LOG") != NULL) record_start(strdup(getenv("FAULT_DISK_LOG")));
  if (getenv("FAULT_DISK_RULES") != NULL) rules_start(strdup(getenv("FAULT_DISK_RULES")));
  for (const char *const *name = (const char *const[]){"LD_PRELOAD", "FAULT_DISK_ROOT", "FAULT_DISK_MARKS",
                                                      "FAULT_DISK_LOG", "FAULT_DISK_RULES", NULL};
       *name != NULL; name++)
    unsetenv(*name);
}

ssize_t real_write(int fd, const void *bytes, size_t count) { return next_write(fd, bytes, count); }
ssize_t real_writev(int fd, const void *vector, int count) { return next_writev(fd, vector, count); }
int real_open(const char *path, int flags, int mode) { return next_open64(path, flags, mode); }

/* The part of the path below the root, "." for the root itself, NULL when it is elsewhere. */
static const char *below(const char *path) {
  if (root == NULL || strncmp(path, root, root_bytes) != 0) return NULL;
  if (path[root_bytes] == 0) return ".";
  if (path[root_bytes] != '/') return NULL;
  const char *rest = path + root_bytes + 1;
  size_t bytes = strlen(rest);
  if (bytes == 0) return ".";
  return bytes > 4 && strcmp(rest + bytes - 4, "-shm") == 0 ? NULL : rest;
}

static struct watched *watched(int fd) {
  if (root == NULL || fd < 0 || fd >= FDS_MAX || table[fd].path == NULL) return NULL;
  return &table[fd];
}

static void forget(int fd) {
  if (fd < 0 || fd >= FDS_MAX) return;
  free(table[fd].path);
  table[fd] = (struct watched){NULL, false};
}

/* An error of the rules, or what the real call answered. Kills when that is the verdict. */
#define FINISH(verdict, result) \
  do { \
    if ((verdict).action == ACTION_KILL_AFTER || (verdict).action == ACTION_KILL_HALF) die_now(); \
    return result; \
  } while (0)
#define REFUSE(verdict, failure) \
  if ((verdict).action == ACTION_ERRNO) { \
    errno = (verdict).number; \
    return failure; \
  }

static int open_watched(const char *path, const char *name, int flags, int mode) {
  bool is_mark = marks != NULL && strcmp(path, marks) == 0;
  struct stat before;
  bool was_there = stat(path, &before) == 0;
  bool creates = !was_there && (flags & O_CREAT) != 0;
  struct verdict verdict = {ACTION_NONE, 0};
  if (!is_mark) verdict = rules_judge(creates ? CALL_CREATE : CALL_OPEN, name);
  REFUSE(verdict, -1)
  record_lock();
  int fd = next_open64(path, flags, mode);
  int failure = errno;
  if (fd >= FDS_MAX) abort();
  if (fd >= 0) {
    forget(fd);
    table[fd] = (struct watched){strdup(name), is_mark};
    struct stat facts;
    bool is_directory = fstat(fd, &facts) == 0 && S_ISDIR(facts.st_mode);
    if (!is_mark)
      record_append(&(struct record){.call = creates ? CALL_CREATE : CALL_OPEN,
                                     .created = creates,
                                     .truncated = (flags & O_TRUNC) != 0,
                                     .synchronous = (flags & O_DSYNC) != 0,
                                     .directory = is_directory,
                                     .fd = fd,
                                     .path = name});
  }
  record_unlock();
  errno = failure;
  FINISH(verdict, fd);
}

static int open_any(const char *path, int flags, int mode) {
  const char *name = marks != NULL && strcmp(path, marks) == 0 ? "marks" : below(path);
  return name == NULL ? next_open64(path, flags, mode) : open_watched(path, name, flags, mode);
}

#define MODE_ARGUMENT(flags) \
  int mode = 0; \
  if (((flags) & (O_CREAT | O_TMPFILE)) != 0) { \
    va_list arguments; \
    va_start(arguments, flags); \
    mode = va_arg(arguments, int); \
    va_end(arguments); \
  }

int open64(const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return open_any(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  return open_any(path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  if (path[0] == '/') return open_any(path, flags, mode);
  return next_openat64(directory, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
  MODE_ARGUMENT(flags)
  if (path[0] == '/') return open_any(path, flags, mode);
  return next_openat64(directory, path, flags, mode);
}

int close(int fd) {
  forget(fd);
  return next_close(fd);
}

ssize_t read(int fd, void *bytes, size_t count) {
  struct watched *file = watched(fd);
  if (file == NULL || file->mark) return next_read(fd, bytes, count);
  struct verdict verdict = rules_judge(CALL_READ, file->path);
  REFUSE(verdict, -1)
  FINISH(verdict, next_read(fd, bytes, count));
}

ssize_t pread64(int fd, void *bytes, size_t count, off64_t offset) {
  struct watched *file = watched(fd);
  if (file == NULL || file->mark) return next_pread64(fd, bytes, count, offset);
  struct verdict verdict = rules_judge(CALL_READ, file->path);
  REFUSE(verdict, -1)
  FINISH(verdict, next_pread64(fd, bytes, count, offset));
}

ssize_t pread(int fd, void *bytes, size_t count, off_t offset) { return pread64(fd, bytes, count, offset); }

/* `offset` -1: at the descriptor's own place. */
static ssize_t write_watched(int fd, const void *bytes, size_t count, off64_t offset) {
  struct watched *file = watched(fd);
  if (file->mark) {
    record_lock();
    ssize_t result = next_write(fd, bytes, count);
    record_append(&(struct record){.call = CALL_MARK, .fd = -1, .data = bytes, .bytes = count});
    record_unlock();
    return result;
  }
  struct verdict verdict = rules_judge(CALL_WRITE, file->path);
  REFUSE(verdict, -1)
  if (verdict.action == ACTION_HALF || verdict.action == ACTION_KILL_HALF) count = (count + 1) / 2;
  record_lock();
  off64_t place = offset;
  if (offset < 0) {
    struct stat facts;
    bool appends = (fcntl(fd, F_GETFL) & O_APPEND) != 0 && fstat(fd, &facts) == 0;
    place = appends ? facts.st_size : lseek64(fd, 0, SEEK_CUR);
  }
  ssize_t result = offset < 0 ? next_write(fd, bytes, count) : next_pwrite64(fd, bytes, count, offset);
  int failure = errno;
  if (result > 0)
    record_append(&(struct record){
        .call = CALL_WRITE, .fd = fd, .offset = (uint64_t)place, .data = bytes, .bytes = (size_t)result});
  record_unlock();
  errno = failure;
  FINISH(verdict, result);
}

ssize_t write(int fd, const void *bytes, size_t count) {
  return watched(fd) == NULL ? next_write(fd, bytes, count) : write_watched(fd, bytes, count, -1);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
  return watched(fd) == NULL ? next_pwrite64(fd, bytes, count, offset) : write_watched(fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) { return pwrite64(fd, bytes, count, offset); }

/* As one write: the pieces of a vector reach the file together as far as the caller can tell. */
static ssize_t write_vector(int fd, const struct iovec *vector, int parts, off64_t offset) {
  size_t total = 0;
  for (int part = 0; part < parts; part++) total += vector[part].iov_len;
  char *bytes = malloc(total + 1);
  if (bytes == NULL) abort();
  size_t at = 0;
  for (int part = 0; part < parts; part++) {
    memcpy(bytes + at, vector[part].iov_base, vector[part].iov_len);
    at += vector[part].iov_len;
  }
  ssize_t result = write_watched(fd, bytes, total, offset);
  int failure = errno;
  free(bytes);
  errno = failure;
  return result;
}

ssize_t writev(int fd, const struct iovec *vector, int parts) {
  return watched(fd) == NULL ? next_writev(fd, vector, parts) : write_vector(fd, vector, parts, -1);
}

ssize_t pwritev64(int fd, const struct iovec *vector, int parts, off64_t offset) {
  return watched(fd) == NULL ? next_pwritev64(fd, vector, parts, offset) : write_vector(fd, vector, parts, offset);
}

ssize_t pwritev(int fd, const struct iovec *vector, int parts, off_t offset) {
  return pwritev64(fd, vector, parts, offset);
}

static int sync_watched(int fd, int (*real)(int)) {
  struct watched *file = watched(fd);
  if (file == NULL || file->mark) return real(fd);
  struct verdict verdict = rules_judge(CALL_SYNC, file->path);
  record_lock();
  int result = verdict.action == ACTION_ERRNO ? -1 : real(fd);
  int failure = verdict.action == ACTION_ERRNO ? verdict.number : errno;
  record_append(&(struct record){.call = CALL_SYNC, .fd = fd, .failed = result != 0});
  record_unlock();
  errno = failure;
  FINISH(verdict, result);
}

int fsync(int fd) { return sync_watched(fd, next_fsync); }
int fdatasync(int fd) { return sync_watched(fd, next_fdatasync); }

int ftruncate64(int fd, off64_t size) {
  struct watched *file = watched(fd);
  if (file == NULL || file->mark) return next_ftruncate64(fd, size);
  struct verdict verdict = rules_judge(CALL_TRUNCATE, file->path);
  REFUSE(verdict, -1)
  record_lock();
  int result = next_ftruncate64(fd, size);
  int failure = errno;
  if (result == 0) record_append(&(struct record){.call = CALL_TRUNCATE, .fd = fd, .offset = (uint64_t)size});
  record_unlock();
  errno = failure;
  FINISH(verdict, result);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

#define PATH_CALL(name, kind, arguments, ...) \
  int name arguments { \
    const char *place = below(path); \
    if (place == NULL) return next_##name(__VA_ARGS__); \
    struct verdict verdict = rules_judge(kind, place); \
    REFUSE(verdict, -1) \
    record_lock(); \
    int result = next_##name(__VA_ARGS__); \
    int failure = errno; \
    if (result == 0) record_append(&(struct record){.call = kind, .fd = -1, .path = place}); \
    record_unlock(); \
    errno = failure; \
    FINISH(verdict, result); \
  }
PATH_CALL(unlink, CALL_UNLINK, (const char *path), path)
PATH_CALL(rmdir, CALL_RMDIR, (const char *path), path)
PATH_CALL(mkdir, CALL_MKDIR, (const char *path, mode_t mode), path, mode)

static int move(enum call call, const char *from, const char *to, int (*real)(const char *, const char *)) {
  const char *source = below(from), *target = below(to);
  if (source == NULL && target == NULL) return real(from, to);
  /* A file that comes from elsewhere, or goes there, would be missing in the recording. */
  if (source == NULL || target == NULL) {
    fprintf(stderr, "fault-disk: %s to %s crosses the border of %s\n", from, to, root);
    abort();
  }
  struct verdict verdict = rules_judge(call, target);
  REFUSE(verdict, -1)
  record_lock();
  int result = real(from, to);
  int failure = errno;
  if (result == 0) record_append(&(struct record){.call = call, .fd = -1, .path = source, .path2 = target});
  record_unlock();
  errno = failure;
  FINISH(verdict, result);
}

int rename(const char *from, const char *to) { return move(CALL_RENAME, from, to, next_rename); }
int link(const char *from, const char *to) { return move(CALL_LINK, from, to, next_link); }

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count) {
  if (watched(out) == NULL) return next_sendfile64(out, in, offset, count);
  errno = EINVAL;
  return -1;
}

ssize_t sendfile(int out, int in, off_t *offset, size_t count) { return sendfile64(out, in, offset, count); }

long syscall(long number, ...) {
  va_list arguments;
  va_start(arguments, number);
  long words[6];
  for (int index = 0; index < 6; index++) words[index] = va_arg(arguments, long);
  va_end(arguments);
  bool is_copy = number == SYS_copy_file_range && watched((int)words[2]) != NULL;
  if (root != NULL && (is_copy || number == SYS_io_uring_setup)) {
    errno = ENOSYS;
    return -1;
  }
  if (number == SYS_close) forget((int)words[0]);
  return next_syscall(number, words[0], words[1], words[2], words[3], words[4], words[5]);
}
