#!/usr/bin/env bash
# check-symbols.sh MODULE — a shared object links with whatever is undefined. Allowed are the C library's symbols,
# Envoy's callbacks and weak symbols. Exported are Envoy's hooks only, so that nothing of ours meets a namesake in Envoy.
set -euo pipefail

undefined=$(nm -D --undefined-only "$1" | awk '$1 == "U" { print $2 }' |
  grep -vE '@GLIBC|^envoy_dynamic_module_callback_|^__(a|t|ub)san_' || true)
exported=$(nm -D --defined-only "$1" | awk '{ print $NF }' | grep -vE '^envoy_dynamic_module_on_' || true)

[ -z "$undefined" ] || echo "$1: these symbols are defined nowhere:" $undefined >&2
[ -z "$exported" ] || echo "$1: only Envoy's hooks may be exported, but also are:" $exported >&2
[ -z "$undefined$exported" ]
