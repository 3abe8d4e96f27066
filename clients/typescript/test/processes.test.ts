/** Events, background processes, and stopping what runs. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Sandbox, type OutputEvent, type ProcessEvent } from "wasm-sandbox-client";
import { ALL_BYTES, collect, rejects } from "./support.js";

const LONG = { timeLimitMs: 300_000 };

function text(events: readonly ProcessEvent[], type: OutputEvent["type"] = "stdout"): string {
  return events.flatMap((event) => (event.type === type ? event.data : [])).join("");
}

function inOrder(events: readonly ProcessEvent[]): void {
  assert.deepEqual(events.map(({ seq }) => seq), events.map((_, index) => index + 1));
}

test("events come in order, before the result", async () => {
  await using s = await Sandbox.start();
  const stream = s.stream("echo a; echo b >&2; seq 1000; exit 5", LONG);
  const events = await collect(stream);
  inOrder(events);
  assert.deepEqual([events.at(0)?.type, events.at(-1)?.type], ["started", "exited"]);
  const result = await stream.result;
  assert.deepEqual([text(events), text(events, "stderr")], [result.stdout, "b\n"]);
  assert.deepEqual([events.at(-1)], [{ ...events.at(-1), exitCode: 5, timedOut: false }]);
});

test("many streams at a time do not mix", async () => {
  await using s = await Sandbox.start();
  const streams = Array.from({ length: 20 }, (_, number) => s.stream(`for i in 1 2 3 4 5; do echo ${number}; done`, LONG));
  const all = await Promise.all(streams.map(collect));
  all.forEach((events, number) => assert.equal(text(events), `${number}\n`.repeat(5)));
  all.forEach(inOrder);
});

test("more output than anything buffers", async () => {
  await using s = await Sandbox.start();
  const size = 20 << 20;
  let seen = 0;
  for await (const event of s.stream(["head", "-c", `${size}`, "/dev/zero"], LONG)) {
    seen += event.type === "stdout" ? event.bytes.length : 0;
  }
  assert.equal(seen, size);
});

test("bytes in events", async () => {
  await using s = await Sandbox.start();
  const events = await collect(s.stream("cat", { stdin: ALL_BYTES }));
  const bytes = events.flatMap((event) => (event.type === "stdout" ? [...event.bytes] : []));
  assert.deepEqual(bytes, [...ALL_BYTES]);
});

test("callbacks, for commands, programs and code", async () => {
  await using s = await Sandbox.start();
  const told: string[] = [];
  const callbacks = {
    onStdout: (data: string, bytes: Uint8Array) => told.push(`out ${data}${bytes.length}`),
    onStderr: (data: string) => told.push(`err ${data}`),
    onEvent: (event: ProcessEvent) => told.push(event.type),
  };
  await s.run("echo a; sleep 0.1; echo b >&2", callbacks);
  assert.deepEqual(told.splice(0), ["started", "stdout", "out a\n2", "stderr", "err b\n", "exited"]);
  await s.exec(["echo", "x"], callbacks);
  await s.runCode("print('y')", { ...callbacks, ...LONG });
  assert.ok(told.includes("out x\n2") && told.includes("out y\n2"));
});

test("a callback that throws stops the command", async () => {
  await using s = await Sandbox.start();
  const oops = new Error("oops");
  const run = s.run("echo a; sleep 1000; touch /tmp/done", {
    ...LONG,
    onStdout: () => {
      throw oops;
    },
  });
  await assert.rejects(run, oops);
  assert.deepEqual(await s.processes(), []);
});

test("code as a stream", async () => {
  await using s = await Sandbox.start();
  const stream = s.context("c").stream("print('a')\n2", LONG);
  assert.equal(text(await collect(stream)), "a\n");
  assert.equal((await stream.result).result, "2");
});

test("who leaves the loop stops the command", async () => {
  await using s = await Sandbox.start();
  const stream = s.stream("while echo y; do sleep 0.1; done", LONG);
  for await (const event of stream) {
    if (event.type === "stdout") {
      break;
    }
  }
  await rejects(stream.result, "cancelled");
  assert.deepEqual(await s.processes(), []);
});

test("a signal aborts a request, and what it started is gone", async () => {
  await using s = await Sandbox.start();
  const controller = new AbortController();
  const { signal } = controller;
  const onEvent = () => controller.abort();
  await rejects(s.run("sleep 1000", { ...LONG, signal, onEvent }), "cancelled");
  assert.deepEqual(await s.processes(), []);
  await rejects(s.run("true", { signal }), "cancelled");
  assert.equal((await s.run("echo on", { signal: new AbortController().signal })).stdout, "on\n");
});

test("requests that wait for others can be aborted", async () => {
  await using s = await Sandbox.start();
  const controller = new AbortController();
  const { signal } = controller;
  const first = s.run("sleep 1000", { ...LONG, ordered: true, signal });
  const second = s.run("true", { ordered: true, signal });
  const port = s.waitPort(9, { ...LONG, signal });
  controller.abort();
  await Promise.all([first, second, port].map((promise) => rejects(promise, "cancelled")));
});

test("a stream can be aborted: its loop throws", async () => {
  await using s = await Sandbox.start();
  const controller = new AbortController();
  const stream = s.stream("sleep 1000", { ...LONG, signal: controller.signal });
  const events: ProcessEvent[] = [];
  const loop = (async () => {
    for await (const event of stream) {
      events.push(event);
      controller.abort();
    }
  })();
  await rejects(loop, "cancelled");
  assert.equal(events[0]?.type, "started");
});

for (const stream of [false, true]) {
  test(`a background process, ${stream ? "events sent" : "events asked for"}`, async () => {
    await using s = await Sandbox.start();
    const p = await s.spawn('echo ready; while read -r x; do echo "got $x"; done; echo end >&2; exit 6', {
      openStdin: true,
      stream,
    });
    assert.ok(typeof p.pid === "number");
    assert.match((await p.waitLog("^rea")).line, /ready/);
    assert.equal(await p.wait({ timeLimitMs: 1 }), undefined);
    await p.write("one\n");
    await p.write(Uint8Array.from(Buffer.from("twö\n")));
    await p.waitLog("twö");
    const [info] = await s.processes();
    assert.deepEqual([info?.processId, info?.pid, info?.running, info?.background], [p.id, p.pid, true, true]);
    await p.closeStdin();
    const events = await collect(p);
    inOrder(events);
    assert.deepEqual([text(events), text(events, "stderr")], ["ready\ngot one\ngot twö\n", "end\n"]);
    const result = await p.wait();
    assert.deepEqual([result.exitCode, result.stdout, result.stderr], [6, text(events), "end\n"]);
    await rejects(p.write("late"), "unknown_process");
    await rejects(p.waitLog("never"), "not_found");
  });
}

test("events can be read as often as one likes, from where one likes", async () => {
  await using s = await Sandbox.start();
  const p = await s.spawn("echo a; echo b >&2; sleep 0.1; echo c", {});
  await p.wait();
  const again = s.process(p.id);
  assert.deepEqual(await collect(p), await collect(again));
  const all = await collect(p);
  assert.deepEqual(await collect(p.events({ afterSeq: 2 })), all.slice(2));
  const { events, lastSeq, gap, more } = await p.read({ afterSeq: 1, maxBytes: 1 });
  assert.deepEqual([events, lastSeq, gap, more], [all.slice(1, 2), 2, false, true]);
});

test("a loop over a process that runs can be left", async () => {
  await using s = await Sandbox.start();
  await using p = await s.spawn("echo a; sleep 1000");
  const events = p[Symbol.asyncIterator]();
  assert.equal((await events.next()).done, false);
  assert.equal((await events.next()).done, false);
  const waiting = events.next();
  await events.return?.();
  assert.equal((await waiting).done, true);
  await p.kill();
});

test("signals", async () => {
  await using s = await Sandbox.start();
  const p = await s.spawn("trap 'echo usr1' USR1; trap 'echo term; exit 0' TERM; echo set; while :; do sleep 0.1; done");
  await p.waitLog("set");
  await p.signal("USR1", { leaderOnly: true });
  await p.waitLog("usr1");
  await p.signal("SIGTERM", { leaderOnly: true });
  assert.equal((await p.wait()).exitCode, 0);
  const q = await s.spawn("sleep 1000");
  await q.kill();
  assert.equal((await q.wait()).signal, "SIGKILL");
  await rejects(q.signal(15), "unknown_process");
  await rejects(q.signal("NONSENSE"), "invalid_request");
  await rejects(s.process("p0").wait(), "unknown_process");
});

test("a terminal", async () => {
  await using s = await Sandbox.start();
  const p = await s.spawn("stty size; read x; stty size; exit 0", { pty: { cols: 91, rows: 17 } });
  await p.waitLog("17 91");
  await p.resize({ cols: 92, rows: 18 });
  await p.write("\n");
  await p.waitLog("18 92");
  assert.equal((await p.wait()).exitCode, 0);
});

test("a process at the end of its block", async () => {
  await using s = await Sandbox.start();
  {
    await using p = await s.spawn("sleep 1000");
    assert.equal((await s.processes())[0]?.processId, p.id);
  }
  assert.equal((await s.processes())[0]?.running, false);
});

test("a port", async () => {
  await using s = await Sandbox.start();
  await rejects(s.waitPort(8080, { timeLimitMs: 1 }), "timed_out");
  const waiting = s.waitPort(8080, LONG);
  await using server = await s.spawn(["python3", "-m", "http.server", "8080"], { cwd: "/etc" });
  assert.equal((await waiting).port, 8080);
  assert.equal((await s.run("curl -s http://localhost:8080/hostname", LONG)).stdout, "sandbox\n");
  await server.waitLog("GET /hostname");
});

test("a process that keeps no events, and a late reader", async () => {
  await using s = await Sandbox.start();
  const p = await s.spawn("echo a", { maxOutputBytes: 0 });
  assert.deepEqual((await collect(p)).map((event) => event.type), ["exited"]);
  const q = await s.spawn("seq 10000", { maxOutputBytes: 1000 });
  await q.wait();
  const events = await collect(q);
  assert.ok((events[0]?.seq ?? 0) > 1);
  assert.equal(events.at(-1)?.type, "exited");
});
