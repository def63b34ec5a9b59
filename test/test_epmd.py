# SPDX-License-Identifier: Apache-2.0
"""What sits at the port of epmd and is none: the node bears with it, quietly."""

import socket
import threading

import pytest

from cluster import PATIENCE, wait_until

REGISTERED = b"v\0\0\0\0\5"  # ALIVE2_X_RESP: it is, with a creation


class Impostor:
    """A server that does the same to whoever has asked it for something."""

    def __init__(self, port, act):
        self.act = act
        self.asked = 0
        self.open = []
        self.server = socket.create_server(("127.0.0.1", port))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client = self.server.accept()[0]
            except OSError:
                return
            if client.recv(1000):
                self.asked += 1
                threading.Thread(target=self.answer, args=[client], daemon=True).start()
            else:
                client.close()

    def answer(self, client):
        self.open.append(client)
        try:
            self.act(client)
        except OSError:
            pass

    def close(self):
        """Frees the port; once more does no harm."""
        if self.server.fileno() < 0:
            return
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(10)
        for client in self.open:
            client.close()


def hang_up(client):
    client.sendall(REGISTERED)
    client.close()


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
