# SPDX-License-Identifier: Apache-2.0
"""Callers and hosts that try to reach, fill or break what a node keeps."""

import os
import signal
import subprocess

import pytest

from beam import BeamError
from conftest import raises
from keeping import Records
from native import u32
from test_keep import HOLD

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 16)
MILLION = ("array", 4, 8, 100_000)
ENOSPC, ENOMEM = 28, 12


def large(salt):
    """The layouts of a key and a value, as large as they may be; others for another salt."""
    names = [(b"%s_%d" % (salt, n)).ljust(14, b"_") for n in range(3800)]
    return [("types", (("enum", 4, [(name, n) for n, name in enumerate(names)]), "u64"))]


def arrays(folder):
    return len([name for name in os.listdir(folder) if name.startswith("records")])


# --- Reaching the records ---------------------------------------------------------------

GUESS = """
    Me = self(),
    Loop = fun Loop(Id) ->
        receive {id, I} -> Loop(I); stop -> ok after 0 ->
            case catch erpc:call(N, ebpf_maps, open, [{id, Id}]) of
                M when element(1, M) =:= ebpf_map -> Me ! {got, Id, M};
                _ -> Loop(Id)
            end
        end
    end,
    [spawn(fun() -> Loop(0) end) || _ <- [1, 2, 3, 4]]."""


def test_nobody_opens_a_new_array_by_an_id_that_is_guessed(kept, kept_folder, bob):
    """Its id is the next one, and a caller decides when it is made."""
    kept.start()
    map = kept.new("hash", 4, 8, 4)
    guessers = bob.eval(GUESS, N=kept.name)
    salts = iter(range(1000))
    for _ in range(15):
        probe = kept.new("array", 4, 8, 1)
        bob.eval("[P ! {id, I} || P <- Ps], ok.", Ps=guessers, I=kept.info(probe)["id"] + 1)
        kept.close(probe)
        before = arrays(kept_folder)
        while arrays(kept_folder) == before:
            assert kept.typed(map, large(b"%d" % next(salts)))[0] == "ebpf_map"
    bob.eval("[P ! stop || P <- Ps], ok.", Ps=guessers)
    hidden = {Records(kept_folder, n).id for n in range(arrays(kept_folder))}
    assert len(hidden) == 16
    assert hidden.isdisjoint(kept.info(handle)["id"] for handle, *_ in kept.handles())
    assert hidden.isdisjoint(info["id"] for info in kept.list())


@pytest.mark.parametrize("how", ["unmounted", "mounted over"])
def test_a_folder_without_a_path_is_out_of_reach_too(kept, tmp_path, how):
    place = tmp_path / "fs"
    place.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", place], check=True)
    kept.folder = place / "kept"
    kept.start()
    map = kept.new(*HASH)
    (name,) = kept.pins()
    command = {
        "unmounted": ["umount", "-l", place],
        "mounted over": ["mount", "-t", "tmpfs", "tmpfs", place],
    }[how]
    subprocess.run(command, check=True)
    try:
        refused = set()
        for fd in range(40):
            for file in "records0", name:
                path = f"/proc/self/fd/{fd}/{file}".encode()
                try:
                    outcome = kept.open(("pinned", path))
                except BeamError as e:
                    outcome = e.reason
                assert outcome[0] != "ebpf_map", path
                if outcome == "eacces":
                    refused.add(fd)
        (folder,) = refused  # the folder itself
        with raises("eacces"):
            kept.pin(f"/proc/self/fd/{folder}/x".encode(), map)
    finally:
        if how == "mounted over":
            subprocess.run(["umount", place], check=True)
            subprocess.run(["umount", "-l", place], check=True)


# --- Filling them -----------------------------------------------------------------------


