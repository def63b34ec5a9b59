# SPDX-License-Identifier: Apache-2.0
"""Hosts that hang, go, come, restart and lie, while all are asked."""

import time
from contextlib import ExitStack

import pytest

from cluster import wait_until
from etf import Atom
from fleets import all_ok, pretend
from native import u32, u64

LAYOUTS = [(Atom("keys"), Atom("u32")), (Atom("values"), Atom("u64"))]

# A module of a liar: answers are those that say() has put there under the function's name.
LIAR = """
    -module(ebpf_maps). -compile(export_all). -compile(nowarn_export_all).
    open(_, _) -> answer(open). typed(_, _) -> answer(typed). close(_) -> ok.
    next_chunk(C, _, _) -> answer(next_chunk, C). find(_, _) -> answer(find).
    sum(_, _) -> answer(sum). put(_, _, M) -> M. info(_) -> answer(info).
    answer(F) -> answer(F, none).
    answer(F, C) ->
        case persistent_term:get({liar, F}, none) of
            Fun when is_function(Fun) -> Fun(C);
            Answer -> Answer
        end.
"""


def option(name, value):
    return (Atom(name), value)


@pytest.fixture
def numbers(three):
    """What: 1 => 1, 10, 100 on three hosts, which have been asked."""
    what = three.new("m")
    for n, node in enumerate(three.hosts):
        three.put(node, what, {1: 10**n})
    assert three.call("to_map", what, LAYOUTS).value == {1: 111}
    return what


# --- Hanging ----------------------------------------------------------------------


def test_one_that_hangs_is_named_and_the_others_answer(three, numbers):
    hung = three.hosts[1]
    limits = [option("timeout", 1000), option("deadline", 3000)]
    with hung.asleep():
        start = time.monotonic()
        answer = three.call("to_map", numbers, [*LAYOUTS, *limits])
        took = time.monotonic() - start
        assert answer == ({1: 101}, {**all_ok(three), hung.name: ("error", "timeout")})
        assert 1 <= took
        # it is not asked again so soon, but named
        endless = [option("timeout", 1_000_000), option("deadline", 1_000_000)]
        assert three.call("to_map", numbers, [*LAYOUTS, *endless]) == answer
    three.forget_silence()
    assert three.call("to_map", numbers, LAYOUTS) == ({1: 111}, all_ok(three))


def test_a_short_wait_is_no_silence(three, numbers):
    hung = three.hosts[1]
    with hung.asleep():
        answer = three.call("to_map", numbers, [*LAYOUTS, option("timeout", 1)])
        assert answer.results[hung.name] == ("error", "timeout")
    assert three.call("to_map", numbers, LAYOUTS) == ({1: 111}, all_ok(three))


def test_twice_late_is_silence(three, numbers):
    """What it does not read gathers, and would block who asks."""
    hung = three.hosts[1]
    with hung.asleep():
        for _ in range(2):
            three.call("to_map", numbers, [*LAYOUTS, option("timeout", 1)])
        endless = [option("timeout", 1_000_000), option("deadline", 1_000_000)]
        answer = three.call("to_map", numbers, [*LAYOUTS, *endless])
        assert answer.results[hung.name] == ("error", "timeout")


def test_the_deadline_is_for_all(three, numbers):
    with ExitStack() as stack:
        for node in three.hosts:
            stack.enter_context(node.asleep())
        answer = three.call("get", 1, numbers, [*LAYOUTS, option("deadline", 200), option("window", 1)])
    assert answer == ("none", {node.name: ("error", "timeout") for node in three.hosts})
    # answers that came too late are not in the mailbox
    text = "receive Any -> Any after 300 -> none end"
    assert three.beam.eval(text) == "none"
    assert three.call("to_map", numbers, LAYOUTS).value == {1: 111}


