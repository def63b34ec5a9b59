# SPDX-License-Identifier: Apache-2.0
"""What a walk promises while another node inserts and deletes all the time."""

import random
import time

import pytest

import etf
from beam import BeamError
from churn import (
    ARRAYS,
    COMING,
    HASHES,
    INSERT,
    INSERT_AND_DELETE,
    LASTING,
    LISTS,
    REPLACE,
    WALKS,
    Churned,
)
from cluster import PATIENCE
from native import ORDER, u32

pytestmark = pytest.mark.single

TRIE = ("lpm_trie", 8, 4, 900, ["no_prealloc"])
TRIE_BOUND = 4 * TRIE[3]  # map_walk.h: it may begin anew, but not for ever


@pytest.fixture
def churned(maps, bob, cnode):
    made = []

    def churned(shape, churn):
        made.append(Churned(maps, bob, cnode, shape, churn))
        return made[-1]

    yield churned
    for one in made:
        count = one.stop()
        assert isinstance(count, int), count


def chunks_of(most):
    def walk(maps, map):
        return maps.beam.eval(
            """
            Walk = fun Walk(done) -> [];
                       Walk(C) ->
                           {Pairs, C2} =
                               erpc:call(N, ebpf_maps, next_chunk, [C, Map, Most]),
                           Pairs ++ Walk(C2)
                   end,
            Walk(start)""",
            N=maps.node.name,
            Map=map,
            Most=most,
        )

    return walk


WAYS = {
    "iterator": (1, lambda maps, map: maps.walk(map)),
    "to_list": (5, lambda maps, map: maps.to_list(map)),
    "chunks of 1": (1, chunks_of(1)),
    "chunks of 37": (3, chunks_of(37)),
    "one chunk": (5, chunks_of(2**32 - 1)),
}


def walks(maps, way, one):
    """As many walks as make a test of that way."""
    times, walk = WAYS[way]
    for _ in one.rounds(times * WALKS):
        yield walk(maps, one.map)


@pytest.mark.parametrize(
    "type, way",
    [
        pytest.param(
            type,
            way,
            marks=[pytest.mark.ci] if way == "chunks of 1" and type != "hash" else [],
        )
        for type in HASHES
        for way in WAYS
    ],
)
def test_what_lasts_in_a_hash_comes_exactly_once(type, way, maps, churned):
    one = churned(HASHES[type], INSERT_AND_DELETE)
    for pairs in walks(maps, way, one):
        numbers = one.check(pairs)
        assert sorted(n for n in numbers if n in LASTING) == list(LASTING)


@pytest.mark.parametrize("type", HASHES)
def test_keys_values_and_size_see_what_lasts(type, maps, churned):
    one = churned(HASHES[type], INSERT_AND_DELETE)
    for _ in one.rounds(5 * WALKS):
        numbers = [one.number(key) for key in maps.keys(one.map)]
        assert sorted(n for n in numbers if n in LASTING) == list(LASTING)
        assert set(numbers) <= {*LASTING, *COMING}
        assert len(LASTING) <= len(maps.values(one.map)) <= 2 * len(LASTING)
        assert len(LASTING) <= maps.size(one.map) <= 2 * len(LASTING)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("type", ARRAYS)
def test_an_array_comes_in_order_while_it_is_written(type, way, maps, churned):
    one = churned(ARRAYS[type], REPLACE)
    for pairs in walks(maps, way, one):
        assert one.check(pairs) == list(LASTING)


@pytest.mark.parametrize("way", WAYS)
def test_what_lasts_in_a_trie_comes_while_nothing_is_deleted(way, maps, churned):
    one = churned(("lpm_trie", 8, 4, 4000, ["no_prealloc"]), INSERT)
    for pairs in walks(maps, way, one):
        numbers = [one.number(key) for key, _ in pairs]
        assert set(LASTING) <= set(numbers)
        assert set(numbers) <= {*LASTING, *range(1_000_000, 1_003_000)}


@pytest.mark.parametrize("way", WAYS)
def test_a_walk_of_a_trie_ends_while_others_delete(way, maps, churned):
    one = churned(TRIE, INSERT_AND_DELETE)
    for pairs in walks(maps, way, one):
        assert len(one.check(pairs)) <= TRIE_BOUND


