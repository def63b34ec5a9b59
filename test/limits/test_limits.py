# SPDX-License-Identifier: Apache-2.0
"""What there is a limit for: each bites, says so, and lets go again."""

import os
import resource
import socket
import sys
import time

import pytest

import dist
import etf
from cluster import PATIENCE, wait_until
from conftest import Maps, raises

HASH = ("hash", 4, 8, 4)
EMFILE = ("error", "emfile")
ENOMEM = ("error", "enomem")
MIB = 1 << 20


def warnings(node, words, start=0):
    return node.find_log(rf"Z warning .*{words}", start)


# --- handshakes


def in_time(start_cnode, act):
    """Does that to a node of 3 handshakes, within the 5 s that each of them has.

    Where it says that one took longer, so slow is the host, to another one.
    """

    def done():
        node = start_cnode("--max-handshakes", "3")
        try:
            act(node)
        except (AssertionError, dist.Refused, dist.Closed):
            if not warnings(node, "the handshake timed out"):
                raise
            return False
        return True

    wait_until(done, 60, "all are quick enough")


def test_the_oldest_of_too_many_handshakes_goes(start_cnode, connect):
    def crowd(node):
        silent = [connect(node, handshake=False) for _ in range(3)]
        assert not warnings(node, "max-handshakes")
        late = connect(node, handshake=False)
        silent[0].wait_closed()
        node.wait_log(
            r"warning refused 127\.0\.0\.1:\d+ .*the oldest of --max-handshakes"
        )
        late.handshake()
        assert late.erpc("ebpf_maps", "nope", [])[1] == "undef"
        for one in silent[1:]:
            one.handshake()
            assert one.erpc("ebpf_maps", "nope", [])[1] == "undef"
        assert len(warnings(node, "max-handshakes")) == 1

    in_time(start_cnode, crowd)


def test_no_more_than_max_handshakes_are_open(start_cnode, connect):
    """Nor any newcomer refused, however many come."""

    def crowd(node):
        idle = node.threads()
        sockets = len(node.descriptors())
        with node.asleep():
            silent = [connect(node, handshake=False) for _ in range(300)]
        wait_until(lambda: node.threads() == idle + 3)
        wait_until(lambda: len(node.descriptors()) == sockets + 3)
        for one in silent[:-3]:
            one.wait_closed()
        for one in silent[-3:]:
            one.handshake()
            assert one.serves()
        assert not warnings(node, "too many handshakes")

    in_time(start_cnode, crowd)


# --- handles


def test_max_maps_is_told_in_the_log_and_to_who_asks(start_cnode, alice, bob):
    node = start_cnode("--max-maps", "2")
    first, second = (Maps(beam, node) for beam in (alice, bob))
    map = first.new(*HASH)
    start = node.mark()
    second.new(*HASH)
    assert not warnings(node, "max-maps", start)
    for maps in (first, second):
        assert maps.new(*HASH) == EMFILE
        node.wait_log(f"warning refused {maps.beam.name} a map: there are --max-maps 2", start=start)
        assert maps.open(("id", 1)) == EMFILE
    first.close(map)
    assert second.new(*HASH)[0] == "ebpf_map"


@pytest.mark.parametrize("lifetime", ["node", "process", "permanent"])
def test_max_maps_per_node_is_one_nodes_own(lifetime, start_cnode, connect):
    node = start_cnode("--max-maps-per-node", "3")
    greedy, modest = connect(node, name="greedy@h"), connect(node, name="modest@h")
    shape = [*HASH, [("lifetime", lifetime)]]
    made = [greedy.maps("new", *shape) for _ in range(3)]
    assert {map[0] for map in made} == {"ebpf_map"}
    assert not warnings(node, "max-maps-per-node")
    assert greedy.maps("new", *HASH) == EMFILE
    node.wait_log("warning refused greedy@h a map: it has --max-maps-per-node 3")
    assert greedy.maps("open", ("id", 1)) == EMFILE
    assert modest.maps("new", *shape)[0] == "ebpf_map"
    # who closes it does not matter
    assert modest.maps("close", made[0]) == "ok"
    assert greedy.maps("new", *HASH)[0] == "ebpf_map"
    assert greedy.maps("new", *HASH) == EMFILE


