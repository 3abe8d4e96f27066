#!/usr/bin/env bash
# Tests `wasm-sandbox mcp` with the official Python client of the Model Context Protocol as its peer.
# The program is the one that WASM_SANDBOX names, or else target/release/wasm-sandbox.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
export WASM_SANDBOX=${WASM_SANDBOX:-$target/release/wasm-sandbox}
venv=$target/mcp/venv
requirements=tests/mcp/requirements.txt

if ! [ -x "$WASM_SANDBOX" ]; then
    echo "check.sh: there is no program $WASM_SANDBOX: run \`make build\`, or name one in WASM_SANDBOX" >&2
    exit 1
fi
# Made once for each version of the requirements.
if ! cmp --quiet "$requirements" "$venv/installed.txt"; then
    rm -rf "$venv"
    mkdir -p "$(dirname "$venv")"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
    cp "$requirements" "$venv/installed.txt"
fi
# The first start prepares the snapshot, which takes minutes; not while a test waits.
"$WASM_SANDBOX" prepare
exec "$venv/bin/python" tests/mcp/check.py
