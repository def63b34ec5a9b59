# SPDX-License-Identifier: Apache-2.0
"""Good and bad connections: each ends alone, and none can harm another."""

import random
import struct
import time
from collections import Counter

import pytest

import dist
import etf
from cluster import wait_until
from conftest import HANDSHAKE_LIMIT

HASH = ("hash", 4, 8, 4)
MS = 0.001  # what the node counts time by


def still_served(beam, node):
    """One new map, used and closed."""
    map = beam.erpc(node.name, "new", *HASH)
    beam.erpc(node.name, "put", 1, 1, map)
    return beam.erpc(node.name, "close", map) == "ok"


# --- the handshake


def test_connects_and_disconnects_are_logged(cnode, connect):
    start = cnode.mark()
    peer = connect(cnode)
    cnode.wait_log(f"notice connected {peer.name}", start=start)
    peer.close()
    cnode.wait_log(f"notice disconnected {peer.name}", start=start)


def test_what_the_node_offers_lets_it_be_called(cnode, connect):
    flags = connect(cnode).remote_flags
    for flag in (dist.SPAWN, dist.DIST_MONITOR, dist.DIST_MONITOR_NAME):
        assert flags & flag
    published, atom_cache, fragments = 0x1, 0x2000, 0x800000
    assert not flags & (published | atom_cache | fragments)


def test_silent_clients_delay_nobody(fresh_cnode, connect, alice, start_beam):
    """Those who are connected, and who come, are served before they are hung up."""
    newcomer = start_beam()

    def served_meanwhile():
        start = fresh_cnode.mark()
        silent = [connect(fresh_cnode, handshake=False) for _ in range(20)]
        halfway = connect(fresh_cnode, handshake=False)
        halfway.send_raw(b"\0\x20N\0\0")
        assert still_served(alice, fresh_cnode)
        assert still_served(newcomer, fresh_cnode)
        meanwhile = not fresh_cnode.find_log("refused", start)
        newcomer.apply("erlang", "disconnect_node", fresh_cnode.name)
        for peer in (*silent, halfway):
            peer.close()
        return meanwhile

    wait_until(served_meanwhile, 30)


def test_a_silent_client_is_hung_up_after_the_deadline(fresh_cnode, connect):
    begun = time.monotonic()
    silent = connect(fresh_cnode, handshake=False)
    slow = connect(fresh_cnode, handshake=False)
    slow.send_raw(b"\0\x20N\0\0")
    silent.wait_closed(30)
    slow.wait_closed(30)
    assert time.monotonic() - begun >= HANDSHAKE_LIMIT - MS
    assert len(wait_until(lambda: fresh_cnode.find_log("warning refused")[1:])) == 1


def test_a_client_that_drips_its_handshake_is_hung_up_too(fresh_cnode, connect):
    """The deadline is one for the whole handshake, not for each read.

    Or it would come to the last of the bytes.
    """
    begun = time.monotonic()
    peer = connect(fresh_cnode, handshake=False)
    name = peer.name.encode()
    hello = b"N" + struct.pack(">QIH", dist.FLAGS, 1, len(name)) + name
    data = iter(struct.pack(">H", len(hello)) + hello)
    peer.socket.settimeout(0.3)

    def hung_up():
        try:
            peer.send_raw(bytes([next(data)]))
            peer.socket.settimeout(0.3)
            return peer.socket.recv(1) == b""
        except TimeoutError:
            return False
        except (dist.Closed, ConnectionResetError):
            return True

    wait_until(hung_up, 30)
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


BAD_HELLOS = {
    "http": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "nothing": b"\0\0",
    "zeros": bytes(1000),
    "ones": b"\xff" * 1000,
    "unknown tag": b"\0\x01X",
    "short N": b"\0\x05N\0\0\0\0",
    "name longer than the packet": b"\0\x10N" + bytes(12) + b"\xff\xffa",
    "long name": struct.pack(">HcQIH", 5015, b"N", dist.FLAGS, 1, 5000) + b"a" * 5000,
    "name without a host": struct.pack(">HcQIH", 18, b"N", dist.FLAGS, 1, 3) + b"abc",
    "empty name": struct.pack(">HcQIH", 15, b"N", dist.FLAGS, 1, 0),
    "old and short": b"\0\x03n\0\x05",
    "no flags": struct.pack(">HcQIH", 18, b"N", 0, 1, 3) + b"a@b",
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
    hello = struct.pack(">H", len(hello)) + hello
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


def spawn_request(peer, **parts):
    """The parts of a SPAWN_REQUEST, some of them replaced."""
    me, request = peer.pid(), peer.ref()
    whole = {
        "op": dist.SPAWN_REQUEST,
        "id": request,
        "sender": me,
        "leader": me,
        "mfa": ("erpc", "execute_call", 4),
        "options": ["monitor"],
        "args": [request, "ebpf_maps", "nope", []],
    }
    whole.update(parts)
    *head, args = whole.values()
    return tuple(head), args


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
    peer.send(*spawn_request(peer, **parts))
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
        head, args = spawn_request(peer)
        args = [args[0], "ebpf_maps", "put", [b"1234", 5, map]]
        packet = bytearray(b"p" + etf.encode(head) + etf.encode(args))
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
    head, args = spawn_request(peer)
    packet = b"p" + etf.encode(head) + etf.encode(args)
    for byte in dist.framed(packet):
        peer.send_raw(bytes([byte]))
    assert peer.finish_erpc(head[1])[1] == "undef"


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
        peer.send(
            *spawn_request(peer, sender=victim, mfa=mfa, args=args, options=[])
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


# --- ticks


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


def test_a_peer_that_answers_no_ticks_is_hung_up(start_cnode, connect, alice):
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
    head, _ = spawn_request(peer)
    args = [head[1], "ebpf_maps", "get", [b"none", map, bytes(100)]]
    packet = dist.framed(b"p" + etf.encode(head) + etf.encode(args))
    ticks = 0
    for byte in packet[:60]:
        peer.send_raw(bytes([byte]))
        try:
            ticks += peer.receive_packet(0.1) == b""
        except TimeoutError:
            pass
    assert ticks >= 2
    peer.send_raw(packet[60:])
    assert peer.finish_erpc(head[1]) == ("return", bytes(100))


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


def test_a_reader_that_never_reads_is_hung_up(start_cnode, connect, alice):
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


# --- sizes


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
        head, _ = spawn_request(peer)
        args = [head[1], "ebpf_maps", "put", [b"\0\0\0\0", bytes(value_size), map]]
        packet = b"p" + etf.encode(head) + etf.encode(args)
        peer.send_packet(packet)
        answer = peer.finish_erpc(head[1])
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
    packet = b"p" + b"".join(map(etf.encode, spawn_request(peer)))
    peer.send_raw(b"\xff\xff\xff\xff" + packet)
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
