/** The guest's files. */

import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Sandbox, type StartOptions, type Watch, type WatchEvent } from "wasm-sandbox-client";
import { ALL_BYTES, collect, rejects } from "./support.js";

/** A test with a sandbox of its own. */
function testOf(name: string, body: (s: Sandbox, t: TestContext) => Promise<void>) {
  test(name, async (t) => {
    await using s = await Sandbox.start();
    await body(s, t);
  });
}

async function hostDirectory(t: TestContext): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "wasm-sandbox-client-"));
  t.after(() => rm(directory, { recursive: true }));
  return directory;
}

test("text and bytes", async () => {
  await using s = await Sandbox.start();
  assert.deepEqual(await s.files.write("/tmp/a", "é\n"), { size: 3 });
  assert.equal(await s.files.readText("/tmp/a"), "é\n");
  await s.files.write("/tmp/b", ALL_BYTES);
  assert.deepEqual(await s.files.readBytes("/tmp/b"), ALL_BYTES);
  await rejects(s.files.readText("/tmp/b"), "not_utf8");
  await rejects(s.files.readBytes("/tmp"), "is_a_directory");
  await rejects(s.files.readBytes("/tmp/nothing"), "not_found");
  await rejects(s.files.readBytes("tmp"), "invalid_path");
  const own = await s.files.readBytes("/tmp/a");
  assert.equal(own.buffer.byteLength, own.byteLength);
});

test("modes", async () => {
  await using s = await Sandbox.start();
  await s.files.write("/tmp/a", "#!/bin/sh\necho ran\n", { mode: 0o755 });
  await s.files.write("/tmp/b", "", { mode: "0600" });
  assert.equal((await s.run("/tmp/a; stat -c %a /tmp/a /tmp/b")).stdout, "ran\n755\n600\n");
  await rejects(s.files.write("/tmp/a", "", { mode: "rwx" }), "invalid_mode");
});

testOf("a part of a file, and adding to one", async (s) => {
  await s.files.append("/tmp/new/a", "0123", { createParents: true, mode: 0o640 });
  await s.files.append("/tmp/new/a", Uint8Array.of(52, 53));
  assert.equal(await s.files.readText("/tmp/new/a"), "012345");
  assert.equal(await s.files.readText("/tmp/new/a", { offset: 1, length: 2 }), "12");
  assert.equal(await s.files.readText("/tmp/new/a", { offset: 100 }), "");
  await s.files.write("/tmp/new/a", "short", { atomic: false });
  assert.equal(await s.files.readText("/tmp/new/a"), "short");
  await rejects(s.files.write("/tmp/none/a", ""), "not_found");
});

testOf("directories and what is in them", async (s) => {
  assert.equal(await s.files.mkdir("/tmp/d/e", { createParents: true, mode: 0o700 }), true);
  assert.equal(await s.files.mkdir("/tmp/d/e", { createParents: true }), false);
  await rejects(s.files.mkdir("/tmp/d"), "already_exists");
  await s.files.write("/tmp/d/f", "four");
  await s.files.symlink("f", "/tmp/d/link");
  const listing = await s.files.list("/tmp/d");
  assert.deepEqual(
    listing.entries.map(({ name, type, symlinkTarget }) => [name, type, symlinkTarget]),
    [["e", "directory", undefined], ["f", "file", undefined], ["link", "symlink", "f"]],
  );
  assert.equal(listing.truncated, false);
  assert.equal((await s.files.list("/tmp/d", { maxEntries: 1 })).truncated, true);
  assert.ok((await s.files.list("/tmp", { depth: 2 })).entries.some(({ path }) => path === "/tmp/d/f"));
  await rejects(s.files.list("/tmp/d/f"), "not_a_directory");
});

testOf("what a path is", async (s) => {
  await s.files.write("/tmp/f", "four");
  await s.files.symlink("/tmp/f", "/tmp/link");
  await s.files.chmod("/tmp/f", 0o600);
  const { modifiedTime, ...entry } = await s.files.stat("/tmp/f");
  assert.ok(Number.isFinite(Date.parse(modifiedTime)));
  assert.deepEqual(entry, {
    name: "f",
    path: "/tmp/f",
    type: "file",
    size: 4,
    mode: "0600",
    permissions: "-rw-------",
    owner: "root",
    group: "root",
  });
  assert.equal((await s.files.stat("/tmp/link")).type, "file");
  assert.equal((await s.files.stat("/tmp/link", { follow: false })).type, "symlink");
  await rejects(s.files.stat("/tmp/nothing"), "not_found");
  assert.deepEqual(await Promise.all([s.files.exists("/tmp/f"), s.files.exists("/tmp/nothing")]), [true, false]);
  await rejects(s.files.chmod("/tmp/f", "rwx"), "invalid_mode");
});

