# SPDX-License-Identifier: Apache-2.0
"""The facade of events: what comes, taken apart; processes that consume it; words."""

import re
import threading

import pytest

from cluster import wait_until
from subscriptions import EVENT, PRINTED, WATCH

pytestmark = pytest.mark.single


@pytest.fixture
def beam(start_beam, ebin):
    return start_beam(paths=[ebin])


@pytest.fixture
def facade(source, beam):
    beam.apply("application", "set_env", "ebpf_cnode", "node", source.programs.node.name)
    return lambda function, *args: beam.apply("ebpf_events", function, *args)


RUNS = [(0, b""), (2, b"aabb"), ("terms", [1, (2, b"ab")]), (3, b"abc")]
RECORDS = [b"", b"aa", b"bb", 1, (2, b"ab"), b"abc"]


def test_events_of_a_message_are_taken_apart(beam):
    assert beam.apply("ebpf_events", "records", RUNS) == RECORDS
    fold = "ebpf_events:fold(fun(R, Acc) -> [R | Acc] end, [], Runs)"
    assert beam.eval(fold, Runs=RUNS) == RECORDS[::-1]
    assert beam.apply("ebpf_events", "records", []) == []


def test_it_routes_to_the_node_of_the_ring(source, facade, beam):
    me = beam.eval("self()")
    s = facade("subscribe", source.ring, me)
    [info] = facade("subscriptions", source.ring)
    assert (info["subscription"], info["pid"]) == (s, me)
    assert facade("subscriptions") == facade("subscriptions", source.programs.node.name) == [info]
    assert facade("push", b"x", source.maps[b"user_ring"]) == source.maps[b"user_ring"]
    assert facade("unsubscribe", s) == "ok"
    assert facade("unsubscribe", s) == ("error", "esrch")
    assert facade("subscriptions") == []


def test_what_readme_shows(source, beam, facade, srcdir):
    section = (srcdir / "README.md").read_text().split("\n## Events\n")[1].split("\n## ")[0]
    [block] = re.findall(r"```erlang\n(.*?)```", section, re.DOTALL)
    emit = threading.Timer(1, source.emit)
    emit.start()
    first, [record] = beam.eval(block, Ring=source.ring)
    assert (first, int.from_bytes(record[:8], "little")) == (0, 0)
    emit.join()


CONSUMER = """
    Me = self(),
    {ok, Pid} = ebpf_events:start_link(Ring, fun(News) -> Me ! {news, News} end, Options),
    Pid
"""
NEWS = "receive {news, N} -> N after 10000 -> none end"


@pytest.fixture
def consume(source, beam, facade):
    def consume(ring=None, *options):
        return beam.eval(CONSUMER, Ring=ring or source.ring, Options=list(options))

    return consume


def numbers(news):
    kind, events = news
    assert kind == "events", news
    return [int.from_bytes(event[:8], "little") for event in events]


def take(beam, count):
    found = []
    while len(found) < count:
        found += numbers(beam.eval(NEWS))
    return found


def test_a_consumer_grants_by_itself(source, consume, beam, facade):
    pid = consume(None, ("credit", 1000))
    for _ in range(20):
        source.emit(50)
        take(beam, 50)
    assert facade("subscriptions")[0]["sent"] == 1000
    beam.apply("gen_server", "stop", pid)
    wait_until(lambda: facade("subscriptions") == [], what="it has ended")


def test_a_consumer_of_terms_grants_by_itself(source, consume, beam):
    consume(None, ("credit", 320), ("types", EVENT), ("as", ["number"]))
    for at in range(20):
        source.emit(10, 32)
        found = []
        while len(found) < 10:
            found += beam.eval(NEWS)[1]
        assert found == [(at * 10 + n,) for n in range(10)]


