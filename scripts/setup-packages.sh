#!/usr/bin/env bash
# Installs the Debian packages that the build needs, only those that are missing.
set -euo pipefail

missing=()
need_command() { command -v "$1" > /dev/null || missing+=("$2"); }
need_file() { [ -e "$1" ] || missing+=("$2"); }

need_command g++ g++
need_command clang++ clang
need_command clang-format clang-format
need_command flatc flatbuffers-compiler
need_file /usr/include/flatbuffers/flatbuffers.h libflatbuffers-dev
need_file /usr/include/nlohmann/json.hpp nlohmann-json3-dev
need_file /usr/include/gtest/gtest.h libgtest-dev
need_command wrk wrk
need_command h2load nghttp2-client
need_command curl curl
need_command openssl openssl
need_command go golang-go
need_command javac default-jdk-headless
need_command rustc rustc
need_command redis-check-rdb redis-tools
need_command python3 python3
python3 -c 'import ensurepip, venv' 2> /dev/null || missing+=(python3-venv)
# The fuzzers' runtime is only recommended by clang's package, and some systems leave recommended packages out.
if command -v clang++ > /dev/null; then
  need_file "$(clang++ -print-resource-dir)/lib/linux/libclang_rt.fuzzer-$(uname -m).a" \
    "libclang-rt-$(clang++ -dumpversion | cut -d. -f1)-dev"
fi

[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y ${missing[*]}"
if [ "$(id -u)" != 0 ]; then
  echo "make setup: packages are missing; run: sudo $install" >&2
  exit 1
fi
if ! command -v apt-get > /dev/null; then
  echo "make setup: this system has no apt-get; install by its own means: ${missing[*]}" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}"
log=$(mktemp)
export DEBIAN_FRONTEND=noninteractive
if ! { apt-get update && apt-get install -y "${missing[@]}"; } > "$log" 2>&1; then
  tail -5 "$log" >&2
  echo "make setup: apt-get failed; the whole log is in $log" >&2
  exit 1
fi
rm -f "$log"
