# SPDX-License-Identifier: Apache-2.0
"""A request ends with the connection that it came over, however long it is.

What it has done by then is done; nobody is told, and nothing more happens.
"""

import os
import signal
import struct
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

import etf
from cluster import wait_until
from hostile import HASH, spawn_request
from slow_calls import is_held, slow_calls, threads_of

CANCELED = etf.Atom("ecanceled")
MAP = object()  # among arguments
MANY = 600_000  # entries, which as an answer are less than 16 MiB
PUT = 0.02  # s, that each takes: a long merge is three minutes then


def list_of(item, number):
    """A list of many equal items, which are encoded once."""
    data = b"l" + struct.pack(">I", number) + etf.body(item) * number + b"j"
    return etf.Opaque("raw", data)


@pytest.fixture
def node(start_cnode):
    """It has a bpf file system of its own."""
    mount = 'mount -t bpf bpf /sys/fs/bpf && exec "$0" "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", mount]
    return start_cnode("--max-maps", "12000", wrapper=wrapper)


@pytest.fixture
def keeper(node, connect):
    """A peer that stays, and the threads that there are with it."""
    peer = connect(node, name="keeper@h")
    wait_until(lambda: peer.maps("stats")[etf.Atom("connections")] == 1)
    peer.threads = node.threads()
    return peer


def counted(keeper, kind, key):
    return keeper.maps("stats")[etf.Atom(kind)].get(key, 0)


def nest(keeper, type="array_of_maps", entries=4):
    inner = keeper.maps("new", "array", 4, 4, 1)
    options = [("inner_map", inner)]
    return inner, keeper.maps("new", type, 4, 4, entries, options)


def send(peer, function, args):
    ref = peer.ref()
    args = [ref, "ebpf_maps", function, list(args)]
    peer.send_packet(spawn_request(peer, id=ref, args=args))


def begin(keeper, peer, function, *args):
    """A request of peer, which is at work then."""
    key = (etf.Atom(function), len(args))
    before = counted(keeper, "requests", key)
    send(peer, function, args)
    wait_until(lambda: counted(keeper, "requests", key) > before, 30)


def begin_merge(keeper, peer, nested):
    """One of many puts, which are to be slow meanwhile; see slow_calls."""
    inner, outer = nested
    begin(keeper, peer, "merge", outer, list_of((0, inner), 10_000))


def wait_ended(node, keeper, others=0, timeout=10):
    wait_until(lambda: node.threads() == keeper.threads + others, timeout)


@contextmanager
def slow(node):
    """The node has a hundredth of the time that others have."""
    over = threading.Event()

    def brake():
        while not over.wait(0.001):
            node.process.send_signal(signal.SIGSTOP)
            over.wait(0.1)
            node.process.send_signal(signal.SIGCONT)

    thread = threading.Thread(target=brake)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


# --- each function of many entries


def holes(keeper):
    """A map where a walk finds nothing, key by key."""
    return keeper.maps("new", "devmap", 4, 4, 1 << 19)


def typed_holes(keeper):
    return keeper.maps("new", "devmap", "u32", "u32", 1 << 19)


def empty(keeper):
    return keeper.maps("new", *HASH)


def full(keeper):
    queue = keeper.maps("new", "queue", 0, 4, MANY)
    send(keeper, "merge", [queue, list_of((b"", 1), MANY)])
    assert keeper.serves(60)
    return queue


def of_many_keys(keeper, node):
    """Each another one, in no order."""
    items = (struct.pack(">BI", 98, n * 0x9E3779B1 % (1 << 31)) for n in range(MANY))
    data = b"l" + struct.pack(">I", MANY) + b"".join(items) + b"j"
    return etf.Opaque("raw", data), empty(keeper)


def of_maps(keeper, node):
    inner, outer = nest(keeper)
    return outer, list_of((0, inner), 10_000)


