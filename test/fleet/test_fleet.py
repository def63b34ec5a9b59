# SPDX-License-Identifier: Apache-2.0
"""Maps of several hosts, read and written by one call."""

import random
import struct

import pytest

from cluster import wait_until
from conftest import raises
from etf import Atom
from fleets import all_ok
from native import u32, u64

LAYOUTS = [(Atom("keys"), Atom("u32")), (Atom("values"), Atom("u64"))]
POINT = ("struct", 16, [(b"x", 0, Atom("u64")), (b"y", 64, Atom("s64"))])
POINTS = [(Atom("keys"), Atom("u32")), (Atom("values"), (Atom("struct"), *POINT[1:]))]


def option(name, value):
    return (Atom(name), value)


def drawn(fleet, what, seed, most=200):
    """Puts numbers that are drawn on each host: {node: {key: value}}."""
    draw = random.Random(seed)
    hosts = {}
    for node in fleet.hosts:
        keys = draw.sample(range(300), draw.randrange(most))
        hosts[node.name] = {key: draw.randrange(2**40) for key in keys}
        fleet.put(node, what, hosts[node.name])
    return hosts


def merged(hosts, how):
    found = {}
    for pairs in hosts.values():
        for key, value in pairs.items():
            found.setdefault(key, []).append(value)
    return {key: how(values) for key, values in found.items()}


# --- Reading --------------------------------------------------------------------


@pytest.mark.parametrize("how", [sum, max, min])
def test_values_of_one_key_become_one(three, how):
    what = three.new("m")
    hosts = drawn(three, what, how.__name__)
    answer = three.call("to_map", what, [*LAYOUTS, option("merge", Atom(how.__name__))])
    assert answer == (merged(hosts, how), all_ok(three))


def test_a_list_has_the_nodes_in_order(three):
    what = three.new("m")
    hosts = drawn(three, what, "list")
    answer = three.call("to_map", what, [*LAYOUTS, option("merge", Atom("list"))])
    for key, values in answer.value.items():
        wanted = [(Atom(name), pairs[key]) for name, pairs in sorted(hosts.items()) if key in pairs]
        assert values == wanted
    assert set(answer.value) == set().union(*hosts.values())


def test_a_function_merges(three):
    what = three.new("m")
    hosts = drawn(three, what, "function")
    text = """
        Xor = fun(A, B) -> A bxor B end,
        ebpf_fleet:to_map(What, [{merge, {Xor}} | Options])
    """
    value, _ = three.beam.eval(text, What=what, Options=LAYOUTS)

    def xor(values):
        found = 0
        for value in values:
            found ^= value
        return found

    assert value == merged(hosts, xor)


def test_structures_are_merged_member_by_member(three):
    what = three.new("m", value=16)
    for n, node in enumerate(three.hosts):
        map = three.maps(node, "open", what)
        three.maps(node, "put", u32(1), u64(10**n) + (-n).to_bytes(8, "little", signed=True), map)
    answer = three.call("to_map", what, POINTS)
    assert answer == ({1: {b"x": 111, b"y": -3}}, all_ok(three))
    answer = three.call("to_map", what, [*POINTS, option("merge", Atom("max"))])
    assert answer.value == {1: {b"x": 100, b"y": 0}}
    ranked = three.call("top", 5, what, [*POINTS, option("member", Atom("y"))])
    assert ranked.value == [(1, {b"x": 111, b"y": -3})]


def test_get_merges_what_there_is(three):
    what = three.new("m")
    three.put(three.hosts[0], what, {1: 5})
    three.put(three.hosts[2], what, {1: 7})
    assert three.call("get", 1, what, LAYOUTS) == (12, all_ok(three))
    found = three.call("get", 1, what, [*LAYOUTS, option("merge", Atom("list"))])
    assert found.value == [(Atom(three.hosts[0].name), 5), (Atom(three.hosts[2].name), 7)]
    assert three.call("get", 2, what, LAYOUTS) == ("none", all_ok(three))


def test_bytes_can_be_had_but_not_added(three):
    what = three.new("m")
    three.put(three.hosts[1], what, {1: 5})
    assert three.call("get", u32(1), what, [option("merge", Atom("last"))]).value == u64(5)
    answer = three.call("to_map", what, [])
    assert answer.value == {}
    assert answer.results[three.hosts[1].name] == ("error", ("badvalue", u64(5)))
    assert answer.results[three.hosts[0].name] == "ok"


def test_only_values_need_a_layout(three):
    what = three.new("m")
    three.put(three.hosts[0], what, {1: 5})
    assert three.call("to_map", what, LAYOUTS[1:]).value == {u32(1): 5}


