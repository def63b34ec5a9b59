# SPDX-License-Identifier: Apache-2.0
"""Each kind of target: attached, triggered, counted, detached, gone.

By attach.bpf.c, whose programs count in `hits'; bpftool looks at what is attached.
"""

import ctypes
import json
import os
import socket
import subprocess
import time
import uuid
from contextlib import contextmanager
from pathlib import Path

import pytest

from bpf_objects import libbpf
from cluster import CNode, wait_until
from conftest import raises
from host import CGROUPS
from program_fixtures import Programs

pytestmark = pytest.mark.sandbox

SYS_BPF = 321 if os.uname().machine == "x86_64" else 280
BPF_PROG_QUERY = 16
TCX_INGRESS = 46
KEYS = {
    "tracepoint": 0,
    "raw_tracepoint": 1,
    "btf": 2,
    "perf": 8,
    "xdp": 9,
    "tc": 10,
    "cgroup_skb": 11,
    "cgroup_connect": 12,
    "cgroup_sock": 13,
    "cgroup_device": 14,
    "cgroup_sysctl": 15,
    "cgroup_sockopt": 16,
    "sock_ops": 17,
    "sk_lookup": 18,
    "sk_skb": 19,
    "sk_msg": 20,
    "flow_dissector": 21,
}


@pytest.fixture(scope="session")
def attachable(compile_bpf):
    """The bytes of test/bpf/attach.bpf.c, compiled."""
    return compile_bpf("attach").read_bytes()


# --- Places and triggers ----------------------------------------------------------------


@pytest.fixture
def cgroup():
    """A cgroup of the test's own."""
    folder = CGROUPS / f"attach-{uuid.uuid4()}"
    folder.mkdir()
    yield folder
    wait_until(lambda: not (folder / "cgroup.procs").read_text(), what="its processes have ended")
    folder.rmdir()


@pytest.fixture
def veth():
    """One end of a pair, whose driver runs programs of xdp; what is sent into the
    other end arrives there."""
    subprocess.run("ip link add veth0 type veth peer name veth1".split(), check=True)
    for name in "veth0", "veth1":
        subprocess.run(["ip", "link", "set", name, "up"], check=True)
    yield "veth0"
    subprocess.run("ip link del veth0".split(), check=True)


def send_packet():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.sendto(b"packet", ("127.0.0.1", 9))


def send_through_veth():
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as s:
        s.bind(("veth1", 0))
        s.send(bytes(60))


def call_the_kernel():
    os.getppid()


def connect_to_nobody():
    with socket.socket() as s:
        s.connect_ex(("127.0.0.1", 9))


def in_cgroup(folder, command):
    """As a shell of that cgroup does it."""
    script = f"echo $$ >{folder}/cgroup.procs; {command}"
    subprocess.run(["bash", "-c", script], check=True, stderr=subprocess.DEVNULL)


UDP = "echo packet >/dev/udp/127.0.0.1/9"
TCP = "! : >/dev/tcp/127.0.0.1/9"
SETSOCKOPT = (
    "/usr/bin/python3 -c 'import socket; "
    "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)'"
)
LISTEN = (
    "/usr/bin/python3 -c 'import socket; s = socket.create_server((\"127.0.0.1\", 0)); "
    "socket.create_connection(s.getsockname())'"
)
IN_CGROUP = {
    "cgroup_skb": UDP,
    "cgroup_connect": TCP,
    "cgroup_sock": UDP,
    "cgroup_device": ": </dev/zero",
    "cgroup_sysctl": "cat /proc/sys/kernel/ostype >/dev/null",
    "cgroup_sockopt": SETSOCKOPT,
    "sock_ops": LISTEN,
}


class Attached:
    """A program of attach.bpf.c, and where it is attached."""

    def __init__(self, programs, elf, name):
        self.programs = programs
        self.name = name
        options = [("programs", [name.encode()]), ("variables", {b"process": os.getpid()})]
        self.loaded = programs.load(elf, options)
        self.program = self.loaded["programs"][name.encode()]
        self.maps = self.loaded["maps"]
        self.link = None

    def attach(self, target, *options):
        self.link = self.programs.attach(self.program, target, *options)
        assert self.link[0] == "ebpf_link", self.link
        return self.link

    def hits(self):
        value = self.programs.maps("get", KEYS[self.name], self.maps[b"hits"])
        return int.from_bytes(value, "little")

    def counts(self, trigger):
        """Whether it sees what happens."""
        before = self.hits()
        trigger()
        return self.hits() > before


