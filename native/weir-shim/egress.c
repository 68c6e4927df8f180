/* The network a module may send to.
 *
 *   none    a network namespace of its own with nothing but a loopback (child's side). Unix sockets
 *           are found by path and work as before. Without the right to make one, sockets of the
 *           internet families are refused by seccomp instead.
 *   local   eBPF programs on the module's cgroup (shim's side): one looks at every packet that
 *           leaves, two more refuse a connect() at once that would otherwise wait for a time-out.
 *
 * Local is: this machine, 10/8, 172.16/12, 192.168/16, 169.254/16, broadcast, multicast of the link
 * and of the site (RFC 1122, 1918, 3927, 2365); ::1, fe80::/10, fc00::/7, ff01, ff02 and ff05
 * (RFC 4291, 4193). Landlock has rules for TCP ports only, so it cannot say this.
 *
 * The programs are written here as instructions, because a compiler for BPF is no part of a C library.
 * r6 keeps the context; the address lies in network order on the stack at ADDRESS.
 */
#include "cgroup.h"

#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { INSNS_MAX = 192, ADDRESS = -16, ALLOW = 0x7fff, ETH_IP = 0x0008, ETH_IPV6 = 0xdd86 };
enum { LOAD_BYTES = 26 /* bpf_skb_load_bytes */, DAD_V4 = 16, DAD_V6 = 24 };

struct program {
  struct bpf_insn insns[INSNS_MAX];
  int length;
};

static void emit(struct program *program, struct bpf_insn insn) { program->insns[program->length++] = insn; }

static void alu(struct program *to, int op, int dst, int32_t imm) {
  emit(to, (struct bpf_insn){.code = BPF_ALU64 | (uint8_t)op | BPF_K, .dst_reg = dst & 15, .imm = imm});
}

static void move(struct program *to, int dst, int src) {
  emit(to, (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = dst & 15, .src_reg = src & 15});
}

static void load(struct program *to, int dst, int src, int offset) {
  emit(to, (struct bpf_insn){.code = BPF_LDX | BPF_W | BPF_MEM, .dst_reg = dst & 15, .src_reg = src & 15,
                             .off = (int16_t)offset});
}

static void store(struct program *to, int src, int offset) {
  emit(to, (struct bpf_insn){.code = BPF_STX | BPF_W | BPF_MEM, .dst_reg = BPF_REG_10, .src_reg = src & 15,
                             .off = (int16_t)offset});
}

static void jump(struct program *to, int op, int dst, int32_t imm, int offset) {
  emit(to, (struct bpf_insn){.code = BPF_JMP | (uint8_t)op | BPF_K, .dst_reg = dst & 15,
                             .off = (int16_t)offset, .imm = imm});
}

static void leave(struct program *to, int verdict) {
  alu(to, BPF_MOV, BPF_REG_0, verdict);
  emit(to, (struct bpf_insn){.code = BPF_JMP | BPF_EXIT});
}

/* r1: the 32 bits at `offset` of the stack, as a number of this machine; all targets are little-endian. */
static void load_word(struct program *to, int offset) {
  load(to, BPF_REG_1, BPF_REG_10, offset);
  emit(to, (struct bpf_insn){.code = BPF_ALU | BPF_END | BPF_TO_BE, .dst_reg = BPF_REG_1, .imm = 32});
}

/* Allowed when the upper bits of r1, above `shift`, are `value`. */
static void allow_prefix(struct program *to, int shift, int32_t value) {
  move(to, BPF_REG_2, BPF_REG_1);
  alu(to, BPF_RSH, BPF_REG_2, shift);
  jump(to, BPF_JEQ, BPF_REG_2, value, ALLOW);
}

static void judge_v4(struct program *to, int offset) {
  load_word(to, offset);
  allow_prefix(to, 24, 127);
  allow_prefix(to, 24, 10);
  allow_prefix(to, 24, 239);
  allow_prefix(to, 20, 0xac1);
  allow_prefix(to, 16, 0xc0a8);
  allow_prefix(to, 16, 0xa9fe);
  allow_prefix(to, 8, 0xe00000);
  jump(to, BPF_JEQ, BPF_REG_1, 0, ALLOW); /* connect() to 0.0.0.0 means this machine */
  alu(to, BPF_ADD, BPF_REG_1, 1);
  allow_prefix(to, 32, 1); /* 255.255.255.255 */
  leave(to, 0);
}

static void judge_v6(struct program *to) {
  load_word(to, ADDRESS);
  allow_prefix(to, 22, 0x3fa);
  allow_prefix(to, 25, 0x7e);
  allow_prefix(to, 16, 0xff01);
  allow_prefix(to, 16, 0xff02);
  allow_prefix(to, 16, 0xff05);
  move(to, BPF_REG_3, BPF_REG_1);
  load_word(to, ADDRESS + 4);
  emit(to, (struct bpf_insn){.code = BPF_ALU64 | BPF_OR | BPF_X, .dst_reg = BPF_REG_3, .src_reg = BPF_REG_1});
  jump(to, BPF_JEQ, BPF_REG_3, 0, 2);
  leave(to, 0);
  load_word(to, ADDRESS + 8);
  jump(to, BPF_JEQ, BPF_REG_1, 0xffff, 10); /* ::ffff:a.b.c.d, judged at the end */
  jump(to, BPF_JEQ, BPF_REG_1, 0, 2);
  leave(to, 0);
  load_word(to, ADDRESS + 12);
  allow_prefix(to, 1, 0); /* ::1, and :: which means the same to connect() */
  leave(to, 0);
  judge_v4(to, ADDRESS + 12);
}

