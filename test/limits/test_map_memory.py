# SPDX-License-Identifier: Apache-2.0
"""--max-map-memory against who tries to get round it, also without ids.

What is there is asked of the kernel, by a node that has no such limit.
"""

import os
import resource
import sys
import threading

import pytest

import etf
from cluster import wait_until
from host import CPUS

MIB = 1 << 20
LIMIT = 4 * MIB
BIG = ("array", 4, 4096, 300)  # three of them, and some more
HASH = ("hash", 4, 8, 4)
ENOMEM = ("error", "enomem")
IDS = [(), ("--no-open-by-id",)]
NAMES = ["by id", "without ids"]


@pytest.fixture
def limited(start_cnode):
    """A C node that may not open by id."""
    return start_cnode("--max-map-memory", LIMIT, "--no-open-by-id")


@pytest.fixture
def kernel(start_cnode, connect):
    """Bytes of the maps of that name that there are.

    Who lists the maps of the host, as any test may, holds each for a moment: one
    that is closed may still be among them. What is held stays there.
    """
    peer = connect(start_cnode())

    def size(name):
        infos = peer.maps("list")
        mine = [i for i in infos if i[etf.Atom("name")] == name]
        return sum(i[etf.Atom("memlock")] for i in mine)

    return size


def is_map(answer):
    return answer[0] == "ebpf_map"


def make_outer(peer, kind="array_of_maps", entries=16, shape=BIG, options=()):
    template = peer.maps("new", *shape)
    assert is_map(template)
    outer = peer.maps("new", kind, 4, 4, entries, [("inner_map", template), *options])
    assert is_map(outer)
    peer.maps("close", template)
    return outer


def fill(peer, put, most=12):
    """Makes maps, gives them to put(number, map) and closes them."""
    for number in range(most):
        map = peer.maps("new", *BIG)
        if not is_map(map):
            assert map == ENOMEM
            return number
        put(number, map)
        peer.maps("close", map)
    return most


def pin(peer, path, map):
    assert peer.maps("pin", bytes(path), map) == "ok"


def unpin(peer, path, map):
    assert peer.maps("unpin", bytes(path), map) == "ok"


def open_pinned(peer, path, *options):
    answer = peer.maps("open", ("pinned", bytes(path)), *([list(options)] if options else []))
    assert is_map(answer), answer
    return answer


# --- maps in maps


@pytest.mark.parametrize("kind", ["array_of_maps", "hash_of_maps"])
@pytest.mark.parametrize("options", IDS, ids=NAMES)
def test_what_is_in_an_open_map_counts(kind, options, start_cnode, connect):
    peer = connect(start_cnode("--max-map-memory", LIMIT, *options))
    outer = make_outer(peer, kind)
    put = lambda number, map: peer.maps("put", number, map, outer)
    assert fill(peer, put) == 3
    # what is removed comes back
    assert peer.maps("new", *BIG) == ENOMEM
    assert peer.maps("remove", 1, outer) == outer
    wait_until(lambda: fill(peer, lambda _, map: put(1, map), 1) == 1)
    assert fill(peer, put) == 0
    peer.maps("close", outer)
    assert_all_comes_back(peer)


def assert_all_comes_back(peer):
    """What was in an outer map goes a moment after it."""
    made = []

    def another():
        answer = peer.maps("new", *BIG)
        if is_map(answer):
            made.append(answer)
        return len(made) == 3

    wait_until(another)
    assert peer.maps("new", *BIG) == ENOMEM
    for map in made:
        peer.maps("close", map)


def test_what_is_in_a_pinned_map_counts(limited, connect, folder):
    peer = connect(limited)
    outer = make_outer(peer, "hash_of_maps")
    pin(peer, folder / "outer", outer)
    assert fill(peer, lambda number, map: peer.maps("put", number, map, outer)) == 3
    peer.maps("close", outer)
    for _ in range(3):
        assert peer.maps("new", *BIG) == ENOMEM
    again = open_pinned(peer, folder / "outer")
    unpin(peer, folder / "outer", again)
    for _ in range(3):
        assert peer.maps("new", *BIG) == ENOMEM
    peer.maps("close", again)
    assert_all_comes_back(peer)


