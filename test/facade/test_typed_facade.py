# SPDX-License-Identifier: Apache-2.0
"""Typed handles through the facade: views, members, and what is said of those that do
not fit."""

import os

import pytest

from beam import BeamError
from host import CPUS

FLOW = ("struct", 8, [(b"saddr", 0, "be32"), (b"dport", 32, "be16")])
COUNTS = (
    "struct",
    48,
    [
        (b"packets", 0, "u64"),
        (b"state", 64, ("enum", 4, [(b"open", 1), (b"shut", 2)])),
        (b"name", 96, ("char", 8)),
        (b"", 160, ("union", 8, [(b"small", 0, "u16"), (b"large", 0, "u64")])),
        (b"rates", 224, ("array", 2, "s16")),
        (b"at", 256, ("union", 8, [(b"ns", 0, "u64"), (b"f", 0, "f32")])),
        (b"up", 320, 1, "u8"),
        (b"ttl", 321, 7, "u8"),
        (b"lock", 352, "hidden"),
    ],
)
WHERE = {b"saddr": 0x7F000001, b"dport": 443}
VALUE = {
    **{b"packets": 7, b"state": b"open", b"name": b"eth0", b"large": 2**40 + 5},
    **{b"rates": [-1, 2], b"at": {b"ns": 9}, b"up": 1, b"ttl": 64},
}
READ = VALUE | {b"small": 5, b"at": {b"ns": 9, b"f": pytest.approx(1.26e-44, rel=0.01)}}


class Facade:
    def __init__(self, beam):
        self.beam = beam

    def __getattr__(self, function):
        return lambda *args: self.beam.apply("ebpf_maps", function, *args)

    def words(self, function, *args):
        """{number: text}; 0 for none."""
        with pytest.raises(BeamError) as raised:
            self.beam.apply("ebpf_maps", function, *args)
        error = raised.value
        said = self.beam.apply("ebpf_maps", "format_error", error.reason, error.stack)
        return error.reason, {0 if n == "general" else n: t.decode() for n, t in said.items()}


@pytest.fixture
def facade(usual_beam):
    return Facade(usual_beam)


@pytest.fixture
def map(facade):
    return facade.new("hash", FLOW, COUNTS, 8)


@pytest.fixture
def filled(facade, map):
    facade.put(WHERE, VALUE, map)
    return map


def test_a_map_of_layouts_has_terms(facade, filled):
    assert facade.types(filled) == (FLOW, COUNTS)
    assert facade.get(WHERE, filled) == READ
    assert facade.to_list(filled) == [(WHERE, READ)]


def test_a_typed_handle_is_one_more(facade, filled):
    tuples = facade.typed(filled, [("as", "tuple")])
    assert facade.get((0x7F000001, 443), tuples)[:3] == (7, b"open", b"eth0")
    some = facade.typed(filled, [("as", ["ttl", b"packets"])])
    assert facade.get(WHERE, some) == (64, 7)
    again = facade.typed(tuples, [])
    assert again != filled and facade.get(WHERE, again) == READ
    assert facade.close(again) == "ok" and facade.get(WHERE, filled) == READ


def test_a_typed_handle_of_another_has_its_types_and_nothing_else_of_it(facade):
    map = facade.new("percpu_array", "u32", "u64", 1, [("percpu", "sum")])
    assert facade.get(0, map) == 0
    again = facade.typed(map, [])
    assert facade.get(0, again) == [0] * CPUS and facade.types(again) == ("u32", "u64")


def test_what_the_kernel_has_no_types_of_is_an_error(facade):
    raw = facade.new("hash", 4, 8, 4)
    assert facade.typed(raw, []) == ("error", "notype") == facade.types(raw)
    _, words = facade.words("get", 1, ("error", "notype"))
    assert "the kernel has no types of the map; give layouts" in words[2]


def test_merge_takes_terms_in_any_number_of_messages(facade, map):
    pairs = [(WHERE | {b"dport": port}, VALUE | {b"packets": port}) for port in range(8)]
    assert facade.merge(map, pairs) == map
    assert facade.size(map) == 8
    merged = facade.beam.eval("ebpf_maps:merge(Map, maps:from_list(Ps))", Map=map, Ps=pairs)
    assert merged == map


