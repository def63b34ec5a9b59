# SPDX-License-Identifier: Apache-2.0
"""Every type of map: made, written, read, walked, taken from, emptied.

What is expected stands in tables, row by row as the kernel's own behaviour
demands; a bare Erlang node asks.
"""

import ctypes
import os
import resource
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from beam import BeamError
from cluster import CNode, wait_until
from conftest import Maps, Shared, raises
from host import CGROUPS, CPUS, OLD_CGROUPS, PAGE
from native import prefix, u32, u64

LOOPBACK = 1
NO_PREALLOC = ["no_prealloc"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Files that a caller may name stand below root/public."""
    root = tmp_path_factory.mktemp("root")
    (root / "public").mkdir()
    (root / "public" / "file").write_text("x")
    (root / "public" / "other").write_text("x")
    (root / "secret").write_text("x")
    (root / "public" / "link").symlink_to(root / "secret")
    (root / "public" / "inside").symlink_to("file")
    (root / "publicity").write_text("x")
    return root


class Rooted(Shared):
    """A C node that has a --file-root, for all tests of this module."""

    def __init__(self, cluster, program, root):
        super().__init__(cluster, program)
        self.root = root

    def get(self):
        if not self.node or not self.node.alive():
            options = ["--file-root", self.root]
            self.node = CNode(self.cluster, self.program, *options)
            self.node.wait_ready()
        return self.node


@pytest.fixture(scope="module")
def shared_rooted(cluster, program, root):
    shared = Rooted(cluster, program, root / "public")
    yield shared
    if shared.node and shared.node.alive():
        shared.node.stop()
        shared.node.check()


@pytest.fixture
def rooted(shared_rooted):
    node = shared_rooted.get()
    start = node.mark()
    yield node
    shared_rooted.check(start)


@pytest.fixture
def maps(alice, rooted):
    """ebpf_maps of a C node that has a --file-root, called from alice."""
    maps = Maps(alice, rooted)
    yield maps
    if rooted.alive() and alice.alive():
        maps.close_all()


@pytest.fixture
def cgroup():
    """A cgroup of the test's own, and another one."""
    folders = [CGROUPS / f"ebpf_cnode_test_{os.getpid()}_{n}" for n in range(2)]
    for folder in folders:
        folder.mkdir()
    yield [str(folder).encode() for folder in folders]
    for folder in folders:
        folder.rmdir()


def outcome(call, *args):
    """What a call gives, or ("raised", Reason)."""
    try:
        return call(*args)
    except BeamError as e:
        assert e.kind == "error"
        return ("raised", e.reason)


# --- all there are


def known_types():
    name_of = ctypes.CDLL("libbpf.so.1").libbpf_bpf_map_type_str
    name_of.restype = ctypes.c_char_p
    names = []
    while name := name_of(len(names)):
        names.append(name.decode())
    return names


# --- types that a caller can write and read


@dataclass
class Usable:
    """A type whose entries come and go, and two entries for it."""

    args: tuple
    entries: list  # [(key bytes, value as put, value as read)]
    absent: object  # a key without entry
    options: list = field(default_factory=list)
    full: str = "e2big"  # what put raises without room; "" where none can


def twin(value):
    return [value] * CPUS


def plain_entries(read=lambda v: v):
    return [(u32(k), u64(v), read(u64(v))) for k, v in ((1, 11), (2, 22))]


USABLE = {
    "hash": Usable(("hash", 4, 8, 2), plain_entries(), u32(9)),
    "hash without prealloc": Usable(
        ("hash", 4, 8, 2), plain_entries(), u32(9), NO_PREALLOC
    ),
    "percpu_hash": Usable(("percpu_hash", 4, 8, 2), plain_entries(twin), u32(9)),
    "lru_hash": Usable(("lru_hash", 4, 8, 100), plain_entries(), u32(9), full=""),
    "lru_percpu_hash": Usable(
        ("lru_percpu_hash", 4, 8, 100), plain_entries(twin), u32(9), full=""
    ),
    "lpm_trie": Usable(
        ("lpm_trie", 8, 4, 2),
        [
            (prefix(8, 10, 0, 0, 0), u32(8), u32(8)),
            (prefix(24, 10, 1, 2, 0), u32(24), u32(24)),
        ],
        prefix(32, 11, 0, 0, 1),
        NO_PREALLOC,
        full="enospc",
    ),
    "devmap of indexes": Usable(
        ("devmap", 4, 4, 4),
        [(u32(k), u32(LOOPBACK), u32(LOOPBACK)) for k in (1, 3)],
        u32(2),
        full="",
    ),
    "devmap with programs": Usable(
        ("devmap", 4, 8, 4),
        [(u32(k), u64(LOOPBACK), u64(LOOPBACK)) for k in (1, 3)],
        u32(2),
        full="",
    ),
    "devmap_hash of indexes": Usable(
        ("devmap_hash", 4, 4, 2),
        [(u32(k), u32(LOOPBACK), u32(LOOPBACK)) for k in (1, 300)],
        u32(2),
    ),
    "devmap_hash with programs": Usable(
        ("devmap_hash", 4, 8, 2),
        [(u32(k), u64(LOOPBACK), u64(LOOPBACK)) for k in (1, 300)],
        u32(2),
    ),
    "cpumap of sizes": Usable(
        ("cpumap", 4, 4, CPUS),
        [(u32(0), u32(64), u32(64))],
        u32(CPUS - 1),
        full="",
    ),
    "cpumap with programs": Usable(
        ("cpumap", 4, 8, CPUS),
        [(u32(0), u64(64), u64(64))],
        u32(CPUS - 1),
        full="",
    ),
}


@dataclass
class Filled:
    map: tuple
    row: Usable
    pairs: list  # [(key, value as read)], in the order of keys

    @property
    def first(self):
        return self.pairs[0]


@pytest.fixture(params=USABLE)
def filled(request, maps):
    row = USABLE[request.param]
    map = maps.new(*row.args, row.options)
    assert map[0] == "ebpf_map", map
    for key, value, _ in row.entries:
        assert maps.put(key, value, map) == map
    pairs = sorted((key, read) for key, _, read in row.entries)
    return Filled(map, row, pairs)


def with_(maps, keys, map):
    return maps.call("with", keys, map)


def walked(maps, map):
    """All that an iterator gives; it raises as next/1 does."""
    step, pairs = maps.next(maps.iterator(map)), []
    while step != "none":
        pairs.append(step[:2])
        step = maps.next(step[2])
    return pairs


def chunked(maps, map, most):
    """All that next_chunk gives, most entries at a time."""
    cursor, pairs = "start", []
    while cursor != "done":
        chunk, cursor = maps.next_chunk(cursor, map, most)
        pairs += chunk
    return pairs


def test_what_was_written_is_read(maps, filled):
    for key, value in filled.pairs:
        assert maps.get(key, filled.map) == value
        assert maps.get(key, filled.map, "none") == value
        assert maps.find(key, filled.map) == ("ok", value)
        assert maps.is_key(key, filled.map) == "true"


def test_what_is_absent_is_absent_for_all_that_read(maps, filled):
    absent = filled.row.absent
    with raises(("badkey", absent)):
        maps.get(absent, filled.map)
    assert maps.get(absent, filled.map, "none") == "none"
    assert maps.find(absent, filled.map) == "error"
    assert maps.is_key(absent, filled.map) == "false"
    keys = [key for key, _ in filled.pairs]
    assert with_(maps, [*keys, absent], filled.map) == dict(filled.pairs)


def test_it_is_walked_whole_in_every_way(maps, filled):
    assert sorted(walked(maps, filled.map)) == filled.pairs
    assert sorted(maps.to_list(filled.map)) == filled.pairs
    assert sorted(chunked(maps, filled.map, 100)) == filled.pairs
    assert sorted(chunked(maps, filled.map, 1)) == filled.pairs
    assert sorted(maps.keys(filled.map)) == [key for key, _ in filled.pairs]
    values = [value for _, value in filled.pairs]
    assert sorted(maps.values(filled.map)) == sorted(values)
    assert maps.size(filled.map) == len(filled.pairs)


def test_an_update_replaces_what_is_there_only(maps, filled):
    (key, value, read), absent = filled.row.entries[0], filled.row.absent
    assert maps.update(key, value, filled.map) == filled.map
    assert maps.get(key, filled.map) == read
    with raises(("badkey", absent)):
        maps.update(absent, value, filled.map)
    assert sorted(maps.to_list(filled.map)) == filled.pairs


def test_an_insert_refuses_what_is_there(maps, filled):
    key, value, _ = filled.row.entries[0]
    with raises(("keyexists", key)):
        maps.insert(key, value, filled.map)
    assert sorted(maps.to_list(filled.map)) == filled.pairs


def test_an_insert_makes_what_is_absent(maps, filled):
    key, value, read = filled.row.entries[0]
    maps.remove(key, filled.map)
    assert maps.insert(key, value, filled.map) == filled.map
    assert maps.get(key, filled.map) == read
    assert sorted(maps.to_list(filled.map)) == filled.pairs


def test_a_map_without_room_takes_no_more(maps, filled):
    row = filled.row
    if row.full:
        for call in (
            lambda: maps.put(row.absent, row.entries[0][1], filled.map),
            lambda: maps.insert(row.absent, row.entries[0][1], filled.map),
        ):
            with raises(row.full):
                call()
        with raises((row.full, 0)):
            maps.merge(filled.map, [(row.absent, row.entries[0][1])])
    else:
        assert maps.put(row.absent, row.entries[0][1], filled.map) == filled.map
        assert maps.size(filled.map) == len(filled.pairs) + 1


def test_it_is_taken_from_once(maps, filled):
    key, value = filled.first
    assert maps.take(key, filled.map) == (value, filled.map)
    assert maps.take(key, filled.map) == "error"
    assert maps.take(filled.row.absent, filled.map) == "error"
    assert sorted(maps.to_list(filled.map)) == filled.pairs[1:]


def test_remove_and_without_leave_the_rest(maps, filled):
    key, _ = filled.first
    assert maps.remove(filled.row.absent, filled.map) == filled.map
    assert maps.remove(key, filled.map) == filled.map
    assert maps.remove(key, filled.map) == filled.map
    assert sorted(maps.to_list(filled.map)) == filled.pairs[1:]
    keys = [key for key, _ in filled.pairs]
    assert maps.without([*keys, filled.row.absent], filled.map) == filled.map
    assert maps.to_list(filled.map) == []


def test_clear_empties_it(maps, filled):
    assert maps.clear(filled.map) == filled.map
    assert maps.to_list(filled.map) == []
    assert maps.size(filled.map) == 0
    assert maps.clear(filled.map) == filled.map


def test_drain_gives_what_it_empties(maps, filled):
    assert sorted(maps.drain(filled.map)) == filled.pairs
    assert maps.to_list(filled.map) == []
    assert maps.drain(filled.map) == []


def test_drain_chunk_gives_what_it_takes_out(maps, filled):
    cursor, taken = "start", []
    while cursor != "done":
        chunk, cursor = maps.drain_chunk(cursor, filled.map, 10)
        taken += chunk
        there = maps.to_list(filled.map)
        assert sorted(there + taken) == filled.pairs
    assert sorted(taken) == filled.pairs


def test_merge_puts_all(maps, filled):
    maps.clear(filled.map)
    pairs = [(key, value) for key, value, _ in filled.row.entries]
    assert maps.merge(filled.map, pairs) == filled.map
    assert sorted(maps.to_list(filled.map)) == filled.pairs
    assert maps.merge(filled.map, dict(pairs)) == filled.map
    assert sorted(maps.to_list(filled.map)) == filled.pairs


def test_it_knows_its_type_and_sizes(maps, filled):
    assert maps.type(filled.map) == filled.row.args[0]
    info = maps.info(filled.map)
    told = tuple(info[k] for k in ("type", "key_size", "value_size", "max_entries"))
    assert told == filled.row.args


def test_a_frozen_map_can_be_read_only(maps, filled):
    assert maps.freeze(filled.map) == "ok"
    key, value, _ = filled.row.entries[0]
    for refused in (
        lambda: maps.put(key, value, filled.map),
        lambda: maps.update(key, value, filled.map),
        lambda: maps.remove(key, filled.map),
        lambda: maps.take(key, filled.map),
        lambda: maps.clear(filled.map),
        lambda: maps.drain(filled.map),
        lambda: maps.drain_chunk("start", filled.map, 10),
        lambda: maps.without([key], filled.map),
    ):
        with raises("eperm"):
            refused()
    with raises(("eperm", 0)):
        maps.merge(filled.map, [(key, value)])
    assert sorted(maps.to_list(filled.map)) == filled.pairs


# --- arrays

ARRAYS = {
    "array": ("array", 4, 8, 3),
    "percpu_array": ("percpu_array", 4, 8, 3),
    "mmapable array": ("array", 4, 8, 3, ["mmapable"]),
}


@pytest.fixture(params=ARRAYS)
def array(request, maps):
    """An array of three, of which 1 holds 7; and how its values are read."""
    args = ARRAYS[request.param]
    map = maps.new(*args)
    maps.put(1, 7, map)
    return map, twin if "percpu" in args[0] else (lambda value: value)


def test_an_array_has_all_its_entries_always(maps, array):
    map, read = array
    pairs = [(u32(k), read(u64(7 * (k == 1)))) for k in range(3)]
    assert walked(maps, map) == pairs
    assert maps.to_list(map) == pairs
    assert chunked(maps, map, 2) == pairs
    assert maps.keys(map) == [key for key, _ in pairs]
    assert maps.values(map) == [value for _, value in pairs]
    assert maps.size(map) == 3


def test_an_array_raises_as_the_kernel_does_beyond_its_end(maps, array):
    map, _ = array
    assert maps.find(3, map) == "error"
    assert maps.is_key(3, map) == "false"
    assert with_(maps, [1, 3], map).keys() == {1}
    for call in (maps.put, maps.insert):
        with raises("e2big"):
            call(3, 1, map)
    with raises(("badkey", 3)):
        maps.update(3, 1, map)
    with raises(("e2big", 1)):
        maps.merge(map, [(0, 1), (3, 1), (2, 1)])


def test_an_entry_of_an_array_cannot_be_inserted(maps, array):
    map, read = array
    with raises(("keyexists", 1)):
        maps.insert(1, 8, map)
    assert maps.get(1, map) == read(u64(7))


def test_nothing_comes_out_of_an_array(maps, array):
    map, _ = array
    before = maps.to_list(map)
    for refused in (
        lambda: maps.take(1, map),
        lambda: maps.remove(1, map),
        lambda: maps.without([1], map),
        lambda: maps.without([], map),
        lambda: maps.clear(map),
        lambda: maps.drain(map),
        lambda: maps.drain_chunk("start", map, 10),
    ):
        with raises("einval"):
            refused()
    assert maps.to_list(map) == before


# --- maps of maps


@pytest.fixture(params=["array_of_maps", "hash_of_maps"])
def nest(request, maps):
    """A map of maps with room for 4, and two maps that fit it."""
    inner = [maps.new("hash", 4, 8, 16) for _ in range(2)]
    outer = maps.new(request.param, 4, 4, 4, [("inner_map", inner[0])])
    assert outer[0] == "ebpf_map", outer
    return outer, inner


def test_a_map_of_maps_needs_a_template(maps):
    for type in ("array_of_maps", "hash_of_maps"):
        assert maps.new(type, 4, 4, 4)[0] == "error"
        with raises(("badmap", "nope")):
            maps.new(type, 4, 4, 4, [("inner_map", "nope")])


def test_a_map_of_maps_gives_the_handle_that_was_put(maps, nest):
    outer, (first, second) = nest
    assert maps.put(1, first, outer) == outer
    assert maps.get(1, outer) == first
    assert maps.put(1, second, outer) == outer
    assert maps.get(1, outer) == second
    assert maps.find(1, outer) == ("ok", second)
    assert maps.is_key(1, outer) == "true"
    assert with_(maps, [0, 1], outer) == {1: second}
    with raises(("badkey", 0)):
        maps.get(0, outer)


def test_a_map_from_a_map_of_maps_is_used_as_any(maps, nest):
    outer, (first, _) = nest
    maps.put(2, first, outer)
    maps.put(5, 6, maps.get(2, outer))
    assert maps.get(5, first) == u64(6)


def test_a_map_of_maps_is_walked_in_every_way(maps, nest):
    outer, (first, second) = nest
    maps.merge(outer, [(0, first), (2, second)])
    pairs = [(u32(0), first), (u32(2), second)]
    by_key = lambda pair: pair[0]  # noqa: E731
    assert sorted(walked(maps, outer), key=by_key) == pairs
    assert sorted(maps.to_list(outer), key=by_key) == pairs
    assert sorted(chunked(maps, outer, 10), key=by_key) == pairs
    assert sorted(chunked(maps, outer, 1), key=by_key) == pairs
    assert sorted(maps.keys(outer)) == [key for key, _ in pairs]
    assert len(maps.values(outer)) == 2
    assert maps.size(outer) == 2


def test_a_map_of_maps_is_updated_where_there_is_one(maps, nest):
    outer, (first, second) = nest
    with raises(("badkey", 1)):
        maps.update(1, first, outer)
    maps.put(1, first, outer)
    assert maps.update(1, second, outer) == outer
    assert maps.get(1, outer) == second


def test_a_map_is_inserted_into_a_map_of_maps_once(maps, nest):
    outer, (first, second) = nest
    assert maps.insert(1, first, outer) == outer
    with raises(("keyexists", 1)):
        maps.insert(1, second, outer)
    assert maps.get(1, outer) == first


def test_a_map_is_taken_from_a_map_of_maps(maps, nest):
    outer, (first, _) = nest
    maps.put(1, first, outer)
    assert maps.take(1, outer) == (first, outer)
    assert maps.take(1, outer) == "error"
    maps.put(7, 8, first)
    assert maps.get(7, first) == u64(8)


WAYS_TO_TAKE = {
    "take": lambda maps, outer: [maps.take(0, outer)[0]],
    "drain": lambda maps, outer: [value for _, value in maps.drain(outer)],
    "drain_chunk": lambda maps, outer: [
        value for _, value in maps.drain_chunk("start", outer, 9)[0]
    ],
}


@pytest.mark.parametrize("way", WAYS_TO_TAKE)
@pytest.mark.parametrize("type", ["array_of_maps", "hash_of_maps"])
def test_a_map_that_only_another_map_holds_outlives_being_taken(type, way, maps):
    """With its entry it would be gone, before anybody had opened it."""
    template = maps.new("array", 4, 4, 1)
    outer = maps.new(type, 4, 4, 1, [("inner_map", template)])
    inner = maps.new("array", 4, 4, 1)
    maps.put(0, 7, inner)
    maps.put(0, inner, outer)
    maps.close(inner)
    [taken] = WAYS_TO_TAKE[way](maps, outer)
    assert maps.get(0, taken) == u32(7)
    assert maps.to_list(outer) == []


def by_chunks(maps, function, outer, size):
    cursor, values = "start", []
    while cursor != "done":
        chunk, cursor = maps.call(function, cursor, outer, size)
        values += [value for _, value in chunk]
    return values


def stepping(maps, outer):
    iterator, values = maps.iterator(outer), []
    while (step := maps.next(iterator)) != "none":
        _, value, iterator = step
        values.append(value)
    return values


WAYS_TO_HAVE_ALL = {
    "next": stepping,
    "to_list": lambda maps, outer: [value for _, value in maps.to_list(outer)],
    "next_chunk by 3": lambda maps, outer: by_chunks(maps, "next_chunk", outer, 3),
    "drain_chunk by 7": lambda maps, outer: by_chunks(maps, "drain_chunk", outer, 7),
    "drain": lambda maps, outer: [value for _, value in maps.drain(outer)],
}


@pytest.mark.parametrize("way", WAYS_TO_HAVE_ALL)
@pytest.mark.parametrize("key_size", [1, 4, 8])
def test_each_of_many_maps_in_a_map_comes_once(key_size, way, maps):
    """Its buckets' cursor is no key; each map is held by nothing else."""
    template = maps.new("array", 4, 4, 1)
    outer = maps.new("hash_of_maps", key_size, 4, 100, [("inner_map", template)])
    for number in range(60):
        inner = maps.new("array", 4, 4, 1)
        maps.put(0, number, inner)
        maps.put(number, inner, outer)
        maps.close(inner)
    found = WAYS_TO_HAVE_ALL[way](maps, outer)
    assert sorted(maps.get(0, one) for one in found) == sorted(map(u32, range(60)))
    assert maps.size(outer) == (0 if way.startswith("drain") else 60)


def test_a_merge_of_maps_that_are_closed_meanwhile_says_how_many_are_in(cnode, connect):
    """All were good when it began, and some have been put: it stops as where
    the kernel stops."""
    peer, other = connect(cnode), connect(cnode)

    def is_stopped():
        """False: it was over before."""
        inner = peer.maps("new", "array", 4, 4, 1)
        outer = peer.maps("new", "hash_of_maps", 4, 4, 256, [("inner_map", inner)])
        pairs = [(number, inner) for number in range(256)]
        request = peer.start_erpc("ebpf_maps", "merge", [outer, pairs])
        wait_until(lambda: other.maps("size", outer) > 0)
        assert other.maps("close", inner) == "ok"
        kind, reason = peer.finish_erpc(request)[:2]
        if kind == "return":
            return False
        assert reason == ("ebadf", other.maps("size", outer))
        return 0 < reason[1] < len(pairs)

    wait_until(is_stopped, 30)


def test_a_drain_of_maps_tells_the_rest_when_one_is_closed_meanwhile(cnode, connect):
    """Each is held from before it leaves: anybody may close that handle."""
    peer, other = connect(cnode), connect(cnode)
    inner = peer.maps("new", "array", 4, 4, 1)
    outer = peer.maps("new", "hash_of_maps", 4, 4, 40, [("inner_map", inner)])

    def held():
        mine = [map for map, owner, _ in other.maps("handles") if owner == peer.name]
        return [map for map in mine if map not in (inner, outer)]

    def tells_the_rest():
        """False: it was over before."""
        for number in range(40):
            one = peer.maps("new", "array", 4, 4, 1)
            peer.maps("put", number, one, outer)
            peer.maps("close", one)
        request = peer.start_erpc("ebpf_maps", "drain", [outer])
        wait_until(held)
        assert other.maps("close", held()[0]) == "ok"
        kind, drained = peer.finish_erpc(request)[:2]
        assert kind == "return"
        left = held()
        if len(drained) == 39:
            told = sorted(map.raw for _, (_, map, *_) in drained)
            return told == sorted(map.raw for _, map, *_ in left)
        for map in left:
            other.maps("close", map)
        return False

    wait_until(tells_the_rest, 30)


def test_a_drain_of_maps_takes_no_more_than_its_answer_holds(start_cnode, alice):
    node = start_cnode("--max-message", "4096")

    def call(function, *args):
        return alice.erpc(node.name, function, *args)

    template = call("new", "array", 4, 4, 1)
    outer = call("new", "hash_of_maps", 4, 4, 100, [("inner_map", template)])
    for number in range(40):
        call("put", number, template, outer)
    with raises(("too_big", 4096)):
        call("drain", outer)
    assert call("size", outer) == 40
    chunk, cursor = call("drain_chunk", "start", outer, 100)
    assert 0 < len(chunk) < 40
    assert cursor != "done"
    assert call("size", outer) == 40 - len(chunk)


def test_a_map_of_maps_is_emptied_in_every_way(maps, nest):
    outer, (first, second) = nest
    pairs = [(0, first), (3, second)]
    read = [(u32(0), first), (u32(3), second)]
    maps.merge(outer, pairs)
    assert maps.clear(outer) == outer
    assert maps.to_list(outer) == []
    maps.merge(outer, pairs)
    assert sorted(maps.drain(outer), key=lambda pair: pair[0]) == read
    assert maps.to_list(outer) == []
    maps.merge(outer, pairs)
    chunk, cursor = maps.drain_chunk("start", outer, 10)
    while cursor != "done":
        more, cursor = maps.drain_chunk(cursor, outer, 10)
        chunk += more
    assert sorted(chunk, key=lambda pair: pair[0]) == read
    maps.merge(outer, pairs)
    assert maps.without([0, 1, 3], outer) == outer
    assert maps.size(outer) == 0


def test_what_is_no_map_is_refused_by_a_map_of_maps(maps, nest):
    outer, (first, _) = nest
    for value in (0, 3, maps.fd(first), u32(maps.fd(first)), "x", b"", ()):
        with raises("badarg"):
            maps.put(1, value, outer)
    maps.close(first)
    with raises(("badmap", first)):
        maps.put(1, first, outer)
    assert maps.size(outer) == 0


def test_a_map_of_another_shape_is_refused_by_the_kernel(maps, nest):
    outer, _ = nest
    for other in (maps.new("hash", 8, 8, 16), maps.new("array", 4, 8, 16)):
        with raises("einval"):
            maps.put(1, other, outer)


def test_an_array_of_maps_ends_where_it_ends(maps):
    inner = maps.new("hash", 4, 8, 16)
    outer = maps.new("array_of_maps", 4, 4, 2, [("inner_map", inner)])
    with raises("e2big"):
        maps.put(2, inner, outer)
    with raises(("badkey", 2)):
        maps.get(2, outer)


def test_inner_arrays_may_differ_in_length_where_they_are_resizable(maps):
    long, short = (
        [maps.new("array", 4, 8, n, options) for n in (5, 3)]
        for options in ([], ["inner_map_resizable"])
    )
    for (one, other), answer in ((long, "einval"), (short, None)):
        assert one[0] == other[0] == "ebpf_map"
        outer = maps.new("hash_of_maps", 4, 4, 4, [("inner_map", one)])
        given = outcome(maps.put, 1, other, outer)
        assert given == (("raised", answer) if answer else outer)


# --- storage

STORAGE = ["inode_storage", "task_storage", "cgrp_storage"]


@pytest.fixture(params=STORAGE)
def storage(request, maps, root, cgroup):
    """A storage map, and two keys of its kind."""
    map = maps.new(request.param, 4, 8, 0, NO_PREALLOC)
    assert map[0] == "ebpf_map", map
    own = {
        "inode_storage": [
            ("file", str(root / "public" / name).encode()) for name in ("file", "other")
        ],
        "task_storage": [("pid", os.getpid()), ("pid", maps.beam.pid)],
        "cgrp_storage": [("cgroup", path) for path in cgroup],
    }
    return map, own[request.param]


def test_storage_is_written_and_read_by_what_a_caller_can_name(maps, storage):
    map, (first, second) = storage
    assert maps.put(first, 7, map) == map
    assert maps.get(first, map) == u64(7)
    assert maps.find(second, map) == "error"
    with raises(("badkey", second)):
        maps.get(second, map)
    assert maps.is_key(first, map) == "true"
    assert with_(maps, [first, second], map) == {first: u64(7)}
    maps.put(second, 8, map)
    assert [maps.get(key, map) for key in (first, second)] == [u64(7), u64(8)]


def test_storage_is_updated_inserted_and_merged(maps, storage):
    map, (first, second) = storage
    with raises(("badkey", first)):
        maps.update(first, 1, map)
    assert maps.insert(first, 1, map) == map
    with raises(("keyexists", first)):
        maps.insert(first, 2, map)
    assert maps.update(first, 3, map) == map
    assert maps.merge(map, [(first, 4), (second, 5)]) == map
    assert [maps.get(key, map) for key in (first, second)] == [u64(4), u64(5)]


def test_storage_is_taken_from_and_removed(maps, storage):
    map, (first, second) = storage
    maps.merge(map, [(first, 1), (second, 2)])
    assert maps.take(first, map) == (u64(1), map)
    assert maps.take(first, map) == "error"
    assert maps.remove(first, map) == map
    assert maps.without([first, second], map) == map
    assert maps.find(second, map) == "error"


def test_storage_cannot_be_walked(maps, storage):
    map, (first, _) = storage
    maps.put(first, 1, map)
    for call in (
        maps.keys,
        maps.values,
        maps.to_list,
        maps.size,
        maps.clear,
        maps.drain,
        lambda map: walked(maps, map),
        lambda map: maps.next_chunk("start", map, 1),
        lambda map: maps.drain_chunk("start", map, 1),
    ):
        with raises("enotsup"):
            call(map)
    assert maps.get(first, map) == u64(1)


def test_a_number_is_no_key_of_storage(maps, storage):
    map, (first, _) = storage
    for key in (0, 3, u32(3), first[1], (first[0],), (first[0], "x"), "x"):
        with raises("badarg"):
            maps.put(key, 1, map)
        with raises("badarg"):
            maps.get(key, map)


def test_a_number_in_a_cursor_is_no_key_of_storage(maps, root):
    """Nor one of a descriptor that the node has open, as that of its root."""
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    key = ("file", f"{root}/public/".encode())
    maps.put(key, 7, map)
    for number in range(64):
        for left in (0, 1, 2):
            cursor = u32(left) + u32(number)
            for function in ("next_chunk", "drain_chunk"):
                with raises("badarg"):
                    maps.call(function, cursor, map, 1)
            with raises("badarg"):
                maps.next(("ebpf_iterator", map, cursor, [], 1))
    assert maps.get(key, map) == u64(7)


@pytest.mark.parametrize("type", [*STORAGE, "sk_storage"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 16, 100, 1000])
def test_storage_is_made_with_values_of_any_size(type, size, maps):
    map = maps.new(type, 4, size, 0, NO_PREALLOC)
    assert map[2:] == (type, 4, size, 0)
    assert maps.info(map)["btf"] != "none"
    if type == "task_storage":
        value = bytes(n % 251 for n in range(size))
        maps.put(("pid", os.getpid()), value, map)
        assert maps.get(("pid", os.getpid()), map) == value


def test_a_process_that_is_not_there_is_esrch(maps):
    map = maps.new("task_storage", 4, 8, 0, NO_PREALLOC)
    ended = subprocess.Popen(["true"])
    ended.wait()
    with raises("esrch"):
        maps.put(("pid", ended.pid), 1, map)
    for number in (0, -1, 2**31, 2**64):
        with raises("badarg"):
            maps.put(("pid", number), 1, map)


def test_a_file_outside_of_the_root_is_eacces_be_it_there_or_not(maps, root):
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    for path in (
        "/etc/passwd",
        "/nope",
        "/",
        f"{root}/secret",
        f"{root}/nope",
        f"{root}/publicity",
        f"{root}/public/../secret",
        f"{root}/public/../nope",
        f"{root}/public/../public/../secret",
        f"{root}/public/link",
    ):
        with raises("eacces"):
            maps.get(("file", path.encode()), map)
    for path in ("", "relative", f"{root}/public/file\0", "../secret"):
        with raises("badarg"):
            maps.get(("file", path.encode()), map)


def test_a_file_below_the_root_is_named_in_any_form(maps, root):
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    path = f"{root}/public/file"
    maps.put(("file", path.encode()), 1, map)
    for form in (path, list(path.encode()), f"{root}/public/./file".encode()):
        assert maps.get(("file", form), map) == u64(1)
    assert maps.get(("file", f"{root}/public/inside".encode()), map) == u64(1)
    assert maps.find(("file", f"{root}/public/nope".encode()), map) == "error"


def test_without_a_file_root_no_file_is_named(alice, cnode, root):
    maps = Maps(alice, cnode)
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    for path in (f"{root}/public/file", f"{root}/public/nope", "/"):
        with raises("eacces"):
            maps.put(("file", path.encode()), 1, map)
    maps.close(map)


def test_naming_files_leaves_no_descriptor(maps, root, rooted):
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    key = ("file", f"{root}/public/file".encode())
    maps.put(key, 1, map)
    before = len(rooted.descriptors())
    for _ in range(100):
        maps.put(key, 1, map)
        maps.get(key, map)
        with raises("eacces"):
            maps.get(("file", b"/etc/passwd"), map)
    keys = [key] * 50
    maps.merge(map, [(key, 1) for key in keys])
    maps.without(keys, map)
    assert len(rooted.descriptors()) == before


def test_without_descriptors_no_cgroup_is_told_to_be_none(start_cnode, alice, cgroup):
    node = start_cnode()
    maps = Maps(alice, node)
    map = maps.new("cgroup_array", 4, 4, 4)
    value = ("cgroup", cgroup[0])
    soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")}
    free = [fd for fd in range(max(used) + 3) if fd not in used]
    for number in free[:2]:  # for none, and for one
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (number, hard))
        with raises("emfile"):
            maps.put(0, value, map)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert maps.put(0, value, map) == map
    assert not node.find_log("cgroup file system")


