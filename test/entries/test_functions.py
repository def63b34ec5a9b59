# SPDX-License-Identifier: Apache-2.0
"""What each function of ebpf_maps takes, gives and raises."""

import ctypes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import etf
from beam import BeamError
from cluster import wait_until
from conftest import raises
from host import CPUS, PAGE
from native import ORDER, prefix, u32, u64


@pytest.fixture
def hash(maps):
    """4 bytes to 8, one entry 1 -> 2, room for 4."""
    map = maps.new("hash", 4, 8, 4)
    maps.put(u32(1), u64(2), map)
    return map


@pytest.fixture
def array(maps):
    return maps.new("array", 4, 8, 4)


# --- new/4,5


def known_types():
    name_of = ctypes.CDLL("libbpf.so.1").libbpf_bpf_map_type_str
    name_of.restype = ctypes.c_char_p
    names = []
    while name := name_of(len(names)):
        names.append(name.decode())
    return names


ISSUE_TYPES = """
    unspec hash array prog_array perf_event_array percpu_hash percpu_array
    stack_trace cgroup_array lru_hash lru_percpu_hash lpm_trie array_of_maps
    hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
    reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash
    struct_ops ringbuf inode_storage task_storage""".split()


def test_libbpf_knows_the_documented_types():
    assert set(ISSUE_TYPES) <= set(known_types())


@pytest.mark.parametrize("type", known_types())
def test_each_type_that_libbpf_knows_goes_to_the_kernel(type, maps):
    """It is made or refused by the kernel; badarg would be raised."""
    map = maps.new(type, 3, 5, 7)
    if map[0] == "error":
        assert map[1] in ("einval", "ebadf", "enotsup")
    else:
        assert map[2:] == (type, 3, 5, 7)


PLAIN = [
    ("hash", 4, 8, 16),
    ("array", 4, 8, 16),
    ("prog_array", 4, 4, 16),
    ("perf_event_array", 4, 4, CPUS),
    ("percpu_hash", 4, 8, 16),
    ("percpu_array", 4, 8, 16),
    ("stack_trace", 4, 80, 16),
    ("cgroup_array", 4, 4, 16),
    ("lru_hash", 4, 8, 16),
    ("lru_percpu_hash", 4, 8, 16),
    ("devmap", 4, 4, 16),
    ("devmap", 4, 8, 16),
    ("devmap_hash", 4, 8, 16),
    ("sockmap", 4, 4, 16),
    ("sockmap", 4, 8, 16),
    ("sockhash", 4, 8, 16),
    ("cpumap", 4, 4, CPUS),
    ("cpumap", 4, 8, CPUS),
    ("xskmap", 4, 4, 16),
    ("reuseport_sockarray", 4, 8, 16),
    ("cgroup_storage", 8, 8, 0),
    ("cgroup_storage", 16, 8, 0),
    ("percpu_cgroup_storage", 8, 8, 0),
    ("queue", 0, 8, 16),
    ("stack", 0, 8, 16),
    ("bloom_filter", 0, 8, 16),
    ("ringbuf", 0, 0, PAGE),
    ("user_ringbuf", 0, 0, PAGE),
]


@pytest.mark.parametrize("shape", PLAIN, ids=str)
def test_a_type_without_options_is_made_and_closed(shape, maps, cnode):
    before = cnode.map_count()
    map = maps.new(*shape)
    assert map[0] == "ebpf_map"
    assert map[2:] == shape
    assert cnode.map_count() == before + 1
    assert maps.close(map) == "ok"
    assert cnode.map_count() == before


@pytest.mark.parametrize("options", [[], ["no_prealloc"]], ids=str)
def test_an_lpm_trie_is_made_with_no_prealloc_said_or_not(options, maps):
    map = maps.new("lpm_trie", 8, 4, 4, options)
    assert map[2:] == ("lpm_trie", 8, 4, 4)


