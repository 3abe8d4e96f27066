import type { Connection, RequestCall, SentRequest } from "./connection.js";
import { toWatchEvent, type WatchEvent } from "./events.js";
import type {
  AppendOptions,
  CopyOptions,
  FileMode,
  FindOptions,
  HostPath,
  ListOptions,
  MkdirOptions,
  ReadOptions,
  RemoveOptions,
  RenameOptions,
  ReplaceOptions,
  StatOptions,
  TransferOptions,
  WatchOptions,
  WriteOptions,
} from "./file-options.js";
import type {
  DirectoryListing,
  Downloaded,
  DownloadedArchive,
  Entry,
  FileWritten,
  FilesCopied,
  Found,
  Replaced,
} from "./file-results.js";
import type { RequestOptions } from "./options.js";
import { EventQueue } from "./queue.js";
import { Watch } from "./watch.js";
import { decodeBytes, encodeBytes, fromWire, toBase64, toWireFields, toWireMode, type WireObject } from "./wire.js";

/** The guest's files. Paths are absolute paths in the guest. */
export class Files {
  readonly #connection: Connection;
  readonly #sandbox: string | undefined;

  /** @internal */
  constructor(connection: Connection, sandbox: string | undefined) {
    this.#connection = connection;
    this.#sandbox = sandbox;
  }

  /** Reads a file as text; one that is not UTF-8 is an error, `not_utf8`. */
  readText(path: string, options: ReadOptions = {}): Promise<string> {
    return this.#request("read_file", { path }, options, (answer) => String(answer["content"]));
  }

