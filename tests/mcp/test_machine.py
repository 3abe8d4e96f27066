"""The machine as a whole."""

import anyio
from support import text


async def test_there_is_a_way_back(sandbox):
    await sandbox.stdout("echo kept > /tmp/a", session="s")
    await sandbox.stdout("x=kept", session="s")
    assert await sandbox.do("checkpoint", name="here") == {"name": "here"}
    for _ in range(2):
        await sandbox.stdout("rm -rf /tmp/a /usr/bin/python3; x=lost", session="s")
        assert await sandbox.do("restore", name="here") == {"name": "here"}
        assert await sandbox.stdout("cat /tmp/a; echo $x; python3 -c 'print(1)'", session="s") == "kept\nkept\n1\n"
    await sandbox.do("reset")
    assert await sandbox.stdout("ls /tmp") == ""
    assert "here" in (await sandbox.do("status"))["checkpoints"]


async def test_an_unknown_checkpoint_is_told_in_a_sentence(sandbox):
    assert "unknown_checkpoint" in await sandbox.fail("restore", name="nowhere")


async def test_a_call_under_way_ends_with_a_reset(sandbox):
    await sandbox.stdout("mkfifo /tmp/begun")
    messages = []

    async def run():
        messages.append(await sandbox.fail("run_command", command="echo > /tmp/begun; sleep 86399", timeout_ms=10**7))

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        await sandbox.stdout("cat /tmp/begun")
        await sandbox.do("reset")
    assert "cancelled" in messages[0]


async def test_status_tells_how_the_machine_is(sandbox):
    status = await sandbox.do("status")
    assert status["image"] == "debian-bookworm-amd64" and status["memory_limit_bytes"] == 256 << 20
    assert 0 < status["memory_used_bytes"] < 256 << 20
    assert status["processes"] == [] and status["sessions"] == []


async def test_after_a_crash_there_is_a_new_machine(sandbox):
    await sandbox.stdout("touch /tmp/lost")
    message = await sandbox.fail("run_command", command="busybox reboot -f; sleep 86399")
    assert "rebooted" in message and "machine_crashed" in message
    result = await sandbox.call("run_command", command="ls /tmp")
    assert result.structured_content["stdout"] == ""
    assert result.structured_content["restarted"] and "afresh" in text(result)
    result = await sandbox.call("run_command", command="ls /tmp")
    assert "restarted" not in result.structured_content and "afresh" not in text(result)
