/* mqtt-load: puts load on an MQTT broker and checks every message. One JSON line on stdout per run; README.md
 * tells the modes and what the fields mean. Ends with 2 and a line on stderr when a run is not what was asked for.
 */
#include "load.h"

#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct options options = {
    .mode = "pubsub",
    .host = "127.0.0.1",
    .topology = "pairs",
    .tag = "",
    .prefix = "load",
    .client_id = "mqtt-load",
    .port = 1883,
    .version = 4,
    .bytes = PAYLOAD_BYTES_MIN,
    .publishers = 1,
    .subscribers = 1,
    .window = 100,
    .concurrency = 50,
    .sources = 1,
    .seconds = 5,
    .warmup = 1,
    .drain = 3,
    .hold = 1,
};

void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("mqtt-load: ", stderr);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  exit(2);
}

enum kind { TEXT, WHOLE, COUNT, REAL, YES };

static const struct {
  const char *name;
  enum kind kind;
  void *into;
} known[] = {
    {"mode", TEXT, &options.mode},
    {"host", TEXT, &options.host},
    {"topology", TEXT, &options.topology},
    {"tag", TEXT, &options.tag},
    {"prefix", TEXT, &options.prefix},
    {"client-id", TEXT, &options.client_id},
    {"port", WHOLE, &options.port},
    {"version", WHOLE, &options.version},
    {"qos", WHOLE, &options.qos},
    {"bytes", WHOLE, &options.bytes},
    {"publishers", WHOLE, &options.publishers},
    {"subscribers", WHOLE, &options.subscribers},
    {"window", WHOLE, &options.window},
    {"concurrency", WHOLE, &options.concurrency},
    {"sources", WHOLE, &options.sources},
    {"pid", WHOLE, &options.pid},
    {"seconds", REAL, &options.seconds},
    {"warmup", REAL, &options.warmup},
    {"rate", REAL, &options.rate},
    {"drain", REAL, &options.drain},
    {"hold", REAL, &options.hold},
    {"count", COUNT, &options.count},
    {"tls", YES, &options.tls},
    {"flood", YES, &options.flood},
    {"subscribe", YES, &options.subscribe},
};

static const struct {
  const char *name;
  void (*run)(void);
} modes[] = {
    {"pubsub", run_pubsub}, {"connect", run_churn}, {"idle", run_idle}, {"retain", run_retain},
    {"queue", run_queue},   {"drain", run_drain},   {"sink", run_sink},
};

static void set_option(const char *name, const char *value) {
  for (size_t at = 0; at < sizeof known / sizeof *known; at++) {
    if (strcmp(known[at].name, name) != 0) continue;
    char *end = (char *)"";
    switch (known[at].kind) {
      case TEXT: *(const char **)known[at].into = value; break;
      case WHOLE: *(int *)known[at].into = (int)strtol(value, &end, 10); break;
      case COUNT: *(uint64_t *)known[at].into = strtoull(value, &end, 10); break;
      case REAL: *(double *)known[at].into = strtod(value, &end); break;
      case YES: *(bool *)known[at].into = strtol(value, &end, 10) != 0; break;
    }
    if (*end != 0) fail("--%s %s is not a number", name, value);
    return;
  }
  fail("there is no option --%s", name);
}

static void check_options(void) {
  if (options.version != 4 && options.version != 5) fail("--version is 4 (3.1.1) or 5");
  if (options.qos < 0 || options.qos > 2) fail("--qos is 0, 1 or 2");
  if (options.bytes < PAYLOAD_BYTES_MIN) fail("--bytes is at least %d: every payload carries its number", PAYLOAD_BYTES_MIN);
  if (options.publishers < 1 || options.subscribers < 1 || options.window < 1 || options.concurrency < 1)
    fail("--publishers, --subscribers, --window and --concurrency are at least 1");
  if (options.window >= PACKET_IDS) fail("--window is at most %d", PACKET_IDS - 1);
  if (options.sources < 1 || options.sources > 250) fail("--sources is 1 to 250");
}

void print_head(void) {
  printf("{\"tag\":\"%s\",\"mode\":\"%s\",\"version\":%d,\"qos\":%d,\"bytes\":%d", options.tag, options.mode,
         options.version, options.qos, options.bytes);
}

int main(int argc, char **argv) {
  for (int at = 1; at < argc; at += 2) {
    if (strncmp(argv[at], "--", 2) != 0 || at + 1 == argc) fail("options are --name value, this is %s", argv[at]);
    set_option(argv[at] + 2, argv[at + 1]);
  }
  check_options();
  signal(SIGPIPE, SIG_IGN);
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
  loop_open();
  for (size_t at = 0; at < sizeof modes / sizeof *modes; at++)
    if (strcmp(modes[at].name, options.mode) == 0) {
      modes[at].run();
      return 0;
    }
  fail("there is no --mode %s", options.mode);
}
