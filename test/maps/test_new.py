# SPDX-License-Identifier: Apache-2.0
"""new/4 and new/5: what is taken, what the kernel refuses, and what raises badarg."""

import pytest

import etf
from conftest import raises
from host import CPUS, PAGE
from map_types import known_types
from native import u32

pytestmark = pytest.mark.single

TYPES = """
    unspec hash array prog_array perf_event_array percpu_hash percpu_array
    stack_trace cgroup_array lru_hash lru_percpu_hash lpm_trie array_of_maps
    hash_of_maps devmap sockmap cpumap xskmap sockhash cgroup_storage
    reuseport_sockarray percpu_cgroup_storage queue stack sk_storage devmap_hash
    struct_ops ringbuf inode_storage task_storage""".split()


def test_libbpf_knows_the_documented_types():
    assert set(TYPES) <= set(known_types())


@pytest.mark.parametrize("type", known_types())
def test_each_type_that_libbpf_knows_goes_to_the_kernel(type, maps):
    """It is made or refused by the kernel; badarg would be raised."""
    map = maps.new(type, 3, 5, 7)
    if map[0] == "error":
        assert map[1] in ("einval", "ebadf", "enotsup")
    else:
        assert map[2:] == (type, 3, 5, 7)


PLAIN = [
    ("hash", 4, 8, 16),
    ("array", 4, 8, 16),
    ("prog_array", 4, 4, 16),
    ("perf_event_array", 4, 4, CPUS),
    ("percpu_hash", 4, 8, 16),
    ("percpu_array", 4, 8, 16),
    ("stack_trace", 4, 80, 16),
    ("cgroup_array", 4, 4, 16),
    ("lru_hash", 4, 8, 16),
    ("lru_percpu_hash", 4, 8, 16),
    ("devmap", 4, 4, 16),
    ("devmap", 4, 8, 16),
    ("devmap_hash", 4, 8, 16),
    ("sockmap", 4, 4, 16),
    ("sockmap", 4, 8, 16),
    ("sockhash", 4, 8, 16),
    ("cpumap", 4, 4, CPUS),
    ("cpumap", 4, 8, CPUS),
    ("xskmap", 4, 4, 16),
    ("reuseport_sockarray", 4, 8, 16),
    ("cgroup_storage", 8, 8, 0),
    ("cgroup_storage", 16, 8, 0),
    ("percpu_cgroup_storage", 8, 8, 0),
    ("queue", 0, 8, 16),
    ("stack", 0, 8, 16),
    ("bloom_filter", 0, 8, 16),
    ("ringbuf", 0, 0, PAGE),
    ("user_ringbuf", 0, 0, PAGE),
]


@pytest.mark.parametrize("shape", PLAIN, ids=str)
def test_a_type_without_options_is_made_and_closed(shape, maps, cnode):
    before = cnode.held_maps()
    map = maps.new(*shape)
    assert map[0] == "ebpf_map"
    assert map[2:] == shape
    assert cnode.new_maps(before) == 1
    assert maps.close(map) == "ok"
    assert cnode.new_maps(before) == 0


@pytest.mark.parametrize("options", [[], ["no_prealloc"]], ids=str)
def test_an_lpm_trie_is_made_with_no_prealloc_said_or_not(options, maps):
    map = maps.new("lpm_trie", 8, 4, 4, options)
    assert map[2:] == ("lpm_trie", 8, 4, 4)


@pytest.mark.parametrize(
    "args, posix",
    [
        (("unspec", 4, 4, 1), "einval"),
        (("hash", 0, 4, 1), "einval"),
        (("hash", 4, 0, 1), "einval"),
        (("hash", 4, 4, 0), "einval"),
        (("array", 8, 4, 1), "einval"),
        (("queue", 4, 4, 1), "einval"),
        (("ringbuf", 0, 0, PAGE + 1), "einval"),
        (("hash", 2**32 - 1, 4, 1), "e2big"),
        (("hash", 4, 2**32 - 1, 1), "e2big"),
        (("hash", 4, 2**32 - 1, 2**32 - 1), "enomem"),  # --max-map-memory
        (("percpu_hash", 4, 32769, 1), "e2big"),
        (("hash", 4, 4, 1, ["clone"]), "einval"),
        (("hash", 4, 4, 1, ["mmapable"]), "einval"),
        (("array", 4, 4, 1, ["no_prealloc"]), "einval"),
        (("hash", 4, 4, 1, ["read", "write"]), "einval"),
    ],
    ids=str,
)
def test_what_the_kernel_refuses_is_an_error_value(args, posix, maps):
    assert maps.new(*args) == ("error", posix)


