# SPDX-License-Identifier: Apache-2.0
"""What check says of a map is what the kernel says to new."""

import resource

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster import wait_until
from conftest import Maps, Nodes, raises

pytestmark = pytest.mark.single

PAGE = resource.getpagesize()
PIECE = 4 << 20  # what the kernel allocates at once
NOT_OURS = {"eperm", "enomem", "emfile"}  # of this host, and not of the arguments

HASH = dict(key=4, value=4, entries=8)
FIXED = dict(key=4, value=4, entries=8, keys={4})
FDS = dict(FIXED, values={4})
SOCKETS = dict(FIXED, values={4, 8})
KEYLESS = dict(key=0, value=4, entries=8, keys={0})
RING = dict(key=0, value=0, entries=2 * PAGE, keys={0}, values={0})
STORAGE = dict(key=4, value=4, entries=0, keys={4})

# a good shape of each type, and where only some sizes are good, which
SHAPES = {
    "hash": HASH,
    "percpu_hash": HASH,
    "lru_hash": HASH,
    "lru_percpu_hash": HASH,
    "hash_of_maps": dict(HASH, values={4}),
    "array": FIXED,
    "percpu_array": FIXED,
    "array_of_maps": FDS,
    "prog_array": FDS,
    "perf_event_array": FDS,
    "cgroup_array": FDS,
    "reuseport_sockarray": SOCKETS,
    "sockmap": SOCKETS,
    "sockhash": dict(HASH, values={4, 8}),
    "xskmap": FDS,
    "devmap": SOCKETS,
    "devmap_hash": SOCKETS,
    "cpumap": dict(SOCKETS, entries=2),
    "lpm_trie": dict(key=8, value=4, entries=8),
    "queue": KEYLESS,
    "stack": KEYLESS,
    "bloom_filter": KEYLESS,
    "stack_trace": dict(key=4, value=8, entries=8, keys={4}),
    "ringbuf": RING,
    "user_ringbuf": RING,
    "cgroup_storage": dict(key=8, value=4, entries=0, keys={8, 16}),
    "percpu_cgroup_storage": dict(key=8, value=4, entries=0, keys={8, 16}),
    "sk_storage": STORAGE,
    "inode_storage": STORAGE,
    "task_storage": STORAGE,
    "cgrp_storage": STORAGE,
}

FLAGS = [
    "no_prealloc",
    "read",
    "write",
    "zero_seed",
    "prog_read",
    "prog_write",
    "clone",
    "mmapable",
    "no_common_lru",
    "stack_build_id",
    "preserve_elems",
    "inner_map_resizable",
    ("numa_node", 0),
]

KEYS = [0, 1, 3, 4, 5, 8, 16, 17, 260, 261, 512, 513]
# Between 65400 and 65535, and in the last bytes below PIECE, it depends on
# the kernel what it puts around a value.
VALUES = [0, 1, 3, 4, 5, 8, 9, 16, 1016, 32768, 32769, 65400, 65536, PIECE + 1, 1 << 31]
ENTRIES = [0, 1, 3, 4096, 5000, 8192]


@pytest.fixture(scope="module")
def unlimited(cluster, program):
    """A C node in which the kernel alone judges what a map may take."""
    nodes = Nodes(cluster, program)
    yield nodes.start("--max-map-memory", "none")
    nodes.close()


@pytest.fixture
def maps(alice, unlimited):
    maps = Maps(alice, unlimited)
    yield maps
    maps.close_all()


@pytest.fixture
def agree(maps):
    """Compares the two verdicts on the arguments of a new map; gives the texts."""

    def agree(type, key, value, entries, options=()):
        arguments = (type, key, value, entries, list(options))
        verdict = maps.call("check", *arguments)
        made = maps.call("new", *arguments)
        if made[0] == "ebpf_map":
            maps.call("close", made)
        elif made[1] in NOT_OURS:
            pytest.fail(f"nothing can be said: new{arguments} gave {made}")
        good = made[0] == "ebpf_map"
        assert (verdict == "ok") == good, (arguments, verdict, made)
        return [] if good else [text.decode() for text in verdict[1]]

    return agree


@pytest.fixture
def template(maps):
    return maps.new("array", 4, 4, 1)


def inner(type, template):
    return [("inner_map", template)] if type.endswith("_of_maps") else []


def shape_of(type):
    return {k: SHAPES[type][k] for k in ("key", "value", "entries")}


@pytest.mark.parametrize("type", SHAPES)
def test_a_good_shape_of_each_type_is_ok(type, agree, template):
    assert agree(type, *shape_of(type).values(), inner(type, template)) == []


@pytest.mark.parametrize("type", SHAPES)
def test_each_size_is_judged_as_the_kernel_does(type, agree, template):
    for name, sizes in ("key", KEYS), ("value", VALUES), ("entries", ENTRIES):
        for size in sizes:
            if known_to_differ(type, name, size):
                continue
            shape = dict(shape_of(type), **{name: size})
            texts = agree(type, *shape.values(), inner(type, template))
            good = SHAPES[type].get(f"{name}s")
            assert good is None or bool(texts) == (size not in good)
            assert all(str(size) in text for text in texts)


def known_to_differ(type, name, size):
    """What depends on how the kernel was built, or on the memory of the host."""
    if type == "cpumap" and name == "entries":
        return size > 3  # NR_CPUS
    if type == "stack_trace" and name == "value":
        return size > 1016  # a sysctl
    return type == "array" and name == "value" and size > PIECE and size < 1 << 31


@pytest.mark.parametrize("type", SHAPES)
def test_each_option_is_judged_as_the_kernel_does(type, agree, template):
    for flag in FLAGS:
        options = [flag, *inner(type, template)]
        agree(type, *shape_of(type).values(), options)


