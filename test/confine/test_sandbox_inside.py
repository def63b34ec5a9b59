# SPDX-License-Identifier: Apache-2.0
"""The sandbox from inside: a probe in it tries what the node never does."""

import os
import platform
import re
import shutil
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from cluster import kill, spawn, wait_until
from host import CGROUPS
from syscall_numbers import NUMBERS

pytestmark = pytest.mark.sandbox


@pytest.fixture(scope="session")
def probe(program):
    """What becomes of an action in the sandbox: (signal, or errno or ok)."""
    build = program.parent.parent
    subprocess.run(["make", "-s", "-C", build, "test/confine/sandbox_probe"], check=True)

    def probe(*args, cwd=None):
        done = subprocess.run(
            [build / "test" / "confine" / "sandbox_probe", *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            cwd=cwd,
        )
        assert done.stderr == ""
        if done.returncode < 0:
            return signal.Signals(-done.returncode).name
        assert done.returncode == 0
        return done.stdout.strip()

    return probe


def test_what_the_node_does_works_there(probe):
    assert probe("map") == "ok"
    assert probe("read", "/proc/self/mounts") == "ok"
    assert probe("list", "/sys/fs/bpf") == "ok"


def test_it_may_still_abort(probe):
    assert probe("abort") == "SIGABRT"


def call(name, *numbers):
    """The action that makes a system call with these for its arguments."""
    return ["syscall", " ".join(map(str, [NUMBERS[name], *numbers]))]


# Commands of bpf(2).
PROG_LOAD, PROG_ATTACH, PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID = 5, 8, 13, 14
RAW_TRACEPOINT_OPEN, TASK_FD_QUERY, LINK_CREATE, ITER_CREATE, PROG_BIND_MAP = 17, 20, 28, 33, 35


def bpf(command):
    """The kernel says E2BIG before it looks at anything else."""
    return call("bpf", command, 0, 1 << 20)


# Flags of clone(2) and unshare(2).
VM, FS, FILES, SIGHAND, THREAD, SYSVSEM = 0x100, 0x200, 0x400, 0x800, 0x10000, 0x40000
NAMESPACES = {
    "time": 0x80,  # not for clone(2), where it is part of a signal's number
    "mount": 0x20000,
    "cgroup": 0x2000000,
    "uts": 0x4000000,
    "ipc": 0x8000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
}
A_THREAD = VM | FILES | SIGHAND | THREAD


def in_namespace(name, common, refused=()):
    """A thread or process in a namespace of its own, and what becomes of it."""
    else_ = "EINVAL" if name in refused else "ok|EINVAL"  # of a kernel without them
    return ["clone", common | NAMESPACES[name]], else_


X32 = 1 << 30
AF_ALG = 38
AF_XDP = 44
MPTCP = 262
SIOCGIFINDEX = 0x8933
UPPER = 1 << 32  # of a register, where an int does not look

# What is tried, and what comes of it without the sandbox.
FORBIDDEN = [
    # other programs and processes
    (["execve"], "executed"),
    (["fork"], "ok"),
    (["clone", VM | signal.SIGCHLD], "ok"),
    (call("unshare", FILES), "ok"),
    (["kill"], "ok"),
    (["tgkill"], "ok"),
    (["ptrace"], "ok|EPERM"),  # EPERM: where Yama is asked
    (["peek"], "EFAULT|EPERM"),
    (call("pidfd_send_signal", -1), "EBADF"),
    (call("prctl", 4, 1), "ok"),  # to be dumpable again
    # namespaces
    *(in_namespace(n, A_THREAD, ["user", "pid"]) for n in NAMESPACES if n != "time"),
    *(in_namespace(n, signal.SIGCHLD) for n in NAMESPACES if n not in ("time", "user")),
    *((call("unshare", flag), "ok|EINVAL") for flag in NAMESPACES.values()),
    (call("setns", -1, 0), "EBADF"),
    # sockets
    (call("socket", socket.AF_INET, socket.SOCK_DGRAM, 0), "ok"),
    (call("socket", socket.AF_INET6, socket.SOCK_STREAM, 0), "ok|EAFNOSUPPORT"),
    (call("socket", socket.AF_UNIX, socket.SOCK_STREAM, 0), "ok"),
    (call("socket", socket.AF_UNIX, socket.SOCK_DGRAM, 0), "ok"),
    (call("socket", socket.AF_NETLINK, socket.SOCK_RAW, 0), "ok"),
    (call("socket", socket.AF_INET, socket.SOCK_RAW, 1), "EPERM"),
    (call("socket", socket.AF_PACKET, socket.SOCK_RAW, 0), "EPERM|EAFNOSUPPORT"),
    (call("socket", socket.AF_VSOCK, socket.SOCK_STREAM, 0), "ok|EAFNOSUPPORT"),
    (call("socket", AF_ALG, socket.SOCK_SEQPACKET, 0), "ok|EAFNOSUPPORT"),
    (call("socket", AF_XDP, socket.SOCK_RAW, 0), "EPERM|EAFNOSUPPORT"),
    # a protocol that Landlock does not take for TCP
    (call("socket", socket.AF_INET, socket.SOCK_STREAM, MPTCP), "ok|EPROTONOSUPPORT"),
    (["fast_open", 9], "ok|ECONNREFUSED"),
    (["bind", 0], "ok"),
    # code
    (call("mmap", 0, 4096, 1 | 4, 0x22, -1, 0), "ok"),
    (["make_code"], "ok"),
    (call("memfd_create", 0, 0), "EFAULT"),
    # programs of the kernel
    (bpf(PROG_LOAD), "E2BIG"),
    (bpf(UPPER | PROG_LOAD), "E2BIG"),
    (bpf(PROG_ATTACH), "E2BIG"),
    (bpf(PROG_GET_FD_BY_ID), "E2BIG"),
    (bpf(RAW_TRACEPOINT_OPEN), "E2BIG"),
    (bpf(TASK_FD_QUERY), "E2BIG"),
    (bpf(LINK_CREATE), "E2BIG"),
    (bpf(ITER_CREATE), "E2BIG"),
    (bpf(PROG_BIND_MAP), "E2BIG"),
    (bpf(1000), "E2BIG"),
    (call("perf_event_open", 0), "EFAULT|EPERM|EACCES"),
    (call("init_module", 0, 0, 0), "EPERM"),
    # an interface that is not there: the kernel runs modprobe, if asked so
    (call("ioctl", -1, SIOCGIFINDEX, 0), "EBADF"),
    # the host
    (call("mount", 0, 0, 0, 0, 0), "EFAULT"),
    (call("umount2", 0, 0), "EFAULT"),
    (call("io_uring_setup", 1, 0), "EFAULT|EPERM"),
    (call("keyctl", 0, -3, 0), "ok|ENOKEY"),
    (call("setuid", 0), "ok"),
    # input of a terminal, by TIOCSTI
    (call("ioctl", 0, 0x5412, 0), "ENOTTY"),
    (call("ioctl", 0, UPPER | 0x5412, 0), "ENOTTY"),
]


@pytest.fixture
def neighbour():
    """A process of the same user, with no capability that one would need."""
    process = spawn(
        ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "sleep", "600"],
        stdin=subprocess.DEVNULL,
    )

    def asleep():
        with open(f"/proc/{process.pid}/comm") as f:
            return f.read() == "sleep\n"

    wait_until(asleep)
    yield process.pid
    kill(process)