@pytest.mark.parametrize("type", ["percpu_hash", "percpu_array"])
def test_values_of_cpus_are_folded_where_they_are_read(three, type):
    what = three.new("m", type=type, entries=4)
    for n, node in enumerate(three.hosts):
        map = three.maps(node, "open", what)
        cpus = three.maps(node, "new", Atom("percpu_array"), 4, 8, 1)
        cpus = len(three.maps(node, "get", 0, cpus))
        three.maps(node, "put", u32(1), [u64(10**n * (cpu + 1)) for cpu in range(cpus)], map)
    total = cpus * (cpus + 1) // 2
    assert three.call("get", 1, what, LAYOUTS).value == 111 * total
    assert three.call("get", 1, what, [*LAYOUTS, option("merge", Atom("max"))]).value == 100 * cpus
    lists = [*LAYOUTS, option("percpu", Atom("list"))]
    assert three.call("get", 1, what, lists).value == [111 * (cpu + 1) for cpu in range(cpus)]
    assert three.call("top", 1, what, LAYOUTS).value == [(1, 111 * total)]


def test_top_is_ranked_after_the_merge(three):
    """The key 9 is second on each host, and first in all."""
    what = three.new("m")
    for n, node in enumerate(three.hosts):
        three.put(node, what, {n: 10, 9: 6, 5: 1})
    assert three.call("top", 1, what, LAYOUTS) == ([(9, 18)], all_ok(three))
    # of equal ones the smaller key comes first
    wanted = [(9, 18), (0, 10), (1, 10), (2, 10)]
    assert three.call("top", 4, what, LAYOUTS).value == wanted
    assert three.call("top", 0, what, LAYOUTS).value == []


def test_top_is_that_of_all_values_sorted(three):
    what = three.new("m")
    hosts = drawn(three, what, "top")
    wanted = sorted(merged(hosts, sum).items(), key=lambda pair: (-pair[1], pair[0]))
    for n in (1, 17, 10000):
        assert three.call("top", n, what, LAYOUTS).value == wanted[:n]


def test_fold_gets_each_entry_of_each_host(three):
    what = three.new("m")
    hosts = drawn(three, what, "fold")
    text = """
        Fun = fun(Node, Key, Value, Acc) -> [{Node, Key, Value} | Acc] end,
        {Acc, _} = ebpf_fleet:fold(Fun, [], What, Options),
        {Count, _} = ebpf_fleet:fold(fun(_, _, N) -> N + 1 end, 0, What, Options),
        {lists:sort(Acc), Count}
    """
    entries, count = three.beam.eval(text, What=what, Options=LAYOUTS)
    wanted = [(name, k, v) for name, pairs in hosts.items() for k, v in pairs.items()]
    assert entries == sorted(wanted)
    assert count == len(wanted)


def test_large_maps_come_in_chunks(three):
    what = three.new("m", entries=10000)
    for node in three.hosts:
        three.put(node, what, {k: k for k in range(10000)})
    answer = three.call("to_map", what, LAYOUTS)
    assert answer == ({k: 3 * k for k in range(10000)}, all_ok(three))


@pytest.mark.parametrize("how", ["sum", "max", "list"])
@pytest.mark.parametrize("value", [0, 1])
def test_too_many_keys_are_an_error_of_those_that_have_them(three, value, how):
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {k: value for k in range(10)})
    options = [*LAYOUTS, option("merge", Atom(how))]
    answer = three.call("to_map", what, [*options, option("max_keys", 9)])
    assert len(answer.value) == 9
    for _, reason in answer.results.values():
        # what others have, too, is merged before that
        assert reason in [("max_keys", 9), *(("partial", n, ("max_keys", 9)) for n in range(10))]
    enough = three.call("to_map", what, [*options, option("max_keys", 10)])
    each = [(Atom(node.name), value) for node in three.hosts]
    of_all = {"sum": 3 * value, "max": value, "list": sorted(each)}[how]
    assert enough == ({k: of_all for k in range(10)}, all_ok(three))


def test_whole_numbers_and_others_are_added(three):
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {1: 5})
    views = {}
    for node, number in zip(three.hosts, ("u64", "f64", "u64")):
        map = three.maps(node, "open", what)
        types = (Atom("types"), (Atom("u32"), Atom(number)))
        views[Atom(node.name)] = three.maps(node, "typed", map, [types])
    text = "ebpf_fleet:to_map(fun(Node) -> maps:get(Node, Views) end, [{window, 1}])"
    value, results = three.beam.eval(text, Views=views)
    assert results == all_ok(three)
    assert value == {1: 10 + struct.unpack("d", u64(5))[0]}


