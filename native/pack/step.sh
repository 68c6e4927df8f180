#!/bin/sh
# Runs one build step and tells the person who waits what is going on.
#
#   step.sh LABEL COMMAND...
#
# Prints the label when the step begins, a sign of life every fifteen seconds, and the seconds it took.
# The command's own output goes to out/log/; it is shown when the step fails, or live with V=1.
set -u
label=$1
shift
log_dir=${WEIR_LOG_DIR:-out/log}
mkdir -p "$log_dir"
log=$log_dir/$(printf '%s' "$label" | tr -cs 'A-Za-z0-9._-' '-').log
start=$(date +%s)
seconds() { echo $(($(date +%s) - start)); }

printf '  ...    %s\n' "$label"
if [ "${V:-0}" != 0 ]; then
  "$@" </dev/null
  code=$?
else
  (while sleep 15 >/dev/null 2>&1 </dev/null; do printf '  ...    %s: still at it after %s s\n' "$label" "$(seconds)"; done) &
  beat=$!
  "$@" </dev/null >"$log" 2>&1
  code=$?
  kill "$beat" 2>/dev/null
  wait "$beat" 2>/dev/null
fi

if [ "$code" -eq 0 ]; then
  printf '  %3s s  %s\n' "$(seconds)" "$label"
else
  printf '  FAILED %s (exit code %s after %s s)\n' "$label" "$code" "$(seconds)"
  if [ "${V:-0}" = 0 ]; then
    tail -n 60 "$log" | sed 's/^/         | /'
    printf '         the whole output is in %s\n' "$log"
  fi
fi
exit "$code"