def test_what_is_in_a_map_that_others_made_counts(limited, start_cnode, connect, folder):
    """Held here by who opened it, or by its pin alone."""
    other = connect(start_cnode())
    theirs = make_outer(other)
    pin(other, folder / "theirs", theirs)
    other.maps("close", theirs)
    peer = connect(limited)
    outer = open_pinned(peer, folder / "theirs")
    assert fill(peer, lambda number, map: peer.maps("put", number, map, outer)) == 3
    peer.maps("close", outer)
    assert peer.maps("new", *BIG) == ENOMEM
    outer = open_pinned(peer, folder / "theirs")
    (folder / "theirs").unlink()
    assert peer.maps("new", *BIG) == ENOMEM
    peer.maps("close", outer)
    assert_all_comes_back(peer)


def test_what_is_in_a_map_that_is_open_to_write_only_counts(limited, connect, folder):
    peer = connect(limited)
    outer = make_outer(peer, options=["write"])
    pinned = peer.maps("new", *HASH)
    pin(peer, folder / "pinned", pinned)
    peer.maps("close", pinned)
    assert fill(peer, lambda number, map: peer.maps("put", number, map, outer)) == 3
    assert peer.maps("new", *BIG) == ENOMEM
    peer.maps("close", outer)
    assert_all_comes_back(peer)


def test_a_map_that_only_one_may_read_is_looked_into(limited, connect, folder):
    """There are many that are open to write only, and one pin."""
    peer = connect(limited)
    outer = make_outer(peer, options=["write"])
    pin(peer, folder / "outer", outer)
    held = [open_pinned(peer, folder / "outer", "write") for _ in range(3)]
    put = lambda number, map: peer.maps("put", number, map, held[0])
    assert fill(peer, put) == 3
    peer.maps("remove", 2, outer)
    wait_until(lambda: fill(peer, lambda _, map: put(2, map), 1) == 1)
    assert peer.maps("new", *BIG) == ENOMEM


@pytest.mark.many
def test_a_million_entries_hold_up_nobody_else(limited, connect):
    """Who makes, opens and writes goes on while what is in them is looked at."""
    node = limited
    greedy, modest = connect(node), connect(node)
    outer = make_outer(greedy, "array_of_maps", 300_000)
    fill(greedy, lambda number, map: greedy.maps("put", 299_999 - number, map, outer))
    map = modest.maps("new", *HASH)
    assert is_map(map)
    asked = [greedy.start_erpc("ebpf_maps", "new", BIG) for _ in range(50)]
    for number in range(200):
        assert modest.maps("put", 1, number, map) == map
        small = modest.maps("new", *HASH)
        assert is_map(small)
        modest.maps("close", small)
    answers = {greedy.finish_erpc(request, 60) for request in asked}
    assert answers == {("return", ENOMEM)}


# --- other handles


def test_what_another_handle_holds_counts(limited, connect, folder):
    """Made, pinned, opened again, closed, unpinned: it is still there."""
    peer = connect(limited)
    held = []

    def hide(number, map):
        path = folder / f"m{number}"
        pin(peer, path, map)
        held.append(open_pinned(peer, path))
        peer.maps("close", map)
        unpin(peer, path, held[-1])

    for number in range(3):
        map = peer.maps("new", *BIG)
        assert is_map(map)
        hide(number, map)
    assert peer.maps("new", *BIG) == ENOMEM
    for map in held:
        peer.maps("close", map)
    assert_all_comes_back(peer)


def test_a_pin_that_is_made_by_another_handle_counts(limited, connect, folder):
    peer = connect(limited)
    map = peer.maps("new", *BIG)
    pin(peer, folder / "one", map)
    again = open_pinned(peer, folder / "one")
    pin(peer, folder / "two", again)
    unpin(peer, folder / "one", again)
    for handle in (map, again):
        peer.maps("close", handle)
    assert [is_map(peer.maps("new", *BIG)) for _ in range(3)] == [True, True, False]
    (folder / "two").unlink()
    assert is_map(peer.maps("new", *BIG))


