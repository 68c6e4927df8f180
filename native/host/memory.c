/*
 * Gives memory back to the kernel that was needed for starting, or for a moment, and is not needed for running.
 *
 * collectHeap()
 *   1  V8 collects everything that is collectable in this thread's heap and returns the empty pages.
 *   2  glibc returns the free pages inside its heaps (malloc_trim(3)).
 * trimHeap()
 *   2  alone: a millisecond after a busy second, where a collection takes ten
 * pressHeap()
 *   1  begun beside the work: helpers mark, the thread itself stops at the end only, and pages that came free go back
 * unmapIdleFiles() -> bytes
 *   3  pages of executable files that are mapped into this process, and were read while starting, are unmapped;
 *      those that are used again come back from the page cache, one fault for sixteen of them.
 *
 * Step 3 must never lose a byte that is not in the file. A mapping is touched only when it is
 *   private, of a file, not writable            code and constants, not data
 *   without one page of its own                 smaps: Anonymous and Swap are 0, so that nothing was relocated
 *                                               into it or written before it became read-only (RELRO)
 * For such pages MADV_DONTNEED (madvise(2)) is only "forget the translation"; the contents are the file's.
 *
 * Why: the kernel maps the surroundings of each page that start-up touches, two thirds of the executable, and
 * lets them count as this process's memory until there is pressure. A container limit, an operator reading
 * `ps`, and a board without swap are better served when they are gone before.
 *
 * The functions of V8 are C++ and have had these names in all versions since Node 12; they are looked up
 * weakly, so that a Node without them costs step 1 and not the addon.
 */
#include "host.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

extern void *current_isolate(void) __asm__("_ZN2v87Isolate10GetCurrentEv") __attribute__((weak));
extern void low_memory(void *isolate) __asm__("_ZN2v87Isolate21LowMemoryNotificationEv") __attribute__((weak));
extern void memory_pressure(void *isolate, int level)
    __asm__("_ZN2v87Isolate26MemoryPressureNotificationENS_19MemoryPressureLevelE") __attribute__((weak));

enum { PRESSURE_MODERATE = 1 }; /* v8::MemoryPressureLevel::kModerate: collects incrementally; kCritical would at once */

#define RANGES_MAX 256 /* far above what an executable and its libraries have; more stay mapped */
#define ACCESS_BYTES 8
#define BYTES_PER_KIB 1024.0

struct range {
  unsigned long start, end, offset, inode;
  char access[ACCESS_BYTES]; /* "r-xp" */
  unsigned long resident_kib;
};

/* A mapping of maps or smaps; false for a line that is none, or none that may be unmapped. */
static int file_range(const char *line, struct range *range) {
  unsigned major, minor;
  return sscanf(line, "%lx-%lx %7s %lx %x:%x %lu", &range->start, &range->end, range->access, &range->offset,
                &major, &minor, &range->inode) == 7 &&
         range->inode != 0 && range->access[1] == '-' && range->access[3] == 'p';
}

/* The number of a line "Name:   123 kB" of smaps; false when the line is another one. */
static int field(const char *line, const char *name, unsigned long *value) {
  size_t length = strlen(name);
  if (strncmp(line, name, length) != 0 || line[length] != ':') return 0;
  *value = strtoul(line + length + 1, NULL, 10);
  return 1;
}

static size_t read_maps(struct range *ranges) {
  FILE *maps = fopen("/proc/self/maps", "re");
  if (maps == NULL) return 0;
  char *line = NULL;
  size_t capacity = 0, count = 0;
  while (count < RANGES_MAX && getline(&line, &capacity, maps) > 0)
    if (file_range(line, &ranges[count])) count++;
  free(line);
  (void)fclose(maps);
  return count;
}

static struct range *find(struct range *ranges, size_t count, const struct range *wanted) {
  for (size_t at = 0; at < count; at++)
    if (ranges[at].start == wanted->start && ranges[at].end == wanted->end && ranges[at].offset == wanted->offset &&
        ranges[at].inode == wanted->inode && strcmp(ranges[at].access, wanted->access) == 0)
      return &ranges[at];
  return NULL;
}

/*
 * Ranges that hold nothing but unchanged pages of files: those with resident_kib > 0. Collected before the first
 * is unmapped, which changes what is being read.
 *
 * maps and smaps must agree on every range, or nothing is done. They do on a machine, unless a thread maps a file
 * in between; an emulator (qemu-user) answers maps itself and lets the kernel answer smaps, whose addresses are
 * then not ours, and unmapping them would be fatal.
 */
static size_t find_ranges(struct range *ranges) {
  size_t count = read_maps(ranges);
  FILE *smaps = fopen("/proc/self/smaps", "re");
  if (smaps == NULL) return 0;
  char *line = NULL;
  size_t capacity = 0, agreed = 0;
  struct range read;
  struct range *current = NULL;
  unsigned long resident = 0, own = 1, swapped = 1;
  for (size_t at = 0; at < count; at++) ranges[at].resident_kib = 0;
  while (getline(&line, &capacity, smaps) > 0) {
    unsigned long first, last;
    if (sscanf(line, "%lx-%lx ", &first, &last) == 2) {
      current = file_range(line, &read) ? find(ranges, count, &read) : NULL;
      if (current != NULL) agreed++;
      resident = 0;
      own = swapped = 1;
    } else if (!field(line, "Rss", &resident) && !field(line, "Anonymous", &own) && field(line, "Swap", &swapped)) {
      /* Swap is the last of the three in every kernel that has them. */
      if (current != NULL && own == 0 && swapped == 0) current->resident_kib = resident;
    }
  }
  free(line);
  (void)fclose(smaps);
  return agreed == count ? count : 0;
}

napi_value collect_heap(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  if (current_isolate != NULL && low_memory != NULL) low_memory(current_isolate());
  (void)malloc_trim(0);
  return NULL;
}

napi_value trim_heap(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  (void)malloc_trim(0);
  return NULL;
}

napi_value press_heap(napi_env env, napi_callback_info info) {
  (void)env;
  (void)info;
  if (current_isolate != NULL && memory_pressure != NULL) memory_pressure(current_isolate(), PRESSURE_MODERATE);
  return NULL;
}

napi_value unmap_idle_files(napi_env env, napi_callback_info info) {
  (void)info;
  struct range ranges[RANGES_MAX];
  size_t count = find_ranges(ranges);
  double mapped_bytes = 0;
  for (size_t at = 0; at < count; at++)
    if (ranges[at].resident_kib > 0 &&
        madvise((void *)ranges[at].start, ranges[at].end - ranges[at].start, MADV_DONTNEED) == 0)
      mapped_bytes += (double)ranges[at].resident_kib * BYTES_PER_KIB;
  napi_value result;
  return napi_create_double(env, mapped_bytes, &result) == napi_ok ? result : NULL;
}
