# SPDX-License-Identifier: Apache-2.0
"""The benchmark in its smallest form: it runs, and what it says makes sense.

No figure is held to anything here but to being one: a few calls say nothing
about speed.
"""

import json
import math
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest

pytestmark = pytest.mark.counts

NIF = "NIF"
CONTENDERS = {  # some that each contest of a kind has to have
    "get-1": {
        "C node by erpc",
        "TCP ping-pong in C",
        "bpf(2) in a C loop",
        "Erlang node by erpc",
        "Erlang node by gen_server",
        "C node by the facade",
    },
    "stream": {"C node by erpc", "Erlang node by gen_server"},
    "to_list-hash-1000": {
        "C node by the facade",
        "C node by erpc, call by call",
        "bpftool map dump -j",
    },
    "typed-maps": {
        "typed, as maps",
        "raw bytes",
        "raw bytes, made maps by the caller",
        "bpftool map dump -j",
    },
    "load-small": {
        "C node by erpc",
        "libbpf in a C loop",
        "bpftool prog loadall, attaching nothing",
        "C node by the facade",
    },
    "get-while-loading-small": {
        "while it loads for another node",
        "while nobody loads",
        "while a C program loads",
    },
    "events-cpu": {
        "C node, to Erlang processes",
        "libbpf's ring_buffer in C",
        "port program, to an Erlang process",
    },
    "events-calls": {
        "while a million events a second flow",
        "while they flow through a port program",
        "while none flow",
    },
    "keep-restore": {
        "C node with 10,000 kept handles, from its start until it is ready",
        "BPF_OBJ_GET of their pins in a C loop",
        "C node with none",
    },
    "keep-new": {"C node with --keep", "C node without"},
    "tls-get-1.3": {
        "C node over TLS 1.3",
        "C node over plain TCP",
        "Erlang node over TLS 1.3",
        "Erlang node over plain TCP",
    },
    "tls-callers-1.2": {"C node over TLS 1.2", "Erlang node over TLS 1.2"},
    "tls-whole-to_list-1.3": {
        "C node over TLS 1.3",
        "C node over plain TCP",
        "C node over TLS 1.3, {buffer, 65536}",
    },
    "fleet-percpu_hash-150x1000": {
        "ebpf_fleet:to_map",
        "erpc to all at once, then merged",
        "erpc to one after the other",
    },
    "fleet-memory-hash-100x16000": {"ebpf_fleet:to_map"},
    "fleet-hung": {"erpc:multicall with a timeout"},
    "metrics-10000": {
        "a scrape of ebpf_metrics",
        "the same text from OTP's httpd, which has it ready",
    },
    "multicall": {"connected before", "the first call"},
}


@pytest.fixture(scope="module")
def helpers(srcdir, tmp_path_factory):
    """The C programs; make bench builds them in the folder of the build."""
    folder = tmp_path_factory.mktemp("helpers")
    for name in ("pingpong", "maploop", "loadloop", "eventmake", "eventread", "keeploop"):
        source = srcdir / "test" / "bench" / f"{name}.c"
        command = [os.environ.get("CC", "cc"), "-std=gnu11", "-D_GNU_SOURCE", "-O2"]
        command += ["-Wall", "-Wextra", "-Werror", source, "-o", folder / name, "-lbpf"]
        subprocess.run(command, check=True)
    return folder


