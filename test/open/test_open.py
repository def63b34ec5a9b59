# SPDX-License-Identifier: Apache-2.0
"""Maps that others made: found, told of, opened, pinned, frozen."""

import itertools
import json
import os
import shutil
import subprocess

import pytest

import etf
from cluster import wait_until
from conftest import raises
from native import u32, u64

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 4)
INFO_KEYS = {
    *("id", "name", "type", "key_size", "value_size", "max_entries", "flags"),
    *("frozen", "memlock", "btf", "pinned", "handles"),
}


@pytest.fixture(scope="module")
def bpftool():
    path = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        pytest.skip("no bpftool here")

    def bpftool(*args, plain=False):
        command = [path, *([] if plain else ["-j"]), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout if plain else json.loads(done.stdout or "null")

    return bpftool


taken = itertools.count()


@pytest.fixture
def name():
    """A name that no other map bears."""
    return f"o{os.getpid()}_{next(taken)}"


@pytest.fixture
def hash(maps, name):
    """A named map that holds 1 -> 2."""
    map = maps.new(*HASH, [("name", name)])
    maps.put(1, 2, map)
    return map


@pytest.fixture
def opened(maps):
    """Opens maps, which are closed at the end."""

    def opened(*args):
        map = maps.open(*args)
        if map[0] == "ebpf_map":
            maps.made.append(map)
        return map

    return opened


def path_of(pin):
    return str(pin).encode()


# --- info/1, list/0


def test_info_tells_all_of_a_map(maps, hash, name):
    info = maps.info(hash)
    assert info.keys() == INFO_KEYS
    assert info["name"] == name.encode()
    shape = ("type", "key_size", "value_size", "max_entries")
    assert tuple(info[key] for key in shape) == HASH
    assert info["flags"] == 0
    assert info["frozen"] == "false"
    assert info["btf"] == "none"
    assert info["pinned"] == []
    assert info["handles"] == [hash]
    assert info["id"] > 0


def test_info_tells_what_the_kernels_own_tool_tells(maps, hash, bpftool):
    info = maps.info(hash)
    shown = bpftool("map", "show", "id", info["id"])
    assert info["memlock"] == shown["bytes_memlock"] > 0
    assert info["frozen"] == ("true" if shown["frozen"] else "false")
    assert info["name"] == shown["name"].encode()
    assert info["flags"] == shown["flags"]


def test_memlock_grows_with_the_map(maps):
    small, large = (maps.new("array", 4, 8, n) for n in (10, 100000))
    memlock = [maps.info(map)["memlock"] for map in (small, large)]
    assert memlock[1] > 800000 > memlock[0] > 0


def test_a_map_without_a_name_has_an_empty_one(maps):
    assert maps.info(maps.new(*HASH))["name"] == b""


def test_list_tells_of_each_map_what_info_tells(maps, hash, name):
    other = maps.new("lpm_trie", 8, 4, 7, ["no_prealloc", ("name", name)])
    found = [info for info in maps.list() if info["name"] == name.encode()]
    by_id = lambda info: info["id"]  # noqa: E731
    assert sorted(found, key=by_id) == sorted(map(maps.info, (hash, other)), key=by_id)
    assert [i["flags"] for i in found if i["type"] == "lpm_trie"] == [1]


def test_list_is_the_list_of_the_kernels_own_tool(maps, hash, bpftool):
    """Others on this host make maps meanwhile, which may be in it or not."""

    def listed():
        return {shown["id"] for shown in bpftool("map", "list")}

    before = listed()
    ours = {info["id"] for info in maps.list()}
    after = listed()
    assert maps.info(hash)["id"] in ours
    assert before & after <= ours
    assert not (ours - before - after) & listed()


def test_list_leaves_no_descriptor(maps, hash, cnode):
    before = len(cnode.descriptors())
    for _ in range(20):
        maps.list()
        maps.info(hash)
    assert len(cnode.descriptors()) <= before


def test_a_map_that_has_gone_is_not_listed(maps, hash, name):
    maps.close(hash)

    def gone():
        """Who else lists the maps of the host may hold it for a moment."""
        return name.encode() not in [info["name"] for info in maps.list()]

    wait_until(gone)


def test_list_stands_maps_that_come_and_go(maps, bob, cnode):
    bob.start_eval(
        """
        [erpc:call(N, ebpf_maps, close, [erpc:call(N, ebpf_maps, new, [hash, 4, 4, 1])])
         || _ <- lists:seq(1, 2000)], ok""",
        N=cnode.name,
    )
    for _ in range(30):
        assert all(info.keys() == INFO_KEYS for info in maps.list())
    assert bob.finish(30) == "ok"


@pytest.mark.parametrize("type", ["hash", "queue", "lpm_trie", "percpu_array"])
def test_type_is_the_type(type, maps):
    sizes = {"queue": (0, 4), "lpm_trie": (8, 4)}.get(type, (4, 4))
    options = ["no_prealloc"] if type == "lpm_trie" else []
    assert maps.type(maps.new(type, *sizes, 4, options)) == type


# --- open/1,2


def test_a_map_is_opened_by_its_id(maps, hash, opened):
    map = opened(("id", maps.info(hash)["id"]))
    assert map != hash
    assert map[2:] == HASH
    assert maps.get(1, map) == u64(2)
    maps.put(3, 4, map)
    assert maps.get(3, hash) == u64(4)
    assert maps.info(map)["id"] == maps.info(hash)["id"]


def test_each_open_gives_a_handle_of_its_own(maps, hash, opened, cnode):
    what = ("id", maps.info(hash)["id"])
    before = cnode.held_maps()
    handles = [opened(what) for _ in range(3)]
    assert len({map[1].raw for map in [hash, *handles]}) == 4
    assert cnode.new_maps(before) == 3
    key = lambda map: map[1].raw  # noqa: E731
    told = maps.info(handles[0])["handles"]
    assert sorted(told, key=key) == sorted([hash, *handles], key=key)
    assert maps.close(handles[0]) == "ok"
    assert maps.get(1, handles[1]) == u64(2)
    with raises(("badmap", handles[0])):
        maps.get(1, handles[0])
    assert cnode.new_maps(before) == 2


@pytest.mark.parametrize("form", [str, str.encode, lambda s: list(s.encode())])
def test_a_map_is_opened_by_its_name(form, maps, hash, name, opened):
    map = opened(("name", form(name)))
    assert maps.get(1, map) == u64(2)


def test_a_name_that_several_bear_is_ambiguous(maps, hash, name, opened, cnode):
    other = maps.new("array", 4, 4, 1, [("name", name)])
    before = cnode.held_maps()
    assert opened(("name", name)) == ("error", "ambiguous")
    assert cnode.new_maps(before) == 0
    maps.close(other)
    assert opened(("name", name))[2:] == HASH


def test_two_handles_of_one_map_do_not_make_its_name_ambiguous(
    maps, hash, name, opened
):
    assert opened(("id", maps.info(hash)["id"]))[0] == "ebpf_map"
    assert opened(("name", name))[2:] == HASH


@pytest.mark.parametrize(
    "what, posix",
    [
        (("id", 2**32 - 1), "enoent"),
        (("id", 0), "enoent"),
        (("name", "never_there"), "enoent"),
        (("name", "sixteen_letters_"), "enoent"),
        (("pinned", b"/sys/fs/bpf/never/there"), "enoent"),
        (("pinned", b"/etc/passwd"), "eacces"),
        (("pinned", b"/"), "eacces"),
    ],
    ids=str,
)
def test_what_cannot_be_opened_is_an_error_value(what, posix, maps, cnode):
    before = cnode.held_maps()
    assert maps.open(what) == ("error", posix)
    assert cnode.new_maps(before) == 0


@pytest.mark.parametrize(
    "what",
    [
        "id",
        1,
        ("id",),
        ("id", -1),
        ("id", 2**32),
        ("id", "x"),
        ("id", 1, 1),
        ("name",),
        ("name", 1),
        ("name", ("a",)),
        ("pinned", 1),
        ("pinned", b"relative/path"),
        ("pinned", b""),
        ("pinned", b"/sys/fs/bpf/a\0b"),
        ("nope", 1),
        {},
        [],
    ],
    ids=str,
)
def test_what_names_no_map_raises_badarg(what, maps):
    with raises("badarg"):
        maps.open(what)


@pytest.mark.parametrize(
    "options",
    [
        "read",
        ["nope"],
        ["no_prealloc"],
        [("name", "x")],
        [("lifetime", "x")],
        [("map_extra", 1)],
        [("flags", 1)],
        etf.Improper(("read",), "write"),
    ],
    ids=str,
)
def test_open_takes_no_other_options(options, maps, hash):
    with raises("badarg"):
        maps.open(("id", maps.info(hash)["id"]), options)


@pytest.mark.parametrize("by", ["id", "name", "pinned"])
def test_a_map_opened_to_read_is_read_only(by, maps, hash, name, opened, folder):
    maps.pin(path_of(folder / "map"), hash)
    what = {
        "id": ("id", maps.info(hash)["id"]),
        "name": ("name", name),
        "pinned": ("pinned", path_of(folder / "map")),
    }[by]
    map = opened(what, ["read"])
    assert maps.get(1, map) == u64(2)
    assert maps.to_list(map) == [(u32(1), u64(2))]
    for call in (
        lambda: maps.put(1, 3, map),
        lambda: maps.remove(1, map),
        lambda: maps.take(1, map),
        lambda: maps.clear(map),
    ):
        with raises("eperm"):
            call()
    assert maps.put(1, 3, hash) == hash
    assert maps.get(1, map) == u64(3)


def test_a_map_opened_to_write_is_write_only(maps, hash, opened):
    map = opened(("id", maps.info(hash)["id"]), ["write"])
    assert maps.put(1, 3, map) == map
    for call in (maps.to_list, maps.keys, maps.size, lambda map: maps.get(1, map)):
        with raises("eperm"):
            call(map)
    assert maps.get(1, hash) == u64(3)


def test_a_map_made_to_read_can_be_opened_to_write(maps, opened):
    """read and write are of the descriptor alone."""
    map = maps.new("array", 4, 4, 1, ["read"])
    again = opened(("id", maps.info(map)["id"]))
    assert maps.put(0, 7, again) == again
    assert maps.get(0, map) == u32(7)


# --- pin/2, unpin/2, freeze/1


def test_a_pinned_map_outlives_its_handle(maps, hash, folder, opened, cnode):
    path = path_of(folder / "map")
    assert maps.pin(path, hash) == "ok"
    assert maps.info(hash)["pinned"] == [path]
    id = str(maps.info(hash)["id"])
    assert cnode.held_maps()[id] == 1
    assert maps.close(hash) == "ok"
    assert cnode.held_maps()[id] == 0
    assert (folder / "map").exists()
    again = opened(("pinned", path))
    assert again[2:] == HASH
    assert maps.get(1, again) == u64(2)
    assert maps.info(again)["handles"] == [again]


def test_a_map_may_have_many_pins(maps, hash, folder):
    (folder / "deeper").mkdir()
    paths = [path_of(folder / n) for n in ("a", "b", "deeper/c")]
    for path in paths:
        assert maps.pin(path, hash) == "ok"
    assert sorted(maps.info(hash)["pinned"]) == paths
    assert maps.unpin(paths[1], hash) == "ok"
    assert not (folder / "b").exists()
    assert sorted(maps.info(hash)["pinned"]) == [paths[0], paths[2]]
    assert maps.unpin(paths[1], hash) == ("error", "enoent")


def test_the_kernels_own_tool_reads_what_we_pinned(maps, hash, folder, bpftool):
    maps.pin(path_of(folder / "map"), hash)
    shown = bpftool("map", "show", "pinned", folder / "map")
    assert shown["id"] == maps.info(hash)["id"]
    [entry] = bpftool("map", "dump", "pinned", folder / "map")
    assert bytes(int(byte, 16) for byte in entry["key"]) == u32(1)
    assert bytes(int(byte, 16) for byte in entry["value"]) == u64(2)


def test_what_the_kernels_own_tool_made_and_pinned_is_read(
    maps, folder, opened, bpftool, name
):
    pin = folder / "theirs"
    shape = f"type hash key 4 value 4 entries 8 name {name}"
    bpftool("map", "create", pin, *shape.split())
    for number in (1, 2, 3):
        entry = f"key {number} 0 0 0 value {number * 2} 0 0 0"
        bpftool("map", "update", "pinned", pin, *entry.split())
    found = [info for info in maps.list() if info["name"] == name.encode()]
    assert [info["pinned"] for info in found] == [[path_of(pin)]]
    assert found[0]["handles"] == []
    by_path = opened(("pinned", path_of(pin)))
    for map in (by_path, opened(("name", name)), opened(("id", found[0]["id"]))):
        assert map[2:] == ("hash", 4, 4, 8)
        assert sorted(maps.to_list(map)) == [(u32(n), u32(2 * n)) for n in (1, 2, 3)]
    maps.put(4, 8, by_path)
    looked_up = bpftool("map", "lookup", "pinned", pin, "key", "4", "0", "0", "0")
    assert bytes(int(byte, 16) for byte in looked_up["value"]) == u32(8)
    assert maps.unpin(path_of(pin), by_path) == "ok"
    assert not pin.exists()
    assert maps.get(4, by_path) == u32(8)


@pytest.mark.parametrize("form", [str, str.encode, lambda s: list(s.encode())])
def test_a_path_is_an_atom_a_binary_or_a_string(form, maps, hash, folder):
    path = form(str(folder / "map"))
    assert maps.pin(path, hash) == "ok"
    assert maps.unpin(path, hash) == "ok"


def test_where_a_pin_cannot_be_is_an_error_value(maps, hash, folder, tmp_path):
    maps.pin(path_of(folder / "taken"), hash)
    for pin, posix in (
        (folder / "taken", "eexist"),
        (folder / "no folder" / "map", "enoent"),
        (folder / "with.dot", "eperm"),
        (tmp_path / "outside", "eperm"),
    ):
        assert maps.pin(path_of(pin), hash) == ("error", posix), pin
    assert maps.info(hash)["pinned"] == [path_of(folder / "taken")]


@pytest.mark.parametrize("path", [b"", b"x", b"x/y", "x", 1, (), [1], b"/a\0", [0]])
def test_what_is_no_path_raises_badarg(path, maps, hash):
    with raises("badarg"):
        maps.pin(path, hash)
    with raises("badarg"):
        maps.unpin(path, hash)


def test_unpin_leaves_the_pins_of_other_maps_and_other_files(
    maps, hash, folder, tmp_path
):
    other = maps.new(*HASH)
    maps.pin(path_of(folder / "other"), other)
    assert maps.unpin(path_of(folder / "other"), hash)[0] == "error"
    assert (folder / "other").exists()
    file = tmp_path / "file"
    file.write_text("x")
    assert maps.unpin(path_of(file), hash)[0] == "error"
    assert maps.unpin(path_of(folder), hash)[0] == "error"
    assert file.exists() and folder.exists()


def test_a_frozen_map_is_told_and_not_written(maps, hash, opened, bpftool):
    assert maps.freeze(hash) == "ok"
    info = maps.info(hash)
    assert info["frozen"] == "true"
    assert bpftool("map", "show", "id", info["id"])["frozen"] == 1
    with raises("eperm"):
        maps.put(1, 3, hash)
    with raises("eperm"):
        maps.put(1, 3, opened(("id", info["id"])))
    assert maps.get(1, hash) == u64(2)
    assert maps.freeze(hash) == ("error", "eperm")


def test_what_the_kernels_own_tool_froze_is_frozen(maps, hash, bpftool):
    bpftool("map", "freeze", "id", maps.info(hash)["id"])
    assert maps.info(hash)["frozen"] == "true"
    with raises("eperm"):
        maps.put(1, 3, hash)


# --- handles of nested maps


def test_unpin_removes_no_link_to_a_pin(maps, folder, tmp_path):
    map = maps.new("hash", 4, 4, 1)
    path = folder / "pinned"
    assert maps.pin(str(path), map) == "ok"
    link = tmp_path / "link"
    link.symlink_to(path)
    assert maps.unpin(str(link), map) == ("error", "eperm")
    assert link.is_symlink()
    assert maps.info(map)["pinned"] == [str(path).encode()]
    assert maps.unpin(str(path), map) == "ok"