def test_merge_of_bad_terms_puts_nothing(facade, map):
    good, bad = (WHERE, VALUE), (WHERE | {b"dport": 1}, VALUE | {b"rates": [1]})
    reason, words = facade.words("merge", map, [good, bad])
    assert reason == ("badmember", [b"rates"])
    assert words == {2: "element 2: the value: the member rates: not a list of 2 elements: [1]"}
    assert facade.size(map) == 0


def test_merge_of_bad_bytes_puts_nothing_even_where_the_kernel_has_types(facade, map):
    raw = facade.open(("id", facade.info(map)["id"]))
    pairs = [(bytes(8), bytes(48))] * 20000 + [(bytes(8), b"")]
    with pytest.raises(BeamError) as raised:
        facade.merge(raw, pairs)
    assert raised.value.reason == "badarg" and facade.size(raw) == 0


COUNT = ("struct", 8, [(b"n", 0, "u64")])
KEYLESS = ["queue", "stack", "bloom_filter"]


@pytest.mark.parametrize("type", KEYLESS)
def test_merge_takes_terms_where_there_are_no_keys(type, facade):
    map = facade.new(type, 0, COUNT, 8)
    pairs = [(b"", {b"n": n}) for n in range(3)]
    assert facade.merge(map, pairs) == map
    if type == "bloom_filter":
        assert facade.is_key({b"n": 2}, map)
    else:
        assert sorted(facade.drain(map), key=str) == pairs


@pytest.mark.parametrize("type", KEYLESS)
def test_merge_of_bad_terms_where_there_are_no_keys_says_which(type, facade):
    map = facade.new(type, 0, COUNT, 8)
    reason, words = facade.words("merge", map, [(b"", {b"n": 1}), (b"", {b"n": -1})])
    assert reason == ("badmember", [b"n"])
    assert words[2].startswith("element 2: the value: the member n: not an integer from 0")
    reason, words = facade.words("merge", map, [(b"", {b"n": 1}), (1, {b"n": 1})])
    assert (reason, words) == ("badarg", {2: "element 2: the map has no keys: only <<>> fits"})
    reason, words = facade.words("put", 1, {b"n": 1}, map)
    assert (reason, words) == ("badarg", {1: "the map has no keys: only <<>> fits"})


def test_merge_takes_terms_under_what_a_key_names(facade):
    map = facade.new("task_storage", "u32", COUNT, 0)
    here, gone = ("pid", os.getpid()), ("pid", 2**31 - 1)
    facade.merge(map, [(here, {b"n": 5})])
    assert facade.get(here, map) == {b"n": 5}
    reason, words = facade.words("merge", map, [(gone, {b"n": 5})])
    assert reason == "esrch" and "no process 2147483647" in words[0]


def test_merge_takes_typed_keys_of_maps(facade):
    inner = facade.new("hash", 4, 8, 4)
    map = facade.new("hash_of_maps", FLOW, "u32", 4, [("inner_map", inner)])
    facade.merge(map, [(WHERE, inner)])
    assert facade.keys(map) == [WHERE]
    _, words = facade.words("merge", map, [(WHERE, inner), (WHERE, 7)])
    assert words[2].startswith("element 2: not a map handle")


def test_merge_of_terms_says_why_it_cannot(facade, map, start_cnode):
    pairs = [(WHERE, VALUE)]
    some = facade.typed(map, [("as", ["ttl"])])
    assert facade.words("merge", some, pairs) == (
        "enotsup",
        {0: "the handle only reads: it folds the values of CPUs, or has {as, [Member]}"},
    )
    facade.close(some)
    reason, words = facade.words("merge", some, pairs)
    assert reason == ("badmap", some) and words[1].startswith("not a live map")
    other = start_cnode()
    there = facade.new("hash", FLOW, COUNTS, 8, [("node", other.name)])
    other.stop()
    reason, words = facade.words("merge", there, pairs)
    assert reason == ("nodedown", other.name) and "no connection" in words[0]


