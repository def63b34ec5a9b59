# SPDX-License-Identifier: Apache-2.0
"""What each function of ebpf_maps takes, gives and raises."""

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import etf
from conftest import raises
from native import native, u32, u64

pytestmark = pytest.mark.single


@pytest.fixture
def hash(maps):
    """4 bytes to 8, one entry 1 -> 2, room for 4."""
    map = maps.new("hash", 4, 8, 4)
    maps.put(u32(1), u64(2), map)
    return map


@pytest.fixture
def array(maps):
    return maps.new("array", 4, 8, 4)


# --- what is no map, no key, no value

NO_MAPS = {
    "atom": "map",
    "integer": 7,
    "binary": b"ebpf_map",
    "list": [1],
    "map": {"ebpf_map": 1},
    "empty tuple": (),
    "tag alone": ("ebpf_map",),
    "number for a reference": ("ebpf_map", 7, "hash", 4, 8, 4),
    "another tag": ("ebpf", etf.ref("x@y", [1, 2, 3]), "hash", 4, 8, 4),
    "strange reference": ("ebpf_map", etf.ref("x@y", [1, 2, 3]), "hash", 4, 8, 4),
    "short reference": ("ebpf_map", etf.ref("x@y", [1]), "hash", 4, 8, 4),
    "long reference": ("ebpf_map", etf.ref("x@y", [1] * 5), "hash", 4, 8, 4),
    "too short": ("ebpf_map", etf.ref("x@y", [1, 2, 3]), "hash", 4, 8),
    "too long": ("ebpf_map", etf.ref("x@y", [1, 2, 3]), "hash", 4, 8, 4, 4),
}

