/* The bytes of the packets a load needs, MQTT 3.1.1 and 5.0, both ways.
 *
 * Payload of every message: 8 bytes the time it was due (ns, this machine's monotonic clock), 4 the publisher,
 * 4 its sequence number (all in this machine's byte order), then the alphabet again and again.
 */
#include "load.h"

#include <stdlib.h>
#include <string.h>

enum { PACKET_BYTES_MAX = 512, ALPHABET = 26, SESSION_SECONDS = 3600, VERSION_5 = 5 };

static uint8_t *put_u16(uint8_t *at, uint32_t value) {
  at[0] = (uint8_t)(value >> 8);
  at[1] = (uint8_t)value;
  return at + 2;
}

static uint8_t *put_text(uint8_t *at, const char *text) {
  size_t length = strlen(text);
  at = put_u16(at, (uint32_t)length);
  memcpy(at, text, length);
  return at + length;
}

static uint32_t u16_at(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }

uint32_t put_length(uint8_t *at, uint32_t length) {
  uint32_t used = 0;
  do {
    at[used] = (uint8_t)(length & 0x7f);
    length >>= 7;
    if (length > 0) at[used] |= 0x80;
    used++;
  } while (length > 0);
  return used;
}

static void put_packet(struct connection *c, uint8_t first, const uint8_t *body, size_t length) {
  uint8_t *at = room(c, length + 5);
  at[0] = first;
  size_t head = 1 + put_length(at + 1, (uint32_t)length);
  memcpy(at + head, body, length);
  c->out.to += head + length;
}

void put_connect(struct connection *c, const char *client_id, bool clean) {
  uint8_t body[PACKET_BYTES_MAX], *at = put_text(body, "MQTT");
  *at++ = (uint8_t)options.version;
  *at++ = clean ? 0x02 : 0x00;
  at = put_u16(at, 0); /* no keep-alive */
  if (options.version == VERSION_5) {
    *at++ = clean ? 0 : 5;
    if (!clean) {
      *at++ = 0x11; /* Session Expiry Interval */
      at = put_u16(at, 0);
      at = put_u16(at, SESSION_SECONDS);
    }
  }
  at = put_text(at, client_id);
  put_packet(c, CONNECT << 4, body, (size_t)(at - body));
}

void put_subscribe(struct connection *c, const char *filter, int qos) {
  uint8_t body[PACKET_BYTES_MAX];
  if (++c->packet_id == 0) c->packet_id = 1;
  uint8_t *at = put_u16(body, c->packet_id);
  if (options.version == VERSION_5) *at++ = 0;
  at = put_text(at, filter);
  *at++ = (uint8_t)qos;
  put_packet(c, SUBSCRIBE << 4 | 2, body, (size_t)(at - body));
}

void put_ack(struct connection *c, uint8_t first, uint16_t packet_id) {
  uint8_t *at = room(c, 4);
  at[0] = first;
  at[1] = 2;
  put_u16(at + 2, packet_id);
  c->out.to += 4;
}

/* Bytes of a property's value that starts at `at`; its identifier tells the type (MQTT 5, 2.2.2.2). */
static uint32_t property_bytes(uint8_t identifier, const uint8_t *at) {
  switch (identifier) {
    case 0x24: case 0x25: case 0x28: case 0x29: case 0x2a: return 1;
    case 0x13: case 0x21: case 0x22: return 2;
    case 0x11: case 0x27: return 4;
    case 0x26: {
      uint32_t name = 2 + u16_at(at);
      return name + 2 + u16_at(at + name);
    }
    default: return 2 + u16_at(at);
  }
}

static uint32_t read_length(const uint8_t *at, uint32_t *used) {
  uint32_t value = 0, n = 0;
  do value |= (uint32_t)(at[n] & 0x7f) << (7 * n);
  while (at[n++] & 0x80);
  *used = n;
  return value;
}

