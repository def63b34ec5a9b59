# SPDX-License-Identifier: Apache-2.0
"""The C node is killed under load, one on its own and an embedded one.

Its callers get nodedown at once, what it had acknowledged is in the maps that
are pinned, and no handle of before is taken for one of after.
"""

import os
import signal
import time

import pytest

from beam import BeamError
from cluster import PATIENCE, SANITIZED, wait_until, without_sandbox
from conftest import raises

COUNTERS = 16  # processes on each of two nodes, each with a key of its own
HASH = ("hash", 4, 8, 64)
TIMEOUT = 60_000  # ms; who got this would not have been told at once
AT_ONCE = 10  # s, for all callers to have been told

# Each process puts 1, 2, 3... at its key and tells of the last that was
# acknowledged, and what has ended it.
COUNT = """
application:set_env(ebpf_cnode, timeout, Timeout),
Self = self(),
[spawn(fun() ->
    Count = fun Count(I) ->
        try ebpf_maps:put(Key, I, M) of
            M -> Count(I + 1);
            Other -> {I - 1, Other}
        catch
            error:Reason -> {I - 1, Reason}
        end
    end,
    {Last, Why} = Count(1),
    Self ! {counted, Key, Last, Why}
end) || Key <- Keys], ok
"""
COUNTED = """
[receive {counted, Key, Last, Why} -> {Key, Last, Why}
 after Limit -> {Key, 0, not_told} end || Key <- Keys]
"""


@pytest.fixture
def callers(start_beam, ebin):
    return [start_beam(paths=[ebin]) for _ in range(2)]


class Load:
    """Callers on two nodes, who count in a map that is pinned."""

    def __init__(self, callers, node, pin):
        self.callers = callers
        self.node = node
        self.map = callers[0].erpc(node, "new", *HASH)
        assert callers[0].erpc(node, "pin", str(pin).encode(), self.map) == "ok"
        self.keys = {
            beam: list(range(i * COUNTERS, (i + 1) * COUNTERS))
            for i, beam in enumerate(callers)
        }
        for beam, keys in self.keys.items():
            beam.eval(COUNT, M=self.map, Keys=keys, Timeout=TIMEOUT)

    def wait_busy(self):
        """Until each process has counted some."""

        def all_count():
            found = self.callers[0].erpc(self.node, "to_list", self.map)
            values = [int.from_bytes(v, "little") for _, v in found]
            return len(values) == 2 * COUNTERS and min(values) > 5

        wait_until(all_count, 20, "all of them count")

    def finish(self, *others):
        """{key: the last that was acknowledged}; each was told of nodedown.

        Or of one of the others.
        """
        limit = AT_ONCE * 1000 * PATIENCE
        acknowledged = {}
        for beam, keys in self.keys.items():
            told = beam.eval(COUNTED, Keys=keys, Limit=limit, timeout=90)
            for key, last, why in told:
                assert why in (("nodedown", self.node), *others), (key, last, why)
                acknowledged[key] = last
        return acknowledged

    def check(self, acknowledged, beam, pin):
        """What the next node finds there; handles of before are none."""
        opened = beam.erpc(self.node, "open", ("pinned", str(pin).encode()))
        assert opened[0] == "ebpf_map", opened
        for key, last in acknowledged.items():
            assert last >= 5  # what the map shows may be told of yet
            value = beam.erpc(self.node, "get", key, opened)
            # the one that was under way has happened, or it has not
            assert int.from_bytes(value, "little") in (last, last + 1), key
        for function, args in (("get", [1]), ("put", [1, 1]), ("size", [])):
            with raises(("badmap", self.map)):
                beam.apply("ebpf_maps", function, *args, self.map)
        assert beam.apply("ebpf_maps", "close", self.map) == ("error", "ebadf")
        assert beam.erpc(self.node, "put", 2 * COUNTERS, 1, opened) == opened


def reach(beam, node):
    wait_until(lambda: beam.apply("net_adm", "ping", node) == "pong", 10)


def test_what_was_acknowledged_is_there_after_a_kill(start_cnode, callers, folder):
    pin = folder / "counted"
    node = start_cnode()
    load = Load(callers, node.name, pin)
    load.wait_busy()
    node.kill()
    acknowledged = load.finish()
    start_cnode(sname=node.sname)
    for beam in callers:
        reach(beam, node.name)
        load.check(acknowledged, beam, pin)


