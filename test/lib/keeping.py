# SPDX-License-Identifier: Apache-2.0
"""C nodes that keep their handles over a restart, and the folder where they do."""

import mmap
import os
import re
import shutil
import signal
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import pytest

import odd_kernel
import preload
from others import check, libbpf, pin

FS = Path("/sys/fs/bpf")
MMAPABLE = 1 << 10


def create_options(inner=0, flags=0):
    """struct bpf_map_create_opts of libbpf 1.1"""
    return struct.pack("=Q6IQ2I", 48, 0, 0, 0, 0, inner, flags, 0, 0, 0)


class Records:
    """The entries of a folder's first array, as its file format has them.

    An entry is a head, the next entry of its record, the size of the record, its
    CRC-32, and 112 bytes of it, all in this machine's byte order.
    """

    SIZE, ENTRIES, HEAD, BYTES = 128, 8192, 0x6B657074, 112
    NODE, HANDLE, HOLDING, CHARGE, PART = 1, 2, 3, 4, 5

    def __init__(self, folder, number=0):
        fd = check(libbpf.bpf_obj_get(os.fsencode(folder / f"records{number}")))
        self.page = mmap.mmap(fd, self.SIZE * self.ENTRIES)
        with open(f"/proc/self/fdinfo/{fd}") as f:
            self.id = int(re.search(r"map_id:\s+(\d+)", f.read())[1])
        os.close(fd)

    @classmethod
    def make(cls, folder, version=1):
        """An empty array, as a node makes its first one."""
        options = create_options(flags=MMAPABLE)
        fd = check(libbpf.bpf_map_create(2, b"records", 4, cls.SIZE, cls.ENTRIES, options))
        pin(fd, folder / "records0")
        os.close(fd)
        records = cls(folder)
        records.write_version(version)
        return records

    def write_version(self, version):
        text = b"ebpf_cnode\n\0" + struct.pack("=I", version)
        self.page[16 : 16 + 20] = text + struct.pack("=I", zlib.crc32(text))

    def heads(self, type=None):
        """The indexes of entries where a record of that type begins."""
        return [
            i
            for i in range(1, self.ENTRIES)
            if struct.unpack_from("=I", self.page, i * self.SIZE)[0] == self.HEAD
            and type in (None, self.page[i * self.SIZE + 16])
        ]

    def read(self, index):
        _, following, size, _ = struct.unpack_from("=4I", self.page, index * self.SIZE)
        data = b""
        while len(data) < size:
            start = index * self.SIZE + 16
            data += self.page[start : start + self.BYTES]
            index, following = following, struct.unpack_from("=4I", self.page, following * self.SIZE)[1]
        return data[:size]

    def write(self, index, data):
        """A whole record into entries from index on; gives the next free one."""
        parts = [data[i : i + self.BYTES] for i in range(0, len(data), self.BYTES)]
        sum = zlib.crc32(struct.pack("=I", len(data)) + data)
        for n, part in enumerate(parts):
            following = index + n + 1 if n + 1 < len(parts) else 0
            head = (self.HEAD, following, len(data), sum) if n == 0 else (0, following, 0, 0)
            start = (index + n) * self.SIZE
            self.page[start : start + self.SIZE] = struct.pack("=4I", *head) + part.ljust(
                self.BYTES, b"\0"
            )
        return index + len(parts)

    def of(self, map):
        """The record of a handle."""
        bits = map[1].raw[-8:]
        random = struct.pack("=2I", *struct.unpack(">2I", bits))
        (found,) = [i for i in self.heads(self.HANDLE) if self.read(i)[8:16] == random]
        return found


class Kept:
    """A C node with --keep, which is started anew under the same name."""

    def __init__(self, start_cnode, folder, beam):
        self.start_cnode = start_cnode
        self.folder = folder
        self.beam = beam
        self.sname = start_cnode.cluster.name("kept")
        self.options = ()
        self.node = None

    def start(self, *options, **others):
        """Options are those of the starts that follow, too."""
        self.options = options or self.options
        others.setdefault("sname", self.sname)
        self.node = self.start_cnode("--keep", self.folder, *self.options, **others)
        return self

    def end(self, how=signal.SIGKILL):
        """By a signal, and all the same whether it may end as it likes."""
        if how == signal.SIGKILL:
            self.node.kill()
        else:
            self.node.stop(how)

    def again(self, how=signal.SIGKILL, *options, **others):
        self.end(how)
        return self.start(*options, **others)

    @property
    def name(self):
        return self.node.name

    @property
    def programs(self):
        from program_fixtures import Programs  # a plugin as this is

        return Programs(self.beam, self.node)

    def call(self, function, *args, beam=None, **options):
        return (beam or self.beam).erpc(self.name, function, *args, **options)

    def __getattr__(self, function):
        return lambda *args, **options: self.call(function, *args, **options)

    def pins(self):
        """The names of what is pinned for handles."""
        return sorted(name for name in os.listdir(self.folder) if name.startswith("h"))

    def handles(self, beam=None):
        return self.call("handles", beam=beam)


@pytest.fixture(scope="session")
def odd_library(tmp_path_factory):
    return preload.build("odd_kernel", tmp_path_factory.mktemp("preload"))


@pytest.fixture
def odd(odd_library, tmp_path, cluster):
    """A kernel that refuses pins, for a node that has its environment."""
    odd = odd_kernel.OddKernel(odd_library, tmp_path / "odd")
    odd.__dict__["environment"] = {**cluster.env, **odd.env}
    return odd


@pytest.fixture
def kept_folder(tmp_path):
    folder = FS / f"kept_{tmp_path.name}_{os.getpid()}".replace(".", "_")
    yield folder
    while folder.exists():  # a node that ends may remove pins meanwhile
        with suppress(FileNotFoundError):
            shutil.rmtree(folder)


@pytest.fixture
def kept(start_cnode, kept_folder, alice):
    """Not started yet."""
    return Kept(start_cnode, kept_folder, alice)
