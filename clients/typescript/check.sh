#!/usr/bin/env bash
# Builds the client and runs its tests, in a copy below target/, so that nothing is left in the source tree. The
# program is the one that WASM_SANDBOX names, or target/release/wasm-sandbox.
set -euo pipefail

source=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$source/../.." && pwd)
WASM_SANDBOX=${WASM_SANDBOX:-$root/target/release/wasm-sandbox}
if [[ ! -x $WASM_SANDBOX ]]; then
    echo "clients/typescript: there is no program $WASM_SANDBOX: build it, or name it in WASM_SANDBOX" >&2
    exit 1
fi
WASM_SANDBOX=$(realpath "$WASM_SANDBOX")
export WASM_SANDBOX

copy=$root/target/clients/typescript
mkdir -p "$copy"
# What was installed stays, and `npm ci` replaces it; everything else is made anew.
find "$copy" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -r {} +
cp -R "$source/." "$copy/"
cd "$copy"

# Debian's own Node.js may be too old; npm has newer ones.
if (( $(node -p 'process.versions.node.split(".")[0]') < 20 )); then
    newer=$root/target/clients/node
    npm install --no-audit --no-fund --prefix "$newer" node@20
    PATH=$newer/node_modules/.bin:$PATH
fi

npm ci --no-audit --no-fund
npm test
