import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";

import { SandboxError } from "./errors.js";
import { LineSplitter } from "./lines.js";
import { findProgram, programArguments, type StartOptions } from "./program.js";

/** How much of what the program wrote to standard error is kept for messages. */
const KEPT_LOG = 4096;
/** How long the rest of the output may take once the program has ended, or the end once there is no more output. */
const AFTERMATH_MS = 1000;
const CLOSE_TIME_LIMIT_MS = 5000;

/** What {@link Child} tells. */
export interface ChildListener {
  /** The program wrote a line. */
  onLine(line: Buffer): void;
  /** The program is of no more use; told once. */
  onEnd(error: SandboxError): void;
}

/** The running program as something that takes lines and gives lines. */
export class Child {
  readonly #process: ChildProcessWithoutNullStreams;
  readonly #listener: ChildListener;
  readonly #closeTimeLimitMs: number;
  /** Lines that wait until the program has read those before them, with what they are for. */
  #outbox: { id: number; line: Buffer }[] = [];
  #isBlocked = false;
  #log = "";
  #ended = false;
  #aftermath: NodeJS.Timeout | undefined;
  readonly #gone: Promise<void>;
  #isGone!: () => void;

  constructor(options: StartOptions, listener: ChildListener) {
    const program = findProgram(options.program);
    this.#listener = listener;
    this.#closeTimeLimitMs = options.closeTimeLimitMs ?? CLOSE_TIME_LIMIT_MS;
    this.#gone = new Promise((resolve) => (this.#isGone = resolve));
    try {
      this.#process = spawn(program, programArguments(options), {
        stdio: ["pipe", "pipe", "pipe"],
        windowsHide: true,
        ...(options.env === undefined ? {} : { env: options.env }),
        ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      });
    } catch (cause) {
      throw notStarted(program, cause);
    }
    const child = this.#process;
    child.once("error", (error) => {
      if (child.pid === undefined) {
        this.#end(notStarted(program, error));
        this.#isGone();
      }
    });
    // A program that does not start has no streams.
    if (child.pid === undefined) {
      return;
    }
    const lines = new LineSplitter();
    child.stdout.on("data", (chunk: Buffer) => {
      for (const line of lines.push(chunk)) {
        listener.onLine(line);
      }
    });
    child.stdout.once("end", () => this.#expectEnd());
    child.stdout.on("error", () => this.#expectEnd());
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#log = (this.#log + text).slice(-KEPT_LOG);
      options.onLog?.(text);
    });
    child.stderr.on("error", () => undefined);
    // It reads no more: it has ended, or is about to.
    child.stdin.on("error", () => this.#expectEnd());
    child.stdin.on("drain", () => {
      this.#isBlocked = false;
      this.#flush();
    });
    child.once("exit", () => this.#expectEnd());
    child.once("close", () => {
      clearTimeout(this.#aftermath);
      this.#end(this.#hasEnded());
      this.#isGone();
    });
  }

  /** Has the program read a line; lines marked as urgent overtake those that wait. */
  write(id: number, line: Buffer, urgent: boolean): void {
    if (urgent) {
      this.#outbox.unshift({ id, line });
    } else {
      this.#outbox.push({ id, line });
    }
    this.#flush();
  }

  /** Takes a line back that the program was not given yet; whether that was so. */
  takeBack(id: number): boolean {
    const before = this.#outbox.length;
    this.#outbox = this.#outbox.filter((waiting) => waiting.id !== id);
    return this.#outbox.length < before;
  }

  /** Gives the program the last lines and has it end; kills it if it does not. */
  async close(lines: readonly Buffer[]): Promise<void> {
    this.#ended = true;
    this.#outbox = [];
    const child = this.#process;
    if (child.pid === undefined) {
      return this.#gone;
    }
    if (!child.stdin.destroyed) {
      lines.forEach((line) => child.stdin.write(line));
      child.stdin.end();
    }
    const timer = setTimeout(() => this.kill(), this.#closeTimeLimitMs);
    await this.#gone;
    clearTimeout(timer);
  }

  /** Ends the program at once. */
  kill(): void {
    this.#ended = true;
    this.#outbox = [];
    if (this.#process.pid !== undefined) {
      this.#process.kill("SIGKILL");
      this.#process.stdin.destroy();
    }
  }

  #flush(): void {
    const { stdin } = this.#process;
    while (!this.#isBlocked && !stdin.destroyed) {
      const next = this.#outbox.shift();
      if (!next) {
        return;
      }
      this.#isBlocked = !stdin.write(next.line);
    }
  }

  /** The program is ending: gives it a moment to do so properly. */
  #expectEnd(): void {
    this.#aftermath ??= setTimeout(() => {
      this.#end(this.#hasEnded());
      this.kill();
      // Somebody else may hold these open.
      this.#process.stdout.destroy();
      this.#process.stderr.destroy();
    }, AFTERMATH_MS);
  }

  #end(error: SandboxError): void {
    if (!this.#ended) {
      this.#ended = true;
      this.#listener.onEnd(error);
    }
  }

  #hasEnded(): SandboxError {
    const { exitCode, signalCode } = this.#process;
    let how = "closed its standard input or output";
    if (signalCode !== null) {
      how = `was ended by ${signalCode}`;
    } else if (exitCode !== null) {
      how = `ended with exit code ${exitCode}`;
    }
    const log = this.#log.trim();
    return new SandboxError("program_ended", `the program ${how}${log === "" ? "" : `; it said: ${log}`}`);
  }
}

function notStarted(program: string, cause: unknown): SandboxError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new SandboxError("program_not_found", `${program} cannot be started: ${reason}`, { cause });
}
