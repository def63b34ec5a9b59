# SPDX-License-Identifier: Apache-2.0
"""Objects of eBPF programs, compiled where they are tried; and what the kernel has
of them, by descriptors."""

import ctypes
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

libbpf = ctypes.CDLL("libbpf.so.1", use_errno=True)
# enum bpf_map_type
HASH, ARRAY = 1, 2


def compiled(source, folder, *defines):
    """The path of the object that a C file makes."""
    clang = shutil.which("clang")
    if not clang:
        pytest.skip("no clang here")
    built = folder / f"{source.stem}.o"
    command = [clang, "-target", "bpf", "-g", "-O2", "-Wall", "-Werror", "-c", *defines]
    for include in Path("/usr/include").glob("*-linux-gnu"):
        command += ["-idirafter", include]
    subprocess.run([*command, source, "-o", built], check=True)
    return built


def make_map(kind, key, value, entries, flags=0):
    """A descriptor."""
    options = struct.pack("=Q6IQ2I", 48, 0, 0, 0, 0, 0, flags, 0, 0, 0)
    fd = libbpf.bpf_map_create(kind, b"made", key, value, entries, options)
    assert fd >= 0, os.strerror(-fd)
    return fd


def look_up(fd, key, size):
    """The value, None if there is none."""
    value = ctypes.create_string_buffer(size)
    return value.raw if libbpf.bpf_map_lookup_elem(fd, key, value) == 0 else None


def put(fd, key, value):
    assert libbpf.bpf_map_update_elem(fd, key, value, ctypes.c_uint64(0)) == 0


def info(fd, size=256):
    """struct bpf_map_info, or bpf_prog_info, as bytes."""
    room = ctypes.create_string_buffer(size)
    length = ctypes.c_uint32(size)
    assert libbpf.bpf_obj_get_info_by_fd(fd, room, ctypes.byref(length)) == 0
    return room.raw


def map_shape(fd):
    """(type, key_size, value_size, max_entries)"""
    return tuple(int.from_bytes(info(fd)[i : i + 4], "little") for i in (0, 8, 12, 16))
