#!/bin/sh
# All that is decided about the sources without running them. Every checker runs, so that one pass tells all.
set -u
cd "$(dirname "$0")/../.."
step=native/pack/step.sh
failed=0
"$step" "format and lint" npx --no-install biome check --max-diagnostics=60 . || failed=1
"$step" "types" npx --no-install tsc --noEmit -p . || failed=1
"$step" "import table" node native/check/imports.mjs || failed=1
"$step" "tidy" node native/check/tidy.mjs || failed=1
exit $failed
