# SPDX-License-Identifier: Apache-2.0
"""What is refused, or fails, leaves no memory behind: bytes of the heap in use.

heap_report.c tells them whenever the node returns memory, as when a node leaves.
"""

import pytest

import preload
from cluster import wait_until
from hostile import HASH

pytestmark = pytest.mark.preload

TIMES = 300
KEPT = 8 * TIMES  # of heap, in bytes: less than any block for each call
HEAP = r"^heap: (\d+) bytes in use"
PINS = 10
LAYOUT = ("struct", 4, [(b"a", 0, "u16"), (b"b", 16, "u16")])


@pytest.fixture(scope="module")
def heap_report(tmp_path_factory):
    """The environment in which the C node tells of its heap."""
    library = preload.build("heap_report", tmp_path_factory.mktemp("preload"))
    return {"LD_PRELOAD": str(library)}


@pytest.fixture
def start_node(start_cnode, cluster, heap_report):
    def start(*options):
        return start_cnode(*options, "--grace", "0", env={**cluster.env, **heap_report})

    return start


def new_closed(peer, *options):
    peer.maps("close", peer.maps("new", *HASH, list(options)))


def view_closed(peer, map, *options):
    view = peer.maps("typed", map, [("types", (LAYOUT, "u64")), *options])
    asked(peer, "put", {b"a": 1, b"b": 2}, 1, view)
    asked(peer, "put", {b"a": 1, b"b": -1}, 1, view)
    peer.maps("close", view)


def asked(peer, function, *args):
    """Whatever comes of it."""
    peer.erpc("ebpf_maps", function, list(args))



# What a node does with a map of its own, over and over.
DONE = {
    "list the maps in vain": lambda peer, map: asked(peer, "list"),
    "open by a name in vain": lambda peer, map: asked(peer, "open", ("name", b"nosuchname")),
    "describe a map": lambda peer, map: asked(peer, "info", map),
    "end a map of a process": lambda peer, map: new_closed(peer, ("lifetime", "process")),
    "end a map of a node": lambda peer, map: new_closed(peer),
    "take a bad option": lambda peer, map: asked(peer, "new", *HASH, [("inner_map", map), 1]),
    "take a bad key": lambda peer, map: asked(peer, "put", b"x", 1, map),
    "have no such key": lambda peer, map: asked(peer, "get", 99, map),
    "have no such function": lambda peer, map: asked(peer, "nosuch", map),
    "put terms in a view": view_closed,
    "make a view in vain": lambda peer, map: asked(peer, "typed", map, []),
    "read a bad layout": lambda peer, map: asked(
        peer, "new", "hash", LAYOUT, ("struct", 8, [(b"a", 0, "u64"), (b"b", 8, "u64")]), 1
    ),
    "make a map of layouts": lambda peer, map: asked(
        peer, "close", peer.maps("new", "hash", LAYOUT, "u64", 1)
    ),
    "find no such member": lambda peer, map: asked(
        peer, "typed", map, [("types", ("u32", ("struct", 8, []))), ("as", [b"a"])]
    ),
    "put pairs, one of them bad": lambda peer, map: asked(peer, "merge", map, [(1, 1), (2, b"x")]),
}


def heap(node, connect):
    """In use once nobody is connected."""
    wait_until(lambda: node.threads() == 2, 30, "the connections have gone")
    start = node.mark()
    connect(node).close()
    wait_until(lambda: node.threads() == 2, 30, "the last one has gone")
    node.wait_log(HEAP, start=start)
    return int(node.find_log(HEAP, start)[-1][1])


@pytest.mark.parametrize("what", DONE)
def test_what_is_done_over_and_over_takes_no_more_memory(what, start_node, connect, folder):
    node = start_node("--no-open-by-id")

    def do():
        with connect(node, name="doer@h") as peer:
            map = peer.maps("new", *HASH)
            paths = [str(folder / f"pin{i}").encode() for i in range(PINS)]
            for path in paths:
                assert peer.maps("pin", path, map) == "ok"
            for _ in range(TIMES):
                DONE[what](peer, map)
            for path in paths:
                assert peer.maps("unpin", path, map) == "ok"
        return heap(node, connect)

    do()
    # the least of two: what another thread has in hand counts for a moment
    settled = min(do(), do())
    assert min(do(), do()) < settled + KEPT
