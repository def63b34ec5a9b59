# SPDX-License-Identifier: Apache-2.0
"""top and sum: the largest of all entries by one number in their values, and all of those
added up, as Python has them of what was put."""

import math
import random
import struct
import sys

import pytest

from budget import OPTIONS, give_back, use_up
from conftest import Maps, raises
from host import CPUS
from map_calls import chunked, with_
from native import u32

pytestmark = pytest.mark.single

MIB = 1 << 20
POINT = ("struct", 8, [(b"x", 0, "s32"), (b"y", 32, "s32")])
WIDE = (
    "struct",
    96,
    [
        (b"packets", 0, "u64"),
        (b"", 64, ("union", 8, [(b"ns", 0, "u64"), (b"", 0, ("struct", 8, [(b"lo", 32, "u32")]))])),
        (b"port", 128, "be16"),
        (b"up", 144, "bool"),
        (b"low", 152, 3, "u8"),
        (b"high", 155, 5, "s8"),
        (b"at", 192, POINT),
        (b"rates", 256, ("array", 4, "u16")),
        (b"points", 320, ("array", 2, POINT)),
        (b"name", 448, ("char", 8)),
        (b"state", 512, ("enum", 4, [(b"open", 1)])),
        (b"lock", 544, "hidden"),
        (b"who", 576, "ptr"),
        (b"load", 640, "f64"),
    ],
)


def wide(n):
    """A value whose numbers are of all signs and sizes."""
    rng = random.Random(n)
    point = lambda: {b"x": rng.randrange(-(2**31), 2**31), b"y": rng.randrange(-9, 9)}
    return {
        b"packets": rng.randrange(2**64),
        b"lo": rng.randrange(2**32),
        b"port": rng.randrange(2**16),
        b"up": rng.choice(["true", "false"]),
        b"low": rng.randrange(8),
        b"high": rng.randrange(-16, 16),
        b"at": point(),
        b"rates": [rng.randrange(2**16) for _ in range(4)],
        b"points": [point(), point()],
        b"name": b"n%d" % n,
        b"state": b"open",
        b"who": rng.randrange(2**64),
        b"load": rng.uniform(-1e9, 1e9),
    }


NUMBERS = {
    "a name": ("packets", lambda v: v[b"packets"]),
    "a binary": (b"packets", lambda v: v[b"packets"]),
    "a string": (list(b"packets"), lambda v: v[b"packets"]),
    "a path of one name": ([b"port"], lambda v: v[b"port"]),
    "a member of what has no name": ([b"ns"], lambda v: v[b"ns"]),
    "one of what has none within": (b"lo", lambda v: v[b"lo"]),
    "a bool": ("up", lambda v: v[b"up"] == "true"),
    "a bit-field": ("low", lambda v: v[b"low"]),
    "a signed bit-field": ("high", lambda v: v[b"high"]),
    "a member of a member": (["at", b"x"], lambda v: v[b"at"][b"x"]),
    "an element": (["rates", 3], lambda v: v[b"rates"][3]),
    "a member of an element": ([b"points", 1, list(b"y")], lambda v: v[b"points"][1][b"y"]),
    "a pointer": ("who", lambda v: v[b"who"]),
    "a float": ("load", lambda v: v[b"load"]),
}


@pytest.fixture
def filled(maps):
    map = maps.new("hash", "u32", WIDE, 512)
    maps.merge(map, [(n, wide(n)) for n in range(300)])
    return map


def ranked(pairs, number):
    """The largest first; of equal ones by the bytes of their keys."""
    return sorted(pairs, key=lambda pair: (-number(pair[1]), u32(pair[0])))


@pytest.mark.parametrize("member, number", NUMBERS.values(), ids=NUMBERS)
@pytest.mark.parametrize("most", [0, 1, 7, 300, 65536])
def test_the_largest_come_first_and_equal_ones_by_their_keys(most, member, number, maps, filled):
    pairs = maps.to_list(filled)
    assert len(pairs) == 300
    assert maps.top(most, member, filled) == ranked(pairs, number)[:most]


@pytest.mark.parametrize("member, number", NUMBERS.values(), ids=NUMBERS)
def test_a_sum_is_exact(member, number, maps, filled):
    got, all = maps.sum(member, filled), [number(v) for _, v in maps.to_list(filled)]
    if isinstance(all[0], float):
        assert isinstance(got, float) and got == pytest.approx(math.fsum(all))
    else:
        assert got == sum(all)


