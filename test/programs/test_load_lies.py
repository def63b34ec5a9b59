# SPDX-License-Identifier: Apache-2.0
"""Children that load, and then lie: the node believes the kernel, and none of them.

By lying_answer.c, which takes the place of libbpf's functions in a child.
"""

import pytest

from instructions import returns
from preload import build
from program_fixtures import Programs

pytestmark = [pytest.mark.sandbox, pytest.mark.preload]

DESCRIPTOR = "a descriptor is not what it was called"
MISSING = "a descriptor is missing"
NAME = "a name is missing or too long"
FOREIGN = "a program has a map that is neither the object's nor the caller's"
OUTSIDE = "a variable is not within its map"
KILLED = ("error", ("loader", "killed"))


@pytest.fixture(scope="session")
def lying_answer(tmp_path_factory):
    return build("lying_answer", tmp_path_factory.mktemp("lib"))


@pytest.fixture
def start_lying(start_programs, cluster, lying_answer):
    def start(lie, *options):
        env = {**cluster.env, "LD_PRELOAD": str(lying_answer), "LIE": lie}
        return start_programs(*options, env=env)

    return start


@pytest.mark.parametrize(
    "lie, words",
    [
        ("a map as a program", DESCRIPTOR),
        ("types as a program", DESCRIPTOR),
        ("a program as a map", DESCRIPTOR),
        ("types as a map", DESCRIPTOR),
        ("a program with a foreign map", FOREIGN),
        ("one map for all", OUTSIDE),
        ("two programs of one name", "two programs have one name"),
        ("a program without a name", NAME),
        ("a long name", NAME),
        ("a variable beyond its map", OUTSIDE),
        ("a variable far beyond its map", OUTSIDE),
        ("a variable of no size", OUTSIDE),
        ("a variable of no map", "a variable is in none of the maps"),
        ("a log of no program", "a log is of none of the programs"),
        ("a descriptor twice", DESCRIPTOR),
        ("a descriptor that did not come", MISSING),
        ("it needs more again", "it had what it needs"),
    ],
)
def test_a_lie_is_closed_and_told_as_a_child_that_was_killed(lie, words, start_lying, objects):
    programs = start_lying(lie)
    with programs.unchanged():
        assert programs.load(objects, [("log", 1)] if "log" in lie else []) == KILLED
    programs.node.wait_log(f"warning load/2 for {programs.beam.name}: the loader's child .*{words}")


@pytest.mark.parametrize("lie", ["a map as the types", "a descriptor that did not come"])
def test_types_that_are_none_close_all(lie, start_lying, objects):
    programs = start_lying(lie)
    with programs.unchanged():
        assert programs.load(objects, [("programs", []), ("types", "btf")]) == KILLED


def test_types_that_are_not_those_of_the_maps_are_not_used(start_lying, objects):
    programs = start_lying("other types")
    loaded = programs.load(objects, [("types", "btf")])
    assert programs.maps("get", bytes(4), loaded["maps"][b"asks_pin"]) == bytes(8)


@pytest.mark.parametrize(
    "lie, option", [("more maps", "--max-maps"), ("more programs", "--max-programs")]
)
def test_more_than_there_are_places_for_is_closed(lie, option, start_lying, objects):
    programs = start_lying(lie, option, "10")
    with programs.unchanged():
        assert programs.load(objects, [("programs", ["optional"])]) == KILLED
    programs.node.wait_log("it made more than it may")


def test_more_than_any_object_has_is_too_many(start_lying, objects):
    programs = start_lying("it needs more than there is")
    with programs.unchanged():
        assert programs.load(objects, []) == ("error", "emfile")


def test_a_program_of_a_type_that_is_not_allowed_is_closed(
    cluster, lying_answer, start_cnode, alice, objects
):
    lie = {"LD_PRELOAD": str(lying_answer), "LIE": "a program of another type"}
    node = start_cnode("--programs", "xdp", "--allow", "*=load", env={**cluster.env, **lie})
    programs = Programs(alice, node)
    with programs.unchanged():
        assert programs.load(objects, [("programs", ["pass"])]) == KILLED
    programs.node.wait_log("a program is of a type that --programs does not allow")


@pytest.mark.parametrize(
    "lie, words",
    [
        ("instructions: another type", "it made another program"),
        ("instructions: a foreign map", FOREIGN),
        ("instructions: a map", DESCRIPTOR),
    ],
)
def test_instructions_become_what_was_asked_for_or_nothing(lie, words, start_lying):
    programs = start_lying(lie)
    with programs.unchanged():
        assert programs.load("xdp", returns(2), []) == KILLED
    programs.node.wait_log(f"warning load/3 for .*{words}")


def test_with_a_liar_maps_go_on(start_lying, objects):
    programs = start_lying("a program with a foreign map")
    map = programs.maps("new", "hash", 4, 8, 16)
    assert programs.load(objects, [("maps", {b"table": map})]) == KILLED
    assert programs.maps("put", bytes(4), bytes(8), map) == map
