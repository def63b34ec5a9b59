# SPDX-License-Identifier: Apache-2.0
"""Fuzzers of what a peer can send: each for a minute, from recorded traffic."""

import ast
import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = [pytest.mark.ci, pytest.mark.alone]

SECONDS = 60
TARGETS = ["term", "dist", "rpc", "connection", "records", "jobs", "types", "tls"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the fuzzers are built, once for all."""
    return tmp_path_factory.mktemp("fuzz")


def make_fuzz(builddir, folder, targets, seconds):
    done = subprocess.run(
        [
            *("make", "-j", str(len(os.sched_getaffinity(0))), "fuzz", f"FUZZ_DIR={folder}"),
            *(f"FUZZ_TARGETS={targets}", f"FUZZ_SECONDS={seconds}"),
        ],
        cwd=builddir,
        env={k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=900 + 2 * seconds,
    )
    print(done.stdout)
    return done


@pytest.mark.slow
def test_no_fuzzer_finds_anything_in_a_minute(builddir, folder):
    """They are built one after the other, and run all at a time."""
    assert make_fuzz(builddir, folder, " ".join(TARGETS), 0).returncode == 0

    def run(target):
        return make_fuzz(builddir, folder, target, SECONDS)

    with ThreadPoolExecutor() as pool:
        runs = dict(zip(TARGETS, pool.map(run, TARGETS)))
    for target, done in runs.items():
        assert done.returncode == 0, target
        executed = re.search(r"number_of_executed_units:\s+(\d+)", done.stdout)
        seeds = len(list((folder / "seeds" / target).iterdir()))
        assert int(executed[1]) > seeds > 10


@pytest.mark.slow
def test_a_finding_fails_and_says_how_to_see_it_again(builddir, folder):
    done = make_fuzz(builddir, folder, "term", 0)
    assert done.returncode == 0
    program = folder / "fuzz_term"
    program.write_text(
        "#!/bin/sh\n"
        "echo 'artifact_prefix=./; Test unit written to found/crash-1'\n"
        "exit 77\n"
    )
    done = make_fuzz(builddir, folder, "term", 0)
    program.unlink()
    assert done.returncode != 0
    assert f"again:  {program} found/crash-1" in done.stdout


def seed_packets(srcdir):
    lines = (srcdir / "test" / "fuzz" / "traffic").read_text().splitlines()
    return [ast.literal_eval(line) for line in lines if line[:1] == "b"]


def test_the_seeds_call_every_function(srcdir, program):
    done = subprocess.run([program, "--functions"], stdout=subprocess.PIPE, check=True)
    served = re.findall(r"ebpf_maps:(\w+)/\d", done.stdout.decode())
    packets = b"".join(seed_packets(srcdir))
    called = {
        name for name in served if bytes([119, len(name)]) + name.encode() in packets
    }
    assert called == set(served)


def test_the_seeds_tell_nothing_of_the_host_that_made_them(srcdir):
    packets = seed_packets(srcdir)
    # not as terms: not all that hostile peers send are any
    names = set(re.findall(rb"[A-Za-z_]\w{2,}@[\w.-]+", b"\0".join(packets)))
    assert names == {b"ebpf@localhost", b"peer@localhost"}
    assert not [p for p in packets if b"/tmp/" in p or b"/home/" in p]
