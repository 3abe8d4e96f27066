import type { Connection } from "./connection.js";
import { SandboxError } from "./errors.js";
import { toProcessEvent, type ProcessEvent } from "./events.js";
import type {
  ProcessEventsOptions,
  ProcessReadOptions,
  PtySize,
  RequestOptions,
  Signal,
  SignalOptions,
  WaitOptions,
} from "./options.js";
import type { EventQueue } from "./queue.js";
import { CommandResult, type LogFound } from "./results.js";
import { encodeBytes, fromWire, toWireFields, type WireObject } from "./wire.js";

/** How long one question for events waits for some; then the next is asked. */
const LONG_WAIT_MS = 3_600_000;

/** What a process wrote, as {@link Process.read} gives it. */
export interface ProcessOutput {
  /** Its events after the one asked for, in order. */
  readonly events: readonly ProcessEvent[];
  /** What to ask for next: the `seq` of the last event given, or what was asked for if there was none. */
  readonly lastSeq: number;
  /** Whether events before the first one given are gone, because there was too much output. */
  readonly gap: boolean;
  /** Whether it runs still, or has events that were not given. */
  readonly more: boolean;
}

/**
 * A process in the background. `for await (const event of process)` gives its events from the first to `exited`, `await using`
 * kills it at the end of the block.
 */
export class Process implements AsyncIterable<ProcessEvent>, AsyncDisposable {
  /** What it is called in requests. */
  readonly id: string;
  /** Its process identifier in the guest; undefined for one made by {@link Sandbox.process}. */
  readonly pid: number | undefined;
  readonly #connection: Connection;
  readonly #sandbox: string | undefined;
  readonly #sent: EventQueue<ProcessEvent> | undefined;

  /** @internal */
  constructor(
    connection: Connection,
    sandbox: string | undefined,
    id: string,
    pid?: number,
    sent?: EventQueue<ProcessEvent>,
  ) {
    this.#connection = connection;
    this.#sandbox = sandbox;
    this.id = id;
    this.pid = pid;
    this.#sent = sent;
  }

  /**
   * Its events. Of a process with `stream: true`, each event is given once, to whoever reads first. Of others, each loop
   * begins with the first event that the program still has; if that is not the first there was, `seq` shows it.
   */
  [Symbol.asyncIterator](): AsyncIterator<ProcessEvent> {
    return this.#sent ?? this.events();
  }

  /** Its events after a certain one, from the program's memory, until it has ended. */
  events(options: ProcessEventsOptions = {}): AsyncIterableIterator<ProcessEvent> {
    return new EventReader(this, options.afterSeq ?? 0);
  }