def one_by_one(keeper, node):
    """The kernel puts no more than one at a time into such a map."""
    cpus = keeper.maps("new", "cpumap", 4, 4, 1)
    return cpus, list_of((0, 64), MANY)


def among_many_maps(keeper, node):
    asked = [keeper.start_erpc("ebpf_maps", "new", HASH) for _ in range(10_000)]
    assert {keeper.finish_erpc(request)[1][0] for request in asked} == {"ebpf_map"}
    return ()


def name_among_many(keeper, node):
    among_many_maps(keeper, node)
    return (("name", b"none"),)


def among_many_pins(keeper, node):
    map = empty(keeper)
    assert keeper.maps("pin", b"/sys/fs/bpf/p", map) == "ok"
    folder = Path(f"/proc/{node.pid}/root/sys/fs/bpf")
    for number in range(10_000):
        os.link(folder / "p", folder / f"p{number}")
    return (map,)


def pending(keeper, node):
    return (("ebpf_iterator", empty(keeper), "start", list_of(1, MANY), 1),)


def iterator(keeper, node):
    return (("ebpf_iterator", holes(keeper), "start", [], 1),)


def of(make, *args):
    """Arguments of which one is a map."""
    return lambda keeper, _: [make(keeper) if arg is MAP else arg for arg in args]


LONG = {
    "merge of maps": ("merge", of_maps),
    "merge one by one": ("merge", one_by_one),
    "merge in batches": ("merge", of(empty, MAP, list_of((1, 1), MANY))),
    "with": ("with", of_many_keys),
    "without": ("without", of(empty, list_of(1, MANY), MAP)),
    "keys": ("keys", of(holes, MAP)),
    "values": ("values", of(holes, MAP)),
    "to_list": ("to_list", of(holes, MAP)),
    "size": ("size", of(holes, MAP)),
    "top": ("top", of(typed_holes, 10, [], MAP)),
    "sum": ("sum", of(typed_holes, [], MAP)),
    "clear": ("clear", of(holes, MAP)),
    "clear of a queue": ("clear", of(full, MAP)),
    "drain": ("drain", of(holes, MAP)),
    "drain of a queue": ("drain", of(full, MAP)),
    "drain_chunk": ("drain_chunk", of(holes, "start", MAP, 1000)),
    "drain_chunk of a queue": ("drain_chunk", of(full, "start", MAP, MANY)),
    "next_chunk": ("next_chunk", of(holes, "start", MAP, 1000)),
    "next": ("next", iterator),
    "next of what is pending": ("next", pending),
    "list": ("list", among_many_maps),
    "info": ("info", among_many_pins),
    "open by name": ("open", name_among_many),
}


@pytest.mark.parametrize(
    "what",
    [pytest.param(w, marks=pytest.mark.slow if w == "with" else ()) for w in LONG],
)
@pytest.mark.parametrize("end", ["close", "reset"])
def test_a_long_request_ends_with_its_connection(end, what, node, keeper, connect):
    """It goes on in slow motion, so that it would not be over by itself."""
    function, arguments = LONG[what]
    args = arguments(keeper, node)
    peer = connect(node)
    with slow(node):
        begin(keeper, peer, function, *args)
        getattr(peer, end)()
        wait_ended(node, keeper, timeout=30)
    assert counted(keeper, "errors", CANCELED) == 1


# --- what comes after it


def test_what_has_come_and_not_begun_is_not_done(node, keeper, connect):
    peer = connect(node)
    map = keeper.maps("new", *HASH)
    nested = nest(keeper)
    with slow_calls(node, PUT):
        begin_merge(keeper, peer, nested)
        send(peer, "put", [1, 1, map])
        peer.close()
        wait_ended(node, keeper)
    assert keeper.maps("size", map) == 0


def test_what_came_just_before_the_end_is_done(node, keeper, connect):
    """A node may cast and go: each time it takes a tenth of a second."""
    inner, outer = nest(keeper, entries=50)
    for number in range(10):
        peer = connect(node)
        for key in range(5):
            send(peer, "put", [5 * number + key, inner, outer])
        peer.socket.shutdown(1)
        wait_ended(node, keeper)
    assert keeper.maps("size", outer) == 50


