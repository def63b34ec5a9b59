# SPDX-License-Identifier: Apache-2.0
"""Ticks, and peers that are silent, slow or busy."""

import time

import pytest

import dist
from cluster import wait_until
from hostile import spawn_request

HASH = ("hash", 4, 8, 4)


def still_served(beam, node):
    """One new map, used and closed."""
    map = beam.erpc(node.name, "new", *HASH)
    beam.erpc(node.name, "put", 1, 1, map)
    return beam.erpc(node.name, "close", map) == "ok"


def test_ticks_are_answered(cnode, connect):
    """Perhaps not each: what was sent just now is a sign of life as well."""
    peer = connect(cnode)

    def answered():
        peer.tick()
        try:
            return peer.receive_packet(0.1) == b""
        except TimeoutError:
            return False

    wait_until(answered)


def test_a_peer_that_answers_no_ticks_is_disconnected(start_cnode, connect, alice):
    node = start_cnode("--ticktime", "4")
    begun = time.monotonic()
    peer = connect(node)
    peer.wait_closed(30)  # by default it would be a minute
    assert time.monotonic() - begun >= 3
    node.wait_log(f"disconnected {peer.name}")
    assert still_served(alice, node)


def test_a_peer_that_answers_ticks_stays(start_cnode, connect):
    node = start_cnode("--ticktime", "4")
    peer = connect(node)
    begun = time.monotonic()
    ticks = 0
    while time.monotonic() - begun < 7:
        assert peer.receive_packet() == b""
        peer.tick()
        ticks += 1
    assert ticks >= 2
    assert peer.erpc("ebpf_maps", "nope", [])[1] == "undef"


QUICK = ("-kernel", "net_ticktime", "4")


def stays_connected(beam, node, wait):
    beam.eval("pong = net_adm:ping(N), monitor_node(N, true)", N=node.name)
    return beam.eval(
        "receive {nodedown, N} -> down after Wait -> up end",
        Wait=int(wait * 1000),
        timeout=wait + 10,
    )


def test_a_node_with_a_short_ticktime_stays_through_silence(fresh_cnode, start_beam):
    assert stays_connected(start_beam(*QUICK), fresh_cnode, 7) == "up"


def test_a_node_with_a_short_ticktime_stays_while_it_sends_what_nobody_answers(
    fresh_cnode, start_beam
):
    """It sends no ticks then, and still wants to hear from us."""
    beam = start_beam(*QUICK)
    answer = beam.eval(
        """
        pong = net_adm:ping(N),
        monitor_node(N, true),
        Send = fun Send(0) -> up;
                   Send(I) ->
                       {nosuch, N} ! I,
                       receive {nodedown, N} -> {down, I} after 100 -> Send(I - 1) end
               end,
        Send(80)""",
        timeout=60,
        N=fresh_cnode.name,
    )
    assert answer == "up"


def test_a_peer_is_ticked_while_its_long_request_trickles_in(fresh_cnode, connect):
    """Not for its silence, of which there is less than a tick time's."""
    peer = connect(fresh_cnode)
    map = peer.maps("new", *HASH)
    request = peer.ref()
    args = [request, "ebpf_maps", "get", [b"none", map, bytes(100)]]
    packet = dist.framed(spawn_request(peer, id=request, args=args))
    ticks = 0
    for byte in packet[:60]:
        peer.send_raw(bytes([byte]))
        try:
            ticks += peer.receive_packet(0.1) == b""
        except TimeoutError:
            pass
    assert ticks >= 2
    peer.send_raw(packet[60:])
    assert peer.finish_erpc(request) == ("return", bytes(100))


@pytest.mark.ci
@pytest.mark.slow
def test_a_node_with_a_short_ticktime_stays_through_many_of_them(fresh_cnode, start_beam):
    assert stays_connected(start_beam(*QUICK), fresh_cnode, 16) == "up"


def test_a_node_with_a_short_ticktime_stays_through_a_long_operation(
    start_cnode, start_beam
):
    """Requests that keep its one thread busy for longer than the ticktime."""
    node = start_cnode("--max-maps", "2")
    beam = start_beam(*QUICK)
    took, answer = beam.eval(
        """
        pong = net_adm:ping(N),
        monitor_node(N, true),
        Begun = erlang:monotonic_time(millisecond),
        Busy = fun Busy() ->
            Ids = [erpc:send_request(N, ebpf_maps, F, A) ||
                   {F, A} <- lists:duplicate(8, {new, [hash, 4, 64, 1000000]})],
            Rs = [erpc:receive_response(I, infinity) || I <- Ids],
            [erpc:call(N, ebpf_maps, close, [R], infinity) ||
             R <- Rs, element(1, R) =:= ebpf_map],
            case erlang:monotonic_time(millisecond) - Begun of
                T when T < 6000 -> Busy();
                T -> T
            end
        end,
        Took = Busy(),
        {Took, receive {nodedown, N} -> down after 0 -> up end}""",
        N=node.name,
        timeout=60,
    )
    assert answer == "up"
    assert took >= 6000


@pytest.mark.slow
def test_a_tick_is_answered_while_an_operation_runs(start_cnode, connect):
    """A hash of maps that waits for the kernel, or many made at once."""
    node = start_cnode("--ticktime", "4")
    peer = connect(node)
    asked = [
        peer.start_erpc("ebpf_maps", "new", ["hash", 8, 64, 4000000])
        for _ in range(4)
    ]
    peer.tick()
    for request in asked:
        kind, _ = peer.finish_erpc(request, 60)
        assert kind == "return"


def test_a_slow_reader_holds_up_nobody(fresh_cnode, connect, alice):
    peer = connect(fresh_cnode)
    map = peer.maps("new", "array", 4, 1 << 20, 1)
    for _ in range(64):
        peer.start_erpc("ebpf_maps", "get", [0, map])

    def answered():
        requests = alice.erpc(fresh_cnode.name, "stats")["requests"]
        return requests.get(("get", 2), 0)

    wait_until(lambda: 0 < answered() == answered(), what="it waits for the reader")
    assert still_served(alice, fresh_cnode)
    assert answered() < 64  # the others are still to be read


def test_a_reader_that_never_reads_is_disconnected(start_cnode, connect, alice):
    node = start_cnode("--ticktime", "2")
    peer = connect(node)
    map = peer.maps("new", "array", 4, 1 << 20, 1)
    peer.socket.settimeout(1)
    try:
        for _ in range(200):
            peer.start_erpc("ebpf_maps", "get", [0, map])
    except (dist.Closed, TimeoutError, OSError):
        pass
    node.wait_log(f"disconnected {peer.name}", 20)
    assert still_served(alice, node)
