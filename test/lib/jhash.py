# SPDX-License-Identifier: Apache-2.0
"""The kernel's hash of a key of whole words (jhash2), with the seed 0: what
zero_seed makes of it, so that a test can fill one bucket of a hash."""

import sys

MASK = 0xFFFFFFFF
ROUNDS = (4, 6, 8, 16, 19, 4)
LAST_ROUNDS = (14, 11, 25, 16, 4, 14, 24)


def rotate(x, n):
    return ((x << n) | (x >> (32 - n))) & MASK


def mix(a, b, c):
    for n in ROUNDS:
        a = ((a - c) & MASK) ^ rotate(c, n)
        c = (c + b) & MASK
        a, b, c = b, c, a
    return a, b, c


def jhash(last, zeros=0):
    """Of so many words of zeros, and one or two of which the last is 0."""
    size = zeros + len(last)
    a = b = c = (0xDEADBEEF + 4 * size) & MASK
    for _ in range(zeros // 3):
        a, b, c = mix(a, b, c)
    a = (a + last[0]) & MASK
    for n in LAST_ROUNDS:
        c = ((c ^ b) - rotate(b, n)) & MASK
        a, b, c = b, c, a
    return b


def sharing_a_bucket(count, buckets, key_size=4):
    """So many keys of the first bucket, of 4 bytes or a multiple of 12 and 8."""
    words = key_size // 4
    last = 1 if words == 1 else 2
    assert (words - last) % 3 == 0
    keys = []
    number = 0
    while len(keys) < count:
        if jhash([number, 0][:last], words - last) % buckets == 0:
            key = bytes(4 * (words - last)) + number.to_bytes(4, sys.byteorder)
            keys.append(key + bytes(4 * (last - 1)))
        number += 1
    return sorted(keys)
