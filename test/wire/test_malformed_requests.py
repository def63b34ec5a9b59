# SPDX-License-Identifier: Apache-2.0
"""Requests that are not as they should be, or ask for more than a function.

Each is sent to the C node and to an Erlang node that has functions of the same
names, and both say the same.
"""

from types import SimpleNamespace

import pytest

import dist
import etf
from beam import Beam
from etf import Improper
from malformed import export, load_stand_in, local_fun, normal, rex, spawn

pytestmark = pytest.mark.single

FEATURES = export("ebpf_maps", "features", 0)
GET = export("ebpf_maps", "get", 2)
NOPE = export("ebpf_maps", "nope", 0)


@pytest.fixture(scope="module")
def erlang(cluster):
    """An Erlang node with a module ebpf_maps."""
    beam = Beam(cluster, hint="erlang")
    load_stand_in(beam)
    port = cluster.epmd.port_of(beam.sname)
    yield SimpleNamespace(port=port, name=beam.name)
    beam.close()


@pytest.fixture
def both(connect, cnode, erlang):
    """What the C node and what the Erlang node says: both(spawn, ...)."""

    def both(ask, *args):
        return [ask(connect(node), *args) for node in (cnode, erlang)]

    return both


# --- Options of a request to spawn

RIGHT_OPTIONS = {
    "none": [],
    "link": ["link"],
    "link and monitor": ["link", "monitor"],
    "monitor twice": ["monitor", "monitor"],
    "link twice": ["link", "link"],
    "monitor with no options": [("monitor", [])],
    "monitor with an alias": [("monitor", [("alias", "demonitor")])],
    "monitor with a tag": [("monitor", [("tag", "word")])],
    "monitor with both": [("monitor", [("tag", 1), ("alias", "reply_demonitor")])],
    "max_heap_size as a map": [
        ("max_heap_size", {"size": 100000, "kill": True, "error_logger": False})
    ],
    "max_heap_size with a key that is not known": [
        ("max_heap_size", {"size": 0, "nope": 1})
    ],
    "max_heap_size as large as the smallest heap": [("max_heap_size", 233)],
    "max_heap_size larger than min_heap_size": [
        ("min_heap_size", 300),
        ("max_heap_size", 1000),
    ],
} | {
    f"{name} {value}": ["monitor", (name, value)]
    for name, values in {
        "priority": ["low", "normal", "high", "max"],
        "message_queue_data": ["on_heap", "off_heap"],
        "scheduler": [0, 1],
        "fullsweep_after": [0, 1, 65536, (1 << 59) - 1],
        "min_heap_size": [0, 1, 65536],
        "min_bin_vheap_size": [0, 1, 65536],
        "max_heap_size": [0, 100000],
    }.items()
    for value in values
}

NO_SMALL = [-1, 1 << 59, 1 << 64, "word", 1.5, b"1", []]

