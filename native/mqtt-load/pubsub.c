/* Mode pubsub: publishers and subscribers, and where every message is.
 *
 *   fanin   all publishers, each with its topic, to one subscription on prefix/+/t (for each subscriber)
 *   fanout  the publishers of one topic, prefix/0/t, to all subscribers
 *   pairs   publisher i to subscriber i on prefix/i/t
 *
 * Closed loop (no --rate): each publisher keeps --window messages under way. At QoS 1 and 2 a message is under way
 * until its acknowledgement, at QoS 0 until every subscriber has it; when that ends for a second (the broker
 * dropped messages), what is missing is written off as lost, or the loop would stand still for ever.
 * Open loop (--rate): message k is due at start + k/rate, whatever the broker does, and carries that time: waiting
 * for a slow broker counts as latency.
 * Flood (--flood): as much as the socket takes; QoS 0 shows what the broker drops.
 *
 * Messages still under way at the end of the measurement are waited for (--drain seconds) before losses are counted.
 */
#include "load.h"

#include <string.h>

enum { FLOOD_BYTES = 65536, BACKLOG_BYTES_MAX = 4 << 20, QUIET_CHECKS_MAX = 2, CLOSED_LOOP_BATCH_BYTES = 262144 };
#define CHECK_NS (SECOND_NS / 2)

struct publisher {
  struct template message;
  uint32_t sequence, due;
  int64_t under_way;
  uint64_t sent, delivered, delivered_before, written_off;
  unsigned quiet_checks;
  uint64_t *time_by_id;
};

static struct connection *senders, *receivers;
static struct publisher *publishers;
static struct sequence **sequences;
static struct ledger ledger;
static struct histogram latency, ack_latency, lag;
static uint32_t sender_count, receiver_count, copies;
static bool measuring, sending, is_pairs;
static uint64_t start_ns, scheduled, sent, acked, measured_received, measured_acked, received, misrouted, damaged,
    flagged, refused, stalls;

static uint64_t due_ns(uint64_t message) { return start_ns + (uint64_t)((double)message * 1e9 / options.rate); }

/* How many messages a publisher may have under way more than it has. */
static int64_t window_left(const struct connection *c, const struct publisher *p) {
  if (options.qos > 0) {
    int64_t window = options.window < c->receive_maximum ? options.window : c->receive_maximum;
    return window - p->under_way;
  }
  if (options.flood) return unsent(c) < FLOOD_BYTES ? (int64_t)(FLOOD_BYTES / p->message.length) + 1 : 0;
  if (options.rate > 0) return unsent(c) < BACKLOG_BYTES_MAX ? INT32_MAX : 0;
  uint64_t open = p->sent * copies - p->delivered - p->written_off;
  return options.window - (int64_t)((open + copies - 1) / copies);
}

/* How many it may add now. */
static int64_t allowance(const struct connection *c, const struct publisher *p) {
  int64_t left = window_left(c, p);
  if (options.count == 0) return left;
  int64_t wanted = (int64_t)(options.count - sent);
  return wanted < left ? wanted : left;
}

static void add_message(struct connection *c, struct publisher *p, uint64_t time_ns) {
  put_publish(c, &p->message, time_ns, p->sequence++);
  if (options.qos > 0) {
    p->under_way++;
    p->time_by_id[c->packet_id] = time_ns;
  }
  p->sent++;
  sent++;
}

static void top_up(struct connection *c) {
  struct publisher *p = c->owner;
  if (p != NULL && sending && c->up) {
    int64_t free_places = allowance(c, p);
    if (options.rate > 0) {
      uint64_t now = free_places > 0 && p->sequence < p->due ? now_ns() : 0;
      for (; free_places > 0 && p->sequence < p->due; free_places--) {
        uint64_t due = due_ns((uint64_t)p->sequence * sender_count + c->number);
        if (measuring) histogram_add(&lag, now > due ? now - due : 0);
        add_message(c, p, due);
      }
    } else if (free_places > 0) {
      uint64_t now = now_ns();
      for (; free_places > 0 && unsent(c) < CLOSED_LOOP_BATCH_BYTES; free_places--) add_message(c, p, now);
    }
  }
  if (unsent(c) > 0) flush(c);
}

