# SPDX-License-Identifier: Apache-2.0
"""Contests of single requests: get, put, update, take.

Each function returns {label: run} for a contest; a run returns microseconds per
call, or calls per second.
"""

from contextlib import ExitStack, contextmanager

import labels as by
from turns import NotGiven
from world import LONG

KEY_SIZE = 4
MODULE = "ebpf_maps"
ANSWERER = "bench_server"
MAP_BYTES = 64 * 1024 * 1024  # of values, at most


class Asked:
    """The ways to ask, and the maps for them: one of the C node, one of the NIF."""

    def __init__(self, world, stack, value_size, calls):
        self.world = world
        self.value_size = value_size
        self.calls = calls
        self.entries = max(1, min(calls, MAP_BYTES // value_size))
        shape = ("hash", KEY_SIZE, value_size, self.entries)
        self.map, self.id = stack.enter_context(world.cnode_map(*shape))
        world.maploop(self.id, "merge", self.entries)
        try:
            self.nif_map, self.nif_id = stack.enter_context(world.nif_map(*shape))
            world.maploop(self.nif_id, "merge", self.entries)
        except NotGiven:
            self.nif_map = self.nif_id = None

    def way(self, label):
        """(the Erlang node that asks, its way, the map, the map's id)"""
        world = self.world
        ours, theirs = (self.map, self.id), (self.nif_map, self.nif_id)
        if label in (by.NIF, by.NIF_ERPC) and not self.nif_map:
            return None
        match label:
            case by.CNODE:
                return world.caller, ("erpc", world.cnode.name, MODULE), *ours
            case by.FACADE:
                return world.facade, ("apply", MODULE), *ours
            case by.BEAM:
                return world.caller, ("erpc", world.server.name, ANSWERER), *ours
            case by.SERVER:
                return world.caller, ("gen_server", world.server.name, ANSWERER), *ours
            case by.NIF_ERPC:
                return world.caller, ("erpc", world.nif.name, MODULE), *theirs
            case by.NIF:
                return world.nif, ("apply", MODULE), *theirs
        raise ValueError(label)

    def work(self, function, map):
        return (function, map, self.value_size, 0, self.calls)

    def refill(self, function, id):
        """Puts back what was taken; not timed."""
        if function == "take":
            self.world.maploop(id, "merge", self.entries)

    def bytes(self, label):
        """(request, answer): bytes of a get on the wire"""
        caller, way, map, _ = self.way(label)
        args = (way[1], way, self.work("get", map))
        return caller.apply("bench_calls", "bytes", *args, timeout=LONG)


@contextmanager
def calls(world, size, labels, function, callers=1, nodes=1, value_size=8):
    """Callers that wait for each answer: microseconds per call for a lone one,
    calls per second for many."""
    count = size.calls if callers * nodes == 1 else size.many_calls
    count -= count % (callers * nodes)
    with ExitStack() as stack:
        asked = Asked(world, stack, value_size, count)

        def timed(nanoseconds):
            each = nanoseconds / count
            return each / 1e3 if callers * nodes == 1 else 1e9 / each

        def ask(label):
            caller, way, map, id = asked.way(label)

            def run():
                asked.refill(function, id)
                work = asked.work(function, map)
                if nodes == 1:
                    args = ("callers", way, work, callers)
                else:
                    names = [beam.name for beam in world.callers[:nodes]]
                    args = ("callers_on", names, way, work, callers)
                return timed(caller.apply("bench_calls", *args, timeout=LONG))

            return run

        def loop():
            asked.refill(function, asked.id)
            return timed(world.maploop(asked.id, function, count)[0])

        def pingpong():
            request, answer = map(round, measured)
            return timed(world.pingpong(request, answer, count))

        measured = asked.bytes(by.CNODE) if by.PINGPONG in labels else None
        floor = {by.PINGPONG: pingpong, by.LOOP: loop}
        yield {
            label: floor.get(label) or (asked.way(label) and ask(label))
            for label in labels
        }


@contextmanager
def stream(world, size, labels, window):
    """One caller with many requests under way: gets per second."""
    count = size.stream
    with ExitStack() as stack:
        asked = Asked(world, stack, 8, count)

        def ask(label):
            caller, way, map, _ = asked.way(label)

            def run():
                args = (way, asked.work("get", map), window or count)
                took = caller.apply("bench_calls", "stream", *args, timeout=LONG)
                return count * 1e9 / took

            return run

        yield {label: asked.way(label) and ask(label) for label in labels}


@contextmanager
def connections(world, size, labels):
    """16 callers of one node, while others are connected too: gets per second.

    labels are the numbers of connections, each with its own C node.
    """
    count = size.many_calls - size.many_calls % 16

    def run(node, map):
        way = ("erpc", node.name, MODULE)
        work = ("get", map, 8, 0, count)
        took = world.caller.apply("bench_calls", "callers", way, work, 16, timeout=LONG)
        return count * 1e9 / took

    with ExitStack() as stack:
        runs = {}
        for label in labels:
            node = stack.enter_context(world.fresh_cnode())
            others = size.held(int(label.split()[0])) - 1
            stack.enter_context(world.connections(node, others))
            map = world.caller.erpc(node.name, "new", "array", KEY_SIZE, 8, count)
            runs[label] = lambda node=node, map=map: run(node, map)
        yield runs


@contextmanager
def wire(world, size, labels):
    """The bytes of a get and its answer on the wire."""
    with ExitStack() as stack:
        asked = Asked(world, stack, 8, size.calls)
        yield {
            label: asked.way(label) and (lambda label=label: sum(asked.bytes(label)))
            for label in labels
        }
