/* What the cgroup files share among themselves; the others see shim.h. */
#ifndef WEIR_SHIM_CGROUP_H
#define WEIR_SHIM_CGROUP_H

#include "shim.h"

enum { PATH_BYTES_MAX = 1024, GROUPS_OF_MODULE_MAX = 5 };

/* The module's directory in one hierarchy. */
struct group {
  bool unified;
  char dir[PATH_BYTES_MAX];
};

/* cgroup.c: 0 or an errno. The name begins with a slash. */
int write_word(const char *dir, const char *name, const char *word);
size_t read_word(const char *dir, const char *name, char *buffer, size_t capacity);
bool has_word(const char *list, const char *word);

/* cgroup-limits.c */
void limits_apply(const struct limits *limits, const struct group *groups, int count);
int64_t limits_oom_kills(const struct group *group); /* -1: this hierarchy does not tell */

#endif
