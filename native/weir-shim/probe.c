/* What this machine can shut a module in with: everything is tried, nothing is believed.
 *
 * A child goes the way of a module with every option set, but for exec; what it met is the gaps that
 * a module would meet, from the same code. Nothing remains: the cgroup and the namespaces end with it.
 *
 *   {"kernel":"6.1.21","machine":"aarch64","root":true,"starts":true,
 *    "cgroup":"2|1|hybrid|none","landlockAbi":n,
 *    "lacking":{"memory":"reason",…},          as any user module would lack it
 *    "egress":{"local":bool,"none":bool}}
 */
#include "shim.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PROBE_BYTES_MAX = 4096, PROBE_MEMORY_BYTES = 64 * 1024 * 1024, PROBE_PIDS = 64, NOBODY = 65534 };

static char *probe_argv[] = {"/proc/self/exe", NULL};

static struct options probe_options(const char *name, enum egress egress) {
  struct options options = {
      .dir = "/", .log_path = "/dev/null", .cwd = "/", .stop_signal = SIGTERM, .cgroup = name,
      .limits = {.memory_bytes = PROBE_MEMORY_BYTES, .cpu_share = CPU_SHARE_ONE, .pids = PROBE_PIDS,
                 .io_weight = 100, .io_bytes = INT32_MAX},
      .drop_capabilities = true, .private_tmp = true, .tmp_bytes = TMP_BYTES_DEFAULT,
      .read_only_root = true, .egress = egress, .seccomp = true, .landlock = true, .no_new_privs = true,
      .argv = probe_argv};
  options.hidden.at[options.hidden.count++] = "/var";
  if (getuid() == 0) {
    options.drop_identity = true;
    options.uid = options.gid = NOBODY;
  }
  return options;
}

/* Leaves its findings in the gaps. False when a module could not be started at all. */
static bool try_all(const char *name, enum egress egress) {
  struct options options = probe_options(name, egress);
  cgroup_make(&options);
  if (egress == EGRESS_LOCAL) egress_local();
  pid_t shim_pid = getpid();
  pid_t pid = fork();
  if (pid == 0) {
    shut_in(&options, -1, shim_pid);
    _exit(0);
  }
  if (pid < 0) die(EXIT_OS, "cannot fork", NULL, errno);
  int status = 0;
  waitpid(pid, &status, 0);
  cgroup_remove();
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void flag(struct text *text, const char *name, bool value) {
  text_add(text, name);
  text_add(text, value ? "true" : "false");
}

_Noreturn void probe(void) {
  char memory[PROBE_BYTES_MAX], name_memory[32];
  struct text text, name;
  struct utsname machine;
  uname(&machine);
  gaps_init();
  text_init(&name, name_memory, sizeof name_memory);
  text_add(&name, "probe.");
  text_int(&name, getpid());
  bool starts = try_all(name.start, EGRESS_NONE);
  bool none = !gap_is_set(GAP_EGRESS);
  gaps_init();
  starts = try_all(name.start, EGRESS_LOCAL) && starts;
  text_init(&text, memory, sizeof memory);
  text_add(&text, "{\"kernel\":");
  text_json(&text, machine.release);
  text_add(&text, ",\"machine\":");
  text_json(&text, machine.machine);
  flag(&text, ",\"root\":", getuid() == 0);
  flag(&text, ",\"starts\":", starts);
  text_add(&text, ",\"cgroup\":");
  text_json(&text, cgroup_generation());
  text_add(&text, ",\"landlockAbi\":");
  text_int(&text, landlock_abi());
  text_add(&text, ",\"lacking\":");
  gaps_reasons_json(&text);
  flag(&text, ",\"egress\":{\"none\":", none);
  flag(&text, ",\"local\":", !gap_is_set(GAP_EGRESS));
  text_add(&text, "}}\n");
  ssize_t written = write(STDOUT_FILENO, text.start, text.length);
  _exit(written == (ssize_t)text.length ? 0 : EXIT_OS);
}
