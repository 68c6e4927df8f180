/* The control socket: ctl.sock in the module's directory, for up to CLIENTS_MAX clients.
 *
 *   on connect   shim → client   the content of state.json, one line; then what the module told of
 *                                itself, {"notify":"READY=1"}, when it did
 *   meanwhile    shim → client   {"notify":"…"}, what it tells
 *   TERM         client → shim   SIGTERM to the module's group, SIGKILL after the grace
 *   KILL                         SIGKILL to the module's group now
 *   GRACE n                      another grace, in milliseconds
 *   PING                         PONG
 *   at the end   shim → client   the content of exit.json, one line, then the end of the stream
 *
 * A module is no client: who is in the cgroup of one is turned away at once.
 * A client that says something else, or does not read, is dropped: it must not cost the module
 * anything. A ninth client is turned away at once. The address is relative to the current directory,
 * so that a long path of the module's directory does not meet the 108 bytes of sun_path.
 */
#include "shim.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { COMMAND_BYTES_MAX = 64 };

struct client {
  int fd; /* -1: free */
  size_t length;
  char input[COMMAND_BYTES_MAX];
};

static int listen_fd = -1;
static struct client clients[CLIENTS_MAX];

void control_listen(void) {
  struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "ctl.sock"};
  for (int at = 0; at < CLIENTS_MAX; at++) clients[at].fd = -1;
  unlink(address.sun_path); /* stale: the lock is ours, so nobody listens on it */
  listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listen_fd < 0) die(EXIT_OS, "cannot make the control socket", NULL, errno);
  mode_t before = umask(0177);
  int bound = bind(listen_fd, (struct sockaddr *)&address, sizeof address);
  umask(before);
  if (bound != 0) die(EXIT_OS, "cannot bind", "ctl.sock", errno);
  if (listen(listen_fd, CLIENTS_MAX) != 0) die(EXIT_OS, "cannot listen on", "ctl.sock", errno);
}

static void drop(struct client *client) {
  close(client->fd);
  client->fd = -1;
}

static void say(struct client *client, const char *words) {
  size_t length = strlen(words);
  if (send(client->fd, words, length, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)length) drop(client);
}

/* A module that runs as root may open every control socket, its own among them. It cannot leave its
 * cgroup, though, and neither the runtime nor an operator is in one of those. */
static bool is_module(int fd) {
  struct ucred peer;
  socklen_t size = sizeof peer;
  char memory[48], groups[4096];
  struct text path;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return true;
  if (peer.pid == 0) return false; /* of another pid namespace: no module is in one */
  text_init(&path, memory, sizeof memory);
  text_add(&path, "/proc/");
  text_int(&path, peer.pid);
  text_add(&path, "/cgroup");
  if (read_small_file(path.start, groups, sizeof groups) == 0) return true; /* gone: nobody is answered */
  return strstr(groups, CGROUP_OF_MODULES "/") != NULL;
}

static const char *second_greeting = "";

void control_greet_also(const char *line) { second_greeting = line; }

static void welcome(const char *greeting) {
  int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (fd < 0) return;
  if (is_module(fd)) {
    close(fd);
    return;
  }
  for (int at = 0; at < CLIENTS_MAX; at++) {
    if (clients[at].fd >= 0) continue;
    clients[at].fd = fd;
    clients[at].length = 0;
    say(&clients[at], greeting);
    if (clients[at].fd >= 0 && *second_greeting != '\0') say(&clients[at], second_greeting);
    return;
  }
  close(fd);
}

static void obey(struct client *client, const char *line, command_fn *act) {
  if (strcmp(line, "TERM") == 0) {
    act(COMMAND_TERM, 0);
  } else if (strcmp(line, "KILL") == 0) {
    act(COMMAND_KILL, 0);
  } else if (strcmp(line, "PING") == 0) {
    say(client, "PONG\n");
  } else if (strncmp(line, "GRACE ", 6) == 0 && parse_int(line + 6, GRACE_MS_MAX) >= 0) {
    act(COMMAND_GRACE, parse_int(line + 6, GRACE_MS_MAX));
  } else {
    drop(client);
  }
}

static void hear(struct client *client, command_fn *act) {
  ssize_t got = recv(client->fd, client->input + client->length,
                     sizeof client->input - client->length, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) {
    drop(client);
    return;
  }
  client->length += (size_t)got;
  char *newline;
  while (client->fd >= 0 && (newline = memchr(client->input, '\n', client->length)) != NULL) {
    *newline = '\0';
    size_t used = (size_t)(newline + 1 - client->input);
    obey(client, client->input, act);
    client->length -= used;
    memmove(client->input, client->input + used, client->length);
  }
  if (client->fd >= 0 && client->length == sizeof client->input) drop(client);
}

int control_poll_set(struct pollfd *set) {
  int count = 0;
  set[count++] = (struct pollfd){.fd = listen_fd, .events = POLLIN};
  for (int at = 0; at < CLIENTS_MAX; at++) { /* poll() passes over negative descriptors */
    set[count++] = (struct pollfd){.fd = clients[at].fd, .events = POLLIN};
  }
  return count;
}

void control_serve(const struct pollfd *set, int count, const char *greeting, command_fn *act) {
  for (int at = 1; at < count; at++) {
    struct client *client = &clients[at - 1];
    if (set[at].revents != 0 && client->fd == set[at].fd && client->fd >= 0) hear(client, act);
  }
  if (set[0].revents != 0) welcome(greeting); /* last: a freed place is not mixed up with its past */
}

void control_broadcast(const char *line) {
  for (int at = 0; at < CLIENTS_MAX; at++) {
    if (clients[at].fd >= 0) say(&clients[at], line);
  }
}

void control_close(void) {
  unlink("ctl.sock");
  for (int at = 0; at < CLIENTS_MAX; at++) {
    if (clients[at].fd >= 0) drop(&clients[at]);
  }
  close(listen_fd);
}
