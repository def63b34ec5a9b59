# SPDX-License-Identifier: Apache-2.0
"""What others make and pin: maps, programs and links, by libbpf. A function that
makes one gives a descriptor."""

import ctypes
import os
import struct

HASH, SOCKET_FILTER, RAW_TRACEPOINT = 1, 1, 17
libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)


def check(result):
    assert result >= 0, os.strerror(-result)
    return result


def others_map():
    return check(libbpf.bpf_map_create(HASH, b"others", 4, 8, 4, None))


def others_program(type=SOCKET_FILTER):
    """One that does nothing: r0 = 0, exit."""
    code = struct.pack("<BBhiBBhi", 0xB7, 0, 0, 0, 0x95, 0, 0, 0)
    size = ctypes.c_size_t(2)
    return check(libbpf.bpf_prog_load(type, b"others", b"GPL", code, size, None))


def others_link():
    """Of a program at a tracepoint that nothing passes."""
    fd = others_program(RAW_TRACEPOINT)
    try:
        return check(libbpf.bpf_raw_tracepoint_open(b"xdp_exception", fd))
    finally:
        os.close(fd)


def pin(fd, *paths):
    for path in paths:
        check(libbpf.bpf_obj_pin(fd, os.fsencode(path)))


def pinned(make, *paths):
    """Held by nobody else."""
    fd = make()
    pin(fd, *paths)
    os.close(fd)
