/** The transcripts that all clients share, and the runner itself. */

import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { test } from "node:test";

import { Sandbox } from "wasm-sandbox-client";
import { fixture } from "./support.js";
import { anyOrderDifference, difference, play } from "./transcript.js";

/** `fixture` is for trees that have no transcripts yet. */
const asked = process.env["WASM_SANDBOX_TRANSCRIPTS"];

/** The nearest `tests/transcripts` above. */
function shared(): string {
  for (let directory = fixture("."); dirname(directory) !== directory; directory = dirname(directory)) {
    const transcripts = join(directory, "tests", "transcripts");
    if (existsSync(transcripts)) {
      return transcripts;
    }
  }
  throw new Error("there is no directory tests/transcripts above: set WASM_SANDBOX_TRANSCRIPTS to its path");
}

function transcripts(directory: string): string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(".jsonl"));
  assert.notEqual(names.length, 0, `there are no transcripts in ${directory}`);
  return names.sort().map((name) => join(directory, name));
}

function program(): string {
  const path = process.env["WASM_SANDBOX"];
  assert.ok(path !== undefined, "WASM_SANDBOX must name the program");
  return path;
}

test("shared transcripts", async (t) => {
  const directory = asked === undefined || asked === "" ? shared() : asked;
  for (const path of transcripts(directory === "fixture" ? fixture("transcripts") : directory)) {
    await t.test(basename(path), () => play(path, program()));
  }
});

test("a transcript of our own", async () => {
  for (const path of transcripts(fixture("transcripts"))) {
    await play(path, program());
  }
});

test("a transcript that is not true fails", async () => {
  await assert.rejects(play(fixture("wrong-transcript.jsonl"), program()), /wrong-transcript\.jsonl:2: message\.stdout/);
});

test("patterns", () => {
  const same: [unknown, unknown][] = [
    [{ a: 1, b: [true, null] }, { b: [true, null], a: 1 }],
    [{ a: "<number>", b: "<string>", c: "<boolean>", d: "<any>" }, { a: 1.5, b: "", c: false, d: null }],
    [{ a: { "<more>": true, b: 1 } }, { a: { b: 1, c: 2 } }],
    ["</^a.c$/>", "abc"],
    ["<numbers>", "<numbers>"],
  ];
  for (const [pattern, value] of same) {
    assert.equal(difference(pattern, value), undefined);
  }
  const different: [unknown, unknown][] = [
    [{ a: 1 }, { a: 2 }],
    [{ a: 1 }, {}],
    [{ a: 1 }, { a: 1, b: 1 }],
    [{ a: { b: 1 }, "<more>": true }, { a: { b: 1, c: 1 } }],
    [{ a: "<number>" }, { a: "1" }],
    [{ a: "<string>" }, { a: 1 }],
    [["a"], ["a", "b"]],
    [{ toString: "<any>" }, {}],
    ["</^b/>", "abc"],
    ["</1/>", 1],
    [null, 0],
    [{}, []],
  ];
  for (const [pattern, value] of different) {
    assert.notEqual(difference(pattern, value), undefined, JSON.stringify([pattern, value]));
  }
  assert.equal(anyOrderDifference(["a", "<any>"], ["b", "a"]), undefined);
  const kept = new Map<string, unknown>();
  assert.equal(difference({ a: "<keep x>", b: "<kept x>" }, { a: [1], b: [1] }, kept), undefined);
  assert.deepEqual([...kept], [["x", [1]]]);
  assert.notEqual(difference("<kept x>", 1, kept), undefined);
  assert.notEqual(difference("<kept y>", undefined, kept), undefined);
  assert.notEqual(anyOrderDifference(["a", "a"], ["a", "b"]), undefined);
});

test("the client knows the same program", async () => {
  await using s = await Sandbox.start({ program: program() });
  assert.equal((await s.hello()).protocolVersion, 1);
});
