# SPDX-License-Identifier: Apache-2.0
"""Memory that fails when a test says so, by failing_malloc.c."""

import mmap
import struct

FIELDS = ("armed", "left", "streak", "failed", "live")


class Allocator:
    """The file that tells failing_malloc.c when to fail."""

    def __init__(self, library, path):
        path.write_bytes(bytes(8 * len(FIELDS)))
        with open(path, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 0)
        self.env = {"LD_PRELOAD": str(library), "FAILING_MALLOC": str(path)}

    def get(self, field):
        return struct.unpack_from("q", self.page, 8 * FIELDS.index(field))[0]

    def set(self, field, value):
        struct.pack_into("q", self.page, 8 * FIELDS.index(field), value)

    def arm(self, n, streak=1):
        for field, value in zip(FIELDS[1:4], (n, streak, 0)):
            self.set(field, value)
        self.set("armed", 1)

    def disarm(self):
        """How many allocations have failed."""
        self.set("armed", 0)
        return self.get("failed")
