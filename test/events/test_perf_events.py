# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to perf event arrays, whose events the loader's children open."""

import os
import signal
import struct
from itertools import groupby

import pytest

from beam import BeamError
from cluster import wait_until
from conftest import raises
from program_fixtures import Programs
from subscriptions import Source, Subscriber, numbers, split

pytestmark = pytest.mark.single
BUFFER = 131072  # bytes for each processor


def on(source, cpu):
    """The programs run there from now on: the children of the loader do."""
    children = f"/proc/{source.programs.node.pid}/task/{source.programs.node.pid}/children"
    with open(children) as file:
        [loader] = map(int, file.read().split())
    os.sched_setaffinity(loader, {cpu})


def emit(source, count, size=16):
    source.emit(count, size, perf=True)


@pytest.mark.parametrize("size, comes", [(12, 12), (16, 20), (20, 20), (24, 28), (64, 68)])
def test_events_come_in_order_with_what_fills_a_word(size, comes, source, subscribe):
    s = subscribe(ring=source.perf)
    emit(source, 10, size)
    first, lost, runs = s.receive()
    assert (first, lost) == (0, 0)
    assert {len(record) for record in split(runs)} == {comes}
    assert numbers(split(runs)) == [*range(10)]


def test_events_of_all_processors_come_in_the_order_of_each(source, subscribe):
    cpus = sorted(os.sched_getaffinity(0))
    assert len(cpus) > 1
    s = subscribe(ring=source.perf)
    made = []
    for round in range(10):
        cpu = cpus[round % 2]
        on(source, cpu)
        made += [(cpu, number) for number in range(source.made, source.made + 100)]
        emit(source, 100)
    found = numbers(s.records(1000))
    assert sorted(found) == [number for _, number in made]
    for cpu in cpus[:2]:
        own = {number for at, number in made if at == cpu}
        assert [number for number in found if number in own] == sorted(own)
    assert s.missed == 0


def test_large_events_over_the_end_of_a_buffer_are_whole(source, subscribe):
    """16 to 4,096 bytes: each turn of the buffer is cut elsewhere."""
    s = subscribe(("buffer", 4096), ("batch", 262144), ring=source.perf)
    for size in range(16, 4000, 61):
        emit(source, 1, size)
        [record] = s.records(1)
        number, time, odd, text = struct.unpack_from("=QQI10s", record.ljust(40, b"\0"))
        assert number == source.made - 1 and time > 0
        assert size < 30 or (odd, text) == (number & 1, b"some text\0")
        assert not any(record[32:size])
    assert source.lost() == 0


