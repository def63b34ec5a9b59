# SPDX-License-Identifier: Apache-2.0
"""The module ebpf_maps, in a node of its own."""

import os
import subprocess

import pytest

import etf
from beam import Beam, BeamError
from cluster import kill, spawn
from conftest import raises
from served import served

HASH = ("hash", 4, 8, 4)
ANY_MODULE = {("format_error", 2), ("module_info", 0), ("module_info", 1)}
NOT_SERVED = {
    "ebpf_maps": {
        *(("fold", 3), ("foreach", 2), ("update_with", 3)),  # these take a fun,
        *(("node", 1), ("list", 1), ("handles", 1), ("stats", 1)),  # or a node,
        *(("features", 1), ("host", 1), ("iterator", 2)),  # or options
        *(("i", 0), ("i", 1), ("progress", 0), ("retry", 2)),  # or print
        *(("table", 1), ("table", 2)),
        ("put_members", 3),  # or ask for more
        *(("merge", 3), ("to_list", 2), ("fold", 4), ("drain", 2)),  # or tell a fun
        *ANY_MODULE,
    },
    "ebpf_programs": {
        *(("list", 1), ("links", 1), ("handles", 1)),  # these take a node,
        ("load_file", 2),  # or read here,
        *(("attach_all", 1), ("attach_all", 2), ("with_program", 3)),  # or ask for more
        ("verifier", 1),  # or for nothing
        *ANY_MODULE,
    },
}


@pytest.fixture(scope="module")
def facade_beam(cluster, ebin):
    beam = Beam(cluster, paths=[ebin])
    yield beam
    beam.close()


class Facade:
    """The module ebpf_maps, as called in its own node."""

    def __init__(self, beam):
        self.beam = beam

    def __getattr__(self, function):
        return lambda *args: self.beam.apply("ebpf_maps", function, *args)


@pytest.fixture
def facade(facade_beam, cnode):
    facade_beam.forget()
    facade_beam.apply("application", "set_env", "ebpf_cnode", "node", cnode.name)
    facade_beam.apply("application", "unset_env", "ebpf_cnode", "timeout")
    return Facade(facade_beam)


@pytest.fixture
def map(facade):
    map = facade.new(*HASH)
    facade.put(1, 2, map)
    yield map
    facade.close(map)


def u64(number):
    return number.to_bytes(8, "little")


# --- the module


@pytest.mark.parametrize("module", NOT_SERVED)
def test_it_exports_what_the_c_node_serves(module, facade_beam, program):
    exported = set(facade_beam.apply(module, "module_info", "exports"))
    assert exported - NOT_SERVED[module] == served(program, module)
    assert NOT_SERVED[module] <= exported


FUN_OR_OPTIONS = {("fold", 3), ("foreach", 2), ("update_with", 3), ("iterator", 2)}
FUN_OR_OPTIONS |= {("merge", 3), ("to_list", 2), ("fold", 4), ("drain", 2)}


class Calls:
    """Calls of the facade by their names, and which of it they were."""

    def __init__(self, facade):
        self.facade = facade
        self.called = set()

    def __getattr__(self, function):
        def call(*args):
            self.called.add((function, len(args)))
            return getattr(self.facade, function)(*args)

        return call


@pytest.mark.parametrize("function", ["list", "handles", "stats", "features", "host"])
def test_a_node_that_is_asked_for_itself_does_not_ask_itself(function, facade):
    """It would ask its default C node, and take that for its own."""
    with raises("badarg"):
        facade.__getattr__(function)(facade.beam.name)


def test_a_node_called_ebpf_does_not_ask_itself(start_beam, ebin):
    """The node that it would ask without a configuration is itself."""
    beam = start_beam(sname="ebpf", paths=[ebin])
    with raises(("badenv", ("node", beam.name))):
        beam.apply("ebpf_maps", "stats", timeout=10)


@pytest.mark.parametrize("value", [-129, -256, 256])
def test_an_integer_that_does_not_fit_is_seen_before_any_is_put(value, facade):
    """By the node that asks, though the pair is one of a later message."""
    map = facade.new("hash", 4, 1, 20000)
    pairs = [(n, n % 256) for n in range(17000)] + [(17000, value)]
    with raises("badarg"):
        facade.merge(map, pairs)
    assert facade.size(map) == 0
    facade.close(map)


