# SPDX-License-Identifier: Apache-2.0
"""A map that another node inserts into and deletes from all the time.

The keys 0 to 499 last, those from 1000000 on come and go, and there never were
any others. A value is always its key, or its key times 3.
"""

import time

from cluster import PATIENCE
from conftest import CI
from native import ORDER, u32

LASTING = range(500)
COMING = range(1_000_000, 1_000_300)
WALKS = 20 if CI else 3


HASHES = {
    "hash": ("hash", 4, 4, 2000),
    "hash without prealloc": ("hash", 4, 4, 2000, ["no_prealloc"]),
    "a hash of few buckets": ("hash", 4, 4, 810),
    "lru_hash": ("lru_hash", 4, 4, 20000),
    "percpu_hash": ("percpu_hash", 4, 4, 2000),
    "lru_percpu_hash": ("lru_percpu_hash", 4, 4, 20000),
}
ARRAYS = {
    "array": ("array", 4, 4, 500),
    "percpu_array": ("percpu_array", 4, 4, 500),
}


class Churned:
    """A map that bob writes to until the test is over."""

    def __init__(self, maps, bob, cnode, shape, churn):
        self.maps = maps
        self.bob = bob
        self.trie = shape[0] == "lpm_trie"
        self.per_cpu = "percpu" in shape[0]
        self.map = maps.new(*shape)
        maps.merge(self.map, {self.key(k): k for k in LASTING})
        bob.eval(
            """
            Key = case Trie of
                true -> fun(K) -> <<32:32/native, K:32/native>> end;
                false -> fun(K) -> K end
            end,
            Steps = counters:new(1, []),
            Call = fun(F, A) ->
                counters:add(Steps, 1, 1),
                erpc:call(N, ebpf_maps, F, A)
            end,
            """
            + churn
            + """
            Churner = spawn(fun() -> exit({churned, Churn(0)}) end),
            ok.""",
            keep=True,
            N=cnode.name,
            Map=self.map,
            Trie=self.trie,
        )

    def key(self, number):
        return (u32(32) if self.trie else b"") + u32(number)

    def number(self, key):
        assert len(key) == (8 if self.trie else 4)
        assert not self.trie or key[:4] == u32(32)
        return int.from_bytes(key[-4:], ORDER)

    def check(self, pairs):
        """The keys of pairs, which must have been there at some time."""
        numbers = []
        for key, value in pairs:
            number = self.number(key)
            assert number in LASTING or number in COMING
            values = value if self.per_cpu else [value]
            for one in values:
                assert int.from_bytes(one, ORDER) in (number, 3 * number)
            numbers.append(number)
        return numbers

    def rounds(self, times):
        """So many rounds, and more where the writer has been slow."""
        for _ in range(times):
            yield
        deadline = time.monotonic() + 10 * PATIENCE
        while self.bob.eval("counters:get(Steps, 1)") < 12:
            assert time.monotonic() < deadline, "the writer is idle"
            yield

    def stop(self):
        """How many steps the writer has made."""
        return self.bob.eval(
            """
            R = monitor(process, Churner), Churner ! stop,
            receive {'DOWN', R, _, _, {churned, Count}} -> Count;
                    {'DOWN', R, _, _, Other} -> Other
            after 60000 -> late end.""",
            timeout=90,
        )


# Hundreds of entries in a message, so that the writer is in the kernel most of
# the time, and in the middle of what one call of a reader does.
LISTS = """
    Times = fun(F, Ks) -> [{Key(K), F * K} || K <- Ks] end,
    {Low, High} = {lists:seq(1000000, 1000149), lists:seq(1000150, 1000299)},
    Lasts = lists:seq(0, 499),
    Triples = Times(3, Lasts),
    Singles = Times(1, Lasts),
    LowPairs = Times(1, Low),
    HighPairs = Times(1, High),
    {LowKeys, HighKeys} = {[Key(K) || K <- Low], [Key(K) || K <- High]},
"""
INSERT_AND_DELETE = (
    LISTS
    + """
    Churn = fun Churn(I) ->
        Call(merge, [Map, HighPairs]),
        Call(without, [LowKeys, Map]),
        Call(merge, [Map, Triples]),
        Call(merge, [Map, LowPairs]),
        Call(without, [HighKeys, Map]),
        Call(merge, [Map, Singles]),
        receive stop -> I after 0 -> Churn(I + 1) end
    end,"""
)
# One at a time, and each once: while a node of a trie is replaced the kernel's
# own walk misses a neighbour now and then.
INSERT = """
    Churn = fun Churn(3000) -> receive stop -> 3000 end;
                Churn(I) ->
        Call(put, [Key(1000000 + I), 1000000 + I, Map]),
        receive stop -> I after 0 -> Churn(I + 1) end
    end,"""
REPLACE = (
    LISTS
    + """
    Churn = fun Churn(I) ->
        Call(merge, [Map, Triples]),
        Call(merge, [Map, Singles]),
        receive stop -> I after 0 -> Churn(I + 1) end
    end,"""
)
