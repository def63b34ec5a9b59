# SPDX-License-Identifier: Apache-2.0
"""Peers that send or read slowly, while others want the memory of the C node."""

import struct
import time
from contextlib import suppress

import pytest

import dist
import etf
from budget import (
    ENOMEM,
    KIB,
    LEFT,
    MESSAGE,
    MIB,
    OPTIONS,
    SLOW,
    begin,
    dribble,
    has_come,
    hold,
    wait_taken,
    waits_to_send,
    want,
)
from cluster import wait_until
from hostile import requests, spawn_request

counts = pytest.mark.counts


@pytest.fixture
def node(start_cnode):
    return start_cnode(*OPTIONS)


def test_who_sends_slowly_goes_when_others_want_the_memory(start_cnode, connect):
    """A byte now and then is enough only for who keeps little."""
    node = start_cnode(*SLOW)
    modest, asks = connect(node), connect(node)
    map = asks.maps("new", "array", 4, 3 * MIB, 1)
    begin(modest, 16 * KIB)
    holders = [connect(node) for _ in range(3)]
    for peer in holders:
        assert hold(node, peer, MESSAGE - 8 * KIB)
    want(asks, map, lambda: dribble([modest, *holders]))
    line = node.wait_log(r"warning disconnecting (\S+): --max-memory is used up, .* (\d+) ms")
    assert line[1] in {peer.name for peer in holders}
    assert int(line[2]) > 6000
    node.wait_log(f"disconnected {line[1]}")
    assert not node.find_log(f"disconnect(ing|ed) ({modest.name}|{asks.name})")


def late_message(peer, size):
    """A message of so many bytes that asks for nothing; 10 of them last."""
    control = (dist.REG_SEND, peer.pid(), "", "nobody")
    data = dist.framed(b"p" + etf.encode(control) + etf.encode(bytes(size)))
    return data[:-10], data[-10:]


@pytest.mark.parametrize("size", [100, 40 * KIB, 200 * KIB])
def test_who_sends_one_message_after_the_other_keeps_no_large_buffer(
    size, node, connect
):
    """The end of each comes with the beginning of the next one."""
    asks = connect(node)
    map = asks.maps("new", "array", 4, 3 * MIB, 1)

    following = {}
    for peer in [connect(node) for _ in range(3)]:
        following[peer] = most, last = late_message(peer, size)
        peer.send_raw(b"".join(late_message(peer, MESSAGE - 8 * KIB)) + most)
        wait_taken(node, peer)

    def is_answered():
        for peer, (most, last) in following.items():
            peer.send_raw(last + most)
        return asks.erpc("ebpf_maps", "get", [0, map]) == ("return", bytes(3 * MIB))

    wait_until(is_answered, what="there is memory")


def test_what_is_served_after_a_large_message_keeps_no_memory(node, connect):
    """However long it takes."""
    asks = connect(node)
    map = asks.maps("new", "array", 4, 3 * MIB, 1)
    holes = asks.maps("new", "devmap", 4, 4, 1 << 22)
    for peer in [connect(node) for _ in range(3)]:
        most, last = late_message(peer, MESSAGE - 8 * KIB)
        peer.send_raw(most)
        wait_taken(node, peer)
        long = requests(peer, "ebpf_maps", "size", [holes])["erpc"]
        peer.send_raw(last + dist.framed(long) * 50)
    wait_until(lambda: asks.erpc("ebpf_maps", "get", [0, map])[0] == "return")


