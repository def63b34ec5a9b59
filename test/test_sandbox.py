# SPDX-License-Identifier: Apache-2.0
"""Least privilege: what the node keeps, and what becomes of it if it tries more.

From outside, by what /proc tells of a running node; and from inside, by
sandbox_probe, which enters the node's own sandbox and then does one thing.
"""

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess

import pytest

import dist
import etf
from cluster import wait_until
from conftest import Maps, raises

pytestmark = pytest.mark.sandbox

NET_ADMIN, SYS_ADMIN, BPF = 1 << 12, 1 << 21, 1 << 39
HASH = ("hash", 4, 8, 16)
NOBODY = pwd.getpwnam("nobody")


def status(pid, thread=None):
    """What /proc tells of a process or one of its threads."""
    path = f"/proc/{pid}/task/{thread}/status" if thread else f"/proc/{pid}/status"
    with open(path) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)


def threads(node):
    return [status(node.pid, t) for t in os.listdir(f"/proc/{node.pid}/task")]


def capabilities(told):
    return {s: int(told[f"Cap{s}"], 16) for s in ("Inh", "Prm", "Eff", "Bnd", "Amb")}


def only(capabilities):
    return {
        "Inh": 0,
        "Prm": capabilities,
        "Eff": capabilities,
        "Bnd": 0,
        "Amb": 0,
    }


def limits(pid):
    with open(f"/proc/{pid}/limits") as f:
        return {line[:26].strip(): line[26:].split()[:2] for line in f}


# --- from outside


@pytest.mark.parametrize(
    "options, kept",
    [
        ([], BPF | NET_ADMIN | SYS_ADMIN),
        (["--no-open-by-id"], BPF | NET_ADMIN),
        (["--no-open-by-id", "--no-sandbox"], BPF | NET_ADMIN),
        (["--user", "nobody"], BPF | NET_ADMIN | SYS_ADMIN),
        (["--user", "nobody", "--no-open-by-id"], BPF | NET_ADMIN),
    ],
    ids=str,
)
def test_it_keeps_the_capabilities_of_its_functions(options, kept, start_cnode, alice):
    node = start_cnode(*options)
    alice.erpc(node.name, "handles")  # by a thread of its own
    told = threads(node)
    assert len(told) == 3
    assert [capabilities(thread) for thread in told] == [only(kept)] * 3


def test_it_keeps_no_capability_that_it_was_not_given(start_cnode):
    mine = "-all,+bpf,+setpcap,+net_raw"
    node = start_cnode(wrapper=["setpriv", f"--bounding-set={mine}"])
    assert capabilities(status(node.pid)) == only(BPF)


def test_all_its_threads_are_in_the_sandbox(start_cnode, alice):
    node = start_cnode()
    alice.erpc(node.name, "handles")
    told = threads(node)
    assert len(told) == 3
    assert {t["NoNewPrivs"] for t in told} == {"1"}
    assert {t["Seccomp"] for t in told} == {"2"}
    assert limits(node.pid)["Max core file size"] == ["0", "0"]
    assert limits(node.pid)["Max locked memory"] == ["0", "0"]


def test_without_a_sandbox_only_capabilities_go(start_cnode):
    node = start_cnode("--no-sandbox")
    told = status(node.pid)
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("0", "0")
    assert capabilities(told) == only(BPF | NET_ADMIN | SYS_ADMIN)


def test_it_becomes_another_user_with_its_groups(start_cnode, alice):
    node = start_cnode("--user", "nobody")
    for told in threads(node):
        assert told["Uid"].split() == [str(NOBODY.pw_uid)] * 4
        assert told["Gid"].split() == [str(NOBODY.pw_gid)] * 4
        assert told["Groups"].split() == [str(NOBODY.pw_gid)]
    # not dumpable: what belongs to the user of others belongs to root
    assert os.stat(f"/proc/{node.pid}/environ").st_uid == 0
    maps = Maps(alice, node)
    map = maps.new(*HASH)
    maps.put(1, 2, map)
    info = maps.info(map)
    assert info[etf.Atom("memlock")] > 0  # by its own fdinfo
    assert maps.get(1, maps.open(("id", info[etf.Atom("id")]))) == b"\2" + bytes(7)
    assert maps.new("devmap", 4, 4, 1)[0] == "ebpf_map"
    assert info[etf.Atom("id")] in [m[etf.Atom("id")] for m in maps.list()]


