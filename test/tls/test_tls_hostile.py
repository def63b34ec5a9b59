# SPDX-License-Identifier: Apache-2.0
"""Peers that break TLS, or use it to keep a C node busy, beside a bystander whose calls go on."""

import functools
import random
import socket
import struct
import time
from contextlib import contextmanager, suppress

import pytest

from beam import Beam
from dist import FLAGS, Closed
from hostile import Siege
from libssl import TLS_1_2, TLS_1_3, Client, OverLibssl

pytestmark = pytest.mark.plain  # each test says who speaks TLS

HANDSHAKE_S = 5
APPLICATION, HANDSHAKE, ALERT, CIPHER = 23, 22, 21, 20
# ClientHello of TLS 1.2, up to its random bytes; what else it needs is missing
HELLO = b"\x01\0\x01\xfc\x03\x03" + bytes(32)


def record(type, data, size=None):
    return struct.pack(">BHH", type, 0x0303, len(data) if size is None else size) + data


@pytest.fixture(scope="module")
def secure_bystander(cluster, here):
    beam = Beam(cluster, hint="bystander", identity=here)
    yield beam
    beam.close()


@pytest.fixture
def siege(secure_cnode, connect, secure_bystander, here):
    def siege(*options):
        node = secure_cnode("--grace", "0", *options)
        return Siege(node, secure_bystander, functools.partial(connect, identity=here))

    return siege


def listen(s):
    """Once the log goes on about who disconnects, of whom there was a crowd."""
    s.node.wait_log("more of this kind were not logged: disconnected")


@contextmanager
def raw(node):
    with socket.create_connection(("127.0.0.1", node.port), timeout=20) as s:
        yield s


@pytest.fixture
def client(here):
    """A client of libssl, past its handshake."""
    clients = []

    def client(node, version):
        one = Client(socket.create_connection(("127.0.0.1", node.port)), here, version)
        clients.append(one)
        assert one.shake_hands()
        return one

    yield client
    for one in clients:
        one.close()


def ends(s):
    """All that comes until the connection ends."""
    data = b""
    with suppress(ConnectionResetError):
        while part := s.recv(65536):
            data += part
    return data


# --- Before the handshake ------------------------------------------------------------------

BEGINNINGS = {
    "garbage": b"\x16" + random.Random(1).randbytes(2000),
    "empty": record(HANDSHAKE, b"") * 40,
    "oversized": record(HANDSHAKE, bytes(60000), 65535),
    "data": record(HANDSHAKE, b"") + record(APPLICATION, bytes(100)),
    "hello_without_end": record(HANDSHAKE, b"\x01\xff\xff\xff") + record(HANDSHAKE, bytes(16384)) * 20,
    "alerts": record(HANDSHAKE, HELLO) + record(ALERT, b"\x01\x5a") * 500,
    "ciphers": record(HANDSHAKE, HELLO) + record(CIPHER, b"\x01") * 500,
    "old": b"\x16\x02\x00\0\5hello",
}


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_beginning_that_is_no_handshake(name, siege):
    with siege() as s:
        for _ in range(30):
            with raw(s.node) as peer:
                with suppress(OSError):
                    peer.sendall(BEGINNINGS[name])
                    peer.shutdown(socket.SHUT_WR)
                assert len(ends(peer)) < 4096  # an alert, and no more
        s.node.wait_log(r"warning refused \S+ \(no name\): it (breaks the rules of TLS: \w|disconn|offers)")


def test_any_bytes(siege):
    """Also what begins as a record of the right kind."""
    draw = random.Random(2)
    with siege() as s:
        for _ in range(200):
            data = draw.randbytes(draw.randrange(1, 400))
            if draw.random() < 0.8:
                data = record(HANDSHAKE, b"\x01" + data)
            with raw(s.node) as peer:
                with suppress(OSError):
                    peer.sendall(data)
                    peer.shutdown(socket.SHUT_WR)
                ends(peer)


@pytest.mark.slow
def test_half_open_handshakes(siege):
    """As many as there may be, and once more as many; each ends in time, or for a newer one."""
    with siege() as s:
        peers = [socket.create_connection(("127.0.0.1", s.node.port)) for _ in range(256)]
        for number, peer in enumerate(peers):
            with suppress(ConnectionError):
                peer.sendall(record(HANDSHAKE, HELLO, 512)[: 1 + number % 40])
        assert s.connect().serves()
        s.node.wait_log("refused .*it was the oldest of --max-handshakes")
        s.node.wait_log("refused .*the handshake timed out")
        for peer in peers:
            peer.close()