def test_callers_of_a_killed_node_are_told_at_once_whatever_they_asked_for(
    start_cnode, callers, alice
):
    """Who waits for a long answer, who has just asked, who asks next."""
    node = start_cnode()
    beam = callers[0]
    map = beam.erpc(node.name, "new", "hash", 4, 8, 200_000)
    beam.eval(
        "ebpf_maps:merge(M, [{I, I} || I <- lists:seq(1, 200000)])",
        M=map,
        timeout=60,
    )
    beam.eval(
        """
        application:set_env(ebpf_cnode, timeout, Timeout),
        Self = self(),
        Calls = [{to_list, [M]}, {size, [M]}, {find, [1, M]}, {drain, [M]},
                 {info, [M]}, {keys, [M]}, {with, [lists:seq(1, 9999), M]}],
        [spawn(fun() ->
            Call = fun Call() ->
                try apply(ebpf_maps, F, A) of _ -> Call()
                catch C:R -> Self ! {told, F, C, R}
                end
            end,
            Call()
        end) || {F, A} <- Calls], length(Calls)
        """,
        M=map,
        Timeout=TIMEOUT,
    )
    wait_until(
        lambda: alice.erpc(node.name, "stats")["requests"].get(("size", 1), 0) > 3
    )
    node.kill()
    told = beam.eval(
        """
        [receive {told, F, C, R} -> {F, C, R} after Limit -> {nobody, in, time} end ||
         _ <- lists:seq(1, 7)]""",
        Limit=AT_ONCE * 1000 * PATIENCE,
        timeout=90,
    )
    down = ("nodedown", node.name)
    for function, kind, reason in told:
        if function == "drain" and reason != down:
            reason, taken = reason  # what it had got before
            assert isinstance(taken, list)
        assert (kind, reason) == ("error", down), function
    with raises(("nodedown", node.name)):
        beam.apply("ebpf_maps", "get", 1, map)


# Each process calls in one form again and again, and tells what has ended it.
CALL = """
Self = self(),
Get = [N, ebpf_maps, get, [1, M]],
Pipelined = fun() ->
    Ids = [apply(erpc, send_request, Get) || _ <- lists:seq(1, 50)],
    [erpc:receive_response(Id, Timeout) || Id <- Ids],
    hd([erpc:receive_response(apply(erpc, send_request, Get), Timeout)])
end,
Forms = [
    {"rpc:call", fun() -> apply(rpc, call, Get) end},
    {"rpc:call/5", fun() -> apply(rpc, call, Get ++ [Timeout]) end},
    {"rpc:async_call", fun() -> rpc:yield(apply(rpc, async_call, Get)) end},
    {"rpc:multicall", fun() ->
        case rpc:multicall([N], ebpf_maps, get, [1, M]) of
            {[V], []} -> V;
            Bad -> Bad
        end
    end},
    {"erpc:call", fun() -> apply(erpc, call, Get) end},
    {"erpc:call/5", fun() -> apply(erpc, call, Get ++ [Timeout]) end},
    {"erpc:send_request", Pipelined},
    {"erpc:multicall", fun() ->
        case erpc:multicall([N], ebpf_maps, get, [1, M], Timeout) of
            [{ok, V}] -> V;
            [Bad] -> Bad
        end
    end},
    {"gen_server:call", fun() ->
        gen_server:call({rex, N}, {call, ebpf_maps, get, [1, M], self()}, Timeout)
    end}
],
Served = counters:new(length(Forms), []),
[spawn(fun() ->
    Call = fun Call() ->
        try F() of
            <<7:64/native>> -> counters:add(Served, I, 1), Call();
            Other -> Self ! {told, I, {returned, Other}}
        catch
            Class:Reason -> Self ! {told, I, {Class, Reason}}
        end
    end,
    Call()
end) || {I, {_, F}} <- lists:enumerate(Forms)],
[list_to_binary(Name) || {Name, _} <- Forms]
"""
TOLD = """
[receive {told, I, What} -> What after Limit -> not_told end ||
 I <- lists:seq(1, length(Forms))]
"""
DOWN = ("returned", ("badrpc", "nodedown"))
NO_CONNECTION = ("error", ("erpc", "noconnection"))


