"""Commands and code."""

import anyio
from support import text


async def test_a_command_has_both_outputs_and_an_exit_code(sandbox):
    result = await sandbox.call("run_command", command="echo out; echo bad >&2; exit 3")
    assert not result.is_error, "the command failed, the tool did not"
    content = result.structured_content
    assert (content["stdout"], content["stderr"], content["exit_code"]) == ("out\n", "bad\n", 3)
    assert text(result).startswith("out\n[stderr]\nbad\n[exit code 3 after ")


async def test_a_command_has_directory_variables_and_input(sandbox):
    output = await sandbox.stdout('pwd; echo "$A $B"; cat', cwd="/tmp", env={"A": "1", "B": "zwei"}, stdin="é\n")
    assert output == "/tmp\n1 zwei\né\n"
    assert await sandbox.stdout("pwd; cat") == "/root\n"


async def test_a_command_that_runs_too_long_is_killed(sandbox):
    result = await sandbox.call("run_command", command="echo begun; sleep 1000", timeout_ms=100)
    content = result.structured_content
    assert content["timed_out"] and content["stdout"] == "begun\n" and content["signal"] == "SIGKILL"
    assert "timed out" in text(result)


async def test_the_time_limit_has_other_names_too(sandbox):
    for name in ["timeout", "time_limit_ms"]:
        result = await sandbox.do("run_command", command="sleep 1000", **{name: 100})
        assert result["timed_out"]


async def test_a_session_keeps_directory_and_variables(sandbox):
    await sandbox.stdout("cd /tmp; x=5", session="s")
    assert await sandbox.stdout("pwd; echo $x", session="s") == "/tmp\n5\n"
    assert await sandbox.stdout("pwd; echo $x") == "/root\n\n", "without a session there is a shell for each"
    assert "s" in (await sandbox.do("status"))["sessions"]


async def test_long_output_loses_its_middle(sandbox):
    result = await sandbox.do("run_command", command="seq 100000", timeout_ms=120_000)
    output = result["stdout"]
    assert result["truncated"] and output.startswith("1\n2\n") and output.endswith("99999\n100000\n")
    assert 65_536 < len(output) < 65_700
    assert f"{588_895 - 65_536} bytes of the output are left out" in output

    result = await sandbox.do("run_command", command="seq 1000", max_output_bytes=8)
    assert result["stdout"] == "1\n2\n\n[… 3885 bytes of the output are left out …]\n000\n"


async def test_output_that_is_no_text_can_be_read(sandbox):
    assert await sandbox.stdout(r"printf 'a\377b'") == "a\ufffdb"


async def test_python_keeps_its_state(sandbox):
    await sandbox.do("run_code", language="python", code="import math\nx = 6")
    result = await sandbox.call("run_code", language="python", code="print('hi')\nx * 7")
    assert result.structured_content["result"] == "42" and result.structured_content["stdout"] == "hi\n"
    assert text(result).startswith("hi\n[result]\n42\n[exit code 0 after ")
    result = await sandbox.do("run_code", language="python", code="x", context="other")
    assert result["exception"] == "NameError" and result["exit_code"] == 1
    assert "NameError" in result["stderr"]


async def test_bash_keeps_its_state(sandbox):
    await sandbox.do("run_code", language="bash", code="x=5")
    assert (await sandbox.do("run_code", language="bash", code="echo $x"))["stdout"] == "5\n"


async def test_code_that_runs_too_long_is_interrupted(sandbox):
    arguments = {"language": "python", "code": "print('begun', flush=True)\nwhile True: pass", "timeout_ms": 2000}
    result = await sandbox.do("run_code", **arguments)
    assert result["timed_out"]


async def test_a_session_at_work_takes_no_second_command(sandbox):
    await sandbox.stdout("mkfifo /tmp/begun /tmp/go")
    async with anyio.create_task_group() as group:
        command = "echo > /tmp/begun; read line < /tmp/go"
        group.start_soon(lambda: sandbox.stdout(command, session="s"))
        await sandbox.stdout("cat /tmp/begun")
        assert "busy" in await sandbox.fail("run_command", command="true", session="s")
        await sandbox.stdout("echo > /tmp/go")
