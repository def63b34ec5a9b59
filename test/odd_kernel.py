# SPDX-License-Identifier: Apache-2.0
"""odd_kernel.c built, and told what is to be odd."""

import mmap
import shutil
import struct
import subprocess

FIELDS = ("places", "interrupted", "starved", "after", "threadless", "refused")


def build(srcdir, folder):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    built = folder / "odd_kernel.so"
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    source = srcdir / "test" / "odd_kernel.c"
    command = [compiler, *flags, "-shared", "-fPIC", source, "-o", built, "-ldl"]
    subprocess.run(command, check=True)
    return built


class OddKernel:
    """What is to be odd, by the fields of its struct control."""

    def __init__(self, library, path):
        path.write_bytes(bytes(8 * len(FIELDS)))
        with open(path, "r+b") as f:
            page = mmap.mmap(f.fileno(), 0)
        self.__dict__["page"] = page
        self.__dict__["env"] = {"LD_PRELOAD": str(library), "ODD_KERNEL": str(path)}

    def __getattr__(self, field):
        return struct.unpack_from("q", self.page, 8 * FIELDS.index(field))[0]

    def __setattr__(self, field, value):
        struct.pack_into("q", self.page, 8 * FIELDS.index(field), value)