@pytest.mark.parametrize("type", ["array_of_maps", "hash_of_maps"])
def test_a_clear_is_not_undone_by_what_a_connection_before_had_asked_for(
    type, node, keeper, connect
):
    inner, outer = nest(keeper, type, 400)
    pairs = [(key, inner) for key in range(400)]
    for _ in range(3):
        others = threads_of(node)
        old = connect(node, name="again@h", creation=77)
        (thread,) = wait_until(lambda: threads_of(node) - others)
        with slow_calls(node, PUT, {thread}):
            begin(keeper, old, "merge", outer, pairs)
            wait_until(lambda: keeper.maps("is_key", 9, outer) == "true")
            old.reset()
            new = connect(node, name="again@h", creation=77)
            assert new.maps("clear", outer) == outer
            assert keeper.maps("size", outer) == 0
            wait_ended(node, keeper, 1)
        assert keeper.maps("size", outer) == 0
        new.close()
        wait_ended(node, keeper)


def test_a_name_that_comes_back_all_the_time_has_one_thread(start_cnode, connect):
    node = start_cnode("--max-connections", "3")
    keeper = connect(node)
    assert keeper.serves()
    alone = node.threads()
    nested = nest(keeper)
    with slow_calls(node, PUT):
        for _ in range(20):
            peer = connect(node, name="evil@h", creation=77)
            begin_merge(keeper, peer, nested)
            peer.close()
        # one that is served, and one that begins
        wait_until(lambda: node.threads() <= alone + 2)
        honest = connect(node, name="honest@h")
        assert honest.serves()
    wait_until(lambda: node.threads() == alone + 1)


def test_who_comes_back_to_the_last_place_gets_it(start_cnode, connect):
    """Its own, though others stand in line."""
    node = start_cnode("--max-connections", "2")
    keeper = connect(node)
    old = connect(node, name="again@h", creation=77)
    nested = nest(keeper)
    with slow_calls(node, PUT):
        for _ in range(10):
            begin_merge(keeper, old, nested)
            new = connect(node, name="again@h", creation=77)
            assert not connect(node, name="other@h").serves()
            assert new.serves()
            old.close()
            old = new
    node.wait_log("refused .* other@h: there are --max-connections already")


# --- where it does not end


def test_who_comes_back_too_early_is_refused_and_told_why(node, keeper, connect):
    """And who tries again is served, after what is under way."""
    others = threads_of(node)
    old = connect(node, name="again@h", creation=77)
    (thread,) = wait_until(lambda: threads_of(node) - others)
    nested = _, outer = nest(keeper)
    with slow_calls(node, 300, {thread}, when="2+"):  # at the second put it stands still
        begin_merge(keeper, old, nested)
        wait_until(lambda: keeper.maps("size", outer) == 1)
        wait_until(lambda: is_held(node, thread))
        new = connect(node, name="again@h", creation=77)
        assert not new.serves(20)
        node.wait_log(
            "warning refused .* again@h: a request of its last connection does not end"
        )
        waits = connect(node, name="again@h", creation=77)
        request = waits.start_erpc("ebpf_maps", "clear", [outer])
        assert keeper.serves()
    assert waits.finish_erpc(request) == ("return", outer)
    assert keeper.maps("size", outer) == 0
    wait_ended(node, keeper, 1)


# --- the end of the node


def test_a_node_ends_soon_whatever_it_is_at(node, keeper, connect):
    nested = nest(keeper)
    others = threads_of(node)
    peers = [connect(node) for _ in range(10)]
    # the main thread is left alone: at the end LeakSanitizer traces that itself
    with slow_calls(node, PUT, threads_of(node) - others):
        for peer in peers:
            begin_merge(keeper, peer, nested)
        node.process.terminate()
        assert node.wait_exit() == 0
