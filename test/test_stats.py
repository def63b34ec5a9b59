# SPDX-License-Identifier: Apache-2.0
"""What a C node says it has done: stats/0, and the line at SIGUSR1."""

import re
import signal
import subprocess
from collections import Counter

import pytest

from beam import BeamError
from cluster import wait_until
from conftest import raises
from dist import Closed, Refused


@pytest.fixture
def node(start_cnode):
    return start_cnode()


def stats(beam, node):
    return beam.erpc(node.name, "stats")


def test_requests_are_counted_by_function(alice, node):
    map = alice.erpc(node.name, "new", "hash", 4, 8, 4)
    for key in (1, 2, 3):
        alice.erpc(node.name, "put", key, key, map)
    alice.erpc(node.name, "get", 1, map)
    alice.erpc(node.name, "get", 9, map, "none")
    assert stats(alice, node)["requests"] == {
        ("new", 4): 1,
        ("put", 3): 3,
        ("get", 2): 1,
        ("get", 3): 1,
        ("stats", 0): 1,
    }


def test_errors_are_counted_by_reason(alice, node):
    map = alice.erpc(node.name, "new", "hash", 4, 8, 1)
    for _ in range(2):
        with raises(("badkey", 1)):
            alice.erpc(node.name, "get", 1, map)
    with raises("badarg"):
        alice.erpc(node.name, "get", b"short", map)
    with raises(("badmap", "no_map")):
        alice.erpc(node.name, "get", 1, "no_map")
    with raises("undef"):
        alice.erpc(node.name, "no_such_function")
    alice.erpc(node.name, "put", 1, 1, map)
    with raises("e2big"):
        alice.erpc(node.name, "put", 2, 2, map)
    assert alice.erpc(node.name, "open", ("pinned", b"/sys/fs/bpf/no/such")) == ("error", "enoent")
    assert stats(alice, node)["errors"] == {
        "badkey": 2,
        "badarg": 1,
        "badmap": 1,
        "undef": 1,
        "e2big": 1,
        "enoent": 1,
    }


def test_all_that_was_answered_is_in_the_histogram(alice, node):
    for _ in range(20):
        alice.erpc(node.name, "handles")
    latency = stats(alice, node)["latency"]
    bounds = [bound for bound, _ in latency]
    assert sum(n for _, n in latency) == 20
    assert bounds == sorted(set(bounds))
    assert all(bound & (bound - 1) == 0 for bound in bounds)


def test_octets_are_those_of_packets(node, connect):
    peer = connect(node)
    sent, send = [], peer.send_raw

    def count(octets):
        sent.append(len(octets))
        send(octets)

    peer.maps("handles")
    before = peer.maps("stats")["octets"]
    peer.send_raw = count
    after = peer.maps("stats")["octets"]
    assert after["in"] - before["in"] == sum(sent)
    assert after["out"] > before["out"] > 0


def test_what_a_node_has_done_stays_when_it_has_gone(alice, node, connect):
    peer = connect(node)
    peer.maps("handles")
    assert stats(alice, node)["connections"] == 2
    peer.close()
    now = wait_until(lambda: (s := stats(alice, node))["connections"] == 1 and s)
    assert now["requests"]["handles", 0] == 1


def test_handles_and_refused_connections_are_counted(alice, node, connect):
    alice.erpc(node.name, "new", "hash", 4, 8, 1)
    with pytest.raises((Refused, Closed)):
        connect(node, cookie="another")
    wait_until(lambda: stats(alice, node)["refused"] == 1)
    assert stats(alice, node)["handles"] == 1


def test_the_uptime_goes_on(alice, node):
    before = stats(alice, node)["uptime"]
    wait_until(lambda: stats(alice, node)["uptime"] >= before + 10)


def test_sigusr1_has_it_all_logged_in_a_line(alice, node):
    map = alice.erpc(node.name, "new", "hash", 4, 8, 1)
    with raises(("badkey", 1)):
        alice.erpc(node.name, "get", 1, map)
    node.process.send_signal(signal.SIGUSR1)
    line = node.wait_log(r"notice stats: ").string
    assert " 1 connections, 0 refused, 1 handles, " in line
    assert " 2 requests [ get/2 1 new/4 1 ], 1 errors [ badkey 1 ], " in line
    assert alice.erpc(node.name, "get", 1, map, "none") == "none"


def test_the_line_has_the_histogram_of_stats(alice, node):
    for _ in range(20):
        alice.erpc(node.name, "handles")
    told = stats(alice, node)["latency"]
    node.process.send_signal(signal.SIGUSR1)
    line = node.wait_log(r"notice stats: ").string
    found = re.search(r" answered in ns \[((?: <\d+ \d+)+) \], half ", line)
    logged = [(int(b), int(n)) for b, n in re.findall(r"<(\d+) (\d+)", found[1])]
    bounds = [bound for bound, _ in logged]
    assert bounds == sorted(set(bounds))
    more = Counter(dict(logged))
    more.subtract(dict(told))
    # stats/0 itself was answered when it had told
    assert list((+more).values()) == [1] and not -more


def test_each_function_fits_into_the_counts(alice, node, program):
    """With all of them called, the answer and the line have them all."""
    listed = subprocess.run(
        [program, "--functions"], capture_output=True, text=True, check=True
    ).stdout.split()
    names = [line.removeprefix("ebpf_maps:") for line in listed]
    for name in names:
        function, arity = name.split("/")
        try:
            alice.erpc(node.name, function, *["x"] * int(arity))
        except BeamError:
            continue
    requests = stats(alice, node)["requests"]
    assert {f"{f}/{n}" for f, n in requests} == set(names)
    node.process.send_signal(signal.SIGUSR1)
    line = node.wait_log(r"notice stats: ").string
    assert [name for name in names if f" {name} " not in line] == []
