# SPDX-License-Identifier: Apache-2.0
"""Silence that is no sign of an end, at the times that a node has by itself.

Those of a handshake are shorter, and hold no longer than that does.
"""

import sys
import time

import pytest

from cluster import PATIENCE
from conftest import Nodes
from dist import Peer
from hostile import HASH
from slow_calls import slow_calls, threads_of

SILENCE = 10  # s; a handshake has 5, and none of its waits is longer than 6
TICK = 1  # s, for what is silent for longer than two of them
MIB = 1 << 20
ANSWERS = 12  # of a MiB each: more than the kernel takes for a slow reader


@pytest.fixture(scope="module")
def after_silence(cluster, program):
    """The node, who was silent, what it heard, and who did not read meanwhile."""
    nodes = Nodes(cluster, program)
    node = nodes.start()

    def peer(name, **options):
        return Peer(node.port, name=name, cookie=cluster.cookie, **options).handshake()

    with peer("silent@h") as silent, peer("slow@h", receive_buffer=4096) as slow:
        map = slow.maps("new", "array", 4, MIB, 1)
        asked = [slow.start_erpc("ebpf_maps", "get", [0, map]) for _ in range(ANSWERS)]
        try:
            heard = silent.read(1, time.monotonic() + SILENCE)
        except TimeoutError:
            heard = None
        yield node, silent, heard, slow, asked
    nodes.close()


@pytest.mark.slow
def test_who_is_silent_for_10_s_stays_connected_and_hears_no_tick(after_silence):
    """The first one comes after a quarter of a minute."""
    node, silent, heard, *_ = after_silence
    assert heard is None
    assert silent.serves()
    assert not node.find_log("disconnected silent@h")


@pytest.mark.slow
def test_who_does_not_read_for_10_s_gets_all_of_its_answers(after_silence):
    node, *_, slow, asked = after_silence
    answers = [slow.finish_erpc(request, 30) for request in asked]
    assert answers == [("return", bytes(MIB))] * ANSWERS
    assert not node.find_log("disconnected slow@h")


def test_who_only_acknowledges_while_a_call_takes_long_is_answered(start_cnode, connect):
    """Its host is there, and says so: to the ticks that come from the node."""
    node = start_cnode("--ticktime", TICK)
    others = threads_of(node)
    peer = connect(node)
    map = peer.maps("new", *HASH)
    (thread,) = threads_of(node) - others
    with slow_calls(node, 4 * TICK * PATIENCE, {thread}, when="1"):
        request = peer.start_erpc("ebpf_maps", "put", [1, 2, map])
        assert peer.wait_exit(request, 30)
    assert peer.maps("get", 1, map) == (2).to_bytes(8, sys.byteorder)
    assert not node.find_log(f"disconnected {peer.name}")
