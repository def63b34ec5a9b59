# SPDX-License-Identifier: Apache-2.0
"""Whole maps through the facade: what it makes of many messages.

It lists, folds and drains a map by the chunk, and keeps what is prefetched in
its iterators. What a walk promises while others write is in test_walks too,
for the C node alone.
"""


import pytest

import etf
from churn import (
    ARRAYS,
    COMING,
    HASHES,
    INSERT,
    INSERT_AND_DELETE,
    LASTING,
    REPLACE,
    WALKS,
    Churned,
)
from conftest import Maps, raises
from host import CPUS
from native import ORDER, u32, u64

CHUNK = 16384  # entries, at most
MESSAGE = 65536  # bytes, of a C node that is made to take no longer ones
SHAPES = {
    "hash": ("hash", 4, 8, 20_000),
    "array": ("array", 4, 8, 2500),
    "percpu_hash": ("percpu_hash", 4, 8, 2500),
    "lpm_trie": ("lpm_trie", 8, 8, 2500, ["no_prealloc"]),
}
WITH_DELETE = [type for type in SHAPES if type != "array"]


class Facade(Maps):
    """The module ebpf_maps, as called in its own node."""

    def new(self, *args):
        return self.kept(self.call("new", *args))

    def open(self, *args):
        return self.kept(self.call("open", *args))

    def kept(self, map):
        if map[0] == "ebpf_map":
            self.made.append(map)
        return map

    def call(self, function, *args, **options):
        return self.beam.apply("ebpf_maps", function, *args, **options)

    def eval(self, text, **bindings):
        return self.beam.eval(text, timeout=60, **bindings)

    def walk(self, map, *options):
        return self.rest(self.iterator(map, *options))

    def rest(self, iterator):
        """All that an iterator still gives, in its order."""
        return self.eval(
            """
            Walk = fun Walk(I) ->
                case ebpf_maps:next(I) of
                    none -> [];
                    {K, V, I2} -> [{K, V} | Walk(I2)]
                end
            end,
            Walk(Iterator)""",
            Iterator=iterator,
        )

    def fold(self, map):
        """All entries, in the order in which the fun got them."""
        return self.eval(
            "lists:reverse(ebpf_maps:fold(fun(K, V, L) -> [{K, V} | L] end, [], Map))",
            Map=map,
        )

    def foreach(self, map):
        """What foreach returned, and what the fun got in this order."""
        return self.eval(
            """
            Ref = make_ref(),
            Got = ebpf_maps:foreach(fun(K, V) -> self() ! {Ref, K, V} end, Map),
            Received = fun Received() ->
                receive {Ref, K, V} -> [{K, V} | Received()] after 0 -> [] end
            end,
            {Got, Received()}""",
            Map=map,
        )


def facade_of(beam, node):
    beam.forget()
    beam.apply("application", "set_env", "ebpf_cnode", "node", node.name)
    return Facade(beam, node)


@pytest.fixture
def facade(facade_beam, cnode):
    facade = facade_of(facade_beam, cnode)
    yield facade
    if cnode.alive() and facade_beam.alive():
        facade.close_all()


@pytest.fixture
def narrow(facade_beam, start_cnode):
    """A C node that takes and sends short messages only."""
    return facade_of(facade_beam, start_cnode("--max-message", MESSAGE))


@pytest.fixture
def bare(alice, cnode):
    """The same C node, called from a node without the facade."""
    return Maps(alice, cnode)


def key(type, number):
    return (u32(32) if type == "lpm_trie" else b"") + u32(number)


def value(type, number):
    if type == "percpu_hash":
        return [u64(number + cpu) for cpu in range(CPUS)]
    return u64(number)


def filled(facade, type, most=None):
    """A map of that type, full, and its entries in the order of their keys."""
    name, key_size, value_size, size, *options = SHAPES[type]
    size = min(size, most or size)
    map = facade.new(name, key_size, value_size, size, *options)
    entries = [(key(type, n), value(type, 3 * n)) for n in range(size)]
    assert facade.merge(map, entries) == map
    return map, sorted(entries)


# --- all entries


@pytest.mark.parametrize("type", SHAPES)
def test_what_was_put_is_listed(type, facade):
    map, entries = filled(facade, type)
    listed = facade.to_list(map)
    assert sorted(listed) == entries
    assert facade.keys(map) == [key for key, _ in listed]
    assert facade.values(map) == [value for _, value in listed]
    assert facade.size(map) == len(entries)


