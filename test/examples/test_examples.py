# SPDX-License-Identifier: Apache-2.0
"""The examples of erlang/examples work as they stand."""

import re
import subprocess

import pytest

import etf
from bpf_objects import compiled as compiled_by_clang
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


# --- syscall_counts


@pytest.fixture(scope="module")
def object_file(srcdir, tmp_path_factory):
    source = srcdir / "erlang" / "examples" / "syscall_counts.bpf.c"
    return compiled_by_clang(source, tmp_path_factory.mktemp("object"))


@pytest.fixture
def tracer(start_cnode):
    """A C node that lets this test trace."""
    return start_cnode("--programs", "tracing", "--allow", "tracer@*=load", "--allow", "*=rw")


@pytest.fixture
def tracer_beam(start_beam, ebin, compiled):
    beam = start_beam(paths=[ebin, compiled], sname="tracer")
    beam.eval("process_flag(trap_exit, true)")
    return beam


def start_counting(beam, cnode, file, every=10):
    beam.eval(
        "{ok, Pid} = syscall_counts:start_link(Node, File, Every)",
        keep=True,
        Node=etf.Atom(cnode.name),
        File=bytes(file),
        Every=every,
    )


def test_syscall_counts_counts_what_the_host_calls(tracer, tracer_beam, object_file):
    start_counting(tracer_beam, tracer, object_file)
    logged = r"[1-9]\d* system calls/s, most of them number \d+"
    wait_until(lambda: re.search(logged, tracer_beam.printed()))
    before = tracer_beam.eval("syscall_counts:calls(Pid)")
    wait_until(lambda: tracer_beam.eval("syscall_counts:calls(Pid)") != before)
    assert before and set(before) <= set(range(512))


def handles(beam, cnode):
    return beam.eval(
        "length(ebpf_programs:handles(N)) + length(ebpf_maps:handles(N))",
        N=etf.Atom(cnode.name),
    )


@pytest.mark.parametrize("how", ["shutdown", "kill"])
def test_syscall_counts_leaves_nothing_when_it_ends(how, tracer, tracer_beam, object_file):
    start_counting(tracer_beam, tracer, object_file)
    assert handles(tracer_beam, tracer) == 3  # program, link, map
    tracer_beam.eval(f"exit(Pid, {how})")
    wait_until(lambda: handles(tracer_beam, tracer) == 0)


def test_syscall_counts_says_why_it_does_not_start(tracer, tracer_beam, srcdir):
    source = srcdir / "erlang" / "examples" / "syscall_counts.bpf.c"
    node = etf.Atom(tracer.name)
    answer = tracer_beam.apply("syscall_counts", "start_link", node, bytes(source), 1000)
    assert answer[0] == "error" and isinstance(answer[1], bytes) and answer[1]


def test_syscall_counts_takes_the_permission_to_load(tracer, beam, object_file):
    node = etf.Atom(tracer.name)
    answer = beam.apply("syscall_counts", "start_link", node, bytes(object_file), 1000)
    assert answer[0] == "error" and answer[1][0] == "eacces"