def test_callers_by_rpc_and_erpc_are_told_at_once(start_cnode, callers):
    """Without the facade: by what OTP says where a node has gone."""
    node = start_cnode()
    map = callers[0].erpc(node.name, "new", *HASH)
    callers[0].erpc(node.name, "put", 1, 7, map)
    wanted = {
        b"rpc:call": DOWN,
        b"rpc:call/5": DOWN,
        b"rpc:async_call": DOWN,
        b"rpc:multicall": ("returned", ([], [node.name])),
        b"erpc:call": NO_CONNECTION,
        b"erpc:call/5": NO_CONNECTION,
        b"erpc:send_request": NO_CONNECTION,
        b"erpc:multicall": ("returned", NO_CONNECTION),
    }
    for beam in callers:
        forms = beam.eval(CALL, N=node.name, M=map, Timeout=TIMEOUT, keep=True)
        assert forms == [*wanted, b"gen_server:call"]

    def all_are_served():
        count = "[counters:get(Served, I) || I <- lists:seq(1, length(Forms))]"
        return all(min(beam.eval(count)) > 5 for beam in callers)

    wait_until(all_are_served, 20)
    node.kill()
    for beam in callers:
        *told, by_server = beam.eval(TOLD, Limit=AT_ONCE * 1000 * PATIENCE, timeout=90)
        assert dict(zip(forms, told)) == wanted
        kind, (reason, _) = by_server
        assert (kind, reason) == ("exit", ("nodedown", node.name))


class Embedding:
    """An Erlang node that runs the C node, and has been told to start it."""

    def __init__(self, beam, node, program):
        self.beam = beam
        self.node = node
        self.program = str(program)
        beam.eval("ok = application:load(ebpf_cnode)")
        args = without_sandbox(program) if SANITIZED else []
        for key, value in {
            "cnode": "embedded",
            "node": node,
            "program": list(self.program.encode()),
            "args": [list(arg.encode()) for arg in args],
        }.items():
            beam.apply("application", "set_env", "ebpf_cnode", key, value)
        beam.eval("{ok, _} = application:ensure_all_started(ebpf_cnode)", timeout=30)

    def pid(self):
        """The process id of its C node, None when there is none."""
        ports = self.beam.eval(
            """
            [Pid || P <- erlang:ports(),
                    {os_pid, Pid} <- [erlang:port_info(P, os_pid)]]"""
        )
        for pid in ports:
            try:
                if os.readlink(f"/proc/{pid}/exe") == self.program:
                    return pid
            except OSError:
                pass
        return None


@pytest.fixture
def embedding(start_beam, ebin, program, cluster):
    node = f"{cluster.name('embedded')}@{cluster.host}"
    return Embedding(start_beam(paths=[ebin]), node, program)


BACK = 1  # s, for an embedded node to serve again; it takes some 0.03 s
STARTS = 10  # or as many times what a start takes, where that is longer
KILLS = 3

# Calls of whoever starts it again: each init, and what would put it off.
TRACE = """
{module, timer} = code:ensure_loaded(timer),
erlang:trace(whereis(ebpf_cnode_sup), true, [call, set_on_spawn]),
[1 = erlang:trace_pattern(F, true, []) ||
 F <- [{ebpf_cnode_port, init, 1}, {ebpf_cnode_port, retrying, 3}, {timer, sleep, 1},
       {erlang, send_after, 3}, {erlang, start_timer, 3}]],
ok
"""
TRACED = """
Traced = fun Traced() ->
    receive {trace, _, call, {M, F, _}} -> [{M, F} | Traced()] after 0 -> [] end
end,
Traced()
"""


def test_an_embedded_node_that_is_killed_under_load_is_back_within_a_second(
    embedding, callers, folder, start_cnode, record_property
):
    """Each of the times, and with nothing in between that waits."""
    took, a_start = [], 0
    embedding.beam.eval(TRACE)
    for i in range(KILLS):
        pin = folder / f"counted{i}"
        load = Load(callers, embedding.node, pin)
        load.wait_busy()
        first = embedding.pid()
        killed = time.monotonic()
        os.kill(first, signal.SIGKILL)

        def serves():
            if embedding.pid() in (None, first):
                return False
            try:
                made = callers[0].erpc(embedding.node, "new", "hash", 4, 4, 1)
                return made[0] == "ebpf_map"
            except BeamError as e:
                assert e.reason == ("erpc", "noconnection"), e
                return False

        wait_until(serves, 20, "it serves again")
        took.append(time.monotonic() - killed)
        # who asked next when it was back already
        acknowledged = load.finish(("badmap", load.map))
        reach(callers[1], embedding.node)
        for beam in callers:
            load.check(acknowledged, beam, pin)
        begun = time.monotonic()
        start_cnode()
        a_start = max(a_start, time.monotonic() - begun)
    times = ", ".join(f"{seconds:.3f}" for seconds in took)
    record_property("an embedded node that is killed", f"is back after {times} s")
    assert embedding.beam.eval(TRACED) == [("ebpf_cnode_port", "init")] * KILLS
    assert max(took) <= max(BACK * PATIENCE, STARTS * a_start), took
