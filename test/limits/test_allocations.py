# SPDX-License-Identifier: Apache-2.0
"""Memory that is not to be had: the n-th allocation fails, for every n, at the
start, while a node connects, and in every function and form of a request.

The allocator is failing_malloc.c, in place of that of libc; what libei, libbpf
and libc itself allocate fails too. n counts from the moment of arming and goes
up until the step is over before it. What is asked then is answered rightly, or
by enomem, or its connection ends; and no block of memory is lost.
"""

import itertools
import os
import re
import shutil
import time
from collections import Counter

import pytest

import dist
import preload
from allocator import Allocator
from cluster import wait_until
from conftest import CI
from host import CPUS
from hostile import requests, spawn_request
from native import u64
from processes import processes
from served import served

pytestmark = pytest.mark.preload

MANY = 600  # entries; their list does not fit into the first buffers
ENDLESS = 1 << 30
STREAKS = pytest.mark.parametrize("streak", [1, ENDLESS], ids=["one", "all"])


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preload.build("failing_malloc", tmp_path_factory.mktemp("preload"))


@pytest.fixture
def allocator(library, tmp_path):
    return Allocator(library, tmp_path / "allocator")


@pytest.fixture
def start(start_cnode, cluster, allocator):
    """A C node with that allocator, whose maps go with who made them."""

    def start(*options, **others):
        env = {**cluster.env, **allocator.env}
        return start_cnode("--grace", "0", *options, env=env, **others)

    return start


# --- the start


def processes_of(allocator):
    """The names of the processes that have this allocator."""
    own = allocator.env["FAILING_MALLOC"].encode()
    return [p.name for p in processes() if p.env.get(b"FAILING_MALLOC") == own]


def kinds(node):
    """How many descriptors it has of each kind: maps, BTF, folders, processes."""
    return Counter(re.sub(r"\d+", "N", what) for what in node.descriptors())


class Starts:
    """Starts a node again and again; each goes on, or ends and says why."""

    def __init__(self, start, connect, allocator):
        self.start = start
        self.connect = connect
        self.allocator = allocator
        self.kinds = self.live = None

    def run(self, n, streak, options):
        """How many allocations have failed."""
        self.allocator.set("live", 0)
        self.allocator.arm(n, streak)
        node = self.start(*options, ready=False)
        wait_until(
            lambda: not node.alive() or node.find_log("notice ready "),
            30,
            "the start has come to an end",
        )
        failed = self.allocator.disarm()
        if node.find_log("notice ready "):
            self.check_serves(node, n)
        else:
            assert node.wait_exit() in range(1, 8), (n, node.log)
            assert re.search(r"Z error \S", node.lines[-1]), (n, node.log)
        assert processes_of(self.allocator) == [], n
        return failed

    def check_serves(self, node, n):
        """With the descriptors and blocks of one that has lacked nothing."""
        node.wait_ready()
        seen = kinds(node), self.allocator.get("live")
        self.kinds, self.live = self.kinds or seen[0], self.live or seen[1]
        assert seen[0] == self.kinds, (n, node.log)
        assert seen[1] <= self.live, (n, node.log)
        with self.connect(node) as peer:
            for function, arguments, right in (
                ("new", ["hash", 4, 8, 1], is_map),
                ("handles", [], lambda value: len(value) == 1),
            ):
                answer = peer.erpc("ebpf_maps", function, arguments)[1]
                assert right(answer), (n, answer, node.log)
        node.stop()


@STREAKS
@pytest.mark.plain  # OpenSSL allocates thousands of times, and goes on with less
@pytest.mark.parametrize("way", ["plain", pytest.param("full", marks=pytest.mark.slow)])
def test_a_start_without_memory_is_told_or_goes_on(
    streak, way, start, connect, allocator, folder
):
    """In its sandbox. What was started all the same serves when there is memory.

    Who has to be looked up takes many more.
    """
    shutil.chown(folder, "nobody")
    options = {
        "plain": [],
        "full": [
            *("--user", "nobody", "--no-open-by-id", "--allow", "python*=rw"),
            *("--pin-root", folder, "--file-root", "/", "--max-map-memory", "1048576"),
        ],
    }[way]
    starts = Starts(start, connect, allocator)
    assert starts.run(ENDLESS, 1, options) == 0
    assert starts.live, "it does not start with all memory either"
    for n in itertools.count(1, 1 if CI or way == "plain" else 7):
        if not starts.run(n, streak, options):
            break
    assert n > 9, "there is nothing to fail"


# --- connections and requests


taken = itertools.count()