@pytest.mark.parametrize("action, else_", FORBIDDEN, ids=str)
def test_what_it_never_does_kills_it(action, else_, probe, neighbour):
    if action[0] in ("ptrace", "peek"):
        action = [*action, neighbour]
    if action[0] == "kill":
        action = call("kill", neighbour, 0)
    if action[0] == "tgkill":
        action = call("tgkill", neighbour, neighbour, 0)
    assert probe(*action) == "SIGSYS"
    # ENOSYS: a kernel that was built without it
    assert re.fullmatch(f"{else_}|ENOSYS", probe("--no-sandbox", *action))


# All that the node uses; the arguments of some are looked at as well.
USED = """
    accept4 bpf brk clock_gettime clone clone3 close connect exit exit_group fcntl
    fstat fstatfs futex getdents64 getgid getpeername getpid getrandom gettid
    gettimeofday getuid lseek madvise mmap mprotect mremap munmap newfstatat
    openat openat2 pidfd_open poll ppoll read readlink readlinkat recvfrom
    restart_syscall rseq rt_sigaction rt_sigprocmask sendto set_robust_list
    setsockopt shutdown signalfd4 socket statfs sysinfo tgkill uname unlink unlinkat
    write writev
"""


# Of its own, which no filter is asked about: uretprobe and uprobe of x86.
OF_THE_KERNEL = {335: "SIGILL", 336: "ENXIO"}


