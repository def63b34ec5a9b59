# SPDX-License-Identifier: Apache-2.0
"""Messages that are as long as they may be, and longer."""

from contextlib import suppress

import pytest

import dist
from hostile import spawn_request

HASH = ("hash", 4, 8, 4)


def still_served(beam, node):
    """One new map, used and closed."""
    map = beam.erpc(node.name, "new", *HASH)
    beam.erpc(node.name, "put", 1, 1, map)
    return beam.erpc(node.name, "close", map) == "ok"


MAX = 65536


def test_a_request_that_is_too_long_raises_too_big_in_its_caller(start_cnode, alice):
    node = start_cnode("--max-message", MAX)
    map = alice.erpc(node.name, "new", *HASH)
    answers = alice.eval(
        """
        monitor_node(N, true),
        Long = binary:copy(<<0>>, Max),
        Huge = binary:copy(<<0>>, 50 * 1000 * 1000),
        Asked = [erpc:send_request(N, ebpf_maps, get, [B, M, none]) ||
                 B <- [<<1:32>>, Long, <<2:32>>, Huge, <<3:32>>]],
        Got = [try erpc:receive_response(R, 20000)
               catch error:{exception, X, _} -> X end || R <- Asked],
        {Got, receive {nodedown, N} -> down after 0 -> up end}""",
        N=node.name,
        M=map,
        Max=MAX,
        timeout=60,
    )
    too_big = ("too_big", MAX)
    assert answers == (["none", too_big, "none", too_big, "none"], "up")


def test_a_request_that_is_too_long_is_told_by_every_kind_of_call(start_cnode, alice):
    node = start_cnode("--max-message", MAX)
    for call in (
        "rpc:call(N, ebpf_maps, iterator, [Long])",
        "rpc:block_call(N, ebpf_maps, iterator, [Long], 10000)",
        """gen_server:call({rex, N},
            {call, ebpf_maps, iterator, [Long], group_leader()}, 10000)""",
    ):
        alice.forget()
        answer = alice.eval(
            "Long = binary:copy(<<0>>, Max), " + call, N=node.name, Max=MAX
        )
        assert answer[0] == "badrpc", call
        assert answer[1][0] == "EXIT", call
        assert answer[1][1][0] == ("too_big", MAX), call


def test_a_request_of_exactly_the_limit_is_served(start_cnode, connect):
    node = start_cnode("--max-message", MAX)
    peer = connect(node)

    def put(value_size):
        """The length of a request with such a value, and its answer."""
        map = peer.maps("new", "array", 4, value_size, 1)
        request = peer.ref()
        args = [request, "ebpf_maps", "put", [b"\0\0\0\0", bytes(value_size), map]]
        packet = spawn_request(peer, id=request, args=args)
        peer.send_packet(packet)
        answer = peer.finish_erpc(request)
        peer.maps("close", map)
        return len(packet), answer, map

    around, _, _ = put(60000)
    exact = 60000 + MAX - around
    length, answer, map = put(exact)
    assert (length, answer) == (MAX, ("return", map))
    length, answer, _ = put(exact + 1)
    assert (length, answer[:2]) == (MAX + 1, ("error", ("too_big", MAX)))


def test_a_long_message_to_nobody_ends_its_connection(start_cnode, connect, alice):
    node = start_cnode("--max-message", MAX)
    peer = connect(node)
    with suppress(dist.Closed):  # it need not wait for the end of it
        peer.reg_send("nosuch", bytes(2 * MAX))
    peer.wait_closed()
    assert still_served(alice, node)


@pytest.mark.counts
def test_a_length_of_4_gigabytes_costs_no_memory(start_cnode, connect, alice):
    node = start_cnode("--max-message", MAX)

    def memory():
        with open(f"/proc/{node.pid}/status") as f:
            rows = dict(line.split(":", 1) for line in f)
        return int(rows["VmRSS"].split()[0])

    peer = connect(node)
    assert still_served(alice, node)
    before = memory()
    peer.send_raw(b"\xff\xff\xff\xff" + spawn_request(peer))
    peer.send_raw(bytes(20_000_000))
    assert peer.receive()[0][0] == dist.SPAWN_REPLY
    assert memory() < before + 10_000
    assert still_served(alice, node)


def test_an_answer_that_would_be_too_long_raises_too_big(start_cnode, alice):
    node = start_cnode("--max-message", MAX)
    map = alice.erpc(node.name, "new", "array", 4, 2 * MAX, 1)
    answer = alice.rpc(node.name, "get", 0, map)
    assert answer[0] == "badrpc"
    assert answer[1][1][0] == ("too_big", MAX)
    assert still_served(alice, node)


def test_4_mib_pass_both_ways(fresh_cnode, alice):
    size = 4 * 1024 * 1024 - 4096
    map = alice.erpc(fresh_cnode.name, "new", "array", 4, size, 1)
    same = alice.eval(
        """
        V = binary:copy(<<1, 2, 3, 4>>, Size div 4),
        Map = erpc:call(N, ebpf_maps, put, [0, V, Map]),
        V =:= erpc:call(N, ebpf_maps, get, [0, Map])""",
        N=fresh_cnode.name,
        Map=map,
        Size=size,
    )
    assert same == "true"


def test_what_is_longer_than_the_largest_block_of_libc_goes_both_ways(start_cnode, alice):
    """Blocks beyond 32 MiB grow by a system call of their own."""
    size = 40 << 20
    node = start_cnode("--max-message", 64 << 20)
    map = alice.erpc(node.name, "new", "array", 4, size, 1)
    same = alice.eval(
        """
        Value = binary:copy(<<"40 MiB">>, Size div 6 + 1),
        <<Long:Size/binary, _/binary>> = Value,
        M = erpc:call(N, ebpf_maps, put, [0, Long, M]),
        Long =:= erpc:call(N, ebpf_maps, get, [0, M])""",
        N=node.name,
        M=map,
        Size=size,
        timeout=60,
    )
    assert same == "true"
