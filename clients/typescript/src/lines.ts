/** Takes a stream of bytes apart into lines, without looking at a byte twice however long a line is. */
export class LineSplitter {
  #pieces: Buffer[] = [];

  /** The lines that `chunk` completes, without their newlines. */
  *push(chunk: Buffer): Generator<Buffer> {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(0x0a, start);
      if (end < 0) {
        break;
      }
      const last = chunk.subarray(start, end);
      start = end + 1;
      const line = this.#pieces.length === 0 ? last : Buffer.concat([...this.#pieces, last]);
      this.#pieces = [];
      yield line;
    }
    if (start < chunk.length) {
      this.#pieces.push(chunk.subarray(start));
    }
  }

  /** What came after the last newline. */
  rest(): Buffer {
    return Buffer.concat(this.#pieces);
  }
}
