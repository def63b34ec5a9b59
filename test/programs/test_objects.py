# SPDX-License-Identifier: Apache-2.0
"""Programs and links as the kernel has them: attaching, pins, and what limits them.

By objects_probe, which links the node's own objects.
"""

import subprocess
import uuid

import pytest

from host import CGROUPS

pytestmark = pytest.mark.sandbox

LO = "1"
# What a link answers to an update, by another type of program, and to a detach.
SWAPS = "update ok other EINVAL detach ok"
ENDS_WITH_ITS_DESCRIPTOR = "update EOPNOTSUPP other EOPNOTSUPP detach EOPNOTSUPP"


def link(kind, does=SWAPS, ifindex="0", place="", known="0"):
    return f"ok ok {kind} if {ifindex} place '{place}' known {known} {does}"


ATTACHED = {
    "raw_tracepoint": link("raw_tracepoint", ENDS_WITH_ITS_DESCRIPTOR, place="sys_enter"),
    "xdp_generic": link("xdp", ifindex=LO),
    "tc_first": link("tcx", ifindex=LO),
    "tc_last": link("tcx", ifindex=LO),
    "cgroup_skb": link("cgroup", known="1"),
    "cgroup_connect": link("cgroup", known="1"),
    "cgroup_device": link("cgroup", known="1"),
    "sock_ops": link("cgroup", known="1"),
    "sk_lookup": link("netns", known="1"),
    "sk_msg": link("sockmap", known="1"),
}
REFUSED = {
    "no_raw_tracepoint": "ENOENT",
    "btf_of_none": "EINVAL",
    "xdp_native": "EOPNOTSUPP",  # by lo
    "xdp_of_tc": "EINVAL",
    "tc_nowhere": "ENODEV",
    "tc_before_none": "EINVAL",
    "tc_of_act": "EINVAL",
    "cgroup_of_xdp": "EINVAL",
    "sk_msg_to_none": "EINVAL",
    "by_loader": "EOPNOTSUPP",
}


@pytest.fixture(scope="session")
def probe(program):
    place = program.parent.parent
    subprocess.run(["make", "-s", "-C", place, "test/programs/objects_probe"], check=True)

    def probe(*arguments):
        """[(name, text)], from a network namespace of its own."""
        result = subprocess.run(
            ["unshare", "-n", place / "test" / "programs" / "objects_probe", *arguments],
            check=True,
            capture_output=True,
            text=True,
        )
        lines = [tuple(line.split(": ", 1)) for line in result.stdout.splitlines()]
        return lines, result.stderr

    return probe


@pytest.fixture(scope="module")
def attached(probe):
    folder = CGROUPS / f"probe-{uuid.uuid4()}"
    folder.mkdir()
    try:
        return dict(probe("attach", folder)[0])
    finally:
        folder.rmdir()


@pytest.mark.parametrize("kind", ATTACHED)
def test_a_link_tells_where_it_is_and_takes_another_program(attached, kind):
    assert attached[kind] == ATTACHED[kind]


@pytest.mark.parametrize("kind", REFUSED)
def test_a_target_that_is_not_for_this_program_is_refused(attached, kind):
    assert attached[kind] == REFUSED[kind]


def test_no_attempt_goes_unchecked(attached):
    assert attached.keys() == ATTACHED.keys() | REFUSED.keys()


def test_programs_of_tc_run_in_the_order_asked_for(probe):
    order = dict(probe("order")[0])
    assert order["found"] == order["wanted"]


def test_a_pin_is_found_and_removed_as_that_of_its_own_object_only(probe, tmp_path):
    subprocess.run(["mount", "-t", "bpf", "bpf", tmp_path], check=True)
    try:
        pins = dict(probe("pins", tmp_path)[0])
        left = {path.name for path in tmp_path.iterdir()}
        assert left - {"maps.debug", "progs.debug"} == {"map"}  # the kernel's own
    finally:
        subprocess.run(["umount", "-l", tmp_path], check=True)
    assert pins == {
        "pin_program": "ok",
        "pin_link": "ok",
        "pin_map": "ok",
        "pins_of_program": "ok 1",
        "pins_of_other": "ok 0",
        "pins_of_link": "ok 1",
        "pins_of_map": "ok 1",
        "open_as_link": "EINVAL",
        "unpin_other": "EINVAL",
        "unpin_kind": "EINVAL",
        "unpin_program": "ok",
        "open_link": "ok",
        "unpin_link": "ok",
    }


def test_places_are_kept_for_a_load_until_it_gives_them_back(probe):
    places, log = probe("places")
    assert places == [
        ("reserve", "ok"),
        ("reserve_more", "EMFILE"),
        ("left_of_it", "0"),
        ("reserve_maps", "EMFILE"),
        ("without", "ok"),
        ("without", "EMFILE"),
        ("with", "ok"),
        ("with", "EMFILE"),
        ("left", "0"),
        ("count", "2"),
        ("maps_before", "EMFILE"),
        ("maps_after", "ok"),
    ]
    assert "refused peer@there a program or link: there are --max-programs 2 already" in log
    assert "2 programs and links: with those that are there it is more than --max-pro" in log
    assert "2 maps: with those that it has it is more than --max-maps-per-node 2" in log


def test_maps_of_a_load_count_once_and_up_to_the_limit(probe):
    memory, log = probe("memory")
    assert dict(memory) == {
        "left": "1",
        "two": "ok",
        "little": "1",
        "again": "ok",
        "three": "ENOMEM",
        "instead": "ok",
        "left_at_end": "1",
    }
    assert "than --max-map-memory 2097152" in log
