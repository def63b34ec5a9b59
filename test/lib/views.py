# SPDX-License-Identifier: Apache-2.0
"""Maps, and typed handles of them."""

import struct
from contextlib import contextmanager

import etf
from beam import BeamError
from map_calls import outcome


class Wire:
    """A C node, called without an Erlang node between, and as by one."""

    def __init__(self, peer):
        self.peer = peer

    def call(self, function, *args, module="ebpf_maps"):
        match self.peer.erpc(module, function, [strings_in(arg) for arg in args]):
            case ("return", value):
                return value
            case ("error", reason, *stack):
                raise BeamError("error", reason, stack)
            case answer:
                raise AssertionError(answer)

    def __getattr__(self, function):
        return lambda *args: self.call(function, *args)


def strings_in(term):
    """With lists of bytes in the short form in which Erlang sends them."""
    match term:
        case list():
            if term and all(type(item) is int and 0 <= item < 256 for item in term):
                return etf.Opaque("string", struct.pack(">BH", 107, len(term)) + bytes(term))
            return [strings_in(item) for item in term]
        case tuple():
            return tuple(strings_in(item) for item in term)
        case dict():
            return {key: strings_in(value) for key, value in term.items()}
    return term


class Views:
    """Makes maps of bytes, and views of them by layouts."""

    def __init__(self, maps):
        self.maps = maps
        self.open = []

    def new(self, *args):
        return self.keep(self.maps.call("new", *args))

    def typed(self, map, *options):
        return self.keep(self.maps.typed(map, list(options)))

    def by(self, map, key, value, *options):
        return self.typed(map, ("types", (key, value)), *options)

    def keep(self, map):
        assert map[0] == "ebpf_map", map
        self.open.append(map)
        return map

    def close(self):
        while self.open:
            assert self.maps.call("close", self.open.pop()) == "ok"

    @contextmanager
    def closed(self):
        try:
            yield self
        finally:
            self.close()


def reason(call, *args):
    """Why a call fails, however it says so; None where it does not."""
    match outcome(call, *args):
        case ("raised" | "error", why):
            return why
    return None


def path_of(why):
    """The path that a badmember tells, without the names of anonymous members."""
    kind, path = why
    assert kind == "badmember", why
    return [step for step in path if step != b""]