@pytest.mark.parametrize(
    "args, posix",
    [
        (("unspec", 4, 4, 1), "einval"),
        (("hash", 0, 4, 1), "einval"),
        (("hash", 4, 0, 1), "einval"),
        (("hash", 4, 4, 0), "einval"),
        (("array", 8, 4, 1), "einval"),
        (("queue", 4, 4, 1), "einval"),
        (("ringbuf", 0, 0, PAGE + 1), "einval"),
        (("hash", 2**32 - 1, 4, 1), "e2big"),
        (("hash", 4, 2**32 - 1, 1), "e2big"),
        (("hash", 4, 2**32 - 1, 2**32 - 1), "enomem"),  # --max-map-memory
        (("percpu_hash", 4, 32769, 1), "e2big"),
        (("hash", 4, 4, 1, ["clone"]), "einval"),
        (("hash", 4, 4, 1, ["mmapable"]), "einval"),
        (("array", 4, 4, 1, ["no_prealloc"]), "einval"),
        (("hash", 4, 4, 1, ["read", "write"]), "einval"),
    ],
    ids=str,
)
def test_what_the_kernel_refuses_is_an_error_value(args, posix, maps):
    assert maps.new(*args) == ("error", posix)


@pytest.mark.parametrize(
    "type",
    ["nope", "HASH", "", "hash\0", "hash\0x", 1, b"hash", list(b"hash"), {}],
    ids=repr,
)
def test_new_of_what_is_no_type_raises_badarg(type, maps):
    with raises("badarg"):
        maps.new(type, 4, 4, 1)


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("size", [-1, 2**32, 2**64 + 4, 4.0, "four", b"4", [4], ()])
def test_new_of_what_is_no_size_raises_badarg(place, size, maps):
    args = ["hash", 4, 4, 1]
    args[place] = size
    with raises("badarg"):
        maps.new(*args)


@pytest.mark.parametrize(
    "options",
    [
        "no_prealloc",
        b"",
        {},
        ["nope"],
        ["no_prealloc", "nope"],
        [1],
        [0, 1, 2],
        [[]],
        [("name",)],
        [("name", 1)],
        [("name", 1.0)],
        [("name", ("a",))],
        [("name", "a", "b")],
        [("name", [b"a"])],
        [("name", [97, "b"])],
        [("name", [97, -1])],
        [("no_prealloc", "true")],
        [("nope", "a")],
        etf.Improper(("no_prealloc",), "read"),
    ],
    ids=str,
)
def test_new_of_what_is_no_option_raises_badarg(options, maps):
    with raises("badarg"):
        maps.new("hash", 4, 4, 1, options)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["no_prealloc"],
        ["read"],
        ["write"],
        ["zero_seed"],
        ["prog_read"],
        ["prog_write"],
        ["no_prealloc", "zero_seed", ("name", "all")],
    ],
    ids=str,
)
def test_an_option_of_a_hash_is_taken(options, maps):
    assert maps.new("hash", 4, 4, 1, options)[2:] == ("hash", 4, 4, 1)


def test_an_array_can_be_mmapable(maps):
    assert maps.new("array", 4, 4, 1, ["mmapable"])[0] == "ebpf_map"


def test_a_map_made_with_read_cannot_be_written(maps):
    map = maps.new("array", 4, 4, 1, ["read"])
    assert maps.get(0, map) == u32(0)
    with raises("eperm"):
        maps.put(0, 1, map)


def test_a_map_made_with_write_cannot_be_read(maps):
    map = maps.new("array", 4, 4, 1, ["write"])
    assert maps.put(0, 1, map) == map
    with raises("eperm"):
        maps.get(0, map)


FIFTEEN = "abc_XYZ.0123456"


@pytest.mark.parametrize("name", ["", "a", "_.", FIFTEEN])
@pytest.mark.parametrize("form", [str, str.encode, lambda s: list(s.encode())])
def test_a_name_is_taken_as_atom_binary_or_string(name, form, maps):
    assert maps.new("hash", 4, 4, 1, [("name", form(name))])[0] == "ebpf_map"


@pytest.mark.parametrize(
    "name",
    [FIFTEEN + "7", "a" * 255, "a-b", "a b", "a\0b", "a\0", "\0", "a/b", "\u00e9"],
    ids=repr,
)
@pytest.mark.parametrize("form", [str, str.encode, lambda s: [ord(c) for c in s]])
def test_a_name_that_the_kernel_refuses_is_einval(name, form, maps):
    assert maps.new("hash", 4, 4, 1, [("name", form(name))]) == ("error", "einval")


def test_a_name_with_a_character_beyond_latin_1_is_einval(maps):
    for name in ("\U0001f41d", [0x1F41D], "\U0001f41d".encode()):
        made = maps.new("hash", 4, 4, 1, [("name", name)])
        assert made == ("error", "einval")


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


def native(number, size):
    return number.to_bytes(size, ORDER, signed=number < 0)


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


# --- per-CPU maps

PERCPU = ["percpu_hash", "lru_percpu_hash", "percpu_array"]


