/* mqtt-load: the declarations its source files share.
 *
 * One thread, one epoll set, no lock: the generator must cost so little that the broker is what is measured.
 *
 *   main.c        options, and which mode runs
 *   connection.c  sockets and TLS, output, cutting the input into packets, the loop and its turns
 *   packet.c      the bytes of each packet of MQTT 3.1.1 and 5.0 that a load needs
 *   ledger.c      what has come of each publisher's sequence: lost, doubled, out of order
 *   histogram.c   times, with less than one per cent of error
 *   process.c     what a process has used, by pid
 *   pubsub.c churn.c idle.c retain.c session.c   one mode each; sink.c is the other side of pubsub
 *
 * A turn: all that epoll reports is read; then every marked connection gets `ready` once. Publishers top up
 * their windows there, so that one write carries what a whole turn has freed.
 */
#ifndef MQTT_LOAD_H
#define MQTT_LOAD_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SECOND_NS 1000000000ull

enum {
  PAYLOAD_BYTES_MIN = 16, /* 8 time, 4 publisher, 4 sequence number */
  TOPIC_BYTES_MAX = 128,
  PACKET_IDS = 65536,
  TURN_NS = 5000000 /* the longest time the loop sleeps while a mode watches the clock */
};

/* MQTT's packet types, as the high nibble of the first byte. */
enum {
  CONNECT = 1,
  CONNACK,
  PUBLISH,
  PUBACK,
  PUBREC,
  PUBREL,
  PUBCOMP,
  SUBSCRIBE,
  SUBACK,
  UNSUBSCRIBE,
  UNSUBACK,
  PINGREQ,
  PINGRESP,
  DISCONNECT
};

struct options {
  const char *mode, *host, *topology, *tag, *prefix, *client_id;
  int port, version, qos, bytes, publishers, subscribers, window, concurrency, sources, pid;
  double seconds, warmup, rate, drain, hold;
  uint64_t count;
  bool tls, flood, subscribe;
};
extern struct options options;

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ns(void);
void *zeroed(size_t count, size_t bytes);

/* ---- connection.c ---- */

struct bytes {
  uint8_t *at;
  size_t from, to, capacity;
};

struct connection {
  int fd;
  uint32_t number;
  bool listening, dialled, secure, up, closed, marked, wants_out;
  bool session_present;
  uint8_t connack, suback;
  uint32_t subacks;
  uint16_t packet_id;
  uint16_t receive_maximum;
  uint64_t since_ns;
  struct bytes out, carry;
  struct ssl_st *tls;
  void *owner; /* the mode's own part */
};

struct packet {
  uint8_t first;
  const uint8_t *body;
  uint32_t length;
  uint64_t at_ns; /* when the read that brought it was made */
};

/* What a mode does; absent ones are skipped. Acknowledgements of CONNECT and SUBSCRIBE are noted before. */
struct reactions {
  void (*packet)(struct connection *, const struct packet *);
  void (*ready)(struct connection *);
  void (*accepted)(struct connection *);
  void (*gone)(struct connection *);
};
extern struct reactions reactions;
extern uint32_t connections_up, connections_gone;

void loop_open(void);
/* Connects and sends CONNECT. False when the kernel refuses. */
bool dial(struct connection *c, const char *client_id, bool clean);
/* Dials all, at most options.concurrency handshakes at once, and waits until each is up. */
void dial_all(struct connection *all, uint32_t count, const char *kind);
int listen_at(struct connection *c, int port);
void mark(struct connection *c);
void flush(struct connection *c);
void hang_up(struct connection *c);
/* DISCONNECT, then closes. */
void leave(struct connection *c);
/* Room for `more` bytes at the end of the output; move `to` yourself. */
uint8_t *room(struct connection *c, size_t more);
size_t unsent(const struct connection *c);
/* One turn; waits at most `timeout_ns` for the first event. */
void turn(int64_t timeout_ns);

/* ---- packet.c ---- */

uint32_t put_length(uint8_t *at, uint32_t length);
void put_connect(struct connection *c, const char *client_id, bool clean);
void put_subscribe(struct connection *c, const char *filter, int qos);
void put_ack(struct connection *c, uint8_t first, uint16_t packet_id);
/* Notes CONNACK's and SUBACK's content in the connection. */
void note_connack(struct connection *c, const struct packet *p);
void note_suback(struct connection *c, const struct packet *p);
uint16_t packet_id_of(const struct packet *p);
/* The reason of an acknowledgement; 0 when there is none. */
uint8_t reason_of(const struct packet *p);

/* A PUBLISH made once; each message differs in packet id and the first 16 bytes of the payload. */
struct template {
  uint8_t *bytes;
  uint32_t length, id_at, payload_at;
  int qos;
};
void make_template(struct template *t, const char *topic, bool retain);
void put_publish(struct connection *c, const struct template *t, uint64_t time_ns, uint32_t sequence);

struct publication {
  uint32_t topic_length, payload_length, publisher, sequence;
  uint64_t time_ns;
  const uint8_t *topic, *payload;
  uint16_t packet_id;
  uint8_t qos;
  bool duplicate, retain;
};
/* Ends the program when the packet is not well formed. */
void read_publish(const struct packet *p, struct publication *into);
/* Whether the rest of the payload is what make_template() wrote. */
bool is_intact(const struct publication *p);

/* ---- ledger.c ---- */

struct range {
  uint32_t from, to;
};
struct sequence { /* one publisher's messages as one subscriber sees them */
  uint32_t next, range_count, range_capacity;
  struct range *missing;
};
struct ledger {
  uint64_t received, duplicates, reordered;
};
void ledger_enter(struct ledger *l, struct sequence *s, uint32_t number);

/* ---- histogram.c ---- */

enum { HISTOGRAM_BITS = 7, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_BITS + 1) << HISTOGRAM_BITS };
struct histogram {
  uint64_t counts[HISTOGRAM_BUCKETS], total, largest;
  double sum;
};
void histogram_add(struct histogram *h, uint64_t ns);
double histogram_us(const struct histogram *h, double quantile);
/* ,"name":{"p50":…} in microseconds */
void print_histogram(const char *name, const struct histogram *h);

/* ---- process.c ---- */

struct usage {
  double broker_s, own_s;
  uint64_t at_ns;
};
struct usage usage_now(void);
/* kB of VmRSS or VmHWM of the broker; 0 without --pid. */
long broker_kb(const char *key);

/* ---- modes ---- */

void print_head(void);
void run_pubsub(void);
void run_churn(void);
void run_idle(void);
void run_retain(void);
void run_queue(void);
void run_drain(void);
void run_sink(void);

#endif
