# SPDX-License-Identifier: Apache-2.0
"""Histograms: which bucket a value is in, and what the edges of buckets are."""

import pytest

from etf import Atom
from host import CPUS
from metrics import counter, label, option
from native import u32, u64


def log2(value):
    """The bucket in which programs count it."""
    return max(value.bit_length() - 1, 0)


def linear(low, step):
    return lambda value: (value - low) // step


def explicit(*edges):
    return lambda value: sum(value > edge for edge in edges)


LINEAR = (Atom("linear"), 10, 5, 8)
EDGES = [0, 5, 99, 1000]
KINDS = {
    "log2": ((Atom("log2"), 16), log2, 16, [2 ** (n + 1) - 1 for n in range(15)]),
    "linear": (LINEAR, linear(10, 5), 8, [14, 19, 24, 29, 34, 39, 44]),
    "explicit": ((Atom("explicit"), EDGES), explicit(*EDGES), 5, EDGES),
}
VALUES = [10, 11, 14, 15, 16, 19, 20, 31, 32, 33, 44, 45, 63, 64, 65, 255, 256, 257, 10, 32]


@pytest.fixture
def one(fleet):
    fleet.start()
    return fleet


def counted(values, bucket, last):
    """{bucket: count}, as a program keeps it: what is larger is in the last one."""
    found = {}
    for value in values:
        n = min(bucket(value), last - 1)
        found[n] = found.get(n, 0) + 1
    return found


def up_to(values, edges):
    wanted = {float(edge): sum(value <= edge for value in values) for edge in edges}
    return {**wanted, float("inf"): len(values)}


def buckets(samples, name, **labels):
    return {float(le): n for le, n in samples.by(f"{name}_bucket", "le", **labels).items()}


@pytest.mark.parametrize("kind, bucket, number, edges", KINDS.values(), ids=KINDS)
def test_a_value_is_at_or_below_its_edge(kind, bucket, number, edges, one, metrics):
    """As cumulative counts of the values themselves are: none is in the bucket below."""
    what = one.new("m")
    one.put(one.hosts[0], what, counted(VALUES, bucket, number))
    metrics.start([counter("h", what, [label("le", 4)], (kind, Atom("u64")), type="histogram")])
    samples = metrics.scrape()
    assert samples.types["h"] == "histogram"
    assert buckets(samples, "h") == up_to(VALUES, edges)
    assert samples.get("h_count") == len(VALUES)
    assert samples.get("h_sum") is None


def test_buckets_beyond_the_last_one_are_the_last(one, metrics):
    what = one.new("m")
    one.put(one.hosts[0], what, {0: 1, 2: 1, 3: 1, 63: 1, 2**31: 1})
    value = ((Atom("log2"), 3), Atom("u64"))
    metrics.start([counter("h", what, [label("le", 4)], value, type="histogram")])
    assert buckets(metrics.scrape(), "h") == {1: 1, 3: 1, float("inf"): 5}


def test_the_number_of_a_bucket_is_beside_other_labels(one, metrics):
    what = one.new("m", key=8)
    [node] = one.hosts
    map = one.maps(node, "open", what)
    for reason, bucket, count in [(1, 0, 5), (1, 2, 1), (2, 1, 7)]:
        one.maps(node, "put", u32(reason) + u32(bucket), u64(count), map)
    one.maps(node, "close", map)
    value = ((Atom("log2"), 3), Atom("u64"))
    labels = [label("reason", 4), label("le", 4)]
    metrics.start([counter("h", what, labels, value, type="histogram")])
    samples = metrics.scrape()
    assert buckets(samples, "h", reason="1") == {1: 5, 3: 5, float("inf"): 6}
    assert buckets(samples, "h", reason="2") == {1: 0, 3: 7, float("inf"): 7}
    assert samples.by("h_count", "reason") == {"1": 6, "2": 7}


HIST = (Atom("struct"), 40, [
    (b"slots", 0, (Atom("array"), 4, Atom("u64"))), (b"total", 256, Atom("u64")),
])  # fmt: skip


@pytest.mark.parametrize("type", ["array", "percpu_array"])
def test_a_value_can_have_all_counts_and_the_sum(type, one, metrics):
    what = one.new("m", type=type, value=40, entries=1)
    [node] = one.hosts
    map = one.maps(node, "open", what)
    value = b"".join(u64(n) for n in (1, 2, 3, 4, 1000))
    many = CPUS if type == "percpu_array" else 1
    one.maps(node, "put", u32(0), [value] * many if type == "percpu_array" else value, map)
    one.maps(node, "close", map)
    options = [option("values", HIST), option("sum", b"total"), option("multiply", 1.0e-9)]
    value = ((Atom("log2"), 4), b"slots")
    metrics.start([counter("h_seconds", what, [], value, *options, type="histogram")])
    samples = metrics.scrape()
    edges = samples.by("h_seconds_bucket", "le")
    assert edges == {"1.0e-9": many, "3.0e-9": 3 * many, "7.0e-9": 6 * many, "+Inf": 10 * many}
    assert samples.get("h_seconds_count") == 10 * many
    assert samples.get("h_seconds_sum") == pytest.approx(1e-6 * many)


def test_a_value_can_be_an_array_of_counts(one, metrics):
    what = one.new("m", type="array", value=32, entries=2)
    [node] = one.hosts
    counts = one.maps(node, "open", what)
    one.maps(node, "put", u32(1), b"".join(map(u64, (1, 0, 2, 0))), counts)
    one.maps(node, "close", counts)
    value = ((Atom("linear"), 0, 10, 4), (Atom("array"), 4, Atom("u64")))
    metrics.start([counter("h", what, [label("cpu", 4)], value, type="histogram")])
    samples = metrics.scrape()
    assert buckets(samples, "h", cpu="1") == {9: 1, 19: 1, 29: 3, float("inf"): 3}
    assert buckets(samples, "h", cpu="0") == {9: 0, 19: 0, 29: 0, float("inf"): 0}


def test_each_line_of_a_histogram_counts_as_a_series(one, metrics):
    what = one.new("m", key=8)
    [node] = one.hosts
    map = one.maps(node, "open", what)
    for reason in range(10):
        one.maps(node, "put", u32(reason) + u32(0), u64(1), map)
    one.maps(node, "close", map)
    value = ((Atom("log2"), 8), Atom("u64"))
    labels = [label("reason", 4), label("le", 4)]
    declared = counter("h", what, labels, value, option("max_series", 40), type="histogram")
    metrics.start([declared])
    samples = metrics.scrape()
    assert len(samples.all("h_count")) == 4
    assert samples.get("ebpf_series_dropped", metric="h") == 6


def test_what_is_no_count_is_no_bucket(one, metrics):
    what = one.new("m", value=8)
    [node] = one.hosts
    map = one.maps(node, "open", what)
    one.maps(node, "put", u32(0), u64(2**64 - 1), map)
    one.maps(node, "put", u32(1), u64(3), map)
    one.maps(node, "close", map)
    value = ((Atom("log2"), 3), Atom("s64"))
    metrics.start([counter("h", what, [label("le", 4)], value, type="histogram")])
    samples = metrics.scrape()
    assert buckets(samples, "h") == {1: 0, 3: 3, float("inf"): 3}
    assert samples.get("ebpf_decoder_failures_total", metric="h") == 1