@pytest.mark.parametrize("type", ["hash", "hash_of_maps"])
def test_without_descriptors_no_type_is_found_out_about(
    type, start_cnode, alice, maps
):
    """Which it says, and looks again the next time."""
    node = start_cnode()
    here = Maps(alice, node)

    def make(maps, inner):
        options = [("inner_map", inner)] if type == "hash_of_maps" else []
        return maps.call("new", type, 8, 4, 4, options)

    def cursor(maps):
        """That of a walk: the kernel's, of buckets, if it has one."""
        inner = maps.new("array", 4, 4, 1)
        map = make(maps, inner)
        for key in (1, 2):
            maps.put(key, inner if type == "hash_of_maps" else key, map)
        return maps.call("next_chunk", "start", map, 1)[1]

    inner = here.new("array", 4, 4, 1)
    soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")}
    free = [fd for fd in range(max(used) + 4) if fd not in used]
    needed = 3 if type == "hash_of_maps" else 2  # with a template
    for number in free[:needed]:
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (number, hard))
        assert make(here, inner) == ("error", "emfile")
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert len(cursor(here)) == len(cursor(maps))


@pytest.mark.parametrize("type", ["cgrp_storage", "cgroup_array"])
def test_what_is_no_cgroup_is_eacces(type, maps, cgroup):
    row = (type, 4, 8, 0, NO_PREALLOC) if type[-1] == "e" else (type, 4, 4, 4)
    map = maps.new(*row)

    def put(path):
        named = ("cgroup", path)
        args = (named, 1) if type == "cgrp_storage" else (0, named)
        return maps.put(*args, map)

    assert put(cgroup[0]) == map
    for path in (
        b"/etc",
        b"/nope",
        bytes(CGROUPS.parent),
        *(bytes(folder) for folder in OLD_CGROUPS),
        bytes(CGROUPS) + b"/../../../../etc",
        b"/sys/fs/cgroups",
    ):
        with raises("eacces"):
            put(path)
    with raises("enoent"):
        put(cgroup[0] + b"/nope")


