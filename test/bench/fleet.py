# SPDX-License-Identifier: Apache-2.0
"""Contests of many C nodes as one: a map on each, summed by key in the caller."""

import signal
from contextlib import ExitStack, contextmanager

import labels as by
from cluster import kill
from world import LONG

WAYS = {
    by.FLEET: "fleet",
    by.AT_ONCE: "at_once",
    by.ONE_BY_ONE: "one_by_one",
    by.FLEET_SUM: "sum",
    by.FLEET_FOLD: "fold",
    by.FLEET_TOP: "top",
    by.FLEET_SORTED: "sorted",
}
HUNG_WAYS = {by.HUNG_FLEET: "fleet", by.HUNG_MULTICALL: "at_once"}
MIB = 1 << 20
DEADLINE = 1000  # ms
HUNG = 10  # one in so many
TOP = 10


@contextmanager
def hosts(world, size, nodes, type, entries):
    """(C nodes with a map each, a caller that is connected to all of them, entries)"""
    entries = size.entries(entries)
    with ExitStack() as stack:
        # all start at once
        started = [world.new_cnode() for _ in range(min(nodes, size.nodes))]
        for node in started:
            stack.callback(node.kill)
        for node in started:
            node.wait_ready(30)
        caller = world.beam("fleet", world.ebin)
        stack.callback(kill, caller.process)
        args = names(started), type, entries
        caller.apply("bench_fleet", "fill", *args, timeout=LONG)
        yield started, caller, entries


def names(nodes):
    return [node.name for node in nodes]


@contextmanager
def summed(world, size, labels, nodes, type, entries, memory=False):
    """Milliseconds, or MiB by which the caller's emulator grows, also of what else is made
    of the entries."""
    with hosts(world, size, nodes, type, entries) as (started, caller, entries):
        sums = len(started) * entries * (entries + 1) // 2
        wanted = {"sum": sums, "fold": sums, "top": TOP, "sorted": TOP}

        def run(way):
            function, unit = ("memory", MIB) if memory else ("time", 1e6)
            args = way, names(started)
            figure, told = caller.apply("bench_fleet", function, *args, timeout=LONG)
            assert told == wanted.get(way, entries), (way, told)
            return figure / unit

        yield {label: lambda way=WAYS[label]: run(way) for label in labels}


@contextmanager
def hung(world, size, labels, nodes, entries):
    """Milliseconds after the deadline until the call has returned."""
    with hosts(world, size, nodes, "hash", entries) as (started, caller, _):
        stopped = started[::HUNG]
        for node in stopped:
            node.process.send_signal(signal.SIGSTOP)

        def run(way):
            args = way, names(started), DEADLINE
            late, answered = caller.apply("bench_fleet", "deadline", *args, timeout=LONG)
            assert answered == len(started) - len(stopped), answered
            return late / 1e6

        yield {label: lambda way=HUNG_WAYS[label]: run(way) for label in labels}
