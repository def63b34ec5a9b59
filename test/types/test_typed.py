# SPDX-License-Identifier: Apache-2.0
"""Views of maps: every function of ebpf_maps, with keys and values as terms."""

import pytest

from conftest import raises
from map_calls import chunked, outcome, walked, with_
from native import u32, u64

pytestmark = pytest.mark.single

FLOW = ("struct", 8, [(b"addr", 0, "be32"), (b"port", 32, "be16"), (b"proto", 48, "u8")])
COUNTS = (
    "struct",
    32,
    [
        (b"packets", 0, "u64"),
        (b"state", 64, ("enum", 4, [(b"open", 1), (b"shut", 2)])),
        (b"name", 96, ("char", 8)),
        (b"", 160, ("struct", 4, [(b"in", 0, "s16"), (b"out", 16, "s16")])),
        (b"up", 192, "bool"),
    ],
)
SHAPES = {"hash": 8, "lru_hash": 8, "percpu_hash": 8}
WHERE = {b"addr": 0x7F000001, b"port": 443, b"proto": 6}
BYTES_WHERE = bytes([127, 0, 0, 1, 1, 187, 6, 0])


def counts(packets, **others):
    value = {
        b"packets": packets,
        b"state": b"open",
        b"name": b"eth0",
        b"in": -1,
        b"out": 2,
        b"up": "true",
    }
    return value | {name.encode(): member for name, member in others.items()}


def in_bytes(packets):
    return u64(packets) + u32(1) + b"eth0".ljust(8, b"\0") + b"\xff\xff\2\0" + b"\1" + bytes(7)


def where(number):
    return WHERE | {b"port": number}


def by_port(pairs):
    return sorted(pairs, key=lambda pair: pair[0][b"port"])


@pytest.fixture
def raw(maps):
    map = maps.new("hash", 8, 32, 64)
    assert map[0] == "ebpf_map", map
    return map


def typed(maps, map, *options, layouts=(FLOW, COUNTS)):
    view = maps.typed(map, [("types", layouts), *options])
    assert view[0] == "ebpf_map", view
    return view


@pytest.fixture
def view(maps, raw):
    return typed(maps, raw)


# --- Making one -------------------------------------------------------------------


def test_a_view_is_a_handle_of_its_own_with_sizes_in_bytes(maps, raw, view):
    assert view[1] != raw[1]
    assert view[2:] == raw[2:]
    assert maps.info(view)["id"] == maps.info(raw)["id"]
    assert maps.types(view) == (FLOW, COUNTS)
    assert {raw, view} <= {handle for handle, *_ in maps.handles()}


def test_closing_a_view_leaves_the_map_and_the_other_way_round(maps, raw, view):
    other = typed(maps, raw)
    assert maps.close(other) == "ok"
    maps.put(WHERE, counts(1), view)
    assert maps.get(BYTES_WHERE, raw) == in_bytes(1)
    assert maps.close(raw) == "ok"
    assert maps.get(WHERE, view) == counts(1)
    with raises(("badmap", raw)):
        maps.get(BYTES_WHERE, raw)


def test_a_view_of_a_view_has_its_types_and_a_form_of_its_own(maps, view):
    maps.put(WHERE, counts(7), view)
    other = maps.typed(view, [("as", "tuple")])
    assert maps.types(other) == (FLOW, COUNTS)
    assert maps.to_list(other) == [
        ((0x7F000001, 443, 6), (7, b"open", b"eth0", (-1, 2), "true"))
    ]
    raw_again = maps.typed(view, [("types", (("bytes", 8), ("bytes", 32)))])
    assert maps.to_list(raw_again) == [(BYTES_WHERE, in_bytes(7))]


@pytest.mark.parametrize(
    "layouts",
    [
        ("u32", COUNTS),
        (FLOW, "u64"),
        (0, COUNTS),
        (FLOW, 0),
        (FLOW, "number"),
        (FLOW, ("struct", 32, [(b"a", 0, "u64"), (b"b", 32, "u64")])),
        (FLOW, ("struct", 32, [(b"a", 0, "u64"), (b"a", 64, "u64")])),
        (FLOW, COUNTS, "u8"),
        "vmlinux",
    ],
    ids=lambda layouts: str(layouts)[:40],
)
def test_wrong_layouts_are_badarg(maps, raw, layouts):
    with raises("badarg"):
        maps.typed(raw, [("types", layouts)])


