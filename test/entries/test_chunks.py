# SPDX-License-Identifier: Apache-2.0
"""Maps that are walked or emptied by chunks, and answers that are too long."""

import pytest

from beam import BeamError
from cluster import wait_until
from conftest import Maps, raises
from host import CPUS
from map_calls import chunked, chunks_of, flat, with_
from native import ORDER, u32, u64

pytestmark = pytest.mark.single

NO_PREALLOC = ["no_prealloc"]
SMALL = 65536
MIB = 1024 * 1024


@pytest.fixture
def hash(maps):
    """4 bytes to 8: 1 -> 2, 3 -> 4; room for 4."""
    map = maps.new("hash", 4, 8, 4)
    maps.put(1, 2, map)
    maps.put(3, 4, map)
    return map


HASH_PAIRS = [(u32(1), u64(2)), (u32(3), u64(4))]


@pytest.fixture
def thousand(maps):
    map = maps.new("hash", 4, 8, 1000)
    maps.merge(map, {key: key * 7 for key in range(1000)})
    return map


THOUSAND = sorted((u32(key), u64(key * 7)) for key in range(1000))


@pytest.fixture
def small(start_cnode, alice):
    """ebpf_maps of a C node whose messages are of 64 KiB at most."""
    return Maps(alice, start_cnode("--max-message", str(SMALL)))


# --- clear, drain, drain_chunk


@pytest.mark.parametrize("type", ["hash", "lru_hash", "percpu_hash", "lpm_trie"])
@pytest.mark.parametrize("call", ["clear", "drain", "drain_chunk"])
def test_a_map_of_many_entries_is_emptied(type, call, maps):
    if type == "lpm_trie":
        map = maps.new(type, 8, 4, 3000, NO_PREALLOC)
        pairs = [(u32(32) + key.to_bytes(4, "big"), u32(key)) for key in range(3000)]
    else:
        map = maps.new(type, 4, 4, 20000 if type == "lru_hash" else 3000)
        pairs = [(u32(key), u32(key)) for key in range(3000)]
    maps.merge(map, pairs)
    if call == "clear":
        assert maps.clear(map) == map
    else:
        taken = (
            maps.drain(map)
            if call == "drain"
            else chunked(maps, map, 100, "drain_chunk")
        )
        many = (lambda v: [v] * CPUS) if "percpu" in type else (lambda v: v)
        assert sorted(taken) == sorted((key, many(value)) for key, value in pairs)
    assert maps.size(map) == 0
    maps.put(*pairs[0], map)
    assert maps.size(map) == 1


def test_of_two_that_drain_each_entry_goes_to_one(maps, alice, bob, cnode):
    map = maps.new("hash", 4, 4, 20000)
    maps.merge(map, [(key, key) for key in range(20000)])
    for beam in (alice, bob):
        beam.start_eval(
            """
            Go = fun Go(Cursor) ->
                case erpc:call(N, ebpf_maps, drain_chunk, [Cursor, Map, 50]) of
                    {Pairs, done} -> [K || {<<K:32/native>>, _} <- Pairs];
                    {Pairs, C} -> [K || {<<K:32/native>>, _} <- Pairs] ++ Go(C)
                end
            end,
            Go(start)""",
            N=cnode.name,
            Map=map,
        )
    mine, yours = alice.finish(30), bob.finish(30)
    assert sorted(mine + yours) == list(range(20000))
    assert maps.size(map) == 0


# --- next_chunk


@pytest.mark.parametrize("most", [1, 2, 7, 100, 999, 1000, 1001, 2**32 - 1])
def test_chunks_are_the_whole_map(most, maps, thousand):
    chunks = chunks_of(maps, thousand, most)
    assert sorted(flat(chunks)) == THOUSAND
    if most == 2**32 - 1:
        assert len(chunks) <= 2


@pytest.mark.parametrize("most", [1, 2, 100, 299, 300, 301])
@pytest.mark.parametrize("type", ["array", "percpu_array"])
def test_chunks_of_an_array_come_in_order_and_as_long_as_asked(type, most, maps):
    map = maps.new(type, 4, 4, 300)
    chunks = chunks_of(maps, map, most)
    assert [key for key, _ in flat(chunks)] == [u32(k) for k in range(300)]
    assert max(len(chunk) for chunk in chunks) == min(most, 300)


