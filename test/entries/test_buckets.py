# SPDX-License-Identifier: Apache-2.0
"""A bucket of a hash comes whole, or not at all: chunks, steps and lists of keys
that share one, over the sizes of buckets, chunks and messages."""

import pytest

from conftest import Maps, Nodes, raises
from jhash import sharing_a_bucket

pytestmark = pytest.mark.single

KIB = 1024
BUCKETS = 64


# (entries of the bucket, KiB of each value): whether they fit, by --max-message
TABLE = {
    (2, 300): {1024: True, 1500: True, 700: True, 599: False},
    (3, 300): {1024: True, 1500: True, 700: False, 901: True},
    (4, 300): {1024: False, 1500: True, 1202: True, 1199: False},
    (5, 100): {1024: True, 1500: True, 700: True, 500: False},
    (7, 100): {1024: True, 1500: True, 700: False, 702: True},
    (9, 1): {1024: True, 64: True},
    (60, 1): {1024: True, 64: True},
    (64, 1): {1024: True, 64: False},
}
ROWS = [
    pytest.param(*bucket, message, fits, id=f"{bucket[0]}x{bucket[1]}K-in-{message}K")
    for bucket, row in TABLE.items()
    for message, fits in row.items()
]
CHUNKS = (1, 2, 3, 4, 5, 7, 8, 100)


class Bucket:
    """A map of which all entries are in one bucket."""

    def __init__(self, maps, count, size):
        self.maps = maps
        self.keys = sharing_a_bucket(count, BUCKETS)
        self.value = bytes([7]) * size
        shape = ("hash", 4, size, BUCKETS)
        self.map = maps.new(*shape, ["zero_seed", "no_prealloc"])
        self.fill()

    def fill(self):
        for key in self.keys:
            self.maps.put(key, self.value, self.map)

    @property
    def pairs(self):
        return [(key, self.value) for key in self.keys]


@pytest.fixture(scope="module")
def nodes(cluster, program):
    """C nodes by their --max-message in KiB, for all tests of this module."""
    nodes = Nodes(cluster, program)
    started = {}

    def get(message):
        if message not in started:
            option = ("--max-message", str(message * KIB))
            started[message] = nodes.start("--grace", "0", *option)
        return started[message]

    yield get
    nodes.close()


@pytest.fixture
def bucket(nodes, alice):
    made = []

    def bucket(count, kib, message):
        maps = Maps(alice, nodes(message))
        made.append(maps)
        return Bucket(maps, count, kib * KIB)

    yield bucket
    for maps in made:
        maps.close_all()


@pytest.mark.parametrize("count, kib, message, fits", ROWS)
def test_a_chunk_is_refused_only_where_the_bucket_does_not_fit(
    count, kib, message, fits, bucket
):
    b = bucket(count, kib, message)
    for most in CHUNKS:
        if fits:
            pairs, _ = b.maps.next_chunk("start", b.map, most)
            assert sorted(pairs) == b.pairs
        else:
            with raises(("too_big", message * KIB)):
                b.maps.next_chunk("start", b.map, most)


@pytest.mark.parametrize("count, kib, message, fits", ROWS)
def test_a_drain_by_chunks_takes_the_bucket_where_it_fits(
    count, kib, message, fits, bucket
):
    b = bucket(count, kib, message)
    for most in CHUNKS if not fits else (1, 2, 100):
        if fits:
            pairs, _ = b.maps.drain_chunk("start", b.map, most)
            assert sorted(pairs) == b.pairs
            assert b.maps.size(b.map) == 0
            b.fill()
        else:
            with raises(("too_big", message * KIB)):
                b.maps.drain_chunk("start", b.map, most)
            assert b.maps.size(b.map) == count


@pytest.mark.parametrize("count, kib, message, fits", ROWS)
def test_next_goes_through_a_bucket_of_any_size(count, kib, message, fits, bucket):
    b = bucket(count, kib, message)
    assert sorted(b.maps.walk(b.map)) == b.pairs


@pytest.mark.many
def test_a_bucket_near_all_the_memory_of_a_step_is_walked(start_cnode, alice):
    """70 entries of 3 MiB: twice as many as 64 would be more than 256 MiB."""
    node = start_cnode("--max-memory", str(1 << 30))
    shape = ["hash", 4, 3 * KIB * KIB - 4096, 128, ["zero_seed", "no_prealloc"]]
    keys = sharing_a_bucket(70, 128)
    size, first = alice.eval(
        """
        Call = fun(F, A) -> erpc:call(N, ebpf_maps, F, A) end,
        Map = Call(new, Shape),
        [Call(put, [K, binary:copy(<<7>>, lists:nth(3, Shape)), Map]) || K <- Keys],
        {First, _, _} = Call(next, [Call(iterator, [Map])]),
        Size = Call(size, [Map]),
        Call(close, [Map]),
        {Size, First}.
        """,
        N=node.name,
        Shape=shape,
        Keys=keys,
        timeout=60,
    )
    assert size == 70 and first in keys
