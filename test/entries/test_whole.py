# SPDX-License-Identifier: Apache-2.0
"""Whole maps in one message: what maps of Erlang has, and what is beyond it."""

import pytest

import etf
from conftest import raises
from host import CPUS
from map_calls import chunked, chunks_of, flat, with_
from native import ORDER, u32, u64

pytestmark = pytest.mark.single

NO_PREALLOC = ["no_prealloc"]

MIB = 1024 * 1024


@pytest.fixture
def hash(maps):
    """4 bytes to 8: 1 -> 2, 3 -> 4; room for 4."""
    map = maps.new("hash", 4, 8, 4)
    maps.put(1, 2, map)
    maps.put(3, 4, map)
    return map


HASH_PAIRS = [(u32(1), u64(2)), (u32(3), u64(4))]


@pytest.fixture
def thousand(maps):
    map = maps.new("hash", 4, 8, 1000)
    maps.merge(map, {key: key * 7 for key in range(1000)})
    return map


THOUSAND = sorted((u32(key), u64(key * 7)) for key in range(1000))


# --- find, is_key


def test_find_and_is_key_tell_what_is_there(maps, hash):
    assert maps.find(1, hash) == ("ok", u64(2))
    assert maps.find(u32(1), hash) == ("ok", u64(2))
    assert maps.find(9, hash) == "error"
    assert maps.is_key(1, hash) == "true"
    assert maps.is_key(9, hash) == "false"


def test_find_tells_the_values_of_all_cpus(maps):
    map = maps.new("percpu_hash", 4, 5, 4)
    value = [bytes([cpu] * 5) for cpu in range(CPUS)]
    maps.put(1, value, map)
    assert maps.find(1, map) == ("ok", value)


# --- insert


def test_insert_puts_what_is_not_there(maps, hash):
    assert maps.insert(5, 6, hash) == hash
    assert maps.get(5, hash) == u64(6)


def test_insert_raises_the_key_as_it_was_given(maps, hash):
    with raises(("keyexists", 1)):
        maps.insert(1, 9, hash)
    with raises(("keyexists", u32(1))):
        maps.insert(u32(1), 9, hash)
    assert maps.get(1, hash) == u64(2)


def test_insert_into_a_full_map_raises_e2big(maps, hash):
    maps.insert(5, 5, hash)
    maps.insert(6, 6, hash)
    with raises("e2big"):
        maps.insert(7, 7, hash)
    with raises(("keyexists", 5)):
        maps.insert(5, 7, hash)


def test_of_two_that_insert_at_once_one_does(maps, alice, bob, cnode):
    map = maps.new("hash", 4, 4, 500)
    for beam in (alice, bob):
        beam.start_eval(
            """
            Asked = [erpc:send_request(N, ebpf_maps, insert, [K, 1, Map]) ||
                     K <- lists:seq(0, 499)],
            lists:append([try erpc:receive_response(R, 20000) of Map -> [K]
             catch error:{exception, {keyexists, K}, _} -> [] end ||
             {K, R} <- lists:zip(lists:seq(0, 499), Asked)])""",
            N=cnode.name,
            Map=map,
        )
    assert sorted(alice.finish() + bob.finish()) == list(range(500))


# --- keys, values, to_list, size


def test_lists_of_what_there_is(maps, hash):
    assert sorted(maps.to_list(hash)) == HASH_PAIRS
    assert sorted(maps.keys(hash)) == [u32(1), u32(3)]
    assert sorted(maps.values(hash)) == [u64(2), u64(4)]
    assert maps.size(hash) == 2


def test_keys_and_values_come_in_one_order(maps, thousand):
    pairs = maps.to_list(thousand)
    assert sorted(pairs) == THOUSAND
    assert list(zip(maps.keys(thousand), maps.values(thousand))) == pairs


def test_an_empty_map_gives_empty_lists(maps):
    map = maps.new("hash", 4, 8, 4)
    assert maps.to_list(map) == maps.keys(map) == maps.values(map) == []
    assert maps.size(map) == 0
    assert maps.drain(map) == []
    assert maps.next_chunk("start", map, 10) == ([], "done")
    assert maps.drain_chunk("start", map, 10) == ([], "done")


@pytest.mark.parametrize("type", ["hash", "lru_hash", "percpu_hash", "array"])
@pytest.mark.parametrize("count", [1, 2, 255, 256, 257, 5000])
def test_size_is_the_length_of_the_list(type, count, maps):
    map = maps.new(type, 4, 4, 20000 if type == "lru_hash" else count)
    maps.merge(map, [(key, 1) for key in range(count)])
    assert maps.size(map) == len(maps.to_list(map)) == count


