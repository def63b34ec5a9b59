# SPDX-License-Identifier: Apache-2.0
"""What a C node says it has done: stats/0, and the line at SIGUSR1."""

import os
import re
import secrets
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress

import pytest

from beam import BeamError
from cluster import wait_until
from conftest import raises
from counting import (
    EACH_THREAD,
    CallgrindOfThreads,
    Trace,
    count_calls,
    on_callgrind,
    total,
)
from dist import Closed, Refused, framed
from host import PAGE
from hostile import requests, spawn_request
from processes import children
from served import served


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


def test_what_a_type_cannot_do_is_counted_by_one_name(alice, node):
    ring = alice.erpc(node.name, "new", "ringbuf", 0, 0, PAGE)
    for _ in range(2):
        with raises("enotsup"):
            alice.erpc(node.name, "get", b"", ring)
    assert stats(alice, node)["errors"] == {"enotsup": 2}
    node.process.send_signal(signal.SIGUSR1)
    assert " 2 errors [ enotsup 2 ], " in node.wait_log(r"notice stats: ").string


def test_a_name_that_several_maps_bear_is_an_error(alice, node):
    name = f"s{secrets.token_hex(6)}"
    for _ in range(2):
        alice.erpc(node.name, "new", "hash", 4, 8, 1, [("name", name)])
    ambiguous = ("error", "ambiguous")
    assert alice.erpc(node.name, "open", ("name", name.encode())) == ambiguous
    assert stats(alice, node)["errors"] == {"ambiguous": 1}


def test_what_is_no_call_is_an_error_in_each_form(node, connect):
    """Module, function and arguments, that are none. (A plain spawn of such ends
    the connection, as with an Erlang node.)"""
    peer = connect(node)
    for form, packet in requests(peer, b"no module", 5, []).items():
        if form not in ("ping", "sbcast") and not form.startswith("spawn"):
            peer.send_packet(packet)
            assert peer.serves(), form
    told = peer.maps("stats")
    answered = sum(n for _, n in told["latency"])
    assert sum(told["errors"].values()) == answered > 6


def test_all_that_was_answered_is_in_the_histogram(alice, node):
    for _ in range(20):
        alice.erpc(node.name, "handles")
    latency = stats(alice, node)["latency"]
    bounds = [bound for bound, _ in latency]
    assert sum(n for _, n in latency) == 20
    assert bounds == sorted(set(bounds))
    assert all(bound & (bound - 1) == 0 for bound in bounds)


def bytes_sent(peer):
    """A list that from now on gets how many it sends at a time."""
    sent, send = [], peer.send_raw

    def count(data):
        sent.append(len(data))
        send(data)

    peer.send_raw = count
    return sent