@pytest.fixture(params=PERCPU)
def percpu(request, maps):
    """A per-CPU map of 5 bytes, which the kernel rounds up to 8."""
    return maps.new(request.param, 4, 5, 8)


def test_a_per_cpu_value_is_a_binary_for_each_possible_cpu(maps, percpu):
    value = [bytes([cpu, 2, 3, 4, 5]) for cpu in range(CPUS)]
    assert maps.put(0, value, percpu) == percpu
    assert maps.get(0, percpu) == value
    assert (u32(0), value) in maps.walk(percpu)


def test_one_value_is_put_for_all_cpus(maps, percpu):
    maps.put(0, b"12345", percpu)
    assert maps.get(0, percpu) == [b"12345"] * CPUS
    maps.update(0, 7, percpu)
    assert maps.get(0, percpu) == [native(7, 5)] * CPUS


def test_a_per_cpu_list_may_hold_integers(maps, percpu):
    """A list of small integers travels as a string."""
    maps.put(0, list(range(CPUS)), percpu)
    assert maps.get(0, percpu) == [native(cpu, 5) for cpu in range(CPUS)]
    maps.update(0, [-1] * CPUS, percpu)
    assert maps.get(0, percpu) == [b"\xff" * 5] * CPUS


@pytest.mark.parametrize(
    "value",
    [
        [],
        [b"12345"] * (CPUS - 1),
        [b"12345"] * (CPUS + 1),
        [b"12345"] * (CPUS - 1) + [b"1234"],
        [b"12345678"] * CPUS,
        [b"12345"] * (CPUS - 1) + ["atom"],
        [1] * (CPUS + 1),
        [2**40] * CPUS,
        [[b"12345"]] * CPUS,
        b"12345" * CPUS,
        b"12345678",
        "atom",
        2**40,
        etf.Improper((b"12345",) * CPUS, b"12345"),
        etf.Improper((b"12345",) * CPUS, "tail"),
    ],
    ids=str,
)
@pytest.mark.parametrize("call", ["put", "update"])
def test_what_is_no_per_cpu_value_raises_badarg(value, call, maps, percpu):
    maps.put(0, 1, percpu)
    with raises("badarg"):
        maps.call(call, 0, value, percpu)
    assert maps.get(0, percpu) == [native(1, 5)] * CPUS


@pytest.mark.parametrize("type", ["percpu_hash", "lru_percpu_hash"])
@pytest.mark.parametrize("size", [1, 8, 12, 4097])
def test_take_of_a_per_cpu_map_gives_the_list(type, size, maps):
    map = maps.new(type, 4, size, 8)
    value = [bytes([cpu + 1]) * size for cpu in range(CPUS)]
    maps.put(7, value, map)
    assert maps.take(7, map) == (value, map)
    assert maps.take(7, map) == "error"


def test_a_per_cpu_value_may_be_as_long_as_the_kernel_allows(maps):
    map = maps.new("percpu_array", 4, 32768, 1)
    value = [bytes([cpu + 1]) * 32768 for cpu in range(CPUS)]
    maps.put(0, value, map)
    assert maps.get(0, map) == value


# --- LRU, LPM


@pytest.mark.parametrize("type", ["lru_hash", "lru_percpu_hash"])
def test_an_lru_map_never_gets_full(type, maps):
    map = maps.new(type, 4, 8, 64)
    for key in range(200):
        maps.put(key, key, map)
    walked = maps.walk(map)
    assert 0 < len(walked) <= 200
    assert len({key for key, _ in walked}) == len(walked)


@pytest.fixture
def trie(maps):
    map = maps.new("lpm_trie", 8, 4, 8, ["no_prealloc"])
    maps.put(prefix(16, 10, 1, 0, 0), u32(16), map)
    maps.put(prefix(24, 10, 1, 2, 0), u32(24), map)
    return map


def test_a_trie_finds_the_longest_prefix(maps, trie):
    assert maps.get(prefix(32, 10, 1, 2, 3), trie) == u32(24)
    assert maps.get(prefix(32, 10, 1, 3, 3), trie) == u32(16)
    with raises(("badkey", prefix(32, 11, 0, 0, 0))):
        maps.get(prefix(32, 11, 0, 0, 0), trie)


def test_a_trie_refuses_a_prefix_that_is_too_long(maps, trie):
    with raises("einval"):
        maps.put(prefix(33, 1, 2, 3, 4), u32(1), trie)
    with raises(("badkey", prefix(33, 1, 2, 3, 4))):
        maps.get(prefix(33, 1, 2, 3, 4), trie)


