# SPDX-License-Identifier: Apache-2.0
"""Random operations on a map and on a model of it, by two nodes in turn.

The model says what each call gives or raises; after the last of them all that
is in the map must be what is in the model.
"""


import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from beam import BeamError
from conftest import CI
from host import CPUS
from native import ORDER, u32

ROOM = 6
KEYS = st.integers(0, 9)
VALUES = st.integers(0, 2**32 - 1)
MAP = object()  # what gives back the map itself


class Raise(Exception):
    """What the model raises, as the reason of a call."""

    def __init__(self, reason):
        super().__init__(reason)
        self.reason = reason


# --- models: one method for each function, the arguments without the map


class Hash:
    shape = ("hash", 4, 4, ROOM)
    full = "e2big"
    bounded = True

    def __init__(self):
        self.entries = {}

    def key(self, key):
        return u32(key)

    def shown(self, value):
        return u32(value)

    def lookup(self, key):
        return self.entries.get(self.key(key))

    def pairs(self):
        return [(key, self.shown(value)) for key, value in self.entries.items()]

    def get(self, key):
        if self.lookup(key) is None:
            raise Raise(("badkey", key))
        return self.shown(self.lookup(key))

    def get_or(self, key):
        found = self.lookup(key)
        return "none" if found is None else self.shown(found)

    def find(self, key):
        found = self.lookup(key)
        return "error" if found is None else ("ok", self.shown(found))

    def is_key(self, key):
        return "false" if self.lookup(key) is None else "true"

    def put(self, key, value):
        inside = self.key(key)
        if inside not in self.entries and self.bounded:
            if len(self.entries) >= ROOM:
                raise Raise(self.full)
        self.entries[inside] = value
        return MAP

    def insert(self, key, value):
        if self.key(key) in self.entries:
            raise Raise(("keyexists", key))
        return self.put(key, value)

    def update(self, key, value):
        if self.key(key) not in self.entries:
            raise Raise(("badkey", key))
        self.entries[self.key(key)] = value
        return MAP

    def remove(self, key):
        self.entries.pop(self.key(key), None)
        return MAP

    def take(self, key):
        found = self.entries.pop(self.key(key), None)
        return "error" if found is None else (self.shown(found), MAP)

    def with_(self, keys):
        found = {key: self.lookup(key) for key in keys}
        return {k: self.shown(v) for k, v in found.items() if v is not None}

    def without(self, keys):
        for key in keys:
            self.remove(key)
        return MAP

    def merge(self, pairs):
        for done, (key, value) in enumerate(pairs):
            try:
                self.put(key, value)
            except Raise as e:
                raise Raise((e.reason, done)) from None
        return MAP

    def keys(self):
        return [key for key, _ in self.pairs()]

    def values(self):
        return [value for _, value in self.pairs()]

    def size(self):
        return len(self.entries)

    def to_list(self):
        return self.pairs()

    walk = chunks = to_list

    def clear(self):
        self.entries.clear()
        return MAP

    def drain(self):
        pairs = self.pairs()
        self.entries.clear()
        return pairs

    drain_chunks = drain

    calls = {
        **{name: (KEYS,) for name in "get get_or find is_key remove take".split()},
        **{name: (KEYS, VALUES) for name in "put insert update".split()},
        "with_": (st.lists(KEYS, max_size=5),),
        "without": (st.lists(KEYS, max_size=3),),
        "merge": (st.lists(st.tuples(KEYS, VALUES), max_size=4),),
        **{
            name: ()
            for name in """keys values size to_list walk chunks clear drain
                drain_chunks""".split()
        },
    }


class LruHash(Hash):
    """With so much room that nothing is ever evicted."""

    shape = ("lru_hash", 4, 4, 2000)
    bounded = False


class PercpuHash(Hash):
    shape = ("percpu_hash", 4, 4, ROOM)

    def shown(self, value):
        return [u32(value)] * CPUS


class Array(Hash):
    shape = ("array", 4, 4, ROOM)

    def __init__(self):
        self.entries = {u32(index): 0 for index in range(ROOM)}

    def nothing_comes_out(self, *_):
        raise Raise("einval")

    remove = take = without = nothing_comes_out
    clear = drain = drain_chunks = nothing_comes_out


PREFIXES = [(8, 10), (9, 10), (16, 10), (0, 0), (24, 10), (32, 10), (16, 11), (1, 128)]
PREFIX = st.sampled_from(PREFIXES).map(
    lambda p: ((p[1], 1 if p[0] > 8 else 0, 2 if p[0] > 16 else 0, 0), p[0])
)


class LpmTrie(Hash):
    shape = ("lpm_trie", 8, 4, ROOM, ["no_prealloc"])
    full = "enospc"

    def key(self, key):
        address, length = key
        return u32(length) + bytes(address)

    @staticmethod
    def bits(data):
        return "".join(f"{byte:08b}" for byte in data)

    def lookup(self, key):
        """The longest prefix of the key that has an entry."""
        address, length = key
        wanted = self.bits(bytes(address))[:length]
        best = None
        for inside, value in self.entries.items():
            prefix = int.from_bytes(inside[:4], ORDER)
            bits = self.bits(inside[4:])[:prefix]
            if prefix <= length and wanted.startswith(bits):
                if best is None or prefix > best[0]:
                    best = (prefix, value)
        return best and best[1]

    calls = {
        name: tuple(
            PREFIX
            if one is KEYS
            else st.lists(PREFIX, max_size=4)
            if name in ("with_", "without")
            else st.lists(st.tuples(PREFIX, VALUES), max_size=4)
            if name == "merge"
            else one
            for one in arguments
        )
        for name, arguments in Hash.calls.items()
    }