def run(srcdir, program, ebin, helpers, output, *options, **env):
    command = [sys.executable, srcdir / "test" / "bench" / "bench.py", *options]
    command += ["--program", program, "--ebin", ebin]
    command += ["--helpers", helpers, "--output", output, "--size", "smallest"]
    plain = {k: v for k, v in os.environ.items() if k not in ("EBPF_NIF_DIR", "SAVE")}
    return subprocess.run(
        command, env={**plain, **env}, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def bench(srcdir, program, ebin, helpers, tmp_path_factory):
    """(what it printed, what the JSON has, the folder) of one run"""
    output = tmp_path_factory.mktemp("bench")
    done = run(srcdir, program, ebin, helpers, output, ONLY="")
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((output / "bench.json").read_text()), output


@pytest.fixture
def contests(bench):
    return {contest["id"]: contest for contest in bench[1]["contests"]}


def test_no_two_contests_share_a_name(bench, contests):
    assert len(contests) == len(bench[1]["contests"])


def test_each_contender_has_taken_each_turn(bench, contests):
    rounds = bench[1]["amounts"]["rounds"]
    for contest in contests.values():
        for contender in contest["contenders"]:
            assert contender["given"] == (not contender["label"].startswith(NIF))
            if contender["given"]:
                assert len(contender["runs"]) == rounds, contest["id"]
                assert all(math.isfinite(value) for value in contender["runs"])
    for id, wanted in CONTENDERS.items():
        labels = {contender["label"] for contender in contests[id]["contenders"]}
        assert wanted <= labels


COMPARED = {"as fast": lambda u, v: v / u, "ms above": lambda u, v: u - v}


def test_ratios_are_those_of_the_runs_of_one_round(contests):
    seen = 0
    for contest in contests.values():
        ours, *others = contest["contenders"]
        for row, their in zip(contest["rows"], others, strict=True):
            assert row["against"] == their["label"]
            if not their["given"]:
                assert row["ratio"] is None
                continue
            compared = COMPARED.get(contest["shows"], lambda u, v: u / v)
            ratios = list(map(compared, ours["runs"], their["runs"]))
            assert row["ratio"]["low"] == pytest.approx(min(ratios))
            assert row["ratio"]["high"] == pytest.approx(max(ratios))
            low, high = row["ratio"]["low"], row["ratio"]["high"]
            assert low <= row["ratio"]["median"] <= high < 1e6
            assert low > 0 or contest["shows"] == "ms above"
            seen += 1
    assert seen > 50


def medians(contest):
    return {c["label"]: c["median"] for c in contest["contenders"] if c["given"]}


def test_sizes_are_such_as_can_be(contests):
    """What does not depend on the load of the machine: bytes and memory."""
    size = medians(contests["bytes"])
    assert len(size) == 3
    assert all(150 < value < 1500 for value in size.values())
    rss = medians(contests["memory-idle"])
    assert 500 < rss["C node"] < rss["erl -sname"] < 1 << 20


def test_targets_are_judged(contests):
    targets = [
        (contest["id"], row["against"], row["target"], row["ratio"])
        for contest in contests.values()
        for row in contest["rows"]
        if row["target"]
    ]
    assert {id for id, *_ in targets} >= {"get-1", "get-16", "stream", "load-small"}
    for id, _, target, ratio in targets:
        if not ratio:
            assert target["met"] is None
        elif target["relation"] == "at most":
            assert target["met"] == (ratio["median"] <= target["number"]), id
        else:
            assert target["met"] == (ratio["median"] >= target["number"]), id


def test_the_table_has_a_line_for_each_row(bench, contests):
    printed = bench[0]
    wanted = sum(1 + len(contest["rows"]) for contest in contests.values())
    head, rule, *lines = printed.split("\n\n")[0].splitlines()
    assert head.split()[:3] == ["work", "who", "against"]
    assert set(rule) == {"-", " "}
    assert len(lines) == wanted
    assert sum("not given" in line for line in lines) >= 2
    for id in ("get-1", "to_list-hash-1000", "memory-idle"):
        assert contests[id]["work"] in printed
    assert re.search(r"at most 1\.4: (met|missed)", printed)
    assert re.search(r"at most 6 ms: (met|missed)", printed)


def words_of(svg):
    root = ElementTree.parse(svg).getroot()
    assert root.tag.endswith("svg")
    return "\n".join(text for text in map(str.strip, root.itertext()) if text)


UNITS = [
    "µs per call (less is better)",
    "thousand calls per second (more is better)",
    "entries of a hash map",
    "ms (less is better)",
    "times as fast (left of 1: slower)",
]


@pytest.mark.parametrize("unit", UNITS)
def test_each_axis_of_the_picture_has_its_unit(bench, unit):
    assert unit in words_of(bench[2] / "bench.svg").splitlines()


def test_the_picture_says_what_was_not_run_and_why(bench):
    words = " ".join(words_of(bench[2] / "bench.svg").split())
    assert "TCP ping-pong in C" in words and "Not run: TCP" not in words
    missing = r"Not run: NIF by erpc; [^.(]*\(EBPF_NIF_DIR names no built copy of it\)\."
    assert re.search(missing, words)


def test_the_picture_is_drawn_again_from_its_figures(srcdir, bench, tmp_path):
    script = srcdir / "test" / "bench" / "picture.py"
    command = [sys.executable, script, bench[2] / "bench.json", tmp_path / "again.svg"]
    subprocess.run(command, check=True)
    assert words_of(tmp_path / "again.svg") == words_of(bench[2] / "bench.svg")


def test_the_picture_of_an_older_run_lacks_what_it_had_not(bench, srcdir, tmp_path):
    """Figures from before there were contests of programs, and before any was left out."""
    told = dict(bench[1], contests=[c for c in bench[1]["contests"] if "load" not in c["id"]])
    assert told.pop("left_out") == {}
    (tmp_path / "older.json").write_text(json.dumps(told))
    script = srcdir / "test" / "bench" / "picture.py"
    command = [sys.executable, script, tmp_path / "older.json", tmp_path / "older.svg"]
    subprocess.run(command, check=True)
    words, older = (
        " ".join(words_of(picture).split())
        for picture in (bench[2] / "bench.svg", tmp_path / "older.svg")
    )
    assert "ms above libbpf" in words and "ms above" not in older


def test_a_folder_without_the_nif_is_refused(
    srcdir, program, ebin, helpers, tmp_path
):
    done = run(
        srcdir,
        program,
        ebin,
        helpers,
        tmp_path,
        ONLY="get-1",
        EBPF_NIF_DIR=str(tmp_path),
    )
    assert done.returncode != 0
    assert f"EBPF_NIF_DIR: no ebin/ebpf_maps.beam in {tmp_path}" in done.stderr


@pytest.mark.ci
def test_make_bench_builds_what_it_runs(builddir):
    """In the folder of the build, where the results of an earlier run are kept."""
    kept = {}
    for name in ("bench.json", "bench.svg"):
        path = builddir / name
        kept[path] = path.read_bytes() if path.exists() else None
    env = {k: v for k, v in os.environ.items() if not k.startswith("MAKE")}
    try:
        done = subprocess.run(
            [shutil.which("make"), "bench", "BENCHFLAGS=--size smallest", "ONLY=bytes"],
            cwd=builddir,
            env={**env, "EBPF_NIF_DIR": ""},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        told = json.loads((builddir / "bench.json").read_text())
        assert {contest["id"] for contest in told["contests"]} == {"bytes"}
    finally:
        for path, data in kept.items():
            path.unlink(missing_ok=True)
            if data is not None:
                path.write_bytes(data)
