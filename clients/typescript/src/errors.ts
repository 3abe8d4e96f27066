/** Every `error_code` of the program. */
export const ERROR_CODES = [
  "invalid_json",
  "line_too_long",
  "unknown_type",
  "invalid_request",
  "invalid_base64",
  "invalid_mode",
  "invalid_path",
  "not_utf8",
  "not_found",
  "not_executable",
  "bad_cwd",
  "bad_user",
  "is_a_directory",
  "not_a_directory",
  "already_exists",
  "permission_denied",
  "no_space",
  "too_large",
  "unknown_sandbox",
  "unknown_checkpoint",
  "host_io",
  "not_empty",
  "invalid_pattern",
  "mismatch",
  "io",
  "timed_out",
  "cancelled",
  "unknown_process",
  "unknown_session",
  "busy",
  "stdin_closed",
  "limit_reached",
  "host_path_not_allowed",
  "machine_crashed",
  "internal",
] as const;

/** What kind of failure the program reports. The protocol's reference explains each. */
export type ErrorCode = (typeof ERROR_CODES)[number];

/** What can go wrong on this side of the program. */
export type ClientErrorCode =
  /** There is no program, or the operating system does not run it. */
  | "program_not_found"
  /** The program ended, although nobody asked it to. */
  | "program_ended"
  /** The program wrote something that is not in the protocol, or speaks another version of it. */
  | "protocol_error"
  /** The sandbox was closed by {@link Sandbox.close}. */
  | "closed";

/** @internal What an error knows beside its code and sentence. */
export interface ErrorDetails {
  readonly requestType?: string | undefined;
  readonly stdout?: Uint8Array | undefined;
  readonly stderr?: Uint8Array | undefined;
  readonly cause?: unknown;
}

/** Why something was not done. A command that ran is never an error, whatever its exit code. */
export class SandboxError extends Error {
  override readonly name = "SandboxError";
  /** What kind of failure it is. Later versions of the program may have codes that this type does not list. */
  readonly code: ErrorCode | ClientErrorCode;
  /** The `type` of the request that failed, if it was one. */
  readonly requestType: string | undefined;
  /** What a command wrote to standard output before it was cancelled or the machine went down. */
  readonly stdout: Uint8Array | undefined;
  /** What a command wrote to standard error before that. */
  readonly stderr: Uint8Array | undefined;

  /** @internal */
  constructor(code: ErrorCode | ClientErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.requestType = details.requestType;
    this.stdout = details.stdout;
    this.stderr = details.stderr;
  }
}
