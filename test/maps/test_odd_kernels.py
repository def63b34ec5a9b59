# SPDX-License-Identifier: Apache-2.0
"""What kernels say that are older than this one, or short of memory for a
moment: odd_kernel.c says it in their place."""

import sys
from pathlib import Path

import pytest

import odd_kernel
import preload
from budget import has_come
from cluster import wait_until
from conftest import Maps, raises
from native import u32
from syscall_numbers import NUMBERS

pytestmark = pytest.mark.preload

CHUNKS = (1, 2, 3, 100)


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preload.build("odd_kernel", tmp_path_factory.mktemp("preload"))


@pytest.fixture
def odd(library, tmp_path):
    return odd_kernel.OddKernel(library, tmp_path / "odd")


@pytest.fixture
def node(start_cnode, cluster, odd):
    return start_cnode("--grace", "0", env={**cluster.env, **odd.env})


@pytest.fixture
def maps(alice, node):
    maps = Maps(alice, node)
    yield maps
    if node.alive():
        maps.close_all()


# --- holes of an array of maps, before 6.14


PLACES = 8
HOLES = {
    "none": range(PLACES),
    "at the beginning": (2, 3, 4, 5, 6, 7),
    "in the middle": (0, 1, 4, 5, 6, 7),
    "at the end": (0, 1, 2),
    "everywhere": (1, 4, 7),
    "nothing else": (),
}


@pytest.fixture(params=HOLES, ids=lambda name: f"holes-{name.replace(' ', '-')}")
def filled(request, maps, odd):
    """An array of maps, and the keys that it has."""
    there = HOLES[request.param]
    inner = maps.new("array", 4, 4, 1)
    outer = maps.new("array_of_maps", 4, 4, PLACES, [("inner_map", inner)])
    for index in there:
        maps.put(index, inner, outer)
    odd.places = PLACES
    yield outer, [(u32(index), inner) for index in there]
    assert bool(odd.interrupted) == (len(there) < PLACES)


def chunks(maps, map, most):
    cursor, pairs = "start", []
    while cursor != "done":
        chunk, cursor = maps.next_chunk(cursor, map, most)
        pairs += chunk
    return pairs


def test_an_array_of_maps_is_walked_over_its_holes(maps, filled):
    outer, pairs = filled
    assert maps.to_list(outer) == pairs
    assert maps.size(outer) == len(pairs)
    assert maps.keys(outer) == [key for key, _ in pairs]


def test_an_array_of_maps_is_walked_by_chunks_over_its_holes(maps, filled):
    outer, pairs = filled
    for most in CHUNKS:
        assert chunks(maps, outer, most) == pairs


def test_an_iterator_goes_over_the_holes_of_an_array_of_maps(maps, filled):
    outer, pairs = filled
    assert maps.walk(outer) == pairs


# --- memory of the kernel that is there a moment later

ENDLESS = 1 << 40
PER_CPU = ("percpu_hash", 4, 8, 1000, ["no_prealloc"])


@pytest.fixture
def hungry(maps):
    return maps.new(*PER_CPU)


def value(number):
    return number.to_bytes(8, sys.byteorder)


PUTTING = {
    "put": lambda maps, map: maps.put(2, 22, map),
    "insert": lambda maps, map: maps.insert(2, 22, map),
    "update": lambda maps, map: maps.update(1, 22, map),
    "merge": lambda maps, map: maps.merge(map, [(2, 22), (1, 22)]),
    "new": lambda maps, _: maps.new("array", 4, 4, 1),
    "new of a storage": lambda maps, _: maps.new(
        "task_storage", 4, 4, 0, ["no_prealloc"]
    ),
}


@pytest.mark.parametrize("name", PUTTING)
def test_a_shortage_that_passes_is_not_seen(name, maps, odd, hungry):
    maps.put(1, 11, hungry)
    odd.starved = 3
    result = PUTTING[name](maps, hungry)
    assert odd.starved == 0
    assert result[0] == "ebpf_map"
    if not name.startswith("new"):
        assert set(maps.get(1 if name == "update" else 2, hungry)) == {value(22)}


@pytest.mark.parametrize("name", PUTTING)
def test_a_shortage_that_stays_is_enomem(name, maps, odd, hungry):
    maps.put(1, 11, hungry)
    odd.starved = ENDLESS
    if name.startswith("new"):
        assert PUTTING[name](maps, hungry) == ("error", "enomem")
    else:
        with raises(("enomem", 0) if name == "merge" else "enomem"):
            PUTTING[name](maps, hungry)
    assert ENDLESS - odd.starved == 8
    odd.starved = 0
    assert maps.to_list(hungry) == [(u32(1), maps.get(1, hungry))]


