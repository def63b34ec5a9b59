# SPDX-License-Identifier: Apache-2.0
"""Maps of maps: handles go in and come out, and what is no map is refused."""

import pytest

from conftest import raises
from map_calls import chunked, outcome, walked, with_
from native import u32, u64

pytestmark = pytest.mark.single


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
