import { Connection, type EventListener, type RequestCall, type SentRequest } from "./connection.js";
import { SandboxError } from "./errors.js";
import { toProcessEvent, type ProcessEvent } from "./events.js";
import { Files } from "./files.js";
import type {
  Callbacks,
  ExecOptions,
  ForkOptions,
  Language,
  RequestOptions,
  RunCodeOptions,
  RunOptions,
  SpawnOptions,
  StreamCodeOptions,
  StreamOptions,
  WaitOptions,
} from "./options.js";
import { Process } from "./process.js";
import type { StartOptions } from "./program.js";
import { EventQueue } from "./queue.js";
import {
  CodeResult,
  CommandResult,
  type Duration,
  type Hello,
  type PortOpen,
  type ProcessInfo,
  type Saved,
  type SessionInfo,
  type Status,
} from "./results.js";
import { Context, Session } from "./session.js";
import { EventStream } from "./stream.js";
import { encodeBytes, fromWire, toWireFields, type WireObject } from "./wire.js";

/** The version of the protocol that this client speaks. */
const PROTOCOL_VERSION = 1;
const START_TIME_LIMIT_MS = 300_000;

/** The events that a background process sends, and who takes them. */
interface SentEvents {
  readonly events: EventQueue<ProcessEvent>;
  readonly listener: EventListener;
}

/**
 * A machine with a real Linux. {@link Sandbox.start} starts one, with the program that it runs in; {@link Sandbox.fork} makes
 * more in the same program. Close it, or declare it with `await using`.
 */
export class Sandbox implements AsyncDisposable {
  /** Its name among the machines of the program; undefined for the first. */
  readonly name: string | undefined;
  /** The guest's files. */
  readonly files: Files;
  readonly #connection: Connection;
  #closed: Promise<void> | undefined;

  private constructor(connection: Connection, name?: string) {
    this.#connection = connection;
    this.name = name;
    this.files = new Files(connection, name);
  }