@pytest.mark.parametrize(
    "option",
    [
        ("as", "list"),
        ("as", [b"absent"]),
        ("as", [5]),
        ("as", []),
        ("percpu", "sum"),
        ("percpu", "mean"),
        ("lifetime", "long"),
        ("name", b"x"),
        "read",
        ("inner_map", "none"),
    ],
    ids=str,
)
def test_wrong_options_are_badarg(maps, raw, option):
    reason = ("badmap", "none") if option == ("inner_map", "none") else "badarg"
    with raises(reason):
        typed(maps, raw, option)


def test_what_is_more_than_a_plan_may_have_is_e2big(maps, raw):
    members = [(b"m%d" % i, 0, ("char", 1)) for i in range(5000)]
    layout = ("union", 32, members)
    assert maps.typed(raw, [("types", (FLOW, layout))]) == ("error", "e2big")
    assert maps.new("hash", FLOW, layout, 8) == ("error", "e2big")
    error, [text] = maps.check("hash", FLOW, layout, 8)
    assert error == "error" and b"4,096" in text


def test_a_map_without_btf_has_no_types(maps, raw):
    assert maps.typed(raw, []) == ("error", "notype")
    assert maps.typed(raw, [("types", "btf")]) == ("error", "notype")
    assert maps.types(raw) == ("error", "notype")
    path = "/sys/fs/bpf/untyped"
    maps.pin(path, raw)
    assert maps.open(("pinned", path), [("types", "btf")]) == ("error", "notype")
    maps.unpin(path, raw)


def test_a_locator_has_no_view(maps, raw):
    with raises("badarg"):
        maps.typed(("id", maps.info(raw)["id"]), [("types", (FLOW, COUNTS))])
    assert maps.types(("id", maps.info(raw)["id"])) == ("error", "notype")


# --- Single entries ----------------------------------------------------------------


def test_what_is_put_comes_back_and_has_its_place_in_the_map(maps, raw, view):
    assert maps.put(WHERE, counts(5), view) == view
    assert maps.get(WHERE, view) == counts(5)
    assert maps.get(where(1), view, "none") == "none"
    assert maps.find(WHERE, view) == ("ok", counts(5))
    assert maps.find(where(1), view) == "error"
    assert maps.is_key(WHERE, view) == "true"
    assert maps.is_key(where(1), view) == "false"
    assert maps.to_list(raw) == [(BYTES_WHERE, in_bytes(5))]
    with raises(("badkey", where(1))):
        maps.get(where(1), view)


def test_names_are_atoms_binaries_or_strings(maps, view):
    key = {"addr": 0x7F000001, b"port": 443, "proto": 6}
    value = {"packets": 5, "state": "open", "name": "eth0".encode(), "in": -1, "out": 2}
    maps.put(key, value | {"up": True}, view)
    assert maps.to_list(view) == [(WHERE, counts(5))]


def test_insert_update_and_remove_are_as_of_any_map(maps, view):
    assert maps.insert(WHERE, counts(1), view) == view
    with raises(("keyexists", WHERE)):
        maps.insert(WHERE, counts(2), view)
    assert maps.update(WHERE, counts(3), view) == view
    with raises(("badkey", where(1))):
        maps.update(where(1), counts(3), view)
    assert maps.get(WHERE, view) == counts(3)
    assert maps.remove(WHERE, view) == view
    assert maps.remove(WHERE, view) == view
    assert maps.to_list(view) == []


def test_take_takes_out(maps, view):
    maps.put(WHERE, counts(1), view)
    assert maps.take(WHERE, view) == (counts(1), view)
    assert maps.take(WHERE, view) == "error"


def test_a_number_that_no_name_has_stays_one(maps, raw, view):
    maps.put(BYTES_WHERE, in_bytes(1)[:8] + u32(77) + in_bytes(1)[12:24] + b"\x05" + bytes(7), raw)
    assert maps.get(WHERE, view) == counts(1, state=77, up=5)
    maps.put(WHERE, counts(1, state=77, up=5), view)
    assert maps.get(WHERE, view) == counts(1, state=77, up=5)


