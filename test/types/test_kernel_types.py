# SPDX-License-Identifier: Apache-2.0
"""Maps of programs that others have compiled, typed by what the kernel knows of them:
those of Debian's libbpf-tools and libxdp1. What is read of them is compared with
layouts.py, and with bpftool."""

import pytest

import debian_objects

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

# Their programs set these sizes before they load the object.
STACKS = [("value_size", {b"stackmap": 127 * 8}), ("max_entries", {b"stackmap": 1024})]
SIZES = {
    "capable": STACKS,
    "cpudist": [("max_entries", {b"start": 8192, b"hists": 8192})],
    "offcputime": STACKS,
    "wakeuptime": STACKS,
}
# In these versions. Under all names of the tools, of which some are one program, there
# are 193 typed ones.
OBJECTS, TYPED, FROZEN = 67, 171, 47


@pytest.fixture(scope="module")
def objects():
    objects = {**debian_objects.of_tools(), **debian_objects.of_libxdp()}
    assert len(objects) == OBJECTS
    return objects


@pytest.fixture(scope="module")
def seen(typed_reader, objects):
    """All typed maps of all objects."""
    return [
        one
        for name, data in objects.items()
        for one in typed_reader.see_object(name, data, *SIZES.get(name, []))
    ]


def test_all_maps_with_types_are_typed(seen):
    assert len(seen) == TYPED
    assert sum(one.frozen for one in seen) == FROZEN
    assert all(one.pairs for one in seen)


def test_their_layouts_are_the_types_that_bpftool_lists(seen):
    for one in seen:
        one.check_layouts()


def test_their_terms_are_those_of_their_layouts(seen):
    for one in seen:
        one.check_terms()


def test_their_numbers_are_those_that_bpftool_shows(seen):
    for one in seen:
        one.check_numbers()


def test_their_terms_are_written_as_the_bytes_that_they_were_but_for_padding(seen):
    """Each union by its widest alternative."""
    for one in seen:
        one.check_written()


def test_nothing_is_left_of_all_these(seen, shared_programs):
    assert shared_programs.handles() == [] and shared_programs.maps("handles") == []
