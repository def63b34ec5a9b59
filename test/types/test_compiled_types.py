# SPDX-License-Identifier: Apache-2.0
"""Kinds of types that programs of others seldom have: test/bpf/typed.bpf.c."""

import pytest

from conftest import raises
from layouts import members, normal

pytestmark = pytest.mark.sandbox

MAPS = "wires fields all reals percpu guards timers .data .bss .rodata".split()


@pytest.fixture(scope="module")
def compiled_types(compile_bpf):
    return compile_bpf("typed").read_bytes()


@pytest.fixture(scope="module")
def seen(typed_reader, compiled_types):
    """{name: typed map}"""
    seen = typed_reader.see_object("own", compiled_types)
    return {one.name.split()[1]: one for one in seen}


def test_all_maps_are_typed(seen):
    assert {name[name.find(".") :] if "." in name else name for name in seen} == set(MAPS)


@pytest.mark.parametrize("name", MAPS)
def test_layouts_are_the_types_that_bpftool_lists(name, seen):
    seen[name].check_layouts()


@pytest.mark.parametrize("name", MAPS)
def test_terms_are_those_of_their_layouts(name, seen):
    seen[name].check_terms()


@pytest.mark.parametrize("name", [name for name in MAPS if name != "reals"])
def test_numbers_are_those_that_bpftool_shows(name, seen):
    """It shows no floats."""
    seen[name].check_numbers()


@pytest.mark.parametrize("name", MAPS)
def test_terms_are_written_as_the_bytes_that_they_were_but_for_padding(name, seen):
    seen[name].check_written()


@pytest.mark.parametrize("name, hidden", [("guards", b"lock"), ("timers", b"timer")])
def test_what_is_the_kernels_own_is_not_there(name, hidden, seen):
    value = seen[name].layouts[1]
    assert [row[-1] for row in value[2] if row[0] == hidden] == ["hidden"]
    assert [member.name for member in members(value)] == [b"before", b"after"]
    for _, term in seen[name].terms:
        assert term.keys() == {b"before", b"after"}


@pytest.fixture
def typed(shared_programs, compiled_types):
    """{name: handle} of a load of its own"""
    loaded = shared_programs.load(compiled_types, [("programs", []), ("types", "btf")])
    return {name.decode(): map for name, map in loaded["maps"].items()}


def test_a_lock_is_neither_asked_for_nor_taken(shared_programs, typed):
    map, put = typed["guards"], {b"before": 1, b"after": 2}
    assert shared_programs.maps("put", "RED", put, map) == map
    assert shared_programs.maps("get", 0, map) == put
    with raises(("badmember", [b"lock"])):
        shared_programs.maps("put", "RED", {**put, b"lock": 0}, map)


def test_a_section_of_variables_is_a_map_of_them(shared_programs, typed):
    data = next(map for name, map in typed.items() if name.endswith(".data"))
    got = shared_programs.maps("get", 0, data)
    assert got == {b"counter": 7, b"here": {b"x": 1, b"y": -2}}
    assert shared_programs.maps("put", 0, {**got, b"counter": 8}, data) == data
    assert shared_programs.maps("get", 0, data)[b"counter"] == 8


def test_a_section_that_is_frozen_can_be_read(shared_programs, typed):
    data = next(map for name, map in typed.items() if name.endswith(".rodata"))
    assert shared_programs.maps("get", 0, data) == {b"greeting": b"hello"}
    with raises("eperm"):
        shared_programs.maps("put", 0, {b"greeting": b"bye"}, data)


def test_members_of_one_that_has_no_name_stand_among_the_others(seen):
    for _, term in seen["all"].terms:
        assert {b"whole", b"low", b"high", b"chars", b"inner", b"point", b"number"} <= term.keys()
        assert b"" not in term
    assert normal(seen["all"].layouts[1])[0] == "struct"
