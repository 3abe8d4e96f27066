/** What requests answer. */

import type { Language } from "./options.js";
import { decodeBytes, fromWire, type WireObject } from "./wire.js";

/** What a command or code wrote. */
abstract class Output {
  /** What it wrote to standard output; bytes that are not UTF-8 are replaced, `stdoutBytes` has them. */
  readonly stdout: string;
  /** What it wrote to standard error; bytes that are not UTF-8 are replaced, `stderrBytes` has them. */
  readonly stderr: string;
  /** Its exit code, from 0 to 255; 128 + *n* if signal *n* ended it, as shells say it. */
  readonly exitCode: number;
  /** Whether its time was over. */
  readonly timedOut: boolean;
  /** Run time in milliseconds. */
  readonly durationMs: number;
  /** Whether the middle of `stdout` was left out, because there was too much. */
  readonly stdoutTruncated: boolean;
  /** Whether the middle of `stderr` was left out, because there was too much. */
  readonly stderrTruncated: boolean;
  /** Whether the session or interpreter that it ran in has ended, with its state. */
  readonly sessionEnded: boolean;
  /** What a reader should know about this result, in a sentence. */
  readonly note: string | undefined;
  /** Whether the machine had gone down before and was started afresh: everything in it is in its initial state. */
  readonly restarted: boolean;
  readonly #stdoutBytes: Uint8Array | undefined;
  readonly #stderrBytes: Uint8Array | undefined;

