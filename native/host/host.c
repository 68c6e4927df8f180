/* The addon's table of functions, and how they fail. */
#include "host.h"

napi_value throw_error(napi_env env, const char *code, const char *text, int number) {
  napi_value code_value, message, error, errno_value;
  if (napi_create_string_utf8(env, code, NAPI_AUTO_LENGTH, &code_value) != napi_ok ||
      napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &message) != napi_ok ||
      napi_create_error(env, code_value, message, &error) != napi_ok)
    return NULL;
  if (number != 0 && napi_create_int32(env, number, &errno_value) == napi_ok)
    (void)napi_set_named_property(env, error, "errno", errno_value);
  (void)napi_throw(env, error);
  return NULL;
}

static int add(napi_env env, napi_value exports, const char *name, napi_callback callback) {
  napi_value function;
  return napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, NULL, &function) == napi_ok &&
         napi_set_named_property(env, exports, name, function) == napi_ok;
}

NAPI_MODULE_INIT() {
  if (!add(env, exports, "peerCredentials", peer_credentials) ||
      !add(env, exports, "clockSynchronised", clock_synchronised) ||
      !add(env, exports, "notifySend", notify_send) ||
      !add(env, exports, "collectHeap", collect_heap) ||
      !add(env, exports, "trimHeap", trim_heap) ||
      !add(env, exports, "pressHeap", press_heap) ||
      !add(env, exports, "unmapIdleFiles", unmap_idle_files))
    return NULL;
  return exports;
}
