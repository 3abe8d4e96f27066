/** Between the names and values of JavaScript and those of the protocol's lines. */

import { SandboxError } from "./errors.js";

/** A JSON object as it travels. */
export type WireObject = Readonly<Record<string, unknown>>;

/** The longest line that the program takes, in bytes: 256 MiB. */
const LONGEST_LINE = 256 * 1024 * 1024;

export function isObject(value: unknown): value is WireObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** `time_limit_ms` for `timeLimitMs`. */
export function toSnakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/** `timeLimitMs` for `time_limit_ms`. */
export function toCamelCase(name: string): string {
  return name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** The fields of a request. Only its own names are translated, not those in `env`. */
export function toWireFields(options: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [toSnakeCase(name), value]));
}

/** An answer with names of JavaScript, in everything that is inside, too. */
export function fromWire(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(fromWire);
  }
  if (isObject(value)) {
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [toCamelCase(name), fromWire(inner)]));
  }
  return value;
}

/** Bytes as the protocol carries them: text as it is, everything else in base64. */
export function encodeBytes(data: string | Uint8Array): { text: string; encoding: "text" | "base64" } {
  return typeof data === "string" ? { text: data, encoding: "text" } : { text: toBase64(data), encoding: "base64" };
}

export function toBase64(data: Uint8Array): string {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
}

/** The bytes that a string of the protocol stands for. */
export function decodeBytes(text: string, encoding: unknown): Uint8Array<ArrayBuffer> {
  const shared = Buffer.from(text, encoding === "base64" ? "base64" : "utf8");
  // A small Buffer is a piece of a big one; nobody who takes `.buffer` expects the rest.
  const own = new Uint8Array(shared.byteLength);
  own.set(shared);
  return own;
}

/** Permission bits as the protocol writes them. */
export function toWireMode(mode: string | number | undefined): string | undefined {
  return typeof mode === "number" ? mode.toString(8).padStart(4, "0") : mode;
}

/** A request as a line with its newline; fails where the program could not say which request it means. */
export function toLine(message: WireObject): Buffer {
  const requestType = String(message["type"]);
  let text: string;
  try {
    text = JSON.stringify(message);
  } catch (cause) {
    const sentence = `the request cannot be written as JSON: ${String(cause)}`;
    throw new SandboxError(cause instanceof RangeError ? "too_large" : "invalid_request", sentence, { requestType, cause });
  }
  // JSON.stringify writes halves of surrogate pairs as escapes, and nothing else of this range.
  if (text.includes("\\ud") && !isWellFormed(message)) {
    const sentence = "a text has half of a surrogate pair, which UTF-8 cannot express: give bytes instead";
    throw new SandboxError("invalid_request", sentence, { requestType });
  }
  const line = Buffer.from(`${text}\n`, "utf8");
  if (line.length - 1 > LONGEST_LINE) {
    const sentence = `the request has ${line.length - 1} bytes, more than the ${LONGEST_LINE} of a line: send it in parts, \
a file for instance with \`append\``;
    throw new SandboxError("line_too_long", sentence, { requestType });
  }
  return line;
}

function isWellFormed(value: unknown): boolean {
  if (typeof value === "string") {
    return value.isWellFormed();
  }
  if (typeof value === "object" && value !== null) {
    return Object.entries(value).every(([name, inner]) => name.isWellFormed() && isWellFormed(inner));
  }
  return true;
}