CALLS = {
    "get/2": lambda maps, map: maps.get(u32(1), map),
    "get/3": lambda maps, map: maps.get(u32(1), map, "none"),
    "put": lambda maps, map: maps.put(u32(1), u64(1), map),
    "update": lambda maps, map: maps.update(u32(1), u64(1), map),
    "remove": lambda maps, map: maps.remove(u32(1), map),
    "take": lambda maps, map: maps.take(u32(1), map),
    "iterator": lambda maps, map: maps.iterator(map),
    "fd": lambda maps, map: maps.fd(map),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("what", NO_MAPS)
def test_what_is_no_map_raises_badmap(call, what, maps):
    with raises(("badmap", NO_MAPS[what])):
        CALLS[call](maps, NO_MAPS[what])


@pytest.mark.parametrize("call", CALLS)
def test_a_closed_map_raises_badmap(call, maps, hash):
    maps.close(hash)
    with raises(("badmap", hash)):
        CALLS[call](maps, hash)


@pytest.mark.parametrize("call", CALLS)
def test_a_map_of_another_c_node_raises_badmap(call, maps, start_cnode, alice):
    other = alice.erpc(start_cnode().name, "new", "hash", 4, 8, 4)
    with raises(("badmap", other)):
        CALLS[call](maps, other)


def test_close_of_what_has_a_handles_shape_gives_ebadf(maps, hash):
    strange = NO_MAPS["strange reference"]
    assert maps.close(strange) == ("error", "ebadf")
    assert maps.close(hash) == "ok"
    assert maps.close(hash) == ("error", "ebadf")


@pytest.mark.parametrize(
    "what", ["atom", "integer", "binary", "list", "map", "empty tuple", "another tag"]
)
def test_close_of_what_has_not_raises_badmap(what, maps):
    with raises(("badmap", NO_MAPS[what])):
        maps.close(NO_MAPS[what])


NO_KEYS = {
    "empty": b"",
    "short": b"123",
    "long": b"12345",
    "very long": b"1" * 100000,
    "atom": "abcd",
    "float": 1.0,
    "list": [1, 2, 3, 4],
    "empty list": [],
    "tuple": (1,),
    "map": {},
    "bits": etf.Opaque("bitstring", bytes.fromhex("4d000000040301020380")),
    "pid": etf.pid("x@y", 1),
    "too big": 2**32,
    "too small": -(2**31) - 1,
    "huge": 2**4000,
    "huge below": -(2**4000),
}
KEYED = {
    "get/2": lambda maps, key, map: maps.get(key, map),
    "get/3": lambda maps, key, map: maps.get(key, map, "none"),
    "put": lambda maps, key, map: maps.put(key, u64(1), map),
    "update": lambda maps, key, map: maps.update(key, u64(1), map),
    "remove": lambda maps, key, map: maps.remove(key, map),
    "take": lambda maps, key, map: maps.take(key, map),
}


@pytest.mark.parametrize("call", KEYED)
@pytest.mark.parametrize("what", NO_KEYS)
def test_what_is_no_key_raises_badarg(call, what, maps, hash):
    with raises("badarg"):
        KEYED[call](maps, NO_KEYS[what], hash)
    assert maps.walk(hash) == [(u32(1), u64(2))]


NO_VALUES = {
    "empty": b"",
    "short": b"1234567",
    "long": b"123456789",
    "very long": b"1" * 100000,
    "atom": "abcdefgh",
    "float": 1.0,
    "string": [1, 2, 3, 4, 5, 6, 7, 8],
    "list of one": [b"12345678"],
    "empty list": [],
    "tuple": (1,),
    "map": {},
    "bits": etf.Opaque("bitstring", b"\x4d\0\0\0\x08\x04" + b"1234567\x80"),
    "reference": etf.ref("x@y", [1, 2, 3]),
    "too big": 2**64,
    "too small": -(2**63) - 1,
    "huge": 2**4000,
}


@pytest.mark.parametrize("call", ["put", "update"])
@pytest.mark.parametrize("what", NO_VALUES)
def test_what_is_no_value_raises_badarg(call, what, maps, hash):
    with raises("badarg"):
        maps.call(call, u32(1), NO_VALUES[what], hash)
    assert maps.walk(hash) == [(u32(1), u64(2))]


# --- get, put, update, remove, take on a hash and an array


def test_get_gives_the_value(maps, hash):
    assert maps.get(u32(1), hash) == u64(2)


def test_get_of_an_absent_key_raises_badkey_as_it_was_given(maps, hash):
    with raises(("badkey", u32(9))):
        maps.get(u32(9), hash)
    with raises(("badkey", 9)):
        maps.get(9, hash)
    with raises(("badkey", -9)):
        maps.get(-9, hash)


def test_get_3_gives_the_value_or_the_default(maps, hash):
    assert maps.get(u32(1), hash, "none") == u64(2)
    assert maps.get(u32(9), hash, "none") == "none"


DEFAULTS = [
    "0",
    "-1",
    "1 bsl 62",
    "-(1 bsl 3000)",
    "1.5",
    '"string"',
    '"\\x{1f41d}"',
    "[]",
    "[a | b]",
    "<<>>",
    "<<1:3>>",
    "{}",
    "erlang:make_tuple(300, x)",
    "#{a => #{}, 1 => [2]}",
    "self()",
    "make_ref()",
    "fun lists:map/2",
    "fun(X) -> X + 1 end",
    "hd(erlang:ports())",
    "lists:foldl(fun(_, A) -> [A] end, [], lists:seq(1, 50))",
    "binary:copy(<<7>>, 1000000)",
    "lists:seq(1, 70000)",
    "'\\x{1f41d}'",
]


@pytest.mark.parametrize("default", DEFAULTS)
def test_a_default_of_any_kind_comes_back_as_it_was(default, alice, cnode, hash):
    same = alice.eval(
        f"D = {default}, D =:= erpc:call(N, ebpf_maps, get, [<<9:32>>, Map, D])",
        N=cnode.name,
        Map=hash,
    )
    assert same == "true"


def test_put_gives_the_map_and_replaces_the_value(maps, hash):
    assert maps.put(u32(1), u64(3), hash) == hash
    assert maps.put(u32(5), u64(6), hash) == hash
    assert sorted(maps.walk(hash)) == sorted([(u32(1), u64(3)), (u32(5), u64(6))])


def test_put_into_a_full_map_raises_e2big(maps, hash):
    for key in (2, 3, 4):
        maps.put(key, key, hash)
    with raises("e2big"):
        maps.put(5, 5, hash)
    assert maps.put(4, 44, hash) == hash


def test_update_replaces_what_is_there_only(maps, hash):
    assert maps.update(u32(1), u64(3), hash) == hash
    assert maps.get(u32(1), hash) == u64(3)
    with raises(("badkey", u32(9))):
        maps.update(u32(9), u64(3), hash)
    assert maps.walk(hash) == [(u32(1), u64(3))]


def test_remove_gives_the_map_there_or_not(maps, hash):
    assert maps.remove(u32(1), hash) == hash
    assert maps.remove(u32(1), hash) == hash
    assert maps.walk(hash) == []


def test_take_gives_the_value_and_removes_it(maps, hash):
    assert maps.take(u32(1), hash) == (u64(2), hash)
    assert maps.take(u32(1), hash) == "error"
    assert maps.walk(hash) == []


def test_an_array_is_there_and_zero_from_the_start(maps, array):
    assert maps.walk(array) == [(u32(i), u64(0)) for i in range(4)]


def test_an_array_takes_values_at_its_indexes(maps, array):
    assert maps.put(3, 7, array) == array
    assert maps.update(0, -1, array) == array
    values = [maps.get(i, array) for i in range(4)]
    assert values == [b"\xff" * 8, u64(0), u64(0), u64(7)]


@pytest.mark.parametrize("type", ["array", "percpu_array"])
def test_an_index_outside_of_an_array_is_no_key(type, maps):
    array = maps.new(type, 4, 8, 4)
    for index in (4, 2**32 - 1, -1):
        with raises(("badkey", index)):
            maps.get(index, array)
        assert maps.get(index, array, "none") == "none"
        with raises("e2big"):
            maps.put(index, 1, array)
        with raises(("badkey", index)):
            maps.update(index, 1, array)
        with raises("einval"):
            maps.remove(index, array)


def test_nothing_can_be_removed_from_an_array(maps, array):
    maps.put(1, 7, array)
    with raises("einval"):
        maps.remove(1, array)
    with raises("einval"):
        maps.take(1, array)
    assert maps.get(1, array) == u64(7)


def test_fd_is_the_maps_descriptor_in_the_c_node(maps, cnode, hash):
    with open(f"/proc/{cnode.pid}/fdinfo/{maps.fd(hash)}") as f:
        info = dict(line.split(":\t") for line in f.read().splitlines())
    assert (info["key_size"], info["value_size"]) == ("4", "8")
    assert (info["map_type"], info["max_entries"]) == ("1", "4")


def test_fd_of_two_maps_differs(maps, hash, array):
    assert maps.fd(hash) != maps.fd(array)
    assert maps.fd(hash) > 2


# --- integers


def edges(size):
    bits = 8 * size
    inside = [0, 1, 127, 128, 255, -1, -128]
    inside += [2 ** (bits - 1) - 1, 2 ** (bits - 1), 2**bits - 1, -(2 ** (bits - 1))]
    return sorted(set(inside))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 16, 300])
