/* Mode sink: the least a broker can do, to measure the generator against. It forwards a PUBLISH as it came to
 * whoever subscribed, answers what QoS 1 and 2 ask for, and remembers nothing: what pubsub reaches here is what
 * the generator can do at most, and a broker that comes near it is not measured but held up by the generator.
 *
 * Prints {"port":N} and serves until it is ended.
 */
#include "load.h"

#include <string.h>

enum { CLIENTS_MAX = 4096 };

struct client {
  char filter[TOPIC_BYTES_MAX]; /* empty: no subscriber */
  uint8_t topic[TOPIC_BYTES_MAX]; /* the last topic published, and who gets it */
  uint32_t topic_length, target_count, epoch;
  struct connection **targets;
};

static struct connection *clients[CLIENTS_MAX];
static uint32_t client_count, epoch = 1;

static bool matches(const char *filter, const uint8_t *topic, uint32_t length) {
  const uint8_t *end = topic + length;
  for (; *filter != 0; filter++) {
    if (*filter == '#') return true;
    if (*filter == '+') {
      while (topic < end && *topic != '/') topic++;
    } else if (topic == end || (uint8_t)*filter != *topic++) return false;
  }
  return topic == end;
}

static void resolve(struct client *of, const uint8_t *topic, uint32_t length) {
  if (length > TOPIC_BYTES_MAX) fail("a topic of %u bytes", length);
  memcpy(of->topic, topic, length);
  of->topic_length = length;
  of->epoch = epoch;
  of->target_count = 0;
  if (of->targets == NULL) of->targets = zeroed(CLIENTS_MAX, sizeof *of->targets);
  for (uint32_t at = 0; at < client_count; at++) {
    const struct client *other = clients[at]->owner;
    if (other->filter[0] != 0 && matches(other->filter, topic, length)) of->targets[of->target_count++] = clients[at];
  }
}

static void forward(struct connection *c, const struct packet *p) {
  struct client *from = c->owner;
  const uint8_t *topic = p->body + 2;
  uint32_t length = (uint32_t)p->body[0] << 8 | p->body[1];
  if (from->epoch != epoch || from->topic_length != length || memcmp(from->topic, topic, length) != 0)
    resolve(from, topic, length);
  uint8_t head[5] = {p->first};
  uint32_t head_length = 1 + put_length(head + 1, p->length);
  for (uint32_t at = 0; at < from->target_count; at++) {
    struct connection *to = from->targets[at];
    uint8_t *into = room(to, head_length + p->length);
    memcpy(into, head, head_length);
    memcpy(into + head_length, p->body, p->length);
    to->out.to += head_length + p->length;
    mark(to);
  }
  int qos = p->first >> 1 & 3;
  uint16_t packet_id = (uint16_t)((uint32_t)topic[length] << 8 | topic[length + 1]);
  if (qos > 0) put_ack(c, qos == 1 ? PUBACK << 4 : PUBREC << 4, packet_id);
}

static void subscribe(struct connection *c, const struct packet *p) {
  struct client *client = c->owner;
  uint32_t at = 2 + (options.version == 5 ? 1 : 0), length = (uint32_t)p->body[at] << 8 | p->body[at + 1];
  if (length >= TOPIC_BYTES_MAX) fail("a filter of %u bytes", length);
  memcpy(client->filter, p->body + at + 2, length);
  client->filter[length] = 0;
  epoch++;
  uint8_t answer[] = {SUBACK << 4, options.version == 5 ? 4 : 3, p->body[0], p->body[1], 0, 0};
  uint32_t bytes = options.version == 5 ? 6 : 5;
  memcpy(room(c, bytes), answer, bytes);
  c->out.to += bytes;
}

static void on_packet(struct connection *c, const struct packet *p) {
  static const uint8_t connack[] = {CONNACK << 4, 3, 0, 0, 0};
  switch (p->first >> 4) {
    case CONNECT: {
      uint32_t bytes = options.version == 5 ? 5 : 4;
      uint8_t *at = room(c, bytes);
      memcpy(at, connack, bytes);
      at[1] = (uint8_t)(bytes - 2);
      c->out.to += bytes;
      break;
    }
    case PUBLISH: forward(c, p); break;
    case PUBREC: put_ack(c, PUBREL << 4 | 2, packet_id_of(p)); break;
    case PUBREL: put_ack(c, PUBCOMP << 4, packet_id_of(p)); break;
    case SUBSCRIBE: subscribe(c, p); break;
    default: break;
  }
  mark(c);
}

static void on_accepted(struct connection *c) {
  if (client_count == CLIENTS_MAX) {
    hang_up(c);
    return;
  }
  c->owner = zeroed(1, sizeof(struct client));
  clients[client_count++] = c;
}

static void on_gone(struct connection *c) {
  epoch++;
  for (uint32_t at = 0; at < client_count; at++)
    if (clients[at] == c) {
      clients[at] = clients[--client_count];
      break;
    }
}

static void flush_idle(struct connection *c) {
  if (!c->wants_out) flush(c);
}

void run_sink(void) {
  struct connection *listener = zeroed(1, sizeof *listener);
  reactions = (struct reactions){.packet = on_packet, .ready = flush_idle, .accepted = on_accepted, .gone = on_gone};
  printf("{\"port\":%d}\n", listen_at(listener, options.port));
  fflush(stdout);
  for (;;) turn((int64_t)SECOND_NS);
}
