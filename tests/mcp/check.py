"""Runs all tests of `wasm-sandbox mcp`: each with both ways in which clients begin. Fails if one fails."""

import os
import sys
import traceback

import anyio
from mcp import Client, StdioServerParameters

import raw
import test_files
import test_machine
import test_processes
import test_running
import test_server
from support import Sandbox

MODULES = [test_server, test_running, test_files, test_machine, test_processes]
# A hang is a failure. No test depends on how long something takes.
LIMIT_SECONDS = 900


def tests_of(module):
    return [(name, test) for name, test in vars(module).items() if name.startswith("test_")]


async def run(name, test, *arguments):
    """Whether a test passed."""
    try:
        with anyio.fail_after(LIMIT_SECONDS):
            await test(*arguments)
    except BaseException:
        print(f"FAILED   {name}", flush=True)
        traceback.print_exc()
        return False
    else:
        print(f"passed   {name}", flush=True)
    return True


async def with_client(mode):
    program = StdioServerParameters(command=os.environ["WASM_SANDBOX"], args=["mcp"], env=dict(os.environ))
    results = []
    async with Client(program, mode=mode) as client:
        sandbox = Sandbox(client)
        for module in MODULES:
            for name, test in tests_of(module):
                await sandbox.do("reset")
                results.append(await run(f"{mode}: {name}", test, sandbox))
    return results


async def main():
    results = []
    for mode in ["legacy", "auto"]:
        results += await with_client(mode)
    for name, test in tests_of(raw):
        results.append(await run(f"raw: {name}", test))
    print(f"{sum(results)} of {len(results)} tests passed")
    return all(results)


if __name__ == "__main__":
    sys.exit(0 if anyio.run(main) else 1)