@pytest.mark.parametrize("most", [1, 10, 1000])
def test_chunks_of_a_trie_are_the_whole_trie(most, maps):
    map = maps.new("lpm_trie", 8, 4, 1000, NO_PREALLOC)
    pairs = [(u32(32) + key.to_bytes(4, "big"), u32(key)) for key in range(300)]
    maps.merge(map, pairs)
    chunks = chunks_of(maps, map, most)
    assert sorted(flat(chunks)) == sorted(pairs)
    assert max(len(chunk) for chunk in chunks) <= most


def test_a_chunk_of_a_hash_is_little_more_than_was_asked_for(maps, thousand):
    """Whole buckets come: what is asked for is exceeded by one of them."""
    chunks = chunks_of(maps, thousand, 20)
    assert max(len(chunk) for chunk in chunks) <= 40
    assert len(chunks) >= 1000 / 40


def test_a_chunk_carries_a_mebibyte_at_most(maps):
    map = maps.new("hash", 8, 10000, 400)
    maps.merge(map, {key: key for key in range(400)})
    chunks = chunks_of(maps, map, 2**32 - 1)
    sizes = [sum(len(k) + len(v) for k, v in chunk) for chunk in chunks]
    assert max(sizes) <= MIB
    assert sum(len(chunk) for chunk in chunks) == 400


def test_a_cursor_goes_from_node_to_node(maps, bob, cnode, thousand):
    cursor, pairs, asking = "start", [], [maps.beam, bob]
    while cursor != "done":
        asking.reverse()
        chunk, cursor = asking[0].erpc(cnode.name, "next_chunk", cursor, thousand, 90)
        pairs += chunk
    assert sorted(pairs) == THOUSAND


def test_a_cursor_can_be_used_again(maps, thousand):
    _, cursor = maps.next_chunk("start", thousand, 100)
    once = maps.next_chunk(cursor, thousand, 100)
    assert maps.next_chunk(cursor, thousand, 100) == once


@pytest.mark.parametrize("function", ["next_chunk", "drain_chunk"])
@pytest.mark.parametrize(
    "most", [0, -1, 2**32, 2**64, 1.0, "x", "infinity", b"", [], ()], ids=repr
)
def test_a_chunk_of_no_number_of_entries_raises_badarg(function, most, maps, hash):
    with raises("badarg"):
        maps.call(function, "start", hash, most)
    assert sorted(maps.to_list(hash)) == HASH_PAIRS


@pytest.mark.parametrize("function", ["next_chunk", "drain_chunk"])
def test_after_done_comes_nothing(function, maps, hash):
    assert maps.call(function, "done", hash, 10) == ([], "done")
    assert sorted(maps.to_list(hash)) == HASH_PAIRS


# --- answers that are too long


@pytest.fixture
def long(small):
    """More bytes than a message holds: 2000 times 4 and 64."""
    map = small.new("hash", 4, 64, 2000)
    for start in range(0, 2000, 500):
        small.merge(map, [(key, key) for key in range(start, start + 500)])
    return map


def test_a_list_that_is_too_long_raises_too_big(small, long):
    for call in (
        lambda: small.to_list(long),
        lambda: small.values(long),
        lambda: with_(small, list(range(2000)), long),
    ):
        with raises(("too_big", SMALL)):
            call()
    assert small.size(long) == 2000
    assert len(small.keys(long)) == 2000
    assert len(with_(small, list(range(100)), long)) == 100


def test_keys_that_are_too_long_raise_too_big(small):
    map = small.new("hash", 100, 1, 1000)
    small.merge(map, [(key, 1) for key in range(1000)])
    with raises(("too_big", SMALL)):
        small.keys(map)
    with raises(("too_big", SMALL)):
        small.to_list(map)
    assert len(small.values(map)) == 1000


def test_a_drain_that_might_be_too_long_takes_nothing_out(small, long):
    with raises(("too_big", SMALL)):
        small.drain(long)
    assert small.size(long) == 2000
    small.without(list(range(1, 2000)), long)
    with raises(("too_big", SMALL)):
        small.drain(long)
    assert small.to_list(long) == [(u32(0), bytes(64))]


def test_a_drain_that_is_sure_to_fit_is_done(small):
    map = small.new("hash", 4, 64, 500)
    small.merge(map, [(key, key) for key in range(500)])
    assert len(small.drain(map)) == 500


@pytest.mark.parametrize("type", ["queue", "stack"])
def test_a_drain_of_a_queue_that_might_be_too_long_takes_nothing_out(type, small):
    map = small.new(type, 0, 64, 2000)
    small.push(7, map)
    with raises(("too_big", SMALL)):
        small.drain(map)
    assert small.pop(map) == (7).to_bytes(64, ORDER)


