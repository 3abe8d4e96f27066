/** What requests can be told. A name that is not listed here is an error of the compiler, and of the program. */

import type { ProcessEvent } from "./events.js";

/** What every request can be told. */
export interface RequestOptions {
  /**
   * Stops the request. It is rejected with the code `cancelled` and with the signal's reason as its `cause`, once the
   * program has answered that it was stopped. What has ended by then keeps its result.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * Carry the request out after those before it and before those behind it, as far as they are ordered, too. Otherwise,
   * requests that are not awaited run at the same time. See {@link StartOptions.ordered}.
   */
  readonly ordered?: boolean | undefined;
}

/** How long to wait. */
export interface TimeLimit {
  /** Longest time in milliseconds, from 1 to 86 400 000 (a day). */
  readonly timeLimitMs?: number | undefined;
}

/** The size of a terminal. */
export interface PtySize {
  /** Columns, at least 1. */
  readonly cols: number;
  /** Rows, at least 1. */
  readonly rows: number;
}

/** Functions that are told what happens while a request is carried out. What they throw stops the request. */
export interface Callbacks {
  /** Takes what is written to standard output. Characters are not split. */
  readonly onStdout?: ((data: string, bytes: Uint8Array) => void) | undefined;
  /** Takes what is written to standard error. */
  readonly onStderr?: ((data: string, bytes: Uint8Array) => void) | undefined;
  /** Takes every event. */
  readonly onEvent?: ((event: ProcessEvent) => void) | undefined;
}

/** What all requests can be told that start a program. */
export interface ProgramOptions {
  /** Working directory: an absolute path; without it, the user's home directory. */
  readonly cwd?: string | undefined;
  /** Environment variables, in addition to the usual ones, or replacing them. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Start from an empty environment instead. */
  readonly clearEnv?: boolean | undefined;
  /** Who runs it: a name or a number, with a group behind a colon if need be; without it, root. */
  readonly user?: string | undefined;
  /** What it reads from standard input; without it, nothing. */
  readonly stdin?: string | Uint8Array | undefined;
  /** Standard input stays open after `stdin`, for {@link Process.write}, until {@link Process.closeStdin}. */
  readonly openStdin?: boolean | undefined;
  /**
   * Longest run time in milliseconds, from 1 to 86 400 000 (a day). Then it and all its descendants are killed. 5000 if
   * absent; a background process has no limit then.
   */
  readonly timeLimitMs?: number | undefined;
  /** Longest CPU time in milliseconds, of it and its descendants together. */
  readonly cpuTimeLimitMs?: number | undefined;
  /** Most guest instructions that the machine may execute, for whomever, until it ends; then it is killed. */
  readonly maxInstructions?: number | undefined;
  /**
   * Bytes kept of each of its output streams, at most 67 108 864 (64 MiB): the first and the last half; the middle is
   * left out. 16 MiB if absent, 1 MiB in the background.
   */
  readonly maxOutputBytes?: number | undefined;
  /** Run it on a terminal of this size. Its output is then one stream, and its standard input is open. */
  readonly pty?: PtySize | undefined;
}

/** Options of {@link Sandbox.exec}. */
export interface ExecOptions extends ProgramOptions, RequestOptions, Callbacks {}

/** Options of {@link Sandbox.run}. */
export interface RunOptions extends ExecOptions {
  /**
   * Run it in the shell of this name, which lives on: directory, variables and functions persist. The first command
   * starts the shell; `user`, `clearEnv` and `pty` are for that one.
   */
  readonly session?: string | undefined;
}

/** Options of commands in a {@link Session}. */
export type SessionRunOptions = Omit<RunOptions, "session">;

/** Options of {@link Sandbox.stream}. */
export type StreamOptions = Omit<RunOptions, keyof Callbacks>;

/** Options of {@link Sandbox.spawn}. */
export interface SpawnOptions extends ProgramOptions, RequestOptions {
  /**
   * Have events sent as they come, none left out, and keep them here until they are read. Otherwise they are asked for
   * when one iterates; the program keeps the latest `maxOutputBytes` of them.
   */
  readonly stream?: boolean | undefined;
}

/** A programming language of {@link Sandbox.runCode}. */
export type Language = "python" | "bash";

/** Options of {@link Context.run}. */
export interface ContextRunOptions extends RequestOptions, Callbacks {
  /** Working directory of a new interpreter: an absolute path; without it, the home directory. */
  readonly cwd?: string | undefined;
  /** Environment variables of a new interpreter, in addition to the usual ones. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Longest run time in milliseconds, from 1 to 86 400 000 (a day); 5000 if absent. */
  readonly timeLimitMs?: number | undefined;
  /** Bytes kept of each output stream, at most 64 MiB; 16 MiB if absent. */
  readonly maxOutputBytes?: number | undefined;
}

/** Options of {@link Sandbox.runCode}. */
export interface RunCodeOptions extends ContextRunOptions {
  /** Which interpreter: each name is one of its own. `"default"` if absent. */
  readonly context?: string | undefined;
}

/** Options of {@link Sandbox.streamCode}. */
export type StreamCodeOptions = Omit<RunCodeOptions, keyof Callbacks>;

/** Options of requests that wait. */
export interface WaitOptions extends RequestOptions, TimeLimit {}

/** A signal of Linux: a name with or without `SIG`, or a number from 1 to 64. */
export type Signal =
  | "SIGHUP"
  | "SIGINT"
  | "SIGQUIT"
  | "SIGKILL"
  | "SIGUSR1"
  | "SIGUSR2"
  | "SIGTERM"
  | "SIGCONT"
  | "SIGSTOP"
  | "SIGTSTP"
  | "SIGWINCH"
  | (string & {})
  | number;

/** Options of {@link Process.signal}. */
export interface SignalOptions extends RequestOptions {
  /** To the process alone, not to its whole process group. */
  readonly leaderOnly?: boolean | undefined;
}

/** Options of {@link Process.read}. */
export interface ProcessReadOptions extends RequestOptions {
  /** The `seq` of the last event seen; 0, the default, for none. */
  readonly afterSeq?: number | undefined;
  /** Bytes of output after which the answer ends; at least one event is given. 1 MiB if absent. */
  readonly maxBytes?: number | undefined;
  /** Wait this long, in milliseconds, for an event if there is none; 0 if absent. */
  readonly waitMs?: number | undefined;
}

/** Options of {@link Process.events}. */
export interface ProcessEventsOptions {
  /** The `seq` of the last event seen; 0, the default, for none. */
  readonly afterSeq?: number | undefined;
}

/** Options of {@link Sandbox.fork}. */
export interface ForkOptions extends RequestOptions {
  /** What the new sandbox is called, 1 to 200 bytes; without it, the program chooses. */
  readonly name?: string | undefined;
}
