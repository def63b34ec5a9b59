# SPDX-License-Identifier: Apache-2.0
"""The application connects again to C nodes from which its node has got handles."""

import os
import signal

import pytest

from cluster import wait_until

HASH = ("hash", 4, 8, 8)
NODES = "ebpf_cnode_nodes"
# Calls of the process that connects, and of its helpers.
TRACE = f"""
    erlang:trace(whereis({NODES}), true, [call, set_on_spawn]),
    1 = erlang:trace_pattern(%s, true, []),
    ok
"""
TRIES = "{net_kernel, connect_node, 1}"
TRACED = "receive {trace, _, call, MFA} -> MFA after 20000 -> none end"

START = "{ok, _} = application:ensure_all_started(ebpf_cnode)"


def facade(beam, function, *args):
    return beam.apply("ebpf_maps", function, *args)


@pytest.fixture
def node(start_cnode):
    return start_cnode("--programs", "all", "--allow", "*=load")


@pytest.fixture
def started(start_beam, ebin, node):
    """Starts Erlang nodes that run the application, and ask that C node."""

    def started(*lines, **options):
        beam = start_beam(paths=[ebin], **options)
        beam.eval("ok = application:load(ebpf_cnode)")
        beam.apply("application", "set_env", "ebpf_cnode", "node", node.name)
        for line in (START, *lines):
            beam.eval(line)
        return beam

    return started


@pytest.fixture
def control(started):
    """One that is known to connect again; it connects no later than others."""
    beam = started()
    facade(beam, "new", *HASH)
    return beam


@pytest.fixture
def restart(start_cnode):
    """Kills a C node, and starts another one of its name."""

    def restart(node):
        node.kill()
        return start_cnode("--programs", "all", "--allow", "*=load", sname=node.sname)

    return restart


def is_connected(beam, node):
    return node.name in beam.connected()


def wait_connected(beam, node):
    wait_until(lambda: is_connected(beam, node), 20, f"{beam.name} is connected")


def test_a_node_that_has_a_handle_is_connected_again(node, started, restart):
    beam = started()
    facade(beam, "new", *HASH)
    for _ in range(3):
        node = restart(node)
        wait_connected(beam, node)
        assert len(node.find_log(rf"notice connected {beam.name}")) == 1


def test_what_runs_the_c_node_may_fail_beside_it(started):
    embedded = "ok = application:set_env(ebpf_cnode, cnode, embedded)"
    beam = started("application:stop(ebpf_cnode)", embedded, START)
    pids = "{whereis(ebpf_cnode_port), whereis(ebpf_cnode_nodes)}"
    port, nodes = beam.eval(pids)
    beam.eval("exit(P, kill)", P=port)
    wait_until(lambda: beam.eval(pids)[0] not in (port, "undefined"), what="it runs again")
    assert beam.eval(pids)[1] == nodes


# How a node gets a handle; what is named is alice's.
GETS = {
    "new": "ebpf_maps:new(hash, 4, 8, 8)",
    "new with layouts": "ebpf_maps:new(hash, u32, u64, 8)",
    "open": "ebpf_maps:open({pinned, Path})",
    "typed": "ebpf_maps:typed(Map, [{types, {u32, u64}}])",
    "get": "ebpf_maps:get(0, Outer)",
    "get with a default": "ebpf_maps:get(0, Outer, none)",
    "find": "ebpf_maps:find(0, Outer)",
    "take": "ebpf_maps:take(<<0:32>>, HashOuter)",
    "with": "ebpf_maps:with([0], Outer)",
    "values": "ebpf_maps:values(Outer)",
    "to_list": "ebpf_maps:to_list(Outer)",
    "drain": "ebpf_maps:drain(HashOuter)",
    "next": "ebpf_maps:next(ebpf_maps:iterator(Outer, [{prefetch, 1}]))",
    "load": "#{} = ebpf_programs:load(Elf, [{programs, []}])",
    "load of instructions": "ebpf_programs:load(socket_filter, Instructions, [])",
    "attach": "ebpf_programs:attach(Lookup, {netns, own})",
    "open of a program": "ebpf_programs:open({id, maps:get(id, ebpf_programs:info(Program))})",
}
# What leaves none.
LEAVES_NONE = {
    "nothing": "net_kernel:connect_node(node(element(2, Map)))",
    "stats": "ebpf_maps:stats()",
    "handles": "ebpf_maps:handles()",
    "list": "ebpf_maps:list()",
    "info": "ebpf_maps:info(Map)",
    "put": "ebpf_maps:put(1, 2, Map)",
    "get": "ebpf_maps:get(1, Map, none)",
    "a walk of a pin": "ebpf_maps:to_list({pinned, Path})",
    "keys of a map of maps": "ebpf_maps:keys(Outer)",
    "a new that fails": "ebpf_maps:new(hash, 0, 0, 0)",
    "a load that fails": "ebpf_programs:load(<<>>, [])",
    "an event": "ebpf_events:subscriptions()",
}
RETURN_0 = bytes.fromhex("b700000000000000" "9500000000000000")
RETURN_1 = bytes.fromhex("b700000001000000" "9500000000000000")