def without(name):
    return {key: value for key, value in counts(1).items() if key != name}


BAD = {
    "a number out of range": (counts(-1), [b"packets"]),
    "a number that is none": (counts(b"1"), [b"packets"]),
    "a name of none": (counts(1, state=b"ajar"), [b"state"]),
    "a text that is too long": (counts(1, name=b"123456789"), [b"name"]),
    "a member that is missing": (without(b"packets"), [b"packets"]),
    "a member of an anonymous one": (without(b"in"), [b"in"]),
    "a member too many": (counts(1, more=1), [b"more"]),
    "no map": (in_bytes(1), []),
}


@pytest.mark.parametrize("value, path", BAD.values(), ids=BAD)
@pytest.mark.parametrize("function", ["put", "insert", "update"])
def test_a_value_that_does_not_fit_is_a_badmember(maps, view, function, value, path):
    with raises(("badmember", path)):
        maps.call(function, WHERE, value, view)
    assert maps.size(view) == 0


def test_a_key_that_does_not_fit_is_a_badmember(maps, view):
    wrong = WHERE | {b"port": 65536}
    for function in ("get", "find", "is_key", "remove", "take"):
        with raises(("badmember", [b"port"])):
            maps.call(function, wrong, view)
    with raises(("badmember", [b"port"])):
        maps.put(wrong, counts(1), view)
    with raises(("badmember", [])):
        maps.get(BYTES_WHERE, view)


def test_a_path_has_indexes_and_names(maps):
    point = ("struct", 4, [(b"x", 0, "u16"), (b"y", 16, "u16")])
    map = maps.new("hash", "u32", ("struct", 12, [(b"points", 0, ("array", 3, point))]), 4)
    points = [{b"x": 1, b"y": 2}, {b"x": 1, b"y": 2}, {b"x": 1, b"y": 65536}]
    with raises(("badmember", [b"points", 2, b"y"])):
        maps.put(1, {b"points": points}, map)
    with raises(("badmember", [b"points"])):
        maps.put(1, {b"points": points[:2]}, map)


# --- Whole maps ---------------------------------------------------------------------


@pytest.fixture
def filled(maps, view):
    maps.merge(view, [(where(port), counts(port)) for port in range(20)])
    return view


PAIRS = [(where(port), counts(port)) for port in range(20)]


def test_whole_maps_are_lists_of_terms(maps, filled):
    assert by_port(maps.to_list(filled)) == PAIRS
    assert sorted(key[b"port"] for key in maps.keys(filled)) == list(range(20))
    assert sorted(value[b"packets"] for value in maps.values(filled)) == list(range(20))
    assert maps.size(filled) == 20


def test_walks_of_all_kinds_give_terms(maps, filled):
    assert by_port(walked(maps, filled)) == PAIRS
    assert by_port(chunked(maps, filled, 3)) == PAIRS
    assert by_port(chunked(maps, filled, 3, "drain_chunk")) == PAIRS
    assert maps.size(filled) == 0


def test_a_walk_of_keys_that_are_pairs_is_no_walk_of_entries(maps):
    pair = ("struct", 8, [(b"a", 0, "u32"), (b"b", 32, "u32")])
    map = maps.new("hash", pair, "u32", 64, [("as", "tuple")])
    pairs = [((i, i + 1), i) for i in range(40)]
    maps.merge(map, pairs)
    assert sorted(walked(maps, map)) == pairs
    assert with_(maps, [(1, 2), (5, 5)], map) == {(1, 2): 1}


def test_drain_and_clear_empty_it(maps, filled):
    assert by_port(maps.drain(filled)) == PAIRS
    maps.merge(filled, PAIRS)
    assert maps.clear(filled) == filled
    assert maps.size(filled) == 0


def test_merge_checks_all_before_it_puts_any(maps, view):
    with raises(("badmember", [b"packets"])):
        maps.merge(view, [(where(1), counts(1)), (where(2), counts(-1))])
    with raises(("badmember", [b"addr"])):
        maps.merge(view, [(where(1), counts(1)), (where(2) | {b"addr": -1}, counts(1))])
    assert maps.size(view) == 0


