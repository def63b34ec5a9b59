# SPDX-License-Identifier: Apache-2.0
"""Counts of a C node, the same in each run: system calls, instructions,
allocations. Tests hold them (test_syscalls.py, test_costs.py)."""

from contextlib import contextmanager

from counting import Callgrind, Trace, on_callgrind
from world import LONG

CALLS = 1000
GETS = """
    [<<1:64/native>> = erpc:call(N, ebpf_maps, get, [1, M]) ||
     _ <- lists:seq(1, Count)],
    ok"""
SENT = "Ids = [erpc:send_request(N, ebpf_maps, get, [1, M]) || _ <- lists:seq(1, Count)]"
RECEIVED = "[<<1:64/native>> = erpc:receive_response(Id) || Id <- Ids], ok"
FILLED = """
    M = ebpf_maps:new(hash, 4, 8, 100000),
    ebpf_maps:merge(M, [{I, I} || I <- lists:seq(1, 100000)])"""


def warm(world, node):
    """A map with an entry, over a connection already in use."""
    map = world.caller.erpc(node.name, "new", "hash", 4, 8, 16)
    world.caller.erpc(node.name, "put", 1, 1, map)
    return map


def evaluate(beam, text, node, map, count=CALLS, **more):
    beam.eval(text, timeout=LONG, N=node.name, M=map, Count=count, **more)


@contextmanager
def system_calls(world, size, labels, pipelined=False):
    """System calls of a get, alone or among a thousand that arrive while the node
    sleeps."""
    with world.fresh_cnode() as node:
        map = warm(world, node)

        def alone():
            evaluate(world.caller, GETS, node, map)

        def together():
            with node.asleep():
                evaluate(world.caller, SENT, node, map, keep=True)
            world.caller.eval(RECEIVED, timeout=LONG)
            world.caller.forget()

        def run():
            with Trace(node, world.home / "trace") as trace:
                (together if pipelined else alone)()
            return round(trace.total / CALLS, 2)

        yield {label: run for label in labels}


@contextmanager
def system_calls_of_to_list(world, size, labels):
    """bpf(2) calls of the facade's to_list of 100,000 entries."""
    world.facade.eval(FILLED, timeout=LONG, keep=True)

    def run():
        with Trace(world.cnode, world.home / "trace") as trace:
            world.facade.eval("100000 = length(ebpf_maps:to_list(M))", timeout=LONG)
        return trace.calls["bpf"]

    yield {label: run for label in labels}
    world.facade.eval("ok = ebpf_maps:close(M)")
    world.facade.forget()


@contextmanager
def in_user_space(world, size, labels, what):
    """Instructions or allocations of a get, counted by callgrind."""
    out = world.home / f"callgrind.{what}"
    with world.fresh_cnode("--no-sandbox", wrapper=on_callgrind(out)) as node:
        map = warm(world, node)
        evaluate(world.caller, GETS, node, map, 10)
        callgrind = Callgrind(node, out)

        def run():
            with callgrind:
                evaluate(world.caller, GETS, node, map)
            return getattr(callgrind, what) / CALLS

        yield {label: run for label in labels}
