# SPDX-License-Identifier: Apache-2.0
"""What cannot be subscribed to, by whom, and with which options."""

import pytest

from conftest import raises
from program_fixtures import Programs
from subscriptions import Source, Subscriber, numbers

pytestmark = pytest.mark.single


@pytest.fixture
def call(source, alice):
    """subscribe/3 of the process that evaluates."""
    me = alice.eval("self()")

    def call(ring, options=None, pid=me):
        return source.programs.events("subscribe", ring, pid, options or [])

    return call


@pytest.mark.parametrize(
    "options",
    [
        ["x"],
        [("credit", -1)],
        [("credit", "many")],
        [("batch", 1023)],
        [("batch", 262145)],
        [("linger", 60001)],
        [("from", "now")],
        [("as", "map")],
        [("types", ("struct", 1, [("a", 0, "u16")]))],
        [("types", "u32"), ("as", ["a"])],
        [("types", ("btf", "", "x"))],
        [("filter", "x")],
        [("filter", [(0, "u8", "==")])],
        [("filter", [(-1, "u8", "==", 1)])],
        [("filter", [(0, "u128", "==", 1)])],
        [("filter", [(0, "u8", "=:=", 1)])],
        [("filter", [(0, "u8", "==", 256)])],
        [("filter", [(0, "u8", "==", -1)])],
        [("filter", [(0, "s8", "==", 128)])],
        [("filter", [(0, "s16", "==", -32769)])],
        [("filter", [(0, "u8", "==", 1)] * 9)],
        [("lost", "x")],
        [("lost", ("x", 0))],
        [("lost", "x", 0, 0)],
        [("unknown", 1)],
    ],
    ids=str,
)
def test_wrong_options(source, call, options):
    with raises("badarg"):
        call(source.ring, options)


def test_a_pid_of_another_node_is_none_of_the_callers(source, call, bob):
    with raises("badarg"):
        call(source.ring, pid=bob.eval("self()"))
    with raises("badarg"):
        call(source.ring, pid="name")


def test_other_maps_are_no_rings(source, call):
    hash = source.programs.maps("new", "hash", 4, 4, 1)
    with raises("enotsup"):
        call(hash)
    with raises("enotsup"):
        call(source.maps[b"user_ring"])
    with raises(("badmap", "x")):
        call("x")
    with raises("enotsup"):
        source.programs.events("push", b"", hash)


def test_a_counter_of_lost_events_is_a_map_of_numbers(source, call):
    small = source.programs.maps("new", "hash", 4, 4, 1)
    with raises("badarg"):
        call(source.ring, [("lost", small, 0)])
    with raises("badarg"):
        call(source.ring, [("lost", source.maps[b"lost"], b"too long")])


def test_types_that_are_too_large_or_not_there(source, call):
    assert call(source.ring, [("types", ("bytes", 65537))]) == ("error", "e2big")
    assert call(source.ring, [("types", ("btf", "nobody", source.maps[b"last"]))]) == ("error", "notype")
    plain = source.programs.maps("new", "hash", 4, 4, 1)
    assert call(source.ring, [("types", ("btf", "event", plain))]) == ("error", "notype")


def test_a_ring_that_may_only_be_read_has_no_reader(source, call):
    id = source.programs.maps("info", source.ring)["id"]
    ring = source.programs.maps("open", ("id", id), [("flags", 8)])
    assert call(ring) == ("error", "eacces")


def test_a_frozen_ring_has_no_reader(source, call):
    source.programs.maps("freeze", source.ring)
    assert call(source.ring) == ("error", "eperm")


def test_no_more_than_max_subscriptions(start_programs, events_object):
    programs = start_programs("--max-subscriptions", "3")
    source = Source(programs, events_object)
    several = [Subscriber(programs.beam, programs.node.name, source.ring) for _ in range(3)]
    one_more = [source.ring, several[0].me, []]
    assert several[0].call("subscribe", *one_more) == ("error", "emfile")
    programs.node.wait_log("refused a subscription to .*: there are --max-subscriptions 3 already")
    source.emit(1)
    for s in several:
        assert numbers(s.records(1)) == [0]
    several[0].call("unsubscribe", several[0].subscription)
    assert several[0].call("subscribe", *one_more) != ("error", "emfile")
    assert programs.maps("features")["options"]["max_subscriptions"] == 3


def test_256_subscriptions_and_one_more(source, subscribe):
    several = [subscribe(("batch", 1024)) for _ in range(256)]
    assert several[0].call("subscribe", source.ring, several[0].me, []) == ("error", "emfile")
    source.emit(3)
    for s in several:
        assert numbers(s.records(3)) == [0, 1, 2]
    assert {s.missed for s in several} == {0}


def test_who_may_only_read_may_not_take_events(start_cnode, events_object, alice, bob):
    node = start_cnode("--programs", "all", "--allow", f"{bob.name}=ro", "--allow", "*=load")
    programs = Programs(alice, node)
    source = Source(programs, events_object)
    with raises("eacces"):
        Subscriber(bob, programs.node.name, source.ring)
    assert programs.events("subscriptions", beam=bob) == []
    with raises("eacces"):
        programs.events("push", b"", source.maps[b"user_ring"], beam=bob)


def test_the_audit_trail_tells_who_subscribes(start_programs, events_object):
    programs = start_programs("--log-level", "info")
    source = Source(programs, events_object)
    s = Subscriber(programs.beam, programs.node.name, source.ring)
    id = programs.maps("info", source.ring)["id"]
    told = rf'info subscribed {s.beam.name} <.*> subscribe/3: map {id} ringbuf "ring"'
    programs.node.wait_log(told)


def test_the_ring_of_somebody_else_takes_load(start_cnode, source, bob):
    """A node that may write may subscribe to what was made here, by whomever."""
    id = source.programs.maps("info", source.ring)["id"]
    node = start_cnode("--allow", f"{bob.name}=rw", "--allow", "*=load")
    with raises("eacces"):
        Subscriber(bob, node.name, ("id", id))
    node.wait_log("refused subscribe/3 to .*: the ring was not made here, .*: id")
    s = Subscriber(source.programs.beam, node.name, ("id", id))
    source.emit(1)
    assert numbers(s.records(1)) == [0]
    s.call("unsubscribe", s.subscription)
    # where it was made
    own = bob.erpc(node.name, "new", "ringbuf", 0, 0, 4096)
    Subscriber(bob, node.name, own)