def test_without_removes_those_keys(maps, filled):
    assert maps.without([where(1), where(2), where(99)], filled) == filled
    assert maps.size(filled) == 18
    with raises(("badmember", [])):
        maps.without([where(3), 3], filled)
    assert maps.size(filled) == 18


# --- Maps without keys ---------------------------------------------------------------


@pytest.mark.parametrize("type, order", [("queue", 1), ("stack", -1)])
def test_queues_and_stacks_hold_terms(maps, type, order):
    map = maps.new(type, 0, COUNTS, 8)
    assert map[2:] == (type, 0, 32, 8)
    assert maps.types(map) == (0, COUNTS)
    for packets in (1, 2, 3, 4):
        assert maps.push(counts(packets), map) == map
    values = [counts(packets) for packets in (1, 2, 3, 4)][::order]
    assert maps.peek(map) == values[0]
    assert maps.pop(map) == values[0]
    assert maps.take(b"", map) == (values[1], map)
    assert maps.call("drain_chunk", "start", map, 1) == ([(b"", values[2])], "start")
    assert maps.drain(map) == [(b"", values[3])]
    assert maps.pop(map) == "empty"
    with raises(("badmember", [b"packets"])):
        maps.push(counts(-1), map)


def test_a_bloom_filter_has_terms(maps):
    map = maps.new("bloom_filter", 0, FLOW, 8)
    maps.push(WHERE, map)
    assert maps.is_key(WHERE, map) == "true"
    assert maps.is_key(where(77), map) == "false"


# --- Values of each CPU -----------------------------------------------------------------


@pytest.fixture
def cpus(maps):
    map = maps.new("percpu_array", 4, 4, 1)
    return len(maps.get(0, map))


PERCPU = ("struct", 12, [(b"n", 0, "u32"), (b"t", 32, ("array", 2, "s32"))])


@pytest.fixture
def each(maps):
    return maps.new("percpu_hash", "u32", PERCPU, 8)


def value_of(cpu):
    return {b"n": cpu + 1, b"t": [-cpu, cpu]}


def test_a_value_of_each_cpu_is_a_list_of_terms(maps, each, cpus):
    values = [value_of(cpu) for cpu in range(cpus)]
    maps.put(1, values, each)
    assert maps.get(1, each) == values
    maps.put(2, value_of(7), each)
    assert maps.get(2, each) == [value_of(7)] * cpus
    assert sorted(maps.to_list(each), key=lambda pair: pair[0])[0] == (1, values)
    assert maps.take(1, each) == (values, each)


def test_a_path_of_a_list_begins_with_the_cpu(maps, each, cpus):
    values = [value_of(cpu) for cpu in range(cpus)]
    values[cpus - 1] = {b"n": 1, b"t": [0, 2**31]}
    with raises(("badmember", [cpus - 1, b"t", 1])):
        maps.put(1, values, each)
    with raises(("badmember", [])):
        maps.put(1, [], each)
    with raises(("badmember", [b"n"])):
        maps.put(1, {b"n": "many", b"t": [0, 0]}, each)


def test_what_was_there_is_not_left_behind_a_value(maps, each, cpus):
    """The padding of a per-CPU value is the kernel's, but begins with zeros."""
    bytes_ = typed(maps, each, layouts=("u32", ("bytes", 12)))
    maps.put(1, b"x" * 12, bytes_)
    maps.put(1, value_of(0), each)
    assert maps.get(1, bytes_) == [u32(1) + bytes(8)] * cpus


@pytest.mark.parametrize(
    "fold, of", [("sum", sum), ("max", max), ("min", min)], ids=["sum", "max", "min"]
)
def test_values_of_all_cpus_are_folded_into_one(maps, each, cpus, fold, of):
    values = [value_of(cpu) for cpu in range(cpus)]
    maps.put(1, values, each)
    view = maps.typed(each, [("percpu", fold)])
    folded = {b"n": of(v[b"n"] for v in values)}
    folded[b"t"] = [of(v[b"t"][i] for v in values) for i in range(2)]
    assert maps.get(1, view) == folded
    assert maps.to_list(view) == [(1, folded)]
    assert maps.values(view) == [folded]