def test_every_other_system_call_kills_it(probe):
    used = {NUMBERS[name] for name in USED.split() if name in NUMBERS}
    newest = max(NUMBERS.values())
    others = [n for n in range(newest + 100) if n not in used]
    assert len(others) > 300
    with ThreadPoolExecutor(2) as pool:
        ends = pool.map(lambda n: probe("syscall", n), others)
    alive = {n: end for n, end in zip(others, ends) if end != "SIGSYS"}
    assert alive.items() <= OF_THE_KERNEL.items()


if platform.machine() == "x86_64":
    # What comes of it unconfined, and in the sandbox. Some hosts make no such
    # call, and end the process before a filter is asked: test_machines.py has
    # the filter's word on it.
    OTHER_MACHINES = [
        (["int80"], {"ok": "SIGSYS", "SIGSEGV": "SIGSEGV"}),
        (["syscall", X32 | NUMBERS["getpid"]], {"ok": "SIGSYS", "ENOSYS": "SIGSYS"}),
    ]

    @pytest.mark.parametrize("action, ends", OTHER_MACHINES, ids=["i386", "x32"])
    def test_a_call_of_another_machine_kills_it(action, ends, probe):
        """Their numbers mean others here; all of the process, not the thread."""
        unconfined = probe("--no-sandbox", *action)
        assert unconfined in ends
        assert probe(*action) == ends[unconfined]


@pytest.mark.parametrize("flags", [0, *NAMESPACES.values()], ids=hex)
def test_threads_are_no_way_to_a_process(flags, probe):
    """To libc there is no clone3(2): a filter cannot see its flags."""
    assert probe("clone3", flags) == "ENOSYS"
    assert probe("--no-sandbox", "clone3", flags) == "ok"


def test_threads_are_what_clone_is_for(probe):
    assert probe("clone", A_THREAD | FS | SYSVSEM) == "ok"


def test_without_ids_their_commands_are_refused(probe):
    assert probe(*bpf(MAP_GET_FD_BY_ID)) == "E2BIG"
    assert probe("--no-open-by-id", *bpf(MAP_GET_FD_BY_ID)) == "EPERM"
    assert probe("--no-open-by-id", "map") == "ok"


def test_it_reads_no_memory_of_others(probe, neighbour):
    assert probe("read", f"/proc/{neighbour}/mem") == "EACCES"
    assert probe("--no-sandbox", "read", f"/proc/{neighbour}/mem") == "EIO"
    assert probe("read", "/proc/1/mem") == "EACCES"


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/proc/self/root/etc/shadow", "/proc/1/status", "/bin/sh"],
)
def test_it_reads_no_file_of_others(path, probe):
    assert probe("read", path) == "EACCES"
    assert probe("--no-sandbox", "read", path) == "ok"


def test_of_cgroups_it_lists_names_alone(probe):
    file = CGROUPS / "cgroup.procs"
    assert probe("--cgroups", "list", CGROUPS) == "ok"
    assert probe("list", CGROUPS) == "EACCES"
    assert probe("--cgroups", "read", file) == "EACCES"
    assert probe("--cgroups", "create", CGROUPS / "none") == "EACCES"
    assert probe("--no-sandbox", "list", CGROUPS) == "ok"
    assert probe("--no-sandbox", "read", file) in ("ok", "EOPNOTSUPP")