@pytest.mark.parametrize("both", [("read", "write"), ("prog_read", "prog_write")])
@pytest.mark.parametrize("type", SHAPES)
def test_options_that_exclude_each_other_are_refused(type, both, agree, template):
    options = [*both, *inner(type, template)]
    assert agree(type, *shape_of(type).values(), options)


@pytest.mark.parametrize("type", ["lru_hash", "lru_percpu_hash"])
def test_an_lru_of_each_processor_has_no_numa_node(type, agree):
    assert agree(type, 4, 4, 8, ["no_common_lru", ("numa_node", 0)])


@pytest.mark.parametrize("extra", [1, 15, 16, 1 << 40])
@pytest.mark.parametrize("type", SHAPES)
def test_map_extra_is_judged_as_the_kernel_does(type, extra, agree, template):
    options = [("map_extra", extra), *inner(type, template)]
    agree(type, *shape_of(type).values(), options)


NAMES = [
    "ports",
    "a.b_C1",
    "x" * 15,
    "x" * 16,
    "a b",
    "a-b",
    b"\xc3\xa4",
    "",
    b"a\0b",
    [0x1F600],
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_name_is_judged_as_the_kernel_does(name, agree):
    agree("hash", 4, 4, 8, [("name", name)])


@pytest.mark.parametrize("outer", ["array_of_maps", "hash_of_maps"])
@pytest.mark.parametrize("type", SHAPES)
def test_a_template_is_judged_as_the_kernel_does(type, outer, agree, maps, template):
    options = inner(type, template)
    middle = maps.new(type, *shape_of(type).values(), options)
    agree(outer, 4, 4, 8, [("inner_map", middle)])


@pytest.mark.parametrize("outer", ["array_of_maps", "hash_of_maps"])
def test_a_map_of_maps_without_a_template_is_told_of_it(outer, agree):
    [text] = agree(outer, 4, 4, 8)
    assert "{inner_map, Map}" in text


@pytest.mark.parametrize("type", ["unspec", "struct_ops"])
def test_types_that_new_cannot_make_are_told(type, agree):
    assert agree(type, 4, 4, 1)


def test_a_stack_trace_of_build_ids_has_values_of_whole_ones(agree):
    assert agree("stack_trace", 4, 64, 8, ["stack_build_id"]) == []
    assert agree("stack_trace", 4, 40, 8, ["stack_build_id"])


def test_a_key_and_a_value_that_are_too_long_together_are_told(agree):
    [text] = agree("hash", PIECE // 2, PIECE // 2, 1, ["no_prealloc"])
    assert str(PIECE - 1) in text


def test_all_that_is_wrong_is_said(agree):
    texts = agree("queue", 4, 0, 0, ["mmapable", ("name", "a b"), ("map_extra", 1)])
    assert len(texts) == 6


@pytest.mark.parametrize(
    "shape, what, right",
    [
        (("array", 8, 4, 16), "key size is 8", "4"),
        (("sockmap", 4, 6, 16), "value size is 6", "4 or 8"),
        (("lpm_trie", 261, 4, 16), "key size is 261", "5 to 260"),
        (("hash", 0, 4, 16), "key size is 0", "at least 1"),
        (("stack_trace", 4, 12, 16), "value size is 12", "a multiple of 8"),
    ],
    ids=lambda part: part[0] if isinstance(part, tuple) else "",
)
def test_a_text_names_what_is_wrong_and_what_would_be_right(shape, what, right, agree):
    [text] = agree(*shape)
    assert text == f"the {what}: a map of type {shape[0]} takes {right}"


@pytest.mark.parametrize(
    "type", ["lpm_trie", "sk_storage", "inode_storage", "task_storage", "cgrp_storage"]
)
def test_no_prealloc_goes_without_saying(type, maps):
    map = maps.new(type, *shape_of(type).values())
    assert maps.info(map)["flags"] & 1


def test_arguments_that_are_no_type_size_or_option_are_badarg(maps):
    for arguments in ("nosuch", 4, 4, 1), ("hash", -1, 4, 1), ("hash", 4, 4, 1, ["x"]):
        with raises("badarg"):
            maps.call("check", *arguments)


def test_check_makes_nothing(maps):
    before = maps.handles()
    assert maps.check("hash", 4, 4, 8, [("name", "unmade")]) == "ok"
    assert maps.handles() == before
    assert all(map["name"] != b"unmade" for map in maps.list())


def test_a_node_that_may_only_read_may_ask(start_cnode, alice):
    node = start_cnode("--read-only")
    assert alice.erpc(node.name, "check", "hash", 4, 4, 8) == "ok"


def test_the_log_says_the_same_when_new_fails(start_cnode, alice):
    node = start_cnode("--log-level", "info")
    arguments = ["array", 8, 4, 0]
    _, texts = alice.erpc(node.name, "check", *arguments)
    assert alice.erpc(node.name, "new", *arguments) == ("error", "einval")
    assert len(texts) == 2
    for text in texts:
        line = f"no new map for {alice.name}: {text.decode()}"
        wait_until(lambda: line in node.log, what=line)


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_shape_is_judged_as_the_kernel_does(data, agree, template):
    type = data.draw(st.sampled_from(sorted(SHAPES)))
    shape = shape_of(type)
    sizes = dict(key=KEYS, value=VALUES, entries=ENTRIES)
    for name, some in sizes.items():
        size = data.draw(st.sampled_from([shape[name], *some]))
        shape[name] = shape[name] if known_to_differ(type, name, size) else size
    flags = data.draw(st.lists(st.sampled_from(FLAGS), max_size=2, unique=True))
    if shape["value"] * shape["entries"] > 1 << 24:
        shape["entries"] = 1
    agree(type, *shape.values(), [*flags, *inner(type, template)])
