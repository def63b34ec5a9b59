# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to ring buffers: what comes, in which order, and how gaps show."""

import struct

import pytest

from cluster import wait_until
from conftest import raises
from subscriptions import EVENT, Source, Subscriber, numbers, split

MIB = 1 << 20


def test_events_come_in_order(source, subscribe):
    s = subscribe()
    source.emit(1)
    assert numbers(s.records(1)) == [0]
    source.emit(1000)
    assert numbers(s.records(1000)) == list(range(1, 1001))
    assert s.missed == 0
    s.nothing()
    assert source.lost() == 0


def test_records_of_one_size_are_one_binary(source, subscribe):
    s = subscribe(("linger", 2000))
    for size in (16, 16, 24, 16, 1000):
        source.emit(1, size)
    first, lost, runs = s.receive()
    assert (first, lost) == (0, "unknown")
    assert [(size, len(data)) for size, data in runs] == [(16, 32), (24, 24), (16, 16), (1000, 1000)]
    assert numbers(split(runs)) == [0, 1, 2, 3, 4]


def test_a_program_that_discards_leaves_no_gap(source, subscribe):
    s = subscribe()
    source.emit(100, discard=3)
    assert numbers(s.records(100)) == list(range(100))
    assert s.missed == 0


def test_the_oldest_come_first(source, subscribe):
    source.emit(5)
    s = subscribe(("from", "oldest"))
    source.emit(2)
    assert numbers(s.records(7)) == list(range(7))
    assert s.missed == 0


def test_the_newest_alone_come_by_default(source, subscribe):
    source.emit(5)
    s = subscribe()
    source.emit(2)
    assert numbers(s.records(2)) == [5, 6]
    assert s.missed == 0
    assert source.fill() == 0


def test_messages_are_as_large_as_the_option_says(source, subscribe):
    s = subscribe(("batch", 1024), ("credit", 0), ("from", "oldest"))
    source.emit(500, 64)
    s.grant(MIB)
    sizes = []
    while sum(sizes) < 500 * 64:
        _, _, runs = s.receive()
        sizes.append(sum(len(data) for _, data in runs))
    assert sizes[0] == 1024
    assert set(sizes[:-1]) == {1024}


def test_no_message_is_longer_than_any_may_be(start_programs, events_object):
    programs = start_programs("--max-message", "30000")
    source = Source(programs, events_object)
    s = Subscriber(programs.beam, programs.node.name, source.ring, ("credit", 0))
    source.emit(500, 64)
    s.grant(MIB)
    sizes = []
    while sum(sizes) < 500 * 64:
        first, _, runs = s.receive()
        assert first == sum(sizes) // 64
        sizes.append(sum(len(data) for _, data in runs))
    assert max(sizes) < 30000


def test_an_event_lingers_for_others(source, subscribe):
    s = subscribe(("linger", 2000))
    for _ in range(3):
        source.emit(1)
    _, _, runs = s.receive()
    assert numbers(split(runs)) == [0, 1, 2]
    assert s.info()["messages"] == 1


def test_a_record_as_large_as_the_ring_allows(source, subscribe):
    s = subscribe()
    source.emit(3, 4096)
    assert numbers(s.records(3)) == [0, 1, 2]


# --- Credit ---------------------------------------------------------------------


def test_no_more_comes_than_was_granted(source, subscribe):
    s = subscribe(("credit", 160))
    source.emit(100)
    assert numbers(s.records(10)) == list(range(10))
    s.nothing()
    assert s.info()["credit"] == 0
    s.grant(47)
    assert numbers(s.records(2)) == [10, 11]
    s.nothing()
    assert s.info()["credit"] == 15
    s.grant(1)
    assert numbers(s.records(1)) == [12]
    s.nothing()
    # what is left waits in the ring
    assert source.fill() == 87 * 24
    s.grant(2**64)
    assert numbers(s.records(87)) == list(range(13, 100))
    assert s.info()["credit"] == 2**64 - 1
    assert s.missed == 0


@pytest.mark.parametrize("credit", [0, 1, 15])
def test_without_credit_all_stays_in_the_ring_until_it_is_full(source, subscribe, credit):
    s = subscribe(("credit", credit))
    source.emit(4000)
    s.nothing()
    lost = source.lost()
    room = 65536 // 24
    assert lost == 4000 - room
    s.grant(MIB)
    assert numbers(s.records(room)) == list(range(room))
    source.emit(1)
    # what the kernel dropped is no gap of this subscriber's
    assert numbers(s.records(1)) == [4000]
    assert s.missed == 0


