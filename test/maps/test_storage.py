# SPDX-License-Identifier: Apache-2.0
"""Storage of files, processes and cgroups: what a caller can name, and what not."""

import os
import resource
import subprocess

import pytest

from cluster import CNode
from conftest import Maps, Shared, raises
from host import CGROUPS, OLD_CGROUPS
from map_calls import walked, with_
from native import u32, u64

pytestmark = pytest.mark.single

NO_PREALLOC = ["no_prealloc"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Files that a caller may name stand below root/public."""
    root = tmp_path_factory.mktemp("root")
    (root / "public").mkdir()
    (root / "public" / "file").write_text("x")
    (root / "public" / "other").write_text("x")
    (root / "secret").write_text("x")
    (root / "public" / "link").symlink_to(root / "secret")
    (root / "public" / "inside").symlink_to("file")
    (root / "publicity").write_text("x")
    return root


class Rooted(Shared):
    """A C node that has a --file-root, for all tests of this module."""

    def __init__(self, cluster, program, root):
        super().__init__(cluster, program)
        self.root = root

    def get(self):
        if not self.node or not self.node.alive():
            options = ["--file-root", self.root]
            self.node = CNode(self.cluster, self.program, *options)
            self.node.wait_ready()
        return self.node


@pytest.fixture(scope="module")
def shared_rooted(cluster, program, root):
    shared = Rooted(cluster, program, root / "public")
    yield shared
    if shared.node and shared.node.alive():
        shared.node.stop()
        shared.node.check()


@pytest.fixture
def rooted(shared_rooted):
    node = shared_rooted.get()
    start = node.mark()
    yield node
    shared_rooted.check(start)


@pytest.fixture
def maps(alice, rooted):
    """ebpf_maps of a C node that has a --file-root, called from alice."""
    maps = Maps(alice, rooted)
    yield maps
    if rooted.alive() and alice.alive():
        maps.close_all()


@pytest.fixture
def cgroup():
    """A cgroup of the test's own, and another one."""
    folders = [CGROUPS / f"ebpf_cnode_test_{os.getpid()}_{n}" for n in range(2)]
    for folder in folders:
        folder.mkdir()
    yield [str(folder).encode() for folder in folders]
    for folder in folders:
        folder.rmdir()


STORAGE = ["inode_storage", "task_storage", "cgrp_storage"]


@pytest.fixture(params=STORAGE)
def storage(request, maps, root, cgroup):
    """A storage map, and two keys of its kind."""
    map = maps.new(request.param, 4, 8, 0, NO_PREALLOC)
    assert map[0] == "ebpf_map", map
    own = {
        "inode_storage": [
            ("file", str(root / "public" / name).encode()) for name in ("file", "other")
        ],
        "task_storage": [("pid", os.getpid()), ("pid", maps.beam.pid)],
        "cgrp_storage": [("cgroup", path) for path in cgroup],
    }
    return map, own[request.param]


def test_storage_is_written_and_read_by_what_a_caller_can_name(maps, storage):
    map, (first, second) = storage
    assert maps.put(first, 7, map) == map
    assert maps.get(first, map) == u64(7)
    assert maps.find(second, map) == "error"
    with raises(("badkey", second)):
        maps.get(second, map)
    assert maps.is_key(first, map) == "true"
    assert with_(maps, [first, second], map) == {first: u64(7)}
    maps.put(second, 8, map)
    assert [maps.get(key, map) for key in (first, second)] == [u64(7), u64(8)]


def test_storage_is_updated_inserted_and_merged(maps, storage):
    map, (first, second) = storage
    with raises(("badkey", first)):
        maps.update(first, 1, map)
    assert maps.insert(first, 1, map) == map
    with raises(("keyexists", first)):
        maps.insert(first, 2, map)
    assert maps.update(first, 3, map) == map
    assert maps.merge(map, [(first, 4), (second, 5)]) == map
    assert [maps.get(key, map) for key in (first, second)] == [u64(4), u64(5)]


def test_storage_is_taken_from_and_removed(maps, storage):
    map, (first, second) = storage
    maps.merge(map, [(first, 1), (second, 2)])
    assert maps.take(first, map) == (u64(1), map)
    assert maps.take(first, map) == "error"
    assert maps.remove(first, map) == map
    assert maps.without([first, second], map) == map
    assert maps.find(second, map) == "error"


def test_storage_cannot_be_walked(maps, storage):
    map, (first, _) = storage
    maps.put(first, 1, map)
    for call in (
        maps.keys,
        maps.values,
        maps.to_list,
        maps.size,
        maps.clear,
        maps.drain,
        lambda map: walked(maps, map),
        lambda map: maps.next_chunk("start", map, 1),
        lambda map: maps.drain_chunk("start", map, 1),
    ):
        with raises("enotsup"):
            call(map)
    assert maps.get(first, map) == u64(1)


def test_a_number_is_no_key_of_storage(maps, storage):
    map, (first, _) = storage
    for key in (0, 3, u32(3), first[1], (first[0],), (first[0], "x"), "x"):
        with raises("badarg"):
            maps.put(key, 1, map)
        with raises("badarg"):
            maps.get(key, map)


def test_a_number_in_a_cursor_is_no_key_of_storage(maps, root):
    """Nor one of a descriptor that the node has open, as that of its root."""
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    key = ("file", f"{root}/public/".encode())
    maps.put(key, 7, map)
    for number in range(64):
        for left in (0, 1, 2):
            cursor = u32(left) + u32(number)
            for function in ("next_chunk", "drain_chunk"):
                with raises("badarg"):
                    maps.call(function, cursor, map, 1)
            with raises("badarg"):
                maps.next(("ebpf_iterator", map, cursor, [], 1))
    assert maps.get(key, map) == u64(7)


@pytest.mark.parametrize("type", [*STORAGE, "sk_storage"])
@pytest.mark.parametrize("size", [1, 2, 3, 4, 8, 16, 100, 1000])
def test_storage_is_made_with_values_of_any_size(type, size, maps):
    map = maps.new(type, 4, size, 0, NO_PREALLOC)
    assert map[2:] == (type, 4, size, 0)
    assert maps.info(map)["btf"] != "none"
    if type == "task_storage":
        value = bytes(n % 251 for n in range(size))
        maps.put(("pid", os.getpid()), value, map)
        assert maps.get(("pid", os.getpid()), map) == value


def test_a_process_that_is_not_there_is_esrch(maps):
    map = maps.new("task_storage", 4, 8, 0, NO_PREALLOC)
    ended = subprocess.Popen(["true"])
    ended.wait()
    with raises("esrch"):
        maps.put(("pid", ended.pid), 1, map)
    for number in (0, -1, 2**31, 2**64):
        with raises("badarg"):
            maps.put(("pid", number), 1, map)


def test_a_file_outside_of_the_root_is_eacces_be_it_there_or_not(maps, root):
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    for path in (
        "/etc/passwd",
        "/nope",
        "/",
        f"{root}/secret",
        f"{root}/nope",
        f"{root}/publicity",
        f"{root}/public/../secret",
        f"{root}/public/../nope",
        f"{root}/public/../public/../secret",
        f"{root}/public/link",
    ):
        with raises("eacces"):
            maps.get(("file", path.encode()), map)
    for path in ("", "relative", f"{root}/public/file\0", "../secret"):
        with raises("badarg"):
            maps.get(("file", path.encode()), map)


def test_a_file_below_the_root_is_named_in_any_form(maps, root):
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    path = f"{root}/public/file"
    maps.put(("file", path.encode()), 1, map)
    for form in (path, list(path.encode()), f"{root}/public/./file".encode()):
        assert maps.get(("file", form), map) == u64(1)
    assert maps.get(("file", f"{root}/public/inside".encode()), map) == u64(1)
    assert maps.find(("file", f"{root}/public/nope".encode()), map) == "error"


def test_without_a_file_root_no_file_is_named(alice, cnode, root):
    maps = Maps(alice, cnode)
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    for path in (f"{root}/public/file", f"{root}/public/nope", "/"):
        with raises("eacces"):
            maps.put(("file", path.encode()), 1, map)
    maps.close(map)


def test_naming_files_leaves_no_descriptor(maps, root, rooted):
    map = maps.new("inode_storage", 4, 8, 0, NO_PREALLOC)
    key = ("file", f"{root}/public/file".encode())
    maps.put(key, 1, map)
    before = len(rooted.descriptors())
    for _ in range(100):
        maps.put(key, 1, map)
        maps.get(key, map)
        with raises("eacces"):
            maps.get(("file", b"/etc/passwd"), map)
    keys = [key] * 50
    maps.merge(map, [(key, 1) for key in keys])
    maps.without(keys, map)
    assert len(rooted.descriptors()) == before


def test_without_descriptors_no_cgroup_is_told_to_be_none(start_cnode, alice, cgroup):
    node = start_cnode()
    maps = Maps(alice, node)
    map = maps.new("cgroup_array", 4, 4, 4)
    value = ("cgroup", cgroup[0])
    soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")}
    free = [fd for fd in range(max(used) + 3) if fd not in used]
    for number in free[:2]:  # for none, and for one
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (number, hard))
        with raises("emfile"):
            maps.put(0, value, map)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert maps.put(0, value, map) == map
    assert not node.find_log("cgroup file system")


