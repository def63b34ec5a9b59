# SPDX-License-Identifier: Apache-2.0
"""What comes back after the C node was killed, or ended by a signal: --keep."""

import os
import signal
from pathlib import Path

import pytest

from cluster import wait_until
from conftest import raises
from host import CPUS
from native import u32, u64

HASH = ("hash", 4, 8, 16)
ENDS = pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)


# --- Maps


@ENDS
def test_a_map_keeps_its_handle_and_its_entries(kept, how):
    kept.start()
    map = kept.new(*HASH)
    kept.put(u32(1), u64(11), map)
    kept.again(how)
    assert kept.get(u32(1), map) == u64(11)
    kept.put(u32(2), u64(22), map)
    assert kept.handles() == [(map, kept.beam.name, "node")]
    kept.node.wait_log(r"notice back from \S+: 1 maps, 0 programs, 0 links, of 1 nodes; 0 dropped")


@ENDS
def test_what_was_closed_does_not_come_back(kept, how):
    kept.start()
    gone, stays = kept.new(*HASH), kept.new(*HASH)
    assert kept.close(gone) == "ok"
    kept.again(how)
    with raises(("badmap", gone)):
        kept.get(u32(1), gone)
    assert kept.size(stays) == 0
    assert len(kept.pins()) == 1
    assert kept.close(stays) == "ok"
    assert kept.pins() == []


def test_a_new_handle_has_another_reference_than_any_of_before(kept):
    kept.start()
    old = [kept.new(*HASH) for _ in range(3)]
    kept.close(old[1])
    kept.again()
    new = [kept.new(*HASH) for _ in range(3)]
    assert len({map[1] for map in old + new}) == 6
    with raises(("badmap", old[1])):
        kept.size(old[1])
    kept.again()
    assert [kept.size(map) for map in [old[0], old[2], *new]] == [0] * 5


@ENDS
@pytest.mark.parametrize("right, refused", [("read", "put"), ("write", "get")])
def test_a_descriptor_keeps_its_rights(kept, kept_folder, how, right, refused):
    kept.start()
    path = str(kept_folder).encode() + b"_pin"
    made = kept.new(*HASH)
    assert kept.pin(path, made) == "ok"
    try:
        map = kept.open(("pinned", path), [right])
        kept.again(how)
        args = {"put": (u32(1), u64(1)), "get": (u32(1),)}[refused]
        with raises("eperm"):
            kept.call(refused, *args, map)
        if right == "write":
            kept.put(u32(1), u64(1), map)
    finally:
        kept.unpin(path, made)


def test_it_comes_back_after_many_ends(kept):
    kept.start()
    maps = []
    for n in range(6):
        maps.append(kept.new(*HASH, [("name", f"m{n}".encode())]))
        kept.again(signal.SIGKILL if n % 2 else signal.SIGTERM)
        assert [kept.info(map)["name"] for map in maps] == [b"m%d" % i for i in range(n + 1)]


# --- Lifetimes and owners


def test_lifetimes_and_owners_are_as_they_were(kept, alice, bob):
    kept.start()
    mine = kept.new(*HASH)
    yours = kept.call("new", *HASH, beam=bob)
    always = kept.call("new", *HASH, [("lifetime", "permanent")], beam=bob)
    before = sorted(kept.handles(), key=repr)
    assert before == sorted(
        [(mine, alice.name, "node"), (yours, bob.name, "node"), (always, "none", "permanent")],
        key=repr,
    )
    kept.again()
    assert sorted(kept.handles(), key=repr) == before


HOLD = """
    Me = self(),
    Holder = spawn(fun() ->
        Me ! {made, erpc:call(N, ebpf_maps, new, [hash, 4, 8, 4, [{lifetime, process}]])},
        receive stop -> ok end
    end),
    receive {made, M} -> {Holder, M} after 15000 -> late end."""


def test_a_handle_of_a_process_ends_with_it_after_a_restart(kept, bob):
    kept.start()
    holder, map = bob.eval(HOLD, N=kept.name)
    kept.again()
    assert kept.handles() == [(map, holder, "process")]
    assert kept.call("size", map, beam=bob) == 0  # its node is back: it is watched again
    bob.eval("H ! stop, ok.", H=holder)
    wait_until(lambda: kept.handles() == [])
    assert kept.pins() == []


def test_a_process_that_ended_meanwhile_has_its_handle_ended(kept, bob):
    kept.start()
    holder, map = bob.eval(HOLD, N=kept.name)
    kept.end()
    bob.eval("H ! stop, ok.", H=holder)
    kept.start()
    assert kept.handles() == [(map, holder, "process")]
    bob.rpc(kept.name, "handles")
    wait_until(lambda: kept.handles() == [])


def test_the_grace_of_an_owner_that_does_not_come_back_runs_anew(kept, start_beam):
    kept.start("--grace", "2", "--log-level", "info")
    other = start_beam()
    map = kept.call("new", *HASH, beam=other)
    other.kill()
    kept.again()
    assert [handle for handle, *_ in kept.handles()] == [map]
    kept.node.wait_log(r"grace_over|its grace", 10)
    wait_until(lambda: kept.handles() == [])
    kept.again()
    assert kept.handles() == []


def test_another_incarnation_of_an_owner_ends_its_handles(kept, start_beam, cluster):
    kept.start()
    first = start_beam()
    kept.call("new", *HASH, beam=first)
    kept.end()
    first.kill()
    kept.start()
    assert len(kept.handles()) == 1
    second = start_beam(sname=first.name.partition("@")[0])
    kept.call("features", beam=second)
    wait_until(lambda: kept.handles() == [])


