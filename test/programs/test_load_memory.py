# SPDX-License-Identifier: Apache-2.0
"""Loads while memory is not to be had: the n-th allocation fails, for every n, in the
node or in the child. All that a load makes is there then, or nothing is."""

import itertools
import os

import pytest

from allocator import Allocator
from beam import BeamError
from cluster import wait_until
from conftest import CI
from instructions import returns
from preload import build

pytestmark = [pytest.mark.sandbox, pytest.mark.preload]

ENDLESS = 1 << 30


@pytest.fixture
def allocator(tmp_path):
    return Allocator(build("failing_malloc", tmp_path), tmp_path / "allocator")


def loaded(programs, args):
    """All handles; None if there is no memory, or the child came to nothing."""
    try:
        result = programs.load(*args)
    except BeamError as e:
        assert e.reason == "enomem"
        return None
    if isinstance(result, dict):
        assert (len(result["programs"]), len(result["maps"])) == (2, 6)
        return [*result["programs"].values(), *result["maps"].values()]
    if result[0] == "ebpf_program":
        return [result]
    reason = result[1]
    assert reason in ("enomem", ("loader", "killed")) or reason[0] == "object", reason
    return None


@pytest.mark.parametrize(
    "what, streak, limit",
    [
        ("an object", 1, "none"),
        ("an object", ENDLESS, str(1 << 30)),
        ("an object's pins", ENDLESS, "none"),
        ("instructions", 1, "none"),
        ("instructions", ENDLESS, "none"),
    ],
)
@pytest.mark.plain  # without memory a session of TLS ends
def test_a_load_without_memory_makes_nothing(
    what, streak, limit, start_programs, cluster, allocator, objects, folder
):
    """The charge of a map may stay until a sweep: the kernel frees it behind its
    program."""
    env = {**cluster.env, **allocator.env}
    programs = start_programs("--max-map-memory", limit, env=env)
    args = {
        "an object": (objects, []),
        "an object's pins": (objects, [("pin", str(folder).encode())]),
        "instructions": ("xdp", returns(0), []),
    }[what]
    pin = folder / "asks_pin"

    def load(n):
        """How many allocations have failed."""
        allocator.arm(n, streak)
        handles = loaded(programs, args)
        failed = allocator.disarm()
        made = pin.exists()
        assert made == (what == "an object's pins" and handles is not None), n
        if made:
            os.unlink(pin)
        for handle in handles or []:
            programs.end(handle)
        return failed

    for _ in range(3):
        load(ENDLESS)
    blocks = allocator.get("live")
    before = programs.open_objects()
    step = 1 if CI or what == "instructions" else 3
    assert next(n for n in itertools.count(1, step) if not load(n)) > 10
    wait_until(lambda: programs.open_objects() == before)
    if limit == "none":
        wait_until(lambda: programs.open_objects() and allocator.get("live") <= blocks)
