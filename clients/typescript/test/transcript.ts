/** Transcripts: what is sent to the program, and what it must answer. They are shared by all clients. */

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { setTimeout as sleep } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";

const MORE = "<more>";
const KEEP = /^<keep (.+)>$/;
const KEPT = /^<kept (.+)>$/;
/** How long a line may take before the runner gives up. */
const PATIENCE_MS = 180_000;

/** Values that were kept under names. */
export type Kept = Map<string, unknown>;

/** Why `value` is not what `pattern` describes; nothing if it is. What is to be kept gets into `kept`. */
export function difference(
  pattern: unknown,
  value: unknown,
  kept: Kept = new Map(),
  place = "message",
): string | undefined {
  const shown = JSON.stringify(value);
  if (typeof pattern === "string") {
    return matchesString(pattern, value, kept) ? undefined : `${place}: expected ${JSON.stringify(pattern)}, not ${shown}`;
  }
  if (Array.isArray(pattern)) {
    if (!Array.isArray(value) || value.length !== pattern.length) {
      return `${place}: expected ${pattern.length} elements, not ${shown}`;
    }
    return first(pattern.map((inner, index) => difference(inner, value[index], kept, `${place}[${index}]`)));
  }
  if (isRecord(pattern)) {
    if (!isRecord(value)) {
      return `${place}: expected an object, not ${shown}`;
    }
    const names = Object.keys(pattern).filter((name) => name !== MORE);
    const further = Object.keys(value).filter((name) => !names.includes(name));
    if (pattern[MORE] !== true && further.length > 0) {
      return `${place}: has ${further.join(", ")}, too`;
    }
    return first(
      names.map((name) =>
        Object.hasOwn(value, name) ? difference(pattern[name], value[name], kept, `${place}.${name}`) : `${place}: has no ${name}`,
      ),
    );
  }
  return isDeepStrictEqual(pattern, value) ? undefined : `${place}: expected ${JSON.stringify(pattern)}, not ${shown}`;
}

function matchesString(pattern: string, value: unknown, kept: Kept): boolean {
  const keep = KEEP.exec(pattern)?.[1];
  if (keep !== undefined) {
    kept.set(keep, value);
    return true;
  }
  const before = KEPT.exec(pattern)?.[1];
  if (before !== undefined) {
    return kept.has(before) && isDeepStrictEqual(kept.get(before), value);
  }
  const kind = /^<(number|string|boolean|any)>$/.exec(pattern)?.[1];
  if (kind !== undefined) {
    return kind === "any" || typeof value === kind;
  }
  if (pattern.length >= 4 && pattern.startsWith("</") && pattern.endsWith("/>")) {
    return typeof value === "string" && new RegExp(pattern.slice(2, -2), "u").test(value);
  }
  return value === pattern;
}

/** The same for lines that come in any order: each takes the first of the patterns that are left and match it. */
export function anyOrderDifference(
  patterns: readonly unknown[],
  values: readonly unknown[],
  kept: Kept = new Map(),
): string | undefined {
  const left = [...patterns];
  for (const value of values) {
    const index = left.findIndex((pattern) => matchesAsAWhole(pattern, value, kept));
    if (index < 0) {
      return `${JSON.stringify(value)} matches none of ${JSON.stringify(left)}`;
    }
    left.splice(index, 1);
  }
  return undefined;
}

/** Keeps nothing of what does not match in the end. */
function matchesAsAWhole(pattern: unknown, value: unknown, kept: Kept): boolean {
  const tried = new Map(kept);
  if (difference(pattern, value, tried) !== undefined) {
    return false;
  }
  tried.forEach((found, name) => kept.set(name, found));
  return true;
}

/** A request with what was kept before. */
function filledIn(value: unknown, kept: Kept): unknown {
  if (typeof value === "string") {
    const name = KEPT.exec(value)?.[1];
    return name === undefined ? value : kept.get(name);
  }
  if (Array.isArray(value)) {
    return value.map((inner) => filledIn(inner, kept));
  }
  if (isRecord(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, filledIn(inner, kept)]));
  }
  return value;
}

