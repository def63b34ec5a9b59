# SPDX-License-Identifier: Apache-2.0
"""Fixtures for programs: jobs of the loader, done by children without it."""

import errno
import os
import random
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from bpf_objects import compiled
from cluster import wait_until
from conftest import Nodes
from dist import Peer
from jobs import RUN, Jobs, option
from typed_maps import Reader
from views import Wire


@pytest.fixture(scope="session")
def run_job(program):
    place = program.parent.parent
    subprocess.run(["make", "-s", "-C", place, "test/programs/run_job"], check=True)
    return place / "test" / "programs" / "run_job"


@pytest.fixture
def jobs(run_job):
    jobs = Jobs(run_job)
    yield jobs
    jobs.close()


@pytest.fixture
def run(jobs):
    """Runs a program, on a packet of zeros if nothing else is said."""

    def run(fd, data=bytes(64), **numbers):
        options = [option(name, number=number) for name, number in numbers.items()]
        if data is not None:
            options.append(option("data", data=data))
        return jobs.do(RUN, *options, fds=[fd])

    return run


@pytest.fixture(scope="session")
def compile_bpf(srcdir, tmp_path_factory):
    def compile_bpf(name, *defines):
        source = srcdir / "test" / "bpf" / f"{name}.bpf.c"
        return compiled(source, tmp_path_factory.mktemp("bpf"), *defines)

    return compile_bpf


@pytest.fixture(scope="session")
def objects(compile_bpf):
    """The bytes of test/bpf/objects.bpf.c, compiled."""
    return compile_bpf("objects").read_bytes()


@pytest.fixture(scope="session")
def bpftool():
    """Its output, of a command."""
    path = shutil.which("bpftool", path="/usr/sbin:/sbin:/usr/bin:/bin")

    def bpftool(*arguments):
        """Once more where a link has an id and is still being made, as by other tests:
        bpftool gives up on EAGAIN."""
        command = [path, *map(str, arguments)]
        while True:
            done = subprocess.run(command, capture_output=True, text=True)
            told = done.stdout + done.stderr
            if done.returncode == 0:
                return done.stdout
            assert os.strerror(errno.EAGAIN) in told, f"{command}: {told}"

    return bpftool


@pytest.fixture(scope="module")
def tracefs():
    """Its folder; this run has mounts of its own."""
    folder = Path("/sys/kernel/tracing")
    if (folder / "events").exists():
        yield folder
        return
    subprocess.run([shutil.which("mount"), "-t", "tracefs", "tracefs", folder], check=True)
    yield folder
    # a node that ends later may still have it
    subprocess.run([shutil.which("umount"), "--lazy", folder], check=True)


@pytest.fixture
def randomness():
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)


class Programs:
    """ebpf_programs of a C node, as called from an Erlang node by erpc."""

    def __init__(self, beam, node):
        self.beam = beam
        self.node = node

    def call(self, function, *args, **options):
        return self.beam.erpc(self.node.name, function, *args, module="ebpf_programs", **options)

    def __getattr__(self, function):
        return lambda *args, **options: self.call(function, *args, **options)

    def maps(self, function, *args, **options):
        """The same of ebpf_maps."""
        return self.beam.erpc(self.node.name, function, *args, **options)

    def events(self, function, *args, beam=None):
        """The same of ebpf_events, perhaps from another node."""
        return (beam or self.beam).erpc(self.node.name, function, *args, module="ebpf_events")

    def held(self):
        """All handles that the C node has."""
        return {handle for handle, *_ in self.handles() + self.maps("handles")}

    def own_links(self):
        """Links of the host whose program the C node holds: others have links, too."""
        held = [handle for handle in self.held() if handle[0] == "ebpf_program"]
        ids = {self.info(program)["id"] for program in held}
        return [link for link in self.links() if link["program"] in ids]

    def end(self, handle):
        (self.maps if handle[0] == "ebpf_map" else self.call)("close", handle)

    def open_objects(self):
        """What it holds, and which of its descriptors are of the kernel's objects."""
        self.maps("features")  # what was closed before is closed
        return self.held(), sorted(fd for fd in self.node.descriptors() if "bpf" in fd)

    def says(self, words, call):
        """Calls until the log has the words: it leaves out what comes too often."""
        start = self.node.mark()

        def told():
            call()
            return self.node.find_log(words, start)

        return wait_until(told, what=words)

    @contextmanager
    def unchanged(self):
        """What the block leaves is what was there before."""
        before = self.open_objects()
        yield
        wait_until(lambda: self.open_objects() == before, what="nothing is left")


@pytest.fixture
def start_programs(alice, start_cnode):
    """Starts a C node that serves all programs to all nodes; calls it from alice."""

    def start(*options, beam=alice, **others):
        node = start_cnode("--programs", "all", "--allow", "*=load", *options, **others)
        return Programs(beam, node)

    return start


@pytest.fixture
def programs(start_programs):
    """Its programs, links and maps are gone with it."""
    return start_programs()


@pytest.fixture(scope="module")
def shared_programs_node(cluster, program, tracefs):
    nodes = Nodes(cluster, program)
    yield nodes.start("--programs", "all", "--allow", "*=load", "--log-level", "info")
    nodes.close()


@pytest.fixture(scope="module")
def typed_reader(shared_programs_node, cluster, bpftool):
    """Reads the typed maps of objects, by that C node."""
    name = f"{cluster.name('python')}@{cluster.host}"
    peer = Peer(shared_programs_node.port, name=name, cookie=cluster.cookie)
    with peer.handshake():
        yield Reader(Wire(peer), bpftool)


@pytest.fixture
def shared_programs(shared_programs_node, alice):
    """Those of one C node, for the many tests that need no options; what handles
    they leave are closed."""
    programs = Programs(alice, shared_programs_node)
    yield programs
    for handle in programs.held():
        programs.end(handle)