class World:
    """A node, a peer of it, and what the peer's calls are about."""

    def __init__(self, node, connect, folder):
        self.node = node
        self.connect_peer = connect
        self.pin = str(folder / "pin").encode()
        self.other_pin = str(folder / "other").encode()
        self.peer = self.made = None

    def connect(self):
        self.peer = self.connect_peer(self.node, name="python@allocations")
        maps = self.peer.maps
        self.name = f"a{os.getpid()}_{next(taken)}"
        self.hash = maps("new", "hash", 4, 8, 4, [("name", self.name)])
        self.full = maps("new", "hash", 4, 8, 2 * MANY)
        self.queue = maps("new", "queue", 0, 8, 4)
        self.percpu = maps("new", "percpu_hash", 4, 8, 4)
        self.maps = maps("new", "array_of_maps", 4, 4, 2, [("inner_map", self.hash)])
        maps("put", 0, self.hash, self.maps)
        self.id = maps("info", self.hash)["id"]
        self.iterator = maps("iterator", self.hash)
        self.view = maps("typed", self.hash, AS_NUMBER)

    def prepare(self):
        """As it is to be before each step."""
        if not self.peer:
            self.connect()
        maps = self.peer.maps
        maps("merge", self.hash, {1: 2, 2: 3})
        maps("remove", 3, self.hash)
        maps("merge", self.full, [(i, i) for i in range(MANY)])
        maps("put", 1, 1, self.percpu)
        maps("clear", self.queue)
        maps("push", 7, self.queue)
        if self.made:
            ask(self.peer, "close", [self.made])
        self.made = maps("new", "array", 4, 8, 1)
        if not os.path.exists(self.pin):
            maps("pin", self.pin, self.hash)
        if os.path.exists(self.other_pin):
            os.unlink(self.other_pin)

    def close(self):
        if self.peer:
            self.peer.close()
            self.node.wait_log("disconnected python@allocations")
        self.peer = self.made = None
        for pin in (self.pin, self.other_pin):
            if os.path.exists(pin):
                os.unlink(pin)


def is_map(value):
    return value[0] == "ebpf_map"


def of_length(length):
    return lambda value: len(value) == length


def is_chunk(value):
    return value[1] == "done" and len(value[0]) == MANY


NUMBER = ("struct", 8, [(b"number", 0, "u64")])
AS_NUMBER = [("types", ("u32", NUMBER))]