def test_entries_are_rendered_as_the_view_has_them(maps, filled):
    by_packets = ranked(maps.to_list(filled), lambda v: v[b"packets"])
    for form in ("tuple", ["name", b"low"]):
        view = maps.typed(filled, [("as", form)])
        shown = dict(maps.to_list(view))
        assert maps.top(3, "packets", view) == [(k, shown[k]) for k, _ in by_packets[:3]]
        assert maps.sum("packets", view) == maps.sum("packets", filled)
        maps.close(view)


NO_NUMBERS = [
    ("absent", [b"absent"]),
    ([], []),
    ([b"packets", b"x"], [b"packets", b"x"]),
    ([b"packets", 0], [b"packets", 0]),
    (["rates"], [b"rates"]),
    (["rates", 4], [b"rates", 4]),
    (["rates", 0, "x"], [b"rates", 0, b"x"]),
    ([b"points", 1], [b"points", 1]),
    ([b"points", 1, list(b"z")], [b"points", 1, b"z"]),
    ("name", [b"name"]),
    ("state", [b"state"]),
    ("lock", [b"lock"]),
    ([3, "x"], [3]),
    (b"", [b""]),
    (["at"] + ["x"] * 40, [b"at", b"x", b"x"]),
]


@pytest.mark.parametrize("member, path", NO_NUMBERS, ids=str)
def test_what_leads_to_no_number_is_told(member, path, maps, filled):
    for call in (lambda: maps.top(3, member, filled), lambda: maps.sum(member, filled)):
        with raises(("badmember", path)):
            call()


@pytest.mark.parametrize("member", [1.5, 7, {}, ("packets",), [b"at", 2.5], [b"at", -1], [[]]], ids=str)
def test_what_is_no_path_is_badarg(member, maps, filled):
    for call in (lambda: maps.top(3, member, filled), lambda: maps.sum(member, filled)):
        with raises("badarg"):
            call()


@pytest.mark.parametrize("most", [-1, 65537, 2**40, 1.0, "all"])
def test_a_number_of_entries_that_cannot_be_is_badarg(most, maps, filled):
    with raises("badarg"):
        maps.top(most, "packets", filled)


SCALARS = {
    "u8": [0, 1, 255, 128],
    "s8": [-128, -1, 0, 1, 127],
    "u64": [0, 2**63, 2**64 - 1, 1],
    "s64": [-(2**63), -1, 0, 2**63 - 1],
    "u128": [2**128 - 1, 2**127, 2**64, 2**64 - 1, 0],
    "s128": [-(2**127), -(2**64), -1, 0, 1, 2**64, 2**127 - 1],
    "be32": [1, 256, 2**24, 2**32 - 1],
    "f32": [-1.5, 0.0, 2.25, -0.0625],
}


@pytest.mark.parametrize("layout", SCALARS)
def test_the_whole_of_a_value_may_be_a_number(layout, maps):
    numbers = SCALARS[layout]
    map = maps.new("hash", "u32", layout, 16)
    pairs = list(enumerate(numbers * 2))
    maps.merge(map, pairs)
    assert maps.top(16, [], map) == ranked(pairs, lambda v: v)
    assert maps.sum([], map) == 2 * sum(numbers)
    maps.close(map)


def test_a_sum_is_zero_of_nothing_and_wider_than_its_parts(maps):
    for layout, zero in (("u8", 0), ("s128", 0), ("f32", 0.0)):
        map = maps.new("hash", "u32", layout, 1)
        assert maps.top(5, [], map) == []
        assert (got := maps.sum([], map)) == zero and type(got) is type(zero)
        maps.close(map)
    map = maps.new("array", "u32", "s128", 1000)
    maps.merge(map, [(n, -(2**127)) for n in range(1000)])
    assert maps.sum([], map) == -1000 * 2**127


def test_what_is_no_number_comes_last(maps):
    map = maps.new("hash", "u32", "f64", 16)
    floats = ["nan", "-infinity", -1.0, -0.0, 0.0, 5e-324, "infinity", "nan"]
    maps.merge(map, list(enumerate(floats)))
    keys = [key for key, _ in maps.top(16, [], map)]
    assert keys == [6, 5, 3, 4, 2, 1, 0, 7]
    assert maps.sum([], map) == "nan"
    for key in (0, 7):
        maps.remove(key, map)
    assert maps.sum([], map) == "nan"  # both infinities
    maps.remove(1, map)
    assert maps.sum([], map) == "infinity"


