"""Who the server is, and how calls are taken."""

import anyio
from mcp import MCPError

TOOLS = [
    "checkpoint", "edit_file", "list_files", "read_file", "read_process", "reset", "restore", "run_code",
    "run_command", "start_process", "status", "stop_process", "write_file", "write_process",
]  # fmt: skip


async def test_it_says_who_it_is(sandbox):
    assert sandbox.client.server_info.name == "wasm-sandbox"
    for word in ["amd64", "no network", "root", "python3", "256 MiB", "checkpoint", "reset", "persists"]:
        assert word in sandbox.client.instructions, word


async def test_every_tool_is_described(sandbox):
    tools = (await sandbox.client.list_tools()).tools
    assert sorted(tool.name for tool in tools) == TOOLS
    for tool in tools:
        assert tool.description and tool.annotations.title and tool.output_schema, tool.name
        assert tool.input_schema["type"] == "object", tool.name
        assert tool.annotations.open_world_hint is False, tool.name


async def test_wrong_arguments_are_told_to_the_model(sandbox):
    assert "timelimit" in await sandbox.fail("run_command", command="true", timelimit=1)
    assert "command" in await sandbox.fail("run_command")
    assert "`timeout_ms` must be from 1" in await sandbox.fail("run_command", command="true", timeout_ms=0)
    assert "not absolute" in await sandbox.fail("run_command", command="true", cwd="tmp")
    assert "not absolute" in await sandbox.fail("read_file", path="etc/passwd")
    assert "ruby" in await sandbox.fail("run_code", language="ruby", code="1")


async def test_a_tool_that_is_not_there_is_an_error_of_the_protocol(sandbox):
    try:
        await sandbox.client.call_tool("no_such_tool", {})
    except MCPError as error:
        assert "not found" in str(error)
    else:
        raise AssertionError("the call succeeded")


async def test_calls_are_carried_out_beside_each_other(sandbox):
    """Each waits for the other at a named pipe."""
    await sandbox.stdout("mkfifo /tmp/there /tmp/back")
    outputs = []

    async def note(command):
        outputs.append(await sandbox.stdout(command))

    async with anyio.create_task_group() as group:
        group.start_soon(note, "cat /tmp/there; echo two > /tmp/back")
        group.start_soon(note, "echo one > /tmp/there; cat /tmp/back")
    assert sorted(outputs) == ["one\n", "two\n"]


async def test_output_is_told_while_a_command_runs(sandbox):
    """The command ends when its first output has been seen."""
    await sandbox.stdout("mkfifo /tmp/go")
    told = []
    begun = anyio.Event()
    results = []

    async def progress(done, total, message):
        told.append((done, message))
        if "begun" in "".join(message for _, message in told):
            begun.set()

    async def run():
        arguments = {"command": "echo begun; read line < /tmp/go; echo got $line", "timeout_ms": 600_000}
        results.append(await sandbox.client.call_tool("run_command", arguments, progress_callback=progress))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await begun.wait()
        await sandbox.stdout("echo it > /tmp/go")
    assert results[0].structured_content["stdout"] == "begun\ngot it\n"
    assert [done for done, _ in told] == sorted({done for done, _ in told}), "progress always grows"


async def test_a_call_that_is_cancelled_is_killed(sandbox):
    begun = anyio.Event()

    async def progress(done, total, message):
        begun.set()

    async def run():
        arguments = {"command": "echo begun; sleep 86399", "timeout_ms": 86_400_000}
        await sandbox.client.call_tool("run_command", arguments, progress_callback=progress)

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await begun.wait()
        group.cancel_scope.cancel()
    await sandbox.stdout("while pgrep -x sleep; do :; done")
