import { Child } from "./child.js";
import { SandboxError, type ClientErrorCode, type ErrorCode } from "./errors.js";
import type { RequestOptions } from "./options.js";
import type { StartOptions } from "./program.js";
import { decodeBytes, isObject, toLine, type WireObject } from "./wire.js";

/** Who takes the events of a request. */
export interface EventListener {
  onEvent(event: WireObject): void;
  /** If given, events go on after a successful answer, until there can be no more: then this is told why. */
  readonly onLost?: (error: SandboxError) => void;
}

/** A request, but for its answer's type. */
export interface RequestCall {
  readonly type: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly sandbox: string | undefined;
  readonly options: RequestOptions;
  readonly events?: EventListener | undefined;
}

/** A request that was sent. */
export interface SentRequest<T> {
  readonly id: number;
  readonly answer: Promise<T>;
}

interface Pending {
  readonly type: string;
  readonly sandbox: string | undefined;
  readonly resolve: (answer: WireObject) => void;
  readonly reject: (error: unknown) => void;
  /** Rejects although nobody may wait. */
  readonly abandon: (error: SandboxError) => void;
  readonly events: EventListener | undefined;
  /** Why it is to be stopped. */
  stopped: { error: unknown; isSignal: boolean } | undefined;
}

/** Somebody who takes events after the answer. */
interface Subscription {
  readonly sandbox: string | undefined;
  readonly events: EventListener;
}

/** Why nothing can be asked any more. */
interface Failure {
  readonly code: ErrorCode | ClientErrorCode;
  readonly message: string;
  readonly cause: unknown;
}

/** After these, nothing that ran in the machine goes on sending events. */
const REPLACES_THE_MACHINE: ReadonlySet<string> = new Set(["reset", "restore", "close"]);

/** Requests and their answers, over one program. */
export class Connection {
  readonly #child: Child;
  readonly #ordered: boolean;
  readonly #pending = new Map<number, Pending>();
  readonly #subscriptions = new Map<number, Subscription>();
  #lastId = 0;
  #failure: Failure | undefined;
  #closed: Promise<void> | undefined;

