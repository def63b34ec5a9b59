# SPDX-License-Identifier: Apache-2.0
"""Types that the kernel takes, and that no walk through all they contain comes to an
end of."""

import ctypes
import os
import struct

from bpf_objects import HASH, libbpf

for name in ("btf__new_empty",):
    getattr(libbpf, name).restype = ctypes.c_void_p


class Types:
    """BTF in the making."""

    def __init__(self):
        self.btf = ctypes.c_void_p(libbpf.btf__new_empty())
        self.u32 = self.add("int", b"u32", ctypes.c_size_t(4), 0)
        self.fd = -1

    def add(self, kind, *args):
        id = getattr(libbpf, f"btf__add_{kind}")(self.btf, *args)
        assert id > 0, (kind, args, id)
        return id

    def structure(self, name, size, *members):
        """Of (name, type, offset in bits)."""
        id = self.add("struct", name, ctypes.c_uint32(size))
        for member, type, offset in members:
            done = libbpf.btf__add_field(
                self.btf, member, type, ctypes.c_uint32(offset), ctypes.c_uint32(0)
            )
            assert done == 0, os.strerror(-done)
        return id

    def array(self, of, count):
        return self.add("array", self.u32, of, ctypes.c_uint32(count))

    def load(self):
        done = libbpf.btf__load_into_kernel(self.btf)
        assert done == 0, os.strerror(-done)
        self.fd = libbpf.btf__fd(self.btf)

    def map(self, value, value_size):
        """A descriptor of a hash with keys of 4 bytes."""
        options = struct.pack(
            "=Q6IQ2I", 48, self.fd, self.u32, value, 0, 0, 0, 0, 0, 0
        )
        fd = libbpf.bpf_map_create(HASH, b"typed", 4, value_size, 4, options)
        assert fd >= 0, os.strerror(-fd)
        return fd

    def close(self):
        libbpf.btf__free(self.btf)


def of_two_each(types):
    """40 structures, each of two of the one before: 2^39 of the first."""
    of = types.structure(b"s0", 0)
    for n in range(1, 40):
        of = types.structure(b"s%d" % n, 0, (b"a", of, 0), (b"b", of, 0))
    return types.structure(b"top", 4, (b"n", types.u32, 0), (b"s", of, 32)), 4


def of_one_in_another(types):
    """39 levels."""
    of = types.u32
    for n in range(39):
        of = types.structure(b"s%d" % n, 4, (b"inner", of, 0))
    return of, 4


def of_long_names(types):
    """400 members, each with a name of 510 bytes."""
    members = [(b"m%0509d" % n, types.u32, 32 * n) for n in range(400)]
    return types.structure(b"top", 1600, *members), 1600


def of_many_members(types):
    members = [(b"m%d" % n, types.u32, 32 * n) for n in range(5000)]
    return types.structure(b"top", 20_000, *members), 20_000


def of_wide_levels(types):
    """30 structures of 30 members each, three levels."""
    of, size = types.u32, 4
    for level in range(3):
        members = [(b"m%d" % n, of, 8 * size * n) for n in range(30)]
        size *= 30
        of = types.structure(b"s%d" % level, size, *members)
    return of, size


BOMBS = [of_two_each, of_one_in_another, of_long_names, of_many_members, of_wide_levels]