@pytest.mark.parametrize("key_size", [1, 3, 4, 17, 511])
@pytest.mark.parametrize("value_size", [1, 3, 8, 1000])
@pytest.mark.parametrize("type", ["hash", "percpu_hash", "lru_hash"])
def test_entries_of_any_size_are_told_apart(type, key_size, value_size, maps):
    map = maps.new(type, key_size, value_size, 500)
    pairs = {
        key.to_bytes(key_size, ORDER): bytes([key % 256]) * value_size
        for key in range(100)
    }
    maps.merge(map, pairs)
    many = (lambda value: [value] * CPUS) if "percpu" in type else (lambda v: v)
    expected = {key: many(value) for key, value in pairs.items()}
    assert dict(maps.to_list(map)) == expected
    assert dict(chunked(maps, map, 7)) == expected
    assert dict(maps.drain(map)) == expected


def test_each_cpus_value_stands_in_its_place(maps):
    map = maps.new("percpu_hash", 4, 5, 100)
    pairs = {
        key: [bytes([key, cpu, 0, 0, 0]) for cpu in range(CPUS)] for key in range(50)
    }
    maps.merge(map, pairs)
    expected = {u32(key): value for key, value in pairs.items()}
    assert dict(maps.to_list(map)) == expected
    assert with_(maps, list(pairs), map) == pairs
    assert dict(chunked(maps, map, 3)) == expected
    assert dict(maps.drain(map)) == expected


@pytest.mark.parametrize("type", ["hash", "array"])
def test_values_of_4_mib_are_listed(type, maps):
    map = maps.new(type, 4, 4 * MIB - 65536, 3)
    for key in range(3):
        maps.put(key, key + 1, map)
    assert sorted(len(value) for value in maps.values(map)) == [4 * MIB - 65536] * 3
    chunks = chunks_of(maps, map, 10)
    if type == "array":
        assert [len(chunk) for chunk in chunks if chunk] == [1, 1, 1]
    told = sorted((key, value[0]) for key, value in flat(chunks))
    assert told == [(u32(key), key + 1) for key in range(3)]


# --- with, without


def test_with_gives_those_that_are_there_under_the_keys_that_were_given(maps, hash):
    assert with_(maps, [1, 9, u32(3)], hash) == {1: u64(2), u32(3): u64(4)}
    assert with_(maps, [], hash) == {}
    assert with_(maps, [9], hash) == {}


def test_a_key_that_comes_twice_comes_once(maps, hash, alice, cnode):
    assert with_(maps, [1, 1, 9, 9, 1], hash) == {1: u64(2)}
    size = alice.eval(
        "map_size(erpc:call(N, ebpf_maps, with, [[1, 3, 1, 3, 1], Map]))",
        N=cnode.name,
        Map=hash,
    )
    assert size == 2


def test_two_forms_of_one_key_are_two_keys(maps, hash):
    assert with_(maps, [1, u32(1)], hash) == {1: u64(2), u32(1): u64(2)}


@pytest.mark.parametrize("count", [33, 1000])
def test_with_takes_many_keys(count, maps, thousand):
    keys = list(range(0, 2 * count, 2))
    expected = {key: u64(key * 7) for key in keys if key < 1000}
    assert with_(maps, keys, thousand) == expected


def test_a_list_of_small_numbers_is_keys_too(maps, thousand, alice, cnode):
    """It travels as a string."""
    found = alice.eval(
        'erpc:call(N, ebpf_maps, with, ["abc", Map])', N=cnode.name, Map=thousand
    )
    assert found == {ord(c): u64(7 * ord(c)) for c in "abc"}
    alice.eval(
        'erpc:call(N, ebpf_maps, without, ["abc", Map])', N=cnode.name, Map=thousand
    )
    assert maps.size(thousand) == 997


def test_without_removes_what_is_there(maps, hash):
    assert maps.without([1, 9, 1], hash) == hash
    assert maps.to_list(hash) == HASH_PAIRS[1:]
    assert maps.without([], hash) == hash
    assert maps.to_list(hash) == HASH_PAIRS[1:]


NO_KEY_LISTS = {
    "an atom": "x",
    "a number": 1,
    "a binary": b"1234",
    "a tuple": (1,),
    "a map": {1: 1},
    "a bad key at the end": [1, 3, b"x"],
    "a bad key at the start": ["x", 1],
    "a key that is too big": [1, 2**32],
    "a list in a list": [[1]],
    "an improper list": etf.Improper((1, 3), 1),
}


