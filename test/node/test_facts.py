# SPDX-License-Identifier: Apache-2.0
"""host/0: what the host is, and words for the numbers of interfaces and cgroups."""

import ctypes
import os
import secrets
import socket
import subprocess
import time

import pytest

from conftest import raises
from host import CGROUPS, CPUS

pytestmark = pytest.mark.single

LIBC = ctypes.CDLL(None, use_errno=True)
DEPTH = 32


def host_of(node, alice):
    return alice.erpc(node.name, "host")


@pytest.fixture
def cgroup():
    """A cgroup for this test alone; those in it go with it."""
    folder = CGROUPS / f"ebpf_facts_{secrets.token_hex(4)}"
    folder.mkdir()
    yield folder
    for inner, _, _ in os.walk(os.fsencode(folder), topdown=False):
        os.rmdir(inner)


def path_of(folder):
    """As the C node has it: from where cgroups are mounted."""
    return b"/" + os.path.relpath(os.fsencode(folder), os.fsencode(CGROUPS))


def id_of(folder):
    """By which the kernel knows a cgroup: all of a handle of its folder."""
    handle = ctypes.create_string_buffer(8 + 128)
    ctypes.memmove(handle, (128).to_bytes(4, "little"), 4)
    mount = ctypes.c_int()
    AT_FDCWD = -100
    path = os.fsencode(folder)
    assert LIBC.name_to_handle_at(AT_FDCWD, path, handle, ctypes.byref(mount), 0) == 0
    return int.from_bytes(handle.raw[8:16], "little")


# --- the host


@pytest.mark.parametrize(
    "options", [[], ["--no-sandbox"], ["--no-open-by-id"], ["--user", "nobody"]], ids=str
)
def test_it_is_what_the_host_tells(options, start_cnode, alice, cgroup):
    told = host_of(start_cnode(*options), alice)
    names = os.uname()
    assert told["name"] == names.nodename.encode()
    assert told["kernel"] == names.release.encode()
    assert told["machine"] == names.machine.encode()
    assert told["cpus"] == {"online": os.sysconf("SC_NPROCESSORS_ONLN"), "possible": CPUS}
    assert told["interfaces"] == {n: name.encode() for n, name in socket.if_nameindex()}
    assert told["cgroups"][id_of(CGROUPS)] == b"/"
    assert told["cgroups"][id_of(cgroup)] == path_of(cgroup)


def test_its_version_and_options_are_those_of_features(start_cnode, alice):
    node = start_cnode("--read-only")
    told, features = host_of(node, alice), alice.erpc(node.name, "features")
    assert told["version"] == features["version"]
    assert told["features"] == features["options"]
    assert told["features"]["read_only"] == "true"


def test_it_counts_from_the_boot(maps):
    before = int(time.clock_gettime(time.CLOCK_BOOTTIME))
    told = maps.host()
    assert before <= told["uptime"] <= time.clock_gettime(time.CLOCK_BOOTTIME)
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    assert abs(told["boot"] - boot) <= 1


# --- interfaces


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def test_interfaces_come_are_renamed_and_go(maps):
    name, peer = (f"{c}{secrets.token_hex(5)}" for c in "ab")
    ip("link", "add", name, "type", "veth", "peer", "name", peer)
    index = socket.if_nametoindex(name)
    try:
        assert maps.host()["interfaces"][index] == name.encode()
        ip("link", "set", name, "name", f"c{name[1:]}")
        assert maps.host()["interfaces"][index] == f"c{name[1:]}".encode()
    finally:
        ip("link", "del", peer)
    assert index not in maps.host()["interfaces"]


def test_they_are_those_of_its_own_namespace(start_cnode, alice, cluster):
    """Whatever /sys has, which may have been mounted in another one."""
    node = start_cnode()
    links = {f"d{secrets.token_hex(5)}".encode() for _ in range(40)}
    for name in links:
        ip("link", "add", name.decode(), "type", "veth", "peer", "name", f"p{name[1:].decode()}")
    try:
        told = host_of(node, alice)["interfaces"]
        assert told == {n: name.encode() for n, name in socket.if_nameindex()}
        assert links < set(told.values())
    finally:
        for name in links:
            ip("link", "del", name.decode())


