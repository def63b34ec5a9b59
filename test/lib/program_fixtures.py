# SPDX-License-Identifier: Apache-2.0
"""Fixtures for programs: jobs of the loader, done by children without it."""

import random
import shutil
import subprocess

import pytest

from bpf_objects import compiled
from jobs import RUN, Jobs, option


@pytest.fixture(scope="session")
def run_job(program):
    place = program.parent.parent
    subprocess.run(["make", "-s", "-C", place, "test/programs/run_job"], check=True)
    return place / "test" / "programs" / "run_job"


@pytest.fixture
def jobs(run_job):
    jobs = Jobs(run_job)
    yield jobs
    jobs.close()


@pytest.fixture
def run(jobs):
    """Runs a program, on a packet of zeros if nothing else is said."""

    def run(fd, data=bytes(64), **numbers):
        options = [option(name, number=number) for name, number in numbers.items()]
        if data is not None:
            options.append(option("data", data=data))
        return jobs.do(RUN, *options, fds=[fd])

    return run


@pytest.fixture(scope="session")
def compile_bpf(srcdir, tmp_path_factory):
    def compile_bpf(name):
        return compiled(srcdir / "test" / "bpf" / f"{name}.bpf.c", tmp_path_factory.mktemp("bpf"))

    return compile_bpf


@pytest.fixture(scope="session")
def objects(compile_bpf):
    """The bytes of test/bpf/objects.bpf.c, compiled."""
    return compile_bpf("objects").read_bytes()


@pytest.fixture(scope="session")
def bpftool():
    """Its output, of a command."""
    path = shutil.which("bpftool", path="/usr/sbin:/sbin:/usr/bin:/bin")

    def bpftool(*arguments):
        done = subprocess.run(
            [path, *map(str, arguments)], check=True, capture_output=True, text=True
        )
        return done.stdout

    return bpftool


@pytest.fixture
def randomness():
    seed = random.randrange(2**32)
    print("seed", seed)
    return random.Random(seed)
