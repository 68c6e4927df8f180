/* What a module was to be shut in with and is not: the machine's kernel lacks it, or the shim's rights.
 *
 * The table is memory shared over the fork, because most of it is found out on the child's side. The
 * reasons are literals, so their addresses are the same on both sides. The first reason of a gap stays:
 * it is the cause of those after it.
 */
#include "shim.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

static const char *const gap_names[GAP_COUNT] = {
    [GAP_CGROUP] = "cgroup",
    [GAP_MEMORY] = "memory",
    [GAP_CPUS] = "cpus",
    [GAP_PIDS] = "pids",
    [GAP_IO_WEIGHT] = "io-weight",
    [GAP_IO_BYTES] = "io-bytes",
    [GAP_EGRESS] = "egress",
    [GAP_PRIVATE_TMP] = "private-tmp",
    [GAP_READ_ONLY_ROOT] = "read-only-root",
    [GAP_HIDE] = "hide",
    [GAP_CAPABILITIES] = "capabilities",
    [GAP_KEEP_CAPABILITY] = "keep-capability",
    [GAP_LANDLOCK] = "landlock",
    [GAP_SIGNAL_SCOPE] = "signal-scope",
    [GAP_SECCOMP] = "seccomp",
};

struct found {
  const char *step; /* NULL: no gap */
  int error;
};

static struct found *gaps;

void gaps_init(void) {
  void *memory = mmap(NULL, sizeof(struct found) * GAP_COUNT, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die(EXIT_OS, "cannot map memory", NULL, errno);
  gaps = memory;
}

void gap_set(enum gap gap, const char *step, int error) {
  if (gaps[gap].step != NULL) return;
  gaps[gap].error = error;
  gaps[gap].step = step;
}

bool gap_is_set(enum gap gap) { return gaps[gap].step != NULL; }

void gap_reason(enum gap gap, struct text *text) {
  text_add(text, gap_names[gap]);
  text_add(text, " is not in force: ");
  text_add(text, gaps[gap].step);
  if (gaps[gap].error == 0) return;
  text_add(text, ": ");
  text_add(text, strerror(gaps[gap].error));
}

void gaps_json(struct text *text) {
  const char *between = "";
  text_add(text, "[");
  for (int gap = 0; gap < GAP_COUNT; gap++) {
    if (gaps[gap].step == NULL) continue;
    text_add(text, between);
    text_json(text, gap_names[gap]);
    between = ",";
  }
  text_add(text, "]");
}

void gaps_reasons_json(struct text *text) {
  const char *between = "";
  text_add(text, "{");
  for (int gap = 0; gap < GAP_COUNT; gap++) {
    char memory[192];
    struct text reason;
    if (gaps[gap].step == NULL) continue;
    text_init(&reason, memory, sizeof memory);
    text_add(&reason, gaps[gap].step);
    if (gaps[gap].error != 0) {
      text_add(&reason, ": ");
      text_add(&reason, strerror(gaps[gap].error));
    }
    text_add(text, between);
    text_json(text, gap_names[gap]);
    text_add(text, ":");
    text_json(text, reason.start);
    between = ",";
  }
  text_add(text, "}");
}