@pytest.mark.parametrize("type", ["array_of_maps", "hash_of_maps"])
def test_the_keys_of_a_map_of_maps_make_no_handles(type, facade):
    inner = facade.new("array", 4, 4, 1)
    outer = facade.new(type, 4, 4, 1, [("inner_map", inner)])
    facade.put(0, inner, outer)
    facade.close(inner)
    before = facade.call("handles", facade.node.name)
    assert facade.keys(outer) == [u32(0)]
    assert facade.call("handles", facade.node.name) == before


@pytest.mark.parametrize("type", SHAPES)
def test_fold_and_foreach_get_every_entry_once_in_the_order_of_to_list(type, facade):
    map, entries = filled(facade, type)
    listed = facade.to_list(map)
    assert sorted(listed) == entries
    assert facade.fold(map) == listed
    assert facade.foreach(map) == ("ok", listed)


def test_the_entries_of_these_hashes_are_more_than_a_chunk(facade):
    map, entries = filled(facade, "hash")
    first, cursor = facade.next_chunk("start", map, CHUNK)
    assert len(first) < len(entries) and cursor != "done"


@pytest.mark.parametrize("type", WITH_DELETE)
def test_of_an_empty_map_there_is_nothing(type, facade):
    map = facade.new(*SHAPES[type])
    for function in ("to_list", "keys", "values", "drain"):
        assert facade.call(function, map) == []
    raising = "fun(_, _, _) -> error(called) end"
    assert facade.eval(f"ebpf_maps:fold({raising}, acc, M)", M=map) == "acc"
    assert facade.foreach(map) == ("ok", [])
    assert facade.walk(map) == []


WHOLE = {
    "to_list": "ebpf_maps:to_list(M)",
    "keys": "ebpf_maps:keys(M)",
    "values": "ebpf_maps:values(M)",
    "fold": "ebpf_maps:fold(fun(_, _, A) -> A end, 0, M)",
    "foreach": "ebpf_maps:foreach(fun(_, _) -> ok end, M)",
    "iterator": "ebpf_maps:iterator(M, [{prefetch, 7}])",
}


@pytest.mark.parametrize("function", WHOLE)
def test_a_queue_cannot_be_walked(function, facade):
    queue = facade.new("queue", 0, 8, 4)
    with raises("enotsup"):
        facade.eval(WHOLE[function], M=queue)


@pytest.mark.parametrize("function", [*WHOLE, "drain"])
def test_what_is_no_map_is_a_badmap(function, facade):
    text = WHOLE.get(function, "ebpf_maps:drain(M)")
    closed = facade.new("hash", 4, 8, 4)
    facade.close(closed)
    for map in ("nothing", closed):
        with raises(("badmap", map)):
            facade.eval(text, M=map)


# --- funs


BAD_FUNS = [
    "ebpf_maps:fold(fun(_, _) -> ok end, 0, M)",
    "ebpf_maps:fold(fun(_, _, _, _) -> ok end, 0, M)",
    "ebpf_maps:fold(nofun, 0, M)",
    "ebpf_maps:fold({lists, append}, 0, M)",
    "ebpf_maps:foreach(fun(_) -> ok end, M)",
    "ebpf_maps:foreach(fun(_, _, _) -> ok end, M)",
    "ebpf_maps:foreach([], M)",
    "ebpf_maps:update_with(1, fun() -> 2 end, M)",
    "ebpf_maps:update_with(1, fun(_, _) -> 2 end, M)",
    "ebpf_maps:update_with(1, 2, M)",
]


@pytest.mark.parametrize("call", BAD_FUNS)
def test_what_is_no_fun_of_that_arity_raises_badarg(call, facade):
    map = facade.new("hash", 4, 8, 4)
    facade.put(1, 1, map)
    with raises("badarg"):
        facade.eval(call, M=map)
    with raises(("badmap", "nothing")):
        facade.eval(call, M="nothing")
    assert facade.to_list(map) == [(u32(1), u64(1))]


@pytest.mark.parametrize(
    "call",
    [
        "ebpf_maps:fold(fun(_, _, _) -> error(mine) end, 0, M)",
        "ebpf_maps:foreach(fun(_, _) -> error(mine) end, M)",
        "ebpf_maps:update_with(1, fun(_) -> error(mine) end, M)",
    ],
)
def test_what_a_fun_raises_is_raised_and_nothing_is_put(call, facade):
    map = facade.new("hash", 4, 8, 4)
    facade.put(1, 1, map)
    with raises("mine"):
        facade.eval(call, M=map)
    assert facade.to_list(map) == [(u32(1), u64(1))]


