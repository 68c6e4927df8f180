/* The addon's table of functions. */
#include "host.h"

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