def test_a_trie_is_walked_whole(maps, trie):
    assert sorted(maps.walk(trie)) == sorted(
        [
            (prefix(16, 10, 1, 0, 0), u32(16)),
            (prefix(24, 10, 1, 2, 0), u32(24)),
        ]
    )


def test_take_of_a_trie_takes_the_exact_prefix_only(maps, trie):
    assert maps.take(prefix(32, 10, 1, 2, 3), trie) == "error"
    assert maps.take(prefix(24, 10, 1, 2, 0), trie) == (u32(24), trie)
    assert maps.take(prefix(24, 10, 1, 2, 0), trie) == "error"
    assert maps.walk(trie) == [(prefix(16, 10, 1, 0, 0), u32(16))]


def test_update_of_a_trie_updates_the_exact_prefix_only(maps, trie):
    absent = prefix(32, 10, 1, 2, 3)
    with raises(("badkey", absent)):
        maps.update(absent, u32(1), trie)
    assert len(maps.walk(trie)) == 2
    maps.update(prefix(24, 10, 1, 2, 0), u32(25), trie)
    assert maps.get(absent, trie) == u32(25)


def test_remove_of_a_trie_removes_the_exact_prefix_only(maps, trie):
    assert maps.remove(prefix(32, 10, 1, 2, 3), trie) == trie
    assert len(maps.walk(trie)) == 2
    assert maps.remove(prefix(24, 10, 1, 2, 0), trie) == trie
    assert len(maps.walk(trie)) == 1


# --- maps without keys


@pytest.mark.parametrize("type, order", [("queue", 1), ("stack", -1)])
def test_a_queue_and_a_stack_give_back_in_their_order(type, order, maps):
    map = maps.new(type, 0, 4, 3)
    for value in (1, 2, 3):
        assert maps.put(b"", value, map) == map
    with raises("e2big"):
        maps.put(b"", 4, map)
    expected = [u32(1), u32(2), u32(3)][::order]
    assert maps.get(b"", map) == expected[0]
    assert [maps.take(b"", map) for _ in range(4)] == [
        *((value, map) for value in expected),
        "error",
    ]


@pytest.mark.parametrize("type", ["queue", "stack"])
def test_an_empty_queue_has_no_key(type, maps):
    map = maps.new(type, 0, 4, 3)
    with raises(("badkey", b"")):
        maps.get(b"", map)
    assert maps.get(b"", map, "none") == "none"
    assert maps.take(b"", map) == "error"


@pytest.mark.parametrize("type", ["queue", "stack"])
def test_update_and_remove_of_a_queue_raise_einval(type, maps):
    map = maps.new(type, 0, 4, 1)
    maps.put(b"", 1, map)
    with raises("einval"):
        maps.update(b"", 2, map)
    with raises("einval"):
        maps.remove(b"", map)
    assert maps.take(b"", map) == (u32(1), map)


@pytest.mark.parametrize("key", [b"\0", 0, 1, "x", [], b"1234"], ids=str)
@pytest.mark.parametrize("type", ["queue", "stack"])
def test_a_queue_takes_no_key_but_the_empty_one(type, key, maps):
    map = maps.new(type, 0, 4, 1)
    maps.put(b"", 1, map)
    for call in (
        lambda: maps.get(key, map),
        lambda: maps.put(key, 1, map),
        lambda: maps.take(key, map),
    ):
        with raises("badarg"):
            call()
    assert maps.get(b"", map) == u32(1)


@pytest.mark.parametrize(
    "shape",
    [
        ("queue", 0, 4, 4),
        ("stack", 0, 4, 4),
        ("bloom_filter", 0, 4, 4),
        ("ringbuf", 0, 0, PAGE),
    ],
    ids=str,
)
def test_a_map_without_keys_cannot_be_walked(shape, maps):
    map = maps.new(*shape)
    with pytest.raises(BeamError) as caught:
        maps.next(maps.iterator(map))
    assert caught.value.reason == "enotsup"


def test_a_bloom_filter_takes_values(maps):
    map = maps.new("bloom_filter", 0, 4, 16)
    assert maps.put(b"", 5, map) == map
    with raises("badarg"):
        maps.put(b"", b"12345", map)
    with raises("badarg"):
        maps.put(5, 5, map)
    with raises("enotsup"):
        maps.update(b"", 5, map)


# --- descriptor numbers