@pytest.mark.plain  # over TLS it reads little ahead
def test_who_has_much_served_bit_by_bit_goes_when_others_want_the_memory(
    start_cnode, connect
):
    node = start_cnode("--ticktime", "2", *OPTIONS)
    peer, asks = connect(node), connect(node)
    holes = asks.maps("new", "devmap", 4, 4, 1 << 18)
    most, last = late_message(peer, MESSAGE // 2 + 64 * KIB)
    peer.send_raw(most)
    wait_taken(node, peer)
    with node.asleep():  # so that much has come when it is served
        long = dist.framed(requests(peer, "ebpf_maps", "size", [holes])["cast"])
        peer.socket.settimeout(1)
        with suppress(TimeoutError):  # all that is let in
            peer.socket.sendall(last + long * (8 * MIB // len(long)))
        asks.tick()  # who only asks is not silent
    too_many = etf.Opaque("list", b"l" + struct.pack(">I", MIB) + b"j" * (MIB + 1))

    def is_disconnected():
        asks.erpc("ebpf_maps", "with", [too_many, holes])
        return node.find_log(f"disconnecting {peer.name}: --max-memory is used up")

    wait_until(is_disconnected, 20)


def have_served(node, peer, asks, behind=b""):
    """A large request, for several times the tick time, with that behind it."""
    filler = bytes(MESSAGE // 2 + 64 * KIB)
    args = [peer.ref(), "ebpf_maps", "size", [asks.map]]
    data = dist.framed(spawn_request(peer, leader=filler, args=args))
    peer.send_raw(data[:-LEFT])
    wait_taken(node, peer, asks)
    with node.asleep():  # so that all comes at once
        peer.send_raw(data[-LEFT:] + behind)
        asks.tick()


def want_more(asks):
    """Asks for more than there is of memory."""
    nils = b"l" + struct.pack(">I", MIB) + b"j" * (MIB + 1)
    answer = asks.erpc("ebpf_maps", "with", [etf.Opaque("list", nils), asks.map])
    assert answer[:2] == ENOMEM


@pytest.fixture
def patient(start_cnode, connect):
    """A node that is soon over with its patience, and who asks it for memory."""
    node = start_cnode("--ticktime", "2", *OPTIONS)
    asks = connect(node)
    asks.map = asks.maps("new", "devmap", 4, 4, 1 << 24)
    return node, asks


def test_who_is_served_for_long_is_not_slow(patient, connect):
    node, asks = patient
    served = connect(node)
    have_served(node, served, asks)
    wait_taken(node, served, asks)
    slow = connect(node)
    assert hold(node, slow, MIB, asks)  # later, and is disconnected nevertheless

    def is_disconnected():
        dribble([slow])
        want_more(asks)
        return node.find_log(f"disconnecting {slow.name}: --max-memory is used up")

    wait_until(is_disconnected, 20)
    while has_come(served):
        data = served.socket.recv(64 * KIB)
        assert data and not data.strip(b"\0"), "a tick, and no answer yet"
    assert not node.find_log(f"disconnect(ing|ed) {served.name}")


@pytest.mark.plain  # over TLS it reads little ahead
def test_what_is_much_behind_what_is_served_is_slow(patient, connect):
    """It has begun to come, and is not read on."""
    node, asks = patient
    served = connect(node)
    most, _ = late_message(served, MESSAGE // 4)
    have_served(node, served, asks, behind=most)

    def is_disconnected():
        want_more(asks)
        return node.find_log(f"disconnecting {served.name}: --max-memory is used up")

    wait_until(is_disconnected, 20)


def test_who_sends_slowly_may_stay_while_there_is_memory(start_cnode, connect):
    node = start_cnode("--ticktime", "3", *OPTIONS)
    slow, asks = connect(node), connect(node)
    assert hold(node, slow, 2 * MIB)
    map = asks.maps("new", "array", 4, MIB, 1)
    for _ in range(70):
        slow.send_raw(b"j")
        asks.maps("get", 0, map)
        time.sleep(0.1)
    assert not node.find_log("disconnecting|disconnected")


@counts
def test_who_reads_slowly_goes_when_others_want_the_memory(start_cnode, connect):
    """Who takes in a little all the time, of answers that wait in memory."""
    node = start_cnode(*SLOW)
    asks = connect(node)
    map = asks.maps("new", "array", 4, 3 * MIB, 1)
    large = asks.maps("new", "array", 4, 2 * MIB - 4 * KIB, 1)
    readers = [connect(node, receive_buffer=64 * KIB) for _ in range(2)]
    for peer in readers:
        for _ in range(20):  # more than sockets hold
            peer.start_erpc("ebpf_maps", "get", [0, large])
    wait_until(lambda: waits_to_send(node) == 2)
    holders = [connect(node) for _ in range(2)]
    for peer in holders:
        assert hold(node, peer, MESSAGE - 8 * KIB)

    def go_on():
        dribble(holders)
        for peer in readers:
            try:
                peer.tick()
                if has_come(peer):
                    peer.socket.recv(16 * KIB)  # so that windows open
            except (dist.Closed, ConnectionResetError):
                pass

    want(asks, map, go_on)
    names = "|".join(peer.name for peer in readers)
    # on a busy host they may be too slow even for who wants no memory
    node.wait_log(f"disconnecting ({names}): --max-memory is|({names}): it read nothing for")