def test_a_clear_of_a_trie_removes_what_lasts_while_others_insert(maps, churned):
    one = churned(
        TRIE,
        LISTS
        + """
        Insert = fun({K, V}) ->
            try Call(insert, [K, V, Map]) catch error:_ -> there end
        end,
        Churn = fun Churn(I) ->
            lists:foreach(Insert, LowPairs ++ HighPairs),
            receive stop -> I after 0 -> Churn(I + 1) end
        end,""",
    )
    for _ in one.rounds(5 * WALKS):
        maps.merge(one.map, {one.key(k): k for k in LASTING})
        assert maps.clear(one.map) == one.map
        there = [one.number(key) for key in maps.keys(one.map)]
        assert [n for n in there if n in LASTING] == []


@pytest.mark.parametrize("type", ["hash", "percpu_hash", "lpm_trie"])
def test_nothing_is_lost_of_what_is_drained_while_others_insert(
    type, maps, bob, cnode
):
    """Each key is inserted once, and so drained once."""
    trie = type == "lpm_trie"
    map = maps.new(*(TRIE if trie else (type, 4, 4, 2000)))
    key = "<<32:32/native, K:32/native>>" if trie else "K"
    count = 3000
    bob.start_eval(
        f"""
        Put = fun Put(K) ->
            try erpc:call(N, ebpf_maps, insert, [{key}, K, Map])
            catch error:{{exception, Full, _}} when Full =:= e2big; Full =:= enospc ->
                Put(K)
            end
        end,
        [Put(K) || K <- lists:seq(0, {count - 1})], ok""",
        N=cnode.name,
        Map=map,
    )
    taken, idle = [], 0
    while len(taken) < count and idle < 20000:
        cursor = "start"
        before = len(taken)
        while cursor != "done":
            chunk, cursor = maps.drain_chunk(cursor, map, 50)
            taken += chunk
        idle = idle + 1 if len(taken) == before else 0
    assert bob.finish(30) == "ok"
    taken += maps.drain(map)
    numbers = [int.from_bytes(key[-4:], ORDER) for key, _ in taken]
    assert sorted(numbers) == list(range(count))


@pytest.mark.parametrize("call", ["to_list", "keys", "size", "clear"])
def test_a_call_on_a_full_trie_ends_while_it_is_emptied_and_filled(
    call, maps, churned
):
    """Half of the keys go and come back: to the kernel a walk begins anew."""
    one = churned(
        TRIE,
        LISTS
        + """
        {Odd, Even} = lists:partition(fun({_, V}) -> V rem 2 =:= 1 end, Singles),
        Churn = fun Churn(I) ->
            Call(without, [[K || {K, _} <- Odd], Map]),
            Call(merge, [Map, Odd]),
            Call(without, [[K || {K, _} <- Even], Map]),
            Call(merge, [Map, Even]),
            receive stop -> I after 0 -> Churn(I + 1) end
        end,""",
    )
    for _ in one.rounds(5 * WALKS):
        answer = maps.call(call, one.map)
        if call == "size":
            assert answer <= TRIE_BOUND
        elif call != "clear":
            assert len(answer) <= TRIE_BOUND


# --- forged cursors

CURSORS = [
    b"",
    b"\0",
    b"123",
    b"1" * 5000,
    "x",
    "none",
    "",
    0,
    -1,
    2**64,
    1.5,
    [],
    [1, 2, 3, 4],
    (),
    ("start",),
    {},
]
FORGED = {
    "hash": ("hash", 4, 4, 1000),
    "percpu_hash": ("percpu_hash", 4, 4, 1000),
    "lru_hash": ("lru_hash", 4, 4, 20000),
    "array": ("array", 4, 4, 500),
    "percpu_array": ("percpu_array", 4, 4, 500),
    "lpm_trie": TRIE,
    "long keys": ("hash", 300, 4, 1000),
    "devmap": ("devmap", 4, 4, 500),
}


def fill(maps, name):
    shape = FORGED[name]
    map = maps.new(*shape)
    one = 1
    if shape[0] == "lpm_trie":
        maps.merge(map, {u32(32) + u32(k): one for k in range(300)})
    else:
        maps.merge(map, {k: one for k in range(300)})
    return map


@pytest.mark.parametrize("function", ["next_chunk", "drain_chunk"])
@pytest.mark.parametrize("name", FORGED)
def test_what_is_no_cursor_raises_badarg(name, function, maps):
    map = fill(maps, name)
    entries = sorted(maps.keys(map))
    for cursor in CURSORS:
        with pytest.raises(BeamError) as caught:
            maps.call(function, cursor, map, 10)
        reasons = ["badarg"]
        if function == "drain_chunk" and "array" in name:
            reasons.append("einval")
        assert caught.value.reason in reasons, cursor
    assert sorted(maps.keys(map)) == entries