WRONG_OPTIONS = {
    "an unknown word": ["nope"],
    "an unknown word after monitor": ["monitor", "nope"],
    "an unknown word before monitor": ["nope", "monitor"],
    "an unknown pair": [("nope", 1)],
    "numbers": [7, 8],
    "a big number": [1 << 70],
    "a binary": [b"monitor"],
    "a list": [["monitor"]],
    "a triple": [("monitor", [], [])],
    "an empty tuple": [()],
    "a pair that begins with a number": [(1, 2)],
    "an improper list": Improper(("monitor",), "link"),
    "an improper list that ends in a byte of a nil": Improper(("monitor",), 0x6A),
    "a word for the list": "monitor",
    "a tuple for the list": ("monitor",),
    "a number for the list": 5,
    "a binary for the list": b"monitor",
    "a map for the list": {},
    "monitor with an unknown option": [("monitor", [("nope", 1)])],
    "monitor with a word": [("monitor", "nope")],
    "monitor with true": [("monitor", True)],
    "monitor with an improper list": [("monitor", Improper((("tag", 1),), 2))],
    "monitor with an unknown alias": [("monitor", [("alias", "nope")])],
    "link with true": [("link", True)],
    "reply, which the sender does": [("reply", "yes")],
    "reply_tag, which the sender does": [("reply_tag", "word")],
    "an unknown priority": [("priority", "urgent")],
    "a number as priority": [("priority", 5)],
    "an unknown message_queue_data": [("message_queue_data", "mixed")],
    "a scheduler that no emulator has": [("scheduler", 100000)],
    "async_dist with a number": [("async_dist", 1)],
    "max_heap_size below the smallest heap": [("max_heap_size", 232)],
    "max_heap_size below min_heap_size": [
        ("max_heap_size", 1000),
        ("min_heap_size", 2000),
    ],
    "max_heap_size as an empty map": [("max_heap_size", {})],
    "max_heap_size without its size": [("max_heap_size", {"kill": True})],
    "max_heap_size with a wrong size": [("max_heap_size", {"size": -1})],
    "max_heap_size with a wrong kill": [("max_heap_size", {"size": 0, "kill": 1})],
    "max_heap_size with a wrong error_logger": [
        ("max_heap_size", {"size": 0, "error_logger": 1})
    ],
} | {
    f"{name} {value}": ["monitor", (name, value)]
    for name in (
        "scheduler",
        "fullsweep_after",
        "min_heap_size",
        "min_bin_vheap_size",
        "max_heap_size",
    )
    for value in NO_SMALL
}

UNDEF = (("ebpf_maps", "nope", 1), [1])


@pytest.mark.parametrize("name", RIGHT_OPTIONS)
def test_right_options_are_taken(name, both):
    cnode, erlang = both(spawn, *UNDEF, RIGHT_OPTIONS[name])
    assert cnode == erlang
    assert cnode[1] == "a pid"


@pytest.mark.parametrize("name", WRONG_OPTIONS)
def test_wrong_options_are_badopt(name, both):
    cnode, erlang = both(spawn, *UNDEF, WRONG_OPTIONS[name])
    assert cnode == erlang
    assert cnode == (0, "badopt")


@pytest.mark.parametrize("value", [True, False])
def test_async_dist_is_taken_as_newer_nodes_do(value, connect, cnode):
    """OTP 25.3 and later: before, it is badopt."""
    told = spawn(connect(cnode), *UNDEF, ["monitor", ("async_dist", value)])
    assert told[:2] == (2, "a pid")


def test_nothing_is_done_with_wrong_options(connect, cnode, maps):
    map = maps.new("hash", 1, 1, 4)
    put = ("ebpf_maps", "put", 3), [1, 1, map]
    assert spawn(connect(cnode), *put, ["nope"]) == (0, "badopt")
    assert maps.find(1, map) == "error"
    assert spawn(connect(cnode), *put)[1] == "a pid"
    assert maps.find(1, map) == ("ok", b"\1")


def test_wrong_options_of_a_request_too_long_are_badopt(connect, start_cnode):
    peer = connect(start_cnode("--max-message", "4096"))
    mfa, args = ("ebpf_maps", "nope", 1), [bytes(1 << 16)]
    assert spawn(peer, mfa, args, ["nope"]) == (0, "badopt")
    assert spawn(peer, mfa, args)[2][1][0] == ("too_big", 4096)


# --- Functions and arguments


def call(module, function, args):
    """As erpc:call/4 sends it, which looks at them before."""
    return ("erpc", "execute_call", 4), lambda ref: [ref, module, function, args]


def cast(module, function, args):
    return ("erpc", "execute_cast", 3), [module, function, args]


def erpc_with(*arguments, end=None, arity=4):
    """execute_call/4 with other than four arguments."""

    def payload(ref):
        all = [ref, *arguments]
        return all if end is None else Improper(tuple(all), end)

    return ("erpc", "execute_call", arity), payload


