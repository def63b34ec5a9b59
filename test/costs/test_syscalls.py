# SPDX-License-Identifier: Apache-2.0
"""What a request costs the C node in system calls, as strace counts them."""

import pytest

from counting import Trace

pytestmark = pytest.mark.counts

TOLERANCE = 4  # a tick, and the step of a thread that was under way


@pytest.fixture
def trace(tmp_path):
    return lambda node: Trace(node, tmp_path / "trace")


@pytest.fixture
def warm(fresh_cnode, alice):
    """A map with one entry, on a connection that has been used."""
    map = alice.erpc(fresh_cnode.name, "new", "hash", 4, 8, 16)
    alice.erpc(fresh_cnode.name, "put", 1, 1, map)
    alice.erpc(fresh_cnode.name, "get", 1, map)
    return map


@pytest.mark.parametrize("options", [None, ("types", ("u32", "u64"))], ids=["bytes", "typed"])
def test_a_lone_get_costs_recv_bpf_and_send(options, trace, fresh_cnode, alice, warm):
    count = 200
    map = alice.erpc(fresh_cnode.name, "typed", warm, [options]) if options else warm
    with trace(fresh_cnode) as traced:
        alice.eval(
            """
            [erpc:call(N, ebpf_maps, get, [1, Map]) || _ <- lists:seq(1, Count)],
            ok""",
            N=fresh_cnode.name,
            Map=map,
            Count=count,
        )
    calls = traced.calls
    assert calls["bpf"] == count
    assert calls["recvfrom"] + calls["recvmsg"] + calls["read"] <= count + TOLERANCE
    assert calls["sendto"] + calls["sendmsg"] + calls["writev"] <= count + TOLERANCE
    assert traced.total <= 3 * count + TOLERANCE, calls


GETS = "[erpc:call(N, ebpf_maps, get, [1, Map]) || _ <- lists:seq(1, Count)], ok"


@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_tls_adds_none(version, trace, secure_cnode, secure_beam):
    count = 200
    node, beam = secure_cnode(), secure_beam(ssl={"versions": f"['{version}']"})
    map = beam.erpc(node.name, "new", "hash", 4, 8, 16)
    beam.eval(GETS, N=node.name, Map=beam.erpc(node.name, "put", 1, 1, map), Count=1)
    with trace(node) as traced:
        beam.eval(GETS, N=node.name, Map=map, Count=count)
    assert traced.calls["bpf"] == count
    assert traced.total <= 3 * count + TOLERANCE, traced.calls


def test_a_pipelined_get_costs_little_more_than_bpf(trace, fresh_cnode, alice, warm):
    """The node sleeps while they are sent: what it finds is always as much."""
    count = 1000
    with trace(fresh_cnode) as traced:
        with fresh_cnode.asleep():
            alice.eval(
                """
                Ids = [erpc:send_request(N, ebpf_maps, get, [1, Map]) ||
                       _ <- lists:seq(1, Count)],
                ok""",
                N=fresh_cnode.name,
                Map=warm,
                Count=count,
                keep=True,
            )
        alice.eval("[<<_:64>> = erpc:receive_response(I, 10000) || I <- Ids], ok")
    print(f"{traced.total / count} system calls a request")
    assert traced.calls["bpf"] == count
    assert traced.total <= 1.014 * 1.05 * count, traced.calls


def test_requests_in_one_write_are_answered_in_one(
    trace, fresh_cnode, alice, warm, connect
):
    peer = connect(fresh_cnode)
    peer.maps("get", 1, warm)
    packets, real = [], peer.send_raw
    peer.send_raw = packets.append
    asked = [peer.start_erpc("ebpf_maps", "get", [1, warm]) for _ in range(100)]
    peer.send_raw = real
    with trace(fresh_cnode) as traced:
        peer.send_raw(b"".join(packets))
        for request in asked:
            assert peer.finish_erpc(request)[0] == "return"
    assert traced.calls["bpf"] == 100
    assert traced.total <= 100 + 6 + TOLERANCE, traced.calls


def test_silence_costs_nothing(trace, fresh_cnode, alice, warm):
    with trace(fresh_cnode) as traced:
        alice.eval("receive nothing -> ok after 1000 -> ok end")
    assert traced.total <= TOLERANCE, traced.calls


def test_take_of_a_hash_is_one_operation(trace, fresh_cnode, alice, warm):
    with trace(fresh_cnode) as traced:
        alice.erpc(fresh_cnode.name, "take", 1, warm)
    assert traced.calls["bpf"] == 1
    assert "BPF_MAP_LOOKUP_AND_DELETE_ELEM" in traced.text


def test_sizes_are_asked_once_when_a_map_is_made(trace, fresh_cnode, alice, warm):
    with trace(fresh_cnode) as traced:
        for _ in range(10):
            alice.erpc(fresh_cnode.name, "put", 1, 1, warm)
    assert traced.calls["bpf"] == 10, traced.text


def test_a_map_is_made_and_closed_by_three_operations(trace, fresh_cnode, alice, warm):
    """Created, described and closed, though --max-map-memory counts it."""
    count = 50
    with trace(fresh_cnode) as traced:
        for _ in range(count):
            map = alice.erpc(fresh_cnode.name, "new", "hash", 4, 8, 16)
            alice.erpc(fresh_cnode.name, "close", map)
    assert traced.calls["bpf"] == 2 * count
    assert not traced.calls["openat"], traced.calls
    assert traced.calls["close"] == count
