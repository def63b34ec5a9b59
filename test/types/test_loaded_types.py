# SPDX-License-Identifier: Apache-2.0
"""load/2 with types: its maps are views, by the BTF that comes with them."""

import pytest

from conftest import raises
from native import u32, u64

pytestmark = pytest.mark.sandbox

TYPED = ("types", "btf")
NO_PROGRAMS = ("programs", [])


@pytest.fixture
def load(shared_programs, objects):
    return lambda *options: shared_programs.load(objects, [NO_PROGRAMS, *options])["maps"]


def test_maps_of_an_object_are_views_and_those_without_types_are_not(shared_programs, load):
    call = shared_programs.maps
    maps = load(TYPED)
    call("put", 1, 2, maps[b"table"])
    assert call("to_list", maps[b"table"]) == [(1, 2)]
    assert call("types", maps[b"table"]) == ("u32", "u64")
    assert call("get", 0, maps[b"asks_pin"]) == 0
    assert call("get", 0, maps[b"resized"]) == bytes(8)
    assert call("types", maps[b"resized"]) == ("error", "notype")


def test_variables_are_members_by_their_names(shared_programs, load):
    call = shared_programs.maps
    maps = load(TYPED, ("variables", {b"limit": 77, b"large": 88}))
    assert call("get", 0, maps[b".bss"]).keys() == {b"runs"}
    assert call("get", 0, maps[b".rodata"])[b"limit"] == 77
    data = call("get", 0, maps[b".data"])
    assert data[b"large"] == 88
    call("put", 0, data | {b"large": 99}, maps[b".data"])
    assert call("get", 0, maps[b".data"])[b"large"] == 99
    constants = call("get", 0, maps[b".rodata"])
    with raises("eperm"):
        call("put", 0, constants, maps[b".rodata"])


def test_it_takes_no_right_to_open_anything_by_its_id(start_programs, objects):
    programs = start_programs("--no-open-by-id")
    maps = programs.load(objects, [NO_PROGRAMS, TYPED])["maps"]
    programs.maps("put", 1, 2, maps[b"table"])
    assert programs.maps("to_list", maps[b"table"]) == [(1, 2)]
    tuples = programs.maps("typed", maps[b".data"], [("as", "tuple")])
    assert len(programs.maps("get", 0, tuples)) == len(programs.maps("get", 0, maps[b".data"]))
    untyped = programs.load(objects, [NO_PROGRAMS])["maps"]
    assert programs.maps("typed", untyped[b"table"], []) == ("error", "eperm")
    layouts = programs.maps("types", maps[b"table"])
    view = programs.maps("typed", untyped[b"table"], [("types", layouts)])
    assert programs.maps("to_list", view) == []


def test_structures_are_tuples_where_they_are_asked_for(shared_programs, load):
    maps = load(TYPED, ("as", "tuple"))
    assert shared_programs.maps("get", 0, maps[b".bss"]) == (0,)


def test_a_map_of_the_callers_stays_as_it_is(shared_programs, load):
    mine = shared_programs.maps("new", "hash", 4, 8, 16)
    maps = load(TYPED, ("maps", {b"table": mine}))
    shared_programs.maps("put", 1, 2, mine)
    assert shared_programs.maps("to_list", maps[b"table"]) == [(u32(1), u64(2))]


@pytest.mark.parametrize(
    "options",
    [[("types", ("u32", "u64"))], [("types", "vmlinux")], [("as", "tuple")]]
    + [[TYPED, ("as", as_)] for as_ in ("list", [b"x"])]
    + [[TYPED, TYPED], [TYPED, ("percpu", "sum")]],
    ids=str,
)
def test_other_options_of_views_are_badarg(shared_programs, objects, options):
    with raises("badarg"):
        shared_programs.load(objects, [NO_PROGRAMS, *options])
    with raises("badarg"):
        shared_programs.call("load", "xdp", bytes(8), options)
