# SPDX-License-Identifier: Apache-2.0
"""Terms that no peer has a reason to send, in every place of a message."""

import struct

import pytest

import dist
import etf
from hostile import HASH, packet, spawn_request, throw

pytestmark = pytest.mark.single

MB = 1000 * 1000
LEVELS = 100_000
LENGTHS = [2**31 - 1, 2**31, 2**32 - 1]  # 0 and 1 are lengths like any other


def raw(data):
    return etf.Opaque("raw", data)


def u32(n):
    return struct.pack(">I", n)


def atom(size, tag=118):
    return struct.pack(">BH", tag, size) + b"a" * size


NODE = etf.atom("a@b")
FUN_ENVIRONMENT = NODE + b"a\1a\2" + etf.pid("a@b", 1).raw

# What a packet may have in it: whoever asks with it is answered.
STRANGE = {
    "improper list": etf.body(etf.Improper((1, 2), 3)),
    "improper list of lists": etf.body(etf.Improper(([1],), [1])),
    "list that ends in a string": b"l\0\0\0\1a\1k\0\2ab",
    "list of no elements": b"l\0\0\0\0j",
    "improper list of no elements": b"l\0\0\0\0a\1",
    "big of 10 MB": b"o" + u32(10 * MB) + b"\0" + b"\xff" * 10 * MB,
    "negative big of 1 MB": b"o" + u32(MB) + b"\1" + b"\xff" * MB,
    "zero of 1 MB": b"o" + u32(MB) + bytes(1 + MB),
    "big of no bytes": b"n\0\0",
    "large big of no bytes": b"o\0\0\0\0\1",
    "minus zero": b"n\1\1\0",
    "sign of 255": b"n\1\xff\1",
    "tuples 100,000 deep": b"h\1" * LEVELS + b"j",
    "large tuples 100,000 deep": b"i\0\0\0\1" * LEVELS + b"j",
    "lists 100,000 deep": b"l\0\0\0\1" * LEVELS + b"j" + b"j" * LEVELS,
    "tails 100,000 deep": b"l\0\0\0\1a\1" * LEVELS + b"j",
    "keys 100,000 deep": b"t\0\0\0\1" * LEVELS + b"j" * (LEVELS + 1),
    "values 100,000 deep": b"t\0\0\0\1j" * LEVELS + b"j",
    "tuple of 1,000,000": b"i" + u32(MB) + b"j" * MB,
    "list of 1,000,000": b"l" + u32(MB) + b"j" * MB + b"j",
    "string of 65,535": b"k\xff\xff" + b"\1" * 65535,
    "map of 500,000 times one key": b"t" + u32(500_000) + b"jj" * 500_000,
    "map with a key twice": b"t\0\0\0\2a\1a\1a\1a\2",
    "empty map": b"t\0\0\0\0",
    "infinity in text": b"c" + b"inf".ljust(31, b"\0"),
    "nan in text": b"c" + b"nan".ljust(31, b"\0"),
    "float of no text": b"c" + bytes(31),
    "float of 31 digits": b"c" + b"9" * 31,
    "float": b"F" + struct.pack(">d", -0.0),
    "fun": b"p" + u32(29 + len(FUN_ENVIRONMENT)) + bytes(21) + u32(0) + FUN_ENVIRONMENT,
    "fun of another size than it says": b"p" + bytes(25) + u32(0) + FUN_ENVIRONMENT,
    "old fun": b"u\0\0\0\0" + etf.pid("a@b", 1).raw + NODE + b"a\1a\1",
    "export": b"q" + NODE + NODE + b"a\1",
    "export of no names": b"qjjj",
    "port": b"x" + NODE + bytes(12),
    "new port": b"Y" + NODE + bytes(8),
    "old port": b"f" + NODE + bytes(5),
    "old pid": b"g" + NODE + bytes(9),
    "pid": etf.pid("a@b", 2**32 - 1, 2**32 - 1, 2**32 - 1).raw,
    "pid of a node without a name": etf.pid("", 1).raw,
    "oldest reference": b"e" + NODE + bytes(5),
    "old reference": b"r\0\3" + NODE + bytes(13),
    "reference": etf.ref("a@b", [2**32 - 1] * 5, 2**32 - 1).raw,
    "bitstring": b"M\0\0\0\1\1\xff",
    "bitstring of 8 bits": b"M\0\0\0\4\x08\1\0\0\0",
    "bitstring of 1 MB": b"M" + u32(MB) + b"\7" + bytes(MB),
    "empty binary": b"m\0\0\0\0",
    "binary of 1 MB": b"m" + u32(MB) + bytes(MB),
    "atom of 255 characters of 4 bytes": b"v\3\xfc" + "\U0001f41d".encode() * 255,
    "atom of Latin-1": b"d\0\xff" + b"\xff" * 255,
    "small atom of Latin-1": b"s\1\xff",
    "empty atom": b"w\0",
    "atom with a NUL": b"w\3a\0b",
    "empty tuple": b"h\0",
}

