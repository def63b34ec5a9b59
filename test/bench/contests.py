# SPDX-License-Identifier: Apache-2.0
"""The table of contests.

A contest is one piece of work and the contenders that do it in turns. The first
contender is ours; each of the others makes a row of the table: ours against it.
`shows` says how to read the ratio:

    its time   our time / its time        less is better
    as fast    its time / our time        more is better
    its rate   our rate / its rate        more is better
    its size   our size / its size        less is better
    ms above   our time - its time        less is better, below 0 ours is less

The last one is a difference in place of a ratio. The target of either is at_most or
at_least a number; a limit is for our own
median, in the unit of the contest. Counts are contests like times.
"""

from dataclasses import dataclass, field
from functools import partial

import calls
import counts
import events
import fleet
import keep
import labels as by
import nodes
import programs
import scrapes
import secured
import typed
import whole
from turns import ABOVE, differences, ratios


@dataclass(frozen=True)
class Target:
    relation: str
    number: float

    def met(self, value):
        if self.relation == "at most":
            return value <= self.number
        return value >= self.number


at_most = partial(Target, "at most")
at_least = partial(Target, "at least")


@dataclass(frozen=True)
class Contest:
    id: str
    work: str
    unit: str
    shows: str
    make: object  # (world, size, labels) -> context of {label: run or None}
    contenders: tuple
    targets: dict = field(default_factory=dict)
    limit: Target = None
    entries: int = 0  # of a map
    quick: bool = True  # also in a quick run

    def ratio(self, ours, theirs):
        if self.shows == ABOVE:
            return differences(ours, theirs)
        return ratios(theirs, ours) if self.shows == "as fast" else ratios(ours, theirs)

    def note(self, label, size):
        """The note for a figure that was not measured in full."""
        entries = size.entries(self.entries)
        if label in (by.CNODE_EACH, by.NIF_EACH) and entries > size.by_call:
            return f"{size.by_call:,} of {entries:,} entries, scaled"
        return ""


ALL = (
    by.CNODE,
    by.PINGPONG,
    by.LOOP,
    by.BEAM,
    by.SERVER,
    by.NIF_ERPC,
    by.NIF,
    by.FACADE,
)
OVER_THE_WIRE = (by.CNODE, by.BEAM, by.SERVER, by.NIF_ERPC, by.FACADE)
FROM_NODES = (by.CNODE, by.BEAM, by.SERVER, by.NIF_ERPC)


def alone(function, **more):
    contenders = ALL if function == "get" else tuple(c for c in ALL if c != by.PINGPONG)
    return Contest(
        f"{function}-1",
        f"{function}, 1 caller",
        "µs",
        "its time",
        partial(calls.calls, function=function),
        contenders,
        **more,
    )


def many(function, callers, **more):
    return Contest(
        f"{function}-{callers}",
        f"{function}, {callers} callers",
        "calls/s",
        "its rate",
        partial(calls.calls, function=function, callers=callers),
        OVER_THE_WIRE,
        **more,
    )


def from_nodes(function, **more):
    return Contest(
        f"{function}-4x4",
        f"{function}, 4 callers on each of 4 nodes",
        "calls/s",
        "its rate",
        partial(calls.calls, function=function, callers=4, nodes=4),
        FROM_NODES,
        **more,
    )


def value(function, size):
    return Contest(
        f"{function}-value-{size}",
        f"{function}, values of {size} bytes",
        "µs",
        "its time",
        partial(calls.calls, function=function, value_size=size),
        FROM_NODES,
        quick=size == 65536,
    )


def pipelined(id, work, window, **more):
    return Contest(
        id,
        work,
        "calls/s",
        "its rate",
        partial(calls.stream, window=window),
        (by.CNODE, by.SERVER, by.BEAM, by.NIF_ERPC),
        **more,
    )


REQUESTS = (
    alone(
        "get",
        targets={
            by.PINGPONG: at_most(1.4),
            by.BEAM: at_most(0.9),
            by.NIF_ERPC: at_most(0.75),
        },
    ),
    many("get", 16, targets={by.BEAM: at_least(1.2), by.NIF_ERPC: at_least(2)}),
    many("get", 256),
    from_nodes("get"),
    *(
        contest
        for function in ("put", "update", "take")
        for contest in (
            alone(function, quick=function == "put"),
            many(function, 16, quick=function == "put"),
            many(function, 256, quick=False),
            from_nodes(function, quick=False),
        )
    ),
    pipelined(
        "stream",
        "get, a stream with 1,000 under way",
        1000,
        targets={by.SERVER: at_least(2)},
    ),
    pipelined("stream-all", "get, a stream sent at once", None, quick=False),
    *(value("get", size) for size in (8, 256, 4096, 65536)),
    *(value("put", size) for size in (8, 256, 4096, 65536)),
)