@pytest.fixture
def given(alice, node, folder, objects):
    """What the calls above name, made by another node."""
    maps = lambda *args: alice.erpc(node.name, *args)
    map = maps("new", *HASH)
    outers = {
        name: maps("new", type, 4, 4, 4, [("inner_map", map)])
        for name, type in (("Outer", "array_of_maps"), ("HashOuter", "hash_of_maps"))
    }
    for outer in outers.values():
        maps("put", 0, map, outer)
    path = str(folder / "map").encode()
    maps("pin", path, map)
    load = lambda *args: alice.erpc(node.name, "load", *args, module="ebpf_programs")
    return {
        **outers,
        "Map": map,
        "Path": path,
        "Elf": objects,
        "Instructions": RETURN_0,
        "Program": load("socket_filter", RETURN_0, []),
        "Lookup": load("sk_lookup", RETURN_1, [("attach_type", "sk_lookup")]),
    }


@pytest.mark.parametrize("call", GETS.values(), ids=GETS)
def test_a_handle_that_a_function_returns_is_one(call, given, node, started, restart):
    beam = started()
    value = beam.eval(call, **given)
    assert not (isinstance(value, tuple) and value[0] == "error"), value
    node = restart(node)
    wait_connected(beam, node)


@pytest.mark.parametrize("call", LEAVES_NONE.values(), ids=LEAVES_NONE)
def test_a_node_without_a_handle_is_not_connected_again(call, given, node, started, control, restart):
    beam = started()
    beam.eval(call, **given)
    assert is_connected(beam, node)
    for _ in range(2):
        node = restart(node)
        wait_connected(control, node)
    assert not is_connected(beam, node)


def test_only_the_c_node_of_the_handle_is_connected_again(node, started, start_cnode, restart):
    other = start_cnode()
    beam = started()
    facade(beam, "new", *HASH)
    facade(beam, "stats", other.name)
    other, node = restart(other), restart(node)
    wait_connected(beam, node)
    node = restart(node)
    wait_connected(beam, node)
    assert not is_connected(beam, other)


def test_who_disconnects_is_not_connected_again_until_the_next_call(node, started, control, restart):
    beam = started()
    facade(beam, "new", *HASH)
    beam.apply("erlang", "disconnect_node", node.name)
    for _ in range(2):
        node = restart(node)
        wait_connected(control, node)
    assert not is_connected(beam, node)
    assert isinstance(facade(beam, "stats"), dict)
    node = restart(node)
    wait_connected(beam, node)


def test_the_nodes_are_known_though_the_process_has_failed(node, started, restart):
    beam = started()
    facade(beam, "new", *HASH)
    for _ in range(2):
        failed = beam.apply("erlang", "whereis", NODES)
        beam.apply("erlang", "exit", failed, "kill")
        wait_until(lambda: beam.apply("erlang", "whereis", NODES) not in (failed, "undefined"))  # noqa: B023
        node = restart(node)
        wait_connected(beam, node)


