# SPDX-License-Identifier: Apache-2.0
"""The limits where no option sets them: they bite at what README.md says."""

import pytest

from cluster import allow_descriptors, wait_until
from conftest import Maps
from dist import Closed, Refused

CONNECTIONS, HANDSHAKES, MAPS = 1024, 128, 10_000
EMFILE = ("error", "emfile")


def comes_in(peer):
    try:
        peer.handshake()
        return peer.serves()
    except (Refused, Closed):
        return False


def test_1024_nodes_are_connected_and_no_more(start_cnode, connect):
    allow_descriptors(CONNECTIONS + 200)
    node = start_cnode()
    peers = [connect(node) for _ in range(CONNECTIONS)]
    assert not node.find_log("warning")
    late = connect(node, handshake=False)
    assert not comes_in(late)
    node.wait_log(rf"warning refused \S+ {late.name}: there are --max-connections already")
    assert all(peer.serves() for peer in peers)
    peers[7].close()
    node.wait_log(f"disconnected {peers[7].name}")
    assert comes_in(connect(node, handshake=False))


@pytest.mark.counts
def test_128_are_in_their_handshake_and_no_more(start_cnode, connect):
    """They are quicker here than the 5 s that each of them has."""
    node = start_cnode()
    with node.asleep():  # so that all of their times begin together
        silent = [connect(node, handshake=False) for _ in range(HANDSHAKES)]
    wait_until(lambda: node.threads() == 2 + HANDSHAKES)
    assert not node.find_log("warning")
    late = connect(node, handshake=False)
    silent[0].wait_closed(4)
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