def test_indexes_are_paths_where_a_value_is_an_array(maps):
    map = maps.new("array", "u32", ("array", 3, ("array", 2, "u8")), 5)
    value = lambda n: [[n, 1], [2, 3], [4, 10 - n]]
    maps.merge(map, [(n, value(n)) for n in range(5)])
    assert maps.top(2, [0, 0], map) == [(4, value(4)), (3, value(3))]
    assert maps.top(2, [2, 1], map) == [(0, value(0)), (1, value(1))]
    assert maps.sum([2, 1], map) == sum(10 - n for n in range(5))
    with raises(("badmember", [2, 2])):
        maps.sum([2, 2], map)


@pytest.mark.parametrize("type", ["array", "lru_hash", "lpm_trie", "hash"])
def test_of_each_kind_of_walk(type, maps):
    key = ("struct", 8, [(b"bits", 0, "u32"), (b"at", 32, "be32")]) if "trie" in type else "u32"
    map = maps.new(type, key, "u32", 3000, *([["no_prealloc"]] if "trie" in type else []))
    as_key = lambda n: {b"bits": 32, b"at": n} if "trie" in type else n
    values = random.Random(2).sample(range(10**6), 3000)
    maps.merge(map, [(as_key(n), value) for n, value in enumerate(values)])
    there = dict((v, k) for k, v in maps.to_list(map))
    best = sorted(there, reverse=True)
    assert maps.top(1000, [], map) == [(there[v], v) for v in best[:1000]]
    assert maps.sum([], map) == sum(best)
    maps.close(map)


# --- Values of several CPUs


@pytest.mark.parametrize("fold, of", [("sum", sum), ("max", max), ("min", min)])
@pytest.mark.parametrize("type", ["percpu_hash", "percpu_array"])
def test_values_of_all_cpus_are_folded_first(type, fold, of, maps):
    raw = maps.new(type, 4, 8, 6)
    rng = random.Random(7)
    lists = [[rng.randrange(2**64) for _ in range(CPUS)] for _ in range(6)]
    maps.merge(raw, list(enumerate(lists)))
    view = maps.typed(raw, [("types", ("u32", "u64")), ("percpu", fold)])
    folded = [(n, of(values)) for n, values in enumerate(lists)]
    assert sorted(maps.to_list(view)) == folded
    assert maps.top(4, [], view) == ranked(folded, lambda v: v)[:4]
    assert maps.sum([], view) == sum(v for _, v in folded)


def test_members_of_values_of_all_cpus_are_folded(maps):
    both = ("struct", 24, [(b"n", 0, "u64"), (b"of", 64, ("array", 2, "s32")), (b"f", 128, "f64")])
    raw = maps.new("percpu_hash", 4, 24, 8)
    rng = random.Random(9)
    lists = {
        n: [
            (rng.randrange(2**64), rng.randrange(-9, 9), rng.randrange(-(2**31), 9), rng.random())
            for _ in range(CPUS)
        ]
        for n in range(8)
    }
    maps.merge(raw, [(n, [struct.pack("=Qiid", *v) for v in vs]) for n, vs in lists.items()])
    view = maps.typed(raw, [("types", ("u32", both)), ("percpu", "sum")])
    shown = dict(maps.to_list(view))
    for n, values in lists.items():
        packets, first, second, real = map(sum, zip(*values))
        assert shown[n][b"n"] == packets and shown[n][b"of"] == [first, second]
        assert shown[n][b"f"] == pytest.approx(real)
    for member, place in (("n", 0), (["of", 0], 1), (["of", 1], 2), ("f", 3)):
        sums = [(n, sum(v[place] for v in vs)) for n, vs in lists.items()]
        want = [(n, shown[n]) for n, _ in ranked(sums, lambda v: v)]
        assert maps.top(5, member, view) == want[:5]
        assert maps.sum(member, view) == pytest.approx(sum(v for _, v in sums))


WIDTHS = {"u8": 1, "s16": 2, "be32": 4, "s32": 4, "u64": 8, "u128": 16}