def test_a_handshake_that_dribbles(siege):
    with siege() as s, raw(s.node) as peer:
        begun = time.monotonic()
        with suppress(ConnectionError):
            for byte in record(HANDSHAKE, HELLO + bytes(474)):
                peer.send(bytes([byte]))
                time.sleep(0.05)
        ends(peer)
        assert HANDSHAKE_S - 1 < time.monotonic() - begun < 3 * HANDSHAKE_S
        s.node.wait_log("refused .*the handshake timed out")


# --- Behind it -----------------------------------------------------------------------------

BROKEN = {
    "garbage": random.Random(3).randbytes(5000),
    "not_sealed": record(APPLICATION, bytes(200)),
    "empty": record(APPLICATION, b"") * 100,
    "oversized": record(APPLICATION, bytes(65535)),
    "plain_alert": record(ALERT, b"\x01\x5a") * 100,
    "handshake": record(HANDSHAKE, HELLO),
    "ciphers": record(CIPHER, b"\x01") * 100,
}


@pytest.mark.parametrize("name", BROKEN)
def test_records_that_are_none(name, siege):
    """They end the connection, and no other."""
    with siege() as s:
        listen(s)
        for _ in range(5):
            peer = s.connect()
            assert peer.serves()
            start = s.node.mark()
            peer.socket.send(BROKEN[name], socket.MSG_NOSIGNAL)
            with pytest.raises(Closed):
                peer.receive_packet()
            s.node.wait_log(rf"disconnected {peer.name}: it (breaks|sends|has ended)", start=start)
            peer.close()


def test_a_record_that_is_cut(siege):
    with siege() as s:
        listen(s)
        for size in 1, 4, 5, 100:
            peer = s.connect()
            peer.socket.send(record(APPLICATION, bytes(200))[:size], socket.MSG_NOSIGNAL)
            assert s.connect().serves()  # it waits for the rest, as it would on plain TCP
            start = s.node.mark()
            peer.close()
            s.node.wait_log(f"disconnected {peer.name}: the connection was closed", start=start)


def test_a_certificate_may_not_change(secure_cnode, client, issue_here, here, cluster):
    """In a later handshake it has to be that of the first."""
    node = secure_cnode()
    same = client(node, TLS_1_2)
    assert same.renew() and same.renew()
    other = client(node, TLS_1_2)
    other.become(issue_here())
    other.renew()
    assert other.receive(100) == b""
    node.wait_log("refused .*it shows another certificate than before")


@pytest.mark.slow
@pytest.mark.parametrize("connected", [True, False])
def test_a_handshake_anew_that_dribbles_is_cut(connected, secure_cnode, here, connect):
    """It has its answer, or its welcome, waiting meanwhile."""
    node = secure_cnode("--ticktime", "4")
    peer = connect(node, identity=OverLibssl(here, TLS_1_2), handshake=connected)
    raw = peer.socket.client.socket
    with node.asleep():  # it finds both at once
        if connected:
            peer.start_erpc("ebpf_maps", "stats", [])
        else:
            name = peer.name.encode()
            peer.send_short(b"N" + struct.pack(">QIH", FLAGS, 7, len(name)) + name)
        peer.socket.client.begin_to_renew()
    begun = time.monotonic()
    with suppress(OSError):
        raw.send(struct.pack(">BHH", HANDSHAKE, 0x0303, 5000))
        while time.monotonic() - begun < 60:
            raw.send(b"x")
            time.sleep(0.3)
    assert time.monotonic() - begun < 30
    node.wait_log("disconnected .*: it read nothing" if connected else "refused .*handshake timed out")


@pytest.mark.slow
@pytest.mark.parametrize("version", [TLS_1_2, TLS_1_3])
def test_a_flood_of_new_keys(version, siege, here):
    """600 in a minute are allowed, of who is connected; then the connection ends."""
    with siege() as s:
        listen(s)
        for _ in range(3):
            peer = s.connect(identity=OverLibssl(here, version))
            assert peer.serves()
            start = s.node.mark()
            renewed = 0
            while renewed < 2000 and peer.socket.client.renew():
                renewed += 1
            s.node.wait_log(
                f"disconnected {peer.name}: it sends more than 600 handshakes", start=start
            )
            assert renewed >= 300


def test_data_in_a_handshake_is_refused(siege, here):
    with siege() as s:
        listen(s)
        peer = s.connect(identity=OverLibssl(here, TLS_1_2))
        assert peer.serves()
        peer.socket.client.begin_to_renew()
        start = s.node.mark()
        peer.start_erpc("ebpf_maps", "nope", [])
        s.connect().serves()
        peer.close()
        s.node.wait_log(f"disconnected {peer.name}", start=start)
