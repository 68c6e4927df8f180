/* Mode connect: handshakes for their own sake. Each of --concurrency places dials, waits for CONNACK, says
 * DISCONNECT, closes and begins again, from --sources addresses in turn so that closed ports may rest.
 */
#include "load.h"

#include <unistd.h>

static struct histogram latency;
static uint64_t begun, done, failed;
static bool measuring;

static void begin(struct connection *c) {
  char client_id[64];
  snprintf(client_id, sizeof client_id, "churn-%d-%llu", (int)getpid(), (unsigned long long)begun++);
  c->since_ns = now_ns();
  c->number = (uint32_t)begun;
  if (!dial(c, client_id, true)) failed++;
}

static void renew(struct connection *c) {
  if (c->up) {
    if (measuring) {
      histogram_add(&latency, now_ns() - c->since_ns);
      done++;
    }
    leave(c);
  } else if (c->closed) failed++;
  else return;
  begin(c);
}

void run_churn(void) {
  int places = options.concurrency;
  struct connection *all = zeroed((size_t)places, sizeof *all);
  for (int at = 0; at < places; at++) begin(&all[at]);
  uint64_t measure_ns = now_ns() + (uint64_t)(options.warmup * 1e9);
  uint64_t end_ns = measure_ns + (uint64_t)(options.seconds * 1e9);
  struct usage from = {0};
  for (uint64_t now; (now = now_ns()) < end_ns;) {
    if (!measuring && now >= measure_ns) {
      measuring = true;
      from = usage_now();
    }
    turn(TURN_NS);
    for (int at = 0; at < places; at++) renew(&all[at]);
  }
  struct usage to = usage_now();
  double seconds = (double)(to.at_ns - from.at_ns) / 1e9, broker_s = to.broker_s - from.broker_s;
  print_head();
  printf(",\"concurrency\":%d,\"seconds\":%.3f,\"connectsPerSecond\":%.0f,\"failed\":%llu", places, seconds,
         (double)done / seconds, (unsigned long long)failed);
  print_histogram("latencyUs", &latency);
  printf(",\"brokerCpu\":%.4f,\"brokerCpuUsPerConnect\":%.2f,\"generatorCpu\":%.4f,\"rssAfterKb\":%ld}\n",
         broker_s / seconds, done == 0 ? 0 : broker_s * 1e6 / (double)done, (to.own_s - from.own_s) / seconds,
         broker_kb("VmRSS"));
}
