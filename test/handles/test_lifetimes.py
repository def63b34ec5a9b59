# SPDX-License-Identifier: Apache-2.0
"""How long handles live: by node, by process, of nested maps."""

import json
import shutil
import subprocess
import time

import pytest

from cluster import wait_until
from conftest import Maps, before, raises
from native import u32, u64

HASH = ("hash", 4, 8, 4)


@pytest.fixture(scope="module")
def bpftool():
    path = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        pytest.skip("no bpftool here")

    def bpftool(*args, plain=False):
        command = [path, *([] if plain else ["-j"]), *map(str, args)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout if plain else json.loads(done.stdout or "null")

    return bpftool


# --- handles/0 and lifetimes

MAKE_IN_A_PROCESS = """
    Me = self(),
    Holder = spawn(fun() ->
        Me ! {made, erpc:call(N, ebpf_maps, F, A)},
        receive stop -> ok end
    end),
    receive {made, M} -> {Holder, M} after 15000 -> late end."""
STOP = "H ! stop, ok."


def by_process(beam, node, *args, function="new"):
    """A process that lives on, and the map that it has made or opened."""
    return beam.eval(MAKE_IN_A_PROCESS, N=node.name, F=function, A=list(args))


def test_handles_tells_who_holds_what(start_cnode, alice, bob):
    node = start_cnode()
    mine = alice.erpc(node.name, "new", *HASH)
    yours = bob.erpc(node.name, "new", *HASH, [("lifetime", "node")])
    always = bob.erpc(node.name, "new", *HASH, [("lifetime", "permanent")])
    holder, his = by_process(bob, node, *HASH, [("lifetime", "process")])
    told = sorted(alice.erpc(node.name, "handles"), key=repr)
    expected = [
        (mine, alice.name, "node"),
        (yours, bob.name, "node"),
        (always, "none", "permanent"),
        (his, holder, "process"),
    ]
    assert told == sorted(expected, key=repr)
    alice.erpc(node.name, "close", yours)
    assert yours not in [one for one, _, _ in alice.erpc(node.name, "handles")]
    bob.eval(STOP, H=holder)


def test_a_map_of_a_process_goes_with_it(start_cnode, alice, bob):
    node = start_cnode()
    holder, map = by_process(bob, node, *HASH, [("lifetime", "process")])
    assert alice.erpc(node.name, "put", 1, 2, map) == map
    assert node.map_count() == 1
    bob.eval(STOP, H=holder)
    wait_until(lambda: node.map_count() == 0)
    with raises(("badmap", map)):
        alice.erpc(node.name, "get", 1, map)


@pytest.mark.parametrize("reason", ["kill", "normal", "crash"])
def test_a_map_goes_however_its_process_ends(reason, start_cnode, bob):
    node = start_cnode()
    how = {"kill": "exit(H, kill)", "normal": "H ! stop", "crash": "exit(H, crash)"}
    for _ in range(5):
        holder, map = by_process(bob, node, *HASH, [("lifetime", "process")])
        bob.eval(how[reason] + ", ok.", H=holder)
        wait_until(lambda: node.map_count() == 0)


def test_only_the_maps_of_that_process_go(start_cnode, alice, bob):
    node = start_cnode()
    kept_holder, kept = by_process(bob, node, *HASH, [("lifetime", "process")])
    of_node = bob.erpc(node.name, "new", *HASH)
    holder, _ = by_process(bob, node, *HASH, [("lifetime", "process")])
    assert node.map_count() == 3
    bob.eval(STOP, H=holder)
    wait_until(lambda: node.map_count() == 2)
    for map in (kept, of_node):
        assert alice.erpc(node.name, "put", 1, 2, map) == map
    bob.eval(STOP, H=kept_holder)
    wait_until(lambda: node.map_count() == 1)


def test_a_process_that_ends_before_its_map_is_made_leaves_none(start_cnode, bob):
    node = start_cnode()
    bob.eval(
        """
        [begin
            P = spawn(fun() ->
                erpc:send_request(N, ebpf_maps, new, A),
                exit(gone)
            end),
            R = monitor(process, P),
            receive {'DOWN', R, _, _, _} -> ok end
         end || _ <- lists:seq(1, 50)], ok""",
        N=node.name,
        A=[*HASH, [("lifetime", "process")]],
    )
    assert bob.erpc(node.name, "type", bob.erpc(node.name, "new", *HASH)) == "hash"
    wait_until(lambda: node.map_count() == 1)


def test_an_opened_map_of_a_process_goes_with_it_but_not_the_map(
    start_cnode, alice, bob
):
    node = start_cnode()
    map = alice.erpc(node.name, "new", *HASH)
    what = ("id", alice.erpc(node.name, "info", map)["id"])
    options = [("lifetime", "process")]
    holder, his = by_process(bob, node, what, options, function="open")
    assert node.map_count() == 2
    bob.eval(STOP, H=holder)
    wait_until(lambda: node.map_count() == 1)
    assert alice.erpc(node.name, "put", 1, 2, map) == map


def test_a_closed_map_of_a_process_is_forgotten(start_cnode, bob):
    node = start_cnode()
    holder, map = by_process(bob, node, *HASH, [("lifetime", "process")])
    assert bob.erpc(node.name, "close", map) == "ok"
    assert bob.erpc(node.name, "handles") == []
    other = bob.erpc(node.name, "new", *HASH)
    bob.eval(STOP, H=holder)
    assert bob.erpc(node.name, "put", 1, 2, other) == other
    assert node.map_count() == 1


@pytest.mark.parametrize("lifetime", ["node", "process"])
def test_a_map_of_a_lost_node_goes_after_the_grace(
    lifetime, start_cnode, start_beam, alice
):
    grace = 4  # s
    node = start_cnode("--grace", grace)
    maker = start_beam()
    _, map = by_process(maker, node, *HASH, [("lifetime", lifetime)])
    assert alice.apply("net_adm", "ping", node.name) == "pong"
    start, gone = node.mark(), time.monotonic()
    maker.kill()
    node.wait_log(f"disconnected {maker.name}", start=start)
    with before(gone + grace):
        assert alice.erpc(node.name, "put", 1, 2, map) == map
    wait_until(lambda: node.map_count() == 0)
    with raises(("badmap", map)):
        alice.erpc(node.name, "get", 1, map)


def test_a_permanent_map_stays_until_it_is_closed(start_cnode, start_beam, alice):
    node = start_cnode("--grace", "0")
    maker = start_beam()
    holder, map = by_process(maker, node, *HASH, [("lifetime", "permanent")])
    maker.erpc(node.name, "put", 1, 2, map)
    of_node = maker.erpc(node.name, "new", *HASH)
    maker.kill()
    wait_until(lambda: node.map_count() == 1)
    assert alice.erpc(node.name, "get", 1, map) == u64(2)
    assert alice.erpc(node.name, "handles") == [(map, "none", "permanent")]
    with raises(("badmap", of_node)):
        alice.erpc(node.name, "get", 1, of_node)
    assert alice.erpc(node.name, "close", map) == "ok"
    assert node.map_count() == 0


def test_a_process_keeps_its_map_while_its_node_returns_within_the_grace(
    start_cnode, start_beam
):
    node = start_cnode("--grace", "20")
    maker = start_beam()
    holder, map = by_process(maker, node, *HASH, [("lifetime", "process")])
    start = node.mark()
    maker.apply("erlang", "disconnect_node", node.name)
    node.wait_log(f"disconnected {maker.name}", start=start)
    assert maker.erpc(node.name, "put", 1, 2, map) == map
    maker.eval(STOP, H=holder)
    wait_until(lambda: node.map_count() == 0, what="the map has gone with its process")


def test_a_process_that_ends_while_its_node_is_away_has_lost_its_map(
    start_cnode, start_beam
):
    node = start_cnode("--grace", "20")
    maker = start_beam()
    holder, map = by_process(maker, node, *HASH, [("lifetime", "process")])
    start = node.mark()
    maker.apply("erlang", "disconnect_node", node.name)
    node.wait_log(f"disconnected {maker.name}", start=start)
    maker.eval(STOP, H=holder)
    assert maker.apply("net_adm", "ping", node.name) == "pong"
    wait_until(lambda: node.map_count() == 0)


def test_opened_handles_count_among_the_maps_that_are_allowed(start_cnode, alice):
    node = start_cnode("--max-maps", "2")
    map = alice.erpc(node.name, "new", *HASH)
    what = ("id", alice.erpc(node.name, "info", map)["id"])
    assert alice.erpc(node.name, "open", what)[0] == "ebpf_map"
    assert alice.erpc(node.name, "open", what) == ("error", "emfile")
    assert node.map_count() == 2


# --- handles of nested maps


@pytest.fixture
def nested(start_cnode, alice):
    """A node, and a map of maps that holds one whose handle is closed."""
    node = start_cnode("--grace", "0")
    maps = Maps(alice, node)
    inner = maps.new(*HASH)
    outer = maps.new("hash_of_maps", 4, 4, 4, [("inner_map", inner)])
    maps.put(1, inner, outer)
    maps.put(7, 8, inner)
    maps.close(inner)
    assert node.map_count() == 1
    return node, maps, outer


def test_asking_a_thousand_times_for_a_nested_map_leaks_nothing(nested):
    node, maps, outer = nested
    handle = maps.get(1, outer)
    assert maps.get(7, handle) == u64(8)
    assert node.map_count() == 2
    before = len(node.descriptors())
    same = maps.beam.eval(
        """
        lists:usort([erpc:call(N, ebpf_maps, get, [1, Map]) ||
                     _ <- lists:seq(1, 1000)])""",
        N=node.name,
        Map=outer,
    )
    assert same == [handle]
    assert maps.to_list(outer) == [(u32(1), handle)]
    assert maps.values(outer) == [handle]
    assert maps.take(1, outer) == (handle, outer)
    assert node.map_count() == 2
    assert len(node.descriptors()) == before
    assert len(maps.handles()) == 2


def test_the_handle_of_a_nested_map_is_the_live_one(maps, alice):
    inner = maps.new(*HASH)
    outer = maps.new("array_of_maps", 4, 4, 4, [("inner_map", inner)])
    maps.put(1, inner, outer)
    assert maps.get(1, outer) == inner
    assert maps.find(1, outer) == ("ok", inner)


def test_a_new_handle_of_a_nested_map_belongs_to_all_that_got_it(
    nested, start_beam, alice
):
    node, maps, outer = nested
    users = [start_beam() for _ in range(2)]
    handles = [user.erpc(node.name, "get", 1, outer) for user in users]
    assert handles[0] == handles[1]
    owners = {o for m, o, _ in maps.handles() if m == handles[0]}
    assert owners == {user.name for user in users}
    users[0].kill()
    wait_until(lambda: len(maps.handles()) == 2)
    assert users[1].erpc(node.name, "get", 7, handles[1]) == u64(8)
    users[1].kill()
    wait_until(lambda: node.map_count() == 1)
    with raises(("badmap", handles[0])):
        maps.get(7, handles[0])
    assert maps.size(outer) == 1


@pytest.mark.parametrize("flag", ["read", "write"])
def test_what_others_opened_to_do_less_is_not_the_handle_of_a_nested_map(
    flag, nested, bob
):
    """What may be done with it is not theirs to say, nor how long it lives."""
    node, maps, outer = nested
    id = maps.info(maps.get(1, outer))["id"]
    maps.close(maps.get(1, outer))
    others = Maps(bob, node)
    less = others.open(("id", id), [flag])
    assert less[0] == "ebpf_map"
    found = maps.get(1, outer)
    assert found != less
    assert maps.put(7, 9, found) == found and maps.get(7, found) == u64(9)
    assert maps.values(outer) == [found]
    others.close(less)
    assert maps.get(7, found) == u64(9)


def test_without_ids_a_handle_that_can_do_less_is_better_than_none(
    start_cnode, alice, folder
):
    maps = Maps(alice, start_cnode("--no-open-by-id"))
    inner = maps.new(*HASH)
    outer = maps.new("hash_of_maps", 4, 4, 4, [("inner_map", inner)])
    maps.put(1, inner, outer)
    path = str(folder / "inner").encode()
    assert maps.pin(path, inner) == "ok"
    less = maps.open(("pinned", path), ["read"])
    assert maps.get(1, outer) == inner
    maps.close(inner)
    assert maps.get(1, outer) == less
    maps.close(less)
    with raises("eperm"):
        maps.get(1, outer)


def test_a_nested_map_that_nobody_holds_goes_with_the_outer_one(nested, bpftool):
    node, maps, outer = nested
    inner = maps.get(1, outer)
    id = maps.info(inner)["id"]
    maps.close(inner)
    assert id in [shown["id"] for shown in bpftool("map", "list")]
    maps.remove(1, outer)
    wait_until(lambda: id not in [s["id"] for s in bpftool("map", "list")])
