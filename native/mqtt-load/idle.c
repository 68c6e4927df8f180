/* Mode idle: --count connections that do nothing, and what they cost the broker. With --subscribe 1 each has one
 * subscription of its own. Memory is read after --hold seconds of silence, then processor time of one more
 * second; at last every connection is asked with PINGREQ whether it still lives.
 */
#include "load.h"

static uint32_t answers;

static void on_packet(struct connection *c, const struct packet *p) {
  (void)c;
  if (p->first >> 4 == PINGRESP) answers++;
}

static void wait_until(uint64_t end_ns) {
  while (now_ns() < end_ns) turn(TURN_NS);
}

static void subscribe_all(struct connection *all, uint32_t count) {
  for (uint32_t at = 0; at < count; at++) {
    char filter[TOPIC_BYTES_MAX];
    snprintf(filter, sizeof filter, "%s/%u/command", options.prefix, at);
    put_subscribe(&all[at], filter, 1);
    flush(&all[at]);
    while (at >= (uint32_t)options.concurrency && all[at - (uint32_t)options.concurrency].subacks == 0) turn(TURN_NS);
  }
  for (uint32_t at = 0; at < count; at++)
    while (all[at].subacks == 0 && connections_gone == 0) turn(TURN_NS);
}

void run_idle(void) {
  uint32_t count = options.count > 0 ? (uint32_t)options.count : 1000;
  struct connection *all = zeroed(count, sizeof *all);
  reactions = (struct reactions){.packet = on_packet, .ready = flush};
  long before_kb = broker_kb("VmRSS");
  struct usage from = usage_now();
  dial_all(all, count, "idle");
  if (options.subscribe) subscribe_all(all, count);
  struct usage up = usage_now();
  wait_until(up.at_ns + (uint64_t)(options.hold * 1e9));
  long after_kb = broker_kb("VmRSS");
  struct usage quiet = usage_now();
  wait_until(quiet.at_ns + SECOND_NS);
  struct usage later = usage_now();
  for (uint32_t at = 0; at < count; at++) {
    uint8_t *bytes = room(&all[at], 2);
    bytes[0] = PINGREQ << 4;
    bytes[1] = 0;
    all[at].out.to += 2;
    flush(&all[at]);
    if (at % 256 == 0) turn(0);
  }
  uint64_t until = now_ns() + 30 * SECOND_NS;
  while (answers < count && now_ns() < until) turn(TURN_NS);
  double seconds = (double)(up.at_ns - from.at_ns) / 1e9;
  print_head();
  printf(",\"connections\":%u,\"tls\":%s,\"subscribed\":%s,\"connectSeconds\":%.2f,\"connectsPerSecond\":%.0f", count,
         options.tls ? "true" : "false", options.subscribe ? "true" : "false", seconds, count / seconds);
  printf(",\"brokerCpuUsPerConnect\":%.1f,\"rssBeforeKb\":%ld,\"rssAfterKb\":%ld,\"bytesPerConnection\":%.0f",
         (up.broker_s - from.broker_s) * 1e6 / count, before_kb, after_kb, (double)(after_kb - before_kb) * 1024 / count);
  printf(",\"idleCpu\":%.4f,\"answered\":%u,\"closed\":%u}\n",
         (later.broker_s - quiet.broker_s) / ((double)(later.at_ns - quiet.at_ns) / 1e9), answers, connections_gone);
}