@pytest.mark.parametrize(
    "type",
    ["nope", "HASH", "", "hash\0", "hash\0x", 1, b"hash", list(b"hash"), {}],
    ids=repr,
)
def test_new_of_what_is_no_type_raises_badarg(type, maps):
    with raises("badarg"):
        maps.new(type, 4, 4, 1)


@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("size", [-1, 2**32, 2**64 + 4, 4.0, "four", b"4", [4], ()])
def test_new_of_what_is_no_size_raises_badarg(place, size, maps):
    args = ["hash", 4, 4, 1]
    args[place] = size
    with raises("badarg"):
        maps.new(*args)


@pytest.mark.parametrize(
    "options",
    [
        "no_prealloc",
        b"",
        {},
        ["nope"],
        ["no_prealloc", "nope"],
        [1],
        [0, 1, 2],
        [[]],
        [("name",)],
        [("name", 1)],
        [("name", 1.0)],
        [("name", ("a",))],
        [("name", "a", "b")],
        [("name", [b"a"])],
        [("name", [97, "b"])],
        [("name", [97, -1])],
        [("no_prealloc", "true")],
        [("nope", "a")],
        etf.Improper(("no_prealloc",), "read"),
    ],
    ids=str,
)
def test_new_of_what_is_no_option_raises_badarg(options, maps):
    with raises("badarg"):
        maps.new("hash", 4, 4, 1, options)


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["no_prealloc"],
        ["read"],
        ["write"],
        ["zero_seed"],
        ["prog_read"],
        ["prog_write"],
        ["no_prealloc", "zero_seed", ("name", "all")],
    ],
    ids=str,
)
def test_an_option_of_a_hash_is_taken(options, maps):
    assert maps.new("hash", 4, 4, 1, options)[2:] == ("hash", 4, 4, 1)


def test_an_array_can_be_mmapable(maps):
    assert maps.new("array", 4, 4, 1, ["mmapable"])[0] == "ebpf_map"


def test_a_map_made_with_read_cannot_be_written(maps):
    map = maps.new("array", 4, 4, 1, ["read"])
    assert maps.get(0, map) == u32(0)
    with raises("eperm"):
        maps.put(0, 1, map)


def test_a_map_made_with_write_cannot_be_read(maps):
    map = maps.new("array", 4, 4, 1, ["write"])
    assert maps.put(0, 1, map) == map
    with raises("eperm"):
        maps.get(0, map)


FIFTEEN = "abc_XYZ.0123456"


@pytest.mark.parametrize("name", ["", "a", "_.", FIFTEEN])
@pytest.mark.parametrize("form", [str, str.encode, lambda s: list(s.encode())])
def test_a_name_is_taken_as_atom_binary_or_string(name, form, maps):
    assert maps.new("hash", 4, 4, 1, [("name", form(name))])[0] == "ebpf_map"


@pytest.mark.parametrize(
    "name",
    [FIFTEEN + "7", "a" * 255, "a-b", "a b", "a\0b", "a\0", "\0", "a/b", "\u00e9"],
    ids=repr,
)
@pytest.mark.parametrize("form", [str, str.encode, lambda s: [ord(c) for c in s]])
def test_a_name_that_the_kernel_refuses_is_einval(name, form, maps):
    assert maps.new("hash", 4, 4, 1, [("name", form(name))]) == ("error", "einval")


def test_a_name_with_a_character_beyond_latin_1_is_einval(maps):
    for name in ("\U0001f41d", [0x1F41D], "\U0001f41d".encode()):
        made = maps.new("hash", 4, 4, 1, [("name", name)])
        assert made == ("error", "einval")