def test_a_merge_goes_on_as_long_as_it_gets_on(maps, odd, hungry):
    """Each batch puts ten, and then there is no memory for a while."""
    odd.after, odd.starved = 10, 40
    maps.merge(hungry, [(key, key) for key in range(500)])
    assert odd.starved == 0
    assert {key: set(values) for key, values in maps.to_list(hungry)} == {
        u32(key): {value(key)} for key in range(500)
    }


def test_a_merge_that_waits_for_memory_ends_with_its_connection(
    node, maps, odd, connect
):
    """It would put one entry a millisecond, all in one system call else."""
    map = maps.new("hash", 4, 4, 30_000, ["no_prealloc"])
    peer = connect(node)
    odd.after, odd.starved = 1, ENDLESS
    pairs = [(key, key) for key in range(30_000)]
    peer.start_erpc("ebpf_maps", "merge", [map, pairs])
    wait_until(lambda: ENDLESS - odd.starved > 10, 10, "it waits")
    threads = node.threads()
    peer.close()
    wait_until(lambda: node.threads() < threads, 5, "it has ended")
    assert maps.size(map) < 30_000


def test_per_cpu_values_are_put_faster_than_the_kernel_has_room_for_them(maps):
    """Its allocator of per-CPU memory fills up behind us, without odd_kernel."""
    map = maps.new("percpu_hash", 4, 512, 3000, ["no_prealloc"])
    maps.merge(map, [(key, bytes(512)) for key in range(3000)])
    assert maps.size(map) == 3000


# --- an error in the middle of a drain


def test_a_drain_that_fails_midway_returns_what_it_has(maps, odd):
    """It is out of the map, and would be nowhere else."""
    entries = 40000  # more than two steps of a walk
    pairs = [(u32(n), u32(n)) for n in range(entries)]
    map = maps.merge(maps.new("hash", 4, 4, entries), pairs)
    odd.takes = 2
    taken = maps.drain(map)
    assert odd.takes == 0
    assert 0 < len(taken) < entries
    assert sorted(taken + maps.drain(map)) == sorted(pairs)


# --- handles of what was read


def test_a_handle_stays_while_its_outer_map_cannot_be_read(
    start_cnode, cluster, odd, alice
):
    """For all that the node knows its map may still be in it."""
    maps = Maps(alice, start_cnode("--grace", "1", env={**cluster.env, **odd.env}))
    inner = maps.new("array", 4, 4, 1)
    outer = maps.new("array_of_maps", 4, 4, 1, [("inner_map", inner)])
    maps.put(0, inner, outer)
    maps.close(inner)
    handle = maps.get(0, outer)
    odd.unread = ENDLESS
    wait_until(lambda: ENDLESS - odd.unread >= 2, 10, "it has looked twice")
    assert handle in [one for one, _, _ in maps.handles()]
    maps.remove(0, outer)
    odd.unread = 0
    wait_until(lambda: handle not in [one for one, _, _ in maps.handles()])


# --- what the kernel does in two steps


def waits_for_a_lock(node):
    calls = Path(f"/proc/{node.pid}/task").glob("*/syscall")
    return any(call.read_text().startswith(f"{NUMBERS['futex']} ") for call in calls)


@pytest.mark.parametrize("function", ["put", "insert", "update", "remove"])
def test_what_comes_while_an_entry_is_taken_waits_for_it(function, node, odd, connect):
    """The kernel cannot take from a devmap: it is read, and then removed."""
    taker, other = connect(node), connect(node)
    map = taker.maps("new", "devmap", 4, 4, 4)
    taker.maps("put", 1, 1, map)
    odd.held = 1
    taken = taker.start_erpc("ebpf_maps", "take", [1, map])
    wait_until(lambda: odd.waiting == 1)
    args = [1, map] if function == "remove" else [1, 1, map]
    asked = other.start_erpc("ebpf_maps", function, args)
    wait_until(lambda: waits_for_a_lock(node) or odd.waiting == 2 or has_come(other))
    assert odd.waiting == 1 and not has_come(other)
    odd.held = 0
    assert taker.finish_erpc(taken) == ("return", (u32(1), map))
    gone = ("error", ("badkey", 1))
    told = gone if function == "update" else ("return", map)
    assert other.finish_erpc(asked)[:2] == told
    there = "true" if function in ("put", "insert") else "false"
    assert other.maps("is_key", 1, map) == there