def test_a_sum_does_not_wrap(maps, cpus):
    map = maps.new("percpu_array", "u32", "u64", 1)
    maps.put(0, 2**64 - 1, map)
    assert maps.get(0, maps.typed(map, [("percpu", "sum")])) == cpus * (2**64 - 1)


def test_only_numbers_of_cpus_are_folded(maps, raw, each):
    map = maps.new("percpu_hash", 4, 32, 8)
    with raises("badarg"):
        typed(maps, map, ("percpu", "sum"), layouts=("u32", COUNTS))
    with raises("badarg"):
        maps.typed(each, [("percpu", "sum"), ("as", [b"n"])])


# --- Views that only read ------------------------------------------------------------


def writes(key, value):
    return {
        "put": (key, value),
        "insert": (key, value),
        "update": (key, value),
        "remove": (key,),
        "take": (key,),
        "without": ([key],),
        "clear": (),
        "drain": (),
        "drain_chunk": ("start",),
        "merge": (),
        "freeze": (),
    }


@pytest.mark.parametrize("function", writes(0, 0))
def test_a_view_of_some_members_only_reads(maps, filled, function):
    view = maps.typed(filled, [("as", [b"packets"])])
    args = writes(WHERE, counts(1))[function]
    last = {"drain_chunk": [view, 1], "merge": [view, []]}.get(function, [view])
    with raises("enotsup"):
        maps.call(function, *args, *last)
    assert maps.size(filled) == 20


def test_a_folded_view_only_reads(maps, each):
    view = maps.typed(each, [("percpu", "sum")])
    with raises("enotsup"):
        maps.put(1, value_of(1), view)
    with raises("enotsup"):
        maps.clear(view)


def test_some_members_come_as_a_tuple(maps, filled):
    view = maps.typed(filled, [("as", [b"out", "packets", list(b"in"), b"state"])])
    assert maps.get(where(3), view) == (2, 3, -1, b"open")
    assert by_port(maps.to_list(view)) == [
        (where(port), (2, port, -1, b"open")) for port in range(20)
    ]


def test_some_members_of_each_cpu(maps, each, cpus):
    maps.put(1, value_of(3), each)
    assert maps.get(1, maps.typed(each, [("as", [b"n"])])) == [(4,)] * cpus


# --- New maps ---------------------------------------------------------------------------


def test_a_new_map_of_layouts_is_a_view_and_has_them_as_btf(maps):
    map = maps.new("hash", FLOW, COUNTS, 8)
    assert map[2:] == ("hash", 8, 32, 8)
    maps.put(WHERE, counts(1), map)
    assert maps.get(WHERE, map) == counts(1)
    path = "/sys/fs/bpf/of_layouts"
    maps.pin(path, map)
    untyped = maps.open(("pinned", path))
    assert maps.to_list(untyped) == [(BYTES_WHERE, in_bytes(1))]
    of_btf = maps.open(("pinned", path), [("types", "btf")])
    assert maps.to_list(of_btf) == [(WHERE, counts(1))]
    assert maps.to_list(maps.typed(untyped, [])) == [(WHERE, counts(1))]
    as_tuple = maps.open(("pinned", path), [("types", "btf"), ("as", "tuple")])
    assert maps.keys(as_tuple) == [(0x7F000001, 443, 6)]
    maps.unpin(path, map)


def test_new_takes_options_of_a_view_with_layouts_alone(maps):
    map = maps.new("hash", FLOW, COUNTS, 8, [("as", "tuple"), ("name", "flows")])
    maps.put((1, 2, 3), (1, b"open", b"", (0, 0), "false"), map)
    assert maps.keys(map) == [(1, 2, 3)]
    for args in (
        ("hash", 8, 32, 8, [("as", "tuple")]),
        ("hash", 8, 32, 8, [("types", (FLOW, COUNTS))]),
        ("hash", FLOW, COUNTS, 8, [("types", "btf")]),
        ("hash", FLOW, COUNTS, 8, [("as", [b"absent"])]),
        ("hash", FLOW, 32, 8),
        ("hash", 8, COUNTS, 8),
    ):
        with raises("badarg"):
            maps.new(*args)


