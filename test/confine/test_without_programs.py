# SPDX-License-Identifier: Apache-2.0
"""A node without --programs has one process, and of each thing what is listed here:
whatever comes along fails these tests. test_sandbox_inside.py has its system calls,
test_sandbox_programs.py the commands of bpf(2).
"""

import os
import re
from collections import Counter
from pathlib import Path

import pytest

import tls
from conftest import raises
from host import CGROUPS
from processes import children
from test_sandbox import BPF, NET_ADMIN, SYS_ADMIN, capabilities, only, status

pytestmark = pytest.mark.sandbox

DESCRIPTORS = {
    "/dev/null": 2,  # standard input and output
    "pipe": 1,  # standard error
    "socket": 3,  # epmd, the one that listens, and the caller's
    "anon_inode:[signalfd]": 1,
    "anon_inode:[eventfd]": 1,  # for the thread of events, once there is one
    "/proc/PID": 1,
    # for host/0
    "/sys/devices/system/cpu/online": 1,
    str(CGROUPS): 1,
}


def kinds(pid):
    """{what: how many} of its descriptors."""
    links = [os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()]
    plain = (re.sub(r":\[\d+\]$", "", link) for link in links)
    plain = (re.sub(r"^/tmp/.*\.tls$", "--tls", link) for link in plain)
    return Counter(re.sub(r"^/proc/\d+$", "/proc/PID", link) for link in plain)


@pytest.fixture
def node(start_cnode, alice):
    node = start_cnode()
    alice.erpc(node.name, "handles")  # by a thread of its own
    return node


def test_it_is_one_process_of_three_threads(node):
    assert children(node.pid) == []
    told = status(node.pid)
    assert told["Threads"] == "3"
    assert told["NSpid"].split() == [str(node.pid)]


def test_its_capabilities_are_these(node):
    assert capabilities(status(node.pid)) == only(BPF | NET_ADMIN | SYS_ADMIN)


def test_it_has_one_filter_and_gains_nothing(node):
    told = status(node.pid)
    assert (told["Seccomp"], told["Seccomp_filters"], told["NoNewPrivs"]) == ("2", "1", "1")


def test_its_descriptors_are_these(node):
    of_tls = {"--tls": 1} if tls.EVERYWHERE else {}
    assert kinds(node.pid) == {**DESCRIPTORS, **of_tls}


def test_it_serves_no_program(node, alice):
    for function, args in {"list": [], "handles": [], "load": [b"", []]}.items():
        with raises("eacces"):
            alice.erpc(node.name, function, *args, module="ebpf_programs")
    assert children(node.pid) == []
