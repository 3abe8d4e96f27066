"""`AsyncSandbox` against the real program: what is different from `Sandbox`, and that nothing is missing."""

from __future__ import annotations

import asyncio
import inspect
from typing import Awaitable, Callable

import pytest

import wasm_sandbox as w
from wasm_sandbox import AsyncSandbox, Sandbox

LONG = 300.0


def in_sandbox(test: Callable[[AsyncSandbox], Awaitable[None]]) -> Callable[[], None]:
    """Runs a test with a sandbox, in an event loop of its own."""

    def run() -> None:
        async def main() -> None:
            async with AsyncSandbox() as s:
                await test(s)

        asyncio.run(main(), debug=True)

    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        (AsyncSandbox, Sandbox),
        (w.AsyncFiles, w.Files),
        (w.AsyncProcess, w.Process),
        (w.AsyncSession, w.Session),
        (w.AsyncContext, w.Context),
        (w.AsyncStream, w.Stream),
        (w.AsyncWatch, w.Watch),
    ],
)
def test_both_clients_have_the_same_methods(mine: type, theirs: type) -> None:
    def public(cls: type) -> dict[str, object]:
        return {name: member for name, member in vars(cls).items() if not name.startswith("_")}

    assert set(public(mine)) - {"start_program"} == set(public(theirs))
    for name, member in public(theirs).items():
        other = public(mine)[name]
        assert other.__doc__
        if inspect.isfunction(member) and inspect.isfunction(other):
            assert list(inspect.signature(other).parameters) == list(inspect.signature(member).parameters), name


@in_sandbox
async def test_results(s: AsyncSandbox) -> None:
    r = await s.run("echo hi; exit 3")
    assert (r.stdout, r.exit_code) == ("hi\n", 3)
    assert (await s.exec(["cat"], stdin=b"\xff")).stdout_bytes == b"\xff"
    assert (await s.run_code("1 + 1", timeout=LONG)).result == "2"
    assert (await s.context().run("2 + 2")).result == "4"
    shell = s.session("work")
    await shell.run("cd /tmp")
    assert (await shell.run("pwd")).stdout == "/tmp\n"
    assert len(await s.sessions()) == 2
    await shell.close()
    await s.files.write("/tmp/a", b"\xff")
    assert await s.files.read_bytes("/tmp/a") == b"\xff"
    with pytest.raises(w.NotFoundError):
        await s.files.read_text("/nowhere")
    await s.checkpoint("x")
    await s.restore("x")
    await s.delete_checkpoint("x")
    await s.reset()
    assert (await s.status()).ready
    assert (await s.hello()).protocol_version == 1


def test_200_in_flight() -> None:
    async def main() -> None:
        async with AsyncSandbox(ordered=True) as s:
            results = await asyncio.gather(*(s.run(f"echo {i}", timeout=LONG) for i in range(200)))
            assert [r.stdout for r in results] == [f"{i}\n" for i in range(200)]

    asyncio.run(main())


@in_sandbox
async def test_200_at_the_same_time(s: AsyncSandbox) -> None:
    results = await asyncio.gather(*(s.run(f"echo {i}", timeout=LONG) for i in range(200)))
    assert [r.stdout for r in results] == [f"{i}\n" for i in range(200)]


@in_sandbox
async def test_requests_run_side_by_side(s: AsyncSandbox) -> None:
    await s.run("mkfifo /tmp/pipe")
    reader, writer = await asyncio.gather(
        s.run("cat /tmp/pipe", timeout=LONG), s.run("echo through > /tmp/pipe", timeout=LONG)
    )
    assert (reader.stdout, writer.exit_code) == ("through\n", 0)


def test_in_order_if_asked_for() -> None:
    async def main() -> None:
        async with AsyncSandbox(ordered=True) as s:
            await asyncio.gather(*(s.run(f"echo {i} >> /tmp/order") for i in range(20)))
            assert (await s.run("cat /tmp/order")).stdout.split() == [str(i) for i in range(20)]

    asyncio.run(main())


@in_sandbox
async def test_streams_and_callbacks(s: AsyncSandbox) -> None:
    stream = s.stream("echo out; echo err >&2")
    events = [event async for event in stream]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert (await stream.result()).stdout == "out\n"
    pieces: list[str] = []

    async def later(text: str) -> None:
        await asyncio.sleep(0)
        pieces.append(text)

    await s.run("echo out; echo err >&2", on_stdout=later, on_stderr=pieces.append)
    assert sorted("".join(pieces).split()) == ["err", "out"]


@in_sandbox
async def test_cancelling_a_task_cancels_its_request(s: AsyncSandbox) -> None:
    started = asyncio.Event()
    task = asyncio.ensure_future(s.run("echo; sleep 1000", timeout=1001, on_stdout=lambda _: started.set()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    while await s.processes():
        pass
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(s.run("sleep 1000", timeout=1001), 0.1)
    while await s.processes():
        pass


@in_sandbox
async def test_a_request_is_cancelled_by_its_id(s: AsyncSandbox) -> None:
    task = asyncio.ensure_future(s.run("sleep 1000", timeout=1001, request_id="mine"))
    await asyncio.sleep(0)
    assert await s.cancel("mine")
    with pytest.raises(w.RequestCancelledError):
        await task
    stream = s.stream("sleep 1000", timeout=1001)
    assert await stream.cancel()
    with pytest.raises(w.RequestCancelledError):
        await stream.result()


@in_sandbox
async def test_background_processes(s: AsyncSandbox) -> None:
    p = await s.start("cat", open_stdin=True)
    assert await p.poll() is None
    await p.write("hello\n")
    assert await p.wait_log("hello", timeout=LONG) == "hello"
    waiting = asyncio.ensure_future(p.wait())
    await p.close_stdin()
    assert (await waiting).stdout == "hello\n"
    assert "".join([event.data async for event in p if isinstance(event, w.Stdout)]) == "hello\n"
    async with await s.start("sleep 1000", pty=(80, 24)) as p:
        await p.resize(10, 10)
        with pytest.raises(w.TimedOutError):
            await p.wait(0.001)
    assert (await p.wait()).signal == "SIGKILL"


@in_sandbox
async def test_forks(s: AsyncSandbox) -> None:
    async with await s.fork("twin") as twin:
        await twin.run("touch /tmp/here")
        assert (await twin.run("ls /tmp/here")).ok
        assert not (await s.run("ls /tmp/here")).ok
    with pytest.raises(w.ClosedError):
        await twin.run("true")
    await twin.close()


@in_sandbox
async def test_watching(s: AsyncSandbox) -> None:
    await s.files.mkdir("/proj")
    async with await s.files.watch("/proj") as watch:
        await s.files.mkdir("/proj/new")
        async for event in watch:
            assert (event.event, event.path) == ("created", "/proj/new")
            break
        assert await watch.next(0) is None


@in_sandbox
async def test_closing_ends_what_waits(s: AsyncSandbox) -> None:
    task = asyncio.ensure_future(s.run("sleep 1000", timeout=1001))
    await asyncio.sleep(0)
    await s.close()
    with pytest.raises(w.ClosedError):
        await task
    with pytest.raises(w.ClosedError):
        await s.run("true")
    await s.close()


def test_it_must_be_started() -> None:
    async def main() -> None:
        with pytest.raises(w.SandboxError, match="not started"):
            await AsyncSandbox().run("true")

    asyncio.run(main())