def test_a_node_that_comes_back_has_what_it_had(start_cnode, connect):
    """Permanent maps count for the name, over all its incarnations."""
    node = start_cnode("--max-maps-per-node", "2", "--grace", "0")
    for creation in (77, 78, 79):
        start = node.mark()
        peer = connect(node, name="a@h", creation=creation)
        answers = [
            peer.maps("new", *HASH, [("lifetime", lifetime)])
            for lifetime in ("permanent", "node")
        ]
        # the permanent ones of the times before, and one of its own
        assert [a[0] for a in answers].count("ebpf_map") == (2 if creation == 77 else 1) or (
            creation == 79 and answers == [EMFILE, EMFILE]
        )
        peer.close()
        node.wait_log("disconnected a@h", start=start)
    assert node.map_count() == 2


@pytest.mark.parametrize("first", [True, False], ids=["the first", "after others"])
def test_nested_maps_that_are_come_upon_count_for_who_does(first, start_cnode, connect):
    node = start_cnode("--max-maps-per-node", "3")
    maker, reader = connect(node), connect(node)
    inner = maker.maps("new", "array", 4, 4, 1)
    outer = maker.maps("new", "array_of_maps", 4, 4, 4, [("inner_map", inner)])
    for index in range(4):
        map = maker.maps("new", "array", 4, 4, 1)
        assert maker.maps("put", index, map, outer) == outer
        maker.maps("close", map)
    others = [] if first else [connect(node), connect(node)]
    for index, other in enumerate(others * 2):
        assert other.maps("get", index, outer)[0] == "ebpf_map"
    found = [reader.maps("get", index, outer) for index in range(3)]
    kind, reason, _ = reader.erpc("ebpf_maps", "get", [3, outer])
    assert (kind, reason) == EMFILE
    assert reader.maps("get", 0, outer) == found[0]
    node.wait_log(f"refused {reader.name} a map: it has --max-maps-per-node")
    reader.maps("close", found[0])
    assert reader.maps("get", 3, outer)[0] == "ebpf_map"


def test_the_facade_says_what_emfile_is(start_cnode, start_beam, ebin):
    node = start_cnode("--max-maps", "3")
    beam = start_beam(paths=[ebin])
    words = beam.eval(
        """
        Inner = ebpf_maps:new(array, 4, 4, 1, [{node, N}]),
        Outer = ebpf_maps:new(array_of_maps, 4, 4, 1, [{node, N}, {inner_map, Inner}]),
        ebpf_maps:put(0, Inner, Outer),
        ebpf_maps:close(Inner),
        [ebpf_maps:new(hash, 4, 4, 1, [{node, N}]) || _ <- [1, 2]],
        {error, emfile} = ebpf_maps:new(hash, 4, 4, 1, [{node, N}]),
        try ebpf_maps:get(0, Outer)
        catch error:emfile:S ->
            #{general := Text} = ebpf_maps_errors:format_error(emfile, S),
            unicode:characters_to_binary(Text)
        end""",
        N=node.name,
    )
    assert b"--max-maps" in words and b"--max-maps-per-node" in words


# --- map memory


def memlock(maps, map):
    return maps.info(map)[etf.Atom("memlock")]


def wait_made(maps, *shape):
    """Who lists the maps of the host may hold one for a moment that was closed."""
    wait_until(lambda: maps.new(*shape)[0] == "ebpf_map")


def test_maps_take_no_more_memory_than_allowed(start_cnode, alice, bob):
    node = start_cnode("--max-map-memory", 10 * MIB)
    first, second = (Maps(beam, node) for beam in (alice, bob))
    made = [first.new("array", 4, 4096, 1000) for _ in range(2)]
    assert all(map[0] == "ebpf_map" for map in made)
    assert not warnings(node, "max-map-memory")
    assert second.new("array", 4, 4096, 1000) == ENOMEM
    line = node.wait_log(
        r"warning refused (\S+) a map of (\d+) bytes or more: .*--max-map-memory 10485760"
    )
    assert line[1] == bob.name and int(line[2]) >= 4096 * 1000
    assert node.map_count() == 2
    assert second.new("array", 4, 4096, 100)[0] == "ebpf_map"
    first.close(made[0])
    wait_made(second, "array", 4, 4096, 1000)


