# SPDX-License-Identifier: Apache-2.0
"""Keys that name a thread, a file, a cgroup or an interface: while it is there,
and when it has gone, its entry with it."""

import os
import subprocess
import threading

import pytest

import odd_kernel
import preload
from conftest import Maps, Nodes, raises
from host import CGROUPS
from native import u64

pytestmark = pytest.mark.single

STORAGE = (4, 8, 0, ["no_prealloc"])


@pytest.fixture
def thread():
    """The id of a thread of this process that does not lead it."""
    begun, over = threading.Event(), threading.Event()
    ids = []

    def wait():
        ids.append(threading.get_native_id())
        begun.set()
        over.wait()

    one = threading.Thread(target=wait)
    one.start()
    begun.wait()
    yield ids[0]
    over.set()
    one.join()


def test_a_thread_has_an_entry_of_its_own(maps, thread):
    map = maps.new("task_storage", *STORAGE)
    own, other = ("pid", os.getpid()), ("pid", thread)
    maps.put(other, 2, map)
    assert maps.find(own, map) == "error"
    maps.put(own, 1, map)
    assert [maps.get(key, map) for key in (own, other)] == [u64(1), u64(2)]
    assert maps.take(other, map) == (u64(2), map)
    assert maps.get(own, map) == u64(1)


@pytest.mark.preload
def test_without_threads_in_the_kernel_processes_have_entries(
    start_cnode, cluster, alice, thread, tmp_path
):
    library = preload.build("odd_kernel", tmp_path)
    odd = odd_kernel.OddKernel(library, tmp_path / "odd")
    odd.threadless = 1
    node = start_cnode(env={**cluster.env, **odd.env})
    maps = Maps(alice, node)
    map = maps.new("task_storage", *STORAGE)
    maps.put(("pid", os.getpid()), 1, map)
    assert maps.get(("pid", os.getpid()), map) == u64(1)
    assert odd.refused == 2
    assert maps.is_key(("pid", ended()), map) == "false"


# --- what has gone


def ended():
    """The number of a process that there was."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def removed(folder):
    folder.mkdir()
    folder.rmdir()
    return str(folder).encode()


GONE = {
    "process": ("task_storage", STORAGE, "esrch", lambda _: ("pid", ended())),
    "file": (
        "inode_storage",
        STORAGE,
        "enoent",
        lambda root: ("file", removed(root / "file")),
    ),
    "cgroup": (
        "cgrp_storage",
        STORAGE,
        "enoent",
        lambda _: ("cgroup", removed(CGROUPS / f"ebpf_cnode_test_{os.getpid()}")),
    ),
    "interface": (
        "devmap_hash",
        (4, 4, 8),
        "enodev",
        lambda _: ("ifname", b"nosuch0"),
    ),
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("root")


@pytest.fixture(scope="module")
def rooted(cluster, program, root):
    nodes = Nodes(cluster, program)
    yield nodes.start("--file-root", root)
    nodes.close()


@pytest.fixture(params=GONE)
def gone(request, rooted, alice, root):
    """(maps, a map, the key of what has gone, the kernel's word for it)"""
    type, shape, word, key = GONE[request.param]
    maps = Maps(alice, rooted)
    map = maps.new(type, *shape)
    yield maps, map, key(root), word
    maps.close_all()


def test_what_has_gone_has_no_entry(gone):
    maps, map, key, _ = gone
    assert maps.find(key, map) == "error"
    assert maps.is_key(key, map) == "false"
    assert maps.get(key, map, "none") == "none"
    assert maps.call("with", [key], map) == {}
    with raises(("badkey", key)):
        maps.get(key, map)


def test_the_entry_of_what_has_gone_can_be_removed_but_not_updated(gone):
    maps, map, key, _ = gone
    assert maps.take(key, map) == "error"
    assert maps.remove(key, map) == map
    assert maps.without([key], map) == map
    with raises(("badkey", key)):
        maps.update(key, 1, map)


def test_nothing_is_put_for_what_has_gone(gone):
    maps, map, key, word = gone
    for call in (maps.put, maps.insert):
        with raises(word):
            call(key, 1, map)
    with raises(word):
        maps.merge(map, [(key, 1)])