def test_a_slow_handler_has_a_short_mailbox_and_is_told_what_it_missed(source, beam, facade, consume):
    slow = """
        Me = self(),
        {ok, Pid} = ebpf_events:start_link(Ring, fun(News) ->
            Me ! {news, News},
            receive go_on -> ok end
        end, [{credit, 160}, {batch, 1024}]),
        Pid
    """
    pid = beam.eval(slow, Ring=source.ring)
    other = consume()
    first = beam.eval("receive {news, N} -> N after 0 -> none end")
    assert first == "none"
    source.emit(1000)
    wait_until(lambda: sum(i["sent"] for i in facade("subscriptions")) >= 1010, what="all is sent")
    assert beam.eval("{_, N} = process_info(P, message_queue_len), N", P=pid) <= 10

    def skipped():
        """It may lag behind for a moment first."""
        return [i["skipped"] for i in facade("subscriptions") if i["pid"] == pid]

    wait_until(lambda: skipped() == [990], what="it is passed over")
    beam.eval("unlink(P), gen_server:stop(P)", P=other)
    beam.eval("[P ! go_on || _ <- lists:seq(1, 100)]", P=pid)
    wait_until(lambda: facade("subscriptions")[0]["credit"] > 100, what="it grants")
    source.emit(1)
    news = []
    while ("missed", 990) not in news:
        news.append(beam.eval(NEWS))
        assert news[-1] != "none", news


def test_a_consumer_subscribes_again_once_the_node_is_back(source, start_cnode, events_object, beam, facade):
    """And tells that something may be missing; the ring is found by its name."""
    name = source.programs.node.name
    again = "fun() -> [H | _] = [M || #{handles := [M | _], name := <<\"ring\">>} <- ebpf_maps:list()], H end"
    beam.eval(
        f"""
        Me = self(),
        {{ok, _}} = ebpf_events:start_link({again}, fun(News) -> Me ! {{news, News}} end, [])
        """
    )
    source.emit(2)
    assert take(beam, 2) == [0, 1]
    beam.eval("erlang:disconnect_node(N)", N=name)
    assert beam.eval(NEWS) == ("missed", "unknown")
    source.emit(2)
    assert take(beam, 2) == [2, 3]


def test_a_consumer_of_a_handle_subscribes_again_too(source, consume, beam):
    consume()
    for at in (0, 2):
        source.emit(2)
        assert take(beam, 2) == [at, at + 1]
        beam.eval("erlang:disconnect_node(N)", N=source.programs.node.name)
        assert beam.eval(NEWS) == ("missed", "unknown")


def test_what_came_meanwhile_comes_from_the_oldest_on(source, consume, beam):
    """By which the consumer subscribes again, too."""
    pid = consume(None, ("from", "oldest"))
    source.emit(1)
    assert take(beam, 1) == [0]
    node = source.programs.node
    start = node.mark()
    beam.eval("sys:suspend(P), erlang:disconnect_node(N)", P=pid, N=node.name)
    node.wait_log(f"disconnected {beam.name}", start=start)
    source.emit(2)
    beam.eval("sys:resume(P)", P=pid)
    assert beam.eval(NEWS) == ("missed", "unknown")
    assert take(beam, 2) == [1, 2]


ENDED = "receive {'EXIT', P, R} -> R after 20000 -> none end"


def test_a_consumer_ends_with_badmap_once_its_handle_is_gone(source, consume, beam, start_cnode):
    """A C node that is started anew does not know it."""
    beam.eval("process_flag(trap_exit, true)")
    pid = consume()
    source.programs.node.kill()
    start_cnode("--programs", "all", "--allow", "*=load", sname=source.programs.node.sname)
    reason = beam.eval(ENDED, P=pid, timeout=30)
    assert reason == ("shutdown", ("badmap", source.ring))
    assert beam.eval(NEWS.replace("10000", "0")) == "none"


@pytest.mark.parametrize("name", ["handle", "locator"])
def test_a_consumer_that_is_not_to_retry_ends_with_its_connection(name, source, consume, beam, facade):
    beam.eval("process_flag(trap_exit, true)")
    id = source.programs.maps("info", source.ring)["id"]
    ring = source.ring if name == "handle" else ("id", id)
    pid = consume(ring, ("retry", "false"))
    beam.eval("erlang:disconnect_node(N)", N=source.programs.node.name)
    assert beam.eval(ENDED, P=pid) == ("shutdown", "noconnection")


