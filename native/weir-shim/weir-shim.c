/* weir-shim: starts one module, keeps its log, waits for it, and leaves a record of its end.
 *
 * It exists so that modules outlive the runtime that started them: the runtime may be restarted,
 * upgraded or killed, and finds the module again through DIR/ctl.sock and DIR/state.json. The shim
 * in its turn is the module's fate: if the shim is killed, the kernel kills the module, so that a
 * directory without a shim is a directory without a module.
 *
 *   lock → ctl.sock, notify.sock → cgroup → fork, exec → state.json
 *        → [copy logs, obey clients, pass on notices, reap] → module ended
 *        → kill its leftovers → exit.json → tell clients → drain the pipes → exit 0
 *
 * Invariants
 *   One shim a directory: flock on DIR/lock, held as long as the shim lives.
 *   exit.json of a former life is gone before the module starts, and the new one is complete or absent.
 *   The module's pipes are read whatever the disk or the clients do.
 *   When the shim exits by itself, no process that descends from the module is left.
 */
#include "shim.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
  DRAIN_MS_MAX = 1000,     /* for the log after the end: a pipe may be held by a stranger */
  LEFTOVERS_MS_MAX = 2000, /* for killed descendants to be gone; one in an endless disk wait stays */
  LEFTOVERS_STEP_MS = 5,
  POLL_SET_MAX = 4 + 1 + CLIENTS_MAX
};

static struct {
  struct options options;
  struct child child;
  struct life life;
  struct ending ending;
  bool ended;
  int64_t kill_at_ms; /* monotonic; 0: no grace is running */
  int signal_fd;
  char state_line[RECORD_BYTES_MAX];
  char notify_line[NOTIFY_LINE_MAX]; /* what later clients are greeted with */
} shim;

/* Descriptors the runtime left open by accident would keep its sockets and pipes alive. */
static void close_strangers(const struct options *options) {
  DIR *dir = opendir("/proc/self/fd");
  if (dir == NULL) die(EXIT_OS, "cannot list", "/proc/self/fd", errno);
  struct dirent *entry;
  while ((entry = readdir(dir)) != NULL) {
    int fd = (int)parse_int(entry->d_name, INT32_MAX);
    bool keep = fd <= STDERR_FILENO || fd == dirfd(dir);
    for (int at = 0; at < options->keep_fd_count; at++) keep = keep || fd == options->keep_fds[at];
    if (!keep) close(fd);
  }
  closedir(dir);
}

static void fill_stdio(void) {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
    if (fd < 0) die(EXIT_OS, "cannot open", "/dev/null", errno);
  } while (fd <= STDERR_FILENO);
  close(fd);
}

/* The runtime reads the end of our stderr as "the shim is set up". */
static void let_go_of_stdio(void) {
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (fd < 0) return;
  for (int at = 0; at <= STDERR_FILENO; at++) dup2(fd, at);
  close(fd);
}

static void lock_directory(const char *dir) {
  if (chdir(dir) != 0) die(EXIT_OS, "cannot enter", dir, errno);
  int fd = open("lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) die(EXIT_OS, "cannot open the lock in", dir, errno);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) die(EXIT_LOCKED, "another shim runs in", dir, 0);
    die(EXIT_OS, "cannot lock", dir, errno);
  }
  unlink("exit.json");
  unlink("state.json");
}

static void set_up_signals(void) {
  sigset_t waited;
  sigemptyset(&waited);
  sigaddset(&waited, SIGCHLD);
  sigaddset(&waited, SIGTERM);
  sigaddset(&waited, SIGINT);
  sigprocmask(SIG_BLOCK, &waited, NULL);
  signal(SIGHUP, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  shim.signal_fd = signalfd(-1, &waited, SFD_CLOEXEC | SFD_NONBLOCK);
  if (shim.signal_fd < 0) die(EXIT_OS, "cannot make a signalfd", NULL, errno);
}

static void kill_module(void) {
  shim.ending.killed_by_shim = true;
  shim.kill_at_ms = 0;
  kill(-shim.child.pid, SIGKILL);
  cgroup_kill();
}

static void obey(enum command command, int64_t argument) {
  if (shim.ended) return;
  if (command == COMMAND_GRACE) shim.options.grace_ms = argument;
  if (command == COMMAND_KILL) kill_module();
  if (command == COMMAND_TERM) {
    kill(-shim.child.pid, shim.options.stop_signal);
    kill(-shim.child.pid, SIGCONT); /* a stopped module must be able to hear it */
    if (shim.kill_at_ms == 0) shim.kill_at_ms = now_monotonic_ms() + shim.options.grace_ms;
  }
}

/* Looks before it reaps: as long as the module is a zombie, its group number belongs to nobody else. */
static void reap(void) {
  siginfo_t info;
  for (;;) {
    info.si_pid = 0;
    if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid == 0) return;
    bool is_module = info.si_pid == shim.child.pid; /* else an orphan of the module */
    if (is_module) kill(-shim.child.pid, SIGKILL);
    int status = 0;
    waitpid(info.si_pid, &status, 0);
    if (!is_module) continue;
    shim.ended = true;
    shim.ending.wait_status = status;
  }
}

