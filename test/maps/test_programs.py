# SPDX-License-Identifier: Apache-2.0
"""The maps of an eBPF program that counts at a tracepoint, read as it runs.

test/bpf/count.bpf.c is compiled here, and attached by libbpf: bpftool learnt
that (autoattach) after 7.1.
"""

import ctypes
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cluster import kill, spawn, wait_until
from conftest import raises
from host import CPUS
from native import ORDER, u32

pytestmark = pytest.mark.single

TRACEFS = Path("/sys/kernel/tracing")
# Other tests on this host may be these very ones.
PIDS, ALL = (f"{what}_{secrets.token_hex(4)}".encode() for what in ("pids", "all"))
BUSY = "import os\nwhile True: os.getppid()"

libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
for function, result in (
    ("bpf_object__open_file", ctypes.c_void_p),
    ("bpf_object__next_program", ctypes.c_void_p),
    ("bpf_program__attach", ctypes.c_void_p),
    ("bpf_object__load", ctypes.c_int),
    ("bpf_object__find_map_fd_by_name", ctypes.c_int),
    ("bpf_map_get_fd_by_id", ctypes.c_int),
):
    getattr(libbpf, function).restype = result


def number(data):
    return int.from_bytes(data, ORDER)


@pytest.fixture(scope="module")
def tracefs():
    """Where the tracepoints are told, mounted if it is not."""
    if (TRACEFS / "events").exists():
        yield TRACEFS
        return
    mount, umount = shutil.which("mount"), shutil.which("umount")
    subprocess.run([mount, "-t", "tracefs", "tracefs", TRACEFS], check=True)
    yield TRACEFS
    subprocess.run([umount, TRACEFS], check=True)


@pytest.fixture(scope="module")
def compiled(srcdir, tmp_path_factory):
    clang = shutil.which("clang")
    if not clang:
        pytest.skip("no clang here")
    built = tmp_path_factory.mktemp("bpf") / "count.bpf.o"
    source = srcdir / "test" / "bpf" / "count.bpf.c"
    command = [clang, "-target", "bpf", "-g", "-O2", "-Wall", "-Werror", "-c"]
    command += [f"-DPIDS={PIDS.decode()}", f"-DALL={ALL.decode()}"]
    for include in Path("/usr/include").glob("*-linux-gnu"):
        command += ["-idirafter", include]
    subprocess.run([*command, source, "-o", built], check=True)
    return built


class Program:
    """The program and its maps, which are gone when this is closed."""

    def __init__(self, compiled):
        opened = libbpf.bpf_object__open_file(str(compiled).encode(), None)
        assert opened, os.strerror(ctypes.get_errno())
        self.object = ctypes.c_void_p(opened)
        self.link = None
        assert libbpf.bpf_object__load(self.object) == 0
        self.ids = [self.id_of(name) for name in (PIDS, ALL)]

    def id_of(self, name):
        fd = libbpf.bpf_object__find_map_fd_by_name(self.object, name)
        with open(f"/proc/self/fdinfo/{fd}") as f:
            return int(dict(line.split(":") for line in f)["map_id"])

    def attach(self):
        first = libbpf.bpf_object__next_program(self.object, None)
        link = libbpf.bpf_program__attach(ctypes.c_void_p(first))
        assert link, os.strerror(ctypes.get_errno())
        self.link = ctypes.c_void_p(link)

    def close(self):
        if self.link:
            libbpf.bpf_link__destroy(self.link)
        libbpf.bpf_object__close(self.object)

    def gone(self):
        """The kernel frees what has run at a tracepoint a little later."""
        fds = [libbpf.bpf_map_get_fd_by_id(id) for id in self.ids]
        for fd in fds:
            if fd >= 0:
                os.close(fd)
        return max(fds) < 0


@pytest.fixture
def counting(tracefs, compiled):
    """The program, loaded and attached while the test runs."""
    program = Program(compiled)
    program.attach()
    yield
    program.close()
    wait_until(program.gone, 10, "the program has gone")


def open_named(maps, name):
    map = maps.open(("name", name))
    assert map[0] == "ebpf_map", map
    return map


@pytest.fixture
def pids(maps, counting):
    """{pid of 4 bytes: calls of 8}"""
    map = open_named(maps, PIDS)
    yield map
    maps.close(map)


@pytest.fixture
def all(maps, counting):
    """[all calls], for each CPU."""
    map = open_named(maps, ALL)
    yield map
    maps.close(map)