def test_clear_needs_no_room(small, long):
    assert small.clear(long) == long
    assert small.size(long) == 0


@pytest.mark.parametrize("function", ["next_chunk", "drain_chunk"])
def test_chunks_fit_into_a_message(function, small, long):
    pairs = chunked(small, long, 2**32 - 1, function)
    assert sorted(int.from_bytes(key, ORDER) for key, _ in pairs) == list(range(2000))
    assert small.size(long) == (2000 if function == "next_chunk" else 0)


@pytest.mark.parametrize("value_size", [SMALL, SMALL - 8])
def test_a_value_that_is_too_long_for_a_message_stays_where_it_is(value_size, small):
    map = small.new("hash", 4, value_size, 2, NO_PREALLOC)
    small.put(1, 1, map)
    for call in (
        lambda: small.get(1, map),
        lambda: small.find(1, map),
        lambda: small.take(1, map),
        lambda: small.drain(map),
        lambda: small.drain_chunk("start", map, 1),
        lambda: small.next_chunk("start", map, 1),
        lambda: small.to_list(map),
        lambda: small.next(small.iterator(map)),
    ):
        with raises(("too_big", SMALL)):
            call()
    assert small.size(map) == 1
    assert small.is_key(1, map) == "true"
    assert small.keys(map) == [u32(1)]


@pytest.mark.parametrize("type", ["queue", "stack"])
def test_a_value_that_is_too_long_is_not_popped(type, small):
    map = small.new(type, 0, SMALL, 2)
    small.push(1, map)
    for call in (lambda: small.pop(map), lambda: small.take(b"", map)):
        with raises(("too_big", SMALL)):
            call()
    with raises("e2big"):
        small.push(2, map)
        small.push(3, map)
    assert small.clear(map) == map
    small.push(2, map)


def test_the_c_node_lives_on_after_answers_that_were_too_long(small, long):
    for _ in range(20):
        with pytest.raises(BeamError):
            small.to_list(long)
    assert small.get(5, long) == (5).to_bytes(64, ORDER)


# --- two at once on one connection


def test_a_small_call_gets_in_between_two_chunks(alice, cnode, maps):
    """The longest wait of a get while a walk by chunks is under way."""
    map = maps.new("hash", 4, 1000, 20000, NO_PREALLOC)
    for start in range(0, 20000, 5000):
        maps.merge(map, [(key, 1) for key in range(start, start + 5000)])

    def walked():
        """Whether the two took turns, as erl has let them."""
        chunks, gets = alice.eval(
            """
            Me = self(),
            spawn(fun() ->
                Go = fun Go(done, Chunks) -> Chunks;
                         Go(C, Chunks) ->
                             A = [C, Map, 100000],
                             {_, C2} = erpc:call(N, ebpf_maps, next_chunk, A),
                             Go(C2, Chunks + 1)
                     end,
                Me ! {walked, Go(start, 0)} end),
            Ask = fun Ask(Gets) ->
                _ = erpc:call(N, ebpf_maps, get, [1, Map]),
                receive {walked, Chunks} -> {Chunks, Gets} after 0 -> Ask(Gets + 1) end
            end,
            Ask(0)""",
            N=cnode.name,
            Map=map,
        )
        assert chunks >= 19
        return gets >= chunks // 2

    wait_until(walked, 20, "a get for every two chunks")


def test_the_last_map_of_a_walk_that_finds_no_place_stays_and_is_told(start_cnode, connect):
    """Those before it were taken: they are given, and the walk is not over."""
    node = start_cnode("--max-maps-per-node", 3, "--grace", 0)
    maker, taker = connect(node), connect(node)
    inner = maker.maps("new", "array", 4, 4, 1)
    outer = maker.maps("new", "hash_of_maps", 4, 4, 8, [("inner_map", inner)])
    for key in range(4):
        map = maker.maps("new", "array", 4, 4, 1)
        maker.maps("put", key, map, outer)
        maker.maps("close", map)
    pairs, cursor = taker.maps("drain_chunk", "start", outer, 10)
    assert len(pairs) == 3
    assert cursor != "done"
    kind, reason, *_ = taker.erpc("ebpf_maps", "drain_chunk", [cursor, outer, 10])
    assert (kind, reason) == ("error", "emfile")
    assert maker.maps("size", outer) == 1
    taker.maps("close", pairs[0][1])
    rest, cursor = taker.maps("drain_chunk", cursor, outer, 10)
    assert (len(rest), cursor) == (1, "done")
