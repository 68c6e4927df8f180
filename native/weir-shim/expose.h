/* What stays visible and writable of the file system, between expose.c and mounts.c. */
#ifndef WEIR_SHIM_EXPOSE_H
#define WEIR_SHIM_EXPOSE_H

#include "shim.h"

enum { EXPOSED_PATH_MAX = 512, EXPOSURES_MAX = 3 * PATHS_MAX + 4, COVERS_MAX = PATHS_MAX + 3 };

/* A path of the options without links in it, and the file that was there before anything was covered. */
struct exposure {
  char path[EXPOSED_PATH_MAX];
  int fd; /* O_PATH */
  bool writable;
  bool is_directory;
};

extern struct exposure exposures[EXPOSURES_MAX];
extern int exposure_count;

void exposures_collect(const struct options *options);
bool lies_in(const char *path, const char *directory);
/* Makes what lies in the covered directory visible again; errors are the module's to meet. */
void exposures_show_in(const char *directory);
int bind_over(int fd, const char *target); /* 0 or an errno */
int set_read_only(const char *path, bool read_only, bool all_below);

#endif
