# SPDX-License-Identifier: Apache-2.0
"""The handshake: whoever does not get through it harms nobody."""

import re
import struct
import time
from collections import Counter

import pytest

import dist
from cluster import wait_until
from conftest import HANDSHAKE_LIMIT
from dist import short, short_size

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 4)
MS = 0.001  # what the node counts time by


def still_served(beam, node):
    """One new map, used and closed."""
    map = beam.erpc(node.name, "new", *HASH)
    beam.erpc(node.name, "put", 1, 1, map)
    return beam.erpc(node.name, "close", map) == "ok"


def test_connects_and_disconnects_are_logged(fresh_cnode, connect):
    peer = connect(fresh_cnode)
    fresh_cnode.wait_log(f"notice connected {peer.name}")
    peer.close()
    fresh_cnode.wait_log(f"notice disconnected {peer.name}")


def test_what_the_node_offers_lets_it_be_called(cnode, connect):
    flags = connect(cnode).remote_flags
    for flag in (dist.SPAWN, dist.DIST_MONITOR, dist.DIST_MONITOR_NAME):
        assert flags & flag
    published, atom_cache, fragments = 0x1, 0x2000, 0x800000
    assert not flags & (published | atom_cache | fragments)


def test_silent_clients_delay_nobody(fresh_cnode, connect, alice, start_beam):
    """Those who are connected, and who come, are served before they are disconnected."""
    newcomer = start_beam()

    def served_meanwhile():
        start = fresh_cnode.mark()
        silent = [connect(fresh_cnode, handshake=False) for _ in range(20)]
        halfway = connect(fresh_cnode, handshake=False)
        halfway.send_raw(short_size(32) + b"N\0\0")
        assert still_served(alice, fresh_cnode)
        assert still_served(newcomer, fresh_cnode)
        meanwhile = not fresh_cnode.find_log("refused", start)
        newcomer.apply("erlang", "disconnect_node", fresh_cnode.name)
        for peer in (*silent, halfway):
            peer.close()
        return meanwhile

    wait_until(served_meanwhile, 30)


def test_a_silent_client_is_disconnected_after_the_deadline(fresh_cnode, connect):
    begun = time.monotonic()
    silent = connect(fresh_cnode, handshake=False)
    slow = connect(fresh_cnode, handshake=False)
    slow.send_raw(short_size(32) + b"N\0\0")
    silent.wait_closed(30)
    slow.wait_closed(30)
    assert time.monotonic() - begun >= HANDSHAKE_LIMIT - MS
    assert len(wait_until(lambda: fresh_cnode.find_log("warning refused")[1:])) == 1


def test_a_client_that_drips_its_handshake_is_disconnected_too(fresh_cnode, connect):
    """The deadline is one for the whole handshake, not for each read.

    Or it would come to the last of the bytes.
    """
    begun = time.monotonic()
    peer = connect(fresh_cnode, handshake=False)
    name = peer.name.encode()
    hello = b"N" + struct.pack(">QIH", dist.FLAGS, 1, len(name)) + name
    data = iter(short(hello))
    peer.socket.settimeout(0.3)

    def disconnected():
        try:
            peer.send_raw(bytes([next(data)]))
            peer.socket.settimeout(0.3)
            return peer.socket.recv(1) == b""
        except TimeoutError:
            return False
        except (dist.Closed, ConnectionResetError):
            return True

    wait_until(disconnected, 30)
    assert time.monotonic() - begun >= HANDSHAKE_LIMIT - MS


def test_who_comes_and_goes_in_a_loop_cannot_flood_the_log(start_cnode, connect):
    """What is not logged is counted, and told of in a later second."""
    node = start_cnode()

    def all_told():
        left_out = node.find_log(r" notice (\d+) more (like the next line|of this kind) were not logged")
        lines = node.find_log(r" notice (dis)?connected loop")
        return len(lines) + sum(int(m[1]) for m in left_out) == 2 * 500

    for i in range(500):
        connect(node, name=f"loop{i}@h").close()
    wait_until(all_told, what="each is logged or counted")
    for kind in ("connected", "disconnected"):
        seconds = [m[1] for m in node.find_log(rf"^(.*)\.\d+Z notice {kind} loop")]
        # of the wall clock: two of the node's own have a part in each of them
        assert max(Counter(seconds).values()) <= 2 * 20


