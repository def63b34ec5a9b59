# SPDX-License-Identifier: Apache-2.0
"""Layouts of keys and values, and which terms their bytes are.

Written from the documentation, not from the C node, which is compared with it. Layouts
and terms stand as etf.py has them: ("struct", 8, [(b"a", 0, "u32"), (b"b", 32, 3, "u8")]).
A form is "map", "tuple", or a list of members.
"""

import math
import struct
from typing import NamedTuple

from native import ORDER

INTEGERS = {
    f"{sign}{8 * size}": (size, sign == "s", ORDER)
    for sign in "us"
    for size in (1, 2, 4, 8, 16)
}
INTEGERS.update({f"be{8 * size}": (size, False, "big") for size in (2, 4, 8)})
INTEGERS.update(ptr=(8, False, ORDER), bool=(1, False, ORDER))
FLOATS = {"f32": "f", "f64": "d"}
INFINITIES = {"nan": math.nan, "infinity": math.inf, "-infinity": -math.inf}
ENDIAN = "<" if ORDER == "little" else ">"


class Bad(Exception):
    """A term that a layout does not take; any of these paths leads to the culprit."""

    def __init__(self, *paths):
        super().__init__(*paths)
        self.paths = [list(path) for path in paths]


class Member(NamedTuple):
    name: bytes
    offset: int  # in bits
    bits: int  # of a bit-field; 0: it is none
    type: object

    @property
    def is_there(self):
        return self.type != "hidden"

    @property
    def size(self):
        """In bits."""
        return self.bits or 8 * size_of(self.type)

    def within(self, data):
        start = self.offset // 8
        return data[start : start + size_of(self.type)]


def text(name):
    """A name as binary; atoms and strings are names, too."""
    if isinstance(name, str):
        return name.encode()
    return bytes(name)


def members(type):
    """Of a structure or a union, without those that are hidden."""
    found = []
    for name, offset, *bits, of in type[2]:
        member = Member(text(name), offset, *(bits or [0]), of)
        if member.is_there:
            found.append(member)
    return found


def size_of(type):
    """In bytes."""
    match type:
        case "hidden":
            return 0
        case str():
            return struct.calcsize(FLOATS[type]) if type in FLOATS else INTEGERS[type][0]
        case ("array", count, of):
            return count * size_of(of)
        case (_, size, *_):
            return size


def normal(type):
    """With names as binaries, and the constants of an enum in the order of their values."""
    match type:
        case ("array", count, of):
            return ("array", count, normal(of))
        case ("enum", size, constants):
            pairs = [(text(name), value) for name, value in constants]
            return ("enum", size, sorted(pairs, key=lambda pair: pair[1]))
        case ("struct" | "union" as kind, size, rows):
            return (kind, size, [(text(name), *at, normal(of)) for name, *at, of in rows])
    return type


