/* The module's cgroup: where it is, its making, joining, killing and removal.
 *
 * One directory in each hierarchy that is of use, under the same name:
 *
 *   PARENT/weir.modules/NAME-DIGEST     DIGEST: of --dir, so that two gateways never share one
 *
 *   unified (v2)   PARENT is the service's own cgroup when weir runs as a service (systemd's
 *                  Delegate=yes), else the top. A group with processes cannot give controllers to
 *                  its children, so the service's processes are moved to PARENT/weir.runtime once.
 *   v1             PARENT is the cgroup the shim is in; there is no such rule.
 *   hybrid         both: v1 has the controllers, v2 kills the whole group at once.
 *
 * Invariants
 *   The shim itself is never in the module's group: killing that is always safe.
 *   A group of this name that is found belongs to a life of this directory without a shim (we hold
 *   its lock): what is left in it is killed before the module starts.
 *   Nothing here is fatal. What cannot be had is a gap.
 */
#include "cgroup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define RUNTIME "/weir.runtime"

enum { MOUNTS_BYTES_MAX = 64 * 1024, PIDS_BYTES_MAX = 16 * 1024, REMOVE_TRIES = 200, REMOVE_STEP_MS = 5 };

static struct group groups[GROUPS_OF_MODULE_MAX];
static int group_count;
static char big_memory[MOUNTS_BYTES_MAX];