void note_connack(struct connection *c, const struct packet *p) {
  c->session_present = (p->body[0] & 1) != 0;
  c->connack = p->body[1];
  c->receive_maximum = UINT16_MAX;
  if (options.version != VERSION_5 || p->length < 3) return;
  uint32_t used;
  const uint8_t *at = p->body + 2, *end = at + read_length(at, &used) + used;
  for (at += used; at < end; at += 1 + property_bytes(at[0], at + 1))
    if (at[0] == 0x21) c->receive_maximum = (uint16_t)u16_at(at + 1);
}

void note_suback(struct connection *c, const struct packet *p) {
  c->suback = p->body[p->length - 1];
  c->subacks++;
}

uint16_t packet_id_of(const struct packet *p) { return (uint16_t)u16_at(p->body); }

uint8_t reason_of(const struct packet *p) { return p->length > 2 ? p->body[2] : 0; }

void make_template(struct template *t, const char *topic, bool retain) {
  uint32_t bytes = (uint32_t)options.bytes;
  uint32_t length = 2 + (uint32_t)strlen(topic) + (t->qos > 0 ? 2 : 0) + (options.version == VERSION_5 ? 1 : 0) + bytes;
  free(t->bytes);
  t->bytes = zeroed(1, length + 5);
  uint8_t *at = t->bytes;
  *at++ = (uint8_t)(PUBLISH << 4 | t->qos << 1 | (retain ? 1 : 0));
  at += put_length(at, length);
  at = put_text(at, topic);
  t->id_at = (uint32_t)(at - t->bytes);
  if (t->qos > 0) at += 2;
  if (options.version == VERSION_5) *at++ = 0;
  t->payload_at = (uint32_t)(at - t->bytes);
  for (uint32_t n = PAYLOAD_BYTES_MIN; n < bytes; n++) at[n] = (uint8_t)('a' + n % ALPHABET);
  t->length = t->payload_at + bytes;
}

void put_publish(struct connection *c, const struct template *t, uint64_t time_ns, uint32_t sequence) {
  uint8_t *at = room(c, t->length);
  memcpy(at, t->bytes, t->length);
  if (t->qos > 0) {
    if (++c->packet_id == 0) c->packet_id = 1;
    put_u16(at + t->id_at, c->packet_id);
  }
  uint8_t *payload = at + t->payload_at;
  memcpy(payload, &time_ns, 8);
  memcpy(payload + 8, &c->number, 4);
  memcpy(payload + 12, &sequence, 4);
  c->out.to += t->length;
}

void read_publish(const struct packet *p, struct publication *into) {
  into->qos = p->first >> 1 & 3;
  into->duplicate = (p->first & 8) != 0;
  into->retain = (p->first & 1) != 0;
  if (p->length < 2) fail("a PUBLISH of %u bytes", p->length);
  into->topic_length = u16_at(p->body);
  into->topic = p->body + 2;
  uint32_t at = 2 + into->topic_length, used = 0;
  if (into->qos > 0) {
    into->packet_id = (uint16_t)u16_at(p->body + at);
    at += 2;
  }
  if (options.version == VERSION_5) {
    uint32_t properties = read_length(p->body + at, &used);
    at += used + properties;
  }
  if (at + PAYLOAD_BYTES_MIN > p->length) fail("a payload of %d bytes", (int)p->length - (int)at);
  into->payload = p->body + at;
  into->payload_length = p->length - at;
  memcpy(&into->time_ns, into->payload, 8);
  memcpy(&into->publisher, into->payload + 8, 4);
  memcpy(&into->sequence, into->payload + 12, 4);
}

bool is_intact(const struct publication *p) {
  static uint8_t *pattern;
  uint32_t bytes = (uint32_t)options.bytes;
  if (pattern == NULL) {
    pattern = zeroed(1, bytes);
    for (uint32_t n = 0; n < bytes; n++) pattern[n] = (uint8_t)('a' + n % ALPHABET);
  }
  return p->payload_length == bytes &&
         memcmp(p->payload + PAYLOAD_BYTES_MIN, pattern + PAYLOAD_BYTES_MIN, bytes - PAYLOAD_BYTES_MIN) == 0;
}
