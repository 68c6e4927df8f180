/* Files a module may open, said to the kernel as Landlock rules (Linux 5.13).
 *
 * What is not listed cannot be opened, whoever the module runs as. The list is: what programs and
 * their libraries need of the system, for reading; a few devices; what the options name; the private
 * /tmp. A rule holds for a directory and all below it, so there is no "all but": what must be hidden
 * inside of such a directory is for --hide, and for owners and modes.
 *
 *   ABI 1   reading, writing, executing, making, removing        5.13
 *   ABI 2   moving between directories                           5.19
 *   ABI 3   truncating                                           6.2
 *   ABI 5   ioctl of devices                                     6.10
 *   ABI 6   signals and abstract unix sockets to others          6.12
 *
 * Rules are about files that exist now. A device that comes back after unplugging is another file:
 * with --device, /dev as a whole may be used, and owner and group of the device decide.
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Numbers are the same on every architecture; headers may be older than the kernel. */
enum { CALL_CREATE = 444, CALL_ADD = 445, CALL_RESTRICT = 446, VERSION_FLAG = 1, RULE_PATH = 1 };

#define RIGHT(bit) (UINT64_C(1) << (bit))
#define EXECUTE RIGHT(0)
#define WRITE_FILE RIGHT(1)
#define READ_FILE RIGHT(2)
#define READ_DIR RIGHT(3)
#define REFER RIGHT(13)
#define TRUNCATE RIGHT(14)
#define IOCTL_DEV RIGHT(15)
#define FIRST_ABI (RIGHT(13) - 1)
#define READING (EXECUTE | READ_FILE | READ_DIR)
#define OF_FILES (EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV)
#define USING (READ_FILE | WRITE_FILE | READ_DIR | TRUNCATE | IOCTL_DEV)
#define SCOPES 3 /* abstract unix sockets, signals */

struct ruleset {
  uint64_t files;
  uint64_t ports;
  uint64_t scopes;
};

struct rule { /* packed, as the kernel wants it */
  uint64_t rights;
  int32_t parent_fd;
} __attribute__((packed));

static const char *const readable_places[] = {
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/opt", "/nix/store", "/proc",
    "/sys", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager/resolv.conf",
};
static const char *const usable_devices[] = {
    "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/pts",
};
static const char *const private_places[] = {"/tmp", "/var/tmp", "/dev/shm"};

int landlock_abi(void) {
  long abi = syscall(CALL_CREATE, NULL, 0, VERSION_FLAG);
  return abi > 0 ? (int)abi : 0;
}

static uint64_t rights_of(int abi) {
  uint64_t rights = FIRST_ABI;
  if (abi >= 2) rights |= REFER;
  if (abi >= 3) rights |= TRUNCATE;
  if (abi >= 5) rights |= IOCTL_DEV;
  return rights;
}

/* A path that is not there needs no rule. */
static void allow(int ruleset_fd, const char *path, uint64_t rights) {
  struct stat stat;
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return;
  if (fstat(fd, &stat) == 0 && !S_ISDIR(stat.st_mode)) rights &= OF_FILES;
  struct rule rule = {rights, fd};
  if (rights != 0 && syscall(CALL_ADD, ruleset_fd, RULE_PATH, &rule, 0) != 0) {
    gap_set(GAP_LANDLOCK, "a rule cannot be added", errno);
  }
  close(fd);
}

static void allow_each(int fd, const char *const *paths, size_t count, uint64_t rights) {
  for (size_t at = 0; at < count; at++) allow(fd, paths[at], rights);
}

static void add_rules(int fd, const struct options *options, uint64_t all) {
  uint64_t reading = READING & all, using = USING & all;
  allow_each(fd, readable_places, sizeof readable_places / sizeof *readable_places, reading);
  allow_each(fd, usable_devices, sizeof usable_devices / sizeof *usable_devices, using);
  allow(fd, "/dev", options->devices.count > 0 ? using : READ_DIR);
  allow(fd, "/proc/self", using); /* this process: the module that it becomes */
  if (options->private_tmp) {
    allow_each(fd, private_places, sizeof private_places / sizeof *private_places, all);
  }
  allow(fd, options->argv[0], reading);
  if (strcmp(options->cwd, "/") != 0) allow(fd, options->cwd, reading);
  allow_each(fd, options->readable.at, (size_t)options->readable.count, reading);
  allow_each(fd, options->writable.at, (size_t)options->writable.count, all);
}

int landlock_prepare(const struct options *options) {
  if (!options->landlock) return -1;
  int abi = landlock_abi();
  if (abi == 0) {
    gap_set(GAP_LANDLOCK, "the kernel has no Landlock, or does not start it (lsm=)", errno);
    gap_set(GAP_SIGNAL_SCOPE, "the kernel has no Landlock, or does not start it (lsm=)", errno);
    return -1;
  }
  struct ruleset ruleset = {rights_of(abi), 0, abi >= 6 ? SCOPES : 0};
  size_t size = abi >= 6 ? sizeof ruleset : sizeof ruleset.files;
  if (abi < 6) gap_set(GAP_SIGNAL_SCOPE, "Landlock of this kernel knows no signals, Linux 6.12 does", 0);
  int fd = (int)syscall(CALL_CREATE, &ruleset, size, 0);
  if (fd < 0) {
    gap_set(GAP_LANDLOCK, "a ruleset cannot be made", errno);
    return -1;
  }
  add_rules(fd, options, ruleset.files);
  return fd;
}

void landlock_restrict(int ruleset_fd) {
  if (ruleset_fd < 0) return;
  if (syscall(CALL_RESTRICT, ruleset_fd, 0) != 0) {
    gap_set(GAP_LANDLOCK, "the ruleset cannot be put in force", errno);
    gap_set(GAP_SIGNAL_SCOPE, "the ruleset cannot be put in force", errno);
  }
  close(ruleset_fd);
}
