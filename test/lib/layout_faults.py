# SPDX-License-Identifier: Apache-2.0
"""What is wrong: terms that a layout does not take, each with the paths that may be
told of it, and layouts that nothing can be read by."""

from layouts import members, names_in, range_of, resolved, size_of, text

NO_NAME = b"no such member"


def faults(layout, term, form="map"):
    """(term with one fault, paths) for all places of a good term."""
    yield from spoiled(resolved(layout, size_of(layout)), term, 0, form, [])


def spoiled(type, term, bits, form, path):
    for bad in wrong_whole(type, bits, term):
        yield bad, [path]
    match type:
        case ("array", _, of):
            for i, item in enumerate(term):
                for bad, paths in spoiled(of, item, 0, form, [*path, i]):
                    yield [*term[:i], bad, *term[i + 1 :]], paths
        case ("struct", *_) if form == "tuple":
            for i, (member, item) in enumerate(zip(members(type), term)):
                below = [*path, member.name] if member.name else path
                for bad, paths in spoiled(member.type, item, member.bits, form, below):
                    yield (*term[:i], bad, *term[i + 1 :]), paths
        case ("struct" | "union", *_):
            yield from spoiled_fields(type, term, form, path)


def wrong_whole(type, bits, term):
    """Terms of the wrong shape or size."""
    match type:
        case ("struct" | "union", *_) if isinstance(term, tuple):
            yield from [(*term, 0), term[1:], list(term), {}, 7]
            return
        case ("struct" | "union", *_):
            yield from [(), [], [(b"a", 1)], 7, b"a"]
            return
    yield from [(), {}, ("a", 1)]
    match type:
        case "f32" | "f64":
            yield from ["inf", b"1.0", [1]]
            if type == "f32":
                yield from [1e39, -3.5e38]
        case str() | ("enum", *_):
            least, most = range_of(type, bits)
            if type[0] == "enum" and least == 0:
                least = -(most + 1) // 2  # whether negative ones are taken is open
            yield from [most + 1, least - 1, 2**200, -(2**200), 1.0, "nope", b"nope", [-1]]
        case ("char", most):
            yield from [bytes(most) + b"\0", b"x" * (most + 1), [2**21], 7, "text"]
            if most > 1:
                yield b"\0x"
        case ("bytes", size):
            yield from [bytes(size - 1), bytes(size + 1), 7]
        case ("array", *_):
            yield from [[*term, 0], b"", 7]
            if term:
                yield term[1:]


def spoiled_fields(type, term, form, path):
    spelled = {name if isinstance(name, bytes) else name.encode(): name for name in term}
    yield {**term, NO_NAME: 1}, [[*path, NO_NAME]]
    for name, said in spelled.items():
        if said != name:
            yield {**term, name: term[said]}, [[*path, name]]  # it is there twice
    for hidden in hidden_in(type):
        yield {**term, hidden: 0}, [[*path, hidden]]
    for member, union in found(type, spelled.keys()):
        said = spelled[member.name]
        without = {key: value for key, value in term.items() if key != said}
        around = [path, *([*path, name] for name in union)] if union else []
        yield without, [[*path, member.name], *around]
        for other in set(union) - spelled.keys():
            if other not in siblings(type, member.name):
                yield {**term, other: 0}, around
        below = [*path, member.name]
        for bad, paths in spoiled(member.type, term[said], member.bits, form, below):
            yield {**term, said: bad}, paths


def hidden_in(type):
    """Names of members that are not there."""
    for name, *_, of in type[2]:
        if of == "hidden":
            yield text(name)
        elif not name:
            yield from hidden_in(of)


def found(type, names, union=()):
    """(member, all names of the union around it) of each whose name is among names."""
    if type[0] == "union" and not union:
        union = [name for member in members(type) for name in names_in(member)]
    for member in members(type):
        if member.name:
            if member.name in names:
                yield member, union
        else:
            yield from found(member.type, names, union)


def siblings(type, name):
    """Those that may be there beside it: of one alternative of the outermost union."""
    for member in members(type):
        if name in names_in(member):
            if type[0] == "union":
                return names_in(member)
            return siblings(member.type, name) if not member.name else [name]
    return []


# --- layouts


def spoilt(layout):
    """Layouts with one fault, of a good one of a structure."""
    kind, size, rows = layout
    there = [i for i, row in enumerate(rows) if row[-1] != "hidden" and bits_of(row)]
    for i in there:
        name, offset, *bits, of = rows[i]
        outside = 8 * size - bits_of(rows[i]) // 8 * 8 + 8
        yield kind, size, replaced(rows, i, (name, outside, *bits, of))
        for j in there:
            if i != j:
                at = rows[j][1] if bits else rows[j][1] // 8 * 8
                yield kind, size, replaced(rows, i, (name, at, *bits, of))
                if name and rows[j][0]:
                    yield kind, size, replaced(rows, i, (rows[j][0], offset, *bits, of))