@pytest.mark.parametrize("type", ["hash", "hash_of_maps"])
def test_without_descriptors_no_type_is_found_out_about(
    type, start_cnode, alice, maps
):
    """Which it says, and looks again the next time."""
    node = start_cnode()
    here = Maps(alice, node)

    def make(maps, inner):
        options = [("inner_map", inner)] if type == "hash_of_maps" else []
        return maps.call("new", type, 8, 4, 4, options)

    def cursor(maps):
        """That of a walk: the kernel's, of buckets, if it has one."""
        inner = maps.new("array", 4, 4, 1)
        map = make(maps, inner)
        for key in (1, 2):
            maps.put(key, inner if type == "hash_of_maps" else key, map)
        return maps.call("next_chunk", "start", map, 1)[1]

    inner = here.new("array", 4, 4, 1)
    soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")}
    free = [fd for fd in range(max(used) + 4) if fd not in used]
    needed = 3 if type == "hash_of_maps" else 2  # with a template
    for number in free[:needed]:
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (number, hard))
        assert make(here, inner) == ("error", "emfile")
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert len(cursor(here)) == len(cursor(maps))


@pytest.mark.parametrize("type", ["cgrp_storage", "cgroup_array"])
def test_what_is_no_cgroup_is_eacces(type, maps, cgroup):
    row = (type, 4, 8, 0, NO_PREALLOC) if type[-1] == "e" else (type, 4, 4, 4)
    map = maps.new(*row)

    def put(path):
        named = ("cgroup", path)
        args = (named, 1) if type == "cgrp_storage" else (0, named)
        return maps.put(*args, map)

    assert put(cgroup[0]) == map
    for path in (
        b"/etc",
        b"/nope",
        bytes(CGROUPS.parent),
        *(bytes(folder) for folder in OLD_CGROUPS),
        bytes(CGROUPS) + b"/../../../../etc",
        b"/sys/fs/cgroups",
    ):
        with raises("eacces"):
            put(path)
    with raises("enoent"):
        put(cgroup[0] + b"/nope")


def test_the_topmost_cgroup_is_one_with_or_without_a_slash(start_cnode, alice):
    script = 'mount -t cgroup2 cgroup2 /sys/fs/cgroup; exec "$0" "$@"'
    node = start_cnode(wrapper=["unshare", "--mount", "sh", "-c", script])
    maps = Maps(alice, node)
    map = maps.new("cgroup_array", 4, 4, 1)
    for path in (b"/sys/fs/cgroup/", b"/sys/fs/cgroup"):
        assert maps.put(0, ("cgroup", path), map) == map