@pytest.fixture
def busy():
    """The id of a process that makes the program count all the time."""
    process = spawn([sys.executable, "-c", BUSY], stdin=subprocess.DEVNULL)
    yield process.pid
    kill(process)


def test_the_maps_of_a_program_are_listed(maps, counting):
    found = {info["name"]: info for info in maps.list()}
    pids, all = (found[name] for name in (PIDS, ALL))
    shape = ("type", "key_size", "value_size", "max_entries")
    assert tuple(pids[key] for key in shape) == ("hash", 4, 8, 1024)
    assert tuple(all[key] for key in shape) == ("percpu_array", 4, 8, 1)
    assert isinstance(pids["btf"], int) and pids["btf"] > 0
    assert pids["handles"] == all["handles"] == []


def test_it_counts_exactly_and_what_it_has_counted_is_read(maps, pids):
    before = number(maps.get(os.getpid(), pids, bytes(8)))
    for _ in range(1000):
        os.getppid()
    assert number(maps.get(os.getpid(), pids)) == before + 1000


def test_a_map_is_read_while_the_program_counts(maps, pids, busy):
    seen = [0]

    def grown():
        count = number(maps.get(busy, pids, bytes(8)))
        assert count >= seen[-1]
        if count > seen[-1]:
            seen.append(count)
        return len(seen) > 50

    wait_until(grown, 10, "the count grows from call to call")


def test_a_map_is_walked_while_the_program_counts(maps, pids, busy):
    os.getppid()
    wait_until(lambda: maps.is_key(busy, pids) == "true")
    for walk in (
        maps.walk,
        maps.to_list,
        lambda map: maps.next_chunk("start", map, 1024)[0],
    ):
        before = number(maps.get(busy, pids))

        def counted_on():
            pairs = walk(pids)
            entries = dict(pairs)
            assert len(entries) == len(pairs)
            assert u32(os.getpid()) in entries
            return number(entries[u32(busy)]) > before

        wait_until(counted_on, 10, "a walk that shows more")


def test_the_program_goes_on_from_what_we_have_put(maps, pids):
    own = os.getpid()
    maps.put(own, 1_000_000, pids)
    for _ in range(5):
        os.getppid()
    assert number(maps.get(own, pids)) == 1_000_005
    assert number(maps.take(own, pids)[0]) == 1_000_005
    os.getppid()
    assert number(maps.get(own, pids)) == 1


def test_a_per_cpu_count_adds_up(maps, all, pids):
    for _ in range(500):
        os.getppid()
    counts = maps.get(0, all)
    assert len(counts) == CPUS
    assert sum(map(number, counts)) >= 500
    others = sum(number(value) for value in maps.values(pids))
    assert others <= sum(map(number, maps.get(0, all)))


def test_a_process_more_is_an_entry_more(maps, pids, busy):
    wait_until(lambda: maps.is_key(busy, pids) == "true")
    assert maps.size(pids) == len(maps.keys(pids)) >= 1
    with raises(("keyexists", busy)):
        maps.insert(busy, 0, pids)


def test_a_drain_takes_what_was_counted_and_counting_goes_on(maps, pids, busy):
    wait_until(lambda: maps.is_key(busy, pids) == "true")
    taken = dict(maps.drain(pids))
    assert number(taken[u32(busy)]) > 0
    wait_until(lambda: maps.is_key(busy, pids) == "true", what="it counts again")


def test_bpftool_and_we_read_the_same(maps, pids):
    bpftool = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not bpftool:
        pytest.skip("no bpftool here")
    os.getppid()
    command = [bpftool, "-j", "map", "lookup", "id", str(maps.info(pids)["id"])]
    key = [str(byte) for byte in u32(os.getpid())]
    done = subprocess.run(
        [*command, "key", *key], capture_output=True, text=True, check=True
    )
    shown = bytes(int(byte, 16) for byte in json.loads(done.stdout)["value"])
    assert shown == maps.get(os.getpid(), pids)


def test_our_handle_keeps_the_map_of_a_program_that_has_gone(maps, tracefs, compiled):
    program = Program(compiled)
    map = open_named(maps, PIDS)
    program.close()
    assert maps.put(1, 2, map) == map
    assert maps.to_list(map) == [(u32(1), (2).to_bytes(8, ORDER))]
    assert [i["handles"] for i in maps.list() if i["name"] == PIDS] == [[map]]
    maps.close(map)
    wait_until(program.gone, 10, "the maps have gone")