def test_the_topmost_cgroup_is_one_with_or_without_a_slash(start_cnode, alice):
    script = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$0" "$@"'
    node = start_cnode(wrapper=["unshare", "--mount", "sh", "-c", script])
    maps = Maps(alice, node)
    map = maps.new("cgroup_array", 4, 4, 1)
    for path in (b"/sys/fs/cgroup/", b"/sys/fs/cgroup"):
        assert maps.put(0, ("cgroup", path), map) == map


# --- maps without keys


@pytest.fixture(params=["queue", "stack"])
def line(request, maps):
    """A queue or a stack with room for 3, and the order it gives back in."""
    map = maps.new(request.param, 0, 4, 3)
    return map, 1 if request.param == "queue" else -1


def test_a_queue_and_a_stack_are_pushed_to_and_popped_from(maps, line):
    map, order = line
    for value in (1, 2, 3):
        assert maps.push(value, map) == map
    expected = [u32(1), u32(2), u32(3)][::order]
    assert maps.peek(map) == expected[0]
    assert [maps.pop(map) for _ in range(4)] == [*expected, "empty"]
    assert maps.peek(map) == "empty"


def test_push_and_put_pop_and_take_are_one(maps, line):
    map, order = line
    maps.push(1, map)
    maps.put(b"", 2, map)
    maps.merge(map, [(b"", 3)])
    expected = [u32(1), u32(2), u32(3)][::order]
    assert maps.get(b"", map) == expected[0]
    assert maps.take(b"", map) == (expected[0], map)
    assert maps.find(b"", map) == ("ok", expected[1])
    assert maps.pop(map) == expected[1]


