# SPDX-License-Identifier: Apache-2.0
"""Terms instead of bytes, by layouts that a caller sends.

Drawn layouts, and terms and bytes for them: what the C node makes of them is compared
with layouts.py. EBPF_LAYOUTS=n draws n of them in each test.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Maps, raises
from host import CPUS
from layout_draws import data_for, examples, layouts, narrowings, numbers, terms
from layout_faults import TOO_MUCH, WRONG, faults, spoilt
from layouts import decode, encode, exact, folded, names_of, normal, resolved, size_of
from views import Views, Wire, path_of, reason

pytestmark = pytest.mark.single

STRUCTURES = layouts().filter(lambda layout: layout[0] == "struct")
FORMS = ["map", "tuple"]
# Wrong only beside a map that is there
OF_ANOTHER_SIZE = ["smaller_than_the_map", "larger_than_the_map", "a_structure_of_another_size"]


@pytest.fixture
def maps(cnode, connect):
    return Wire(connect(cnode))


@pytest.fixture
def views(maps):
    views = Views(maps)
    yield views
    views.close()


def hash_for(views, key, value):
    return views.new("hash", size_of(key), size_of(value), 4)


def assert_same(have, want):
    assert exact(have) == exact(want), (have, want)


def encoded(layout, term, form="map"):
    return encode(layout, term, form=form)


def test_the_layouts_of_a_view_are_those_that_it_was_given(maps, views):
    @examples(40)
    @given(layouts(), layouts())
    def check(key, value):
        with views.closed():
            map = hash_for(views, key, value)
            view = views.by(map, key, value)
            assert view[2:] == map[2:] and view != map
            assert same_layouts(maps.types(view), (key, value))

    check()


def same_layouts(have, want):
    return [normal(one) for one in have] == [normal(one) for one in want]


@pytest.mark.parametrize("form", FORMS)
def test_bytes_are_read_as_the_terms_of_their_layouts(form, maps, views):
    @examples(40)
    @given(st.data())
    def check(data):
        key, value = data.draw(layouts()), data.draw(layouts())
        pair = data.draw(data_for(key)), data.draw(data_for(value))
        with views.closed():
            map = hash_for(views, key, value)
            view = views.by(map, key, value, ("as", form))
            maps.put(*pair, map)
            [have] = maps.to_list(view)
            assert_same(have, (decode(key, pair[0], form), decode(value, pair[1], form)))

    check()


@pytest.mark.parametrize("form", FORMS)
def test_terms_are_written_as_the_bytes_of_their_layouts(form, maps, views):
    @examples(40)
    @given(st.data())
    def check(data):
        key, value = data.draw(layouts()), data.draw(layouts())
        pair = data.draw(terms(key, form)), data.draw(terms(value, form))
        with views.closed():
            map = hash_for(views, key, value)
            view = views.by(map, key, value, ("as", form))
            assert maps.put(*pair, view) == view
            [have] = maps.to_list(map)
            assert have == (encoded(key, pair[0], form), encoded(value, pair[1], form))
            assert_same(maps.get(pair[0], view), decode(value, have[1], form))
            assert maps.is_key(pair[0], view) == "true"
            assert maps.remove(pair[0], view) == view and maps.size(map) == 0

    check()


def test_terms_of_an_erlang_node_are_written_and_read_as_well(alice, cnode):
    """All others are sent without one, which is quicker."""
    maps = Maps(alice, cnode)
    views = Views(maps)

    @examples(15)
    @given(st.data())
    def check(data):
        key, value = data.draw(layouts()), data.draw(layouts())
        pair = data.draw(terms(key)), data.draw(terms(value))
        with views.closed():
            map = hash_for(views, key, value)
            view = views.by(map, key, value)
            assert maps.put(*pair, view) == view
            [have] = maps.to_list(map)
            assert have == (encoded(key, pair[0]), encoded(value, pair[1]))
            assert_same(maps.to_list(view), [(decode(key, have[0]), decode(value, have[1]))])

    check()


def test_a_map_is_made_by_any_layouts(maps, views):
    @examples(30)
    @given(st.data())
    def check(data):
        key, value = data.draw(layouts()), data.draw(layouts())
        pair = data.draw(terms(key)), data.draw(terms(value))
        with views.closed():
            made = views.new("hash", key, value, 2)
            assert made[2:] == ("hash", size_of(key), size_of(value), 2)
            assert same_layouts(maps.types(made), (key, value))
            maps.put(*pair, made)
            raw = views.keep(maps.open(("id", maps.info(made)["id"])))
            assert maps.to_list(raw) == [(encoded(key, pair[0]), encoded(value, pair[1]))]

    check()


@pytest.mark.parametrize("form", FORMS)
def test_what_was_read_can_be_written_with_one_alternative_of_each_union(form, maps, views):
    @examples(40)
    @given(st.data())
    def check(data):
        value = data.draw(layouts())
        before = data.draw(data_for(value))
        with views.closed():
            map = hash_for(views, "u8", value)
            view = views.by(map, "u8", value, ("as", form))
            maps.put(1, before, map)
            whole = resolved(normal(value), len(before))
            term = data.draw(narrowings(whole, maps.get(1, view), form))
            maps.put(1, term, view)
            assert maps.get(1, map) == encoded(value, term, form)

    check()


def test_some_members_of_a_structure_are_a_tuple_in_the_order_asked_for(maps, views):
    @examples(40)
    @given(st.data())
    def check(data):
        value = data.draw(STRUCTURES)
        names = data.draw(st.permutations(names_of(value)))
        names = names[: data.draw(st.integers(1, len(names)))]
        before = data.draw(data_for(value))
        with views.closed():
            map = hash_for(views, "u8", value)
            view = views.by(map, "u8", value, ("as", names))
            maps.put(1, before, map)
            assert_same(maps.get(1, view), decode(value, before, names))
            with raises("enotsup"):
                maps.put(1, decode(value, before, names), view)

    check()


@pytest.mark.parametrize("form", FORMS)
def test_a_fault_in_a_value_is_told_by_the_path_to_it(form, maps, views):
    @examples(40)
    @given(st.data())
    def check(data):
        value = data.draw(layouts())
        found = list(faults(value, data.draw(terms(value, form)), form))
        with views.closed():
            map = hash_for(views, "u8", value)
            view = views.by(map, "u8", value, ("as", form))
            for bad, paths in data.draw(st.lists(st.sampled_from(found), max_size=5)):
                why = reason(maps.put, 1, bad, view)
                assert why and path_of(why) in paths, (bad, why)
            assert maps.size(map) == 0

    check()


def test_a_fault_in_a_key_is_told_by_the_path_to_it(maps, views):
    @examples(30)
    @given(st.data())
    def check(data):
        key = data.draw(layouts())
        found = list(faults(key, data.draw(terms(key))))
        bad, paths = data.draw(st.sampled_from(found))
        with views.closed():
            view = views.by(hash_for(views, key, "u8"), key, "u8")
            for call, *args in (maps.get, bad), (maps.put, bad, 1), (maps.remove, bad):
                why = reason(call, *args, view)
                assert why and path_of(why) in paths, (bad, why)

    check()


def test_the_values_of_all_cpus_are_a_list_of_terms(maps, views):
    @examples(30)
    @given(st.data())
    def check(data):
        value = data.draw(layouts())
        before = [data.draw(data_for(value)) for _ in range(CPUS)]
        after = [data.draw(terms(value)) for _ in range(CPUS)]
        with views.closed():
            map = views.new("percpu_hash", 1, size_of(value), 4)
            view = views.by(map, "u8", value)
            maps.put(1, before, map)
            assert_same(maps.get(1, view), [decode(value, data) for data in before])
            maps.put(1, after, view)
            assert maps.get(1, map) == [encoded(value, term) for term in after]

    check()


def test_one_structure_is_put_for_all_cpus(maps, views):
    value = ("struct", 8, [(b"a", 0, "u32"), (b"b", 32, "s8")])
    map = views.new("percpu_array", 4, 8, 2)
    view = views.by(map, "u32", value, ("percpu", "list"))
    maps.put(1, {"a": 7, "b": -1}, view)
    assert maps.get(1, view) == [{b"a": 7, b"b": -1}] * CPUS


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("how", ["sum", "max", "min"])
def test_the_numbers_of_all_cpus_are_folded_into_one(how, form, maps, views):
    @examples(20)
    @given(st.data())
    def check(data):
        value = data.draw(numbers())
        each = terms(value).map(lambda term: encode(value, finite(term)))
        before = [data.draw(each) for _ in range(CPUS)]
        with views.closed():
            map = views.new("percpu_hash", 1, size_of(value), 4)
            view = views.by(map, "u8", value, ("percpu", how), ("as", form))
            maps.put(1, before, map)
            assert_same(maps.get(1, view), folded(value, before, how, form))
            with raises("enotsup"):
                maps.put(1, maps.get(1, view), view)

    check()


def finite(term):
    """Small numbers in the place of those that are none, or too large to be added."""
    match term:
        case dict():
            return {key: finite(value) for key, value in term.items()}
        case list():
            return [finite(item) for item in term]
        case str():
            return 1.5
        case float():
            return term if abs(term) < 1e300 else 2.5
    return term


@pytest.mark.parametrize("what", ["bool", ("char", 4), ("bytes", 4), "ptr", ("enum", 4, [("a", 1)])])
@pytest.mark.parametrize("how", ["sum", "max", "min"])
def test_only_numbers_are_folded(how, what, maps, views):
    value = ("struct", size_of(what) + 4, [(b"n", 0, "u32"), (b"other", 32, what)])
    map = views.new("percpu_hash", 1, size_of(value), 4)
    assert reason(maps.typed, map, [("types", ("u8", value)), ("percpu", how)]) == "badarg"


# --- what is no layout


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_layout_is_refused(what, maps, views):
    layout, size = WRONG[what]
    map = views.new("hash", size, size, 4)
    for pair in ("key", layout), ("value", layout):
        other = ("bytes", size)
        types = (layout, other) if pair[0] == "key" else (other, layout)
        assert reason(maps.typed, map, [("types", types)]) == "badarg", pair[0]


@pytest.mark.parametrize("what", [what for what in WRONG if what not in OF_ANOTHER_SIZE])
def test_no_map_is_made_by_a_wrong_layout(what, maps):
    for types in ("u32", WRONG[what][0]), (WRONG[what][0], "u32"):
        assert reason(maps.new, "hash", *types, 4) == "badarg"


def test_a_structure_with_a_fault_is_refused(maps, views):
    @examples(30)
    @given(st.data())
    def check(data):
        value = data.draw(STRUCTURES)
        with views.closed():
            map = hash_for(views, "u8", value)
            found = list(spoilt(value))
            for bad in data.draw(st.lists(st.sampled_from(found), max_size=5)) if found else []:
                assert reason(maps.typed, map, [("types", ("u8", bad))]) == "badarg", bad

    check()


@pytest.mark.parametrize("what", TOO_MUCH)
def test_a_layout_that_is_too_much_is_refused(what, maps, views):
    layout, size = TOO_MUCH[what]
    map = views.new("array", 4, size, 1)
    assert reason(maps.typed, map, [("types", ("u32", layout))]) == "e2big"


def test_a_layout_without_a_size_of_its_own_is_refused(maps, views):
    map = views.new("hash", 4, 4, 4)
    for types in [("u32",), ("u32", "u32", "u32"), ["u32", "u32"], "u32", {"key": "u32"}]:
        assert reason(maps.typed, map, [("types", types)]) == "badarg", types


@pytest.mark.parametrize("form", ["list", [], [b"c"], [b"a", b"c"], [b"a", 1], 7, [b"inner"]])
def test_a_form_that_there_is_not_is_refused(form, maps, views):
    inner = ("struct", 4, [(b"b", 0, "u32")])
    value = ("struct", 8, [(b"a", 0, "u32"), (b"", 32, inner)])
    map = views.new("hash", 4, 8, 4)
    assert reason(maps.typed, map, [("types", ("u32", value)), ("as", form)]) == "badarg"


def test_members_of_what_has_none_are_refused(maps, views):
    map = views.new("hash", 4, 8, 4)
    assert reason(maps.typed, map, [("types", ("u32", "u64")), ("as", [b"a"])]) == "badarg"


# --- in which this kernel has no such value


def test_what_a_layout_hides_is_written_as_zero_as_a_kernel_pointer_would_be(maps, views):
    """This kernel has no types for kptrs: on a layout."""
    value = ("struct", 16, [(b"count", 0, "u64"), (b"task", 64, "hidden")])
    map = views.new("hash", 4, 16, 4)
    view = views.by(map, "u32", value)
    maps.put(1, b"\xff" * 16, map)
    assert maps.get(1, view) == {b"count": 2**64 - 1}
    maps.put(1, {"count": 7}, view)
    assert maps.get(1, map) == bytes([7]) + bytes(15)
    with raises(("badmember", [b"task"])):
        maps.put(1, {"count": 7, "task": 0}, view)


