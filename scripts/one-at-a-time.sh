#!/usr/bin/env bash
# one-at-a-time.sh COMMAND... — two compiling makes in one tree would write the same objects, so the second one waits.
set -euo pipefail
mkdir -p build
exec 9> build/.lock
flock -n 9 || {
  echo "waiting for another make that compiles in this tree"
  flock 9
}
exec "$@"
