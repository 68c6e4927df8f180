/* weir-shim: the declarations its source files share.
 *
 * One shim looks after one module process. Everything it needs lives in fixed-size memory: there is
 * no malloc after start-up, so a machine that is out of memory can still be told that a module ended.
 * The files: weir-shim.c (the life of one module, in order), options.c and options-sandbox.c (argv),
 * spawn.c (the child's side, from fork to exec), log.c (lines, rotation), control.c (the socket),
 * notify.c (what the module tells of itself), record.c (state.json, exit.json, what /proc knows),
 * text.c (formatting without stdio), and the sandbox: cgroup.c with cgroup-limits.c, egress.c,
 * mounts.c with expose.c, capability.c, landlock.c, seccomp.c with syscalls.c, gaps.c (what the
 * kernel lacks) and probe.c (all of it tried out for `weir check`).
 */
#ifndef WEIR_SHIM_H
#define WEIR_SHIM_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#define _FILE_OFFSET_BITS 64
#define _TIME_BITS 64 /* armhf: wall time must work after 2038 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

enum { EXIT_USAGE = 64, EXIT_OS = 71, EXIT_LOCKED = 73 }; /* names and numbers of sysexits.h */

enum {
  RLIMITS_MAX = 16,
  KEEP_FDS_MAX = 16,
  GROUPS_MAX = 16,
  CLIENTS_MAX = 8,
  LOG_FILES_MAX = 99,
  LOG_BYTES_MIN = 16 * 1024, /* more than one split line with its prefix */
  LINE_BYTES_MAX = 8 * 1024,
  RECORD_BYTES_MAX = 2048,
  NOTIFY_LINE_MAX = 4096,
  NOTIFY_STATUS_MAX = 512, /* of a STATUS; six times that as JSON */
  PATHS_MAX = 64,          /* of one option */
  CGROUP_NAME_MAX = 100,   /* a directory name holds 255, and a digest follows */
  CPU_SHARE_ONE = 1000,    /* --cpus is kept in thousandths */
  IO_WEIGHT_MAX = 10000,
  MEMORY_BYTES_MIN = 1024 * 1024, /* less does not hold the program itself */
  TMP_BYTES_DEFAULT = 64 * 1024 * 1024,
  GRACE_MS_DEFAULT = 10 * 1000,
  GRACE_MS_MAX = 3600 * 1000
};

struct rlimit_choice {
  int resource;
  struct rlimit value;
};

/* Absolute, as they stood on the command line. */
struct paths {
  const char *at[PATHS_MAX];
  int count;
};

/* 0 means: no limit. */
struct limits {
  int64_t memory_bytes;
  int64_t cpu_share; /* in thousandths of one processor */
  int64_t pids;
  int64_t io_weight;
  int64_t io_bytes; /* a second, reading and writing alike, for each disk */
};

enum egress { EGRESS_ANY, EGRESS_LOCAL, EGRESS_NONE };

struct options {
  const char *dir;
  const char *log_path;
  const char *cwd;
  int64_t log_bytes;
  int log_files;
  bool drop_identity;
  uid_t uid;
  gid_t gid;
  gid_t groups[GROUPS_MAX];
  int group_count;
  bool no_new_privs;
  struct rlimit_choice rlimits[RLIMITS_MAX];
  int rlimit_count;
  int keep_fds[KEEP_FDS_MAX];
  int keep_fd_count;
  int64_t grace_ms;
  int stop_signal;
  const char *notify_path;
  const char *cgroup;
  struct limits limits;
  bool drop_capabilities;
  uint64_t keep_capabilities; /* a bit for each number of linux/capability.h */
  bool private_tmp;
  int64_t tmp_bytes;
  bool read_only_root;
  struct paths writable, readable, hidden, devices;
  enum egress egress;
  bool seccomp;
  bool landlock;
  char **argv; /* the module's, NULL-terminated */
};

/* options.c: ends the process with EXIT_USAGE and a message on stderr when argv is wrong. */
void options_parse(struct options *options, int argc, char **argv);
_Noreturn void usage(const char *what, const char *which);
int64_t option_number(const char *name, const char *words, int64_t max);
const char *option_absolute(const char *name, const char *path);

/* options-sandbox.c: false when `name` is none of its options. */
bool sandbox_flag(struct options *options, const char *name);
bool sandbox_option(struct options *options, const char *name, const char *value);
void sandbox_check(struct options *options); /* combinations, and what follows from them */

/* capability.c */
int capability_number(const char *name); /* NET_RAW, cap_net_raw; -1 when unknown */
bool capability_kept(const struct options *options, const char *name);
void capabilities_bound(const struct options *options); /* before the identity is dropped */
void capabilities_keep(const struct options *options);  /* after it */

#define CGROUP_OF_MODULES "/weir.modules"

/* cgroup.c: the shim makes, kills and removes it, the child joins it. */
void cgroup_make(const struct options *options);
void cgroup_join(void);
void cgroup_kill(void);
void cgroup_remove(void);
void cgroup_sweep(const struct options *options); /* kills and removes what a killed shim left */
const char *cgroup_generation(void); /* 2, 1, hybrid, none */
int cgroup_unified_fd(void);     /* -1: there is none */
int64_t cgroup_oom_kills(void);  /* processes taken for want of memory; -1: unknown */

