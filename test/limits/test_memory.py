# SPDX-License-Identifier: Apache-2.0
"""The memory of the C node's own: what is large counts for all connections
together, --max-memory is the most of it, and who meets it harms no others."""

import re
import resource
import struct
from contextlib import suppress

import pytest

import dist
import etf
import tls
from budget import (
    BUDGET,
    ENOMEM,
    FREE,
    KIB,
    MESSAGE,
    MIB,
    OPTIONS,
    PUT,
    WORDS,
    begin,
    bulk,
    give_back,
    use_up,
    wait_taken,
)
from cluster import SANITIZED, wait_until
from conftest import Maps
from hostile import CONNECTION_KIB, HASH, KEPT_KIB, requests, spawn_request

pytestmark = pytest.mark.single

counts = pytest.mark.counts
sandbox = pytest.mark.sandbox


@pytest.fixture
def node(start_cnode):
    return start_cnode(*OPTIONS)


def memory(node):
    """{VmRSS: bytes, VmData: ...} as /proc has it."""
    with open(f"/proc/{node.pid}/status") as f:
        rows = re.findall(r"^(Vm\w+):\s+(\d+) kB", f.read(), re.MULTILINE)
    return {name: int(kib) * KIB for name, kib in rows}


# --- one that meets the limit


def test_what_is_large_gets_enomem_while_others_hold_the_memory(node, connect):
    """And is answered as ever when they have gone."""
    peer = connect(node)
    asked = bulk(peer)
    usual = {name: peer.erpc("ebpf_maps", f, args) for name, (f, *args) in asked.items()}
    assert {answer[0] for answer in usual.values()} == {"return"}
    holders = use_up(node, connect)
    for name, (function, *args) in asked.items():
        assert peer.erpc("ebpf_maps", function, args)[:2] == ENOMEM, name
    give_back(node, holders)
    for name, (function, *args) in asked.items():
        assert peer.erpc("ebpf_maps", function, args) == usual[name], name


def test_what_is_small_goes_on_while_others_hold_the_memory(node, connect, alice):
    use_up(node, connect)
    maps = Maps(alice, node)
    map = maps.new("hash", 4, 8, 1000)
    pairs = [(i, i) for i in range(1000)]
    assert maps.merge(map, pairs) == map
    assert len(maps.to_list(map)) == 1000
    assert len(maps.keys(map)) == 1000
    assert len(maps.walk(map)) == 1000
    assert maps.size(map) == 1000
    assert maps.clear(map) == map and maps.size(map) == 0
    value = maps.new("array", 4, 16 * KIB, 1)
    assert maps.put(0, bytes(16 * KIB), value) == value
    assert maps.get(0, value) == bytes(16 * KIB)
    assert connect(node).serves()


def test_short_answers_in_a_row_do_without(node, connect):
    """However many wait at once: they are sent before they take more."""
    use_up(node, connect)
    peer = connect(node)
    map = peer.maps("new", "array", 4, 8 * KIB, 1)
    with node.asleep():  # so that they come at once
        asked = [peer.start_erpc("ebpf_maps", "get", [0, map]) for _ in range(200)]
    for request in asked:
        assert peer.finish_erpc(request) == ("return", bytes(8 * KIB))


def test_nothing_is_lost_for_want_of_memory(node, connect):
    """What is taken out is told, or it stays. The size is that at which there
    is room to read a value, and none to tell it."""
    peer = connect(node)
    hash_ = peer.maps("new", "hash", 4, FREE - 128, 3)
    queue = peer.maps("new", "queue", 0, FREE - 128, 3)
    value = b"v" * (FREE - 128)
    peer.maps("put", 1, value, hash_)
    peer.maps("push", value, queue)
    holders = use_up(node, connect)
    for function, args in {
        "take": [1, hash_],
        "pop": [queue],
        "drain": [hash_],
        "drain_chunk": ["start", queue, 2],
    }.items():
        assert peer.erpc("ebpf_maps", function, args)[:2] == ENOMEM, function
    give_back(node, holders)
    assert peer.maps("take", 1, hash_) == (value, hash_)
    assert peer.maps("pop", queue) == value