def test_those_that_hang_keep_no_place_from_others(fleet):
    """More of them than the window, and before the others."""
    for _ in range(6):
        fleet.start()
    what = fleet.new("m")
    for node in fleet.hosts:
        fleet.put(node, what, {1: 1})
    fleet.call("to_map", what, LAYOUTS)
    hung = sorted(fleet.hosts, key=lambda node: node.name)[:3]
    with ExitStack() as stack:
        for node in hung:
            stack.enter_context(node.asleep())
        answer = fleet.call(
            "to_map", what, [*LAYOUTS, option("window", 2), option("timeout", 4000), option("deadline", 4000)]
        )
    assert answer.value == {1: 3}
    assert [node.name for node in hung] == sorted(n for n, r in answer.results.items() if r != "ok")


def test_on_node_is_called_as_they_end(three, numbers):
    text = """
        Me = self(),
        {_, _} = ebpf_fleet:to_map(What, [{on_node, fun(N, R) -> Me ! {N, R} end} | Options]),
        lists:sort([receive {N, R} -> {N, R} after 0 -> none end || _ <- lists:seq(1, 3)])
    """
    told = three.beam.eval(text, What=numbers, Options=LAYOUTS)
    assert told == sorted(all_ok(three).items())


def test_what_comes_too_late_is_not_left_there(three, numbers):
    """Handles that a host opens when nobody waits for them any more."""
    hung = three.hosts[1]
    wait_until(lambda: not any(three.handles(node) for node in three.hosts), timeout=20)
    with hung.asleep():
        for n in range(3):
            three.forget_silence()
            short = [option("timeout", 50), option("keys", (Atom("bytes"), 4))]
            three.call("put", u32(n), u64(1), numbers, short)
            three.call("sum", numbers, [*LAYOUTS, *short[:1]])
    wait_until(lambda: not any(three.handles(node) for node in three.hosts), timeout=20)


def test_a_caller_that_ends_early_leaves_nothing(three, numbers):
    text = """
        Throw = fun(_, _, _) -> throw(found) end,
        [catch ebpf_fleet:fold(Throw, 0, What, Options) || _ <- [1, 2, 3]],
        Me = self(),
        {Pid, M} = spawn_monitor(fun() ->
            ebpf_fleet:fold(fun(_, _, _) -> Me ! there, receive never -> ok end end, 0, What, Options)
        end),
        receive there -> exit(Pid, kill) end,
        receive {'DOWN', M, process, Pid, R} -> R end
    """
    assert three.beam.eval(text, What=numbers, Options=LAYOUTS) == "killed"
    wait_until(lambda: not any(three.handles(node) for node in three.hosts), timeout=20)
    working = "length([P || P <- processes(), {initial_call, {ebpf_fleet_reader, _, _}} <- [process_info(P, initial_call)]])"
    assert three.beam.eval(working) == 0


# --- Coming and going ----------------------------------------------------------------


def test_one_that_has_gone_is_named_and_asked_once_it_is_back(three, numbers):
    gone = three.hosts.pop()
    sname = gone.sname
    gone.stop()
    three.hosts.append(gone)
    answer = three.call("to_map", numbers, LAYOUTS)
    assert answer == ({1: 11}, {**all_ok(three), gone.name: ("error", "nodedown")})
    three.hosts.pop()
    back = three.start(sname=sname)
    # it is named without being asked, until it is connected
    assert three.call("to_map", numbers, LAYOUTS) == answer
    assert three.beam.apply("net_adm", "ping", Atom(back.name)) == "pong"
    wait_until(lambda: three.call("to_map", numbers, LAYOUTS).results[back.name] != ("error", "nodedown"))
    # its pins have gone with its mounts: it has no such map
    answer = three.call("to_map", numbers, LAYOUTS)
    assert answer == ({1: 11}, {**all_ok(three), back.name: ("error", "enoent")})


