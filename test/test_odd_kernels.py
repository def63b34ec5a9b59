# SPDX-License-Identifier: Apache-2.0
"""What kernels say that are older than this one, or short of memory for a
moment: odd_kernel.c says it in their place."""

import sys

import pytest

import odd_kernel
from conftest import Maps, raises

pytestmark = pytest.mark.preload

CHUNKS = (1, 2, 3, 100)


@pytest.fixture(scope="module")
def library(srcdir, tmp_path_factory):
    return odd_kernel.build(srcdir, tmp_path_factory.mktemp("preload"))


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


def u32(number):
    return number.to_bytes(4, sys.byteorder)


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