static void take_signals(void) {
  struct signalfd_siginfo info;
  while (read(shim.signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
    if (info.ssi_signo != SIGCHLD) obey(COMMAND_TERM, 0);
  }
  reap();
}

static void copy_logs(short out_events, short err_events) {
  if (out_events != 0 && !log_copy(STREAM_OUT, shim.child.out_fd)) {
    close(shim.child.out_fd);
    shim.child.out_fd = -1;
  }
  if (err_events != 0 && !log_copy(STREAM_ERR, shim.child.err_fd)) {
    close(shim.child.err_fd);
    shim.child.err_fd = -1;
  }
}

/* Tells clients what the module told of itself, and keeps it for those who come later. */
static void pass_on_notices(void) {
  char memory[NOTIFY_LINE_MAX];
  struct text line;
  text_init(&line, memory, sizeof memory);
  if (!notify_line(&line)) return;
  control_broadcast(line.start);
  text_init(&line, shim.notify_line, sizeof shim.notify_line);
  notify_greeting(&line);
}

static void turn(int timeout_ms) {
  struct pollfd set[POLL_SET_MAX];
  set[0] = (struct pollfd){.fd = shim.signal_fd, .events = POLLIN};
  set[1] = (struct pollfd){.fd = shim.child.out_fd, .events = POLLIN};
  set[2] = (struct pollfd){.fd = shim.child.err_fd, .events = POLLIN};
  set[3] = (struct pollfd){.fd = notify_fd(), .events = POLLIN};
  int clients = control_poll_set(set + 4);
  if (poll(set, (nfds_t)(4 + clients), timeout_ms) <= 0) return;
  copy_logs(set[1].revents, set[2].revents);
  if (set[3].revents != 0) notify_hear();
  control_serve(set + 4, clients, shim.state_line, obey);
  if (set[0].revents != 0) take_signals();
}

static void run_until_end(void) {
  while (!shim.ended) {
    int timeout_ms = notify_wait_ms();
    if (shim.kill_at_ms != 0) {
      int64_t rest_ms = shim.kill_at_ms - now_monotonic_ms();
      if (rest_ms < 0) rest_ms = 0;
      if (timeout_ms < 0 || rest_ms < timeout_ms) timeout_ms = (int)rest_ms;
    }
    turn(timeout_ms);
    pass_on_notices();
    if (!shim.ended && shim.kill_at_ms != 0 && now_monotonic_ms() >= shim.kill_at_ms) kill_module();
  }
}

/* The group was killed when the module was reaped. As a subreaper the shim inherits every orphan,
 * also those that left the group; and the cgroup holds them all. */
static void kill_children(void) {
  char children[4096];
  read_small_file("/proc/thread-self/children", children, sizeof children);
  /* A last word without its blank may be the beginning of a longer number: somebody else's. */
  for (char *rest = children, *word; (word = strsep(&rest, " ")) != NULL && rest != NULL;) {
    int64_t pid = parse_int(word, INT32_MAX);
    if (pid > 1) kill((pid_t)pid, SIGKILL);
  }
}

static void kill_leftovers(void) {
  const struct timespec step = {0, LEFTOVERS_STEP_MS * 1000000L};
  int64_t until_ms = now_monotonic_ms() + LEFTOVERS_MS_MAX;
  cgroup_kill(); /* also where the shim could not become a subreaper */
  for (;;) {
    pid_t pid = waitpid(-1, NULL, WNOHANG);
    if (pid > 0) continue;
    if (pid < 0 && errno == ECHILD) return;
    kill_children();
    cgroup_kill();
    if (now_monotonic_ms() >= until_ms) return;
    nanosleep(&step, NULL);
  }
}

/* Copies what the pipes hold; `patient` also waits, within the bound, for them to be closed. */
static void drain(bool patient) {
  int64_t until_ms = now_monotonic_ms() + DRAIN_MS_MAX;
  while (shim.child.out_fd >= 0 || shim.child.err_fd >= 0) {
    struct pollfd set[2] = {{.fd = shim.child.out_fd, .events = POLLIN},
                            {.fd = shim.child.err_fd, .events = POLLIN}};
    int64_t rest_ms = until_ms - now_monotonic_ms();
    if (rest_ms <= 0 || poll(set, 2, patient ? (int)rest_ms : 0) <= 0) return;
    copy_logs(set[0].revents, set[1].revents);
  }
}

static void describe_ending(struct text *message) {
  if (shim.child.setup_error != 0) {
    shim.ending.exec_failed = true;
    text_add(message, "cannot ");
    text_add(message, spawn_step_name(shim.child.setup_step));
    text_add(message, " for ");
    text_add(message, shim.options.argv[0]);
    text_add(message, ": ");
    text_add(message, strerror(shim.child.setup_error));
  } else if (WIFSIGNALED(shim.ending.wait_status)) {
    text_add(message, "ended by signal ");
    text_int(message, WTERMSIG(shim.ending.wait_status));
    if (shim.ending.killed_by_shim) text_add(message, " after the grace period or on request");
  } else {
    text_add(message, "exited with code ");
    text_int(message, WEXITSTATUS(shim.ending.wait_status));
  }
}

/* Written once a life into the module's own log, where its author looks first. */
static void gaps_remark(void) {
  for (int gap = 0; gap < GAP_COUNT; gap++) {
    char memory[256];
    struct text reason;
    if (!gap_is_set((enum gap)gap)) continue;
    text_init(&reason, memory, sizeof memory);
    gap_reason((enum gap)gap, &reason);
    log_remark(reason.start);
  }
}

static void start_module(void) {
  struct text line;
  text_init(&line, shim.state_line, sizeof shim.state_line);
  control_greet_also(shim.notify_line);
  shim.life.started_unix_ms = now_unix_ms();
  shim.life.started_monotonic_ms = now_monotonic_ms();
  cgroup_make(&shim.options);
  if (shim.options.egress == EGRESS_LOCAL) egress_local();
  spawn_module(&shim.options, &shim.child);
  gaps_remark();
  shim.life.pid = shim.child.pid;
  record_state(&shim.life, &line);
}

/* For whoever finds that a shim was killed: a module's process that has a session of its own lives on
 * then, until the group that it cannot leave is killed. */
static int sweep(const char *dir, const char *cgroup) {
  struct options *options = &shim.options;
  options->dir = option_absolute("--sweep", dir);
  sandbox_option(options, "--cgroup", cgroup);
  cgroup_sweep(options);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 2 && strcmp(argv[1], "--probe") == 0) probe();
  if (argc == 4 && strcmp(argv[1], "--sweep") == 0) return sweep(argv[2], argv[3]);
  options_parse(&shim.options, argc, argv);
  gaps_init();
  setsid(); /* refused when the runtime already made us a leader, which is as good */
  fill_stdio();
  close_strangers(&shim.options);
  umask(077);
  lock_directory(shim.options.dir);
  set_up_signals();
  /* Refused by no kernel since 3.4, but by qemu-user: there only the module's group ends with it. */
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
  log_open(shim.options.log_path, shim.options.log_bytes, shim.options.log_files);
  control_listen();
  notify_listen(&shim.options);
  start_module();
  let_go_of_stdio();

  if (shim.child.setup_error == 0) run_until_end();
  shim.ending.oom_kills = cgroup_oom_kills();
  if (shim.child.pid > 0) kill_leftovers();
  char message_memory[512], line_memory[RECORD_BYTES_MAX];
  struct text message, line;
  text_init(&message, message_memory, sizeof message_memory);
  text_init(&line, line_memory, sizeof line_memory);
  describe_ending(&message);
  shim.ending.message = message.start;
  drain(false); /* before the record, which counts what was dropped */
  record_exit(&shim.life, &shim.ending, &line);
  control_broadcast(line.start);
  cgroup_remove(); /* nobody need wait for it to hear of the end */
  drain(true);
  log_finish();
  control_close();
  notify_close();
  return 0;
}
