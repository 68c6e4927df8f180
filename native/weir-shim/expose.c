/* Paths that a module may see although what is around them is covered or read-only.
 *
 * Each is opened before anything is covered, and bound to its old place afterwards. Parents first:
 * a writable directory may lie in a readable one. Directories on the way are made, open to all, in
 * the empty file system that covers.
 */
#include "expose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* mount_setattr(2), Linux 5.12; its number and layout are the same everywhere. */
enum { CALL_MOUNT_SETATTR = 442, ALL_BELOW = 0x8000, ATTR_READ_ONLY = 1 };
struct attributes {
  uint64_t set, clear, propagation, userns_fd;
};

struct exposure exposures[EXPOSURES_MAX];
int exposure_count;

bool lies_in(const char *path, const char *directory) {
  size_t length = strlen(directory);
  return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

static void add(const char *path, bool writable) {
  char real[PATH_MAX];
  struct stat stat;
  if (exposure_count >= EXPOSURES_MAX || realpath(path, real) == NULL) return;
  if (strlen(real) >= EXPOSED_PATH_MAX || strcmp(real, "/") == 0) return;
  int fd = open(real, O_PATH | O_CLOEXEC);
  if (fd < 0 || fstat(fd, &stat) != 0) return;
  struct exposure *exposure = &exposures[exposure_count++];
  strcpy(exposure->path, real);
  exposure->fd = fd;
  exposure->writable = writable;
  exposure->is_directory = S_ISDIR(stat.st_mode);
}

static int by_path(const void *left, const void *right) {
  const struct exposure *a = left, *b = right;
  int order = strcmp(a->path, b->path); /* a parent sorts before what lies in it */
  return order != 0 ? order : (int)a->writable - (int)b->writable;
}

void exposures_collect(const struct options *options) {
  add(options->argv[0], false);
  add(options->cwd, false);
  if (options->notify_path != NULL) add(options->notify_path, false);
  for (int at = 0; at < options->readable.count; at++) add(options->readable.at[at], false);
  for (int at = 0; at < options->devices.count; at++) add(options->devices.at[at], true);
  for (int at = 0; at < options->writable.count; at++) add(options->writable.at[at], true);
  qsort(exposures, (size_t)exposure_count, sizeof *exposures, by_path);
}

static void fd_path(char *memory, size_t capacity, int fd) {
  struct text text;
  text_init(&text, memory, capacity);
  text_add(&text, "/proc/self/fd/");
  text_int(&text, fd);
}

int bind_over(int fd, const char *target) {
  char source[48];
  fd_path(source, sizeof source, fd);
  return mount(source, target, NULL, MS_BIND | MS_REC, NULL) == 0 ? 0 : errno;
}

int set_read_only(const char *path, bool read_only, bool all_below) {
  struct attributes attributes = {.set = read_only ? ATTR_READ_ONLY : 0, .clear = read_only ? 0 : ATTR_READ_ONLY};
  unsigned flags = all_below ? ALL_BELOW : 0;
  if (syscall(CALL_MOUNT_SETATTR, AT_FDCWD, path, flags, &attributes, sizeof attributes) == 0) return 0;
  if (errno != ENOSYS || all_below) return errno;
  unsigned long remount = MS_REMOUNT | MS_BIND | (read_only ? MS_RDONLY : 0);
  return mount(NULL, path, NULL, remount, NULL) == 0 ? 0 : errno;
}

/* The directories on the way, and an empty file or directory to bind over. */
static void make_place(const struct exposure *exposure) {
  char path[EXPOSED_PATH_MAX];
  strcpy(path, exposure->path);
  for (char *at = strchr(path + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
    *at = '\0';
    mkdir(path, 0755); /* mostly there already */
    *at = '/';
  }
  if (exposure->is_directory) {
    mkdir(path, 0755);
    return;
  }
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
  if (fd >= 0) close(fd);
}

void exposures_show_in(const char *directory) {
  for (int at = 0; at < exposure_count; at++) {
    const struct exposure *exposure = &exposures[at];
    if (!lies_in(exposure->path, directory) || strcmp(exposure->path, directory) == 0) continue;
    make_place(exposure);
    if (bind_over(exposure->fd, exposure->path) == 0) set_read_only(exposure->path, !exposure->writable, false);
  }
}
