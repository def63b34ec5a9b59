# SPDX-License-Identifier: Apache-2.0
"""Types that refuse most of it: what each function gives or raises."""

import pytest

from host import CPUS, PAGE
from map_calls import outcome, walked
from map_types import known_types
from test_storage import STORAGE
from test_types import ARRAYS, USABLE

pytestmark = pytest.mark.single

MAP = "the map itself"


def up(reason):
    return ("raised", reason)


def all_of(names, value):
    return {name: value for name in names.split()}


READING = "get find is_key with"
WRITING = "put insert update merge"
WALKING = "walk keys values to_list size next_chunk"
KEY = object()
EMPTY = {
    "get": up(("badkey", KEY)),
    "find": "error",
    "is_key": "false",
    "with": {},
    "take": "error",
    **all_of("walk keys values to_list drain", []),
    "size": 0,
    "next_chunk": ([], "done"),
    "drain_chunk": ([], "done"),
    **all_of("remove without clear", MAP),
}
NO_SOCKETS = all_of(WRITING, up("enotsup"))
NO_COOKIES = {  # values of 4 bytes, which the kernel's cookies do not fit into
    **EMPTY,
    **NO_SOCKETS,
    **all_of(READING + " take", up("enospc")),
}
NO_COOKIES_NOR_KEYS = {
    **NO_COOKIES,
    **all_of(WALKING + " drain drain_chunk", up("enospc")),
}
UNREADABLE = {  # a descriptor goes in, and nothing comes out
    **all_of(READING + " take " + WALKING, up("enotsup")),
    **all_of("drain drain_chunk", up("enotsup")),
    **all_of(WRITING, up("badarg")),
    **all_of("remove without clear", MAP),
}
CGROUP_STORAGE = {  # only a program that is attached makes entries
    **EMPTY,
    "put": up("enoent"),
    "merge": up(("enoent", 0)),
    "update": up(("badkey", KEY)),
    **all_of("take remove without clear drain drain_chunk", up("einval")),
}
RING = {
    **all_of(READING + " take put insert update remove without", up("enotsup")),
    "merge": up(("enotsup", 0)),
    **all_of("push pop peek clear drain drain_chunk", up("enotsup")),
    **all_of(WALKING, up("enotsup")),
}

REFUSING = {
    ("prog_array", 4, 4, 4): {**EMPTY, **all_of(WRITING, up("badarg"))},
    ("perf_event_array", 4, 4, CPUS): UNREADABLE,
    ("cgroup_array", 4, 4, 4): UNREADABLE,
    ("stack_trace", 4, 80, 4): {
        **EMPTY,
        **all_of("put insert update", up("enotsup")),
        "merge": up(("enotsup", 0)),
    },
    ("sockmap", 4, 4, 4): NO_COOKIES_NOR_KEYS,
    ("sockmap", 4, 8, 4): {**EMPTY, **NO_SOCKETS},
    ("sockhash", 4, 4, 4): NO_COOKIES,
    ("sockhash", 4, 8, 4): {**EMPTY, **NO_SOCKETS},
    ("reuseport_sockarray", 4, 4, 4): NO_COOKIES_NOR_KEYS,
    ("reuseport_sockarray", 4, 8, 4): {**EMPTY, **NO_SOCKETS},
    ("xskmap", 4, 4, 4): {
        **all_of(READING + " take " + WALKING, up("enotsup")),
        **NO_SOCKETS,
        **all_of("drain drain_chunk", up("enotsup")),
        **all_of("remove without clear", MAP),
    },
    ("sk_storage", 4, 8, 0, ("no_prealloc",)): {
        **all_of(READING + " take remove without", up("enotsup")),
        **NO_SOCKETS,
        **all_of(WALKING + " clear drain drain_chunk", up("enotsup")),
    },
    ("cgroup_storage", 8, 8, 0): CGROUP_STORAGE,
    ("cgroup_storage", 16, 8, 0): CGROUP_STORAGE,
    ("percpu_cgroup_storage", 8, 8, 0): CGROUP_STORAGE,
    ("ringbuf", 0, 0, PAGE): RING,
    ("user_ringbuf", 0, 0, PAGE): RING,
}
if "arena" in known_types():  # from libbpf 1.4 on
    REFUSING["arena", 0, 0, 4, ("mmapable",)] = RING


def perform(maps, name, map, key, value):
    match name:
        case "get" | "find" | "is_key" | "take" | "remove":
            return maps.call(name, key, map)
        case "put" | "insert" | "update":
            return maps.call(name, key, value, map)
        case "push":
            return maps.push(value, map)
        case "with" | "without":
            return maps.call(name, [key], map)
        case "merge":
            return maps.merge(map, [(key, value)])
        case "next_chunk" | "drain_chunk":
            return maps.call(name, "start", map, 10)
        case "walk":
            return walked(maps, map)
    return maps.call(name, map)


def filled_in(expected, map, key):
    if expected is MAP:
        return map
    if expected == up(("badkey", KEY)):
        return up(("badkey", key))
    return expected


@pytest.mark.parametrize("shape", REFUSING, ids=str)
def test_a_type_that_cannot_do_all_says_so(shape, maps):
    type, key_size, value_size, most, *options = shape
    options = list(options[0]) if options else []
    map = maps.new(type, key_size, value_size, most, options)
    assert map[0] == "ebpf_map", map
    key, value = bytes(key_size), bytes(value_size)
    expected = {f: filled_in(e, map, key) for f, e in REFUSING[shape].items()}
    given = {
        f: outcome(perform, maps, f, map, key, value) for f in REFUSING[shape]
    }
    assert given == expected


def test_all_types_are_tested_here():
    tested = {row.args[0] for row in USABLE.values()}
    tested |= {args[0] for args in ARRAYS.values()}
    tested |= {shape[0] for shape in REFUSING}
    tested |= {"array_of_maps", "hash_of_maps", "queue", "stack", "bloom_filter"}
    tested |= set(STORAGE)
    assert set(known_types()) - {"unspec", "struct_ops"} <= tested


@pytest.mark.parametrize("type", ["unspec", "struct_ops"])
def test_what_the_kernel_cannot_make_so_is_an_honest_error(type, maps):
    made = maps.new(type, 4, 8, 1)
    assert made == ("error", "einval")
