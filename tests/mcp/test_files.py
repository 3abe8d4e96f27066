"""Files."""

import base64

from support import text


async def test_what_is_written_can_be_read(sandbox):
    written = await sandbox.do("write_file", path="/tmp/a.txt", content="é\n")
    assert written == {"path": "/tmp/a.txt", "size": 3}
    result = await sandbox.call("read_file", path="/tmp/a.txt")
    content = result.structured_content
    assert (content["content"], content["size"], content["encoding"]) == ("é\n", 3, "text")
    assert "next_offset" not in content and text(result) == "é\n"


async def test_bytes_of_any_kind_come_in_base64(sandbox):
    content = base64.b64encode(bytes(range(256))).decode()
    await sandbox.do("write_file", path="/tmp/bytes", content=content, encoding="base64")
    assert (await sandbox.do("read_file", path="/tmp/bytes", encoding="base64"))["content"] == content
    message = await sandbox.fail("read_file", path="/tmp/bytes")
    assert "not UTF-8" in message and "not_utf8" in message and "base64" in message


async def test_a_script_can_be_run(sandbox):
    await sandbox.do("write_file", path="/tmp/run", content="#!/bin/sh\necho hi\n", mode="0755")
    assert await sandbox.stdout("/tmp/run") == "hi\n"
    assert "invalid_mode" in await sandbox.fail("write_file", path="/tmp/run", content="", mode="rwx")


async def test_what_is_missing_is_told_in_a_sentence(sandbox):
    message = await sandbox.fail("read_file", path="/no/such/file")
    assert "/no/such/file" in message and "not_found" in message


async def test_a_large_message_is_taken(sandbox):
    size = 20 << 20
    assert (await sandbox.do("write_file", path="/tmp/large", content="x" * size))["size"] == size


async def test_missing_directories_are_made(sandbox):
    await sandbox.do("write_file", path="/tmp/new/dir/a.txt", content="hi\n")
    assert await sandbox.stdout("cat /tmp/new/dir/a.txt") == "hi\n"


async def test_files_can_be_added_to(sandbox):
    for piece in ["one\n", "two\n"]:
        await sandbox.do("write_file", path="/tmp/log", content=piece, append=True)
    assert (await sandbox.do("read_file", path="/tmp/log"))["content"] == "one\ntwo\n"


async def test_a_long_file_is_read_in_parts(sandbox):
    whole = "0123456789é" * 10_000
    await sandbox.do("write_file", path="/tmp/long", content=whole)
    parts, offset = [], 0
    while offset is not None:
        part = await sandbox.do("read_file", path="/tmp/long", offset=offset)
        assert part["file_size"] == 120_000
        parts.append(part["content"])
        offset = part.get("next_offset")
    assert "".join(parts) == whole and len(parts) == 2
    assert (await sandbox.do("read_file", path="/tmp/long", offset=10, length=4))["content"] == "é01"
    assert (await sandbox.do("read_file", path="/tmp/long", offset=9, length=1))["content"] == "9é0"


async def test_directories_are_listed(sandbox):
    await sandbox.stdout("mkdir -p /tmp/d/sub; echo hi > /tmp/d/a; touch /tmp/d/sub/b; ln -s a /tmp/d/l")
    listing = await sandbox.do("list_files", path="/tmp/d")
    kinds = {entry["path"]: entry["type"] for entry in listing["entries"]}
    assert kinds == {"/tmp/d/a": "file", "/tmp/d/l": "symlink", "/tmp/d/sub": "directory"}
    listing = await sandbox.do("list_files", path="/tmp/d", depth=2)
    assert "/tmp/d/sub/b" in [entry["path"] for entry in listing["entries"]]
    assert (await sandbox.do("list_files", path="/tmp/d", max_entries=1))["truncated"]
    assert "not_found" in await sandbox.fail("list_files", path="/nowhere")


async def test_text_is_replaced(sandbox):
    await sandbox.do("write_file", path="/tmp/code", content="a = 1\nb = $1\na = 1\n")
    assert "mismatch" in await sandbox.fail("edit_file", path="/tmp/code", old="a = 1", new="a = 2")
    assert "mismatch" in await sandbox.fail("edit_file", path="/tmp/code", old="nowhere", new="")
    edited = await sandbox.do("edit_file", path="/tmp/code", old="b = $1", new="b = $2")
    assert edited["replacements"] == 1
    await sandbox.do("edit_file", path="/tmp/code", old="a = 1", new="a = 2", expected_replacements=2)
    assert await sandbox.stdout("cat /tmp/code") == "a = 2\nb = $2\na = 2\n"