int write_word(const char *dir, const char *name, const char *word) {
  char memory[PATH_BYTES_MAX];
  struct text path;
  text_init(&path, memory, sizeof memory);
  text_add(&path, dir);
  text_add(&path, name);
  int fd = open(path.start, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno;
  ssize_t wrote = write(fd, word, strlen(word));
  int error = wrote < 0 ? errno : 0;
  close(fd);
  return error;
}

size_t read_word(const char *dir, const char *name, char *buffer, size_t capacity) {
  char memory[PATH_BYTES_MAX];
  struct text path;
  text_init(&path, memory, sizeof memory);
  text_add(&path, dir);
  text_add(&path, name);
  return read_small_file(path.start, buffer, capacity);
}

/* Is `word` one of the words of `list`, which are parted by blanks, commas or newlines? */
bool has_word(const char *list, const char *word) {
  size_t length = strlen(word);
  for (const char *at = list; (at = strstr(at, word)) != NULL; at += length) {
    bool begins = at == list || strchr(" ,\n", at[-1]) != NULL;
    if (begins && (at[length] == '\0' || strchr(" ,\n", at[length]) != NULL)) return true;
  }
  return false;
}

/* The path of /proc/self/cgroup for a v1 controller, or for the unified hierarchy when it is "". */
static bool own_path(const char *controller, char *path, size_t capacity) {
  char text[4096];
  read_small_file("/proc/self/cgroup", text, sizeof text);
  for (char *rest = text, *line; (line = strsep(&rest, "\n")) != NULL;) {
    char *list = strchr(line, ':');
    char *at = list == NULL ? NULL : strchr(list + 1, ':');
    if (at == NULL) continue;
    *at = '\0';
    bool ours = *controller == '\0' ? list[1] == '\0' : has_word(list + 1, controller);
    if (!ours || strlen(at + 1) >= capacity) continue;
    strcpy(path, at + 1);
    return true;
  }
  return false;
}

/* Where a hierarchy is mounted, and which of its groups stands at the mount point.
 *   36 35 0:31 /root /mount/point rw,… opt:1 - cgroup cgroup rw,memory */
static bool find_mount(const char *controller, char **root, char **point) {
  read_small_file("/proc/self/mountinfo", big_memory, sizeof big_memory);
  for (char *rest = big_memory, *line; (line = strsep(&rest, "\n")) != NULL;) {
    char *type = strstr(line, " - ");
    if (type == NULL) continue;
    *type = '\0';
    type += 3;
    bool unified = strncmp(type, "cgroup2 ", 8) == 0;
    char *super = strrchr(type, ' ');
    bool ours = *controller == '\0' ? unified
                                    : strncmp(type, "cgroup ", 7) == 0 && has_word(super + 1, controller);
    if (!ours) continue;
    char *fields = line;
    for (int field = 0; field < 3; field++) strsep(&fields, " ");
    *root = strsep(&fields, " ");
    *point = strsep(&fields, " ");
    return *point != NULL;
  }
  return false;
}

static bool ends_in(const char *words, const char *end) {
  size_t length = strlen(words), wanted = strlen(end);
  return length >= wanted && strcmp(words + length - wanted, end) == 0;
}

/* The group below which the modules' groups are made; false when this hierarchy is not there. */
static bool find_parent(const char *controller, char *parent, size_t capacity) {
  char own[PATH_BYTES_MAX / 2];
  char *root, *point;
  struct text text;
  if (!own_path(controller, own, sizeof own) || !find_mount(controller, &root, &point)) return false;
  if (strcmp(root, "/") != 0 && strncmp(own, root, strlen(root)) == 0) {
    memmove(own, own + strlen(root), strlen(own + strlen(root)) + 1); /* a container sees its own part */
  }
  if (*controller == '\0') {
    if (ends_in(own, RUNTIME)) own[strlen(own) - strlen(RUNTIME)] = '\0';
    if (!ends_in(own, ".service")) own[0] = '\0';
  }
  if (strcmp(own, "/") == 0) own[0] = '\0';
  text_init(&text, parent, capacity);
  text_add(&text, point);
  text_add(&text, own);
  return text.length < text.capacity;
}

/* Makes room in `parent`, which may then give controllers to its children. */
static void move_processes(const char *parent) {
  char memory[PATH_BYTES_MAX];
  struct text leaf;
  text_init(&leaf, memory, sizeof memory);
  text_add(&leaf, parent);
  text_add(&leaf, RUNTIME);
  if (mkdir(leaf.start, 0755) != 0 && errno != EEXIST) return;
  read_word(parent, "/cgroup.procs", big_memory, PIDS_BYTES_MAX);
  for (char *rest = big_memory, *pid; (pid = strsep(&rest, "\n")) != NULL && rest != NULL;) {
    if (*pid != '\0') write_word(leaf.start, "/cgroup.procs", pid);
  }
}

static void enable_controllers(const char *parent, bool may_move) {
  static const char *const words[] = {"+memory", "+cpu", "+pids", "+io"};
  char has[256];
  read_word(parent, "/cgroup.controllers", has, sizeof has);
  for (size_t at = 0; at < sizeof words / sizeof *words; at++) {
    if (!has_word(has, words[at] + 1)) continue;
    int error = write_word(parent, "/cgroup.subtree_control", words[at]);
    if (error != EBUSY || !may_move) continue;
    move_processes(parent);
    write_word(parent, "/cgroup.subtree_control", words[at]);
  }
}

static uint32_t digest_of(const char *words) { /* FNV-1a */
  uint32_t digest = 2166136261u;
  for (; *words != '\0'; words++) digest = (digest ^ (unsigned char)*words) * 16777619u;
  return digest;
}

static void kill_members(const struct group *group) {
  if (group->unified && write_word(group->dir, "/cgroup.kill", "1") == 0) return;
  write_word(group->dir, "/pids.max", "0"); /* whoever forks meanwhile does not get away */
  read_word(group->dir, "/cgroup.procs", big_memory, PIDS_BYTES_MAX);
  /* A last line without its end may be the beginning of a longer number: somebody else's. */
  for (char *rest = big_memory, *word; (word = strsep(&rest, "\n")) != NULL && rest != NULL;) {
    int64_t pid = parse_int(word, INT32_MAX);
    if (pid > 1 && pid != getpid()) kill((pid_t)pid, SIGKILL);
  }
}

/* A group is busy until its last process is gone, which takes a killed one a moment. */
static bool remove_group(const struct group *group) {
  const struct timespec step = {0, REMOVE_STEP_MS * 1000000L};
  for (int try = 0; try < REMOVE_TRIES; try++) {
    if (rmdir(group->dir) == 0 || errno == ENOENT) return true;
    if (errno != EBUSY) return false;
    kill_members(group);
    nanosleep(&step, NULL);
  }
  return false;
}

static struct text end_of_path(struct group *group) {
  struct text end;
  size_t length = strlen(group->dir);
  text_init(&end, group->dir + length, sizeof group->dir - length);
  return end;
}

static void name_group(struct group *group, const struct options *options) {
  struct text end = end_of_path(group);
  text_add(&end, "/");
  text_add(&end, options->cgroup);
  text_add(&end, "-");
  text_hex(&end, digest_of(options->dir));
}

static void add_group(const char *controller, const struct options *options) {
  struct group group = {.unified = *controller == '\0'};
  if (!find_parent(controller, group.dir, sizeof group.dir)) return;
  bool in_service = ends_in(group.dir, ".service");
  if (group.unified) enable_controllers(group.dir, in_service);
  struct text dir = end_of_path(&group);
  text_add(&dir, CGROUP_OF_MODULES);
  if (mkdir(group.dir, 0755) != 0 && errno != EEXIST) {
    gap_set(GAP_CGROUP, "a cgroup cannot be made", errno);
    return;
  }
  if (group.unified) enable_controllers(group.dir, false);
  name_group(&group, options);
  for (int at = 0; at < group_count; at++) { /* cpu and cpuacct may be one hierarchy */
    if (strcmp(groups[at].dir, group.dir) == 0) return;
  }
  bool fresh = remove_group(&group);
  if (!fresh || mkdir(group.dir, 0755) != 0) {
    gap_set(GAP_CGROUP, "a cgroup cannot be made", errno);
    return;
  }
  groups[group_count++] = group;
}

void cgroup_make(const struct options *options) {
  const struct limits *limits = &options->limits;
  if (options->cgroup == NULL) return;
  add_group("", options);
  /* Entering one costs the start some milliseconds, so only those of use. Without v2 the kill goes
   * by one that every kernel has. */
  if (limits->memory_bytes != 0) add_group("memory", options);
  if (limits->cpu_share != 0) add_group("cpu", options);
  if (limits->pids != 0 || group_count == 0) add_group("pids", options);
  if (limits->io_weight != 0 || limits->io_bytes != 0) add_group("blkio", options);
  if (group_count == 0) gap_set(GAP_CGROUP, "no cgroup hierarchy is mounted", 0);
  limits_apply(&options->limits, groups, group_count);
}

const char *cgroup_generation(void) {
  char *root, *point;
  bool unified = find_mount("", &root, &point);
  bool old = find_mount("memory", &root, &point) || find_mount("pids", &root, &point) || find_mount("cpu", &root, &point);
  return unified ? old ? "hybrid" : "2" : old ? "1" : "none";
}

int cgroup_unified_fd(void) {
  for (int at = 0; at < group_count; at++) {
    if (groups[at].unified) return open(groups[at].dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  }
  return -1;
}

void cgroup_join(void) {
  for (int at = 0; at < group_count; at++) {
    int error = write_word(groups[at].dir, "/cgroup.procs", "0");
    if (error != 0) gap_set(GAP_CGROUP, "a cgroup cannot be entered", error);
  }
}

void cgroup_kill(void) {
  for (int at = 0; at < group_count; at++) {
    kill_members(&groups[at]);
    if (groups[at].unified) return; /* everybody is in this one too */
  }
}

int64_t cgroup_oom_kills(void) {
  for (int at = 0; at < group_count; at++) {
    int64_t kills = limits_oom_kills(&groups[at]);
    if (kills >= 0) return kills;
  }
  return -1;
}

void cgroup_remove(void) {
  for (int at = 0; at < group_count; at++) remove_group(&groups[at]);
  group_count = 0;
}

void cgroup_sweep(const struct options *options) {
  static const char *const controllers[] = {"", "memory", "cpu", "pids", "blkio"};
  for (size_t at = 0; at < sizeof controllers / sizeof *controllers; at++) {
    struct group group = {.unified = *controllers[at] == '\0'};
    if (!find_parent(controllers[at], group.dir, sizeof group.dir)) continue;
    struct text dir = end_of_path(&group);
    text_add(&dir, CGROUP_OF_MODULES);
    name_group(&group, options);
    remove_group(&group);
  }
}
