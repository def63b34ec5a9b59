# SPDX-License-Identifier: Apache-2.0
"""Calls that lose their connection, and are repeated where that is safe."""

import re
from collections import Counter
from pathlib import Path

import pytest

from beam import Beam
from cluster import wait_until
from conftest import Nodes, raises
from native import u32, u64
from served import served

HASH = ("hash", 4, 8, 8)
MANY = 40000  # entries, which are more than two chunks
LONG = 600_000  # ms; what takes that is seen
MODULES = ["ebpf_maps", "ebpf_programs", "ebpf_events"]
ENTRY = (u32(1), u64(2))

# Of a process that asks, to the one that evaluates.
ASK = """
    Me = self(),
    {Pid, _} = spawn_monitor(fun() ->
        Me ! {answer, self(), try {value, %s} catch C:R -> {C, R} end}
    end),
    Pid
"""
ANSWER = "receive {answer, P, A} -> A after 30000 -> none end"
WAITS = "erlang:process_info(P, current_function)"
SLEEP = ("current_function", ("timer", "sleep", 1))


def ask(beam, call, **bindings):
    """Has a process of that node do it."""
    return beam.eval(ASK % call, **bindings)


def wait_down(beam, pid):
    """Until it has seen that there is no connection, and waits to ask again."""
    wait_until(lambda: beam.eval(WAITS, P=pid) == SLEEP, what="it waits")


def answer(beam, pid):
    return beam.eval(ANSWER, P=pid, timeout=40)


def set_env(beam, **variables):
    for name, value in variables.items():
        beam.apply("application", "set_env", "ebpf_cnode", name, value)


@pytest.fixture
def beam(facade_beam):
    facade_beam.forget()
    set_env(facade_beam, retry=0, timeout=15000)
    yield facade_beam
    set_env(facade_beam, retry=0, timeout=15000)


@pytest.fixture
def node(start_cnode, beam):
    """The default C node of beam."""
    node = start_cnode()
    set_env(beam, node=node.name)
    return node


@pytest.fixture
def again(start_cnode):
    """Starts a C node of the name of one that has ended."""
    return lambda node: start_cnode(sname=node.sname)


@pytest.fixture
def pinned(node, beam, folder):
    """A locator of a map that holds 1 -> 2."""
    return pin(beam, folder / "map", HASH, 2)


def pin(beam, path, shape, value):
    map = beam.apply("ebpf_maps", "new", *shape)
    assert beam.apply("ebpf_maps", "put", 1 if shape[1] else b"", value, map) == map
    path = str(path).encode()
    assert beam.apply("ebpf_maps", "pin", path, map) == "ok"
    return ("pinned", path)


# --- each function

QUEUE = ("queue", 0, 8, 8)

# The call, on the pinned map M that holds 1 -> 2, and what it returns.
REPEATED = {
    "get/2": ("ebpf_maps:get(1, M)", u64(2)),
    "get/3": ("ebpf_maps:get(9, M, none)", "none"),
    "find": ("ebpf_maps:find(1, M)", ("ok", u64(2))),
    "is_key": ("ebpf_maps:is_key(1, M)", "true"),
    "put": ("ebpf_maps:put(1, 5, M), ebpf_maps:get(1, M)", u64(5)),
    "remove": ("ebpf_maps:remove(1, M), ebpf_maps:size(M)", 0),
    "remove of what is not there": ("ebpf_maps:remove(7, M), ebpf_maps:size(M)", 1),
    "with": ("ebpf_maps:with([1, 9], M)", {1: u64(2)}),
    "without": ("ebpf_maps:without([1, 9], M), ebpf_maps:size(M)", 0),
    "merge": ("ebpf_maps:merge(M, [{2, 3}]), ebpf_maps:size(M)", 2),
    "clear": ("ebpf_maps:clear(M), ebpf_maps:size(M)", 0),
    "size": ("ebpf_maps:size(M)", 1),
    "keys": ("ebpf_maps:keys(M)", [u32(1)]),
    "values": ("ebpf_maps:values(M)", [u64(2)]),
    "to_list": ("ebpf_maps:to_list(M)", [ENTRY]),
    "top": ("try ebpf_maps:top(1, [], M) catch error:Why -> Why end", "notype"),
    "sum": ("try ebpf_maps:sum([], M) catch error:Why -> Why end", "notype"),
    "fold": ("ebpf_maps:fold(fun(K, V, A) -> [{K, V} | A] end, [], M)", [ENTRY]),
    "foreach": ("ebpf_maps:foreach(fun(_, _) -> ok end, M)", "ok"),
    "type": ("ebpf_maps:type(M)", "hash"),
    "types": ("ebpf_maps:types(M)", ("error", "notype")),
    "info": ("maps:get(max_entries, ebpf_maps:info(M))", 8),
    "check": ("ebpf_maps:check(hash, 4, 4, 4)", "ok"),
    "list": ("is_list(ebpf_maps:list())", "true"),
    "handles": ("is_list(ebpf_maps:handles())", "true"),
    "stats": ("is_map(ebpf_maps:stats())", "true"),
    "host": ("is_map(ebpf_maps:host())", "true"),
    "features": ("is_map(ebpf_maps:features())", "true"),
    "i": ("ebpf_maps:i()", "ok"),
    "table": ("ebpf_maps:table(M)", "ok"),
    "links": ("is_list(ebpf_programs:links())", "true"),
    "handles of programs": ("ebpf_programs:handles()", []),
    "subscriptions": ("ebpf_events:subscriptions()", []),
    "subscriptions of a log": ("ebpf_events:subscriptions(log)", []),
}