# --- cgroups


def test_cgroups_come_and_go(maps, cgroup):
    before = maps.host()["cgroups"]
    inner = cgroup / "a" / "b"
    inner.mkdir(parents=True)
    told = maps.host()["cgroups"]
    assert told[id_of(inner)] == path_of(inner)
    assert told[id_of(inner.parent)] == path_of(inner.parent)
    id = id_of(inner)
    inner.rmdir()
    assert id not in maps.host()["cgroups"]
    assert before[id_of(cgroup)] == path_of(cgroup)


def test_all_of_them_are_there(maps, cgroup):
    for n in range(300):
        (cgroup / f"{n}" / "in").mkdir(parents=True)
    told = maps.host()["cgroups"]
    made = {id_of(p): path_of(p) for p in [cgroup, *cgroup.glob("*/"), *cgroup.glob("*/in/")]}
    assert len(made) == 601
    assert made.items() <= told.items()


def test_their_names_are_bytes(maps, cgroup):
    names = [b"\xff\xfe", "grün".encode(), b"a b", b"x" * 255, b"..."]
    for name in names:
        os.mkdir(os.fsencode(cgroup) + b"/" + name)
    told = set(maps.host()["cgroups"].values())
    assert {path_of(cgroup) + b"/" + name for name in names} <= told


def test_what_lies_too_deep_is_left_out(maps, cgroup):
    deep = [cgroup]  # at the first level
    for _ in range(DEPTH + 3):
        deep.append(deep[-1] / "d")
        deep[-1].mkdir()
    told = maps.host()["cgroups"]
    there = [id_of(folder) in told for folder in deep]
    assert there == [True] * DEPTH + [False] * (len(deep) - DEPTH)


def test_more_names_than_a_message_holds_are_refused(start_cnode, alice, cgroup):
    node = start_cnode("--max-message", str(1 << 16))
    for n in range(300):
        os.mkdir(cgroup / f"{n}".rjust(250, "n"))
    with raises(("too_big", 1 << 16)):
        host_of(node, alice)
    assert alice.erpc(node.name, "handles") == []


def in_mounts(script):
    return ["unshare", "--mount", "sh", "-c", f'{script}; exec "$0" "$@"']


WITHOUT = f"umount -l {CGROUPS}"
ELSEWHERE = (
    "umount -l /sys/fs/cgroup; mount -t tmpfs tmpfs /sys/fs/cgroup && "
    "mkdir /sys/fs/cgroup/unified && mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified"
)
ALONE = "umount -l /sys/fs/cgroup; mount -t cgroup2 cgroup2 /sys/fs/cgroup"


def test_without_cgroups_of_version_2_there_are_none(start_cnode, alice):
    node = start_cnode(wrapper=in_mounts(WITHOUT))
    assert host_of(node, alice)["cgroups"] == {}


@pytest.mark.parametrize("script", [ELSEWHERE, ALONE], ids=["beside version 1", "alone"])
def test_they_are_found_where_hosts_have_them(script, start_cnode, alice, cgroup):
    node = start_cnode(wrapper=in_mounts(script))
    told = host_of(node, alice)["cgroups"]
    assert told[id_of(cgroup)] == path_of(cgroup)


def test_what_is_mounted_over_one_is_no_cgroup(start_cnode, alice, cgroup):
    (cgroup / "a" / "b").mkdir(parents=True)
    over = f"mount -t tmpfs tmpfs {cgroup}/a && mkdir {cgroup}/a/hidden"
    node = start_cnode(wrapper=in_mounts(over))
    told = set(host_of(node, alice)["cgroups"].values())
    assert path_of(cgroup / "a") in told
    assert path_of(cgroup / "a" / "hidden") not in told


def test_it_leaves_nothing_open(fresh_cnode, alice, cgroup):
    (cgroup / "a").mkdir()
    host_of(fresh_cnode, alice)
    before = len(os.listdir(f"/proc/{fresh_cnode.pid}/fd"))
    for _ in range(20):
        host_of(fresh_cnode, alice)
    assert len(os.listdir(f"/proc/{fresh_cnode.pid}/fd")) == before