def test_a_wrong_cookie_is_refused_and_logged(cnode, connect, alice):
    start = cnode.mark()
    peer = connect(cnode, cookie="wrong", handshake=False)
    with pytest.raises((dist.Refused, dist.Closed)):
        peer.handshake()
    peer.wait_closed()
    cnode.wait_log(f"warning refused .*{peer.name}", start=start)
    assert not cnode.find_log(f"notice connected {peer.name}", start)
    assert still_served(alice, cnode)


def test_an_erlang_node_with_a_wrong_cookie_cannot_connect(cnode, start_beam):
    start = cnode.mark()
    beam = start_beam("-setcookie", "wrong")
    assert beam.apply("net_adm", "ping", cnode.name) == "pang"
    cnode.wait_log(f"warning refused .*{beam.name}", start=start)


def test_who_lacks_the_cookie_cannot_replace_a_connection(start_cnode, connect):
    node = start_cnode("--grace", "0")
    peer = connect(node, name="maker@here", creation=77)
    map = peer.maps("new", *HASH)
    for creation in (77, 78):
        liar = connect(
            node, name="maker@here", creation=creation, cookie="no", handshake=False
        )
        with pytest.raises((dist.Refused, dist.Closed)):
            liar.handshake()
        liar.close()
    assert peer.maps("put", 1, 1, map) == map


def test_a_name_cannot_forge_a_log_line(fresh_cnode, connect):
    start = fresh_cnode.mark()
    forged = "2026-01-01T00:00:00.000Z error forged"
    for cookie in (None, "wrong"):
        name = f"evil\n{forged}@x\r\x1b[2J\x7f"
        peer = connect(fresh_cnode, name=name, cookie=cookie, handshake=False)
        try:
            peer.handshake()
        except (dist.Refused, dist.Closed):
            pass
        peer.close()
    wait_until(lambda: len(fresh_cnode.lines) >= start + 2)
    for line in fresh_cnode.lines[start:]:
        assert not line.startswith(forged)
        assert line.isprintable()


def test_each_printable_character_of_a_name_is_logged_as_it_is(fresh_cnode, connect):
    start = fresh_cnode.mark()
    text = bytes(range(0x21, 0x7F)).decode().replace("@", "")
    peer = connect(fresh_cnode, name=f"\x1f{text}\x7f@h", cookie="wrong", handshake=False)
    with pytest.raises((dist.Refused, dist.Closed)):
        peer.handshake()
    fresh_cnode.wait_log(re.escape(f" ?{text}?@h"), start=start)


def head(flags, size):
    return b"N" + struct.pack(">QIH", flags, 1, size)


BAD_HELLOS = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": short_size(0),
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "unknown tag": short(b"X"),
    "short N": short(b"N\0\0\0\0"),
    "name longer than the packet": short(b"N" + bytes(12) + b"\xff\xffa"),
    "long name": short(head(dist.FLAGS, 5000) + b"a" * 5000),
    "name without a host": short(head(dist.FLAGS, 3) + b"abc"),
    "empty name": short(head(dist.FLAGS, 0)),
    "old and short": short(b"n\0\x05"),
    "no flags": short(head(0, 3) + b"a@b"),
}


@pytest.mark.parametrize("what", BAD_HELLOS)
def test_a_bad_handshake_ends_alone_with_one_line(what, fresh_cnode, connect, alice):
    peer = connect(fresh_cnode, handshake=False)
    start = fresh_cnode.mark()
    try:
        peer.send_raw(BAD_HELLOS[what])
        peer.socket.shutdown(1)
        peer.wait_closed()
    except (dist.Closed, OSError):
        pass
    fresh_cnode.wait_log("warning refused", start=start)
    assert still_served(alice, fresh_cnode)
    assert len(fresh_cnode.find_log("refused|error", start)) == 1


def test_a_handshake_cut_off_anywhere_ends_alone(fresh_cnode, connect, alice):
    name = "cut@off"
    hello = b"N" + struct.pack(">QIH", dist.FLAGS, 1, len(name)) + name.encode()
    hello = short(hello)
    for size in range(0, len(hello) + 1, 3):
        peer = connect(fresh_cnode, handshake=False)
        peer.send_raw(hello[:size])
        peer.close()
    assert still_served(alice, fresh_cnode)


def test_a_thousand_connections_leave_nothing_behind(fresh_cnode, connect, alice):
    assert still_served(alice, fresh_cnode)
    threads = fresh_cnode.threads()
    descriptors = len(fresh_cnode.descriptors())
    for number in range(1000):
        peer = connect(fresh_cnode, handshake=number % 2 == 0)
        peer.close()
    wait_until(lambda: fresh_cnode.threads() <= threads, 10)
    wait_until(lambda: len(fresh_cnode.descriptors()) <= descriptors, 10)
