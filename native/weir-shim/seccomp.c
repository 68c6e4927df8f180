/* The seccomp filter: classic BPF over the refused calls of syscalls.c.
 *
 *   architecture ─┬─ ours ────────────▶ its list ─▶ arguments of clone, ioctl, socket ─▶ allow
 *                 ├─ its 32/64-bit kin ▶ its own list, as above
 *                 └─ any other ───────▶ ENOSYS      (x32 and i386 on x64 as well)
 *
 * Arguments that are pointers cannot be looked at, so clone3 is ENOSYS and C libraries use clone.
 * A filter stays for good and is inherited. It is the last thing before exec.
 */
#include "seccomp.h"
#include "shim.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILTER_MAX = 512, X32_BIT = 0x40000000, TTY_PUSH_BACK = 0x5412 /* TIOCSTI */, CONSOLE = 0x541c /* TIOCLINUX */ };
enum { FLAG_SPEC_ALLOW = 4 };

/* CLONE_NEW* of linux/sched.h: namespaces, also of users. */
#define NEW_NAMESPACES 0x7e020000u

struct filter {
  struct sock_filter code[FILTER_MAX];
  unsigned short length;
};

static void put(struct filter *filter, uint16_t code, uint32_t k, int yes, int no) {
  filter->code[filter->length++] = (struct sock_filter){code, (uint8_t)yes, (uint8_t)no, k};
}

static void load(struct filter *filter, size_t offset) {
  put(filter, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void verdict(struct filter *filter, uint32_t action) { put(filter, BPF_RET | BPF_K, action, 0, 0); }

static void refuse_if(struct filter *filter, uint32_t value, uint32_t error) {
  put(filter, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
  verdict(filter, SECCOMP_RET_ERRNO | error);
}

/* The lower half of an argument; the targets are little-endian. */
static void load_argument(struct filter *filter, int number) {
  load(filter, offsetof(struct seccomp_data, args) + 8 * (size_t)number);
}

/* Emits `call: load argument, …, allow`, and makes others jump over it. `body` puts what is between. */
static void judge(struct filter *filter, int call, int argument, const uint32_t *values, int count, uint32_t error) {
  int jump = filter->length;
  put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)call, 0, 0);
  load_argument(filter, argument);
  for (int at = 0; at < count; at++) refuse_if(filter, values[at], error);
  verdict(filter, SECCOMP_RET_ALLOW);
  filter->code[jump].jf = (uint8_t)(filter->length - jump - 1);
}

static void judge_clone(struct filter *filter, const struct judged_calls *calls) {
  refuse_if(filter, (uint32_t)calls->clone3, ENOSYS);
  put(filter, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls->clone, 0, 4);
  load_argument(filter, 0);
  put(filter, BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1);
  verdict(filter, SECCOMP_RET_ERRNO | EPERM);
  verdict(filter, SECCOMP_RET_ALLOW);
}

static void judge_sockets(struct filter *filter, const struct options *options, int call, bool without_network) {
  uint32_t families[10];
  int count = 0;
  families[count++] = 15; /* AF_KEY */
  families[count++] = 21; /* AF_RDS */
  families[count++] = 30; /* AF_TIPC */
  families[count++] = 38; /* AF_ALG */
  families[count++] = 40; /* AF_VSOCK */
  if (!capability_kept(options, "NET_RAW")) families[count++] = AF_PACKET;
  if (without_network) {
    families[count++] = AF_INET;
    families[count++] = AF_INET6;
  }
  judge(filter, call, 0, families, count, EAFNOSUPPORT);
}

static void write_section(struct filter *filter, const struct options *options, enum machine machine,
                          bool without_network) {
  const struct judged_calls *calls = &judged_calls[machine];
  static const uint32_t requests[] = {TTY_PUSH_BACK, CONSOLE};
  load(filter, offsetof(struct seccomp_data, nr));
  if (machine == MACHINE_X64) {
    put(filter, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
    verdict(filter, SECCOMP_RET_ERRNO | ENOSYS);
  }
  for (int at = 0; at < refused_call_count; at++) {
    const struct refused_call *call = &refused_calls[at];
    bool kept = call->unless != NULL && options->drop_capabilities && capability_kept(options, call->unless);
    if (call->number[machine] != NO_CALL && !kept) refuse_if(filter, (uint32_t)call->number[machine], EPERM);
  }
  refuse_if(filter, (uint32_t)calls->io_uring_setup, ENOSYS);
  refuse_if(filter, (uint32_t)calls->io_uring_enter, ENOSYS);
  refuse_if(filter, (uint32_t)calls->io_uring_register, ENOSYS);
  bool may_unshare = options->drop_capabilities && capability_kept(options, "SYS_ADMIN");
  judge(filter, calls->ioctl, 1, requests, 2, EPERM);
  judge_sockets(filter, options, calls->socket, without_network);
  if (!may_unshare) judge_clone(filter, calls);
  verdict(filter, SECCOMP_RET_ALLOW);
}

static void write_for(struct filter *filter, uint32_t architecture, const struct options *options,
                      enum machine machine, bool without_network) {
  load(filter, offsetof(struct seccomp_data, arch));
  put(filter, BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0);
  int jump = filter->length;
  put(filter, BPF_JMP | BPF_JA, 0, 0, 0); /* the section is longer than a conditional jump reaches */
  write_section(filter, options, machine, without_network);
  filter->code[jump].k = (uint32_t)(filter->length - jump - 1);
}

bool seccomp_apply(const struct options *options, bool without_network) {
  static struct filter filter;
#if defined(__x86_64__)
  write_for(&filter, AUDIT_ARCH_X86_64, options, MACHINE_X64, without_network);
#elif defined(__aarch64__) || defined(__arm__)
  write_for(&filter, AUDIT_ARCH_AARCH64, options, MACHINE_ARM64, without_network);
  write_for(&filter, AUDIT_ARCH_ARM, options, MACHINE_ARM, without_network);
#else
#error "syscalls.c has no numbers for this machine"
#endif
  verdict(&filter, SECCOMP_RET_ERRNO | ENOSYS);
  struct sock_fprog program = {filter.length, filter.code};
  /* Without the flag, older kernels slow every jump of the module down (spec_store_bypass), for a
   * danger that a module which runs its own native code anyhow does not add. */
  if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, FLAG_SPEC_ALLOW, &program) == 0) return true;
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0) return true;
  gap_set(GAP_SECCOMP, "the kernel takes no filter", errno);
  return false;
}