def test_it_reads_its_own_proc_also_after_the_kernel_forgot_it(start_cnode, alice):
    """procfs makes its folders anew then, and Landlock knew the old ones."""
    maps = Maps(alice, start_cnode())
    info = maps.info(maps.new(*HASH))
    assert info[etf.Atom("memlock")] > 0
    for _ in range(3):  # what was used of late is spared at first
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("2")  # folders and files that nobody has open
    assert maps.info(maps.new(*HASH))[etf.Atom("memlock")] > 0


def test_another_user_pins_where_it_may(start_cnode, alice, tmp_path):
    """A bpf file system that the node mounts belongs to its user."""
    script = 'umount /sys/fs/bpf; exec "$0" "$@"'
    node = start_cnode(
        "--user", "nobody", wrapper=["unshare", "--mount", "sh", "-c", script]
    )
    maps = Maps(alice, node)
    map = maps.new(*HASH)
    assert maps.pin("/sys/fs/bpf/ours", map) == "ok"
    assert maps.info(map)[etf.Atom("pinned")] == [b"/sys/fs/bpf/ours"]
    assert maps.open(("pinned", "/sys/fs/bpf/ours"))[0] == "ebpf_map"
    assert maps.unpin("/sys/fs/bpf/ours", map) == "ok"


def test_a_user_that_does_not_exist_is_told_with_status_2(start_cnode):
    node = start_cnode("--user", "no-such-user", ready=False)
    assert node.wait_exit() == 2
    assert "--user no-such-user: there is no such user" in node.log


def test_who_may_not_change_its_user_is_told_with_status_4(start_cnode):
    mine = "-all,+bpf"
    node = start_cnode(
        "--user",
        "nobody",
        ready=False,
        wrapper=["setpriv", f"--bounding-set={mine}", f"--inh-caps={mine}"],
    )
    assert node.wait_exit() == 4
    assert re.search(r"error --user nobody: .*Operation not permitted", node.log)


