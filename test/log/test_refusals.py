# SPDX-License-Identifier: Apache-2.0
"""Each refusal is logged: who asked, for what function, on what."""

import re

import pytest

import etf
from cluster import wait_until

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 16)
FILES = ("inode_storage", 4, 8, 0, ["no_prealloc"])
CGROUPS = ("cgrp_storage", 4, 8, 0, ["no_prealloc"])
EACCES = ("error", "eacces")
PATH = b"/sys/fs/bpf/never/there"


class Refused:
    """A node, a writer and a reader of it, and what a refusal logs."""

    def __init__(self, node, connect):
        self.node = node
        self.writer = connect(node, name="writer@here")
        self.reader = connect(node, name="reader@here")

    def map(self, *row):
        """A map of the writer, and its id."""
        map = self.writer.maps("new", *(row or HASH))
        return map, self.writer.maps("info", map)[etf.Atom("id")]

    def line(self, peer, function, *args):
        """What is logged of a request that is refused, after who asked."""
        start = self.node.mark()
        assert tuple(peer.erpc("ebpf_maps", function, args)[:2]) == EACCES
        head = rf"Z warning refused {function}/{len(args)} to {peer.name} <\d+\.0>: "
        return self.node.wait_log(head + "(.*)", start=start)[1]


@pytest.fixture
def refused(start_cnode, connect, tmp_path):
    node = start_cnode(
        "--allow", "writer@*=rw", "--allow", "*=ro", "--file-root", tmp_path
    )
    return Refused(node, connect)


MAY_ONLY_READ = "it may only read (--allow, --read-only)"


@pytest.mark.parametrize(
    "what, words",
    [
        (("id", 1), "id 1"),
        (("id", 2**32 - 1), "id 4294967295"),
        (("pinned", PATH), f"pinned {PATH.decode()}"),
        (("pinned", list(PATH)), f"pinned {PATH.decode()}"),
        (("name", "one"), "name one"),
        (("name", b"a\nb\x1b"), "name a?b?"),
        (("name", b"n" * 5000), None),
        (("other", 1), None),
        (("pinned", 1.5), None),
        (("id", 1, 2), None),
        (7, None),
    ],
    ids=lambda value: str(value)[:40],
)
def test_who_may_not_open_to_write_is_logged_with_what(what, words, refused):
    wanted = MAY_ONLY_READ + (f": {words}" if words else "")
    assert refused.line(refused.reader, "open", what) == wanted
    assert refused.line(refused.reader, "open", what, []) == wanted


def test_who_may_not_write_is_logged_with_the_map(refused):
    map, id = refused.map()
    for call in [
        ("put", 1, 2, map),
        ("remove", 1, map),
        ("merge", map, [(1, 2)]),
        ("drain_chunk", "start", map, 1),
        ("freeze", map),
    ]:
        assert refused.line(refused.reader, *call) == f"{MAY_ONLY_READ}: map {id}"
    inner, inner_id = refused.map("array", 4, 4, 1)
    outer, id = refused.map("array_of_maps", 4, 4, 1, [("inner_map", inner)])
    line = refused.line(refused.reader, "put", 0, inner, outer)
    assert line == f"{MAY_ONLY_READ}: map {id}" and id != inner_id


def test_of_no_map_or_a_dead_one_none_is_logged(refused):
    map, _ = refused.map()
    refused.writer.maps("close", map)
    for call in [("put", 1, 2, map), ("put", 1, 2, "nope"), ("new", *HASH)]:
        assert refused.line(refused.reader, *call) == MAY_ONLY_READ


def test_keys_and_values_are_not_logged(refused):
    map, id = refused.map()
    line = refused.line(refused.reader, "put", PATH, b"secret", map)
    assert line == f"{MAY_ONLY_READ}: map {id}"


def test_who_may_not_pin_is_logged_with_the_path(refused):
    map, id = refused.map()
    for function in ("pin", "unpin"):
        line = refused.line(refused.reader, function, PATH, map)
        assert line == f"{MAY_ONLY_READ}: map {id}: {PATH.decode()}"
    line = refused.line(refused.reader, "pin", 1, map)
    assert line == f"{MAY_ONLY_READ}: map {id}"