  constructor(wire: WireObject) {
    [this.stdout, this.#stdoutBytes] = text(wire, "stdout");
    [this.stderr, this.#stderrBytes] = text(wire, "stderr");
    this.exitCode = wire["exit_code"] as number;
    this.timedOut = wire["timed_out"] === true;
    this.durationMs = wire["duration_ms"] as number;
    this.stdoutTruncated = wire["stdout_truncated"] === true;
    this.stderrTruncated = wire["stderr_truncated"] === true;
    this.sessionEnded = wire["session_ended"] === true;
    this.note = wire["note"] as string | undefined;
    this.restarted = wire["restarted"] === true;
  }

  /** What it wrote to standard output, byte by byte. */
  get stdoutBytes(): Uint8Array {
    return this.#stdoutBytes ?? decodeBytes(this.stdout, "text");
  }

  /** What it wrote to standard error, byte by byte. */
  get stderrBytes(): Uint8Array {
    return this.#stderrBytes ?? decodeBytes(this.stderr, "text");
  }
}

/** How a command ended. */
export class CommandResult extends Output {
  /** Name of the signal that ended it, such as `"SIGKILL"`; undefined if it exited by itself. */
  readonly signal: string | undefined;
  /** CPU time in milliseconds, of it and the children it waited for; undefined for commands in a session. */
  readonly cpuTimeMs: number | undefined;
  /** Guest instructions that the machine executed meanwhile; undefined for a process that was waited for. */
  readonly instructions: number | undefined;
  /** Bytes left out of the middle of `stdout`. */
  readonly stdoutTruncatedBytes: number;
  /** Bytes left out of the middle of `stderr`. */
  readonly stderrTruncatedBytes: number;

  /** @internal */
  constructor(wire: WireObject) {
    super(wire);
    this.signal = wire["signal"] as string | undefined;
    this.cpuTimeMs = wire["cpu_time_ms"] as number | undefined;
    this.instructions = wire["instructions"] as number | undefined;
    this.stdoutTruncatedBytes = (wire["stdout_truncated_bytes"] as number | undefined) ?? 0;
    this.stderrTruncatedBytes = (wire["stderr_truncated_bytes"] as number | undefined) ?? 0;
  }
}

/** What code did. */
export class CodeResult extends Output {
  /** Python: the value of the last expression as `repr` gives it; undefined if there is none, or it is `None`. */
  readonly result: string | undefined;
  /** Python: what was raised; undefined if nothing. */
  readonly exception: CodeException | undefined;
  /** Guest instructions that the machine executed meanwhile. */
  readonly instructions: number | undefined;

  /** @internal */
  constructor(wire: WireObject) {
    super(wire);
    this.result = wire["result"] as string | undefined;
    this.exception = fromWire(wire["exception"]) as CodeException | undefined;
    this.instructions = wire["instructions"] as number | undefined;
  }
}

/** A text of an answer, and its bytes if it does not stand for them. */
function text(wire: WireObject, name: string): [string, Uint8Array | undefined] {
  const value = wire[name] as string;
  if (wire[`${name}_encoding`] !== "base64") {
    return [value, undefined];
  }
  const bytes = decodeBytes(value, "base64");
  return [Buffer.from(bytes).toString("utf8"), bytes];
}

/** What code raised. */
export interface CodeException {
  /** Its class, such as `"ZeroDivisionError"`. */
  readonly name: string;
  /** What it says. */
  readonly message: string;
  /** Where it came from, as the interpreter prints it. */
  readonly traceback: string;
}

/** A process that a request started. */
export interface ProcessInfo {
  /** What it is called in requests; see {@link Sandbox.process}. */
  readonly processId: string;
  /** Its process identifier in the guest; absent while it starts. */
  readonly pid?: number;
  /** The command or program with its arguments, shortened to 1000 bytes. */
  readonly command: string;
  readonly running: boolean;
  /** Whether it was started by {@link Sandbox.spawn}. */
  readonly background: boolean;
  /** Milliseconds since it was started. */
  readonly ageMs: number;
  /** Its exit code, if it has ended. */
  readonly exitCode?: number;
  /** Name of the signal that ended it, if one did. */
  readonly signal?: string;
}

/** A shell or interpreter that is kept. */
export interface SessionInfo {
  /** Its name. */
  readonly session: string;
  /** For an interpreter: its language. */
  readonly language?: Language;
  /** Its process identifier in the guest; absent while it starts. */
  readonly pid?: number;
  /** Whether it is at work. */
  readonly busy: boolean;
}

/** Something listens. */
export interface PortOpen {
  readonly port: number;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** A line was found in what a process wrote. */
export interface LogFound {
  readonly processId: string;
  /** The line that matches, without its newline; bytes that are not UTF-8 are replaced. */
  readonly line: string;
  /** How long it took, in milliseconds. */
  readonly durationMs: number;
}

/** What there is at most. */
export interface Limits {
  /** Memory of the guest, in bytes. */
  readonly memoryBytes: number;
  /** Space for files written since the start, in bytes; it is guest memory. */
  readonly diskBytes: number;
  /** Processes and threads of the sandbox; absent if there is no limit. */
  readonly processes?: number;
  /** Bytes kept of an output stream, at most. */
  readonly outputBytes: number;
  /** Requests for processes that can be open at a time in one sandbox. */
  readonly openProcesses: number;
  /** Bytes of a line. */
  readonly lineBytes: number;
  /** Bytes of lines that wait for their answers; then no more are read. */
  readonly backlogBytes: number;
  /** Bytes of answers and events that nobody has read; then what causes events is stopped until somebody does. */
  readonly unreadBytes: number;
  /** Largest time limit, in milliseconds. */
  readonly timeLimitMs: number;
  /** Machines at a time. */
  readonly sandboxes: number;
}

/** Who the program is. */
export interface Hello {
  /** The program's version. */
  readonly version: string;
  /** The version of the protocol. */
  readonly protocolVersion: number;
  /** The CPU engine. */
  readonly engine: string;
  readonly image: string;
  /** The processor that the guest sees. */
  readonly arch: string;
  /** Every request there is. */
  readonly requests: readonly string[];
  /** What else can be relied on. */
  readonly capabilities: readonly string[];
  readonly limits: Limits;
}

/** A checkpoint. */
export interface CheckpointInfo {
  readonly name: string;
  /** Memory of the machine that it stands for, in bytes. */
  readonly size: number;
}

/** How the machine is. */
export interface Status {
  /** Whether the machine takes requests. */
  readonly ready: boolean;
  /** Milliseconds since this machine was started. */
  readonly uptimeMs: number;
  /** Guest memory in use, in bytes, without caches that can be dropped. */
  readonly memoryUsedBytes: number;
  readonly memoryLimitBytes: number;
  /** Space used by files written since the start, in bytes. */
  readonly diskUsedBytes: number;
  readonly diskLimitBytes: number;
  /** Processes and threads started by requests, with their descendants. */
  readonly processes: number;
  /** The most of them there may be; absent if there is no limit. */
  readonly processesLimit?: number;
  /** CPU time used by them since the machine was booted, in milliseconds. */
  readonly cpuTimeMs: number;
  /** Guest instructions executed by this machine. */
  readonly instructions: number;
  /** Memory of the host that the program occupies, in bytes. */
  readonly hostMemoryBytes: number;
  /** Requests for processes that are open. */
  readonly openProcesses: number;
  /** Shells and interpreters that are kept. */
  readonly openSessions: number;
  readonly checkpoints: readonly CheckpointInfo[];
  readonly limits: Limits;
  /** The CPU engine. */
  readonly engine: string;
  readonly image: string;
  /** The kernel's release. */
  readonly kernel: string;
  /** How often a machine of this sandbox went down and was started afresh. */
  readonly restarts: number;
  /** The program's version. */
  readonly version: string;
}

/** How long something took. */
export interface Duration {
  /** In milliseconds. */
  readonly durationMs: number;
}

/** The machine's state is in a file. */
export interface Saved extends Duration {
  /** Path on the host, as it was given. */
  readonly path: string;
  /** Size of the file in bytes. */
  readonly size: number;
}