@pytest.mark.parametrize("layout, size", WIDTHS.items(), ids=WIDTHS)
@pytest.mark.parametrize("type", ["percpu_hash", "lru_percpu_hash", "percpu_array"])
def test_a_map_of_bytes_is_folded_by_layouts_in_each_function(type, layout, size, maps):
    """Whatever the kernel pads the value of a CPU with; also where it is opened anew."""
    raw = maps.new(type, 4, size, 4)
    rng = random.Random(size)
    least = -(2 ** (8 * size - 1)) if layout[0] == "s" else 0
    lists = [[rng.randrange(least, least + 2 ** (8 * size)) for _ in range(CPUS)] for _ in range(4)]
    order, signed = "big" if layout[0] == "b" else sys.byteorder, least < 0
    in_bytes = lambda numbers: [n.to_bytes(size, order, signed=signed) for n in numbers]
    maps.merge(raw, [(n, in_bytes(numbers)) for n, numbers in enumerate(lists)])
    by = [("types", ("u32", layout)), ("percpu", "sum")]
    opened = maps.open(("id", maps.info(raw)["id"]), by)
    sums = [(n, sum(numbers)) for n, numbers in enumerate(lists)]
    for view in (maps.typed(raw, by), opened):
        assert [maps.get(n, view) for n in range(4)] == [total for _, total in sums]
        assert sorted(maps.to_list(view)) == sorted(chunked(maps, view, 3)) == sums
        assert sorted(maps.values(view)) == sorted(total for _, total in sums)
        assert with_(maps, [1, 3], view) == {1: sums[1][1], 3: sums[3][1]}
        assert maps.top(4, [], view) == ranked(sums, lambda v: v)
        assert maps.sum([], view) == sum(total for _, total in sums)
        assert maps.close(view) == "ok"


def test_lists_of_all_cpus_are_not_ranked(maps):
    raw = maps.new("percpu_hash", "u32", "u64", 8)
    as_list = maps.typed(raw, [("percpu", "list")])
    for map in (raw, as_list):
        with raises("unfolded"):
            maps.top(3, [], map)
        with raises("unfolded"):
            maps.sum([], map)


# --- Without types


def test_bytes_have_no_numbers(maps):
    raw = maps.new("hash", 4, 8, 8)
    for call in (lambda: maps.top(3, [], raw), lambda: maps.sum([], raw)):
        with raises("notype"):
            call()


def test_a_locator_of_values_of_each_cpu_cannot_be_folded(maps):
    map = maps.new("percpu_array", "u32", "u64", 2)
    for call in (lambda what: maps.top(2, [], what), lambda what: maps.sum([], what)):
        with raises("unfolded"):
            call(("id", maps.info(map)["id"]))


def test_what_has_no_keys_is_enotsup(maps):
    queue = maps.new("queue", 0, "u64", 8)
    for call in (lambda: maps.top(3, [], queue), lambda: maps.sum([], queue)):
        with raises("enotsup"):
            call()


def test_what_names_objects_is_enotsup(maps):
    inner = maps.new("array", 4, 8, 1)
    outer = maps.new("array_of_maps", 4, 4, 1, [("inner_map", inner)])
    view = maps.typed(outer, [("types", ("u32", "u32"))])
    with raises("enotsup"):
        maps.top(1, [], view)


def test_a_locator_has_the_types_that_the_kernel_has(maps, filled):
    map = maps.new("hash", "u32", POINT, 8)
    maps.merge(map, [(n, {b"x": -n, b"y": n * n}) for n in range(8)])
    what = ("id", maps.info(map)["id"])
    assert maps.types(what)[0] == "u32"
    assert maps.top(2, "y", what) == maps.top(2, "y", map)
    assert maps.sum("x", what) == -28
    raw = maps.new("hash", 4, 8, 8)
    for call in (lambda w: maps.top(2, [], w), lambda w: maps.sum([], w)):
        with raises("notype"):
            call(("id", maps.info(raw)["id"]))
        with raises("enoent"):
            call(("id", 2**32 - 1))


# --- Limits


def test_more_than_a_message_is_refused_in_words(start_cnode, alice):
    maps = Maps(alice, start_cnode("--max-message", str(MIB), "--max-memory", str(8 * MIB)))
    value = ("struct", 1024, [(b"n", 0, "u64"), (b"rest", 64, ("bytes", 1016))])
    map = maps.new("array", "u32", value, 4000)
    with raises(("too_big", MIB)):
        maps.top(2000, "n", map)
    assert len(maps.top(500, "n", map)) == 500
    assert maps.sum("n", map) == 0


def test_what_is_ranked_counts_as_buffers_do(start_cnode, alice, connect):
    node = start_cnode(*OPTIONS)
    maps = Maps(alice, node)
    map = maps.new("array", "u32", "u64", 20_000)
    small, all = maps.top(100, [], map), maps.top(20_000, [], map)
    holders = use_up(node, connect)
    with raises("enomem"):
        maps.top(20_000, [], map)
    assert maps.top(100, [], map) == small
    assert maps.sum([], map) == 0
    give_back(node, holders)
    assert maps.top(20_000, [], map) == all
