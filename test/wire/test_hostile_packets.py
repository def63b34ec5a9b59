# SPDX-License-Identifier: Apache-2.0
"""Packets and handshakes that no node sends, each whole."""

import random
import struct
import threading

import pytest

import dist
import etf
from cluster import wait_until
from dist import Closed
from hostile import HASH, packet, requests, signals, spawn_request, throw

pytestmark = pytest.mark.single

LENGTHS = [0, 1, 2**31 - 1, 2**31, 2**32 - 1]

# {(operation, arity): has it a payload} of all that a peer may send.
CONTROLS = {
    (1, 3): False,
    (2, 3): True,
    (3, 4): False,
    (4, 3): False,
    (6, 4): True,
    (7, 3): False,
    (8, 4): False,
    (12, 4): True,
    (13, 5): False,
    (16, 5): True,
    (18, 5): False,
    (19, 4): False,
    (20, 4): False,
    (21, 5): False,
    (24, 3): True,
    (25, 4): True,
    (26, 3): True,
    (27, 4): True,
    (28, 4): True,
    (29, 6): True,
    (30, 7): True,
    (31, 5): False,
    (32, 6): False,
    (33, 3): True,
    (34, 4): True,
    (35, 4): False,
    (36, 4): False,
}


# --- packets


@pytest.mark.parametrize("length", LENGTHS)
def test_a_length_may_be_any(length, siege):
    """What follows is nothing, zeros, an honest request, or half of one."""
    with siege() as s:
        keeper = s.connect()
        map = keeper.maps("new", *HASH)
        for form, honest in requests(keeper, "ebpf_maps", "put", [1, 1, map]).items():
            for what in (b"", bytes(100), b"p", honest[:40], honest, honest + honest):
                peer = s.connect()
                peer.send_raw(struct.pack(">I", length) + what)
            s.bystander.wait_calls(s.bystander.counts(), 1)
        assert keeper.maps("get", 1, map, "none") == "none"


@pytest.mark.counts
def test_a_length_beyond_the_limit_costs_no_memory(siege):
    """All 100 go on sending: what is too long is dropped as it comes."""
    with siege("--max-message", "65536") as s:
        peers = [s.connect() for _ in range(100)]
        for peer, length in zip(peers, LENGTHS[2:] * 34):
            peer.send_raw(struct.pack(">I", length) + spawn_request(peer))
        for _ in range(20):
            for peer in peers:
                peer.send_raw(bytes(1 << 16))
        wait_until(lambda: not s.crowd_keeps(100), 10, "memory as that of a crowd")


def test_a_packet_of_any_other_kind_ends_its_connection(siege):
    with siege() as s:
        for kind in set(range(256)) - {ord("p")}:
            peer = s.connect()
            assert not throw(peer, bytes([kind]) + spawn_request(peer)[1:]), kind


def test_headers_that_were_not_offered_end_their_connection(siege):
    """Of the atom cache, of fragments, and of compression."""
    with siege() as s:
        keeper = s.connect()
        control = etf.encode((dist.REG_SEND, keeper.pid(), "", "rex"))[1:]
        message = etf.encode("hello")[1:]
        fragment = struct.pack(">QQ", 1, 2)
        for header in (
            b"\x83D\0",
            b"\x83D\1\x08\0\3abc",
            b"\x83D\xff" + bytes(128),
            b"\x83E" + fragment + b"\0",
            b"\x83E" + struct.pack(">QQ", 1, 2**64 - 1) + b"\0",
            b"\x83F" + fragment,
            b"\x83F" + struct.pack(">QQ", 7, 1),
            b"\x83P\0\0\1\0",
            b"\x83y",
        ):
            for lead in (b"", b"p"):
                for rest in (b"", control, control + message):
                    peer = s.connect()
                    assert not throw(peer, lead + header + rest), (lead, header)