def test_every_function_does_what_it_is_for(facade, cnode, start_cnode, folder):
    """test_facade_walks.py has those that take a fun or options."""
    f = Calls(facade)
    assert f.check(*HASH) == f.check(*HASH, [("name", "facade")]) == "ok"
    hash = f.new(*HASH)
    named = f.new(*HASH, [("name", "facade")])
    queue = f.new("queue", 0, 8, 4)
    entries_of(f, hash)
    whole_maps_of(f, named)
    queues_of(f, queue)
    walks_of(f, hash)
    types_of(f, named)
    assert f"{f.fd(hash)}" in os.listdir(f"/proc/{cnode.pid}/fd")
    assert (f.type(queue), f.node(hash)) == ("queue", cnode.name)
    pins_of(f, named, str(folder / "map").encode())
    what_nodes_tell(f, cnode, start_cnode().name, named)
    for map in (hash, named, queue):
        assert f.close(map) == "ok"
    assert f.close(hash) == ("error", "ebadf")
    exported = set(facade.beam.eval("ebpf_maps:module_info(exports)"))
    others = {("format_error", 2), ("module_info", 0), ("module_info", 1)}
    others |= {("i", 0), ("i", 1), ("progress", 0), ("retry", 2)}
    assert f.called == exported - FUN_OR_OPTIONS - others


def types_of(f, hash):
    """As many bytes as those of HASH."""
    point = ("struct", 8, [(b"x", 0, "u32"), (b"y", 32, "u32")])
    map = f.typed(hash, [("types", ("u32", point))])
    assert f.types(map) == ("u32", point)
    assert f.put(9, {b"x": 1, b"y": 2}, map) == f.put_members(9, {b"y": 3}, map) == map
    assert f.top(3, "y", map) == [(9, {b"x": 1, b"y": 3})]
    assert f.sum([b"y"], map) == 3
    assert f.take(9, map) == ({b"x": 1, b"y": 3}, map)
    assert f.table(map) == f.table(map, [("rows", 1)]) == "ok"
    assert f.close(map) == "ok"


def entries_of(f, hash):
    assert f.put(1, 2, hash) == hash
    assert f.insert(2, 3, hash) == hash
    assert f.update(2, 4, hash) == hash
    assert f.get(2, hash) == u64(4)
    assert f.get(9, hash, "none") == "none"
    assert f.find(1, hash) == ("ok", u64(2))
    assert (f.is_key(1, hash), f.is_key(9, hash)) == ("true", "false")
    assert f.take(2, hash) == (u64(4), hash)
    assert f.take(2, hash) == "error"
    assert f.put(3, 3, hash) == hash
    assert f.remove(3, hash) == hash
    assert f.find(3, hash) == "error"


def whole_maps_of(f, map):
    assert f.merge(map, {1: 10, 2: 20, 3: 30}) == map
    entries = [(n.to_bytes(4, "little"), u64(10 * n)) for n in (1, 2, 3)]
    assert f.size(map) == 3
    assert sorted(f.to_list(map)) == entries
    assert sorted(f.keys(map)) == [key for key, _ in entries]
    assert sorted(f.values(map)) == [value for _, value in entries]
    assert getattr(f, "with")([1, 9], map) == {1: u64(10)}
    assert f.without([1, 9], map) == map
    assert sorted(f.drain(map)) == entries[1:]
    assert f.put(1, 1, map) == map
    assert f.clear(map) == map
    assert f.size(map) == 0


def queues_of(f, queue):
    assert f.push(7, queue) == queue
    assert (f.peek(queue), f.pop(queue), f.pop(queue)) == (u64(7), u64(7), "empty")


def walks_of(f, hash):
    """It has one entry."""
    entry = (b"\1\0\0\0", u64(2))
    key, value, iterator = f.next(f.iterator(hash))
    assert ((key, value), f.next(iterator)) == (entry, "none")
    assert f.next_chunk("start", hash, 9) == ([entry], "done")
    assert f.drain_chunk("start", hash, 9) == ([entry], "done")
    assert f.next_chunk("start", hash, 9) == ([], "done")


def pins_of(f, map, path):
    assert f.pin(path, map) == "ok"
    assert f.info(map)["pinned"] == [path]
    for args in ([("pinned", path)], [("pinned", path), ["read"]]):
        again = f.open(*args)
        assert f.size(again) == 0
        assert f.close(again) == "ok"
    assert f.unpin(path, map) == "ok"
    assert f.freeze(map) == "ok"
    with raises("eperm"):
        f.put(1, 1, map)


