"""Processes in the background."""


async def read_to_the_end(sandbox, process_id):
    stdout, stderr, seq = "", "", 0
    while True:
        output = await sandbox.do("read_process", process_id=process_id, after_seq=seq, wait_ms=600_000)
        stdout, stderr, seq = stdout + output["stdout"], stderr + output["stderr"], output["last_seq"]
        if not output["more"]:
            return stdout, stderr, output


async def test_a_process_runs_beside_the_calls(sandbox):
    started = await sandbox.do("start_process", command="echo $A; echo bad >&2; exit 3", env={"A": "hi"})
    stdout, stderr, last = await read_to_the_end(sandbox, started["process_id"])
    assert (stdout, stderr, last["exit_code"]) == ("hi\n", "bad\n", 3)
    processes = (await sandbox.do("status"))["processes"]
    assert [(process["process_id"], process["exit_code"]) for process in processes] == [(started["process_id"], 3)]


async def test_a_process_can_be_written_to(sandbox):
    process_id = (await sandbox.do("start_process", command="sed s/^/got:/", open_stdin=True))["process_id"]
    await sandbox.do("write_process", process_id=process_id, data="one\n")
    await sandbox.do("write_process", process_id=process_id, data="two\n", close=True)
    stdout, _, last = await read_to_the_end(sandbox, process_id)
    assert stdout == "got:one\ngot:two\n" and last["exit_code"] == 0


async def test_a_closed_input_takes_nothing(sandbox):
    """The process runs on."""
    process_id = (await sandbox.do("start_process", command="sleep 86399", open_stdin=True))["process_id"]
    await sandbox.do("write_process", process_id=process_id, close=True)
    assert "stdin_closed" in await sandbox.fail("write_process", process_id=process_id, data="three\n")


async def test_a_process_is_stopped(sandbox):
    process_id = (await sandbox.do("start_process", command="exec sleep 86399"))["process_id"]
    stopped = await sandbox.do("stop_process", process_id=process_id)
    assert stopped == {"process_id": process_id, "exit_code": 143, "signal": "SIGTERM"}


async def test_a_process_that_does_not_want_to_end_is_killed(sandbox):
    command = "trap '' TERM; echo ready; while :; do sleep 86399; done"
    process_id = (await sandbox.do("start_process", command=command))["process_id"]
    output = await sandbox.do("read_process", process_id=process_id, wait_ms=600_000)
    while "ready" not in output["stdout"]:
        seq = output["last_seq"]
        output = await sandbox.do("read_process", process_id=process_id, after_seq=seq, wait_ms=600_000)
    stopped = await sandbox.do("stop_process", process_id=process_id, grace_ms=1)
    assert stopped["signal"] == "SIGKILL"
    assert await sandbox.stdout("pgrep -x sleep || true") == "", "what it has started is gone, too"


async def test_an_unknown_process_is_told_in_a_sentence(sandbox):
    for tool in ["read_process", "stop_process", "write_process"]:
        assert "unknown_process" in await sandbox.fail(tool, process_id="nobody")


async def test_a_server_in_the_guest_answers(sandbox):
    command = "cd /tmp; echo hello > index.html; exec python3 -u -m http.server 8000"
    process_id = (await sandbox.do("start_process", command=command))["process_id"]
    fetch = "until curl -s http://127.0.0.1:8000/index.html; do :; done"
    assert await sandbox.stdout(fetch) == "hello\n"
    await sandbox.do("stop_process", process_id=process_id)
