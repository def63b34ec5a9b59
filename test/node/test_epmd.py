# SPDX-License-Identifier: Apache-2.0
"""What sits at the port of epmd and is none: the node bears with it, quietly."""

import os
import signal
import socket
import struct
import threading

import pytest

from cluster import PATIENCE, wait_until
from impostor import REGISTERED, Impostor, hang_up


def send_without_end(client):
    client.sendall(REGISTERED)
    while True:
        client.sendall(bytes(65536))


@pytest.fixture(params=[hang_up, send_without_end])
def impostor(request, lone_cluster):
    impostor = Impostor(lone_cluster.epmd.port, request.param)
    yield impostor
    impostor.close()


def cpu_ticks(node):
    with open(f"/proc/{node.pid}/stat") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def flaps(node):
    return node.find_log("epmd|not registered")


def test_who_ends_each_registration_is_asked_ever_less_often(
    impostor, lone_cluster, start_cnode, connect
):
    """Each of so many attempts has waited for longer than the one before."""
    node = start_cnode(cluster=lone_cluster)
    node.wait_log("warning epmd on port .* ends each registration within 5 s")
    lines, asked, ticks = len(flaps(node)), impostor.asked, cpu_ticks(node)
    assert lines <= 6 and asked <= 6
    wait_until(lambda: impostor.asked >= 6, 20, "the node tries on")
    assert len(flaps(node)) == lines
    assert cpu_ticks(node) - ticks <= 20 * PATIENCE
    assert connect(node, cookie=lone_cluster.cookie).serves()


def test_an_epmd_that_follows_is_told_within_seconds(
    impostor, lone_cluster, start_cnode
):
    node = start_cnode(cluster=lone_cluster)
    node.wait_log("warning epmd on port .* ends each registration within 5 s")
    start = node.mark()
    impostor.close()
    lone_cluster.epmd.start()
    wait_until(lambda: lone_cluster.epmd.port_of(node.sname) == node.port, 10)
    node.wait_log("notice registered with epmd again", start=start)
    assert len(flaps(node)) <= 9


# --- what the start waits for


def test_an_epmd_that_says_nothing_is_told_of_soon(start_cnode, lone_cluster):
    silent = Impostor(lone_cluster.epmd.port, lambda client: None)
    node = start_cnode(cluster=lone_cluster, ready=False)
    port = lone_cluster.epmd.port
    node.wait_log(f"notice waiting for epmd on port {port} to answer")
    node.process.terminate()
    node.wait_exit()
    silent.close()


def test_a_name_that_is_not_free_yet_is_told_of(start_cnode, cluster):
    name = cluster.name("cnode")
    with socket.create_connection(("127.0.0.1", cluster.epmd.port), 10) as one:
        head = struct.pack(">BHBBHHH", 120, 4711, 72, 0, 6, 5, len(name))
        request = head + name.encode() + b"\0\0"
        one.sendall(struct.pack(">H", len(request)) + request)
        assert one.recv(1) == b"v"
        node = start_cnode(sname=name, ready=False)
        node.wait_log(
            f"notice waiting for epmd on port {cluster.epmd.port}"
            " to forget another node of this name"
        )
    node.wait_ready()
    node.stop()


@pytest.fixture
def with_epmd(lone_cluster, tmp_path):
    """An environment in which epmd is this script."""

    def with_epmd(script):
        path = tmp_path / "bin" / "epmd"
        path.parent.mkdir()
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return {**lone_cluster.env, "PATH": f"{path.parent}:{os.environ['PATH']}"}

    return with_epmd


def test_one_that_was_started_and_does_not_listen_is_told_of(
    start_cnode, lone_cluster, with_epmd
):
    node = start_cnode(cluster=lone_cluster, env=with_epmd("true"), ready=False)
    port = lone_cluster.epmd.port
    node.wait_log(f"notice waiting for epmd on port {port} to listen")
    lone_cluster.epmd.start()
    node.wait_ready()
    node.stop()


def test_one_that_becomes_no_daemon_is_told_of_and_waited_for_until_it_listens(
    start_cnode, lone_cluster, with_epmd, tmp_path
):
    pid = tmp_path / "pid"
    env = with_epmd(f"echo $$ >{pid}.new; mv {pid}.new {pid}; exec sleep 1000")
    node = start_cnode(cluster=lone_cluster, env=env, ready=False)
    wait_until(pid.exists)
    try:
        node.wait_log("notice waiting for `epmd -daemon' to exit")
        assert not node.find_log(" ready ")
        lone_cluster.epmd.start()
        node.wait_ready()
    finally:
        os.kill(int(pid.read_text()), signal.SIGKILL)
    node.stop()


def test_a_registration_that_held_begins_the_count_anew(lone_cluster, start_cnode):
    """That epmd has gone is news again, and is logged as the first time."""
    hold = threading.Event()

    def act(client):
        client.sendall(REGISTERED)
        if hold.is_set():
            client.recv(1)  # until the node or this test ends it
        client.close()

    impostor = Impostor(lone_cluster.epmd.port, act)
    try:
        node = start_cnode(cluster=lone_cluster)
        node.wait_log("warning epmd on port .* ends each registration within 5 s")
        start = node.mark()
        hold.set()
        node.wait_log("notice registered with epmd again", timeout=30, start=start)
        start = node.mark()
        impostor.open[-1].shutdown(socket.SHUT_RDWR)
        node.wait_log("warning epmd is gone", start=start)
    finally:
        impostor.close()
