# SPDX-License-Identifier: Apache-2.0
"""What is refused leaves nothing behind: no descriptor, no handle, no map."""

import os
import re
import resource
from collections import Counter
from pathlib import Path

import pytest

import etf
from cluster import wait_until
from dist import Closed, Refused
from hostile import HASH
from host import CGROUPS, OLD_CGROUPS
from impostor import Impostor, hang_up
from others import others_link, others_program, pinned

NO_PREALLOC = ["no_prealloc"]
MAX = 4096
TIMES = 20  # a leak of one is many then
INNER = 3  # maps in a map, of which nobody has a handle


def kinds(node):
    """{kind of descriptor: how many}"""
    return Counter(re.sub(r"\d+", "N", target) for target in node.descriptors())


def nothing_is_left(node, before):
    def same():
        return kinds(node) == before

    try:
        wait_until(same)
    except AssertionError:
        more, less = kinds(node) - before, before - kinds(node)
        raise AssertionError(f"{dict(more)} more, {dict(less)} less") from None


class World:
    """A node that refuses much, who may write, who may only read, and maps."""

    def __init__(self, node, connect, root, folder):
        self.node = node
        self.writer = connect(node, name="writer@h")
        self.reader = connect(node, name="reader@h")
        new = self.writer.maps
        self.hash = new("new", *HASH, [("name", "leaks")])
        self.id = new("info", self.hash)[etf.Atom("id")]
        self.path = str(folder / "map").encode()
        assert new("pin", self.path, self.hash) == "ok"
        self.program, self.link = (str(folder / name).encode() for name in ("program", "link"))
        pinned(others_program, self.program)
        pinned(others_link, self.link)
        self.wide = new("new", "array", 4, 3 * MAX, 1)
        self.percpu = new("new", "percpu_hash", 4, 8, 4)
        inner = new("new", "array", 4, 4, 1)
        self.outer = new("new", "hash_of_maps", 4, 4, 8, [("inner_map", inner)])
        new("close", inner)
        for key in range(INNER):
            map = new("new", "array", 4, 4, 1)
            new("put", key, map, self.outer)
            new("close", map)
        self.template = self.hash
        self.files = new("new", "inode_storage", 4, 8, 0, NO_PREALLOC)
        self.groups = new("new", "cgrp_storage", 4, 8, 0, NO_PREALLOC)
        self.group_array = new("new", "cgroup_array", 4, 4, 4)
        self.processes = new("new", "task_storage", 4, 8, 0, NO_PREALLOC)
        self.interfaces = new("new", "devmap", 4, 4, 4)
        self.public = ("file", str(root / "file").encode())
        self.group = ("cgroup", bytes(CGROUPS))

    def handles(self):
        return self.writer.maps("stats")[etf.Atom("handles")]


@pytest.fixture
def folders(tmp_path, folder):
    """Those of files and of pins that the node may reach."""
    root = tmp_path / "public"
    root.mkdir()
    (root / "file").touch()
    return root, folder


@pytest.fixture
def start_world(start_cnode, connect, folders):
    root, folder = folders

    def start(*options):
        node = start_cnode(
            *("--allow", "writer@*=rw", "--allow", "*=ro"),
            *("--file-root", root, "--pin-root", folder, *options),
        )
        return World(node, connect, root, folder)

    return start


WRITER, READER = "writer", "reader"
OUTSIDE = ("file", b"/etc/passwd")
NO_GROUP = ("cgroup", b"/etc")
OLD_CGROUP = ("cgroup", bytes([*OLD_CGROUPS, Path("/etc")][0]))

