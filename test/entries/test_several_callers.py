# SPDX-License-Identifier: Apache-2.0
"""Several callers at once on one map; ThreadSanitizer runs these."""

import pytest

from cluster import wait_until

LOOPBACK = 1  # the number of an interface that is in every network

@pytest.mark.parametrize(
    "shape, value",
    [
        (("hash", 4, 4, 2000), 7),
        (("percpu_hash", 4, 4, 2000), 7),
        (("lpm_trie", 4 + 2, 4, 2000, ["no_prealloc"]), 7),
        (("devmap", 4, 4, 2000), LOOPBACK),
        (("devmap_hash", 4, 4, 2000), LOOPBACK),
    ],
    ids=str,
)
def test_each_entry_is_taken_by_one_of_two_nodes(shape, value, alice, bob, maps, cnode):
    map = maps.new(*shape)
    key = "<<16:32/native, K:16>>" if shape[0] == "lpm_trie" else "K"
    alice.eval(
        f"[erpc:call(N, ebpf_maps, put, [{key}, V, Map]) || K <- lists:seq(0, 999)]",
        N=cnode.name,
        V=value,
        Map=map,
    )
    for beam in (alice, bob):
        beam.start_eval(
            f"""
            Asked = [erpc:send_request(N, ebpf_maps, take, [{key}, Map]) ||
                     K <- lists:seq(0, 999)],
            [K || {{K, R}} <- lists:zip(lists:seq(0, 999), Asked),
                  erpc:receive_response(R, 20000) =/= error]""",
            N=cnode.name,
            Map=map,
        )
    mine, yours = alice.finish(30), bob.finish(30)
    assert sorted(mine + yours) == list(range(1000))
    assert maps.walk(map) == []


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
def test_update_never_brings_back_what_was_removed(type, alice, bob, maps, cnode):
    """Where the kernel has no such operation the C node must hold a lock."""
    map = maps.new(type, 4, 4, 8)
    bob.start_eval(
        """
        [begin
             erpc:call(N, ebpf_maps, put, [1, 1, Map]),
             erpc:call(N, ebpf_maps, remove, [1, Map]),
             erpc:call(N, ebpf_maps, get, [1, Map, none])
         end || _ <- lists:seq(1, 1000)]""",
        N=cnode.name,
        Map=map,
    )
    alice.eval(
        """
        [try erpc:call(N, ebpf_maps, update, [1, 1, Map]) catch error:_ -> no end ||
         _ <- lists:seq(1, 3000)], ok""",
        N=cnode.name,
        Map=map,
    )
    assert set(bob.finish(60)) == {"none"}


def test_a_merge_of_maps_that_are_closed_meanwhile_says_how_many_are_in(cnode, connect):
    """All were good when it began, and some have been put: it stops as where
    the kernel stops."""
    peer, other = connect(cnode), connect(cnode)

    def is_stopped():
        """False: it was over before."""
        inner = peer.maps("new", "array", 4, 4, 1)
        outer = peer.maps("new", "hash_of_maps", 4, 4, 256, [("inner_map", inner)])
        pairs = [(number, inner) for number in range(256)]
        request = peer.start_erpc("ebpf_maps", "merge", [outer, pairs])
        wait_until(lambda: other.maps("size", outer) > 0)
        assert other.maps("close", inner) == "ok"
        kind, reason = peer.finish_erpc(request)[:2]
        if kind == "return":
            return False
        assert reason == ("ebadf", other.maps("size", outer))
        return 0 < reason[1] < len(pairs)

    wait_until(is_stopped, 30)


def test_a_drain_of_maps_tells_the_rest_when_one_is_closed_meanwhile(cnode, connect):
    """Each is held from before it leaves: anybody may close that handle."""
    peer, other = connect(cnode), connect(cnode)
    inner = peer.maps("new", "array", 4, 4, 1)
    outer = peer.maps("new", "hash_of_maps", 4, 4, 40, [("inner_map", inner)])

    def held():
        mine = [map for map, owner, _ in other.maps("handles") if owner == peer.name]
        return [map for map in mine if map not in (inner, outer)]

    def tells_the_rest():
        """False: it was over before."""
        for number in range(40):
            one = peer.maps("new", "array", 4, 4, 1)
            peer.maps("put", number, one, outer)
            peer.maps("close", one)
        request = peer.start_erpc("ebpf_maps", "drain", [outer])
        wait_until(held)
        assert other.maps("close", held()[0]) == "ok"
        kind, drained = peer.finish_erpc(request)[:2]
        assert kind == "return"
        left = held()
        if len(drained) == 39:
            told = sorted(map.raw for _, (_, map, *_) in drained)
            return told == sorted(map.raw for _, map, *_ in left)
        for map in left:
            other.maps("close", map)
        return False

    wait_until(tells_the_rest, 30)
