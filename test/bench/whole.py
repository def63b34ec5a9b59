# SPDX-License-Identifier: Apache-2.0
"""Contests of whole maps: to_list, fold, merge, drain; milliseconds each.

Contenders that go call by call run on a part of the entries; their time is scaled.
"""

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import labels as by
from turns import NotGiven
from world import LONG, cpu_time

PREFIX_BITS = 32
C_LOOP = {"to_list": "list", "fold": "list", "merge": "merge", "drain": "drain"}


@dataclass(frozen=True)
class Shape:
    type: str
    key_size: int = 4
    keys: object = "plain"  # the shape that bench_whole.erl makes
    options: tuple = ()

    def new(self, entries):
        return (self.type, self.key_size, 8, entries, list(self.options))


SHAPES = {
    "hash": Shape("hash"),
    "array": Shape("array"),
    "percpu_hash": Shape("percpu_hash"),
    "lpm_trie": Shape("lpm_trie", 8, ("prefix", PREFIX_BITS), ("no_prealloc",)),
}


class Work:
    """An operation on maps of one shape, by each contender that can do it."""

    def __init__(self, world, size, operation, type, entries):
        self.world = world
        self.operation = operation
        self.entries = entries
        self.most = min(entries, size.by_call)
        self.shape = SHAPES[type]

    def start(self, stack, labels):
        shape = self.shape.new(self.entries)
        self.map, self.id = stack.enter_context(self.world.cnode_map(*shape))
        self.world.maploop(self.id, "merge", self.entries)
        self.nif_map = None
        if {by.NIF, by.NIF_EACH} & set(labels):
            try:
                made = stack.enter_context(self.world.nif_map(*shape))
                self.nif_map, self.nif_id = made
                self.world.maploop(self.nif_id, "merge", self.entries)
            except NotGiven:
                pass

    def prepare(self, id):
        """Fills the map, or for merge empties it."""
        if self.operation == "merge" and self.shape.type != "array":
            self.world.maploop(id, "drain", self.entries)
        elif self.operation == "drain":
            self.world.maploop(id, "merge", self.entries)

    def milliseconds(self, nanoseconds, entries, wanted=None):
        assert entries == (wanted or self.entries), (self.operation, entries)
        return nanoseconds / 1e6 * self.entries / entries

    def erlang(self, beam, id, function, *args, wanted=None):
        def run():
            self.prepare(id)
            told = beam.apply("bench_whole", function, *args, timeout=LONG)
            return self.milliseconds(*told, wanted)

        return run

    def facade(self):
        args = (self.operation, self.map, self.pairs)
        return self.erlang(self.world.facade, self.id, "facade", *args)

    def bare(self):
        args = (self.world.cnode.name, self.operation, self.map, self.pairs)
        return self.erlang(self.world.caller, self.id, "bare", *args)

    @property
    def pairs(self):
        return (self.shape.keys, self.entries)

    def iterated(self, beam, way, map, id, most):
        args = (way, self.operation, map, self.pairs, most)
        return self.erlang(beam, id, "iterated", *args, wanted=most)

    def cnode_each(self):
        way = ("erpc", self.world.cnode.name, "ebpf_maps")
        return self.iterated(self.world.caller, way, self.map, self.id, self.most)

    def nif_each(self):
        if not self.nif_map:
            return None
        way = ("erpc", self.world.nif.name, "ebpf_maps")
        return self.iterated(
            self.world.caller, way, self.nif_map, self.nif_id, self.most
        )

    def nif(self):
        if not self.nif_map:
            return None
        way = ("apply", "ebpf_maps")
        return self.iterated(
            self.world.nif, way, self.nif_map, self.nif_id, self.entries
        )

    def bpftool(self):
        try:
            self.world.bpftool()
        except NotGiven:
            return None
        return self.erlang(self.world.caller, self.id, "bpftool", self.id)

    def loop(self):
        def run():
            self.prepare(self.id)
            wall, _, met = self.world.maploop(
                self.id, C_LOOP[self.operation], self.entries
            )
            return self.milliseconds(wall, met)

        return run

    def loop_cpu(self):
        def run():
            _, cpu, met = self.world.maploop(
                self.id, C_LOOP[self.operation], self.entries
            )
            return self.milliseconds(cpu, met)

        return run

    def cnode_cpu(self):
        facade, pid = self.facade(), self.world.cnode.pid

        def run():
            before = cpu_time(pid)
            facade()
            return (cpu_time(pid) - before) / 1e6

        return run


MAKERS = {
    by.FACADE: Work.facade,
    by.CNODE: Work.bare,
    by.CNODE_EACH: Work.cnode_each,
    by.NIF_EACH: Work.nif_each,
    by.NIF: Work.nif,
    by.BPFTOOL: Work.bpftool,
    by.LOOP: Work.loop,
    by.CNODE_CPU: Work.cnode_cpu,
    by.LOOP_CPU: Work.loop_cpu,
}


@contextmanager
def whole(world, size, labels, operation, type, entries):
    """{label: run}; None for a contender that is not available."""
    work = Work(world, size, operation, type, size.entries(entries))
    with ExitStack() as stack:
        work.start(stack, labels)
        yield {label: MAKERS[label](work) for label in labels}
