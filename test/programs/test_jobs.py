# SPDX-License-Identifier: Apache-2.0
"""What a child of the loader does with an object, confined as it is in the loader."""

import subprocess

import pytest

from bpf_objects import compiled
from jobs import LOAD, Jobs

pytestmark = pytest.mark.sandbox


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


@pytest.fixture(scope="session")
def compile_bpf(srcdir, tmp_path_factory):
    def compile_bpf(name):
        return compiled(srcdir / "test" / "bpf" / f"{name}.bpf.c", tmp_path_factory.mktemp("bpf"))

    return compile_bpf


@pytest.fixture(scope="session")
def objects(compile_bpf):
    return compile_bpf("objects").read_bytes()


def test_an_object_is_loaded_with_all_that_it_has(jobs, objects):
    answer = jobs.do(LOAD, object=objects)
    assert answer.names("program") == {"pass", "second"}
    assert answer.names("map") == {"table", "asks_pin", "resized", ".bss", ".data", ".rodata"}