IMPROPER = Improper(("a",), "b")
NO_LISTS = {
    "an improper list": IMPROPER,
    "an improper list that ends in a byte of a nil": Improper(("a",), 0x6A),
    "a word": "a",
    "a tuple": ("a", 1),
    "a binary": b"ab",
    "a number": 7,
    "a map": {},
}

REQUESTS = {
    "a function": call("ebpf_maps", "features", []),
    "a function that raises": call("ebpf_maps", "get", ["a", "b"]),
    "a function that is not there": call("ebpf_maps", "nope", [1]),
    "a number as module": call(1, "get", []),
    "a binary as module": call(b"ebpf_maps", "get", []),
    "a tuple as module": call(("ebpf_maps", 1), "get", []),
    "a number as function": call("ebpf_maps", 1, []),
    "255 arguments": call("ebpf_maps", "nope", [()] * 255),
    "256 arguments": call("ebpf_maps", "nope", [()] * 256),
    "erpc with a word for its reference": (
        ("erpc", "execute_call", 4),
        ["word", "ebpf_maps", "nope", []],
    ),
    "erpc with bytes for all": (("erpc", "execute_call", 4), [1, 2, 3, 4]),
    "erpc without arguments": (("erpc", "execute_call", 4), []),
    "erpc with a word for its arguments": (("erpc", "execute_call", 4), "word"),
    "erpc with three arguments": erpc_with("ebpf_maps", "nope"),
    "erpc with five arguments": erpc_with("ebpf_maps", "nope", [], 1),
    "erpc with an improper list": erpc_with("ebpf_maps", "nope", [], end="x"),
    "erpc with another arity": erpc_with("ebpf_maps", "nope", [], arity=3),
    "erpc's other function": (
        ("erpc", "execute_call", 3),
        ["ebpf_maps", "get", ["a", "b"]],
    ),
    "erpc's other function, which returns": (
        ("erpc", "execute_call", 3),
        ["ebpf_maps", "features", []],
    ),
    "a cast": cast("ebpf_maps", "features", []),
    "a cast of what is not there": cast("ebpf_maps", "nope", [1]),
    "a cast with a number as module": cast(1, "nope", []),
    "a cast of too few": (("erpc", "execute_cast", 3), ["ebpf_maps", "nope"]),
    "a spawn": (("ebpf_maps", "features", 0), []),
    "a spawn that raises": (("ebpf_maps", "get", 2), ["a", "b"]),
    "a spawn with another arity": (("ebpf_maps", "get", 0), [1, 2]),
    "a spawn with a negative arity": (("ebpf_maps", "nope", -1), [1, 2]),
    "a spawn with a big arity": (("ebpf_maps", "nope", 1 << 62), [1]),
    "a spawn with a word as arity": (("ebpf_maps", "nope", "word"), [1]),
    "a spawn with a number as module": ((1, "nope", 1), [1]),
    "a spawn with a number as function": (("ebpf_maps", 1, 1), [1]),
    "a spawn of a pair": (("ebpf_maps", "nope"), [1]),
    "a spawn of a word": ("ebpf_maps", [1]),
    "a spawn of 300 arguments": (("ebpf_maps", "nope", 300), [()] * 300),
}
for what, args in NO_LISTS.items():
    REQUESTS |= {
        f"arguments that are {what}": call("ebpf_maps", "get", args),
        f"{what}, for a function that is not there": call("ebpf_maps", "nope", args),
        f"{what}, for a module that is not there": call("nope", "nope", args),
        f"a cast with {what}": cast("ebpf_maps", "get", args),
        f"a spawn with {what}": (("ebpf_maps", "get", 2), args),
    }


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_is_answered_as_by_an_erlang_node(name, both):
    cnode, erlang = both(spawn, *REQUESTS[name])
    assert cnode == erlang


# --- What erlang:apply can be asked for

