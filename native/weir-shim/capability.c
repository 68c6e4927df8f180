/* Capabilities: their names, and giving up all but the kept ones.
 *
 * Three sets matter. The bounding set is emptied first, while that is allowed: what is not in it is
 * never gained again, also not by root that executes a program. Permitted and inheritable are set
 * after the change of identity, and the ambient set carries kept ones through exec to a module that
 * is not root.
 *
 * Names are those of capabilities(7), with or without `CAP_`, in either case. Numbers are the
 * kernel's ABI (linux/capability.h) and so the index of the table.
 */
#include "shim.h"

#include <errno.h>
#include <linux/capability.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NUMBERS_MAX = 64 };

static const char *const names[] = {
    "CHOWN",           "DAC_OVERRIDE",  "DAC_READ_SEARCH", "FOWNER",           "FSETID",
    "KILL",            "SETGID",        "SETUID",          "SETPCAP",          "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN",      "NET_RAW",          "IPC_LOCK",
    "IPC_OWNER",       "SYS_MODULE",    "SYS_RAWIO",       "SYS_CHROOT",       "SYS_PTRACE",
    "SYS_PACCT",       "SYS_ADMIN",     "SYS_BOOT",        "SYS_NICE",         "SYS_RESOURCE",
    "SYS_TIME",        "SYS_TTY_CONFIG", "MKNOD",          "LEASE",            "AUDIT_WRITE",
    "AUDIT_CONTROL",   "SETFCAP",       "MAC_OVERRIDE",    "MAC_ADMIN",        "SYSLOG",
    "WAKE_ALARM",      "BLOCK_SUSPEND", "AUDIT_READ",      "PERFMON",          "BPF",
    "CHECKPOINT_RESTORE",
};

int capability_number(const char *name) {
  if (strncasecmp(name, "CAP_", 4) == 0) name += 4;
  for (size_t at = 0; at < sizeof names / sizeof *names; at++) {
    if (strcasecmp(names[at], name) == 0) return (int)at;
  }
  return -1;
}

static uint64_t bit(int number) { return UINT64_C(1) << number; }

bool capability_kept(const struct options *options, const char *name) {
  return !options->drop_capabilities || (options->keep_capabilities & bit(capability_number(name))) != 0;
}

void capabilities_bound(const struct options *options) {
  if (!options->drop_capabilities) return;
  for (int number = 0; number < NUMBERS_MAX; number++) {
    if (prctl(PR_CAPBSET_READ, number) < 0) break; /* past the last one this kernel knows */
    if ((options->keep_capabilities & bit(number)) != 0) continue;
    if (prctl(PR_CAPBSET_DROP, number) == 0) continue;
    /* Without the right to drop them we have none to give; no_new_privs keeps it so. */
    if (!options->no_new_privs) gap_set(GAP_CAPABILITIES, "the bounding set cannot be emptied", errno);
    break;
  }
  if (options->keep_capabilities != 0) prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
}

void capabilities_keep(const struct options *options) {
  if (!options->drop_capabilities) return;
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &header, sets) != 0) {
    gap_set(GAP_CAPABILITIES, "capabilities cannot be read", errno);
    return;
  }
  uint64_t has = (uint64_t)sets[1].permitted << 32 | sets[0].permitted;
  uint64_t kept = options->keep_capabilities & has;
  if (kept != options->keep_capabilities) gap_set(GAP_KEEP_CAPABILITY, "we do not have it ourselves", 0);
  for (int half = 0; half < 2; half++) {
    uint32_t part = (uint32_t)(kept >> (32 * half));
    sets[half] = (struct __user_cap_data_struct){part, part, part};
  }
  prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  if (syscall(SYS_capset, &header, sets) != 0) gap_set(GAP_CAPABILITIES, "capabilities cannot be given up", errno);
  for (int number = 0; number < NUMBERS_MAX; number++) {
    if ((kept & bit(number)) == 0) continue;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) {
      gap_set(GAP_KEEP_CAPABILITY, "it cannot be made ambient", errno);
    }
  }
}