def test_one_that_is_killed_in_the_middle_is_partial(fleet):
    node = fleet.start()
    what = fleet.new("m", entries=20000)
    fleet.put(node, what, {k: k for k in range(20000)})
    text = """
        Me = self(),
        Fun = fun
            (_, _, 0) -> Me ! {first, self()}, receive killed -> 1 end;
            (_, _, N) -> N + 1
        end,
        spawn_link(fun() -> Me ! {result, ebpf_fleet:fold(Fun, 0, What, [])} end)
    """
    fleet.beam.eval(text, What=what)
    worker = fleet.beam.eval("receive {first, W} -> W after 5000 -> none end")
    node.must_live = False
    node.kill()
    fleet.beam.eval("Worker ! killed", Worker=worker)
    value, results = fleet.beam.eval("receive {result, R} -> R after 10000 -> none end", timeout=20)
    [(error, (partial, count, reason))] = results.values()
    assert (error, partial, reason) == ("error", "partial", "nodedown")
    assert 0 < count == value < 20000


def test_one_that_comes_is_in_the_next_answer(three, numbers):
    what = numbers
    late = three.start()
    three.new("m", on=[late])
    three.put(late, what, {1: 1000})
    assert three.call("to_map", what, LAYOUTS) == ({1: 1111}, all_ok(three))


# --- Lying ------------------------------------------------------------------------


@pytest.fixture
def liar(start_beam):
    beam = start_beam(hint="liar")
    pretend(beam, LIAR)
    say(beam, "open", "{ebpf_map, make_ref(), hash, 4, 8, 16}")
    say(beam, "typed", "{error, notype}")
    say(beam, "find", "error")
    return beam


def say(liar, function, text):
    liar.eval(f"persistent_term:put({{liar, {function}}}, {text})")


LIES = {
    "no handle": ("open", "here", "badreply"),
    "no sizes": ("open", "{ebpf_map, make_ref()}", "badreply"),
    "huge sizes": ("open", "{ebpf_map, make_ref(), hash, 1 bsl 70, 8, 16}", "badreply"),
    "an error of its own": ("open", "{error, {no, [idea]}}", ("no", ["idea"])),
    "no view": ("typed", "7", "badreply"),
    "a view of another size": ("typed", "{ebpf_map, make_ref(), hash, 8, 8, 16}", "badreply"),
    "no chunk": ("next_chunk", "chunk", "badreply"),
    "an improper list": ("next_chunk", "{[{<<1:32>>, 1} | 2], done}", "badreply"),
    "no pair": ("next_chunk", "{[{<<1:32>>}], done}", "badreply"),
    "a longer key": ("next_chunk", "{[{<<1:64>>, 1}], done}", "badreply"),
    "no bytes": ("next_chunk", "{[{key, 1}], done}", "badreply"),
    "no cursor": ("next_chunk", "{[], 7}", "badreply"),
    "the same cursor": ("next_chunk", "fun(start) -> {[], <<1>>}; (C) -> {[], C} end", "badreply"),
    "an exception": ("next_chunk", "fun(_) -> error(mine) end", "mine"),
    "an exit": ("next_chunk", "fun(_) -> exit(mine) end", ("exception", "mine")),
    "a throw": ("next_chunk", "fun(_) -> throw(mine) end", "mine"),
}


@pytest.mark.parametrize("row", LIES)
def test_lies_are_errors_of_the_liar(three, numbers, liar, row):
    function, text, reason = LIES[row]
    say(liar, function, text)
    nodes = [option("nodes", [*three.names(), Atom(liar.name)])]
    what = (Atom("pinned"), numbers[1])
    answer = three.call("to_map", what, [option("merge", Atom("last")), *nodes])
    assert answer.value == {u32(1): answer.value[u32(1)]}
    assert answer.results[liar.name] in [("error", reason), ("error", ("partial", 1, reason))]
    assert all(answer.results[node.name] == "ok" for node in three.hosts)


def test_endless_chunks_end(three, numbers, liar):
    """16 entries it may have; each key is another one."""
    say(liar, "next_chunk", """fun(start) -> {[{<<0:32>>, <<1:64>>}], <<1:32>>};
        (<<N:32>>) -> {[{<<(N * 1000 + K):32>>, <<1:64>>} || K <- lists:seq(1, 1000)], <<(N + 1):32>>}
        end""")
    nodes = [option("nodes", [*three.names(), Atom(liar.name)])]
    answer = three.call("to_map", numbers, [option("merge", Atom("last")), *nodes])
    error, (partial, count, reason) = answer.results[liar.name]
    assert (error, partial, reason) == ("error", "partial", "badreply")
    assert count < 16384
    assert all(answer.results[node.name] == "ok" for node in three.hosts)


