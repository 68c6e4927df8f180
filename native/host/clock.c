/*
 * Whether the kernel's wall clock is kept by a time server.
 *
 * clockSynchronised() -> boolean | undefined
 *   adjtimex(2) with modes 0 only reads, which needs no privilege. Every NTP client (systemd-timesyncd, chrony, ntpd)
 *   clears STA_UNSYNC while it has a server; the kernel sets it again when it has heard of none for long.
 *   Undefined where the call is not allowed.
 */
#include "host.h"

#include <sys/timex.h>

napi_value clock_synchronised(napi_env env, napi_callback_info info) {
  (void)info;
  struct timex state = {0};
  int found = adjtimex(&state);
  if (found < 0) return NULL;
  napi_value result;
  bool synchronised = found != TIME_ERROR && (state.status & STA_UNSYNC) == 0;
  return napi_get_boolean(env, synchronised, &result) == napi_ok ? result : NULL;
}