def test_merge_of_terms_says_that_this_node_may_only_read(facade, map, start_cnode):
    options = ["read", ("node", start_cnode("--read-only").name), ("types", (FLOW, COUNTS))]
    read = facade.open(("id", facade.info(map)["id"]), options)
    reason, words = facade.words("merge", read, [(WHERE, VALUE)])
    assert reason == "eacces" and words[0].startswith("this node may only read")


def test_update_with_puts_what_the_fun_makes_of_a_term(facade):
    map = facade.new("hash", "u32", "u64", 4)
    facade.put(1, 41, map)
    facade.beam.eval("ebpf_maps:update_with(1, fun(N) -> N + 1 end, Map)", Map=map)
    assert facade.get(1, map) == 42


# --- put_members


def test_put_members_changes_those_and_leaves_the_others(facade, filled):
    assert facade.put_members(WHERE, {"packets": 8, b"ttl": 63}, filled) == filled
    assert facade.get(WHERE, filled) == READ | {b"packets": 8, b"ttl": 63}


def test_put_members_without_any_leaves_all(facade, filled):
    facade.put_members(WHERE, {}, filled)
    assert facade.get(WHERE, filled) == READ


def test_put_members_takes_another_alternative_of_a_union(facade, filled):
    facade.put_members(WHERE, {"small": 3, "at": {"f": 1.5}}, filled)
    value = facade.get(WHERE, filled)
    assert value[b"small"] == value[b"large"] == 3
    assert value[b"at"][b"f"] == 1.5


PADDED = ("struct", 4, [(b"a", 0, "u8"), (b"b", 16, "u16")])
TIED = ("union", 4, [(b"padded", 0, PADDED), (b"whole", 0, "u32")])


@pytest.mark.parametrize("name", [b"u", b""], ids=["named", "anonymous"])
def test_put_members_keeps_what_one_alternative_takes_for_padding(facade, name):
    map = facade.new("hash", 4, 8, 4)
    facade.put(1, bytes(range(1, 9)), map)
    layout = ("struct", 8, [(name, 0, TIED), (b"n", 32, "u32")])
    facade.put_members(1, {"n": 9}, facade.typed(map, [("types", ("u32", layout))]))
    assert facade.get(1, map) == bytes([1, 2, 3, 4, 9, 0, 0, 0])


def test_put_members_of_a_per_cpu_map_are_put_for_all_cpus(facade):
    layout = ("struct", 16, [(b"a", 0, "u64"), (b"b", 64, "u64")])
    map = facade.new("percpu_hash", "u32", layout, 4)
    facade.put(1, [{b"a": n, b"b": n} for n in range(CPUS)], map)
    facade.put_members(1, {"b": 99}, map)
    assert facade.get(1, map) == [{b"a": n, b"b": 99} for n in range(CPUS)]


PUT_MEMBERS = {
    "no such key": ((WHERE | {b"dport": 1}, {}), "badkey", {1: "not present in the map"}),
    "no such member": (
        (WHERE, {"nope": 1}),
        ("badmember", [b"nope"]),
        {2: "the member nope: there is no such member"},
    ),
    "a member that does not fit": (
        (WHERE, {"ttl": 128}),
        ("badmember", [b"ttl"]),
        {2: "the member ttl: 128 does not fit in 7 bits"},
    ),
    "a hidden one": (
        (WHERE, {"lock": 1}),
        ("badmember", [b"lock"]),
        {2: "the member lock: there is no such member"},
    ),
    "no members": ((WHERE, 7), "badarg", {2: "not an Erlang map of members: 7"}),
    "a number for a name": ((WHERE, {1: 1}), "badarg", {2: "not the name of a member: 1"}),
    "one twice": (
        (WHERE, {"ttl": 1, b"ttl": 2}),
        "badarg",
        {2: "a member is there twice: ttl"},
    ),
}


