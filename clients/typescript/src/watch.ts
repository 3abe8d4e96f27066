import type { Connection } from "./connection.js";
import type { WatchEvent } from "./events.js";
import type { EventQueue } from "./queue.js";

/**
 * Changes of files, as they come: `for await (const event of watch)`. Who leaves the loop ends the watch, and so does
 * `await using`. If the machine is put back or goes down, the loop throws.
 */
export class Watch implements AsyncIterable<WatchEvent>, AsyncDisposable {
  /** What it is called in the program. */
  readonly id: string;
  readonly #connection: Connection;
  readonly #sandbox: string | undefined;
  readonly #requestId: number;
  readonly #events: EventQueue<WatchEvent>;
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(
    connection: Connection,
    sandbox: string | undefined,
    id: string,
    requestId: number,
    events: EventQueue<WatchEvent>,
  ) {
    this.id = id;
    this.#connection = connection;
    this.#sandbox = sandbox;
    this.#requestId = requestId;
    this.#events = events;
  }

  [Symbol.asyncIterator](): AsyncIterator<WatchEvent> {
    return this.#events;
  }

  /** Ends it; what was seen before can still be read. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const isOver = this.#events.isOver || this.#connection.isOver;
    try {
      if (!isOver) {
        const fields = { watch_id: this.id };
        const call = { type: "unwatch", fields, sandbox: this.#sandbox, options: {} };
        await this.#connection.request(call, () => undefined);
      }
    } finally {
      this.#connection.unsubscribe(this.#requestId);
      this.#events.end();
    }
  }
}