# What raises {nodedown, Node} at once.
NEVER = {
    "take": "ebpf_maps:take(1, M)",
    "insert": "ebpf_maps:insert(3, 4, M)",
    "update": "ebpf_maps:update(1, 4, M)",
    "drain": "ebpf_maps:drain(H)",
    "drain_chunk": "ebpf_maps:drain_chunk(start, H, 8)",
    "push": "ebpf_maps:push(7, Q)",
    "pop": "ebpf_maps:pop(Q)",
    "put under the key of a queue": "ebpf_maps:put(<<>>, 7, Q)",
    "merge of the key of a queue": "ebpf_maps:merge(QH, [{<<>>, 7}])",
    "close": "ebpf_maps:close(H)",
    "typed": "ebpf_maps:typed(H, [])",
    "pin": 'ebpf_maps:pin("/sys/fs/bpf/x", H)',
    "unpin": 'ebpf_maps:unpin("/sys/fs/bpf/x", H)',
    "freeze": "ebpf_maps:freeze(H)",
    "subscribe": "ebpf_events:subscribe(log, self())",
    "push of events": "ebpf_events:push(<<1>>, M)",
}
# What returns {error, nodedown} at once.
MAKING = {
    "new": "ebpf_maps:new(hash, 4, 8, 8)",
    "open": "ebpf_maps:open(M)",
    "open of a program": "ebpf_programs:open(M)",
    "load": "ebpf_programs:load(<<>>, [])",
}


@pytest.fixture(scope="module")
def outage(cluster, program, ebin, tmp_path_factory):
    """{name: what became of its call}, of all that were made while the C node was away."""
    nodes = Nodes(cluster, program)
    beam = Beam(cluster, paths=[ebin])
    folder = Path(f"/sys/fs/bpf/outage_{cluster.name('retry')}")
    folder.mkdir()
    try:
        node = nodes.start("--programs", "all", "--allow", "*=load")
        set_env(beam, node=node.name, retry=LONG)
        yield made_meanwhile(beam, nodes, node, folder)
    finally:
        beam.close()
        nodes.close()
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def made_meanwhile(beam, nodes, node, folder):
    calls = {name: call for name, (call, _) in REPEATED.items()} | NEVER | MAKING
    pins = {name: pin(beam, folder / f"m{i}", HASH, 2) for i, name in enumerate(calls)}
    handle, queue = (beam.apply("ebpf_maps", "new", *shape) for shape in (HASH, QUEUE))
    others = {"H": handle, "QH": queue, "Q": pin(beam, folder / "queue", QUEUE, 2)}
    node.kill()
    asked = {name: ask(beam, f"begin {call} end", M=pins[name], **others) for name, call in calls.items()}
    for name, pid in asked.items():
        if name in REPEATED:
            wait_down(beam, pid)
    told = {name: answer(beam, pid) for name, pid in asked.items() if name not in REPEATED}
    nodes.start("--programs", "all", "--allow", "*=load", sname=node.sname)
    told |= {name: answer(beam, asked[name]) for name in REPEATED}
    told["the handles that are left"] = beam.apply("ebpf_maps", "handles")
    told["the node"] = node.name
    return told


