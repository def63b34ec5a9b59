# SPDX-License-Identifier: Apache-2.0
"""What bpftool prints of typed maps, and whether that is what a term says.

Its JSON is none where there are bit-fields, pointers, or numbers of 128 bits, which are
bare hex; members without a name are several of the name "". Numbers of type __be32 stand
as this host reads them.
"""

import json
import re

from layouts import INTEGERS, ORDER, Member, size_of, text

BARE_HEX = re.compile(r'("(?:[^"\\]|\\.)*")|(0x[0-9a-fA-F]+)')


class Pairs(list):
    """An object of JSON: names may be there more than once."""


def parsed(printed):
    quoted = BARE_HEX.sub(lambda found: found[1] or f'"{found[2]}"', printed)
    return json.loads(quoted, object_pairs_hook=Pairs)


def raw(hexes):
    return bytes(int(one, 16) for one in hexes)


def entries(printed):
    """{key: (formatted key, [formatted value of each CPU, or the one])}"""
    found = {}
    rows = parsed(printed)
    for row in map(dict, rows if rows and isinstance(rows[0], Pairs) else [rows]):
        formatted = dict(row["formatted"])
        values = formatted.get("values")
        values = [dict(one)["value"] for one in values] if values else [formatted["value"]]
        found[raw(row["key"])] = formatted.get("key"), values
    return found


def differences(type, term, shown, path=()):
    """(path, term, what bpftool shows) of each that is not the same."""
    match type:
        case ("struct" | "union", *_):
            yield from of_members(type, term, shown, path)
        case ("array", _, of):
            if len(term) != len(shown):
                yield path, term, shown
            for i, (item, one) in enumerate(zip(term, shown)):
                yield from differences(of, item, one, (*path, i))
        case _:
            if not is_same(type, term, shown):
                yield path, term, shown


def variables_of(shown):
    """Those of a section, which stand each alone, as members of a structure."""
    [(_, variables)] = shown
    return [pair for variable in variables for pair in variable]


def of_members(type, term, shown, path):
    if shown and len(shown) == 1 and isinstance(shown[0][1], list) and is_section(shown):
        shown = variables_of(shown)
    if len(shown) != len(type[2]):
        yield path, term, shown
    for (name, offset, *bits, of), (shown_name, one) in zip(type[2], shown):
        member = Member(text(name), offset, *(bits or [0]), of)
        if member.name.decode() != shown_name:
            yield (*path, member.name), member.name, shown_name
        if not member.is_there:
            continue
        if not member.name:
            yield from of_members(of, term, one, path)
            continue
        below = (*path, member.name)
        if member.bits:
            if not is_same_number(of, term[member.name], one, member.bits):
                yield below, term[member.name], one
        else:
            yield from differences(of, term[member.name], one, below)


def is_section(shown):
    return shown[0][0].startswith(".")


def is_same(type, term, shown):
    match type:
        case ("char", _) | ("bytes", _):
            if isinstance(shown, str):
                return term == shown.encode()
            data = bytes(ord(one) if isinstance(one, str) else one & 255 for one in shown)
            return term == (data.split(b"\0")[0] if type[0] == "char" else data)
    return is_same_number(type, term, shown, 8 * size_of(type))


def is_same_number(type, term, shown, bits):
    mask = (1 << bits) - 1
    if isinstance(shown, bool):
        return bool({"true": 1, "false": 0}.get(term, term)) == shown
    if isinstance(term, bytes):
        # bpftool knows no names in bit-fields
        values = [value for name, value in type[2] if text(name) == term]
        if isinstance(shown, str) and not shown.startswith("0x"):
            return term == shown.encode()
        term = values[0]
    if isinstance(term, str):
        term = int(term == "true")
    if isinstance(shown, str):
        shown = int(shown, 16) if shown.startswith("0x") else ord(shown)
    if isinstance(type, str) and type.startswith("be"):
        size = INTEGERS[type][0]
        shown = int.from_bytes((shown & mask).to_bytes(size, ORDER), "big")
    return term & mask == shown & mask