DESCRIPTORS = [
    ("prog_array", 4, 4, 4),
    ("perf_event_array", 4, 4, CPUS),
    ("cgroup_array", 4, 4, 4),
    ("sockmap", 4, 4, 4),
    ("sockmap", 4, 8, 4),
    ("sockhash", 4, 4, 4),
    ("sockhash", 4, 8, 4),
    ("reuseport_sockarray", 4, 4, 4),
    ("reuseport_sockarray", 4, 8, 4),
    ("xskmap", 4, 4, 4),
]


@pytest.mark.parametrize("shape", DESCRIPTORS, ids=str)
@pytest.mark.parametrize("call", ["put", "update"])
def test_a_descriptor_number_is_refused_as_a_value(shape, call, maps, hash):
    """A socket would have to be one of the C node's: there is no naming one."""
    map = maps.new(*shape)
    size = shape[2]
    sockets = ("sockmap", "sockhash", "reuseport_sockarray", "xskmap")
    refused = "enotsup" if shape[0] in sockets else "badarg"
    for number in (0, 1, maps.fd(hash), 2 ** (8 * size) - 1):
        with raises(refused):
            maps.call(call, u32(0), number, map)
        with raises(refused):
            maps.call(call, u32(0), number.to_bytes(size, ORDER), map)


LOOPBACK = 1
PROGRAM_VALUES = [
    ("devmap", 4, 8, 4, LOOPBACK),
    ("devmap_hash", 4, 8, 4, LOOPBACK),
    ("cpumap", 4, 8, CPUS, 64),
]


@pytest.mark.parametrize("row", PROGRAM_VALUES, ids=str)
def test_the_program_half_of_a_value_must_be_0(row, maps, hash):
    *shape, number = row
    map = maps.new(*shape)
    assert maps.put(u32(0), u32(number) + u32(0), map) == map
    assert maps.get(u32(0), map)[:4] == u32(number)
    for program in (1, maps.fd(hash), 2**32 - 1):
        value = u32(number) + u32(program)
        for refused in (value, int.from_bytes(value, ORDER)):
            with raises("badarg"):
                maps.put(u32(0), refused, map)
            with raises("badarg"):
                maps.update(u32(0), refused, map)


# --- device and CPU maps


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
def test_update_of_a_device_map_needs_an_entry(type, size, maps):
    """The kernel ignores BPF_EXIST for holes here."""
    map = maps.new(type, 4, size, 4)
    loopback = native(LOOPBACK, size)
    with raises(("badkey", 2)):
        maps.update(2, loopback, map)
    assert maps.get(2, map, "none") == "none"
    maps.put(2, loopback, map)
    assert maps.update(2, loopback, map) == map
    assert maps.walk(map) == [(u32(2), loopback)]


def test_an_index_outside_of_a_device_map_is_no_key(maps):
    map = maps.new("devmap", 4, 4, 4)
    with raises(("badkey", 4)):
        maps.get(4, map)
    with raises(("badkey", 4)):
        maps.update(4, u32(LOOPBACK), map)
    with raises("e2big"):
        maps.put(4, u32(LOOPBACK), map)


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
def test_take_of_a_device_map_gives_the_device_once(type, maps):
    map = maps.new(type, 4, 4, 4)
    maps.put(1, LOOPBACK, map)
    assert maps.take(1, map) == (u32(LOOPBACK), map)
    assert maps.take(1, map) == "error"
    assert maps.walk(map) == []


def test_remove_of_a_device_map_gives_the_map(maps):
    map = maps.new("devmap", 4, 4, 4)
    maps.put(1, LOOPBACK, map)
    assert maps.remove(1, map) == map
    assert maps.remove(1, map) == map
    assert maps.walk(map) == []


def test_a_cpu_map_is_used(maps):
    map = maps.new("cpumap", 4, 4, CPUS)
    assert maps.put(0, 64, map) == map
    assert maps.get(0, map) == u32(64)
    assert maps.walk(map) == [(u32(0), u32(64))]
    assert maps.remove(0, map) == map
    assert maps.get(0, map, "none") == "none"


# --- types that user space cannot read or fill


@pytest.mark.parametrize(
    "shape, reason",
    [
        (("ringbuf", 0, 0, PAGE), "enotsup"),
        (("user_ringbuf", 0, 0, PAGE), "enotsup"),
    ],
    ids=str,
)
def test_a_ring_buffer_has_no_entries(shape, reason, maps):
    map = maps.new(*shape)
    for call in (
        lambda: maps.get(b"", map),
        lambda: maps.put(b"", b"", map),
        lambda: maps.take(b"", map),
    ):
        with raises(reason):
            call()