def resolved(type, size):
    """With as many elements of a flexible array as a key or value of that size has."""
    if type[0] == "struct" and type[2]:
        *others, (name, offset, *bits, of) = type[2]
        if of[:2] == ("array", 0):
            count = (size - offset // 8) // size_of(of[2])
            return ("struct", size, [*others, (name, offset, ("array", count, of[2]))])
    return type


def names_of(type):
    """All that its map has, those of anonymous members too."""
    return [name for member in members(type) for name in names_in(member)]


def names_in(member):
    return [member.name] if member.name else names_of(member.type)


def is_signed(type):
    if type[0] == "enum":
        return any(value < 0 for _, value in type[2])
    return INTEGERS[type][1]


def order_of(type):
    return INTEGERS[type][2] if isinstance(type, str) else ORDER


def range_of(type, bits=0):
    """(least, most) of the numbers of an integer, bool or enum."""
    bits = bits or 8 * size_of(type)
    if is_signed(type):
        return -(1 << bits - 1), (1 << bits - 1) - 1
    return 0, (1 << bits) - 1


def bits_from(number_of_bits, offset, bits):
    """How far a bit-field is shifted in its structure, taken as one number."""
    return offset if ORDER == "little" else number_of_bits - offset - bits


# --- decode


def decode(layout, data, form="map"):
    layout = resolved(layout, len(data))
    if isinstance(form, list):
        fields = read_fields(layout, data, "map")
        return tuple(fields[text(name)] for name in form)
    return read(layout, data, form)


def read(type, data, form):
    match type:
        case "f32" | "f64":
            return real(struct.unpack(ENDIAN + FLOATS[type], data)[0])
        case str() | ("enum", *_):
            return shown(type, int.from_bytes(data, order_of(type), signed=is_signed(type)))
        case ("char", _):
            return data.split(b"\0")[0]
        case ("bytes", _):
            return data
        case ("array", count, of):
            size = size_of(of)
            return [read(of, data[i * size : (i + 1) * size], form) for i in range(count)]
        case ("struct", *_) if form == "tuple":
            return tuple(read_member(member, data, form) for member in members(type))
    return read_fields(type, data, form)


def read_fields(type, data, form):
    fields = {}
    for member in members(type):
        if member.name:
            fields[member.name] = read_member(member, data, form)
        else:
            fields.update(read_fields(member.type, member.within(data), form))
    return fields


def read_member(member, data, form):
    if not member.bits:
        return read(member.type, member.within(data), form)
    shift = bits_from(8 * len(data), member.offset, member.bits)
    number = int.from_bytes(data, ORDER) >> shift & (1 << member.bits) - 1
    if is_signed(member.type) and number >> member.bits - 1:
        number -= 1 << member.bits
    return shown(member.type, number)


def shown(type, number):
    if type == "bool" and number < 2:
        return "true" if number else "false"
    if type[0] == "enum":
        return next((text(name) for name, value in type[2] if value == number), number)
    return number


def real(number):
    if math.isnan(number):
        return "nan"
    if math.isinf(number):
        return "infinity" if number > 0 else "-infinity"
    return number


# --- encode


def encode(layout, term, size=None, form="map"):
    """Padding, and what is hidden, are zeros."""
    layout = resolved(layout, size or size_of(layout))
    out = bytearray(size_of(layout))
    write(layout, term, out, 0, form, [])
    return bytes(out)


def write(type, term, out, at, form, path):
    size = size_of(type)
    match type:
        case "f32" | "f64":
            out[at : at + size] = write_real(type, term, path)
        case str() | ("enum", *_):
            number = number_of(type, term, 0, path)
            out[at : at + size] = number.to_bytes(size, order_of(type), signed=number < 0)
        case ("char", _):
            out[at : at + size] = write_chars(term, size, path)
        case ("bytes", _):
            if not isinstance(term, bytes) or len(term) != size:
                raise Bad(path)
            out[at : at + size] = term
        case ("array", count, of):
            if not isinstance(term, list) or len(term) != count:
                raise Bad(path)
            for i, item in enumerate(term):
                write(of, item, out, at + i * size_of(of), form, [*path, i])
        case ("struct", *_) if form == "tuple":
            if not isinstance(term, tuple) or len(term) != len(members(type)):
                raise Bad(path)
            for member, item in zip(members(type), term):
                write_member(type, member, item, out, at, form, path)
        case _:
            write_fields(type, fields_of(type, term, path), out, at, form, path)


def fields_of(type, term, path):
    """A map with binaries as keys."""
    if not isinstance(term, dict):
        raise Bad(path)
    fields = {}
    for key, value in term.items():
        if not isinstance(key, (str, bytes)):
            raise Bad(path, [*path, key])
        name = text(key)
        if name in fields or name not in names_of(type):
            raise Bad([*path, name])
        fields[name] = value
    return fields


def write_fields(type, fields, out, at, form, path):
    parts = members(type)
    if type[0] == "union":
        alternatives = [m for m in parts if fields.keys() & set(names_in(m))]
        if len(alternatives) != 1:
            raise Bad(path, *([*path, name] for name in names_of(type)))
        parts = alternatives
    for member in parts:
        if not member.name:
            write_fields(member.type, fields, out, at + member.offset // 8, form, path)
        elif member.name in fields:
            write_member(type, member, fields[member.name], out, at, form, path)
        else:
            raise Bad([*path, member.name])


def write_member(type, member, term, out, at, form, path):
    path = [*path, member.name] if member.name else path
    if not member.bits:
        write(member.type, term, out, at + member.offset // 8, form, path)
        return
    size = type[1]
    shift = bits_from(8 * size, member.offset, member.bits)
    number = number_of(member.type, term, member.bits, path) & (1 << member.bits) - 1
    all = int.from_bytes(out[at : at + size], ORDER) | number << shift
    out[at : at + size] = all.to_bytes(size, ORDER)


def number_of(type, term, bits, path):
    least, most = range_of(type, bits)
    if type == "bool" and term in ("true", "false") and isinstance(term, str):
        term = int(term == "true")
    if type[0] == "enum" and isinstance(term, (str, bytes, list)):
        constants = {text(name): value for name, value in reversed(type[2])}
        term = constants.get(text_or_none(term))
    if not isinstance(term, int) or not least <= term <= most:
        raise Bad(path)
    return term


def text_or_none(term):
    try:
        return text(term)
    except (TypeError, ValueError):
        return None


def write_real(type, term, path):
    if isinstance(term, str):
        term = INFINITIES.get(term)
    if not isinstance(term, (int, float)):
        raise Bad(path)
    try:
        return struct.pack(ENDIAN + FLOATS[type], term)
    except (OverflowError, struct.error):
        raise Bad(path) from None


def write_chars(term, size, path):
    """A NUL may stand only where nothing but more of them follow."""
    chars = text_or_none(term) if isinstance(term, (bytes, list)) else None
    if chars is None or len(chars) > size or b"\0" in chars.rstrip(b"\0"):
        raise Bad(path)
    return chars.ljust(size, b"\0")


# --- unions: all alternatives are there when read, one when written


def widest(alternatives):
    return max(alternatives, key=lambda member: member.size)


def narrowed(type, term, form="map", choose=widest):
    """What was read, as it can be written: with one alternative of each union."""
    match type:
        case ("array", _, of):
            return [narrowed(of, item, form, choose) for item in term]
        case ("struct", *_) if form == "tuple":
            parts = zip(members(type), term)
            return tuple(narrowed(member.type, item, form, choose) for member, item in parts)
        case ("struct" | "union", *_):
            return narrowed_fields(type, term, form, choose)
    return term


def narrowed_fields(type, fields, form, choose):
    parts = members(type)
    if type[0] == "union":
        parts = [choose(parts)]
    kept = {}
    for member in parts:
        if member.name:
            kept[member.name] = narrowed(member.type, fields[member.name], form, choose)
        else:
            kept.update(narrowed_fields(member.type, fields, form, choose))
    return kept


def kept(layout, data):
    """The bytes that are left when they were read, and written again."""
    term = decode(layout, data)
    narrow = narrowed(resolved(layout, len(data)), term)
    return encode(layout, narrow, len(data))


# --- the values of all CPUs as one

FOLDS = {"sum": sum, "max": max, "min": min}


def folded(layout, values, how, form="map"):
    """Number by number; layouts are of nothing else."""
    return fold(FOLDS[how], [decode(layout, data, form) for data in values])


def fold(fun, terms):
    match terms[0]:
        case dict():
            return {key: fold(fun, [term[key] for term in terms]) for key in terms[0]}
        case tuple() | list():
            return type(terms[0])(fold(fun, list(items)) for items in zip(*terms))
    return fun(terms)


# --- comparing terms: 1 is not 1.0, and -0.0 not 0.0


def exact(term):
    match term:
        case dict():
            pairs = [(exact(key), exact(value)) for key, value in term.items()]
            return ("map", sorted(pairs, key=repr))
        case list() | tuple():
            return (type(term).__name__, [exact(item) for item in term])
        case str():
            return ("atom", str(term))
    return (type(term).__name__, repr(term))
