# SPDX-License-Identifier: Apache-2.0
"""Faults around the node: epmd goes, peers die, stop or are cut off.

Each really happens, to a real Erlang node; meanwhile others' calls go on.
"""

import os
import signal
import subprocess
import time

import pytest

from beam import BeamError
from cluster import kill, spawn, wait_until
from hostile import Bystander
from slow_calls import slow_calls

HASH = ("hash", 4, 8, 4)
TICK = 4  # s, of the node and its peers

# A request of 15 MiB, most of it one value.
MERGE = """
Pairs = [{I, binary:copy(<<I:8>>, 3 bsl 20)} || I <- lists:seq(1, 5)],
spawn(fun() -> erpc:call(N, ebpf_maps, merge, [M, Pairs], 60000) end)
"""
ASK_ALL = "spawn(fun() -> erpc:call(N, ebpf_maps, to_list, [M], 60000) end)"
FILL = """
[M = erpc:call(N, ebpf_maps, put, [I, binary:copy(<<I:8>>, 3 bsl 20), M]) ||
 I <- lists:seq(1, 5)], ok
"""
WIDE = ("hash", 4, 3 << 20, 8)


@pytest.fixture
def others(bystander):
    """Calls of another Erlang node that go on all the time; see Bystander."""
    started = []

    def others(node):
        calls = Bystander(bystander, node)
        started.append(calls)
        calls.wait_calls([0, 0], 5)
        return calls

    yield others
    for calls in started:
        calls.stop()


def still_served(calls):
    """They go on from now, and nothing went wrong since they began."""
    calls.wait_calls(calls.counts(), 10)
    calls.check()


def queues(node):
    """[(bytes to send, bytes to receive)] of the node's connections."""
    found = []
    with open(f"/proc/{node.pid}/net/tcp") as f:
        for line in f.readlines()[1:]:
            fields = line.split()
            port = int(fields[1].split(":")[1], 16)
            if port == node.port and fields[3] != "0A":
                out, waiting = fields[4].split(":")
                found.append((int(out, 16), int(waiting, 16)))
    return found


def steady(value, least):
    """value() when it is more than least, and has been the same for a while."""
    seen = []

    def same():
        seen.append(value())
        time.sleep(0.05)
        return seen[-1] > least and len(set(seen[-5:])) == 1 and len(seen) >= 5

    wait_until(same, 20, "the bytes under way stand")
    return seen[-1]


# --- epmd


@pytest.mark.parametrize(
    "seconds",
    [2, pytest.param(15, marks=[pytest.mark.ci, pytest.mark.slow])],
    ids="{} s".format,
)
def test_epmd_may_be_gone_for_a_while(
    seconds, lone_cluster, start_cnode, start_beam, connect
):
    """Who is connected notices nothing; then new ones find the node again."""
    epmd = lone_cluster.epmd
    epmd.start()
    node = start_cnode(cluster=lone_cluster)
    before = start_beam(cluster=lone_cluster)
    calls = Bystander(before, node)
    calls.wait_calls([0, 0])
    epmd.stop()
    node.wait_log("warning not registered with epmd")
    gone = time.monotonic()
    wait_until(lambda: time.monotonic() - gone > seconds, seconds + 5)
    still_served(calls)
    assert len(node.find_log("not registered")) < 5
    epmd.start()
    wait_until(lambda: epmd.port_of(node.sname) == node.port, 10)
    still_served(calls)
    after = start_beam(cluster=lone_cluster)
    map = after.erpc(node.name, "new", *HASH)
    assert before.erpc(node.name, "put", 1, 1, map) == map
    calls.stop()


# --- a peer is killed


def test_a_peer_killed_in_the_middle_of_a_request_has_asked_for_nothing(
    start_cnode, start_beam, others, alice
):
    """Half of it is there when the node gets to read it."""
    node = start_cnode("--grace", "0")
    calls = others(node)
    map = alice.erpc(node.name, "new", *WIDE)
    victim = start_beam()
    victim.erpc(node.name, "size", map)
    threads = node.threads()
    with node.asleep():
        victim.eval(MERGE, N=node.name, M=map)
        there = steady(lambda: max(waiting for _, waiting in queues(node)), 10_000)
        assert there < 15 << 20, "the whole request fits into the buffers"
        victim.kill()
    node.wait_log(f"disconnected {victim.name}: the connection was closed")
    wait_until(lambda: node.threads() == threads - 1)
    assert alice.erpc(node.name, "size", map) == 0
    still_served(calls)


def test_a_peer_killed_in_the_middle_of_a_reply_holds_up_nobody(
    start_cnode, start_beam, others, alice
):
    """It was stopped before it could read much of it."""
    node = start_cnode("--grace", "0")
    map = alice.erpc(node.name, "new", *WIDE)
    alice.eval(FILL, N=node.name, M=map)
    victim = start_beam()
    victim.erpc(node.name, "size", map)
    threads = node.threads()
    with node.asleep():
        victim.eval(ASK_ALL, N=node.name, M=map)
        wait_until(lambda: any(waiting for _, waiting in queues(node)))
        os.kill(victim.pid, signal.SIGSTOP)
    steady(lambda: max(out for out, _ in queues(node)), 10_000)
    calls = others(node)  # not before: the node was stopped, and their calls with it
    threads += 1
    still_served(calls)
    assert not node.find_log(f"disconnected {victim.name}")
    victim.kill()
    node.wait_log(f"disconnected {victim.name}")
    wait_until(lambda: node.threads() == threads - 1)
    assert alice.erpc(node.name, "size", map) == 5
    still_served(calls)


# --- a peer is stopped, or cut off