def test_an_erlang_node_with_the_facade_is_no_c_node(three, numbers, start_beam, ebin):
    """It would hand over the handle of another host, which is counted already."""
    proxy = start_beam(paths=[ebin], hint="proxy")
    proxy.apply("application", "set_env", "ebpf_cnode", "node", Atom(three.hosts[0].name))
    nodes = [option("nodes", [*three.names(), Atom(proxy.name)])]
    answer = three.call("to_map", numbers, [*LAYOUTS, *nodes])
    assert answer == ({1: 111}, {**all_ok(three), proxy.name: ("error", "badreply")})


@pytest.mark.parametrize("said", ["{error, enospc}", "no", "{ebpf_other, 1}"])
def test_what_was_not_put_does_not_count(three, liar, said):
    pretend(liar, LIAR.replace("put(_, _, M) -> M", f"put(_, _, _) -> {said}"))
    what = (Atom("pinned"), b"/nothing")
    answer = three.call("put", u32(1), u64(1), what, [option("nodes", [Atom(liar.name)])])
    reason = "enospc" if "enospc" in said else "badreply"
    assert answer == (0, {liar.name: ("error", reason)})


def test_sums_that_have_none_are_errors_of_a_host(three, liar):
    what = (Atom("pinned"), b"/nothing")
    for said in ("nan", "1 bsl 2000"):
        say(liar, "sum", said)
        text = "ebpf_fleet:sum(What, [{nodes, [Liar]}])"
        value, results = three.beam.eval(text, What=what, Liar=Atom(liar.name))
        assert said == "1 bsl 2000" or results[Atom(liar.name)] == ("error", ("badvalue", "nan"))


@pytest.mark.parametrize("sum", ["here", "[1]", "#{}"])
def test_a_sum_that_is_no_number(three, liar, sum):
    say(liar, "sum", sum)
    what = (Atom("pinned"), b"/nothing")
    answer = three.call("sum", what, [option("nodes", [Atom(liar.name)])])
    assert answer == (0, {liar.name: ("error", "badreply")})


def test_shapes_that_differ_are_an_error_of_who_comes_later(three, numbers, liar):
    say(liar, "typed", "{ebpf_map, make_ref(), hash, 4, 8, 16}")
    say(liar, "next_chunk", "{[{1, [{}]}], done}")
    nodes = [option("nodes", [*three.names(), Atom(liar.name)])]
    answer = three.call("to_map", numbers, [*LAYOUTS, *nodes])
    assert answer.value == {1: 111}
    assert answer.results[liar.name] == ("error", ("badvalue", [()]))


def test_each_reason_is_told_in_words(fleet):
    reasons = [
        Atom("nodedown"), Atom("timeout"), Atom("undef"), Atom("badreply"), Atom("undone"),
        (Atom("partial"), 7, Atom("timeout")), (Atom("max_keys"), 7), (Atom("badvalue"), b"x"),
        (Atom("badmap"), 7), (Atom("badmap"), (Atom("error"), Atom("eperm"))), (Atom("badkey"), 7),
        (Atom("badmember"), [b"x"]), (Atom("too_big"), 7), Atom("badarg"), Atom("notype"),
        Atom("ambiguous"), Atom("enoent"), Atom("eperm"), (Atom("loader"), Atom("gone")),
        (Atom("rejected"), Atom("einval"), b"p", b"log"), [1, 2],
        (Atom("rejected"), 7, 8, 9), (Atom("left"), Atom("timeout")), (Atom("object"), b"no ELF"),
        Atom("unfolded"), (Atom("badvalue"), Atom("nan")),
    ]  # fmt: skip
    told = [fleet.beam.apply("ebpf_fleet", "words", reason) for reason in reasons]
    assert all(len(text) > 4 for text in told)
    assert len(set(told)) == len(told)
