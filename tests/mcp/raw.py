"""The program itself: what it writes, and how it ends. Without a client library."""

import json
import os
import subprocess
import tempfile

import anyio


async def program(*arguments, lines=(), wait_for=None, **env):
    """Runs the program with these lines of input to its end. The input ends when the answer `wait_for` has come."""
    command = [os.environ["WASM_SANDBOX"], "mcp", *arguments]
    return await anyio.to_thread.run_sync(converse, command, lines, wait_for, {**os.environ, **env})


def converse(command, lines, wait_for, env):
    text = b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    with tempfile.TemporaryFile() as errors:
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=errors, env=env) as process:
            process.stdin.write(text)
            process.stdin.flush()
            stdout = b""
            while wait_for is not None and (line := process.stdout.readline()):
                stdout += line
                if json.loads(line).get("id") == wait_for:
                    break
            process.stdin.close()
            stdout += process.stdout.read()
        errors.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, stdout, errors.read())


def request(number, method, **params):
    return {"jsonrpc": "2.0", "id": number, "method": method, "params": params}


def initialize():
    who = {"name": "raw", "version": "0"}
    return [
        request(1, "initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=who),
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]


async def test_the_end_of_the_input_is_the_end():
    ended = await program()
    assert (ended.returncode, ended.stdout) == (0, b""), ended


async def test_standard_output_carries_protocol_only():
    call = request(2, "tools/call", name="run_command", arguments={"command": "echo hi"})
    ended = await program("--verbose", lines=[*initialize(), call], wait_for=2)
    answers = {answer["id"]: answer["result"] for answer in map(json.loads, ended.stdout.splitlines())}
    assert ended.returncode == 0 and sorted(answers) == [1, 2], ended
    assert answers[1]["protocolVersion"] == "2025-06-18"
    assert answers[2]["structuredContent"]["stdout"] == "hi\n"
    assert ended.stderr, "logs go to standard error"


async def test_rubbish_is_survived():
    rubbish = [b"", b"{", b"null", b"[]", b'"x"', b"\xff\xfe", b'{"jsonrpc":"2.0"}', b'{"id":7}', b"[" * 10_000]
    call = request(2, "tools/call", name="run_command", arguments={"command": "echo hi"})
    ended = await program(lines=[*initialize(), *rubbish, call], wait_for=2)
    answers = [json.loads(line) for line in ended.stdout.splitlines()]
    assert ended.returncode == 0
    assert [answer["result"]["isError"] for answer in answers if answer.get("id") == 2] == [False], ended


async def test_options_of_the_machine_apply():
    call = request(2, "tools/call", name="status", arguments={})
    for arguments in [["--memory-limit", "128", "--no-snapshot"], ["--no-snapshot", "--memory-limit", "128"]]:
        ended = await program(*arguments, lines=[*initialize(), call], wait_for=2)
        answers = {answer["id"]: answer["result"] for answer in map(json.loads, ended.stdout.splitlines())}
        assert "128 MiB" in answers[1]["instructions"]
        assert answers[2]["structuredContent"]["memory_limit_bytes"] == 128 << 20


async def test_what_cannot_work_is_said_at_once():
    for option in ["--image", "--snapshot"]:
        ended = await program(option, "/no/such/place")
        assert ended.returncode == 1 and not ended.stdout, ended
        assert b"/no/such/place" in ended.stderr


async def test_a_call_under_way_does_not_outlive_its_client():
    call = request(2, "tools/call", name="run_command", arguments={"command": "sleep 86399", "timeout_ms": 10**7})
    ended = await program(lines=[*initialize(), call])
    assert ended.returncode == 0, ended


async def test_the_server_answers_before_its_machine_is_there():
    """Hosts do not wait for minutes. Nor does the end of the input wait for the machine."""
    with tempfile.TemporaryDirectory() as cache:
        ended = await program(lines=initialize(), wait_for=1, WASM_SANDBOX_CACHE=cache)
        assert ended.returncode == 0 and json.loads(ended.stdout)["result"]["instructions"], ended