def test_an_integer_key_is_twos_complement_in_host_order(size, maps):
    for number in edges(size):
        map = maps.new("hash", size, 1, 1)
        maps.put(number, 1, map)
        assert maps.walk(map) == [(native(number, size), b"\x01")]
        assert maps.get(number, map) == b"\x01"
        assert maps.update(number, 2, map) == map
        assert maps.take(number, map) == (b"\x02", map)
        maps.close(map)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 16, 300])
def test_an_integer_value_is_twos_complement_in_host_order(size, maps):
    map = maps.new("array", 4, size, 1)
    for number in edges(size):
        maps.put(0, number, map)
        assert maps.get(0, map) == native(number, size)
        maps.put(0, 0, map)
        maps.update(0, number, map)
        assert maps.get(0, map) == native(number, size)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 16, 300])
def test_an_integer_outside_of_the_size_raises_badarg(size, maps):
    map = maps.new("hash", size, size, 1)
    for number in (2 ** (8 * size), -(2 ** (8 * size - 1)) - 1):
        with raises("badarg"):
            maps.put(number, 0, map)
        with raises("badarg"):
            maps.put(0, number, map)
    assert maps.walk(map) == []


@given(st.data())
@settings(
    max_examples=60,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_integer_is_stored_whole_or_refused(maps, data):
    size = data.draw(st.integers(1, 40), "size")
    limit = 2 ** (8 * size)
    number = data.draw(st.integers(-limit, 2 * limit), "number")
    map = maps.new("hash", size, size, 1)
    try:
        if -limit // 2 <= number < limit:
            maps.put(number, number, map)
            stored = native(number, size)
            assert maps.walk(map) == [(stored, stored)]
        else:
            with raises("badarg"):
                maps.put(number, bytes(size), map)
            with raises("badarg"):
                maps.put(bytes(size), number, map)
            assert maps.walk(map) == []
    finally:
        maps.close(map)