def test_a_stack_trace_map_without_traces_is_empty(maps):
    map = maps.new("stack_trace", 4, 80, 4)
    with raises(("badkey", 1)):
        maps.get(1, map)
    assert maps.walk(map) == []
    assert maps.take(1, map) == "error"
    with raises("enotsup"):
        maps.put(1, bytes(80), map)


@pytest.mark.parametrize("type", ["perf_event_array", "cgroup_array"])
def test_an_array_of_what_cannot_be_read_has_no_such_operation(type, maps):
    map = maps.new(type, 4, 4, CPUS)
    for call in (lambda: maps.get(0, map), lambda: maps.take(0, map)):
        with raises("enotsup"):
            call()
    assert maps.remove(0, map) == map


def test_a_program_array_without_programs_is_empty(maps):
    map = maps.new("prog_array", 4, 4, 4)
    with raises(("badkey", 1)):
        maps.get(1, map)
    assert maps.remove(1, map) == map
    assert maps.walk(map) == []


# --- take and update among several callers


@pytest.mark.parametrize(
    "shape, value",
    [
        (("hash", 4, 4, 2000), 7),
        (("percpu_hash", 4, 4, 2000), 7),
        (("lpm_trie", 4 + 2, 4, 2000, ["no_prealloc"]), 7),
        (("devmap", 4, 4, 2000), LOOPBACK),
        (("devmap_hash", 4, 4, 2000), LOOPBACK),
    ],
    ids=str,
)
def test_each_entry_is_taken_by_one_of_two_nodes(shape, value, alice, bob, maps, cnode):
    map = maps.new(*shape)
    key = "<<16:32/native, K:16>>" if shape[0] == "lpm_trie" else "K"
    alice.eval(
        f"[erpc:call(N, ebpf_maps, put, [{key}, V, Map]) || K <- lists:seq(0, 999)]",
        N=cnode.name,
        V=value,
        Map=map,
    )
    for beam in (alice, bob):
        beam.start_eval(
            f"""
            Asked = [erpc:send_request(N, ebpf_maps, take, [{key}, Map]) ||
                     K <- lists:seq(0, 999)],
            [K || {{K, R}} <- lists:zip(lists:seq(0, 999), Asked),
                  erpc:receive_response(R, 20000) =/= error]""",
            N=cnode.name,
            Map=map,
        )
    mine, yours = alice.finish(30), bob.finish(30)
    assert sorted(mine + yours) == list(range(1000))
    assert maps.walk(map) == []


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
def test_update_never_brings_back_what_was_removed(type, alice, bob, maps, cnode):
    """Where the kernel has no such operation the C node must hold a lock."""
    map = maps.new(type, 4, 4, 8)
    bob.start_eval(
        """
        [begin
             erpc:call(N, ebpf_maps, put, [1, 1, Map]),
             erpc:call(N, ebpf_maps, remove, [1, Map]),
             erpc:call(N, ebpf_maps, get, [1, Map, none])
         end || _ <- lists:seq(1, 1000)]""",
        N=cnode.name,
        Map=map,
    )
    alice.eval(
        """
        [try erpc:call(N, ebpf_maps, update, [1, 1, Map]) catch error:_ -> no end ||
         _ <- lists:seq(1, 3000)], ok""",
        N=cnode.name,
        Map=map,
    )
    assert set(bob.finish(60)) == {"none"}


# --- iterators

WALKED = [
    ("hash", 4, 4, 1000),
    ("lru_hash", 4, 4, 4000),
    ("percpu_hash", 4, 4, 1000),
    ("lru_percpu_hash", 4, 4, 4000),
    ("array", 4, 4, 500),
    ("percpu_array", 4, 4, 500),
    ("lpm_trie", 8, 4, 1000, ["no_prealloc"]),
    ("hash", 1, 1, 256),
    ("hash", 100, 3, 1000),
]


def fill(alice, cnode, map, numbers, key):
    alice.eval(
        f"[erpc:call(N, ebpf_maps, put, [{key}, 1, Map]) || K <- Ks], ok",
        N=cnode.name,
        Map=map,
        Ks=list(numbers),
    )


def key_text(shape):
    """How an Erlang expression makes a key of number K."""
    if shape[0] == "lpm_trie":
        return "<<32:32/native, K:32>>"
    return "K"