# What may not be in a packet: whoever sends it is disconnected.
MALFORMED = {
    "NaN": b"F" + struct.pack(">d", float("nan")),
    "signalling NaN": b"F\x7f\xf0\0\0\0\0\0\1",
    "infinity": b"F" + struct.pack(">d", float("inf")),
    "minus infinity": b"F" + struct.pack(">d", float("-inf")),
    "compressed": b"P\0\0\0\2x\x9cK\xf4\4\0\0\xc3\0\xc2",
    "compressed to 4 GB": b"P\xff\xff\xff\xffx\x9cK\xf4\4\0\0\xc3\0\xc2",
    "atom of 65,535": atom(65535),
    "atom of Latin-1 of 65,535": atom(65535, 100),
    "atom of 256": atom(256),
    "atom of no UTF-8": b"w\2\xc3\x28",
    "atom of a surrogate": b"w\3\xed\xa0\x80",
    "atom of an overlong NUL": b"w\2\xc0\x80",
    "atom out of the cache": b"R\0",
    "last atom of the cache": b"R\xff",
    "new atom of the cache": b"N\0\0\3abc",
    "old atom of the cache": b"C\0",
    "term of one node only": b"y" + bytes(4) + b"j",
    "version within": b"\x83a\1",
    "reference of no words": b"Z\0\0" + NODE + bytes(4),
    "reference of 6 words": etf.ref("a@b", [1] * 6).raw,
    "reference of 65,535 words": b"Z\xff\xff" + NODE + bytes(4 + 4 * 65535),
    "node that is no atom": b"X" + b"m\0\0\0\3a@b" + bytes(12),
    "node that is a pid": b"X" + etf.pid("a@b", 1).raw + bytes(12),
    "node with a NUL": etf.pid("a\0@b", 1).raw,
    "node of 65,535": b"X" + atom(65535) + bytes(12),
    "bitstring of 0 bits": b"M\0\0\0\1\0\xff",
    "bitstring of 9 bits": b"M\0\0\0\1\x09\xff",
    "bitstring of no bytes": b"M\0\0\0\0\1",
}


def lying_lengths():
    """Each tag that a length follows, with a length beyond the packet's end."""
    forms = {
        "binary": b"m%s",
        "bitstring": b"M%s\x08",
        "list": b"l%s",
        "large tuple": b"i%s",
        "map": b"t%s",
        "large big": b"o%s\0",
        "old fun": b"u%s",
        "fun with so many variables": b"p" + bytes(25) + b"%s",
    }
    for name, form in forms.items():
        for length in LENGTHS:
            yield f"{name} of {length}", form % u32(length) + b"jjjj"
    for name, form in {"atom": b"v%s", "Latin-1": b"d%s", "string": b"k%s"}.items():
        yield f"{name} of 65535", form % b"\xff\xff" + b"aa"
    for tag in b"hnws":
        yield f"{chr(tag)} of 255", bytes([tag, 255]) + b"aa"


KNOWN_TAGS = b"abcdefghijklmnopqrstuvwxFMXYZ"


def unknown_tags():
    for tag in set(range(256)) - set(KNOWN_TAGS):
        yield f"tag {tag}", bytes([tag]) + bytes(40)


