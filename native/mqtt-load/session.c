/* Modes queue and drain: persistent sessions whose clients are away, and their return.
 *
 * queue: --subscribers sessions subscribe prefix/q/i and leave; --publishers send --count acknowledged messages in
 * all, publisher p to session p mod subscribers. The sessions stay.
 * drain: the same sessions come back (same --client-id) and take what was kept; the ledger tells what is missing,
 * doubled or out of order. The broker may be restarted in between: that is what these are two runs for.
 */
#include "load.h"

#include <string.h>

enum { SECONDS_MAX = 60, QUIET_SECONDS_MAX = 3 };

static struct connection *sessions, *senders;
static struct template *messages;
static uint32_t *sequence_numbers;
static struct sequence **sequences;
static struct ledger ledger;
static uint64_t sent, acked, refused, damaged, flagged, last_ns;
static uint32_t session_count, sender_count;

static void come(bool must_be_known) {
  sessions = zeroed(session_count, sizeof *sessions);
  uint32_t base = connections_up;
  for (uint32_t at = 0; at < session_count; at++) {
    char client_id[TOPIC_BYTES_MAX];
    snprintf(client_id, sizeof client_id, "%s-%u", options.client_id, at);
    sessions[at].number = at;
    if (!dial(&sessions[at], client_id, false)) fail("cannot connect session %u", at);
  }
  uint64_t until = now_ns() + SECONDS_MAX * SECOND_NS;
  while (connections_up - base < session_count && connections_gone == 0 && now_ns() < until) turn(TURN_NS);
  if (connections_up - base < session_count) fail("not every session was accepted");
  for (uint32_t at = 0; must_be_known && at < session_count; at++)
    if (!sessions[at].session_present) fail("session %u is not known any more", at);
}

static void subscribe_and_leave(void) {
  for (uint32_t at = 0; at < session_count; at++) {
    char filter[TOPIC_BYTES_MAX];
    snprintf(filter, sizeof filter, "%s/q/%u", options.prefix, at);
    put_subscribe(&sessions[at], filter, options.qos);
    flush(&sessions[at]);
    while (sessions[at].subacks == 0) turn(TURN_NS);
  }
  for (uint32_t at = 0; at < session_count; at++) leave(&sessions[at]);
  connections_gone = 0;
}

static void send_more(struct connection *c) {
  if (c->owner != NULL) {
    int64_t *under_way = c->owner;
    int window = options.window < c->receive_maximum ? options.window : c->receive_maximum;
    for (; *under_way < window && sent < options.count; sent++, ++*under_way)
      put_publish(c, &messages[c->number], now_ns(), sequence_numbers[c->number]++);
  }
  flush(c);
}

static void on_answer(struct connection *c, const struct packet *p) {
  uint8_t type = p->first >> 4;
  if (type == PUBREC && reason_of(p) < 0x80) put_ack(c, PUBREL << 4 | 2, packet_id_of(p));
  else if (type == PUBACK || type == PUBCOMP || type == PUBREC) {
    if (reason_of(p) >= 0x80) refused++;
    acked++;
    --*(int64_t *)c->owner;
  } else return;
  mark(c);
}

