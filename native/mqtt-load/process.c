/* What the broker and this program have used, from /proc/PID/stat and status and from getrusage.
 *
 * The kernel counts utime and stime exactly and rounds them to clock ticks (10 ms) when it prints them: a
 * measurement of two seconds is told to half a per cent.
 */
#include "load.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 4096 };

static bool read_proc(const char *name, char *into) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", options.pid, name);
  FILE *file = fopen(path, "r");
  if (file == NULL) fail("the broker's process %d is gone", options.pid);
  size_t length = fread(into, 1, TEXT_BYTES_MAX - 1, file);
  fclose(file);
  into[length] = 0;
  return length > 0;
}

static double broker_seconds(void) {
  char text[TEXT_BYTES_MAX];
  if (options.pid == 0 || !read_proc("stat", text)) return 0;
  /* The name in brackets may hold anything; utime and stime are the 12th and 13th words behind it. */
  char *word = strrchr(text, ')');
  unsigned long user = 0, system = 0;
  if (word == NULL || sscanf(word + 1, " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %lu %lu", &user, &system) != 2)
    fail("/proc/%d/stat is not as expected", options.pid);
  return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static double seconds_of(struct timeval time) { return (double)time.tv_sec + (double)time.tv_usec / 1e6; }

struct usage usage_now(void) {
  struct rusage own;
  getrusage(RUSAGE_SELF, &own);
  return (struct usage){.broker_s = broker_seconds(),
                        .own_s = seconds_of(own.ru_utime) + seconds_of(own.ru_stime),
                        .at_ns = now_ns()};
}

long broker_kb(const char *key) {
  char text[TEXT_BYTES_MAX];
  if (options.pid == 0 || !read_proc("status", text)) return 0;
  const char *line = strstr(text, key);
  long kb = 0;
  if (line != NULL) sscanf(line + strlen(key), ": %ld", &kb);
  return kb;
}
