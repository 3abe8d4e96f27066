/** What requests about files answer. */

/** What a directory entry is. */
export type EntryType = "file" | "directory" | "symlink" | "fifo" | "socket" | "char_device" | "block_device";

/** What there is at a path. */
export interface Entry {
  /** The last part of the path. */
  readonly name: string;
  /** The whole path. */
  readonly path: string;
  readonly type: EntryType;
  /** Its size in bytes. */
  readonly size: number;
  /** Permission bits in octal, such as `"0644"`. */
  readonly mode: string;
  /** The same as `ls -l` writes it, such as `"-rw-r--r--"`. */
  readonly permissions: string;
  /** Its owner's name; the number if there is no name. */
  readonly owner: string;
  /** Its group's name; the number if there is no name. */
  readonly group: string;
  /** When it was last modified, in RFC 3339 and UTC, such as `"2026-01-31T12:00:00.123Z"`. */
  readonly modifiedTime: string;
  /** What a symbolic link names. */
  readonly symlinkTarget?: string;
  /** Path and link are not UTF-8, and bytes in them were replaced. */
  readonly notUtf8?: true;
}

/** What is in a directory. */
export interface DirectoryListing {
  /** Sorted by path. */
  readonly entries: readonly Entry[];
  /** Whether there is more than was to be given. */
  readonly truncated: boolean;
}

/** A file was written. */
export interface FileWritten {
  /** Bytes written. */
  readonly size: number;
}

/** Files were copied or brought. */
export interface FilesCopied {
  /** Files, links and directories. */
  readonly entries: number;
  /** Bytes in the files. */
  readonly size: number;
}

/** Files were brought to the host. */
export interface Downloaded extends FilesCopied {
  /** Entries that were left out, since a host takes no devices, sockets and pipes. */
  readonly skipped: number;
}

/** Files were brought here. */
export interface DownloadedArchive extends Downloaded {
  /** A tar archive. */
  readonly content: Uint8Array;
}

/** A file or directory that was found, or a line in a file. */
export interface Match {
  readonly path: string;
  readonly type: EntryType;
  /** Its size in bytes. */
  readonly size: number;
  /** With `content`: the number of the line, from 1. */
  readonly lineNumber?: number;
  /** With `content`: the line, shortened to 1000 bytes; bytes that are not UTF-8 are replaced. */
  readonly line?: string;
}

/** What was found. */
export interface Found {
  /** In the order of their paths. */
  readonly matches: readonly Match[];
  /** Whether there is more than was to be given. */
  readonly truncated: boolean;
}

/** Text was replaced. */
export interface Replaced {
  /** In how many places, in all files together. */
  readonly replacements: number;
  /** The files, in the order in which they were given. */
  readonly files: readonly { readonly path: string; readonly replacements: number }[];
}
