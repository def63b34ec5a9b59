# SPDX-License-Identifier: Apache-2.0
"""Layouts, and types of the kernel, that unfold to more than fits anywhere: refused,
before they cost anything."""

import os
import re
import struct
from pathlib import Path

import pytest

import etf
from btf_bombs import BOMBS, Types
from views import Views, reason

MOST_KIB = 1024  # that one takes

MANY = 50_000


def raw(term):
    return etf.Opaque("raw", term)


def listed(items):
    return raw(b"l" + struct.pack(">I", len(items)) + b"".join(items) + b"j")


U8, HIDDEN = etf.body("u8"), etf.body("hidden")


def members(names, of=U8):
    """Each at the start."""
    return listed([b"h\x03" + etf.body(name) + b"a\0" + of for name in names])


def numbers(count, start=0):
    return [b"%d" % n for n in range(start, start + count)]


def union_of(names, of=U8):
    return ("union", 1, members(names, of))


def nested(levels, inner, before, after=b""):
    return raw(before * levels + etf.body(inner) + after * levels)


def in_structures(levels, name):
    """Each level is {struct, 1, [{Name, 0, Inner}]}."""
    head = b"h\x03" + etf.body("struct") + b"a\x01l\0\0\0\x01h\x03" + etf.body(name) + b"a\0"
    return nested(levels, ("struct", 1, [(b"a", 0, "u8")]), head, b"j")


def of_300_each(name_of):
    """300 unions of 300 members."""
    rows = []
    for n in range(300):
        union = etf.body(union_of(numbers(300, 1000 * n)))
        rows.append(b"h\x03" + etf.body(name_of(n)) + b"a\0" + union)
    return ("union", 1, listed(rows))


# Layouts of one byte, or of what may be one.
UNFOLDING = {
    "many_levels_of_arrays": lambda: nested(MANY, "u8", b"h\x03" + etf.body("array") + b"a\x01"),
    "many_levels_of_structures": lambda: in_structures(MANY, b"a"),
    "many_levels_without_names": lambda: in_structures(MANY, b""),
    "33_levels_without_names": lambda: in_structures(33, b""),
    "many_members": lambda: union_of(numbers(MANY)),
    "many_members_that_are_hidden": lambda: union_of(numbers(MANY), HIDDEN),
    "300_members_of_300_each": lambda: of_300_each(lambda n: b"m%d" % n),
    "300_members_without_names_of_300_each": lambda: of_300_each(lambda n: b""),
    "many_constants": lambda: (
        "enum", 1, listed([b"h\x02" + etf.body(name) + b"a\x01" for name in numbers(MANY)]),
    ),
    "a_name_of_4_MB": lambda: ("struct", 1, [(b"n" * 4_000_000, 0, "u8")]),
    "a_name_of_a_long_list": lambda: ("struct", 1, [(listed([b"an"] * MANY * 4), 0, "u8")]),
    "4_000_names_of_1_000_bytes": lambda: union_of([b"%01000d" % n for n in range(4000)]),
}


class Caller:
    def __init__(self, peer, node, map):
        self.peer = peer
        self.node = node
        self.map = map

    def peak(self, function, *args):
        """(the answer, the most KiB that the node had meanwhile)"""
        Path(f"/proc/{self.node.pid}/clear_refs").write_text("5")
        request = self.peer.start_erpc("ebpf_maps", function, list(args))
        answer = self.peer.wait_exit(request, 60)
        status = Path(f"/proc/{self.node.pid}/status").read_text()
        return answer, int(re.search(r"^VmHWM:\s+(\d+)", status, re.M)[1])

    def typed(self, layout):
        return self.peak("typed", self.map, [("types", ("u32", layout))])

    def put(self, layout):
        """What any call with such an argument takes."""
        return self.peak("put", 1, layout, self.map)[1]


@pytest.mark.counts
@pytest.mark.parametrize("what", UNFOLDING)
def test_a_layout_that_unfolds_is_refused_and_costs_nothing(what, fresh_cnode, connect):
    peer = connect(fresh_cnode)
    caller = Caller(peer, fresh_cnode, peer.maps("new", "array", 4, 1, 1))
    layout = UNFOLDING[what]()
    usual = max(caller.put(layout) for _ in range(2))
    for _ in range(2):
        answer, peak = caller.typed(layout)
        assert etf.body("e2big") in answer and b"badarg" not in answer
        assert peak <= usual + MOST_KIB


@pytest.mark.counts
@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.__name__)
def test_types_of_the_kernel_that_unfold_are_refused_and_cost_nothing(bomb, maps, cnode):
    types = Types()
    made = bomb(types)
    types.load()
    fd = types.map(*made)
    try:
        with open(f"/proc/self/fdinfo/{fd}") as f:
            id = int(re.search(r"^map_id:\s+(\d+)", f.read(), re.M)[1])
        views = Views(maps)
        map = views.keep(maps.open(("id", id)))
        assert reason(maps.typed, map, [("types", "btf")]) == "e2big"
        before = cnode.anonymous_kib()
        for _ in range(20):
            assert reason(maps.typed, map, [("types", "btf")]) == "e2big"
            assert reason(maps.open, ("id", id), [("types", "btf")]) == "e2big"
        assert cnode.anonymous_kib() <= before + MOST_KIB
        views.close()
    finally:
        os.close(fd)
        types.close()