def test_a_full_queue_raises_e2big(maps, line):
    map, order = line
    for value in (1, 2, 3):
        maps.push(value, map)
    with raises("e2big"):
        maps.push(4, map)
    with raises(("e2big", 0)):
        maps.merge(map, [(b"", 4)])
    assert maps.drain(map) == [(b"", u32(v)) for v in (1, 2, 3)][::order]


def test_clear_and_drain_pop_until_it_is_empty(maps, line):
    map, order = line
    for value in (1, 2):
        maps.push(value, map)
    assert maps.drain(map) == [(b"", u32(v)) for v in (1, 2)][::order]
    assert maps.drain(map) == []
    maps.push(1, map)
    assert maps.clear(map) == map
    assert maps.pop(map) == "empty"


WALKS = {
    "size": lambda maps, map: maps.size(map),
    "iterator": lambda maps, map: maps.iterator(map),
    "keys": lambda maps, map: maps.keys(map),
    "values": lambda maps, map: maps.values(map),
    "to_list": lambda maps, map: maps.to_list(map),
    "next_chunk": lambda maps, map: maps.next_chunk("start", map, 1),
}


@pytest.mark.parametrize("call", WALKS)
@pytest.mark.parametrize(
    "shape",
    [("queue", 0, 4, 4), ("stack", 0, 4, 4), ("bloom_filter", 0, 4, 4)],
    ids=str,
)
def test_a_map_without_keys_is_not_walked(call, shape, maps):
    map = maps.new(*shape)
    maps.push(1, map)
    with raises("enotsup"):
        WALKS[call](maps, map)