def test_check_takes_layouts(maps):
    assert maps.check("hash", FLOW, COUNTS, 8) == "ok"
    assert maps.check("queue", 0, COUNTS, 8) == "ok"
    assert maps.check("hash", FLOW, COUNTS, 8, [("as", [b"packets"])]) == "ok"
    assert maps.check("percpu_hash", "u32", "u64", 8, [("percpu", "sum")]) == "ok"
    for type, *options in (
        ("hash", ("as", [b"nosuch"])),
        ("hash", ("percpu", "sum")),
        ("percpu_hash", ("percpu", "sum")),  # of a structure with text
        ("percpu_hash", ("percpu", "sum"), ("as", [b"packets"])),
    ):
        with raises("badarg"):
            maps.check(type, FLOW, COUNTS, 8, options)
        with raises("badarg"):
            maps.new(type, FLOW, COUNTS, 8, options)
    error, [text] = maps.check("array", FLOW, COUNTS, 8)
    assert error == "error" and b"key" in text
    with raises("badarg"):
        maps.check("hash", FLOW, "number", 8)


@pytest.mark.parametrize("type", ["array", "percpu_array", "hash", "lru_hash", "percpu_hash"])
def test_maps_of_each_type_have_terms(maps, type):
    map = maps.new(type, "u32", PERCPU, 4)
    maps.put(1, value_of(3), map)
    value = maps.get(1, map)
    assert (value[0] if "percpu" in type else value) == value_of(3)


def test_the_prefixes_of_a_trie_are_structures(maps):
    key = ("struct", 8, [(b"prefixlen", 0, "u32"), (b"addr", 32, ("bytes", 4))])
    map = maps.new("lpm_trie", key, "u32", 8)
    maps.put({b"prefixlen": 8, b"addr": bytes([10, 0, 0, 0])}, 5, map)
    assert maps.get({b"prefixlen": 32, b"addr": bytes([10, 1, 2, 3])}, map) == 5
    assert maps.types(map) == (key, "u32")


def test_values_that_are_maps_keep_their_terms(maps):
    inner = maps.new("hash", "u32", "u64", 4)
    outer = maps.new("hash_of_maps", "u32", "u32", 4, [("inner_map", inner)])
    maps.put(1, inner, outer)
    found = maps.get(1, outer)
    assert found[0] == "ebpf_map"
    maps.put(1, 2, inner)
    assert maps.get(1, found) == u64(2)
    assert maps.keys(outer) == [1]
    assert maps.types(outer) == ("u32", "u32")


def test_a_map_that_is_open_as_a_view_alone_is_found_where_none_opens_by_id(alice, start_cnode):
    node = start_cnode("--no-open-by-id")
    call = lambda *args: alice.erpc(node.name, *args)  # noqa: E731
    inner = call("new", "hash", "u32", "u64", 4)
    outer = call("new", "hash_of_maps", 4, 4, 4, [("inner_map", inner)])
    call("put", 1, inner, outer)
    call("put", 1, 2, inner)
    found = call("get", 1, outer)
    assert found[1] != inner[1]
    assert call("to_list", found) == [(u32(1), u64(2))]
    assert call("get", 1, outer) == found
    assert call("typed", found, []) == ("error", "eperm")
    assert call("types", found) == ("error", "eperm")
    assert call("types", inner) == ("u32", "u64")


def test_storage_of_tasks_has_terms(maps):
    import os

    map = maps.new("task_storage", "s32", COUNTS, 0)
    if map == ("error", "einval"):
        pytest.skip("no task_storage here")
    maps.put(("pid", os.getpid()), counts(9), map)
    assert maps.get(("pid", os.getpid()), map) == counts(9)


# --- Opening ------------------------------------------------------------------------------


@pytest.fixture
def pinned(maps, raw, folder):
    path = str(folder / "raw")
    assert maps.pin(path, raw) == "ok"
    return path


