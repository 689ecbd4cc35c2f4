#!/usr/bin/env bash
# Compiles the runtimes of filters/calls that need it, the demo's and the tests', into the folder given.
set -euo pipefail

out=$1
clients=filters/calls/clients
tests=test/calls/runtimes
mkdir -p "$out/java"
out=$(realpath "$out")

go_build() { (cd "$1" && go build -trimpath -buildvcs=false -o "$out/$2" "$3"); }
go_build $clients/go go-echo ./echo
go_build $tests/go go-conformance .

javac -Xlint:all,-serial -Werror -d "$out/java" $clients/java/*.java $clients/java/tsfilter/*.java $tests/java/*.java

rust() { rustc --edition 2021 -O -D warnings "$@"; }
rust --crate-type rlib --crate-name ts_filter_calls --out-dir "$out" $clients/rust/src/lib.rs
rust --extern ts_filter_calls="$out/libts_filter_calls.rlib" -o "$out/rust-echo" $clients/rust/examples/echo.rs
rust --extern ts_filter_calls="$out/libts_filter_calls.rlib" -o "$out/rust-conformance" $tests/conformance.rs

# The libraries' own tests.
rust --test --extern ts_filter_calls="$out/libts_filter_calls.rlib" -o "$out/rust-test" $clients/rust/tests/serve.rs