def test_update_insert_and_remove_of_a_queue_raise_einval(maps, line):
    map, _ = line
    maps.push(1, map)
    for call in (
        lambda: maps.update(b"", 2, map),
        lambda: maps.insert(b"", 2, map),
        lambda: maps.remove(b"", map),
        lambda: maps.without([b""], map),
    ):
        with raises("einval"):
            call()
    assert maps.drain(map) == [(b"", u32(1))]


@pytest.mark.parametrize("call", ["push", "pop", "peek"])
def test_a_map_with_keys_is_no_queue(call, maps):
    map = maps.new("hash", 4, 4, 4)
    with raises("enotsup"):
        maps.call(call, *([1, map] if call == "push" else [map]))


def test_a_bloom_filter_says_perhaps_or_no(maps):
    map = maps.new("bloom_filter", 0, 4, 64, [("map_extra", 5)])
    for value in range(10):
        assert maps.push(value, map) == map
    assert all(maps.is_key(value, map) == "true" for value in range(10))
    strangers = [maps.is_key(value, map) for value in range(1000, 1100)]
    assert set(strangers) <= {"true", "false"}
    assert strangers.count("false") > 50
    assert all(maps.is_key(u32(value), map) == "true" for value in range(10))


def test_a_bloom_filter_is_asked_for_values_of_its_size(maps):
    map = maps.new("bloom_filter", 0, 4, 64)
    for value in (b"", b"123", b"12345", "x", 2**32):
        with raises("badarg"):
            maps.is_key(value, map)
        with raises("badarg"):
            maps.push(value, map)