# --- Nested maps


def test_a_nested_map_has_its_holders_again(kept, alice, bob):
    kept.start()
    inner = kept.new(*HASH)
    outer = kept.new("hash_of_maps", 4, 4, 4, [("inner_map", inner)])
    kept.put(u32(1), inner, outer)
    kept.close(inner)
    shared = kept.get(u32(1), outer)
    assert kept.call("get", u32(1), outer, beam=bob) == shared
    before = sorted(kept.handles(), key=repr)
    assert len(before) == 3
    kept.again()
    assert sorted(kept.handles(), key=repr) == before
    assert kept.get(u32(1), outer) == shared
    kept.put(u32(5), u64(5), shared)
    assert kept.call("get", u32(5), shared, beam=bob) == u64(5)


# --- Views


def test_a_view_has_its_types_again(kept):
    kept.start()
    layout = ("struct", 16, [("a", 0, "u32"), ("b", 64, "s64")])
    map = kept.new("percpu_hash", 4, 16, 4)
    views = [
        kept.typed(map, [("types", ("u32", layout))]),
        kept.typed(map, [("types", ("u32", layout)), ("as", "tuple")]),
        kept.typed(map, [("types", ("u32", layout)), ("as", ["b"])]),
        kept.typed(map, [("types", ("u32", layout)), ("percpu", "sum")]),
    ]
    kept.put(7, [{b"a": n, b"b": -n} for n in range(1, CPUS + 1)], views[0])
    before = [(kept.get(7, view), kept.types(view)) for view in views]
    for how in signal.SIGTERM, signal.SIGKILL:
        kept.again(how)
        assert [(kept.get(7, view), kept.types(view)) for view in views] == before
    with raises("enotsup"):
        kept.put(7, -1, views[2])


# --- Quotas, limits


def test_quotas_and_limits_count_what_is_kept(kept):
    kept.start()
    maps = [kept.new(*HASH) for _ in range(4)]
    kept.again(signal.SIGTERM, "--max-maps", "3")
    assert [kept.size(map) for map in maps] == [0] * 4
    assert kept.new(*HASH) == ("error", "emfile")
    kept.close(maps.pop())
    kept.close(maps.pop())
    maps.append(kept.new(*HASH))
    assert kept.new(*HASH) == ("error", "emfile")
    kept.again(signal.SIGTERM, "--max-maps-per-node", "3")
    assert kept.new(*HASH) == ("error", "emfile")
    kept.close(maps.pop())
    assert kept.new(*HASH)[0] == "ebpf_map"


def test_programs_without_maps_load_though_there_are_too_many_maps(kept):
    kept.start("--programs", "all", "--allow", "*=load")
    for _ in range(4):
        kept.new(*HASH)
    kept.again(
        signal.SIGTERM, "--programs", "all", "--allow", "*=load",
        *("--max-maps", "2", "--max-maps-per-node", "2"),
    )  # fmt: skip
    nothing = bytes([0xB7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
    program = kept.programs.load("socket_filter", nothing, [])
    assert program[0] == "ebpf_program"


def test_what_is_kept_takes_no_descriptors_twice(kept):
    """A limit of descriptors that was enough before is so after a restart."""
    few = {"wrapper": ["prlimit", "--nofile=1500:1500"]}
    kept.start("--max-maps", "5000", **few)
    (before,) = kept.node.find_log(r"--max-maps 5000 is lowered to (\d+)")
    for _ in range(200):
        kept.new(*HASH)
    kept.again(signal.SIGTERM, **few)
    (after,) = kept.node.find_log(r"--max-maps 5000 is lowered to (\d+)")
    assert after[1] == before[1]
    assert kept.new(*HASH)[0] == "ebpf_map"


@ENDS
def test_the_memory_of_maps_is_charged_again(kept, kept_folder, how):
    million = ("array", 4, 8, 100_000)
    kept.start("--max-map-memory", "2000000")
    path = str(kept_folder).encode() + b"_pin"
    map = kept.new(*million)
    kept.pin(path, map)
    kept.close(map)
    other = kept.new(*million)
    assert kept.new(*million) == ("error", "enomem")
    try:
        kept.again(how)
        assert kept.new(*million) == ("error", "enomem")
        map = kept.open(("pinned", path))
        assert kept.unpin(path, map) == "ok"
        kept.close(map)
    finally:
        Path(os.fsdecode(path)).unlink(missing_ok=True)
    kept.close(other)
    assert kept.new(*million)[0] == "ebpf_map"


# --- Many


def test_more_handles_than_one_array_of_records_has_room_for(kept):
    kept.start("--max-maps", "20000")
    count = 9000
    maps = kept.beam.eval(
        "[erpc:call(N, ebpf_maps, new, [hash, 4, 8, 1]) || _ <- lists:seq(1, K)].",
        N=kept.name, K=count, timeout=60,
    )
    assert (kept.folder / "records1").exists()
    for how in signal.SIGKILL, signal.SIGTERM:
        kept.again(how)
        kept.node.wait_log(rf"back from \S+: {count} maps")
    kept.beam.eval("[ok = erpc:call(N, ebpf_maps, close, [M]) || M <- L], ok.",
                   N=kept.name, L=maps, timeout=60)
    assert kept.pins() == []
    assert len(kept.new(*HASH)) == 6
    kept.again()
    kept.node.wait_log(r"back from \S+: 1 maps")
