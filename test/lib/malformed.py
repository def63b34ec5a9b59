# SPDX-License-Identifier: Apache-2.0
"""One request to two nodes: what each says to it, so that they can be compared."""

import dist
import etf

STAND_IN = """
-module(ebpf_maps).
-export([features/0, get/2]).
features() -> #{}.
get(Key, Map) -> error({badmap, Map}, [Key, Map]).
"""

LOAD = """
Forms = [begin
             {ok, Tokens, _} = erl_scan:string(Line),
             {ok, Form} = erl_parse:parse_form(Tokens),
             Form
         end || Line <- string:lexemes(Source, "\\n")],
{ok, ebpf_maps, Code} = compile:forms(Forms),
{module, ebpf_maps} = code:load_binary(ebpf_maps, "ebpf_maps", Code),
ok
"""

MONITOR = ["monitor"]

ENDS = {
    dist.MONITOR_P_EXIT: "down",
    dist.PAYLOAD_MONITOR_P_EXIT: "down",
    dist.EXIT: "exit",
    dist.PAYLOAD_EXIT: "exit",
}


def load_stand_in(beam):
    """A module whose functions raise what the C node's do for the same arguments."""
    beam.eval(LOAD, Source=list(STAND_IN.encode()))


def export(module, function, arity):
    """fun Module:Function/Arity"""
    raw = b"q" + b"".join(map(etf.body, (module, function, arity)))
    return etf.Opaque("fun", raw)


def local_fun(module, arity=0):
    """A fun that was made in a module, with no variables bound in it."""
    rest = bytes([arity]) + bytes(16) + bytes(4) + bytes(4)
    maker = etf.pid("nobody@nowhere", 1)
    rest += b"".join(map(etf.body, (module, 0, 12345, maker)))
    return etf.Opaque("fun", b"p" + (len(rest) + 4).to_bytes(4, "big") + rest)


def is_frame(term):
    """{M, F, Args | Arity, Location}, or {Fun, Args, Location}."""
    return (
        isinstance(term, tuple)
        and len(term) in (3, 4)
        and isinstance(term[-1], list)
        and (len(term) == 4 or isinstance(term[0], etf.Opaque))
    )


def normal(term, request=None):
    """Without what differs from node to node, and from request to request.

    Of a stack the first frame is left, without where in a file that is.
    """
    if request is not None and term == request:
        return "the request"
    match term:
        case [first, *_] if isinstance(term, list) and is_frame(first):
            return [normal(first[:-1], request)]
        case list():
            return [normal(t, request) for t in term]
        case (_, "return", _):
            return "returned"
        case tuple():
            return tuple(normal(t, request) for t in term)
        case etf.Improper(items, tail):
            return etf.Improper(normal(tuple(items), request), normal(tail, request))
    return term


def is_reply(request):
    return lambda control, _: control[:2] == (dist.SPAWN_REPLY, request)


def ends_of(peer, me, number, request):
    """How me is told of the end of a process, by link or by monitor."""
    ends = []
    for _ in range(number):
        control, reason = peer.receive_until(
            lambda c, _: c[0] in ENDS and c[2] == me, timeout=30
        )
        reason = control[-1] if reason is None else reason
        ends.append((ENDS[control[0]], normal(reason, request)))
    return sorted(ends, key=lambda end: end[0])


def spawn(peer, mfa, payload, options=MONITOR):
    """What is told of a request to spawn: the reply, and how its process ended.

    payload is what the function is called with, or gives it for the reference.
    """
    me, request = peer.pid(), peer.ref()
    if callable(payload):
        payload = payload(request)
    try:
        peer.send((dist.SPAWN_REQUEST, request, me, me, mfa, options), payload)
        (*_, flags, spawned), _ = peer.receive_until(is_reply(request), timeout=30)
        if not isinstance(spawned, etf.Opaque):
            return flags, spawned
        return flags, "a pid", *ends_of(peer, me, flags.bit_count(), request)
    except dist.Closed:
        return "disconnected"


def rex(peer, call):
    """What the process rex says to a call that ei_rpc would send."""
    me = peer.pid()
    peer.reg_send("rex", (me, call), me)
    _, answer = peer.receive_until(
        lambda c, _: c[0] in (dist.SEND, 22) and c[2] == me, timeout=30
    )
    return "returned" if isinstance(answer[1], dict) else normal(answer)
