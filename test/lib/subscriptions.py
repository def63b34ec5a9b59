# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to events, and a program that makes some."""

import struct

import pytest

from cluster import wait_until


# struct event of test/bpf/events.bpf.c
MEMBERS = [("number", 0, "u64"), ("time", 64, "u64"), ("odd", 128, "u32"), ("text", 160, ("char", 12))]
EVENT = ("struct", 32, MEMBERS)

RECEIVE = "receive {ebpf_events, S, F, L, R} -> {F, L, R} after T -> none end"
END = "receive {'DOWN', M, process, S, R} -> R after T -> none end"

# watch/2 in a shell of its own: it prints to whoever evaluates this, and takes enter.
WATCH = """
    Me = self(),
    Shell = spawn_link(fun Serve() ->
        receive
            {io_request, From, As, {put_chars, _, Chars}} ->
                Me ! {printed, unicode:characters_to_binary(Chars)},
                From ! {io_reply, As, ok},
                Serve();
            {io_request, From, As, {get_line, _, _}} ->
                self() ! {enters, From, As},
                Serve();
            enter ->
                receive {enters, From, As} -> From ! {io_reply, As, "\\n"} end,
                Serve()
        end
    end),
    spawn_link(fun() ->
        group_leader(Shell, self()),
        Me ! {result, ebpf_events:watch(Ring, Options)}
    end),
    Shell
"""
PRINTED = "receive {printed, T} -> T after 5000 -> none end"


class Source:
    """The program of test/bpf/events.bpf.c, loaded in a C node."""

    def __init__(self, programs, object, ring=65536):
        """ring is its size in bytes."""
        self.programs = programs
        names = [b"events", b"perf_events", b"drains"]
        options = [("programs", names), ("max_entries", {b"ring": ring})]
        loaded = programs.load(object, options)
        assert isinstance(loaded, dict), loaded
        self.maps = loaded["maps"]
        self.program = loaded["programs"][b"events"]
        self.perf_program = loaded["programs"][b"perf_events"]
        self.drains = loaded["programs"][b"drains"]
        self.ring = self.maps[b"ring"]
        self.perf = self.maps[b"perf"]
        self.made = 0

    def emit(self, count=1, size=16, discard=0, perf=False):
        order = struct.pack("=III", count, size, discard)
        program = self.perf_program if perf else self.program
        ran = self.programs.run(program, {"data": order.ljust(64, b"\0")}, [])
        assert ran["return"] == 1
        self.made += count

    def lost(self):
        """Records that the ring had no room for."""
        return sum(int.from_bytes(v, "little") for v in self.programs.maps("get", 0, self.maps[b"lost"]))

    def fill(self):
        return self.programs.maps("info", self.ring)["fill"]


class Subscriber:
    """The process of a beam that evaluates, subscribed to a ring."""

    def __init__(self, beam, node, ring, *options):
        self.beam = beam
        self.node = node
        self.me = beam.eval("self()")
        self.subscription = self.call("subscribe", ring, self.me, list(options))
        assert getattr(self.subscription, "kind", None) == "pid", self.subscription
        self.next = 0
        self.missed = 0

    def call(self, function, *args):
        return self.beam.erpc(self.node, function, *args, module="ebpf_events")

    def receive(self, ms=5000):
        """(First, Lost, Runs), or "none"."""
        return self.beam.eval(RECEIVE, S=self.subscription, T=ms)

    def records(self, count, ms=5000):
        """So many records, as bytes; and checks that the numbers of messages fit them."""
        found = []
        while len(found) < count:
            message = self.receive(ms)
            assert message != "none", f"{len(found)} records have come"
            first, _, runs = message
            records = split(runs)
            assert first >= self.next
            self.missed += first - self.next
            self.next = first + len(records)
            found += records
        return found

    def nothing(self, ms=100):
        assert self.receive(ms) == "none"

    def grant(self, bytes):
        self.beam.eval("S ! {credit, N}", S=self.subscription, N=bytes)

    def monitor(self):
        self.reference = self.beam.eval("monitor(process, S)", S=self.subscription)

    def end(self, ms=5000):
        """The reason that the monitor tells, or "none"."""
        return self.beam.eval(END, S=self.subscription, M=self.reference, T=ms)

    def passed_over(self, count):
        """It may lag behind for a moment first."""
        wait_until(lambda: self.info()["skipped"] == count, what="it is passed over")

    def info(self):
        [info] = [i for i in self.call("subscriptions") if i["subscription"] == self.subscription]
        return info


def split(runs):
    return [
        data[i : i + size] if size else b""
        for size, data in runs
        for i in range(0, max(len(data), 1), max(size, 1))
    ]


def numbers(records):
    return [int.from_bytes(record[:8], "little") for record in records]


@pytest.fixture(scope="session")
def events_object(compile_bpf):
    return compile_bpf("events").read_bytes()


@pytest.fixture
def source(start_programs, events_object):
    """Of a C node of the test's own."""
    return Source(start_programs(), events_object)


@pytest.fixture
def large_source(start_programs, events_object):
    """Its ring holds what comes while the machine does something else."""
    return Source(start_programs(), events_object, 1 << 24)


@pytest.fixture
def subscribe(source):
    """A process of alice, or of another node."""

    def subscribe(*options, beam=None, ring=None):
        beam = beam or source.programs.beam
        return Subscriber(beam, source.programs.node.name, ring or source.ring, *options)

    return subscribe
