/*
 * What this process tells the service manager that started it.
 *
 * Owns one function, notifySend(path, text): one datagram to the socket that NOTIFY_SOCKET names (sd_notify(3)); Node
 * has no datagrams over unix sockets. A path that begins with '@' or with a NUL names an abstract socket. The kernel
 * adds our pid by itself, by which the manager knows who speaks (SO_PASSCRED on its side). Never waits: a manager that
 * does not read must not stop a gateway. The text and its meaning are the caller's business.
 *
 * Errors are JavaScript errors with a stable `code`:
 *   PLATFORM_NOTIFY_ARGUMENT  an argument is no text, or the path has no room in sun_path (108 bytes with its NUL)
 *   PLATFORM_NOTIFY_FAILED    the kernel refused; `errno` holds the number (ENOENT, ECONNREFUSED, EAGAIN, ...)
 */
#include "host.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { TEXT_BYTES_MAX = 4096 };

/* The bytes of a text argument; -1 when it is none or has more than `room` of them. `bytes` has room for one more. */
static int text_of(napi_env env, napi_value value, char *bytes, size_t room) {
  size_t length;
  napi_valuetype type;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_string ||
      napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length > room ||
      napi_get_value_string_utf8(env, value, bytes, room + 1, &length) != napi_ok)
    return -1;
  return (int)length;
}

napi_value notify_send(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2];
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  char text[TEXT_BYTES_MAX + 1];
  if (napi_get_cb_info(env, info, &count, arguments, NULL, NULL) != napi_ok || count < 2)
    return throw_error(env, "PLATFORM_NOTIFY_ARGUMENT", "notifySend needs a socket's path and a text", 0);
  int path_bytes = text_of(env, arguments[0], address.sun_path, sizeof address.sun_path - 1);
  if (path_bytes < 1)
    return throw_error(env, "PLATFORM_NOTIFY_ARGUMENT", "notifySend needs a socket's path of 1 to 107 bytes", 0);
  int text_bytes = text_of(env, arguments[1], text, TEXT_BYTES_MAX);
  if (text_bytes < 0)
    return throw_error(env, "PLATFORM_NOTIFY_ARGUMENT", "notifySend needs a text of at most 4096 bytes", 0);

  /* An abstract name has no NUL at its end: its length says where it ends. */
  bool abstract = address.sun_path[0] == '@' || address.sun_path[0] == '\0';
  if (abstract) address.sun_path[0] = '\0';
  socklen_t address_bytes =
      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)path_bytes + (abstract ? 0 : 1));

  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  ssize_t sent = fd < 0 ? -1
                        : sendto(fd, text, (size_t)text_bytes, MSG_NOSIGNAL, (const struct sockaddr *)&address,
                                 address_bytes);
  int number = errno;
  if (fd >= 0) (void)close(fd);
  if (sent < 0) {
    char message[160];
    snprintf(message, sizeof message, "cannot tell the service manager: %s", strerror(number));
    return throw_error(env, "PLATFORM_NOTIFY_FAILED", message, number);
  }
  return NULL;
}
