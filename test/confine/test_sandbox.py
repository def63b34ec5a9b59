# SPDX-License-Identifier: Apache-2.0
"""Least privilege: what the node keeps, and what becomes of it if it tries more.

From outside, by what /proc tells of a running node; and from inside, by
sandbox_probe, which enters the node's own sandbox and then does one thing.
"""

import os
import pwd
import re
import signal
import subprocess

import pytest

import dist
import etf
from cluster import wait_until
from conftest import Maps, raises
from processes import processes

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


def opens(node, file, capabilities):
    """Whether a process of the same user with no more than these opens it."""
    kept = ",".join(["-all", *(f"+{name}" for name in capabilities)])
    command = ["setpriv", f"--bounding-set={kept}", f"--inh-caps={kept}"]
    path = f"/proc/{node.pid}/{file}"
    done = subprocess.run(
        [*command, "sh", "-c", 'exec 3<"$0"', path], capture_output=True, text=True
    )
    assert done.returncode == 0 or "Permission denied" in done.stderr, done.stderr
    return done.returncode == 0


@pytest.mark.parametrize("user", [[], ["--user", "root"]], ids=["", "user"])
@pytest.mark.parametrize("file", ["environ", "maps", "mem"])
def test_its_user_cannot_look_into_it(file, user, start_cnode):
    """Not dumpable: its capabilities alone do not keep out who has as many.

    It goes without ids, as whoever has CAP_SYS_ADMIN may look into any process.
    """
    as_many = ("bpf", "net_admin")
    assert not opens(start_cnode("--no-open-by-id", *user), file, as_many)
    open_to_all = start_cnode("--no-open-by-id", "--no-sandbox")
    assert file == "mem" or opens(open_to_all, file, as_many)  # Yama keeps mem
    assert not opens(open_to_all, file, as_many[1:])


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
    assert "--user no-such-user: no such user" in node.log


def with_groups(tmp_path, numbers):
    """A wrapper: on a host where nobody is in these groups."""
    file = tmp_path / "group"
    file.write_text("".join(f"group{n}:x:{n}:nobody\n" for n in numbers))
    script = f'mount --bind {file} /etc/group; exec "$0" "$@"'
    return ["unshare", "--mount", "sh", "-c", script]


def test_it_gets_all_groups_of_its_user(start_cnode, tmp_path):
    mine = range(5000, 5099)
    node = start_cnode("--user", "nobody", wrapper=with_groups(tmp_path, mine))
    told = {int(group) for group in status(node.pid)["Groups"].split()}
    assert told == {NOBODY.pw_gid, *mine}


def test_a_user_of_more_groups_than_it_can_take_is_told(start_cnode, tmp_path):
    for count, taken in (999, True), (1000, False):
        wrapper = with_groups(tmp_path, range(5000, 5000 + count))
        node = start_cnode("--user", "nobody", wrapper=wrapper, ready=taken)
        if taken:
            assert len(status(node.pid)["Groups"].split()) == 1000
        else:
            assert node.wait_exit() == 2
            assert "--user nobody: it is in more than 1000 groups" in node.log


@pytest.mark.parametrize(
    "faults, said",
    [
        (["clone:error=EAGAIN"], "Resource temporarily unavailable"),
        (["openat:signal=SIGKILL", "-P/etc/passwd", "-f"], "the lookup crashed"),
    ],
)
def test_a_user_that_cannot_be_looked_up_is_told(faults, said, start_cnode):
    """In a process of its own, whose end is none of its parent."""
    fault, *options = faults
    strace = [*inject(fault), *options]
    node = start_cnode("--user", "nobody", ready=False, wrapper=strace)
    assert node.wait_exit() == 2
    assert f"--user nobody: {said}" in node.log


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


def epmd_of(port):
    """The process id of the epmd there; those that it was started by end by themselves."""
    return wait_until(lambda: len(found := epmds(port)) == 1 and found[0])


def epmds(port):
    told = b"%d" % port
    return [p.pid for p in processes() if p.name == "epmd" and p.env.get(b"ERL_EPMD_PORT") == told]


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
    epmd = epmd_of(lone_cluster.epmd.port)
    told = capabilities(status(epmd))
    assert (told["Prm"], told["Eff"], told["Amb"]) == (0, 0, 0)


def test_an_epmd_that_it_starts_is_of_its_user(start_cnode, lone_cluster):
    start_cnode("--user", "nobody", cluster=lone_cluster)
    epmd = epmd_of(lone_cluster.epmd.port)
    told = status(epmd)
    assert told["Uid"].split() == [str(NOBODY.pw_uid)] * 4
    assert (told["CapPrm"], told["CapEff"]) == ("0" * 16, "0" * 16)


# --- without ids

WITHOUT_PROC = ["unshare", "--mount", "sh", "-c", 'umount -l /proc && exec "$@"', "sh"]


def test_without_a_proc_file_system_it_says_what_to_do(start_cnode, connect):
    node = start_cnode(wrapper=WITHOUT_PROC, ready=False)
    assert node.wait_exit() == 1
    [line] = node.lines
    assert " error /proc/self/mountinfo: No such file or directory; " in line
    assert "mount -t proc proc /proc" in line and "--no-sandbox" in line
    assert connect(start_cnode("--no-sandbox", wrapper=WITHOUT_PROC)).serves()


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
        ("retval=3:when=1", "Landlock of this kernel has version 3: ports"),
    ],
)
def test_it_serves_without_landlock_and_says_so(fault, line, start_cnode, alice):
    node = start_cnode(wrapper=inject(f"landlock_create_ruleset:{fault}"))
    assert len(node.find_log(f"warning {line}")) == 1
    told = status(node.pid)
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


def test_it_does_not_serve_where_no_descriptor_is_left_for_a_rule(start_cnode):
    """Else pins were out of its reach for as long as it runs."""
    wrapper = [*inject("openat:error=ENFILE"), "-P/sys/fs/bpf"]
    node = start_cnode(ready=False, wrapper=wrapper)
    assert node.wait_exit() == 1
    assert node.find_log("error Landlock: Too many open files in system")


def test_it_does_not_serve_without_seccomp_unless_told(start_cnode):
    node = start_cnode(ready=False, wrapper=inject("seccomp:error=EINVAL"))
    assert node.wait_exit() == 1
    assert re.search("error seccomp: .*--no-sandbox", node.log)


def test_what_confines_it_is_in_the_log(start_cnode):
    node = start_cnode("--log-level", "info")
    assert node.find_log(r"info files and ports are confined by Landlock version \d")
    assert node.find_log("info system calls are confined by seccomp")


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
    node.wait_log("it has a different cookie")
    seen = [node.log]
    for function, *args in [("get", 1, "nope"), ("nope",), ("open", ("id", 0))]:
        seen.append(repr(alice.rpc(node.name, function, *args)))
    for file in ("cmdline", "environ", "comm", "maps"):
        with open(f"/proc/{node.pid}/{file}") as f:
            seen.append(f.read())
    assert all(seen)
    assert not [text for text in seen if cluster.cookie in text]