@pytest.mark.parametrize("name", REPEATED)
def test_it_is_repeated_until_the_c_node_is_back(name, outage):
    assert outage[name] == ("value", REPEATED[name][1])


@pytest.mark.parametrize("name", NEVER)
def test_it_is_never_repeated(name, outage):
    assert outage[name] == ("error", ("nodedown", outage["the node"]))


@pytest.mark.parametrize("name", MAKING)
def test_what_makes_a_handle_is_never_repeated(name, outage):
    assert outage[name] == ("value", ("error", "nodedown"))


def test_what_is_repeated_leaves_no_handle(outage):
    assert outage["the handles that are left"] == []


@pytest.mark.parametrize("module", MODULES)
def test_the_table_has_each_function_that_is_served_once(module, beam, program):
    rows = beam.apply("ebpf_cnode_retry", "table")
    named = [name for of, _, names in rows if of == module for name in names]
    assert sorted(named) == sorted({name for name, _ in served(program, module)})


@pytest.mark.parametrize("call", [("ebpf_maps", "nope"), ("nope", "get")], ids=str)
def test_what_is_in_no_table_is_never_repeated(call, beam):
    assert beam.apply("ebpf_cnode_retry", "may", *call, []) == "false"


# --- what is said of them

# These ask no C node, or say more than that.
OTHERS = {
    "ebpf_maps": {"node", "progress", "retry", "format_error"},
    "ebpf_programs": {"verifier", "format_error"},
    "ebpf_events": {"records", "fold", "start_link", "watch", "format_error"},
}
MADE_OF = {  # functions of the facade: what they are made of
    **dict.fromkeys(["fold", "foreach"], "next_chunk"),
    **dict.fromkeys(["i", "table"], "list"),
    **dict.fromkeys(["update_with", "put_members"], "get"),
    "load_file": "load",
    **dict.fromkeys(["attach_all", "with_program"], "attach"),
}


def which(beam, module):
    """{function: always, keyed or never}"""
    rows = beam.apply("ebpf_cnode_retry", "table")
    return {name: how for of, how, names in rows if of == module for name in names}


def documents(srcdir, module):
    """[(function, its doc)] of the facade, but for those that are said to be another."""
    source = (srcdir / "erlang" / "src" / f"{module}.erl").read_text()
    found = re.findall(r"((?:^%%.*\n)+)-spec (\w+)\(", source, re.M)
    docs = [(name, " ".join(doc.replace("%%", " ").split())) for doc, name in found]
    return [(name, doc) for name, doc in docs if "@equiv" not in doc]


@pytest.mark.parametrize("module", MODULES)
def test_each_doc_says_whether_it_is_repeated(module, beam, srcdir):
    table = which(beam, module)
    docs = documents(srcdir, module)
    assert len(docs) > 4
    for name, doc in docs:
        if name in OTHERS[module]:
            continue
        told = re.findall(r"`retry' (never )?repeats", doc)
        how = table.get(name) or table[MADE_OF[name]]
        assert told == ["never " if how == "never" else ""], name
        assert ("`retry' repeats it, except" in doc or "message, except" in doc) == (how == "keyed"), name


@pytest.mark.parametrize("module", MODULES)
def test_the_man_page_says_the_same(module, beam, srcdir):
    page = (srcdir / "erlang" / f"{module}.3").read_text()
    part = re.split(r"^\.S[hs] ", page.split(".Ss Lost connections\n")[1], flags=re.M)[0]
    repeated, never = part.split("Never repeated are\n")
    table = which(beam, module)
    for text, hows in ((repeated, ("always", "keyed")), (never, ("never",))):
        named = Counter(re.findall(r"^\.Fn (\w+)", text, re.M))
        assert named == Counter(name for name, how in table.items() if how in hows)


# --- for how long


def test_the_last_nodedown_is_raised_when_the_time_is_over(node, beam, pinned):
    set_env(beam, retry=300)
    node.kill()
    took, reason = beam.eval(
        """
        Begin = erlang:monotonic_time(millisecond),
        Reason = try ebpf_maps:get(1, M) catch error:R -> R end,
        {erlang:monotonic_time(millisecond) - Begin, Reason}""",
        M=pinned,
    )
    assert reason == ("nodedown", node.name)
    assert took >= 300


