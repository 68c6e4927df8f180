/* A module that tries to get out. One attack a call: it says `allowed`, or the errno it met, on stdout.
 *
 *   hostile ATTACK [ARGUMENT]…       exit status 0 whatever came of it; 2: no such attack
 *
 * Attacks are harmless where they succeed: they are also run unguarded, to show that they can. Those that
 * would change the machine are called with arguments the kernel refuses with another error than EPERM.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int told(long result) {
  printf("%s\n", result >= 0 ? "allowed" : strerrorname_np(errno));
  fflush(stdout);
  return 0;
}

static long open_for(const char *path, int flags) { return open(path, flags | O_CLOEXEC, 0600); }

static long with_timeout(int fd) {
  struct timeval limit = {2, 0};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  return fd;
}

static long internet(int type, const char *host, const char *port) {
  struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = v4.sin_port};
  int is_v6 = inet_pton(AF_INET6, host, &v6.sin6_addr) == 1;
  if (!is_v6) inet_pton(AF_INET, host, &v4.sin_addr);
  int fd = socket(is_v6 ? AF_INET6 : AF_INET, type, 0);
  if (fd < 0) return -1;
  with_timeout(fd);
  const struct sockaddr *to = is_v6 ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4;
  socklen_t size = is_v6 ? sizeof v6 : sizeof v4;
  if (type == SOCK_STREAM) return connect(fd, to, size);
  return sendto(fd, "x", 1, 0, to, size);
}

static long unix_socket(const char *name, int abstract) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  size_t length = strlen(name);
  memcpy(address.sun_path + abstract, name, length);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
  if (connect(fd, (struct sockaddr *)&address, size) == 0) return 0;
  /* Older libuv binds an abstract name with all the bytes behind it. */
  return abstract && errno == ECONNREFUSED ? connect(fd, (struct sockaddr *)&address, sizeof address) : -1;
}

/* Asks a shim to end its module; the greeting comes first where it listens. */
static long end_by(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char greeting[4096];
  strncpy(address.sun_path, path, sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) return -1;
  long greeted = read(fd, greeting, sizeof greeting);
  long sent = send(fd, "KILL\n", 5, MSG_NOSIGNAL);
  if (greeted <= 0 && sent > 0) errno = EPIPE;
  return greeted > 0 ? sent : -1;
}

/* Children that only wait; how many there could be, at most `wanted`. */
static int fork_many(int wanted) {
  int made = 0;
  while (made < wanted) {
    pid_t pid = fork();
    if (pid == 0) {
      pause();
      _exit(0);
    }
    if (pid < 0) break;
    made++;
  }
  printf("forked %d\n", made);
  fflush(stdout);
  return 0;
}

static int make_zombies(int wanted) {
  int made = 0;
  while (made < wanted) {
    pid_t pid = fork();
    if (pid == 0) _exit(0);
    if (pid < 0) break;
    made++;
  }
  printf("zombies %d\n", made);
  fflush(stdout);
  return 0;
}

static int take_memory(long megabytes) {
  for (long at = 0; at < megabytes; at++) {
    char *piece = malloc(1 << 20);
    if (piece == NULL) break;
    memset(piece, (int)at + 1, 1 << 20);
  }
  printf("took %ld\n", megabytes);
  return 0;
}

/* As sd_notify_barrier(3): waits until the receiver has looked at what was sent, by a pipe that it closes. */
static void wait_until_heard(int fd, const struct sockaddr_un *address) {
  int ends[2];
  char byte;
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
  struct iovec part = {"BARRIER=1", 9};
  struct msghdr message = {.msg_name = (void *)address, .msg_namelen = sizeof *address, .msg_iov = &part,
                           .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  if (pipe(ends) != 0) return;
  memcpy(CMSG_DATA(&control.header), &ends[1], sizeof ends[1]);
  ssize_t sent = sendmsg(fd, &message, 0);
  close(ends[1]);
  if (sent >= 0 && read(ends[0], &byte, 1) != 0) abort();
}

static int notify(const char *words) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *path = getenv("NOTIFY_SOCKET");
  strncpy(address.sun_path, path == NULL ? "" : path, sizeof address.sun_path - 1);
  int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
  ssize_t sent = sendto(fd, words, strlen(words), 0, (struct sockaddr *)&address, sizeof address);
  if (sent >= 0) wait_until_heard(fd, &address);
  return told(sent);
}

/* A child tries to look into a process, by way of ptrace or of its memory. */
static long look_into(pid_t pid) {
  char byte;
  struct iovec here = {&byte, 1}, there = {(void *)0x400000, 1};
  if (process_vm_readv(pid, &here, 1, &there, 1, 0) == 1) return 0;
  return errno == EFAULT ? 0 : -1;
}

