# SPDX-License-Identifier: Apache-2.0
"""The wall clock is set back by an hour while the node runs.

By libfaketime, never the machine's own. It leaves the monotonic clock alone,
as the kernel does when somebody sets the time: one that is faked too would
jump as no clock of a host ever does.
"""

import datetime
import re
import time
from pathlib import Path

import pytest

from cluster import wait_until, without_sandbox
from conftest import before, raises
from slow_calls import slow_calls, threads_of

pytestmark = pytest.mark.preload

HASH = ("hash", 4, 8, 4)
HOUR = datetime.timedelta(hours=1)


@pytest.fixture
def clock(tmp_path):
    """A wall clock that can be set, and the environment that has it."""
    found = sorted(Path("/usr/lib").glob("*-linux-gnu/faketime/libfaketimeMT.so.1"))
    assert found, "no libfaketime here (Debian: faketime)"
    return Clock(found[0], tmp_path / "time")


class Clock:
    def __init__(self, library, path):
        self.path = path
        self.set("+0")
        self.env = {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(path),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # or it has pthread_cond_timedwait() keep time by the other clock
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
        }

    def set(self, offset):
        new = self.path.with_suffix(".new")
        new.write_text(offset + "\n")
        new.rename(self.path)


def logged_at(line):
    return datetime.datetime.fromisoformat(re.match(r"\S+(?=Z )", line)[0])


@pytest.fixture
def start(start_cnode, program, cluster, clock):
    outside = without_sandbox(program)  # inside libfaketime reads no file

    def start(*options):
        return start_cnode(*outside, *options, env={**cluster.env, **clock.env})

    return start


def visited_at(node, connect):
    """What the node's log says when somebody has come."""
    peer = connect(node)
    line = node.wait_log(f"notice connected {re.escape(peer.name)} ").string
    peer.close()
    return logged_at(line)


def set_back(node, clock, connect):
    """Sets it back, and sees that the node's log has jumped with it."""
    before = visited_at(node, connect)
    clock.set("-1h")
    assert before - visited_at(node, connect) > HOUR * 0.9, node.log


def test_a_grace_ends_though_the_clock_goes_back(
    start, clock, connect, start_beam, alice
):
    grace = 5  # s
    node = start("--grace", grace)
    maker = start_beam()
    map = maker.erpc(node.name, "new", *HASH)
    assert alice.apply("net_adm", "ping", node.name) == "pong"
    gone = time.monotonic()
    maker.kill()
    node.wait_log(f"disconnected {maker.name}")
    with before(gone + grace):
        assert alice.erpc(node.name, "put", 1, 1, map) == map
    set_back(node, clock, connect)
    wait_until(lambda: node.map_count() == 0, 10, "the grace is over")
    with raises(("badmap", map)):
        alice.erpc(node.name, "get", 1, map)


def test_ticks_and_deadlines_go_on_though_the_clock_goes_back(
    start, clock, connect, alice
):
    """Who ticks stays, who is silent goes, and so does who shakes no hands."""
    node = start("--ticktime", "4")
    map = alice.erpc(node.name, "new", *HASH)
    silent = connect(node)
    ticking = connect(node)
    unfinished = connect(node, handshake=False)
    set_back(node, clock, connect)

    def gone():
        ticking.tick()
        alice.erpc(node.name, "put", 1, 1, map)
        silence = node.find_log(f"disconnected {silent.name}: it sent nothing for")
        return silence and node.find_log("refused .* the handshake timed out")

    wait_until(gone, 15, "the silent peer is disconnected")
    unfinished.wait_closed()
    assert ticking.serves()
    assert not node.find_log(f"disconnected {ticking.name}")


def test_lines_of_a_kind_are_counted_by_the_second_though_the_clock_goes_back(
    start, clock, connect
):
    """A limit that went by the wall clock would keep silent for an hour."""
    node = start()

    def strangers(number):
        for _ in range(number):
            with connect(node, handshake=False) as peer:
                peer.send_raw(b"\0\1x")
                peer.wait_closed()

    strangers(30)
    set_back(node, clock, connect)
    start_of_log = node.mark()

    def told():
        strangers(30)
        return node.find_log("more .* were not logged", start_of_log)

    wait_until(told, 10, "the lines are told of")


def test_a_request_that_took_an_hour_counts_as_one(
    start_cnode, program, cluster, clock, connect
):
    """By a monotonic clock that does what no other does: it jumps."""
    env = {**cluster.env, **clock.env, "FAKETIME_DONT_FAKE_MONOTONIC": "0"}
    node = start_cnode(*without_sandbox(program), env=env)
    looker = connect(node)
    others = threads_of(node)
    peer = connect(node)
    (thread,) = wait_until(lambda: threads_of(node) - others)
    inner = peer.maps("new", "array", 4, 4, 1)
    outer = peer.maps("new", "array_of_maps", 4, 4, 1, [("inner_map", inner)])
    with slow_calls(node, 1, {thread}):
        request = peer.start_erpc("ebpf_maps", "merge", [outer, [(0, inner)] * 2])
        wait_until(lambda: looker.maps("stats")["requests"].get(("merge", 2)))
        clock.set("+1h")
    assert peer.finish_erpc(request, 60) == ("return", outer)
    slowest, number = looker.maps("stats")["latency"][-1]
    assert number == 1 and slowest > HOUR.total_seconds() * 1e9


def test_the_uptime_goes_on_though_the_clock_goes_back(start, clock, connect, alice):
    node = start()
    before = alice.erpc(node.name, "stats")["uptime"]
    set_back(node, clock, connect)
    after = alice.erpc(node.name, "stats")["uptime"]
    assert before <= after < before + 600_000
