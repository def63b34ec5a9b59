# SPDX-License-Identifier: Apache-2.0
"""Iterators: each entry once, also while others insert and delete."""

import pytest

import etf
from beam import BeamError
from cluster import wait_until
from conftest import raises
from host import CPUS
from native import ORDER, native, u32, u64

pytestmark = pytest.mark.single


@pytest.fixture
def hash(maps):
    """4 bytes to 8, one entry 1 -> 2, room for 4."""
    map = maps.new("hash", 4, 8, 4)
    maps.put(u32(1), u64(2), map)
    return map


@pytest.fixture
def array(maps):
    return maps.new("array", 4, 8, 4)


WALKED = [
    ("hash", 4, 4, 1000),
    ("lru_hash", 4, 4, 4000),
    ("percpu_hash", 4, 4, 1000),
    ("lru_percpu_hash", 4, 4, 4000),
    ("array", 4, 4, 500),
    ("percpu_array", 4, 4, 500),
    ("lpm_trie", 8, 4, 1000, ["no_prealloc"]),
    ("hash", 1, 1, 256),
    ("hash", 100, 3, 1000),
]


def fill(alice, cnode, map, numbers, key):
    alice.eval(
        f"[erpc:call(N, ebpf_maps, put, [{key}, 1, Map]) || K <- Ks], ok",
        N=cnode.name,
        Map=map,
        Ks=list(numbers),
    )


def key_text(shape):
    """How an Erlang expression makes a key of number K."""
    if shape[0] == "lpm_trie":
        return "<<32:32/native, K:32>>"
    return "K"


def key_bytes(shape, number):
    if shape[0] == "lpm_trie":
        return u32(32) + number.to_bytes(4, "big")
    return native(number, shape[1])


@pytest.mark.parametrize("shape", WALKED, ids=str)
def test_a_walk_gives_each_entry_once(shape, alice, cnode, maps):
    map = maps.new(*shape)
    count = 250 if shape[1] == 1 else 500
    fill(alice, cnode, map, range(count), key_text(shape))
    walked = maps.walk(map)
    expected = [key_bytes(shape, k) for k in range(count)]
    assert sorted(key for key, _ in walked) == sorted(expected)
    one = native(1, shape[2])
    one = [one] * CPUS if "percpu" in shape[0] else one
    assert all(value == one for _, value in walked)


def test_an_array_is_walked_in_order(maps):
    array = maps.new("array", 4, 4, 300)
    assert [key for key, _ in maps.walk(array)] == [u32(i) for i in range(300)]


@pytest.mark.parametrize("shape", [s for s in WALKED if "array" not in s[0]], ids=str)
def test_a_walk_of_an_empty_map_ends_at_once(shape, maps):
    map = maps.new(*shape)
    assert maps.next(maps.iterator(map)) == "none"


def test_an_iterator_holds_its_map_and_prints_plainly(alice, maps, hash):
    iterator = maps.iterator(hash)
    assert iterator[:2] == ("ebpf_iterator", hash)
    _, _, following = maps.next(iterator)
    assert following[:2] == ("ebpf_iterator", hash)
    assert alice.eval("is_list(io_lib:format(\"~p\", [I]))", I=following) == "true"


def test_an_iterator_can_be_asked_again(maps, alice, cnode):
    map = maps.new("hash", 4, 4, 100)
    fill(alice, cnode, map, range(50), "K")
    iterator = maps.iterator(map)
    first = maps.next(iterator)
    assert maps.next(iterator) == first
    assert maps.next(first[2]) == maps.next(first[2])


@pytest.mark.parametrize("shape", WALKED, ids=str)
def test_another_node_goes_on_with_an_iterator(shape, alice, bob, cnode, maps):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(200), key_text(shape))
    iterator = maps.iterator(map)
    keys = []
    beams = [alice, bob]
    while True:
        beams.reverse()
        step = beams[0].erpc(cnode.name, "next", iterator)
        if step == "none":
            break
        key, _, iterator = step
        keys.append(key)
    count = shape[3] if "array" in shape[0] else 200
    assert len(keys) == len(set(keys)) == count


@pytest.mark.parametrize("shape", [s for s in WALKED if "array" not in s[0]], ids=str)
def test_what_has_gone_meanwhile_is_skipped(shape, alice, cnode, maps):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(200), key_text(shape))
    first, _, iterator = maps.next(maps.iterator(map))
    for number in range(200):
        maps.remove(key_bytes(shape, number), map)
    assert maps.next(iterator) == "none"


@pytest.mark.parametrize("shape", [s for s in WALKED if "array" not in s[0]], ids=str)
def test_a_walk_may_remove_what_it_stands_on(shape, alice, cnode, maps):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(200), key_text(shape))
    removed = alice.eval(
        """
        Walk = fun Walk(I, Acc) ->
            case erpc:call(N, ebpf_maps, next, [I]) of
                none -> Acc;
                {K, _, I2} ->
                    erpc:call(N, ebpf_maps, remove, [K, Map]),
                    Walk(I2, [K | Acc])
            end
        end,
        Walk(erpc:call(N, ebpf_maps, iterator, [Map]), []).""",
        N=cnode.name,
        Map=map,
    )
    assert len(removed) == len(set(removed))
    if shape[0] != "lpm_trie":
        assert len(removed) == 200
        assert maps.walk(map) == []


