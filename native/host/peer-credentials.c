/*
 * Who is at the other end of a unix socket.
 *
 * Owns one function, peerCredentials(fd) -> {pid, uid, gid}, the kernel's answer to
 * getsockopt(SOL_SOCKET, SO_PEERCRED) (unix(7)): the credentials of the peer at the time it called
 * connect(2) or socketpair(2). Node offers no way to ask, and without it a local socket cannot tell one
 * module from another. Decides nothing: who may do what is the business of the caller.
 *
 * Errors are JavaScript errors with a stable `code`:
 *   PLATFORM_PEERCRED_ARGUMENT  the argument is not a file descriptor number (a bug of the caller)
 *   PLATFORM_PEERCRED_FAILED    the kernel refused; `errno` holds the number (EBADF, ENOTSOCK, ...)
 */
#include "host.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

static int set_number(napi_env env, napi_value object, const char *name, double number) {
  napi_value value;
  return napi_create_double(env, number, &value) == napi_ok &&
         napi_set_named_property(env, object, name, value) == napi_ok;
}

napi_value peer_credentials(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument, result;
  napi_valuetype type;
  double fd;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count < 1 ||
      napi_typeof(env, argument, &type) != napi_ok || type != napi_number ||
      napi_get_value_double(env, argument, &fd) != napi_ok || !(fd >= 0 && fd <= 2147483647.0) ||
      fd != floor(fd))
    return throw_error(env, "PLATFORM_PEERCRED_ARGUMENT",
                      "peerCredentials needs a file descriptor: a whole number, zero or above", 0);

  struct ucred peer;
  socklen_t length = sizeof peer;
  memset(&peer, 0, sizeof peer);
  if (getsockopt((int)fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) != 0) {
    int number = errno;
    char text[160];
    snprintf(text, sizeof text, "cannot read the peer credentials of file descriptor %d: %s", (int)fd,
             strerror(number));
    return throw_error(env, "PLATFORM_PEERCRED_FAILED", text, number);
  }
  /* A TCP socket answers too, with pid 0 and ids of -1: that is no answer to act on. */
  if (length != sizeof peer || peer.uid == (uid_t)-1)
    return throw_error(env, "PLATFORM_PEERCRED_FAILED",
                      "the file descriptor is not a connected unix socket, so its peer has no credentials", 0);

  if (napi_create_object(env, &result) != napi_ok || !set_number(env, result, "pid", (double)peer.pid) ||
      !set_number(env, result, "uid", (double)peer.uid) || !set_number(env, result, "gid", (double)peer.gid))
    return throw_error(env, "PLATFORM_PEERCRED_FAILED", "out of memory while reporting peer credentials", 0);
  return result;
}
