# SPDX-License-Identifier: Apache-2.0
"""The limits where no option sets them: they bite at what ebpf_cnode(8) says."""

import os

import pytest

from cluster import allow_descriptors, wait_until
from conftest import Maps
from dist import Closed, Refused
from hostile import crowd, spawn_request
from test_limits import ask_for, drain

CONNECTIONS, HANDSHAKES, MAPS, PINS = 1024, 128, 10_000, 4096
MESSAGE, WAITING = 16 << 20, 4 << 20
EMFILE = ("error", "emfile")


def comes_in(peer):
    try:
        peer.handshake()
        return peer.serves()
    except (Refused, Closed):
        return False


@pytest.mark.many
def test_1024_nodes_are_connected_and_no_more(start_cnode, connect):
    allow_descriptors(CONNECTIONS + 200)
    node = start_cnode()
    peers = crowd(lambda: connect(node), CONNECTIONS)
    assert not node.find_log("warning (?!.*the handshake timed out)")
    late = connect(node, handshake=False)
    assert not comes_in(late)
    node.wait_log(rf"warning refused \S+ {late.name}: there are --max-connections already")
    assert all(peer.serves() for peer in peers)
    peers[7].close()
    node.wait_log(f"disconnected {peers[7].name}")
    # its place is free a moment after that is logged
    wait_until(lambda: comes_in(connect(node, handshake=False)))


@pytest.mark.counts
def test_128_are_in_their_handshake_and_no_more(start_cnode, connect):
    """They are quicker here than the 5 s that each of them has."""
    node = start_cnode()
    with node.asleep():  # so that all of their times begin together
        silent = [connect(node, handshake=False) for _ in range(HANDSHAKES)]
    wait_until(lambda: node.threads() == 2 + HANDSHAKES)
    assert not node.find_log("warning")
    late = connect(node, handshake=False)
    silent[0].wait_closed()
    node.wait_log("warning refused .*the oldest of --max-handshakes")
    assert comes_in(late)
    assert len(node.find_log("warning")) == 1
    assert comes_in(silent[-1])


def test_10_000_maps_are_held_and_no_more(start_cnode, connect):
    allow_descriptors(CONNECTIONS + HANDSHAKES + MAPS + 100)  # or it takes fewer
    node = start_cnode()
    maker, other = connect(node), connect(node)
    asked = (["array", 4, 4, 1] for _ in range(MAPS))
    made = []
    for batch in range(0, MAPS, 500):
        requests = [maker.start_erpc("ebpf_maps", "new", next(asked)) for _ in range(500)]
        made += [maker.finish_erpc(request)[1] for request in requests]
        other.tick()  # it may take longer than the tick time
    assert {map[0] for map in made} == {"ebpf_map"}
    assert node.map_count() == MAPS
    assert not node.find_log("warning")
    for peer in (maker, other):
        start = node.mark()
        assert peer.maps("new", "array", 4, 4, 1) == EMFILE
        node.wait_log(
            rf"warning refused {peer.name} a map: there are --max-maps {MAPS}",
            start=start,
        )
    assert maker.maps("close", made[0]) == "ok"
    assert other.maps("new", "array", 4, 4, 1)[0] == "ebpf_map"
    assert maker.maps("new", "array", 4, 4, 1) == EMFILE


def put(peer, size):
    """The length of a request with a value of that size, and its answer."""
    map = peer.maps("new", "array", 4, size, 1)
    ref = peer.ref()
    args = [ref, "ebpf_maps", "put", [bytes(4), bytes(size), map]]
    packet = spawn_request(peer, id=ref, args=args)
    peer.send_packet(packet)
    answer = peer.finish_erpc(ref, 30)
    peer.maps("close", map)
    return len(packet), answer[0], answer[1] if answer[0] == "error" else answer[1] == map


def test_requests_of_16_mib_are_served_and_no_longer_ones(fresh_cnode, connect):
    peer = connect(fresh_cnode)
    length, *_ = put(peer, 1 << 20)
    longest = (1 << 20) + MESSAGE - length
    assert put(peer, longest) == (MESSAGE, "return", True)
    assert put(peer, longest + 1) == (MESSAGE + 1, "error", ("too_big", MESSAGE))


def test_answers_of_more_than_4_mib_wait_for_a_tick_time_and_no_longer(
    start_cnode, connect
):
    """Shorter ones may: test_a_reader_of_a_little_at_a_time_holds_up_itself."""
    node = start_cnode("--ticktime", "4")
    peer = connect(node)
    ask_for(peer, WAITING, 12)
    assert drain(peer, 1 << 16, 0.1) < 12 * WAITING
    node.wait_log(f"disconnected {peer.name}: it left more than --max-waiting bytes unread", 20)


def test_4096_pins_are_made_and_no_more(start_cnode, alice, folder):
    """All but the last are links to the first one, which is sooner done."""
    node = start_cnode("--pin-root", folder)
    maps = Maps(alice, node)
    map = maps.new("array", 4, 4, 1)
    paths = [str(folder / f"m{n}").encode() for n in range(PINS + 1)]
    assert maps.pin(paths[0], map) == "ok"
    for path in paths[1 : PINS - 1]:
        os.link(paths[0], path)
    assert maps.pin(paths[PINS - 1], map) == "ok"
    assert not node.find_log("warning")
    assert maps.pin(paths[PINS], map) == ("error", "enospc")
    node.wait_log(f"warning refused {alice.name} a pin: there are --max-pins {PINS}")
