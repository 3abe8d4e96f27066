/** Events on their way from whoever has them to whoever iterates over them. */
export class EventQueue<T> implements AsyncIterableIterator<T> {
  #events: T[] = [];
  /** How many of `#events` were given already. */
  #given = 0;
  #waiting: { resolve: (result: IteratorResult<T>) => void; reject: (error: unknown) => void }[] = [];
  #ended = false;
  #failure: { error: unknown } | undefined;
  readonly #onReturn: () => void;

  /** `onReturn` hears when the one who iterates stops before the end. */
  constructor(onReturn: () => void) {
    this.#onReturn = onReturn;
  }

  /** Whether no more events come. */
  get isOver(): boolean {
    return this.#ended;
  }

  push(event: T): void {
    if (this.#ended) {
      return;
    }
    const waiting = this.#waiting.shift();
    if (waiting) {
      waiting.resolve({ done: false, value: event });
    } else {
      this.#events.push(event);
    }
  }

  /** No more events come. */
  end(): void {
    if (this.#ended) {
      return;
    }
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) {
      waiting.resolve({ done: true, value: undefined });
    }
  }

  /** No more events come, and that is an error: the iteration throws it once, after the last event. */
  fail(error: unknown): void {
    if (this.#ended) {
      return;
    }
    const first = this.#waiting.shift();
    if (first) {
      first.reject(error);
    } else {
      this.#failure = { error };
    }
    this.end();
  }

  async next(): Promise<IteratorResult<T>> {
    if (this.#given < this.#events.length) {
      return { done: false, value: this.#take() };
    }
    if (this.#failure) {
      const { error } = this.#failure;
      this.#failure = undefined;
      throw error;
    }
    if (this.#ended) {
      return { done: true, value: undefined };
    }
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
  }

  /** The next event. Taking the first off an array moves all others, so that is not done for each. */
  #take(): T {
    const event = this.#events[this.#given] as T;
    this.#given += 1;
    if (this.#given * 2 > this.#events.length) {
      this.#events.splice(0, this.#given);
      this.#given = 0;
    }
    return event;
  }

  async return(): Promise<IteratorResult<T>> {
    this.#events = [];
    this.#given = 0;
    this.#failure = undefined;
    if (!this.#ended) {
      this.#onReturn();
    }
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