APPLIED = {
    "a fun": [FEATURES, []],
    "a fun that raises": [GET, ["a", "b"]],
    "a fun with a string of arguments": [GET, [1, 2]],
    "a fun of a function that is not there": [NOPE, []],
    "a fun of a module that is not there": [export("nope", "nope", 0), []],
    "a fun with too many": [FEATURES, [1]],
    "a fun with too few": [GET, ["a"]],
    "a fun that is not there with too many": [NOPE, [1]],
    "a fun of 300 arguments": [export("ebpf_maps", "get", 300), []],
    "a word as fun": ["word", []],
    "a number as fun": [1, []],
    "a pair as fun": [("ebpf_maps", "features"), []],
    "a word as fun, and as arguments": ["word", "word"],
    "a local fun": [local_fun("nowhere"), []],
    "a local fun with too many": [local_fun("nowhere"), [1]],
    "a local fun with too few": [local_fun("nowhere", 2), [1]],
    "a local fun of ebpf_maps": [local_fun("ebpf_maps"), []],
    "a local fun with an improper list": [local_fun("nowhere"), IMPROPER],
    "a function": ["ebpf_maps", "features", []],
    "a function that raises": ["ebpf_maps", "get", ["a", "b"]],
    "a function that is not there": ["ebpf_maps", "nope", [1]],
    "a number as module": [1, "get", []],
    "a number as function": ["ebpf_maps", 1, []],
    "a tuple as module": [("ebpf_maps",), "get", []],
    "300 arguments": ["ebpf_maps", "nope", [()] * 300],
    "apply of a fun": ["erlang", "apply", [FEATURES, []]],
    "apply of apply": ["erlang", "apply", ["erlang", "apply", [GET, ["a", "b"]]]],
    "nothing": [],
    "one": [FEATURES],
    "four": [FEATURES, 1, 2, 3],
    "an improper list": Improper((FEATURES, []), "end"),
}
for what, args in NO_LISTS.items():
    APPLIED |= {
        f"a fun and {what}": [GET, args],
        f"a function and {what}": ["ebpf_maps", "get", args],
    }