def test_no_table_is_left_of_a_call(three):
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {1: 1})
    three.call("to_map", what, LAYOUTS)
    with raises("mine"):
        text = "ebpf_fleet:to_map(What, [{on_node, fun(_, _) -> error(mine) end} | Layouts])"
        three.beam.eval(text, What=what, Layouts=LAYOUTS)
    text = "[T || T <- ets:all(), ets:info(T, name) =:= ebpf_fleet_table]"
    assert three.beam.eval(text) == []


def test_exceptions_of_the_callers_functions_are_its_own(three):
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {1: 1})
    text = "ebpf_fleet:fold(fun(_, _, _) -> error(mine) end, 0, What, [])"
    with raises("mine"):
        three.beam.eval(text, What=what)
    # nothing of the others comes later
    assert three.beam.eval("receive Any -> Any after 100 -> none end") == "none"


def test_sums_are_made_on_the_hosts(three):
    what = three.new("m")
    hosts = drawn(three, what, "sum")
    wanted = sum(sum(pairs.values()) for pairs in hosts.values())
    assert three.call("sum", what, LAYOUTS) == (wanted, all_ok(three))
    # beyond 64 bits
    for node in three.hosts:
        three.put(node, what, {k: 2**64 - 1 for k in range(300)})
    assert three.call("sum", what, LAYOUTS).value == 900 * (2**64 - 1)


def test_sums_of_members_and_of_cpus(three):
    what = three.new("m", type="percpu_hash", value=16)
    map = three.maps(three.hosts[0], "open", what)
    cpus = len(three.maps(three.hosts[0], "get", 0, three.maps(
        three.hosts[0], "new", Atom("percpu_array"), 4, 8, 1)))  # fmt: skip
    value = u64(5) + (-3).to_bytes(8, "little", signed=True)
    three.maps(three.hosts[0], "put", u32(1), [value] * cpus, map)
    for member, number in ((Atom("x"), 5), (b"y", -3), ([120], 5), ([b"y"], -3), ([[121]], -3)):
        answer = three.call("sum", what, [*POINTS, option("member", member)])
        assert answer == (number * cpus, all_ok(three))
    answer = three.call("sum", what, [*POINTS, option("member", Atom("z"))])
    assert list(answer.results.values()) == 3 * [("error", ("badmember", [b"z"]))]


# --- Writing --------------------------------------------------------------------


def test_what_is_put_is_on_all_hosts(three):
    what = three.new("m")
    assert three.call("put", 1, 2, what, LAYOUTS) == (3, all_ok(three))
    assert three.call("get", 1, what, LAYOUTS).value == 6
    assert three.call("remove", 1, what, LAYOUTS) == (3, all_ok(three))
    assert three.call("get", 1, what, LAYOUTS).value == "none"
    # where it is not any more, too
    assert three.call("remove", 1, what, LAYOUTS) == (3, all_ok(three))


def test_many_are_put_in_several_messages(three):
    what = three.new("m", entries=40000)
    pairs = {k: 1 for k in range(40000)}
    assert three.call("merge", what, pairs, LAYOUTS) == (3, all_ok(three))
    assert three.call("to_map", what, LAYOUTS).value == {k: 3 for k in pairs}


def test_a_full_map_is_its_hosts_error(three):
    what = three.new("m", on=three.hosts[:2])
    three.new("m", entries=2, on=three.hosts[2:])
    answer = three.call("merge", what, {k: 1 for k in range(5)}, LAYOUTS)
    assert answer.value == 2
    assert answer.results[three.hosts[2].name] == ("error", ("partial", 2, "e2big"))


def test_a_map_that_a_host_has_not_is_its_error(three):
    what = three.new("m", on=three.hosts[:2])
    three.put(three.hosts[0], what, {1: 5})
    missing = {**all_ok(three), three.hosts[2].name: ("error", "enoent")}
    assert three.call("to_map", what, LAYOUTS) == ({1: 5}, missing)
    assert three.call("put", 1, 1, what, LAYOUTS) == (2, missing)
    with raises(("failed", {Atom(three.hosts[2].name): "enoent"})):
        three.call("to_map", what, [*LAYOUTS, Atom("strict")])


# --- Functions, handles -----------------------------------------------------------


def test_any_function_can_be_called(three):
    what = three.new("m")
    answer = three.call("call", Atom("size"), [what], [])
    assert answer == ({name: 0 for name in three.names()}, all_ok(three))
    answer = three.call("call", (Atom("ebpf_events"), Atom("subscriptions")), [], [])
    assert set(answer.value) == set(three.names())
    answer = three.call("call", Atom("nothing"), [], [])
    assert answer.value == {}
    assert set(answer.results.values()) == {("error", "undef")}


