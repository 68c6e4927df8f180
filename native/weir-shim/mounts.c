/* The module's own view of the file system: a mount namespace.
 *
 *   unshare ─▶ slave of the machine's ─▶ open what stays visible ─▶ writable paths become mounts
 *           ─▶ all read-only, these not ─▶ covers: private /tmp, hidden directories
 *           ─▶ what stays visible is bound back into the covers
 *
 * Slave, not private: what the machine unmounts later is unmounted here too, else a memory stick
 * would stay busy as long as a module runs. The price: what is mounted later is seen by the module as
 * it is, not read-only; owner and mode, and Landlock where it is, hold there.
 *
 * Each wish stands by itself: one that fails is a gap and the others are tried. Runs as root, before
 * the identity is dropped and before Landlock, under which nothing can be mounted.
 */
#include "expose.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TMP "/tmp"

enum { MOUNTS_BYTES_MAX = 64 * 1024 };

struct cover {
  char path[EXPOSED_PATH_MAX];
  bool hides; /* else it is a place for temporary files */
};

static struct cover covers[COVERS_MAX];
static int cover_count;

/* For kernels before 5.12: each mount by itself. Their names have octal escapes for blanks. */
static int make_all_read_only_one_by_one(void) {
  static char text[MOUNTS_BYTES_MAX];
  read_small_file("/proc/self/mountinfo", text, sizeof text);
  int first = 0;
  for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
    char *fields = line, *point = NULL;
    for (int field = 0; field < 5 && fields != NULL; field++) point = strsep(&fields, " ");
    if (fields == NULL || strchr(point, '\\') != NULL) continue;
    unsigned long kept = (strstr(fields, "nosuid") != NULL ? MS_NOSUID : 0) |
                         (strstr(fields, "nodev") != NULL ? MS_NODEV : 0) |
                         (strstr(fields, "noexec") != NULL ? MS_NOEXEC : 0);
    if (mount(NULL, point, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | kept, NULL) != 0 && strcmp(point, "/") == 0) {
      first = errno;
    }
  }
  return first;
}

/* Devices can be written on a read-only mount. */
static bool becomes_mount(const struct exposure *exposure) {
  return exposure->writable && !lies_in(exposure->path, "/dev");
}

static void make_root_read_only(void) {
  for (int at = 0; at < exposure_count; at++) {
    if (becomes_mount(&exposures[at])) bind_over(exposures[at].fd, exposures[at].path);
  }
  int error = set_read_only("/", true, true);
  if (error == ENOSYS) error = make_all_read_only_one_by_one();
  if (error != 0) {
    gap_set(GAP_READ_ONLY_ROOT, "the mounts cannot be made read-only", error);
    return;
  }
  for (int at = 0; at < exposure_count; at++) {
    if (becomes_mount(&exposures[at])) set_read_only(exposures[at].path, false, false);
  }
}

static bool is_covered(const char *path) {
  for (int at = 0; at < cover_count; at++) {
    if (strcmp(covers[at].path, path) == 0) return true;
  }
  return false;
}

static void covered(const char *path, bool hides) {
  if (cover_count >= COVERS_MAX || strlen(path) >= EXPOSED_PATH_MAX) return;
  strcpy(covers[cover_count].path, path);
  covers[cover_count++].hides = hides;
}

static int mount_empty(const char *path, const char *size, int64_t bytes, unsigned long flags) {
  char memory[96];
  struct text data;
  text_init(&data, memory, sizeof memory);
  text_add(&data, size);
  text_int(&data, bytes);
  return mount("weir", path, "tmpfs", MS_NOSUID | MS_NODEV | flags, data.start) == 0 ? 0 : errno;
}

/* One file system, so that one size bounds all: /tmp/tmp, /tmp/var and /tmp/shm become the three. */
static void make_private_tmp(int64_t bytes) {
  static const struct {
    const char *part, *place;
  } parts[] = {{TMP "/shm", "/dev/shm"}, {TMP "/var", "/var/tmp"}, {TMP "/tmp", TMP}};
  int error = mount_empty(TMP, "mode=755,nr_inodes=65536,size=", bytes, 0);
  for (size_t at = 0; error == 0 && at < sizeof parts / sizeof *parts; at++) {
    char real[PATH_MAX];
    if (mkdir(parts[at].part, 0700) != 0 || chmod(parts[at].part, 01777) != 0) error = errno;
    if (realpath(parts[at].place, real) == NULL || is_covered(real)) continue; /* /var/tmp may be a link to /tmp */
    if (strcmp(real, TMP) == 0 && strcmp(parts[at].place, TMP) != 0) continue;
    if (mount(parts[at].part, real, NULL, MS_BIND, NULL) != 0) error = errno;
    covered(real, false);
  }
  if (error != 0) gap_set(GAP_PRIVATE_TMP, "the directories cannot be covered", error);
}

/* A link is followed: what is hidden is what it leads to. One that is missing needs no hiding. */
static void hide(const char *path) {
  char real[PATH_MAX];
  struct stat stat;
  int error = 0;
  if (realpath(path, real) == NULL || lstat(real, &stat) != 0 || is_covered(real)) return;
  if (S_ISDIR(stat.st_mode)) {
    error = mount_empty(real, "mode=755,nr_inodes=4096,size=", 1024 * 1024, 0);
    if (error == 0) covered(real, true);
  } else if (mount("/dev/null", real, NULL, MS_BIND, NULL) != 0) {
    error = errno;
  }
  if (error != 0) gap_set(GAP_HIDE, "the directory cannot be covered", error);
}

static void all_gaps(const struct options *options, const char *step, int error) {
  if (options->private_tmp) gap_set(GAP_PRIVATE_TMP, step, error);
  if (options->read_only_root) gap_set(GAP_READ_ONLY_ROOT, step, error);
  if (options->hidden.count > 0) gap_set(GAP_HIDE, step, error);
}

void mounts_apply(const struct options *options) {
  if (!options->private_tmp && !options->read_only_root && options->hidden.count == 0) return;
  if (unshare(CLONE_NEWNS) != 0) {
    all_gaps(options, "a mount namespace cannot be made", errno);
    return;
  }
  if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) != 0) {
    all_gaps(options, "the mounts cannot be parted from the machine's", errno);
    return;
  }
  mode_t before = umask(0);
  exposures_collect(options);
  if (options->read_only_root) make_root_read_only();
  if (options->private_tmp) make_private_tmp(options->tmp_bytes);
  for (int at = 0; at < options->hidden.count; at++) hide(options->hidden.at[at]);
  for (int at = 0; at < cover_count; at++) exposures_show_in(covers[at].path);
  for (int at = 0; at < cover_count; at++) {
    if (covers[at].hides) set_read_only(covers[at].path, true, false);
  }
  for (int at = 0; at < exposure_count; at++) close(exposures[at].fd);
  umask(before);
}
