/* The child's side: from fork to exec.
 *
 * The module gets a session of its own, /dev/null as stdin, two pipes, the listed descriptors and
 * nothing else. Then it is shut in, in this order, each step needing what a later one takes away:
 *
 *   cgroup              everything from here on counts as the module's
 *   mounts, network     need root, and no Landlock, under which nothing can be mounted
 *   Landlock's rules    opened while paths can be opened; not yet in force
 *   resource limits     a limit on descriptors would have hindered the steps above
 *   bounding set        needs CAP_SETPCAP
 *   groups, gid, uid
 *   capabilities        what is kept; the kernel cleared the rest with the uid
 *   working directory   the module itself must be able to be there
 *   no_new_privs        without privileges, Landlock and seccomp need it
 *   death signal        the kernel clears it when credentials change
 *   Landlock, seccomp   last, for they forbid most of the above
 *
 * A step that every module needs ends the start when it fails: it is reported, with errno, through a
 * close-on-exec pipe, and an empty pipe means that exec happened. What shuts the module in and cannot
 * be had is a gap instead (gaps.c).
 */
#include "shim.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum step {
  STEP_FORK,
  STEP_SESSION,
  STEP_STDIO,
  STEP_KEEP_FD,
  STEP_CWD,
  STEP_RLIMIT,
  STEP_GROUPS,
  STEP_GID,
  STEP_UID,
  STEP_NO_NEW_PRIVS,
  STEP_DEATH_SIGNAL,
  STEP_PARENT_GONE,
  STEP_EXEC
};

static const char *const step_names[] = {
    "fork",          "setsid",        "set up stdin, stdout and stderr",
    "keep a descriptor", "enter the working directory", "set a resource limit",
    "set the groups", "set the gid",  "set the uid",
    "set no_new_privs", "set the parent death signal", "start: the shim went away",
    "execute",
};

struct failure {
  int step;
  int error;
};

const char *spawn_step_name(int step) { return step_names[step]; }

static _Noreturn void fail(int report_fd, enum step step) {
  struct failure failure = {step, errno};
  ssize_t written = write(report_fd, &failure, sizeof failure);
  (void)written; /* the shim is the only reader; without it there is nobody to tell */
  _exit(127);
}

/* A gateway daemon protects itself from the OOM killer; its modules must not inherit that. */
static void lose_oom_protection(void) {
  char score[16];
  static const char path[] = "/proc/self/oom_score_adj";
  if (read_small_file(path, score, sizeof score) == 0 || score[0] != '-') return;
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  if (fd < 0) return;
  ssize_t written = write(fd, "0", 1);
  (void)written; /* best effort: the module runs either way */
  close(fd);
}

static void reset_signals(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; number++) sigaction(number, &action, NULL);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

static void take_identity(const struct options *options, int report_fd) {
  if (!options->drop_identity) return;
  if (setgroups((size_t)options->group_count, options->groups) != 0) fail(report_fd, STEP_GROUPS);
  if (setresgid(options->gid, options->gid, options->gid) != 0) fail(report_fd, STEP_GID);
  if (setresuid(options->uid, options->uid, options->uid) != 0) fail(report_fd, STEP_UID);
}

static void set_up_stdio(const struct options *options, const int stdio[3], int report_fd) {
  for (int fd = 0; fd < 3; fd++) {
    if (dup2(stdio[fd], fd) < 0) fail(report_fd, STEP_STDIO);
  }
  for (int at = 0; at < options->keep_fd_count; at++) {
    if (fcntl(options->keep_fds[at], F_SETFD, 0) != 0) fail(report_fd, STEP_KEEP_FD);
  }
}

static void set_limits(const struct options *options, int report_fd) {
  for (int at = 0; at < options->rlimit_count; at++) {
    const struct rlimit_choice *choice = &options->rlimits[at];
    if (setrlimit(choice->resource, &choice->value) != 0) fail(report_fd, STEP_RLIMIT);
  }
}

/* Everything between the session and exec. Also what the probe goes through. */
void shut_in(const struct options *options, int report_fd, pid_t shim_pid) {
  cgroup_join();
  mounts_apply(options);
  bool without_network = options->egress == EGRESS_NONE && !egress_none();
  int ruleset_fd = landlock_prepare(options);
  set_limits(options, report_fd);
  capabilities_bound(options);
  take_identity(options, report_fd);
  capabilities_keep(options);
  if (chdir(options->cwd) != 0) fail(report_fd, STEP_CWD);
  if (options->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) fail(report_fd, STEP_NO_NEW_PRIVS);
  if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) fail(report_fd, STEP_DEATH_SIGNAL);
  /* The shim may have died before the line above, and then no signal ever comes. */
  if (getppid() != shim_pid) {
    errno = ESRCH;
    fail(report_fd, STEP_PARENT_GONE);
  }
  landlock_restrict(ruleset_fd);
  if (!options->seccomp && !without_network) return;
  if (!seccomp_apply(options, without_network) && without_network) {
    gap_set(GAP_EGRESS, "neither a network namespace nor a filter can be made", errno);
  }
}

static _Noreturn void become_module(const struct options *options, const int stdio[3], int report_fd,
                                    pid_t shim_pid) {
  if (setsid() < 0) fail(report_fd, STEP_SESSION);
  set_up_stdio(options, stdio, report_fd);
  reset_signals();
  umask(027);
  lose_oom_protection();
  shut_in(options, report_fd, shim_pid);
  execve(options->argv[0], options->argv, environ);
  fail(report_fd, STEP_EXEC);
}

void spawn_module(const struct options *options, struct child *child) {
  int out[2], err[2], report[2];
  int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null_fd < 0) die(EXIT_OS, "cannot open", "/dev/null", errno);
  if (pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0 || pipe2(report, O_CLOEXEC) != 0) {
    die(EXIT_OS, "cannot make a pipe", NULL, errno);
  }
  const int stdio[3] = {null_fd, out[1], err[1]};
  pid_t shim_pid = getpid();
  pid_t pid = fork();
  if (pid == 0) become_module(options, stdio, report[1], shim_pid);
  struct failure failure = {STEP_FORK, pid < 0 ? errno : 0};
  close(null_fd);
  close(out[1]);
  close(err[1]);
  close(report[1]);
  for (int at = 0; at < options->keep_fd_count; at++) close(options->keep_fds[at]);
  if (pid > 0) {
    ssize_t got;
    do {
      got = read(report[0], &failure, sizeof failure);
    } while (got < 0 && errno == EINTR);
    if (got != (ssize_t)sizeof failure) failure.error = 0;
  }
  close(report[0]);
  /* Only the shim's ends: the module keeps ordinary blocking pipes. */
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  child->pid = pid;
  child->out_fd = out[0];
  child->err_fd = err[0];
  child->setup_step = failure.step;
  child->setup_error = failure.error;
}
