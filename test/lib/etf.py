# SPDX-License-Identifier: Apache-2.0
"""The external term format, as far as the tests need it.

    Erlang          Python
    atom            Atom, a str; any str is encoded as an atom, True and False too
    binary          bytes
    integer, float  int, float
    tuple, list     tuple, list; a list with a tail is Improper(items, tail)
    map             dict (keys must be hashable: lists are not)
    pid, reference, port, fun, bitstring
                    Opaque: its bytes, to be sent back and compared
"""

import struct
from dataclasses import dataclass

VERSION = 131


class Atom(str):
    def __repr__(self):
        return f"Atom({str(self)!r})"


@dataclass(frozen=True)
class Opaque:
    kind: str
    raw: bytes
    node: str = ""

    def __repr__(self):
        return f"<{self.kind} of {self.node}: {self.raw.hex()}>"


@dataclass(frozen=True)
class Improper:
    items: tuple
    tail: object


def pid(node, id, serial=0, creation=1):
    raw = b"\x58" + atom(node) + struct.pack(">III", id, serial, creation)
    return Opaque("pid", raw, node)


def ref(node, words, creation=1):
    raw = struct.pack(">BH", 90, len(words)) + atom(node)
    raw += struct.pack(f">I{len(words)}I", creation, *words)
    return Opaque("reference", raw, node)


def encode(term):
    """The term with its version byte, as term_to_binary/1 gives it."""
    return bytes([VERSION]) + body(term)


def atom(name):
    text = name.encode()
    if len(text) < 256:
        return bytes([119, len(text)]) + text
    return struct.pack(">BH", 118, len(text)) + text


def body(term):
    if isinstance(term, Opaque):
        return term.raw
    if isinstance(term, bool):
        return atom("true" if term else "false")
    if isinstance(term, str):
        return atom(term)
    if isinstance(term, int):
        return _integer(term)
    if isinstance(term, float):
        return b"F" + struct.pack(">d", term)
    if isinstance(term, (bytes, bytearray)):
        return b"m" + struct.pack(">I", len(term)) + bytes(term)
    if isinstance(term, tuple):
        if len(term) < 256:
            head = bytes([104, len(term)])
        else:
            head = struct.pack(">BI", 105, len(term))
        return head + b"".join(map(body, term))
    if isinstance(term, list):
        return _list(term, b"j") if term else b"j"
    if isinstance(term, Improper):
        return _list(term.items, body(term.tail))
    if isinstance(term, dict):
        pairs = b"".join(body(k) + body(v) for k, v in term.items())
        return b"t" + struct.pack(">I", len(term)) + pairs
    raise TypeError(f"no Erlang term: {term!r}")


def _list(items, tail):
    head = b"l" + struct.pack(">I", len(items))
    return head + b"".join(map(body, items)) + tail


def _integer(value):
    if 0 <= value < 256:
        return bytes([97, value])
    if -(2**31) <= value < 2**31:
        return b"b" + struct.pack(">i", value)
    size = (abs(value).bit_length() + 7) // 8
    digits = bytes([value < 0]) + abs(value).to_bytes(size, "little")
    if size < 256:
        return bytes([110, size]) + digits
    return struct.pack(">BI", 111, size) + digits


def decode(data):
    """The one term that fills data."""
    term, rest = decode_prefix(data)
    if rest:
        raise ValueError(f"{len(rest)} bytes after the term")
    return term


def decode_prefix(data):
    """The first term in data, and the bytes after it."""
    if data[0] != VERSION:
        raise ValueError(f"version {data[0]}")
    reader = _Reader(data, 1)
    return reader.term(), data[reader.at :]


class _Reader:
    def __init__(self, data, at):
        self.data = data
        self.at = at

    def take(self, size):
        if self.at + size > len(self.data):
            raise ValueError("truncated term")
        self.at += size
        return self.data[self.at - size : self.at]

    def unpack(self, form):
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def number(self, form):
        return self.unpack(form)[0]

    def terms(self, count):
        return [self.term() for _ in range(count)]

    def term(self):
        tag = self.number("B")
        try:
            read = self.TAGS[tag]
        except KeyError:
            raise ValueError(f"unknown tag {tag}") from None
        return read(self, tag)

    def small_integer(self, tag):
        return self.number("B")

    def integer(self, tag):
        return self.number(">i")

    def big(self, tag):
        size = self.number("B" if tag == 110 else ">I")
        negative = self.number("B")
        value = int.from_bytes(self.take(size), "little")
        return -value if negative else value

    def float(self, tag):
        return self.number(">d")

    def atom(self, tag):
        size = self.number("B" if tag in (115, 119) else ">H")
        coding = "latin-1" if tag in (100, 115) else "utf-8"
        return Atom(self.take(size).decode(coding))

    def tuple(self, tag):
        return tuple(self.terms(self.number("B" if tag == 104 else ">I")))

    def nil(self, tag):
        return []

    def string(self, tag):
        return list(self.take(self.number(">H")))

    def list(self, tag):
        items = self.terms(self.number(">I"))
        tail = self.term()
        return items if tail == [] else Improper(tuple(items), tail)

    def binary(self, tag):
        return bytes(self.take(self.number(">I")))

    def map(self, tag):
        return dict(self.terms(2) for _ in range(self.number(">I")))

    def of_node(self, kind, head, size):
        """The node's name may be coded in several ways; here it is in one."""
        node = self.term()
        return Opaque(kind, head + atom(node) + self.take(size), node)

    def pid(self, tag):
        return self.of_node("pid", bytes([tag]), 12 if tag == 88 else 9)

    def port(self, tag):
        size = {120: 12, 89: 8, 102: 5}[tag]
        return self.of_node("port", bytes([tag]), size)

    def reference(self, tag):
        words = self.number(">H")
        size = (4 if tag == 90 else 1) + 4 * words
        return self.of_node("reference", struct.pack(">BH", tag, words), size)

    def opaque(self, kind, start):
        return Opaque(kind, bytes(self.data[start : self.at]))

    def export(self, tag):
        start = self.at - 1
        self.terms(3)
        return self.opaque("fun", start)

    def fun(self, tag):
        start = self.at - 1
        self.take(self.number(">I") - 4)
        return self.opaque("fun", start)

    def bits(self, tag):
        start = self.at - 1
        size = self.number(">I")
        self.take(1 + size)
        return self.opaque("bitstring", start)

    TAGS = {
        70: float,
        77: bits,
        88: pid,
        89: port,
        90: reference,
        97: small_integer,
        98: integer,
        100: atom,
        102: port,
        103: pid,
        104: tuple,
        105: tuple,
        106: nil,
        107: string,
        108: list,
        109: binary,
        110: big,
        111: big,
        112: fun,
        113: export,
        114: reference,
        115: atom,
        116: map,
        118: atom,
        119: atom,
        120: port,
    }
