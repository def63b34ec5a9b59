# SPDX-License-Identifier: Apache-2.0
"""Objects of eBPF programs that are not quite right: a few bytes of what libbpf
reads are others, in headers, tables, types, and instructions."""

import struct

from debian_objects import HEAD, SECTION, SHT_NOBITS

WORDS = [0, 1, 2, 7, 8, 255, 256, 4096, 65535, 65536, 2**24, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1]
READ = [b".BTF", b".BTF.ext", b".symtab", b".strtab", b".maps", b"license", b".rodata", b".data"]


class Seed:
    """An object, and where in it which bytes are read."""

    def __init__(self, data):
        self.data = data
        head = HEAD.unpack_from(data)
        table, size, count, names = head[6], head[11], head[12], head[13]
        rows = [SECTION.unpack_from(data, table + i * size) for i in range(count)]
        strings = rows[names][4]
        self.places = [(0, HEAD.size), (table, size * count)]
        for name, kind, _, _, offset, length, *_ in rows:
            end = data.index(b"\0", strings + name)
            word = data[strings + name : end]
            of_code = word.startswith(b".rel") or kind == 1 and not word.startswith(b".debug")
            if length and kind != SHT_NOBITS and (word in READ or of_code):
                self.places.append((offset, length))

    def mutant(self, randomness):
        """With 1 to 6 changes, now and then cut off."""
        data = bytearray(self.data)
        for _ in range(randomness.randint(1, 6)):
            offset, length = randomness.choice(self.places)
            change(data, offset + randomness.randrange(length), randomness)
        if randomness.random() < 0.02:
            del data[randomness.randrange(len(data)) :]
        return bytes(data)


def change(data, at, randomness):
    match randomness.randrange(4):
        case 0:
            data[at] ^= 1 << randomness.randrange(8)
        case 1:
            data[at] = randomness.randrange(256)
        case _:
            at &= ~3
            if at + 4 <= len(data):
                old = struct.unpack_from("<I", data, at)[0]
                near = (old + randomness.randint(-9, 9)) % 2**32
                word = randomness.choice([*WORDS, near, near, near])
                struct.pack_into("<I", data, at, word)
