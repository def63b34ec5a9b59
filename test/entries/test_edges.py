# SPDX-License-Identifier: Apache-2.0
"""Where one rule meets another, and nothing else asks: what a mistake in either
would change."""

import os
import resource
import socket
import time

import pytest

import etf
from cluster import wait_until
from conftest import Maps, raises
from counting import Trace
from dist import Refused
from native import u32

pytestmark = pytest.mark.single

KIB = 1024


# --- entries


def test_an_update_of_a_trie_wants_its_own_prefix(fresh_cnode, alice):
    """A lookup would find the shorter one."""
    maps = Maps(alice, fresh_cnode)
    trie = maps.new("lpm_trie", 8, 4, 4)
    maps.put(((10, 0, 0, 0), 8), 1, trie)
    with raises(("badkey", ((10, 1, 0, 0), 16))):
        maps.update(((10, 1, 0, 0), 16), 2, trie)
    assert maps.size(trie) == 1
    assert maps.get(((10, 1, 2, 3), 32), trie) == u32(1)


def test_a_number_is_no_program_in_the_value_of_a_devmap(fresh_cnode, alice):
    """The second half of a value is a descriptor, of this process."""
    maps = Maps(alice, fresh_cnode)
    devmap = maps.new("devmap", 4, 8, 1)
    for value in (u32(1) + u32(3), 3 << 32 | 1):
        with raises("badarg"):
            maps.put(0, value, devmap)
    assert maps.put(0, u32(1) + u32(0), devmap) == devmap


@pytest.mark.parametrize("type", ["queue", "stack"])
def test_a_drain_by_chunks_that_is_done_takes_no_more(type, fresh_cnode, alice):
    maps = Maps(alice, fresh_cnode)
    map = maps.new(type, 0, 4, 4)
    maps.push(7, map)
    assert maps.drain_chunk("done", map, 10) == ([], "done")
    assert maps.pop(map) == u32(7)


# --- memory


@pytest.mark.many
def test_the_keys_of_a_with_take_memory_for_as_long_as_it_lasts(start_cnode, alice):
    """Each takes a quarter of what all may have; a hundred of them go through."""
    node = start_cnode("--max-message", str(1024 * KIB), "--max-memory", str(4096 * KIB))
    maps = Maps(alice, node)
    map = maps.new("hash", 4, 4, 4)
    maps.put(1, 2, map)
    keys = list(range(32000))
    for _ in range(20):
        assert maps.call("with", keys, map) == {1: u32(2)}


def test_what_is_in_a_map_too_wide_to_look_into_counts_on(start_cnode, alice):
    """Without ids, a map that nobody has open may be there, or have gone."""
    node = start_cnode("--no-open-by-id", "--max-map-memory", str(28 * KIB * KIB))
    maps = Maps(alice, node)
    inner = maps.new("array", 4, KIB * KIB, 4)
    outer = maps.new("array_of_maps", 4, 4, 3000000, [("inner_map", inner)])
    maps.put(0, inner, outer)
    maps.close(inner)
    assert maps.new("array", 4, KIB * KIB, 2) == ("error", "enomem")
    node.wait_log("not looking into map .* of 3000000 entries")
    assert maps.new("array", 4, KIB, 2)[0] == "ebpf_map"


@pytest.mark.many
def test_arrays_of_maps_are_looked_into_up_to_so_many_slots_in_all(start_cnode, alice):
    """Each has less than that; a map that was in one of them has gone since."""
    slots = 1_500_000
    node = start_cnode("--no-open-by-id", "--max-map-memory", str(28 * KIB * KIB))
    maps = Maps(alice, node)
    inner = maps.new("array", 4, KIB * KIB, 4)
    options = [("inner_map", inner)]
    outer, other = (maps.new("array_of_maps", 4, 4, slots, options) for _ in range(2))
    maps.put(0, inner, outer)
    maps.close(inner)
    maps.remove(0, outer)
    # a million and a half look-ups
    assert maps.call("new", "array", 4, KIB * KIB, 2, timeout=120) == ("error", "enomem")
    node.wait_log(f"not looking into map .* of {slots} entries")
    assert len(node.find_log("not looking into map")) == 1
    maps.close(other)
    assert maps.call("new", "array", 4, KIB * KIB, 14, timeout=120)[0] == "ebpf_map"


