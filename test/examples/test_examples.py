# SPDX-License-Identifier: Apache-2.0
"""The examples of erlang/examples work as they stand."""

import re
import subprocess

import pytest

import etf
from cluster import wait_until
from host import CPUS

FLAGS = ["+debug_info", "+warnings_as_errors", "+warn_missing_spec"]
FLAGS += ["+warn_untyped_record", "+warn_export_vars"]


@pytest.fixture(scope="module")
def compiled(srcdir, ebin, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    sources = sorted((srcdir / "erlang" / "examples").glob("*.erl"))
    assert sources
    command = ["erlc", *FLAGS, "-pa", ebin, "-o", folder, *sources]
    subprocess.run(command, check=True)
    return folder


@pytest.fixture
def beam(start_beam, ebin, compiled):
    beam = start_beam(paths=[ebin, compiled])
    beam.eval("process_flag(trap_exit, true)")
    return beam


@pytest.mark.parametrize("type", ["hash", "percpu_hash"])
def test_packet_rate_logs_how_fast_counts_grow(maps, cnode, beam, folder, type):
    path = bytes(folder / type)
    map = maps.new(type, 4, 8, 16)
    assert maps.pin(path, map) == "ok"
    maps.put(80, 7 if type == "hash" else [7] * CPUS, map)  # which does not grow
    start = beam.apply("packet_rate", "start_link", cnode.name, ("pinned", path), 10)
    assert start[0] == "ok"
    counted = 0

    def logged():
        nonlocal counted
        counted += 5
        maps.put(9, counted if type == "hash" else [counted] * CPUS, map)
        return re.search(r"port 9: [1-9]\d*\.\d packets/s", beam.printed())

    wait_until(logged)
    assert "port 80" not in beam.printed()


def test_packet_rate_does_not_start_without_its_map(cnode, beam, folder):
    path = bytes(folder / "none")
    answer = beam.apply("packet_rate", "start_link", cnode.name, ("pinned", path), 10)
    assert answer == ("error", (("pinned", path), "enoent"))


def test_packet_rate_gives_its_map_back_when_it_ends(maps, cnode, beam, folder):
    path = bytes(folder / "map")
    map = maps.new("hash", 4, 8, 16)
    assert maps.pin(path, map) == "ok"
    id = maps.info(map)["id"]
    beam.eval(
        "{ok, Pid} = packet_rate:start_link(Node, {pinned, Path}, 1000)",
        keep=True,
        Node=etf.Atom(cnode.name),
        Path=path,
    )

    def handles():
        [info] = [one for one in maps.list() if one["id"] == id]
        return len(info["handles"])

    assert handles() == 2
    beam.eval("exit(Pid, shutdown)")
    wait_until(lambda: handles() == 1, what="the handle has gone")