def test_of_processors_it_reads_which_run(probe):
    folder = "/sys/devices/system/cpu"
    assert probe("read", f"{folder}/online") == "ok"
    assert probe("read", f"{folder}/possible") == "EACCES"
    assert probe("list", folder) == "EACCES"
    assert probe("--no-sandbox", "read", f"{folder}/possible") == "ok"


def test_of_interfaces_it_reads_its_own_proc_alone(probe):
    assert probe("read", "/proc/self/net/dev") == "ok"
    assert probe("list", "/sys/class/net") == "EACCES"
    assert probe("--no-sandbox", "list", "/sys/class/net") == "ok"


def test_it_lists_and_writes_no_folder_of_others(probe, tmp_path):
    assert probe("list", tmp_path) == "EACCES"
    assert probe("create", tmp_path / "file") == "EACCES"
    assert probe("--no-sandbox", "list", tmp_path) == "ok"
    assert probe("--no-sandbox", "create", tmp_path / "file") == "ok"
    assert probe("unlink", tmp_path / "file") == "EACCES"
    assert probe("--no-sandbox", "unlink", tmp_path / "file") == "ok"


def test_what_hides_a_bpf_file_system_is_no_place_for_pins(probe, tmp_path):
    try:
        for kind, seen in (("bpf", "ok"), ("tmpfs", "EACCES")):
            subprocess.run(["mount", "-t", kind, kind, tmp_path], check=True)
            assert probe("list", tmp_path) == seen
    finally:
        for _ in range(2):
            subprocess.run(["umount", tmp_path])


def test_it_connects_to_epmd_and_to_nobody_else(probe):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert probe("connect", port) == "EACCES"
        assert probe("--no-sandbox", "connect", port) == "ok"
        assert probe("--epmd-port", port, "connect", port) == "ok"


@pytest.fixture
def pins():
    path = f"/sys/fs/bpf/ebpf_cnode_sandbox_{os.getpid()}"
    os.makedirs(f"{path}/inside")
    yield path
    shutil.rmtree(path)


def test_it_pins_on_bpf_file_systems_alone(probe, pins, tmp_path):
    assert probe("pin", f"{pins}/map") == "ok"
    assert probe("unlink", f"{pins}/map") == "ok"
    assert probe("create", f"{pins}/file") == "EACCES"


def test_with_a_root_for_pins_it_pins_below_it_alone(probe, pins):
    inside = ["--pin-root", f"{pins}/inside"]
    assert probe(*inside, "pin", f"{pins}/map") == "EACCES"
    assert probe("pin", f"{pins}/map") == "ok"
    assert probe(*inside, "unlink", f"{pins}/map") == "EACCES"
    assert probe(*inside, "pin", f"{pins}/inside/map") == "ok"
    assert probe(*inside, "unlink", f"{pins}/inside/map") == "ok"
    assert probe(*inside, "list", pins) == "ok"  # for what info/1 tells of pins


def test_with_a_root_above_bpf_file_systems_it_pins_in_these_alone(probe, tmp_path):
    above = ["--pin-root", tmp_path]
    (tmp_path / "bpf").mkdir()
    (tmp_path / "file").touch()
    subprocess.run(["mount", "-t", "bpf", "bpf", tmp_path / "bpf"], check=True)
    try:
        assert probe(*above, "pin", tmp_path / "bpf" / "map") == "ok"
        assert probe(*above, "unlink", tmp_path / "bpf" / "map") == "ok"
        assert probe(*above, "unlink", tmp_path / "file") == "EACCES"
        assert probe(*above, "list", tmp_path) == "EACCES"
        assert probe("--no-sandbox", *above, "unlink", tmp_path / "file") == "ok"
    finally:
        subprocess.run(["umount", tmp_path / "bpf"], check=True)