@pytest.mark.parametrize("what", NO_KEY_LISTS)
def test_what_is_no_list_of_keys_raises_badarg(what, maps, hash):
    with raises("badarg"):
        with_(maps, NO_KEY_LISTS[what], hash)
    with raises("badarg"):
        maps.without(NO_KEY_LISTS[what], hash)
    assert sorted(maps.to_list(hash)) == HASH_PAIRS


# --- merge


@pytest.mark.parametrize("form", [list, dict])
def test_merge_puts_and_replaces(form, maps, hash):
    assert maps.merge(hash, form([(1, 10), (u32(5), 6)])) == hash
    expected = [(u32(1), u64(10)), (u32(3), u64(4)), (u32(5), u64(6))]
    assert sorted(maps.to_list(hash)) == expected


@pytest.mark.parametrize("nothing", [[], {}], ids=str)
def test_merge_of_nothing_does_nothing(nothing, maps, hash):
    assert maps.merge(hash, nothing) == hash
    assert sorted(maps.to_list(hash)) == HASH_PAIRS


def test_of_two_values_for_a_key_the_later_stays(maps):
    for type in ("hash", "array", "percpu_array"):
        map = maps.new(type, 4, 4, 4)
        maps.merge(map, [(1, 1), (2, 2), (1, 3), (2, 4)])
        stays = [maps.get(1, map), maps.get(2, map)]
        if "percpu" in type:
            stays = [value[0] for value in stays]
        assert stays == [u32(3), u32(4)]


