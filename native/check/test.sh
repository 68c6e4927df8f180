#!/bin/sh
# make test and its parts: builds what the tests need, runs them, ends with "N passed, N failed".
#
#   test.sh all|unit|e2e|board
#
# WEIR_BIN, WEIR_BIN_ARM64 and WEIR_BIN_ARMV7 tell the tests where the executables are. WEIR_BINFMT=1 tells them
# that the kernel starts ARM programs by itself, which a weir that starts weirs needs.
set -u
cd "$(dirname "$0")/../.."
mode=${1:-all}
start=$(date +%s)
export npm_config_yes=false
root=$(pwd)

make_quietly() { make --no-print-directory "$@"; }

give_up() {
  printf 'The tests did not run: %s.\n0 passed, 1 failed\n' "$1"
  exit 1
}

allow_foreign() {
  if native/pack/binfmt.sh; then
    export WEIR_BINFMT=1
  else
    echo "  ...    ARM programs that start others are not tested: the kernel does not start them here"
  fi
}

# These run the executable of this machine.
WHOLE="test/e2e test/sdk test/interop test/hostile"
unit_files() {
  find test -name '*.test.ts' ! -path 'test/e2e/*' ! -path 'test/sdk/*' ! -path 'test/interop/*' ! -path 'test/hostile/*' \
    ! -path 'test/board/*' | sort
}

# The long ones go first: what is left at the end is short, and no processor waits for one file alone.
LONG="test/crash test/board test/containers test/sdk test/e2e"
all_files() {
  { find $LONG -name '*.test.ts' | sort && find test -name '*.test.ts' | sort; } | awk '!seen[$0]++'
}

check_failed=0
case $mode in
all)
  make_quietly build || give_up "the build failed"
  make_quietly dev || give_up "the native parts for this tree could not be built"
  native/check/check.sh || check_failed=1
  allow_foreign
  files=$(all_files)
  ;;
unit)
  make_quietly dev || give_up "the native parts for this tree could not be built"
  files=$(unit_files)
  ;;
e2e)
  make_quietly build-x64 dev || give_up "the build failed"
  files=$(find $WHOLE -name '*.test.ts' | sort)
  ;;
board)
  make_quietly build-arm64 build-armv7 dev || give_up "the build failed"
  allow_foreign
  files=$(find test/board -name '*.test.ts' | sort)
  ;;
*) give_up "there is no kind of tests called $mode" ;;
esac

[ -n "$files" ] || give_up "there are no test files"
export WEIR_BIN="$root/out/weir-linux-x64" WEIR_BIN_ARM64="$root/out/weir-linux-arm64" WEIR_BIN_ARMV7="$root/out/weir-linux-armv7"
printf 'Building and checking took %s s. Now %s test files.\n' "$(($(date +%s) - start))" "$(echo "$files" | wc -l)"
# The verdict of the checks counts as one more test, so that the closing line cannot look fine without it.
WEIR_CHECK_FAILED=$check_failed exec node native/check/run-tests.mjs $files
