# SPDX-License-Identifier: Apache-2.0
"""Maps named by {id, Id}, {name, Name} or {pinned, Path} where a handle would stand."""

import os
import subprocess
from functools import partial

import pytest

import locators
from cluster import PATIENCE
from conftest import Maps, raises
from locators import HANDLES_ONLY, HASH, KINDS, MAP, READING, WRITING
from locators import fill, path_of
from native import u32, u64
from served import served

pytestmark = pytest.mark.single

each_kind = pytest.mark.parametrize("kind", KINDS)
each_function = pytest.mark.parametrize("function", READING | WRITING)


@pytest.fixture
def named(maps, folder):
    """named(type): a map that holds 1 -> 2, and its locators by their kind."""
    return partial(locators.make, maps, folder)


@pytest.fixture
def left_alone(maps):
    return locators.LeftAlone(maps)


# --- by bare rpc


@each_kind
@each_function
def test_a_function_takes_a_locator_for_a_map(function, kind, maps, named, left_alone):
    type, args, result = (READING | WRITING)[function]
    what = named(type)[1][kind]
    with left_alone:
        got = maps.call(function.split("/")[0], *fill(args, what))
    assert got == fill(result, what)


@each_kind
def test_info_of_a_locator_is_that_of_the_handle(kind, maps, named, left_alone):
    map, whats = named("hash")
    with left_alone:
        assert maps.info(whats[kind]) == maps.info(map)


@each_kind
def test_what_a_locator_names_is_pinned_and_unpinned(kind, maps, named, folder):
    what = named("hash")[1][kind]
    pin = folder / "another"
    assert maps.pin(path_of(pin), what) == "ok"
    assert maps.get(1, ("pinned", path_of(pin))) == u64(2)
    assert maps.unpin(path_of(pin), what) == "ok"
    assert not pin.exists()


@each_kind
def test_what_was_put_by_a_locator_is_there(kind, maps, named):
    map, whats = named("hash")
    maps.put(1, 7, whats[kind])
    assert maps.get(1, map) == u64(7)


@each_kind
@pytest.mark.parametrize("function", HANDLES_ONLY)
def test_what_needs_a_handle_is_badarg(function, kind, maps, named, left_alone):
    map, whats = named("hash")
    with left_alone, raises("badarg"):
        maps.call(function, *fill(HANDLES_ONLY[function], whats[kind]))
    assert maps.get(1, map) == u64(2)


def test_the_table_has_every_function_that_takes_a_map(program):
    names = {name for name, _ in served(program)}
    rows = {row.split("/")[0] for row in READING | WRITING | HANDLES_ONLY}
    without_a_map = {"new", "open", "list", "handles", "stats", "check", "features", "host"}
    # the last two are of maps with types, which these have not
    assert names - without_a_map == rows | {"info", "pin", "unpin", "top", "sum"}


MISSING = {
    "id": (("id", 2**32 - 1), "enoent"),
    "name": (("name", "never_there"), "enoent"),
    "a name too long": (("name", "sixteen_letters_"), "enoent"),
    "pinned": (("pinned", b"/sys/fs/bpf/never"), "enoent"),
    "no pin": (("pinned", b"/etc/passwd"), "eacces"),
}
WRONG = {
    "id": ("id", -1),
    "name": ("name", 1),
    "path": ("pinned", b"relative"),
}


@pytest.mark.parametrize("what, posix", MISSING.values(), ids=MISSING)
@pytest.mark.parametrize("function", ["get/2", "put", "merge"])
def test_what_is_not_there_is_raised(function, what, posix, maps, left_alone):
    type, args, _ = (READING | WRITING)[function]
    with left_alone, raises(posix):
        maps.call(function.split("/")[0], *fill(args, what))


@each_function
def test_no_function_makes_what_is_not_there(function, maps, left_alone):
    type, args, _ = (READING | WRITING)[function]
    with left_alone, raises("enoent"):
        maps.call(function.split("/")[0], *fill(args, ("id", 2**32 - 1)))