@pytest.mark.parametrize("args, reason, words", PUT_MEMBERS.values(), ids=PUT_MEMBERS)
def test_put_members_refuses(facade, filled, args, reason, words):
    said, seen = facade.words("put_members", *args, filled)
    assert said[0] == "badkey" if reason == "badkey" else said == reason
    assert seen == words
    assert facade.get(WHERE, filled) == READ


def test_put_members_takes_a_typed_handle_with_erlang_maps(facade, filled):
    raw = facade.new("hash", 4, 8, 4)
    reason, words = facade.words("put_members", 1, {"a": 1}, raw)
    assert (reason, words) == ("notype", {0: "the handle has no types: typed/2 returns one that has"})
    raw = facade.open(("id", facade.info(filled)["id"]))
    key = bytes([127, 0, 0, 1, 1, 187, 0, 0])
    assert facade.words("put_members", key, {"ttl": 1}, raw)[0] == "notype"
    for options in [("as", "tuple")], [("as", ["ttl"])]:
        other = facade.typed(filled, options)
        key = (0x7F000001, 443) if options[0][1] == "tuple" else WHERE
        reason, words = facade.words("put_members", key, {"ttl": 1}, other)
        assert reason == "enotsup" and "are not Erlang maps" in words[0]


NO_TYPES = ("notype", {0: "the handle has no types: typed/2 returns one that has"})


def test_put_members_needs_a_typed_handle_whatever_the_kernel_says(facade, start_cnode, folder):
    """Without --no-open-by-id the types of the kernel would be found."""
    node = start_cnode("--no-open-by-id")
    map = facade.new("hash", "u32", ("struct", 4, [(b"a", 0, "u32")]), 4, [("node", node.name)])
    facade.put(1, {"a": 1}, map)
    path = str(folder / "map").encode()
    assert facade.pin(path, map) == "ok"
    raw = facade.open(("pinned", path), [("node", node.name)])
    assert facade.types(raw) == ("error", "eperm")
    assert facade.words("put_members", 1, {"a": 2}, raw) == NO_TYPES
    assert facade.get(1, map) == {b"a": 1}
    facade.unpin(path, map)


def test_put_members_of_bytes_of_a_number_is_told_of_typed(facade):
    map = facade.new("array", "u32", "u64", 1)
    raw = facade.open(("id", facade.info(map)["id"]))
    assert facade.words("put_members", 0, {"a": 2}, raw) == NO_TYPES
    said = facade.words("put_members", 0, {"a": 2}, map)
    assert said == ("enotsup", {0: "a value of the map has no members: it is u64"})
    each = facade.new("percpu_array", "u32", "u64", 1)
    raw = facade.open(("id", facade.info(each)["id"]))
    assert facade.words("put_members", 0, {"a": 2}, raw) == NO_TYPES


# --- words


def of(**others):
    return VALUE | {name.encode(): term for name, term in others.items()}


def without(name):
    return {key: term for key, term in VALUE.items() if key != name}


MEMBERS = {
    "a number": (of(packets=-1), 'the member packets: not an integer from 0 to 18446744073709551615: -1'),
    "an element": (of(rates=[0, 2**15]), "the member rates[1]: not an integer from -32768 to 32767: 32768"),
    "an enum": (of(state=b"ajar"), 'the member state: not a number or a name of the enum (open, shut): <<"ajar">>'),
    "a text": (of(name=b"123456789"), 'the member name: not a text of up to 8 bytes: <<"123456789">>'),
    "a bit-field": (of(up=2), "the member up: 2 does not fit in 1 bit"),
    "a missing one": (without(b"ttl"), "the member ttl: it is missing"),
    "an unknown one": (of(nope=1), "the member nope: there is no such member"),
    "a union": (of(at={}), "the member at.ns: it is missing, and so is any other member of its union"),
    "two alternatives": (of(at={b"ns": 1, b"f": 1}), "the member at.f: it is there beside another member of its union"),
    "a member of a union": (of(at={"ns": "x"}), "the member at.ns: not an integer from 0 to 18446744073709551615: x"),
}


@pytest.mark.parametrize("value, words", MEMBERS.values(), ids=MEMBERS)
def test_of_a_value_the_member_is_named_and_what_it_wants(facade, map, value, words):
    reason, said = facade.words("put", WHERE, value, map)
    assert reason[0] == "badmember"
    assert said == {2: words}