def test_a_peer_stopped_past_the_tick_time_comes_back_to_its_maps(
    start_cnode, start_beam, others
):
    node = start_cnode("--ticktime", TICK, "--grace", "60")
    calls = others(node)
    peer = start_beam("-kernel", "net_ticktime", TICK)
    map = peer.erpc(node.name, "new", *HASH)
    peer.erpc(node.name, "put", 1, 2, map)
    os.kill(peer.pid, signal.SIGSTOP)
    try:
        node.wait_log(f"disconnected {peer.name}: it sent nothing for", 5 * TICK)
        still_served(calls)
    finally:
        os.kill(peer.pid, signal.SIGCONT)
    comes_back(peer, node, map)
    still_served(calls)


def comes_back(peer, node, map):
    """Its next calls are served, by the maps that it had."""
    lost = ("erpc", "noconnection")

    def served():
        try:
            return peer.erpc(node.name, "put", 3, 4, map) == map
        except BeamError as e:
            assert e.reason == lost, e
            return False

    wait_until(served, 20, "the peer is connected again")
    assert int.from_bytes(peer.erpc(node.name, "get", 1, map), "little") == 2


class Network:
    """A network namespace and the link to it, of the test's own."""

    def __init__(self):
        number = os.getpid()
        self.name = f"ebpf_cnode_{number}"
        self.here, self.there = f"ebpf{number}a", f"ebpf{number}b"
        subnet = f"198.18.{number // 64 % 256}"
        first = number % 64 * 4
        self.host = f"{subnet}.{first + 1}"
        self.guest = f"{subnet}.{first + 2}"
        self.inside = ["ip", "netns", "exec", self.name]

    def __enter__(self):
        ip("netns", "add", self.name)
        try:
            ip("link", "add", self.here, "type", "veth", "peer", "name", self.there)
            ip("link", "set", self.there, "netns", self.name)
            ip("address", "add", f"{self.host}/30", "dev", self.here)
            ip("link", "set", self.here, "up")
            self.ip("address", "add", f"{self.guest}/30", "dev", self.there)
            self.ip("link", "set", "lo", "up")
            self.up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *exception):
        """The link would go with the namespace, but at some later time."""
        subprocess.run(["ip", "link", "delete", self.here], check=False)
        ip("netns", "delete", self.name)

    def ip(self, *args):
        ip("-n", self.name, *args)

    def up(self):
        self.ip("link", "set", self.there, "up")

    def down(self):
        self.ip("link", "set", self.there, "down")


def ip(*args):
    subprocess.run(["ip", *args], check=True)


@pytest.fixture
def network():
    with Network() as network:
        yield network


@pytest.fixture
def epmds(lone_cluster, network):
    """One on each side of the link, both at the port of the cluster."""
    processes = []
    for address, inside in ((network.host, []), (network.guest, network.inside)):
        processes.append(
            spawn(
                [*inside, "epmd", "-port", lone_cluster.epmd.port],
                env={**os.environ, "ERL_EPMD_ADDRESS": address},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
    ask = ["epmd", "-port", str(lone_cluster.epmd.port), "-names"]
    for inside in ([], network.inside):
        wait_until(
            lambda: subprocess.run([*inside, *ask], capture_output=True).returncode == 0
        )
    yield lone_cluster.epmd
    for process in processes:
        kill(process)


def test_a_peer_that_was_cut_off_comes_back_to_its_maps(
    network, epmds, lone_cluster, start_cnode, start_beam
):
    """The node ends the connection by itself: no word of it comes through."""
    node = start_cnode(
        *("--ticktime", TICK, "--grace", "60"),
        naming=["--name", f"cut@{network.host}"],
        cluster=lone_cluster,
    )
    near = start_beam(cluster=lone_cluster, long_name=f"near@{network.host}")
    calls = Bystander(near, node)
    peer = start_beam(
        *("-kernel", "net_ticktime", TICK),
        cluster=lone_cluster,
        long_name=f"far@{network.guest}",
        wrapper=network.inside,
    )
    map = peer.erpc(node.name, "new", *HASH)
    peer.erpc(node.name, "put", 1, 2, map)
    network.down()
    node.wait_log(f"disconnected {peer.name}: it sent nothing for", 5 * TICK)
    still_served(calls)
    network.up()
    comes_back(peer, node, map)
    still_served(calls)
    calls.stop()


LONG_MERGE = """
Inner = erpc:call(N, ebpf_maps, new, [array, 4, 4, 1]),
M = erpc:call(N, ebpf_maps, new, [array_of_maps, 4, 4, 4, [{inner_map, Inner}]]),
Pairs = lists:duplicate(100000, {0, Inner}),
spawn(fun() -> erpc:call(N, ebpf_maps, merge, [M, Pairs], infinity) end),
ok
"""


def test_a_long_request_of_a_peer_that_was_cut_off_ends(
    network, epmds, lone_cluster, start_cnode, start_beam
):
    """It would take an hour, and the peer sends no end."""
    node = start_cnode(
        *("--ticktime", TICK),
        naming=["--name", f"cut@{network.host}"],
        cluster=lone_cluster,
    )
    near = start_beam(
        *("-kernel", "net_ticktime", TICK),
        cluster=lone_cluster,
        long_name=f"near@{network.host}",
    )
    peer = start_beam(
        cluster=lone_cluster,
        long_name=f"far@{network.guest}",
        wrapper=network.inside,
    )
    near.erpc(node.name, "stats")

    def begun():
        return near.erpc(node.name, "stats")["requests"].get(("merge", 2))

    with slow_calls(node, 0.05):
        peer.eval(LONG_MERGE, N=node.name)
        wait_until(begun, 20)
        threads = node.threads()
        network.down()
        node.wait_log(f"disconnected {peer.name}", 10 * TICK)
        wait_until(lambda: node.threads() == threads - 1)
    assert near.erpc(node.name, "stats")["errors"] == {"ecanceled": 1}