static void on_message(struct connection *c, const struct packet *packet) {
  struct publication message;
  read_publish(packet, &message);
  if (message.qos == 1) put_ack(c, PUBACK << 4, message.packet_id);
  else if (message.qos == 2) put_ack(c, PUBREC << 4, message.packet_id);
  received++;
  if (message.duplicate) flagged++;
  if (!is_intact(&message)) damaged++;
  if (message.publisher >= sender_count || (is_pairs && message.publisher != c->number)) {
    misrouted++;
    return;
  }
  ledger_enter(&ledger, &sequences[c->number][is_pairs ? 0 : message.publisher], message.sequence);
  publishers[message.publisher].delivered++;
  if (options.qos == 0 && options.rate == 0) mark(&senders[message.publisher]);
  if (!measuring) return;
  measured_received++;
  histogram_add(&latency, packet->at_ns > message.time_ns ? packet->at_ns - message.time_ns : 0);
}

static void on_acked(struct connection *c, const struct packet *packet) {
  struct publisher *p = c->owner;
  if (p == NULL) fail("a subscriber got packet type %d", packet->first >> 4);
  if (reason_of(packet) >= 0x80) refused++;
  p->under_way--;
  acked++;
  mark(c);
  if (!measuring) return;
  measured_acked++;
  uint64_t time_ns = p->time_by_id[packet_id_of(packet)];
  histogram_add(&ack_latency, packet->at_ns > time_ns ? packet->at_ns - time_ns : 0);
}

static void on_packet(struct connection *c, const struct packet *packet) {
  switch (packet->first >> 4) {
    case PUBLISH: on_message(c, packet); break;
    case PUBACK: case PUBCOMP: on_acked(c, packet); break;
    case PUBREC:
      if (reason_of(packet) >= 0x80) on_acked(c, packet);
      else {
        put_ack(c, PUBREL << 4 | 2, packet_id_of(packet));
        mark(c);
      }
      break;
    case PUBREL: put_ack(c, PUBCOMP << 4, packet_id_of(packet)); break;
    case CONNACK: case SUBACK: break;
    default: fail("unexpected packet type %d", packet->first >> 4);
  }
}

static void open_receivers(bool is_fanin) {
  dial_all(receivers, receiver_count, "sub");
  for (uint32_t at = 0; at < receiver_count; at++) {
    char filter[TOPIC_BYTES_MAX];
    if (is_fanin) snprintf(filter, sizeof filter, "%s/+/t", options.prefix);
    else snprintf(filter, sizeof filter, "%s/%u/t", options.prefix, is_pairs ? at : 0);
    sequences[at] = zeroed(is_pairs ? 1 : sender_count, sizeof **sequences);
    put_subscribe(&receivers[at], filter, options.qos);
    flush(&receivers[at]);
  }
  uint64_t until = now_ns() + 30 * SECOND_NS;
  for (uint32_t at = 0; at < receiver_count;) {
    if (receivers[at].subacks > 0) at++;
    else turn(TURN_NS);
    if (now_ns() > until) fail("no SUBACK for 30 s");
  }
}

static void open_senders(bool is_fanout) {
  dial_all(senders, sender_count, "pub");
  for (uint32_t at = 0; at < sender_count; at++) {
    char topic[TOPIC_BYTES_MAX];
    snprintf(topic, sizeof topic, "%s/%u/t", options.prefix, is_fanout ? 0 : at);
    publishers[at].message.qos = options.qos;
    make_template(&publishers[at].message, topic, false);
    if (options.qos > 0) publishers[at].time_by_id = zeroed(PACKET_IDS, sizeof(uint64_t));
    senders[at].owner = &publishers[at];
  }
}

static void write_off_stalled(void) {
  for (uint32_t at = 0; at < sender_count; at++) {
    struct publisher *p = &publishers[at];
    bool quiet = allowance(&senders[at], p) <= 0 && p->delivered == p->delivered_before;
    p->delivered_before = p->delivered;
    p->quiet_checks = quiet ? p->quiet_checks + 1 : 0;
    if (p->quiet_checks < QUIET_CHECKS_MAX) continue;
    p->written_off = p->sent * copies - p->delivered;
    p->quiet_checks = 0;
    stalls++;
    mark(&senders[at]);
  }
}

/* Hands out what has become due; tells how long nothing more will. */
static int64_t schedule(uint64_t now) {
  if (options.rate == 0) return TURN_NS;
  for (uint64_t next; (next = due_ns(scheduled)) <= now; scheduled++) {
    struct connection *c = &senders[scheduled % sender_count];
    publishers[scheduled % sender_count].due++;
    mark(c);
  }
  int64_t wait = (int64_t)(due_ns(scheduled) - now_ns());
  return wait < 0 ? 0 : wait > TURN_NS ? TURN_NS : wait;
}

static bool is_complete(void) {
  return ledger.received >= sent * copies && (options.qos == 0 || acked >= sent);
}

