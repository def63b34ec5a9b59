# SPDX-License-Identifier: Apache-2.0
"""Options of new: each is a flag of the kernel."""

import pytest

from conftest import raises
from host import CPUS

pytestmark = pytest.mark.single

OPTIONS = [
    ("lru_hash", 4, 4, 64, "no_common_lru", 0x2),
    ("stack_trace", 4, 32, 4, "stack_build_id", 0x20),
    ("perf_event_array", 4, 4, CPUS, "preserve_elems", 0x800),
    ("array", 4, 8, 4, "inner_map_resizable", 0x1000),
    ("array", 4, 8, 4, ("numa_node", 0), 0x4),
    ("hash", 4, 8, 4, ("flags", 0x40), 0x40),
    ("hash", 4, 8, 4, ("flags", 0), 0),
]


@pytest.mark.parametrize("row", OPTIONS, ids=str)
def test_an_option_is_the_kernels_flag(row, maps):
    *shape, option, flag = row
    map = maps.new(*shape, [option])
    assert map[2:] == tuple(shape)
    assert maps.info(map)["flags"] == flag


def test_flags_add_to_the_options_that_have_names(maps):
    map = maps.new("hash", 4, 8, 4, ["no_prealloc", ("flags", 0x40)])
    assert maps.info(map)["flags"] == 0x41


@pytest.mark.parametrize(
    "option",
    [
        ("map_extra", -1),
        ("map_extra", 2**64),
        ("map_extra", "x"),
        ("numa_node", -1),
        ("numa_node", 2**32),
        ("flags", -1),
        ("flags", 2**32),
        ("flags", "x"),
        ("lifetime", "forever"),
        ("lifetime", 1),
        ("inner_map",),
    ],
    ids=str,
)
def test_an_option_of_the_wrong_kind_raises_badarg(option, maps):
    with raises("badarg"):
        maps.new("hash", 4, 4, 4, [option])


def test_a_numa_node_that_is_not_there_is_einval(maps):
    made = maps.new("hash", 4, 4, 4, ["no_prealloc", ("numa_node", 1000)])
    assert made == ("error", "einval")


def test_an_unknown_flag_is_the_kernels_einval(maps):
    assert maps.new("hash", 4, 4, 4, [("flags", 0x80000000)]) == ("error", "einval")