WAYS = {
    "call": lambda args: call("erlang", "apply", args),
    "cast": lambda args: cast("erlang", "apply", args),
    "spawn": lambda args: (("erlang", "apply", 2), args),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", APPLIED)
def test_apply_is_answered_as_by_an_erlang_node(name, way, both):
    cnode, erlang = both(spawn, *WAYS[way](APPLIED[name]))
    assert cnode == erlang


@pytest.mark.parametrize("name", APPLIED)
def test_apply_by_rex_is_answered_as_by_an_erlang_node(name, both):
    request = ("call", "erlang", "apply", APPLIED[name], "user")
    cnode, erlang = both(rex, request)
    assert cnode == erlang


@pytest.mark.parametrize("what", NO_LISTS)
def test_rex_says_of_what_is_no_list_what_an_erlang_node_says(what, both):
    request = ("call", "ebpf_maps", "get", NO_LISTS[what], "user")
    cnode, erlang = both(rex, request)
    assert cnode == erlang


def test_applies_of_applies_without_end_are_undef(connect, cnode):
    """Here alone: to go over all that is in each of them would take hours."""
    again = etf.body(["erlang", "apply"])[1 + 4 : -1]
    head, tail = b"l\0\0\0\3" + again, b"j"
    args = etf.Opaque("list", head * 100_000 + b"j" + tail * 100_000)
    me, request = (peer := connect(cnode)).pid(), peer.ref()
    control = (dist.SPAWN_REQUEST, request, me, me, ("erlang", "apply", 3), ["monitor"])
    peer.send(control, args)
    assert b"undef" in peer.wait_exit(request)


@pytest.mark.parametrize(
    "size, reason", [(3000, "badarity"), (4000, "too_big")], ids=["fits", "does not"]
)
def test_what_a_fun_cannot_be_applied_to_is_told_if_it_fits(
    size, reason, connect, start_cnode
):
    peer = connect(start_cnode("--max-message", "4096"))
    args = [FEATURES, [bytes(size)]]
    told = peer.erpc("erlang", "apply", args)
    assert (told[0], told[1][0]) == ("error", reason)
    assert told[2] == [("erlang", "apply", 2, [])]


# --- Expressions

EXPRESSIONS = {
    "erpc:call of a fun": "is_map(erpc:call(N, fun ebpf_maps:features/0))",
    "erpc:call of a fun that is not there": "erpc:call(N, fun ebpf_maps:nope/0)",
    "erpc:call of a fun with arguments": "erpc:call(N, fun ebpf_maps:get/2)",
    "erpc:call of apply": "erpc:call(N, erlang, apply, [fun ebpf_maps:get/2, [a, b]])",
    "erpc:call with an improper list": "erpc:call(N, ebpf_maps, get, [a | b])",
    "erpc:multicall of a fun": "length(erpc:multicall([N], fun ebpf_maps:features/0))",
    "erpc:send_request of a fun": """
        is_map(erpc:receive_response(
            erpc:send_request(N, fun ebpf_maps:features/0), 15000))""",
    "rpc:call of a fun": """
        is_map(rpc:call(N, erlang, apply, [fun ebpf_maps:features/0, []]))""",
    "rpc:call with an improper list": "rpc:call(N, ebpf_maps, get, [a | b])",
    "rpc:block_call with an improper list": """
        rpc:block_call(N, ebpf_maps, get, [a | b])""",
    "rpc:block_call with a word": "rpc:block_call(N, ebpf_maps, get, word)",
    "gen_server:call with an improper list": """
        gen_server:call({rex, N}, {call, ebpf_maps, get, [a | b], self()}, 15000)""",
    "gen_server:call of a fun": """
        F = fun ebpf_maps:get/2,
        gen_server:call({rex, N}, {call, erlang, apply, [F, [a, b]], self()}, 15000)""",
    "spawn_monitor of a fun": """
        {P, R} = spawn_monitor(N, fun ebpf_maps:features/0),
        receive {'DOWN', R, process, P, Why} -> Why after 15000 -> late end""",
    "spawn_monitor of a fun that is not there": """
        {P, R} = spawn_monitor(N, fun ebpf_maps:nope/0),
        receive {'DOWN', R, process, P, Why} -> Why after 15000 -> late end""",
    "spawn_opt with an unknown option": """
        spawn_opt(N, ebpf_maps, features, [], [nope])""",
    "spawn_opt with a wrong priority": """
        spawn_opt(N, ebpf_maps, features, [], [{priority, urgent}])""",
    "spawn_request with an unknown option": """
        R = spawn_request(N, ebpf_maps, features, [], [monitor, nope]),
        receive {spawn_reply, R, error, Why} -> Why after 15000 -> late end""",
    "spawn_request with a reply tag and an unknown option": """
        R = spawn_request(N, ebpf_maps, features, [], [{reply_tag, t}, {nope, 1}]),
        receive {t, R, error, Why} -> Why after 15000 -> late end""",
    "spawn_request with all that is right": """
        R = spawn_request(N, ebpf_maps, features, [],
                          [{reply_tag, t}, {reply, yes}, {priority, high},
                           {monitor, [{tag, gone}]}, {fullsweep_after, 7}]),
        P = receive {t, R, ok, P0} -> P0 after 15000 -> error(late) end,
        receive {gone, R, process, P, Why} -> Why after 15000 -> late end""",
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression_has_the_same_value(name, alice, cnode, erlang):
    text = f"try {EXPRESSIONS[name]} catch C:R0 -> {{C, R0}} end"
    values = [normal(alice.eval(text, N=node.name)) for node in (cnode, erlang)]
    assert values[0] == values[1]
    assert values[0] != "late"