# --- what cannot be found out


def without_descriptors(node, spare):
    """So many more may be opened."""
    used = sorted(map(int, os.listdir(f"/proc/{node.pid}/fd")))
    free = [n for n in range(used[-1] + 1 + spare) if n not in used]
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    limit = free[spare] if spare < len(free) else used[-1] + 1 + spare
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (limit, hard))


def limit_of(node, change=None):
    return resource.prlimit(node.pid, resource.RLIMIT_NOFILE, *([change] if change else []))


@pytest.mark.parametrize("options", IDS, ids=NAMES)
def test_without_descriptors_nothing_is_taken_for_gone(options, start_cnode, connect, folder):
    node = start_cnode("--max-map-memory", LIMIT, *options)
    peer = connect(node)
    assert fill(peer, lambda number, map: pin(peer, folder / f"m{number}", map)) == 3
    before = limit_of(node)
    limit_of(node, (3, before[1]))
    assert peer.maps("new", *BIG) == ENOMEM
    limit_of(node, before)
    assert peer.maps("new", *BIG) == ENOMEM


@pytest.mark.parametrize("shape", [HASH, ("bloom_filter", 0, 8, 100_000)], ids=str)
def test_what_the_kernel_cannot_be_asked_about_is_not_made(shape, start_cnode, connect):
    """One descriptor is enough for the map, and not to see what it takes."""
    node = start_cnode("--max-map-memory", LIMIT)
    peer = connect(node)
    peer.maps("close", peer.maps("new", *shape))
    before = limit_of(node)
    without_descriptors(node, 1)
    assert peer.maps("new", *shape) == ("error", "emfile")
    limit_of(node, before)
    assert node.map_count() == 0
    assert is_map(peer.maps("new", *shape))


# --- what a type takes