def test_a_function_gives_the_map_of_each_node(three):
    maps = {}
    for n, node in enumerate(three.hosts):
        maps[Atom(node.name)] = map = three.maps(node, "new", Atom("hash"), 4, 8, 8)
        three.maps(node, "put", u32(1), u64(10**n), map)
    text = "ebpf_fleet:to_map(fun(Node) -> maps:get(Node, Maps) end, Options)"
    before = {node.name: len(three.handles(node)) for node in three.hosts}
    value, results = three.beam.eval(text, Maps=maps, Options=LAYOUTS)
    assert value == {1: 111}
    # views that were made for this are closed, the handles are not
    assert before == {node.name: len(three.handles(node)) for node in three.hosts}
    del maps[Atom(three.hosts[1].name)]
    value, results = three.beam.eval(text, Maps=maps, Options=LAYOUTS)
    assert value == {1: 101}
    assert results[Atom(three.hosts[1].name)] == ("error", ("badkey", three.hosts[1].name))


def test_handles_are_kept_and_used_again(three):
    what = three.new("m")
    three.call("to_map", what, LAYOUTS)
    before = [three.handles(node) for node in three.hosts]
    assert all(before)
    for _ in range(3):
        three.call("to_map", what, LAYOUTS)
    assert [three.handles(node) for node in three.hosts] == before


def test_a_handle_that_is_gone_is_renewed(three):
    what = three.new("m")
    three.put(three.hosts[0], what, {1: 5})
    three.call("to_map", what, LAYOUTS)
    for handle, *_ in three.handles(three.hosts[0]):
        three.maps(three.hosts[0], "close", handle)
    assert three.call("to_map", what, LAYOUTS) == ({1: 5}, all_ok(three))


def test_a_path_that_means_another_map_is_noticed(three):
    what = three.new("m")
    three.put(three.hosts[0], what, {1: 5})
    assert three.call("get", 1, what, LAYOUTS).value == 5
    for node in three.hosts:
        map = three.maps(node, "open", what)
        three.maps(node, "unpin", what[1], map)
    three.new("m")
    # what is put is in the new one, and what is read soon is, too
    assert three.call("put", 1, 7, what, LAYOUTS).value == 3
    wait_until(lambda: three.call("get", 1, what, LAYOUTS).value == 21, timeout=20)


def test_handles_end_once_nobody_uses_them(three):
    what = three.new("m")
    three.call("get", 1, what, LAYOUTS)
    assert all(three.handles(node) for node in three.hosts)
    wait_until(lambda: not any(three.handles(node) for node in three.hosts), timeout=30)


def test_a_handle_that_is_used_for_long_stays(three):
    """A call that takes longer than handles are kept, and others that want newer ones."""
    what = three.new("m", entries=20000)
    for node in three.hosts:
        three.put(node, what, {k: 1 for k in range(20000)})
    text = """
        Slow = fun(_, V, 0) -> timer:sleep(6000), V; (_, V, N) -> N + V end,
        Me = self(),
        spawn_link(fun() -> Me ! {slow, ebpf_fleet:fold(Slow, 0, What, Options)} end),
        timer:sleep(5500),
        {Got, _} = ebpf_fleet:get(1, What, Options),
        receive {slow, {Sum, Results}} -> {Got, Sum, lists:usort(maps:values(Results))} end
    """
    options = [*LAYOUTS, option("timeout", 60000), option("deadline", 60000)]
    assert three.beam.eval(text, What=what, Options=options, timeout=30) == (3, 60000, ["ok"])


def test_without_the_application_nothing_is_left_behind(three, start_beam, ebin):
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {1: 5})
    bare = start_beam(paths=[ebin])
    options = [*LAYOUTS, option("nodes", three.names())]
    assert bare.apply("ebpf_fleet", "to_map", what, options)[0] == {1: 15}
    wait_until(lambda: not any(three.handles(node) for node in three.hosts))


# --- Nodes ------------------------------------------------------------------------


def test_the_nodes_by_each_source(three, cluster):
    beam = three.beam
    assert beam.apply("ebpf_fleet", "nodes", []) == sorted(three.names())
    assert beam.apply("ebpf_fleet", "nodes", [option("nodes", three.names()[:1])]) == three.names()[:1]
    text = "ebpf_fleet:nodes([{nodes, fun() -> Names end}])"
    assert beam.eval(text, Names=three.names() + three.names()) == sorted(three.names())
    found = beam.apply("ebpf_fleet", "nodes", [option("nodes", Atom("hosts"))])
    assert found == [f"ebpf@{cluster.host}"]
    hosts = [cluster.host.encode().decode()]
    text = "ebpf_fleet:nodes([{nodes, {epmd, binary_to_list(Prefix), [binary_to_list(Host)]}}])"
    found = beam.eval(text, Prefix=three.hosts[0].sname.encode(), Host=hosts[0].encode())
    assert three.hosts[0].name in found
    assert all(name.startswith(three.hosts[0].sname) for name in found)