def test_open_takes_layouts(maps, raw, pinned):
    maps.put(BYTES_WHERE, in_bytes(4), raw)
    view = maps.open(("pinned", pinned), [("types", (FLOW, COUNTS))])
    assert maps.to_list(view) == [(WHERE, counts(4))]
    by_id = maps.open(("id", maps.info(raw)["id"]), [("types", (FLOW, COUNTS)), ("as", [b"up"])])
    assert maps.to_list(by_id) == [(WHERE, ("true",))]
    with raises("badarg"):
        maps.open(("pinned", pinned), [("types", ("u32", COUNTS))])
    assert maps.open(("pinned", pinned + "x"), [("types", (FLOW, COUNTS))]) == (
        "error",
        "enoent",
    )


def test_a_view_has_the_rights_of_its_handle(maps, raw, pinned):
    maps.put(BYTES_WHERE, in_bytes(4), raw)
    reader = maps.open(("pinned", pinned), ["read"])
    view = typed(maps, reader)
    assert maps.get(WHERE, view) == counts(4)
    with raises("eperm"):
        maps.put(WHERE, counts(5), view)
    writer = typed(maps, maps.open(("pinned", pinned), ["write"]))
    maps.put(WHERE, counts(6), writer)
    with raises("eperm"):
        maps.get(WHERE, writer)
    assert maps.get(WHERE, view) == counts(6)


# --- Whose they are ---------------------------------------------------------------------


def test_a_view_counts_as_a_handle_and_ends_as_one(alice, start_cnode):
    node = start_cnode("--max-maps-per-node", "3")
    call = lambda *args: alice.erpc(node.name, *args)  # noqa: E731
    map = call("new", "hash", 8, 32, 8)
    views = [call("typed", map, [("types", (FLOW, COUNTS))]) for _ in range(2)]
    assert {view[0] for view in views} == {"ebpf_map"}
    assert call("typed", map, [("types", (FLOW, COUNTS))]) == ("error", "emfile")
    assert node.map_count() == 3
    for handle in (map, *views):
        assert call("close", handle) == "ok"
    assert call("close", views[0]) == ("error", "ebadf")
    assert node.map_count() == 0


def test_a_failed_view_leaves_nothing_open(maps, raw, cnode):
    before = cnode.held_maps()
    for _ in range(5):
        assert outcome(maps.typed, raw, [("types", ("u32", "u32"))]) == ("raised", "badarg")
        assert outcome(maps.typed, raw, [("types", (FLOW, COUNTS)), ("as", [b"no"])])
        assert maps.typed(raw, []) == ("error", "notype")
        assert outcome(maps.new, "hash", FLOW, COUNTS, 8, [("as", [b"no"])])
    assert cnode.new_maps(before) == 0


def test_an_enum_without_constants_is_a_number(maps):
    map = maps.new("hash", "u32", ("enum", 4, []), 8)
    assert maps.put(1, 7, map) == map and maps.get(1, map) == 7
    assert maps.types(map) == ("u32", ("enum", 4, []))


def test_a_map_stays_charged_until_its_last_view_is_closed(alice, start_cnode):
    node = start_cnode("--max-map-memory", "1000000")
    call = lambda *args: alice.erpc(node.name, *args)  # noqa: E731
    most = ("array", 4, 64, 12000)
    map = call("new", *most)
    assert map[0] == "ebpf_map"
    view = call("typed", map, [("types", ("u32", ("bytes", 64)))])
    assert call("close", map) == "ok"
    assert call("new", *most) == ("error", "enomem")
    assert call("close", view) == "ok"
    assert call("new", *most)[0] == "ebpf_map"


def test_a_node_that_may_only_read_makes_views_that_end_with_it(start_cnode, connect):
    node = start_cnode("--allow", "writer@*=rw", "--allow", "reader@*=ro")
    writer = connect(node, name="writer@h")
    reader = connect(node, name="reader@h")
    map = writer.maps("new", "hash", "u32", "u64", 8)
    assert writer.maps("put", 1, 2, map) == map
    view = reader.maps("typed", map, [("as", "tuple")])
    assert reader.maps("to_list", view) == [(1, 2)]
    assert reader.maps("types", map) == ("u32", "u64")
    for function, *args in ("typed", map, [("lifetime", "permanent")]), ("put", 1, 3, view):
        kind, *rest = reader.erpc("ebpf_maps", function, args)
        assert kind != "return" and "eacces" in str(rest)
