# SPDX-License-Identifier: Apache-2.0
"""Maps of sockets that others have put there. The kernel gives their cookies, of
8 bytes, and to values of 4 ENOSPC, be there a socket or not."""

import ctypes
import os
import socket
import sys

import pytest

from conftest import raises
from native import u32

pytestmark = pytest.mark.single

libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)


@pytest.fixture
def connected():
    """A connection's sockets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as one:
            other, _ = server.accept()
            with other:
                yield one, other


@pytest.fixture
def filled(maps, connected):
    """filled(type, value size): a map with two sockets, 1 and 3."""

    def filled(type, value_size):
        map = maps.new(type, 4, value_size, 4)
        fd = libbpf.bpf_map_get_fd_by_id(maps.info(map)["id"])
        for key, one in zip((1, 3), connected):
            value = one.fileno().to_bytes(value_size, sys.byteorder)
            assert libbpf.bpf_map_update_elem(fd, u32(key), value, 0) == 0
        os.close(fd)
        return map

    return filled


def test_the_facade_needs_no_values_for_keys(filled, start_beam, ebin):
    map = filled("sockhash", 4)
    beam = start_beam(paths=[ebin])
    assert sorted(beam.apply("ebpf_maps", "keys", map)) == [u32(1), u32(3)]


def with_(maps, map):
    return maps.call("with", [1, 2], map)


NEED_VALUES = {
    "get": lambda maps, map: maps.get(1, map),
    "find": lambda maps, map: maps.find(1, map),
    "is_key": lambda maps, map: maps.is_key(1, map),
    "take": lambda maps, map: maps.take(1, map),
    "with": with_,
    "values": lambda maps, map: maps.values(map),
    "to_list": lambda maps, map: maps.to_list(map),
    "drain": lambda maps, map: maps.drain(map),
    "next": lambda maps, map: maps.next(maps.iterator(map)),
    "next_chunk": lambda maps, map: maps.next_chunk("start", map, 8),
    "drain_chunk": lambda maps, map: maps.drain_chunk("start", map, 8),
}
NEED_KEYS = {
    "keys": lambda maps, map: maps.keys(map),
    "size": lambda maps, map: maps.size(map),
}


def test_the_keys_of_sockets_need_no_values(maps, filled):
    map = filled("sockhash", 4)
    assert sorted(maps.keys(map)) == [u32(1), u32(3)]
    assert maps.size(map) == 2


@pytest.mark.parametrize("type", ["sockmap", "sockhash"])
def test_sockets_are_shown_by_their_cookies(type, maps, filled, connected):
    map = filled(type, 8)
    cookies = [
        one.getsockopt(socket.SOL_SOCKET, 57, 8) for one in connected  # SO_COOKIE
    ]
    assert sorted(maps.to_list(map)) == [(u32(1), cookies[0]), (u32(3), cookies[1])]
    assert sorted(maps.keys(map)) == [u32(1), u32(3)]
    assert maps.size(map) == 2


@pytest.mark.parametrize("function", NEED_VALUES)
@pytest.mark.parametrize("type", ["sockmap", "sockhash"])
def test_sockets_that_cannot_be_read_are_not_taken_for_none(
    type, function, maps, filled
):
    map = filled(type, 4)
    with raises("enospc"):
        NEED_VALUES[function](maps, map)


@pytest.mark.parametrize("function", NEED_KEYS)
def test_places_of_sockets_are_not_told_from_holes_without_values(
    function, maps, filled
):
    map = filled("sockmap", 4)
    with raises("enospc"):
        NEED_KEYS[function](maps, map)


@pytest.mark.parametrize("type", ["sockmap", "sockhash"])
@pytest.mark.parametrize("size", [4, 8])
def test_sockets_are_removed_whatever_their_values_are(size, type, maps, filled):
    map = filled(type, size)
    assert maps.remove(1, map) == maps.remove(1, map) == map
    assert maps.clear(map) == map
    with_cookies = maps.keys(map) if (type, size) != ("sockmap", 4) else []
    assert with_cookies == []
