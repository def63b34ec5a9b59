# SPDX-License-Identifier: Apache-2.0
"""Seeds for fuzz_types: layouts of each kind with bytes of a value, and BTF."""

import struct
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "lib"))

from etf import body  # noqa: E402

SCALARS = """u8 u16 u32 u64 u128 s8 s16 s32 s64 s128 be16 be32 be64 bool f32 f64 ptr
""".split()
COLOURS = ("enum", 4, [(b"red", 0), (b"green", 1), (b"rouge", 0), ("blue", 2**31)])
STATES = ("enum", 8, [(b"down", -1), (b"up", 1), (b"lowest", -(2**63))])
BITS = [(b"a", 0, 3, "u32"), (b"b", 3, 30, "s64"), (b"c", 33, 1, "bool"), (b"d", 34, 62, "u64")]
INNER = ("struct", 4, [(b"x", 0, "u16"), (b"y", 16, "s16")])
EITHER = ("union", 8, [(b"word", 0, "u64"), (b"", 0, INNER), (b"pair", 0, ("array", 2, "u32"))])

LAYOUTS = [
    *SCALARS,
    ("char", 16),
    ("bytes", 6),
    ("array", 3, "be16"),
    COLOURS,
    STATES,
    ("struct", 12, BITS),
    ("struct", 5, [([108, 111], 0, "u8"), ("at", 8, "u32")]),
    ("struct", 24, [(b"lock", 0, "hidden"), (b"e", 64, EITHER), (b"name", 128, ("char", 8))]),
    ("struct", 24, [(b"n", 0, "f32"), (b"", 64, EITHER), (b"state", 128, STATES)]),
    ("struct", 30, [(b"n", 0, "u32"), (b"all", 32, ("array", 0, INNER))]),
    ("struct", 8, [(b"late", 32, "u32"), (b"early", 0, COLOURS)]),
    ("array", 2, ("struct", 9, [(b"i", 0, "u8"), (b"f", 8, "f64"), (b"none", 72, ("struct", 0, []))])),
    ("struct", 300, [(b"m%d" % i, 8 * i, "u8") for i in range(300)]),
    EITHER,
]
VALUES = [
    bytes(48),
    bytes(range(200, 248)),
    struct.pack("=d", float("nan")) * 6,
    b"text\0and more of it, behind its end".ljust(48, b"\xff"),
]


class Btf:
    """Types one after the other; add() returns the id of one."""

    INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF = range(1, 9)
    VOLATILE, CONST, RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT = range(9, 17)
    DECL_TAG, TYPE_TAG, ENUM64 = range(17, 20)
    FLAG = 1 << 31

    def __init__(self):
        self.types, self.strings, self.count = b"", b"\0", 0

    def name(self, text):
        if not text:
            return 0
        self.strings += text + b"\0"
        return len(self.strings) - len(text) - 1

    def add(self, kind, name=b"", size=0, rest=b"", count=0, flag=0):
        info = kind << 24 | count | flag
        self.types += struct.pack("=III", self.name(name), info, size) + rest
        self.count += 1
        return self.count

    def number(self, name, size, encoding=0):
        return self.add(self.INT, name, size, struct.pack("=I", encoding << 24 | 8 * size))

    def array(self, of, count):
        return self.add(self.ARRAY, rest=struct.pack("=III", of, 1, count))

    def composite(self, kind, size, *members, flag=0):
        rows = [struct.pack("=III", self.name(name), of, at) for name, of, at in members]
        return self.add(kind, b"s", size, b"".join(rows), len(rows), flag)

    def data(self):
        head = struct.pack("=HBBI", 0xEB9F, 1, 0, 24)
        sizes = (0, len(self.types), len(self.types), len(self.strings))
        return head + struct.pack("=IIII", *sizes) + self.types + self.strings


def small_btf(build):
    btf = Btf()
    btf.number(b"unsigned int", 4)
    build(btf)
    return btf.data()


def of_numbers(btf):
    char, wide = btf.number(b"char", 1, 1), btf.number(b"long", 8, 1)
    swapped = btf.add(Btf.TYPEDEF, b"__be32", 1)
    yes = btf.number(b"_Bool", 1, 4)
    rows = (b"c", btf.array(char, 8), 0), (b"l", wide, 64), (b"b", swapped, 128), (b"t", yes, 160)
    btf.composite(Btf.STRUCT, 24, *rows)


def of_kernel_things(btf):
    lock = btf.add(Btf.STRUCT, b"bpf_spin_lock", 4, struct.pack("=III", 0, 1, 0), 1)
    tag = btf.add(Btf.TYPE_TAG, b"kptr", 1)
    kept, pointer = btf.add(Btf.PTR, size=tag), btf.add(Btf.PTR, size=0)
    btf.composite(Btf.STRUCT, 24, (b"lock", lock, 0), (b"kept", kept, 64), (b"to", pointer, 128))


def of_bits(btf):
    rows = (b"a", 1, 3 << 24), (b"b", 1, 29 << 24 | 3), (b"c", 1, 32)
    btf.composite(Btf.STRUCT, 8, *rows, flag=Btf.FLAG)


def of_enums(btf):
    rest = struct.pack("=IiIi", btf.name(b"one"), 1, btf.name(b"minus"), -1)
    few = btf.add(Btf.ENUM, b"e", 4, rest, 2, Btf.FLAG)
    most = btf.add(Btf.ENUM64, b"w", 8, struct.pack("=III", btf.name(b"most"), 1, 2**31), 1)
    btf.composite(Btf.UNION, 8, (b"few", few, 0), (b"most", most, 0))


def of_sections(btf):
    real = btf.add(Btf.FLOAT, b"float", 4)
    variables = [btf.add(Btf.VAR, n, t, struct.pack("=I", 1)) for n, t in ((b"a", 1), (b"f", real))]
    rest = b"".join(struct.pack("=III", v, 4 * i, 4) for i, v in enumerate(variables))
    btf.add(Btf.DATASEC, b".data", 8, rest, 2)


def of_circles(btf):
    btf.add(Btf.TYPEDEF, b"a", btf.count + 2)
    btf.add(Btf.CONST, size=btf.count)
    btf.composite(Btf.STRUCT, 4, (b"", btf.count + 1, 0))


def of_many(btf):
    inner = 1
    for _ in range(12):
        inner = btf.array(inner, 3)
    btf.composite(Btf.STRUCT, 4, (b"n", 1, 0), (b"rest", btf.array(1, 0), 32))


BUILDERS = [of_numbers, of_kernel_things, of_bits, of_enums, of_sections, of_circles, of_many]


FOUND = [
    # a float of no size, in a section
    "0100969feb0100180000000000000060000000600000001e000000010000000000000104000000200000"
    "000e0000040000001000000000140000000000000e0100000001000000160000000000000e0200000001"
    "000000180000000200000f0800000003000000040000000400000004000000040000000400000000756e"
    "7369676e656420696e7400666c6f617400610066002e6461746100c8c9cacbcccdcecfd0d1d2d3e7e8e9"
    "eaebecedeeeff0f1f2f3f4f5f6f7",
]


def types():
    """What fuzz_types.c reads, and what it has found."""
    for text in FOUND:
        yield bytes.fromhex(text)
    for layout in LAYOUTS:
        for value in VALUES:
            yield b"\0" + body(layout) + value
    for build in BUILDERS:
        data = small_btf(build)
        for value in VALUES[:2]:
            yield b"\1" + struct.pack(">H", len(data)) + data + value
