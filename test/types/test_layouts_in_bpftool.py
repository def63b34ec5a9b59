# SPDX-License-Identifier: Apache-2.0
"""A map made with layouts has them in the kernel, where other tools see them."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bpftool_values import differences, entries
from layout_draws import data_for, examples, layouts
from layouts import decode, exact, resolved, size_of
from views import Views

pytestmark = pytest.mark.single

FLOW = ("struct", 16, [(b"saddr", 0, "be32"), (b"dport", 32, "be16"), (b"ifindex", 64, "u32")])
COUNTS = (
    "struct",
    40,
    [
        (b"packets", 0, "u64"),
        (b"comm", 64, ("char", 16)),
        (b"state", 192, ("enum", 4, [(b"IDLE", 0), (b"BUSY", 1)])),
        (b"is_tcp", 224, 1, "u8"),
        (b"ttl", 225, 7, "u8"),
        (b"slots", 240, ("array", 4, "u16")),
        (b"", 304, ("union", 2, [(b"port", 0, "u16"), (b"code", 0, "s8")])),
    ],
)


@pytest.fixture
def views(maps):
    views = Views(maps)
    yield views
    views.close()


@pytest.fixture
def flows(maps, views):
    """(typed map with an entry, its id)"""
    map = views.new("hash", FLOW, COUNTS, 8)
    key = {"saddr": 0x7F000001, "dport": 443, "ifindex": 2}
    value = {"packets": 7, "comm": b"nginx", "state": "BUSY", "is_tcp": 1, "ttl": 64}
    maps.put(key, {**value, "slots": [1, 2, 3, 4], "code": -1}, map)
    return map, maps.info(map)["id"]


def names_of(pairs):
    return [name for name, _ in pairs]


def test_bpftool_dumps_a_map_with_the_members_of_its_layouts(flows, bpftool):
    [(key, [value])] = entries(bpftool("-j", "map", "dump", "id", flows[1])).values()
    assert names_of(key) == ["saddr", "dport", "ifindex"]
    assert names_of(value) == ["packets", "comm", "state", "is_tcp", "ttl", "slots", ""]
    assert dict(value)["comm"] == "nginx" and dict(value)["state"] == "BUSY"
    assert dict(value)["slots"] == [1, 2, 3, 4]
    assert dict(dict(value)[""])["code"] == -1


def test_bpftool_lists_the_types_that_layouts_are(flows, bpftool):
    info = json.loads(bpftool("-j", "map", "show", "id", flows[1]))
    dumped = bpftool("btf", "dump", "id", info["btf_id"])
    for name, offset in {"dport": 32, "ifindex": 64, "packets": 0, "comm": 64, "slots": 240}.items():
        assert re.search(rf"'{name}' type_id=\d+ bits_offset={offset}$", dumped, re.M), name
    assert re.search(r"'ttl' type_id=\d+ bits_offset=225 bitfield_size=7$", dumped, re.M)
    assert re.search(r"'BUSY' val=1$", dumped, re.M)


def test_the_types_that_the_kernel_has_are_those_that_the_map_was_made_with(maps, views, flows):
    view = views.keep(maps.open(("id", flows[1]), [("types", "btf")]))
    assert exact(maps.to_list(view)) == exact(maps.to_list(flows[0]))
    assert maps.types(view) == maps.types(flows[0])


def test_drawn_layouts_are_the_same_in_bpftool_and_when_read_again(maps, views, bpftool):
    kinds = layouts(plain=True).filter(is_told)

    @examples(25)
    @given(st.data())
    def check(data):
        types = data.draw(kinds), data.draw(kinds)
        pair = tuple(data.draw(data_for(layout)) for layout in types)
        with views.closed():
            made = views.new("hash", *types, 2)
            id = maps.info(made)["id"]
            maps.put(*pair, views.keep(maps.open(("id", id))))
            again = views.keep(maps.open(("id", id), [("types", "btf")]))
            [terms] = maps.to_list(made)
            wanted = tuple(decode(layout, one) for layout, one in zip(types, pair))
            assert exact(terms) == exact(wanted)
            assert exact(maps.to_list(again)) == exact([terms])
            [(key, [value])] = entries(bpftool("-j", "map", "dump", "id", id)).values()
            for layout, term, shown in zip(types, terms, (key, value)):
                whole = resolved(layout, size_of(layout))
                assert list(differences(whole, term, shown)) == []

    check()


def is_told(layout):
    """bpftool prints no floats, and the kernel knows arrays of u8 and bytes as one."""
    return not re.search(r"'f32'|'f64'|\('array', \d+, 'u8'\)", repr(layout))