# --- Whole maps ---------------------------------------------------------------

BY_SIZE = {  # the other contenders, by the entries of the hash
    1_000: (by.CNODE, by.CNODE_EACH, by.NIF_EACH, by.NIF, by.LOOP),
    100_000: (by.CNODE, by.CNODE_EACH, by.NIF_EACH, by.NIF, by.LOOP),
    1_000_000: (by.NIF, by.LOOP),
}
TARGETS = {
    ("to_list", "hash", 100_000): {by.NIF: at_least(5), by.NIF_EACH: at_least(100)},
    ("to_list", "hash", 1_000_000): {by.BPFTOOL: at_least(8)},
}


def others(operation, type, entries):
    """The contenders that can do it in an acceptable time."""
    found = [*BY_SIZE[entries]]
    if type == "percpu_hash":  # the NIF reads one value for all CPUs
        found = [one for one in found if one not in (by.NIF, by.NIF_EACH)]
    if type != "hash" and entries == 1_000_000:
        found = [by.LOOP]
    if operation == "to_list" and (type == "hash" or entries < 1_000_000):
        found.append(by.BPFTOOL)
    return tuple(found)


def whole_map(operation, type, entries):
    return Contest(
        f"{operation}-{type}-{entries}",
        f"{operation} of {entries:,}, {type}",
        "ms",
        "as fast",
        partial(whole.whole, operation=operation, type=type, entries=entries),
        (by.FACADE, *others(operation, type, entries)),
        targets=TARGETS.get((operation, type, entries), {}),
        entries=entries,
        quick=operation == "to_list"
        and type == "hash"
        or (type, entries) == ("hash", 100_000),
    )


WHOLE_MAPS = tuple(
    whole_map(operation, type, entries)
    for type in ("hash", "array", "percpu_hash", "lpm_trie")
    for operation in ("to_list", "fold", "merge", "drain")
    for entries in (1_000, 100_000, 1_000_000)
    if (operation, type) != ("drain", "array")  # nothing leaves an array
)
WHOLE_MAPS_CPU = (
    Contest(
        "to_list-cpu",
        "to_list of 1,000,000, hash, CPU",
        "ms",
        "its time",
        partial(whole.whole, operation="to_list", type="hash", entries=1_000_000),
        (by.CNODE_CPU, by.LOOP_CPU),
        targets={by.LOOP_CPU: at_most(1.5)},
        entries=1_000_000,
    ),
)

# --- Typed maps ---------------------------------------------------------------

MANY = 100_000  # entries


def typed_map(form, ours, others, most):
    """By the clock, and by the C node's CPU, which alone has a target: much of the
    caller's time is that of its garbage collector."""
    work = f"to_list of {MANY:,} as {form}"
    make = partial(typed.whole, entries=MANY)
    return (
        Contest(
            f"typed-{form}",
            work,
            "ms",
            "its time",
            make,
            (ours, by.BYTES, *others),
            entries=MANY,
        ),
        Contest(
            f"typed-{form}-cpu",
            f"{work}, CPU",
            "ms",
            "its time",
            partial(make, cpu=True),
            (ours, by.BYTES),
            targets={by.BYTES: at_most(most)},
            entries=MANY,
        ),
    )


def typed_call(function, **more):
    return Contest(
        f"typed-{function}",
        f"{function}, 1 caller, ten members",
        "µs",
        "its time",
        partial(typed.calls, function=function),
        (by.MAPS, by.BYTES, by.TUPLES),
        **more,
    )


TYPED = (
    *typed_map("tuples", by.TUPLES, (by.DECODED_TUPLES,), 1.4),
    *typed_map("maps", by.MAPS, (by.DECODED_MAPS, by.BPFTOOL), 2),
    typed_call("get", targets={by.BYTES: at_most(1.1)}),
    typed_call("put"),
    Contest(
        "typed-view",
        "a view of ten members made and closed, CPU",
        "µs",
        "its time",
        typed.views,
        (by.OF_BTF, by.OF_LAYOUT, by.NO_TYPES),
        limit=at_most(200),
    ),
)

# --- Programs -----------------------------------------------------------------


def load(object, work):
    return Contest(
        f"load-{object}",
        work,
        "ms",
        ABOVE,
        partial(programs.load, object=object),
        (by.CNODE, by.LOAD_LOOP, by.BPFTOOL_LOAD, by.FACADE),
        targets={by.LOAD_LOOP: at_most(6)},
    )


def get_while_loading(object, work, **more):
    return Contest(
        f"get-while-loading-{object}",
        work,
        "µs",
        "its time",
        partial(programs.get_while_loading, object=object),
        (by.LOADING, by.NOT_LOADING, by.LOADING_IN_C),
        **more,
    )


