# SPDX-License-Identifier: Apache-2.0
"""What --programs adds to the sandbox, and what the loader and its children may.

From inside, by sandbox_probe: each filter lets through what is listed here and
nothing else.
"""

import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from syscall_numbers import NUMBERS
from test_sandbox_inside import OF_THE_KERNEL, USED, bpf, call

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="module")
def probe(program):
    """What becomes of an action in there: a signal, an errno, or ok."""
    build = program.parent.parent
    subprocess.run(["make", "-s", "-C", build, "test/confine/sandbox_probe"], check=True)

    def probe(*args):
        done = subprocess.run(
            [build / "test" / "confine" / "sandbox_probe", *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.stderr == ""
        if done.returncode < 0:
            return signal.Signals(-done.returncode).name
        assert done.returncode == 0
        return done.stdout.strip()

    return probe


CHILD = """
    bpf brk capget capset clock_gettime clone3 close exit_group futex getpid getrandom
    gettid madvise mmap mprotect mremap munmap poll ppoll restart_syscall
    rt_sigaction rt_sigprocmask sendmsg tgkill write writev
"""
FILES = """
    access dup3 faccessat faccessat2 fcntl fstat fstatfs geteuid lseek newfstatat
    memfd_create openat pread64 prlimit64 read statfs sysinfo uname
"""
KEEPER = "bind fcntl getsockname read recvmsg sendto setsockopt socket socketpair time"
LOADER = """
    clone close_range getppid ioctl kill landlock_restrict_self perf_event_open prctl
    recvmsg rseq seccomp set_robust_list shutdown socketpair wait4
"""
# The options of the probe, and the calls of that process.
PLACES = {
    "node with programs": (["--programs"], f"{USED} memfd_create recvmsg sendmsg"),
    "loader": (["--job", "loader"], f"{CHILD} {FILES} {KEEPER} {LOADER}"),
    "load": (["--job", "load"], f"{CHILD} {FILES}"),
    "instructions": (["--job", "instructions"], f"{CHILD} {FILES}"),
    "run": (["--job", "run"], CHILD),
    "attach": (["--job", "attach"], f"{CHILD} {FILES} ioctl perf_event_open"),
    "keep": (["--job", "keep"], f"{CHILD} {KEEPER}"),
    "perf": (["--job", "perf"], f"{CHILD} openat perf_event_open read"),
}


@pytest.mark.parametrize("place", PLACES)
def test_every_other_system_call_kills_it(place, probe):
    options, used = PLACES[place]
    used = {NUMBERS[name] for name in used.split() if name in NUMBERS}
    others = [n for n in range(max(NUMBERS.values()) + 100) if n not in used]
    assert len(others) > 300
    with ThreadPoolExecutor(2) as pool:
        ends = pool.map(lambda n: probe(*options, "syscall", n), others)
    alive = {n: end for n, end in zip(others, ends) if end != "SIGSYS"}
    assert alive.items() <= OF_THE_KERNEL.items()


# The commands of bpf(2), by what they do.
MAPS = {0, 1, 2, 3, 4, 21, 22, 24, 25, 26}  # and a batch of look-ups
PINS = {6, 7}
INFO, BTF_LOAD, FREEZE = 15, 18, 22
MAP_IDS = {12, 14, 19}  # and those of types
PROGRAM_IDS = {11, 13, 30, 31, 32}  # and counting
PROG_LOAD, TEST_RUN, RAW_TRACEPOINT_OPEN, BTF_NEXT = 5, 10, 17, 23
LINK_CREATE, LINK_UPDATE, LINK_DETACH, BIND_MAP = 28, 29, 34, 35
KEEP = {8, 9, 16}  # PROG_ATTACH, PROG_DETACH, PROG_QUERY
NODE = MAPS | PINS | {INFO, BTF_LOAD}
LINKS = {LINK_CREATE, LINK_UPDATE, LINK_DETACH, RAW_TRACEPOINT_OPEN}
LOAD = {0, 2, INFO, BTF_LOAD, FREEZE, PROG_LOAD, BIND_MAP}

# What the kernel looks at, and the errno of what is refused without killing.
COMMANDS = {
    "node": ([], NODE | MAP_IDS, {}),
    "node without ids": (["--no-open-by-id"], NODE, {"EPERM": MAP_IDS}),
    "node with programs": (["--programs"], NODE | MAP_IDS | LINKS | PROGRAM_IDS, {}),
    "node with programs, without ids": (
        ["--programs", "--no-open-by-id"],
        NODE | LINKS,
        {"EPERM": MAP_IDS | PROGRAM_IDS},
    ),
    "loader": (
        ["--job", "loader"],
        LOAD | KEEP | {TEST_RUN, LINK_CREATE, RAW_TRACEPOINT_OPEN},
        {"ENOENT": {BTF_NEXT}},
    ),
    "load": (["--job", "load"], LOAD, {"ENOENT": {BTF_NEXT}}),
    "instructions": (["--job", "instructions"], LOAD, {"ENOENT": {BTF_NEXT}}),
    "run": (["--job", "run"], {INFO, TEST_RUN}, {}),
    "attach": (["--job", "attach"], {INFO, LINK_CREATE, RAW_TRACEPOINT_OPEN}, {}),
    "keep": (["--job", "keep"], {INFO, *KEEP}, {}),
    "perf": (["--job", "perf"], {INFO}, {}),
}


@pytest.mark.parametrize("place", COMMANDS)
def test_every_other_command_of_bpf_kills_it(place, probe):
    options, looked_at, refused = COMMANDS[place]
    ends = {command: probe(*options, *bpf(command)) for command in range(48)}
    assert {c for c, end in ends.items() if end == "E2BIG"} == looked_at
    for errno, commands in refused.items():
        assert {c for c, end in ends.items() if end == errno} == commands
    allowed = looked_at.union(*refused.values())
    assert {end for c, end in ends.items() if c not in allowed} == {"SIGSYS"}


READABLE = {
    "load": ["/sys/kernel/btf/vmlinux", "/sys/devices/system/cpu/possible", "/proc/kallsyms"],
    "attach": ["/sys/devices/uprobe/type", "/sys/devices/system/cpu/online"],
    "perf": ["/sys/devices/system/cpu/possible"],
}
OTHERS = ["/etc/shadow", "/proc/1/status", "/proc/self/environ", "/proc/self/mem", "/bin/sh"]


@pytest.mark.parametrize("job", READABLE)
def test_a_child_reads_what_libbpf_reads_and_nothing_else(job, probe):
    for path in READABLE[job]:
        assert probe("--job", job, "read", path) in ("ok", "ENOENT")
    for path in OTHERS:
        assert probe("--job", job, "read", path) == "EACCES"
    assert probe("--job", job, "create", "/tmp/sandbox_probe") == "EACCES"
    other = READABLE["attach" if job == "load" else "load"][0]
    assert probe("--job", job, "read", other) == "EACCES"
    assert probe("--no-sandbox", "--job", job, "read", "/etc/shadow") == "ok"


@pytest.mark.parametrize("job", ["run", "keep"])
def test_a_child_that_runs_or_keeps_reads_nothing(job, probe):
    assert probe("--job", job, "read", "/sys/kernel/btf/vmlinux") == "SIGSYS"


def test_a_keeper_has_sockets_of_netlink_and_no_others(probe):
    inet, netlink, stream, raw, route, audit = 2, 16, 1, 3, 0, 9
    assert probe("--job", "keep", *call("socket", netlink, raw, route)) == "ok"
    assert probe("--job", "keep", *call("socket", netlink, raw, audit)) == "SIGSYS"
    assert probe("--job", "keep", *call("socket", inet, stream, 0)) == "SIGSYS"


def test_the_loader_starts_children_but_no_threads_and_no_other_programs(probe):
    assert probe("--job", "loader", "fork") == "ok"
    assert probe("--job", "loader", "execve") == "SIGSYS"
    vm, files, sighand, thread = 0x100, 0x400, 0x800, 0x10000
    assert probe("--job", "loader", "clone", vm | files | sighand | thread) == "SIGSYS"
    assert probe("--job", "loader", "clone", vm | signal.SIGCHLD) == "SIGSYS"
    assert probe("--job", "loader", *call("kill", 0, signal.SIGTERM)) == "SIGSYS"
    assert probe("--job", "loader", *call("prctl", 4, 1)) == "SIGSYS"


@pytest.mark.parametrize("job", ["load", "run", "attach", "keep"])
def test_a_child_starts_nothing(job, probe):
    for action in ("fork", "execve", "make_code"):
        assert probe("--job", job, action) == "SIGSYS"
    assert probe("--job", job, "connect", 9) == "SIGSYS"


def test_a_node_with_programs_still_starts_no_process_and_makes_no_code(probe):
    for action in ("fork", "execve", "make_code"):
        assert probe("--programs", action) == "SIGSYS"
    assert probe("--programs", "map") == "ok"
    assert probe("--programs", "read", "/etc/shadow") == "EACCES"
    assert probe("--programs", *call("memfd_create", 0, 0)) == "EFAULT"
    assert probe("--programs", *call("kill", 1, 0)) == "SIGSYS"
