# SPDX-License-Identifier: Apache-2.0
"""Good and bad connections: each ends alone, and none can harm another."""

import random

import pytest

import dist
import etf
from cluster import wait_until
from hostile import spawn_request

HASH = ("hash", 4, 8, 4)


def still_served(beam, node):
    """One new map, used and closed."""
    map = beam.erpc(node.name, "new", *HASH)
    beam.erpc(node.name, "put", 1, 1, map)
    return beam.erpc(node.name, "close", map) == "ok"


# --- after the handshake


def control(term):
    return b"p" + etf.encode(term)


def deep(levels):
    return b"\x83" + b"\x68\x01" * levels + b"\x6a"


BAD_PACKETS = {
    "another kind": b"q" + etf.encode((1, 2, 3)),
    "kind alone": b"p",
    "no magic byte": b"p\x68\x02\x61\x02\x61\x03",
    "no tuple": control(5),
    "empty tuple": control(()),
    "unknown operation": control((99, 1, 2)),
    "negative operation": control((-1, 1, 2)),
    "huge operation": control((2**64 + 29, 1, 2)),
    "atom for an operation": control(("x", 1)),
    "short send": control((2,)) + etf.encode("hello"),
    "send without payload": control((2, "", etf.pid("a@b", 1))),
    "spawn of nothing": control((29, 1, 2, 3, 4, 5)),
    "tuple longer than the packet": b"p\x83\x68\xff\x61\x06",
    "large tuple of 4 thousand million": b"p\x83\x69\xff\xff\xff\xff\x61\x06",
    "large list of 4 thousand million": b"p\x83\x68\x02\x61\x06\x6c\xff\xff\xff\xff",
    "binary longer than the packet": b"p\x83\x68\x02\x61\x06\x6d\x7f\xff\xff\xff",
    "binary of 4 thousand million": b"p\x83\x68\x02\x61\x06\x6d\xff\xff\xff\xffab",
    "big of 4 thousand million": b"p\x83\x68\x02\x6f\xff\xff\xff\xff\0\x01\x02",
    "big longer than the packet": b"p\x83\x68\x02\x6e\xff\0\x01\x02",
    "atom longer than the packet": b"p\x83\x68\x02\x61\x06\x76\xff\xffab",
    "map longer than the packet": b"p\x83\x68\x02\x61\x06\x74\xff\xff\xff\xffaa",
    "reference of 65535 words": b"p\x83\x68\x02\x61\x13\x5a\xff\xff\x77\x01a",
    "fun longer than the packet": b"p\x83\x68\x02\x61\x06\x70\xff\xff\xff\xff",
    "fun with a negative size": b"p\x83\x68\x02\x61\x06\x70\0\0\0\0",
    "unknown tag": b"p\x83\x68\x02\x61\x06\xfe\x01",
    "atom cache reference": b"p\x83\x68\x02\x61\x06\x52\x01",
    "compressed": b"p\x83\x50\x00\x00\x00\x05\x78\x9c",
    "nesting of 100,000": b"p" + deep(100000),
    "truncated payload": control((6, etf.pid("a@b", 1), "", "rex"))
    + etf.encode((1, 2, b"x" * 100))[:-50],
    "bytes after the payload": control((6, etf.pid("a@b", 1), "", "rex"))
    + etf.encode("hello")
    + b"\0",
}


@pytest.mark.parametrize("what", BAD_PACKETS)
def test_a_bad_packet_ends_its_connection_with_one_line(
    what, fresh_cnode, connect, alice
):
    other = connect(fresh_cnode)
    peer = connect(fresh_cnode)
    for one in (other, peer):
        fresh_cnode.wait_log(f"connected {one.name}")
    start = fresh_cnode.mark()
    peer.send_packet(BAD_PACKETS[what])
    peer.wait_closed()
    fresh_cnode.wait_log(f"disconnected {peer.name}", start=start)
    assert len(fresh_cnode.lines[start:]) == 1, fresh_cnode.log
    assert other.erpc("ebpf_maps", "nope", [])[1] == "undef"
    assert still_served(alice, fresh_cnode)


STRANGE_SPAWNS = [
    {"mfa": ("erpc", "execute_call", 3)},
    {"mfa": ("nope", "nope", 4)},
    {"mfa": ("erpc", "execute_cast", 4)},
    {"mfa": ("ebpf_maps", "get", 2)},
    {"options": []},
    {"options": ["link", "monitor", ("priority", "high"), ("nope", [1, 2])]},
    {"options": [("monitor", [("alias", "demonitor")])]},
    {"args": []},
    {"args": [1, 2, 3, 4]},
    {"args": ["x", "ebpf_maps", "close", [{}]]},
    {"args": [1, "ebpf_maps", "close", "no_list"]},
    {"args": [1, b"ebpf_maps", 5, []]},
    {"args": [1, "ebpf_maps", "get", etf.Improper((1,), 2)]},
    {"args": "no_list"},
]