def test_a_fragment_that_is_never_ended_holds_nothing(siege):
    with siege() as s:
        for number in range(200):
            peer = s.connect()
            head = b"\x83E" + struct.pack(">QQ", number, 1000) + b"\0"
            assert not throw(peer, head + bytes(100_000))


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.ci)])
def test_a_control_message_of_another_arity_ends_its_connection(step, siege):
    """All numbers, each with up to 8 elements; all but one arity are wrong."""
    with siege() as s:
        peer = s.connect()
        for operation in range(256):
            arities = range(1 + operation % step, 10, step)
            for arity in {*arities, *(a for o, a in CONTROLS if o == operation)}:
                elements = [peer.ref() for _ in range(arity - 1)]
                for payload in ((), ("x",)):
                    right = CONTROLS.get((operation, arity)) == bool(payload)
                    message = packet((operation, *elements), *payload)
                    stands = throw(peer, message)
                    assert right or not stands, (operation, arity, payload)
                    if not stands:
                        peer = s.again(peer)


PID, REF, MFA, OTHER = "pid", "ref", "mfa", "other"
# What is no pid in its place, in a control message that nodes do send.
PLACES = {
    19: {3: REF},
    20: {3: REF},
    21: {3: REF},
    28: {3: REF},
    29: {1: REF, 4: MFA, 5: OTHER},
    30: {1: REF, 4: MFA, 5: OTHER},
    31: {1: REF},
    32: {1: REF},
    35: {1: OTHER},
    36: {1: OTHER},
}
# Of those that the node answers or acts on: what has to be right in them.
# Whom the others name does not matter, as nobody lives here whom they could be for.
NEEDED = {1: [1, 2], 6: [1], 16: [1], 19: [1, 2, 3], 21: [1, 3], 28: [1, 3], 35: [2]}
NEEDED |= {20: [1, 3], **{exit: [1] for exit in (3, 13, 8, 18, 24, 25, 26, 27)}}
NEEDED |= {29: [1, 2, 4], 30: [1, 2, 4]}
TERMS = [5, -1, 2**64, "x", b"x", (), [], {}, 1.5]


def control(peer, operation, arity):
    """One with all in its place, and the payload of a request."""
    kinds = {PID: peer.pid, REF: peer.ref, OTHER: lambda: []}
    kinds[MFA] = lambda: ("erpc", "execute_call", 4)
    places = PLACES.get(operation, {})
    elements = [kinds[places.get(place, PID)]() for place in range(1, arity)]
    return [operation, *elements], [peer.ref(), "ebpf_maps", "nope", []]


def ends_it(operation, place, term):
    """A name may stand where a process does that is to be watched."""
    named = (operation, place, term) == (19, 2, "x")
    return place in NEEDED.get(operation, []) and not named


def others(element, peer):
    """What is to stand in its place: all that is of another kind."""
    return [*TERMS, peer.ref() if element.kind == "pid" else peer.pid()]


def test_a_control_message_with_any_terms_harms_nobody(siege):
    """The right number of elements, and of each kind one in every place.

    It ends its connection where it asks for something, and whom it is of or
    what it is about cannot be so; nothing is done that it could mean.
    """
    with siege() as s:
        keeper, peer = s.connect(), s.connect()
        map = keeper.maps("new", *HASH, [("lifetime", "process")])
        for (operation, arity), has_payload in CONTROLS.items():
            keeper.tick()
            elements, payload = control(peer, operation, arity)
            payload = [payload] if has_payload else []
            assert throw(peer, packet(tuple(elements), *payload)), (operation, arity)
            for place in range(1, arity):
                right = elements[place]
                terms = others(right, peer) if isinstance(right, etf.Opaque) else TERMS
                for term in terms:
                    elements, _ = control(peer, operation, arity)
                    elements[place] = term
                    stands = throw(peer, packet(tuple(elements), *payload))
                    assert stands != ends_it(operation, place, term), (operation, place, term)
                    if not stands:
                        peer = s.again(peer)
        assert keeper.maps("put", 1, 1, map) == map
        assert not s.node.find_log(r"disconnected \S+: (?!(the connection was closed|it sent a malformed packet))")