# Who asks for what, and why it is refused.
REFUSED = {
    "a map, by who may only read": (READER, "new", lambda w: HASH, "eacces"),
    "a put, by who may only read": (READER, "put", lambda w: (1, 2, w.hash), "eacces"),
    "a map to write, by who may only read": (READER, "open", lambda w: (("id", w.id),), "eacces"),
    "a pin, by who may only read": (READER, "pin", lambda w: (w.path, w.hash), "eacces"),
    "a key that is a file elsewhere": (WRITER, "put", lambda w: (OUTSIDE, 1, w.files), "eacces"),
    "a key that is no cgroup": (WRITER, "put", lambda w: (NO_GROUP, 1, w.groups), "eacces"),
    "a key that is a cgroup of another version": (
        *(WRITER, "put", lambda w: (OLD_CGROUP, 1, w.groups)),
        "eacces",
    ),
    "a value that is no cgroup": (WRITER, "put", lambda w: (0, NO_GROUP, w.group_array), "eacces"),
    "an entry of a file that has none": (
        *(WRITER, "get", lambda w: (w.public, w.files)),
        "badkey",
    ),
    "a file with a bad value": (WRITER, "put", lambda w: (w.public, "x", w.files), "badarg"),
    "a cgroup with a bad value": (WRITER, "put", lambda w: (w.group, "x", w.groups), "badarg"),
    "a cgroup with a bad key": (WRITER, "put", lambda w: ("x", w.group, w.group_array), "badarg"),
    "a cgroup at an index that is none": (
        *(WRITER, "put", lambda w: (9, w.group, w.group_array)),
        "e2big",
    ),
    "no process": (WRITER, "put", lambda w: (("pid", 2**31 - 1), 1, w.processes), "esrch"),
    "no interface": (WRITER, "put", lambda w: (0, ("ifname", b"nosuch0"), w.interfaces), "enodev"),
    "a value too big to tell": (WRITER, "get", lambda w: (0, w.wide), ("too_big", MAX)),
    "many values too big to tell": (WRITER, "to_list", lambda w: (w.wide,), ("too_big", MAX)),
    "a request too long": (WRITER, "put", lambda w: (0, bytes(2 * MAX), w.wide), ("too_big", MAX)),
    "a map of another kind in a map": (WRITER, "put", lambda w: (0, w.hash, w.outer), "einval"),
    "a map as a bad key": (WRITER, "put", lambda w: (w.hash, w.hash, w.outer), "badarg"),
    "a list with a bad end": (
        *(WRITER, "merge", lambda w: (w.group_array, [(0, w.group), (1, w.group), (2, 7)])),
        "badarg",
    ),
    "no pin": (WRITER, "open", lambda w: (("pinned", w.path + b"x"),), ("return", "enoent")),
    "no id": (WRITER, "open", lambda w: (("id", 2**32 - 1),), ("return", "enoent")),
    "no name": (WRITER, "open", lambda w: (("name", b"nosuchname"),), ("return", "enoent")),
    "a pin elsewhere": (WRITER, "pin", lambda w: (b"/sys/fs/bpf/x", w.hash), "eacces"),
    "a pin that is there": (WRITER, "pin", lambda w: (w.path, w.hash), ("return", "eexist")),
    "the pin of another map": (WRITER, "unpin", lambda w: (w.path, w.wide), ("return", "einval")),
    **{
        f"the pin of a {kind}, {words}": (WRITER, function, args, ("return", "einval"))
        for kind in ("program", "link")
        for words, function, args in (
            ("opened", "open", lambda w, kind=kind: (("pinned", getattr(w, kind)),)),
            ("to read", "open", lambda w, kind=kind: (("pinned", getattr(w, kind)), ["read"])),
            ("removed", "unpin", lambda w, kind=kind: (getattr(w, kind), w.hash)),
        )
    },
    "a map that is none": (WRITER, "new", lambda w: ("hash", 0, 8, 4), ("return", "einval")),
    "a map in a shape that is none": (
        *(WRITER, "new", lambda w: ("hash_of_maps", 4, 8, 4, [("inner_map", w.hash)])),
        ("return", "einval"),
    ),
}


def answer(world, who, function, args):
    """The reason of a refusal, as the table has it."""
    kind, value, *_ = getattr(world, who).erpc("ebpf_maps", function, args(world))
    if kind == "error":
        return "badkey" if value[0] == "badkey" else value
    assert kind == "return" and value[0] == "error", value
    return "return", value[1]


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused_leaves_no_descriptor_and_no_handle(what, start_world):
    who, function, args, reason = REFUSED[what]
    world = start_world("--max-message", MAX)
    answer(world, who, function, args)
    before, handles = kinds(world.node), world.handles()
    told = {answer(world, who, function, args) for _ in range(TIMES)}
    assert told == {reason}
    nothing_is_left(world.node, before)
    assert world.handles() == handles


