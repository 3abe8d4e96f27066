/** What requests about files can be told. Paths are absolute paths in the guest unless they say otherwise. */

import type { EntryType } from "./file-results.js";
import type { RequestOptions, TimeLimit } from "./options.js";

/** Permission bits: octal digits in a string, `"0644"`, or a number, `0o644`. */
export type FileMode = string | number;

/** Options of {@link Files.readBytes} and {@link Files.readText}. */
export interface ReadOptions extends RequestOptions {
  /** The byte to start at; beyond the end there is nothing, and no error. */
  readonly offset?: number | undefined;
  /** The most bytes to read; without it, up to the end. */
  readonly length?: number | undefined;
}

/** Options of {@link Files.append}. */
export interface AppendOptions extends RequestOptions {
  /** Permission bits; without them, `"0644"` for a new file, and those that it has for an old one. */
  readonly mode?: FileMode | undefined;
  /** Make missing directories of the path, with mode 0755. */
  readonly createParents?: boolean | undefined;
}

/** Options of {@link Files.write}. */
export interface WriteOptions extends AppendOptions {
  /**
   * Write a temporary file and put it into place, so that readers see the old or the new content. True if absent; false
   * writes into the existing file.
   */
  readonly atomic?: boolean | undefined;
}

/** Options of {@link Files.list}. */
export interface ListOptions extends RequestOptions {
  /** How deep to go: 1, the default, is the directory itself, 2 its subdirectories too. */
  readonly depth?: number | undefined;
  /** The most entries to give, 10 000 if absent, at most 100 000. */
  readonly maxEntries?: number | undefined;
}

/** Options of {@link Files.stat}. */
export interface StatOptions extends RequestOptions {
  /** Follow a symbolic link at the end of the path; true if absent. */
  readonly follow?: boolean | undefined;
}

/** Options of {@link Files.mkdir}. */
export interface MkdirOptions extends RequestOptions {
  /** Make missing directories of the path, too, and be content with a directory that exists. */
  readonly createParents?: boolean | undefined;
  /** Permission bits, `"0755"` if absent. */
  readonly mode?: FileMode | undefined;
}

/** Options of {@link Files.remove}. */
export interface RemoveOptions extends RequestOptions {
  /** A directory with everything in it; otherwise it must be empty. */
  readonly recursive?: boolean | undefined;
  /** Nothing to remove is no error. */
  readonly missingOk?: boolean | undefined;
}

/** Options of {@link Files.rename}. */
export interface RenameOptions extends RequestOptions {
  /** Replace a file that is there; otherwise that is an error. */
  readonly overwrite?: boolean | undefined;
}

/** Options of {@link Files.copy}. */
export interface CopyOptions extends RenameOptions {
  /** A directory may be copied. */
  readonly recursive?: boolean | undefined;
}

/** Options of {@link Files.find}. */
export interface FindOptions extends RequestOptions, TimeLimit {
  /**
   * A pattern with `*`, `?`, `[…]` and `{a,b}` for the name; with a `/` in it, for the path below the directory, where
   * `**` stands for any number of directories.
   */
  readonly name?: string | undefined;
  /** What it is. */
  readonly entryType?: EntryType | undefined;
  /** A regular expression (of the Rust crate `regex`) for lines of the file's text; each line that matches is given. */
  readonly content?: string | undefined;
  /** Take upper and lower case for the same, in `name` and `content`. */
  readonly ignoreCase?: boolean | undefined;
  /** How deep to go; without it, all the way. */
  readonly maxDepth?: number | undefined;
  /** The most matches to give, 1000 if absent, at most 100 000. */
  readonly maxResults?: number | undefined;
}

/** Options of {@link Files.replace}. */
export interface ReplaceOptions extends RequestOptions {
  /** What is replaced is a regular expression (of the Rust crate `regex`); `${1}` or `${name}` stand for its groups. */
  readonly regex?: boolean | undefined;
  /** How many places there must be in all files together; otherwise nothing is changed. Without it, at least one. */
  readonly expectedReplacements?: number | undefined;
}

/** Options of {@link Files.watch}. */
export interface WatchOptions extends RequestOptions {
  /** Its subdirectories, too, and those made later. */
  readonly recursive?: boolean | undefined;
}

/** Options of {@link Files.upload} and {@link Files.download}. */
export interface TransferOptions extends RequestOptions, TimeLimit {}

/** A place on the host, at or below a path allowed with {@link StartOptions}. */
export interface HostPath {
  /** Path on the host. */
  readonly hostPath: string;
}
