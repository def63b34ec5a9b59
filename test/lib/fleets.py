# SPDX-License-Identifier: Apache-2.0
"""Several C nodes as the hosts of a fleet: each has a bpf file system of its own, so that the same
path is another map on each, and an Erlang node with the facade asks all of them."""

import shutil
from collections import namedtuple

import pytest

from beam import Beam
from etf import Atom
from native import u32, u64

MOUNT = 'mount -t bpf -o mode=0777 bpf "$0" && exec "$@"'

PRETEND = """
    {ok, Tokens, _} = erl_scan:string(binary_to_list(Source)),
    Cut = fun Cut([]) -> [];
              Cut(Ts) -> {Form, [Dot | Rest]} =
                  lists:splitwith(fun(T) -> element(1, T) =/= dot end, Ts),
                  [Form ++ [Dot] | Cut(Rest)] end,
    Forms = [element(2, {ok, _} = erl_parse:parse_form(F)) || F <- Cut(Tokens)],
    {ok, ebpf_maps, Code} = compile:forms(Forms),
    {module, _} = code:load_binary(ebpf_maps, "liar", Code),
    ok
"""

Answer = namedtuple("Answer", "value results")


def own_pins(folder):
    """The command that gives a program a bpf file system of its own there."""
    unshare = [shutil.which("unshare"), "--mount", "--propagation", "private"]
    return [*unshare, "/bin/sh", "-c", MOUNT, str(folder)]


def pretend(beam, source):
    """Gives an Erlang node a module ebpf_maps of that source: it is asked as a C node is."""
    beam.eval(PRETEND, Source=source.encode())


class Fleet:
    def __init__(self, beam, folder, start_cnode):
        self.beam = beam
        self.folder = folder
        self.start_cnode = start_cnode
        self.hosts = []

    def start(self, *options, **others):
        """One more host."""
        node = self.start_cnode(*options, wrapper=own_pins(self.folder), **others)
        self.hosts.append(node)
        self.beam.apply("application", "set_env", "ebpf_cnode", "fleet", self.names())
        return node

    def names(self):
        return [Atom(node.name) for node in self.hosts]

    def path(self, name):
        return f"{self.folder}/{name}".encode()

    def new(self, name, type="hash", key=4, value=8, entries=1024, options=(), on=None):
        """What: a map on each host, pinned at the same path."""
        what = ("pinned", self.path(name))
        for node in on or self.hosts:
            map = self.maps(node, "new", Atom(type), key, value, entries, list(options))
            assert isinstance(map, tuple) and map[0] == "ebpf_map", map
            assert self.maps(node, "pin", what[1], map) == "ok"
            self.maps(node, "close", map)
        return what

    def maps(self, node, function, *args):
        return self.beam.erpc(Atom(node.name), function, *args)

    def put(self, node, what, pairs):
        """Numbers as u32 => u64."""
        map = self.maps(node, "open", what)
        self.maps(node, "merge", map, [(u32(k), u64(v)) for k, v in pairs.items()])
        self.maps(node, "close", map)

    def call(self, function, *args, timeout=30):
        """Of ebpf_fleet."""
        value, results = self.beam.apply("ebpf_fleet", function, *args, timeout=timeout)
        return Answer(value, {str(node): result for node, result in results.items()})

    def forget_silence(self):
        """Who was silent is asked again."""
        for what in ("silent", "late"):
            self.beam.eval(f"ets:match_delete(ebpf_fleet_known, {{{{{what}, '_'}}, '_', '_'}})")

    def handles(self, node):
        return self.maps(node, "handles")


@pytest.fixture(scope="module")
def fleet_beam(cluster, ebin):
    """An Erlang node that runs the application."""
    beam = Beam(cluster, paths=[ebin], hint="fleet")
    beam.eval("{ok, _} = application:ensure_all_started(ebpf_cnode)")
    yield beam
    beam.close()


@pytest.fixture
def fleet(fleet_beam, start_cnode, tmp_path):
    """It has no hosts yet."""
    folder = tmp_path / "pins"
    folder.mkdir()
    fleet_beam.forget()
    return Fleet(fleet_beam, folder, start_cnode)


@pytest.fixture
def three(fleet):
    """A fleet of three."""
    for _ in range(3):
        fleet.start()
    return fleet


def all_ok(fleet):
    return {node.name: "ok" for node in fleet.hosts}