def test_nothing_is_repeated_without_the_variable(node, beam, pinned):
    node.kill()
    beam.eval("erlang:trace_pattern({timer, sleep, 1}, true, []), erlang:trace(self(), true, [call])")
    with raises(("nodedown", node.name)):
        beam.apply("ebpf_maps", "get", 1, pinned)
    beam.eval("erlang:trace(self(), false, [call])")
    assert beam.eval("receive {trace, _, call, {timer, sleep, _}} -> slept after 0 -> none end") == "none"


def test_a_call_that_is_not_answered_in_time_is_not_repeated(node, beam, pinned):
    set_env(beam, retry=LONG, timeout=300)
    beam.apply("ebpf_maps", "get", 1, pinned)
    with node.asleep():
        with raises(("timeout", node.name)):
            beam.apply("ebpf_maps", "get", 1, pinned)


BAD_TIMES = [-1, "infinity", "soon", 2**32, 1.5, [1]]


@pytest.mark.parametrize("time", BAD_TIMES, ids=str)
def test_a_variable_that_is_no_time_is_badenv(time, node, beam):
    set_env(beam, retry=time)
    with raises(("badenv", ("retry", time))):
        beam.apply("ebpf_maps", "stats")
    assert beam.eval("ebpf_maps:retry(0, fun() -> ebpf_maps:handles() end)") == []


@pytest.mark.parametrize("module, call", [("ebpf_maps", "stats()"), ("ebpf_programs", "links()"), ("ebpf_events", "subscriptions()")])
def test_it_is_told_in_words(module, call, node, beam):
    set_env(beam, retry="soon")
    told = beam.eval(
        f"try {module}:{call} catch error:R:S -> {module}:format_error(R, S) end"
    )
    words = "the variable retry of the application ebpf_cnode is not a number of milliseconds: soon"
    assert told == {"general": words.encode()}


# --- retry/2


@pytest.mark.parametrize("time", BAD_TIMES, ids=str)
def test_no_time_for_a_fun_is_badarg(time, beam):
    with raises("badarg"):
        beam.eval("ebpf_maps:retry(T, fun() -> ok end)", T=time)


@pytest.mark.parametrize("fun", ["ok", "fun(_) -> ok end"])
def test_no_fun_without_arguments_is_badarg(fun, beam):
    with raises("badarg"):
        beam.eval(f"ebpf_maps:retry(1, {fun})")


def test_calls_in_a_fun_are_repeated(node, beam, pinned, again):
    node.kill()
    pid = ask(beam, f"ebpf_maps:retry({LONG}, fun() -> {{ebpf_maps:get(1, M), self()}} end)", M=pinned)
    wait_down(beam, pid)
    again(node)
    assert answer(beam, pid) == ("value", (u64(2), pid))


def test_the_innermost_counts_and_then_the_one_around_it(node, beam, pinned, again):
    """Also before the variable."""
    set_env(beam, retry=LONG)
    node.kill()
    pid = ask(
        beam,
        f"""ebpf_maps:retry(0, fun() ->
                First = try ebpf_maps:get(1, M) catch error:R1 -> R1 end,
                Second = ebpf_maps:retry({LONG}, fun() ->
                    Third = ebpf_maps:retry(0, fun() ->
                        try ebpf_maps:get(1, M) catch error:R2 -> R2 end
                    end),
                    {{Third, ebpf_maps:get(1, M)}}
                end),
                Me ! {{back, self()}},
                receive go_on -> ok end,
                {{First, Second, try ebpf_maps:get(1, M) catch error:R3 -> R3 end}}
            end)""",
        M=pinned,
    )
    wait_down(beam, pid)
    node = again(node)
    assert beam.eval("receive {back, P} -> P after 20000 -> none end", P=pid) == pid
    node.kill()
    beam.eval("P ! go_on", P=pid)
    down = ("nodedown", node.name)
    assert answer(beam, pid) == ("value", (down, (down, u64(2)), down))


ENDS = {
    "a value": ("ok", ("value", "ok")),
    "an error": ("error(up)", ("error", "up")),
    "a throw": ("throw(up)", ("throw", "up")),
    "an exit": ("exit(up)", ("exit", "up")),
}


