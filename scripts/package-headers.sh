#!/usr/bin/env bash
# package-headers.sh OUT — the headers of others that `ts-filter-host build-addon` and `build-module` need, and no more of
# them, each with its licence.
set -euo pipefail
cd "$(dirname "$0")/.."
out=$1
rm -rf "$out"
mkdir -p "$out/node-addon-api"

# What our sources include of them, and what that includes.
grep -rhoE '#include [<"](flatbuffers|nlohmann)/[^>"]+[>"]' cpp/shm cpp/core cpp/stock build/gen | sort -u |
  g++ -std=c++20 -M -x c++ - | tr ' ' '\n' | grep -E '^/usr/include/(flatbuffers|nlohmann)/' |
  while read -r header; do
    mkdir -p "$out/$(dirname "${header#/usr/include/}")"
    cp "$header" "$out/${header#/usr/include/}"
  done
cp /usr/share/doc/libflatbuffers-dev/copyright "$out/flatbuffers/LICENSE"
cp /usr/share/doc/nlohmann-json3-dev/copyright "$out/nlohmann/LICENSE"
cp node_modules/node-addon-api/{napi.h,napi-inl.h,napi-inl.deprecated.h,LICENSE.md} "$out/node-addon-api/"