PROGRAMS = (
    load("small", "load, attach, detach a program of two instructions"),
    load("big", "load, attach, detach a tool's six programs"),
    get_while_loading(
        "small",
        "get, 1 caller, others load two instructions",
        targets={by.NOT_LOADING: at_most(1.1)},
    ),
    get_while_loading(
        "big",
        "get, 1 caller, others load a tool's programs",
        targets={by.NOT_LOADING: at_most(1.1)},
    ),
)

# --- Nodes --------------------------------------------------------------------

NODES = (
    Contest(
        "connections",
        "get, 16 callers, so many connections",
        "calls/s",
        "its rate",
        calls.connections,
        ("512 connections", "64 connections", "1 connection"),
    ),
    Contest(
        "multicall",
        "erpc:multicall to 200 C nodes",
        "ms",
        "its time",
        nodes.multicall,
        (by.AGAIN, by.FIRST),
        limit=at_most(50),
    ),
    Contest(
        "start",
        "start to ready",
        "ms",
        "its time",
        nodes.start,
        (by.NODE, by.BARE_ERL),
    ),
    Contest(
        "memory-idle",
        "RSS of an idle node",
        "KiB",
        "its size",
        nodes.idle_memory,
        (by.NODE, by.BARE_ERL),
        limit=at_most(4096),
    ),
    Contest(
        "memory-connection",
        "RSS per connection",
        "KiB",
        "its size",
        nodes.connection_memory,
        (by.NODE,),
        limit=at_most(100),
    ),
    Contest(
        "memory-handle",
        "RSS per handle",
        "bytes",
        "its size",
        nodes.handle_memory,
        (by.NODE,),
        limit=at_most(512),
    ),
)

# --- Counts -------------------------------------------------------------------

COUNTS = (
    Contest(
        "bytes",
        "bytes on the wire, a get and its answer",
        "bytes",
        "its size",
        calls.wire,
        FROM_NODES,
    ),
    Contest(
        "syscalls",
        "system calls of a get alone",
        "calls",
        "its size",
        counts.system_calls,
        (by.NODE,),
        limit=at_most(3),
    ),
    Contest(
        "syscalls-1000",
        "system calls of a get among 1,000",
        "calls",
        "its size",
        partial(counts.system_calls, pipelined=True),
        (by.NODE,),
        limit=at_most(1.1),
    ),
    Contest(
        "instructions",
        "instructions of a get in user space",
        "instructions",
        "its size",
        partial(counts.in_user_space, what="instructions"),
        (by.NODE,),
        limit=at_most(4000),
    ),
    Contest(
        "allocations",
        "heap allocations of a get",
        "allocations",
        "its size",
        partial(counts.in_user_space, what="allocations"),
        (by.NODE,),
        limit=at_most(0),
    ),
    Contest(
        "bpf-to_list",
        "bpf(2) calls of to_list of 100,000",
        "calls",
        "its size",
        counts.system_calls_of_to_list,
        (by.NODE,),
    ),
)

MILLION = 1_000_000