def what_nodes_tell(f, cnode, other, map):
    """The C node that is asked by default, and another one."""
    id = f.info(map)["id"]
    assert [info["handles"] for info in f.list() if info["id"] == id] == [[map]]
    assert [info["handles"] for info in f.list(other) if info["id"] == id] == [[]]
    assert (map, f.facade.beam.name, "node") in f.handles()
    assert f.handles(other) == []
    assert f.stats()["requests"]["put", 3] > 0
    assert f.stats(other)["requests"] == {
        ("list", 0): 1,
        ("handles", 0): 1,
        ("stats", 0): 1,
    }
    assert f.features()["modules"] == f.features(other)["modules"]
    assert f.host()["interfaces"] == f.host(other)["interfaces"]


def test_a_node_that_opens_nothing_by_id_raises_eperm(facade, start_cnode):
    other = start_cnode("--no-open-by-id").name
    for function, args in (
        ("list", [other]),
        ("open", [("id", 1), [("node", other)]]),
        ("open", [("name", "nope"), [("node", other)]]),
    ):
        with raises("eperm"):
            getattr(facade, function)(*args)


@pytest.mark.parametrize("function", ["list", "handles", "stats", "features", "host"])
def test_what_another_node_tells_takes_a_node(function, facade, start_cnode):
    node = start_cnode()
    node.stop()
    with raises(("nodedown", node.name)):
        getattr(facade, function)(node.name)
    with raises("badarg"):
        getattr(facade, function)("nohost")


BAD_CALLS = [
    ("get", [9, "map"]),
    ("get", [b"x", "map"]),
    ("get", [9, "nope"]),
    ("get", [9, ("ebpf_map",), "none"]),
    ("put", [1, b"x", "map"]),
    ("put", [1, 1, ("ebpf_map", 1)]),
    ("update", [9, 1, "map"]),
    ("remove", [b"x", "map"]),
    ("take", [{}, "map"]),
    ("iterator", [{}]),
    ("next", [{}]),
    ("next", ["map"]),
    ("fd", [()]),
    ("close", [1]),
    ("new", ["nope", 4, 4, 1]),
    ("new", ["hash", -1, 4, 1]),
    ("new", ["hash", 4, 4, 1, ["nope"]]),
    ("new", ["hash", 4, 4, 1, "nope"]),
    ("check", ["hash", -1, 4, 1]),
    ("check", ["hash", 4, 4, 1, ["nope"]]),
    ("new", ["hash", 4, 4, 1, etf.Improper(("read",), "write")]),
]


@pytest.mark.parametrize("call", BAD_CALLS, ids=str)
def test_an_exception_is_the_one_of_the_c_node(call, facade, map, cnode):
    function, args = call
    args = [map if arg == "map" else arg for arg in args]
    with pytest.raises(BeamError) as by_rpc:
        facade.beam.erpc(cnode.name, function, *args)
    with pytest.raises(BeamError) as here:
        facade.beam.apply("ebpf_maps", function, *args)
    assert (here.value.kind, here.value.reason) == ("error", by_rpc.value.reason)


def test_an_exception_looks_as_if_raised_by_the_function(facade, map):
    with raises(("badkey", 9)) as caught:
        facade.get(9, map)
    module, function, args, info = caught.value.stack[0]
    assert (module, function, args) == ("ebpf_maps", "get", [9, map])
    assert dict(info)["error_info"] == {"module": "ebpf_maps"}