/** Has the program do what a transcript says; fails where it does something else. */
export async function play(path: string, program: string): Promise<void> {
  const lines = readFileSync(path, "utf8").split("\n");
  const cwd = mkdtempSync(join(tmpdir(), "wasm-sandbox-transcript-"));
  const child = spawn(program, [], { cwd, stdio: ["pipe", "pipe", "inherit"] });
  const player = new Player(child.stdin, new Messages(child));
  try {
    for (const [index, line] of lines.entries()) {
      const why = line.trim() === "" ? undefined : await player.step(JSON.parse(line) as unknown);
      if (why !== undefined) {
        throw new Error(`${path}:${index + 1}: ${why}`);
      }
    }
    await player.end();
  } finally {
    child.kill("SIGKILL");
    rmSync(cwd, { recursive: true });
  }
}

/** Goes through a transcript. */
class Player {
  readonly #input: NodeJS.WritableStream;
  readonly #messages: Messages;
  readonly #kept: Kept = new Map();

  constructor(input: NodeJS.WritableStream, messages: Messages) {
    this.#input = input;
    this.#messages = messages;
    // The messages end then, too.
    input.on("error", () => undefined);
  }

  /** Does what one line says; why that failed. */
  async step(line: unknown): Promise<string | undefined> {
    const wrong = `not a line of a transcript: ${JSON.stringify(line)}`;
    if (!isRecord(line) || Object.keys(line).length !== 1) {
      return wrong;
    }
    if (typeof line["comment"] === "string") {
      return undefined;
    }
    if (isRecord(line["send"])) {
      this.#input.write(`${JSON.stringify(filledIn(line["send"], this.#kept))}\n`);
      return undefined;
    }
    if (isRecord(line["receive"])) {
      return difference(line["receive"], await this.#messages.next(), this.#kept);
    }
    const patterns = line["receive_in_any_order"];
    if (!Array.isArray(patterns)) {
      return wrong;
    }
    const received = [];
    while (received.length < patterns.length) {
      received.push(await this.#messages.next());
    }
    return anyOrderDifference(patterns, received, this.#kept);
  }

  /** Ends the program, which must write nothing more. */
  async end(): Promise<void> {
    this.#input.end();
    await this.#messages.end();
  }
}

/** What the program writes. */
class Messages {
  readonly #iterator: AsyncIterator<string>;
  readonly #exit: Promise<string>;

  constructor(child: ChildProcessByStdio<Writable, Readable, null>) {
    this.#iterator = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    this.#exit = new Promise((resolve) => {
      child.once("error", (error) => resolve(error.message));
      child.once("exit", (code, signal) => resolve(String(signal ?? code)));
    });
  }

  async next(): Promise<unknown> {
    const next = await patiently(this.#iterator.next());
    if (next.done === true) {
      throw new Error(`the program ended (${await this.#exit}) instead of answering`);
    }
    return JSON.parse(next.value) as unknown;
  }

  /** Waits for the end of the program. */
  async end(): Promise<void> {
    const next = await patiently(this.#iterator.next());
    if (next.done !== true) {
      throw new Error(`the program wrote more than was expected: ${next.value}`);
    }
    const how = await this.#exit;
    if (how !== "0") {
      throw new Error(`the program ended with ${how}`);
    }
  }
}

async function patiently<T>(promise: Promise<T>): Promise<T> {
  const controller = new AbortController();
  const { signal } = controller;
  const late = sleep(PATIENCE_MS, undefined, { signal }).then(() => {
    throw new Error(`the program has written nothing for ${PATIENCE_MS} ms`);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    late.catch(() => undefined);
    controller.abort();
  }
}

function first(differences: readonly (string | undefined)[]): string | undefined {
  return differences.find((one) => one !== undefined);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
