# SPDX-License-Identifier: Apache-2.0
"""Values that may have a program behind their number, as terms."""

import pytest

from conftest import raises
from host import CPUS

pytestmark = pytest.mark.single

LOOPBACK = 1  # the number of an interface that is in every network
NUMBERED = ("struct", 8, [(b"number", 0, "u32"), (b"program", 32, "u32")])
WITHOUT = {"devmap": LOOPBACK, "devmap_hash": LOOPBACK, "cpumap": 64}


@pytest.mark.parametrize("type, number", WITHOUT.items())
def test_numbers_of_interfaces_and_queues_are_terms(type, number, maps):
    map = maps.new(type, "u32", NUMBERED, CPUS)
    term = {b"number": number, b"program": 0}
    assert maps.put(0, term, map) == map
    assert (0, term) in maps.to_list(map)
    as_tuple = maps.typed(map, [("as", "tuple")])
    assert maps.get(0, as_tuple) == (number, 0)
    narrow = maps.new(type, "u32", "u32", CPUS)
    assert maps.put(0, number, narrow) == narrow and maps.get(0, narrow) == number


@pytest.mark.parametrize("type, number", WITHOUT.items())
def test_no_number_in_a_term_stands_for_a_program(type, number, maps):
    """It would be a descriptor of the C node."""
    map = maps.new(type, "u32", NUMBERED, CPUS)
    with raises("badarg"):
        maps.put(0, {b"number": number, b"program": 3}, map)


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
def test_the_name_of_an_interface_does_beside_terms(type, maps):
    map = maps.new(type, "u32", NUMBERED, CPUS)
    assert maps.put(0, ("ifname", b"lo"), map) == map
    assert maps.get(0, map) == {b"number": LOOPBACK, b"program": 0}