HANDLER = """
    -module(handler).
    -behaviour(ebpf_events).
    -export([init/1, handle_events/2, terminate/2]).
    init({stop, Why}) -> {stop, Why};
    init(Pid) -> {ok, {Pid, 0}}.
    handle_events({events, Events}, {Pid, N}) when length(Events) + N >= 5 ->
        {stop, normal, {Pid, N + length(Events)}};
    handle_events({events, Events}, {Pid, N}) ->
        {ok, {Pid, N + length(Events)}}.
    terminate(Reason, {Pid, N}) -> Pid ! {ended, Reason, N}.
"""


def test_a_module_handles_events_with_a_state(source, beam, facade, tmp_path):
    module = tmp_path / "handler.erl"
    module.write_text(HANDLER)
    compile = "{ok, M, Code} = compile:file(File, [binary]), {module, M} = code:load_binary(M, File, Code)"
    beam.eval(compile, File=[*bytes(module)])
    start = "process_flag(trap_exit, true), ebpf_events:start_link(Ring, {handler, Arg}, [])"
    assert beam.eval(start, Ring=source.ring, Arg=("stop", "why")) == ("error", "why")
    beam.eval("{ok, _} = ebpf_events:start_link(Ring, {handler, self()}, [])", Ring=source.ring)
    source.emit(3)
    source.emit(3)
    assert beam.eval("receive {ended, R, N} -> {R, N} after 5000 -> none end") == ("normal", 6)
    wait_until(lambda: facade("subscriptions") == [], what="it has ended")


@pytest.mark.parametrize(
    "call, reason",
    [
        ("ebpf_events:start_link(Ring, x, [])", "badarg"),
        ("ebpf_events:start_link(Ring, fun(_) -> ok end, x)", "badarg"),
        ("ebpf_events:start_link(Ring, fun(_) -> ok end, [{retry, x}])", "badarg"),
        ("ebpf_events:start_link(Ring, fun(_) -> ok end, [{batch, 1}])", "badarg"),
        ("ebpf_events:start_link(x, fun(_) -> ok end, [])", ("badmap", "x")),
    ],
)
def test_a_consumer_that_cannot_subscribe_does_not_start(source, beam, facade, call, reason):
    beam.eval("process_flag(trap_exit, true)")
    assert beam.eval(call, Ring=source.ring) == ("error", reason)


def test_a_consumer_ends_with_its_handle(source, beam, facade, consume):
    beam.eval("process_flag(trap_exit, true)")
    pid = consume()
    source.emit(1)
    take(beam, 1)  # so the node has seen that it monitors
    wait_until(lambda: facade("subscriptions")[0]["sent"] == 1, what="all is quiet")
    source.programs.maps("close", source.ring)
    assert beam.eval("receive {'EXIT', P, R} -> R after 5000 -> none end", P=pid) == ("shutdown", "closed")


# --- In words -----------------------------------------------------------------------


def words(beam, call, **bindings):
    text = f"""
        try {call} of
            {{error, Reason}} -> ebpf_events:format_error({{error, Reason}}, [])
        catch
            error:Reason:Stack -> ebpf_events:format_error(Reason, Stack)
        end
    """
    return {k: v.decode() for k, v in beam.eval(text, **bindings).items()}


SUBSCRIBE = "ebpf_events:subscribe(Ring, self(), %s)"