def forgeries(cursor, numbers):
    yield bytes(len(cursor))
    yield b"\xff" * len(cursor)
    yield b"\xff" * 4 + bytes(len(cursor) - 4)
    yield bytes(4) + b"\xff" * (len(cursor) - 4)
    yield cursor[::-1]
    for place in range(min(len(cursor), 12)):
        for bit in (0x01, 0x80, 0xFF):
            changed = bytearray(cursor)
            changed[place] ^= bit
            yield bytes(changed)
    for _ in range(50):
        yield numbers.randbytes(len(cursor))


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_cursor_shows_no_more_than_there_is(name, maps):
    map = fill(maps, name)
    there = maps.to_list(map)
    known = {(key, str(value)) for key, value in there}
    _, cursor = maps.next_chunk("start", map, 20)
    assert isinstance(cursor, bytes)
    for forged in forgeries(cursor, random.Random(3)):
        for most in (1, 500, 2**32 - 1):
            try:
                chunk, following = maps.next_chunk(forged, map, most)
            except BeamError as e:
                assert e.reason in ("badarg", "einval"), forged
                continue
            assert {(key, str(value)) for key, value in chunk} <= known
            assert following == "done" or len(following) == len(cursor)
    assert sorted(maps.to_list(map), key=str) == sorted(there, key=str)


@pytest.mark.parametrize("name", [n for n in FORGED if "array" not in n])
def test_a_forged_cursor_drains_no_more_than_there_is(name, maps):
    map = fill(maps, name)
    _, cursor = maps.next_chunk("start", map, 20)
    there, taken = maps.keys(map), []
    for forged in forgeries(cursor, random.Random(4)):
        try:
            chunk, _ = maps.drain_chunk(forged, map, 3)
        except BeamError as e:
            assert e.reason in ("badarg", "einval"), forged
            continue
        taken += [key for key, _ in chunk]
    assert sorted(taken + maps.keys(map)) == sorted(there)


def test_a_cursor_of_another_map_does_no_harm(maps):
    cursors = []
    made = [fill(maps, name) for name in FORGED]
    for map in made:
        _, cursor = maps.next_chunk("start", map, 20)
        cursors.append(cursor)
    for map in made:
        keys = set(maps.keys(map))
        for cursor in cursors:
            try:
                chunk, _ = maps.next_chunk(cursor, map, 100)
            except BeamError as e:
                assert e.reason in ("badarg", "einval")
            else:
                assert {key for key, _ in chunk} <= keys


def test_an_endless_cursor_cannot_make_one_call_endless(maps, bob, cnode):
    """The number of entries that are left is forged as large as it can be."""
    map = fill(maps, "lpm_trie")
    _, cursor = maps.next_chunk("start", map, 5)
    forged = b"\xff\xff\xff\xff" + cursor[4:]
    chunk, following = maps.next_chunk(forged, map, 2**32 - 1)
    assert len(chunk) <= 300
    assert following == "done" or maps.next_chunk(following, map, 10)[1] == "done"


INSERT_ALL = """
    Put = fun
        Put([]) -> ok;
        Put(Pairs) ->
            case rpc:call(Node, ebpf_maps, merge, [Map, Pairs]) of
                {badrpc, {'EXIT', {{e2big, Done}, _}}} -> Put(lists:nthtail(Done, Pairs));
                Map -> ok
            end
    end,
    [Put([{First + Key, Key} || Key <- lists:seq(1, 500)])
     || First <- lists:seq(0, Last - 1, 500)].
"""


def test_a_bare_drain_loses_nothing_of_what_comes_meanwhile(start_cnode, alice, bob):
    """More may come while it goes on than its answer has room for."""
    last = 60000
    node = start_cnode("--max-message", str(2**20))
    map = alice.erpc(node.name, "new", "hash", 4, 1000, 1020)
    bob.start_eval(INSERT_ALL, Node=etf.Atom(node.name), Map=map, Last=last)
    drained = []
    deadline = time.monotonic() + 60 * PATIENCE
    while len(drained) < last and time.monotonic() < deadline:
        drained += [key for key, _ in alice.erpc(node.name, "drain", map)]
    bob.finish()
    drained += [key for key, _ in alice.erpc(node.name, "drain", map)]
    assert sorted(drained) == sorted(u32(key) for key in range(1, last + 1))
