/* Connections and the loop: bytes out, packets in, one turn at a time.
 *
 * All connections read into one buffer; what a read cut in two is carried over in a small buffer of the
 * connection. Output is one contiguous buffer a connection, written when somebody calls flush(); what the kernel
 * does not take waits for EPOLLOUT. TLS (OpenSSL) goes through the same two functions, without any check of the
 * certificate: it is the broker's cost that is looked at.
 *
 * dial() may reuse a closed connection's record. Records of accepted connections are kept until the end.
 */
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  EVENTS_MAX = 512,
  READ_BYTES = 1 << 20,
  CARRY_BYTES_MAX = 1 << 20,
  OUT_BYTES_FIRST = 256,
  BACKLOG = 4096,
  FIRST_SOURCE = 0x7f000002, /* 127.0.0.2: sources are the addresses from there on */
  DIAL_SECONDS_MAX = 60
};

struct reactions reactions;
uint32_t connections_up, connections_gone;

static int epoll_fd;
static SSL_CTX *tls_context;
static uint8_t read_buffer[READ_BYTES + CARRY_BYTES_MAX];
static struct {
  struct connection **at;
  size_t count, capacity;
} marks;

uint64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (uint64_t)time.tv_sec * SECOND_NS + (uint64_t)time.tv_nsec;
}

void *zeroed(size_t count, size_t bytes) {
  void *memory = calloc(count, bytes);
  if (memory == NULL) fail("out of memory");
  return memory;
}