CHURN = """
    Changes = counters:new(1, []),
    Churn = fun Churn(I) ->
        K = 1000000 + I rem 300,
        erpc:call(N, ebpf_maps, put, [KeyOf(K), 1, Map]),
        erpc:call(N, ebpf_maps, remove, [KeyOf(1000000 + (I - 150) rem 300), Map]),
        counters:add(Changes, 1, 1),
        receive stop -> I after 0 -> Churn(I + 1) end
    end,
    Churner = spawn(fun() -> exit({churned, Churn(200)}) end),
    ok.
"""
STOP_CHURN = """
    R = monitor(process, Churner), Churner ! stop,
    receive {'DOWN', R, _, _, {churned, _}} -> ok after 15000 -> late end.
"""


def beside_churn(bob, walk, times):
    """So many walks, and more where the writer has been slow."""
    for _ in range(times):
        walk()

    def changed():
        walk()
        return bob.eval("counters:get(Changes, 1)") > 50

    wait_until(changed)
    assert bob.eval(STOP_CHURN) == "ok"


@pytest.mark.parametrize(
    "shape",
    [
        ("hash", 4, 4, 2000),
        ("lru_hash", 4, 4, 20000),
        ("percpu_hash", 4, 4, 2000),
        ("lru_percpu_hash", 4, 4, 20000),
        ("hash", 4, 4, 2000, ["no_prealloc"]),
    ],
    ids=str,
)
def test_a_walk_under_churn_gives_each_lasting_key_once(
    shape, alice, bob, cnode, maps
):
    map = maps.new(*shape)
    fill(alice, cnode, map, range(500), "K")
    bob.eval("KeyOf = fun(K) -> K end, " + CHURN, keep=True, N=cnode.name, Map=map)

    def walk():
        keys = [int.from_bytes(key, ORDER) for key, _ in maps.walk(map)]
        lasting = [key for key in keys if key < 500]
        assert sorted(lasting) == list(range(500))

    beside_churn(bob, walk, 5)


def test_a_walk_of_a_trie_ends_while_others_write(alice, bob, cnode, maps):
    map = maps.new("lpm_trie", 8, 4, 2000, ["no_prealloc"])
    fill(alice, cnode, map, range(300), "<<32:32/native, K:32>>")
    key = "KeyOf = fun(K) -> <<32:32/native, K:32>> end, "
    bob.eval(key + CHURN, keep=True, N=cnode.name, Map=map)

    def walk():
        assert len(maps.walk(map)) <= 4 * 2000  # map_walk.h: the bound of a walk

    beside_churn(bob, walk, 3)


def test_a_walk_with_long_values_and_keys_is_whole(alice, cnode, maps):
    map = maps.new("hash", 200, 1 << 20, 24)
    for number in range(24):
        maps.put(number, number, map)
    walked = alice.eval(
        """
        Walk = fun Walk(I) ->
            case erpc:call(N, ebpf_maps, next, [I]) of
                none -> [];
                {<<K, _/binary>>, <<V, _/binary>>, I2} -> [{K, V} | Walk(I2)]
            end
        end,
        lists:sort(Walk(erpc:call(N, ebpf_maps, iterator, [Map])))""",
        N=cnode.name,
        Map=map,
    )
    assert walked == [(number, number) for number in range(24)]


@pytest.mark.parametrize("what", ["x", 1, b"", [], (), ("ebpf_iterator",), {}], ids=str)
def test_next_of_what_is_no_iterator_raises_badarg(what, maps):
    with raises("badarg"):
        maps.next(what)


def test_next_of_an_iterator_of_a_closed_map_raises_badmap(maps, hash):
    iterator = maps.iterator(hash)
    maps.close(hash)
    with raises(("badmap", hash)):
        maps.next(iterator)


def replacements(term):
    """Terms to put in the place of each part of an iterator."""
    yield from ("x", -1, 2**64, b"", b"123", b"1" * 5000, [], [1, 2], (), {}, 1.5)
    yield [b"1"] * 1000
    yield etf.Improper((b"1234",), "x")
    if isinstance(term, bytes):
        yield term + b"\0"
        yield term[:-1]
        yield b"\xff" * len(term)


@pytest.mark.parametrize("type", ["hash", "array", "percpu_hash", "lpm_trie"])
def test_a_forged_iterator_hurts_nobody(type, alice, cnode, maps):
    options = [["no_prealloc"]] if type == "lpm_trie" else []
    map = maps.new(type, 8 if type == "lpm_trie" else 4, 4, 100, *options)
    fill(alice, cnode, map, range(50), key_text((type,)))
    iterator = maps.iterator(map)
    forged = []
    for _ in range(3):
        iterator = maps.next(iterator)[2]
        for place in range(2, len(iterator)):
            for part in replacements(iterator[place]):
                forged.append((*iterator[:place], part, *iterator[place + 1 :]))
        forged.append(iterator[:-1])
        forged.append((*iterator, 1))
    assert len(forged) > 30
    for one in forged:
        try:
            step = maps.next(one)
        except BeamError as e:
            assert e.kind == "error"
            assert e.reason in ("badarg", "einval"), one
        else:
            assert step == "none" or step[0] in [k for k, _ in maps.walk(map)], one
    assert len(maps.walk(map)) == (100 if type == "array" else 50)
