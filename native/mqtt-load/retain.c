/* Mode retain: --count retained messages stored (QoS 1, acknowledged), then some looked up one by one through a
 * SUBSCRIBE of exactly their topic, then all of them at once through one wildcard subscription. A connection looks
 * up few enough topics that a broker's limit of subscriptions for one client is not what is measured.
 */
#include "load.h"

enum { GROUP = 100, LOOKUPS_MAX = 10000, LOOKUPS_EACH = 500, LOOKUP_WINDOW = 50, STRIDE = 7919, SECONDS_MAX = 10 };

static uint64_t acked, found, refused;

static void on_packet(struct connection *c, const struct packet *p) {
  (void)c;
  if (p->first >> 4 == PUBACK) {
    acked++;
    if (reason_of(p) >= 0x80) refused++;
  }
  if (p->first >> 4 != PUBLISH) return;
  struct publication message;
  read_publish(p, &message);
  if (!message.retain) fail("a retained message came without its flag");
  if (!is_intact(&message)) fail("a retained message came damaged");
  found++;
}

static void topic_of(char *into, uint64_t number) {
  snprintf(into, TOPIC_BYTES_MAX, "%s/r/%llu/%llu", options.prefix, (unsigned long long)(number / GROUP),
           (unsigned long long)(number % GROUP));
}

static void store(struct connection *c, uint64_t count) {
  struct template message = {.qos = 1};
  int window = options.window < c->receive_maximum ? options.window : c->receive_maximum;
  for (uint64_t sent = 0; acked < count;) {
    for (; sent < count && sent - acked < (uint64_t)window; sent++) {
      char topic[TOPIC_BYTES_MAX];
      topic_of(topic, sent);
      make_template(&message, topic, true);
      put_publish(c, &message, now_ns(), (uint32_t)sent);
    }
    flush(c);
    turn(TURN_NS);
    if (connections_gone > 0) fail("the broker closed the connection after %llu messages", (unsigned long long)acked);
  }
}

/* How many of `count` were answered before the time was over. */
static uint64_t look_up(uint64_t count, uint64_t stored) {
  uint64_t until = now_ns() + SECONDS_MAX * SECOND_NS, base = found;
  for (uint64_t asked = 0; asked < count && now_ns() < until;) {
    struct connection *c = zeroed(1, sizeof *c);
    dial_all(c, 1, "retain-ask");
    uint64_t first = asked, last = count - asked > LOOKUPS_EACH ? asked + LOOKUPS_EACH : count;
    while ((first + c->subacks < last || found - base < last) && now_ns() < until) {
      for (; asked < last && asked - first - c->subacks < LOOKUP_WINDOW; asked++) {
        char topic[TOPIC_BYTES_MAX];
        topic_of(topic, asked * STRIDE % stored);
        put_subscribe(c, topic, 0);
      }
      flush(c);
      turn(TURN_NS);
    }
    leave(c);
    connections_gone = 0;
  }
  return found - base;
}

void run_retain(void) {
  uint64_t count = options.count > 0 ? options.count : 10000, lookups = count < LOOKUPS_MAX ? count : LOOKUPS_MAX;
  struct connection *publisher = zeroed(1, sizeof *publisher), *all = zeroed(1, sizeof *all);
  reactions = (struct reactions){.packet = on_packet, .ready = flush};
  dial_all(publisher, 1, "retain-pub");
  long before_kb = broker_kb("VmRSS");
  struct usage from = usage_now();
  store(publisher, count);
  struct usage stored = usage_now();
  long after_kb = broker_kb("VmRSS");
  struct usage begun = usage_now();
  uint64_t exact = look_up(lookups, count);
  struct usage looked = usage_now();
  dial_all(all, 1, "retain-all");
  found = 0;
  char filter[TOPIC_BYTES_MAX];
  snprintf(filter, sizeof filter, "%s/r/#", options.prefix);
  struct usage asked = usage_now();
  put_subscribe(all, filter, 0);
  flush(all);
  while (found < count && now_ns() - asked.at_ns < SECONDS_MAX * SECOND_NS) turn(TURN_NS);
  double store_s = (double)(stored.at_ns - from.at_ns) / 1e9, look_s = (double)(looked.at_ns - begun.at_ns) / 1e9;
  double all_s = (double)(now_ns() - asked.at_ns) / 1e9;
  print_head();
  printf(",\"count\":%llu,\"storedPerSecond\":%.0f,\"storeCpuUs\":%.2f,\"refused\":%llu,\"rssBeforeKb\":%ld,\"rssAfterKb\":%ld",
         (unsigned long long)count, (double)count / store_s, (stored.broker_s - from.broker_s) * 1e6 / (double)count,
         (unsigned long long)refused, before_kb, after_kb);
  printf(",\"lookups\":%llu,\"found\":%llu,\"lookupsPerSecond\":%.0f,\"lookupCpuUs\":%.2f", (unsigned long long)lookups,
         (unsigned long long)exact, (double)exact / look_s, exact == 0 ? 0 : (looked.broker_s - begun.broker_s) * 1e6 / (double)exact);
  printf(",\"wildcardFound\":%llu,\"wildcardSeconds\":%.3f}\n", (unsigned long long)found, all_s);
}
