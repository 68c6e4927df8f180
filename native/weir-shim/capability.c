/* Capabilities: their names, and giving up all but the kept ones.
 *
 * Names are those of capabilities(7), with or without `CAP_`, in either case. Numbers are the
 * kernel's ABI (linux/capability.h) and so the index of the table.
 */
#include "shim.h"

#include <string.h>
#include <strings.h>

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