@pytest.mark.parametrize("extra", [0, 1, 15])
def test_a_bloom_filter_takes_a_number_of_hash_functions(extra, maps):
    map = maps.new("bloom_filter", 0, 4, 64, [("map_extra", extra)])
    assert map[0] == "ebpf_map"
    maps.push(1, map)
    assert maps.is_key(1, map) == "true"


def test_a_bloom_filter_takes_no_more_than_15_hash_functions(maps):
    made = maps.new("bloom_filter", 0, 4, 64, [("map_extra", 16)])
    assert made == ("error", "einval")


BLOOM_REFUSALS = {
    "get": lambda maps, map: maps.get(b"", map),
    "get/3": lambda maps, map: maps.get(b"", map, "none"),
    "find": lambda maps, map: maps.find(b"", map),
    "take": lambda maps, map: maps.take(b"", map),
    "pop": lambda maps, map: maps.pop(map),
    "peek": lambda maps, map: maps.peek(map),
    "remove": lambda maps, map: maps.remove(b"", map),
    "with": lambda maps, map: with_(maps, [b""], map),
    "without": lambda maps, map: maps.without([b""], map),
    "clear": lambda maps, map: maps.clear(map),
    "drain": lambda maps, map: maps.drain(map),
    "drain_chunk": lambda maps, map: maps.drain_chunk("start", map, 1),
}


