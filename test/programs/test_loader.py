# SPDX-License-Identifier: Apache-2.0
"""The loader: a process beside the node that knows no secret, and ends with it."""

import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import wait_until
from conftest import Maps
from processes import children

pytestmark = pytest.mark.sandbox

NET_ADMIN, SYS_ADMIN, DAC_READ_SEARCH = 1 << 12, 1 << 21, 1 << 2
BPF, PERFMON = 1 << 39, 1 << 38
MAY_LOAD = ["--allow", "*=load"]
HASH = ("hash", 4, 8, 16)


def status(pid):
    """What /proc tells of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def loader_of(node):
    [pid] = children(node.pid)
    assert status(pid)["Name"] == "ebpf_loader"
    return pid


def capabilities(pid):
    told = status(pid)
    assert told["CapEff"] == told["CapPrm"]
    assert {int(told[f"Cap{of}"], 16) for of in ("Inh", "Bnd", "Amb")} == {0}
    return int(told["CapPrm"], 16)


def has_ended(pid):
    """Be it a zombie: whoever has it now may be slow to wait for it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return status(pid)["State"].startswith("Z")
    return True


def memory(pid):
    """All that the process can read of its own memory."""
    found = []
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as mem:
        for line in maps:
            start, end, rights = re.match(r"(\w+)-(\w+) (\S+)", line).groups()
            if "r" not in rights or "[v" in line:
                continue
            with suppress(OSError):
                found.append(os.pread(mem.fileno(), int(end, 16) - int(start, 16), int(start, 16)))
    return found


# --- without it


def test_without_programs_the_node_has_no_other_process(start_cnode, alice):
    node = start_cnode()
    assert alice.erpc(node.name, "handles") == []
    assert children(node.pid) == []


@pytest.mark.parametrize(
    "options, words",
    [
        (["--programs", "xdp"], "no node may load any: give .* --allow PATTERN=load"),
        (["--programs", "xdp", "--allow", "*=rw"], "no node may load any"),
        (["--programs", "all", *MAY_LOAD, "--read-only"], "leave out --read-only"),
        (["--programs", "xdp,syscall", *MAY_LOAD], "syscall is none of all, socket, xdp"),
        (["--programs", "", *MAY_LOAD], "is none of all"),
        (["--programs", "xdp,", *MAY_LOAD], "is none of all"),
        (["--max-loads", "0"], "give a number from 1 to 256"),
        (["--load-seconds", "0"], "give a number from 1 to 3600"),
        (["--run-seconds", "0"], "give a number from 1 to 3600"),
        (["--max-programs", "0"], "give a number from 1 to 262144"),
        (["--load-memory", "1000000"], "at least 134217728"),
        (["--netns-root", "netns"], "give an absolute path"),
        (["--netns-root", "/no/such"], "give a folder that exists"),
    ],
    ids=str,
)
def test_wrong_options_are_told_with_status_2(options, words, start_cnode):
    node = start_cnode(*options, ready=False)
    assert node.wait_exit() == 2
    assert re.search(words, node.lines[-1]), node.log


def test_a_rule_of_load_is_no_error_without_programs(start_cnode, alice):
    node = start_cnode(*MAY_LOAD)
    assert alice.erpc(node.name, "handles") == []
    assert children(node.pid) == []


# --- what it is


@pytest.mark.parametrize(
    "words, kept",
    [
        ("xdp,tc,cgroup,socket,sockmap,netns,lwt", BPF | NET_ADMIN),
        ("tracing", BPF | NET_ADMIN | PERFMON | DAC_READ_SEARCH),
        ("all", BPF | NET_ADMIN | PERFMON | DAC_READ_SEARCH),
    ],
)
def test_it_keeps_the_capabilities_of_these_types(words, kept, start_cnode):
    node = start_cnode("--programs", words, *MAY_LOAD)
    assert capabilities(loader_of(node)) == kept
    assert capabilities(node.pid) == BPF | NET_ADMIN | SYS_ADMIN


@pytest.mark.parametrize(
    "words, has, lacks",
    [
        ("tracing,xdp", "bpf,net_admin", ["cap_perfmon"]),
        ("tracing,xdp", "bpf,perfmon", ["cap_net_admin"]),
        ("tracing,xdp", "bpf", ["cap_perfmon", "cap_net_admin"]),
        ("tracing", "bpf,perfmon", []),
        ("socket", "bpf", []),
        ("all", "bpf,net_admin,perfmon", []),
    ],
)
def test_capabilities_that_its_types_lack_are_warned_of(words, has, lacks, start_cnode):
    few = ",".join(f"+{one}" for one in has.split(","))
    node = start_cnode(
        *("--programs", words, *MAY_LOAD, "--no-open-by-id"),
        wrapper=["setpriv", f"--bounding-set=-all,{few}", "--inh-caps=-all"],
    )
    warned = node.find_log(r"warning --programs has .* take (\w+), and this process lacks it")
    assert [found[1] for found in warned] == lacks


