# SPDX-License-Identifier: Apache-2.0
"""Interfaces by their names, and prefixes as addresses."""

import sys

import pytest

from conftest import raises
from map_calls import with_
from native import prefix, u32

pytestmark = pytest.mark.single

LOOPBACK = 1
NO_PREALLOC = ["no_prealloc"]


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
