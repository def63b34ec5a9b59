# SPDX-License-Identifier: Apache-2.0
"""A million entries, through the facade and from a bare node.

However long the walk, the C node holds a chunk at a time: its peak of memory
grows by little, and stands in the output. What the Erlang nodes evaluate is
made of compiled functions, or the evaluator would take most of the time.
"""

import time
from array import array

import pytest

from beam import Beam
from cluster import CNode
from native import ORDER

pytestmark = pytest.mark.counts

MILLION = 1_000_000
GROWTH = 8 * 1024  # KiB: a chunk or two, and a message; all entries are 12 MB
PAIRS = "lists:zip(lists:seq(0, Count - 1), lists:seq(0, 3 * Count - 1, 3))"


def number(line):
    return int(line.split()[1])


class Peak:
    """with Peak(node, what): the peak of memory may not grow by much."""

    def __init__(self, node, what, limit=GROWTH):
        self.node = node
        self.what = what
        self.limit = limit

    def memory(self, name):
        """In KiB; VmHWM is the peak of VmRSS."""
        with open(f"/proc/{self.node.pid}/status") as f:
            return number(next(line for line in f if line.startswith(name)))

    def __enter__(self):
        with open(f"/proc/{self.node.pid}/clear_refs", "w") as f:
            f.write("5")  # the peak is what it is now
        self.before = self.memory("VmHWM")
        self.start = time.monotonic()

    def __exit__(self, kind, value, trace):
        if kind:
            return
        took = time.monotonic() - self.start
        after = self.memory("VmHWM")
        line = f"{self.what}: peak RSS {self.before} -> {after} KiB"
        print(f"{line}, {took:.2f} s")
        assert after - self.before < self.limit, line


@pytest.fixture(scope="module")
def node(cluster, program):
    node = CNode(cluster, program)
    node.wait_ready()
    yield node
    print(node.log)
    node.stop()


@pytest.fixture(scope="module")
def facade(cluster, ebin, node):
    beam = Beam(cluster, paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", node.name)
    yield beam
    beam.close()


@pytest.fixture(scope="module")
def map(node, facade):
    map = facade.apply("ebpf_maps", "new", "hash", 4, 8, MILLION)
    assert map[0] == "ebpf_map", map
    return map


@pytest.fixture
def full(node, facade, map, alice):
    """A map that holds K -> 3 K for a million K."""
    if alice.erpc(node.name, "size", map) < MILLION:
        text = f"ebpf_maps:merge(Map, {PAIRS}), ok"
        assert facade.eval(text, Map=map, Count=MILLION, timeout=60) == "ok"
    return map


@pytest.fixture
def empty(node, map, alice):
    assert alice.erpc(node.name, "clear", map) == map
    return map


def check(data):
    """Bytes of all keys and of all values, in the same order."""
    keys, values = array("I", data[0]), array("Q", data[1])
    assert sorted(keys) == list(range(MILLION))
    assert all(value == 3 * key for key, value in zip(keys, values, strict=True))


BYTES = """
    {Ks, Vs} = lists:unzip(Pairs),
    {iolist_to_binary(Ks), iolist_to_binary(Vs)}"""


def test_a_million_entries_are_listed_by_the_facade(node, facade, full):
    with Peak(node, "to_list of a million"):
        told = facade.eval(
            "Pairs = ebpf_maps:to_list(Map)," + BYTES, Map=full, timeout=60
        )
    check(told)


COMPILE = """
    Form = fun(Text) ->
        {ok, Tokens, _} = erl_scan:string(Text),
        {ok, Parsed} = erl_parse:parse_form(Tokens),
        Parsed
    end,
    Texts = ["-module(million).", "-export([add/3]).",
             "add(K, V, Pairs) -> [{K, V} | Pairs]."],
    {ok, Module, Code} = compile:forms([Form(Text) || Text <- Texts]),
    {module, Module} = code:load_binary(Module, "million.erl", Code),
    ok."""


def test_a_million_entries_are_folded_by_the_facade(node, facade, full):
    assert facade.eval(COMPILE) == "ok"
    with Peak(node, "fold of a million"):
        told = facade.eval(
            "Pairs = ebpf_maps:fold(fun million:add/3, [], Map)," + BYTES,
            Map=full,
            timeout=60,
        )
    check(told)


@pytest.mark.parametrize(
    "form", ["list", pytest.param("Erlang map", marks=pytest.mark.ci)]
)
def test_a_million_entries_are_merged_by_the_facade(form, node, facade, alice, empty):
    given = PAIRS if form == "list" else f"maps:from_list({PAIRS})"
    with Peak(node, f"merge of a {form} of a million"):
        same = facade.eval(
            f"ebpf_maps:merge(Map, {given}) =:= Map",
            Map=empty,
            Count=MILLION,
            timeout=60,
        )
    assert same == "true"
    assert alice.erpc(node.name, "size", empty) == MILLION
    for key in (0, 1, 16383, 16384, MILLION // 2, MILLION - 1):
        assert alice.erpc(node.name, "get", key, empty) == (3 * key).to_bytes(8, ORDER)


@pytest.mark.ci
def test_a_million_entries_are_drained_by_the_facade(node, facade, alice, full):
    with Peak(node, "drain of a million"):
        told = facade.eval(
            "Pairs = ebpf_maps:drain(Map)," + BYTES, Map=full, timeout=60
        )
    check(told)
    assert alice.erpc(node.name, "size", full) == 0


@pytest.mark.parametrize(
    "most", [20000, pytest.param(1000, marks=pytest.mark.ci)]
)
def test_a_million_entries_come_by_chunks_to_a_bare_node(most, node, alice, full):
    with Peak(node, f"next_chunk of {most} of a million"):
        chunks, *told = alice.eval(
            """
            Walk = fun Walk(done, N, Acc) -> {N, lists:append(Acc)};
                       Walk(C, N, Acc) ->
                           {Pairs, C2} = erpc:call(Node, ebpf_maps, next_chunk,
                                                   [C, Map, Most]),
                           Walk(C2, N + 1, [Pairs | Acc])
                   end,
            {Chunks, Pairs} = Walk(start, 0, []),
            {Ks, Vs} = lists:unzip(Pairs),
            {Chunks, iolist_to_binary(Ks), iolist_to_binary(Vs)}""",
            Node=node.name,
            Map=full,
            Most=most,
            timeout=60,
        )
    check(told)
    assert chunks >= MILLION // most


def test_counting_and_emptying_a_million_takes_no_memory(node, alice, full):
    with Peak(node, "size and clear of a million"):
        assert alice.erpc(node.name, "size", full, timeout=60) == MILLION
        assert alice.erpc(node.name, "clear", full, timeout=60) == full
    assert alice.erpc(node.name, "size", full) == 0


@pytest.mark.ci
def test_a_list_that_is_too_long_costs_no_more_than_a_message(node, alice, full):
    """A bare to_list stops at --max-message, 16 MiB."""
    with Peak(node, "to_list that is too long", limit=40 * 1024):
        answer = alice.eval(
            """
            try erpc:call(N, ebpf_maps, to_list, [Map])
            catch error:{exception, Reason, _} -> Reason end""",
            N=node.name,
            Map=full,
        )
    assert answer == ("too_big", 16 * 1024 * 1024)
