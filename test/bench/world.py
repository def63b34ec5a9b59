# SPDX-License-Identifier: Apache-2.0
"""The processes of a run, each started on first use.

    caller    an Erlang node with nothing of ours on its path but bench_*.erl
    facade    one with the facade
    server    one that answers as bench_server.erl does
    nif       one that holds the NIF library of EBPF_NIF_DIR
    callers   three more like caller, with it four
    cnode     a C node; fresh_cnode() is one more

All of them are on this host, under an epmd of their own, with the same flags of
the emulator: those that erl has by default. All Erlang nodes that a contest
does not need are idle meanwhile.
"""

import os
import shutil
import subprocess
import time
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path

from beam import Beam
from cluster import CNode, Cluster
from dist import Peer
from turns import NotGiven

HERE = Path(__file__).resolve().parent
VALUE_SIZES = (8, 256, 4096, 65536)
LONG = 600  # seconds; no run takes as long


class World:
    def __init__(self, program, ebin, helpers, nif_dir, home):
        self.program = Path(program).resolve()
        self.ebin = Path(ebin).resolve()
        self.helpers = Path(helpers).resolve()
        self.nif_dir = Path(nif_dir).resolve() if nif_dir else None
        self.home = Path(home)
        self.stack = ExitStack()
        self.cluster = Cluster(self.home)

    def __enter__(self):
        names = ("pingpong", "maploop", "loadloop", "eventmake", "eventread", "keeploop")
        helpers = (self.helpers / name for name in names)
        for path in (self.program, *helpers):
            if not os.access(path, os.X_OK):
                raise SystemExit(f"bench: no program {path}: make builds it")
        if self.nif_dir and not (self.nif_dir / "ebin" / "ebpf_maps.beam").exists():
            raise SystemExit(
                f"bench: EBPF_NIF_DIR: no ebin/ebpf_maps.beam in {self.nif_dir}"
            )
        self.cluster.epmd.start()
        self.stack.callback(self.cluster.epmd.stop)
        self.compiled = self.home / "ebin"
        self.compiled.mkdir()
        sources = sorted(HERE.glob("*.erl"))
        subprocess.run(["erlc", "-o", self.compiled, *sources], check=True)
        return self

    def __exit__(self, *exception):
        self.stack.close()

    # Erlang nodes

    def beam(self, hint, *paths, **more):
        beam = Beam(self.cluster, paths=[self.compiled, *paths], hint=hint, **more)
        self.stack.callback(beam.close)
        return beam

    @cached_property
    def caller(self):
        return self.beam("caller")

    @cached_property
    def callers(self):
        return [self.caller, *(self.beam("caller") for _ in range(3))]

    @cached_property
    def facade(self):
        beam = self.beam("facade", self.ebin)
        beam.apply("application", "set_env", "ebpf_cnode", "node", self.cnode.name)
        return beam

    @cached_property
    def server(self):
        beam = self.beam("server")
        beam.apply("bench_server", "start", list(VALUE_SIZES))
        return beam

    @cached_property
    def nif(self):
        """Its module has the same name as the facade: they cannot share a node."""
        if not self.nif_dir:
            raise NotGiven("EBPF_NIF_DIR names no built copy of it")
        # code:priv_dir/1 relies on the name of the folder
        link = self.home / "ebpf"
        link.symlink_to(self.nif_dir)
        return self.beam("nif", link / "ebin")

    # C nodes

    @cached_property
    def cnode(self):
        node = self.new_cnode()
        self.stack.callback(node.kill)
        return node.wait_ready()

    def new_cnode(self, *options, **more):
        """One that is not ready yet; the caller stops it."""
        return CNode(self.cluster, self.program, *options, **more)

    @contextmanager
    def fresh_cnode(self, *options, **more):
        node = self.new_cnode(*options, **more)
        try:
            yield node.wait_ready()
        finally:
            node.kill()

    @contextmanager
    def connections(self, node, count):
        """Our own connected nodes; each has sent one request and then nothing."""
        with ExitStack() as stack:
            peers = []
            for _ in range(count):
                name = f"{self.cluster.name('peer')}@{self.cluster.host}"
                peer = Peer(node.port, name=name, cookie=self.cluster.cookie)
                stack.callback(peer.close)
                peers.append(peer.handshake())
            self.use(peers)
            yield peers

    def use(self, peers):
        if peers:
            map = peers[0].maps("new", "array", 4, 8, 1)
            for peer in peers:
                assert len(peer.maps("get", 0, map)) == 8

    # maps

    @contextmanager
    def cnode_map(self, *args, node=None, caller=None):
        """(handle, id) of a map of the C node's, or of another that another asks."""
        node, caller = (node or self.cnode).name, caller or self.caller
        handle = caller.erpc(node, "new", *args)
        assert handle[0] == "ebpf_map", handle
        try:
            yield handle, caller.erpc(node, "info", handle)["id"]
        finally:
            caller.erpc(node, "close", handle)

    @contextmanager
    def nif_map(self, *args):
        """(handle, id) of a map of the NIF's, which does not return the id."""
        handle = self.nif.apply("ebpf_maps", "new", *args)
        assert handle[0] == "bpf_map", handle
        try:
            fd = self.nif.apply("ebpf_maps", "fd", handle)
            text = Path(f"/proc/{self.nif.pid}/fdinfo/{fd}").read_text()
            fields = dict(line.split(":", 1) for line in text.splitlines())
            yield handle, int(fields["map_id"])
        finally:
            self.nif.apply("ebpf_maps", "close", handle)

    # C programs

    def pingpong(self, request, answer, rounds):
        """Nanoseconds for all rounds."""
        return self.run_helper("pingpong", request, answer, rounds)[0]

    def maploop(self, map_id, operation, count):
        """(nanoseconds, nanoseconds of CPU, entries)"""
        return self.run_helper("maploop", map_id, operation, count)

    def run_helper(self, name, *args):
        command = [self.helpers / name, *map(str, args)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=LONG, check=True)
        return tuple(map(int, done.stdout.split()))

    def bpftool(self):
        found = shutil.which("bpftool", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        if not found:
            raise NotGiven("no bpftool in PATH")
        return found


def cpu_time(pid):
    """Nanoseconds of CPU that all threads of a process have used so far."""
    return time.clock_gettime_ns((~pid << 3) | 2)  # its CPUCLOCK_SCHED


def resident(pid):
    """Bytes of RSS, counted page by page."""
    with open(f"/proc/{pid}/smaps_rollup") as f:
        line = next(line for line in f if line.startswith("Rss:"))
    return int(line.split()[1]) * 1024
