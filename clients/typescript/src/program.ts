/** The program: where it is and how it is called. */

import { accessSync, constants, statSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { SandboxError } from "./errors.js";
import type { RequestOptions } from "./options.js";

/** How the program is started. */
export interface StartOptions extends Pick<RequestOptions, "signal"> {
  /**
   * Path of the program. Without it: what the environment variable `WASM_SANDBOX` names, else `wasm-sandbox` in `PATH`,
   * else `target/release/wasm-sandbox` of the repository that this package lies in.
   */
  readonly program?: string | undefined;
  /** Memory of the guest in MiB, from 64 to 1024; 256 if absent. */
  readonly memoryLimitMb?: number | undefined;
  /** Space for files written in the guest, in MiB. */
  readonly diskLimitMb?: number | undefined;
  /** The most processes and threads at a time. */
  readonly processLimit?: number | undefined;
  /** Paths of the host that {@link Files.upload} may read at or below. */
  readonly allowRead?: readonly string[] | undefined;
  /** Paths of the host that {@link Files.download} may write at or below. */
  readonly allowWrite?: readonly string[] | undefined;
  /** Boot the image in this directory instead of the one inside the program. */
  readonly image?: string | undefined;
  /** Go on from this file, made by {@link Sandbox.save}. */
  readonly snapshot?: string | undefined;
  /** Power the machine on instead of starting from the prepared snapshot. */
  readonly noSnapshot?: boolean | undefined;
  /** Have the program tell on standard error what it does. */
  readonly verbose?: boolean | undefined;
  /** More arguments for the program, before those that come from the options above. */
  readonly arguments?: readonly string[] | undefined;
  /** The program's environment; that of this process if absent. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** The program's working directory, where relative paths of the host start. */
  readonly cwd?: string | undefined;
  /** Takes what the program writes to standard error, piece by piece. Otherwise only its end is kept, for errors. */
  readonly onLog?: ((text: string) => void) | undefined;
  /**
   * How long to wait for the program's first answer, in milliseconds; 300 000 (five minutes) if absent. The first start
   * on a computer prepares a snapshot, which can take two minutes.
   */
  readonly startTimeLimitMs?: number | undefined;
  /** How long {@link Sandbox.close} waits for the program to end before it is killed, in milliseconds; 5000 if absent. */
  readonly closeTimeLimitMs?: number | undefined;
  /** What requests do that do not say it themselves; see {@link RequestOptions.ordered}. False if absent. */
  readonly ordered?: boolean | undefined;
}

/** The program's arguments. */
export function programArguments(options: StartOptions): string[] {
  const valued: [string, string | number | undefined][] = [
    ["--memory-limit", options.memoryLimitMb],
    ["--disk-limit", options.diskLimitMb],
    ["--process-limit", options.processLimit],
    ["--image", options.image],
    ["--snapshot", options.snapshot],
    ...(options.allowRead ?? []).map((path): [string, string] => ["--allow-read", path]),
    ...(options.allowWrite ?? []).map((path): [string, string] => ["--allow-write", path]),
  ];
  const flags: [string, boolean | undefined][] = [
    ["--no-snapshot", options.noSnapshot],
    ["--verbose", options.verbose],
  ];
  return [
    ...(options.arguments ?? []),
    ...valued.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`])),
    ...flags.flatMap(([name, on]) => (on === true ? [name] : [])),
  ];
}

/** The program's path; see {@link StartOptions.program}. */
export function findProgram(asked: string | undefined): string {
  const named = asked ?? process.env["WASM_SANDBOX"];
  if (named !== undefined && named !== "") {
    return named;
  }
  const inPath = (process.env["PATH"] ?? "")
    .split(delimiter)
    .filter((directory) => directory !== "")
    .map((directory) => join(directory, "wasm-sandbox"));
  const found = [...inPath, ...builtHere()].find(isProgram);
  if (found === undefined) {
    throw new SandboxError(
      "program_not_found",
      "there is no program wasm-sandbox: set the option `program` or the variable WASM_SANDBOX to its path, or put it \
into PATH",
    );
  }
  return found;
}

/** Where a repository around this package has the program. */
function builtHere(): string[] {
  const paths = [];
  let directory = dirname(fileURLToPath(import.meta.url));
  while (dirname(directory) !== directory) {
    paths.push(join(directory, "target", "release", "wasm-sandbox"));
    directory = dirname(directory);
  }
  return paths;
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
