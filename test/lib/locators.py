# SPDX-License-Identifier: Apache-2.0
"""What can be done with a map that is named by {id, Id}, {name, Name} or
{pinned, Path}: tables for those tests that do it by rpc and by the facade.
"""

import itertools
import os

from native import u32, u64

MAP = "THE MAP"  # in a row of a table: what is named, as it is named
HASH = ("hash", 4, 8, 4)
SHAPES = {"hash": HASH, "queue": ("queue", 0, 8, 4), "array": ("array", 4, 8, 2)}
KINDS = ("id", "name", "pinned")
taken = itertools.count()


ENTRY = (u32(1), u64(2))

# function: type, its arguments, and what it returns for a map that holds 1 -> 2
READING = {
    "get/2": ("hash", [1, MAP], u64(2)),
    "get/3": ("hash", [9, MAP, "none"], "none"),
    "find": ("hash", [1, MAP], ("ok", u64(2))),
    "is_key": ("hash", [1, MAP], "true"),
    "peek": ("queue", [MAP], u64(2)),
    "type": ("hash", [MAP], "hash"),
    "types": ("hash", [MAP], ("error", "notype")),
    "keys": ("hash", [MAP], [u32(1)]),
    "values": ("hash", [MAP], [u64(2)]),
    "to_list": ("hash", [MAP], [ENTRY]),
    "size": ("hash", [MAP], 1),
    "with": ("hash", [[1, 9], MAP], {1: u64(2)}),
}
WRITING = {
    "put": ("hash", [1, 5, MAP], MAP),
    "insert": ("hash", [3, 4, MAP], MAP),
    "update": ("hash", [1, 5, MAP], MAP),
    "remove": ("hash", [1, MAP], MAP),
    "take": ("hash", [1, MAP], (u64(2), MAP)),
    "push": ("queue", [7, MAP], MAP),
    "pop": ("queue", [MAP], u64(2)),
    "without": ("hash", [[1], MAP], MAP),
    "merge": ("hash", [MAP, [(3, 4)]], MAP),
    "clear": ("hash", [MAP], MAP),
    "drain": ("hash", [MAP], [ENTRY]),
    "freeze": ("hash", [MAP], "ok"),
}
HANDLES_ONLY = {
    "close": [MAP],
    "fd": [MAP],
    "typed": [MAP, []],
    "iterator": [MAP],
    "next": [("ebpf_iterator", MAP, "start", [], 1)],
    "next_chunk": ["start", MAP, 1],
    "drain_chunk": ["start", MAP, 1],
}


def fill(term, what):
    """A row with what is named in its place."""
    if term == MAP and isinstance(term, str):
        return what
    if isinstance(term, (list, tuple)):
        return type(term)(fill(part, what) for part in term)
    return term


def path_of(pin):
    return str(pin).encode()


def make(maps, folder, type):
    """A map that holds 1 -> 2, and its locators by their kind."""
    name = f"l{os.getpid()}_{next(taken)}"
    map = maps.new(*SHAPES[type], [("name", name)])
    if type == "queue":
        maps.push(2, map)
    else:
        maps.put(1, 2, map)
    pin = path_of(folder / name)
    maps.pin(pin, map)
    return map, {
        "id": ("id", maps.info(map)["id"]),
        "name": ("name", name.encode()),
        "pinned": ("pinned", pin),
    }


class LeftAlone:
    """No handle and no descriptor is left by what is done in its block."""

    def __init__(self, maps):
        self.maps = maps

    def look(self):
        node = self.maps.node
        others = [d for d in node.descriptors() if not d.startswith("socket:")]
        return self.maps.handles(), len(others), node.held_maps()

    def __enter__(self):
        self.handles, self.others, self.held = self.look()

    def __exit__(self, *exception):
        handles, others, held = self.look()
        assert handles == self.handles
        assert others <= self.others
        assert not held - self.held