def test_of_a_key_too(facade, map):
    reason, said = facade.words("get", WHERE | {b"dport": 65536}, map)
    assert reason == ("badmember", [b"dport"])
    assert said == {1: "the member dport: not an integer from 0 to 65535: 65536"}
    reason, said = facade.words("put", bytes(8), VALUE, map)
    assert reason == ("badmember", [])
    assert said[1].startswith("not an Erlang map with saddr, dport: ")
    _, said = facade.words("with", [WHERE, 7], map)
    assert said == {1: "element 2: not an Erlang map with saddr, dport: 7"}


def test_of_tuples_too(facade, map):
    tuples = facade.typed(map, [("as", "tuple")])
    reason, said = facade.words("get", (1, -1), tuples)
    assert reason == ("badmember", [b"dport"])
    assert said == {1: "the member dport: not an integer from 0 to 65535: -1"}


def test_of_the_result_of_a_fun_what_is_wanted(facade, filled):
    reason, stack = facade.beam.eval(
        """
        try ebpf_maps:update_with(Key, fun(AsItWasRead) -> AsItWasRead end, Map)
        catch error:R:S -> {R, S} end""",
        Key=WHERE,
        Map=filled,
    )
    said = facade.beam.apply("ebpf_maps", "format_error", reason, stack)
    assert said[2].decode() == (
        "the result of the fun: the member at.f takes a number, nan, infinity or '-infinity', "
        "and no other member of its union"
    )


def test_of_a_cpu_its_number(facade):
    map = facade.new("percpu_hash", "u32", "u16", 4)
    values = [0] * CPUS
    reason, said = facade.words("put", 1, [*values[1:], 65536], map)
    assert reason == ("badmember", [CPUS - 1])
    assert f"that of CPU {CPUS - 1}: not an integer from 0 to 65535: 65536" in said[2]
    reason, said = facade.words("put", 1, [*values, 0], map)
    assert reason == ("badmember", [])
    assert said == {2: f"a list of {CPUS + 1} values: it must have one for each possible CPU of the C node's host"}


def test_a_handle_that_only_reads_says_so(facade, filled):
    some = facade.typed(filled, [("as", ["ttl"])])
    reason, said = facade.words("put", WHERE, VALUE, some)
    assert reason == "enotsup"
    assert said == {0: "the handle only reads: it folds the values of CPUs, or has {as, [Member]}"}


def test_a_term_for_a_handle_without_types_is_told_of_typed(facade):
    raw = facade.new("hash", 4, 8, 4)
    reason, said = facade.words("put", 1, {b"a": 1}, raw)
    assert reason == "badarg" and "typed/2 returns one that has" in said[2]


OPTIONS = {
    "an overlap": (
        ("types", ("u32", ("struct", 8, [(b"a", 0, "u32"), (b"b", 16, "u32")]))),
        "the option types: the value: the layout: the members a and b overlap: a ends at bit 31, "
        "and b starts at bit 16",
    ),
    "another size": (
        ("types", ("u64", "u64")),
        "the option types: the key's layout has 8 bytes; a key of the map has 4 bytes",
    ),
    "no keys": (
        ("types", (0, "u64")),
        "the option types: the key's layout is 0, that of no keys; a key of the map has 4 bytes",
    ),
    "no layouts": (("types", "vmlinux"), "the option types: neither btf nor {KeyLayout, ValueLayout}: vmlinux"),
    "a form": (("as", "list"), "the option as: not map, tuple or a list of members: list"),
    "a fold": (("percpu", "mean"), "the option percpu: not list, sum, max or min: mean"),
    "another": ("read", "there is no option read of typed/2"),
}


@pytest.mark.parametrize("option, words", OPTIONS.values(), ids=OPTIONS)
def test_of_options_of_a_view_it_is_said_what_is_wrong(facade, option, words):
    raw = facade.new("hash", 4, 8, 4)
    options = [option] if option[0] == "types" else [("types", ("u32", "u64")), option]
    assert facade.words("typed", raw, options) == ("badarg", {2: words})