void run_queue(void) {
  if (options.qos == 0) fail("--qos 1 or 2: a queue of QoS 0 messages is nobody's promise");
  session_count = (uint32_t)options.subscribers;
  sender_count = (uint32_t)options.publishers;
  come(false);
  subscribe_and_leave();
  reactions = (struct reactions){.packet = on_answer, .ready = send_more};
  senders = zeroed(sender_count, sizeof *senders);
  messages = zeroed(sender_count, sizeof *messages);
  sequence_numbers = zeroed(sender_count, sizeof *sequence_numbers);
  dial_all(senders, sender_count, "queue-pub");
  int64_t *under_way = zeroed(sender_count, sizeof *under_way);
  long before_kb = broker_kb("VmRSS");
  struct usage from = usage_now();
  for (uint32_t at = 0; at < sender_count; at++) {
    char topic[TOPIC_BYTES_MAX];
    snprintf(topic, sizeof topic, "%s/q/%u", options.prefix, at % session_count);
    messages[at].qos = options.qos;
    make_template(&messages[at], topic, false);
    senders[at].owner = &under_way[at];
    mark(&senders[at]);
  }
  while (acked < options.count && connections_gone == 0 && now_ns() - from.at_ns < SECONDS_MAX * SECOND_NS)
    turn(TURN_NS);
  struct usage to = usage_now();
  double seconds = (double)(to.at_ns - from.at_ns) / 1e9;
  print_head();
  printf(",\"sessions\":%u,\"count\":%llu,\"sent\":%llu,\"acked\":%llu,\"refused\":%llu,\"seconds\":%.3f,\"queuedPerSecond\":%.0f",
         session_count, (unsigned long long)options.count, (unsigned long long)sent, (unsigned long long)acked,
         (unsigned long long)refused, seconds, (double)acked / seconds);
  printf(",\"brokerCpuUsPerMessage\":%.3f,\"generatorCpu\":%.4f,\"closed\":%u,\"rssBeforeKb\":%ld,\"rssAfterKb\":%ld}\n",
         acked == 0 ? 0 : (to.broker_s - from.broker_s) * 1e6 / (double)acked, (to.own_s - from.own_s) / seconds,
         connections_gone, before_kb, broker_kb("VmRSS"));
}

static void on_kept(struct connection *c, const struct packet *p) {
  if (p->first >> 4 == PUBREL) put_ack(c, PUBCOMP << 4, packet_id_of(p));
  if (p->first >> 4 != PUBLISH) return;
  struct publication message;
  read_publish(p, &message);
  put_ack(c, message.qos == 2 ? PUBREC << 4 : PUBACK << 4, message.packet_id);
  if (message.publisher >= sender_count) fail("publisher %u is none of ours", message.publisher);
  if (message.duplicate) flagged++;
  if (!is_intact(&message)) damaged++;
  ledger_enter(&ledger, &sequences[c->number][message.publisher], message.sequence);
  last_ns = p->at_ns;
}

void run_drain(void) {
  session_count = (uint32_t)options.subscribers;
  sender_count = (uint32_t)options.publishers;
  sequences = zeroed(session_count, sizeof *sequences);
  for (uint32_t at = 0; at < session_count; at++) sequences[at] = zeroed(sender_count, sizeof **sequences);
  reactions = (struct reactions){.packet = on_kept, .ready = flush};
  long before_kb = broker_kb("VmRSS");
  struct usage from = usage_now();
  last_ns = from.at_ns;
  come(true);
  while (ledger.received < options.count && connections_gone == 0 &&
         now_ns() - last_ns < QUIET_SECONDS_MAX * SECOND_NS && now_ns() - from.at_ns < SECONDS_MAX * SECOND_NS)
    turn(TURN_NS);
  struct usage to = usage_now();
  double seconds = (double)(last_ns - from.at_ns) / 1e9;
  uint64_t settled_ns = now_ns() + SECOND_NS / 5; /* what comes now is a duplicate */
  while (now_ns() < settled_ns) turn(TURN_NS);
  for (uint32_t at = 0; at < session_count; at++) leave(&sessions[at]);
  print_head();
  printf(",\"sessions\":%u,\"count\":%llu,\"received\":%llu,\"lost\":%lld,\"duplicates\":%llu,\"reordered\":%llu,\"damaged\":%llu",
         session_count, (unsigned long long)options.count, (unsigned long long)ledger.received,
         (long long)(options.count - ledger.received), (unsigned long long)ledger.duplicates,
         (unsigned long long)ledger.reordered, (unsigned long long)damaged);
  printf(",\"flaggedDuplicate\":%llu,\"seconds\":%.3f,\"drainedPerSecond\":%.0f,\"brokerCpuUsPerMessage\":%.3f",
         (unsigned long long)flagged, seconds, seconds > 0 ? (double)ledger.received / seconds : 0,
         ledger.received == 0 ? 0 : (to.broker_s - from.broker_s) * 1e6 / (double)ledger.received);
  printf(",\"generatorCpu\":%.4f,\"rssBeforeKb\":%ld,\"rssAfterKb\":%ld}\n",
         (to.own_s - from.own_s) / ((double)(to.at_ns - from.at_ns) / 1e9), before_kb, broker_kb("VmRSS"));
}