@pytest.mark.parametrize("what", WRONG.values(), ids=WRONG)
def test_a_locator_that_is_none_raises_badarg(what, maps):
    with raises("badarg"):
        maps.get(1, what)


def test_other_pairs_are_no_map(maps):
    with raises(("badmap", ("file", b"/"))):
        maps.get(1, ("file", b"/"))


@pytest.mark.parametrize("function", ["get/2", "put", "drain"])
def test_a_name_of_several_maps_is_raised_as_ambiguous(
    function, maps, named, left_alone
):
    map, whats = named("hash")
    maps.new(*HASH, [("name", whats["name"][1])])
    type, args, _ = (READING | WRITING)[function]
    with left_alone, raises("ambiguous"):
        maps.call(function.split("/")[0], *fill(args, whats["name"]))
    assert maps.get(1, map) == u64(2)


def test_ambiguous_is_among_the_errors_of_stats(maps, named):
    _, whats = named("hash")
    maps.new(*HASH, [("name", whats["name"][1])])
    before = maps.stats()["errors"].get("ambiguous", 0)
    with raises("ambiguous"):
        maps.get(1, whats["name"])
    assert maps.stats()["errors"]["ambiguous"] == before + 1


def test_a_pin_that_may_only_be_read_is_read(maps, named):
    _, whats = named("hash")
    os.chmod(whats["pinned"][1], 0o400)
    assert maps.get(1, whats["pinned"]) == u64(2)
    with raises("eacces"):
        maps.put(1, 3, whats["pinned"])


# --- as a value


@pytest.fixture
def outer(maps, named):
    inner, _ = named("hash")
    return maps.new("hash_of_maps", 4, 4, 8, [("inner_map", inner)])


@each_kind
@pytest.mark.parametrize(
    "function, args",
    [("put", [0, MAP]), ("insert", [0, MAP]), ("update", [7, MAP])],
    ids=["put", "insert", "update"],
)
def test_a_locator_is_a_value_of_a_map_of_maps(
    function, args, kind, maps, named, outer, left_alone
):
    map, whats = named("hash")
    maps.put(7, named("hash")[0], outer)
    key = args[0]
    with left_alone:
        assert maps.call(function, *fill(args, whats[kind]), outer) == outer
    assert maps.get(key, outer) == map


def test_merge_takes_locators_for_values(maps, named, outer, left_alone):
    map, whats = named("hash")
    with left_alone:
        maps.merge(outer, [(n, whats[kind]) for n, kind in enumerate(KINDS)])
    assert sorted(maps.to_list(outer)) == [(u32(n), map) for n in range(3)]


def test_merge_puts_nothing_where_a_value_names_no_map(maps, named, outer, left_alone):
    _, whats = named("hash")
    with left_alone, raises("enoent"):
        maps.merge(outer, [(0, whats["id"]), (1, ("id", 2**32 - 1))])
    assert maps.size(outer) == 0


def test_a_locator_is_no_value_of_another_map(maps, named):
    map, whats = named("hash")
    with raises("badarg"):
        maps.put(1, whats["id"], map)


@each_kind
def test_a_locator_is_a_template(kind, maps, named, cnode):
    inner, whats = named("hash")
    before = cnode.held_maps()
    outer = maps.new("array_of_maps", 4, 4, 2, [("inner_map", whats[kind])])
    assert cnode.new_maps(before) == 1
    maps.put(0, inner, outer)
    assert maps.get(0, outer) == inner


# --- with the caller's rights


@pytest.fixture
def reader(start_cnode, alice, maps):
    """ebpf_maps of a node where alice may only read."""
    return Maps(alice, start_cnode("--allow", "alice*@*=ro"))


@each_kind
@pytest.mark.parametrize("function", READING)
def test_who_may_only_read_reads_by_a_locator(function, kind, reader, named):
    type, args, result = READING[function]
    what = named(type)[1][kind]
    assert reader.call(function.split("/")[0], *fill(args, what)) == result