  /** Reads a file's bytes. */
  readBytes(path: string, options: ReadOptions = {}): Promise<Uint8Array> {
    return this.#request("read_file", { path, encoding: "base64" }, options, (answer) =>
      decodeBytes(answer["content"] as string, answer["encoding"]),
    );
  }

  /** Writes a file; it is created, or replaced as a whole. */
  write(path: string, content: string | Uint8Array, options: WriteOptions = {}): Promise<FileWritten> {
    return this.#write({ path }, content, options);
  }

  /** Adds to the end of a file; it is created if it is not there. */
  append(path: string, content: string | Uint8Array, options: AppendOptions = {}): Promise<FileWritten> {
    return this.#write({ path, append: true }, content, options);
  }

  /** Lists a directory. */
  list(path: string, options: ListOptions = {}): Promise<DirectoryListing> {
    return this.#request("list_dir", { path }, options, (answer) => ({
      entries: fromWire(answer["entries"]) as Entry[],
      truncated: answer["truncated"] === true,
    }));
  }

  /** Says what a path is; nothing there is an error, `not_found`. */
  stat(path: string, options: StatOptions = {}): Promise<Entry> {
    return this.#request("stat", { path }, options, (answer) => fromWire(answer["entry"]) as Entry);
  }

  /** Whether there is something at a path; a symbolic link counts if what it names is there. */
  exists(path: string, options: RequestOptions = {}): Promise<boolean> {
    return this.#request("exists", { path }, options, (answer) => answer["exists"] === true);
  }

  /** Makes a directory; whether it was made now, and not there already. */
  mkdir(path: string, options: MkdirOptions = {}): Promise<boolean> {
    const { mode, ...others } = options;
    return this.#request("mkdir", { path, mode: toWireMode(mode) }, others, (answer) => answer["created"] === true);
  }

  /** Removes a file, a symbolic link or a directory; how many were removed. */
  remove(path: string, options: RemoveOptions = {}): Promise<number> {
    return this.#request("remove", { path }, options, (answer) => answer["removed"] as number);
  }

  /** Renames or moves a file or directory. */
  rename(from: string, to: string, options: RenameOptions = {}): Promise<void> {
    return this.#request("rename", { from, to }, options, () => undefined);
  }

  /** Copies a file, or with `recursive` a directory with everything in it. */
  copy(from: string, to: string, options: CopyOptions = {}): Promise<FilesCopied> {
    return this.#request("copy", { from, to }, options, copied);
  }

  /** Makes a symbolic link at `path` that names `target`, which need not exist. */
  symlink(target: string, path: string, options: RequestOptions = {}): Promise<void> {
    return this.#request("symlink", { path, target }, options, () => undefined);
  }

  /** Changes permission bits. */
  chmod(path: string, mode: FileMode, options: RequestOptions = {}): Promise<void> {
    return this.#request("chmod", { path, mode: toWireMode(mode) }, options, () => undefined);
  }

  /** Finds files and directories below a directory, by name, type and content. */
  find(path: string, options: FindOptions = {}): Promise<Found> {
    return this.#request("find", { path }, options, (answer) => ({
      matches: fromWire(answer["matches"]) as Found["matches"],
      truncated: answer["truncated"] === true,
    }));
  }

  /** Replaces text in files. Either all files are changed or none. */
  replace(
    paths: string | readonly string[],
    old: string,
    replacement: string,
    options: ReplaceOptions = {},
  ): Promise<Replaced> {
    const fields = { paths: typeof paths === "string" ? [paths] : paths, old, new: replacement };
    return this.#request("replace", fields, options, (answer) => ({
      replacements: answer["replacements"] as number,
      files: fromWire(answer["files"]) as Replaced["files"],
    }));
  }

  /** Reports changes of a file or of what is in a directory. Events wait in memory until they are read. */
  watch(path: string, options: WatchOptions = {}): Promise<Watch> {
    const queue = new EventQueue<WatchEvent>(() => void watch?.close().catch(() => undefined));
    const events = {
      onEvent: (event: WireObject) => queue.push(toWatchEvent(event)),
      onLost: (error: unknown) => queue.fail(error),
    };
    let watch: Watch | undefined;
    const call = { ...this.#call("watch", { path }, options), events };
    const sent: SentRequest<Watch> = this.#connection.send(call, (answer) => {
      watch = new Watch(this.#connection, this.#sandbox, String(answer["watch_id"]), sent.id, queue);
      return watch;
    });
    return sent.answer;
  }

  /**
   * Brings files into the directory `path`, which is made if it is missing: a tar archive, plain or compressed with gzip,
   * or a file or the content of a directory of the host.
   */
  upload(path: string, source: Uint8Array | HostPath, options: TransferOptions = {}): Promise<FilesCopied> {
    const from = source instanceof Uint8Array ? { content: toBase64(source) } : { host_path: source.hostPath };
    return this.#request("upload", { path, ...from }, options, copied);
  }

  /** Brings a file, or a directory with everything in it, as a tar archive. */
  download(path: string, options?: TransferOptions): Promise<DownloadedArchive>;
  /** Brings a file, or a directory with everything in it, to a directory of the host. */
  download(path: string, options: TransferOptions & HostPath): Promise<Downloaded>;
  download(path: string, options: TransferOptions & Partial<HostPath> = {}): Promise<Downloaded> {
    return this.#request("download", { path }, options, (answer) => {
      const content = answer["content"];
      const downloaded = { ...copied(answer), skipped: (answer["skipped"] as number | undefined) ?? 0 };
      return typeof content === "string" ? { ...downloaded, content: decodeBytes(content, "base64") } : downloaded;
    });
  }

  #write(fields: WireObject, content: string | Uint8Array, options: WriteOptions): Promise<FileWritten> {
    const { mode, ...others } = options;
    const { text, encoding } = encodeBytes(content);
    const all = { ...fields, content: text, encoding, mode: toWireMode(mode) };
    return this.#request("write_file", all, others, (answer) => ({ size: answer["size"] as number }));
  }

  /** Sends a request with `fields` and those that the options stand for. */
  #request<T>(
    type: string,
    fields: WireObject,
    options: RequestOptions,
    read: (answer: WireObject) => T,
  ): Promise<T> {
    return this.#connection.request(this.#call(type, fields, options), read);
  }

  #call(type: string, fields: WireObject, options: RequestOptions): RequestCall {
    const { signal, ordered, ...others } = options;
    return {
      type,
      fields: { ...toWireFields(others), ...fields },
      sandbox: this.#sandbox,
      options: { signal, ordered },
    };
  }
}

function copied(answer: WireObject): FilesCopied {
  return { entries: answer["entries"] as number, size: answer["size"] as number };
}