def test_of_options_that_do_not_go_with_the_layouts_too(facade):
    raw = facade.new("hash", 4, 8, 4)
    each = facade.new("percpu_hash", 4, 8, 4)
    layouts = ("types", ("u32", ("struct", 8, [(b"a", 0, "u32"), (b"b", 32, ("char", 4))])))
    _, said = facade.words("typed", raw, [layouts, ("as", ["c"])])
    assert said == {2: "the option as: a value has no member c"}
    _, said = facade.words("typed", raw, [layouts, ("percpu", "sum")])
    assert said == {2: "the option percpu: a map of type hash has no value per CPU"}
    _, said = facade.words("typed", each, [layouts, ("percpu", "sum")])
    assert said == {2: "the option percpu: sum takes numbers, and nothing else: not the member b"}


def test_of_new_the_layout_is_named(facade):
    reason, said = facade.words("new", "hash", "u7", "u64", 4)
    assert (reason, said) == ("badarg", {2: "the layout: there is no type u7"})
    _, said = facade.words("new", "hash", "u32", ("struct", 4, [(b"a", 0, "u64")]), 4)
    assert said == {3: "the layout: the member a: outside: it ends after byte 8 of 4 (its offset is in bits)"}
    _, said = facade.words("new", "hash", 4, "u64", 4)
    assert said == {2: "give two sizes or two layouts, not one of each"}


PAIR = ("struct", 8, [(b"a", 0, "u32"), (b"b", 32, ("char", 4))])
NO_OPTION_OF_A_VIEW = {
    "no such member": ("hash", PAIR, [("as", ["a", "c"])], "as: a value has no member c"),
    "no structure": ("hash", "u64", [("as", ["a"])], "as: a value is no structure: u64"),
    "no members": ("hash", PAIR, [("as", [])], "as: not map, tuple or a list of members: []"),
    "no value per CPU": (
        *("hash", "u64", [("percpu", "sum")]),
        "percpu: a map of type hash has no value per CPU",
    ),
    "no number": (
        *("percpu_hash", PAIR, [("percpu", "max")]),
        "percpu: max takes numbers, and nothing else: not the member b",
    ),
    "both": (
        *("percpu_hash", PAIR, [("percpu", "min"), ("as", ["a"])]),
        "percpu: with a list of members it can only be list, not min",
    ),
}


@pytest.mark.parametrize(
    "type, value, options, words", NO_OPTION_OF_A_VIEW.values(), ids=NO_OPTION_OF_A_VIEW
)
def test_of_options_of_new_and_of_a_view_the_same_is_said(facade, type, value, options, words):
    said = facade.words("new", type, "u32", value, 4, options)
    assert said == ("badarg", {5: f"the option {words}"})
    raw = facade.new(type, 4, 8, 4)
    said = facade.words("typed", raw, [("types", ("u32", value)), *options])
    assert said == ("badarg", {2: f"the option {words}"})


def test_of_options_of_new_that_are_good_nothing_is_said(facade):
    unknown = {1: "the C node's libbpf knows no map type hush"}
    options = [("as", ["a"])]
    assert facade.words("new", "hush", "u32", PAIR, 4, options) == ("badarg", unknown)
    mixed = {2: "give two sizes or two layouts, not one of each"}
    assert facade.words("new", "hash", 4, PAIR, 4, options) == ("badarg", mixed)
    for option in [("as", "tuple"), ("percpu", "sum")]:
        _, said = facade.words("new", "percpu_hash", 4, 8, 4, [option])
        assert said == {5: f"the option {option[0]}: it takes two layouts in place of the sizes"}


def test_values_that_are_maps_have_no_members(facade):
    inner = ("inner_map", facade.new("hash", 4, 8, 4))
    layout = ("struct", 4, [(b"a", 0, "u32")])
    _, said = facade.words("new", "hash_of_maps", "u32", layout, 4, [inner, ("as", ["a"])])
    assert said == {5: "the option as: values of a map of type hash_of_maps have no layout"}