def test_it_becomes_the_same_user(start_cnode):
    node = start_cnode("--programs", "all", *MAY_LOAD, "--user", "nobody")
    told = status(loader_of(node))
    for line in ("Uid", "Gid", "Groups"):
        assert told[line] == status(node.pid)[line]
    assert capabilities(loader_of(node)) == BPF | NET_ADMIN | PERFMON | DAC_READ_SEARCH


def test_it_is_confined_as_the_node_is(start_cnode):
    loader = loader_of(start_cnode("--programs", "all", *MAY_LOAD))
    told = status(loader)
    assert (told["NoNewPrivs"], told["Seccomp"], told["Threads"]) == ("1", "2", "1")
    limits = Path(f"/proc/{loader}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_it_holds_no_socket_but_its_own(start_cnode):
    """Nor a file that could be read: those of its rules are open as paths."""
    node = start_cnode("--programs", "all", *MAY_LOAD, "--max-loads", "3")
    loader = loader_of(node)
    kinds = {"socket": 0}
    for fd in Path(f"/proc/{loader}/fd").iterdir():
        kind = os.readlink(fd)
        info = Path(f"/proc/{loader}/fdinfo/{fd.name}").read_text()
        flags = int(re.search(r"flags:\t(\d+)", info)[1], 8)
        if kind.startswith("socket:"):
            kinds["socket"] += 1
        elif not flags & os.O_PATH:
            assert kind in {
                "/dev/null",
                "anon_inode:[signalfd]",
                "anon_inode:[landlock-ruleset]",
                "/memfd:keepers (deleted)",
            }
    assert kinds["socket"] == 3


@pytest.mark.parametrize("source", ["file", "pipe"])
def test_its_memory_does_not_hold_the_cookie(source, start_cnode, cluster):
    secret = cluster.cookie.encode()
    options = ["--programs", "all", *MAY_LOAD]
    if source == "file":
        node = start_cnode(*options)
    else:
        options += ["--cookie-file", "/dev/stdin"]
        node = start_cnode(*options, ready=False, stdin=subprocess.PIPE)
        node.process.stdin.write(secret)
        node.process.stdin.close()
        node.wait_ready()
    assert any(secret in part for part in memory(node.pid))
    parts = memory(loader_of(node))
    assert sum(map(len, parts)) > 1 << 20
    assert not any(secret in part for part in parts)


# --- its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV])
def test_it_ends_with_the_node(number, start_cnode):
    node = start_cnode("--programs", "all", *MAY_LOAD)
    node.must_live = False
    loader = loader_of(node)
    os.kill(node.pid, number)
    node.wait_exit()
    wait_until(lambda: has_ended(loader))


def test_it_ends_with_the_node_also_if_it_is_stopped(start_cnode):
    node = start_cnode("--programs", "all", *MAY_LOAD)
    node.must_live = False
    loader = loader_of(node)
    os.kill(loader, signal.SIGSTOP)
    node.kill()
    wait_until(lambda: has_ended(loader))


def test_what_ends_the_node_of_a_terminal_or_a_service_does_not_end_it(start_cnode):
    """They are sent to all processes of the group: the node is the one that acts."""
    node = start_cnode("--programs", "all", *MAY_LOAD)
    loader = loader_of(node)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1):
        os.kill(loader, number)
    assert loader_of(node) == loader
    assert status(loader)["State"].startswith("S")


def test_without_it_maps_go_on_and_the_log_says_so(start_cnode, alice):
    node = start_cnode("--programs", "all", *MAY_LOAD)
    maps = Maps(alice, node)
    map = maps.new(*HASH)
    loader = loader_of(node)
    os.kill(loader, signal.SIGKILL)
    node.wait_log(r"error the loader is gone: .* maps go on")
    wait_until(lambda: not os.path.exists(f"/proc/{loader}"))  # nor a zombie
    maps.put(1, 2, map)
    assert maps.get(1, map) == b"\2" + bytes(7)
    assert len(node.find_log("the loader is gone")) == 1
    assert children(node.pid) == []
    # and the loop does not spin for it
    before = cpu_time(node.pid)
    alice.erpc(node.name, "handles")
    assert cpu_time(node.pid) - before < 10


def test_maps_go_on_while_it_is_stopped(start_cnode, alice):
    node = start_cnode("--programs", "all", *MAY_LOAD)
    loader = loader_of(node)
    os.kill(loader, signal.SIGSTOP)
    wait_until(lambda: status(loader)["State"].startswith("T"))
    maps = Maps(alice, node)
    map = maps.new(*HASH)
    maps.put(1, 2, map)
    assert maps.get(1, map) == b"\2" + bytes(7)
    os.kill(loader, signal.SIGCONT)
    assert node.find_log("loader") == []


def cpu_time(pid):
    """In ticks of 10 ms."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return int(fields[11]) + int(fields[12])