def key_bytes(shape, number):
    if shape[0] == "lpm_trie":
        return u32(32) + number.to_bytes(4, "big")
    return native(number, shape[1])


@pytest.mark.parametrize("shape", WALKED, ids=str)
def test_a_walk_gives_each_entry_once(shape, alice, cnode, maps):
    map = maps.new(*shape)
    count = 250 if shape[1] == 1 else 500
    fill(alice, cnode, map, range(count), key_text(shape))
    walked = maps.walk(map)
    expected = [key_bytes(shape, k) for k in range(count)]
    assert sorted(key for key, _ in walked) == sorted(expected)
    one = native(1, shape[2])
    one = [one] * CPUS if "percpu" in shape[0] else one
    assert all(value == one for _, value in walked)


def test_an_array_is_walked_in_order(maps):
    array = maps.new("array", 4, 4, 300)
    assert [key for key, _ in maps.walk(array)] == [u32(i) for i in range(300)]


@pytest.mark.parametrize("shape", [s for s in WALKED if "array" not in s[0]], ids=str)
def test_a_walk_of_an_empty_map_ends_at_once(shape, maps):
    map = maps.new(*shape)
    assert maps.next(maps.iterator(map)) == "none"


def test_an_iterator_holds_its_map_and_prints_plainly(alice, maps, hash):
    iterator = maps.iterator(hash)
    assert iterator[:2] == ("ebpf_iterator", hash)
    _, _, following = maps.next(iterator)
    assert following[:2] == ("ebpf_iterator", hash)
    assert alice.eval("is_list(io_lib:format(\"~p\", [I]))", I=following) == "true"


def test_an_iterator_can_be_asked_again(maps, alice, cnode):
    map = maps.new("hash", 4, 4, 100)
    fill(alice, cnode, map, range(50), "K")
    iterator = maps.iterator(map)
    first = maps.next(iterator)
    assert maps.next(iterator) == first
    assert maps.next(first[2]) == maps.next(first[2])


@pytest.mark.parametrize("shape", WALKED, ids=str)
def test_another_node_goes_on_with_an_iterator(shape, alice, bob, cnode, maps):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(200), key_text(shape))
    iterator = maps.iterator(map)
    keys = []
    beams = [alice, bob]
    while True:
        beams.reverse()
        step = beams[0].erpc(cnode.name, "next", iterator)
        if step == "none":
            break
        key, _, iterator = step
        keys.append(key)
    count = shape[3] if "array" in shape[0] else 200
    assert len(keys) == len(set(keys)) == count


@pytest.mark.parametrize("shape", [s for s in WALKED if "array" not in s[0]], ids=str)
def test_what_has_gone_meanwhile_is_skipped(shape, alice, cnode, maps):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(200), key_text(shape))
    first, _, iterator = maps.next(maps.iterator(map))
    for number in range(200):
        maps.remove(key_bytes(shape, number), map)
    assert maps.next(iterator) == "none"


@pytest.mark.parametrize("shape", [s for s in WALKED if "array" not in s[0]], ids=str)
def test_a_walk_may_remove_what_it_stands_on(shape, alice, cnode, maps):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(200), key_text(shape))
    removed = alice.eval(
        """
        Walk = fun Walk(I, Acc) ->
            case erpc:call(N, ebpf_maps, next, [I]) of
                none -> Acc;
                {K, _, I2} ->
                    erpc:call(N, ebpf_maps, remove, [K, Map]),
                    Walk(I2, [K | Acc])
            end
        end,
        Walk(erpc:call(N, ebpf_maps, iterator, [Map]), []).""",
        N=cnode.name,
        Map=map,
    )
    assert len(removed) == len(set(removed))
    if shape[0] != "lpm_trie":
        assert len(removed) == 200
        assert maps.walk(map) == []


CHURN = """
    Changes = counters:new(1, []),
    Churn = fun Churn(I) ->
        K = 1000000 + I rem 300,
        erpc:call(N, ebpf_maps, put, [KeyOf(K), 1, Map]),
        erpc:call(N, ebpf_maps, remove, [KeyOf(1000000 + (I - 150) rem 300), Map]),
        counters:add(Changes, 1, 1),
        receive stop -> I after 0 -> Churn(I + 1) end
    end,
    Churner = spawn(fun() -> exit({churned, Churn(200)}) end),
    ok.
"""
STOP_CHURN = """
    R = monitor(process, Churner), Churner ! stop,
    receive {'DOWN', R, _, _, {churned, _}} -> ok after 15000 -> late end.
"""


