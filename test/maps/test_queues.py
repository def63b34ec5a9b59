# SPDX-License-Identifier: Apache-2.0
"""Queues, stacks and bloom filters: maps without keys."""

import pytest

from conftest import raises
from map_calls import with_
from native import u32

pytestmark = pytest.mark.single


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
