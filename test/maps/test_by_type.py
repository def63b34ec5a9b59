# SPDX-License-Identifier: Apache-2.0
"""What single types do otherwise: per-CPU, LRU, tries, queues, devices, sockets."""

import pytest

import etf
from beam import BeamError
from conftest import raises
from host import CPUS, PAGE
from native import ORDER, native, prefix, u32, u64

pytestmark = pytest.mark.single


@pytest.fixture
def hash(maps):
    """4 bytes to 8, one entry 1 -> 2, room for 4."""
    map = maps.new("hash", 4, 8, 4)
    maps.put(u32(1), u64(2), map)
    return map


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
