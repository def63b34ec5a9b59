# SPDX-License-Identifier: Apache-2.0
"""Handles that came from reading a map of maps, once their maps have left it."""

import copy
import ctypes
import os
import time

import pytest

from beam import BeamError
from cluster import allow_descriptors, wait_until
from conftest import Maps, raises
from jhash import sharing_a_bucket
from native import u64

HASH = ("hash", 4, 8, 4)
OUTER = {"array_of_maps": 4, "hash_of_maps": 8}
ARRAY_TYPE = 2
libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)

each_type = pytest.mark.parametrize("type", OUTER)


def path_of(pin):
    return str(pin).encode()


def check(result):
    assert result >= 0, os.strerror(-result)
    return result


class World:
    """A node that ends what is idle after a second, and an outer map of it."""

    def __init__(self, maps, type):
        self.maps = maps
        template = maps.new(*HASH)
        options = [("inner_map", template)]
        self.outer = maps.new(type, 4, 4, OUTER[type], options)
        maps.close(template)

    def put(self, key, number):
        """A map that nobody has a handle of, in which 1 -> number."""
        maps = self.maps
        inner = maps.put(1, number, maps.new(*HASH))
        maps.put(key, inner, self.outer)
        maps.close(inner)

    def read(self, key):
        return self.maps.get(key, self.outer)

    def is_live(self, handle):
        """Without using it."""
        return handle in [one for one, _, _ in self.maps.handles()]

    def wait_end(self, handle):
        wait_until(lambda: not self.is_live(handle), what="the handle ends")

    def outlast(self):
        """Until a handle ends that was read after all that is there now."""
        self.put(3, 9)
        last = self.read(3)
        self.maps.remove(3, self.outer)
        self.wait_end(last)


@pytest.fixture
def world(start_cnode, alice):
    def world(type="array_of_maps", *options):
        return World(Maps(alice, start_cnode("--grace", "1", *options)), type)

    return world


# --- what ends


@each_type
def test_a_handle_ends_whose_map_has_left_the_outer_one(type, world):
    world = world(type)
    maps = world.maps
    before = maps.node.held_maps()
    world.put(0, 7)
    handle = world.read(0)
    world.put(0, 8)
    world.wait_end(handle)
    with raises(("badmap", handle)):
        maps.get(1, handle)
    assert maps.get(1, world.read(0)) == u64(8)
    assert maps.node.new_maps(before) == 1


def test_a_handle_ends_when_no_outer_map_is_held_here(world, folder):
    world = world()
    maps = world.maps
    world.put(0, 7)
    handle = world.read(0)
    maps.pin(path_of(folder / "outer"), world.outer)
    maps.close(world.outer)
    world.wait_end(handle)
    world.outer = maps.open(("pinned", path_of(folder / "outer")))
    assert maps.get(1, world.read(0)) == u64(7)


def test_a_map_ends_with_the_handle(world, maps):
    world = world()
    world.put(0, 7)
    handle = world.read(0)
    id = world.maps.info(handle)["id"]
    world.maps.remove(0, world.outer)
    wait_until(lambda: id not in [info["id"] for info in maps.list()])


# --- what does not


@pytest.mark.parametrize("grace, least", [(0, 1), (3, 3)])
def test_a_handle_ends_no_sooner_than_after_the_grace_period_or_a_second(
    grace, least, start_cnode, alice
):
    world = World(Maps(alice, start_cnode("--grace", grace)), "array_of_maps")
    world.put(0, 1)
    begun = time.monotonic()
    handle = world.read(0)
    world.maps.remove(0, world.outer)
    world.wait_end(handle)
    assert time.monotonic() - begun >= least


@each_type
def test_a_handle_stays_whose_map_is_in_the_outer_one(type, world):
    world = world(type)
    world.put(0, 7)
    handle = world.read(0)
    world.outlast()
    assert world.is_live(handle)
    world.outlast()
    assert world.maps.get(1, handle) == u64(7)


def test_a_handle_stays_whose_map_is_in_another_outer_one(world):
    world = world()
    maps = world.maps
    world.put(0, 7)
    handle = world.read(0)
    options = [("inner_map", handle)]
    other = maps.new("hash_of_maps", 4, 4, 1, options)
    maps.put(5, handle, other)
    maps.remove(0, world.outer)
    world.outlast()
    assert maps.get(1, handle) == u64(7)


def test_a_handle_stays_where_the_outer_map_was_the_first_handle(
    world, start_cnode, alice
):
    first = world()
    first.put(0, 7)
    other = copy.copy(first)
    other.maps = Maps(alice, start_cnode("--grace", "1"))
    other.outer = other.maps.open(("id", first.maps.info(first.outer)["id"]))
    handle = other.read(0)
    other.outlast()
    assert other.is_live(handle)