@pytest.mark.parametrize("parts", STRANGE_SPAWNS, ids=str)
def test_a_strange_spawn_request_harms_nobody(parts, cnode, connect, alice):
    """It is answered in some way, or ends its own connection."""
    peer = connect(cnode)
    peer.send_packet(spawn_request(peer, **parts))
    try:
        control, _ = peer.receive()
        assert control[0] == dist.SPAWN_REPLY
    except dist.Closed:
        pass
    assert still_served(alice, cnode)


@pytest.mark.parametrize("levels", [1000, 1_000_000])
def test_deep_nesting_harms_nobody(levels, fresh_cnode, connect, alice):
    """It is served, or ends its own connection; the stack is not endless."""
    peer = connect(fresh_cnode)
    map = peer.maps("new", *HASH)
    nested = etf.Opaque("tuple", deep(levels)[1:])
    peer.start_erpc("ebpf_maps", "get", [b"none", map, nested])
    peer.start_erpc("ebpf_maps", "put", [nested, 1, map])
    peer.start_erpc("ebpf_maps", "put", [1, nested, map])
    peer.start_erpc("ebpf_maps", nested, [])
    try:
        while b"returned" not in peer.receive_packet():
            peer.start_erpc("ebpf_maps", "get", [b"none", map, "returned"])
    except dist.Closed:
        pass
    assert still_served(alice, fresh_cnode)


@pytest.mark.parametrize(
    "rounds", [600, pytest.param(10000, marks=pytest.mark.ci)]
)
def test_random_bytes_never_harm_the_node(rounds, fresh_cnode, connect, alice):
    """Requests with some bytes changed, from a fixed seed."""
    dice = random.Random(rounds)
    peer = connect(fresh_cnode)
    map = peer.maps("new", *HASH)
    for _ in range(rounds):
        request = peer.ref()
        args = [request, "ebpf_maps", "put", [b"1234", 5, map]]
        packet = bytearray(spawn_request(peer, id=request, args=args))
        for _ in range(dice.randint(1, 3)):
            packet[dice.randrange(1, len(packet))] = dice.randrange(256)
        try:
            peer.send_packet(bytes(packet))
        except dist.Closed:
            peer.close()
            peer = connect(fresh_cnode)
    peer.close()
    assert fresh_cnode.alive()
    assert still_served(alice, fresh_cnode)


def test_a_packet_may_come_byte_by_byte(cnode, connect):
    peer = connect(cnode)
    request = peer.ref()
    for byte in dist.framed(spawn_request(peer, id=request)):
        peer.send_raw(bytes([byte]))
    assert peer.finish_erpc(request)[1] == "undef"


def test_a_connection_may_end_in_the_middle_of_a_packet(fresh_cnode, connect, alice):
    peer = connect(fresh_cnode)
    peer.send_raw(b"\0\0\x10\0p\x83")
    peer.close()
    fresh_cnode.wait_log(f"disconnected {peer.name}")
    assert still_served(alice, fresh_cnode)


# --- who sends


def test_a_request_in_the_name_of_another_node_is_dropped_and_logged(
    fresh_cnode, connect, alice
):
    peer = connect(fresh_cnode)
    map = peer.maps("new", *HASH)
    victim = peer.pid(node=alice.name)
    start = fresh_cnode.mark()
    peer.start_erpc("ebpf_maps", "put", [1, 1, map], sender=victim)
    fresh_cnode.wait_log(f"warning .*{peer.name}", start=start)
    assert peer.maps("get", 1, map, "none") == "none"


@pytest.mark.parametrize(
    "other",
    [lambda name: name[:-1], lambda name: f"{name}2", lambda name: f"x{name[1:]}"],
    ids=["shorter", "longer", "as-long"],
)
def test_a_request_in_a_name_that_is_nearly_its_own_is_dropped(
    other, fresh_cnode, connect
):
    peer = connect(fresh_cnode)
    map = peer.maps("new", *HASH)
    name = other(peer.name)
    start = fresh_cnode.mark()
    peer.start_erpc("ebpf_maps", "put", [1, 1, map], sender=peer.pid(node=name))
    fresh_cnode.wait_log(f"warning dropped .* {peer.name} in the name of {name}$", start=start)
    assert peer.maps("get", 1, map, "none") == "none"


