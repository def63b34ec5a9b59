# SPDX-License-Identifier: Apache-2.0
"""--max-map-memory by default: half of what there is, by whatever cgroups there are."""

import os
import re
from pathlib import Path

import pytest

from cluster import wait_until

pytestmark = pytest.mark.single

MIB = 1 << 20
CGROUPS = Path("/sys/fs/cgroup")
V1 = CGROUPS / "memory"
LINE = r"notice maps may take (\d+) bytes of memory, half of what (.*); --max-map-memory"

# In a mount namespace: the files that there are of version 2, with these limits
# of the cgroup of this process, of the one above it and of the topmost one, or
# nothing for none.
FILES = r"""
set -e
folder=`sed -n 's/^0:://p' /proc/self/cgroup`
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup$folder"
[ -z "$1" ] || echo "$1" >"/sys/fs/cgroup$folder/memory.max"
[ -z "$2" ] || echo "$2" >"/sys/fs/cgroup$folder/../memory.max"
[ -z "$3" ] || echo "$3" >/sys/fs/cgroup/memory.max
shift 3
exec "$@"
"""


@pytest.fixture
def unified():
    """A wrapper: in a cgroup of version 2 of its own, two below any other."""
    top = CGROUPS / "unified"
    top = top if top.is_dir() else CGROUPS
    folder = top / f"ebpf_cnode_test_{os.getpid()}"
    inner = folder / "inner"
    inner.mkdir(parents=True)
    yield ["sh", "-c", f'echo $$ >{inner}/cgroup.procs; exec "$@"', "sh"]
    for one in (inner, folder):
        wait_until(lambda: not (one / "cgroup.procs").read_text())
        one.rmdir()


@pytest.fixture
def start(unified, start_cnode):
    """Starts a node below limits of version 2."""

    def start(own, above, *options, top="", **others):
        limits = map(str, (own, above, top))
        files = ["unshare", "--mount", "sh", "-c", FILES, "sh", *limits]
        node = start_cnode(*options, wrapper=[*unified, *files], **others)
        return node

    yield start
    for node in start_cnode.started:
        node.kill()


def host_memory():
    told = Path("/proc/meminfo").read_text()
    return int(re.search(r"^MemTotal: +(\d+) kB", told, re.M)[1]) * 1024


def default(node):
    """The bytes, and of what they are half."""
    (found,) = node.find_log(LINE)
    return int(found[1]), found[2]


@pytest.mark.parametrize(
    "own, above, least",
    [
        (3000 * MIB, "max", 3000 * MIB),
        ("max", 2600 * MIB, 2600 * MIB),
        (3000 * MIB, 2600 * MIB, 2600 * MIB),
        ("", 2600 * MIB, 2600 * MIB),
        (64 * MIB, 2600 * MIB, 64 * MIB),
    ],
)
def test_it_is_half_of_the_least_limit_of_the_cgroups(own, above, least, start):
    assert default(start(own, above)) == (least // 2, "the cgroup may use")


def test_the_topmost_cgroup_has_a_limit_too_where_it_is_that_of_a_container(start):
    node = start("max", "max", top=2800 * MIB)
    assert default(node) == (1400 * MIB, "the cgroup may use")


@pytest.mark.parametrize("own", ["max", "", 1 << 60])
def test_without_a_limit_it_is_half_of_the_host(own, start):
    assert default(start(own, "max")) == (host_memory() // 2, "this host has")


def test_it_is_half_of_a_real_limit(start_cnode):
    """Of whichever version has the controller here."""
    top, file = (V1, "memory.limit_in_bytes") if V1.is_dir() else (CGROUPS, "memory.max")
    folder = top / f"ebpf_cnode_test_{os.getpid()}"
    inner = folder / "inner"
    inner.mkdir(parents=True)
    try:
        (folder / file).write_text(str(3000 * MIB))
        join = ["sh", "-c", f'echo $$ >{inner}/cgroup.procs; exec "$@"', "sh"]
        node = start_cnode(wrapper=join)
        assert default(node) == (1500 * MIB, "the cgroup may use")
        node.stop()
    finally:
        for one in (inner, folder):
            wait_until(lambda: not (one / "cgroup.procs").read_text())
            one.rmdir()


def test_it_bites(start, connect):
    peer = connect(start(64 * MIB, "max", "--max-memory", 64 * MIB))
    assert peer.maps("new", "array", 4, 4096, 10_000) == ("error", "enomem")
    assert peer.maps("new", "array", 4, 4096, 6000)[0] == "ebpf_map"


def test_what_is_given_is_no_default_and_needs_no_line(start):
    node = start(64 * MIB, "max", "--max-map-memory", MIB)
    assert not node.find_log("maps may take")


def test_without_a_limit_more_than_that_is_made(start, connect):
    node = start(64 * MIB, "max", "--max-map-memory", "none")
    assert not node.find_log("maps may take")
    peer = connect(node)
    assert peer.maps("new", "array", 4, 4096, 10_000)[0] == "ebpf_map"


@pytest.mark.parametrize(
    "cgroup, options, warned",
    [
        (3000 * MIB, ["--max-map-memory", 1800 * MIB], False),
        (3000 * MIB, ["--max-map-memory", 2000 * MIB], True),
        (3000 * MIB, ["--max-map-memory", 1 << 62], True),
        (3000 * MIB, ["--max-map-memory", "none"], False),
        (3000 * MIB, ["--max-memory", 3000 * MIB], True),
        (3000 * MIB, [], False),
        (1000 * MIB, [], True),
    ],
    ids=str,
)
def test_a_cgroup_whose_limit_bites_first_is_warned_of(cgroup, options, warned, start):
    """At less than both limits and a quarter more."""
    node = start(cgroup, "max", *options)
    assert bool(node.find_log("warning the cgroup is limited to ")) == warned
