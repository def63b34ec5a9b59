# SPDX-License-Identifier: Apache-2.0
"""Objects of eBPF programs that packages of Debian bring: of libxdp1 as files, of
libbpf-tools within its programs, whose skeletons hold them as constants."""

import struct
import subprocess
from pathlib import Path

EM_BPF = 247
HEAD = struct.Struct("<16sHHIQQQIHHHHHH")  # Elf64_Ehdr
SECTION = struct.Struct("<IIQQQQIIQQ")  # Elf64_Shdr
MAGIC = b"\x7fELF\x02\x01\x01"
SHT_NOBITS = 8


def size_of(data, at):
    """Bytes of the object of eBPF that begins there; 0: none does."""
    if len(data) - at < HEAD.size:
        return 0
    _, _, machine, _, _, _, table, _, _, _, _, size, count, _ = HEAD.unpack_from(data, at)
    end = table + size * count
    if machine != EM_BPF or size != SECTION.size or at + end > len(data):
        return 0
    for i in range(count):
        _, kind, _, _, offset, length, *_ = SECTION.unpack_from(data, at + table + i * size)
        if kind != SHT_NOBITS:
            end = max(end, offset + length)
    return end if at + end <= len(data) else 0


def embedded(data):
    """The objects within an executable, in their order."""
    found, at = [], data.find(MAGIC, 1)
    while at >= 0:
        size = size_of(data, at)
        if size:
            found.append(data[at : at + size])
        at = data.find(MAGIC, at + max(size, 1))
    return found


def files_of(package):
    listed = subprocess.run(
        ["dpkg-query", "-L", package], check=True, capture_output=True, text=True
    )
    return [path for path in map(Path, listed.stdout.split("\n")) if path.is_file()]


def of_tools():
    """{tool: object} of libbpf-tools; some bear several names."""
    tools = sorted({path.resolve() for path in files_of("libbpf-tools") if "bin" in path.parent.name})
    found = {}
    for tool in tools:
        for object in embedded(tool.read_bytes()):
            name = tool.name.removesuffix("-bpfcc")
            assert name not in found
            found[name] = object
    return found


def of_libxdp():
    """{file: object} of libxdp1."""
    paths = [path for path in files_of("libxdp1") if path.parent.name == "bpf"]
    return {path.stem: path.read_bytes() for path in sorted(paths)}