@pytest.mark.parametrize("end, outcome", ENDS.values(), ids=ENDS)
def test_however_a_fun_ends_it_ends_with_it(end, outcome, node, beam, pinned):
    node.kill()
    told = beam.eval(
        f"""
        End = try {{value, ebpf_maps:retry({LONG}, fun() -> {end} end)}} catch C:R -> {{C, R}} end,
        {{End, try ebpf_maps:get(1, M) catch error:R2 -> R2 end}}""",
        M=pinned,
    )
    assert told == (outcome, ("nodedown", node.name))


# --- what takes several messages

# It stops at the first entry until it may go on.
FIRST = """
    Stop = fun(Told) ->
        case Told of
            false -> Me ! {stopped, self()}, receive go_on -> true end;
            true -> true
        end
    end
"""
STOPPED = "receive {stopped, P} -> P after 20000 -> none end"


@pytest.fixture
def many(node, beam, folder):
    """A locator of a map that has room for so many."""
    return pin(beam, folder / "many", ("hash", 4, 8, MANY), 2)


def over_a_restart(beam, node, again, call, map):
    """What becomes of the call, when the C node is killed while it has stopped."""
    pid = beam.eval(f"Me = self(), {FIRST}, " + ASK.replace("Me = self(),", "") % call, M=map, N=MANY)
    assert beam.eval(STOPPED, P=pid) == pid
    node.kill()
    beam.eval("P ! go_on", P=pid)
    if "drain" in call:  # it asks once, and only once
        told = answer(beam, pid)
        again(node)
        return told
    wait_down(beam, pid)
    again(node)
    return answer(beam, pid)


FILL = "ebpf_maps:merge(M, [{K, K} || K <- lists:seq(1, N)])"
WALK = """
    begin
        {Keys, true} = ebpf_maps:fold(fun(K, _, {Ks, Told}) -> {[K | Ks], Stop(Told)} end, {[], false}, M),
        {length(Keys), length(lists:usort(Keys))}
    end
"""
TOLD = """fun(Done, Total) ->
    put(told, Stop(get(told) =:= true)), true = Done =< Total
end"""


def test_a_walk_goes_on_from_its_cursor(node, beam, many, again):
    set_env(beam, retry=LONG)
    beam.eval(FILL, M=many, N=MANY)
    told = over_a_restart(beam, node, again, WALK, many)
    assert told == ("value", (MANY, MANY))
    assert beam.apply("ebpf_maps", "handles") == []


def test_without_the_variable_a_walk_ends(node, beam, many):
    beam.eval(FILL, M=many, N=MANY)
    pid = beam.eval(f"Me = self(), {FIRST}, " + ASK.replace("Me = self(),", "") % WALK, M=many)
    assert beam.eval(STOPPED, P=pid) == pid
    node.kill()
    beam.eval("P ! go_on", P=pid)
    assert answer(beam, pid) == ("error", ("nodedown", node.name))


def test_a_walk_of_a_handle_ends_when_its_c_node_has_restarted(node, beam, many, again):
    """It is the caller's, who learns that it is not live."""
    set_env(beam, retry=LONG)
    beam.eval(FILL, M=many, N=MANY)
    map = beam.apply("ebpf_maps", "open", many)
    assert over_a_restart(beam, node, again, WALK, map) == ("error", ("badmap", map))


def test_a_merge_goes_on(node, beam, many, again):
    set_env(beam, retry=LONG)
    pairs = "[{K, K} || K <- lists:seq(1, N)]"
    call = f"ebpf_maps:merge(M, {pairs}, [{{progress, {TOLD}}}])"
    assert over_a_restart(beam, node, again, call, many) == ("value", many)
    assert beam.apply("ebpf_maps", "size", many) == MANY


def test_a_drain_ends_with_what_it_has(node, beam, many, again):
    set_env(beam, retry=LONG)
    beam.eval(FILL, M=many, N=MANY)
    call = f"ebpf_maps:drain(M, [{{progress, {TOLD}}}])"
    kind, (reason, taken) = over_a_restart(beam, node, again, call, many)
    assert (kind, reason) == ("error", ("nodedown", node.name))
    assert 0 < len(taken) < MANY
    assert beam.apply("ebpf_maps", "size", many) == MANY - len(taken)
