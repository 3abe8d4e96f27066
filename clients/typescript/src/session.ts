import type { Sandbox } from "./sandbox.js";
import type {
  Callbacks,
  ContextRunOptions,
  Language,
  RequestOptions,
  SessionRunOptions,
} from "./options.js";
import type { CodeResult, CommandResult } from "./results.js";
import type { EventStream } from "./stream.js";

/**
 * A shell that lives on: directory, variables and functions persist from one command to the next. The first command
 * starts it. It runs one command at a time; a second one at the same time is an error, `busy`.
 */
export class Session {
  readonly name: string;
  readonly #sandbox: Sandbox;

  /** @internal */
  constructor(sandbox: Sandbox, name: string) {
    this.#sandbox = sandbox;
    this.name = name;
  }

  /** Runs a command in it; see {@link Sandbox.run}. */
  run(command: string, options: SessionRunOptions = {}): Promise<CommandResult> {
    return this.#sandbox.run(command, { ...options, session: this.name });
  }

  /** Runs a command in it, event by event; see {@link Sandbox.stream}. */
  stream(command: string, options: Omit<SessionRunOptions, keyof Callbacks> = {}): EventStream<CommandResult> {
    return this.#sandbox.stream(command, { ...options, session: this.name });
  }

  /** Ends it, with all its processes. */
  close(options: RequestOptions = {}): Promise<void> {
    return this.#sandbox.closeSession(this.name, options);
  }
}

/** An interpreter that keeps its state from one piece of code to the next. The first one starts it. */
export class Context {
  readonly name: string;
  readonly language: Language;
  readonly #sandbox: Sandbox;

  /** @internal */
  constructor(sandbox: Sandbox, name: string, language: Language) {
    this.#sandbox = sandbox;
    this.name = name;
    this.language = language;
  }

  /** Runs code in it; see {@link Sandbox.runCode}. */
  run(code: string, options: ContextRunOptions = {}): Promise<CodeResult> {
    return this.#sandbox.runCode(code, { ...options, context: this.name, language: this.language });
  }

  /** Runs code in it, event by event; see {@link Sandbox.streamCode}. */
  stream(code: string, options: Omit<ContextRunOptions, keyof Callbacks> = {}): EventStream<CodeResult> {
    return this.#sandbox.streamCode(code, { ...options, context: this.name, language: this.language });
  }

  /** Ends it, with all its processes. */
  close(options: RequestOptions = {}): Promise<void> {
    return this.#sandbox.closeSession(this.name, { ...options, language: this.language });
  }
}
