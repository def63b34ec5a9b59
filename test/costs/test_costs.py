# SPDX-License-Identifier: Apache-2.0
"""What a get costs the C node in instructions, memory it asks for and bytes on
the wire, and a whole map in system calls: counts that no other process changes.

Each is held to the figure that was reached, and a twentieth; who makes one
better puts the new figure here. They are of a build with the default CFLAGS on
x86-64; the names of the nodes are part of each packet, so they are fixed."""

import pytest

from counting import Callgrind, Trace, on_callgrind

pytestmark = pytest.mark.counts

INSTRUCTIONS_OF_A_GET = 4810
BYTES_OF_A_GET = 535  # both ways
BPF_CALLS_OF_100_000_ENTRIES = 7

CNODE, BEAM = "cnode@127.0.0.1", "beam@127.0.0.1"
GETS = """
    [<<1:64/little>> = erpc:call(N, ebpf_maps, get, [1, Map]) ||
     _ <- lists:seq(1, Count)],
    ok"""


def most(reached):
    return reached * 1.05


@pytest.fixture
def start(start_cnode):
    """Starts a node of a fixed name."""

    def start(*options, **more):
        return start_cnode(*options, naming=["--name", CNODE], **more)

    return start


@pytest.fixture
def beam(start_beam, ebin):
    return start_beam(long_name=BEAM, paths=[ebin])


def get(beam, map, count):
    beam.eval(GETS, N=CNODE, Map=map, Count=count)


@pytest.fixture
def warm(beam):
    """Makes a map with an entry, over a connection that has been used."""

    def warm():
        map = beam.erpc(CNODE, "new", "hash", 4, 8, 16)
        beam.erpc(CNODE, "put", 1, 1, map)
        get(beam, map, 10)
        return map

    return warm


@pytest.fixture
def callgrind(start, tmp_path):
    out = tmp_path / "callgrind.out"
    return Callgrind(start("--no-sandbox", wrapper=on_callgrind(out)), out)


def test_instructions_and_allocations_of_a_get(callgrind, beam, warm):
    map = warm()
    with callgrind:
        get(beam, map, 200)
    print(f"a get: {callgrind.instructions / 200:.0f} instructions in user space")
    assert callgrind.allocations == 0
    assert callgrind.instructions / 200 <= most(INSTRUCTIONS_OF_A_GET)


def test_allocations_are_counted(callgrind, beam, warm):
    """That there are none in a get is what was seen, and not an oversight."""
    warm()
    with callgrind:
        beam.erpc(CNODE, "new", "hash", 4, 8, 16)
    assert callgrind.allocations > 0


def test_bytes_on_the_wire_of_a_get(start, beam, warm, tmp_path):
    node = start()
    map = warm()
    with Trace(node, tmp_path / "trace") as trace:
        get(beam, map, 100)
    received, sent = trace.data("recvfrom"), trace.data("sendto")
    print(f"a get: {received / 100:.0f} bytes in, {sent / 100:.0f} bytes out")
    assert received > 0 and sent > 0
    assert (received + sent) / 100 <= most(BYTES_OF_A_GET)


def test_bpf_calls_of_a_whole_map(start, beam, tmp_path):
    node = start()
    beam.eval(
        """
        M = ebpf_maps:new(hash, 4, 8, 100000, [{node, N}]),
        ebpf_maps:merge(M, [{I, I} || I <- lists:seq(1, 100000)])""",
        N=CNODE,
        keep=True,
    )
    with Trace(node, tmp_path / "trace") as trace:
        assert beam.eval("length(ebpf_maps:to_list(M))") == 100_000
    print(f"to_list of 100,000 entries: {trace.calls['bpf']} bpf(2) calls")
    assert 0 < trace.calls["bpf"] <= most(BPF_CALLS_OF_100_000_ENTRIES)


GONE = 500  # nodes that are waited for
INSTRUCTIONS_FOR_EACH_THAT_IS_GONE = 40  # to go over them once takes 50


def come_and_go(connect, node, names, outer):
    for name in names:
        with connect(node, name=name, creation=77) as peer:
            peer.maps("get", 0, outer)


def test_what_nodes_that_are_waited_for_cost_who_comes(
    start_cnode, connect, tmp_path
):
    """Each holds a handle that all of them share, which no limit forbids."""
    out = tmp_path / "callgrind.out"
    callgrind = Callgrind(start_cnode("--no-sandbox", wrapper=on_callgrind(out)), out)
    node = callgrind.node
    maker = connect(node)
    inner = maker.maps("new", "array", 4, 4, 1)
    outer = maker.maps("new", "array_of_maps", 4, 4, 1, [("inner_map", inner)])
    maker.maps("put", 0, inner, outer)
    maker.maps("close", inner)
    come_and_go(connect, node, ["first@h"], outer)
    costs = []
    for names in ("before", "after"):
        with callgrind:
            come_and_go(connect, node, [f"{names}{n}@h" for n in range(20)], outer)
        costs.append(callgrind.instructions / 20)
        come_and_go(connect, node, [f"{names}_gone{n}@h" for n in range(GONE)], outer)
    each = (costs[1] - costs[0]) / GONE
    print(f"{costs[0]:.0f} instructions, and {each:.1f} for each node that is gone")
    assert each <= INSTRUCTIONS_FOR_EACH_THAT_IS_GONE