def test_answers_to_questions_never_asked_change_nothing(siege):
    with siege() as s:
        peer = s.connect()
        options = [("lifetime", "process")]
        map = peer.maps("new", *HASH, options)
        me, you, ref = peer.pid(), peer.pid(node=peer.remote_name), peer.ref()
        for _ in range(200):
            for data in signals(peer).values():
                peer.send_packet(data)
            for flags in (0, 1, 2, 3, 2**31, 2**64):
                peer.send((dist.SPAWN_REPLY, ref, you, flags, me))
            for reply in ((ref, "yes"), ("rex", 1), ("$gen_call", 1), {"x": ref}):
                peer.send((dist.SEND, "", you), reply)
                peer.send((dist.ALIAS_SEND, me, ref), reply)
        assert peer.maps("put", 1, 1, map) == map


def test_the_process_of_another_node_cannot_be_said_to_have_ended(siege):
    """A handle's reference is that of the monitor: all who have it know it."""
    with siege() as s:
        owner, liar = s.connect(), s.connect()
        map = owner.maps("new", *HASH, [("lifetime", "process")])
        theirs, mine = owner.pid(), liar.pid()
        node = liar.pid(node=liar.remote_name)
        for pid in (theirs, mine):
            head = (dist.MONITOR_P_EXIT, pid, node, map[1])
            assert throw(liar, packet((*head, "normal")))
            head = (dist.PAYLOAD_MONITOR_P_EXIT, pid, node, map[1])
            assert throw(liar, packet(head, "normal"))
        assert owner.maps("put", 1, 1, map) == map


# --- the handshake


def name_packet(name, flags=dist.FLAGS, creation=7, size=None, tag=b"N"):
    size = len(name) if size is None else size
    return dist.short(tag + struct.pack(">QIH", flags, creation, size) + name)


def hellos():
    for length in (0, 1, 2**15 - 1, 2**15, 2**16 - 1):
        size = dist.short_size(length)
        for what in (b"", b"N", b"n", bytes(100), b"N" + bytes(2**16)):
            yield size + what
        yield name_packet(b"a@b", size=length)
    for size in (254, 255, 256, 257, 1000, 60000):
        yield name_packet(b"a" * (size - 2) + b"@b")
        yield name_packet(b"a@" + b"b" * (size - 2))
    for name in (b"@", b"a@", b"@b", b"a@b@c", b"\0@b", b"a\0@b", b"a@b\0", b"\xff@b"):
        yield name_packet(name)
        yield name_packet("\U0001f41d".encode() * 60 + name)
    for old in (b"n\0\5", b"n\0\6" + bytes(4)):
        data = old + b"a@b"
        yield dist.short(data)
    for tag in range(256):
        yield name_packet(b"a@b", tag=bytes([tag]))


def test_hellos_of_every_kind_are_refused_or_taken(siege):
    """They end by a shutdown, so that none is waited for."""
    with siege() as s:
        for hello in hellos():
            peer = s.connect(handshake=False)
            try:
                peer.send_raw(hello)
                peer.socket.shutdown(1)
            except (dist.Closed, OSError):
                pass
        for peer in s.peers:
            peer.wait_closed()


def try_handshake(peer, **options):
    """Whether it is taken in."""
    try:
        peer.handshake(**options)
    except (dist.Refused, dist.Closed):
        return False
    return True


def flag_combinations():
    for bit in range(64):
        yield dist.FLAGS ^ (1 << bit)
        yield 1 << bit
    dice = random.Random(7)
    for _ in range(100):
        yield dice.getrandbits(64)
        yield dist.FLAGS | dice.getrandbits(64)
    yield from (0, 2**64 - 1)


def test_a_peer_may_offer_any_flags(siege):
    """It is refused, or is served as long as it does as it says."""
    with siege() as s:
        taken = 0
        for flags in flag_combinations():
            peer = s.connect(handshake=False)
            if not try_handshake(peer, flags=flags):
                continue
            taken += 1
            for data in requests(peer, "m", "f", []).values():
                peer.send_packet(data)
            assert peer.serves(), hex(flags)
            peer.close()
        assert taken > 100


@pytest.mark.parametrize(
    "name",
    ["\x01\x02\x7f@h", "a b@c d", "%s%n@%d", "é\U0001f41d@h", "a@b@c", "a" * 253 + "@h"],
    ids=ascii,
)
def test_a_name_may_be_odd(name, siege):
    with siege() as s:
        peer = s.connect(name=name, handshake=False)
        if try_handshake(peer):
            map = peer.maps("new", *HASH)
            assert peer.maps("put", 1, 1, map) == map
            assert len(peer.maps("handles")) >= 1
        for line in s.node.lines:
            assert line.isprintable()