class Queue:
    shape = ("queue", 0, 4, ROOM)
    first = 0

    def __init__(self):
        self.line = []

    def peek(self):
        return u32(self.line[self.first]) if self.line else "empty"

    def pop(self):
        return u32(self.line.pop(self.first)) if self.line else "empty"

    def push(self, value):
        if len(self.line) == ROOM:
            raise Raise("e2big")
        self.line.append(value)
        return MAP

    def get(self):
        if not self.line:
            raise Raise(("badkey", b""))
        return self.peek()

    def get_or(self):
        return self.peek() if self.line else "none"

    def find(self):
        return ("ok", self.peek()) if self.line else "error"

    def take(self):
        return (self.pop(), MAP) if self.line else "error"

    def put(self, value):
        return self.push(value)

    def merge(self, values):
        for done, value in enumerate(values):
            try:
                self.push(value)
            except Raise as e:
                raise Raise((e.reason, done)) from None
        return MAP

    def clear(self):
        self.line.clear()
        return MAP

    def drain(self):
        pairs = []
        while self.line:
            pairs.append((b"", self.pop()))
        return pairs

    def not_so(self):
        raise Raise("enotsup")

    size = to_list = keys = values = not_so

    calls = {
        **{name: (VALUES,) for name in ("push", "put")},
        "push_again": (VALUES,),
        "push_more": (VALUES,),
        "merge": (st.lists(VALUES, max_size=4),),
        **{
            name: ()
            for name in """peek pop get get_or find take clear drain size to_list
                keys values""".split()
        },
    }
    push_again = push_more = push  # so that it gets full


class Stack(Queue):
    shape = ("stack", 0, 4, ROOM)
    first = -1


MODELS = [Hash, LruHash, PercpuHash, Array, LpmTrie, Queue, Stack]


# --- the same of the C node


class Served:
    """A map of the C node, with the methods of a model."""

    def __init__(self, beams, node, shape):
        self.beams = beams
        self.node = node
        self.map = self.call("new", *shape)
        self.keyless = shape[1] == 0

    def call(self, function, *args):
        """Each call comes from the other node."""
        self.beams.reverse()
        return self.beams[0].erpc(self.node.name, function, *args)

    def perform(self, name, args):
        if self.keyless and name in ("get", "get_or", "find", "take", "put"):
            args = (b"", *args)
        match name:
            case "get_or":
                return self.call("get", *args, self.map, "none")
            case "with_":
                return self.call("with", *args, self.map)
            case "push_again" | "push_more":
                return self.call("push", *args, self.map)
            case "merge" if self.keyless:
                return self.call("merge", self.map, [(b"", v) for v in args[0]])
            case "merge":
                return self.call("merge", self.map, *args)
            case "walk":
                return self.walk()
            case "chunks":
                return self.chunks("next_chunk")
            case "drain_chunks":
                return self.chunks("drain_chunk")
        return self.call(name, *args, self.map)

    def walk(self):
        step, pairs = self.call("next", self.call("iterator", self.map)), []
        while step != "none":
            pairs.append(step[:2])
            step = self.call("next", step[2])
        return pairs

    def chunks(self, function):
        cursor, pairs = "start", []
        while cursor != "done":
            chunk, cursor = self.call(function, cursor, self.map, 2)
            pairs += chunk
        return pairs


UNORDERED = {"keys", "values", "to_list", "walk", "chunks", "drain", "drain_chunks"}


def outcome_of_model(model, name, args):
    try:
        return ("gives", getattr(model, name)(*args))
    except Raise as e:
        return ("raises", e.reason)


def outcome_of_map(served, name, args):
    try:
        return ("gives", served.perform(name, args))
    except BeamError as e:
        assert e.kind == "error"
        return ("raises", e.reason)


def plain(outcome, map, unordered):
    """An outcome with MAP in the place of the handle, and lists in order."""
    kind, value = outcome
    if value == map:
        value = MAP
    elif isinstance(value, tuple) and len(value) == 2 and value[1] == map:
        value = (value[0], MAP)
    elif unordered and isinstance(value, list):
        value = sorted(value, key=repr)
    return kind, value


def operations(model):
    calls = [
        st.tuples(st.just(name), st.tuples(*arguments))
        for name, arguments in sorted(model.calls.items())
    ]
    return st.lists(st.one_of(calls), min_size=5, max_size=40)


@pytest.mark.parametrize("model", MODELS, ids=lambda m: m.__name__)
def test_a_map_does_what_its_model_does(model, alice, bob, cnode):
    @settings(
        max_examples=150 if CI else 25,
        derandomize=not CI,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(operations(model))
    def check(steps):
        expected, served = model(), Served([alice, bob], cnode, model.shape)
        assert served.map[0] == "ebpf_map"
        keyed = model.shape[1] > 0
        try:
            for name, args in [*steps, ("to_list", ()), ("drain", ())]:
                unordered = keyed and name in UNORDERED
                want = outcome_of_model(expected, name, args)
                have = outcome_of_map(served, name, args)
                want = plain(want, MAP, unordered)
                have = plain(have, served.map, unordered)
                assert have == want, (name, args)
        finally:
            served.call("close", served.map)

    check()