@pytest.mark.parametrize("type", SHAPES)
def test_update_with_puts_what_the_fun_makes_of_the_value(type, facade):
    map, entries = filled(facade, type, 20)
    fun = (
        "fun(Vs) -> [V + 1 || <<V:64/native>> <- Vs] end"
        if type == "percpu_hash"
        else "fun(<<V:64/native>>) -> V + 1 end"
    )
    text = f"ebpf_maps:update_with(K, {fun}, M)"
    assert facade.eval(text, K=key(type, 7), M=map) == map
    changed = {**dict(entries), key(type, 7): value(type, 3 * 7 + 1)}
    assert dict(facade.to_list(map)) == changed


def test_update_with_of_an_absent_key_raises_badkey_and_calls_no_fun(facade):
    map = facade.new("hash", 4, 8, 4)
    with raises(("badkey", 9)):
        facade.eval("ebpf_maps:update_with(9, fun(_) -> error(called) end, M)", M=map)
    assert facade.to_list(map) == []


def test_update_with_of_a_key_that_goes_meanwhile_raises_badkey(facade):
    map = facade.new("hash", 4, 8, 4)
    facade.put(1, 1, map)
    text = """
        Fun = fun(V) -> ebpf_maps:remove(1, M), V end,
        ebpf_maps:update_with(1, Fun, M)"""
    with raises(("badkey", 1)):
        facade.eval(text, M=map)
    assert facade.to_list(map) == []


@pytest.mark.parametrize("made", ["atom", "<<1>>", "1 bsl 64", "[1]"])
def test_update_with_what_is_no_value_raises_badarg(made, facade):
    map = facade.new("hash", 4, 8, 4)
    facade.put(1, 1, map)
    with raises("badarg"):
        facade.eval(f"ebpf_maps:update_with(1, fun(_) -> {made} end, M)", M=map)
    assert facade.get(1, map) == u64(1)


# --- iterators


@pytest.mark.parametrize("prefetch", [1, 7, 1000])
@pytest.mark.parametrize("type", SHAPES)
def test_an_iterator_gives_every_entry_once(type, prefetch, facade):
    map, entries = filled(facade, type, 1500)
    assert sorted(facade.walk(map, [("prefetch", prefetch)])) == entries


@pytest.mark.parametrize(
    "options",
    [
        *([("prefetch", n)] for n in (0, -1, 2**32, 1.5, "many", [], b"1")),
        ["prefetch"],
        [("prefetch",)],
        [("prefetch", 1, 2)],
        [("fetch", 1)],
        [("prefetch", 7), "nope"],
        [("prefetch", 7), ("prefetch", 0)],
        etf.Improper([("prefetch", 7)], "nope"),
        ("prefetch", 7),
        "prefetch",
        7,
        {"prefetch": 7},
    ],
    ids=repr,
)
def test_an_iterator_with_bad_options_raises_badarg(options, facade):
    map = facade.new("hash", 4, 8, 4)
    with raises("badarg"):
        facade.iterator(map, options)


# A write may move a key of a hash within its bucket, and so within a walk.


@pytest.mark.parametrize("type", SHAPES)
def test_without_prefetching_a_value_is_as_of_next(type, facade):
    map, entries = filled(facade, type, 20)
    iterator = facade.iterator(map, [("prefetch", 1)])
    keys = []
    for place in range(20):
        late = value(type, 1000 + place)
        facade.merge(map, [(key, late) for key, _ in entries])
        key, seen, iterator = facade.next(iterator)
        assert seen == late
        keys.append(key)
    assert facade.next(iterator) == "none"
    assert sorted(keys) == [key for key, _ in entries]


@pytest.mark.parametrize("type", SHAPES)
@pytest.mark.parametrize("options", [[], [[("prefetch", 1000)]]], ids=repr)
def test_with_prefetching_values_are_as_of_the_chunk(options, type, facade):
    map, entries = filled(facade, type, 20)
    iterator = facade.iterator(map, *options)
    facade.put(key(type, 3), value(type, 1003), map)
    facade.put(key(type, 17), value(type, 1017), map)
    then = facade.to_list(map)
    *pair, iterator = facade.next(iterator)
    facade.merge(map, [(key, value(type, 5000)) for key, _ in entries])
    assert [tuple(pair), *facade.rest(iterator)] == then
    assert (key(type, 17), value(type, 1017)) in then


def test_each_chunk_is_of_its_own_moment(facade):
    map, _ = filled(facade, "array", 15)
    iterator = facade.iterator(map, [("prefetch", 5)])
    seen = []
    for place in range(15):
        facade.merge(map, [(k, place) for k in range(15)])
        _, late, iterator = facade.next(iterator)
        seen.append(int.from_bytes(late, ORDER))
    assert seen == 5 * [0] + 5 * [5] + 5 * [10]