# {function: [(arguments, what it gives, or whether that is right)]}
STEPS = {
    "get": [
        (lambda w: (1, w.hash), u64(2)),
        (lambda w: (9, w.hash, "no"), "no"),
        (lambda w: (1, w.percpu), lambda v: set(v) == {u64(1)}),
        (lambda w: (0, w.maps), is_map),
        (lambda w: (1, w.view), {b"number": 2}),
    ],
    "find": [(lambda w: (1, w.hash), ("ok", u64(2)))],
    "is_key": [(lambda w: (1, w.hash), "true")],
    "put": [
        (lambda w: (1, 9, w.hash), is_map),
        (lambda w: (1, [u64(1)] * CPUS, w.percpu), is_map),
        (lambda w: (1, w.hash, w.maps), is_map),
        (lambda w: (1, {b"number": 9}, w.view), is_map),
    ],
    "insert": [(lambda w: (3, 9, w.hash), is_map)],
    "update": [(lambda w: (1, 9, w.hash), is_map)],
    "remove": [(lambda w: (1, w.hash), is_map)],
    "take": [(lambda w: (1, w.hash), lambda v: v[0] == u64(2))],
    "check": [
        (lambda w: ("hash", 4, 8, 4), "ok"),
        (lambda w: ("array", 8, 8, 0), lambda v: v[0] == "error" and len(v[1]) == 2),
    ],
    "features": [(lambda w: (), lambda v: "version" in v)],
    "push": [(lambda w: (8, w.queue), is_map)],
    "pop": [(lambda w: (w.queue,), u64(7))],
    "peek": [(lambda w: (w.queue,), u64(7))],
    "new": [
        (lambda w: ("hash", 4, 8, 4), is_map),
        (lambda w: ("hash", 4, 8, 4, [("lifetime", "process")]), is_map),
        (lambda w: ("hash", "u32", NUMBER, 4), is_map),
        (lambda w: ("sk_storage", 4, 8, 0, ["no_prealloc"]), is_map),
        (lambda w: ("hash_of_maps", 4, 4, 4, [("inner_map", w.hash)]), is_map),
    ],
    "close": [(lambda w: (w.made,), "ok")],
    "fd": [(lambda w: (w.hash,), lambda v: isinstance(v, int))],
    "open": [
        (lambda w: (("id", w.id),), is_map),
        (lambda w: (("name", w.name.encode()),), is_map),
        (lambda w: (("pinned", w.pin), ["read"]), is_map),
    ],
    "type": [(lambda w: (w.hash,), "hash")],
    "typed": [
        (lambda w: (w.hash, AS_NUMBER), is_map),
        (lambda w: (w.hash, [*AS_NUMBER, ("as", [b"number"])]), is_map),
    ],
    "types": [(lambda w: (w.view,), ("u32", NUMBER))],
    "pin": [(lambda w: (w.other_pin, w.hash), "ok")],
    "unpin": [(lambda w: (w.pin, w.hash), "ok")],
    "freeze": [(lambda w: (w.made,), "ok")],
    "top": [
        (lambda w: (2, "number", w.view), [(2, {b"number": 3}), (1, {b"number": 2})]),
        (lambda w: (1, ["number"], w.view), [(2, {b"number": 3})]),
    ],
    "sum": [(lambda w: ("number", w.view), 5)],
    "host": [(lambda w: (), lambda v: v["interfaces"][1] == b"lo")],
    "list": [(lambda w: (), lambda v: len(v) >= 6)],
    "info": [(lambda w: (w.hash,), lambda v: v["pinned"] != [])],
    "handles": [(lambda w: (), lambda v: len(v) >= 6)],
    "stats": [(lambda w: (), lambda v: v["uptime"] > 0)],
    "iterator": [(lambda w: (w.hash,), lambda v: len(v) > 1)],
    "next": [(lambda w: (w.iterator,), lambda v: len(v) == 3)],
    "next_chunk": [(lambda w: ("start", w.full, 10 * MANY), is_chunk)],
    "drain_chunk": [(lambda w: ("start", w.full, 10 * MANY), is_chunk)],
    "keys": [(lambda w: (w.full,), of_length(MANY))],
    "values": [(lambda w: (w.full,), of_length(MANY))],
    "to_list": [(lambda w: (w.full,), of_length(MANY))],
    "size": [(lambda w: (w.full,), MANY)],
    "clear": [(lambda w: (w.full,), is_map)],
    "drain": [(lambda w: (w.full,), of_length(MANY))],
    "with": [(lambda w: (list(range(MANY)), w.full), of_length(MANY))],
    "without": [(lambda w: (list(range(MANY)), w.full), is_map)],
    "merge": [(lambda w: (w.full, [(i, i) for i in range(MANY)]), is_map)],
}

def is_right(value, right):
    return right(value) if callable(right) else value == right


def is_enomem(answer):
    return answer[:2] == ("error", "enomem") or answer == (
        "return",
        ("error", "enomem"),
    )


def ask(peer, function, arguments):
    """What erpc would give; None where the connection has ended."""
    try:
        return peer.erpc("ebpf_maps", function, arguments)
    except dist.Closed:
        return None


def test_there_is_a_step_for_each_function(program):
    assert {name for name, _ in served(program)} == set(STEPS)


class Sweep:
    """Does a step again and again, with a later allocation failing each time.

    settled: only once the maps of the step before are gone; a little later than
    the one who has made them.
    """

    def __init__(self, world, allocator, streak, settled=False):
        self.settled = settled
        self.world = world
        self.allocator = allocator
        self.streak = streak

    def run(self, step, check):
        """step's outcome is to stand check(outcome, n); gives the last n.

        Not each one where there are very many: a host may have thousands of maps,
        each of which takes the same ones to be listed.
        """
        n = 0
        while True:
            n += 1 + n // 50
            self.world.prepare()
            with self.world.connect_peer(self.world.node) as peer:
                if self.settled:
                    self.world.node.settled_map_count()
                self.allocator.arm(n, self.streak)
                outcome = step(peer)
                failed = self.allocator.disarm()
            assert self.world.node.alive(), (n, self.world.node.log)
            check(outcome, failed, n)
            if not failed:
                return n


MAP_MEMORY = 1 << 30
MORE_THAN_HALF = ("lpm_trie", 8, 8, 4_000_000, ["no_prealloc"])  # takes none yet


def forget_what_has_gone(world):
    """What was pinned counts until the limit is met, which takes a block each."""
    with world.connect_peer(world.node) as peer:
        assert is_map(peer.maps("new", *MORE_THAN_HALF))
        assert peer.maps("new", *MORE_THAN_HALF) == ("error", "enomem")


