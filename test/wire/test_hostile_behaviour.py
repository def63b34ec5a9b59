# SPDX-License-Identifier: Apache-2.0
"""Peers whose packets are right, and who do with them what no node does."""

import select
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

import dist
from cluster import PATIENCE, SANITIZED, allow_descriptors, wait_until
from hostile import HASH, QUICK_US, SLOWER, requests, signals, spawn_request

MIB = 1 << 20
GET = ("ebpf_maps", "get")


def ci(usual, long, *marks):
    """The second value is for long runs; marks are what else that one has."""
    long = pytest.param(long, marks=[pytest.mark.ci, *marks])
    return pytest.mark.parametrize("many", [usual, long])


# --- the siege itself


def test_a_siege_sees_what_is_left_behind(siege, connect):
    """A connection that stays is a descriptor, a thread, and what it holds."""
    left = r"1 descriptors of socket:\[N\], 1 threads"
    memory = r".*" if SANITIZED else r", \d{4} KiB"
    with pytest.raises(AssertionError, match=left + memory):
        with siege() as s:
            s.patience = 3
            stays = connect(s.node)
            stays.send_raw(struct.pack(">I", 8 * MIB) + bytes(7 * MIB))


def test_a_siege_sees_maps_that_are_left_behind(siege):
    permanent = [("lifetime", "permanent")]
    with pytest.raises(AssertionError, match="descriptors of anon_inode:bpf-map"):
        with siege() as s:
            s.patience = 3
            peer = s.connect()
            for _ in range(9):
                peer.maps("new", *HASH, permanent)


def test_a_siege_sees_a_node_that_stalls(siege, monkeypatch):
    """For longer than a call may take."""
    monkeypatch.setattr("hostile.SLOWEST_MS", 1000)
    with pytest.raises(AssertionError, match="timeout"):
        with siege() as s:
            with s.node.asleep():
                wait_until(lambda: all(wrong for _, _, wrong in s.bystander.look()))


@pytest.mark.counts
def test_a_siege_sees_a_node_that_is_slow(siege):
    """Though no call takes as long as one may: it runs for moments."""
    with pytest.raises(AssertionError, match="half of .* calls took"):
        with siege() as s:
            calls = s.bystander.counts()
            usual = max(QUICK_US, *s.bystander.usual.values()) / 1e6
            while min(s.bystander.counts()) < min(calls) + 40:
                with s.node.asleep():
                    time.sleep(3 * SLOWER * usual)
                time.sleep(0.001)


# --- slow ones


BYTES = 25


@ci(0.03, 0.4, pytest.mark.slow)
def test_a_packet_may_dribble_in_byte_by_byte(many, siege):
    """Of 50 peers at once, for up to several tick times."""
    with siege("--ticktime", "4") as s:
        peers = [s.connect() for _ in range(50)]
        asked = {peer: peer.ref() for peer in peers}
        data = {p: dist.framed(spawn_request(p, id=r)) for p, r in asked.items()}
        for at in range(BYTES):
            for peer in peers:
                peer.send_raw(data[peer][at : at + 1])
            time.sleep(many)
        for peer in peers:
            peer.send_raw(data[peer][BYTES:])
            peer.wait_exit(asked[peer])


def test_a_handshake_may_not_dribble_for_ever(siege):
    """A byte a second keeps nobody in the handshake for longer than 5 s."""
    with siege() as s:
        peers = [s.connect(handshake=False) for _ in range(50)]
        hello = dist.short(b"N" + bytes(31))

        def over():
            for peer in list(peers):
                try:
                    peer.socket.send(hello[:1])
                except OSError:
                    peers.remove(peer)
            time.sleep(1)
            return not peers

        wait_until(over, 30)


def fill(peer, data, seconds=5):
    """Sends as long as the node takes it in; whether it has disconnected."""
    peer.socket.settimeout(seconds)
    try:
        while True:
            peer.socket.sendall(data)
    except TimeoutError:
        return False
    except OSError:
        return True


def packet_of_get(peer, map):
    ref = peer.ref()
    return dist.framed(spawn_request(peer, args=[ref, *GET, [0, map]]))