testOf("renaming, copying, removing", async (s) => {
  await s.files.mkdir("/tmp/d");
  await s.files.write("/tmp/d/a", "a");
  await s.files.rename("/tmp/d/a", "/tmp/d/b");
  assert.deepEqual(await s.files.copy("/tmp/d", "/tmp/copy", { recursive: true }), { entries: 2, size: 1 });
  await rejects(s.files.rename("/tmp/d/b", "/tmp/copy/b"), "already_exists");
  await s.files.rename("/tmp/d/b", "/tmp/copy/b", { overwrite: true });
  await rejects(s.files.copy("/tmp/copy", "/tmp/other"), "is_a_directory");
  await rejects(s.files.remove("/tmp/copy"), "not_empty");
  assert.equal(await s.files.remove("/tmp/copy", { recursive: true }), 2);
  assert.equal(await s.files.remove("/tmp/copy", { missingOk: true }), 0);
  await rejects(s.files.remove("/tmp/copy"), "not_found");
});

testOf("finding", async (s) => {
  await s.run("mkdir -p /tmp/d/e && cd /tmp/d && printf 'one\\nTwo\\n' > a.txt && cp a.txt e/b.txt && touch e/c");
  const paths = async (options: object) => (await s.files.find("/tmp/d", options)).matches.map(({ path }) => path);
  assert.deepEqual(await paths({ name: "*.txt" }), ["/tmp/d/a.txt", "/tmp/d/e/b.txt"]);
  assert.deepEqual(await paths({ name: "*.txt", maxDepth: 1 }), ["/tmp/d/a.txt"]);
  assert.deepEqual(await paths({ entryType: "directory" }), ["/tmp/d/e"]);
  const { matches, truncated } = await s.files.find("/tmp/d", { content: "^two", ignoreCase: true, maxResults: 1 });
  assert.deepEqual(matches, [{ path: "/tmp/d/a.txt", type: "file", size: 8, lineNumber: 2, line: "Two" }]);
  assert.equal(truncated, true);
  await rejects(s.files.find("/tmp/d", { content: "(" }), "invalid_pattern");
});

testOf("replacing", async (s) => {
  await s.files.write("/tmp/a", "one two one");
  await s.files.write("/tmp/b", "one");
  assert.deepEqual(await s.files.replace(["/tmp/a", "/tmp/b"], "one", "1"), {
    replacements: 3,
    files: [{ path: "/tmp/a", replacements: 2 }, { path: "/tmp/b", replacements: 1 }],
  });
  await s.files.replace("/tmp/a", "(t)wo", "${1}wice", { regex: true, expectedReplacements: 1 });
  assert.equal(await s.files.readText("/tmp/a"), "1 twice 1");
  await rejects(s.files.replace("/tmp/a", "1", "2", { expectedReplacements: 1 }), "mismatch");
});

async function firstEvent(watch: Watch, wanted: WatchEvent["type"]): Promise<WatchEvent> {
  for await (const event of watch) {
    if (event.type === wanted) {
      return event;
    }
  }
  assert.fail(`no event ${wanted}`);
}

testOf("watching", async (s) => {
  const watch = await s.files.watch("/tmp", { recursive: true });
  const seen = firstEvent(watch, "created");
  await s.run("mkdir /tmp/d");
  const event = await seen;
  assert.deepEqual([event.path, event.directory], ["/tmp/d", true]);
  await watch.close();
  const closed = await s.files.watch("/tmp");
  await closed.close();
  assert.deepEqual(await collect(closed), []);
  const lost = await s.files.watch("/tmp");
  const lostEvents = rejects(collect(lost), "cancelled");
  await s.reset();
  await lostEvents;
  await lost.close();
});

testOf("archives go in and out", async (s) => {
  await s.run("mkdir -p /tmp/d && echo content > /tmp/d/a");
  const archive = await s.files.download("/tmp/d");
  assert.ok(archive.content.length > 0 && archive.entries >= 1 && archive.skipped === 0);
  for (const [index, content] of [archive.content, gzipSync(archive.content)].entries()) {
    const { size } = await s.files.upload(`/tmp/up${index}`, content);
    assert.equal(size, "content\n".length);
    assert.equal((await s.run(`cat $(find /tmp/up${index} -name a)`)).stdout, "content\n");
  }
  assert.throws(() => gunzipSync(archive.content));
  await rejects(s.files.upload("/tmp/up", { hostPath: "/etc" }), "host_path_not_allowed");
});

testOf("files of the host, where that is allowed", async (_, t) => {
  const directory = await hostDirectory(t);
  await writeFile(join(directory, "a"), ALL_BYTES);
  const options: StartOptions = { allowRead: [directory], allowWrite: [directory] };
  await using s = await Sandbox.start(options);
  await s.files.upload("/tmp/up", { hostPath: join(directory, "a") });
  assert.deepEqual(await s.files.readBytes("/tmp/up/a"), ALL_BYTES);
  const brought = await s.files.download("/tmp/up/a", { hostPath: join(directory, "out") });
  assert.equal(brought.size, 256);
  assert.deepEqual(new Uint8Array(await readFile(join(directory, "out", "a"))), ALL_BYTES);
  await rejects(s.files.download("/tmp/up", { hostPath: "/" }), "host_path_not_allowed");
});
