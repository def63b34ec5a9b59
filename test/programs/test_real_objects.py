# SPDX-License-Identifier: Apache-2.0
"""Objects that others have compiled: those of Debian's libbpf-tools and libxdp1.

What cannot be loaded stands in tables, each with what it says, as it is here: a
kernel without fentry, kprobes and some functions that old tools look for. libxdp1
shows what programs of XDP may do without CAP_PERFMON, which they do not get.
"""

import re

import pytest

import debian_objects
from map_calls import outcome
from program_fixtures import Programs

pytestmark = [pytest.mark.sandbox, pytest.mark.slow]

NO_STACKS = ("object", "map 'stackmap': failed to create: Invalid argument")
# Their programs set these sizes before they load the object.
UNSIZED = {
    "capable": NO_STACKS,
    "cpudist": ("object", "map 'start': failed to create: Invalid argument"),
    "offcputime": NO_STACKS,
    "wakeuptime": NO_STACKS,
}
STACKS = [("value_size", {b"stackmap": 127 * 8}), ("max_entries", {b"stackmap": 1024})]
SIZES = {
    "capable": STACKS,
    "cpudist": [("max_entries", {b"start": 8192, b"hists": 8192})],
    "offcputime": STACKS,
    "wakeuptime": STACKS,
}

# Fentry is EPERM here, without a word in the log, whatever capabilities one has.
NO_FENTRY = """biosnoop biostacks cachestat klockstat solisten tcpconnlat tcprtt
tcpsynbl vfsstat""".split()


def no_function(name):
    return ("object", f"failed to find kernel BTF type ID of '{name}': -3")


def no_field(program, name):
    return (("rejected", "einval", program), f"failed to resolve CO-RE .* {re.escape(name)} ")


REFUSED = {
    **UNSIZED,
    **{name: ("eperm", "") for name in NO_FENTRY},
    # placeholders of these two, functions of other kernels
    "fsdist": no_function("dummy_file_read"),
    "fsslower": no_function("dummy_file_read"),
    "mdflush": no_function("md_flush_request"),
    "numamove": no_function("migrate_misplaced_page"),
    "readahead": no_function("do_page_cache_ra"),
    "bindsnoop": no_field(b"ipv4_bind_exit", "struct inet_sock.freebind"),
    "runqlen": no_field(b"do_sample", "struct cfs_rq.nr_running"),
}

MINUS = "pointer -= pointer prohibited"
UNBOUND = "pointer arithmetic with it prohibited for !root"


def needs_perfmon(program, line):
    return (("rejected", "eacces", program), line)


# What leaks a pointer, or may where processors speculate, takes CAP_PERFMON.
LIBXDP_REFUSED = {
    "xdp-dispatcher": needs_perfmon(b"xdp_dispatcher", "R1 pointer comparison prohibited"),
    "xdpdump_bpf": no_function("func"),
    "xdpdump_xdp": needs_perfmon(b"xdpdump", MINUS),
    **{
        f"xdpfilt_{kind}_{of}": needs_perfmon(f"xdpfilt_{kind}_{of}".encode(), reason)
        for kind in ("alw", "dny")
        for of, reason in {
            "all": MINUS, "eth": MINUS, "ip": UNBOUND, "tcp": UNBOUND, "udp": UNBOUND,
        }.items()
    },
}


class Loads(Programs):
    """What becomes of objects: "loaded", or the reason why not."""

    def attempt(self, object, options):
        result = outcome(self.load, object, options)
        if not isinstance(result, dict):
            assert result[0] == "error", result
            return result[1]
        for program in result["programs"].values():
            assert self.close(program) == "ok"
        for map in result["maps"].values():
            assert self.maps("close", map) == "ok"
        return "loaded"

    def attempt_all(self, objects, *options):
        return {name: self.attempt(object, list(options)) for name, object in objects.items()}


def is_as_told(reason, told):
    head, words = told
    match reason:
        case ("object", text) if head == "object":
            return words in text.decode()
        case ("rejected", _, _, log):
            return reason[:3] == head and re.search(words, log.decode())
    return reason == head


def check(outcomes, refused):
    """Each object is loaded, or refused as its row in a table says."""
    assert {name for name, of in outcomes.items() if of != "loaded"} == set(refused)
    wrong = {n: outcomes[n] for n, told in refused.items() if not is_as_told(outcomes[n], told)}
    assert wrong == {}


@pytest.fixture
def loads(shared_programs):
    return Loads(shared_programs.beam, shared_programs.node)


@pytest.fixture(scope="module")
def tools():
    return debian_objects.of_tools()


@pytest.fixture(scope="module")
def libxdp():
    return debian_objects.of_libxdp()


MAPS_ALONE = ("programs", [])


def test_the_objects_are_there(tools, libxdp):
    """61 programs embed them: fsdist, fsslower and sigsnoop have 12 names in all."""
    assert len(tools) >= 52 and len(libxdp) >= 15
    assert set(REFUSED) < set(tools) and set(LIBXDP_REFUSED) < set(libxdp)


def test_tools_load_their_maps_as_they_are_but_for_four_without_sizes(loads, tools):
    check(loads.attempt_all(tools, MAPS_ALONE), UNSIZED)


@pytest.mark.parametrize("tool", SIZES)
def test_those_four_load_their_maps_with_sizes(tool, loads, tools):
    assert loads.attempt(tools[tool], [MAPS_ALONE, *SIZES[tool]]) == "loaded"


def test_tools_load_whole_or_say_what_this_kernel_lacks(loads, tools):
    check(loads.attempt_all(tools), REFUSED)


@pytest.mark.parametrize("tool", SIZES)
def test_those_four_load_whole_with_sizes(tool, loads, tools):
    assert loads.attempt(tools[tool], SIZES[tool]) == "loaded"


def test_objects_of_libxdp_load_their_maps_as_they_are(loads, libxdp):
    check(loads.attempt_all(libxdp, MAPS_ALONE), {})


def test_programs_of_libxdp_that_take_cap_perfmon_are_refused(loads, libxdp):
    check(loads.attempt_all(libxdp), LIBXDP_REFUSED)


def test_nothing_is_left_of_all_these(loads):
    assert loads.handles() == [] and loads.maps("handles") == []
