/** The program does what it should not. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { Sandbox, SandboxError } from "wasm-sandbox-client";
import { collect, fake, rejects } from "./support.js";

/** What nobody catches must not be: node:test fails a test during which it happens. */
async function neverAwaited(promise: Promise<unknown>): Promise<void> {
  void promise;
}

test("a program that is not there", async () => {
  const error = await rejects(Sandbox.start({ program: "/no/such/program" }), "program_not_found", /no\/such\/program/);
  assert.ok(error.cause instanceof Error);
});

test("a program that cannot be run", async () => {
  await rejects(Sandbox.start({ program: "/" }), "program_not_found");
  await rejects(Sandbox.start({ program: "with\0nul" }), "program_not_found");
});

test("the variable WASM_SANDBOX names the program", async (t) => {
  const saved = { ...process.env };
  t.after(() => Object.assign(process.env, saved));
  process.env["WASM_SANDBOX"] = "/no/such/program";
  await rejects(Sandbox.start(), "program_not_found", /no\/such\/program/);
});

test("a program that dies at once: what it said is told", async () => {
  await rejects(Sandbox.start(fake("dies-at-once")), "program_ended", /exit code 7.*no machine today/s);
});

test("a working directory that is not there", async () => {
  await rejects(Sandbox.start({ ...fake("silent"), cwd: "/no/such/directory" }), "program_not_found");
});

test("a program that never answers", async () => {
  await rejects(Sandbox.start({ ...fake("silent"), startTimeLimitMs: 300 }), "program_ended", /300 ms/);
});

test("a start can be aborted", async () => {
  const controller = new AbortController();
  const start = Sandbox.start({ ...fake("silent"), signal: controller.signal });
  controller.abort(new Error("enough"));
  const error = await rejects(start, "cancelled");
  assert.equal((error.cause as Error).message, "enough");
  await rejects(Sandbox.start({ ...fake("silent"), signal: AbortSignal.abort() }), "cancelled");
});

test("a program of another version", async () => {
  await rejects(Sandbox.start(fake("from-the-future")), "protocol_error", /version 2/);
});

test("a program that is none: cat", async () => {
  await rejects(Sandbox.start(fake("echoes")), "protocol_error");
});

test("the program dies: everything that waits is rejected, and what comes later", async () => {
  await using s = await Sandbox.start(fake("dies"));
  const stream = s.stream("true");
  const waiting = [s.run("true"), s.status(), s.files.readText("/x"), collect(stream), stream.result];
  await neverAwaited(s.run("nobody waits"));
  await Promise.all(waiting.map((promise) => rejects(promise, "program_ended", /SIGKILL/)));
  await rejects(s.run("true"), "program_ended", /SIGKILL/);
  await rejects(s.stream("true").result, "program_ended");
});

test("the program dies in the middle of a line", async () => {
  await using s = await Sandbox.start(fake("dies-in-a-line"));
  await rejects(s.run("true"), "program_ended", /exit code 3/);
});

test("the program closes its output, but lives", async () => {
  await using s = await Sandbox.start(fake("closes-stdout"));
  await rejects(s.run("true"), "program_ended");
});

for (const [behaviour, words] of [
  ["garbage", /Segmentation fault/],
  ["no-object", /\[1\]/],
  ["unasked-answer", /99999/],
] as const) {
  test(`the program writes what is not in the protocol: ${behaviour}`, async () => {
    await using s = await Sandbox.start(fake(behaviour));
    const other = s.run("true");
    const error = await rejects(s.run("true"), "protocol_error", words);
    assert.equal(error.requestType, "shell");
    await rejects(other, "protocol_error", words);
    await rejects(s.status(), "protocol_error", words);
  });
}

test("an answer without its fields is the failure of one request", async () => {
  await using s = await Sandbox.start(fake("answer-without-fields"));
  await rejects(s.files.readBytes("/x"), "protocol_error", /read_file/);
  await s.checkpoint("the next one works");
});

test("events and fields of later versions are left aside", async () => {
  await using s = await Sandbox.start(fake("unknown-events"));
  const events = await collect(s.stream("true"));
  assert.deepEqual(events.map((event) => event.type), ["stdout"]);
  assert.equal((await s.run("true")).stdout, "x");
});

test("a program that reads no more: requests wait, can be aborted, and end with the sandbox", async () => {
  const s = await Sandbox.start({ ...fake("stops-reading"), closeTimeLimitMs: 100 });
  const controller = new AbortController();
  const large = "x".repeat(1 << 20);
  const waiting = Array.from({ length: 20 }, () => s.files.write("/x", large));
  const aborted = s.run("true", { signal: controller.signal });
  controller.abort();
  await rejects(aborted, "cancelled");
  await neverAwaited(s.run("nobody waits"));
  const closing = s.close();
  await Promise.all(waiting.map((promise) => rejects(promise, "closed")));
  await closing;
});

test("closing while requests wait", async () => {
  const s = await Sandbox.start();
  const stream = s.stream("sleep 1000", { timeLimitMs: 3_600_000 });
  const iteration = collect(stream);
  const run = s.run("sleep 1000", { timeLimitMs: 3_600_000 });
  await neverAwaited(s.run("sleep 1000", { timeLimitMs: 3_600_000 }));
  const closing = Promise.all([s.close(), s.close()]);
  await Promise.all([run, iteration, stream.result].map((promise) => rejects(promise, "closed")));
  await closing;
  await rejects(s.run("true"), "closed");
  await s.close();
});

test("closing when the program is gone already", async () => {
  const s = await Sandbox.start(fake("dies"));
  await rejects(s.run("true"), "program_ended");
  await s.close();
  await s[Symbol.asyncDispose]();
});

test("what cannot be sent is refused here, and the rest goes on", async () => {
  await using s = await Sandbox.start();
  await rejects(s.run("echo \ud800"), "invalid_request", /surrogate/);
  await rejects(s.run("true", { env: { "\udfff": "" } }), "invalid_request", /surrogate/);
  await rejects(s.files.write("/tmp/x", "x".repeat((256 << 20) + 1)), "line_too_long", /parts/);
  assert.equal((await s.run("printf '%s' \"$A\"", { env: { A: "\\ud800 😀" } })).stdout, "\\ud800 😀");
});

test("names of options that are none are refused by the program, too", async () => {
  await using s = await Sandbox.start();
  const options = { timelimit: 1 } as object;
  await rejects(s.run("true", options), "invalid_request", /time_limit_ms/);
});

test("an error says what was asked, where, and what was written by then", async () => {
  await using s = await Sandbox.start();
  const controller = new AbortController();
  const run = s.run("printf 'a\\377'; sleep 1000", {
    timeLimitMs: 60_000,
    signal: controller.signal,
    onStdout: () => controller.abort("why"),
  });
  const error = await rejects(run, "cancelled");
  assert.ok(error instanceof SandboxError && error instanceof Error);
  assert.deepEqual(
    [error.name, error.requestType, error.cause, error.stdout, error.stderr],
    ["SandboxError", "shell", "why", Uint8Array.of(97, 255), new Uint8Array()],
  );
  assert.match(error.stack ?? "", /failures\.test/);
});
