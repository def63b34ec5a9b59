# SPDX-License-Identifier: Apache-2.0
"""Maps that a security module protects, and pins that may only be read.

The module is protected_maps.c: no kernel at hand lets one be loaded. It refuses
by the name of a map, to write (ro_) or at all (no_), with EPERM or EACCES.
"""

import itertools
import os

import pytest

import preload
from conftest import Maps, raises
from native import u64

HASH = ("hash", 4, 8, 4)
WORDS = {"": "eperm", "_acc": "eacces"}
taken = itertools.count()

preloaded = pytest.mark.preload
each_word = pytest.mark.parametrize("end", WORDS, ids=WORDS.values())


def name_of(kind, end=""):
    """A name that no other map has."""
    return f"{kind}_{os.getpid() % 10000}_{next(taken)}{end}"


def path_of(pin):
    return str(pin).encode()


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preload.build("protected_maps", tmp_path_factory.mktemp("preload"))


@pytest.fixture
def protected(start_cnode, alice, cluster, library):
    """ebpf_maps of a C node of a host that has such a module."""
    env = {**cluster.env, "LD_PRELOAD": str(library)}
    return Maps(alice, start_cnode(env=env))


def make(maps, name):
    """A named map that holds 1 -> 2."""
    return maps.put(1, 2, maps.new(*HASH, [("name", name)]))


def is_refused(call, word):
    """eperm is raised where ids are opened; eacces is what the kernel says."""
    if word == "eperm":
        with raises("eperm"):
            call()
    else:
        assert call() == ("error", "eacces")


# --- list/0, open/1,2


@preloaded
@each_word
def test_list_has_what_may_be_read_and_leaves_out_what_may_not(end, protected):
    names = {kind: name_of(kind, end) for kind in ("ro", "no", "rw")}
    for name in names.values():
        make(protected, name)
    listed = {info["name"].decode() for info in protected.list()}
    assert listed & set(names.values()) == {names["ro"], names["rw"]}


@preloaded
@pytest.mark.parametrize("kind", ["ro", "no"])
@each_word
def test_another_map_is_opened_by_its_name(kind, end, protected):
    make(protected, name_of(kind, end))
    name = name_of("rw")
    make(protected, name)
    make(protected, name_of(kind, end))
    map = protected.open(("name", name))
    assert protected.get(1, map) == u64(2)
    assert protected.put(1, 3, map) == map


@preloaded
@pytest.mark.parametrize("by", ["name", "id"])
@each_word
def test_what_may_only_be_read_is_opened_to_read(by, end, protected):
    name = name_of("ro", end)
    made = make(protected, name)
    what = {"name": ("name", name), "id": ("id", protected.info(made)["id"])}[by]
    map = protected.open(what, ["read"])
    assert protected.get(1, map) == u64(2)
    is_refused(lambda: protected.open(what), WORDS[end])


@preloaded
@each_word
def test_what_may_not_be_looked_at_is_not_found_by_its_name(end, protected):
    name = name_of("no", end)
    make(protected, name)
    assert protected.open(("name", name)) == ("error", "enoent")
    assert protected.open(("name", name), ["read"]) == ("error", "enoent")


@preloaded
def test_an_id_that_is_none_is_enoent_beside_what_is_refused(protected):
    make(protected, name_of("no"))
    assert protected.open(("id", 2**32 - 1)) == ("error", "enoent")


@preloaded
def test_looking_leaves_no_descriptor_of_what_is_refused(protected):
    for kind in ("ro", "no"):
        make(protected, name_of(kind))
    before = len(protected.node.descriptors())
    for _ in range(5):
        protected.list()
        protected.open(("name", name_of("rw")))
    assert len(protected.node.descriptors()) == before


# --- maps in maps


@pytest.fixture
def held(protected):
    """held(name): an outer map with a map of that name that nobody else holds."""

    def held(name):
        inner = make(protected, name)
        options = [("inner_map", inner)]
        outer = protected.new("array_of_maps", 4, 4, 2, options)
        protected.put(0, inner, outer)
        protected.close(inner)
        return outer

    return held


@preloaded
@each_word
def test_an_inner_map_that_may_only_be_read_comes_to_be_read(end, protected, held):
    outer = held(name_of("ro", end))
    inner = protected.get(0, outer)
    assert protected.get(1, inner) == u64(2)
    with raises("eperm"):
        protected.put(1, 3, inner)
    assert [value for _, value in protected.to_list(outer)] == [inner]


@preloaded
def test_an_inner_map_that_goes_before_it_is_opened_is_left_out(protected, held):
    outer = held(name_of("gone"))
    other = make(protected, name_of("rw"))
    protected.put(1, other, outer)
    assert [value for _, value in protected.to_list(outer)] == [other]
    pairs, _ = protected.next_chunk("start", outer, 10)
    assert [value for _, value in pairs] == [other]
    assert protected.find(0, outer) == "error"


@preloaded
@each_word
def test_an_inner_map_that_may_not_be_read_is_refused(end, protected, held):
    outer = held(name_of("no", end))
    for call in (lambda: protected.get(0, outer), lambda: protected.to_list(outer)):
        with raises(WORDS[end]):
            call()
    assert protected.keys(outer) == [bytes(4)]


# --- pins


@preloaded
@each_word
def test_the_pin_of_what_may_only_be_read_is_removed(end, protected, folder):
    map = make(protected, name_of("ro", end))
    pin = folder / "map"
    assert protected.pin(path_of(pin), map) == "ok"
    assert protected.info(map)["pinned"] == [path_of(pin)]
    assert protected.unpin(path_of(pin), map) == "ok"
    assert not pin.exists()


def test_a_pin_that_may_only_be_read_is_removed(maps, folder):
    map = maps.new(*HASH)
    pin = folder / "map"
    maps.pin(path_of(pin), map)
    pin.chmod(0o400)
    other = maps.new(*HASH)
    assert maps.unpin(path_of(pin), other) == ("error", "einval")
    assert pin.exists()
    assert maps.unpin(path_of(pin), map) == "ok"
    assert not pin.exists()


@pytest.mark.parametrize("options", [[], ["write"]], ids=["both", "write"])
def test_a_pin_that_may_only_be_read_is_eacces_to_open(options, maps, folder):
    pin = folder / "map"
    maps.pin(path_of(pin), maps.new(*HASH))
    pin.chmod(0o400)
    what = ("pinned", path_of(pin))
    assert maps.open(what, options) == ("error", "eacces")
    map = maps.open(what, ["read"])
    assert map[2:] == HASH
    assert maps.close(map) == "ok"