static void settle(void) {
  sending = measuring = false;
  uint64_t until = now_ns() + (uint64_t)(options.drain * 1e9);
  while (!is_complete() && now_ns() < until && connections_gone == 0) turn(TURN_NS);
}

static void report(const struct usage from, const struct usage to, long before_kb) {
  double seconds = (double)(to.at_ns - from.at_ns) / 1e9, broker_s = to.broker_s - from.broker_s;
  uint64_t expected = sent * copies;
  print_head();
  printf(",\"topology\":\"%s\",\"publishers\":%u,\"subscribers\":%u,\"window\":%d,\"rate\":%.0f,\"seconds\":%.3f",
         options.topology, sender_count, receiver_count, options.window, options.rate, seconds);
  printf(",\"receivedPerSecond\":%.0f,\"ackedPerSecond\":%.0f", (double)measured_received / seconds,
         (double)measured_acked / seconds);
  print_histogram("latencyUs", &latency);
  if (options.qos > 0) print_histogram("ackLatencyUs", &ack_latency);
  if (options.rate > 0) print_histogram("sendLagUs", &lag);
  printf(",\"sent\":%llu,\"acked\":%llu,\"expected\":%llu,\"received\":%llu,\"lost\":%llu,\"duplicates\":%llu",
         (unsigned long long)sent, (unsigned long long)acked, (unsigned long long)expected,
         (unsigned long long)ledger.received, (unsigned long long)(expected - ledger.received),
         (unsigned long long)ledger.duplicates);
  printf(",\"reordered\":%llu,\"misrouted\":%llu,\"damaged\":%llu,\"flaggedDuplicate\":%llu,\"refused\":%llu",
         (unsigned long long)ledger.reordered, (unsigned long long)misrouted, (unsigned long long)damaged,
         (unsigned long long)flagged, (unsigned long long)refused);
  printf(",\"stalls\":%llu,\"closed\":%u,\"brokerCpu\":%.4f,\"brokerCpuUsPerMessage\":%.4f,\"generatorCpu\":%.4f",
         (unsigned long long)stalls, connections_gone, broker_s / seconds,
         measured_received == 0 ? 0 : broker_s * 1e6 / (double)measured_received, (to.own_s - from.own_s) / seconds);
  printf(",\"rssBeforeKb\":%ld,\"rssAfterKb\":%ld,\"rssPeakKb\":%ld}\n", before_kb, broker_kb("VmRSS"),
         broker_kb("VmHWM"));
}

static void prepare(void) {
  is_pairs = strcmp(options.topology, "pairs") == 0;
  bool is_fanin = strcmp(options.topology, "fanin") == 0, is_fanout = strcmp(options.topology, "fanout") == 0;
  if (!is_pairs && !is_fanin && !is_fanout) fail("--topology is pairs, fanin or fanout");
  sender_count = (uint32_t)options.publishers;
  receiver_count = is_pairs ? sender_count : (uint32_t)options.subscribers;
  copies = is_pairs ? 1 : receiver_count;
  senders = zeroed(sender_count, sizeof *senders);
  receivers = zeroed(receiver_count, sizeof *receivers);
  publishers = zeroed(sender_count, sizeof *publishers);
  sequences = zeroed(receiver_count, sizeof *sequences);
  reactions = (struct reactions){.packet = on_packet, .ready = top_up};
  open_receivers(is_fanin);
  open_senders(is_fanout);
}

void run_pubsub(void) {
  prepare();
  long before_kb = broker_kb("VmRSS");
  struct usage from = {0};
  start_ns = now_ns();
  uint64_t measure_ns = start_ns + (uint64_t)(options.warmup * 1e9), check_ns = start_ns + CHECK_NS;
  uint64_t end_ns = measure_ns + (uint64_t)(options.seconds * 1e9);
  sending = true;
  if (options.rate == 0) for (uint32_t at = 0; at < sender_count; at++) mark(&senders[at]);
  for (;;) {
    uint64_t now = now_ns();
    if (!measuring && now >= measure_ns) {
      measuring = true;
      from = usage_now();
    }
    if (now >= end_ns || (options.count > 0 && sent >= options.count && is_complete())) break;
    if (connections_gone > 0) fail("the broker closed %u connections", connections_gone);
    if (now >= check_ns) {
      check_ns = now + CHECK_NS;
      if (options.qos == 0 && options.rate == 0 && !options.flood) write_off_stalled();
    }
    turn(schedule(now));
  }
  struct usage to = usage_now();
  settle();
  report(from, to, before_kb);
  for (uint32_t at = 0; at < sender_count; at++) leave(&senders[at]);
  for (uint32_t at = 0; at < receiver_count; at++) leave(&receivers[at]);
}