# --- no more descriptors

OPENS = {
    "new": (lambda w: HASH),
    "open": (lambda w: (("id", w.id),)),
    "open a pin": (lambda w: (("pinned", w.path),)),
    "open a name": (lambda w: (("name", b"leaks"),)),
    "info": (lambda w: (w.hash,)),
    "list": (lambda w: ()),
    "get": (lambda w: (0, w.outer)),
    "put a cgroup": (lambda w: (0, w.group, w.group_array)),
    "put by file": (lambda w: (w.public, 1, w.files)),
    "put by process": (lambda w: (("pid", w.node.pid), 1, w.processes)),
    "put an interface": (lambda w: (0, ("ifname", b"lo"), w.interfaces)),
    "pin": (lambda w: (w.path + b"2", w.hash)),
    "unpin": (lambda w: (w.path + b"2", w.hash)),
}


MAKE_HANDLES = ["new", "open", "get"]


def close_all(peer, term):
    """What of a term is a handle."""
    if isinstance(term, tuple) and term[0] == "ebpf_map":
        peer.erpc("ebpf_maps", "close", [term])  # one that is shared was told more often
    elif isinstance(term, (list, tuple)):
        for part in term:
            close_all(peer, part)


def test_what_finds_no_descriptor_leaves_none(start_world):
    """With room for none, for one, and so on: at each that it would open."""
    world = start_world()
    node, writer = world.node, world.writer
    before, handles = kinds(node), world.handles()
    soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")}
    free = [fd for fd in range(max(used) + 4) if fd not in used][:3]
    failed = set()
    for limit in free:
        for what, args in OPENS.items():
            resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (limit, hard))
            answers = [
                writer.erpc("ebpf_maps", what.split()[0], args(world))[1] for _ in range(3)
            ]
            resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
            if "emfile" in answers or ("error", "emfile") in answers:
                failed.add(what)
            if what.split()[0] in MAKE_HANDLES:
                close_all(writer, answers)
    writer.erpc("ebpf_maps", "unpin", [world.path + b"2", world.hash])
    assert failed >= {"new", "open", "open a pin", "get", "put a cgroup", "put by file"}
    nothing_is_left(node, before)
    assert world.handles() == handles


MIDDLE = ["get", "to_list", "values", "take", "drain", "drain_chunk"]


@pytest.mark.parametrize("function", MIDDLE)
def test_a_handle_too_many_in_the_middle_of_a_walk_leaves_nothing(
    function, start_cnode, connect
):
    """What was given before it is kept, and all of it stays in the map."""
    node = start_cnode("--max-maps-per-node", 3, "--grace", 0)
    maker, reader = connect(node), connect(node)
    inner = maker.maps("new", "array", 4, 4, 1)
    outer = maker.maps("new", "array_of_maps", 4, 4, 5, [("inner_map", inner)])
    if function in ("take", "drain", "drain_chunk"):
        maker.maps("close", outer)
        outer = maker.maps("new", "hash_of_maps", 4, 4, 5, [("inner_map", inner)])
    for key in range(5):
        map = maker.maps("new", "array", 4, 4, 1)
        maker.maps("put", key, map, outer)
        maker.maps("close", map)
    if function in ("drain", "drain_chunk"):  # which give what they have taken
        held = [reader.maps("new", "array", 4, 4, 1) for _ in range(3)]
    else:
        held = [reader.maps("get", key, outer) for key in range(3)]
    before, handles = kinds(node), maker.maps("stats")["handles"]
    args = {"drain_chunk": ("start", outer, 5)}
    if function in ("get", "take"):
        args[function] = (4, outer)
    for _ in range(TIMES):
        kind, reason, *_ = reader.erpc("ebpf_maps", function, args.get(function, (outer,)))
        assert kind == "error" and "emfile" in (reason, *reason[:1]), reason
    nothing_is_left(node, before)
    assert maker.maps("stats")["handles"] == handles
    assert maker.maps("size", outer) == 5
    assert all(reader.maps("info", map) for map in held)
    reader.close()
    wait_until(lambda: maker.maps("stats")["handles"] == 2)


