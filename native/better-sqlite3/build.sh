#!/bin/sh
# Builds the better-sqlite3 addon for one target, against the headers of the Node that goes into the binary.
#
#   build.sh TRIPLET GYP_ARCH NODE_DIR WORK_DIR OUTPUT
#
# The module is copied first: node_modules keeps the build for the host's own Node, which the tests use.
# A key of everything that decides the result (this script, the module, the headers, the compiler) stands
# beside the output; while it is the same, nothing is compiled.
set -eu
triplet=$1 arch=$2 node_dir=$3 work=$4 output=$5
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
source=$root/node_modules/better-sqlite3

key=$( { cat "$here/build.sh" "$here/glibc-2.28.c" "$here/node_object_wrap.h" "$source/package.json" "$node_dir/include/node/node_version.h"; \
  "$triplet-g++" --version | head -n 1; } | sha256sum | cut -c 1-64)
if [ -f "$output" ] && [ "$(cat "$output.key" 2>/dev/null)" = "$key" ]; then
  touch "$output"
  exit 0
fi

rm -rf "$work"
mkdir -p "$work" "$(dirname "$output")"
cp -R "$source/binding.gyp" "$source/deps" "$source/src" "$source/package.json" "$work/"

# libdl, libpthread and libm: where an old glibc has what a new one moved into libc.
# The linker is given as a command with our object in front of everything node-gyp adds.
"$triplet-gcc" -Os -fPIC -fno-builtin -Wall -Wextra -Werror -c "$here/glibc-2.28.c" -o "$work/glibc-2.28.o"
cd "$work"
# Our own node_object_wrap.h is found before Node's: it says why.
CC="$triplet-gcc" CXX="$triplet-g++ -I$here" AR="$triplet-ar" \
  LINK="$triplet-g++ $work/glibc-2.28.o -Wl,--no-as-needed -lpthread -ldl -lm" \
  node "$root/node_modules/node-gyp/bin/node-gyp.js" rebuild --release \
  --arch="$arch" --nodedir="$node_dir" --jobs=1
"$triplet-strip" --strip-unneeded build/Release/better_sqlite3.node -o "$output"
printf '%s\n' "$key" > "$output.key"
rm -rf "$work"