def test_a_credit_beyond_all_numbers_is_no_limit(source, subscribe):
    s = subscribe(("credit", 2**64))
    source.emit(1000, 32)
    assert numbers(s.records(1000)) == list(range(1000))
    assert s.info()["credit"] == 2**64 - 1


def test_a_record_that_is_larger_than_the_credit_waits(source, subscribe):
    s = subscribe(("credit", 1000))
    source.emit(1, 1001)
    source.emit(1, 16)
    s.nothing()
    s.grant(1)
    assert numbers(s.records(1)) == [0]
    s.nothing()
    s.grant(16)
    assert numbers(s.records(1)) == [1]


# --- Several ---------------------------------------------------------------------


def test_all_subscribers_get_all(source, subscribe, bob):
    several = [subscribe(), subscribe(beam=bob), subscribe(("batch", 2048))]
    source.emit(1000)
    for s in several:
        assert numbers(s.records(1000)) == list(range(1000))
        assert s.missed == 0


def test_who_has_no_credit_is_passed_over_and_told(source, subscribe, bob):
    fast = subscribe()
    slow = subscribe(("credit", 32), beam=bob)
    source.emit(10)
    assert numbers(fast.records(10)) == list(range(10))
    assert numbers(slow.records(2)) == [0, 1]
    slow.nothing()
    slow.passed_over(8)
    slow.grant(MIB)
    source.emit(5)
    assert numbers(fast.records(5)) == list(range(10, 15))
    assert numbers(slow.records(5)) == list(range(10, 15))
    assert slow.missed == 8
    assert slow.info()["skipped"] == 8
    assert fast.info()["skipped"] == 0
    assert fast.missed == 0


def test_who_comes_later_counts_from_zero(source, subscribe, bob):
    first = subscribe()
    source.emit(3)
    first.records(3)
    second = subscribe(beam=bob)
    source.emit(3)
    assert numbers(second.records(3)) == [3, 4, 5]
    assert (second.missed, second.next) == (0, 3)
    assert numbers(first.records(3)) == [3, 4, 5]


def test_two_rings_have_a_subscription_each(source, events_object, subscribe):
    other = type(source)(source.programs, events_object)
    one, two = subscribe(), subscribe(ring=other.ring)
    source.emit(2)
    other.emit(3)
    assert numbers(one.records(2)) == [0, 1]
    assert numbers(two.records(3)) == [0, 1, 2]
    one.nothing()
    two.nothing()
    assert len(one.call("subscriptions")) == 2
    [info] = one.call("subscriptions", other.ring)
    assert info["subscription"] == two.subscription


def test_who_is_back_in_a_moment_is_not_passed_over(source, subscribe, bob):
    fast = subscribe()
    slow = subscribe(("credit", 32), beam=bob)
    source.emit(10)
    slow.grant(MIB)
    assert numbers(slow.records(10)) == list(range(10))
    assert numbers(fast.records(10)) == list(range(10))
    assert slow.missed == 0


def test_who_lags_by_more_than_a_part_of_the_ring_is_passed_over(source, subscribe, bob):
    fast = subscribe(("credit", 2**64))
    slow = subscribe(("credit", 0), beam=bob)
    source.emit(1000)
    assert numbers(fast.records(1000)) == list(range(1000))
    slow.passed_over(1000)
    assert source.fill() == 0


# --- Filters ----------------------------------------------------------------------

ODD = (16, "u32", "==", 1)


@pytest.mark.parametrize(
    "tests, wanted",
    [
        ([], range(10)),
        ([ODD], range(1, 10, 2)),
        ([(16, "u32", "/=", 1)], range(0, 10, 2)),
        ([ODD, (0, "u64", ">", 3), (0, "u64", "=<", 7)], [5, 7]),
        ([(0, "u8", "<", 3)], [0, 1, 2]),
        ([(0, "s8", ">=", -1)], range(10)),
        ([(0, "s64", "<", -1)], []),
        ([(0, "u16", "band", 6)], [2, 3, 4, 5, 6, 7]),
        ([(0, "be16", "==", 0x300)], [3]),
        ([(0, "be64", ">=", 0x0800000000000000)], [8, 9]),
        ([(24, "u8", "==", 0)], []),
        ([(4294967295, "u8", "==", 0)], []),
        ([(16, "u64", "==", 1)], []),
    ],
    ids=str,
)
def test_only_what_the_filter_takes_comes(source, subscribe, tests, wanted):
    s = subscribe(("filter", tests))
    all = subscribe()
    source.emit(10, 20)
    assert numbers(s.records(len(wanted))) == list(wanted)
    assert s.missed == 0
    s.nothing()
    assert s.info()["filtered"] == 10 - len(wanted)
    assert numbers(all.records(10)) == list(range(10))


