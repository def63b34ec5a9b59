# SPDX-License-Identifier: Apache-2.0
"""Numbers as this host has them in memory, which is how maps have them."""

import sys

ORDER = sys.byteorder


def native(number, size):
    return number.to_bytes(size, ORDER, signed=number < 0)


def u32(number):
    return number.to_bytes(4, ORDER)


def u64(number):
    return number.to_bytes(8, ORDER)


def prefix(length, *data):
    """The key of a trie: its length in bits, and as many bytes as it has."""
    return u32(length) + bytes(data)
