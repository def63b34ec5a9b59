# SPDX-License-Identifier: Apache-2.0
"""How subscriptions end, and what their watchers learn of it."""

import mmap
import os
import struct
from pathlib import Path

import pytest

from bpf_objects import libbpf
from cluster import wait_until
from subscriptions import Subscriber, numbers


def count(source):
    return len(source.programs.events("subscriptions"))


@pytest.fixture
def over(source):
    """Nothing is left of any subscription."""

    def over():
        wait_until(lambda: count(source) == 0, what="no subscription is left")
        source.emit(1)  # the ring takes events as if nothing had been
        mapped = Path(f"/proc/{source.programs.node.pid}/maps")
        wait_until(lambda: "bpf-map" not in mapped.read_text(), what="no ring is mapped")

    return over


def test_unsubscribe_ends_it(source, subscribe, over):
    s = subscribe()
    s.monitor()
    source.emit(3)
    assert numbers(s.records(3)) == [0, 1, 2]
    assert s.call("unsubscribe", s.subscription) == "ok"
    assert s.end() == "normal"
    assert s.call("unsubscribe", s.subscription) == ("error", "esrch")
    source.emit(3)
    s.nothing()
    over()


def test_what_was_read_before_the_end_comes_before_it(source, subscribe):
    s = subscribe(("linger", 60000))
    source.emit(3)
    wait_until(lambda: s.info()["credit"] < 1 << 20, what="they are read")
    s.nothing()
    s.monitor()
    assert s.call("unsubscribe", s.subscription) == "ok"
    assert numbers(s.records(3)) == [0, 1, 2]
    assert s.end() == "normal"


@pytest.mark.parametrize(
    "reason, told",
    [("normal", "normal"), ("kill", "killed"), ("{my, [reason]}", ("my", ["reason"]))],
)
def test_exit_ends_it(source, subscribe, over, reason, told):
    s = subscribe()
    s.monitor()
    s.beam.eval(f"exit(S, {reason})", S=s.subscription)
    assert s.end() == told
    over()


def test_who_monitors_too_late_or_no_longer_is_told_like_any_process(source, subscribe):
    s = subscribe()
    s.monitor()
    s.beam.eval("demonitor(M, [flush])", M=s.reference)
    s.call("unsubscribe", s.subscription)
    assert s.end(100) == "none"
    s.monitor()
    assert s.end() == "noproc"


def test_a_linked_process_is_told(source, subscribe, over):
    s = subscribe()
    s.beam.eval("process_flag(trap_exit, true), link(S)", S=s.subscription)
    s.call("unsubscribe", s.subscription)
    assert s.beam.eval("receive {'EXIT', S, R} -> R after 5000 -> none end", S=s.subscription) == "normal"
    over()


def test_an_unlinked_process_is_not(source, subscribe):
    s = subscribe()
    s.beam.eval("process_flag(trap_exit, true), link(S), unlink(S)", S=s.subscription)
    s.call("unsubscribe", s.subscription)
    assert s.beam.eval("receive {'EXIT', _, R} -> R after 100 -> none end") == "none"


def test_it_ends_with_a_process_that_is_linked(source, subscribe, over):
    s = subscribe()
    s.monitor()
    s.beam.eval("spawn(fun() -> link(S), exit(because) end)", S=s.subscription)
    assert s.end() == "because"
    over()


def test_it_ends_with_the_process_that_gets_the_events(source, alice, over):
    make = """
        Me = self(),
        P = spawn(fun() -> receive stop -> ok end end),
        S = erpc:call(Node, ebpf_events, subscribe, [Ring, P]),
        M = monitor(process, S),
        P ! stop,
        receive {'DOWN', M, process, S, R} -> R after 5000 -> none end
    """
    assert alice.eval(make, Node=source.programs.node.name, Ring=source.ring) == "normal"
    over()


def test_a_process_that_is_none_ends_it_at_once(source, alice, over):
    make = """
        P = spawn(fun() -> ok end),
        timer:sleep(10),
        S = erpc:call(Node, ebpf_events, subscribe, [Ring, P]),
        is_pid(S)
    """
    assert alice.eval(make, Node=source.programs.node.name, Ring=source.ring) == "true"
    over()