def test_what_the_filter_drops_takes_no_credit_and_leaves_no_gap(source, subscribe):
    s = subscribe(("filter", [ODD]), ("credit", 40))
    source.emit(10, 20)
    assert numbers(s.records(2)) == [1, 3]
    s.nothing()
    all = subscribe()
    source.emit(4, 20)
    # the other one makes the ring go on: of what is missed only the odd ones count
    assert numbers(all.records(4)) == list(range(10, 14))
    s.passed_over(5)
    s.grant(MIB)
    source.emit(2, 20)
    assert numbers(s.records(1)) == [15]
    assert s.missed == 5


# --- Lost events ---------------------------------------------------------------------


def test_the_programs_own_count_of_lost_events_is_told(source, subscribe):
    source.emit(4000)
    before = source.lost()
    assert before > 0
    s = subscribe(("lost", source.maps[b"lost"], 0), ("from", "oldest"), ("credit", 0))
    source.emit(100)
    s.grant(MIB)
    first, lost, _ = s.receive()
    assert (first, lost) == (0, 100)


# --- Types -------------------------------------------------------------------------

@pytest.mark.parametrize("types", ["layout", "btf"])
def test_events_come_as_terms(source, subscribe, types):
    s = subscribe(("types", EVENT if types == "layout" else ("btf", "event", source.maps[b"last"])))
    source.emit(2, 32)
    found = []
    while len(found) < 2:
        first, _, [(terms, events)] = s.receive()
        assert (first, terms) == (len(found), "terms")
        found += events
    assert [(e[b"number"], e[b"odd"], e[b"text"]) for e in found] == [(0, 0, b"some text"), (1, 1, b"some text")]
    assert s.info()["bytes"] == 64
    assert s.info()["credit"] == MIB - 64


def test_of_a_shorter_record_the_rest_is_zeros_and_of_a_longer_one_ignored(source, subscribe):
    s = subscribe(("types", EVENT), ("as", ["odd", "text", "number"]), ("linger", 2000))
    source.emit(1, 20)
    source.emit(1, 40)
    assert s.receive()[2] == [("terms", [(0, b"", 0), (1, b"some text", 1)])]


def test_types_as_tuples(source, subscribe):
    s = subscribe(("types", EVENT), ("as", "tuple"))
    source.emit(1, 32)
    [(_, [(number, time, odd, text)])] = s.receive()[2]
    assert (number, odd, text) == (0, 0, b"some text")
    assert time > 0


# --- User rings -----------------------------------------------------------------------


@pytest.fixture
def push(source):
    return lambda value: source.programs.events("push", value, source.maps[b"user_ring"])


def drained(source):
    """How many records the program has drained of the user ring, and the sum of their bytes."""
    assert source.programs.run(source.drains, {"data": bytes(64)}, [])["return"] == 1
    return struct.unpack_from("=QQ", source.programs.maps("get", 0, source.maps[b".bss"]), 8)


def test_a_user_ring_is_written(source, push):
    ring = source.maps[b"user_ring"]
    for value in (b"\1", b"\2abc", bytes(9)):
        assert push(value) == ring
    assert source.programs.maps("info", ring)["fill"] == 16 + 16 + 24
    assert drained(source) == (3, 3)
    assert source.programs.maps("info", ring)["fill"] == 0


def test_a_user_ring_that_is_full_says_so(source, push):
    for _ in range(4096 // 64):
        push(bytes([1] * 56))
    with raises("enospc"):
        push(b"")
    with raises("e2big"):
        push(bytes(4089))
    # nothing of what was refused is there, and the ring goes round
    assert drained(source) == (64, 64)
    for _ in range(100):
        push(bytes([1] * 56))
        drained(source)
    assert drained(source) == (164, 164)


def test_many_grants_that_are_too_small_do_not_make_it_deaf(source, subscribe):
    s = subscribe(("credit", 0))
    source.emit(1, 64)
    for granted in range(150):
        s.grant(0)
        wait_until(lambda: s.info()["stalls"] > granted, what="it has looked")
    s.nothing()
    s.grant(MIB)
    assert numbers(s.records(1)) == [0]
    source.emit(1, 64)
    assert numbers(s.records(1)) == [1]
