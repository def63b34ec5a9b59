# SPDX-License-Identifier: Apache-2.0
"""No signal ends a system call that looks at entries: none may take long.

A batch lookup goes over the holes of an array of maps in the kernel, some 15
million a second, and a process that is killed is there until it is over.
"""

import os
import re
import resource
import signal
import time

import pytest

from beam import BeamError
from cluster import PATIENCE, wait_until
from counting import Trace
from test_killed import Embedding

MOST_HOLES = 2**18  # map_walk.c: in one batch
STEP = 16384  # map_walk.h: entries, in one batch
FAR = 30_000_000  # holes; as one batch 2 s
AT_ONCE = 1  # s of the kernel's, for all that was under way
ENOMEM = ("error", "enomem")


@pytest.fixture
def embedding(start_beam, ebin, program, cluster):
    node = f"{cluster.name('embedded')}@{cluster.host}"
    return Embedding(start_beam(paths=[ebin]), node, program)


def make_holes(peer, entries, *filled):
    inner = peer.maps("new", "array", 4, 4, 1)
    answer = peer.erpc(
        "ebpf_maps",
        "new",
        ["array_of_maps", 4, 4, entries, [("inner_map", inner)]],
        60,
    )
    assert answer[0] == "return" and answer[1][0] == "ebpf_map", answer
    for key in filled:
        assert peer.maps("put", key, inner, answer[1]) == answer[1]
    return answer[1]


def kernel_time(pid):
    """s that the process has been in the kernel."""
    with open(f"/proc/{pid}/stat") as f:
        return int(f.read().rsplit(")")[1].split()[12]) / os.sysconf("SC_CLK_TCK")


def ends_at_once(node, signum):
    """Its status; what it does in the kernel yet is next to nothing."""
    node.must_live = False
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime
    before = kernel_time(node.pid)
    node.process.send_signal(signum)
    status = node.wait_exit()
    total = resource.getrusage(resource.RUSAGE_CHILDREN).ru_stime - others
    assert total - before < AT_ONCE * PATIENCE, f"{total - before} s"
    return status


def wait_at_work(pid, begin):
    wait_until(lambda: kernel_time(pid) > begin + 0.5, 20, "it walks")


# --- What is asked of the kernel


def cursors(trace):
    """Where each batch lookup went on from."""
    return re.findall(r"BPF_MAP_LOOKUP_BATCH.*in_batch=(\w+)", trace.text)


@pytest.mark.counts
@pytest.mark.parametrize("function", ["keys", "to_list", "size"])
def test_a_batch_goes_over_no_more_holes_than_that(
    function, fresh_cnode, connect, tmp_path
):
    """Those before are asked for one by one, and come all the same."""
    peer = connect(fresh_cnode)
    before = 20_000
    entries = MOST_HOLES + before
    filled = [0, 7, before - 1, before, before + 1, entries - 1]
    map = make_holes(peer, entries, *filled)
    with Trace(fresh_cnode, tmp_path / "trace") as trace:
        found = peer.erpc("ebpf_maps", function, [map], 60)[1]
    if function == "size":
        assert found == len(filled)
    else:
        keys = [pair if function == "keys" else pair[0] for pair in found]
        assert keys == [key.to_bytes(4, "little") for key in filled]
    lookups = len(re.findall(r"\bBPF_MAP_LOOKUP_ELEM\b", trace.text))
    assert before <= lookups <= before + STEP + 100
    # the first of them comes behind what was asked for one by one
    assert 1 <= len(cursors(trace)) <= 2 and "NULL" not in cursors(trace)


@pytest.mark.counts
def test_few_holes_take_few_calls(fresh_cnode, connect, tmp_path):
    peer = connect(fresh_cnode)
    filled = [1, 100_000, MOST_HOLES - 1]
    map = make_holes(peer, MOST_HOLES, *filled)
    with Trace(fresh_cnode, tmp_path / "trace") as trace:
        assert peer.maps("size", map) == len(filled)
    assert 1 <= trace.calls["bpf"] <= 4, trace.text


@pytest.mark.counts
def test_a_cursor_of_a_peers_own_leads_to_no_longer_batch(
    fresh_cnode, connect, tmp_path
):
    """From beyond the end a walk goes on at the beginning."""
    peer = connect(fresh_cnode)
    map = make_holes(peer, MOST_HOLES + 3000, 0)
    left = (2**32 - 1).to_bytes(4, "little")
    for index in (MOST_HOLES + 3000, 2**32 - 1):
        cursor = left + index.to_bytes(4, "little")
        with Trace(fresh_cnode, tmp_path / f"trace{index}") as trace:
            chunk, _ = peer.erpc("ebpf_maps", "next_chunk", [cursor, map, 1000], 60)[1]
        assert [key for key, _ in chunk] == [bytes(4)]
        assert len(re.findall(r"\bBPF_MAP_LOOKUP_ELEM\b", trace.text)) >= 3000