def bits_of(row):
    return row[2] if len(row) == 4 else 8 * size_of(row[-1])


def replaced(rows, i, row):
    return [*rows[:i], row, *rows[i + 1 :]]


DEEP = "u8"
for _ in range(40):
    DEEP = ("array", 1, DEEP)


def struct_of(size, *rows):
    return ("struct", size, list(rows))


A = (b"a", 0, "u8")
ANONYMOUS = (b"", 64, struct_of(1, A))

# {what: (layout, its size)}
WRONG = {
    "nothing_known": ("u7", 1),
    "a_text": (b"u8", 1),
    "a_number": (8, 1),
    "a_list": (["u8"], 1),
    "an_unknown_tuple": (("record", 1, []), 1),
    "a_tuple_too_short": (("array", 1), 1),
    "a_tuple_too_long": (("array", 1, "u8", 0), 1),
    "hidden_alone": ("hidden", 1),
    "an_array_of_hidden": (("array", 1, "hidden"), 1),
    "an_array_of_nothing": (struct_of(1, A, (b"b", 8, ("array", 4, struct_of(0)))), 1),
    "an_array_of_empty_arrays": (struct_of(1, A, (b"b", 8, ("array", 4, ("array", 0, "u8")))), 1),
    "a_negative_count": (("array", -1, "u8"), 1),
    "a_count_that_is_no_number": (("array", "n", "u8"), 1),
    "a_huge_count": (("array", 2**32, "u8"), 1),
    "a_count_beyond_64_bits": (("array", 2**64 + 1, "u8"), 1),
    "sizes_that_overflow": (("array", 2**31, ("array", 2**31, ("array", 2**31, "u64"))), 1),
    "negative_chars": (("char", -1), 1),
    "chars_beyond_64_bits": (("char", 2**64 + 1), 1),
    "bytes_without_a_count": (("bytes", "all"), 1),
    "an_enum_of_3_bytes": (("enum", 3, [(b"a", 1)]), 3),
    "an_enum_of_16_bytes": (("enum", 16, [(b"a", 1)]), 16),
    "an_enum_of_no_byte": (struct_of(1, A, (b"b", 8, ("enum", 0, [(b"a", 0)]))), 1),
    "a_constant_too_large": (("enum", 1, [(b"a", 256)]), 1),
    "a_constant_too_small": (("enum", 1, [(b"a", -129)]), 1),
    "constants_that_are_signed_and_too_large": (("enum", 1, [(b"a", -1), (b"b", 128)]), 1),
    "constants_of_8_bytes_both_signed_and_too_large": (("enum", 8, [(b"a", -1), (b"b", 2**64 - 1)]), 8),
    "a_too_large_one_of_8_bytes_before_a_signed_one": (("enum", 8, [(b"a", 2**63), (b"b", -1)]), 8),
    "a_constant_without_a_value": (("enum", 1, [b"a"]), 1),
    "a_constant_named_by_a_number": (("enum", 1, [(1, 1)]), 1),
    "constants_that_are_no_list": (("enum", 1, {b"a": 1}), 1),
    "overlapping_members": (struct_of(5, (b"a", 0, "u32"), (b"b", 24, "u16")), 5),
    "members_at_one_place": (struct_of(4, (b"a", 0, "u32"), (b"b", 0, "u32")), 4),
    "a_member_around_another": (struct_of(8, (b"a", 0, "u64"), (b"b", 24, "u8")), 8),
    "overlap_in_another_order": (struct_of(5, (b"b", 24, "u16"), (b"a", 0, "u32")), 5),
    "overlapping_bit_fields": (struct_of(1, (b"a", 0, 4, "u8"), (b"b", 3, 2, "u8")), 1),
    "a_bit_field_within_a_member": (struct_of(4, (b"a", 0, "u32"), (b"b", 3, 2, "u8")), 4),
    "an_overlap_far_inside": (("array", 2, struct_of(2, (b"x", 0, struct_of(2, A, (b"b", 7, 2, "u8"))))), 4),
    "an_overlap_in_a_union": (("union", 2, [(b"u", 0, struct_of(2, A, (b"b", 0, "u16")))]), 2),
    "a_member_outside": (struct_of(4, (b"a", 8, "u32")), 4),
    "a_member_far_outside": (struct_of(4, (b"a", 2**40, "u32")), 4),
    "a_member_before_the_start": (struct_of(4, (b"a", -8, "u32")), 4),
    "a_bit_field_outside": (struct_of(1, (b"a", 6, 3, "u8")), 1),
    "a_union_too_small": (("union", 4, [(b"a", 0, "u32"), (b"b", 0, "u64")]), 4),
    "an_array_outside": (struct_of(8, (b"a", 0, ("array", 3, "u32"))), 8),
    "a_member_between_bytes": (struct_of(4, (b"a", 4, "u8")), 4),
    "two_names_alike": (struct_of(2, A, (b"a", 8, "u8")), 2),
    "two_names_alike_as_atom_and_text": (struct_of(2, A, ("a", 8, "u8")), 2),
    "a_name_as_in_an_anonymous_one": (struct_of(9, A, ANONYMOUS), 9),
    "a_name_as_in_one_far_inside": (struct_of(9, A, (b"", 64, ("union", 1, [(b"", 0, struct_of(1, A))]))), 9),
    "two_anonymous_ones_with_one_name": (struct_of(9, (b"", 0, struct_of(1, A)), ANONYMOUS), 9),
    "two_alternatives_alike": (("union", 1, [A, A]), 1),
    "a_bit_field_of_no_bits": (struct_of(1, (b"a", 0, 0, "u8")), 1),
    "a_bit_field_too_wide_for_its_type": (struct_of(2, (b"a", 0, 9, "u8")), 2),
    "a_bit_field_of_65_bits": (struct_of(16, (b"a", 0, 65, "u128")), 16),
    "a_bit_field_of_negative_bits": (struct_of(1, (b"a", 0, -1, "u8")), 1),
    "a_bit_field_of_floats": (struct_of(4, (b"a", 0, 3, "f32")), 4),
    "a_bit_field_of_pointers": (struct_of(8, (b"a", 0, 3, "ptr")), 8),
    "a_bit_field_of_chars": (struct_of(1, (b"a", 0, 3, ("char", 1))), 1),
    "a_bit_field_of_bytes": (struct_of(1, (b"a", 0, 3, ("bytes", 1))), 1),
    "a_bit_field_of_arrays": (struct_of(1, (b"a", 0, 3, ("array", 1, "u8"))), 1),
    "a_bit_field_of_structures": (struct_of(1, (b"b", 0, 3, struct_of(1, A))), 1),
    "a_bit_field_that_is_hidden": (struct_of(1, A, (b"b", 0, 3, "hidden")), 1),
    "a_name_that_is_a_number": (struct_of(1, (1, 0, "u8")), 1),
    "a_name_that_is_a_tuple": (struct_of(1, ((b"a",), 0, "u8")), 1),
    "a_name_of_large_characters": (struct_of(1, ([97, 2**21], 0, "u8")), 1),
    "an_offset_that_is_no_number": (struct_of(1, (b"a", b"0", "u8")), 1),
    "a_member_without_a_type": (struct_of(1, (b"a", 0)), 1),
    "a_member_that_is_no_tuple": (struct_of(1, "u8"), 1),
    "members_that_are_no_list": (("struct", 1, A), 1),
    "a_negative_size": (struct_of(-1, A), 1),
    "a_size_beyond_64_bits": (struct_of(2**64 + 1, A), 1),
    "smaller_than_the_map": ("u32", 8),
    "larger_than_the_map": ("u64", 4),
    "a_structure_of_another_size": (struct_of(4, A), 8),
}

LONG = b"n" * (2**16 + 1)
# Too much of it: as few names, members and levels as are too many, and many more.
TOO_MUCH = {
    "40_levels_of_arrays": (DEEP, 1),
    "4_200_members": (struct_of(4200, *((b"m%d" % i, 8 * i, "u8") for i in range(4200))), 4200),
    "600_elements_of_4_000_hidden_members": (
        ("array", 600, struct_of(1, *((b"h%d" % i, 0, "hidden") for i in range(4000)))), 600,
    ),
    "600_elements_of_a_union_of_4_000": (
        ("array", 600, ("union", 1, [(b"m%d" % i, 0, "u8") for i in range(4000)])), 600,
    ),
    "4_200_constants": (("enum", 4, [(b"c%d" % i, i) for i in range(4200)]), 4),
    "a_name_of_65_537_bytes": (struct_of(1, (LONG, 0, "u8")), 1),
    "names_of_80_000_bytes": (
        struct_of(1000, *((b"%080d" % i, 8 * i, "u8") for i in range(1000))), 1000,
    ),
}
