import type { Connection, RequestCall } from "./connection.js";
import { SandboxError } from "./errors.js";
import { toProcessEvent, type ProcessEvent } from "./events.js";
import { EventQueue } from "./queue.js";
import type { WireObject } from "./wire.js";

/**
 * A command or code that runs, event by event: `for await (const event of stream)`. Who leaves the loop before the end
 * stops the command. If the request fails, the loop throws after the last event. Events wait in memory until they are read.
 */
export class EventStream<T> implements AsyncIterable<ProcessEvent> {
  /** How it ended; one need not read the events for it. */
  readonly result: Promise<T>;
  readonly #events: EventQueue<ProcessEvent>;

  /** @internal */
  constructor(connection: Connection, call: RequestCall, read: (answer: WireObject) => T) {
    const { type, fields } = call;
    this.#events = new EventQueue(() => {
      connection.stop(id, new SandboxError("cancelled", "its events were not read to the end", { requestType: type }));
    });
    const events = {
      onEvent: (wire: WireObject) => {
        const event = toProcessEvent(wire);
        if (event) {
          this.#events.push(event);
        }
      },
    };
    const { id, answer } = connection.send({ ...call, fields: { ...fields, stream: true }, events }, read);
    this.result = answer;
    answer.then(
      () => this.#events.end(),
      (error: unknown) => this.#events.fail(error),
    );
  }

  [Symbol.asyncIterator](): AsyncIterator<ProcessEvent> {
    return this.#events;
  }
}