def test_without_the_application_nothing_is_done(node, start_beam, ebin, control, restart):
    beam = start_beam(paths=[ebin])
    facade(beam, "new", *HASH, [("node", node.name)])
    for _ in range(2):
        node = restart(node)
        wait_connected(control, node)
    assert not is_connected(beam, node)


def test_nothing_is_done_once_it_is_stopped(node, started, control, restart):
    beam = started()
    facade(beam, "new", *HASH)
    assert beam.eval("application:stop(ebpf_cnode)") == "ok"
    for _ in range(2):
        node = restart(node)
        wait_connected(control, node)
    assert not is_connected(beam, node)


def test_a_c_node_that_goes_before_its_handle_is_noted_is_connected_again(node, started, restart):
    beam = started()
    noted = "ebpf_cnode_nodes:got(N, ebpf_maps, new, {ebpf_map, make_ref(), hash, 4, 8, 8})"
    assert beam.eval(noted, N=node.name) == "ok"
    wait_connected(beam, node)


def test_a_node_that_is_distributed_later_is_connected_again(node, started, restart, cluster):
    beam = started(alive=False)
    name = cluster.name("later")
    beam.eval("{ok, _} = net_kernel:start([N, shortnames])", N=name)
    assert facade(beam, "new", *HASH)[0] == "ebpf_map"
    node = restart(node)
    wait_connected(beam, node)


def test_a_node_that_is_distributed_again_is_connected_again(node, started, cluster):
    beam = started(alive=False)
    name = cluster.name("later")
    start = "{ok, _} = net_kernel:start([N, shortnames])"
    beam.eval(start, N=name)
    facade(beam, "new", *HASH)
    beam.eval(TRACE % "{erlang, send_after, 3}")
    beam.eval("ok = net_kernel:stop()")
    for _ in range(3):  # it has seen that it cannot connect
        assert beam.eval(TRACED)[:2] == ("erlang", "send_after")
    beam.eval(start, N=name)
    wait_connected(beam, node)


# --- while it cannot connect


def test_a_c_node_that_stays_away_is_tried_again_and_nothing_is_logged(node, started):
    beam = started()
    facade(beam, "new", *HASH)
    beam.eval(TRACE % TRIES)
    before = beam.printed()
    node.kill()
    for _ in range(5):
        assert beam.eval(TRACED) == ("net_kernel", "connect_node", [node.name])
    assert beam.printed() == before
    assert beam.eval(f"sys:get_status({NODES}), ok") == "ok"


def test_it_answers_and_ends_while_a_connection_hangs(lone_cluster, start_cnode, start_beam, ebin):
    lone_cluster.epmd.start()
    node = start_cnode(cluster=lone_cluster)
    beam = start_beam(cluster=lone_cluster, paths=[ebin])
    beam.eval(START)
    facade(beam, "new", *HASH, [("node", node.name)])
    beam.eval(TRACE % TRIES)
    epmd = lone_cluster.epmd.process.pid
    os.kill(epmd, signal.SIGSTOP)
    try:
        node.kill()
        assert beam.eval(TRACED) == ("net_kernel", "connect_node", [node.name])
        assert beam.eval(f"sys:suspend({NODES}), sys:resume({NODES})") == "ok"
        linked = f"{{links, L}} = process_info(whereis({NODES}), links), [P || P <- L, P =/= whereis(ebpf_cnode_sup)]"
        [helper] = beam.eval(linked)
        assert beam.eval("application:stop(ebpf_cnode)") == "ok"
        wait_until(lambda: beam.eval("is_process_alive(P)", P=helper) == "false")
    finally:
        os.kill(epmd, signal.SIGCONT)


def test_its_memory_is_bounded(started, node):
    """Of more nodes than 1024 none is noted; what is not a C node of ours stays away."""
    beam = started()
    counted = beam.eval(
        f"""
        [gen_server:cast({NODES}, {{note, list_to_atom("n" ++ integer_to_list(N) ++ "@nohost.invalid")}})
         || N <- lists:seq(1, 1030)],
        sys:get_status({NODES}),
        Size = ets:info({NODES}, size),
        ok = application:stop(ebpf_cnode),
        Size"""
    )
    assert counted == 1024