def test_map_memory_is_that_of_the_kernel_and_comes_back(start_cnode, alice):
    """A thousand times the same map: nothing of it stays counted."""
    free = Maps(alice, start_cnode())
    size = memlock(free, free.new(*HASH))
    node = start_cnode("--max-map-memory", 4 * size)
    maps = Maps(alice, node)
    for _ in range(1000):
        map = maps.new(*HASH)
        assert map[0] == "ebpf_map"
        maps.close(map)
        assert maps.new("hash", 0, 4, 1) == ("error", "einval")
    made = [maps.new(*HASH) for _ in range(4)]
    assert made[-1][0] == "ebpf_map"
    assert maps.new(*HASH) == ENOMEM
    maps.close(made[0])
    wait_made(maps, *HASH)


HUGE = [
    ("hash", 4, 8, 2**32 - 1),
    ("hash", 4, 8, 100_000_000, ["no_prealloc"]),
    ("lpm_trie", 8, 8, 2**32 - 1, ["no_prealloc"]),
    ("array", 4, 2**30, 2**30),
    ("array", 4, 2**32 - 1, 2**32 - 1),
    ("percpu_array", 4, 32768, 2**32 - 1),
    ("percpu_hash", 4, 32768, 2**32 - 1),
    ("lru_hash", 4, 8, 1_000_000),
    ("queue", 0, 4096, 1_000_000),
    ("ringbuf", 0, 0, 1 << 30),
    ("stack_trace", 4, 1016, 1_000_000),
    ("bloom_filter", 0, 8, 1 << 28),
]


@pytest.mark.parametrize("shape", HUGE, ids=str)
def test_a_huge_map_is_refused_before_it_is_made(shape, start_cnode, alice):
    """Also one that would only grow to it."""
    node = start_cnode("--max-map-memory", 4 * MIB)
    maps = Maps(alice, node)
    before = available_memory()
    answer = maps.new(*shape)
    if shape[1:3] == (4, 2**32 - 1):
        assert answer in (ENOMEM, ("error", "einval"), ("error", "e2big"))
    else:
        assert answer == ENOMEM
    assert node.map_count() == 0
    # what others take at the same time they give back
    wait_until(lambda: before - available_memory() < 512 * MIB)
    assert maps.new(*HASH)[0] == "ebpf_map"


def available_memory():
    with open("/proc/meminfo") as f:
        rows = dict(line.split(":", 1) for line in f)
    return int(rows["MemAvailable"].split()[0]) * 1024


def test_what_the_table_of_types_does_not_know_counts_as_the_kernel_says(
    start_cnode, alice
):
    free = Maps(alice, start_cnode())
    shape = ("bloom_filter", 0, 8, 100_000)
    size = memlock(free, free.new(*shape))
    maps = Maps(alice, start_cnode("--max-map-memory", 2 * size))
    made = [maps.new(*shape) for _ in range(3)]
    assert [map[0] for map in made] == ["ebpf_map", "ebpf_map", "error"]


BIG = ("array", 4, 4096, 600)


