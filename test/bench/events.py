# SPDX-License-Identifier: Apache-2.0
"""Contests of events: a program makes numbered records of 64 bytes at a steady rate,
and Erlang processes get them.

Beside the C node, a program reads the ring by libbpf's ring_buffer: as a program in C
that keeps what it reads, and as a port program of an Erlang node, which sends it on.
"""

import os
import signal
import subprocess
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

import labels as by
from bpf_objects import compiled
from cluster import kill, spawn
from world import HERE, LONG, cpu_time

SIZE = 64  # bytes of an event
RING = 8 << 20
LONE_RATE = 500  # events a second: each comes by itself
MANY = 10  # times as many gets as elsewhere: of the slowest 1 % there are few


class Flow:
    """A program that makes events in a ring, which is pinned."""

    def __init__(self, world, object, rate, count):
        self.pin = Path(f"/sys/fs/bpf/ebpf_bench_{os.getpid()}")
        self.world = world
        command = [world.helpers / "eventmake", object, self.pin, SIZE, rate, count]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = spawn(command, **pipes)
        assert self.process.stdout.readline() == "ready\n"

    def run(self):
        """Returns once all are made: how many were lost."""
        self.line()
        made, self.lost = map(int, self.process.stdout.readline().split())
        return self.lost

    def line(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def close(self):
        self.line()
        self.process.communicate(timeout=LONG)


class InErlang:
    """Readers that are Erlang processes, by the C node or by port programs."""

    def __init__(self, world, beams, reader):
        self.started = []
        for beam in beams:
            pid, os_pid = beam.apply("bench_events", "start", reader)
            self.started.append((beam, pid, os_pid))

    def cpu_of(self):
        return self.started[0][2]

    def results(self):
        return [
            beam.apply("bench_events", "result", pid, timeout=LONG)
            for beam, pid, _ in self.started
        ]

    def close(self):
        for beam, pid, _ in self.started:
            beam.apply("bench_events", "stop", pid)


class InC:
    def __init__(self, world, pin, count):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = spawn([world.helpers / "eventread", pin, count], **pipes)
        assert self.process.stdout.readline() == "ready\n"

    def cpu_of(self):
        return self.process.pid

    def results(self):
        return [(int(self.process.stdout.readline()), 0, 0)]

    def close(self):
        self.process.communicate("\n", timeout=LONG)


@contextmanager
def read(world, node, label, pin, count, readers=1):
    if label == by.EVENTS_IN_C:
        reader = InC(world, pin, count)
    elif label == by.EVENTS_BY_PORT:
        program = [*str(world.helpers / "eventread").encode()]
        reader = InErlang(world, [world.caller], ("port", program, str(pin).encode()))
    else:
        beams = world.callers[:readers]
        reader = InErlang(world, beams, ("cnode", node.name, str(pin).encode()))
    try:
        yield reader
    finally:
        reader.close()


@contextmanager
def stopped_reader(world, node, pin):
    """A subscriber of its own, whose node has stopped."""
    beam = world.beam("stopped")
    try:
        InErlang(world, [beam], ("cnode", node.name, str(pin).encode()))
        os.kill(beam.pid, signal.SIGSTOP)
        yield
    finally:
        kill(beam.process)


def prepared(world, stack):
    """The object, and a C node that may read rings of others."""
    object = compiled(HERE.parent / "bpf" / "events.bpf.c", world.home, f"-DRING_SIZE={RING}")
    return object, stack.enter_context(world.fresh_cnode("--allow", "*=load"))


@contextmanager
def flows(world, size, labels, rate, figure, readers=1, seconds=None, stopped=False):
    """figure(cpu nanoseconds, lost by the ring, results of readers, count); where it is
    stopped, another node has subscribed that reads nothing."""
    count = size.events if seconds is None else max(10, min(size.events, rate * seconds))
    with ExitStack() as stack:
        object, node = prepared(world, stack)

        def one(label):
            flow = Flow(world, object, rate, count)
            other = stopped_reader(world, node, flow.pin) if stopped else nullcontext()
            try:
                with other, read(world, node, label, flow.pin, count, readers) as reader:
                    pid = reader.cpu_of() or node.pid
                    before = cpu_time(pid)
                    lost = flow.run()
                    results = reader.results()
                    return figure(cpu_time(pid) - before, lost, results, count)
            finally:
                flow.close()

        yield {label: lambda label=label: one(label) for label in labels}


def cpu_of_each(cpu, lost, results, count):
    return cpu / sum(got for got, _, _ in results)


def lost_in_all(cpu, lost, results, count):
    missing = sum(count - got for got, _, _ in results)
    assert missing >= lost
    return missing


def lone_age(cpu, lost, results, count):
    [(got, _, age)] = results
    assert got == count
    return age / 1e3


@contextmanager
def calls_meanwhile(world, size, labels, rate):
    """Microseconds within which 99 % of another node's gets are answered.

    What reads the events, makes them and gets them keeps both cores of a small machine
    busy: what of the time is the C node's doing shows beside the port program, of which
    it knows nothing.
    """
    seconds = max(1, size.events // rate)
    with ExitStack() as stack:
        object, node = prepared(world, stack)
        map = world.caller.erpc(node.name, "new", "array", 4, 8, 1)
        other = world.callers[1]

        def gets():
            args = node.name, map, MANY * size.calls
            return other.apply("bench_events", "calls", *args, timeout=LONG) / 1e3

        def flowing(label):
            # longer than the gets take
            flow = Flow(world, object, rate, rate * (seconds + 20))
            try:
                with read(world, node, label, flow.pin, 0):
                    flow.line()
                    return gets()
            finally:
                kill(flow.process)
                flow.pin.unlink()

        runs = {
            by.FLOWING: lambda: flowing(by.EVENTS),
            by.FLOWING_BY_PORT: lambda: flowing(by.EVENTS_BY_PORT),
            by.NOT_FLOWING: gets,
        }
        yield {label: runs[label] for label in labels}
