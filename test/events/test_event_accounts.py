# SPDX-License-Identifier: Apache-2.0
"""Received and gaps are what was made, whatever becomes of those who subscribe."""

import os
import signal

import pytest

from cluster import wait_until
from subscriptions import Subscriber, numbers, split

COUNTER = """
    Count = fun Count(Next, Got, Missed, Last) ->
        receive
            {ebpf_events, S, First, _, Runs} ->
                Records = [R || {Size, B} <- Runs, <<R:Size/binary>> <= B],
                <<Number:64/little, _/binary>> = lists:last(Records),
                S ! {credit, lists:sum([byte_size(B) || {_, B} <- Runs])},
                Count(First + length(Records), Got + length(Records), Missed + First - Next, Number);
            {count, From} ->
                From ! {counted, Got, Missed, Last},
                Count(Next, Got, Missed, Last)
        end
    end,
    P = spawn(fun() -> Count(0, 0, 0, none) end),
    S = erpc:call(Node, ebpf_events, subscribe, [Ring, P, Options]),
    {P, S}
"""
COUNTED = "P ! {count, self()}, receive {counted, G, M, L} -> {G, M, L} after 10000 -> none end"


class Counting:
    """A process that counts events and gaps, and grants what it gets."""

    def __init__(self, source, beam, *options):
        self.beam = beam
        node = source.programs.node.name
        self.pid, self.subscription = beam.eval(COUNTER, Node=node, Ring=source.ring, Options=list(options))

    def counted(self):
        """(events, gaps, the number in the last event)"""
        return self.beam.eval(COUNTED, P=self.pid)

    def settled(self, last):
        wait_until(lambda: self.counted()[2] == last, what="the last one has come")
        return self.counted()


@pytest.fixture
def flood(large_source):
    """Makes events, in turns, while something happens; returns how many."""

    def flood(turns=40, count=500, size=64):
        for _ in range(turns):
            large_source.emit(count, size)
        return turns * count

    return flood


def test_nothing_is_lost_where_everybody_keeps_up(large_source, flood, alice, bob):
    several = [Counting(large_source, alice), Counting(large_source, alice), Counting(large_source, bob), Counting(large_source, bob)]
    made = flood()
    assert large_source.lost() == 0
    for one in several:
        assert one.settled(made - 1) == (made, 0, made - 1)


@pytest.mark.parametrize("end", ["kill", "stop", "cut"])
def test_what_becomes_of_one_costs_the_others_nothing(large_source, flood, alice, start_beam, end):
    stays = Counting(large_source, alice)
    other = start_beam()
    Counting(large_source, other)
    made = flood(5)
    if end == "kill":
        other.kill()
    elif end == "stop":
        os.kill(other.pid, signal.SIGSTOP)
    else:
        other.eval("erlang:disconnect_node(N)", N=large_source.programs.node.name)
    made += flood(40)
    assert large_source.lost() == 0
    assert stays.settled(made - 1) == (made, 0, made - 1)
    if end == "stop":
        os.kill(other.pid, signal.SIGCONT)


def test_a_node_that_stops_has_a_gap_for_all_that_it_did_not_get(large_source, flood, alice, start_beam):
    """It reads nothing for a while; then what it got and its gaps are all there was."""
    stays = Counting(large_source, alice)
    stops = start_beam()
    slow = Counting(large_source, stops, ("credit", 2**64))
    made = flood(2)
    slow.settled(made - 1)
    os.kill(stops.pid, signal.SIGSTOP)
    # beyond what the sockets between them hold
    for _ in range(60):
        made += flood(20, 700, 4096 - 8)
        skipped = {i["skipped"] for i in large_source.programs.events("subscriptions")}
        if len(skipped) > 1:
            break
    os.kill(stops.pid, signal.SIGCONT)
    lost = large_source.lost()
    large_source.emit(1)
    made += 1
    got, missed, last = slow.settled(made - 1)
    assert missed > 0
    assert got + missed == made - lost
    got, missed, last = stays.settled(made - 1)
    assert got + missed == made - lost


@pytest.mark.counts
def test_memory_of_who_does_not_read_is_bounded(large_source, flood, alice, start_beam):
    stops = start_beam()
    Counting(large_source, alice)
    Counting(large_source, stops, ("credit", 2**64))
    flood(2)
    before = large_source.programs.node.anonymous_kib()
    os.kill(stops.pid, signal.SIGSTOP)
    for _ in range(20):
        flood(20, 700, 4088)
    assert large_source.programs.node.anonymous_kib() < before + 1024
    os.kill(stops.pid, signal.SIGCONT)


def test_a_paused_subscriber_leaves_a_full_ring_to_itself(source, alice):
    """Alone it loses what the ring cannot hold, and all else comes when it goes on."""
    s = Subscriber(alice, source.programs.node.name, source.ring, ("credit", 0))
    for _ in range(10):
        source.emit(1000, 64)
    lost = source.lost()
    assert lost > 0
    s.grant(1 << 30)
    found = numbers(s.records(10000 - lost))
    assert found == sorted(found) and len(set(found)) == len(found)
    source.emit(1)
    assert numbers(s.records(1)) == [10000]
    assert s.missed == 0


def test_subscriptions_in_a_loop_beside_one_that_stays(large_source, flood, alice, bob):
    stays = Counting(large_source, alice)
    loop = """
        [begin
            S = erpc:call(Node, ebpf_events, subscribe, [Ring, self(), [{from, oldest}]]),
            ok = erpc:call(Node, ebpf_events, unsubscribe, [S])
        end || _ <- lists:seq(1, 200)], done
    """
    bob.start_eval(loop, Node=large_source.programs.node.name, Ring=large_source.ring)
    made = flood(60)
    assert bob.finish() == "done"
    assert large_source.lost() == 0
    assert stays.settled(made - 1) == (made, 0, made - 1)


def restarted(start_cnode, old=None):
    """A C node that reads the rings of others; of the same name as an old one."""
    return start_cnode("--allow", "*=load", sname=old and old.sname)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_of_the_c_node_loses_no_more_than_was_on_its_way(
    how, large_source, flood, start_cnode, alice
):
    """The ring is another's and goes on: who subscribes again begins where it was left.

    A node that is killed has not always noted in the ring what it has sent last: that comes again.
    """
    ring = ("id", large_source.programs.maps("info", large_source.ring)["id"])
    found, gaps, node = [], [], None
    for _ in range(5):
        node = restarted(start_cnode, node)
        s = Subscriber(alice, node.name, ring, ("from", "oldest"), ("credit", 2**64))
        s.monitor()
        flood(4)
        got = numbers(s.records(200))
        if how == signal.SIGTERM:
            node.stop()
        else:
            node.kill()
        flood(1)  # while nobody reads
        assert s.end(20000) == "noconnection"  # and all has come that was sent
        while (message := s.receive(0)) != "none":
            got += numbers(split(message[2]))
        assert got == list(range(got[0], got[-1] + 1))  # each once, and without a gap
        gaps.append(got[0] - (found[-1] + 1 if found else 0))
        found += got
    node = restarted(start_cnode, node)
    s = Subscriber(alice, node.name, ring, ("from", "oldest"), ("credit", 2**64))
    rest = numbers(s.records(1))
    while rest[-1] < large_source.made - 1:
        rest += numbers(s.records(1))
    assert rest == list(range(rest[0], large_source.made))
    gaps.append(rest[0] - found[-1] - 1)
    found += rest
    assert large_source.lost() == 0
    if how == signal.SIGTERM:
        assert gaps == [0] * 6 and found == list(range(large_source.made))
