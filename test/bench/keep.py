# SPDX-License-Identifier: Apache-2.0
"""Contests of a node that keeps its handles: its start, and what each handle costs."""

import fcntl
import os
from contextlib import ExitStack, contextmanager

import labels as by
from cluster import wait_until
from programs import pins
from world import LONG

MANY = 10_000
LONG_GRACE = ("--grace", "600")


def wait_unlocked(folder):
    """Until the node before has ended."""
    fd = os.open(folder, os.O_RDONLY)

    def locked():
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    wait_until(locked, 30, "the folder is free")
    os.close(fd)


@contextmanager
def restore(world, size, labels):
    """Milliseconds from starting a node until it is ready, with handles that it has back."""
    count = MANY if size.rounds > 3 else 4 * size.handles
    with ExitStack() as stack:
        place = stack.enter_context(pins(world.home / "pins"))
        full, empty = place / "full", place / "empty"
        name, other = world.cluster.name("kept"), world.cluster.name("kept")
        options = ("--max-maps", str(2 * count), *LONG_GRACE)
        with world.fresh_cnode("--keep", full, *options, sname=name) as node:
            world.caller.apply("bench_calls", "handles", node.name, count, timeout=LONG)

        def start(folder, sname):
            args = ["--sname", sname, "--until-eof", "--keep", str(folder), *options]
            args = [[*arg.encode()] for arg in args]
            program = list(str(world.program).encode())
            took = world.caller.apply(
                "bench_start", "ready", program, args, list(b"notice ready"), timeout=60
            )
            wait_unlocked(folder)
            return took / 1e6

        def loop():
            wall, _, opened = world.run_helper("keeploop", full)
            assert opened == count, opened
            return wall / 1e6

        runs = {
            by.KEPT: lambda: start(full, name),
            by.NONE_KEPT: lambda: start(empty, other),
            by.OBJ_GET: loop,
        }
        yield {label: runs[label] for label in labels}


@contextmanager
def new_and_close(world, size, labels):
    """Microseconds for a new and a close."""
    with ExitStack() as stack:
        place = stack.enter_context(pins(world.home / "pins"))
        nodes = {
            by.WITH_KEEP: stack.enter_context(world.fresh_cnode("--keep", place / "kept")),
            by.WITHOUT_KEEP: stack.enter_context(world.fresh_cnode()),
        }

        def pairs(node):
            args = "bench_keep", "pairs", node.name, size.calls
            return lambda: world.caller.apply(*args, timeout=LONG) / size.calls / 1e3

        yield {label: pairs(nodes[label]) for label in labels}