@pytest.mark.parametrize("call", BLOOM_REFUSALS)
def test_a_bloom_filter_gives_nothing_back(call, maps):
    map = maps.new("bloom_filter", 0, 4, 64)
    maps.push(1, map)
    with raises("enotsup"):
        BLOOM_REFUSALS[call](maps, map)
    assert maps.is_key(1, map) == "true"


# --- types that refuse most of it: {function: what it gives or raises}

MAP = "the map itself"


def up(reason):
    return ("raised", reason)


def all_of(names, value):
    return {name: value for name in names.split()}


READING = "get find is_key with"
WRITING = "put insert update merge"
WALKING = "walk keys values to_list size next_chunk"
KEY = object()
EMPTY = {
    "get": up(("badkey", KEY)),
    "find": "error",
    "is_key": "false",
    "with": {},
    "take": "error",
    **all_of("walk keys values to_list drain", []),
    "size": 0,
    "next_chunk": ([], "done"),
    "drain_chunk": ([], "done"),
    **all_of("remove without clear", MAP),
}
NO_SOCKETS = all_of(WRITING, up("enotsup"))
NO_COOKIES = {  # values of 4 bytes, which the kernel's cookies do not fit into
    **EMPTY,
    **NO_SOCKETS,
    **all_of(READING + " take", up("enospc")),
}
NO_COOKIES_NOR_KEYS = {
    **NO_COOKIES,
    **all_of(WALKING + " drain drain_chunk", up("enospc")),
}
UNREADABLE = {  # a descriptor goes in, and nothing comes out
    **all_of(READING + " take " + WALKING, up("enotsup")),
    **all_of("drain drain_chunk", up("enotsup")),
    **all_of(WRITING, up("badarg")),
    **all_of("remove without clear", MAP),
}
CGROUP_STORAGE = {  # only a program that is attached makes entries
    **EMPTY,
    "put": up("enoent"),
    "merge": up(("enoent", 0)),
    "update": up(("badkey", KEY)),
    **all_of("take remove without clear drain drain_chunk", up("einval")),
}
RING = {
    **all_of(READING + " take put insert update remove without", up("enotsup")),
    "merge": up(("enotsup", 0)),
    **all_of("push pop peek clear drain drain_chunk", up("enotsup")),
    **all_of(WALKING, up("enotsup")),
}

REFUSING = {
    ("prog_array", 4, 4, 4): {**EMPTY, **all_of(WRITING, up("badarg"))},
    ("perf_event_array", 4, 4, CPUS): UNREADABLE,
    ("cgroup_array", 4, 4, 4): UNREADABLE,
    ("stack_trace", 4, 80, 4): {
        **EMPTY,
        **all_of("put insert update", up("enotsup")),
        "merge": up(("enotsup", 0)),
    },
    ("sockmap", 4, 4, 4): NO_COOKIES_NOR_KEYS,
    ("sockmap", 4, 8, 4): {**EMPTY, **NO_SOCKETS},
    ("sockhash", 4, 4, 4): NO_COOKIES,
    ("sockhash", 4, 8, 4): {**EMPTY, **NO_SOCKETS},
    ("reuseport_sockarray", 4, 4, 4): NO_COOKIES_NOR_KEYS,
    ("reuseport_sockarray", 4, 8, 4): {**EMPTY, **NO_SOCKETS},
    ("xskmap", 4, 4, 4): {
        **all_of(READING + " take " + WALKING, up("enotsup")),
        **NO_SOCKETS,
        **all_of("drain drain_chunk", up("enotsup")),
        **all_of("remove without clear", MAP),
    },
    ("sk_storage", 4, 8, 0, ("no_prealloc",)): {
        **all_of(READING + " take remove without", up("enotsup")),
        **NO_SOCKETS,
        **all_of(WALKING + " clear drain drain_chunk", up("enotsup")),
    },
    ("cgroup_storage", 8, 8, 0): CGROUP_STORAGE,
    ("cgroup_storage", 16, 8, 0): CGROUP_STORAGE,
    ("percpu_cgroup_storage", 8, 8, 0): CGROUP_STORAGE,
    ("ringbuf", 0, 0, PAGE): RING,
    ("user_ringbuf", 0, 0, PAGE): RING,
}
if "arena" in known_types():  # from libbpf 1.4 on
    REFUSING["arena", 0, 0, 4, ("mmapable",)] = RING


def perform(maps, name, map, key, value):
    match name:
        case "get" | "find" | "is_key" | "take" | "remove":
            return maps.call(name, key, map)
        case "put" | "insert" | "update":
            return maps.call(name, key, value, map)
        case "push":
            return maps.push(value, map)
        case "with" | "without":
            return maps.call(name, [key], map)
        case "merge":
            return maps.merge(map, [(key, value)])
        case "next_chunk" | "drain_chunk":
            return maps.call(name, "start", map, 10)
        case "walk":
            return walked(maps, map)
    return maps.call(name, map)


def filled_in(expected, map, key):
    if expected is MAP:
        return map
    if expected == up(("badkey", KEY)):
        return up(("badkey", key))
    return expected


@pytest.mark.parametrize("shape", REFUSING, ids=str)
def test_a_type_that_cannot_do_all_says_so(shape, maps):
    type, key_size, value_size, most, *options = shape
    options = list(options[0]) if options else []
    map = maps.new(type, key_size, value_size, most, options)
    assert map[0] == "ebpf_map", map
    key, value = bytes(key_size), bytes(value_size)
    expected = {f: filled_in(e, map, key) for f, e in REFUSING[shape].items()}
    given = {
        f: outcome(perform, maps, f, map, key, value) for f in REFUSING[shape]
    }
    assert given == expected


def test_all_types_are_tested_here():
    tested = {row.args[0] for row in USABLE.values()}
    tested |= {args[0] for args in ARRAYS.values()}
    tested |= {shape[0] for shape in REFUSING}
    tested |= {"array_of_maps", "hash_of_maps", "queue", "stack", "bloom_filter"}
    tested |= set(STORAGE)
    assert set(known_types()) - {"unspec", "struct_ops"} <= tested


@pytest.mark.parametrize("type", ["unspec", "struct_ops"])
def test_what_the_kernel_cannot_make_so_is_an_honest_error(type, maps):
    made = maps.new(type, 4, 8, 1)
    assert made == ("error", "einval")


