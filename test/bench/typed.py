# SPDX-License-Identifier: Apache-2.0
"""Contests of typed maps: what it costs that the C node decodes and encodes.

The same map is read as bytes, as tuples and as Erlang maps, whose keys are the
names of the members. A run returns milliseconds of a whole map, microseconds
of a call; with cpu, those that the C node's threads have run meanwhile.
"""

from contextlib import contextmanager

import labels as by
from turns import NotGiven
from world import LONG, cpu_time

FORMS = {by.BYTES: "bytes", by.TUPLES: "tuple", by.MAPS: "map"}
DECODED = {by.DECODED_TUPLES: "tuple", by.DECODED_MAPS: "map"}
TYPES = {by.OF_BTF: "btf", by.OF_LAYOUT: "layout", by.NO_TYPES: "none"}


class Map:
    """A map with its handles, one for each form."""

    def __init__(self, world, entries):
        self.world = world
        self.node = world.cnode.name
        self.entries = entries
        *self.handles, self.id = self.ask(world.caller, "make", self.node, entries)

    def ask(self, beam, function, *args):
        return beam.apply("bench_typed", function, *args, timeout=LONG)

    def handle(self, form):
        return dict(zip(FORMS.values(), self.handles, strict=True))[form]

    def close(self):
        for handle in self.handles:
            self.world.caller.erpc(self.node, "close", handle)

    def listed(self, label):
        """Returns the nanoseconds of a to_list; None if there is no bpftool."""
        if label == by.BPFTOOL:
            try:
                args = "bpftool", [*self.world.bpftool().encode()], self.id
            except NotGiven:
                return None
        elif label in DECODED:
            args = "decoded", DECODED[label], self.handle("bytes")
        else:
            args = "listed", FORMS[label], self.handle(FORMS[label])

        def run():
            took, entries = self.ask(self.world.facade, *args)
            assert entries == self.entries, (label, entries)
            return took

        return run

    def called(self, function, label):
        form = FORMS[label]
        args = "calls", self.node, function, form, self.handle(form), self.entries
        return lambda: self.ask(self.world.caller, *args) / self.entries

    def viewed(self, label, count):
        args = "views", self.node, TYPES[label], self.handle("bytes"), count
        return lambda: self.ask(self.world.caller, *args) / count


@contextmanager
def made(world, entries):
    map = Map(world, entries)
    try:
        yield map
    finally:
        map.close()


def spent(run, pid, count):
    """The same run; nanoseconds of CPU for each of count calls."""

    def spend():
        before = cpu_time(pid)
        run()
        return (cpu_time(pid) - before) / count

    return spend


def scaled(runs, unit):
    return {
        label: run and (lambda run=run: run() / unit) for label, run in runs.items()
    }


@contextmanager
def whole(world, size, labels, entries, cpu=False):
    with made(world, size.entries(entries)) as map:
        runs = {label: map.listed(label) for label in labels}
        if cpu:
            runs = {label: spent(run, world.cnode.pid, 1) for label, run in runs.items()}
        yield scaled(runs, 1e6)


@contextmanager
def calls(world, size, labels, function):
    with made(world, size.calls) as map:
        yield scaled({label: map.called(function, label) for label in labels}, 1e3)


@contextmanager
def views(world, size, labels):
    """CPU time of the C node for typed/2, or open/1, and close/1."""
    count, pid = size.calls, world.cnode.pid
    with made(world, 1) as map:
        runs = {label: spent(map.viewed(label, count), pid, count) for label in labels}
        yield scaled(runs, 1e3)