@pytest.mark.slow
def test_readers_that_never_read_are_disconnected(siege):
    """They ask for 1 MiB each time, until both ways are full."""
    with siege("--ticktime", "4") as s:
        peers = [s.connect(receive_buffer=1) for _ in range(8)]
        map = peers[0].maps("new", "array", 4, MIB, 1)
        asks = {p: packet_of_get(p, map) for p in peers}
        threads = [
            threading.Thread(target=fill, args=(p, data, 8))
            for p, data in asks.items()
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for peer in peers:
            s.node.wait_log(f"disconnected {peer.name}", 20)


@pytest.mark.slow
def test_readers_of_a_byte_now_and_then_are_disconnected(siege):
    """That makes no room that their kernel would tell of: they take nothing in."""
    with siege("--ticktime", "4") as s:
        peers = [s.connect(receive_buffer=1) for _ in range(20)]
        map = peers[0].maps("new", "array", 4, MIB, 1)
        for peer in peers:
            peer.send_raw(packet_of_get(peer, map) * 20)

        def over():
            for peer in list(peers):
                try:
                    peer.socket.recv(1)
                except OSError:
                    peers.remove(peer)
            time.sleep(0.1)
            return s.node.find_log("disconnected .* it read nothing for --ticktime")

        wait_until(over, 30)
        wait_until(lambda: s.node.threads() == s.before[1], 10)


@ci(4, 12, pytest.mark.slow)
def test_a_reader_of_a_little_at_a_time_holds_up_itself(many, siege):
    """It takes in some each tick time, and so it may stay; an answer takes two."""
    with siege("--ticktime", "2") as s:
        size = 4 * MIB - 4096
        peers = [s.connect(receive_buffer=MIB // 16) for _ in range(8)]
        map = peers[0].maps("new", "array", 4, size, 1)
        for peer in peers:
            peer.send_raw(packet_of_get(peer, map) * many)
        deadline = time.monotonic() + many
        while time.monotonic() < deadline:
            for peer in peers:
                assert peer.socket.recv(MIB // 16)
            time.sleep(0.05)
        assert not [p for p in peers if s.node.find_log(f"disconnected {p.name}")]
        read_rest(peers[0])


def test_the_smallest_receive_buffer_gets_all(siege):
    with siege() as s:
        peer = s.connect(receive_buffer=1)
        map = peer.maps("new", "array", 4, MIB, 1)
        for _ in range(3):
            assert peer.maps("get", 0, map) == bytes(MIB)


def test_a_peer_that_only_answers_ticks_may_stay(siege):
    with siege("--ticktime", "4") as s:
        peers = [s.connect() for _ in range(50)]
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            for peer in peers:
                assert peer.receive_packet() == b""
                peer.tick()
        assert all(peer.serves() for peer in peers)


# --- ends


def test_a_half_closed_connection_is_answered_before_it_ends(siege):
    with siege() as s:
        for _ in range(50):
            peer = s.connect()
            request = peer.start_erpc("ebpf_maps", "nope", [])
            peer.socket.shutdown(socket.SHUT_WR)
            peer.wait_exit(request)
            peer.wait_closed()


@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_peer_may_go_in_the_middle_of_what_is_large(end, siege):
    """Of a request, and of a reply of which it has read some."""
    with siege() as s:
        keeper = s.connect()
        map = keeper.maps("new", "array", 4, 4 * MIB, 1)
        for number in range(30):
            asks, tells = s.connect(), s.connect()
            asks.send_raw(packet_of_get(asks, map))
            asks.socket.recv(1 + number * 10_000)
            tells.send_raw(struct.pack(">I", 15 * MIB) + bytes(number * MIB // 3))
            for peer in (asks, tells):
                getattr(peer, end)()
                s.peers.remove(peer)


def test_urgent_data_is_no_more_than_lost(siege):
    """An urgent byte is out of the stream, wherever in a packet it stands."""
    with siege() as s:
        peer = s.connect()
        for at in (0, 1, 4, 5, 60):
            request = peer.ref()
            data = dist.framed(spawn_request(peer, id=request))
            peer.send_raw(data[:at])
            peer.socket.send(b"!", socket.MSG_OOB)
            peer.send_raw(data[at:])
            peer.wait_exit(request)


@ci(1500, 20_000, pytest.mark.slow)
def test_a_peer_may_reconnect_in_a_loop(many, siege):
    """Of one name and of many, and each leaves a map and a request."""
    with siege() as s:
        for number in range(many):
            name = "loop@h" if number % 3 else None
            peer = s.connect(name=name, creation=number + 4)
            peer.start_erpc("ebpf_maps", "new", HASH)
            # all maps of the host, of which there may be thousands, now and then
            peer.start_erpc("ebpf_maps", "stats" if number % 100 else "list", [])
            (peer.close if number % 2 else peer.reset)()
            s.peers.remove(peer)
            if number % 500 == 0:
                s.bystander.wait_calls(s.bystander.counts())


# --- many


@ci(2000, 10_000, pytest.mark.slow)
def test_thousands_of_connections_never_finish_a_handshake(many, siege):
    """All are held here; the node keeps the last ones, and lets others in."""
    allow_descriptors(many + 200)
    with siege() as s:
        half = dist.short_size(32) + b"N" + bytes(10)
        newcomers = let_in = 0
        for number in range(many):
            peer = s.connect(handshake=False)
            if number % 2:
                peer.socket.send(half)
            if number % 100 == 0:
                newcomers += 1
                let_in += comes_in(s)
        assert let_in > newcomers / 2, f"{let_in} of {newcomers}"
        wait_until(lambda: len(s.node.descriptors()) < 400, 10)


def comes_in(s):
    """Whether a node that knows the cookie gets through its handshake."""
    peer = s.connect(handshake=False)
    try:
        peer.handshake()
        return peer.serves()
    except (dist.Refused, dist.Closed):
        return False
    finally:
        peer.close()
        s.peers.remove(peer)


def test_more_nodes_than_may_be_connected_are_refused(siege):
    """However often they try; those that are connected stay."""
    with siege("--max-connections", "60") as s:
        inside = [s.connect() for _ in range(59)]
        assert all(peer.serves() for peer in inside)  # each has its place now
        for _ in range(300):
            assert not comes_in(s)
        assert all(peer.serves() for peer in inside)
        s.close_peers()
        wait_until(lambda: comes_in(s))


@ci(3000, 9000)
def test_maps_are_made_without_end_and_never_closed(many, siege):
    """By one peer in one go; when it goes, so do they."""
    with siege() as s:
        peer = s.connect()
        for _ in range(many // 100):
            asked = [peer.start_erpc("ebpf_maps", "new", HASH) for _ in range(100)]
            for request in asked:
                kind, _ = peer.finish_erpc(request)
                assert kind == "return"
        assert s.node.map_count() >= many


def test_maps_are_made_past_the_limit(siege):
    """What is past it fails with emfile, for all; what there is, works."""
    with siege("--max-maps", "100") as s:
        s.bystander.stop_maker()
        peers = [s.connect() for _ in range(5)]
        maps = []
        for peer in peers:
            asked = [peer.start_erpc("ebpf_maps", "new", HASH) for _ in range(500)]
            answers = [peer.finish_erpc(request)[1] for request in asked]
            maps += [answer for answer in answers if answer[0] == "ebpf_map"]
            assert {a[1] for a in answers if a[0] == "error"} == {"emfile"}
        assert len(maps) == 99
        assert all(peers[1].maps("put", 1, 1, map) == map for map in maps)


def test_maps_are_closed_under_the_hands_of_their_users(siege):
    """Each use is of a map that is there, or raises badmap."""
    with siege() as s:
        user, closer = s.connect(), s.connect()
        for _ in range(30):
            maps = [user.maps("new", *HASH) for _ in range(20)]
            used = [
                user.start_erpc("ebpf_maps", "put", [1, 1, map]) for map in maps * 5
            ]
            closed = [closer.start_erpc("ebpf_maps", "close", [map]) for map in maps]
            for request in closed:
                assert closer.finish_erpc(request) == ("return", "ok")
            for request in used:
                kind, result, *_ = user.finish_erpc(request)
                assert kind == "return" or result[0] == "badmap"


def in_one_write(peer, data, take=len):
    """Sends it all, and reads meanwhile what comes; the bytes that came."""
    came = 0
    data = memoryview(data)
    peer.socket.setblocking(False)
    while data:
        readable, writable, _ = select.select(
            [peer.socket], [peer.socket], [], 20 * PATIENCE
        )
        assert readable or writable, f"{len(data)} bytes are not taken in"
        with suppress(BlockingIOError):  # a part of a record of TLS
            if readable:
                bytes_in = peer.socket.recv(MIB)
                take(bytes_in)
                came += len(bytes_in)
        with suppress(BlockingIOError):
            if writable:
                data = data[peer.socket.send(data[:MIB]) :]
    peer.socket.setblocking(True)
    return came


def read_rest(peer, take=len):
    """Reads until the answer to a last request."""
    request = peer.start_erpc("ebpf_maps", "last", []).raw
    came = bytearray()
    while not (request in came and b"last" in came):
        peer.socket.settimeout(60 * PATIENCE)
        data = peer.socket.recv(MIB)
        take(data)
        came = came[-1000:] + data
    peer.buffer.clear()


class Packets:
    """How many have come of a stream, but for ticks."""

    def __init__(self):
        self.number = 0
        self.rest = bytearray()

    def take(self, data):
        self.rest += data
        at = 0
        while len(self.rest) >= at + 4:
            (size,) = struct.unpack_from(">I", self.rest, at)
            if len(self.rest) < at + 4 + size:
                break
            self.number += size > 0
            at += 4 + size
        del self.rest[:at]


# What comes back for each: a packet that tells of a process, and the answer.
FLOODS = {
    "link": 1,
    "monitor of a pid": 1,
    "demonitor": 0,
    "unlink_id": 1,
    "monitor_exit": 0,
    "spawn_reply": 0,
    "send": 0,
    "ping": 1,
    "gen_server": 1,
    "erpc": 2,
    "cast": 1,
    "sbcast": 1,
    "tick": 0,
}
RAISING = ["gen_server", "erpc", "cast"]


@ci(20_000, 1_000_000)
@pytest.mark.parametrize("what", FLOODS)
def test_floods_are_borne(what, many, siege):
    """So many of one kind, in as few writes as the socket takes."""
    with siege() as s:
        peer, looker = s.connect(), s.connect()
        forms = {**requests(peer, "ebpf_maps", "nope", []), **signals(peer), "tick": b""}
        raised = looker.maps("stats")["errors"].get("undef", 0)
        came = Packets()
        in_one_write(peer, dist.framed(forms[what]) * many, came.take)
        read_rest(peer, came.take)
        assert came.number == FLOODS[what] * many + 2  # and of the last request
        raised = looker.maps("stats")["errors"]["undef"] - raised
        assert raised == 1 + (many if what in RAISING else 0)
        assert not s.node.find_log(f"disconnected {peer.name}")


def test_who_floods_with_another_name_cannot_flood_the_log(siege):
    with siege() as s:
        peer = s.connect()
        start = s.node.mark()
        forged = spawn_request(peer, sender=peer.pid(node="someone@else"))
        in_one_write(peer, dist.framed(forged) * 5000)
        assert peer.serves()
        assert len(s.node.lines) - start < 500


def test_all_handles_are_read_again_and_again(siege):
    """A lock that many hold for reading is still to be had for writing."""
    with siege() as s:
        maker = s.connect()
        for _ in range(2000):
            last = maker.start_erpc("ebpf_maps", "new", ["array", 4, 4, 1])
        maker.wait_exit(last, 30)
        peers = [s.connect() for _ in range(8)]

        def read_all(peer):
            for _ in range(40):
                last = peer.start_erpc("ebpf_maps", "handles", [])
            peer.wait_exit(last, 60)

        with ThreadPoolExecutor(len(peers)) as pool:
            readers = [pool.submit(read_all, peer) for peer in peers]
            while not all(reader.done() for reader in readers):
                assert comes_in(s)
        for reader in readers:
            reader.result()


# --- large


def test_large_requests_that_are_never_finished(siege):
    with siege() as s:
        peers = [s.connect() for _ in range(24)]  # no more than --max-memory
        data = dist.framed(bytes(15 * MIB))[:-1]
        for peer in peers:
            peer.send_raw(data)
        assert s.grown() > 100 * 1024 or SANITIZED


def test_the_memory_of_large_answers_is_given_back(siege):
    with siege() as s:
        peers = [s.connect() for _ in range(16)]
        map = peers[0].maps("new", "array", 4, 4 * MIB, 1)
        asked = [[p.start_erpc(*GET, [0, map]) for _ in range(3)] for p in peers]
        for peer, requests_ in zip(peers, asked):
            for request in requests_:
                peer.wait_exit(request, 30)