def test_views_of_one_layout_take_one_record_of_it(kept, kept_folder, bob):
    kept.start()
    map = kept.new("hash", 4, 8, 4)
    first = kept.typed(map, large(b"x"))
    views = [first] + [kept.typed(first, []) for _ in range(400)]
    assert arrays(kept_folder) == 1
    assert len(Records(kept_folder).heads(Records.PART)) == 1
    before = kept.node.anonymous_kib()
    kept.again()
    assert kept.node.anonymous_kib() < before + 4096
    assert {kept.size(view) for view in views} == {0}
    assert kept.types(views[-1]) == kept.types(first)
    for view in views:
        assert kept.close(view) == "ok"
    assert Records(kept_folder).heads(Records.PART) == []
    assert kept.call("new", *HASH, beam=bob)[0] == "ebpf_map"


def test_a_growth_that_fails_can_be_tried_for_ever(kept, kept_folder):
    kept.start()
    map = kept.new("hash", 4, 8, 4)
    (kept_folder / "records1").mkdir()
    views, salt = [], 0
    while not views or views[-1] != ("error", "eexist"):
        views.append(kept.typed(map, large(b"%d" % salt)))
        salt += 1
    for _ in range(300):
        assert kept.typed(map, large(b"again")) == ("error", "eexist")
    (kept_folder / "records1").rmdir()
    assert kept.typed(map, large(b"again"))[0] == "ebpf_map"


# --- What is left for later -------------------------------------------------------------


@pytest.mark.preload
def test_a_shared_handle_that_was_left_has_its_holders_later(kept, odd, bob):
    kept.start(env=odd.environment)
    inner = kept.new(*HASH)
    outer = kept.new("hash_of_maps", 4, 4, 4, [("inner_map", inner)])
    kept.put(u32(1), inner, outer)
    kept.close(inner)
    shared = kept.get(u32(1), outer)
    assert kept.call("get", u32(1), outer, beam=bob) == shared
    before = sorted(kept.handles(), key=repr)
    odd.unopened = ENOMEM
    kept.again(signal.SIGKILL, env=odd.environment)
    with raises(("badmap", shared)):
        kept.size(shared)
    odd.unopened = 0
    kept.again(signal.SIGKILL, env=odd.environment)
    assert sorted(kept.handles(), key=repr) == before


@pytest.mark.preload
def test_what_was_left_counts_for_quotas_and_memory(kept, odd, kept_folder):
    options = "--max-map-memory", "2000000", "--max-maps-per-node", "2", "--no-open-by-id"
    kept.start(*options, env=odd.environment)
    maps = [kept.new(*MILLION) for _ in range(2)]
    odd.unopened = ENOMEM
    kept.again(signal.SIGKILL, env=odd.environment)
    odd.unopened = 0
    assert kept.new(*HASH) == ("error", "emfile")
    kept.again(signal.SIGTERM, *options[:2], "--no-open-by-id", env=odd.environment)
    assert [kept.size(map) for map in maps] == [100_000] * 2
    odd.unopened = ENOMEM
    kept.again(signal.SIGKILL, env=odd.environment)
    odd.unopened = 0
    assert kept.new(*MILLION) == ("error", "enomem")
    assert len(Records(kept_folder).heads(Records.CHARGE)) == 2


def test_descriptors_for_connections_are_not_for_what_is_kept(kept, cluster):
    kept.start("--max-connections", "20", "--max-handshakes", "5")
    maps = [kept.new(*HASH) for _ in range(400)]
    kept.again(signal.SIGKILL, wrapper=["prlimit", "--nofile=300:300"])
    left = len(kept.node.find_log("it stays in the folder for the next start"))
    assert 100 < left < 400
    assert len(kept.handles()) == 400 - left
    kept.again(signal.SIGTERM)
    assert {kept.size(map) for map in maps} == {0}


# --- Orderly ends -----------------------------------------------------------------------


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_the_end_of_the_node_is_no_short_connection(kept, bob, how):
    """Three of these in a row end the handles of processes."""
    kept.start("--log-level", "info")
    _, map = bob.eval(HOLD, N=kept.name)
    for _ in range(2):
        start = kept.node.mark()
        bob.eval("erlang:disconnect_node(N), ok.", N=kept.name)
        kept.node.wait_log(f"disconnected {bob.name}", start=start)
        assert kept.call("size", map, beam=bob) == 0
    kept.again(how)
    assert kept.call("size", map, beam=bob) == 0