  constructor(options: StartOptions) {
    this.#ordered = options.ordered ?? false;
    this.#child = new Child(options, {
      onLine: (line) => this.#onLine(line),
      onEnd: (error) => this.#fail(error.code, error.message, error.cause),
    });
  }

  /** Whether nothing can be asked any more. */
  get isOver(): boolean {
    return this.#failure !== undefined;
  }

  /** Sends a request; `read` makes of its answer what the caller wants. */
  send<T>(call: RequestCall, read: (answer: WireObject) => T): SentRequest<T> {
    this.#lastId += 1;
    const id = this.#lastId;
    const caller: { stack?: string } = {};
    Error.captureStackTrace(caller);
    let abandon!: (error: SandboxError) => void;
    const answer = new Promise<T>((resolve, reject) => {
      abandon = (error) => {
        // Who closes the sandbox, or sees it go down, need not have waited for everything.
        answer.catch(() => undefined);
        pending.reject(error);
      };
      const pending: Pending = {
        type: call.type,
        sandbox: call.sandbox,
        resolve: (message) => {
          try {
            resolve(read(message));
          } catch (cause) {
            pending.reject(malformed(call.type, cause));
          }
        },
        reject: (error) => {
          if (error instanceof SandboxError) {
            // Where it was noticed is the same place for all.
            error.stack = `${error.name}: ${error.message}\n${caller.stack?.split("\n").slice(1).join("\n") ?? ""}`;
          }
          reject(error);
        },
        abandon: (error) => abandon(error),
        events: call.events,
        stopped: undefined,
      };
      this.#start(id, call, pending);
    });
    return { id, answer };
  }

  /** The same, for those who need no id. */
  request<T>(call: RequestCall, read: (answer: WireObject) => T): Promise<T> {
    return this.send(call, read).answer;
  }

  /** Stops a request, which is rejected with `error` unless it has ended. */
  stop(id: number, error: unknown, isSignal = false): void {
    const pending = this.#pending.get(id);
    if (!pending || pending.stopped) {
      return;
    }
    pending.stopped = { error, isSignal };
    if (this.#child.takeBack(id)) {
      this.#pending.delete(id);
      pending.reject(isSignal ? aborted(pending.type, error) : error);
      return;
    }
    const call = { type: "cancel", fields: { target: id }, sandbox: undefined, options: {} };
    this.request(call, () => undefined).catch(() => undefined);
  }

  /** Takes no more events of a request that was answered. */
  unsubscribe(id: number): void {
    this.#subscriptions.delete(id);
  }

  /** Ends the program; requests that wait are rejected. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  /** Ends the program without further ado. */
  kill(): Promise<void> {
    this.#fail("closed", "the sandbox was closed", undefined);
    return this.close();
  }

  async #close(): Promise<void> {
    // Without them, the program would end only after what is under way.
    const cancels = [...this.#pending.keys()].map((id) => {
      this.#lastId += 1;
      return toLine({ type: "cancel", id: this.#lastId, target: id });
    });
    this.#fail("closed", "the sandbox was closed", undefined, false);
    await this.#child.close(cancels);
  }

  #start(id: number, call: RequestCall, pending: Pending): void {
    const { type, fields, sandbox, options } = call;
    const { signal } = options;
    if (this.#failure) {
      pending.reject(this.#error(this.#failure, type));
      return;
    }
    if (signal?.aborted === true) {
      pending.reject(aborted(type, signal.reason));
      return;
    }
    let line;
    try {
      const isAsync = !(options.ordered ?? this.#ordered);
      line = toLine({ ...fields, type, id, sandbox, ...(isAsync ? { async: true } : {}) });
    } catch (error) {
      pending.reject(error);
      return;
    }
    this.#pending.set(id, signal ? this.#withSignal(id, pending, signal) : pending);
    this.#child.write(id, line, type === "cancel");
  }

  /** The same request, which listens to the signal until it is settled. */
  #withSignal(id: number, pending: Pending, signal: AbortSignal): Pending {
    const onAbort = () => this.stop(id, signal.reason, true);
    signal.addEventListener("abort", onAbort, { once: true });
    const before =
      <A>(settle: (value: A) => void) =>
      (value: A) => {
        signal.removeEventListener("abort", onAbort);
        settle(value);
      };
    return {
      ...pending,
      resolve: before(pending.resolve),
      reject: before(pending.reject),
      abandon: before(pending.abandon),
    };
  }

  #onLine(line: Buffer): void {
    if (this.#failure) {
      return;
    }
    let message: unknown;
    try {
      message = JSON.parse(line.toString("utf8"));
    } catch (cause) {
      this.#onUnreadable(line, cause);
      return;
    }
    if (!isObject(message) || typeof message["type"] !== "string") {
      this.#onUnreadable(line, undefined);
    } else if (message["type"] === "event") {
      this.#onEvent(message);
    } else if (typeof message["id"] !== "number" || typeof message["success"] !== "boolean") {
      this.#onUnreadable(line, undefined);
    } else {
      this.#onAnswer(message["id"], message, line);
    }
  }

  #onEvent(event: WireObject): void {
    const id = event["id"];
    if (typeof id !== "number") {
      return;
    }
    const pending = this.#pending.get(id);
    try {
      if (pending && !pending.stopped) {
        pending.events?.onEvent(event);
      } else {
        this.#subscriptions.get(id)?.events.onEvent(event);
      }
    } catch (error) {
      this.stop(id, error);
    }
  }

  #onAnswer(id: number, message: WireObject, line: Buffer): void {
    const pending = this.#pending.get(id);
    if (!pending) {
      this.#onUnreadable(line, undefined);
      return;
    }
    this.#pending.delete(id);
    const { type, sandbox, events, stopped } = pending;
    if (message["success"] !== true) {
      if (message["error_code"] === "machine_crashed") {
        this.#lose(sandbox, "machine_crashed", "the machine went down");
      }
      pending.reject(stopped && !stopped.isSignal ? stopped.error : failed(type, message, stopped?.error));
      return;
    }
    if (message["restarted"] === true) {
      this.#lose(sandbox, "machine_crashed", "the machine went down and was started afresh");
    }
    if (REPLACES_THE_MACHINE.has(type)) {
      this.#lose(sandbox, "cancelled", `it was stopped by \`${type}\``);
    }
    if (events?.onLost) {
      this.#subscriptions.set(id, { sandbox, events });
    }
    if (stopped && !stopped.isSignal) {
      pending.reject(stopped.error);
    } else {
      pending.resolve(message);
    }
  }

  /** Ends the subscriptions in one machine. */
  #lose(sandbox: string | undefined, code: ErrorCode, message: string): void {
    for (const [id, subscription] of this.#subscriptions) {
      if (subscription.sandbox === sandbox) {
        this.#subscriptions.delete(id);
        subscription.events.onLost?.(new SandboxError(code, message));
      }
    }
  }

  /** The program wrote something that cannot be understood. */
  #onUnreadable(line: Buffer, cause: unknown): void {
    const beginning = line.subarray(0, 200).toString("utf8");
    // JavaScript's strings have an end, the program's lines a later one.
    const id = isTooLong(cause) && /^\{"type":"(?!event")\w+","id":(\d+),/.exec(beginning)?.[1];
    const pending = id ? this.#pending.get(Number(id)) : undefined;
    if (pending) {
      this.#pending.delete(Number(id));
      const message = `the answer has ${line.length} bytes, more than JavaScript can read: ask for less at a time`;
      pending.reject(new SandboxError("too_large", message, { requestType: pending.type, cause }));
      return;
    }
    const shown = line.length > 200 ? `${beginning}…` : beginning;
    this.#fail("protocol_error", `the program wrote something that is not in the protocol: ${shown}`, cause);
  }

  /** Nothing can be asked any more. */
  #fail(code: Failure["code"], message: string, cause: unknown, kill = true): void {
    if (this.#failure) {
      return;
    }
    this.#failure = { code, message, cause };
    const pending = [...this.#pending.values()];
    const subscriptions = [...this.#subscriptions.values()];
    this.#pending.clear();
    this.#subscriptions.clear();
    if (kill) {
      this.#child.kill();
    }
    for (const { abandon, type } of pending) {
      abandon(this.#error(this.#failure, type));
    }
    for (const { events } of subscriptions) {
      events.onLost?.(this.#error(this.#failure));
    }
  }

  /** An error of its own for each who is told. */
  #error({ code, message, cause }: Failure, requestType?: string): SandboxError {
    return new SandboxError(code, message, { cause, requestType });
  }
}

function aborted(requestType: string, cause: unknown): SandboxError {
  return new SandboxError("cancelled", "the request was aborted", { requestType, cause });
}

function malformed(requestType: string, cause: unknown): SandboxError {
  const message = `the program's answer to \`${requestType}\` is not in the protocol`;
  return new SandboxError("protocol_error", message, { requestType, cause });
}

function isTooLong(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ERR_STRING_TOO_LONG";
}

/** What the program says went wrong. */
function failed(requestType: string, message: WireObject, cause: unknown): SandboxError {
  const bytes = (name: string) => {
    const text = message[name];
    return typeof text === "string" ? decodeBytes(text, message[`${name}_encoding`]) : undefined;
  };
  return new SandboxError(message["error_code"] as ErrorCode, String(message["error"]), {
    requestType,
    cause,
    stdout: bytes("stdout"),
    stderr: bytes("stderr"),
  });
}