# --- connections


def wrong_cookie(node, connect):
    with pytest.raises((Refused, Closed)):
        connect(node, cookie="wrong")


def no_packet(node, connect):
    peer = connect(node)
    peer.send_packet(b"x")
    peer.wait_closed()


def too_many(node, connect):
    with pytest.raises((Refused, Closed)):
        connect(node).erpc("ebpf_maps", "handles", [])


def half_a_request(node, connect):
    peer = connect(node)
    peer.send_raw(b"\0\1\0\0p")
    peer.close()


def without_a_word(node, connect):
    connect(node, handshake=False).close()


ENDS = [wrong_cookie, no_packet, half_a_request, without_a_word]


@pytest.mark.parametrize("end", ENDS, ids=lambda end: end.__name__.replace("_", " "))
def test_a_connection_that_ends_leaves_no_descriptor_and_no_thread(
    end, fresh_cnode, connect
):
    idle = fresh_cnode.threads()
    end(fresh_cnode, connect)
    fresh_cnode.wait_log("refused|disconnected")  # it may not have begun before
    wait_until(lambda: fresh_cnode.threads() == idle)
    before = kinds(fresh_cnode)
    for _ in range(TIMES):
        end(fresh_cnode, connect)
    nothing_is_left(fresh_cnode, before)
    wait_until(lambda: fresh_cnode.threads() == idle)


@pytest.mark.counts  # and a sanitizer needs memory where it may be refused
def test_a_connection_that_gets_no_thread_leaves_no_descriptor(start_cnode, connect):
    node = start_cnode()
    status = Path(f"/proc/{node.pid}/status").read_text()
    used = int(re.search(r"^VmSize:\s+(\d+) kB", status, re.M)[1]) * 1024
    limits = resource.prlimit(node.pid, resource.RLIMIT_AS)
    before = kinds(node)
    resource.prlimit(node.pid, resource.RLIMIT_AS, (used + 65536, limits[1]))
    for _ in range(5):
        start = node.mark()
        connect(node, handshake=False).wait_closed()
        node.wait_log("warning refused a connection: ", start=start)
    resource.prlimit(node.pid, resource.RLIMIT_AS, limits)
    nothing_is_left(node, before)
    assert connect(node).serves()


def test_a_connection_too_many_leaves_no_descriptor_and_no_thread(start_cnode, connect):
    node = start_cnode("--max-connections", 1)
    idle = node.threads()
    assert connect(node).serves()  # it is in, before others try
    wait_until(lambda: node.threads() == idle + 1)
    before = kinds(node)
    for _ in range(TIMES):
        too_many(node, connect)
    nothing_is_left(node, before)
    wait_until(lambda: node.threads() == idle + 1)


# --- epmd


def test_an_epmd_that_ends_each_registration_leaves_no_descriptor(
    lone_cluster, start_cnode
):
    """By hand: the ends of the real one do not follow each other so soon."""
    impostor = Impostor(lone_cluster.epmd.port, hang_up)
    try:
        node = start_cnode(cluster=lone_cluster)
        wait_until(lambda: impostor.asked >= 2)
        before = kinds(node)
        wait_until(lambda: impostor.asked >= 6, 20)
        # between two registrations there is one descriptor less
        wait_until(lambda: not kinds(node) - before, what="none is left")
    finally:
        impostor.close()


def test_an_epmd_that_is_gone_and_comes_back_leaves_no_descriptor(
    lone_cluster, start_cnode
):
    """Also of the attempts to find it."""
    epmd = lone_cluster.epmd
    epmd.start()
    node = start_cnode(cluster=lone_cluster)
    before = kinds(node)
    for _ in range(2):
        start = node.mark()
        epmd.stop()
        node.wait_log("warning not registered with epmd", start=start)
        epmd.start()
        node.wait_log("notice registered with epmd again", start=start)
        nothing_is_left(node, before)