def by_rpc(bare, iterator):
    """All that is left of a walk, by a bare rpc:call of next."""
    return bare.beam.eval(
        """
        Walk = fun Walk(I) ->
            case rpc:call(N, ebpf_maps, next, [I]) of
                none -> [];
                {K, V, I2} -> [{K, V} | Walk(I2)]
            end
        end,
        Walk(Iterator)""",
        N=bare.node.name,
        Iterator=iterator,
    )


@pytest.mark.parametrize("steps", [0, 1, 10])
@pytest.mark.parametrize("prefetch", [1, 7, 1000])
@pytest.mark.parametrize("type", SHAPES)
def test_a_walk_of_the_facade_is_finished_without_it(
    type, prefetch, steps, facade, bare
):
    map, entries = filled(facade, type, 100)
    iterator, pairs = facade.iterator(map, [("prefetch", prefetch)]), []
    for _ in range(steps):
        *pair, iterator = facade.next(iterator)
        pairs.append(tuple(pair))
    assert sorted(pairs + by_rpc(bare, iterator)) == entries


@pytest.mark.parametrize("steps", [0, 1, 10])
@pytest.mark.parametrize("type", SHAPES)
def test_a_walk_begun_without_the_facade_is_finished_by_it(type, steps, facade, bare):
    map, entries = filled(facade, type, 100)
    rpc = bare.beam.rpc
    iterator, pairs = rpc(bare.node.name, "iterator", map), []
    for _ in range(steps):
        *pair, iterator = rpc(bare.node.name, "next", iterator)
        pairs.append(tuple(pair))
    assert sorted(pairs + facade.rest(iterator)) == entries


@pytest.mark.parametrize("prefetch", [1, 7])
@pytest.mark.parametrize("type", SHAPES)
def test_a_walk_goes_to_and_fro_between_both(type, prefetch, facade, bare):
    map, entries = filled(facade, type, 60)
    iterator, pairs = facade.iterator(map, [("prefetch", prefetch)]), []
    takes = [facade.next, facade.next, bare.next]
    while (got := takes[len(pairs) % 3](iterator)) != "none":
        *pair, iterator = got
        pairs.append(tuple(pair))
    assert sorted(pairs) == entries


# --- while another node writes


WAYS = {
    "to_list": lambda facade, map: facade.to_list(map),
    "keys": lambda facade, map: [(key, None) for key in facade.keys(map)],
    "fold": lambda facade, map: facade.fold(map),
    "prefetch 7": lambda facade, map: facade.walk(map, [("prefetch", 7)]),
}


@pytest.fixture
def churned(facade, bob, cnode):
    made = []

    def churned(shape, churn):
        made.append(Churned(facade, bob, cnode, shape, churn))
        return made[-1]

    yield churned
    for one in made:
        count = one.stop()
        assert isinstance(count, int), count


def numbers_of(one, pairs):
    """The keys of pairs, whose values are looked at where there are any."""
    if all(value is None for _, value in pairs):
        return [one.number(key) for key, _ in pairs]
    return one.check(pairs)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("type", ["hash", "percpu_hash"])
def test_what_lasts_in_a_hash_comes_exactly_once(type, way, facade, churned):
    one = churned(HASHES[type], INSERT_AND_DELETE)
    for _ in one.rounds(WALKS):
        numbers = numbers_of(one, WAYS[way](facade, one.map))
        assert set(numbers) <= {*LASTING, *COMING}
        assert sorted(n for n in numbers if n in LASTING) == list(LASTING)


@pytest.mark.parametrize("way", WAYS)
def test_an_array_comes_in_order_while_it_is_written(way, facade, churned):
    one = churned(ARRAYS["array"], REPLACE)
    for _ in one.rounds(WALKS):
        assert numbers_of(one, WAYS[way](facade, one.map)) == list(LASTING)


@pytest.mark.parametrize("way", WAYS)
def test_what_lasts_in_a_trie_comes_while_nothing_is_deleted(way, facade, churned):
    one = churned(("lpm_trie", 8, 4, 4000, ["no_prealloc"]), INSERT)
    for _ in one.rounds(WALKS):
        numbers = [one.number(key) for key, _ in WAYS[way](facade, one.map)]
        assert set(LASTING) <= set(numbers)
        assert set(numbers) <= {*LASTING, *range(1_000_000, 1_003_000)}


# --- drain


@pytest.mark.parametrize("type", WITH_DELETE)
def test_drain_takes_all(type, facade):
    map, entries = filled(facade, type)
    assert sorted(facade.drain(map)) == entries
    assert facade.to_list(map) == []
    assert facade.drain(map) == []