void loop_open(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fail("epoll: %s", strerror(errno));
  if (!options.tls) return;
  tls_context = SSL_CTX_new(TLS_client_method());
  if (tls_context == NULL) fail("OpenSSL does not start");
  SSL_CTX_set_mode(tls_context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                    SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_session_cache_mode(tls_context, SSL_SESS_CACHE_OFF);
}

/* ---- output ---- */

uint8_t *room(struct connection *c, size_t more) {
  struct bytes *out = &c->out;
  if (out->to + more > out->capacity) {
    if (out->from > 0) {
      memmove(out->at, out->at + out->from, out->to - out->from);
      out->to -= out->from;
      out->from = 0;
    }
    size_t capacity = out->capacity == 0 ? OUT_BYTES_FIRST : out->capacity;
    while (out->to + more > capacity) capacity *= 2;
    if (capacity != out->capacity && (out->at = realloc(out->at, capacity)) == NULL) fail("out of memory");
    out->capacity = capacity;
  }
  return out->at + out->to;
}

size_t unsent(const struct connection *c) { return c->out.to - c->out.from; }

static void watch(struct connection *c, int operation) {
  struct epoll_event event = {.events = EPOLLIN | (c->wants_out ? EPOLLOUT : 0u), .data.ptr = c};
  if (epoll_ctl(epoll_fd, operation, c->fd, &event) != 0) fail("epoll_ctl: %s", strerror(errno));
}

static void want_out(struct connection *c, bool wanted) {
  if (c->wants_out == wanted) return;
  c->wants_out = wanted;
  watch(c, EPOLL_CTL_MOD);
}

void hang_up(struct connection *c) {
  if (c->closed) return;
  c->closed = true;
  c->up = false;
  connections_gone++;
  if (c->tls != NULL) SSL_free(c->tls);
  c->tls = NULL;
  close(c->fd);
  c->fd = -1;
  if (reactions.gone != NULL) reactions.gone(c);
}

/* Bytes written; 0: the kernel takes none now; -1: the connection is over. */
static ssize_t write_some(struct connection *c) {
  const uint8_t *at = c->out.at + c->out.from;
  size_t length = unsent(c);
  if (c->tls == NULL) {
    ssize_t sent = send(c->fd, at, length, MSG_NOSIGNAL);
    return sent >= 0 ? sent : errno == EAGAIN ? 0 : -1;
  }
  int sent = SSL_write(c->tls, at, length > INT32_MAX ? INT32_MAX : (int)length);
  if (sent > 0) return sent;
  int why = SSL_get_error(c->tls, sent);
  ERR_clear_error();
  return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

void flush(struct connection *c) {
  while (!c->closed && unsent(c) > 0) {
    ssize_t sent = write_some(c);
    if (sent < 0) {
      hang_up(c);
      return;
    }
    if (sent == 0) {
      /* A handshake that waits for the other side goes on when that side is heard. */
      want_out(c, c->tls == NULL || SSL_want_write(c->tls));
      return;
    }
    c->out.from += (size_t)sent;
  }
  c->out.from = c->out.to = 0;
  if (!c->closed) want_out(c, false);
}

/* ---- input ---- */

static void enter(struct connection *c, const struct packet *p) {
  switch (p->first >> 4) {
    case CONNACK:
      note_connack(c, p);
      if (c->connack != 0) fail("the broker refused CONNECT with 0x%02x", c->connack);
      c->up = true;
      connections_up++;
      break;
    case SUBACK:
      note_suback(c, p);
      if (c->suback >= 0x80) fail("the broker refused SUBSCRIBE with 0x%02x", c->suback);
      break;
    case DISCONNECT:
      if (!c->dialled) break;
      fprintf(stderr, "mqtt-load: the broker sent DISCONNECT 0x%02x\n", p->length > 0 ? p->body[0] : 0);
      hang_up(c);
      return;
    default: break;
  }
  if (reactions.packet != NULL) reactions.packet(c, p);
}

/* Cuts `length` bytes into packets; what is left is carried over. */
static void cut(struct connection *c, size_t length, uint64_t at_ns) {
  size_t from = 0;
  while (length - from >= 2) {
    uint32_t remaining = 0, head = 1;
    for (unsigned shift = 0;; shift += 7) {
      if (from + head >= length) goto partial;
      uint8_t byte = read_buffer[from + head++];
      remaining |= (uint32_t)(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) break;
      if (head > 4) fail("a remaining length of more than four bytes");
    }
    if (length - from - head < remaining) break;
    struct packet p = {read_buffer[from], read_buffer + from + head, remaining, at_ns};
    enter(c, &p);
    if (c->closed) return;
    from += head + remaining;
  }
partial:;
  size_t left = length - from;
  if (left == 0) return;
  if (left > CARRY_BYTES_MAX) fail("a packet of more than a megabyte");
  struct bytes *carry = &c->carry;
  if (left > carry->capacity) {
    carry->capacity = left < OUT_BYTES_FIRST ? OUT_BYTES_FIRST : left * 2;
    carry->at = realloc(carry->at, carry->capacity);
    if (carry->at == NULL) fail("out of memory");
  }
  memcpy(carry->at, read_buffer + from, left);
  carry->to = left;
}

/* Bytes read; 0: none for now; -1: the connection is over. */
static ssize_t read_some(struct connection *c, uint8_t *into) {
  if (c->tls == NULL) {
    ssize_t got = recv(c->fd, into, READ_BYTES, 0);
    return got > 0 ? got : got < 0 && errno == EAGAIN ? 0 : -1;
  }
  int got = SSL_read(c->tls, into, READ_BYTES);
  if (got > 0) return got;
  int why = SSL_get_error(c->tls, got);
  ERR_clear_error();
  return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

static void take_in(struct connection *c) {
  do {
    size_t carried = c->carry.to;
    if (carried > 0) memcpy(read_buffer, c->carry.at, carried);
    ssize_t got = read_some(c, read_buffer + carried);
    if (got < 0) {
      hang_up(c);
      return;
    }
    if (got == 0) break;
    c->carry.to = 0;
    cut(c, carried + (size_t)got, now_ns());
  } while (!c->closed && c->tls != NULL); /* TLS holds decrypted bytes that epoll does not see */
  if (!c->closed && unsent(c) > 0 && !c->wants_out) flush(c);
}

static void accept_all(struct connection *listener) {
  for (;;) {
    int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct connection *c = zeroed(1, sizeof *c);
    c->fd = fd;
    c->up = true;
    watch(c, EPOLL_CTL_ADD);
    if (reactions.accepted != NULL) reactions.accepted(c);
  }
}

/* ---- opening and closing ---- */

static struct sockaddr_in address(const char *host, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  if (inet_pton(AF_INET, host, &to.sin_addr) != 1) fail("%s is not an IPv4 address", host);
  if (ntohl(to.sin_addr.s_addr) >> 24 != 127) fail("%s is not a loopback address: this is no tool for others' hosts", host);
  return to;
}

bool dial(struct connection *c, const char *client_id, bool clean) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) fail("socket: %s (raise ulimit -n?)", strerror(errno));
  int on = 1;
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (options.sources > 1) { /* 28,000 ports an address: more connections need more addresses */
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl((uint32_t)FIRST_SOURCE + c->number % (uint32_t)options.sources);
    setsockopt(c->fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0) fail("bind: %s", strerror(errno));
  }
  struct sockaddr_in to = address(options.host, options.port);
  if (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS) {
    close(c->fd);
    c->closed = true;
    return false;
  }
  c->dialled = true;
  c->closed = c->up = false;
  c->wants_out = true;
  c->out.from = c->out.to = c->carry.to = 0;
  if (tls_context != NULL) {
    c->tls = SSL_new(tls_context);
    if (c->tls == NULL || SSL_set_fd(c->tls, c->fd) != 1) fail("OpenSSL: no memory for a connection");
    SSL_set_connect_state(c->tls);
  }
  watch(c, EPOLL_CTL_ADD);
  put_connect(c, client_id, clean);
  return true;
}

void dial_all(struct connection *all, uint32_t count, const char *kind) {
  uint32_t begun = 0, base = connections_up;
  uint64_t progress_ns = now_ns();
  while (connections_up - base < count) {
    uint32_t up = connections_up - base;
    for (; begun < count && begun - up < (uint32_t)options.concurrency; begun++) {
      char client_id[64];
      snprintf(client_id, sizeof client_id, "%s-%d-%u", kind, (int)getpid(), begun);
      all[begun].number = begun;
      if (!dial(&all[begun], client_id, true)) fail("connect: %s", strerror(errno));
    }
    turn(TURN_NS);
    if (connections_gone > 0) fail("the broker closed a connection during its handshake");
    if (connections_up - base > up) progress_ns = now_ns();
    else if (now_ns() - progress_ns > DIAL_SECONDS_MAX * SECOND_NS) fail("no CONNACK for %d s", DIAL_SECONDS_MAX);
  }
}

int listen_at(struct connection *c, int port) {
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  c->listening = true;
  int on = 1;
  setsockopt(c->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  struct sockaddr_in at = address(options.host, port);
  socklen_t length = sizeof at;
  if (bind(c->fd, (struct sockaddr *)&at, sizeof at) != 0 || listen(c->fd, BACKLOG) != 0)
    fail("cannot listen on port %d: %s", port, strerror(errno));
  getsockname(c->fd, (struct sockaddr *)&at, &length);
  watch(c, EPOLL_CTL_ADD);
  return ntohs(at.sin_port);
}

void leave(struct connection *c) {
  if (c->closed) return;
  uint8_t *at = room(c, 2);
  at[0] = DISCONNECT << 4;
  at[1] = 0;
  c->out.to += 2;
  flush(c);
  hang_up(c);
}

/* ---- the loop ---- */

void mark(struct connection *c) {
  if (c->marked) return;
  c->marked = true;
  if (marks.count == marks.capacity) {
    marks.capacity = marks.capacity == 0 ? EVENTS_MAX : marks.capacity * 2;
    marks.at = realloc(marks.at, marks.capacity * sizeof *marks.at);
    if (marks.at == NULL) fail("out of memory");
  }
  marks.at[marks.count++] = c;
}

static void answer(struct connection *c, uint32_t what) {
  if (c->listening) {
    accept_all(c);
    return;
  }
  if ((what & EPOLLOUT) != 0) {
    flush(c);
    if (!c->closed) mark(c);
  }
  if (!c->closed && (what & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) take_in(c);
}

void turn(int64_t timeout_ns) {
  struct epoll_event events[EVENTS_MAX];
  if (marks.count > 0) timeout_ns = 0;
  struct timespec timeout = {timeout_ns / (int64_t)SECOND_NS, timeout_ns % (int64_t)SECOND_NS};
  int count = epoll_pwait2(epoll_fd, events, EVENTS_MAX, &timeout, NULL);
  if (count < 0 && errno != EINTR) fail("epoll_pwait2: %s", strerror(errno));
  for (int at = 0; at < count; at++) {
    struct connection *c = events[at].data.ptr;
    if (!c->closed) answer(c, events[at].events);
  }
  size_t marked = marks.count;
  for (size_t at = 0; at < marked; at++) {
    struct connection *c = marks.at[at];
    c->marked = false;
    if (!c->closed && reactions.ready != NULL) reactions.ready(c);
  }
  memmove(marks.at, marks.at + marked, (marks.count - marked) * sizeof *marks.at);
  marks.count -= marked;
}
