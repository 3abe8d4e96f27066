import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

import { SandboxError, type ClientErrorCode, type ErrorCode, type StartOptions } from "wasm-sandbox-client";

/** A file beside the tests' sources. */
export function fixture(name: string): string {
  return fileURLToPath(new URL(`../test/fixtures/${name}`, import.meta.url));
}

/** Options that start a program that behaves badly; see `fixtures/fake-program.mjs`. */
export function fake(behaviour: string): StartOptions {
  return { program: process.execPath, arguments: [fixture("fake-program.mjs"), behaviour] };
}

/** The error that `promise` must be rejected with, which must have this code. */
export async function rejects(
  promise: Promise<unknown>,
  code: ErrorCode | ClientErrorCode,
  words = /./,
): Promise<SandboxError> {
  const error = await promise.then(
    (value) => assert.fail(`expected ${code}, and it was resolved to ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof SandboxError, String(error));
  assert.equal(error.code, code, error.message);
  assert.match(error.message, words);
  return error;
}

/** All that an iterable gives. */
export async function collect<T>(iterable: AsyncIterable<T>): Promise<T[]> {
  const all = [];
  for await (const one of iterable) {
    all.push(one);
  }
  return all;
}

/** Each byte there is. */
export const ALL_BYTES = Uint8Array.from({ length: 256 }, (_, index) => index);
