/* The recording: one record a call, appended to the file FAULT_DISK_LOG while the lock is held.
 *
 * Little-endian, 32 bytes and what follows them:
 *   0 u8  call        1 u8  flags: 1 failed, 2 created, 4 truncated, 8 synchronous, 16 directory
 *   2 u16 path bytes  4 u16 path2 bytes   6 u16 zero
 *   8 i32 descriptor, -1 for none        12 u32 data bytes
 *  16 u64 offset, or size               24 u64 zero
 *   path, path2, data */
#define _GNU_SOURCE
#include "fault-disk.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const char *log_file;
static int log_fd = -1;

void record_start(const char *file) { log_file = file; }
bool record_active(void) { return log_file != NULL; }

void record_lock(void) {
  if (log_file != NULL) pthread_mutex_lock(&lock);
}

void record_unlock(void) {
  if (log_file != NULL) pthread_mutex_unlock(&lock);
}

void record_append(const struct record *record) {
  if (log_file == NULL) return;
  if (log_fd < 0) log_fd = real_open(log_file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) abort();
  struct {
    uint8_t call, flags;
    uint16_t path_bytes, path2_bytes, zero;
    int32_t fd;
    uint32_t data_bytes;
    uint64_t offset, zero2;
  } head = {0};
  head.call = (uint8_t)record->call;
  head.flags = (uint8_t)((record->failed ? 1 : 0) | (record->created ? 2 : 0) | (record->truncated ? 4 : 0) |
                         (record->synchronous ? 8 : 0) | (record->directory ? 16 : 0));
  head.path_bytes = (uint16_t)(record->path == NULL ? 0 : strlen(record->path));
  head.path2_bytes = (uint16_t)(record->path2 == NULL ? 0 : strlen(record->path2));
  head.fd = record->fd;
  head.data_bytes = (uint32_t)record->bytes;
  head.offset = record->offset;
  struct iovec parts[] = {
      {&head, sizeof head},
      {(void *)record->path, head.path_bytes},
      {(void *)record->path2, head.path2_bytes},
      {(void *)record->data, record->bytes},
  };
  size_t total = sizeof head + head.path_bytes + head.path2_bytes + record->bytes;
  /* A recording with a hole would prove nothing. */
  if (real_writev(log_fd, parts, 4) != (ssize_t)total) abort();
}
