# SPDX-License-Identifier: Apache-2.0
"""Draws layouts, and terms and bytes for them.

A plain layout is one that a C compiler, and so the kernel, could have: names are
identifiers, members stand in the order of their offsets, and nothing is hidden.

EBPF_LAYOUTS  how many examples each test draws; some dozens if it is not set
"""

import os
import string

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from layouts import (
    FLOATS,
    INTEGERS,
    members,
    narrowed,
    range_of,
    resolved,
    size_of,
    text,
)

LAYOUTS = int(os.environ.get("EBPF_LAYOUTS") or 0)


def examples(number):
    """Settings of a test that draws; the same examples each time, if not asked for more."""
    return settings(
        max_examples=LAYOUTS or number,
        derandomize=not LAYOUTS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


SCALARS = sorted({*INTEGERS, *FLOATS})
FIELDS = [name for name in SCALARS if name[0] in "us" or name == "bool"]
IDENTIFIERS = [name.encode() for name in [*string.ascii_lowercase, "id", "saddr_v6", "_", "A1"]]
OTHERS = [b"with space", "größe".encode(), b"\xff\xfe", b"n" * 300, b"$", b"1"]
MOST = 512  # bytes of a layout, and of a key that the kernel takes


def is_ascii(name):
    return all(byte < 128 for byte in name)


@st.composite
def names(draw, taken, plain):
    """One that is not taken yet: as binary, atom or string."""
    name = draw(st.sampled_from(IDENTIFIERS if plain else IDENTIFIERS + OTHERS))
    while name in taken:
        name += b"x"
    taken.add(name)
    forms = [bytes]
    if is_ascii(name):
        forms += [list, *([bytes.decode] if len(name) < 256 else [])]
    return draw(st.sampled_from(forms))(name)


@st.composite
def enums(draw, plain, most=4):
    size = draw(st.sampled_from([1, 2, 4, 8]))
    bits = 8 * size - 1
    least = draw(st.sampled_from([0, -(1 << bits)]))
    values = st.one_of(st.integers(0, 5), st.integers(least, (1 << bits) - 1))
    drawn = draw(st.lists(values, min_size=1, max_size=most))
    taken = set()
    return ("enum", size, [(draw(names(taken, plain)), value) for value in drawn])


def scalars(plain):
    return st.one_of(
        st.sampled_from(SCALARS),
        st.sampled_from(SCALARS),
        st.tuples(st.just("char"), st.integers(1, 12)),
        st.tuples(st.just("bytes"), st.integers(1, 12)),
        enums(plain),
    )


@st.composite
def arrays(draw, depth, plain):
    of = draw(types(depth - 1, plain).filter(size_of))
    return ("array", draw(st.integers(1 if plain else 0, 4)), of)


def types(depth, plain):
    if depth == 0:
        return scalars(plain)
    inner = [arrays(depth, plain), structures(depth, plain), unions(depth, plain)]
    return st.one_of(scalars(plain), *inner)


@st.composite
def parts(draw, depth, plain, taken):
    """(name, type) of a member; one without a name shares the names of its parent."""
    if depth and draw(st.integers(0, 5)) == 0:
        kind = draw(st.sampled_from([structures, unions]))
        return b"", draw(kind(depth - 1, plain, taken))
    return draw(names(taken, plain)), draw(types(max(depth - 1, 0), plain))


@st.composite
def bit_fields(draw, plain, taken):
    """(rows from bit 0 on, bytes up to their end, bytes of their storage), as C has
    them; or at any bits, as in a packed structure."""
    of = draw(st.one_of(st.sampled_from(FIELDS), *([] if plain else [enums(plain)])))
    storage, at, rows = 8 * size_of(of), 0, []
    packed = not plain and draw(st.booleans())
    for _ in range(draw(st.integers(1, 4))):
        at += draw(st.sampled_from([0, 0, 1, 5]))
        left = storage if packed else storage - at
        if left <= 0:
            break
        width = draw(st.integers(1, min(left, 64)))
        rows.append((draw(names(taken, plain)), at, width, of))
        at += width
    end = (at + 7) // 8
    return rows, end, end if packed else storage // 8


def is_empty_array(row):
    return row[-1][:2] == ("array", 0)


@st.composite
def structures(draw, depth, plain, taken=None):
    taken = set() if taken is None else taken
    rows, at, end = [], 0, 1
    for _ in range(draw(st.integers(1, 5))):
        at += draw(st.sampled_from([0, 0, 0, 1, 3]))
        if draw(st.integers(0, 3)) == 0:
            fields, inside, storage = draw(bit_fields(plain, taken))
            if plain:
                at = -(-at // storage) * storage
            rows += [(name, 8 * at + bit, width, of) for name, bit, width, of in fields]
            end = max(end, at + storage)
            at += inside
        elif not plain and draw(st.integers(0, 7)) == 0:
            rows.append((draw(names(taken, plain)), 8 * at, "hidden"))
            at += 4
        else:
            name, of = draw(parts(depth, plain, taken))
            rows.append((name, 8 * at, of))
            at += size_of(of)
    if not any(of != "hidden" for *_, of in rows):
        rows.append((draw(names(taken, plain)), 8 * at, "u8"))
        at += 1
    # an empty array that comes to stand last would be one without an end
    if not plain and draw(st.integers(0, 3)) == 0 and rows[0][-1][:2] != ("array", 0):
        rows.reverse()
    rows.sort(key=is_empty_array, reverse=True)  # as the last, it would be flexible()
    size = max(at, end) + draw(st.sampled_from([0, 0, 1, 4]))
    return ("struct", size, rows)


@st.composite
def unions(draw, depth, plain, taken=None):
    taken = set() if taken is None else taken
    rows, size = [], 1
    for _ in range(draw(st.integers(1, 4))):
        if draw(st.integers(0, 4)) == 0:
            of = draw(st.sampled_from(FIELDS))
            width = draw(st.integers(1, min(64, 8 * size_of(of))))
            rows.append((draw(names(taken, plain)), 0, width, of))
        else:
            name, of = draw(parts(depth, plain, taken))
            at = 0 if plain else draw(st.sampled_from([0, 0, 0, 3]))
            rows.append((name, 8 * at, of))
            size = max(size, at + size_of(of))
            continue
        size = max(size, size_of(of))
    if not plain and draw(st.integers(0, 5)) == 0:
        rows.insert(0, (draw(names(taken, plain)), 0, "hidden"))
    return ("union", size + draw(st.sampled_from([0, 0, 4])), rows)


@st.composite
def flexible(draw, plain):
    """A structure, and as its last member as many elements as there is room for."""
    kind, size, rows = draw(structures(1, plain))
    of = draw(types(1, plain).filter(size_of))
    name = draw(names({text(row[0]) for row in rows} | names_below(rows), plain))
    left = draw(st.integers(0, 3)) * size_of(of) + draw(st.sampled_from([0, 0, 1]))
    return (kind, size + left, [*rows, (name, 8 * size, ("array", 0, of))])


def names_below(rows):
    """Of members without a name."""
    found = set()
    for name, *_, of in rows:
        if not name:
            found |= {text(row[0]) for row in of[2]} | names_below(of[2])
    return found


def layouts(plain=False, most=MOST):
    """Of whole keys and values, mostly structures."""
    return whole_layouts(plain).filter(lambda layout: 0 < size_of(layout) <= most)


@st.composite
def whole_layouts(draw, plain):
    match draw(st.integers(0, 7)):
        case 0 | 1:
            return draw(types(2, plain))
        case 2 | 3 if not plain:
            return draw(flexible(plain))
    return draw(structures(3, plain))


def numbers(most=MOST):
    """Layouts of nothing but numbers, which values of all CPUs can be folded in."""
    return st.one_of(numeric(2), numeric_structures(2)).filter(
        lambda layout: 0 < size_of(layout) <= most
    )


INTEGRAL = [name for name in INTEGERS if name not in ("bool", "ptr")]


def numeric(depth):
    one = st.sampled_from([*INTEGRAL, "f64"])
    if depth == 0:
        return one
    of = st.tuples(st.just("array"), st.integers(1, 4), numeric(depth - 1))
    return st.one_of(one, of, numeric_structures(depth - 1))


@st.composite
def numeric_structures(draw, depth):
    rows, at, taken = [], 0, set()
    for _ in range(draw(st.integers(1, 4))):
        of = draw(numeric(depth))
        rows.append((draw(names(taken, False)), 8 * at, of))
        at += size_of(of) + draw(st.sampled_from([0, 3]))
    return ("struct", at, rows)


# --- bytes and terms for a layout


def data_for(layout):
    size = size_of(layout)
    return st.binary(min_size=size, max_size=size)



def terms(layout, form="map"):
    """What can be put, in each of the ways in which it can be said."""
    return whole(resolved(layout, size_of(layout)), form)


def whole(type, form):
    match type:
        case "f32" | "f64":
            return reals(type)
        case str() | ("enum", *_):
            return numbers_for(type, 0)
        case ("char", most):
            chars = st.binary(max_size=most).filter(lambda c: b"\0" not in c.rstrip(b"\0"))
            return st.one_of(chars, chars.filter(is_ascii).map(list))
        case ("bytes", size):
            return st.binary(min_size=size, max_size=size)
        case ("array", count, of):
            return st.lists(whole(of, form), min_size=count, max_size=count)
        case ("struct", *_) if form == "tuple":
            return st.tuples(*(part(member, form) for member in members(type)))
    return fields(type, form)


def reals(type):
    width = 32 if type == "f32" else 64
    return st.one_of(
        st.floats(width=width, allow_nan=False, allow_infinity=False),
        st.integers(-(2**24), 2**24),
        st.sampled_from(["nan", "infinity", "-infinity"]),
    )


def numbers_for(type, bits):
    least, most = range_of(type, bits)
    drawn = st.one_of(st.integers(least, most), st.sampled_from([least, most]))
    if type == "bool":
        return st.one_of(st.sampled_from(["true", "false"]), drawn)
    if type[0] == "enum":
        said = [text(name) for name, value in type[2] if least <= value <= most]
        said += [name.decode() for name in said if is_ascii(name) and len(name) < 256]
        said += [list(name) for name in said if isinstance(name, bytes) and is_ascii(name)]
        return st.one_of(drawn, *([st.sampled_from(said)] if said else []))
    return drawn


def part(member, form):
    if member.bits:
        return numbers_for(member.type, member.bits)
    return whole(member.type, form)


@st.composite
def fields(draw, type, form):
    drawn = {}
    parts = members(type)
    if type[0] == "union":
        parts = [draw(st.sampled_from(parts))]
    for member in parts:
        if member.name:
            atom = is_ascii(member.name) and len(member.name) < 256 and draw(st.booleans())
            name = member.name.decode() if atom else member.name
            drawn[name] = draw(part(member, form))
        else:
            drawn.update(draw(fields(member.type, form)))
    return drawn


@st.composite
def narrowings(draw, type, term, form="map"):
    """What was read, with any one alternative of each union."""
    return narrowed(type, term, form, lambda parts: draw(st.sampled_from(parts)))