/* The last instructions, where every ALLOW leads. */
static void finish(struct program *program) {
  int allow = program->length;
  leave(program, 1);
  for (int at = 0; at < allow; at++) {
    struct bpf_insn *insn = &program->insns[at];
    if (BPF_CLASS(insn->code) == BPF_JMP && insn->off == ALLOW) insn->off = (int16_t)(allow - at - 1);
  }
}

static void load_packet(struct program *to, int offset, int bytes) {
  move(to, BPF_REG_1, BPF_REG_6);
  alu(to, BPF_MOV, BPF_REG_2, offset);
  move(to, BPF_REG_3, BPF_REG_10);
  alu(to, BPF_ADD, BPF_REG_3, ADDRESS);
  alu(to, BPF_MOV, BPF_REG_4, bytes);
  emit(to, (struct bpf_insn){.code = BPF_JMP | BPF_CALL, .imm = LOAD_BYTES});
  jump(to, BPF_JEQ, BPF_REG_0, 0, 2);
  leave(to, 0);
}

static void write_packet_program(struct program *to) {
  move(to, BPF_REG_6, BPF_REG_1);
  load(to, BPF_REG_2, BPF_REG_1, (int)offsetof(struct __sk_buff, protocol));
  int to_v4 = to->length;
  jump(to, BPF_JEQ, BPF_REG_2, ETH_IP, 0);
  jump(to, BPF_JEQ, BPF_REG_2, ETH_IPV6, 2);
  leave(to, 0);
  load_packet(to, DAD_V6, 16);
  judge_v6(to);
  to->insns[to_v4].off = (int16_t)(to->length - to_v4 - 1);
  load_packet(to, DAD_V4, 4);
  judge_v4(to, ADDRESS);
  finish(to);
}

static void write_connect_program(struct program *to, bool v6) {
  int from = (int)(v6 ? offsetof(struct bpf_sock_addr, user_ip6) : offsetof(struct bpf_sock_addr, user_ip4));
  move(to, BPF_REG_6, BPF_REG_1);
  for (int at = 0; at < (v6 ? 16 : 4); at += 4) {
    load(to, BPF_REG_2, BPF_REG_6, from + at);
    store(to, BPF_REG_2, ADDRESS + at);
  }
  if (v6) judge_v6(to);
  else judge_v4(to, ADDRESS);
  finish(to);
}

/* 0 or an errno. */
static int attach(const struct program *program, int cgroup_fd, uint32_t type, uint32_t attach_type) {
  union bpf_attr attr;
  memset(&attr, 0, sizeof attr);
  attr.prog_type = type;
  attr.insns = (uint64_t)(uintptr_t)program->insns;
  attr.insn_cnt = (uint32_t)program->length;
  attr.license = (uint64_t)(uintptr_t) "MIT";
  attr.expected_attach_type = attach_type;
  int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
  if (fd < 0) return errno;
  memset(&attr, 0, sizeof attr);
  attr.target_fd = (uint32_t)cgroup_fd;
  attr.attach_bpf_fd = (uint32_t)fd;
  attr.attach_type = attach_type;
  attr.attach_flags = BPF_F_ALLOW_MULTI;
  int error = syscall(SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr) == 0 ? 0 : errno;
  close(fd); /* the cgroup holds it now */
  return error;
}

void egress_local(void) {
  static struct program packet, connect4, connect6;
  int cgroup_fd = cgroup_unified_fd();
  if (cgroup_fd < 0) {
    gap_set(GAP_EGRESS, "there is no cgroup v2 that a network rule could stand on", 0);
    return;
  }
  write_packet_program(&packet);
  int error = attach(&packet, cgroup_fd, BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_EGRESS);
  if (error != 0) gap_set(GAP_EGRESS, "a network rule cannot be set on the cgroup", error);
  write_connect_program(&connect4, false);
  write_connect_program(&connect6, true);
  /* Absent before Linux 4.17: then a forbidden connect() waits for its time-out. */
  attach(&connect4, cgroup_fd, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_CONNECT);
  attach(&connect6, cgroup_fd, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET6_CONNECT);
  close(cgroup_fd);
}

bool egress_none(void) {
  if (unshare(CLONE_NEWNET) != 0) return false;
  struct ifreq request = {.ifr_name = "lo"};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return true;
  request.ifr_flags = IFF_UP; /* its own processes may talk to each other */
  ioctl(fd, SIOCSIFFLAGS, &request);
  close(fd);
  return true;
}
