# SPDX-License-Identifier: Apache-2.0
"""Objects that are not quite right, and loads without end: the node stands, and
nothing of them is left.

EBPF_MUTANTS  how many objects: 300 if it is not set
EBPF_LOADS    how many loads: 200
"""

import json
import os
from collections import Counter

import pytest

import debian_objects
from cluster import wait_until
from mutants import Seed
from processes import children

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

MUTANTS = int(os.environ.get("EBPF_MUTANTS") or 300)
LOADS = int(os.environ.get("EBPF_LOADS") or 200)
MAY_LOAD = ["--programs", "all", "--allow", "*=load"]
OWN = ["attach", "grow", "locked", "objects", "refused", "values"]


def is_documented(answer):
    """An error of load/2, or a program of a type that is not to be had."""
    match answer:
        case ("return", ("error", str() | ("object", bytes()))):
            return True
        case ("return", ("error", ("rejected", str(), bytes(), bytes()))):
            return True
        case ("return", ("error", ("loader", "killed" | "timeout"))):
            return True
    return answer[:2] == ("error", "eacces")


class Attacker:
    """A node that loads objects; what it has made, the kernel does not keep."""

    def __init__(self, siege):
        self.peer = siege.connect()
        self.node = siege.node
        self.ids = {"prog": set(), "map": set(), "link": set()}
        self.outcomes = Counter()

    def call(self, function, *args, module="ebpf_programs"):
        kind, *rest = self.peer.erpc(module, function, list(args), timeout=60)
        assert kind == "return", rest
        return rest[0]

    def load(self, object, options=()):
        """The result; None where there was an error, one that is documented."""
        answer = self.peer.erpc("ebpf_programs", "load", [object, list(options)], timeout=60)
        result = answer[1]
        if answer[0] == "return" and isinstance(result, dict):
            self.outcomes["loaded"] += 1
            for program in result["programs"].values():
                self.ids["prog"].add(self.call("info", program)["id"])
            for map in result["maps"].values():
                self.ids["map"].add(self.call("info", map, module="ebpf_maps")["id"])
            return result
        assert is_documented(answer), answer
        what = result[1] if answer[0] == "return" else result
        self.outcomes[str(what[0] if isinstance(what, tuple) else what)] += 1
        return None

    def close(self, loaded):
        for program in loaded["programs"].values():
            assert self.call("close", program) == "ok"
        for map in loaded["maps"].values():
            assert self.call("close", map, module="ebpf_maps") == "ok"

    def left(self, bpftool):
        """What the kernel still has of all that."""
        return {
            kind: ids & {one["id"] for one in json.loads(bpftool("-j", kind, "list"))}
            for kind, ids in self.ids.items()
            if ids
        }


@pytest.fixture
def check_left(bpftool):
    def check_left(attacker, loader, descriptors):
        """Of the loader and in the kernel; the siege looks at the node."""
        assert attacker.call("handles") == []
        assert children(attacker.node.pid) == [loader]
        wait_until(lambda: children(loader) == [], what="its children have ended")
        assert sorted(os.listdir(f"/proc/{loader}/fd")) == descriptors
        nothing = {kind: set() for kind, ids in attacker.ids.items() if ids}
        wait_until(lambda: attacker.left(bpftool) == nothing, what="the kernel has none of it")

    return check_left


@pytest.fixture(scope="session")
def seeds(compile_bpf):
    own = [compile_bpf(name).read_bytes() for name in OWN]
    return [Seed(data) for data in [*own, *debian_objects.of_libxdp().values()]]


def test_objects_that_are_not_quite_right_cost_their_sender_an_error(
    siege, seeds, randomness, check_left
):
    with siege(*MAY_LOAD, "--load-seconds", "5") as s:
        [loader] = children(s.node.pid)
        descriptors = sorted(os.listdir(f"/proc/{loader}/fd"))
        attacker = Attacker(s)
        for _ in range(MUTANTS):
            if loaded := attacker.load(randomness.choice(seeds).mutant(randomness)):
                attacker.close(loaded)
        print(attacker.outcomes)
        assert {"loaded", "rejected", "object"} <= attacker.outcomes.keys()
        check_left(attacker, loader, descriptors)


def test_loads_in_a_loop_leave_nothing(siege, compile_bpf, check_left):
    objects = compile_bpf("objects").read_bytes()
    with siege(*MAY_LOAD) as s:
        [loader] = children(s.node.pid)
        descriptors = sorted(os.listdir(f"/proc/{loader}/fd"))
        attacker = Attacker(s)
        for _ in range(LOADS):
            attacker.close(attacker.load(objects))
        assert attacker.outcomes == {"loaded": LOADS}
        check_left(attacker, loader, descriptors)