  /** Reads its events after one that was seen already. */
  read(options: ProcessReadOptions = {}): Promise<ProcessOutput> {
    const { signal, ordered, ...fields } = options;
    return this.#request("process_read", toWireFields(fields), { signal, ordered }, (answer) => ({
      events: (answer["events"] as WireObject[]).flatMap((event) => toProcessEvent(event) ?? []),
      lastSeq: answer["last_seq"] as number,
      gap: answer["gap"] === true,
      more: answer["more"] === true,
    }));
  }

  /** Writes to its standard input; answered when the program in the guest has room for it. */
  write(data: string | Uint8Array, options: RequestOptions = {}): Promise<void> {
    const { text, encoding } = encodeBytes(data);
    return this.#request("process_write", { data: text, encoding }, options, () => undefined);
  }

  /** Ends its standard input, after what was written before. */
  closeStdin(options: RequestOptions = {}): Promise<void> {
    return this.#request("process_close_stdin", {}, options, () => undefined);
  }

  /** Sends a signal to its process group, `SIGTERM` if none is named. */
  signal(name: Signal = "SIGTERM", options: SignalOptions = {}): Promise<void> {
    const { leaderOnly } = options;
    return this.#request("process_signal", { signal: name, leader_only: leaderOnly }, options, () => undefined);
  }

  /** Kills it and its process group. */
  kill(options: RequestOptions = {}): Promise<void> {
    return this.signal("SIGKILL", options);
  }

  /** Changes the size of its terminal. */
  resize(size: PtySize, options: RequestOptions = {}): Promise<void> {
    return this.#request("process_resize", { cols: size.cols, rows: size.rows }, options, () => undefined);
  }

  /** Waits until it has ended. */
  wait(options?: RequestOptions): Promise<CommandResult>;
  /** Waits until it has ended; undefined if it runs still when the time is over. */
  wait(options: WaitOptions): Promise<CommandResult | undefined>;
  wait(options: WaitOptions = {}): Promise<CommandResult | undefined> {
    const fields = { time_limit_ms: options.timeLimitMs };
    return this.#request("process_wait", fields, options, (answer) =>
      answer["running"] === true ? undefined : new CommandResult(answer),
    );
  }

  /**
   * Waits until it has written a line that matches `pattern`, a regular expression of the Rust crate `regex`, at most 5
   * seconds if no other time is given; then it is rejected with `timed_out`.
   */
  waitLog(pattern: string, options: WaitOptions = {}): Promise<LogFound> {
    const fields = { pattern, time_limit_ms: options.timeLimitMs };
    return this.#request("wait_log", fields, options, (answer) => {
      const { processId, line, durationMs } = fromWire(answer) as LogFound;
      return { processId, line, durationMs };
    });
  }

  /** Kills it, if it runs, and waits for its end. */
  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.kill();
      await this.wait();
    } catch (error) {
      // It has ended, or everything has.
      if (!(error instanceof SandboxError)) {
        throw error;
      }
    }
  }

  #request<T>(
    type: string,
    fields: WireObject,
    options: RequestOptions,
    read: (answer: WireObject) => T,
  ): Promise<T> {
    const { signal, ordered } = options;
    return this.#connection.request(
      {
        type,
        fields: { ...fields, process_id: this.id },
        sandbox: this.#sandbox,
        options: { signal, ordered },
      },
      read,
    );
  }
}

/** Asks for the events of a process, some at a time. */
class EventReader implements AsyncIterableIterator<ProcessEvent> {
  readonly #process: Process;
  readonly #stop = new AbortController();
  #afterSeq: number;
  #events: readonly ProcessEvent[] = [];
  #given = 0;
  #more = true;
  #isOver = false;
  /** Those who ask at the same time are served one after another. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(process: Process, afterSeq: number) {
    this.#process = process;
    this.#afterSeq = afterSeq;
  }

  next(): Promise<IteratorResult<ProcessEvent>> {
    const next = this.#turn.then(() => this.#next());
    this.#turn = next.catch(() => undefined);
    return next;
  }

  return(): Promise<IteratorResult<ProcessEvent>> {
    this.#isOver = true;
    this.#stop.abort();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async #next(): Promise<IteratorResult<ProcessEvent>> {
    try {
      for (;;) {
        const event = this.#events[this.#given];
        if (!this.#isOver && event) {
          this.#given += 1;
          return { done: false, value: event };
        }
        if (this.#isOver || !this.#more) {
          return { done: true, value: undefined };
        }
        await this.#read();
      }
    } catch (error) {
      if (this.#isOver) {
        return { done: true, value: undefined };
      }
      this.#isOver = true;
      throw error;
    }
  }

  async #read(): Promise<void> {
    const { signal } = this.#stop;
    const output = await this.#process.read({ afterSeq: this.#afterSeq, waitMs: LONG_WAIT_MS, signal });
    this.#events = output.events;
    this.#given = 0;
    this.#afterSeq = output.lastSeq;
    this.#more = output.more;
    if (output.gap && output.events.length === 0) {
      // It keeps no events, so that there will never be any.
      await this.#process.wait({ signal });
      this.#more = false;
    }
  }
}
