/** Transcripts: what is sent to the program, and what it must answer. They are shared by all clients. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface, type Interface } from "node:readline";
import { readFileSync } from "node:fs";
import { isDeepStrictEqual } from "node:util";

const MORE = "<more>";

/** Why `value` is not what `pattern` describes; nothing if it is. */
export function difference(pattern: unknown, value: unknown, place = "message"): string | undefined {
  const shown = JSON.stringify(value);
  if (typeof pattern === "string") {
    return matchesString(pattern, value) ? undefined : `${place}: expected ${JSON.stringify(pattern)}, not ${shown}`;
  }
  if (Array.isArray(pattern)) {
    if (!Array.isArray(value) || value.length !== pattern.length) {
      return `${place}: expected ${pattern.length} elements, not ${shown}`;
    }
    return first(pattern.map((inner, index) => difference(inner, value[index], `${place}[${index}]`)));
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
        Object.hasOwn(value, name) ? difference(pattern[name], value[name], `${place}.${name}`) : `${place}: has no ${name}`,
      ),
    );
  }
  return isDeepStrictEqual(pattern, value) ? undefined : `${place}: expected ${JSON.stringify(pattern)}, not ${shown}`;
}

function matchesString(pattern: string, value: unknown): boolean {
  const kind = /^<(number|string|boolean|any)>$/.exec(pattern)?.[1];
  if (kind !== undefined) {
    return kind === "any" || typeof value === kind;
  }
  if (pattern.length >= 4 && pattern.startsWith("</") && pattern.endsWith("/>")) {
    return typeof value === "string" && new RegExp(pattern.slice(2, -2), "u").test(value);
  }
  return value === pattern;
}

/** An order in which each message is what one pattern describes, for patterns and messages in any order. */
export function anyOrderDifference(patterns: readonly unknown[], messages: readonly unknown[]): string | undefined {
  const [pattern, ...others] = patterns;
  if (patterns.length === 0) {
    return undefined;
  }
  const fits = messages.some(
    (message, index) =>
      difference(pattern, message) === undefined && anyOrderDifference(others, messages.toSpliced(index, 1)) === undefined,
  );
  return fits ? undefined : `no order of ${JSON.stringify(messages)} fits ${JSON.stringify(patterns)}`;
}

/** Has the program do what a transcript says; fails where it does something else. */
export async function play(path: string, program: string): Promise<void> {
  const lines = readFileSync(path, "utf8").split("\n");
  const child = spawn(program, [], { stdio: ["pipe", "pipe", "inherit"] });
  const messages = new Messages(child);
  try {
    for (const [index, line] of lines.entries()) {
      if (line.trim() !== "") {
        const why = await step(JSON.parse(line) as unknown, child, messages);
        if (why !== undefined) {
          throw new Error(`${path}:${index + 1}: ${why}`);
        }
      }
    }
    child.stdin.end();
    await messages.drain();
  } finally {
    child.kill("SIGKILL");
    messages.close();
  }
}

async function step(
  line: unknown,
  child: { stdin: NodeJS.WritableStream },
  messages: Messages,
): Promise<string | undefined> {
  if (!isRecord(line) || Object.keys(line).length !== 1) {
    return `not a line of a transcript: ${JSON.stringify(line)}`;
  }
  if (typeof line["comment"] === "string") {
    return undefined;
  }
  if (isRecord(line["send"])) {
    child.stdin.write(`${JSON.stringify(line["send"])}\n`);
    return undefined;
  }
  if ("receive" in line) {
    return difference(line["receive"], await messages.next());
  }
  const patterns = line["receive_in_any_order"];
  if (Array.isArray(patterns)) {
    const received = [];
    while (received.length < patterns.length) {
      received.push(await messages.next());
    }
    return anyOrderDifference(patterns, received);
  }
  return `not a line of a transcript: ${JSON.stringify(line)}`;
}

/** What the program writes. */
class Messages {
  readonly #lines: Interface;
  readonly #iterator: AsyncIterator<string>;
  readonly #exit: Promise<unknown>;

  constructor(child: ReturnType<typeof spawn>) {
    if (!child.stdout) {
      throw new Error("the program has no output");
    }
    this.#lines = createInterface({ input: child.stdout });
    this.#iterator = this.#lines[Symbol.asyncIterator]();
    this.#exit = once(child, "exit");
    this.#exit.catch(() => undefined);
  }

  async next(): Promise<unknown> {
    const next = await this.#iterator.next();
    if (next.done === true) {
      const [code, signal] = (await this.#exit) as [number | null, string | null];
      throw new Error(`the program ended (${signal ?? code}) instead of answering`);
    }
    return JSON.parse(next.value) as unknown;
  }

  /** Waits for the end; answers that nobody waits for are none of the transcript's business. */
  async drain(): Promise<void> {
    while ((await this.#iterator.next()).done !== true);
    const [code, signal] = (await this.#exit) as [number | null, string | null];
    if (code !== 0) {
      throw new Error(`the program ended with ${signal ?? code}`);
    }
  }

  close(): void {
    this.#lines.close();
  }
}

function first(differences: readonly (string | undefined)[]): string | undefined {
  return differences.find((one) => one !== undefined);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
