/* What the two halves of fault-disk share: fault-disk.c stands in for libc's calls, rules.c decides which of them
 * go wrong, record.c writes down what was done. */
#ifndef FAULT_DISK_H
#define FAULT_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum call {
  CALL_OPEN = 1, /* an existing file */
  CALL_CREATE,
  CALL_READ,
  CALL_WRITE,
  CALL_SYNC, /* fsync and fdatasync */
  CALL_TRUNCATE,
  CALL_RENAME,
  CALL_UNLINK,
  CALL_MKDIR,
  CALL_RMDIR,
  CALL_LINK,
  CALL_MARK, /* only in recordings: what the program says about itself */
};

enum action {
  ACTION_NONE,
  ACTION_ERRNO,
  ACTION_HALF,        /* a write takes half of the bytes */
  ACTION_KILL_BEFORE, /* SIGKILL before the call is made */
  ACTION_KILL_HALF,   /* ... after half of the bytes of a write; as ACTION_KILL_BEFORE for other calls */
  ACTION_KILL_AFTER,
};

struct verdict {
  enum action action;
  int number; /* errno */
};

/* Waits as the rules say, then answers what becomes of this call. `path` is below the root. */
struct verdict rules_judge(enum call call, const char *path);
void rules_start(const char *file);
void die_now(void);

struct record {
  enum call call;
  bool failed;
  /* O_CREAT made it, O_TRUNC emptied it, O_DSYNC or O_SYNC holds for it, it is a directory. */
  bool created, truncated, synchronous, directory;
  int fd;
  uint64_t offset; /* of a write; size of a truncation */
  const char *path, *path2;
  const void *data;
  size_t bytes;
};

void record_start(const char *file);
bool record_active(void);
/* Between these two lies the call itself: the order of the recording is the order of what happened. */
void record_lock(void);
void record_unlock(void);
void record_append(const struct record *record);

/* libc's own calls, which never come back here. */
ssize_t real_write(int fd, const void *bytes, size_t count);
ssize_t real_writev(int fd, const void *vector, int count);
int real_open(const char *path, int flags, int mode);

#endif
