/**
 * A real Linux in a sandbox made of WebAssembly: {@link Sandbox.start} is where to begin.
 *
 * @packageDocumentation
 */

export { ERROR_CODES, SandboxError, type ClientErrorCode, type ErrorCode } from "./errors.js";
export type * from "./events.js";
export type * from "./file-options.js";
export type * from "./file-results.js";
export { Files } from "./files.js";
export type * from "./options.js";
export { Process, type ProcessOutput } from "./process.js";
export type { StartOptions } from "./program.js";
export type * from "./results.js";
export { CodeResult, CommandResult } from "./results.js";
export { Sandbox } from "./sandbox.js";
export { Context, Session } from "./session.js";
export { EventStream } from "./stream.js";
export { Watch } from "./watch.js";
