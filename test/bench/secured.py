# SPDX-License-Identifier: Apache-2.0
"""Contests of distribution over TLS, beside plain TCP and beside two Erlang nodes.

The nodes are as in the contests without TLS, and of their own: a C node and an Erlang
node that accept either version of TLS, one caller for each version, and a plain one of
each kind. For whole maps there is one more caller for each, with a larger buffer. The
suite of ciphers is that on which both sides agree by themselves.
"""

from contextlib import ExitStack, contextmanager
from functools import cache

import labels as by
import tls
from turns import NotGiven
from world import LONG

MODULE = "ebpf_maps"
ANSWERER = "bench_server"
VALUE_SIZE = 8
PLAIN = "plain"
VERSIONS = ("1.2", "1.3")
# Erlang's ssl reads from its socket as much at once as the socket's buffer takes.
LARGE_BUFFER = "-kernel inet_dist_connect_options [{buffer,65536}]"
# {label: (version or PLAIN, whether a C node answers)}
WAYS = {
    by.CNODE_PLAIN: (PLAIN, True),
    by.BEAM_PLAIN: (PLAIN, False),
    **{by.cnode_tls(version): (version, True) for version in VERSIONS},
    **{by.beam_tls(version): (version, False) for version in VERSIONS},
}


def accepting(version):
    """What a node accepts that is asked by that version."""
    return (version,) if version == PLAIN else VERSIONS


class Nodes:
    """Each is started on first use, and lives as long as the world."""

    def __init__(self, world):
        self.world = world
        self.identity = tls.world().identity(world.cluster.host, "localhost")
        self.cnode = cache(self.start_cnode)
        self.server = cache(self.start_server)
        self.caller = cache(self.start_caller)

    def beam(self, hint, *paths, over, **more):
        """An Erlang node for these versions; by itself OTP 25 accepts 1.2 alone."""
        if over == (PLAIN,):
            return self.world.beam(hint, *paths, identity=tls.PLAIN, **more)
        versions = ", ".join(f"'tlsv{version}'" for version in over)
        options = {"identity": self.identity, "ssl": {"versions": f"[{versions}]"}}
        return self.world.beam(hint, *paths, **options, **more)

    def start_cnode(self, over):
        identity = tls.PLAIN if over == (PLAIN,) else self.identity
        node = self.world.new_cnode(identity=identity)
        self.world.stack.callback(node.kill)
        try:
            return node.wait_ready()
        except AssertionError:
            if "built without TLS" in node.log:
                raise NotGiven("this C node was built without TLS") from None
            raise

    def start_server(self, over):
        beam = self.beam("answerer", over=over)
        beam.apply(ANSWERER, "start", [VALUE_SIZE])
        return beam

    def start_caller(self, version, flags=""):
        more = {"env": {"ERL_FLAGS": flags}}
        beam = self.beam("asker", self.world.ebin, over=(version,), **more)
        node = self.cnode_for(version).name
        beam.apply("application", "set_env", "ebpf_cnode", "node", node)
        assert beam.apply("net_kernel", "connect_node", node)  # not in a run's time
        return beam

    def cnode_for(self, version):
        return self.cnode(accepting(version))

    def server_for(self, version):
        return self.server(accepting(version))

    @contextmanager
    def map(self, version, entries):
        """(handle, id) of a full map of the C node that is asked by that version."""
        node, caller = self.cnode_for(version), self.caller(version)
        shape = ("hash", 4, VALUE_SIZE, entries)
        with self.world.cnode_map(*shape, node=node, caller=caller) as (handle, id):
            self.world.maploop(id, "merge", entries)
            yield handle, id


nodes_of = cache(Nodes)  # there is one world in a run


@contextmanager
def calls(world, size, labels, callers=1):
    """Callers that wait for each answer: microseconds per call for a lone one,
    calls per second for many."""
    count = size.calls if callers == 1 else size.many_calls - size.many_calls % callers
    nodes = nodes_of(world)
    with ExitStack() as stack:

        def ask(version, of_cnode, map):
            node = nodes.cnode_for(version) if of_cnode else nodes.server_for(version)
            way = ("erpc", node.name, MODULE if of_cnode else ANSWERER)
            args = ("callers", way, ("get", map, VALUE_SIZE, 0, count), callers)

            def run():
                took = nodes.caller(version).apply("bench_calls", *args, timeout=LONG)
                return took / count / 1e3 if callers == 1 else count * 1e9 / took

            return run

        maps = {
            version: stack.enter_context(nodes.map(version, count))[0]
            for version in {WAYS[label][0] for label in labels}
        }
        yield {label: ask(*WAYS[label], maps[WAYS[label][0]]) for label in labels}


@contextmanager
def whole(world, size, labels, operation, entries):
    """Milliseconds for a map as a whole, by the facade."""
    entries = size.entries(entries)
    nodes = nodes_of(world)
    with ExitStack() as stack:

        def go(version, *flags):
            map, id = stack.enter_context(nodes.map(version, entries))
            caller = nodes.caller(version, *flags)
            args = ("facade", operation, map, ("plain", entries))

            def run():
                if operation == "merge":
                    world.maploop(id, "drain", entries)
                took, met = caller.apply("bench_whole", *args, timeout=LONG)
                assert met == entries, (operation, met)
                return took / 1e6

            return run

        ways = {label: (version,) for label, (version, _) in WAYS.items()}
        for version in VERSIONS:
            ways[by.cnode_buffer(version)] = (version, LARGE_BUFFER)
        yield {label: go(*ways[label]) for label in labels}