@pytest.mark.parametrize(
    "shape, size",
    [
        (("bloom_filter", 0, 8, 1 << 20), (1 << 20) * 7 // 8),
        (("array", 4, 1, 100_000), 100_000 * 8),
        (("percpu_array", 4, 1, 100_000), 100_000 * 8 * (1 + CPUS)),
        (("cpumap", 4, 8, 2), 2 * 16384 * 8),
        (("devmap", 4, 4, 40_000), 40_000 * 96),
        (("devmap_hash", 4, 4, 40_000), 40_000 * 96),
        (("lpm_trie", 8, 8, 20_000, ["no_prealloc"]), 20_000 * 2 * 56),
    ],
    ids=str,
)
def test_what_a_type_needs_is_known_before_it_is_made(shape, size, start_cnode, connect):
    node = start_cnode("--max-map-memory", size - 1)
    peer = connect(node)
    assert peer.maps("new", *shape) == ENOMEM
    said = node.wait_log(r"refused .* a map of (\d+) bytes")
    assert size <= int(said[1])
    peer = connect(start_cnode("--max-map-memory", size * 3))
    assert is_map(peer.maps("new", *shape))


@pytest.mark.parametrize(
    "shape",
    [
        ("hash", 1, 1, 256, ["no_prealloc"]),
        ("hash", 2, 1, 33_000, ["no_prealloc"]),
        ("hash", 4, 8, 16_385, ["no_prealloc"]),
        ("percpu_hash", 4, 1, 9_000, ["no_prealloc"]),
        ("lpm_trie", 5, 1, 256, ["no_prealloc"]),
        ("lpm_trie", 8, 1, 20_000, ["no_prealloc"]),
    ],
    ids=str,
)
def test_a_map_that_has_grown_takes_no_more_than_it_counts_with(shape, start_cnode, connect):
    """What the kernel says of the full map fits below what it was refused with."""
    node = start_cnode("--max-map-memory", 4096)
    assert connect(node).maps("new", *shape) == ENOMEM
    counted = int(node.wait_log(r"refused .* a map of (\d+) bytes")[1])
    peer = connect(start_cnode())
    map = peer.maps("new", *shape)
    size, bits = shape[1], 8 * (shape[1] - 4)

    def key(number):
        if shape[0] != "lpm_trie":
            return number.to_bytes(size, "little")
        return bits.to_bytes(4, sys.byteorder) + number.to_bytes(size - 4, "little")

    for number in range(shape[3]):
        peer.start_erpc("ebpf_maps", "put", [key(number), 0, map])
        if number % 500 == 499:
            assert peer.maps("is_key", key(number), map) == "true"
    assert peer.maps("is_key", key(shape[3] - 1), map) == "true"
    assert peer.maps("info", map)[etf.Atom("memlock")] <= counted


# --- many at once


@pytest.mark.parametrize("options", IDS, ids=NAMES)
def test_however_many_make_at_once_the_limit_holds(options, start_cnode, connect, kernel):
    node = start_cnode("--max-map-memory", LIMIT, *options)
    name = f"many{os.getpid()}".encode()[:15]
    peers = [connect(node) for _ in range(12)]
    shape = [*BIG[:3], 100, [("name", name)]]
    for round in range(5):
        asked = [[p.start_erpc("ebpf_maps", "new", shape) for _ in range(4)] for p in peers]
        answers = [
            (p, p.finish_erpc(r)[1]) for p, requests in zip(peers, asked) for r in requests
        ]
        made = [(p, map) for p, map in answers if is_map(map)]
        assert {map for _, map in answers if not is_map(map)} == {ENOMEM}
        assert 5 <= len(made) <= 10
        wait_until(lambda: 0 < kernel(name) <= LIMIT)
        for p, map in made:
            p.maps("close", map)


@pytest.mark.parametrize("options", IDS, ids=NAMES)
def test_maps_that_are_moved_about_all_the_time_count(
    options, start_cnode, connect, kernel, folder
):
    """Handles, pins and outer maps pass them on while others meet the limit."""
    node = start_cnode("--max-map-memory", LIMIT, *options)
    name = f"moved{os.getpid()}".encode()[:15]
    shape = [*BIG[:3], 100, [("name", name)]]
    first = connect(node)
    outers = [make_outer(first, kind, 8, BIG[:3] + (100,)) for kind in ("array_of_maps", "hash_of_maps")]
    for number, outer in enumerate(outers):
        pin(first, folder / f"o{number}.0".replace(".", "_"), outer)
        first.maps("close", outer)
    faults = []
    turns = 40

    def mover(number):
        """Keeps an outer map and what is in it on the move."""
        try:
            peer, place = connect(node), 0
            at = lambda place: folder / f"o{number}_{place}"
            for turn in range(turns):
                outer = open_pinned(peer, at(place))
                map = peer.maps("new", *shape)
                if is_map(map):
                    peer.maps("put", turn % 8, map, outer)
                    peer.maps("close", map)
                place = 1 - place
                pin(peer, at(place), outer)
                unpin(peer, at(1 - place), outer)
                peer.maps("close", outer)
        except Exception as e:
            faults.append(e)

    def passer(number):
        """A map from pin to handle to another pin."""
        try:
            peer = connect(node)
            at = lambda turn: folder / f"p{number}_{turn}"
            held = None
            for turn in range(turns):
                if held is None:
                    map = peer.maps("new", *shape)
                    if not is_map(map):
                        continue
                    pin(peer, at(turn), map)
                else:
                    map = open_pinned(peer, at(held))
                    unpin(peer, at(held), map)
                    pin(peer, at(turn), map)
                held = turn
                peer.maps("close", map)
        except Exception as e:
            faults.append(e)

    def taker():
        try:
            peer = connect(node)
            for _ in range(3 * turns):
                map = peer.maps("new", *shape)
                if is_map(map):
                    peer.maps("close", map)
        except Exception as e:
            faults.append(e)

    threads = [threading.Thread(target=mover, args=[n]) for n in range(2)]
    threads += [threading.Thread(target=passer, args=[n]) for n in range(2)]
    threads += [threading.Thread(target=taker) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    greedy = []
    while is_map(map := first.maps("new", *shape)):
        greedy.append(map)
    wait_until(lambda: kernel(name) <= LIMIT)
