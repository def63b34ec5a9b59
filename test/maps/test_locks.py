# SPDX-License-Identifier: Apache-2.0
"""Values that have a bpf_spin_lock, read and written while a program writes under
it: test/bpf/locked.bpf.c, run over and over. All words of a value are the same
number; what has several was torn."""

import ctypes
import os
import secrets
import shutil
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from cluster import wait_until
from counting import Trace

WORDS = 256
NAMES = ("HASH", "ARRAY", "TORN")
# Other tests on this host may be these very ones.
CALLED = {name: f"{name.lower()}_{secrets.token_hex(4)}" for name in NAMES}
ROUNDS = 150

libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
for function, result in (
    ("bpf_object__open_file", ctypes.c_void_p),
    ("bpf_object__next_program", ctypes.c_void_p),
):
    getattr(libbpf, function).restype = result


class RunOptions(ctypes.Structure):
    """struct bpf_test_run_opts"""

    _fields_ = [
        ("sz", ctypes.c_size_t),
        ("data_in", ctypes.c_char_p),
        ("data_out", ctypes.c_void_p),
        ("data_size_in", ctypes.c_uint32),
        ("data_size_out", ctypes.c_uint32),
        ("ctx_in", ctypes.c_void_p),
        ("ctx_out", ctypes.c_void_p),
        ("ctx_size_in", ctypes.c_uint32),
        ("ctx_size_out", ctypes.c_uint32),
        ("retval", ctypes.c_uint32),
        ("repeat", ctypes.c_int),
        ("duration", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("cpu", ctypes.c_uint32),
        ("batch_size", ctypes.c_uint32),
    ]


class Program:
    """The program, which runs until it is closed."""

    def __init__(self, compiled):
        opened = libbpf.bpf_object__open_file(str(compiled).encode(), None)
        assert opened, os.strerror(ctypes.get_errno())
        self.object = ctypes.c_void_p(opened)
        assert libbpf.bpf_object__load(self.object) == 0
        first = libbpf.bpf_object__next_program(self.object, None)
        self.fd = libbpf.bpf_program__fd(ctypes.c_void_p(first))
        self.over = threading.Event()
        self.run(1)
        self.thread = threading.Thread(target=self.run_on)
        self.thread.start()

    def run(self, times):
        options = RunOptions(data_in=bytes(64), data_size_in=64, repeat=times)
        options.sz = ctypes.sizeof(options)
        error = libbpf.bpf_prog_test_run_opts(self.fd, ctypes.byref(options))
        assert error == 0, os.strerror(-error)

    def run_on(self):
        while not self.over.is_set():
            self.run(2000)

    def close(self):
        self.over.set()
        self.thread.join()
        libbpf.bpf_object__close(self.object)


@pytest.fixture(scope="module")
def compiled(srcdir, tmp_path_factory):
    clang = shutil.which("clang")
    if not clang:
        pytest.skip("no clang here")
    built = tmp_path_factory.mktemp("bpf") / "locked.bpf.o"
    source = srcdir / "test" / "bpf" / "locked.bpf.c"
    command = [clang, "-target", "bpf", "-g", "-O2", "-Wall", "-Werror", "-c"]
    command += [f"-D{name}={called}" for name, called in CALLED.items()]
    for include in Path("/usr/include").glob("*-linux-gnu"):
        command += ["-idirafter", include]
    subprocess.run([*command, source, "-o", built], check=True)
    return built


@pytest.fixture(scope="module")
def writing(compiled):
    """The program, at work."""
    program = Program(compiled)
    yield program
    program.close()


def opened(maps, name, *options):
    map = maps.open(("name", CALLED[name].encode()), list(options))
    assert map[0] == "ebpf_map", map
    maps.made.append(map)
    return map


@pytest.fixture(params=["HASH", "ARRAY"], ids=["hash", "array"])
def locked(request, maps, writing):
    return opened(maps, request.param)


@pytest.fixture
def locked_hash(maps, writing):
    return opened(maps, "HASH")


def whole(data):
    """Not torn; and the lock is no part of what is read."""
    lock, *words = struct.unpack(f"=Q{WORDS}Q", data)
    return lock == 0 and len(set(words)) == 1


def value(number):
    return struct.pack(f"=Q{WORDS}Q", 0, *[number] * WORDS)


def values_of(pairs):
    return [value for _, value in pairs]


READS = {
    "get": lambda maps, map: [maps.get(0, map, value(0))],
    "find": lambda maps, map: [maps.find(0, map)[1]],
    "with": lambda maps, map: list(maps.call("with", [0], map).values()),
    "values": lambda maps, map: maps.values(map),
    "to_list": lambda maps, map: values_of(maps.to_list(map)),
    "next": lambda maps, map: [maps.next(maps.iterator(map))[1]],
    "next_chunk": lambda maps, map: values_of(maps.next_chunk("start", map, 9)[0]),
}


@pytest.mark.parametrize("name", READS)
def test_a_value_is_read_whole(name, maps, locked):
    seen = []

    def read():
        for _ in range(ROUNDS):
            seen.extend(READS[name](maps, locked))
        return len(set(seen)) > 1

    # on a busy machine the program may not have run meanwhile
    wait_until(read, what="the program is at work")
    assert all(map(whole, seen))


TAKES = {
    "take": lambda maps, map: [maps.take(0, map)],
    "drain": lambda maps, map: maps.drain(map),
    "drain_chunk": lambda maps, map: maps.drain_chunk("start", map, 9)[0],
}


@pytest.mark.parametrize("name", TAKES)
def test_a_value_is_taken_whole(name, maps, locked_hash):
    """The program puts a new one when it finds none."""
    seen = []
    while len(seen) < ROUNDS:
        for taken in TAKES[name](maps, locked_hash):
            if taken != "error":
                seen.append(taken[0] if name == "take" else taken[1])
    assert all(map(whole, seen))


WRITES = {
    "put": lambda maps, map, new: maps.put(0, new, map),
    "update": lambda maps, map, new: maps.update(0, new, map),
    "merge": lambda maps, map, new: maps.merge(map, [(0, new)]),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_value_is_written_whole(name, maps, locked):
    torn = opened(maps, "TORN")
    before = maps.get(0, torn)
    for number in range(ROUNDS):
        WRITES[name](maps, locked, value(number << 32))
    assert maps.get(0, torn) == before


def test_a_value_is_inserted_whole(maps, locked_hash):
    torn = opened(maps, "TORN")
    before = maps.get(0, torn)
    for number in range(1, ROUNDS):
        maps.insert(1, value(number), locked_hash)
        assert maps.take(1, locked_hash) == (value(number), locked_hash)
    assert maps.get(0, torn) == before


@pytest.mark.parametrize("options", [["write"], ["read"]], ids=["write", "read"])
def test_one_right_alone_is_enough_to_find_the_lock(options, maps, writing):
    map, torn = opened(maps, "ARRAY", *options), opened(maps, "TORN")
    before = maps.get(0, torn)
    for number in range(ROUNDS):
        if options == ["read"]:
            assert whole(maps.get(0, map))
        else:
            maps.put(0, value(number << 32), map)
    assert maps.get(0, torn) == before


@pytest.mark.counts
def test_the_lock_is_looked_for_once_and_not_in_what_is_made_here(
    fresh_cnode, alice, maps, writing, tmp_path
):
    call = lambda *args: alice.erpc(fresh_cnode.name, *args)
    id = maps.info(opened(maps, "ARRAY"))["id"]
    with Trace(fresh_cnode, tmp_path / "trace") as trace:
        made = call("new", "hash", 4, 8, 4)
        call("put", 1, 1, made)
        call("get", 1, made)
        map = call("open", ("id", id))
        for _ in range(10):
            call("get", 0, map)
    looked = [line for line in trace.text.splitlines() if "BPF_F_LOCK" in line]
    lookups = trace.text.count("BPF_MAP_LOOKUP_ELEM")
    assert len(looked) == 11  # and each get, which takes no call more
    assert lookups == 12