@pytest.mark.parametrize(
    "call, wanted",
    [
        (SUBSCRIBE % "x", {3: "not a list of options: x"}),
        (SUBSCRIBE % "[x]", {3: "no option: x"}),
        (SUBSCRIBE % "[{batch, 1}]", {3: "the option batch is a number from 1024 to 262144, not 1"}),
        (SUBSCRIBE % "[{from, 1}]", {3: "the option from is newest or oldest, not 1"}),
        (SUBSCRIBE % "[{buffer, 5000}]", {3: "the option buffer is a power of two, .*, not 5000"}),
        (SUBSCRIBE % "[{filter, [{0, u8, '==', 256}]}]", {3: "the option filter: no number of type u8: 256"}),
        (SUBSCRIBE % "[{filter, [{0, s8, '==', -129}]}]", {3: "the option filter: no number of type s8: -129"}),
        (SUBSCRIBE % "[{filter, [{0, u9, '==', 1}]}]", {3: "the option filter: no type of a number: u9"}),
        (SUBSCRIBE % "[{types, u99}]", {3: "the option types: .*u99.*"}),
        ("ebpf_events:subscribe(Ring, x)", {2: "not a pid: x"}),
        ("ebpf_events:subscribe(x, self())", {1: "not a map handle: x"}),
        ("ebpf_events:subscribe(log, x, [])", {2: "not a pid: x"}),
        ("ebpf_events:subscribe(log, self(), [{types, u64}])", {3: "the option types is not for the log, .*"}),
        ("ebpf_events:subscribe({log, node()}, self())", {1: ".* is this node itself, not a C node"}),
        (SUBSCRIBE % "[{lost, {Ring, 0}}]", {3: "the option lost is {lost, Map, Key}, not .*"}),
        (SUBSCRIBE % "[{lost, Ring, 0}]", {3: "the option types, as or lost: .*"}),
        ("ebpf_events:subscribe({name, nobody}, self())", {1: "there is no map with this name, .*"}),
        ("ebpf_events:subscribe(User, self())", {"general": "not a ring: .*"}),
        ("ebpf_events:unsubscribe(x)", {1: "not a subscription, .*: x"}),
        ("ebpf_events:unsubscribe(self())", {1: "not a subscription, .*"}),
        ("ebpf_events:push(x, User)", {1: "not a binary: x"}),
        ("ebpf_events:push(<<>>, Ring)", {"general": "not a user ring buffer: .*"}),
        ("ebpf_events:push(<<0:80000>>, User)", {"general": "the ring is smaller than the record"}),
        ("ebpf_events:push(<<>>, x)", {2: "not a map handle: x"}),
        (SUBSCRIBE % "[{types, {bytes, 70000}}]", {"general": "the type of the option types is larger .*"}),
        ("ebpf_events:subscriptions(node())", {1: ".* is this node itself, not a C node"}),
    ],
)
def test_errors_in_words(source, beam, facade, call, wanted):
    found = words(beam, call, Ring=source.ring, User=source.maps[b"user_ring"])
    assert found.keys() == wanted.keys(), found
    for key, text in wanted.items():
        assert re.fullmatch(text, found[key]), found


def test_watch_prints_lines_until_enter(source, beam, facade):
    members = ["odd", "text"]
    shell = beam.eval(WATCH, Ring=source.ring, Options=[("types", EVENT), ("as", members), ("linger", 1000)])
    wait_until(lambda: len(facade("subscriptions")) == 1, what="it has subscribed")
    source.emit(2, 32)
    assert beam.eval(PRINTED) == b'{0,<<"some text">>}\n{1,<<"some text">>}\n'
    beam.eval("S ! enter", S=shell)
    assert beam.eval("receive {result, R} -> R after 5000 -> none end") == "ok"
    wait_until(lambda: facade("subscriptions") == [], what="it has ended")


def test_watch_prints_members(source, beam, facade):
    layout = ("struct", 32, [("number", 0, "u64"), ("text", 160, ("char", 12))])
    beam.eval(WATCH, Ring=source.ring, Options=[("types", layout)])
    wait_until(lambda: len(facade("subscriptions")) == 1, what="it has subscribed")
    source.emit(1, 32)
    assert beam.eval(PRINTED) == b"number=0  text=some text\n"


def test_watch_says_why_it_cannot(source, beam, facade):
    beam.eval(WATCH, Ring=source.maps[b"user_ring"], Options=[])
    assert beam.eval("receive {result, R} -> R after 5000 -> none end") == ("error", "enotsup")
