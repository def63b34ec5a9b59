# SPDX-License-Identifier: Apache-2.0
"""What a service manager is told, by the protocol of sd_notify(3).

The manager is a datagram socket of the test.
"""

import re
import secrets
import socket
from contextlib import suppress

import pytest

from cluster import PATIENCE, wait_until
from counting import Trace
from processes import processes

READY, WATCHDOG, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"
IDLE = "STATUS=0 nodes connected, 0 map handles"
TICK_US = 200_000


class Manager:
    """The socket that is a service manager's, and what came in by it."""

    def __init__(self, address):
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address.replace("@", "\0", 1) if address[0] == "@" else address)
        self.lines = []

    def env(self, cluster, **others):
        return {**cluster.env, "NOTIFY_SOCKET": self.address, **others}

    def receive(self, timeout=20 * PATIENCE):
        """The lines of one datagram."""
        self.socket.settimeout(timeout)
        lines = self.socket.recv(4096).decode().splitlines()
        self.lines += lines
        return lines

    def wait_for(self, line):
        """Until a datagram with that line has come, which it gives."""
        return wait_until(lambda: line in (told := self.receive()) and told, 20)

    def drain(self):
        """Takes what has come."""
        self.socket.setblocking(False)
        try:
            while True:
                self.lines += self.socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            pass

    def fill(self):
        """Until nothing more goes in."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            with suppress(BlockingIOError):
                while True:
                    s.sendto(b"FILL=1", self.address)

    def close(self):
        self.socket.close()


@pytest.fixture(params=["path", "abstract"])
def manager(request, tmp_path):
    name = f"@ebpf_cnode_test/{secrets.token_hex(8)}"
    manager = Manager(str(tmp_path / "notify") if request.param == "path" else name)
    yield manager
    manager.close()


@pytest.fixture
def path_manager(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    yield manager
    manager.close()


def test_it_is_ready_when_it_can_be_found_and_connected_to(
    manager, cluster, start_cnode
):
    node = start_cnode(ready=False, env=manager.env(cluster))
    told = manager.receive()
    port = cluster.epmd.port_of(node.sname)
    assert told == [READY, IDLE]
    assert port
    socket.create_connection(("127.0.0.1", port), 5).close()
    node.wait_ready()
    node.stop()
    assert manager.receive() == [STOPPING, "STATUS=ending"]


def test_a_start_that_fails_is_never_ready(path_manager, cluster, start_cnode):
    taken = start_cnode()
    env = path_manager.env(cluster, WATCHDOG_USEC=str(TICK_US))
    node = start_cnode(sname=taken.sname, ready=False, env=env)
    assert node.wait_exit() == 7
    path_manager.drain()
    assert path_manager.lines == []


def test_the_status_counts_nodes_and_maps(
    path_manager, cluster, start_cnode, start_beam
):
    node = start_cnode(env=path_manager.env(cluster))
    beam = start_beam()
    for _ in range(2):
        beam.erpc(node.name, "new", "hash", 4, 8, 16)
    path_manager.wait_for("STATUS=1 nodes connected, 2 map handles")
    assert WATCHDOG not in path_manager.lines


@pytest.mark.counts
def test_a_status_that_found_no_place_is_told_later(
    path_manager, cluster, start_cnode, connect, tmp_path
):
    """The manager has not read for a while: what is new by then is not lost."""
    node = start_cnode(env=path_manager.env(cluster))
    path_manager.wait_for(IDLE)
    path_manager.fill()
    peer = connect(node)
    assert peer.serves()
    trace = tmp_path / "trace"
    with Trace(node, trace):
        wait_until(lambda: re.search('"STATUS=1 node.* = -1 EAGAIN', trace.read_text()))
    path_manager.drain()
    path_manager.wait_for("STATUS=1 nodes connected, 0 map handles")


def test_signs_of_life_come_as_long_as_it_runs(manager, cluster, start_cnode):
    node = start_cnode(env=manager.env(cluster, WATCHDOG_USEC=str(TICK_US)))
    assert WATCHDOG in manager.wait_for(READY)
    assert [manager.receive() for _ in range(5)] == [[WATCHDOG]] * 5
    with node.asleep():
        manager.drain()
        with pytest.raises(TimeoutError):
            manager.receive(5 * TICK_US / 1e6)
    assert manager.receive() == [WATCHDOG]
    node.stop()
    manager.wait_for(STOPPING)


@pytest.mark.counts
def test_a_manager_that_has_gone_is_told_of_once_and_sent_nothing(
    path_manager, cluster, start_cnode, connect, tmp_path
):
    node = start_cnode(env=path_manager.env(cluster, WATCHDOG_USEC=str(TICK_US)))
    path_manager.wait_for(IDLE)
    path_manager.close()
    node.wait_log("warning the service manager is no longer notified: ")
    with Trace(node, tmp_path / "trace") as trace:
        for _ in range(3):  # each changes the status
            assert connect(node).serves()
            wait_until(lambda so_far=trace.so_far("poll"): trace.so_far("poll") > so_far)
    assert not re.search(r'sendto\(.*"(STATUS|WATCHDOG)', trace.text)
    assert len(node.find_log("no longer notified")) == 1


@pytest.mark.counts
def test_it_never_sleeps_for_more_than_half_of_the_watchdogs_time(
    path_manager, cluster, start_cnode, tmp_path
):
    """What it asks of the kernel: a host may be slow besides."""
    env = path_manager.env(cluster, WATCHDOG_USEC=str(TICK_US))
    node = start_cnode(env=env)
    with Trace(node, tmp_path / "trace") as trace:
        path_manager.drain()
        for _ in range(5):
            path_manager.wait_for(WATCHDOG)
    sleeps = re.findall(rf"^{node.pid} +poll\(.*, (-?\d+)\) ", trace.text, re.M)
    longest = max(int(ms) for ms in sleeps)
    assert 0 < longest <= TICK_US / 2000
    assert all(int(ms) >= 0 for ms in sleeps)


def test_the_watchdog_of_another_process_is_not_ours(
    path_manager, cluster, start_cnode
):
    env = path_manager.env(cluster, WATCHDOG_USEC=str(TICK_US), WATCHDOG_PID="1")
    node = start_cnode(env=env)
    node.stop()
    path_manager.wait_for(STOPPING)
    assert WATCHDOG not in path_manager.lines


def test_a_manager_that_goes_away_is_given_up(
    path_manager, cluster, start_cnode, alice
):
    env = path_manager.env(cluster, WATCHDOG_USEC=str(TICK_US))
    node = start_cnode(env=env)
    path_manager.wait_for(WATCHDOG)
    path_manager.close()
    node.wait_log("warning the service manager is no longer notified")
    assert alice.erpc(node.name, "handles") == []
    node.stop()


def test_a_manager_that_does_not_read_holds_up_nothing(
    path_manager, cluster, start_cnode, alice
):
    env = path_manager.env(cluster, WATCHDOG_USEC="2000")
    node = start_cnode(env=env)
    path_manager.wait_for(READY)

    # Linux keeps a datagram and max_dgram_qlen more, then the sender has to wait.
    def is_full():
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
            s.setblocking(False)
            try:
                s.sendto(b"X_TEST=1\n", path_manager.address)
            except BlockingIOError:
                return True

    wait_until(is_full)
    assert alice.erpc(node.name, "handles") == []
    path_manager.drain()
    assert WATCHDOG in path_manager.receive()
    node.stop()


@pytest.mark.parametrize(
    "address, why",
    [
        ("vsock:2:1234", "Invalid argument"),
        ("relative", "Invalid argument"),
        ("@", "Invalid argument"),
        ("/" + 200 * "x", "Invalid argument"),
        ("/nowhere/notify", "No such file or directory"),
    ],
)
def test_an_address_of_no_use_is_told_and_passed_over(
    address, why, cluster, start_cnode, alice
):
    node = start_cnode(env={**cluster.env, "NOTIFY_SOCKET": address})
    node.wait_log(f"warning NOTIFY_SOCKET is {address}: {why}")
    assert alice.erpc(node.name, "handles") == []


@pytest.mark.parametrize("time", ["soon", "-1", "0", "1e6", "99999999999999999999"])
def test_a_time_of_no_use_is_told_and_passed_over(
    time, path_manager, cluster, start_cnode
):
    node = start_cnode(env=path_manager.env(cluster, WATCHDOG_USEC=time))
    node.wait_log(f"warning WATCHDOG_USEC is {time}, which is no time")
    assert path_manager.receive() == [READY, IDLE]


def test_an_epmd_that_it_starts_is_not_taken_for_it(
    path_manager, lone_cluster, start_cnode
):
    env = path_manager.env(lone_cluster, WATCHDOG_USEC=str(TICK_US))
    start_cnode(cluster=lone_cluster, env=env)
    path_manager.wait_for(READY)
    port = b"%d" % lone_cluster.epmd.port

    def of_epmd():
        epmds = [p.env for p in processes() if p.name == "epmd"]
        return [env for env in epmds if env.get(b"ERL_EPMD_PORT") == port]

    # those that it was started by end by themselves
    found = wait_until(lambda: len(one := of_epmd()) == 1 and one)
    assert not [name for name in found[0] if name.startswith((b"NOTIFY", b"WATCHDOG"))]


def test_what_is_embedded_says_nothing_for_its_parent(
    path_manager, cluster, start_cnode
):
    env = path_manager.env(cluster, WATCHDOG_USEC=str(TICK_US))
    node = start_cnode("--until-eof", env=env, stdin=-1)
    node.process.stdin.close()
    assert node.wait_exit() == 0
    path_manager.drain()
    assert path_manager.lines == []