def no_ids(start_cnode, *options):
    only = "-all,+bpf,+net_admin"
    wrapper = ["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    return start_cnode(*options, wrapper=wrapper)


@pytest.mark.parametrize("ids", [True, False], ids=["by id", "without ids"])
def test_a_pinned_map_counts_until_its_pin_goes(ids, start_cnode, alice, folder):
    start = start_cnode if ids else lambda *options: no_ids(start_cnode, *options)
    maps = Maps(alice, start("--max-map-memory", 4 * MIB))
    path = folder / "map"
    map = maps.new(*BIG)
    assert maps.pin(str(path).encode(), map) == "ok"
    assert maps.close(map) == "ok"
    for _ in range(2):
        assert maps.new(*BIG) == ENOMEM
    path.unlink()
    wait_made(maps, *BIG)
    assert maps.new(*BIG) == ENOMEM


def test_a_map_in_a_map_counts_until_that_goes(start_cnode, alice):
    maps = Maps(alice, start_cnode("--max-map-memory", 4 * MIB))
    inner = maps.new(*BIG)
    outer = maps.new("array_of_maps", 4, 4, 1, [("inner_map", inner)])
    maps.put(0, inner, outer)
    maps.close(inner)
    assert maps.new(*BIG) == ENOMEM
    maps.close(outer)
    wait_made(maps, *BIG)


@pytest.mark.parametrize("tag", ["id", "name"])
def test_a_map_counts_while_another_handle_holds_it(tag, start_cnode, alice):
    maps = Maps(alice, start_cnode("--max-map-memory", 4 * MIB))
    map = maps.new(*BIG, [("name", f"held{os.getpid()}".encode())])
    again = maps.open((tag, maps.info(map)[etf.Atom(tag)]), ["read"])
    maps.close(map)
    assert maps.new(*BIG) == ENOMEM
    maps.close(again)
    wait_made(maps, *BIG)


def test_opened_maps_take_no_memory(start_cnode, alice):
    theirs = Maps(alice, start_cnode())
    id = theirs.info(theirs.new("array", 4, 4096, 2000))[etf.Atom("id")]
    maps = Maps(alice, start_cnode("--max-map-memory", MIB))
    assert maps.open(("id", id))[0] == "ebpf_map"
    assert maps.new(*HASH)[0] == "ebpf_map"


def test_the_memory_of_a_node_that_is_gone_comes_back(start_cnode, connect):
    node = start_cnode("--max-map-memory", 4 * MIB, "--grace", "0")
    for _ in range(5):
        start = node.mark()
        peer = connect(node)
        wait_until(lambda: peer.maps("new", *BIG)[0] == "ebpf_map")
        assert peer.maps("new", *BIG) == ENOMEM
        peer.close()
        node.wait_log(f"disconnected {peer.name}", start=start)
        wait_until(lambda: node.map_count() == 0)


def test_enomem_is_told_by_rpc_and_by_the_facade(start_cnode, start_beam, ebin):
    node = start_cnode("--max-map-memory", MIB)
    beam = start_beam(paths=[ebin])
    answers = beam.eval(
        """
        Args = [array, 4, 4096, 1000],
        {rpc:call(N, ebpf_maps, new, Args), erpc:call(N, ebpf_maps, new, Args),
         apply(ebpf_maps, new, Args ++ [[{node, N}]])}""",
        N=node.name,
    )
    assert answers == (ENOMEM, ENOMEM, ENOMEM)


@pytest.mark.parametrize(
    "option, answer",
    [
        (("--max-map-memory", 4096), ENOMEM),
        (("--max-maps", 1), EMFILE),
        (("--max-maps-per-node", 1), EMFILE),
    ],
    ids=str,
)
def test_who_is_refused_all_the_time_cannot_flood_the_log(
    option, answer, start_cnode, connect
):
    node = start_cnode(*option)
    peer = connect(node)
    peer.maps("new", *HASH)
    shape = ("array", 4, 4096, 1000)
    asked = [peer.start_erpc("ebpf_maps", "new", shape) for _ in range(1000)]
    answers = {peer.finish_erpc(request) for request in asked}
    assert answers == {("return", answer)}
    assert 20 <= len(warnings(node, option[0])) < 400

    def told():
        peer.maps("new", *shape)
        return node.find_log("more (like the next line|of this kind) were not logged")

    wait_until(told)


def test_many_pinned_maps_do_not_hold_up_who_is_refused(
    start_cnode, alice, folder
):
    """What is pinned is looked for once, also where ids tell nothing."""
    free = Maps(alice, start_cnode())
    size = memlock(free, free.new(*HASH))
    maps = Maps(alice, no_ids(start_cnode, "--max-map-memory", 400 * size))
    made = 0
    while (map := maps.new(*HASH))[0] == "ebpf_map":
        maps.pin(str(folder / f"m{made}").encode(), map)
        maps.close(map)
        made += 1
    assert made == 400
    for _ in range(3):
        assert maps.new(*HASH) == ENOMEM
    (folder / "m7").unlink()
    assert maps.new(*HASH)[0] == "ebpf_map"


@pytest.mark.parametrize("size", ["x", "", "-1", "4095", "1e9", "18446744073709551616"])
def test_a_bad_size_is_told_with_status_2(size, start_cnode):
    node = start_cnode("--max-map-memory", size, ready=False)
    assert node.wait_exit() == 2
    assert "--max-map-memory" in node.log


# --- messages


def test_what_is_too_long_cannot_flood_the_log(start_cnode, connect):
    node = start_cnode("--max-message", 65536)
    peer = connect(node)
    map = peer.maps("new", "array", 4, 65536, 1)
    for args in ([0, map], [bytes(65536), map]):
        start = node.mark()
        asked = [peer.start_erpc("ebpf_maps", "get", args) for _ in range(300)]
        answers = {peer.finish_erpc(request)[:2] for request in asked}
        assert answers == {("error", ("too_big", 65536))}
        node.wait_log(f"warning refused .*{peer.name}.*--max-message 65536", start=start)
        assert len(warnings(node, "--max-message", start)) < 200
    assert peer.maps("is_key", 0, map) in ("true", "false")


# --- slow readers


def drain(peer, size, pause, timeout=20):
    """Reads size bytes at a time, and ticks, until the other side hangs up."""
    total = 0
    deadline = time.monotonic() + timeout * PATIENCE
    peer.socket.settimeout(timeout * PATIENCE)
    try:
        while data := peer.socket.recv(size):
            assert time.monotonic() < deadline, "it is not disconnected"
            total += len(data)
            peer.tick()
            time.sleep(pause)
    except (ConnectionResetError, dist.Closed):
        pass
    return total


def ask_for(peer, size, times):
    map = peer.maps("new", "array", 4, size, 1)
    for _ in range(times):
        peer.start_erpc("ebpf_maps", "get", [0, map])


def test_a_slow_reader_of_long_answers_is_disconnected(start_cnode, connect, alice):
    node = start_cnode("--ticktime", "4", "--max-waiting", MIB)
    peer = connect(node)
    ask_for(peer, 4 * MIB - 4096, 12)
    assert drain(peer, 1 << 16, 0.1) < 12 * (4 * MIB - 4096)
    node.wait_log(
        f"disconnected {peer.name}: it left more than --max-waiting bytes unread", 20
    )
    assert Maps(alice, node).new(*HASH)[0] == "ebpf_map"


@pytest.mark.parametrize("waiting, size", [(64 * MIB, 4 * MIB - 4096), (MIB, 32768)])
def test_a_reader_that_is_slow_with_less_is_served(waiting, size, start_cnode, connect):
    """What waits may wait: it takes longer than the ticktime, and comes whole."""
    node = start_cnode("--ticktime", "4", "--max-waiting", waiting)
    peer = connect(node)
    peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    times = 12 * MIB // size
    map = peer.maps("new", "array", 4, size, 1)
    asked = [peer.start_erpc("ebpf_maps", "get", [0, map]) for _ in range(times)]
    end = time.monotonic() + 6
    while time.monotonic() < end:
        peer.buffer += peer.socket.recv(1 << 14)
        peer.tick()
        time.sleep(0.05)
    assert len(peer.buffer) < 4 * MIB, "it is not slow"
    assert [peer.finish_erpc(request) for request in asked] == [("return", bytes(size))] * times


def test_a_quick_reader_gets_it_all(start_cnode, connect):
    node = start_cnode("--ticktime", "2", "--max-waiting", MIB)
    peer = connect(node)
    map = peer.maps("new", "array", 4, 4 * MIB - 4096, 1)
    asked = [peer.start_erpc("ebpf_maps", "get", [0, map]) for _ in range(12)]
    for request in asked:
        assert peer.finish_erpc(request)[0] == "return"


# --- descriptors


def limit_descriptors(node, number):
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (number, hard))