@pytest.mark.counts
@pytest.mark.parametrize("shape", [("hash", 4, 1, 100_000), ("array", 4, 1, 100_000)])
def test_a_batch_has_no_more_entries_than_that(shape, fresh_cnode, connect, tmp_path):
    peer = connect(fresh_cnode)
    map = peer.maps("new", *shape)
    if shape[0] == "hash":
        for first in range(0, 100_000, 20_000):
            pairs = [(key, 1) for key in range(first, first + 20_000)]
            assert peer.maps("merge", map, pairs) == map
    with Trace(fresh_cnode, tmp_path / "trace") as trace:
        assert len(peer.erpc("ebpf_maps", "keys", [map], 60)[1]) == 100_000
    room = re.findall(r"BPF_MAP_LOOKUP_BATCH.* count=(\d+), map_fd", trace.text)
    assert len(room) == 100_000 // STEP + 1
    assert {int(count) for count in room} == {STEP}


@pytest.mark.counts
@pytest.mark.parametrize("options", [[], ["zero_seed"]], ids=["seeded", "zero_seed"])
def test_keys_that_may_share_a_bucket_are_put_one_by_one(
    options, fresh_cnode, connect, tmp_path
):
    """50,000 that do took one batch 1.7 s, and more where others are there."""
    peer = connect(fresh_cnode)
    map = peer.maps("new", "hash", 4, 4, 100, options)
    with Trace(fresh_cnode, tmp_path / "trace") as trace:
        assert peer.maps("merge", map, [(key, 1) for key in range(100)]) == map
    assert peer.maps("size", map) == 100
    batches = len(re.findall(r"\bBPF_MAP_UPDATE_BATCH\b", trace.text))
    single = len(re.findall(r"\bBPF_MAP_UPDATE_ELEM\b", trace.text))
    assert (batches, single) == ((0, 100) if options else (1, 0))


# --- What is killed, or told to end, meanwhile


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM], ids=["kill", "term"])
def test_a_node_that_walks_over_holes_ends_at_once(signum, start_cnode, connect):
    node = start_cnode()
    map = make_holes(connect(node), FAR)
    begin = kernel_time(node.pid)
    for peer in [connect(node) for _ in range(8)]:
        peer.start_erpc("ebpf_maps", "to_list", [map])
    wait_at_work(node.pid, begin)
    ends_at_once(node, signum)
    start_cnode(sname=node.sname)


def test_an_embedded_node_that_is_killed_there_is_back_at_once(
    embedding, start_beam, ebin
):
    beam = start_beam(paths=[ebin])
    call = lambda *args: beam.erpc(embedding.node, *args)
    wait_until(lambda: beam.apply("net_adm", "ping", embedding.node) == "pong", 10)
    inner = call("new", "array", 4, 4, 1)
    map = call("new", "array_of_maps", 4, 4, FAR, [("inner_map", inner)])
    others = [start_beam(paths=[ebin]) for _ in range(3)]
    first = embedding.pid()
    begin = kernel_time(first)
    for other in others:
        other.eval("spawn(fun() -> ebpf_maps:to_list(M) end), ok", M=map)
    wait_at_work(first, begin)
    killed = time.monotonic()
    os.kill(first, signal.SIGKILL)

    def serves():
        try:
            return call("new", "hash", 4, 4, 1)[0] == "ebpf_map"
        except BeamError:
            return False

    wait_until(serves, 8, "it serves again")  # it has been 36 s
    print("back after", time.monotonic() - killed)
    assert embedding.pid() not in (None, first)


# --- What looks at maps for who makes others


@pytest.fixture
def limited(start_cnode):
    return start_cnode("--max-map-memory", 400_000_000, "--no-open-by-id")


def is_map(answer):
    return answer[0] == "ebpf_map"


def put_and_close(peer, outer):
    """A map that only another map holds."""
    inner = peer.maps("new", "array", 4, 4, 1)
    assert peer.maps("put", 1, inner, outer) == outer
    peer.maps("close", inner)


BIG = ("array", 4, 4, 40_000_000)  # bytes: 320 MB


@pytest.mark.counts
def test_who_makes_maps_does_not_wait_for_all_holes_to_be_looked_at(
    limited, connect, tmp_path
):
    """Of what is in maps nothing is taken for gone then."""
    peer = connect(limited)
    outer = make_holes(peer, 3_000_000)
    put_and_close(peer, outer)
    assert is_map(peer.maps("new", *BIG))
    with Trace(limited, tmp_path / "trace") as trace:
        assert peer.maps("new", *BIG) == ENOMEM
    limited.wait_log(r"warning not looking into map \d+ of 3000000 entries")
    # what others have pinned is looked at, one by one if it is as large
    assert len(re.findall(r"\bBPF_MAP_LOOKUP_ELEM\b", trace.text)) < STEP


def test_a_node_that_looks_for_what_has_gone_ends_at_once(limited, connect):
    peers = [connect(limited) for _ in range(4)]
    put_and_close(peers[0], make_holes(peers[0], 2_000_000))
    assert is_map(peers[0].maps("new", *BIG))
    begin = kernel_time(limited.pid)
    for peer in peers:
        for _ in range(3):
            peer.start_erpc("ebpf_maps", "new", BIG)
    wait_at_work(limited.pid, begin)
    assert ends_at_once(limited, signal.SIGTERM) == 0