def beside_churn(bob, walk, times):
    """So many walks, and more where the writer has been slow."""
    for _ in range(times):
        walk()

    def changed():
        walk()
        return bob.eval("counters:get(Changes, 1)") > 50

    wait_until(changed)
    assert bob.eval(STOP_CHURN) == "ok"


@pytest.mark.parametrize(
    "shape",
    [
        ("hash", 4, 4, 2000),
        ("lru_hash", 4, 4, 20000),
        ("percpu_hash", 4, 4, 2000),
        ("lru_percpu_hash", 4, 4, 20000),
        ("hash", 4, 4, 2000, ["no_prealloc"]),
    ],
    ids=str,
)
def test_a_walk_under_churn_gives_each_lasting_key_once(
    shape, alice, bob, cnode, maps
):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(500), "K")
    bob.eval("KeyOf = fun(K) -> K end, " + CHURN, keep=True, N=cnode.name, Map=map)

    def walk():
        keys = [int.from_bytes(key, ORDER) for key, _ in maps.walk(map)]
        lasting = [key for key in keys if key < 500]
        assert sorted(lasting) == list(range(500))

    beside_churn(bob, walk, 5)


def test_a_walk_of_a_trie_ends_while_others_write(alice, bob, cnode, maps):
    map = maps.new("lpm_trie", 8, 4, 2000, ["no_prealloc"])
    fill(alice, cnode, map, range(300), "<<32:32/native, K:32>>")
    key = "KeyOf = fun(K) -> <<32:32/native, K:32>> end, "
    bob.eval(key + CHURN, keep=True, N=cnode.name, Map=map)

    def walk():
        assert len(maps.walk(map)) <= 4 * 2000  # walk.h: the bound of a walk

    beside_churn(bob, walk, 3)


def test_a_walk_with_long_values_and_keys_is_whole(alice, cnode, maps):
    map = maps.new("hash", 200, 1 << 20, 24)
    for number in range(24):
        maps.put(number, number, map)
    walked = alice.eval(
        """
        Walk = fun Walk(I) ->
            case erpc:call(N, ebpf_maps, next, [I]) of
                none -> [];
                {<<K, _/binary>>, <<V, _/binary>>, I2} -> [{K, V} | Walk(I2)]
            end
        end,
        lists:sort(Walk(erpc:call(N, ebpf_maps, iterator, [Map])))""",
        N=cnode.name,
        Map=map,
    )
    assert walked == [(number, number) for number in range(24)]


@pytest.mark.parametrize("what", ["x", 1, b"", [], (), ("ebpf_iterator",), {}], ids=str)
def test_next_of_what_is_no_iterator_raises_badarg(what, maps):
    with raises("badarg"):
        maps.next(what)


def test_next_of_an_iterator_of_a_closed_map_raises_badmap(maps, hash):
    iterator = maps.iterator(hash)
    maps.close(hash)
    with raises(("badmap", hash)):
        maps.next(iterator)


def replacements(term):
    """Terms to put in the place of each part of an iterator."""
    yield from ("x", -1, 2**64, b"", b"123", b"1" * 5000, [], [1, 2], (), {}, 1.5)
    yield [b"1"] * 1000
    yield etf.Improper((b"1234",), "x")
    if isinstance(term, bytes):
        yield term + b"\0"
        yield term[:-1]
        yield b"\xff" * len(term)


@pytest.mark.parametrize("type", ["hash", "array", "percpu_hash", "lpm_trie"])
def test_a_forged_iterator_hurts_nobody(type, alice, cnode, maps):
    options = [["no_prealloc"]] if type == "lpm_trie" else []
    map = maps.new(type, 8 if type == "lpm_trie" else 4, 4, 100, *options)
    fill(alice, cnode, map, range(50), key_text((type,)))
    iterator = maps.iterator(map)
    forged = []
    for _ in range(3):
        iterator = maps.next(iterator)[2]
        for place in range(2, len(iterator)):
            for part in replacements(iterator[place]):
                forged.append((*iterator[:place], part, *iterator[place + 1 :]))
        forged.append(iterator[:-1])
        forged.append((*iterator, 1))
    assert len(forged) > 30
    for one in forged:
        try:
            step = maps.next(one)
        except BeamError as e:
            assert e.kind == "error"
            assert e.reason in ("badarg", "einval"), one
        else:
            assert step == "none" or step[0] in [k for k, _ in maps.walk(map)], one
    assert len(maps.walk(map)) == (100 if type == "array" else 50)