# Where in a request a term may stand: {place: (function, arguments)}
ARGUMENTS = {
    "key": ("get", lambda x, map: [x, map]),
    "key to take": ("take", lambda x, map: [x, map]),
    "key to put": ("put", lambda x, map: [x, 1, map]),
    "value to put": ("put", lambda x, map: [1, x, map]),
    "value to push": ("push", lambda x, map: [x, map]),
    "default": ("get", lambda x, map: [77, map, x]),
    "map": ("get", lambda x, map: [1, x]),
    "reference of a map": ("get", lambda x, map: [1, ("ebpf_map", x, "hash", 4, 8, 4)]),
    "sizes of a map": ("get", lambda x, map: [1, (*map[:2], x, x, x, x)]),
    "map of a map's name": ("get", lambda x, map: [1, etf.Improper(map, x)]),
    "map to close": ("close", lambda x, map: [x]),
    "type": ("new", lambda x, map: [x, 4, 8, 4]),
    "size of a key": ("new", lambda x, map: ["hash", x, 8, 4]),
    "size of a value": ("new", lambda x, map: ["hash", 4, x, 4]),
    "number of entries": ("new", lambda x, map: ["hash", 4, 8, x]),
    "options": ("new", lambda x, map: ["hash", 4, 8, 4, x]),
    "option": ("new", lambda x, map: ["hash", 4, 8, 4, [x]]),
    "option's name": ("new", lambda x, map: ["hash", 4, 8, 4, [(x, 1)]]),
    "option's value": ("new", lambda x, map: ["hash", 4, 8, 4, [("name", x)]]),
    "inner map": ("new", lambda x, map: ["hash_of_maps", 4, 4, 4, [("inner", x)]]),
    "what to open": ("open", lambda x, map: [x]),
    "id": ("open", lambda x, map: [("id", x)]),
    "name to open": ("open", lambda x, map: [("name", x)]),
    "path to open": ("open", lambda x, map: [("pinned", x)]),
    "path to pin": ("pin", lambda x, map: [x, map]),
    "pairs": ("merge", lambda x, map: [map, x]),
    "pair": ("merge", lambda x, map: [map, [x]]),
    "key of a pair": ("merge", lambda x, map: [map, [(x, 1)]]),
    "value of a pair": ("merge", lambda x, map: [map, {1: x}]),
    "keys": ("with", lambda x, map: [x, map]),
    "key of many": ("without", lambda x, map: [[1, x], map]),
    "iterator": ("next", lambda x, map: [x]),
    "cursor": ("next_chunk", lambda x, map: [x, map, 4]),
    "size of a chunk": ("next_chunk", lambda x, map: ["start", map, x]),
    "argument list": ("get", lambda x, map: x),
    "end of the argument list": ("get", lambda x, map: etf.Improper((1, map), x)),
    "function": (None, lambda x, map: []),
}


def messages(peer, term):
    """{place: maker} of messages with a term in a place that is no argument's."""
    me, ref = peer.pid(), peer.ref()
    call = ("call", "ebpf_maps", "nope", [], me)
    rex = (dist.REG_SEND, me, "", "rex")
    return {
        "module": lambda: spawn_request(peer, args=[ref, term, "get", []]),
        "id of the call": lambda: spawn_request(peer, args=[term, "m", "f", []]),
        "payload of a spawn": lambda: spawn_request(peer, args=term),
        "id": lambda: spawn_request(peer, id=term),
        "sender": lambda: spawn_request(peer, sender=term),
        "leader": lambda: spawn_request(peer, leader=term),
        "mfa": lambda: spawn_request(peer, mfa=term),
        "arity": lambda: spawn_request(peer, mfa=("erpc", "execute_call", term)),
        "spawned module": lambda: spawn_request(peer, mfa=(term, "f", 1)),
        "spawn options": lambda: spawn_request(peer, options=term),
        "spawn option": lambda: spawn_request(peer, options=[("monitor", term)]),
        "control": lambda: packet(term),
        "operation": lambda: packet((term, me, me)),
        "cookie": lambda: packet((dist.REG_SEND, me, term, "rex"), (me, call)),
        "name to send to": lambda: packet((dist.REG_SEND, me, "", term), "x"),
        "message": lambda: packet(rex, term),
        "message to net_kernel": lambda: packet((*rex[:3], "net_kernel"), term),
        "tag": lambda: packet(rex, ("$gen_call", (me, term), call)),
        "alias": lambda: packet(
            rex, ("$gen_call", (me, etf.Improper(("alias",), term)), call)
        ),
        "from": lambda: packet(rex, ("$gen_call", term, call)),
        "whom to answer": lambda: packet(rex, ("$gen_call", (term, ref), call)),
        "call": lambda: packet(rex, (me, term)),
        "group leader": lambda: packet(rex, (me, (*call[:4], term))),
        "sbcast": lambda: packet(rex, (me, ("sbcast", term, term))),
        "pinging node": lambda: packet(
            (*rex[:3], "net_kernel"), ("$gen_call", (me, ref), ("is_auth", term))
        ),
        "monitored": lambda: packet((dist.MONITOR_P, me, term, ref)),
        "monitor": lambda: packet((dist.MONITOR_P, me, "x", term)),
        "monitoring": lambda: packet((dist.MONITOR_P, term, "x", ref)),
        "linked": lambda: packet((dist.LINK, me, term)),
        "unlink id": lambda: packet((dist.UNLINK_ID_OP, term, me, me)),
        "ended": lambda: packet((dist.MONITOR_P_EXIT, me, me, term, "x")),
        "reason": lambda: packet((dist.MONITOR_P_EXIT, me, me, ref, term)),
        "reason of an exit": lambda: packet((dist.EXIT, me, me, term)),
        "trace token": lambda: packet((18, me, me, term, "x")),
    }



