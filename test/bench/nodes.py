# SPDX-License-Identifier: Apache-2.0
"""Contests of whole nodes: many C nodes at once, their start, their memory."""

import shutil
from contextlib import ExitStack, contextmanager
from statistics import median

import labels as by
from cluster import kill
from world import LONG, resident

AGAIN_CALLS = 10  # in a run, whose median counts
FIRST_HANDLES = 100  # before the measured ones


@contextmanager
def multicall(world, size, labels):
    """erpc:multicall of many C nodes: milliseconds until the slowest answers."""
    with ExitStack() as stack:
        nodes = [world.new_cnode() for _ in range(size.nodes)]
        for node in nodes:
            stack.callback(node.kill)
        names = [node.wait_ready(30).name for node in nodes]
        caller = world.beam("asker")

        def ask():
            return caller.apply("bench_calls", "multicall", names, timeout=LONG) / 1e6

        def first():
            caller.apply("bench_calls", "disconnect", names, timeout=LONG)
            return ask()

        def again():
            ask()  # connects to all
            return median(ask() for _ in range(AGAIN_CALLS))

        runs = {by.AGAIN: again, by.FIRST: first}
        yield {label: runs[label] for label in labels}
        kill(caller.process)


@contextmanager
def start(world, size, labels):
    """From starting a program until it is a node: milliseconds."""
    say = 'io:put_chars("node ready\\n"), halt().'

    def ready(program, args, word):
        args = [[*arg.encode()] for arg in args]
        args = (list(program.encode()), args, list(word.encode()))
        return world.caller.apply("bench_start", "ready", *args, timeout=60) / 1e6

    def cnode():
        name = world.cluster.name("cnode")
        return ready(
            str(world.program), ["--sname", name, "--until-eof"], "notice ready"
        )

    def erl():
        name = world.cluster.name("beam")
        flags = "-noinput -boot no_dot_erlang -start_epmd false".split()
        return ready(
            shutil.which("erl"), [*flags, "-sname", name, "-eval", say], "node ready"
        )

    runs = {by.NODE: cnode, by.BARE_ERL: erl}
    yield {label: runs[label] for label in labels}


@contextmanager
def idle_memory(world, size, labels):
    """RSS of a node before its first request: KiB."""
    beam = world.beam("idle")

    def cnode():
        with world.fresh_cnode() as node:
            return resident(node.pid) / 1024

    def erl():
        return resident(beam.pid) / 1024

    runs = {by.NODE: cnode, by.BARE_ERL: erl}
    yield {label: runs[label] for label in labels}
    kill(beam.process)


@contextmanager
def connection_memory(world, size, labels):
    """RSS that each connection adds, once used: KiB."""

    def cnode():
        with world.fresh_cnode() as node, world.connections(node, 1):
            before = resident(node.pid)
            with world.connections(node, size.connections):
                return (resident(node.pid) - before) / size.connections / 1024

    yield {label: cnode for label in labels}


@contextmanager
def handle_memory(world, size, labels):
    """RSS that each handle adds: bytes."""

    def cnode():
        with world.fresh_cnode() as node:
            make(node, FIRST_HANDLES)
            before = resident(node.pid)
            make(node, size.handles)
            return (resident(node.pid) - before) / size.handles

    def make(node, count):
        args = ("handles", node.name, count)
        world.caller.apply("bench_calls", *args, timeout=LONG)

    yield {label: cnode for label in labels}