@pytest.mark.parametrize("function", WRITING)
def test_who_may_only_read_writes_by_no_locator(function, reader, maps, named):
    type, args, _ = WRITING[function]
    map, whats = named(type)
    with raises("eacces"):
        reader.call(function, *fill(args, whats["name"]))
    node = reader.node
    name = whats["name"][1].decode()
    node.wait_log(rf"warning refused {function}/\d to .*only read.*: name {name}$")


def test_a_path_outside_of_pin_root_is_eacces(start_cnode, alice, named, folder):
    map, whats = named("hash")
    inside = folder / "inside"
    inside.mkdir()
    node = start_cnode("--pin-root", str(inside))
    confined = Maps(alice, node)
    path = whats["pinned"][1].decode()
    with raises("eacces"):
        confined.get(1, whats["pinned"])
    node.wait_log(rf"warning refused get/2 to .* --pin-root: {path}$")
    assert confined.get(1, whats["id"]) == u64(2)


@pytest.mark.parametrize("kind", ["id", "name"])
def test_without_opening_by_id_it_is_eperm(kind, start_cnode, alice, named):
    _, whats = named("hash")
    other = Maps(alice, start_cnode("--no-open-by-id"))
    with raises("eperm"):
        other.get(1, whats[kind])
    assert other.get(1, whats["pinned"]) == u64(2)


@each_kind
def test_a_locator_does_not_count_for_max_maps(kind, start_cnode, alice, named):
    _, whats = named("hash")
    full = Maps(alice, start_cnode("--max-maps", "1"))
    map = full.new(*HASH)
    assert full.open(whats[kind]) == ("error", "emfile")
    assert full.get(1, whats[kind]) == u64(2)
    assert full.merge(whats[kind], [(3, 4)]) == whats[kind]
    assert [handle for handle, _, _ in full.handles()] == [map]


MEMORY = 1 << 20
LARGE = ("array", 4, 8, 80000)  # more than half of that


@pytest.mark.parametrize("options", [[], ["--no-open-by-id"]], ids=["by id", "by pins"])
def test_a_map_put_by_a_locator_counts_until_it_is_gone(
    options, start_cnode, alice, folder
):
    node = start_cnode("--max-map-memory", str(MEMORY), *options)
    maps = Maps(alice, node)
    map = maps.new(*LARGE)
    outer = maps.new("array_of_maps", 4, 4, 1, [("inner_map", map)])
    for pin, pinned in (("outer", outer), ("inner", map)):
        maps.pin(path_of(folder / pin), pinned)
    where = [("pinned", path_of(folder / pin)) for pin in ("outer", "inner")]
    maps.put(0, where[1], where[0])
    maps.unpin(where[1][1], map)
    maps.close(map)
    maps.close(outer)
    assert maps.new(*LARGE) == ("error", "enomem")
    maps.remove(0, where[0])
    assert maps.new(*LARGE)[0] == "ebpf_map"


# --- by erl_call, as from a script


def erl_call(cluster, node, call):
    """What erl_call -a prints, of a function of ebpf_maps as it is typed."""
    command = ["erl_call", "-sname", node.sname, "-c", cluster.cookie]
    return subprocess.run(
        [*command, "-a", f"ebpf_maps {call}"],
        env=cluster.env,
        capture_output=True,
        text=True,
        timeout=20 * PATIENCE,
    ).stdout


@each_kind
@pytest.mark.plain  # erl_call knows no TLS
def test_erl_call_reads_and_writes_a_map(kind, cluster, cnode, maps, named):
    map, whats = named("hash")
    tag, value = whats[kind]
    typed = value if kind == "id" else f'"{value.decode()}"'
    assert f"{{{tag}," in erl_call(cluster, cnode, f"put [3, 4, {{{tag}, {typed}}}]")
    assert maps.get(3, map) == u64(4)
    assert erl_call(cluster, cnode, f"size [{{{tag}, {typed}}}]") == "2"
