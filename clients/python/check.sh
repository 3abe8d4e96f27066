#!/bin/bash
# Checks the client for Python: format, types, tests. The program is the one named by WASM_SANDBOX, or else
# target/release/wasm-sandbox.
set -euo pipefail
cd "$(dirname "$0")/../.."
root=$PWD
venv=$root/target/clients/python

export WASM_SANDBOX=${WASM_SANDBOX:-$root/target/release/wasm-sandbox}
if [[ ! -x $WASM_SANDBOX ]]; then
    echo "there is no program $WASM_SANDBOX: run 'make build', or name one with WASM_SANDBOX" >&2
    exit 1
fi

python3 -m venv "$venv"
"$venv/bin/pip" install --quiet --disable-pip-version-check "$root/clients/python[test]"
# pip leaves a package of the same version alone.
"$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$root/clients/python"

cd clients/python
"$venv/bin/ruff" format --check --no-cache .
"$venv/bin/ruff" check --no-cache .
"$venv/bin/mypy" --strict --cache-dir "$venv/mypy" src tests
"$venv/bin/pytest" -o cache_dir="$venv/pytest"
