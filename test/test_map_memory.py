# SPDX-License-Identifier: Apache-2.0
"""--max-map-memory against who tries to get round it, also without ids.

What is there is asked of the kernel, by a node that has no such limit.
"""

import os
import random
import resource
import shutil
import sys
import threading
from pathlib import Path

import pytest

import etf
from cluster import wait_until

MIB = 1 << 20
LIMIT = 4 * MIB
BIG = ("array", 4, 4096, 300)  # three of them, and some more
HASH = ("hash", 4, 8, 4)
ENOMEM = ("error", "enomem")
IDS = [(), ("--no-open-by-id",)]
NAMES = ["by id", "without ids"]


@pytest.fixture
def folder():
    folder = Path(f"/sys/fs/bpf/ebpf_cnode_memory_{os.getpid()}")
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def limited(start_cnode):
    """A C node that may not open by id."""
    return start_cnode("--max-map-memory", LIMIT, "--no-open-by-id")


@pytest.fixture
def kernel(start_cnode, connect):
    """Octets of the maps of that name that there are."""
    peer = connect(start_cnode())

    def octets(name):
        infos = peer.maps("list")
        mine = [i for i in infos if i[etf.Atom("name")] == name]
        return sum(i[etf.Atom("memlock")] for i in mine)

    return octets


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


# --- what a type takes


@pytest.mark.parametrize(
    "shape, octets",
    [
        (("bloom_filter", 0, 8, 1 << 20), (1 << 20) * 7 // 8),
        (("cpumap", 4, 8, 2), 2 * 16384 * 8),
        (("devmap", 4, 4, 40_000), 40_000 * 96),
        (("devmap_hash", 4, 4, 40_000), 40_000 * 96),
        (("lpm_trie", 8, 8, 20_000, ["no_prealloc"]), 20_000 * 2 * 56),
    ],
    ids=str,
)
def test_what_is_allocated_as_entries_come_is_counted(shape, octets, start_cnode, connect):
    node = start_cnode("--max-map-memory", octets - 1)
    peer = connect(node)
    assert peer.maps("new", *shape) == ENOMEM
    said = node.wait_log(r"refused .* a map of (\d+) octets")
    assert octets <= int(said[1])
    peer = connect(start_cnode("--max-map-memory", octets * 3))
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
    counted = int(node.wait_log(r"refused .* a map of (\d+) octets")[1])
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