def test_the_default_name_goes_with_each_host(three, cluster):
    beam = three.beam
    beam.apply("application", "set_env", "ebpf_cnode", "node", Atom("mapper@elsewhere"))
    try:
        found = beam.apply("ebpf_fleet", "nodes", [option("nodes", Atom("hosts"))])
        assert found == [f"mapper@{cluster.host}"]
    finally:
        beam.apply("application", "unset_env", "ebpf_cnode", "node")


def test_no_node_is_no_error(fleet):
    what = option("name", b"m")
    nobody = [option("nodes", [])]
    assert fleet.call("to_map", what, nobody) == ({}, {})
    assert fleet.call("sum", what, nobody) == (0, {})
    assert fleet.call("get", 1, what, nobody) == ("none", {})


# --- Wrong arguments ----------------------------------------------------------------

WRONG = {
    "no what": ("to_map", ["m", []], ("badmap", b"m")),
    "no name": ("to_map", [(Atom("name"), 7), []], ("badmap", (Atom("name"), 7))),
    "an id": ("to_map", [(Atom("id"), 7), []], ("badmap", (Atom("id"), 7))),
    "no option": ("to_map", [(Atom("name"), b"m"), [Atom("fast")]], Atom("badarg")),
    "no list": ("to_map", [(Atom("name"), b"m"), Atom("fast")], Atom("badarg")),
    "of another": ("put", [1, 2, (Atom("name"), b"m"), [option("max_keys", 1)]], Atom("badarg")),
    "window": ("sum", [(Atom("name"), b"m"), [option("window", 0)]], Atom("badarg")),
    "nodes": ("nodes", [[option("nodes", Atom("all"))]], Atom("badarg")),
    "names": ("nodes", [[option("nodes", [Atom("here")])]], Atom("badarg")),
    "layout": ("sum", [(Atom("name"), b"m"), [option("values", Atom("u9"))]], Atom("badarg")),
    "pairs": ("merge", [(Atom("name"), b"m"), [1], []], Atom("badarg")),
    "count": ("top", [-1, (Atom("name"), b"m"), []], Atom("badarg")),
    "function": ("call", [7, [], []], Atom("badarg")),
    "programs": ("attach", [7, Atom("xdp"), []], Atom("badarg")),
    "stream": ("unsubscribe", [7], Atom("badarg")),
}


@pytest.mark.parametrize("row", WRONG)
def test_wrong_arguments_are_raised_and_explained(fleet, row):
    function, args, reason = WRONG[row]
    args = [a.encode() if type(a) is str else a for a in args]
    text = """
        try apply(ebpf_fleet, F, A) of _ -> none
        catch error:R:S -> {R, ebpf_fleet:format_error(R, S)} end
    """
    raised, words = fleet.beam.eval(text, F=Atom(function), A=args)
    assert raised == reason
    assert words and all(len(text) > 10 for text in words.values()), words


def test_what_a_function_of_nodes_returns_is_checked(fleet):
    with raises(("badnodes", "here")):
        fleet.beam.eval("ebpf_fleet:nodes([{nodes, fun() -> here end}])")


def test_a_wrong_variable_is_told(fleet):
    fleet.beam.apply("application", "set_env", "ebpf_cnode", "fleet", Atom("all"))
    with raises(("badenv", ("fleet", "all"))):
        fleet.beam.apply("ebpf_fleet", "nodes", [])


def test_a_node_without_distribution_has_no_fleet(start_beam, ebin):
    beam = start_beam(paths=[ebin], alive=False)
    with raises("notalive"):
        beam.apply("ebpf_fleet", "nodes", [])


def test_a_full_mailbox_is_left_alone(three):
    what = three.new("m")
    text = """
        [self() ! {mine, N} || N <- lists:seq(1, 100)],
        {_, Results} = ebpf_fleet:to_map(What, Options),
        {Results, [receive {mine, N} -> N after 0 -> none end || _ <- lists:seq(1, 100)]}
    """
    results, mine = three.beam.eval(text, What=what, Options=LAYOUTS)
    assert set(results.values()) == {"ok"}
    assert mine == list(range(1, 101))