@pytest.mark.parametrize("shape", ["rex", "gen_server", "cast", "spawn"])
def test_a_forged_sender_is_dropped_in_every_shape(shape, fresh_cnode, connect, alice):
    peer = connect(fresh_cnode)
    map = peer.maps("new", *HASH)
    victim = peer.pid(node=alice.name)
    tag = etf.ref(alice.name, [1, 2, 3])
    args = [1, 1, map]
    call = ("call", "ebpf_maps", "put", args, "user")
    start = fresh_cnode.mark()
    if shape == "rex":
        peer.reg_send("rex", (victim, call), victim)
    elif shape == "gen_server":
        peer.reg_send("rex", ("$gen_call", (victim, tag), call), victim)
    else:
        mfa, args = {
            "cast": (("erpc", "execute_cast", 3), ["ebpf_maps", "put", args]),
            "spawn": (("ebpf_maps", "put", 3), args),
        }[shape]
        peer.send_packet(
            spawn_request(peer, sender=victim, mfa=mfa, options=[], args=args)
        )
    fresh_cnode.wait_log(f"warning .*{peer.name}", start=start)
    assert peer.maps("get", 1, map, "none") == "none"


def test_a_message_whose_reply_would_go_to_another_node_is_dropped(
    fresh_cnode, connect, alice
):
    """An honest control term around a forged $gen_call."""
    peer = connect(fresh_cnode)
    map = peer.maps("new", *HASH)
    victim = peer.pid(node=alice.name)
    call = ("call", "ebpf_maps", "put", [1, 1, map], "user")
    start = fresh_cnode.mark()
    peer.reg_send("rex", (victim, call))
    fresh_cnode.wait_log(f"warning .*{peer.name}", start=start)
    assert peer.maps("get", 1, map, "none") == "none"


def test_a_map_belongs_to_the_connected_peer(start_cnode, connect):
    """Another pid of its node, in another incarnation's name, changes nothing."""
    node = start_cnode("--grace", "0")
    peer = connect(node, creation=77)
    other = etf.pid(peer.name, 5, 0, 78)
    request = peer.start_erpc("ebpf_maps", "new", HASH, sender=other)
    kind, map = peer.finish_erpc(request)
    assert kind == "return"
    peer.close()
    wait_until(lambda: node.map_count() == 0)


@pytest.mark.parametrize("_", range(10))
def test_the_same_incarnation_replaces_its_old_connection(_, start_cnode, connect):
    """Not for a moment is it gone: its maps stay even without a grace."""
    node = start_cnode("--grace", "0")
    old = connect(node, name="twin@here", creation=77)
    map = old.maps("new", *HASH)
    for _ in range(5):
        start = node.mark()
        new = connect(node, name="twin@here", creation=77)
        old.wait_closed()
        node.wait_log("disconnected twin@here", start=start)
        assert new.maps("put", 1, 1, map) == map
        old = new
    assert node.map_count() == 1


def test_many_connections_of_one_name_leave_one(fresh_cnode, connect, alice):
    assert still_served(alice, fresh_cnode)
    threads = fresh_cnode.threads()
    peers = [connect(fresh_cnode, name="twin@here", creation=77) for _ in range(30)]
    assert peers[-1].maps("close", peers[-1].maps("new", *HASH)) == "ok"
    for peer in peers[:-1]:
        peer.wait_closed()
    wait_until(lambda: fresh_cnode.threads() <= threads + 1)


# --- many


def test_hundreds_of_nodes_are_served_at_once(fresh_cnode, connect, alice):
    peers = [connect(fresh_cnode) for _ in range(300)]
    asked = [peer.start_erpc("ebpf_maps", "new", HASH) for peer in peers]
    made = [peer.finish_erpc(r) for peer, r in zip(peers, asked)]
    assert {answer[0] for answer in made} == {"return"}
    assert fresh_cnode.map_count() == 300
    assert still_served(alice, fresh_cnode)


def test_nodes_are_served_beyond_the_descriptors_of_select(
    lone_cluster, start_cnode, start_beam
):
    """A descriptor of 1,024 or more does not fit into a set of select(2)."""
    lone_cluster.epmd.start()
    node = start_cnode(cluster=lone_cluster)
    beam = start_beam(cluster=lone_cluster)
    made = beam.eval(
        """
        Ids = [erpc:send_request(N, ebpf_maps, new, [array, 4, 4, 1]) ||
               _ <- lists:seq(1, 1100)],
        [erpc:receive_response(I, 20000) || I <- Ids]""",
        N=node.name,
    )
    assert beam.erpc(node.name, "fd", made[-1]) > 1024
    newcomer = start_beam(cluster=lone_cluster)
    assert newcomer.erpc(node.name, "put", 0, 1, made[-1]) == made[-1]
    for _ in range(2):
        lone_cluster.epmd.stop()
        lone_cluster.epmd.start()
        wait_until(lambda: node.sname in lone_cluster.epmd.names(), 10)
    last = start_beam(cluster=lone_cluster)
    assert last.apply("net_adm", "ping", node.name) == "pong"