def test_an_answer_too_long_after_one_without_memory_is_told_as_what_it_is(node, connect):
    """On one connection; and what fits is answered after both."""
    peer = connect(node)
    map = peer.maps("new", "array", 4, FREE - 128, 2 * MESSAGE // FREE)
    holders = use_up(node, connect)
    assert peer.erpc("ebpf_maps", "get", [0, map])[:2] == ENOMEM
    give_back(node, holders)
    too_big = ("error", ("too_big", MESSAGE))
    assert peer.erpc("ebpf_maps", "to_list", [map])[:2] == too_big
    assert peer.erpc("ebpf_maps", "get", [0, map])[:2] == ("return", bytes(FREE - 128))


def lengthen(peer, handle, function, before=(), behind=()):
    """A handle so long that there is room for the request that has it, and none
    for the answer, in which the names of processes are more."""
    args = [*before, (*handle, b""), *behind]
    request = spawn_request(peer, args=[peer.ref(), "ebpf_maps", function, args])
    return (*handle, bytes(FREE - len(dist.framed(request))))


def test_what_cannot_be_told_for_want_of_memory_is_not_done(node, connect):
    """Of a handle only the reference counts, and all of it goes back."""
    peer = connect(node, name=f"{'n' * 200}@h")
    hash_ = peer.maps("new", "hash", 4, 8, 3)
    queue = peer.maps("new", "queue", 0, 8, 3)
    peer.maps("put", 1, 1, hash_)
    content = peer.maps("to_list", hash_)
    holders = use_up(node, connect)
    for function, before, handle, behind in (
        ("put", [1, 2], hash_, []),
        ("insert", [2, 2], hash_, []),
        ("update", [1, 2], hash_, []),
        ("remove", [1], hash_, []),
        ("without", [[1]], hash_, []),
        ("merge", [], hash_, [[(2, 2)]]),
        ("clear", [], hash_, []),
        ("push", [1], queue, []),
    ):
        long = lengthen(peer, handle, function, before, behind)
        args = [*before, long, *behind]
        assert peer.erpc("ebpf_maps", function, args)[:2] == ENOMEM, function
        assert peer.maps("to_list", hash_) == content, function
    assert peer.maps("pop", queue) == "empty"
    give_back(node, holders)


@pytest.mark.parametrize("type", ["hash", "lpm_trie", "queue"])
def test_what_is_drained_comes_once_for_want_of_memory(type, node, connect):
    """In smaller parts, and all of it."""
    peer = connect(node)
    options = [["no_prealloc"]] if type == "lpm_trie" else []
    key_size = 0 if type == "queue" else 8
    map = peer.maps("new", type, key_size, 8, 8000, *options)

    def key(i):
        return (32).to_bytes(4, "little") + i.to_bytes(4, "big")

    wanted = {i.to_bytes(8, "little") for i in range(8000)}
    if type == "queue":
        asked = [peer.start_erpc("ebpf_maps", "push", [v, map]) for v in wanted]
        assert {peer.finish_erpc(request)[0] for request in asked} == {"return"}
    else:
        peer.maps("merge", map, [(key(i), v) for i, v in enumerate(wanted)])
    use_up(node, connect)
    come = [value for _, value in peer.maps("drain", map)]
    assert 0 < len(come) < 8000
    while True:
        pairs, cursor = peer.maps("drain_chunk", "start", map, 8000)
        if not pairs:
            break
        come += [value for _, value in pairs]
    assert cursor == "done"
    assert len(come) == 8000 and set(come) == wanted


def test_who_walks_goes_on_in_smaller_steps(node, connect):
    peer = connect(node)
    map = peer.maps("new", "hash", 4, 8, 10_000)
    peer.maps("merge", map, [(i, i) for i in range(10_000)])
    use_up(node, connect)
    seen, cursor, chunks = set(), "start", 0
    while cursor != "done":
        pairs, cursor = peer.maps("next_chunk", cursor, map, 10_000)
        seen |= {key for key, _ in pairs}
        chunks += 1
    assert len(seen) == 10_000 and chunks > 5


def test_who_is_refused_and_why_stands_in_the_log(node, connect):
    use_up(node, connect)
    peer = connect(node, name="greedy@h")
    map = peer.maps("new", "array", 4, MIB, 1)
    start = node.mark()
    assert peer.erpc("ebpf_maps", "get", [0, map])[:2] == ENOMEM
    line = node.wait_log(rf"warning refused get/2 to greedy@h: it needs (\d+) .*{WORDS}", start=start)
    assert int(line[1]) == MIB
    assert peer.erpc(*PUT, [0, bytes(MIB), map])[:2] == ENOMEM
    line = node.wait_log(rf"warning refused a request from greedy@h: it has (\d+) .*{WORDS}", start=start)
    assert MIB < int(line[1]) < MIB + KIB
    assert peer.maps("stats")["errors"]["enomem"] >= 2


def test_the_log_is_not_flooded(node, connect):
    use_up(node, connect)
    peer = connect(node)
    map = peer.maps("new", "array", 4, MIB, 1)
    start = node.mark()
    asked = [peer.start_erpc("ebpf_maps", "get", [0, map]) for _ in range(500)]
    assert {peer.finish_erpc(request)[:2] for request in asked} == {ENOMEM}
    assert 1 <= len(node.find_log(WORDS, start)) < 300


@pytest.mark.parametrize("form", ["erpc", "gen_server", "ei_rpc", "cast", "spawn_monitor"])
def test_a_request_is_refused_in_each_form_and_the_next_one_served(form, node, connect):
    use_up(node, connect)
    peer = connect(node)
    start = node.mark()
    peer.send_packet(requests(peer, *PUT, [0, bytes(MIB), 0])[form])
    node.wait_log(f"refused a request from {peer.name}", start=start)
    if form != "cast":
        assert b"enomem" in receive_answer(peer)
    assert peer.serves()
    assert not node.find_log(f"disconnected {peer.name}")


def receive_answer(peer):
    """The first packet that is no tick, and no answer to spawning."""
    while (packet := peer.receive_packet())[:6] in (b"", b"p\x83h\x05a\x1f"):
        pass
    return packet


def test_a_message_that_asks_for_nothing_ends_its_connection(node, connect):
    """There is nobody to tell, and no more than that one ends."""
    holders = use_up(node, connect)
    peer, other = connect(node), connect(node)
    start = node.mark()
    with suppress(dist.Closed):  # maybe before all of it is sent
        peer.send_raw(struct.pack(">I", MIB) + bytes(MIB))
    peer.wait_closed()
    node.wait_log(rf"warning refused a request from {peer.name}: it has {MIB} bytes, .*{WORDS}", start=start)
    node.wait_log(f"disconnected {peer.name}: no memory for its request .*--max-memory", start=start)
    assert other.serves()
    for holder in holders:
        assert not node.find_log(f"disconnected {holder.name}")


def test_who_comes_back_is_told_of_its_processes_whoever_has_the_memory(node, connect):
    """Else it would be disconnected, and what they have be ended at the third time."""
    name = f"{'n' * 200}@h"
    with connect(node, name=name, creation=77) as peer:
        args = [*HASH, [("lifetime", "process")]]
        made = [peer.maps("new", *args) for _ in range(300)]
    holders = use_up(node, connect)
    with connect(node, name=name, creation=77) as peer:
        watched = [peer.receive() for _ in made]
        assert {control[0] for control, _ in watched} == {dist.MONITOR_P}
        assert peer.maps("put", 1, 1, made[0]) == made[0]
    for holder in holders:
        assert not node.find_log(f"disconnected {holder.name}")


def test_keys_count_with_what_it_takes_to_sort_them(start_cnode, connect):
    """An element of a byte takes 32 here: 2 MiB of them take 64 MiB."""
    keys = 2 * MIB
    for budget, wanted in ((16, "enomem"), (48, "enomem"), (128, "badarg")):
        node = start_cnode("--max-message", MESSAGE, "--max-memory", budget * MIB)
        peer = connect(node)
        map = peer.maps("new", *HASH)
        start, highest = node.mark(), memory(node)["VmHWM"]
        nils = b"l" + struct.pack(">I", keys) + b"j" * (keys + 1)
        args = [etf.Opaque("list", nils), map]
        kind, reason, _ = peer.erpc("ebpf_maps", "with", args, 30)
        assert (kind, reason) == ("error", wanted)
        if wanted == "enomem":
            node.wait_log("warning refused with/2", start=start)
            assert SANITIZED or memory(node)["VmHWM"] < highest + budget * MIB


# --- how much it is, whatever they do


@counts
@pytest.mark.parametrize("form", ["request", "garbage"])
def test_a_crowd_that_dribbles_gets_no_more_than_the_budget(form, siege):
    """60 who ask for as much as there may be in a message, and 200 for less."""
    with siege(*OPTIONS) as s:
        before = memory(s.node)
        crowd = [s.connect() for _ in range(260)]
        for number, peer in enumerate(crowd):
            size = MESSAGE - 8 * KIB if number < 60 else (number % 50 + 1) * 70 * KIB
            try:
                if form == "request":
                    begin(peer, size)
                else:
                    peer.send_raw(struct.pack(">I", size) + bytes(size - 1))
            except dist.Closed:
                pass
        s.bystander.wait_calls(s.bystander.counts())
        limit = BUDGET * 3 // 2 + (KEPT_KIB + CONNECTION_KIB * len(crowd)) * KIB
        grown = memory(s.node)["VmHWM"] - before["VmHWM"]
        print(f"{grown / MIB:.1f} MiB more")
        assert BUDGET / 2 < grown < limit
        assert s.node.find_log(rf"refused a request from .*{WORDS}")


@counts
def test_large_answers_to_many_take_no_more_than_the_budget(siege):
    """Each is answered, or told that there is no memory."""
    with siege(*OPTIONS) as s:
        keeper = s.connect()
        large = keeper.maps("new", "array", 4, 3 * MIB, 1)
        hash_ = keeper.maps("new", "hash", 4, 8, 40_000)
        keeper.maps("merge", hash_, [(i, i) for i in range(40_000)])
        before = memory(s.node)
        crowd = [s.connect() for _ in range(40)]
        asked = []
        for _ in range(3):
            for peer in crowd:
                asked.append((peer, peer.start_erpc("ebpf_maps", "get", [0, large])))
                asked.append((peer, peer.start_erpc("ebpf_maps", "to_list", [hash_])))
        kinds = {"return": 0, "error": 0}
        for peer, request in asked:
            packet = peer.wait_exit(request, 60)
            kinds["return" if len(packet) > 64 * KIB else "error"] += 1
        grown = memory(s.node)["VmHWM"] - before["VmHWM"]
        print(kinds, f"{grown / MIB:.1f} MiB more")
        assert kinds["return"] > 0 and kinds["error"] > 0
        limit = BUDGET * 3 // 2 + (KEPT_KIB + CONNECTION_KIB * len(crowd)) * KIB
        assert grown < limit
        # and with all gone the largest works
        assert keeper.maps("get", 0, large) == bytes(3 * MIB)


@counts
def test_what_is_in_holes_does_not_come_on_top(start_cnode, connect):
    """Between small buffers that stay, where large ones were before."""
    node = start_cnode("--max-memory", 64 * MIB)
    start = node.mark()
    small = [connect(node) for _ in range(120)]
    large = [connect(node) for _ in range(60)]
    before = memory(node)

    def begin_alone(peer, size):
        """A buffer that grows counts as it was, too: no two may at a time."""
        rest = begin(peer, size)
        wait_taken(node, peer)
        return rest

    rests = [begin_alone(peer, 500 * KIB) for peer in small]
    for peer, rest in zip(small, rests):
        peer.send_raw(rest)
    for peer in small:
        assert peer.serves()
    for peer in large:
        begin_alone(peer, 1000 * KIB)
    grown = memory(node)["VmHWM"] - before["VmHWM"]
    print(f"{grown / MIB:.1f} MiB more")
    assert 64 * MIB < grown < 96 * MIB + (KEPT_KIB + 64 * 180) * KIB
    assert memory(node)["VmRSS"] - before["VmRSS"] < 64 * MIB + (KEPT_KIB + 64 * 180) * KIB
    assert not node.find_log("--max-memory", start)


# --- the process as a whole


def limit_of_data(node):
    with open(f"/proc/{node.pid}/limits") as f:
        [found] = re.findall(r"^Max data size +(\S+) +(\S+)", f.read(), re.MULTILINE)
    assert found[0] == found[1]
    return found[0]


@sandbox
def test_the_process_is_bounded_by_what_its_options_take(start_cnode):
    usual = int(limit_of_data(start_cnode()))
    assert 2 * 512 * MIB < usual < 4096 * MIB
    assert int(limit_of_data(start_cnode("--max-memory", 1024 * MIB))) == usual + 1024 * MIB
    more = int(limit_of_data(start_cnode("--max-connections", 2024)))
    each = MIB + (512 * KIB if tls.EVERYWHERE else 0)
    assert more == usual + 1000 * each
    huge = start_cnode("--max-memory", (1 << 64) - 1)
    assert limit_of_data(huge) == "unlimited"
    assert limit_of_data(start_cnode("--no-sandbox")) == "unlimited"


@sandbox
def test_a_lower_limit_stays(start_cnode):
    node = start_cnode(wrapper=["prlimit", f"--data={700 * MIB}:{700 * MIB}"])
    assert limit_of_data(node) == str(700 * MIB)


@sandbox
def test_all_that_may_be_fits_in(start_cnode, connect):
    """1,024 nodes, 10,000 maps, and what is large, at once."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    node = start_cnode()
    peers = [connect(node) for _ in range(1024)]
    maker = peers[0]
    for _ in range(10):
        asked = [maker.start_erpc("ebpf_maps", "new", HASH) for _ in range(999)]
        assert {maker.finish_erpc(request)[0] for request in asked} == {"return"}
    for peer in peers:  # each with its buffers
        asked = peer.start_erpc("ebpf_maps", "nope", [bytes(60 * KIB)])
        peer.wait_exit(asked)
    large = maker.maps("new", "hash", 4, 8, 1_000_000)
    for part in range(0, 1_000_000, 500_000):
        pairs = etf.encode([(i, i) for i in range(part, part + 500_000)])[1:]
        merged = maker.erpc("ebpf_maps", "merge", [large, etf.Opaque("list", pairs)], 60)
        assert merged[0] == "return"
    asked = [(peer, peer.start_erpc("ebpf_maps", "next_chunk", ["start", large, 400_000])) for peer in peers[:8]]
    for peer, request in asked:
        assert len(peer.wait_exit(request, 60)) > 5 * FREE
    limit = int(limit_of_data(node))
    print({name: f"{data / MIB:.0f} MiB" for name, data in memory(node).items()}, limit // MIB)
    assert memory(node)["VmData"] < limit
    assert not node.find_log("warning .*memory")


@sandbox
def test_past_the_limit_of_the_process_requests_get_enomem(node, connect):
    """The kernel refuses what is large, and what is small goes on."""
    peer = connect(node)
    asked = bulk(peer)
    peer.maps("get", 0, asked["get"][2])
    connect(node).close()
    _, hard = resource.prlimit(node.pid, resource.RLIMIT_DATA)
    resource.prlimit(node.pid, resource.RLIMIT_DATA, (1, hard))
    try:
        large = peer.erpc("ebpf_maps", "new", ["array", 4, 3 * MIB, 1])
        assert peer.erpc("ebpf_maps", "get", [0, large[1]])[:2] == ENOMEM
        assert peer.serves()
        assert node.alive()
    finally:
        resource.prlimit(node.pid, resource.RLIMIT_DATA, (hard, hard))
    assert peer.erpc("ebpf_maps", "get", [0, large[1]]) == ("return", bytes(3 * MIB))
    assert connect(node).serves()


# --- the option


@pytest.mark.parametrize(
    "options, wrong",
    [
        (["--max-memory", "1"], "--max-memory 1: give a number of bytes"),
        (["--max-memory", "0x1000000"], "give a number of bytes"),
        (
            ["--max-memory", 64 * MIB - 1],
            rf"--max-memory {64 * MIB - 1}: a request may take {64 * MIB}, 4 times --max-message",
        ),
        (
            ["--max-message", 8 * KIB, "--max-memory", 32 * KIB - 1],
            f"a request may take {32 * KIB}, 4 times --max-message",
        ),
    ],
)
def test_a_budget_for_less_than_a_request_is_refused(options, wrong, start_cnode):
    node = start_cnode(*options, ready=False)
    assert node.wait_exit() == 2
    assert re.search(wrong, node.log)


def test_the_least_budget_is_enough_for_the_longest_answer(start_cnode, connect):
    """In whatever order the options come."""
    for options in (OPTIONS, OPTIONS[2:] + OPTIONS[:2]):
        node = start_cnode(*options)
        peer = connect(node)
        map = peer.maps("new", "array", 4, MESSAGE - KIB, 1)
        assert peer.maps("get", 0, map) == bytes(MESSAGE - KIB)
        value = b"x" * (MESSAGE - KIB)
        assert peer.erpc(*PUT, [0, value, map])[0] == "return"
        assert peer.maps("get", 0, map) == value


@pytest.mark.many
def test_longer_messages_make_a_larger_budget(start_cnode, connect):
    node = start_cnode("--max-message", 256 * MIB)
    peer = connect(node)
    map = peer.maps("new", "array", 4, 200 * MIB, 1)
    request = peer.start_erpc("ebpf_maps", "get", [0, map])
    assert len(peer.wait_exit(request, 60)) > 200 * MIB
