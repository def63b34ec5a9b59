# SPDX-License-Identifier: Apache-2.0
"""Two things at once that are wrong, and many that are right, in one stream."""

import sys

import pytest

import dist
import etf
from hostile import HASH, packet, requests

MAX = 4096
BEGINNING = 32768  # from which the node answers what is too long
FORMS = [
    "erpc",
    "erpc with a token",
    "spawn_monitor",
    "spawn_link",
    "spawn_opt",
    "gen_server",
    "gen_server by alias",
    "block_call",
    "gen_server with a token",
    "ei_rpc",
]


class Masked:
    """A peer that asks in the name of another node: its pids are of that."""

    def __init__(self, peer):
        self.peer = peer
        self.ref = peer.ref

    def pid(self):
        return etf.pid("another@host", next(self.peer.numbers), 0, self.peer.creation)


@pytest.fixture
def node(start_cnode):
    return start_cnode("--max-message", MAX)


def put(peer, map, size):
    """{form: a request to put a value of that size}"""
    return requests(peer, "ebpf_maps", "put", [1, bytes(size), map])


TOO_LONG = "it sent a packet longer than --max-message"
NO_PACKET = "it sent a malformed packet"


@pytest.mark.parametrize("size", [MAX, BEGINNING], ids=["", "by far"])
@pytest.mark.parametrize("form", FORMS)
def test_a_request_too_long_in_the_name_of_another_node_ends_the_connection(
    form, size, node, connect
):
    """Alone, the one is answered, and the other dropped."""
    peer = connect(node)
    map = peer.maps("new", *HASH)
    peer.send_packet(put(peer, map, size)[form])
    assert peer.serves()
    peer.send_packet(put(Masked(peer), map, 8)[form])
    assert peer.serves()
    peer.send_packet(put(Masked(peer), map, size)[form])
    assert not peer.serves()
    node.wait_log(f"disconnected {peer.name}: {TOO_LONG}")
    assert connect(node).maps("get", 1, map, "none") == "none"


@pytest.mark.parametrize("form", ["$gen_call", "ei_rpc"])
def test_a_message_too_long_whose_answer_another_node_would_get_ends_the_connection(
    form, node, connect
):
    """It is the peer's own, and names another's process."""
    peer = connect(node)
    to, ref = Masked(peer).pid(), peer.ref()
    call = ("call", "ebpf_maps", "nope", [bytes(MAX)], to)
    message = {"$gen_call": ("$gen_call", (to, ref), call), "ei_rpc": (to, call)}[form]
    peer.send_packet(packet((dist.REG_SEND, peer.pid(), "", "rex"), message))
    assert not peer.serves()
    node.wait_log(f"disconnected {peer.name}: {TOO_LONG}")


@pytest.mark.parametrize("form", FORMS)
def test_a_packet_that_is_none_in_the_name_of_another_node_ends_the_connection(
    form, node, connect
):
    peer = connect(node)
    peer.send_packet(put(Masked(peer), peer.maps("new", *HASH), 8)[form][:-1])
    assert not peer.serves()
    node.wait_log(f"disconnected {peer.name}: {NO_PACKET}")


ENDS_IN_A_LIST = ["erpc", "erpc with a token", "cast", "spawn", "spawn_monitor", "spawn_opt"]


@pytest.mark.parametrize("form", ENDS_IN_A_LIST)
@pytest.mark.parametrize("arguments", ["some", "none"])
def test_a_request_whose_last_byte_is_another_ends_the_connection(
    arguments, form, node, connect
):
    """It is the end of a list, and no other byte is a term by itself."""
    keeper = connect(node)
    map = keeper.maps("new", *HASH)
    args = [1, 5, map] if arguments == "some" else []
    for byte in (0xFF, 0, *b"a"):
        peer = connect(node)
        whole = requests(peer, "ebpf_maps", "put", args)[form]
        assert whole[-1:] == b"j"
        peer.send_packet(whole[:-1] + bytes([byte]))
        assert not peer.serves()
        node.wait_log(f"disconnected {peer.name}: {NO_PACKET}")
    assert keeper.maps("get", 1, map, "none") == "none"


def test_what_came_before_a_packet_that_ends_the_connection_is_answered(node, connect):
    peer = connect(node)
    map = peer.maps("new", *HASH)
    with node.asleep():  # so that all of it comes at once
        asked = [peer.start_erpc("ebpf_maps", "put", [n, n, map]) for n in range(3)]
        peer.send_packet(put(Masked(peer), map, MAX)["erpc"])
        peer.start_erpc("ebpf_maps", "put", [9, 9, map])
    assert [peer.finish_erpc(request) for request in asked] == [("return", map)] * 3
    peer.wait_closed()
    assert sorted(connect(node).maps("keys", map)) == [n.to_bytes(4, sys.byteorder) for n in range(3)]


@pytest.mark.parametrize("size, number", [(4096, 60), (60_000, 20)], ids=str)
def test_answers_that_go_together_have_their_limit_each(
    size, number, start_cnode, connect
):
    """More than --max-message in all, and none of them is."""
    node = start_cnode("--max-message", 65536)
    peer = connect(node)
    map = peer.maps("new", "array", 4, size, 1)
    with node.asleep():
        asked = [peer.start_erpc("ebpf_maps", "get", [0, map]) for _ in range(number)]
    answers = [peer.finish_erpc(request) for request in asked]
    assert answers == [("return", bytes(size))] * number


def test_an_answer_too_long_among_others_is_the_only_one_refused(start_cnode, connect):
    node = start_cnode("--max-message", 65536)
    peer = connect(node)
    map = peer.maps("new", "array", 4, 40_000, 2)
    functions = [("get", 0), ("to_list",), ("get", 1), ("values",), ("get", 0)]
    with node.asleep():
        asked = [peer.start_erpc("ebpf_maps", f, [*args, map]) for f, *args in functions]
    kinds = [peer.finish_erpc(request)[:2] for request in asked]
    got, refused = ("return", bytes(40_000)), ("error", ("too_big", 65536))
    assert kinds == [got, refused, got, refused, got]