def epmds(port):
    """Process ids of the epmd that listens there."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as comm, open(
                f"/proc/{pid}/environ", "rb"
            ) as environ:
                if (
                    comm.read() == "epmd\n"
                    and b"ERL_EPMD_PORT=%d" % port in environ.read()
                ):
                    found.append(int(pid))
        except OSError:
            continue
    return found


def test_with_ambient_capabilities_it_needs_no_root(
    start_cnode, lone_cluster, connect
):
    """As a service manager starts it; an epmd that it starts gets none of them."""
    cookie = lone_cluster.home / ".erlang.cookie"
    os.chown(cookie, NOBODY.pw_uid, NOBODY.pw_gid)
    with open(cookie) as f:
        node = start_cnode(
            "--cookie-file",
            "/dev/stdin",
            cluster=lone_cluster,
            stdin=f,
            wrapper=[
                "setpriv",
                f"--reuid={NOBODY.pw_uid}",
                f"--regid={NOBODY.pw_gid}",
                "--clear-groups",
                "--inh-caps=+bpf,+net_admin",
                "--ambient-caps=+bpf,+net_admin",
            ],
        )
    told = capabilities(status(node.pid))
    assert told.pop("Bnd") > 0  # CAP_SETPCAP, which it has not, would empty it
    assert told == {"Inh": 0, "Prm": BPF | NET_ADMIN, "Eff": BPF | NET_ADMIN, "Amb": 0}
    assert status(node.pid)["Seccomp"] == "2"
    peer = connect(node, cookie=lone_cluster.cookie)
    assert peer.maps("new", "devmap", 4, 4, 1)[0] == "ebpf_map"
    (epmd,) = epmds(lone_cluster.epmd.port)
    told = capabilities(status(epmd))
    assert (told["Prm"], told["Eff"], told["Amb"]) == (0, 0, 0)


def test_an_epmd_that_it_starts_is_of_its_user(start_cnode, lone_cluster):
    start_cnode("--user", "nobody", cluster=lone_cluster)
    (epmd,) = epmds(lone_cluster.epmd.port)
    told = status(epmd)
    assert told["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert (told["CapPrm"], told["CapEff"]) == ("0" * 16, "0" * 16)


# --- without ids


@pytest.mark.parametrize("sandbox", [[], ["--no-sandbox"]], ids=["", "no sandbox"])
def test_without_ids_what_takes_them_raises_eperm(sandbox, start_cnode, alice):
    node = start_cnode("--no-open-by-id", *sandbox)
    maps = Maps(alice, node)
    inner = maps.new(*HASH, [("name", "without_ids")])
    id = maps.info(inner)[etf.Atom("id")]
    outer = maps.new("hash_of_maps", 4, 4, 4, [("inner_map", inner)])
    maps.put(1, inner, outer)
    assert maps.get(1, outer) == inner  # it holds it
    maps.close(inner)
    walk = maps.iterator(outer)
    for function, *args in [
        ("list",),
        ("open", ("id", id)),
        ("open", ("id", id), ["read"]),
        ("open", ("name", b"without_ids")),
        ("get", 1, outer),
        ("find", 1, outer),
        ("take", 1, outer),
        ("to_list", outer),
        ("values", outer),
        ("next", walk),
        ("drain", outer),
    ]:
        with raises("eperm"):
            maps.call(function, *args)
    assert maps.keys(outer) == [b"\1\0\0\0"]
    assert maps.size(outer) == 1


# --- how it says what it has not got


def inject(*faults):
    return ["strace", "-D", "-qq", "-o", "/dev/null", *(f"--inject={f}" for f in faults)]


@pytest.mark.parametrize(
    "fault, line",
    [
        ("error=ENOSYS", "this kernel has no Landlock"),
        ("error=EOPNOTSUPP", "this kernel has no Landlock"),
        ("retval=3:when=1", "Landlock of this kernel is of version 3: ports"),
    ],
)
def test_it_serves_without_landlock_and_says_so(fault, line, start_cnode, alice):
    node = start_cnode(wrapper=inject(f"landlock_create_ruleset:{fault}"))
    assert len(node.find_log(f"warning {line}")) == 1
    told = status(node.pid)
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


def test_it_does_not_serve_without_seccomp_unless_told(start_cnode):
    node = start_cnode(ready=False, wrapper=inject("seccomp:error=EINVAL"))
    assert node.wait_exit() == 1
    assert re.search("error seccomp: .*--no-sandbox", node.log)


def test_what_confines_it_is_in_the_log(start_cnode):
    node = start_cnode("--log-level", "info")
    assert node.find_log(r"info files and ports are confined by Landlock version \d")
    assert node.find_log("info system calls are confined by seccomp")


# --- from inside


@pytest.fixture(scope="session")
def probe(program):
    """What becomes of an action in the sandbox: (signal, or errno or ok)."""
    build = program.parent.parent
    subprocess.run(["make", "-s", "-C", build, "test/sandbox_probe"], check=True)

    def probe(*args, cwd=None):
        done = subprocess.run(
            [build / "test" / "sandbox_probe", *map(str, args)],
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


# Numbers of system calls of any machine's own table, by the headers of libc.
def number(name):
    done = subprocess.run(
        ["cc", "-E", "-P", "-include", "sys/syscall.h", "-"],
        input=f"SYS_{name}\n",
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout.split()[-1]
    assert text.isdigit(), f"no number for {name}: {text}"
    return text


# Commands of bpf(2).
PROG_LOAD, PROG_ATTACH, PROG_GET_FD_BY_ID, MAP_GET_FD_BY_ID, LINK_CREATE = 5, 8, 13, 14, 28

FORBIDDEN = [
    (["execve"], "executed"),
    (["fork"], "ok"),
    (["ptrace"], "ESRCH"),
    (["udp"], "ok"),
    (["unix"], "ok"),
    (["netlink"], "ok"),
    (["raw"], "EPERM"),
    (["fast_open", 9], "ok|ECONNREFUSED"),
    (["bind", 0], "ok"),
    (["map_code"], "ok"),
    (["make_code"], "ok"),
    (["dump"], "ok"),
    (["terminal"], "ENOTTY"),
    (["kill", os.getpid()], "ok"),
    (["bpf", PROG_LOAD], "E2BIG"),
    (["bpf", PROG_ATTACH], "E2BIG"),
    (["bpf", PROG_GET_FD_BY_ID], "E2BIG"),
    (["bpf", LINK_CREATE], "E2BIG"),
    (["bpf", 1000], "E2BIG"),
]


@pytest.mark.parametrize("action, else_", FORBIDDEN, ids=str)
def test_what_it_never_does_kills_it(action, else_, probe):
    assert probe(*action) == "SIGSYS"
    assert re.fullmatch(else_, probe("--no-sandbox", *action))


@pytest.mark.parametrize(
    "name",
    """execveat vfork setuid setgid setgroups capset mount umount2 chroot
    pivot_root unshare setns process_vm_readv process_vm_writev pidfd_getfd
    pidfd_send_signal io_uring_setup perf_event_open userfaultfd memfd_create
    open_by_handle_at init_module finit_module kexec_load keyctl add_key reboot
    rename link symlink chmod chown truncate sendmsg sendmmsg listen socketpair
    prlimit64 shmget msgget personality modify_ldt seccomp quotactl acct
    landlock_restrict_self swapon sethostname settimeofday inotify_init1
    fanotify_init tkill rt_sigqueueinfo process_madvise open_tree fsopen""".split(),
)
def test_a_system_call_that_it_never_makes_kills_it(name, probe):
    assert probe("syscall", number(name)) == "SIGSYS"


def test_threads_are_no_way_to_a_process(probe):
    """libc is told that there is no clone3(2), whose flags cannot be seen."""
    assert probe("clone3") == "ENOSYS"
    assert probe("--no-sandbox", "clone3") == "ok"


def test_without_ids_their_commands_are_refused(probe):
    assert probe("bpf", MAP_GET_FD_BY_ID) == "E2BIG"
    assert probe("--no-open-by-id", "bpf", MAP_GET_FD_BY_ID) == "EPERM"
    assert probe("--no-open-by-id", "map") == "ok"


@pytest.mark.parametrize(
    "path",
    ["/etc/shadow", "/proc/self/root/etc/shadow", "/proc/1/status", "/bin/sh"],
)
def test_it_reads_no_file_of_others(path, probe):
    assert probe("read", path) == "EACCES"
    assert probe("--no-sandbox", "read", path) == "ok"


def test_it_lists_and_writes_no_folder_of_others(probe, tmp_path):
    assert probe("list", tmp_path) == "EACCES"
    assert probe("create", tmp_path / "file") == "EACCES"
    assert probe("--no-sandbox", "list", tmp_path) == "ok"
    assert probe("--no-sandbox", "create", tmp_path / "file") == "ok"
    assert probe("unlink", tmp_path / "file") == "EACCES"
    assert probe("--no-sandbox", "unlink", tmp_path / "file") == "ok"


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


# --- the cookie


def end_of(node, signum):
    """How the kernel tells of its end: killed, or dumped."""
    os.kill(node.pid, signum)
    return os.waitid(os.P_PID, node.pid, os.WEXITED | os.WNOWAIT).si_code


@pytest.mark.parametrize(
    "options, end", [([], os.CLD_KILLED), (["--no-sandbox"], os.CLD_DUMPED)], ids=str
)
def test_a_crash_leaves_no_core(options, end, start_cnode, tmp_path):
    node = start_cnode(
        *options, wrapper=["prlimit", "--core=unlimited:unlimited"], cwd=tmp_path
    )
    assert end_of(node, signal.SIGSEGV) == end
    node.must_live = False
    assert node.wait_exit() == -signal.SIGSEGV


def test_the_cookie_shows_nowhere(start_cnode, cluster, alice, connect):
    node = start_cnode("--log-level", "debug")
    with pytest.raises(dist.Refused):
        connect(node, cookie="wrong")
    node.wait_log("another cookie")
    seen = [node.log]
    for function, *args in [("get", 1, "nope"), ("nope",), ("open", ("id", 0))]:
        seen.append(repr(alice.rpc(node.name, function, *args)))
    for file in ("cmdline", "environ", "comm", "maps"):
        with open(f"/proc/{node.pid}/{file}") as f:
            seen.append(f.read())
    assert all(seen)
    assert not [text for text in seen if cluster.cookie in text]