def test_who_may_not_close_is_logged_with_the_map(refused):
    map, id = refused.map()
    line = refused.line(refused.reader, "close", map)
    assert line == f"it may only read, and the handle is not its own: map {id}"


@pytest.mark.parametrize(
    "path", ["{root}/../outside", "{root}x", "{root}/link", "/etc/passwd", "/"]
)
def test_a_file_outside_of_the_root_is_logged_with_its_path(path, refused, tmp_path):
    (tmp_path / "link").symlink_to("/etc/passwd")
    path = path.format(root=tmp_path)
    map, _ = refused.map(*FILES)
    key = ("file", path.encode())
    for peer, *call in [
        (refused.writer, "put", key, 1, map),
        (refused.writer, "with", [key], map),
        (refused.reader, "get", key, map),
    ]:
        line = refused.line(peer, *call)
        assert line == f"not to be reached below --file-root: {path}"


def test_without_a_file_root_each_file_is_logged(start_cnode, connect):
    refused = Refused(start_cnode(), connect)
    map, _ = refused.map(*FILES)
    line = refused.line(refused.writer, "get", ("file", b"/etc/passwd"), map)
    assert line == "not to be reached below --file-root: /etc/passwd"


@pytest.mark.parametrize("path", ["/etc", "/sys/fs/cgroup/../bpf", "/sys/fs/cgroupx"])
def test_what_is_no_cgroup_is_logged_with_its_path(path, refused):
    map, _ = refused.map(*CGROUPS)
    array, _ = refused.map("cgroup_array", 4, 4, 4)
    key = ("cgroup", path.encode())
    for call in [("get", key, map), ("put", 0, key, array)]:
        line = refused.line(refused.writer, *call)
        assert line == f"not in the cgroup file system: {path}"


def test_a_path_cannot_forge_a_line(refused):
    map, _ = refused.map(*FILES)
    start = refused.node.mark()
    path = "/\n2026-01-31T12:00:00.000Z error forged\x1b[2J\u00fc".encode()
    line = refused.line(refused.writer, "get", ("file", path), map)
    assert line.startswith("not to be reached below --file-root: /?2026-01-31T")
    assert all(re.match(r"\d{4}-", line) for line in refused.node.lines[start:])
    assert all(line.isprintable() for line in refused.node.lines[start:])


def test_a_path_may_be_as_long_as_paths_are(refused):
    map, _ = refused.map(*FILES)
    path = b"/" + b"p" * 4094
    line = refused.line(refused.writer, "get", ("file", path), map)
    assert line.startswith("not to be reached below --file-root: /ppp")
    assert len(refused.node.lines[-1]) < 4096


@pytest.mark.parametrize(
    "kind, row, words",
    [
        ("file", FILES, "not to be reached below --file-root: "),
        ("cgroup", CGROUPS, "not in the cgroup file system: "),
    ],
)
def test_refused_paths_cannot_flood_the_log(kind, row, words, refused):
    map, _ = refused.map(*row)
    writer, node = refused.writer, refused.node
    args = [(kind, b"/etc/passwd"), map]
    asked = [writer.start_erpc("ebpf_maps", "get", args) for _ in range(2000)]
    for request in asked:
        assert tuple(writer.finish_erpc(request)[:2]) == EACCES

    def told():
        writer.erpc("ebpf_maps", "get", args)
        return node.find_log(r"(\d+) more (like the next line|of this kind) were not")

    wait_until(told)
    assert len(node.find_log(words)) < 500


def test_of_a_flood_over_seconds_each_line_is_logged_or_told_of_once(refused):
    map, _ = refused.map()
    node, reader = refused.node, refused.reader
    asked = 0

    def told():
        numbers = node.find_log(r"warning (\d+) more (like the next line|of this kind) were not")
        logged = node.find_log(rf"warning refused put/3 to {reader.name}")
        return len(logged) + sum(int(match[1]) for match in numbers)

    def is_flooded():
        """For two seconds that came after one which had left lines out."""
        nonlocal asked
        requests = [reader.start_erpc("ebpf_maps", "put", [1, 1, map]) for _ in range(200)]
        assert {reader.finish_erpc(request)[:2] for request in requests} == {EACCES}
        asked += len(requests)
        return len(node.find_log("more like the next line")) >= 2

    wait_until(is_flooded, 30)
    wait_until(lambda: told() == asked)
    node.stop()
    assert told() == asked