def test_a_wrong_cookie_may_be_tried_for_ever(siege):
    with siege() as s:
        for number in range(1000):
            peer = s.connect(handshake=False, cookie=f"guess{number}")
            assert not try_handshake(peer)
            peer.close()
        # of the wall clock: two of the node's own have a part in each of them
        assert 0 < s.node.most_in_a_second("Z warning refused") <= 2 * 20


def test_a_challenge_is_never_answered_by_an_echo(siege):
    """Who has no cookie asks the node itself for the digest."""
    with siege() as s:
        first = s.connect(handshake=False, cookie="none")
        first.send_raw(name_packet(first.name.encode()))
        assert first.receive_short()[:1] == b"s"
        challenge = struct.unpack(">I", first.receive_short()[9:13])[0]
        second = s.connect(handshake=False, cookie="none")
        second.send_raw(name_packet(second.name.encode()))
        second.receive_short()
        second.receive_short()
        digest = bytes(16)
        second.send_short(b"r" + struct.pack(">I", challenge) + digest)
        with pytest.raises(dist.Refused):
            second.receive_short()


def test_many_race_for_one_name(siege):
    """One connection of that name is left; who has lost is disconnected."""
    with siege() as s:
        made = []

        def join():
            for _ in range(25):
                peer = s.make_peer(s.node, name="race@h", creation=9, handshake=False)
                made.append(peer)
                try_handshake(peer)

        threads = [threading.Thread(target=join) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        standing = [peer for peer in made if peer.serves()]
        assert len(standing) <= 1
        for peer in made:
            peer.close()


def test_who_connected_first_cannot_replace_who_came_later(siege):
    """However late its handshake is over: it may be of a node that has gone."""
    with siege() as s:
        late = s.connect(name="one@h", creation=5, handshake=False)
        late.send_raw(name_packet(b"one@h", creation=5))
        late.receive_short()
        challenge = struct.unpack(">I", late.receive_short()[9:13])[0]
        peer = s.connect(name="one@h", creation=6)
        map = peer.maps("new", *HASH)
        digest = dist.digest(late.cookie, challenge)
        late.send_short(b"r" + struct.pack(">I", 1) + digest)
        assert late.receive_short() == b"a" + dist.digest(late.cookie, 1)
        late.wait_closed()
        assert peer.maps("put", 1, 1, map) == map


def test_creations_of_one_name_may_change_all_the_time(siege):
    """Each takes the maps of the one before with it."""
    with siege() as s:
        maps = []
        for number in range(200):
            creation = (1, 2, 3, 2**32 - 1, 5)[number % 5]
            peer = s.connect(name="many@h", creation=creation)
            assert all(
                peer.erpc("ebpf_maps", "put", [1, 1, map])[1] == ("badmap", map)
                for map in maps[-2:]
            )
            maps.append(peer.maps("new", *HASH))


# --- what others are shown of it


NO_TEXT = "its name is not UTF-8 of at most 255 characters"
TOO_LONG = "its name is longer than 256 bytes, the most that libei takes"
NO_NODE = "it is not an Erlang node of OTP 25 or later"
ZERO = "its name contains a NUL byte"
NO_HOST = "its name has no @"

REFUSED_NAMES = {
    "no text": (b"\xff\xfe@h", NO_TEXT),
    "no text at its end": (b"a@h\xc3", NO_TEXT),
    "256 characters": (b"a" * 254 + b"@h", NO_TEXT),
    "257 bytes": ("é".encode() * 127 + b"a@h", TOO_LONG),
    "402 bytes": ("é".encode() * 200 + b"@h", TOO_LONG),
    "60,000 bytes": (b"a" * 60000 + b"@h", TOO_LONG),
    "no host": (b"nohost", NO_HOST),
    "nothing": (b"", NO_HOST),
    "a byte 0": (b"a@h\0b", ZERO),
    "a byte 0 at its end": (b"a@h\0", ZERO),
    "a byte 0 at its beginning": (b"\0a@h", ZERO),
}


@pytest.mark.parametrize("name, reason", REFUSED_NAMES.values(), ids=REFUSED_NAMES)
def test_a_name_that_will_not_do_is_told_so(name, reason, siege):
    """Within the handshake, by the status that Erlang nodes know."""
    with siege() as s:
        is_told_no(s, name_packet(name), host="h")
        line = s.node.wait_log(rf"warning refused \S+ (.*): {reason}$")
        shown = "".join(chr(c) if 32 <= c < 127 else "?" for c in name.split(b"\0")[0])
        assert line[1] == (shown[:256] or "(no name)")


def is_told_no(siege, hello, parts=None, host=None):
    """Its certificate, if it has one, is of that host."""
    peer = siege.connect(handshake=False, name=f"python@{host}" if host else None)
    for part in parts or [hello]:
        peer.send_raw(part)
    assert peer.receive_short() == b"snot_allowed"
    with pytest.raises(dist.Refused):
        peer.receive_short()


def test_who_has_the_name_of_the_node_is_told_so(siege):
    with siege() as s:
        is_told_no(s, name_packet(s.node.name.encode()))
        s.node.wait_log("refused .*: it has the name of this node")


def test_who_lacks_a_capability_is_told_so(siege):
    with siege() as s:
        is_told_no(s, name_packet(b"old@h", flags=dist.FLAGS & ~dist.UTF8_ATOMS), host="h")
        s.node.wait_log(rf"warning refused \S+ old@h: {NO_NODE}$")


def test_a_name_is_looked_at_as_a_whole_however_it_comes(siege):
    """In the order of the rules, the first is that of a part of the name."""
    rules = ("--allow", "a@h=rw", "--allow", "a@h*=none")
    with siege(*rules, "--allow", "*=rw") as s:
        hello = name_packet(b"a@host")
        for cut in range(1, len(hello)):
            is_told_no(s, hello, [hello[:cut], hello[cut:]], host="host")
        is_told_no(s, hello, [hello[i : i + 1] for i in range(len(hello))], host="host")
        told = "refused .* a@host: --allow gives it nothing"
        wait_until(lambda: len(s.node.find_log(told)) >= 20)
        assert not s.node.find_log("connected a@h")


def test_what_is_no_name_packet_is_told_nothing(siege):
    """It may be anything that speaks another protocol."""
    with siege() as s:
        odd = (b"\0\3abc", b"GET / HTTP/1.0\r\n\r\n" * 2000, name_packet(b"a@h", size=4))
        for hello in odd:
            peer = s.connect(handshake=False)
            with pytest.raises((dist.Closed, dist.Refused)):  # it may end before all is sent
                peer.send_raw(hello)
                peer.receive_short()
        wait_until(lambda: len(s.node.find_log(NO_NODE)) == len(odd))


def test_a_name_may_be_as_long_as_libei_takes_it(siege):
    """256 bytes, of fewer characters."""
    with siege() as s:
        peer = s.connect(name="é" * 127 + "@h")
        map = peer.maps("new", *HASH)
        assert peer.maps("put", 1, 1, map) == map
        for handles in (peer.maps("handles"), s.beam.erpc(s.node.name, "handles")):
            assert (map, peer.name, "node") in handles


@pytest.mark.parametrize("creation", [3, 4, 200])
def test_a_pid_that_no_other_node_could_read_is_none(creation, siege):
    """handles/0 shows pids to all; a node hangs up who sends one it cannot read."""
    with siege() as s:
        peer = s.connect()
        numbers = struct.pack(">IIB", 5, 0, creation)
        old = etf.Opaque("pid", b"\x67" + etf.atom(peer.name) + numbers, peer.name)
        peer.pid = lambda node=None: old
        options = [("lifetime", "process")]
        peer.start_erpc("ebpf_maps", "new", ["hash", 4, 8, 4, options])
        if creation > 3:
            with pytest.raises(Closed):
                peer.receive_packet()
        else:
            peer.receive_packet()
        assert isinstance(s.beam.erpc(s.node.name, "handles"), list)