def test_what_the_kernel_lost_is_told_with_the_next_event(source, subscribe):
    s = subscribe(("credit", 0), ring=source.perf)
    on(source, 0)
    emit(source, 2 * BUFFER // 32)
    kept = source.made - source.lost()
    assert 0 < kept <= BUFFER / 32
    s.nothing()
    s.grant(2**32)
    assert len(s.records(kept)) == kept
    emit(source, 1)
    first, lost, runs = s.receive()
    assert lost == source.lost() > 0
    assert first == kept and first + lost + 1 == source.made
    assert numbers(split(runs)) == [source.made - 1]


def test_received_and_gaps_and_lost_are_all_that_were_made(source, subscribe):
    """One who takes all, one who takes some, and a buffer that is full at times."""
    on(source, 0)
    greedy = subscribe(("buffer", 16384), ("credit", 2**64), ring=source.perf)
    frugal = subscribe(("credit", 40), ring=source.perf)
    emit(source, 5000)
    wait_until(lambda: source_is_read(greedy), what="the buffer is empty")
    frugal.grant(2**64)
    emit(source, 1)
    for s in greedy, frugal:
        got, end = [], 0
        while numbers(got)[-1:] != [source.made - 1]:
            first, lost, runs = s.receive()
            records = split(runs)
            got += records
            end = first + len(records)
        assert end + lost == source.made
        assert lost == source.lost()
        if s is greedy:
            assert len(got) == end
        else:
            assert 3 <= len(got) < end


def source_is_read(subscriber):
    return subscriber.info()["fill"] == 0


def test_a_perf_event_array_has_events_no_longer_than_somebody_subscribes(source, subscribe):
    """Without a perf event the program's output fails."""
    node = source.programs.node
    emit(source, 1)
    assert source.lost() == 1
    before = node.descriptors()
    first, second = subscribe(ring=source.perf), subscribe(ring=source.perf)
    cpus = len(os.sched_getaffinity(0))
    assert len(node.descriptors()) == len(before) + cpus
    emit(source, 3)
    assert numbers(first.records(3)) == numbers(second.records(3)) == [1, 2, 3]
    first.call("unsubscribe", first.subscription)
    emit(source, 3)
    assert numbers(second.records(3)) == [4, 5, 6]
    second.call("unsubscribe", second.subscription)
    wait_until(lambda: sorted(node.descriptors()) == sorted(before), what="all are closed")
    emit(source, 2)
    assert source.lost() == 3
    third = subscribe(ring=source.perf)
    emit(source, 1)
    assert numbers(third.records(1)) == [9]


def test_a_lone_event_does_not_wait_for_others(source, subscribe):
    s = subscribe(ring=source.perf)
    for _ in range(20):
        emit(source, 1)
        assert len(s.records(1)) == 1


def test_terms_filters_and_fill(source, subscribe):
    types = ("types", ("struct", 20, [("number", 0, "u64"), ("odd", 128, "u32")]))
    s = subscribe(types, ("filter", [(16, "u32", "==", 1)]), ring=source.perf)
    paused = subscribe(("credit", 0), ring=source.perf)
    emit(source, 4, 20)
    _, _, [(_, terms)] = s.receive()
    assert terms == [{b"number": n, b"odd": 1} for n in (1, 3)]
    assert s.info()["filtered"] == 2
    s.call("unsubscribe", s.subscription)
    emit(source, 1, 20)
    assert paused.info()["fill"] >= 36


def test_a_handle_that_is_closed_ends_it(source, subscribe):
    s = subscribe(ring=source.perf)
    s.monitor()
    source.programs.maps("close", source.perf)
    assert s.end() == ("shutdown", "closed")


@pytest.mark.parametrize("bytes", [0, 1, 4095, 8191, 12288, 2**25, -4096, "all"])
def test_a_buffer_is_pages_as_many_as_a_power_of_two(bytes, source, alice):
    me = alice.eval("self()")
    with raises("badarg"):
        source.programs.events("subscribe", source.perf, me, [("buffer", bytes)])


@pytest.mark.sandbox
def test_a_buffer_that_the_kernel_does_not_give_is_eperm(source, alice):
    """perf_event_mlock_kb, 516 by default, for each processor, without CAP_IPC_LOCK."""
    me = alice.eval("self()")
    with source.programs.unchanged():
        answer = source.programs.events("subscribe", source.perf, me, [("buffer", 2**24)])
        assert answer == ("error", "eperm")
    assert source.programs.events("subscribe", source.perf, me, []).kind == "pid"


@pytest.mark.parametrize(
    "options, why",
    [
        (["--programs", "xdp"], "--programs does not allow the type: perf_event_array"),
        ([], "this node serves no programs"),
    ],
)
def test_it_takes_programs_of_tracing(options, why, start_cnode, alice):
    node = start_cnode(*options, "--allow", "*=load")
    call = Programs(alice, node)
    map = call.maps("new", "perf_event_array", 4, 4, 2)
    with raises("eacces"):
        call.events("subscribe", map, alice.eval("self()"), [])
    node.wait_log(f"refused subscribe/3 to {alice.name}.*{why}")


def test_the_array_of_somebody_else_takes_load(start_cnode, source, bob):
    id = source.programs.maps("info", source.perf)["id"]
    node = start_cnode("--programs", "all", "--allow", f"{bob.name}=rw", "--allow", "*=load")
    with raises("eacces"):
        Subscriber(bob, node.name, ("id", id))
    node.wait_log("refused subscribe/3 to .*: the ring was not made here, .*: id")
    s = Subscriber(source.programs.beam, node.name, ("id", id))
    emit(source, 1)
    assert numbers(s.records(1)) == [0]


def test_push_into_it_is_an_error(source):
    with raises("enotsup"):
        source.programs.events("push", b"x", source.perf)


def test_a_processor_for_which_the_map_has_no_entry_is_left_out(start_programs, alice):
    programs = start_programs()
    map = programs.maps("new", "perf_event_array", 4, 4, 1)
    before = programs.node.descriptors()
    s = Subscriber(alice, programs.node.name, map)
    assert len(programs.node.descriptors()) == len(before) + 1
    s.call("unsubscribe", s.subscription)


@pytest.mark.parametrize("cpu", [0, 1])
def test_credit_frees_whichever_buffer_waits_for_it(cpu, source, subscribe):
    """A look begins with another buffer each time."""
    s = subscribe(("credit", 0), ring=source.perf)
    on(source, cpu)
    for number in range(9):
        emit(source, 1)
        wait_until(lambda: s.info()["stalls"] > number, what="it waits for credit")
        s.grant(20)
        assert numbers(s.records(1)) == [number]


def test_who_was_passed_over_once_gets_what_comes_afterwards(source, subscribe):
    on(source, 0)
    slow, fast = subscribe(("credit", 0), ring=source.perf), subscribe(ring=source.perf)
    emit(source, 1)
    assert numbers(fast.records(1)) == [0]
    slow.passed_over(1)
    slow.grant(2**64)
    for number in range(1, 9):
        emit(source, 1)
        assert numbers(fast.records(1)) == numbers(slow.records(1)) == [number]
    assert slow.info()["skipped"] == 1


@pytest.mark.parametrize("more", range(3))
def test_a_node_that_was_stopped_gets_all_that_the_buffer_holds(more, source, start_beam):
    beam = start_beam()
    on(source, 0)
    Subscriber(beam, source.programs.node.name, source.perf, ("credit", 2**64))

    def info():
        [info] = source.programs.events("subscriptions")
        return info

    os.kill(beam.pid, signal.SIGSTOP)
    try:
        while info()["stalls"] == 0:  # beyond what the sockets between them hold
            emit(source, 200, 4000)
        emit(source, more, 4000)
    finally:
        os.kill(beam.pid, signal.SIGCONT)
    wait_until(lambda: info()["fill"] == 0, what="all is sent")
    assert info()["skipped"] == 0


def test_perf_events_leave_the_descriptors_that_connections_need(start_programs, alice, start_beam):
    few = ["--max-maps", "60", "--max-connections", "8", "--max-handshakes", "8"]
    loads = ["--max-loads", "1", "--max-programs", "4"]
    programs = start_programs(*few, *loads, wrapper=["prlimit", "--nofile=170:170"])
    me = alice.eval("self()")
    answers = []
    while answers[-1:] != [("error", "emfile")]:
        assert len(answers) < 60
        map = programs.maps("new", "perf_event_array", 4, 4, 2)
        answers.append(programs.events("subscribe", map, me, [("buffer", 4096)]))
    assert len(answers) > 1
    assert programs.beam.erpc(programs.node.name, "features")
    assert start_beam().erpc(programs.node.name, "features")
    assert not programs.node.find_log("--max-subscriptions")


def test_a_handle_that_is_closed_as_it_is_subscribed_to_keeps_nothing(source, start_beam, bob):
    """There is neither handle nor subscription afterwards, whoever was first."""
    programs = source.programs
    kept = programs.events("subscriptions")
    for wait in range(60):
        map = programs.maps("new", "perf_event_array", 4, 4, 2)
        me = programs.beam.eval("self()")
        request = [programs.node.name, "ebpf_events", "subscribe", [map, me, []]]
        programs.beam.start_apply("erpc", "call", request)
        bob.eval("timer:sleep(N)", N=wait % 4)
        assert bob.erpc(programs.node.name, "close", map) == "ok"
        try:
            programs.beam.finish()
        except BeamError as e:
            assert e.reason[1][0] == "badmap", e
        assert programs.events("subscriptions") == kept


def test_a_handle_that_may_only_read_is_eacces(source, alice):
    reading = source.programs.maps("open", ("id", source.programs.maps("info", source.perf)["id"]), ["read"])
    answer = source.programs.events("subscribe", reading, alice.eval("self()"), [])
    assert answer == ("error", "eacces")


def test_a_frozen_array_is_eperm(source, alice):
    source.programs.maps("freeze", source.perf)
    answer = source.programs.events("subscribe", source.perf, alice.eval("self()"), [])
    assert answer == ("error", "eperm")