def test_an_array_cannot_be_drained_and_stays_as_it_is(facade):
    map, entries = filled(facade, "array")
    with raises("einval"):
        facade.drain(map)
    assert sorted(facade.to_list(map)) == entries


def test_what_a_drain_has_taken_when_it_fails_is_in_its_exception(facade):
    """Its handle is closed after the first chunk; the other one counts."""
    count = 200_000
    first = facade.new("hash", 4, 8, count)
    what = ("id", facade.info(first)["id"])
    map, other = facade.open(what), facade.open(what)
    reason, taken, left, same = facade.eval(
        """
        Pairs = lists:zip(lists:seq(0, Count - 1), lists:seq(1, Count)),
        ebpf_maps:merge(Other, Pairs),
        [{First, _} | _] = Before = ebpf_maps:to_list(Other),
        Close = fun Close() ->
            case ebpf_maps:is_key(First, Other) of
                true -> Close();
                false -> ebpf_maps:close(Map)
            end
        end,
        {_, Ref} = spawn_monitor(fun() -> exit({closed, Close()}) end),
        {Reason, Taken} =
            try ebpf_maps:drain(Map) of Whole -> {drained, Whole}
            catch error:{Why, Entries} when is_list(Entries) -> {Why, Entries}
            end,
        receive {'DOWN', Ref, _, _, {closed, ok}} -> ok end,
        Left = ebpf_maps:to_list(Other),
        Same = lists:sort(Taken ++ Left) =:= lists:sort(Before),
        {Reason, length(Taken), length(Left), Same}""",
        Map=map,
        Other=other,
        Count=count,
    )
    assert reason == ("badmap", map)
    assert taken > 0 and left > 0
    assert taken + left == count
    assert same == "true"


def test_a_drain_that_takes_nothing_raises_the_bare_reason(facade):
    map, entries = filled(facade, "hash", 100)
    other = facade.open(("id", facade.info(map)["id"]))
    facade.close(map)
    with raises(("badmap", map)):
        facade.drain(map)
    assert sorted(facade.to_list(other)) == entries


@pytest.mark.parametrize("type", ["queue", "stack"])
def test_a_queue_longer_than_a_message_is_drained_in_its_order(type, narrow):
    count = 3000
    map = narrow.new(type, 0, 64, 100_000)
    narrow.eval(
        "[ebpf_maps:push(<<N:32/native, 0:480>>, M) || N <- lists:seq(0, Count - 1)]",
        M=map,
        Count=count,
    )
    numbers = range(count) if type == "queue" else reversed(range(count))
    assert narrow.drain(map) == [(b"", u32(n) + bytes(60)) for n in numbers]
    assert narrow.pop(map) == "empty"
    assert narrow.drain(map) == []


@pytest.mark.parametrize("type", ["hash", "lpm_trie"])
def test_a_map_longer_than_a_message_is_listed_and_drained(type, narrow):
    map, entries = filled(narrow, type, 4000)
    assert len(entries) * 16 > MESSAGE // 2
    assert sorted(narrow.to_list(map)) == entries
    assert sorted(narrow.walk(map, [("prefetch", 2**32 - 1)])) == entries
    assert sorted(narrow.drain(map)) == entries


# --- merge


@pytest.mark.parametrize("type", ["hash", "array"])
def test_what_is_too_much_for_a_map_is_counted_over_all_messages(type, facade):
    map = facade.new(type, 4, 8, CHUNK + 100)
    pairs = [(u32(n), u64(5 * n)) for n in range(CHUNK + 3000)]
    with raises(("e2big", CHUNK + 100)):
        facade.merge(map, pairs)
    assert sorted(facade.to_list(map)) == sorted(pairs[: CHUNK + 100])


@pytest.mark.parametrize("type", ["hash", "array"])
def test_short_messages_are_counted_all_the_same(type, narrow):
    map = narrow.new(type, 4, 8, 10_000)
    pairs = [(u32(n), u64(5 * n)) for n in range(11_000)]
    with raises(("e2big", 10_000)):
        narrow.merge(map, pairs)
    assert sorted(narrow.to_list(map)) == sorted(pairs[:10_000])


def test_a_pair_that_is_none_in_a_later_message_stops_all(facade):
    map = facade.new("hash", 4, 8, 2 * CHUNK)
    pairs = [(u32(n), u64(n)) for n in range(CHUNK + 100)]
    with raises("badarg"):
        facade.merge(map, [*pairs, (b"short", 1)])
    assert facade.size(map) == 0