def test_it_ends_with_the_connection(source, subscribe, start_beam, over):
    beam = start_beam()
    s = subscribe(beam=beam)
    s.monitor()
    beam.eval("erlang:disconnect_node(N)", N=s.node)
    assert s.end() == "noconnection"
    over()


def test_it_ends_with_a_node_that_is_killed(source, subscribe, start_beam, over):
    beam = start_beam()
    subscribe(beam=beam)
    stays = subscribe()
    source.emit(2)
    beam.kill()
    wait_until(lambda: count(source) == 1, what="it is gone")
    source.emit(2)
    assert numbers(stays.records(4)) == [0, 1, 2, 3]
    stays.call("unsubscribe", stays.subscription)
    over()


def test_a_ring_goes_with_the_node_that_made_it(start_cnode, start_beam):
    """The thread that slept over it does not keep it."""
    node, beam = start_cnode("--grace", "0"), start_beam()
    ring = beam.erpc(node.name, "new", "ringbuf", 0, 0, 65536)
    id = beam.erpc(node.name, "info", ring)["id"]
    Subscriber(beam, node.name, ring)
    beam.kill()

    def is_gone():
        fd = libbpf.bpf_map_get_fd_by_id(id)
        if fd >= 0:
            os.close(fd)
        return fd < 0

    wait_until(is_gone, what="the kernel has freed the ring")


def test_the_end_of_the_node_is_told_as_that_of_any_node(source, subscribe):
    s = subscribe()
    s.monitor()
    source.programs.node.stop()
    assert s.end() == "noconnection"


def test_it_ends_with_the_handle_of_its_ring(source, subscribe, over):
    s = subscribe()
    s.monitor()
    source.emit(2)
    assert numbers(s.records(2)) == [0, 1]
    assert source.programs.maps("close", source.ring) == "ok"
    assert s.end() == ("shutdown", "closed")
    over()


def test_another_handle_of_the_ring_is_not_its_own(source, subscribe):
    id = source.programs.maps("info", source.ring)["id"]
    other = source.programs.maps("open", ("id", id), [("lifetime", "process")])
    one, two = subscribe(), subscribe(ring=("id", id))
    if other != source.ring:
        source.programs.maps("close", other)
    source.emit(1)
    assert numbers(one.records(1)) == [0]
    assert numbers(two.records(1)) == [0]


def test_who_else_reads_the_ring_is_noticed(source, subscribe, over):
    s = subscribe(("credit", 16))
    s.monitor()
    source.emit(3)
    s.records(1)
    wait_until(lambda: source.fill() == 48, what="it has given back the first one")
    id = source.programs.maps("info", source.ring)["id"]
    fd = libbpf.bpf_map_get_fd_by_id(id)
    assert fd >= 0
    with mmap.mmap(fd, mmap.PAGESIZE) as consumer:
        [at] = struct.unpack_from("=Q", consumer)
        struct.pack_into("=Q", consumer, 0, at + 48)
    os.close(fd)
    source.emit(1)
    s.grant(1000)
    assert s.end() == ("shutdown", "stolen")
    s.nothing()
    over()


def test_many_ends_leave_nothing(source, subscribe, over):
    before = source.programs.node.descriptors()
    for _ in range(200):
        s = subscribe(("from", "oldest"), ("linger", 5))
        source.emit(1)
        s.call("unsubscribe", s.subscription)
    over()
    assert source.programs.node.descriptors() == before


def test_only_the_node_of_the_process_ends_it_or_grants(source, subscribe, bob):
    s = subscribe(("credit", 16))
    bob.eval("S ! {credit, 1000}", S=s.subscription)
    bob.eval("exit(S, normal)", S=s.subscription)
    events = source.programs.events
    assert events("unsubscribe", s.subscription, beam=bob) == ("error", "esrch")
    assert s.info()["credit"] == 16


@pytest.mark.parametrize("message", ["{credit, -1}", "{credit, x}", "{credit}", "credit", "{credit, 1, 2}", "<<>>"])
def test_messages_that_it_does_not_understand_are_dropped(source, subscribe, message):
    s = subscribe(("credit", 16))
    s.beam.eval(f"S ! {message}", S=s.subscription)
    s.grant(8)
    wait_until(lambda: s.info()["credit"] == 24, what="the credit has come")
