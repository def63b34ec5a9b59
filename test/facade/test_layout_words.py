# SPDX-License-Identifier: Apache-2.0
"""What is said of a layout that the C node refuses."""

import pytest
from hypothesis import given

from beam import Beam
from layout_draws import examples, layouts
from layout_faults import TOO_MUCH, WRONG

OF_THE_MAP = {"smaller_than_the_map", "larger_than_the_map", "a_structure_of_another_size"}

WORDS = {
    "nothing_known": "there is no type u7",
    "a_number": "there is no type 8",
    "hidden_alone": "hidden is for members alone",
    "an_array_of_hidden": "hidden is for members alone, not for elements",
    "an_array_of_nothing": "the member b: an array of elements without a size: {struct,0,[]}",
    "a_negative_count": "array: not a number of elements: -1",
    "bytes_without_a_count": "bytes: not a number of bytes: all",
    "sizes_that_overflow": "512 MiB or more",
    "an_enum_of_3_bytes": "an enum has 1, 2, 4 or 8 bytes, not 3",
    "constants_that_are_signed_and_too_large": "constants from -1 to 128 do not fit in 1 byte",
    "overlapping_members": "the members a and b overlap: a ends at bit 31, and b starts at bit 24",
    "an_overlap_far_inside": "the member x: the members a and b overlap: a ends at bit 7, and b starts at bit 7",
    "a_member_outside": "the member a: outside: it ends after byte 5 of 4 (its offset is in bits)",
    "a_bit_field_outside": "the member a: outside: its bits 6 to 8 are not in 1 byte",
    "a_member_between_bytes": "the member a: offsets are in bits: 4 is not a multiple of 8, and this is no bit-field",
    "two_names_alike_as_atom_and_text": "the name a is there twice",
    "a_name_as_in_one_far_inside": "the name a is there twice",
    "a_bit_field_of_65_bits": "the member a: a bit-field of u128 has 1 to 64 bits, not 65",
    "a_bit_field_of_floats": "the member a: a bit-field is of an integer, a bool or an enum, not of f32",
    "a_name_that_is_a_number": "not a name: 1",
    "members_that_are_no_list": 'not a list of members: {<<"a">>,0,u8}',
    "40_levels_of_arrays": "deeper than 32 levels",
    "4_200_members": "more than 4096 members, elements and constants in all",
    "600_elements_of_4_000_hidden_members": "2400601 parts in all elements of arrays, where 600 bytes may have 42496",
    "a_name_of_65_537_bytes": "the names have more than 64 KiB in all",
}

FAULT = """
case ebpf_maps_layout:fault(Layout) of
    none -> none;
    {Reason, Text} -> {Reason, unicode:characters_to_binary(Text)}
end
"""


@pytest.fixture(scope="module")
def fault(cluster, ebin):
    """{reason, text} of a layout, or None."""
    beam = Beam(cluster, paths=[ebin])

    def fault(layout):
        said = beam.eval(FAULT, Layout=layout)
        return None if said == "none" else (said[0], said[1].decode())

    yield fault
    beam.close()


@pytest.mark.parametrize("what", sorted(WRONG.keys() - OF_THE_MAP))
def test_of_each_wrong_layout_something_is_said(what, fault):
    reason, text = fault(WRONG[what][0])
    assert reason == ("e2big" if text == WORDS["sizes_that_overflow"] else "badarg")
    assert text == WORDS.get(what, text)


@pytest.mark.parametrize("what", TOO_MUCH)
def test_of_what_is_too_much_too(what, fault):
    reason, text = fault(TOO_MUCH[what][0])
    assert reason == "e2big"
    assert WORDS.get(what, "") in text


def test_the_words_are_of_layouts_that_there_are():
    assert WORDS.keys() <= WRONG.keys() | TOO_MUCH.keys()


def test_of_a_good_one_nothing(fault):
    @examples(60)
    @given(layouts())
    def check(layout):
        assert fault(layout) is None

    check()