def test_a_handle_stays_that_is_used(world):
    world = world()
    world.put(0, 7)
    used, left = world.read(0), []
    world.put(0, 8)
    left.append(world.read(0))
    world.put(0, 9)

    def left_has_ended():
        assert world.maps.get(1, used) == u64(7)
        return not world.is_live(left[0])

    wait_until(left_has_ended)
    assert world.maps.get(1, used) == u64(7)


@pytest.mark.parametrize("how", ["new", "open"])
def test_a_handle_stays_that_a_node_has_made_or_opened(how, world):
    world = world()
    maps = world.maps
    made = maps.put(1, 7, maps.new(*HASH))
    maps.put(0, made, world.outer)
    if how == "open":
        opened = maps.open(("id", maps.info(made)["id"]))
        maps.close(made)
        made = opened
    assert world.read(0) == made
    maps.remove(0, world.outer)
    world.outlast()
    assert maps.get(1, made) == u64(7)


@pytest.mark.parametrize("function", ["take", "drain", "drain_chunk"])
def test_what_was_taken_out_stays(function, world):
    world = world("hash_of_maps")
    maps = world.maps
    world.put(0, 7)
    world.read(0)
    if function == "take":
        taken, _ = maps.take(0, world.outer)
    elif function == "drain":
        [(_, taken)] = maps.drain(world.outer)
    else:
        [(_, taken)], _ = maps.drain_chunk("start", world.outer, 4)
    world.outlast()
    assert world.is_live(taken)
    assert maps.get(1, taken) == u64(7)
    assert maps.close(taken) == "ok"


def test_a_map_of_many_is_looked_through_in_pieces(world):
    """More than one step of a walk takes."""
    world = world()
    maps = world.maps
    world.put(0, 7)
    handle = world.read(0)
    wide = maps.new("array_of_maps", 4, 4, 40000, [("inner_map", handle)])
    maps.put(39999, handle, wide)
    for key in range(64):
        maps.put(key * 600, handle, wide)
    maps.remove(0, world.outer)
    world.outlast()
    assert world.is_live(handle)


@pytest.mark.many
def test_a_bucket_of_many_is_looked_through(world):
    """More of them than a step of a walk has room for."""
    world = world()
    maps = world.maps
    world.put(0, 7)
    handle = world.read(0)
    options = ["zero_seed", ("inner_map", handle)]
    wide = maps.new("hash_of_maps", 512, 4, 256, options)
    for key in sharing_a_bucket(140, 256, 512):
        maps.put(key, handle, wide)
    maps.remove(0, world.outer)
    world.outlast()
    assert world.is_live(handle)


# --- in number

ROUNDS, AT_ONCE = 5, 4000
ROOM = 2 * AT_ONCE + 1000


class Replacer:
    """What a program does with a pinned map of maps: all of it in one go."""

    def __init__(self, pin):
        self.outer = check(libbpf.bpf_obj_get(path_of(pin)))
        self.keys = (ctypes.c_uint32 * AT_ONCE)(*range(AT_ONCE))

    def replace_all(self):
        make = libbpf.bpf_map_create
        new = [check(make(ARRAY_TYPE, None, 4, 4, 1, None)) for _ in self.keys]
        values = (ctypes.c_uint32 * AT_ONCE)(*new)
        count = ctypes.c_uint32(AT_ONCE)
        check(
            libbpf.bpf_map_update_batch(
                self.outer, self.keys, values, ctypes.byref(count), None
            )
        )
        assert count.value == AT_ONCE
        for fd in new:
            os.close(fd)

    def close(self):
        os.close(self.outer)


@pytest.fixture
def replacer(folder):
    made = []

    def replacer(pin):
        made.append(Replacer(pin))
        return made[-1]

    yield replacer
    for one in made:
        one.close()


def test_who_polls_a_map_whose_maps_are_replaced_goes_on(
    start_cnode, alice, folder, replacer
):
    """20,000 times, with room for less than half of that many handles."""
    allow_descriptors(ROOM + 1000)
    limits = ("--max-maps", str(ROOM), "--max-connections", "16")
    node = start_cnode("--grace", "1", *limits)
    maps = Maps(alice, node)
    template = maps.new("array", 4, 4, 1)
    options = [("inner_map", template)]
    outer = maps.new("hash_of_maps", 4, 4, AT_ONCE, options)
    maps.pin(path_of(folder / "outer"), outer)
    program = replacer(folder / "outer")

    def all_are_read():
        try:
            return alice.eval(
                "length(erpc:call(Node, ebpf_maps, to_list, [Map])) =:= N",
                Node=node.name,
                Map=outer,
                N=AT_ONCE,
            )
        except BeamError as e:
            assert e.reason[1] == "emfile"
            return False

    for _ in range(ROUNDS):
        program.replace_all()
        wait_until(all_are_read, 30)
    wait_until(lambda: node.map_count() == AT_ONCE + 2)
    assert maps.new(*HASH)[0] == "ebpf_map"