/* egress.c */
void egress_local(void); /* the shim's side */
bool egress_none(void);  /* the child's side; false: a filter has to do it */

/* mounts.c: a mount namespace as the options say; the child's side, as root. */
void mounts_apply(const struct options *options);

/* landlock.c: prepared while paths can be opened, put in force when nothing else is to be done. */
int landlock_prepare(const struct options *options); /* a descriptor, -1: not to be, or a gap */
void landlock_restrict(int ruleset_fd);
int landlock_abi(void); /* 0: none */

/* seccomp.c */
bool seccomp_apply(const struct options *options, bool without_network);

/* gaps.c: what was wished for and is not in force. Set by the shim and by the child alike. */
enum gap {
  GAP_CGROUP,
  GAP_MEMORY,
  GAP_CPUS,
  GAP_PIDS,
  GAP_IO_WEIGHT,
  GAP_IO_BYTES,
  GAP_EGRESS,
  GAP_PRIVATE_TMP,
  GAP_READ_ONLY_ROOT,
  GAP_HIDE,
  GAP_CAPABILITIES,
  GAP_KEEP_CAPABILITY,
  GAP_LANDLOCK,
  GAP_SIGNAL_SCOPE,
  GAP_SECCOMP,
  GAP_COUNT
};
struct text;
void gaps_init(void); /* before the fork */
void gap_set(enum gap gap, const char *step, int error); /* `step` is a literal; the first one stays */
bool gap_is_set(enum gap gap);
void gap_reason(enum gap gap, struct text *text); /* a line for people */
void gaps_json(struct text *text);           /* ["memory","landlock"] */
void gaps_reasons_json(struct text *text);   /* {"memory":"…","landlock":"…"} */

/* text.c */
struct text {
  char *start;
  size_t length;
  size_t capacity;
};
void text_init(struct text *text, char *memory, size_t capacity);
void text_add(struct text *text, const char *words);
void text_bytes(struct text *text, const char *bytes, size_t length);
void text_int(struct text *text, int64_t number);
void text_json(struct text *text, const char *words); /* with quotes and escapes, ASCII */
void text_json_utf8(struct text *text, const char *words); /* within quotes; what is not UTF-8 becomes ? */
void text_hex(struct text *text, uint32_t number);    /* 8 digits */
void text_utc(struct text *text, int64_t unix_ms);    /* 2026-11-21T09:12:44.123Z */
int64_t parse_int(const char *words, int64_t max);    /* -1 when it is no number in 0..max */
int64_t now_unix_ms(void);
int64_t now_monotonic_ms(void);
_Noreturn void die(int status, const char *what, const char *which, int error);

/* spawn.c */
struct child {
  pid_t pid;
  int out_fd; /* -1 once at its end */
  int err_fd;
  int setup_step; /* index into spawn_step_name, when setup_error is not 0 */
  int setup_error;
};
void shut_in(const struct options *options, int report_fd, pid_t shim_pid); /* the child's side */
void spawn_module(const struct options *options, struct child *child);
const char *spawn_step_name(int step);

/* log.c */
enum stream { STREAM_OUT, STREAM_ERR };
void log_open(const char *path, int64_t bytes_max, int files);
bool log_copy(enum stream stream, int fd); /* one bounded read; false at the end of the stream */
void log_remark(const char *words);        /* a line of the shim itself */
void log_finish(void);                     /* writes unfinished lines */
int64_t log_dropped_bytes(void);

/* control.c */
struct pollfd;
enum command { COMMAND_TERM, COMMAND_KILL, COMMAND_GRACE };
typedef void command_fn(enum command command, int64_t argument);
void control_listen(void); /* ctl.sock in the current directory */
int control_poll_set(struct pollfd *set);
void control_serve(const struct pollfd *set, int count, const char *greeting, command_fn *act);
void control_greet_also(const char *line); /* after the greeting; "" for nothing */
void control_broadcast(const char *line);
void control_close(void);

/* probe.c */
_Noreturn void probe(void); /* tries everything, prints JSON, ends the process */

/* notify.c */
void notify_listen(const struct options *options);
int notify_fd(void); /* -1: there is none */
void notify_hear(void);
int notify_wait_ms(void);                /* until a line may be sent; -1: nothing is new */
bool notify_line(struct text *line);     /* what is new, once, when it is time; keeps notify.json */
bool notify_greeting(struct text *line); /* what holds; false when nothing was ever told */
void notify_close(void);

/* record.c */
struct life {
  pid_t pid;
  int64_t started_unix_ms;
  int64_t started_monotonic_ms;
};
void record_state(const struct life *life, struct text *line); /* writes state.json */
struct ending {
  int wait_status;
  bool exec_failed;
  const char *message;
  bool killed_by_shim;
  int64_t oom_kills; /* in the module's cgroup; -1: unknown */
};
void record_exit(const struct life *life, const struct ending *ending, struct text *line);
void write_record(const char *name, const char *temporary, const struct text *text, bool sync);
int64_t stat_field(pid_t pid, int field); /* of /proc/PID/stat; -1: no such process */
size_t read_small_file(const char *path, char *buffer, size_t capacity);

#endif
