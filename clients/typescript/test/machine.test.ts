/** The machine as a whole: its states, forks, and its end. */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Sandbox } from "wasm-sandbox-client";
import { collect, rejects } from "./support.js";

const LONG = { timeLimitMs: 300_000 };

test("who the program is and how the machine is", async () => {
  await using s = await Sandbox.start({ memoryLimitMb: 256 });
  const hello = await s.hello();
  assert.equal(hello.protocolVersion, 1);
  assert.ok(hello.requests.includes("process_close_stdin") && hello.limits.lineBytes > 0);
  const status = await s.status();
  assert.deepEqual([status.ready, status.memoryLimitBytes, status.checkpoints], [true, 256 << 20, []]);
  assert.equal(status.version, hello.version);
  assert.ok(!("id" in status) && !("type" in status));
});

test("checkpoints", async () => {
  await using s = await Sandbox.start();
  await s.files.write("/tmp/a", "1");
  assert.ok((await s.checkpoint("one")).durationMs >= 0);
  await s.files.write("/tmp/a", "2");
  assert.deepEqual((await s.status()).checkpoints.map(({ name }) => name), ["one"]);
  await s.restore("one");
  assert.equal(await s.files.readText("/tmp/a"), "1");
  await s.reset();
  await rejects(s.files.readText("/tmp/a"), "not_found");
  await s.restore("one");
  assert.equal(await s.files.readText("/tmp/a"), "1");
  await s.deleteCheckpoint("one");
  await rejects(s.restore("one"), "unknown_checkpoint");
  await rejects(s.checkpoint(""), "invalid_request");
});

test("a machine that is put back: nothing that ran waits for ever", async () => {
  await using s = await Sandbox.start();
  const p = await s.spawn("echo a; sleep 1000", { stream: true });
  const q = await s.spawn("echo a; sleep 1000");
  await q.waitLog("a");
  const stream = s.stream("sleep 1000", LONG);
  // What was written is seen already, so that this one waits for more.
  const waiting = collect(q.events({ afterSeq: 2 }));
  const loops = [collect(p), waiting, collect(stream), stream.result, p.wait(), q.waitLog("never", LONG)];
  const checks = Promise.all(loops.map((loop) => rejects(loop, "cancelled", /reset/)));
  // By its answer, all that is asked above was sent.
  await s.hello();
  await s.reset();
  await checks;
  await rejects(p.wait(), "unknown_process");
});

test("a process of a checkpoint goes on after it was restored", async () => {
  await using s = await Sandbox.start();
  const p = await s.spawn("read x; echo $x", { openStdin: true, stream: true });
  await s.checkpoint("waits");
  const first = rejects(collect(p), "cancelled", /restore/);
  await s.restore("waits");
  await first;
  await p.write("hi\n");
  const events = await collect(p.events());
  assert.deepEqual(events.map(({ type }) => type), ["started", "stdout", "exited"]);
});

test("forks share the program and nothing else", async () => {
  await using s = await Sandbox.start();
  await s.files.write("/tmp/a", "before");
  const waiting = await s.spawn("read x; echo $x", { openStdin: true });
  await using named = await s.fork({ name: "named" });
  await using other = await s.fork();
  assert.equal(named.name, "named");
  assert.ok(other.name !== undefined && other.name !== "named");
  await Promise.all([s, named, other].map((one) => one.files.write("/tmp/b", one.name ?? "main")));
  const texts = [s, named, other].map((one) => one.run("cat /tmp/a /tmp/b").then((result) => result.stdout));
  assert.deepEqual(await Promise.all(texts), ["beforemain", "beforenamed", `before${other.name}`]);
  await named.process(waiting.id).write("there\n");
  assert.equal((await named.process(waiting.id).wait()).stdout, "there\n");
  assert.equal(await waiting.wait({ timeLimitMs: 1 }), undefined);
  await rejects(s.fork({ name: "named" }), "already_exists");
  await rejects(s.fork({ name: "" }), "invalid_request");
});

test("a fork that is closed", async () => {
  await using s = await Sandbox.start();
  const fork = await s.fork();
  const running = fork.run("sleep 1000", LONG);
  const p = await fork.spawn("sleep 1000", { stream: true });
  const checks = [rejects(running, "cancelled"), rejects(collect(p), "cancelled", /close/)];
  await fork.close();
  await Promise.all(checks);
  await fork.close();
  await rejects(fork.run("true"), "unknown_sandbox");
  assert.equal((await s.run("echo on")).stdout, "on\n");
  const second = await s.fork();
  await s.close();
  await second.close();
  await rejects(second.run("true"), "closed");
});

test("a machine in a file", async (t) => {
  const directory = await mkdtemp(join(tmpdir(), "wasm-sandbox-client-"));
  t.after(() => rm(directory, { recursive: true }));
  const path = join(directory, "machine");
  {
    await using s = await Sandbox.start();
    await s.files.write("/tmp/a", "kept");
    const saved = await s.save(path);
    assert.equal(saved.path, path);
    assert.ok(saved.size > 0);
    await rejects(s.save(join(directory, "no", "such")), "host_io");
  }
  await using s = await Sandbox.start({ snapshot: path });
  assert.equal(await s.files.readText("/tmp/a"), "kept");
  await rejects(Sandbox.start({ snapshot: join(directory, "nothing") }), "program_ended", /nothing/);
});

test("a machine that goes down starts afresh, and everybody hears of it", async () => {
  await using s = await Sandbox.start();
  const p = await s.spawn("sleep 1000", { stream: true });
  const loops = [collect(p), p.wait(), s.run("busybox reboot -f; sleep 1000", LONG)];
  await Promise.all(loops.map((loop) => rejects(loop, "machine_crashed")));
  assert.equal((await s.run("echo on", LONG)).restarted, true);
  assert.equal((await s.run("echo on", LONG)).restarted, false);
  assert.equal((await s.status()).restarts, 1);
});

test("arguments of the program, and what it says", async () => {
  await rejects(Sandbox.start({ memoryLimitMb: 1 }), "program_ended", /memory-limit/);
  await rejects(Sandbox.start({ arguments: ["--no-such-option"] }), "program_ended", /no-such-option/);
  let log = "";
  await using s = await Sandbox.start({ verbose: true, onLog: (text) => (log += text), env: { ...process.env } });
  await s.run("true");
  await s.close();
  assert.notEqual(log, "");
});