# --- what interfaces and cgroups are called


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
@pytest.mark.parametrize("size", [4, 8])
def test_an_interface_is_given_by_its_name(type, size, maps):
    map = maps.new(type, 4, size, 4)
    for form in ("lo", b"lo", list(b"lo")):
        assert maps.put(1, ("ifname", form), map) == map
        assert maps.take(1, map) == (LOOPBACK.to_bytes(size, sys.byteorder), map)
    for name in (b"nope", b"", b"a" * 15, b"a" * 16, b"lo" + b"o" * 14):
        with raises("enodev"):
            maps.put(1, ("ifname", name), map)
    for what in (("ifname",), ("ifname", 1), ("ifname", b"l\0o"), ("cgroup", b"lo")):
        with raises("badarg"):
            maps.put(1, what, map)
    assert maps.to_list(map) == []


def test_an_interface_is_no_value_of_a_hash(maps):
    map = maps.new("hash", 4, 4, 4)
    with raises("badarg"):
        maps.put(1, ("ifname", b"lo"), map)


# --- addresses


@pytest.mark.parametrize(
    "size, key, data",
    [
        (8, ((10, 1, 2, 3), 32), prefix(32, 10, 1, 2, 3)),
        (8, ((10, 1, 0, 0), 16), prefix(16, 10, 1, 0, 0)),
        (8, ((0, 0, 0, 0), 0), prefix(0, 0, 0, 0, 0)),
        (
            20,
            ((0x2001, 0xDB8, 0, 0, 0, 0, 0, 0xFF01), 128),
            prefix(128, 0x20, 0x01, 0x0D, 0xB8, *[0] * 10, 0xFF, 0x01),
        ),
        (20, ((0, 0, 0, 0, 0, 0, 0, 0), 0), prefix(0, *[0] * 16)),
    ],
    ids=str,
)
def test_a_prefix_is_given_as_an_address_and_a_length(size, key, data, maps):
    map = maps.new("lpm_trie", size, 4, 4, NO_PREALLOC)
    assert maps.put(key, 7, map) == map
    assert maps.to_list(map) == [(data, u32(7))]
    assert maps.get(key, map) == u32(7)
    assert maps.get(data, map) == u32(7)
    assert with_(maps, [key], map) == {key: u32(7)}
    assert maps.take(key, map) == (u32(7), map)


@pytest.mark.parametrize(
    "key",
    [
        ((10, 1, 2, 3), 33),
        ((10, 1, 2, 3), -1),
        ((10, 1, 2, 256), 32),
        ((10, 1, 2), 24),
        ((10, 1, 2, 3, 4), 32),
        ((0, 0, 0, 0, 0, 0, 0, 1), 128),
        ((10, 1, 2, 3), 2**32 + 8),
        ((10, 1, 2, "x"), 32),
        ((10, 1, 2, 3), "x"),
        ((10, 1, 2, 3),),
        (10, 1, 2, 3),
        ([10, 1, 2, 3], 32),
    ],
    ids=str,
)
def test_what_is_no_prefix_raises_badarg(key, maps):
    map = maps.new("lpm_trie", 8, 4, 4, NO_PREALLOC)
    with raises("badarg"):
        maps.put(key, 1, map)
    with raises("badarg"):
        maps.get(key, map)
    assert maps.to_list(map) == []


def test_an_address_is_no_key_of_a_hash(maps):
    map = maps.new("hash", 8, 4, 4)
    with raises("badarg"):
        maps.put(((10, 1, 2, 3), 32), 1, map)


# --- options


OPTIONS = [
    ("lru_hash", 4, 4, 64, "no_common_lru", 0x2),
    ("stack_trace", 4, 32, 4, "stack_build_id", 0x20),
    ("perf_event_array", 4, 4, CPUS, "preserve_elems", 0x800),
    ("array", 4, 8, 4, "inner_map_resizable", 0x1000),
    ("array", 4, 8, 4, ("numa_node", 0), 0x4),
    ("hash", 4, 8, 4, ("flags", 0x40), 0x40),
    ("hash", 4, 8, 4, ("flags", 0), 0),
]


@pytest.mark.parametrize("row", OPTIONS, ids=str)
def test_an_option_is_the_kernels_flag(row, maps):
    *shape, option, flag = row
    map = maps.new(*shape, [option])
    assert map[2:] == tuple(shape)
    assert maps.info(map)["flags"] == flag


def test_flags_add_to_the_options_that_have_names(maps):
    map = maps.new("hash", 4, 8, 4, ["no_prealloc", ("flags", 0x40)])
    assert maps.info(map)["flags"] == 0x41


@pytest.mark.parametrize(
    "option",
    [
        ("map_extra", -1),
        ("map_extra", 2**64),
        ("map_extra", "x"),
        ("numa_node", -1),
        ("numa_node", 2**32),
        ("flags", -1),
        ("flags", 2**32),
        ("flags", "x"),
        ("lifetime", "forever"),
        ("lifetime", 1),
        ("inner_map",),
    ],
    ids=str,
)
def test_an_option_of_the_wrong_kind_raises_badarg(option, maps):
    with raises("badarg"):
        maps.new("hash", 4, 4, 4, [option])


def test_a_numa_node_that_is_not_there_is_einval(maps):
    made = maps.new("hash", 4, 4, 4, ["no_prealloc", ("numa_node", 1000)])
    assert made == ("error", "einval")


def test_an_unknown_flag_is_the_kernels_einval(maps):
    assert maps.new("hash", 4, 4, 4, [("flags", 0x80000000)]) == ("error", "einval")


# --- a program in a program array


@pytest.fixture
def program_id(tmp_path):
    """The id of a program that does nothing, pinned while the test runs."""
    bpftool, clang = shutil.which("bpftool"), shutil.which("clang")
    if not (bpftool and clang):
        pytest.skip("no bpftool or no clang here")
    source = tmp_path / "nothing.c"
    source.write_text(
        '__attribute__((section("socket"))) int nothing(void *c) { return 0; }\n'
    )
    built = tmp_path / "nothing.o"
    subprocess.run(
        [clang, "-target", "bpf", "-O2", "-c", source, "-o", built], check=True
    )
    pin = Path(f"/sys/fs/bpf/ebpf_cnode_nothing_{os.getpid()}")
    subprocess.run([bpftool, "prog", "load", built, pin], check=True)
    try:
        shown = subprocess.run(
            [bpftool, "prog", "show", "pinned", pin],
            check=True,
            capture_output=True,
            text=True,
        )
        yield int(shown.stdout.split(":")[0])
    finally:
        pin.unlink()


def test_a_program_array_shows_the_ids_of_its_programs(maps, program_id):
    map = maps.new("prog_array", 4, 4, 4)
    command = f"map update id {maps.info(map)['id']} key 2 0 0 0 value id {program_id}"
    subprocess.run(["bpftool", *command.split()], check=True)
    pairs = [(u32(2), u32(program_id))]
    assert maps.get(2, map) == u32(program_id)
    assert maps.to_list(map) == walked(maps, map) == chunked(maps, map, 1) == pairs
    assert maps.size(map) == 1
    assert maps.take(2, map) == (u32(program_id), map)
    assert maps.size(map) == 0