  /** Starts the program, and with it a machine. */
  static async start(options: StartOptions = {}): Promise<Sandbox> {
    const { signal } = options;
    const connection = new Connection(options);
    const sandbox = new Sandbox(connection);
    const limit = options.startTimeLimitMs ?? START_TIME_LIMIT_MS;
    const late = new AbortController();
    const timer = setTimeout(() => late.abort(), limit);
    try {
      const hello = sandbox.hello({ ordered: true });
      const given = await Promise.race([hello, rejected(late.signal), ...(signal ? [rejected(signal)] : [])]);
      if (given === undefined) {
        throw signal?.aborted === true
          ? new SandboxError("cancelled", "the start was aborted", { cause: signal.reason })
          : new SandboxError("program_ended", `the program has not answered within ${limit} ms`);
      }
      if (given.protocolVersion !== PROTOCOL_VERSION) {
        const versions = `${given.protocolVersion} of the protocol, this client version ${PROTOCOL_VERSION}`;
        throw new SandboxError("protocol_error", `the program speaks version ${versions}`);
      }
      return sandbox;
    } catch (error) {
      await connection.kill();
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Runs a command in the guest's `bash -c`, and gives its output when it ends or its time, 5 seconds if no other is given,
   * is over. A command that ran is a success, whatever its exit code.
   */
  run(command: string, options: RunOptions = {}): Promise<CommandResult> {
    return this.#runToTheEnd("shell", { command }, options, (answer) => new CommandResult(answer));
  }

  /** Runs a program with arguments, without a shell. A program without a `/` is looked for in `PATH`. */
  exec(argv: readonly string[], options: ExecOptions = {}): Promise<CommandResult> {
    return this.#runToTheEnd("exec", { argv }, options, (answer) => new CommandResult(answer));
  }

  /**
   * Runs code in an interpreter that keeps its state from one request to the next, Python if no other language is given. In
   * Python, the value of a last expression comes back in `result`.
   */
  runCode(code: string, options: RunCodeOptions & { language?: Language | undefined } = {}): Promise<CodeResult> {
    const { language = "python", ...others } = options;
    return this.#runToTheEnd("run_code", { code, language }, others, (answer) => new CodeResult(answer));
  }

  /** Runs a command, a text for the shell or a program with arguments, and gives its events as they come. */
  stream(command: string | readonly string[], options: StreamOptions = {}): EventStream<CommandResult> {
    const [type, fields] = commandFields(command);
    return new EventStream(this.#connection, this.#programCall(type, fields, options), (answer) => new CommandResult(answer));
  }

  /** Runs code, and gives its events as they come. */
  streamCode(
    code: string,
    options: StreamCodeOptions & { language?: Language | undefined } = {},
  ): EventStream<CodeResult> {
    const { language = "python", ...others } = options;
    const call = this.#programCall("run_code", { code, language }, others);
    return new EventStream(this.#connection, call, (answer) => new CodeResult(answer));
  }

  /** Starts a command, a text for the shell or a program with arguments, in the background. */
  spawn(command: string | readonly string[], options: SpawnOptions = {}): Promise<Process> {
    const [type, fields] = commandFields(command);
    const call = this.#programCall(type, { ...fields, background: true }, options);
    const queue: SentEvents | undefined = options.stream === true ? this.#processEvents(() => sent.id) : undefined;
    const sent: SentRequest<Process> = this.#connection.send({ ...call, events: queue?.listener }, (answer) => {
      const { process_id: id, pid } = answer;
      if (queue?.events.isOver === true) {
        this.#connection.unsubscribe(sent.id);
      }
      return new Process(this.#connection, this.name, String(id), pid as number, queue?.events);
    });
    return sent.answer;
  }

  /** The background process with this id, which may have been started elsewhere. Nothing is asked yet. */
  process(id: string): Process {
    return new Process(this.#connection, this.name, id);
  }

  /** The processes started by requests: those that run, and those that ended in the background. */
  processes(options: RequestOptions = {}): Promise<readonly ProcessInfo[]> {
    return this.#request("process_list", {}, options, (answer) => fromWire(answer["processes"]) as ProcessInfo[]);
  }

  /** The shell with this name, which lives on. Nothing is started yet. */
  session(name: string): Session {
    return new Session(this, name);
  }

  /** The interpreter with this name, of Python if no other language is given. Nothing is started yet. */
  context(name: string, options: { readonly language?: Language | undefined } = {}): Context {
    return new Context(this, name, options.language ?? "python");
  }

  /** The shells and interpreters that are kept. */
  sessions(options: RequestOptions = {}): Promise<readonly SessionInfo[]> {
    return this.#request("session_list", {}, options, (answer) => fromWire(answer["sessions"]) as SessionInfo[]);
  }

  /** Ends a shell that is kept, or with `language` an interpreter. */
  closeSession(name: string, options: RequestOptions & { language?: Language | undefined } = {}): Promise<void> {
    const { language, ...others } = options;
    return this.#request("session_close", { session: name, language }, others, () => undefined);
  }

  /** Waits until something in the guest listens on a TCP port; if that takes too long, it is rejected with `timed_out`. */
  waitPort(port: number, options: WaitOptions = {}): Promise<PortOpen> {
    const { timeLimitMs, ...others } = options;
    return this.#request("wait_port", { port, time_limit_ms: timeLimitMs }, others, (answer) => ({
      port: answer["port"] as number,
      ...duration(answer),
    }));
  }

  /** Who the program is: versions, engine, image, capabilities and limits. */
  hello(options: RequestOptions = {}): Promise<Hello> {
    return this.#request("hello", {}, options, (answer) => withoutFrame(answer) as Hello);
  }

  /** How the machine is. */
  status(options: RequestOptions = {}): Promise<Status> {
    return this.#request("status", {}, options, (answer) => withoutFrame(answer) as Status);
  }

  /**
   * Puts everything back to the initial state: files, and processes with all that runs in the background. Requests that
   * are under way are rejected with `cancelled`. Checkpoints are kept.
   */
  reset(options: RequestOptions = {}): Promise<Duration> {
    return this.#request("reset", {}, options, duration);
  }

  /** Keeps the machine as it is now, files and processes, under a name, in the program's memory. */
  checkpoint(name: string, options: RequestOptions = {}): Promise<Duration> {
    return this.#request("checkpoint", { name }, options, duration);
  }

  /**
   * Puts the machine back to a checkpoint, as often as one likes. Requests that are under way are rejected with `cancelled`.
   * Watches and processes with `stream: true` send no more events; {@link Process.events} has those of the checkpoint.
   */
  restore(name: string, options: RequestOptions = {}): Promise<Duration> {
    return this.#request("restore", { name }, options, duration);
  }

  /** Forgets a checkpoint and frees its memory. */
  deleteCheckpoint(name: string, options: RequestOptions = {}): Promise<void> {
    return this.#request("checkpoint_delete", { name }, options, () => undefined);
  }

  /** Makes a second, independent machine in the same program that goes on from this one's present state. */
  fork(options: ForkOptions = {}): Promise<Sandbox> {
    const { name, ...others } = options;
    return this.#request("fork", { name }, others, (answer) => new Sandbox(this.#connection, String(answer["sandbox"])));
  }

  /** Writes the machine as it is now to a file of the host, to go on from with {@link StartOptions.snapshot}. */
  save(path: string, options: RequestOptions = {}): Promise<Saved> {
    return this.#request("save", { path }, options, (answer) => ({
      path: String(answer["path"]),
      size: answer["size"] as number,
      ...duration(answer),
    }));
  }

  /**
   * Ends the machine; for the first one, that is the end of the program and of all its forks. Requests that are under way are
   * rejected, with `closed` or, in a fork, `cancelled`. Closing twice is no error.
   */
  close(): Promise<void> {
    this.#closed ??= this.name === undefined ? this.#connection.close() : this.#closeFork();
    return this.#closed;
  }

  /** The same as {@link Sandbox.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #closeFork(): Promise<void> {
    try {
      await this.#request("close", {}, {}, () => undefined);
    } catch (error) {
      // It is gone already, perhaps with the program.
      if (!this.#connection.isOver && !(error instanceof SandboxError && error.code === "unknown_sandbox")) {
        throw error;
      }
    }
  }

  /** Runs something and tells the callbacks of `options` what happens. */
  #runToTheEnd<T>(
    type: string,
    fields: WireObject,
    options: RunOptions & RunCodeOptions,
    read: (answer: WireObject) => T,
  ): Promise<T> {
    const { onStdout, onStderr, onEvent, ...others } = options;
    const call = this.#programCall(type, fields, others);
    if (!onStdout && !onStderr && !onEvent) {
      return this.#connection.request(call, read);
    }
    const events = { onEvent: (wire: WireObject) => tell(wire, { onStdout, onStderr, onEvent }) };
    return this.#connection.request({ ...call, fields: { ...call.fields, stream: true }, events }, read);
  }

  /** The events that a background process sends. */
  #processEvents(requestId: () => number): SentEvents {
    const connection = this.#connection;
    const events = new EventQueue<ProcessEvent>(() => connection.unsubscribe(requestId()));
    const listener = {
      onEvent: (wire: WireObject) => {
        const event = toProcessEvent(wire);
        if (event) {
          events.push(event);
        }
        if (event?.type === "exited") {
          connection.unsubscribe(requestId());
          events.end();
        }
      },
      onLost: (error: unknown) => events.fail(error),
    };
    return { events, listener };
  }

  #programCall(
    type: string,
    fields: WireObject,
    options: RequestOptions & { readonly stdin?: string | Uint8Array | undefined },
  ): RequestCall {
    const { signal, ordered, stdin, ...others } = options;
    const input = stdin === undefined ? undefined : encodeBytes(stdin);
    return {
      type,
      fields: { ...toWireFields(others), stdin: input?.text, stdin_encoding: input?.encoding, ...fields },
      sandbox: this.name,
      options: { signal, ordered },
    };
  }

  #request<T>(
    type: string,
    fields: WireObject,
    options: RequestOptions,
    read: (answer: WireObject) => T,
  ): Promise<T> {
    const { signal, ordered, ...others } = options;
    return this.#connection.request(
      { type, fields: { ...toWireFields(others), ...fields }, sandbox: this.name, options: { signal, ordered } },
      read,
    );
  }
}

function commandFields(command: string | readonly string[]): ["shell" | "exec", WireObject] {
  return typeof command === "string" ? ["shell", { command }] : ["exec", { argv: command }];
}

function tell(wire: WireObject, { onStdout, onStderr, onEvent }: Callbacks): void {
  const event = toProcessEvent(wire);
  if (!event) {
    return;
  }
  onEvent?.(event);
  if (event.type === "stdout") {
    onStdout?.(event.data, event.bytes);
  } else if (event.type === "stderr") {
    onStderr?.(event.data, event.bytes);
  }
}

function duration(answer: WireObject): Duration {
  return { durationMs: answer["duration_ms"] as number };
}

/** An answer without the fields that all answers have. */
function withoutFrame(answer: WireObject): unknown {
  const { type: _type, id: _id, success: _success, restarted: _restarted, ...own } = answer;
  return fromWire(own);
}

/** Resolves to nothing when the signal is aborted. */
function rejected(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve(undefined);
    } else {
      signal.addEventListener("abort", () => resolve(undefined), { once: true });
    }
  });
}
