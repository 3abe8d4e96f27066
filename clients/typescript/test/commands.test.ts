/** Commands, code and what can be said about them. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { CodeResult, CommandResult, Sandbox } from "wasm-sandbox-client";
import { ALL_BYTES, fake, rejects } from "./support.js";

test("a command and its result", async () => {
  await using s = await Sandbox.start();
  const result = await s.run("echo out; echo err >&2; exit 3");
  assert.ok(result instanceof CommandResult);
  const { stdout, stderr, exitCode, signal, timedOut } = result;
  assert.deepEqual(
    { stdout, stderr, exitCode, signal, timedOut },
    { stdout: "out\n", stderr: "err\n", exitCode: 3, signal: undefined, timedOut: false },
  );
  assert.ok(result.durationMs >= 0 && typeof result.cpuTimeMs === "number");
});

test("a program with arguments, without a shell", async () => {
  await using s = await Sandbox.start();
  assert.equal((await s.exec(["printf", "%s|", "a b", "$HOME", ""])).stdout, "a b|$HOME||");
  await rejects(s.exec(["no-such-program"]), "not_found");
  await rejects(s.exec(["/etc/passwd"]), "not_executable");
  await rejects(s.exec([]), "invalid_request", /argv/);
});

test("options of commands", async () => {
  await using s = await Sandbox.start();
  const result = await s.run('echo "$PWD $longName $UPPER $(id -un)"; cat', {
    cwd: "/tmp",
    env: { longName: "camel", UPPER: "upper" },
    user: "nobody",
    stdin: "from here",
  });
  assert.equal(result.stdout, "/tmp camel upper nobody\nfrom here");
  assert.equal((await s.run("/usr/bin/env | wc -l", { clearEnv: true, env: { A: "1" } })).exitCode, 0);
  await rejects(s.run("true", { cwd: "/no/such/directory" }), "bad_cwd");
  await rejects(s.run("true", { cwd: "relative" }), "invalid_path");
  await rejects(s.run("true", { user: "no-such-user" }), "bad_user");
  await rejects(s.run("true", { timeLimitMs: 0 }), "invalid_request", /time_limit_ms/);
});

test("undefined is the same as absent", async () => {
  await using s = await Sandbox.start();
  const result = await s.run("pwd", { cwd: undefined, env: undefined, stdin: undefined, timeLimitMs: undefined });
  assert.equal(result.exitCode, 0);
});

test("a time limit, and one of CPU time", async () => {
  await using s = await Sandbox.start();
  const result = await s.run("echo begun; sleep 1000", { timeLimitMs: 200 });
  assert.deepEqual([result.stdout, result.timedOut, result.signal, result.exitCode], ["begun\n", true, "SIGKILL", 137]);
  const busy = await s.run("while :; do :; done", { timeLimitMs: 60_000, cpuTimeLimitMs: 100 });
  assert.notEqual(busy.exitCode, 0);
});

test("too much output loses its middle", async () => {
  await using s = await Sandbox.start();
  const result = await s.run("seq 1000; seq 3 >&2", { maxOutputBytes: 10 });
  assert.ok(result.stdoutTruncated && !result.stderrTruncated);
  assert.ok(result.stdoutTruncatedBytes > 1000 && result.stderrTruncatedBytes === 0);
  assert.ok(result.stdout.startsWith("1\n") && result.stdout.endsWith("1000\n"));
});

test("bytes go in and come out as they are", async () => {
  await using s = await Sandbox.start();
  const result = await s.run("cat; echo text >&2", { stdin: ALL_BYTES });
  assert.deepEqual(result.stdoutBytes, ALL_BYTES);
  assert.ok(result.stdout.includes("\ufffd"));
  assert.deepEqual([result.stderr, result.stderrBytes], ["text\n", Uint8Array.from(Buffer.from("text\n"))]);
  const part = new Uint8Array(ALL_BYTES.buffer, 250, 3);
  assert.deepEqual((await s.run("cat", { stdin: part })).stdoutBytes, Uint8Array.of(250, 251, 252));
  assert.equal((await s.run("cat", { stdin: "\0 é 😀 \u2028\r\n" })).stdout, "\0 é 😀 \u2028\r\n");
});

test("a large answer, and a large request", async () => {
  await using s = await Sandbox.start();
  const size = 8 << 20;
  const result = await s.run(`head -c ${size} /dev/zero`, { timeLimitMs: 60_000 });
  assert.equal(result.stdout.length, size);
  const bytes = new Uint8Array(size).fill(200);
  await s.files.write("/tmp/large", bytes);
  assert.deepEqual(await s.files.readBytes("/tmp/large"), bytes);
});

test("code keeps its state", async () => {
  await using s = await Sandbox.start();
  await s.runCode("x = 20", { timeLimitMs: 60_000 });
  const result = await s.runCode("print('said')\nx + 1");
  assert.ok(result instanceof CodeResult);
  assert.deepEqual([result.result, result.stdout, result.exception, result.exitCode], ["21", "said\n", undefined, 0]);
  const failed = await s.runCode("1 / 0");
  assert.equal(failed.exception?.name, "ZeroDivisionError");
  assert.match(failed.exception.traceback, /1 \/ 0/);
  assert.equal(failed.exitCode, 1);
  const bash = await s.runCode("y=5; echo $y; false", { language: "bash" });
  assert.deepEqual([bash.stdout, bash.exitCode, bash.result], ["5\n", 1, undefined]);
});

test("interpreters with names, and their ends", async () => {
  await using s = await Sandbox.start();
  const [one, other] = [s.context("one"), s.context("other", { language: "python" })];
  await Promise.all([one.run("x = 1", { timeLimitMs: 60_000 }), other.run("x = 2", { timeLimitMs: 60_000 })]);
  assert.equal((await one.run("x")).result, "1");
  assert.equal((await other.run("x")).result, "2");
  const kept = await s.sessions();
  assert.deepEqual(
    kept.map(({ session, language, busy }) => [session, language, busy]),
    [["one", "python", false], ["other", "python", false]],
  );
  await one.close();
  assert.deepEqual((await s.sessions()).map(({ session }) => session), ["other"]);
  await rejects(one.close(), "unknown_session");
  const late = await other.run("import time\nwhile True: time.sleep(1)", { timeLimitMs: 500 });
  assert.equal(late.timedOut, true);
});

test("a shell that lives on", async () => {
  await using s = await Sandbox.start();
  const shell = s.session("work");
  await shell.run("cd /tmp; a=1; f() { echo \"f $a\"; }");
  assert.equal((await shell.run("pwd; f")).stdout, "/tmp\nf 1\n");
  const running = shell.stream("echo on; sleep 1000", { timeLimitMs: 60_000 });
  for await (const event of running) {
    if (event.type === "stdout") {
      await rejects(shell.run("true"), "busy");
      assert.equal((await s.sessions())[0]?.busy, true);
      break;
    }
  }
  await rejects(running.result, "cancelled");
  const ended = await s.session("other").run("exit 4");
  assert.deepEqual([ended.exitCode, ended.sessionEnded], [4, true]);
  await s.session("third").run("true");
  await s.session("third").close();
  await rejects(s.session("third").close(), "unknown_session");
});

test("two hundred requests in flight", async () => {
  await using s = await Sandbox.start();
  const numbers = Array.from({ length: 100 }, (_, index) => index);
  const commands = numbers.map((number) => s.run(`echo ${number}`, { timeLimitMs: 300_000 }));
  const files = numbers.map((number) => s.files.write(`/tmp/${number}`, `${number}`.repeat(number)));
  assert.deepEqual((await Promise.all(commands)).map((result) => result.stdout), numbers.map((number) => `${number}\n`));
  assert.deepEqual((await Promise.all(files)).map(({ size }) => size), numbers.map((n) => n * `${n}`.length));
});

test("requests that are not awaited run at the same time, unless they are ordered", async () => {
  await using s = await Sandbox.start();
  const done: string[] = [];
  const note = (name: string) => () => done.push(name);
  await s.exec(["mkfifo", "/tmp/fifo"]);
  // The first waits for the second.
  await Promise.all([s.run("cat /tmp/fifo").then(note("cat")), s.run("echo > /tmp/fifo")]);
  assert.deepEqual(done, ["cat"]);
  const ordered = { ordered: true };
  await Promise.all([
    s.run("sleep 0.2; echo 1 >> /tmp/order", ordered),
    s.run("echo 2 >> /tmp/order", ordered),
    s.files.readText("/tmp/order", ordered).then((text) => assert.equal(text, "1\n2\n")),
  ]);
});

test("what the program is sent", async () => {
  const sent = async (start: object, ask: (s: Sandbox) => Promise<unknown>) => {
    await using s = await Sandbox.start({ ...fake("tells"), ...start });
    const { id: _id, ...request } = JSON.parse((await rejects(ask(s), "io")).message) as Record<string, unknown>;
    return request;
  };
  assert.deepEqual(await sent({}, (s) => s.status()), { type: "status", async: true });
  assert.deepEqual(await sent({}, (s) => s.status({ ordered: true })), { type: "status" });
  assert.deepEqual(await sent({ ordered: true }, (s) => s.status()), { type: "status" });
  assert.deepEqual(await sent({ ordered: true }, (s) => s.status({ ordered: false })), { type: "status", async: true });
  const options = { timeLimitMs: 1, cpuTimeLimitMs: 2, maxOutputBytes: 3, openStdin: true, stdin: ALL_BYTES.slice(0, 1) };
  assert.deepEqual(await sent({}, (s) => s.spawn(["a"], { ...options, pty: { cols: 1, rows: 2 }, env: { aB: "c" } })), {
    type: "exec",
    async: true,
    argv: ["a"],
    background: true,
    time_limit_ms: 1,
    cpu_time_limit_ms: 2,
    max_output_bytes: 3,
    open_stdin: true,
    stdin: "AA==",
    stdin_encoding: "base64",
    pty: { cols: 1, rows: 2 },
    env: { aB: "c" },
  });
});
