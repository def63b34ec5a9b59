# SPDX-License-Identifier: Apache-2.0
"""Eight Erlang nodes that connect, call everything, are killed and come back.

Their workers, in soak.erl, compare every answer with a model. The C node is
measured whenever all of them are gone: it must not grow.

EBPF_SOAK  how many seconds it takes: 60 with CI=true; else it runs only where
           this is set
"""

import os
import random
import re
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import pytest

import preload
from beam import Beam
from cluster import SANITIZED, wait_until
from conftest import CI
from served import served

NODES = 8
WORKERS = 3  # processes on each
STEPS = 50  # that a node has done before it is killed
ROUND = 5  # s of work from one measurement to the next
THREADS = 3  # those of the node and of its events
ROUNDS = 6  # at least; the last two are compared with the second
# Of the heap, more than when it had settled: mostly what up to 1,024 maps were
# charged whose pins somebody else has removed. A minute finds a loss of 2 KiB a
# connection or of a byte a request, one descriptor or thread, and one wrong
# answer; ten minutes find a tenth of such a loss.
KEPT_KIB = 96
HEAP = r"^heap: (\d+) bytes in use"

SECONDS = float(os.environ.get("EBPF_SOAK") or (60 if CI else 0))

pytestmark = [pytest.mark.alone, pytest.mark.slow, *([] if SECONDS else [pytest.mark.ci])]


@pytest.fixture(scope="module")
def compiled(srcdir, tmp_path_factory):
    folder = tmp_path_factory.mktemp("soak")
    source = srcdir / "test" / "faults" / "soak.erl"
    command = ["erlc", "+warnings_as_errors", "-o", folder, source]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture(scope="module")
def heap_report(tmp_path_factory):
    """The environment in which the C node tells of its heap."""
    if SANITIZED:
        return {}
    library = preload.build("heap_report", tmp_path_factory.mktemp("preload"))
    return {"LD_PRELOAD": str(library)}


class Crowd:
    """The nodes, of fixed names, and what they do to the C node."""

    def __init__(self, node, cluster, compiled, folder, ring):
        self.node = node
        self.ring = ring
        self.cluster = cluster
        self.names = [cluster.name("soak") for _ in range(NODES)]
        self.compiled = compiled
        self.folder = folder
        self.beams = {}
        self.steps = self.kills = 0
        # kept, since a process ends with the thread that has spawned it
        self.pool = ThreadPoolExecutor(NODES)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for beam in self.beams.values():
            beam.close()
        self.pool.shutdown()

    def start(self, name):
        # what its last life has left there
        for pin in self.folder.glob(f"{name}_*"):
            pin.unlink()
        beam = Beam(self.cluster, sname=name, paths=[self.compiled])
        pin = str(self.folder / f"{name}_").encode()
        self.beams[name] = beam
        beam.apply("soak", "start", self.node.name, WORKERS, pin, self.ring)

    def start_all(self):
        list(self.pool.map(self.start, self.names))

    def wait_at_work(self, name):
        beam = self.beams[name]
        wait_until(lambda: beam.apply("soak", "report", timeout=60)[0] > STEPS, 60)

    def kill(self, name):
        """At work, after a look at what it has done."""
        beam = self.beams.pop(name)
        steps, wrong = beam.apply("soak", "report", timeout=60)
        assert not wrong, f"{name}, of {steps} steps: {wrong}"
        self.steps += steps
        self.kills += 1
        start = self.node.mark()
        beam.close()
        # only then is all over that it had asked for, such as pins
        self.node.wait_log(f"disconnected {beam.name}: ", 60, start)

    def round(self, seconds):
        """All start, single ones are killed and come back, and all are killed."""
        self.start_all()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            name = random.choice(self.names)
            self.wait_at_work(name)
            self.kill(name)
            self.start(name)
        for name in self.names:
            self.wait_at_work(name)
        for name in self.names:
            self.kill(name)


def heap_kib(node, start):
    """What heap_report.c said last; 0 without it."""
    if SANITIZED:
        return 0
    node.wait_log(HEAP, start=start)
    return int(node.find_log(HEAP, start)[-1][1]) // 1024


@contextmanager
def events(source):
    """Some come all the time while the block runs: the id of their ring."""
    goes_on = Event()
    goes_on.set()
    # not later: an Erlang node answers one question at a time
    ring = source.programs.maps("info", source.ring)["id"]

    def emit():
        while goes_on.is_set():
            source.emit(20, 64)
            time.sleep(0.01)

    with ThreadPoolExecutor(1) as pool:
        emitting = pool.submit(emit)
        try:
            yield ring
        finally:
            goes_on.clear()
            emitting.result()


def resources(node, connect):
    """(descriptors, threads, KiB of heap in use) when nobody is connected.

    What the maps took the kernel has back with the end of a connection.
    """
    wait_until(lambda: node.threads() == THREADS, 30, "the connections have gone")
    wait_until(lambda: node.map_count() == 0, 30, "the maps have gone")
    start = node.mark()
    connect(node).close()
    wait_until(lambda: node.threads() == THREADS, 30, "the last one has gone")
    kinds = Counter(re.sub(r"\d+", "N", d) for d in node.descriptors())
    return kinds, node.threads(), heap_kib(node, start)


def never_called(node, connect, program):
    """The functions that are served and that nobody has asked for."""
    with connect(node) as peer:
        called = peer.maps("stats")["requests"]
    return served(program) - called.keys()


def test_a_soak_leaves_the_node_as_it_was(
    start_cnode, cluster, compiled, heap_report, folder, connect, program, large_source
):
    options = ["--grace", "1", "--allow", "*=load"]
    node = start_cnode(*options, env={**cluster.env, **heap_report})
    seen = []
    with (
        events(large_source) as ring,
        Crowd(node, cluster, compiled, folder, ring) as crowd,
    ):
        end = time.monotonic() + SECONDS
        while time.monotonic() < end or len(seen) < ROUNDS:
            crowd.round(ROUND)
            seen.append(resources(node, connect))
            print(f"{crowd.steps} steps, {crowd.kills} kills: {seen[-1]}")
    assert never_called(node, connect, program) == set()
    settled, last = seen[1], seen[-1]
    assert last[:2] == settled[:2]
    assert min(s[2] for s in seen[-2:]) <= settled[2] + KEPT_KIB
    assert not node.find_log("Z error ")