# --- descriptors


def open_descriptors(node):
    return {int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")}


def allow_only(node, more):
    """As many descriptors as there are, and so many more."""
    fds = open_descriptors(node)
    free = [fd for fd in range(max(fds) + 2 + more) if fd not in fds]
    limit = free[more]
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (limit, hard))


def allow_all(node):
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (hard, hard))


def test_what_a_type_can_do_is_not_guessed_for_want_of_descriptors(start_cnode, alice):
    """A map can be made, and no other one to try it on: that is emfile, not a type
    that knows no buckets from then on."""
    node = start_cnode()
    maps = Maps(alice, node)
    assert maps.stats()  # the connection is there
    allow_only(node, 1)
    assert maps.new("lru_hash", 4, 4, 64) == ("error", "emfile")
    allow_all(node)
    map = maps.new("lru_hash", 4, 4, 64)
    for key in range(32):
        maps.put(key, key, map)
    _, cursor = maps.next_chunk("start", map, 1)
    assert len(cursor) == 4  # of a bucket


def test_who_cannot_be_accepted_is_tried_now_and_then(start_cnode, alice, tmp_path):
    """A connection waits while there is no descriptor for it: ten tries a second."""
    node = start_cnode()
    assert Maps(alice, node).stats()  # the connection is there
    allow_only(node, 0)
    with socket.create_connection(("127.0.0.1", node.port)):
        node.wait_log("no connection can be accepted")
        with Trace(node, tmp_path / "trace") as trace:
            begun = time.monotonic()
            wait_until(lambda: time.monotonic() - begun >= 1)
            took = time.monotonic() - begun
        assert 1 <= trace.calls["accept4"] <= 10 * took + 5
        allow_all(node)
        node.wait_log("connections are accepted again")


# --- names and connections


def test_a_name_that_libei_cannot_take_is_not_allowed(fresh_cnode, connect):
    """The refusal says so: a node that is only disconnected would try again."""
    name = "n" * 300 + "@here"
    peer = connect(fresh_cnode, name=name, handshake=False)
    with pytest.raises(Refused, match="snot_allowed"):
        peer.handshake()


def test_the_later_of_two_connections_of_a_name_stays(fresh_cnode, connect):
    """Also where the earlier one is through its handshake after it."""
    name = "twin@here"
    threads = fresh_cnode.threads()
    earlier = connect(fresh_cnode, name=name, handshake=False)
    wait_until(lambda: fresh_cnode.threads() > threads, what="it is accepted")
    later = connect(fresh_cnode, name=name)
    assert later.serves()
    start = fresh_cnode.mark()
    earlier.handshake()
    fresh_cnode.wait_log(f"refused .* {name}: a newer connection has replaced it", start=start)
    assert later.serves()


@pytest.mark.parametrize("call", ["call", "block_call"])
def test_a_call_of_rex_with_more_than_it_takes_is_none(call, fresh_cnode, connect):
    """As an Erlang node's rex, which has no such call."""
    peer = connect(fresh_cnode)
    map = peer.maps("new", "hash", 4, 4, 4)
    asked = (etf.Atom(call), etf.Atom("ebpf_maps"), etf.Atom("put"), [1, 1, map])
    for request, there in (((*asked, peer.pid(), 1), "false"), ((*asked, peer.pid()), "true")):
        peer.reg_send("rex", (etf.Atom("$gen_call"), (peer.pid(), peer.ref()), request))
        assert peer.maps("is_key", 1, map) == there
