/* The limits of a module's cgroup, in the words of either generation.
 *
 *                     v2                        v1
 *   memory            memory.max                memory.limit_in_bytes
 *     with swap       memory.swap.max = 0       memory.memsw.limit_in_bytes
 *   processor time    cpu.max "QUOTA PERIOD"    cpu.cfs_quota_us, cpu.cfs_period_us
 *   processes         pids.max                  pids.max
 *   share of disks    io.weight, io.bfq.weight  blkio.bfq.weight (to 1000), blkio.weight (10 to 1000)
 *   bytes a second    io.max                    blkio.throttle.{read,write}_bps_device
 *
 * memory.high is left alone on purpose: a module that leaks would be throttled for ever, neither
 * working nor ending, and nobody would start it anew. Swap is not counted out to it either: on flash
 * it wears, and a machine that swaps misses its poll times long before it runs out of memory.
 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

enum { WORD_BYTES = 96, PERIOD_US = 100 * 1000, LONG_PERIOD_US = 1000 * 1000, QUOTA_US_MIN = 1000 };
enum { IO_WEIGHT_V1_MAX = 1000, IO_WEIGHT_V1_MIN = 10 };

struct place {
  const struct group *groups;
  int count;
};

/* Writes to the first group that has such a file. ENOENT: none has. */
static int write_first(struct place place, const char *name, const char *word) {
  int error = ENOENT;
  for (int at = 0; at < place.count && error == ENOENT; at++) {
    error = write_word(place.groups[at].dir, name, word);
  }
  return error;
}

static int write_number(struct place place, const char *name, int64_t number) {
  char memory[WORD_BYTES];
  struct text word;
  text_init(&word, memory, sizeof memory);
  text_int(&word, number);
  return write_first(place, name, word.start);
}

static void refused(enum gap gap, int error) {
  if (error == ENOENT) gap_set(gap, "the kernel has no such controller, or it is not given to us", 0);
  else if (error != 0) gap_set(gap, "the limit cannot be set", error);
}

static void limit_memory(struct place place, int64_t bytes) {
  int error = write_number(place, "/memory.max", bytes);
  if (error == 0) {
    write_first(place, "/memory.swap.max", "0");  /* absent on a kernel without swap */
    write_first(place, "/memory.oom.group", "1"); /* half a module is none */
  } else if (error == ENOENT) {
    error = write_number(place, "/memory.limit_in_bytes", bytes);
    if (error == 0) write_number(place, "/memory.memsw.limit_in_bytes", bytes);
  }
  refused(GAP_MEMORY, error);
}

static void limit_cpu(struct place place, int64_t share) {
  int64_t period_us = PERIOD_US, quota_us = share * PERIOD_US / CPU_SHARE_ONE;
  if (quota_us < QUOTA_US_MIN) {
    period_us = LONG_PERIOD_US;
    quota_us = share * LONG_PERIOD_US / CPU_SHARE_ONE;
  }
  char memory[WORD_BYTES];
  struct text word;
  text_init(&word, memory, sizeof memory);
  text_int(&word, quota_us);
  text_add(&word, " ");
  text_int(&word, period_us);
  int error = write_first(place, "/cpu.max", word.start);
  if (error == ENOENT) {
    error = write_number(place, "/cpu.cfs_period_us", period_us);
    if (error == 0) error = write_number(place, "/cpu.cfs_quota_us", quota_us);
  }
  refused(GAP_CPUS, error);
}

static void weigh_io(struct place place, int64_t weight) {
  int64_t old = weight < IO_WEIGHT_V1_MIN ? IO_WEIGHT_V1_MIN : weight;
  if (old > IO_WEIGHT_V1_MAX) old = IO_WEIGHT_V1_MAX;
  int error = write_number(place, "/io.weight", weight);
  if (error == ENOENT) error = write_number(place, "/io.bfq.weight", old);
  if (error == ENOENT) error = write_number(place, "/blkio.bfq.weight", old);
  if (error == ENOENT) error = write_number(place, "/blkio.weight", old);
  if (error == ENOENT) gap_set(GAP_IO_WEIGHT, "the kernel's disk scheduler knows no weights", 0);
  else refused(GAP_IO_WEIGHT, error);
}

static int throttle(struct place place, const char *device, int64_t bytes) {
  char memory[WORD_BYTES];
  struct text word;
  text_init(&word, memory, sizeof memory);
  text_add(&word, device);
  text_add(&word, " rbps=");
  text_int(&word, bytes);
  text_add(&word, " wbps=");
  text_int(&word, bytes);
  int error = write_first(place, "/io.max", word.start);
  if (error != ENOENT) return error;
  text_init(&word, memory, sizeof memory);
  text_add(&word, device);
  text_add(&word, " ");
  text_int(&word, bytes);
  error = write_first(place, "/blkio.throttle.read_bps_device", word.start);
  return error != 0 ? error : write_first(place, "/blkio.throttle.write_bps_device", word.start);
}

/* For each disk that is a piece of hardware: what stands on it (partitions, loops, volumes) counts there. */
static void limit_io(struct place place, int64_t bytes) {
  DIR *dir = opendir("/sys/block");
  if (dir == NULL) {
    gap_set(GAP_IO_BYTES, "/sys/block cannot be listed", errno);
    return;
  }
  struct dirent *entry;
  bool any = false;
  while ((entry = readdir(dir)) != NULL) {
    char memory[320], device[32];
    struct text path;
    text_init(&path, memory, sizeof memory);
    text_add(&path, "/sys/block/");
    text_add(&path, entry->d_name);
    if (entry->d_name[0] == '.' || read_word(path.start, "/device/uevent", device, sizeof device) == 0) continue;
    read_word(path.start, "/dev", device, sizeof device);
    device[strcspn(device, "\n")] = '\0';
    int error = throttle(place, device, bytes);
    refused(GAP_IO_BYTES, error);
    any = true;
  }
  closedir(dir);
  if (!any) gap_set(GAP_IO_BYTES, "no disk is known to the kernel", 0);
}

void limits_apply(const struct limits *limits, const struct group *groups, int count) {
  struct place place = {groups, count};
  if (limits->memory_bytes != 0) limit_memory(place, limits->memory_bytes);
  if (limits->cpu_share != 0) limit_cpu(place, limits->cpu_share);
  if (limits->pids != 0) refused(GAP_PIDS, write_number(place, "/pids.max", limits->pids));
  if (limits->io_weight != 0) weigh_io(place, limits->io_weight);
  if (limits->io_bytes != 0) limit_io(place, limits->io_bytes);
}

int64_t limits_oom_kills(const struct group *group) {
  static const char *const files[] = {"/memory.events", "/memory.oom_control"};
  char text[512];
  for (size_t at = 0; at < sizeof files / sizeof *files; at++) {
    if (read_word(group->dir, files[at], text, sizeof text) == 0) continue;
    for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
      if (strncmp(line, "oom_kill ", 9) == 0) return parse_int(line + 9, INT64_MAX);
    }
  }
  return -1;
}
