# SPDX-License-Identifier: Apache-2.0
"""Every request and every signal, cut short anywhere."""

import struct

import pytest

import dist
import etf
from hostile import HASH, requests, signals

BEGINNING = 32768  # of a request too long: the node answers from so much of it
MAX = 4096


def all_forms(peer, map):
    """{what: packet}; the requests are of put."""
    return {**requests(peer, "ebpf_maps", "put", [1, 5, map]), **signals(peer)}


def keeper(siege):
    """Who stays, and its map. It has to tick: a test may take its tick time."""
    peer = siege.connect()
    return peer, peer.maps("new", *HASH)


def test_whole_forms_leave_the_connection_standing(siege):
    """What the tests below cut short is right as long as it is whole."""
    with siege() as s:
        peer, map = keeper(s)
        for form, packet in all_forms(peer, map).items():
            peer.send_packet(packet)
            assert peer.serves(), form
        assert peer.maps("get", 1, map) == struct.pack("=Q", 5)


@pytest.mark.slow
def test_a_packet_cut_short_anywhere_ends_its_connection(siege):
    """The length is that of what comes, and no byte of it is left out."""
    with siege() as s:
        peer, map = keeper(s)
        for form, packet in all_forms(peer, map).items():
            cut = []
            for size in range(1, len(packet)):
                cut.append(s.connect())
                cut[-1].send_packet(packet[:size])
            peer.tick()
            for size, one in enumerate(cut, 1):
                assert not one.serves(), f"{form}, {size} of {len(packet)} bytes"
        assert peer.maps("get", 1, map, "none") == "none"


@pytest.mark.parametrize("step", [4, pytest.param(1, marks=pytest.mark.ci)])
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_stream_may_end_anywhere(end, step, siege):
    """The length is right, and the peer goes before all of it is sent."""
    with siege() as s:
        peer, map = keeper(s)
        for packet in all_forms(peer, map).values():
            peer.tick()
            data = dist.framed(packet)
            for size in range(1, len(data), step):
                one = s.connect()
                one.send_raw(data[:size])
                getattr(one, end)()
                s.peers.remove(one)
        assert peer.maps("get", 1, map, "none") == "none"


def test_a_packet_with_bytes_more_ends_its_connection(siege):
    with siege() as s:
        peer, map = keeper(s)
        for form, packet in all_forms(peer, map).items():
            peer.tick()
            for more in (b"\0", b"\x83", etf.encode("word"), bytes(1000)):
                one = s.connect()
                one.send_packet(packet + more)
                assert not one.serves(), (form, more)
        assert peer.maps("get", 1, map, "none") == "none"


def told_too_big(peer):
    """Whether an answer says so, among those that are under way."""
    last = peer.start_erpc("ebpf_maps", "nope", []).raw
    told = False
    while last not in (answer := peer.receive_packet()) or b"nope" not in answer:
        told |= b"too_big" in answer
    return told


def test_a_request_too_long_may_be_cut_anywhere(siege):
    """Of such a request the node reads the beginning, wherever that ends."""

    def put(form, filler):
        args = [1, 5, map]
        return requests(peer, "ebpf_maps", "put", args, bytes(filler))[form]

    with siege("--max-message", str(MAX)) as s:
        stays, map = keeper(s)
        peer = s.connect()
        asks = set(requests(peer, "m", "f", []))
        told = set()
        for form in asks:
            stays.tick()
            short = put(form, 0)
            for cut in range(short.index(b"m\0\0\0\0") + 5, len(short) + 1):
                peer.send_packet(put(form, BEGINNING - cut))
                try:
                    if told_too_big(peer):
                        told.add(form)
                except dist.Closed:
                    peer = s.again(peer)
        assert told == asks - {"spawn", "cast", "sbcast", "ping"}
        assert s.connect().maps("get", 1, map, "none") == "none"
