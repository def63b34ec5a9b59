# SPDX-License-Identifier: Apache-2.0
"""The C node is killed at random instants, while several nodes make, put, attach and close.

EBPF_KILLS  how many times; 200 by default, and 1000 take a minute
"""

import os
import random
import signal
import subprocess
import time

import pytest

from beam import Beam
from cluster import SANITIZED
from keeping import Records


KILLS = int(os.environ.get("EBPF_KILLS") or (20 if SANITIZED else 200))
NODES, WORKERS = 3, 3
LONGEST = 0.03  # s, from the first call to the end
ALL = ("--programs", "all", "--allow", "*=load", "--grace", "600")


@pytest.fixture(scope="module")
def holders(srcdir, tmp_path_factory, cluster):
    """Erlang nodes with test/keep/holder.erl."""
    folder = tmp_path_factory.mktemp("holder")
    source = srcdir / "test" / "keep" / "holder.erl"
    subprocess.run(["erlc", "+warnings_as_errors", "-o", folder, source], check=True)
    beams = [Beam(cluster, paths=[folder], hint="holder") for _ in range(NODES)]
    yield beams
    for beam in beams:
        beam.close()


def ask(beams, function):
    for beam in beams:
        beam.start_apply("holder", function, [])
    assert [beam.finish(60) for beam in beams] == ["ok"] * len(beams), function


@pytest.fixture(scope="module")
def object_of_least(compile_bpf):
    return compile_bpf("attach").read_bytes()


def load(kept, elf):
    options = [("programs", [b"raw_tracepoint"]), ("variables", {b"process": 1})]
    loaded = kept.programs.load(elf, [("lifetime", "permanent"), *options])
    return loaded["programs"][b"raw_tracepoint"]


def test_what_was_acknowledged_is_there_and_nothing_else(kept, holders, object_of_least):
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    kept.start(*ALL)
    program = load(kept, object_of_least)
    for beam in holders:
        beam.apply("holder", "start", kept.name, WORKERS, program)
    for _ in range(KILLS):
        ask(holders, "go")
        time.sleep(dice.uniform(0, LONGEST))  # the instant is the point
        kept.end(signal.SIGKILL)
        ask(holders, "wait")
        kept.start()
        assert kept.node.find_log(r"; 0 dropped, 0 left for later")
        ask(holders, "check")
    assert sum(beam.apply("holder", "steps") for beam in holders) > 10 * KILLS
    ask(holders, "end_all")
    # what was made and not answered is there, and can be seen and closed
    for map, *_ in kept.handles():
        assert kept.close(map) == "ok"
    for handle, *_ in kept.programs.handles():
        kept.programs.call("close", handle)
    assert kept.pins() == []
    # charges of maps that are gone stay until a sweep looks for them
    left = Records(kept.folder)
    assert left.heads(Records.HANDLE) == left.heads(Records.HOLDING) == []
    assert len(left.heads(Records.NODE)) == 2
    kept.again()
    assert kept.handles() == []