# Places where any term may stand, since nobody looks at it.
UNREAD = {
    "leader",
    "spawn options",
    "spawn option",
    "cookie",
    "message",
    "message to net_kernel",
    "tag",
    "alias",
    "call",
    "group leader",
    "pinging node",
    "unlink id",
    "reason",
    "reason of an exit",
    "trace token",
}


def call_with(peer, place, term, map):
    """(id, bytes) of a request with the term among its arguments."""
    function, make = ARGUMENTS[place]
    request = peer.ref()
    args = [request, "ebpf_maps", function or term, make(term, map)]
    return request, spawn_request(peer, id=request, args=args)


def some(places, number, data, step):
    """All of them for what is short; what is long goes to each step-th one."""
    return places[number % step :: step] if len(data) > MB / 2 else places


steps = pytest.mark.parametrize(
    "step", [6, pytest.param(1, marks=[pytest.mark.ci, pytest.mark.slow])]
)


@steps
def test_a_strange_argument_is_answered(step, siege):
    """In every place; the answer tells of an error, or gives a value."""
    with siege() as s:
        peer = s.connect()
        map = peer.maps("new", *HASH)
        for number, (what, data) in enumerate(STRANGE.items()):
            for place in some(list(ARGUMENTS), number, data, step):
                request, call = call_with(peer, place, raw(data), map)
                try:
                    peer.send_packet(call)
                    peer.wait_exit(request, 30)
                except dist.Closed:
                    raise AssertionError(f"disconnected for {what} as {place}") from None
        assert peer.serves()


@steps
def test_a_strange_term_elsewhere_harms_nobody(step, siege):
    """Its connection ends where the message needs another term there."""
    with siege() as s:
        peer = s.connect()
        places = list(messages(peer, None))
        for number, (what, data) in enumerate(STRANGE.items()):
            for place in some(places, number, data, step):
                stands = throw(peer, messages(peer, raw(data))[place]())
                assert stands or place not in UNREAD, f"{what} as {place}"
                if not stands:
                    peer = s.again(peer)


BAD_TERMS = {
    "malformed": MALFORMED,
    "lying lengths": dict(lying_lengths()),
    "unknown tags": dict(unknown_tags()),
}


@steps
@pytest.mark.parametrize("kind", BAD_TERMS)
def test_a_malformed_term_ends_its_connection_wherever_it_stands(kind, step, siege):
    with siege() as s:
        keeper = s.connect()
        map = keeper.maps("new", *HASH)
        peer = s.connect()
        places = [*ARGUMENTS, *messages(peer, None)]
        for number, (what, data) in enumerate(BAD_TERMS[kind].items()):
            keeper.tick()  # it may take longer than the tick time
            for place in places[number % step :: step]:
                if place in ARGUMENTS:
                    message = call_with(peer, place, raw(data), map)[1]
                else:
                    message = messages(peer, raw(data))[place]()
                assert not throw(peer, message), f"{what} as {place}"
                peer = s.again(peer)
        assert keeper.maps("to_list", map) == []


def test_a_short_length_is_a_length_like_any_other(siege):
    """Lengths of 0 and 1, of all that has one."""
    with siege() as s:
        peer = s.connect()
        map = peer.maps("new", *HASH)
        for length in (0, 1):
            count = u32(length)
            for data in (
                b"m" + count + b"a" * length,
                b"l" + count + b"j" * length + b"j",
                b"i" + count + b"j" * length,
                b"t" + count + b"jj" * length,
                b"o" + count + b"\0" + b"\1" * length,
                b"n" + count[3:] + b"\0" + b"\1" * length,
                b"h" + count[3:] + b"j" * length,
                b"w" + count[3:] + b"a" * length,
                b"k" + count[2:] + b"a" * length,
                b"v" + count[2:] + b"a" * length,
            ):
                for place in ARGUMENTS:
                    request, call = call_with(peer, place, raw(data), map)
                    peer.send_packet(call)
                    peer.wait_exit(request)


def test_of_a_key_twice_in_a_map_the_later_one_counts(siege):
    with siege() as s:
        peer = s.connect()
        map = peer.maps("new", *HASH)
        twice = raw(b"t\0\0\0\2a\1a\5a\1a\6")
        assert peer.maps("merge", map, twice) == map
        assert peer.maps("to_list", map) == [(b"\1\0\0\0", struct.pack("=Q", 6))]


def test_options_without_end_are_read_once(siege):
    """Of a spawn, and of a new map."""
    with siege() as s:
        peer = s.connect()
        for options in (
            b"l" + u32(MB) + etf.atom("link") * MB + b"j",
            b"l" + u32(MB) + b"h\2j" * MB + b"j" * (MB + 1),
        ):
            assert throw(peer, spawn_request(peer, options=raw(options)))
            request = peer.start_erpc("ebpf_maps", "new", [*HASH, raw(options)])
            peer.wait_exit(request)
