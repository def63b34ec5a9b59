# SPDX-License-Identifier: Apache-2.0
"""Every type of map: made, written, read, walked, taken from, emptied.

What is expected stands in tables, row by row as the kernel's own behaviour
demands; a bare Erlang node asks.
"""

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import raises
from host import CPUS
from map_calls import chunked, walked, with_
from native import prefix, u32, u64

pytestmark = pytest.mark.single

LOOPBACK = 1
NO_PREALLOC = ["no_prealloc"]


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
