/** What the compiler must refuse; it is the compiler that runs most of this. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { ERROR_CODES, SandboxError, type ErrorCode, type Process, type Sandbox } from "wasm-sandbox-client";

/** Never called. */
export async function refused(s: Sandbox, p: Process): Promise<void> {
  // @ts-expect-error: no such option
  await s.run("true", { timeLimit: 1 });
  // @ts-expect-error: names are in camelCase here
  await s.run("true", { time_limit_ms: 1 });
  // @ts-expect-error: a number is needed
  await s.run("true", { timeLimitMs: "1" });
  // @ts-expect-error: an array is needed
  await s.exec("true");
  // @ts-expect-error: not in a session
  s.session("a").stream("true", { session: "b" });
  // @ts-expect-error: no such language
  await s.runCode("1", { language: "cobol" });
  // @ts-expect-error: text or bytes
  await s.files.write("/a", [1, 2]);
  // @ts-expect-error: no such option
  await s.files.find("/", { pattern: "a" });
  // @ts-expect-error: results cannot be changed
  (await s.run("true")).exitCode = 1;
  // @ts-expect-error: it may run still
  (await p.wait({ timeLimitMs: 1 })).exitCode;
  (await p.wait()).exitCode.toFixed();
  for await (const event of p) {
    // @ts-expect-error: not all events have data
    event.data;
    if (event.type === "exited") {
      event.exitCode.toFixed();
    }
  }
  // @ts-expect-error: without a place on the host there is content
  (await s.files.download("/a", { hostPath: "a" })).content;
  (await s.files.download("/a")).content.byteLength.toFixed();
}

test("codes are a union", () => {
  const code: ErrorCode = "not_found";
  // @ts-expect-error: no such code
  const other: ErrorCode = "lost";
  assert.ok(ERROR_CODES.includes(code) && !ERROR_CODES.includes(other));
  assert.equal(new Set(ERROR_CODES).size, ERROR_CODES.length);
  assert.equal(typeof SandboxError, "function");
});