@pytest.mark.parametrize("count", [255, 65536, 100000])
def test_merge_takes_many_pairs(count, maps):
    map = maps.new("hash", 4, 4, count)
    assert maps.merge(map, [(key, key ^ 0x5A5A) for key in range(count)]) == map
    assert maps.size(map) == count
    for key in (0, 1, count // 2, count - 1):
        assert maps.get(key, map) == u32(key ^ 0x5A5A)


NO_PAIRS = {
    "an atom": "x",
    "a number": 1,
    "a binary": b"",
    "a tuple": (1, 1),
    "no pair": [(5, 5), 6],
    "a triple": [(5, 5), (6, 6, 6)],
    "a single": [(5, 5), (6,)],
    "a list for a pair": [(5, 5), [6, 6]],
    "a bad key": [(5, 5), (b"x", 6)],
    "a bad value": [(5, 5), (6, b"x")],
    "a bad first value": [(5, "x"), (6, 6)],
    "a key that is too big": [(5, 5), (2**32, 6)],
    "a value that is too big": [(5, 5), (6, 2**64)],
    "a map with a bad key": {5: 5, "x": 6},
    "a map with a bad value": {5: 5, 6: "x"},
    "an improper list": etf.Improper(((5, 5), (6, 6)), "x"),
    "an improper list that ends in a pair": etf.Improper(((5, 5),), (6, 6)),
    "no pair in the middle": [(5, 5), 6, (7, 7)],
    "a string": [1, 2, 3],
}


@pytest.mark.parametrize("what", NO_PAIRS)
def test_merge_puts_nothing_where_a_pair_is_bad(what, maps, hash):
    with raises("badarg"):
        maps.merge(hash, NO_PAIRS[what])
    assert sorted(maps.to_list(hash)) == HASH_PAIRS


def test_merge_puts_nothing_where_the_last_of_many_is_bad(maps):
    map = maps.new("hash", 4, 4, 50000)
    pairs = [(key, key) for key in range(40000)]
    with raises("badarg"):
        maps.merge(map, [*pairs, (1, b"x")])
    assert maps.size(map) == 0


@pytest.mark.parametrize("type", ["hash", "percpu_hash"])
@pytest.mark.parametrize("room", [1, 10, 30000])
def test_merge_tells_how_many_it_put_when_the_map_got_full(type, room, maps):
    map = maps.new(type, 4, 4, room)
    pairs = [(key, key) for key in range(room + 5)]
    with raises(("e2big", room)):
        maps.merge(map, pairs)
    assert sorted(maps.keys(map)) == sorted(u32(key) for key in range(room))


def test_merge_counts_in_the_order_of_the_list(maps):
    array = maps.new("array", 4, 4, 10)
    with raises(("e2big", 3)):
        maps.merge(array, [(7, 1), (2, 2), (9, 3), (10, 4), (0, 5)])
    values = {k: v for k, v in maps.to_list(array) if v != u32(0)}
    assert values == {u32(7): u32(1), u32(2): u32(2), u32(9): u32(3)}


def test_merge_into_a_trie_stops_where_the_kernel_does(maps):
    map = maps.new("lpm_trie", 8, 4, 10, NO_PREALLOC)
    good = [(((10, 0, n, 0), 24), n) for n in range(2)]
    too_long = (u32(33) + bytes(4), 1)
    with raises(("einval", 2)):
        maps.merge(map, [*good, too_long, (((10, 0, 9, 0), 24), 9)])
    assert maps.size(map) == 2
    with raises(("einval", 0)):
        maps.merge(map, [too_long])


@pytest.mark.parametrize("type, order", [("queue", 1), ("stack", -1)])
def test_merge_pushes_until_a_queue_is_full(type, order, maps):
    map = maps.new(type, 0, 4, 3)
    with raises(("e2big", 3)):
        maps.merge(map, [(b"", value) for value in range(5)])
    assert maps.drain(map) == [(b"", u32(v)) for v in range(3)][::order]


def test_merge_into_another_map_of_the_same_shape_copies_it(maps, thousand):
    copy = maps.new("hash", 4, 8, 1000)
    maps.merge(copy, maps.to_list(thousand))
    assert sorted(maps.to_list(copy)) == THOUSAND


# --- what is no map, no key

WHOLE = {
    "find": lambda maps, map: maps.find(1, map),
    "is_key": lambda maps, map: maps.is_key(1, map),
    "keys": lambda maps, map: maps.keys(map),
    "values": lambda maps, map: maps.values(map),
    "to_list": lambda maps, map: maps.to_list(map),
    "size": lambda maps, map: maps.size(map),
    "with": lambda maps, map: with_(maps, [1], map),
    "without": lambda maps, map: maps.without([1], map),
    "merge": lambda maps, map: maps.merge(map, [(1, 1)]),
    "insert": lambda maps, map: maps.insert(1, 1, map),
    "clear": lambda maps, map: maps.clear(map),
    "drain": lambda maps, map: maps.drain(map),
    "next_chunk": lambda maps, map: maps.next_chunk("start", map, 1),
    "drain_chunk": lambda maps, map: maps.drain_chunk("start", map, 1),
    "push": lambda maps, map: maps.push(1, map),
    "pop": lambda maps, map: maps.pop(map),
    "peek": lambda maps, map: maps.peek(map),
    "info": lambda maps, map: maps.info(map),
    "type": lambda maps, map: maps.type(map),
    "pin": lambda maps, map: maps.pin(b"/sys/fs/bpf/never", map),
    "unpin": lambda maps, map: maps.unpin(b"/sys/fs/bpf/never", map),
    "freeze": lambda maps, map: maps.freeze(map),
}
NO_MAPS = {
    "atom": "map",
    "integer": 7,
    "binary": b"ebpf_map",
    "empty list": [],
    "Erlang map": {1: 2},
    "empty tuple": (),
    "tag alone": ("ebpf_map",),
    "strange reference": ("ebpf_map", etf.ref("x@y", [1, 2, 3]), "hash", 4, 8, 4),
}


@pytest.mark.parametrize("call", WHOLE)
@pytest.mark.parametrize("what", NO_MAPS)
def test_what_is_no_map_raises_badmap(call, what, maps):
    with raises(("badmap", NO_MAPS[what])):
        WHOLE[call](maps, NO_MAPS[what])


@pytest.mark.parametrize("call", WHOLE)
def test_a_closed_map_raises_badmap(call, maps, hash):
    maps.close(hash)
    with raises(("badmap", hash)):
        WHOLE[call](maps, hash)


@pytest.mark.parametrize(
    "key",
    [b"", b"123", b"12345", "x", 1.0, [], (1,), {}, 2**32, -(2**31) - 1],
    ids=repr,
)
def test_what_is_no_key_raises_badarg(key, maps, hash):
    for call in (
        lambda: maps.find(key, hash),
        lambda: maps.is_key(key, hash),
        lambda: maps.insert(key, 1, hash),
        lambda: with_(maps, [key], hash),
        lambda: maps.without([key], hash),
        lambda: maps.merge(hash, [(key, 1)]),
    ):
        with raises("badarg"):
            call()
    assert sorted(maps.to_list(hash)) == HASH_PAIRS


@pytest.mark.parametrize(
    "value", [b"", b"1234567", "x", 1.0, [], (1,), {}, 2**64], ids=repr
)
def test_what_is_no_value_raises_badarg(value, maps, hash):
    with raises("badarg"):
        maps.insert(5, value, hash)
    with raises("badarg"):
        maps.merge(hash, [(5, value)])
    queue = maps.new("queue", 0, 8, 4)
    with raises("badarg"):
        maps.push(value, queue)
    assert sorted(maps.to_list(hash)) == HASH_PAIRS
    assert maps.pop(queue) == "empty"
