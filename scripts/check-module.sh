#!/usr/bin/env bash
# check-module.sh 1.40 — does that Envoy accept the demo's config, and with it the module? LD_BIND_NOW makes a
# callback that this Envoy lacks an error now, not a crash later.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! log=$(LD_BIND_NOW=1 ENVOY_DYNAMIC_MODULES_SEARCH_PATH="$PWD/build" \
  "build/envoy/$1/envoy" --mode validate --use-dynamic-base-id -l warning -c envoy.yaml 2>&1); then
  echo "$log" >&2
  echo "Envoy $1 refuses envoy.yaml with build/libts_filter.so; the reason is above" >&2
  exit 1
fi