@pytest.fixture
def shell(cluster, ebin):
    """What a real shell prints when these lines are typed."""

    def shell(*lines, alive=True):
        naming = ["-sname", cluster.name("shell")] if alive else []
        process = spawn(
            ["erl", "-start_epmd", "false", "-pa", ebin, *naming],
            env=cluster.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            text = "".join(line + "\n" for line in (*lines, "halt()."))
            output, _ = process.communicate(text.encode(), 30)
        finally:
            kill(process)
        return " ".join(output.decode().split())

    return shell


def test_the_shell_explains_an_absent_key(shell, cnode):
    printed = shell(
        f"M = ebpf_maps:new(hash, 4, 8, 4, [{{node, '{cnode.name}'}}]).",
        "ebpf_maps:get(7, M).",
    )
    assert "exception error: bad key: 7" in printed
    assert "in function ebpf_maps:get/2" in printed
    assert "*** argument 1: not present in the map" in printed


def test_the_shell_explains_what_is_no_map(shell):
    printed = shell("ebpf_maps:put(1, 1, nothing).")
    assert "exception error: bad map: nothing" in printed
    assert "*** argument 3: not a map handle" in printed


def test_the_shell_explains_each_bad_argument(shell, cnode):
    printed = shell(
        f"M = ebpf_maps:new(hash, 4, 8, 4, [{{node, '{cnode.name}'}}]).",
        "ebpf_maps:put(<<1>>, hello, M).",
    )
    assert "exception error: bad argument" in printed
    assert "*** argument 1: " in printed
    assert "*** argument 2: " in printed


def test_the_shell_explains_a_full_map(shell, cnode):
    printed = shell(
        f"M = ebpf_maps:new(hash, 4, 8, 1, [{{node, '{cnode.name}'}}]).",
        "[ebpf_maps:put(K, 1, M) || K <- [1, 2]].",
    )
    assert "e2big" in printed
    assert "the map is full" in printed


def test_the_shell_explains_a_node_that_is_not_distributed(shell):
    printed = shell(
        "ebpf_maps:get(1, {ebpf_map, make_ref(), hash, 4, 8, 4}).", alive=False
    )
    assert "in function ebpf_maps:get/2" in printed
    assert "*** this node is not distributed: start it with -sname" in printed


# --- where it asks


def test_new_goes_to_the_node_in_its_options(facade, start_cnode):
    other = start_cnode()
    map = facade.new(*HASH, ["zero_seed", ("node", other.name)])
    assert facade.beam.eval("node(element(2, M))", M=map) == other.name
    assert facade.put(1, 1, map) == map


def test_new_goes_to_ebpf_on_this_host_without_more(facade, start_cnode):
    node = start_cnode(sname="ebpf")
    facade.beam.apply("application", "unset_env", "ebpf_cnode", "node")
    map = facade.new(*HASH)
    assert facade.beam.eval("node(element(2, M))", M=map) == node.name


@pytest.mark.parametrize("node", [1, "nohost", "", "a@b@c", "@b", "a@"], ids=repr)
def test_new_on_what_is_no_node_raises_badarg(node, facade):
    with raises("badarg"):
        facade.new(*HASH, [("node", node)])


def test_a_node_that_is_down_is_nodedown(facade, start_cnode):
    node = start_cnode()
    map = facade.new(*HASH, [("node", node.name)])
    iterator = facade.iterator(map)
    node.stop()
    for call in (
        lambda: facade.get(1, map),
        lambda: facade.put(1, 1, map),
        lambda: facade.next(iterator),
        lambda: facade.close(map),
    ):
        with raises(("nodedown", node.name)):
            call()
    assert facade.new(*HASH, [("node", node.name)]) == ("error", "nodedown")


def test_a_node_that_does_not_answer_is_a_timeout(facade, start_cnode):
    node = start_cnode()
    map = facade.new(*HASH, [("node", node.name)])
    facade.beam.apply("application", "set_env", "ebpf_cnode", "timeout", 300)
    with node.asleep():
        with raises(("timeout", node.name)):
            facade.get(1, map)
        assert facade.new(*HASH, [("node", node.name)]) == ("error", "timeout")
    facade.beam.apply("application", "unset_env", "ebpf_cnode", "timeout")
    assert facade.put(1, 1, map) == map


def test_a_node_that_serves_no_maps_is_undef(facade, alice):
    with raises(("undef", alice.name)):
        facade.new(*HASH, [("node", alice.name)])


def test_a_node_that_is_not_distributed_is_notalive(start_beam, ebin):
    facade = Facade(start_beam(alive=False, paths=[ebin]))
    assert facade.new(*HASH) == ("error", "notalive")
    assert facade.new(*HASH, [("node", "a@b")]) == ("error", "notalive")
    for handle in (
        facade.beam.eval("{ebpf_map, make_ref(), hash, 4, 8, 4}"),
        ("ebpf_map", etf.ref("a@b", [1, 2, 3]), *HASH),
    ):
        with raises("notalive"):
            facade.get(1, handle)
    with raises(("badmap", "nothing")):
        facade.get(1, "nothing")


def test_a_handle_of_our_own_making_is_no_map(facade):
    forged = facade.beam.eval("{ebpf_map, make_ref(), hash, 4, 8, 4}")
    with raises(("badmap", forged)):
        facade.get(1, forged)
    assert facade.close(forged) == ("error", "ebadf")