def settle(world, allocator):
    """How many blocks are in use when nobody is connected."""
    world.close()
    seen = [allocator.get("live")]

    def steady():
        forget_what_has_gone(world)
        wait_until(lambda: world.node.threads() == 2, what="the threads are gone")
        wait_until(lambda: world.node.map_count() == 0, what="the maps are gone")
        time.sleep(0.1)
        seen.append(allocator.get("live"))
        return len(set(seen[-5:])) == 1 and len(seen) >= 5

    wait_until(steady, what="the number of blocks is steady")
    return seen[-1]


@pytest.fixture
def world(start, connect, folder, allocator):
    """A node that has served and is idle; it is so again at the end."""
    world = World(start("--max-map-memory", MAP_MEMORY), connect, folder)
    crowd = [connect(world.node) for _ in range(8)]  # threads leave some behind
    for peer in crowd:
        assert peer.serves()
        peer.close()
    for _ in range(2):
        for function, cases in STEPS.items():
            for arguments, right in cases:
                world.prepare()
                answer = ask(world.peer, function, arguments(world))
                assert is_right(answer[1], right), (function, answer)
        world.close()
    before = settle(world, allocator)
    descriptors = kinds(world.node)
    yield world
    assert settle(world, allocator) <= before, "blocks of memory are lost"
    assert not kinds(world.node) - descriptors, "descriptors are lost"


@STREAKS
def test_without_memory_a_request_gets_enomem_or_is_served(streak, world, allocator):
    """Or its connection ends, where there is no memory for so much as an answer."""
    sweep = Sweep(world, allocator, streak)
    for function, cases in STEPS.items():
        for arguments, right in cases:

            def step(peer):
                return ask(peer, function, arguments(world))

            def check(answer, failed, n):
                what = (function, n, failed, answer)
                if answer is None:
                    assert failed, what
                elif answer[0] == "return" and is_right(answer[1], right):
                    pass
                else:
                    assert failed and is_enomem(answer), what

            n = sweep.run(step, check)
            print(function, n)


@STREAKS
def test_without_memory_every_form_is_answered_or_ends_its_connection(
    streak, world, allocator
):
    """No half a packet: what follows is answered, or nothing is."""
    sweep = Sweep(world, allocator, streak)
    world.prepare()
    for form in requests(world.peer, "ebpf_maps", "get", []):

        def step(peer):
            packet = requests(peer, "ebpf_maps", "get", [1, world.hash])[form]
            try:
                peer.send_packet(packet)
                return peer.serves()
            except dist.Closed:
                return False

        def check(served, failed, n):
            assert served or failed, (form, n)

        sweep.run(step, check)


@pytest.mark.parametrize("room", range(0, 400, 50))
def test_without_memory_for_its_answer_no_map_is_made(room, world, allocator):
    """What is to be told stands behind another answer, which leaves that much."""
    sweep = Sweep(world, allocator, 1, settled=True)
    before = 0

    def step(peer):
        nonlocal before
        before = world.node.map_count()
        args = [[ref := peer.ref(), "ebpf_maps", "nope", [bytes(4096 - 300 - room)]]]
        args.append([new := peer.ref(), "ebpf_maps", "new", ["hash", 4, 8, 4]])
        packets = [spawn_request(peer, id=a[0], args=a) for a in args]
        try:
            peer.send_raw(b"".join(map(dist.framed, packets)))
            peer.wait_exit(ref)
            made = peer.finish_erpc(new)
            return made, world.node.map_count()
        except dist.Closed:
            return None

    def check(outcome, failed, n):
        if outcome is None:
            assert failed, n
        else:
            answer, maps = outcome
            made = answer[0] == "return" and is_map(answer[1])
            assert made or failed and is_enomem(answer), (n, answer)
            assert maps == before + made, (n, answer)

    assert sweep.run(step, check) > 2


@STREAKS
def test_without_memory_a_connection_is_made_or_refused(streak, world, allocator):
    sweep = Sweep(world, allocator, streak)

    def step(peer):
        try:
            with world.connect_peer(world.node) as newcomer:
                return newcomer.serves()
        except (dist.Refused, dist.Closed):
            return False

    def check(served, failed, n):
        assert served or failed, n

    assert sweep.run(step, check) > 4


def test_maps_that_have_gone_unseen_leave_no_more_than_a_bounded_number_of_blocks(
    start, connect, allocator
):
    """Each has been in an outer map, which it leaves when nobody looks."""
    node = start()
    with connect(node) as peer:
        inner = peer.maps("new", "hash", 4, 8, 1)
        outer = peer.maps("new", "array_of_maps", 4, 4, 1, [("inner_map", inner)])
        before = allocator.get("live")
        for _ in range(3000):
            map = peer.maps("new", "hash", 4, 8, 1)
            peer.maps("put", 0, map, outer)
            peer.maps("close", map)
        assert allocator.get("live") - before < 2000