def test_a_request_that_comes_with_the_end_of_the_handshake_is_one_like_others(
    node, connect
):
    """It has not waited since the host was started."""
    peer = connect(node, handshake=False)
    ref, send, early = peer.ref(), peer.send_raw, []

    def send_more(data):
        if data[peer.short.size :][:1] == b"r":  # the last one
            early.append(framed(spawn_request(peer, id=ref)))
            data += early[0]
        send(data)

    begun = time.monotonic_ns()
    peer.send_raw = send_more
    peer.handshake()
    peer.send_raw = send
    sent = bytes_sent(peer)
    peer.wait_exit(ref)
    told = peer.maps("stats")
    took = time.monotonic_ns() - begun
    assert [bound // 2 <= took for bound, _ in told["latency"]] == [True]
    assert told["bytes"]["in"] == len(early[0]) + sum(sent)


def test_bytes_are_those_of_packets(node, connect):
    peer = connect(node)
    peer.maps("handles")
    before = peer.maps("stats")["bytes"]
    sent = bytes_sent(peer)
    after = peer.maps("stats")["bytes"]
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


def test_refused_are_connections_and_a_refused_request_is_an_error(
    start_cnode, connect
):
    """A request that is refused is answered: it counts by what it was told."""
    node = start_cnode("--allow", "reader@*=ro", "--max-connections", "1")
    reader = connect(node, name="reader@h")
    for _ in range(3):
        assert reader.erpc("ebpf_maps", "new", ["hash", 4, 8, 4])[1] == "eacces"
    for name in ("reader@another", "nobody@h"):
        peer = connect(node, handshake=False, name=name)
        with pytest.raises((Refused, Closed)):
            peer.handshake()
            peer.erpc("ebpf_maps", "handles", [])
    wait_until(lambda: reader.maps("stats")["refused"] == 2)
    now = reader.maps("stats")
    assert now["errors"] == {"eacces": 3}
    assert now["requests"]["new", 4] == 3


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
    # nothing else was asked: each of them is in one place, and in one only
    requests = Counter(stats(alice, node)["requests"])
    assert sum(number for _, number in told) == 20
    assert sum(number for _, number in logged) == 21
    assert requests == {("handles", 0): 20, ("stats", 0): 2}
    assert all(number > 0 and bound & (bound - 1) == 0 for bound, number in logged)


def test_each_function_fits_into_the_counts(alice, node, program):
    """With all of them called, the answer and the line have them all."""
    functions = {("ebpf_maps", *function) for function in served(program)}
    functions |= {("ebpf_programs", *function) for function in served(program, "ebpf_programs")}
    for module, function, arity in functions:
        with suppress(BeamError):
            alice.erpc(node.name, function, *["x"] * arity, module=module)
    requests = stats(alice, node)["requests"]
    counted = {key if len(key) == 3 else ("ebpf_maps", *key) for key in requests}
    assert counted == functions
    node.process.send_signal(signal.SIGUSR1)
    line = node.wait_log(r"notice stats: ").string
    names = {f"{module}:{name}/{arity}" for module, name, arity in functions}
    logged = {name.removeprefix("ebpf_maps:") for name in names}
    assert {name for name in logged if f" {name} " not in line} == set()


def test_the_same_function_of_two_modules_has_two_counts(alice, node):
    alice.erpc(node.name, "handles")
    for _ in range(2):
        with raises("eacces"):
            alice.erpc(node.name, "handles", module="ebpf_programs")
    requests = stats(alice, node)["requests"]
    assert (requests["handles", 0], requests["ebpf_programs", "handles", 0]) == (1, 2)
    node.process.send_signal(signal.SIGUSR1)
    line = node.wait_log(r"notice stats: ").string
    assert " handles/0 1 " in line and " ebpf_programs:handles/0 2 " in line


def test_the_loader_is_told_until_it_is_gone(alice, node, programs):
    assert stats(alice, node)["loader"] == "none"
    assert stats(alice, programs.node)["loader"] == "running"
    (loader,) = children(programs.node.pid)
    os.kill(loader, signal.SIGKILL)
    wait_until(lambda: stats(alice, programs.node)["loader"] == "gone")


# --- what it costs the others

GETS, READS = 200, 50  # at least
GET = "bpf_map_lookup_elem_flags"
TAKEN = r"pthread_(mutex_lock|rwlock_(rd|wr)lock|spin_lock)(@.*)?"
LOCKS_OF_A_GET = 2  # that of its own connection, and the handles', to read


class Beside:
    """A peer that gets an entry, and one that reads the counts meanwhile."""

    def __init__(self, node, connect):
        self.caller, self.reader = connect(node), connect(node)
        self.map = self.caller.maps("new", "hash", 4, 8, 4)
        self.caller.maps("put", 1, 1, self.map)
        self.reader.maps("stats")
        self.get(10)

    def get(self, count):
        for _ in range(count):
            self.caller.maps("get", 1, self.map)
        return count

    @contextmanager
    def reads(self):
        """Without an end while the block runs; gives how often it was so far."""
        times, over = [], threading.Event()

        def read():
            while not over.is_set():
                self.reader.maps("stats")
                times.append(1)

        thread = threading.Thread(target=read)
        thread.start()
        try:
            yield lambda: len(times)
        finally:
            over.set()
            thread.join()

    def get_beside_reads(self):
        """How many gets it took until there were enough of both."""
        with self.reads() as read_so_far:
            gets = self.get(GETS)
            while read_so_far() < READS:
                gets += self.get(10)
        return gets


@pytest.mark.counts
def test_who_reads_them_costs_others_no_instruction_and_no_lock(
    start_cnode, connect, tmp_path
):
    """A lock that both took would be one more than a get has without."""
    out = tmp_path / "callgrind.out"
    wrapper = on_callgrind(out, EACH_THREAD)
    node = start_cnode("--no-sandbox", wrapper=wrapper)
    beside, threads = Beside(node, connect), CallgrindOfThreads(node, out)
    with threads:
        gets = beside.get(GETS)
    alone = total(threads.thread(GET)) / gets
    with threads:
        gets = beside.get_beside_reads()
    dump = threads.thread(GET)
    assert count_calls(dump, GET) == gets
    locks = count_calls(dump, TAKEN)
    assert locks <= LOCKS_OF_A_GET * gets
    print(f"a get: {alone:.0f} instructions, {total(dump) / gets:.0f} with a reader")
    assert total(dump) / gets <= 1.02 * alone
    # the lock that the reader takes is one that would have been seen
    assert sum(count_calls(one, TAKEN) for one in threads.threads) >= locks + 3 * READS


@pytest.mark.counts
def test_who_reads_them_costs_others_no_system_call(start_cnode, connect, tmp_path):
    node = start_cnode()
    beside = Beside(node, connect)
    with Trace(node, tmp_path / "trace") as trace:
        gets = beside.get_beside_reads()
    calls = trace.calls_of_thread("bpf")
    assert calls["bpf"] == gets
    assert calls.total() <= 3 * gets + 4, calls
    assert trace.calls.total() >= 3 * gets + 2 * READS