static long new_user_namespace(void) {
  long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0) _exit(0);
  if (pid > 0) waitpid((pid_t)pid, NULL, 0);
  return pid;
}

static long old_call(void) {
#if defined(__x86_64__)
  long result;
  /* getpid of the 32-bit table, through the old gate */
  __asm__ volatile("int $0x80" : "=a"(result) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
  if (result < 0) errno = (int)-result;
  return result < 0 ? -1 : 0;
#else
  errno = ENOSYS;
  return -1;
#endif
}

static int kernel_attack(const char *name) {
  if (strcmp(name, "mount") == 0) return told(mount("none", "/", "no-such-kind", 0, NULL));
  if (strcmp(name, "unmount") == 0) return told(umount2("/", MNT_EXPIRE));
  if (strcmp(name, "chroot") == 0) return told(chroot("/"));
  if (strcmp(name, "unshare") == 0) return told(unshare(CLONE_NEWUSER));
  if (strcmp(name, "clone") == 0) return told(new_user_namespace());
  if (strcmp(name, "clone3") == 0) return told(syscall(435, NULL, 0));
  if (strcmp(name, "setuid") == 0) return told(setresuid(0, 0, 0));
  if (strcmp(name, "module") == 0) return told(syscall(SYS_finit_module, -1, "", 0));
  if (strcmp(name, "bpf") == 0) return told(syscall(SYS_bpf, 999, NULL, 0));
  if (strcmp(name, "keys") == 0) return told(syscall(SYS_keyctl, 0, -3, 0));
  if (strcmp(name, "io_uring") == 0) return told(syscall(425, 1, NULL));
  if (strcmp(name, "userfaultfd") == 0) return told(syscall(SYS_userfaultfd, 0x70000000));
  if (strcmp(name, "perf") == 0) return told(syscall(SYS_perf_event_open, NULL, 0, 0, 0, 0));
  if (strcmp(name, "clock") == 0) return told(syscall(SYS_clock_settime, 0, NULL));
  if (strcmp(name, "swap") == 0) return told(syscall(SYS_swapoff, NULL));
  if (strcmp(name, "hostname") == 0) return told(syscall(SYS_sethostname, NULL, 4));
  if (strcmp(name, "packet") == 0) return told(socket(AF_PACKET, SOCK_RAW, 0));
  if (strcmp(name, "raw") == 0) return told(socket(AF_INET, SOCK_RAW, 1));
  if (strcmp(name, "alg") == 0) return told(socket(38, SOCK_SEQPACKET, 0));
  if (strcmp(name, "push-back") == 0) return told(ioctl(0, 0x5412, "x"));
  if (strcmp(name, "old-call") == 0) return told(old_call());
  return -1;
}

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "", *at = argc > 2 ? argv[2] : "", *more = argc > 3 ? argv[3] : "";
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (kernel_attack(name) == 0) return 0;
  if (strcmp(name, "read") == 0) return told(open_for(at, O_RDONLY));
  if (strcmp(name, "list") == 0) return told(open_for(at, O_RDONLY | O_DIRECTORY));
  if (strcmp(name, "write") == 0) return told(open_for(at, O_WRONLY | O_APPEND));
  if (strcmp(name, "make") == 0) return told(open_for(at, O_WRONLY | O_CREAT));
  if (strcmp(name, "remove") == 0) return told(unlink(at));
  if (strcmp(name, "node") == 0) return told(mknod(at, S_IFCHR | 0600, 0x103));
  if (strcmp(name, "signal") == 0) return told(kill(atoi(at), 0));
  if (strcmp(name, "look") == 0) return told(look_into(atoi(at)));
  if (strcmp(name, "ptrace") == 0) return told(ptrace(PTRACE_SEIZE, atoi(at), 0, 0));
  if (strcmp(name, "tcp") == 0) return told(internet(SOCK_STREAM, at, more));
  if (strcmp(name, "udp") == 0) return told(internet(SOCK_DGRAM, at, more));
  if (strcmp(name, "unix") == 0) return told(unix_socket(at, 0));
  if (strcmp(name, "abstract") == 0) return told(unix_socket(at, 1));
  if (strcmp(name, "end") == 0) return told(end_by(at));
  if (strcmp(name, "notify") == 0) return notify(at);
  if (strcmp(name, "fork") == 0) return fork_many(atoi(at));
  if (strcmp(name, "zombies") == 0) return make_zombies(atoi(at));
  if (strcmp(name, "memory") == 0) return take_memory(atol(at));
  if (strcmp(name, "run") == 0) return execv(at, argv + 2) != 0 ? told(-1) : 0;
  return 2;
}
