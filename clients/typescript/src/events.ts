/** What is told while a request is carried out, or after it. */

import { decodeBytes, type WireObject } from "./wire.js";

/** It runs. */
export interface StartedEvent {
  readonly type: "started";
  /** Counts the process's events from 1, without gaps. */
  readonly seq: number;
  /** What the process is called in requests; absent for code and commands in a session. */
  readonly processId?: string;
  /** Its process identifier in the guest. */
  readonly pid: number;
}

/** It wrote something. On a terminal, everything is `stdout`. */
export interface OutputEvent {
  readonly type: "stdout" | "stderr";
  readonly seq: number;
  readonly processId?: string;
  /** What was written; bytes that are not UTF-8 are replaced. Characters are not split. */
  readonly data: string;
  /** What was written, byte by byte. */
  readonly bytes: Uint8Array;
}

/** It ended. All its output came before. */
export interface ExitedEvent {
  readonly type: "exited";
  readonly seq: number;
  readonly processId?: string;
  /** Its exit code, from 0 to 255; 128 + *n* if signal *n* ended it. */
  readonly exitCode: number;
  /** Name of the signal that ended it; absent if it exited by itself. */
  readonly signal?: string;
  /** Whether it was killed because its time was over. */
  readonly timedOut: boolean;
}

/** Something that happened to a process. */
export type ProcessEvent = StartedEvent | OutputEvent | ExitedEvent;

/** Something that happened to a file that is watched. */
export interface WatchEvent {
  /**
   * `created`: it is new, or was moved here from elsewhere. `modified`: it was written to. `attributes`: its permissions,
   * owner or times changed. `deleted`: it is gone, or was moved elsewhere. `renamed`: it has another name, among what is
   * watched. `overflow`: events were lost, because there were too many.
   */
  readonly type: "created" | "modified" | "attributes" | "deleted" | "renamed" | "overflow";
  /** Counts the watch's events from 1. */
  readonly seq: number;
  /** The path that it happened to. */
  readonly path: string;
  /** Whether it is a directory. */
  readonly directory: boolean;
  /** With `renamed`: the new path. */
  readonly newPath?: string;
}

/** @internal An event of a process; undefined for a kind that this version does not know. */
export function toProcessEvent(wire: WireObject): ProcessEvent | undefined {
  const seq = wire["seq"] as number;
  const processId = wire["process_id"] as string | undefined;
  const common = processId === undefined ? { seq } : { seq, processId };
  switch (wire["event"]) {
    case "started":
      return { type: "started", ...common, pid: wire["pid"] as number };
    case "stdout":
    case "stderr": {
      const text = wire["data"] as string;
      const isText = wire["encoding"] !== "base64";
      const bytes = decodeBytes(text, wire["encoding"]);
      const data = isText ? text : Buffer.from(bytes).toString("utf8");
      return { type: wire["event"], ...common, data, bytes };
    }
    case "exited": {
      const signal = wire["signal"] as string | undefined;
      const ended = { exitCode: wire["exit_code"] as number, timedOut: wire["timed_out"] === true };
      return { type: "exited", ...common, ...ended, ...(signal === undefined ? {} : { signal }) };
    }
    default:
      return undefined;
  }
}

/** @internal An event of a watch. */
export function toWatchEvent(wire: WireObject): WatchEvent {
  const newPath = wire["new_path"] as string | undefined;
  return {
    type: wire["event"] as WatchEvent["type"],
    seq: wire["seq"] as number,
    path: wire["path"] as string,
    directory: wire["directory"] === true,
    ...(newPath === undefined ? {} : { newPath }),
  };
}
