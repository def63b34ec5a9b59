# SPDX-License-Identifier: Apache-2.0
"""The example of a block list: real packets from a third host to two of a cluster."""

import subprocess
import sys

import pytest

from bpf_objects import compiled
from cluster import kill, spawn, wait_until
from etf import Atom
from two_hosts import Host, TwoHosts, run

LOADS = ["--programs", "xdp", "--allow", "*=load"]
PORT = 7  # echo
SERVE = f"""
import socket
s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
s.bind(("::", {PORT}))
print("up", flush=True)
while True:
    data, who = s.recvfrom(100)
    s.sendto(data, who)
"""
# Whether an answer comes: the first one may wait for the neighbour's address.
ASK = """
import socket, sys
s = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(0.3)
for _ in range(3):
    s.sendto(b"hello", (sys.argv[1], int(sys.argv[2])))
    try:
        s.recv(100)
        sys.exit(0)
    except TimeoutError:
        pass
sys.exit(1)
"""


@pytest.fixture(scope="module")
def built(srcdir, ebin, tmp_path_factory):
    """(the folder of the module, the object file)"""
    folder = tmp_path_factory.mktemp("examples")
    examples = srcdir / "erlang" / "examples"
    source = examples / "block_list.erl"
    subprocess.run(["erlc", "-pa", ebin, "-o", folder, source], check=True)
    return folder, compiled(examples / "block_list.bpf.c", folder)


class Outsider:
    """A host with a cable to the interface `outside` of each of the cluster."""

    def __init__(self, folder, hosts):
        names = folder / "outsider"
        names.write_text("127.0.0.1 localhost\n")
        self.host = Host("outsider", names)
        self.hosts = hosts
        self.servers = []
        for n, host in enumerate(hosts):
            self.connect(n, host)

    def connect(self, n, host):
        here, there = f"out{host.process.pid}", f"tmp{host.process.pid}"
        run("ip", "link", "add", here, "type", "veth", "peer", "name", there)
        run("ip", "link", "set", here, "netns", self.host.process.pid)
        run("ip", "link", "set", there, "netns", host.process.pid)
        run(*host.wrapper, "ip", "link", "set", there, "name", "outside")
        for end, wrapper, last in ((here, self.host.wrapper, 2), ("outside", host.wrapper, 1)):
            run(*wrapper, "ip", "address", "add", f"10.9.{n}.{last}/24", "dev", end)
            address = f"fd09:{n}::{last}/64"
            run(*wrapper, "ip", "address", "add", address, "dev", end, "nodad")
            run(*wrapper, "ip", "link", "set", end, "up")
        command = [*host.wrapper, sys.executable, "-c", SERVE]
        self.servers.append(spawn(command, stdout=subprocess.PIPE))
        assert self.servers[-1].stdout.readline() == b"up\n"

    def reaches(self, n, ipv6=False):
        """Whether the host of that number answers."""
        address = f"fd09:{n}::1" if ipv6 else f"10.9.{n}.1"
        command = [*self.host.wrapper, sys.executable, "-c", ASK, address, str(PORT)]
        return subprocess.run(command).returncode == 0

    def close(self):
        for server in self.servers:
            kill(server)
            server.stdout.close()
        self.host.close()


@pytest.fixture
def hosts(tmp_path):
    two = TwoHosts(tmp_path)
    yield two.hosts
    two.close()


@pytest.fixture
def outsider(hosts, tmp_path):
    outsider = Outsider(tmp_path, hosts)
    yield outsider
    outsider.close()


class Blocks:
    def __init__(self, beam):
        self.beam = beam

    def __getattr__(self, function):
        return lambda *args: self.beam.apply("block_list", function, *args)

    def start(self, file, nodes):
        text = """
            {ok, Pid} = block_list:start_link(File, {xdp, "outside", native}, [{nodes, Nodes}]),
            unlink(Pid), ok
        """
        assert self.beam.eval(text, File=str(file).encode(), Nodes=nodes) == "ok"

    def status(self):
        return self.beam.eval("maps:get(block_list, ebpf_fleet:status(), #{})")


@pytest.fixture
def start_host(lone_cluster, start_cnode):
    """A C node on a host."""

    def start(host):
        return start_cnode(*LOADS, cluster=lone_cluster, naming=[], wrapper=host.wrapper)

    return start


@pytest.fixture
def first(hosts, start_host):
    """The C node of the first host, with which an epmd comes."""
    return start_host(hosts[0])


@pytest.fixture
def blocks(built, hosts, first, lone_cluster, start_beam, ebin):
    options = {"paths": [ebin, built[0]], "wrapper": hosts[0].wrapper}
    beam = start_beam(cluster=lone_cluster, sname="me", **options)
    beam.eval("{ok, _} = application:ensure_all_started(ebpf_cnode)")
    return Blocks(beam)


NODES = [Atom("ebpf@web1"), Atom("ebpf@web2")]
HERE = [(10, 9, 0, 2), (10, 9, 1, 2)]  # the outsider, as the two see it


def test_packets_of_an_address_are_dropped_on_all_hosts(
    built, hosts, outsider, first, blocks, start_host
):
    blocks.start(built[1], NODES)
    wait_until(lambda: blocks.status().get(NODES[0]) == "ok", what="the first host has it")
    assert outsider.reaches(0) and outsider.reaches(1)
    # one call for both hosts, of which one has no C node yet
    for address in HERE:
        assert blocks.block(address, 3600)[NODES[0]] == "ok"
    assert not outsider.reaches(0)
    assert outsider.reaches(0, ipv6=True)
    assert outsider.reaches(1)
    # the second host comes, and gets all entries
    start_host(hosts[1])
    assert blocks.beam.apply("net_adm", "ping", NODES[1]) == "pong"
    wait_until(lambda: not outsider.reaches(1), timeout=40, what="the second host has it")
    dropped, results = blocks.drops()
    assert dropped[NODES[0]] >= 3 and dropped[NODES[1]] >= 3
    assert results == {node: "ok" for node in NODES}
    assert {address for address, _ in blocks.blocked()} == set(HERE)
    # by IPv6, too
    assert blocks.block((0xFD09, 0, 0, 0, 0, 0, 0, 2), 3600) == results
    assert not outsider.reaches(0, ipv6=True)
    assert blocks.unblock(HERE[0]) == results
    assert outsider.reaches(0)
    # an entry expires by itself, even with nobody there to end it
    assert blocks.block(HERE[0], 3) == results
    assert not outsider.reaches(0)
    blocks.beam.kill()
    assert not outsider.reaches(1)
    wait_until(lambda: outsider.reaches(0), timeout=20, what="it has expired")
    assert first.alive()


def test_it_ends_on_all_hosts(built, hosts, outsider, blocks, start_host):
    start_host(hosts[1])
    blocks.start(built[1], NODES)
    wait_until(lambda: blocks.status() == {node: "ok" for node in NODES})
    assert blocks.block(HERE[0], 3600) == {node: "ok" for node in NODES}
    assert not outsider.reaches(0)
    assert blocks.stop() == {node: "ok" for node in NODES}
    assert outsider.reaches(0)
    for node in NODES:
        assert blocks.beam.erpc(node, "handles") == []
        assert blocks.beam.erpc(node, "handles", module="ebpf_programs") == []
