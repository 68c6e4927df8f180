#!/bin/sh
# Writes which commit is being built, and touches the file only when the answer changed.
set -eu
cd "$(dirname "$0")/../.."
file=out/build/commit.json
mkdir -p out/build
commit=$(git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
at=$(git log -1 --format=%cd --date=format:%Y-%m-%dT%H:%M:%S%z 2>/dev/null || true)
[ -n "$at" ] || at=1970-01-01T00:00:00+0000
changed=$(git status --porcelain -- src native package.json package-lock.json sea-config.json 2>/dev/null | head -n 1)
[ -z "$changed" ] || commit=$commit+
printf '{"commit":"%s","committedAt":"%s"}\n' "$commit" "$at" >$file.tmp
if cmp -s $file.tmp $file; then rm $file.tmp; else mv $file.tmp $file; fi