EVENTS = (
    Contest(
        "events-cpu",
        "an event of 64 bytes, a million a second, CPU",
        "ns",
        "its time",
        partial(events.flows, rate=MILLION, figure=events.cpu_of_each),
        (by.EVENTS, by.EVENTS_IN_C, by.EVENTS_BY_PORT),
        limit=at_most(150),
    ),
    Contest(
        "events-lost",
        "events lost of a million a second, one subscriber",
        "",
        "ms above",
        partial(events.flows, rate=MILLION, figure=events.lost_in_all),
        (by.EVENTS, by.EVENTS_IN_C, by.EVENTS_BY_PORT),
        limit=at_most(0),
    ),
    Contest(
        "events-four",
        "events lost of 250,000 a second, four subscribers",
        "",
        "ms above",
        partial(events.flows, rate=MILLION // 4, figure=events.lost_in_all, readers=4, seconds=10),
        (by.EVENTS,),
        limit=at_most(0),
    ),
    Contest(
        "events-stopped",
        "events lost of a million a second, beside a node that is stopped",
        "",
        "ms above",
        partial(events.flows, rate=MILLION, figure=events.lost_in_all, stopped=True),
        (by.EVENTS,),
        limit=at_most(0),
    ),
    Contest(
        "events-lone",
        "a lone event, from the kernel to an Erlang process",
        "µs",
        "its time",
        partial(events.flows, rate=events.LONE_RATE, figure=events.lone_age, seconds=3),
        (by.EVENTS, by.EVENTS_BY_PORT),
        limit=at_most(150),
    ),
    Contest(
        "events-calls",
        "get of another node, the slowest of 100",
        "µs",
        "its time",
        partial(events.calls_meanwhile, rate=MILLION),
        (by.FLOWING, by.NOT_FLOWING, by.FLOWING_BY_PORT),
        targets={by.NOT_FLOWING: at_most(2)},
    ),
)

KEEP = (
    Contest(
        "keep-restore",
        "10,000 handles back after a restart",
        "ms",
        "its time",
        keep.restore,
        (by.KEPT, by.OBJ_GET, by.NONE_KEPT),
        limit=at_most(150),
    ),
    Contest(
        "keep-new",
        "new and close of a handle that is kept",
        "µs",
        "its time",
        keep.new_and_close,
        (by.WITH_KEEP, by.WITHOUT_KEEP),
        targets={by.WITHOUT_KEEP: at_most(1.5)},
    ),
)

# --- Over TLS -------------------------------------------------------------------


def over_tls(version):
    """Ours by that version of TLS, beside ours without it, and beside two Erlang nodes."""
    ours, theirs = by.cnode_tls(version), by.beam_tls(version)
    plain = by.CNODE_PLAIN
    return (
        Contest(
            f"tls-get-{version}",
            f"get, 1 caller, TLS {version}",
            "µs",
            "its time",
            secured.calls,
            (ours, plain, theirs, by.BEAM_PLAIN),
            targets={plain: at_most(1.7), theirs: at_most(0.556)},  # 1.8 times as fast
        ),
        Contest(
            f"tls-callers-{version}",
            f"get, 16 callers, TLS {version}",
            "calls/s",
            "its rate",
            partial(secured.calls, callers=16),
            (ours, plain, theirs),
            targets={plain: at_least(1)},
        ),
        *(
            Contest(
                f"tls-whole-{operation}-{version}",
                f"{operation} of {MANY:,}, TLS {version}",
                "ms",
                "its time",
                partial(secured.whole, operation=operation, entries=MANY),
                (ours, plain, by.cnode_buffer(version)),
                targets={plain: at_most(1.3)},
                entries=MANY,
            )
            for operation in ("to_list", "fold", "merge")
        ),
    )


OVER_TLS = (*over_tls("1.2"), *over_tls("1.3"))

# --- All hosts as one -------------------------------------------------------------


def summed(nodes, type, entries, ms, mib):
    """By the clock, and by what the caller's memory grows meanwhile."""
    id, work = f"{type}-{nodes}x{entries}", f"{entries:,} of each of {nodes} nodes, {type}"
    make = partial(fleet.summed, nodes=nodes, type=type, entries=entries)
    contenders = (by.FLEET, by.AT_ONCE, by.ONE_BY_ONE)
    quick = entries == 1000
    return (
        Contest(
            f"fleet-{id}",
            f"{work}, summed by key",
            "ms",
            "its time",
            make,
            contenders,
            limit=at_most(ms),
            entries=entries,
            quick=quick,
        ),
        Contest(
            f"fleet-memory-{id}",
            f"{work}, growth of the caller",
            "MiB",
            "its size",
            partial(make, memory=True),
            contenders,
            limit=at_most(mib),
            entries=entries,
            quick=quick,
        ),
    )


def made_of(id, work, contenders):
    return Contest(
        f"fleet-{id}",
        f"{work} of 16,000 of each of 100 nodes, hash",
        "ms",
        "its time",
        partial(fleet.summed, nodes=100, type="hash", entries=16_000),
        contenders,
        entries=16_000,
        quick=False,
    )


FLEET = (
    *summed(150, "hash", 1000, 150, 8),
    *summed(150, "percpu_hash", 1000, 150, 8),
    *summed(100, "hash", 16_000, 3500, 50),
    made_of("sum", "the sum", (by.FLEET_SUM, by.FLEET_FOLD)),
    made_of("top", "the ten largest", (by.FLEET_TOP, by.FLEET_SORTED)),
    Contest(
        "fleet-hung",
        "150 nodes, one in ten of which hangs: after the deadline",
        "ms",
        ABOVE,
        partial(fleet.hung, nodes=150, entries=1000),
        (by.HUNG_FLEET, by.HUNG_MULTICALL),
        limit=at_most(20),
        entries=1000,
    ),
)

METRICS = (
    Contest(
        "metrics-10000",
        "10,000 series of a map, by HTTP",
        "ms",
        "its time",
        partial(scrapes.scraped, entries=10_000),
        (by.SCRAPED, by.READY),
        targets={by.READY: at_most(3)},
        entries=10_000,
    ),
)

CONTESTS = (
    *(*REQUESTS, *WHOLE_MAPS, *WHOLE_MAPS_CPU, *TYPED, *PROGRAMS, *EVENTS, *KEEP),
    *(*OVER_TLS, *FLEET, *METRICS, *NODES, *COUNTS),
)  # fmt: skip

# In the smallest run these would all be of the same size.
SAME_BUT_LARGER = {c.id for c in WHOLE_MAPS if c.entries > 1000}
