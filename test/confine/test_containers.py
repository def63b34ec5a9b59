# SPDX-License-Identifier: Apache-2.0
"""A C node in a container whose filter refuses system calls, by either errno."""

import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.sandbox

HASH = ("hash", 4, 8, 16)
EITHER = ["EPERM", "ENOSYS"]
NEEDED = "-all,+bpf,+net_admin,+sys_admin"


def refusing(error, *calls):
    """A wrapper: each call of these fails."""
    faults = [f"--inject={call}:error={error}" for call in calls]
    return ["strace", "-D", "-qq", "-o", "/dev/null", *faults]


def seccomp(node):
    told = Path(f"/proc/{node.pid}/status").read_text()
    return re.search(r"^Seccomp:\t(\d)", told, re.M)[1]


@pytest.mark.parametrize("error", EITHER)
@pytest.mark.parametrize("call", ["create_ruleset", "add_rule", "restrict_self"])
def test_without_landlock_it_serves_and_warns(call, error, start_cnode, alice):
    node = start_cnode(wrapper=refusing(error, f"landlock_{call}"))
    assert len(node.find_log("warning .*Landlock.*: files and ports are not")) == 1
    assert seccomp(node) == "2"
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


def test_landlock_that_is_refused_is_not_taken_for_missing(start_cnode):
    node = start_cnode(wrapper=refusing("EPERM", "landlock_create_ruleset"))
    node.wait_log("warning Landlock is refused here")
    assert not node.find_log("this kernel has no Landlock")


@pytest.mark.parametrize("error", EITHER)
def test_without_seccomp_it_is_confined_by_prctl(error, start_cnode, alice):
    node = start_cnode(wrapper=refusing(error, "seccomp"))
    assert seccomp(node) == "2"
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


@pytest.mark.parametrize("error", EITHER)
@pytest.mark.parametrize("option", ["--pin-root", "--file-root"])
def test_without_openat2_a_root_is_refused_at_the_start(option, error, start_cnode):
    wrapper = refusing(error, "openat2")
    node = start_cnode(option, "/sys/fs/bpf", ready=False, wrapper=wrapper)
    assert node.wait_exit() == 1
    assert re.search(rf"error {option} /sys/fs/bpf: confining paths to it needs openat2\(2\)", node.log)


def test_without_openat2_there_may_be_none(start_cnode, alice):
    node = start_cnode(wrapper=refusing("ENOSYS", "openat2"))
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


@pytest.mark.parametrize("error", EITHER)
def test_without_capset_it_serves_where_it_has_nothing_to_give_up(
    error, start_cnode, alice
):
    wrapper = refusing(f"{error}:when=2+", "capset")  # the first is setpriv's
    wrapper += ["setpriv", f"--bounding-set={NEEDED}"]
    node = start_cnode(wrapper=wrapper)
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


@pytest.mark.parametrize("error", EITHER)
def test_without_capset_it_does_not_serve_with_more_than_it_needs(error, start_cnode):
    node = start_cnode(ready=False, wrapper=refusing(error, "capset"))
    assert node.wait_exit() == 1
    assert "start it with no more than cap_bpf, cap_net_admin" in node.log


def test_bpf_that_is_refused_is_not_taken_for_a_missing_capability(start_cnode):
    node = start_cnode(ready=False, wrapper=refusing("EPERM", "bpf"))
    assert node.wait_exit() == 4
    assert "though it has the capabilities: bpf(2) is refused" in node.log
    assert "setcap" not in node.log


def test_a_limit_of_descriptors_that_may_not_be_raised_stays(start_cnode, alice):
    """As where setrlimit(2) is refused to who only wants to raise its own."""
    wrapper = [*refusing("EPERM", "prlimit64"), "sh", "-c", 'exec "$@"', "sh"]
    node = start_cnode("--no-sandbox", wrapper=wrapper)
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"