@pytest.fixture
def attached(programs, attachable):
    return lambda name: Attached(programs, attachable, name)


@contextmanager
def connection():
    """Two ends of a connection of TCP, which alone sockmaps of that kind take."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with socket.create_connection(listener.getsockname()) as one:
            other = listener.accept()[0]
            with other:
                yield one, other


# --- The table --------------------------------------------------------------------------

GETPPID = ("tracepoint", b"syscalls", b"sys_enter_getppid")
HERE = [
    # name, target, trigger, the kernel's name of the link
    ("tracepoint", GETPPID, call_the_kernel, "perf_event"),
    ("raw_tracepoint", ("raw_tracepoint", b"sys_enter"), call_the_kernel, "raw_tracepoint"),
    ("btf", "btf", call_the_kernel, "raw_tracepoint"),
    ("xdp", ("xdp", b"lo", "generic"), send_packet, "xdp"),
    ("xdp", ("xdp", 1, "generic"), send_packet, "xdp"),
    ("tc", ("tc", b"lo", "ingress", "first"), send_packet, "tcx"),
    ("tc", ("tc", b"lo", "egress", "last"), send_packet, "tcx"),
    ("sk_lookup", ("netns", "own"), connect_to_nobody, "netns"),
]


def gone(bpftool, id):
    """Whether the kernel has no such link."""
    return all(link["id"] != id for link in json.loads(bpftool("-j", "link", "list")))


def check(one, target, trigger, kind, bpftool):
    assert not one.counts(trigger)
    link = one.attach(target)
    assert link[2:] == (kind, target)
    assert one.counts(trigger)
    info = one.programs.info(link)
    assert (info["type"], info["handles"]) == (kind, [link])
    assert info["program"] == one.programs.info(one.program)["id"]
    assert not gone(bpftool, info["id"])
    assert one.programs.detach(link) == "ok"
    wait_until(lambda: gone(bpftool, info["id"]), what="the link has gone")
    assert not one.counts(trigger)
    with raises(("badlink", link)):
        one.programs.detach(link)


@pytest.mark.parametrize(
    ("name", "target", "trigger", "kind"),
    HERE,
    ids=[f"{name} at {target}" for name, target, _, _ in HERE],
)
def test_a_program_counts_while_it_is_attached(
    name, target, trigger, kind, attached, bpftool, tracefs
):
    check(attached(name), target, trigger, kind, bpftool)


def test_an_interface_whose_driver_runs_programs_takes_a_native_one(attached, bpftool, veth):
    target = ("xdp", veth.encode(), "native")
    check(attached("xdp"), target, send_through_veth, "xdp", bpftool)


@pytest.mark.parametrize("name", IN_CGROUP)
def test_a_program_of_a_cgroup_sees_its_processes(name, attached, bpftool, cgroup):
    def trigger():
        in_cgroup(cgroup, IN_CGROUP[name])

    check(attached(name), ("cgroup", bytes(cgroup)), trigger, "cgroup", bpftool)


@pytest.mark.parametrize("by_handle", [True, False], ids=["handle", "locator"])
@pytest.mark.parametrize("name", ["sk_skb", "sk_msg"])
def test_a_program_of_a_sockmap_sees_what_its_sockets_send(
    name, by_handle, attached, bpftool, folder
):
    one = attached(name)
    sockets = one.maps[b"sockets"]
    assert one.programs.maps("pin", bytes(folder / "sockets"), sockets) == "ok"
    map = libbpf.bpf_obj_get(bytes(folder / "sockets"))
    with connection() as (here, there):
        # sk_msg sees what goes out of a socket, sk_skb what comes in
        member = there if name == "sk_skb" else here

        def trigger():
            here.sendall(b"message")
            assert there.recv(100) == b"message"

        def join():
            key = ctypes.c_uint32(0)
            value = ctypes.c_uint64(member.fileno())
            flags = ctypes.c_uint64(0)
            assert libbpf.bpf_map_update_elem(map, ctypes.byref(key), ctypes.byref(value), flags) == 0

        pin = ("pinned", bytes(folder / "sockets"))
        link = one.attach(("sockmap", sockets if by_handle else pin))
        assert link[2] == "sockmap"
        join()
        assert one.counts(trigger)
        id = one.programs.info(link)["id"]
        assert one.programs.detach(link) == "ok"
        wait_until(lambda: gone(bpftool, id), what="the link has gone")
    os.close(map)


def test_a_program_of_a_clock_counts_on_each_processor(attached, bpftool):
    one = attached("perf")
    link = one.attach(("perf", "cpu_clock", 1000))
    assert link[2:] == ("perf_event", ("perf", "cpu_clock", 1000))
    begun = one.hits()
    wait_until(lambda: one.hits() > begun, what="the clock ticks")
    id = one.programs.info(link)["id"]
    assert one.programs.detach(link) == "ok"
    wait_until(lambda: gone(bpftool, id), what="the link has gone")
    after = one.hits()
    deadline = time.monotonic() + 0.1
    while time.monotonic() < deadline:
        pass
    assert one.hits() == after


def test_a_clock_has_a_pin_only_where_there_is_one_processor(attached, programs, folder):
    """It would keep the link of the first of several."""
    link = attached("perf").attach(("perf", "cpu_clock", 100))
    pinned = "ok" if os.cpu_count() == 1 else ("error", "enotsup")
    assert programs.pin(bytes(folder / "clock"), link) == pinned
    assert len(list(folder.iterdir())) == (pinned == "ok")


def test_a_flow_dissector_is_attached_to_the_network_of_the_node(attached, bpftool):
    """What it does there is up to others: run/3 shows that it works."""
    one = attached("flow_dissector")
    link = one.attach(("netns", "own"))
    assert link[2] == "netns"
    assert one.programs.info(link)["attach_type"] == "flow_dissector"
    assert one.programs.detach(link) == "ok"
    packet = bytes(12) + b"\x08\x00" + bytes(50)
    assert one.programs.run(one.program, {"data": packet}, [])["return"] == 0
    assert one.hits() == 1


# --- What is refused --------------------------------------------------------------------

# This kernel refuses these types with all capabilities, and has no kprobes: elsewhere
# they load and attach, and then belong into the table above.
REFUSED_AT_LOAD = ["fentry", "fexit", "fmod_ret", "lsm"]
REFUSED_HERE = {
    "kprobe": (("kprobe", b"do_nanosleep", 0), "enoent"),
    "kretprobe": (("kretprobe", b"do_nanosleep", 0), "enoent"),
}


@pytest.mark.parametrize("name", REFUSED_AT_LOAD)
def test_this_kernel_refuses_to_load_it_with_eperm(name, programs, attachable):
    assert programs.load(attachable, [("programs", [name.encode()])]) == ("error", "eperm")
    assert programs.handles() == []


@pytest.mark.parametrize("name", REFUSED_HERE)
def test_this_kernel_has_no_such_events_and_says_enoent(name, programs, attachable, tracefs):
    loaded = programs.load(attachable, [("programs", [name.encode()])])
    target, error = REFUSED_HERE[name]
    program = loaded["programs"][name.encode()]
    assert programs.attach(program, target) == ("error", error)
    assert programs.own_links() == []


# program, target, what comes of it
WRONG = {
    "no tracepoint": ("tracepoint", ("tracepoint", b"syscalls", b"nosuch"), "enoent"),
    "a way out of tracefs": ("tracepoint", ("tracepoint", b"..", b"syscalls"), "einval"),
    "no raw tracepoint": ("raw_tracepoint", ("raw_tracepoint", b"nosuch"), "enoent"),
    "no interface": ("xdp", ("xdp", b"nosuch0", "generic"), "enodev"),
    "no index": ("xdp", ("xdp", 99999, "generic"), "einval"),
    "native where the driver has none": ("xdp", ("xdp", b"lo", "native"), "enotsup"),
    "another kind of program": ("tc", ("xdp", b"lo", "generic"), "einval"),
    "btf of a program without": ("raw_tracepoint", "btf", "einval"),
    "no cgroup of that name": ("cgroup_skb", ("cgroup", bytes(CGROUPS / "nosuch")), "enoent"),
}
BADARG = {
    "no target": ("xdp", b"lo"),
    "an unknown one": ("xdp", ("uprobe", b"/bin/true", b"main")),
    "too short": ("xdp", ("xdp", b"lo")),
    "too long": ("xdp", ("xdp", b"lo", "generic", 1, 2)),
    "an index of 0": ("xdp", ("xdp", 0, "generic")),
    "a mode that is none": ("xdp", ("xdp", b"lo", "fast")),
    "a direction that is none": ("tc", ("tc", b"lo", "sideways", "first")),
    "an order that is none": ("tc", ("tc", b"lo", "ingress", "middle")),
    "an order of three": ("tc", ("tc", b"lo", "ingress", ("before", 1, 2))),
    "a path that is relative": ("cgroup_skb", ("cgroup", b"sys/fs/cgroup")),
    "an event that is none": ("perf", ("perf", "cycles", 100)),
    "0 Hz": ("perf", ("perf", "cpu_clock", 0)),
    "a name that is too long": ("raw_tracepoint", ("raw_tracepoint", b"x" * 128)),
    "a name that is empty": ("raw_tracepoint", ("raw_tracepoint", b"")),
    "a negative offset": ("kprobe", ("kprobe", b"do_nanosleep", -1)),
    "more than a link keeps": ("sk_skb", ("sockmap", bytes(20_000))),
    "auto of an interface": ("xdp", "auto"),
    "auto of a cgroup": ("cgroup_skb", "auto"),
    "auto of a clock": ("perf", "auto"),
}
RAISED = {
    "a link that is none": ("tc", ("tc", b"lo", "ingress", ("after", b"x")), ("badlink", b"x")),
    "a map that is none": ("sk_skb", ("sockmap", b"x"), ("badmap", b"x")),
    "a folder that is no cgroup": ("cgroup_skb", ("cgroup", b"/etc"), "eacces"),
    "a network outside of the root": ("sk_lookup", ("netns", b"/proc/1/ns/net"), "eacces"),
}


@pytest.fixture(scope="module")
def loaded(attachable, cluster, program, shared_beams, tracefs):
    """A program of each kind that loads, of one node, which starts with tracefs there."""
    node = CNode(cluster, program, "--programs", "all", "--allow", "*=load", "--log-level", "info")
    node.wait_ready()
    programs = Programs(shared_beams[0].get(), node)
    names = [name.encode() for name in [*KEYS, "kprobe", "kretprobe"]]
    yield programs, programs.load(attachable, [("programs", names)])["programs"]
    node.stop()
    node.check()


@pytest.mark.parametrize("what", WRONG)
def test_a_target_that_is_not_there_is_an_error(what, loaded, tracefs):
    programs, of = loaded
    name, target, error = WRONG[what]
    assert programs.attach(of[name.encode()], target) == ("error", error)
    assert programs.own_links() == []


@pytest.mark.parametrize("what", BADARG)
def test_a_target_that_is_none_is_badarg_and_the_log_says_why(what, loaded):
    programs, of = loaded
    name, target = BADARG[what]
    start = programs.node.mark()
    with raises("badarg"):
        programs.attach(of[name.encode()], target)
    if what != "a path that is relative":
        programs.node.wait_log(r"info badarg of attach/2 for \S+: \w+", start=start)
    assert programs.own_links() == []


@pytest.mark.parametrize("what", RAISED)
def test_a_target_of_others_is_refused(what, loaded):
    programs, of = loaded
    name, target, reason = RAISED[what]
    with raises(reason):
        programs.attach(of[name.encode()], target)
    assert programs.own_links() == []


# --- Order, and other networks ----------------------------------------------------------


def test_programs_of_an_interface_run_in_the_order_asked_for(programs, attachable):
    def attach(order):
        loaded = programs.load(attachable, [("programs", [b"tc"])])
        program = loaded["programs"][b"tc"]
        link = programs.attach(program, ("tc", b"lo", "ingress", order))
        return link, programs.info(program)["id"]

    first, a = attach("first")
    _, b = attach("last")
    _, c = attach(("before", first))
    _, d = attach(("after", first))
    assert order_of_tcx() == [c, a, d, b]


def test_a_link_keeps_of_the_one_beside_it_no_more_than_who_it_is(programs, attachable):
    def attach(order):
        loaded = programs.load(attachable, [("programs", [b"tc"])])
        return programs.attach(loaded["programs"][b"tc"], ("tc", b"lo", "ingress", order))

    link = attach("first")
    for _ in range(3):
        beside = (*link[:3], "none")
        link = attach(("before", (*link, bytes(100_000))))
        assert link[3] == ("tc", b"lo", "ingress", ("before", beside))
    assert len(order_of_tcx()) == 4


def order_of_tcx():
    """Ids of programs at the ingress of lo, as the kernel runs them."""
    ids = (ctypes.c_uint32 * 16)()
    # union bpf_attr of BPF_PROG_QUERY
    attr = (ctypes.c_uint32 * 16)(socket.if_nametoindex("lo"), TCX_INGRESS, 0, 0)
    ctypes.memmove(ctypes.byref(attr, 16), ctypes.byref(ctypes.c_uint64(ctypes.addressof(ids))), 8)
    attr[6] = len(ids)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.syscall(SYS_BPF, BPF_PROG_QUERY, attr, 64) == 0, ctypes.get_errno()
    return list(ids)[: attr[6]]


def test_below_the_root_of_networks_one_is_taken_by_its_path(start_programs, attachable, tmp_path):
    root = tmp_path / "netns"
    root.mkdir()
    place = root / "other"
    place.touch()
    with subprocess.Popen(["unshare", "-n", "sleep", "60"]) as process:
        wait_until(
            lambda: os.readlink(f"/proc/{process.pid}/ns/net") != os.readlink("/proc/self/ns/net")
        )
        subprocess.run(["mount", "--bind", f"/proc/{process.pid}/ns/net", place], check=True)
        try:
            programs = start_programs("--netns-root", root)
            program = programs.load(attachable, [("programs", [b"sk_lookup"])])["programs"]
            link = programs.attach(program[b"sk_lookup"], ("netns", bytes(place)))
            inode = place.stat().st_ino
            assert programs.info(link)["target"] == {"netns": inode}
            assert programs.detach(link) == "ok"
            with raises("eacces"):
                programs.attach(program[b"sk_lookup"], ("netns", bytes(root / ".." / "x")))
        finally:
            subprocess.run(["umount", place], check=True)
            process.kill()


# --- Links that outlive, and those that do not ------------------------------------------


def xdp(programs, attachable):
    """A program of xdp at lo: (Program, Link)"""
    loaded = programs.load(attachable, [("programs", [b"xdp"])])
    program = loaded["programs"][b"xdp"]
    return program, programs.attach(program, ("xdp", b"lo", "generic"))


def test_a_link_gets_another_program_at_once(programs, attachable):
    program, link = xdp(programs, attachable)
    other = programs.load(attachable, [("programs", [b"xdp", b"tc"])])["programs"]
    assert programs.update(link, other[b"xdp"]) == link
    assert programs.info(link)["program"] == programs.info(other[b"xdp"])["id"]
    assert programs.update(link, other[b"tc"]) == ("error", "einval")
    assert programs.info(link)["program"] == programs.info(other[b"xdp"])["id"]
    assert programs.detach(link) == "ok"


def test_an_interface_has_one_program_of_xdp(programs, attachable):
    program, link = xdp(programs, attachable)
    assert programs.attach(program, ("xdp", b"lo", "generic")) == ("error", "ebusy")
    assert programs.close(link) == "ok"
    again = programs.attach(program, ("xdp", b"lo", "generic"))
    assert again[0] == "ebpf_link"
    assert programs.close(again) == "ok"


def test_a_pin_outlives_the_handle_and_the_node(programs, attachable, folder, bpftool):
    _, link = xdp(programs, attachable)
    path = bytes(folder / "link")
    assert programs.pin(path, link) == "ok"
    id = programs.info(link)["id"]
    assert programs.info(link)["pinned"] == [path]
    assert programs.close(link) == "ok"
    assert not gone(bpftool, id)
    again = programs.open(("pinned", path))
    assert programs.info(again)["id"] == id
    programs.node.kill()
    assert not gone(bpftool, id)
    (folder / "link").unlink()
    wait_until(lambda: gone(bpftool, id), what="the link has gone")


def test_what_is_not_pinned_goes_with_a_node_that_is_killed(programs, attachable, bpftool):
    _, link = xdp(programs, attachable)
    id = programs.info(link)["id"]
    programs.node.kill()
    wait_until(lambda: gone(bpftool, id), what="the link has gone")


def test_a_link_of_a_process_ends_with_it(programs, attachable, bpftool):
    program, link = xdp(programs, attachable)
    assert programs.detach(link) == "ok"
    link = programs.beam.eval(
        """
        {P, R} = spawn_monitor(fun() ->
            exit(erpc:call(N, ebpf_programs, attach,
                           [Program, {xdp, <<"lo">>, generic}, [{lifetime, process}]]))
        end),
        receive {'DOWN', R, process, P, Link} -> Link end""",
        N=programs.node.name,
        Program=program,
    )
    assert link[0] == "ebpf_link"
    wait_until(lambda: programs.own_links() == [], what="the link has gone")
    with raises(("badlink", link)):
        programs.info(link)


def test_a_link_that_others_hold_is_not_detached_where_the_kernel_cannot(
    attached, bpftool, tracefs
):
    """One of a tracepoint ends with its last holder."""
    one = attached("raw_tracepoint")
    link = one.attach(("raw_tracepoint", b"sys_enter"))
    other = one.programs.open(("link", one.programs.info(link)["id"]))
    assert one.programs.detach(link) == ("error", "enotsup")
    assert one.counts(call_the_kernel)
    assert one.programs.close(other) == "ok"
    assert one.programs.detach(link) == "ok"
    assert not one.counts(call_the_kernel)


# --- Log and counts ---------------------------------------------------------------------


def test_auto_attaches_where_the_section_says(attached, bpftool, tracefs):
    one = attached("tracepoint")
    link = one.attach("auto")
    assert link[3] == GETPPID
    assert one.counts(call_the_kernel)


def test_the_log_tells_of_attachments_and_their_ends(start_programs, attachable):
    programs = start_programs("--log-level", "info")
    program, link = xdp(programs, attachable)
    id = programs.info(link)["id"]
    programs.update(link, program)
    programs.detach(link)
    who = rf"{programs.beam.name} <\d+\.\d+>"
    of = rf"link {id} xdp, program {programs.info(program)['id']}"
    index = socket.if_nametoindex("lo")
    programs.node.wait_log(rf"info attached {who} attach/2: {of}, target xdp {index} generic$")
    programs.node.wait_log(rf"info updated {who} update/2: {of}$")
    programs.node.wait_log(rf"info detached {who} detach/1: {of}$")


TOLD = [
    ("tracepoint", GETPPID, "tracepoint syscalls/sys_enter_getppid"),
    ("raw_tracepoint", ("raw_tracepoint", b"sys_enter"), "raw_tracepoint sys_enter"),
    ("btf", "btf", "btf"),
    ("tc", ("tc", b"lo", "egress", "first"), r"tc \d+ egress"),
    ("perf", ("perf", "cpu_clock", 7), "perf cpu_clock 7"),
    ("cgroup_skb", ("cgroup", bytes(CGROUPS)), f"cgroup {CGROUPS}"),
    ("sk_lookup", ("netns", "own"), r"netns /proc/\d+/ns/net|netns net:\[\d+\]"),
]


@pytest.mark.parametrize(("name", "target", "told"), TOLD, ids=[name for name, *_ in TOLD])
def test_the_log_tells_what_a_program_is_attached_to(name, target, told, loaded, tracefs):
    programs, of = loaded
    start = programs.node.mark()
    link = programs.attach(of[name.encode()], target)
    programs.node.wait_log(rf"info attached .*, target ({told})$", start=start)
    assert programs.detach(link) == "ok"


def test_what_a_program_did_is_counted_while_somebody_asks(programs, attachable):
    loaded = programs.load(attachable, [("programs", [b"xdp"])])
    program = loaded["programs"][b"xdp"]
    begun = programs.count(program)
    assert begun.keys() == {"runs", "nanoseconds", "recursion_misses"}
    link = programs.attach(program, ("xdp", b"lo", "generic"))
    send_packet()
    counted = programs.count(program)
    assert counted["runs"] > begun["runs"]
    assert counted["nanoseconds"] > begun["nanoseconds"]
    assert programs.detach(link) == "ok"


def test_without_cap_sys_admin_nothing_is_counted(start_programs, attachable):
    programs = start_programs("--no-open-by-id")
    program = programs.load(attachable, [("programs", [b"xdp"])])["programs"][b"xdp"]
    assert programs.count(program) == ("error", "eperm")


def test_what_others_have_the_kernel_count_is_told(start_programs, attachable):
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    programs = start_programs("--no-open-by-id")
    program = programs.load(attachable, [("programs", [b"xdp"])])["programs"][b"xdp"]
    switch.write_text("1")
    try:
        programs.run(program, {"data": bytes(64)}, [("repeat", 3)])
        assert programs.count(program)["runs"] == 3
    finally:
        switch.write_text(before)