def test_without_descriptors_it_serves_and_accepts_again_with_some(
    start_cnode, connect, alice
):
    node = start_cnode()
    maps = Maps(alice, node)
    map = maps.new(*HASH)
    id = maps.info(map)[etf.Atom("id")]
    soft, _ = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    limit_descriptors(node, 3)
    assert maps.new(*HASH) == EMFILE
    assert maps.open(("id", id)) == EMFILE
    waiting = connect(node, handshake=False)
    node.wait_log("warning no connection can be accepted: Too many open files")
    assert maps.put(1, 2, map) == map
    assert maps.to_list(map) == [((1).to_bytes(4, sys.byteorder), (2).to_bytes(8, sys.byteorder))]
    with raises("emfile"):
        maps.list()
    limit_descriptors(node, soft)
    waiting.handshake()
    assert waiting.maps("get", 1, map) == (2).to_bytes(8, sys.byteorder)
    node.wait_log("warning connections are accepted again")
    assert len(warnings(node, "can be accepted")) == 1
    assert maps.new(*HASH)[0] == "ebpf_map"


def test_descriptors_that_come_free_are_enough_to_accept(start_cnode, connect, alice):
    """Not by a higher limit, but since something was closed."""
    node = start_cnode()
    maps = Maps(alice, node)
    made = [maps.new(*HASH) for _ in range(20)]
    limit_descriptors(node, max(map(int, os.listdir(f"/proc/{node.pid}/fd"))) + 1)
    waiting = connect(node, handshake=False)
    node.wait_log("warning no connection can be accepted")
    for map_ in made:
        maps.close(map_)
    waiting.handshake()
    node.wait_log("warning connections are accepted again")
