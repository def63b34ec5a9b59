# SPDX-License-Identifier: Apache-2.0
"""What odd_kernel.c, put before libc, is told to do."""

import mmap
import struct

FIELDS = (
    *("places", "interrupted", "starved", "after", "threadless", "refused", "takes"),
    *("unread", "held", "waiting", "linkless", "unpinnable", "unopened"),
)
NO_TCX, NO_SOCKMAP_LINKS, NO_SOCKMAP_QUERY = 1, 2, 4


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
