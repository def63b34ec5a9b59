# SPDX-License-Identifier: Apache-2.0
"""Attachments that are no kernel links, as older kernels have no links for them.

That this kernel is such a one says odd_kernel.c, put before libc. bpftool, tc and the
kernel itself tell what is attached.
"""

import ctypes
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import odd_kernel
import preload
from bpf_objects import libbpf
from cluster import wait_until
from conftest import raises
from program_fixtures import Programs
from test_attach import Attached, attachable, connection, send_packet  # noqa: F401
from test_loader import children, has_ended, status

pytestmark = [pytest.mark.sandbox, pytest.mark.preload]

NET_ADMIN = 1 << 12
MIDDLE = 32768
LOCK = "/memfd:keepers (deleted)"
SK_SKB_STREAM_VERDICT, SK_MSG_VERDICT = 5, 7


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preload.build("odd_kernel", tmp_path_factory.mktemp("preload"))


@pytest.fixture
def odd(library, tmp_path):
    odd = odd_kernel.OddKernel(library, tmp_path / "odd")
    odd.linkless = odd_kernel.NO_TCX | odd_kernel.NO_SOCKMAP_LINKS
    return odd


@pytest.fixture
def start_old(start_programs, cluster, odd):
    env = {**cluster.env, **odd.env}
    return lambda *options, **others: start_programs(*options, env=env, **others)


@pytest.fixture
def old(start_old):
    """A node of an old kernel."""
    return start_old()


@pytest.fixture
def one(old, attachable):
    """Its program of tc."""
    return Attached(old, attachable, "tc")


def run(command):
    done = subprocess.run(command.split(), check=True, capture_output=True, text=True)
    return done.stdout


class Interface:
    """One end of a pair of the test's own; what is sent into the other end arrives."""

    def __init__(self, name):
        self.name = name
        self.peer = f"{name}p"

    def target(self, side="ingress", place="last"):
        return ("tc", self.name.encode(), side, place)

    def has_clsact(self):
        return "clsact" in run(f"tc qdisc show dev {self.name}")

    def filters(self, side="ingress"):
        """{priority: (handle, program)}"""
        told = run(f"tc filter show dev {self.name} {side}")
        found = re.findall(r"pref (\d+) bpf chain 0 handle (\S+) (\S+)", told)
        return {int(priority): (int(handle, 16), name) for priority, handle, name in found}

    def is_bare(self):
        return not self.has_clsact() and not self.filters() and not self.filters("egress")

    def wait_bare(self):
        wait_until(self.is_bare, what="nothing is attached any more")


@pytest.fixture
def interface():
    name = f"kept{os.getpid() % 100000}"
    found = Interface(name)
    run(f"ip link add {name} type veth peer name {found.peer}")
    yield found
    with suppress(subprocess.CalledProcessError):
        run(f"ip link del {name}")


@pytest.fixture
def their_program(compile_bpf, folder):
    """Adds a filter as somebody else would, by tc(8)."""
    built = compile_bpf("endless").with_name("theirs.o")
    source = built.with_suffix(".c")
    source.write_text(
        '__attribute__((section("tc"), used)) int theirs(void *skb) { return -1; }\n'
        '__attribute__((section("license"), used)) char _license[] = "GPL";\n'
    )
    subprocess.run(
        ["clang", "-target", "bpf", "-O2", "-c", source, "-o", built], check=True
    )

    def add(interface, *words, side="ingress", how="add"):
        command = f"tc filter {how} dev {interface.name} {side} {' '.join(words)} bpf da obj"
        run(f"{command} {built} sec tc")

    return add


def loader_of(node):
    return next(pid for pid in children(node.pid) if status(pid)["Name"] == "ebpf_loader")


def keepers_of(node):
    return [pid for pid in children(loader_of(node)) if status(pid)["Name"] == "ebpf_keeper"]


# --- Filters of traffic control ---------------------------------------------------------


@pytest.mark.parametrize("side", ["ingress", "egress"])
def test_a_filter_counts_while_it_is_attached(side, one, bpftool):
    lo = Interface("lo")
    assert lo.is_bare()
    link = one.attach(lo.target(side, "first"))
    assert link[2:] == ("clsact", lo.target(side, "first"))
    assert one.counts(send_packet)
    [attached] = json.loads(bpftool("-j", "net", "show", "dev", "lo"))[0]["tc"]
    assert attached["kind"] == f"clsact/{side}"
    assert list(lo.filters(side)) == [MIDDLE]
    assert one.programs.detach(link) == "ok"
    assert lo.is_bare()
    assert json.loads(bpftool("-j", "net", "show", "dev", "lo"))[0]["tc"] == []
    assert not one.counts(send_packet)
    with raises(("badlink", link)):
        one.programs.detach(link)


def test_first_goes_before_and_last_behind_all_that_are_there(one, interface, their_program):
    links = [one.attach(interface.target(place=place)) for place in ("last", "last", "first")]
    assert list(interface.filters()) == [MIDDLE - 1, MIDDLE, MIDDLE + 1]
    their_program(interface, "prio", "7")
    their_program(interface, "prio", "60000", side="egress")
    one.attach(interface.target(place="first"))
    one.attach(interface.target("egress", "last"))
    assert list(interface.filters())[:2] == [6, 7]
    assert list(interface.filters("egress")) == [60000, 60001]
    for link in links:
        assert one.programs.detach(link) == "ok"
    assert list(interface.filters()) == [6, 7]


def test_without_room_before_or_behind_the_others_there_is_none(one, interface, their_program):
    run(f"tc qdisc add dev {interface.name} clsact")
    their_program(interface, "prio", "1")
    their_program(interface, "prio", "65535", side="egress")
    attach = one.programs.attach
    assert attach(one.program, interface.target(place="first")) == ("error", "enospc")
    assert attach(one.program, interface.target("egress", "last")) == ("error", "enospc")
    assert one.attach(interface.target(place="last"))
    assert one.attach(interface.target("egress", "first"))


def test_a_place_beside_another_link_is_not_to_be_had(one, interface):
    link = one.attach(interface.target())
    for word in ("before", "after"):
        target = interface.target(place=(word, link))
        assert one.programs.attach(one.program, target) == ("error", "enotsup")
    assert list(interface.filters()) == [MIDDLE]


def test_the_clsact_of_others_stays_and_so_do_their_filters(one, interface, their_program):
    run(f"tc qdisc add dev {interface.name} clsact")
    assert one.programs.detach(one.attach(interface.target())) == "ok"
    assert interface.has_clsact() and not interface.filters()
    their_program(interface, "prio", "5")
    theirs = interface.filters()
    assert one.programs.detach(one.attach(interface.target())) == "ok"
    assert interface.filters() == theirs


def test_a_clsact_of_ours_stays_for_filters_that_others_put_there(one, interface, their_program):
    link = one.attach(interface.target())
    their_program(interface, "prio", "5", side="egress")
    assert one.programs.detach(link) == "ok"
    assert interface.has_clsact()
    assert list(interface.filters("egress")) == [5]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_a_clsact_of_ours_goes_with_the_last_of_our_filters(order, one, interface):
    sides = ("ingress", "ingress", "egress")
    links = [one.attach(interface.target(side)) for side in sides]
    for i in order:
        assert interface.has_clsact()
        assert one.programs.detach(links[i]) == "ok"
    assert interface.is_bare()


def test_a_filter_that_others_put_in_its_place_stays(one, interface, their_program):
    link = one.attach(interface.target())
    [(priority, (handle, _))] = interface.filters().items()
    their_program(interface, "prio", str(priority), "handle", hex(handle), how="replace")
    theirs = interface.filters()
    assert one.programs.detach(link) == "ok"
    assert interface.filters() == theirs


def test_a_clsact_that_others_have_made_anew_stays(one, interface):
    link = one.attach(interface.target())
    run(f"tc qdisc del dev {interface.name} clsact")
    run(f"tc qdisc add dev {interface.name} clsact")
    assert one.programs.detach(link) == "ok"
    assert interface.has_clsact()


def test_the_older_qdisc_has_an_ingress_and_no_egress(one, interface):
    run(f"tc qdisc add dev {interface.name} ingress")
    attach = one.programs.attach
    assert attach(one.program, interface.target("egress")) == ("error", "ebusy")
    link = one.attach(interface.target())
    assert list(interface.filters()) == [MIDDLE]
    assert one.programs.detach(link) == "ok"
    assert "ingress" in run(f"tc qdisc show dev {interface.name}")
    assert interface.filters() == {}


def test_what_went_with_its_interface_is_detached(one, interface):
    link = one.attach(interface.target())
    run(f"ip link del {interface.name}")
    assert one.programs.detach(link) == "ok"
    assert one.programs.handles() == [(one.program, *one.programs.handles()[0][1:])]


def test_an_interface_that_is_not_there_is_an_error(one):
    attach = one.programs.attach
    assert attach(one.program, ("tc", 999999, "ingress", "first")) == ("error", "enodev")


def at_once(beam, node, function, calls):
    """The results of calls that are all under way together."""
    script = """
        Asked = [erpc:send_request(N, ebpf_programs, F, A) || A <- Calls],
        [erpc:receive_response(Request, 20000) || Request <- Asked]."""
    return beam.eval(script, N=node.name, F=function, Calls=calls)


def test_several_at_once_get_a_place_each_and_leave_nothing(alice, start_old, attachable, interface):
    """To look for a place and to take it are one."""
    old = start_old("--max-loads", "8")
    one = Attached(old, attachable, "tc")
    sides = ["ingress", "egress"] * 3
    for _ in range(5):
        calls = [[one.program, interface.target(side)] for side in sides]
        links = at_once(alice, old.node, "attach", calls)
        assert [link[2] for link in links] == ["clsact"] * 6
        for side in "ingress", "egress":
            assert list(interface.filters(side)) == [MIDDLE, MIDDLE + 1, MIDDLE + 2]
        done = at_once(alice, old.node, "detach", [[link] for link in links])
        assert done == ["ok"] * 6
        assert interface.is_bare()


# --- Sockmaps ---------------------------------------------------------------------------


class Sockets:
    """The sockmap of a node, and a descriptor of our own."""

    def __init__(self, one, folder, kind):
        self.map = one.maps[b"sockets"]
        path = bytes(folder / f"sockets-{one.name}")
        one.programs.maps("pin", path, self.map)
        self.fd = libbpf.bpf_obj_get(path)
        assert self.fd >= 0
        self.kind = kind
        self.target = ("sockmap", self.map)

    def program(self):
        """The id of what is attached, or 0."""
        id, count = ctypes.c_uint32(0), ctypes.c_uint32(1)
        pointers = ctypes.byref(id), ctypes.byref(count)
        assert libbpf.bpf_prog_query(self.fd, self.kind, 0, None, *pointers) == 0
        return id.value

    def join(self, member):
        key, value = ctypes.c_uint32(0), ctypes.c_uint64(member.fileno())
        pointers = ctypes.byref(key), ctypes.byref(value)
        assert libbpf.bpf_map_update_elem(self.fd, *pointers, ctypes.c_uint64(0)) == 0


@contextmanager
def sockets_of(one, folder, kind):
    sockets = Sockets(one, folder, kind)
    yield sockets
    os.close(sockets.fd)


SOCKMAPS = [("sk_skb", SK_SKB_STREAM_VERDICT), ("sk_msg", SK_MSG_VERDICT)]


@pytest.mark.parametrize(("name", "kind"), SOCKMAPS, ids=["sk_skb", "sk_msg"])
def test_a_program_of_a_sockmap_counts_while_it_is_attached(
    name, kind, old, attachable, folder
):
    one = Attached(old, attachable, name)
    with sockets_of(one, folder, kind) as sockets, connection() as (here, there):

        def trigger():
            here.sendall(b"message")
            assert there.recv(100) == b"message"

        link = one.attach(sockets.target)
        assert link[2:] == ("sockmap_attach", sockets.target)
        info = old.info(link)
        assert sockets.program() == info["program"] == old.info(one.program)["id"]
        assert info["target"] == {"map": old.maps("info", sockets.map)["id"]}
        sockets.join(there if name == "sk_skb" else here)
        assert one.counts(trigger)
        assert old.detach(link) == "ok"
        assert sockets.program() == 0


def test_a_sockmap_that_has_a_program_takes_no_other_one(old, attachable, folder):
    one, other = (Attached(old, attachable, "sk_msg") for _ in range(2))
    with sockets_of(one, folder, SK_MSG_VERDICT) as sockets:
        link = one.attach(sockets.target)
        attached = sockets.program()
        assert old.attach(other.program, sockets.target) == ("error", "ebusy")
        assert sockets.program() == attached
        assert old.detach(link) == "ok"
        other.attach(sockets.target)
        assert sockets.program() not in (0, attached)


def test_what_others_attached_to_a_sockmap_meanwhile_stays(old, attachable, folder):
    one, other = (Attached(old, attachable, "sk_msg") for _ in range(2))
    with sockets_of(one, folder, SK_MSG_VERDICT) as sockets:
        link = one.attach(sockets.target)
        id = old.info(other.program)["id"]
        theirs = libbpf.bpf_prog_get_fd_by_id(id)
        assert libbpf.bpf_prog_attach(theirs, sockets.fd, SK_MSG_VERDICT, 0) == 0
        assert old.detach(link) == "ok"
        assert sockets.program() == id
        os.close(theirs)


def test_a_kernel_that_tells_nothing_of_sockmaps_gets_no_program(old, odd, attachable):
    """It would replace that of somebody else without a word."""
    one = Attached(old, attachable, "sk_msg")
    odd.linkless |= odd_kernel.NO_SOCKMAP_QUERY
    target = ("sockmap", one.maps[b"sockets"])
    assert old.attach(one.program, target) == ("error", "enotsup")


# --- What it is in the node -------------------------------------------------------------


def test_it_is_told_as_far_as_it_is_known(one, interface):
    link = one.attach(interface.target())
    programs = one.programs
    info = programs.info(link)
    index = socket.if_nametoindex(interface.name)
    assert info.pop("id") >= 1 << 31
    assert info == {
        "type": "clsact",
        "program": programs.info(one.program)["id"],
        "attach_type": "none",
        "target": {"ifindex": index},
        "pinned": [],
        "handles": [link],
    }
    assert programs.type(link) == "clsact"
    assert link in [handle for handle, _, _ in programs.handles()]
    assert all(told["type"] != "clsact" for told in programs.links())


def test_it_has_neither_pins_nor_updates(one, interface, folder):
    link = one.attach(interface.target())
    assert one.programs.pin(bytes(folder / "link"), link) == ("error", "enotsup")
    assert one.programs.update(link, one.program) == ("error", "enotsup")
    assert list(interface.filters()) == [MIDDLE]


def test_the_log_warns_of_it(one, interface):
    link = one.attach(interface.target())
    node = one.programs.node
    id = one.programs.info(one.program)["id"]
    node.wait_log(rf"warning program {id} is attached for .* as clsact, as this kernel has no")
    assert one.programs.detach(link) == "ok"


def test_it_goes_when_its_handle_is_closed(one, interface):
    assert one.programs.close(one.attach(interface.target())) == "ok"
    interface.wait_bare()


def by_process(beam, node, arguments):
    """A process that lives on, and the link that it has made."""
    script = """
        Me = self(),
        Holder = spawn(fun() ->
            Me ! {made, erpc:call(N, ebpf_programs, attach, A)},
            receive stop -> ok end
        end),
        receive {made, L} -> {Holder, L} after 15000 -> late end."""
    return beam.eval(script, N=node.name, A=arguments)


def test_it_goes_with_its_process(alice, one, interface):
    arguments = [one.program, interface.target(), [("lifetime", "process")]]
    holder, link = by_process(alice, one.programs.node, arguments)
    assert link[2] == "clsact"
    assert not interface.is_bare()
    assert alice.eval("H ! stop.", H=holder) == "stop"
    interface.wait_bare()


def test_it_goes_with_its_node(start_old, attachable, interface, start_beam):
    beam = start_beam()
    old = start_old("--grace", "0", beam=beam)
    Attached(old, attachable, "tc").attach(interface.target())
    assert not interface.is_bare()
    beam.kill()
    interface.wait_bare()


def test_it_counts_for_max_programs_and_not_for_max_loads(start_old, attachable, interface):
    old = start_old("--max-programs", "5", "--max-loads", "1")
    one = Attached(old, attachable, "tc")
    links = [one.attach(interface.target()) for _ in range(4)]
    assert old.attach(one.program, interface.target()) == ("error", "emfile")
    assert old.detach(links[0]) == "ok"
    one.attach(interface.target())
    assert len(interface.filters()) == len(keepers_of(old.node)) == 4


def test_the_last_place_is_that_of_the_one_under_way(
    alice, bob, start_old, attachable, interface
):
    old = start_old("--max-programs", "2")
    one = Attached(old, attachable, "tc")
    with locked_out(old.node):
        keepers = attach_later(alice, one, interface)
        attach = Programs(bob, old.node).attach
        assert attach(one.program, interface.target()) == ("error", "emfile")
        assert keepers_of(old.node) == keepers
    assert alice.finish()[0] == "ebpf_link"


def test_hundred_of_them_leave_nothing_behind(old, one, interface):
    loader = loader_of(old.node)
    one.programs.detach(one.attach(interface.target()))
    wait_until(lambda: not keepers_of(old.node), what="the keeper has ended")
    before = old.node.descriptors(), len(os.listdir(f"/proc/{loader}/fd"))
    for i in range(100):
        side = ("ingress", "egress")[i % 2]
        assert one.programs.detach(one.attach(interface.target(side))) == "ok"
    assert interface.is_bare()
    wait_until(lambda: children(loader) == [], what="the keepers have ended")
    assert (old.node.descriptors(), len(os.listdir(f"/proc/{loader}/fd"))) == before


# --- Ends -------------------------------------------------------------------------------


def end_of(number, *pids):
    for pid in pids:
        os.kill(pid, number)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_it_goes_with_the_c_node_however_that_ends(number, one, interface):
    node = one.programs.node
    node.must_live = False
    one.attach(interface.target())
    one.attach(interface.target("egress"))
    keepers = keepers_of(node)
    os.kill(node.pid, number)
    node.wait_exit()
    interface.wait_bare()
    wait_until(lambda: all(map(has_ended, keepers)), what="the keepers have ended")


def test_it_goes_with_the_c_node_and_the_loader_at_once(one, interface):
    node = one.programs.node
    node.must_live = False
    one.attach(interface.target())
    keepers, loader = keepers_of(node), loader_of(node)
    end_of(signal.SIGSTOP, loader, node.pid)
    end_of(signal.SIGKILL, loader, node.pid)
    node.wait_exit()
    interface.wait_bare()
    wait_until(lambda: all(map(has_ended, keepers)), what="the keepers have ended")


def test_what_all_processes_are_sent_at_their_end_does_not_end_the_keeper(one, interface):
    """As by a service manager, or from a terminal."""
    node = one.programs.node
    one.attach(interface.target())
    [keeper] = keepers_of(node)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGPIPE):
        os.kill(keeper, number)
    assert one.programs.info(one.link)["type"] == "clsact"
    assert not has_ended(keeper)
    assert one.programs.detach(one.link) == "ok"
    assert interface.is_bare()


def test_without_the_loader_it_stays_until_its_handle_ends(one, interface):
    node = one.programs.node
    links = [one.attach(interface.target(side)) for side in ("ingress", "egress")]
    keepers = keepers_of(node)
    os.kill(loader_of(node), signal.SIGKILL)
    target = interface.target()
    wait_until(lambda: not [pid for pid in children(node.pid) if not has_ended(pid)])
    assert one.programs.attach(one.program, target) == ("error", ("loader", "gone"))
    assert len(interface.filters()) == len(interface.filters("egress")) == 1
    assert one.programs.detach(links[0]) == "ok"
    assert interface.filters() == {}
    assert one.programs.close(links[1]) == "ok"
    interface.wait_bare()
    wait_until(lambda: all(map(has_ended, keepers)), what="the keepers have ended")


def test_without_its_keeper_it_stays_and_detach_says_so(one, interface):
    node = one.programs.node
    link = one.attach(interface.target())
    [keeper] = keepers_of(node)
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: has_ended(keeper), what="the keeper has ended")
    assert one.programs.detach(link) == ("error", "esrch")
    node.wait_log("warning the process that was to detach program .* has been killed")
    with raises(("badlink", link)):
        one.programs.detach(link)
    assert list(interface.filters()) == [MIDDLE]
    # the next one that comes to that clsact knows that it is ours
    last = one.attach(interface.target())
    run(f"tc filter del dev {interface.name} ingress prio {MIDDLE}")
    assert one.programs.detach(last) == "ok"
    assert interface.is_bare()


def test_a_keeper_that_is_stopped_is_not_waited_for_without_end(one, interface):
    link = one.attach(interface.target())
    [keeper] = keepers_of(one.programs.node)
    os.kill(keeper, signal.SIGSTOP)
    assert one.programs.detach(link, timeout=20) == ("error", "etimedout")
    os.kill(keeper, signal.SIGCONT)
    interface.wait_bare()


@contextmanager
def locked_out(node):
    """While we have the lock of its keepers, they wait before they attach."""
    folder = Path(f"/proc/{loader_of(node)}/fd")
    [path] = [fd for fd in folder.iterdir() if os.readlink(fd) == LOCK]
    with open(path, "r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def ask_for(beam, one, interface):
    script = "try erpc:call(N, ebpf_programs, attach, A) catch _:{erpc, Reason} -> Reason end."
    arguments = [one.program, interface.target()]
    beam.start_eval(script, N=one.programs.node.name, A=arguments)


def attach_later(beam, one, interface):
    ask_for(beam, one, interface)
    wait_until(lambda: keepers_of(one.programs.node), what="a keeper has been started")
    return keepers_of(one.programs.node)


def test_one_that_takes_too_long_leaves_nothing(alice, start_old, attachable, interface):
    """The keeper is not killed: only it can detach what it attaches late."""
    one = Attached(start_old("--load-seconds", "1"), attachable, "tc")
    with locked_out(one.programs.node):
        [keeper] = attach_later(alice, one, interface)
        assert alice.finish() == ("error", ("loader", "timeout"))
        assert not has_ended(keeper)
    wait_until(lambda: has_ended(keeper), what="the keeper has ended")
    assert interface.is_bare()
    one.attach(interface.target())


@pytest.mark.parametrize("whose", ["loader", "node"])
def test_one_whose_start_sees_an_end_leaves_nothing(whose, alice, one, interface):
    node = one.programs.node
    node.must_live = False
    with locked_out(node):
        [keeper] = attach_later(alice, one, interface)
        os.kill(loader_of(node) if whose == "loader" else node.pid, signal.SIGKILL)
        ends = {"loader": ("error", ("loader", "gone")), "node": "noconnection"}
        assert alice.finish() == ends[whose]
        assert not has_ended(keeper)
    wait_until(lambda: has_ended(keeper), what="the keeper has ended")
    assert interface.is_bare()


def test_one_that_starts_when_nobody_asks_for_it_any_more_leaves_nothing(
    one, interface, start_beam
):
    """The node does not look for its answer, and nobody else asks for anything."""
    node = one.programs.node
    beam = start_beam()

    def asked():
        return any("memfd:request" in fd for fd in node.descriptors())

    with locked_out(node):
        os.kill(loader_of(node), signal.SIGSTOP)
        ask_for(beam, one, interface)
        wait_until(asked, what="the loader is asked")
        beam.kill()
        wait_until(lambda: not asked(), what="the node has given up")
        os.kill(loader_of(node), signal.SIGCONT)
        wait_until(lambda: keepers_of(node), what="a keeper has been started")
        [keeper] = keepers_of(node)
    wait_until(lambda: has_ended(keeper), what="the keeper has ended")
    assert interface.is_bare()


def test_a_keeper_that_answers_with_something_else_is_not_believed(
    start_programs, cluster, odd, tmp_path, attachable, interface
):
    liar = preload.build("lying_keeper", tmp_path)
    env = {**cluster.env, **odd.env, "LD_PRELOAD": f"{liar} {odd.env['LD_PRELOAD']}"}
    one = Attached(start_programs(env=env), attachable, "tc")
    attach = one.programs.attach
    assert attach(one.program, interface.target()) == ("error", ("loader", "killed"))
    one.programs.node.wait_log("warning attach/2 for .* closed: it keeps nothing")
    interface.wait_bare()


# --- What a keeper may do ---------------------------------------------------------------


def told_of(keeper):
    """Its descriptors but those of the device null."""
    links = [os.readlink(fd) for fd in Path(f"/proc/{keeper}/fd").iterdir()]
    assert links.count("/dev/null") == 3
    return sorted(re.sub(r"\[\d+\]", "", link) for link in links if link != "/dev/null")


def test_a_keeper_holds_its_end_and_the_lock_and_nothing_else(one, interface):
    one.attach(interface.target())
    one.attach(interface.target("egress"))
    for keeper in keepers_of(one.programs.node):
        assert told_of(keeper) == [LOCK, "socket:"]


def test_a_keeper_of_a_sockmap_holds_the_map_and_the_program(old, attachable):
    one = Attached(old, attachable, "sk_msg")
    one.attach(("sockmap", one.maps[b"sockets"]))
    [keeper] = keepers_of(old.node)
    assert told_of(keeper) == [LOCK, "anon_inode:bpf-map", "anon_inode:bpf-prog", "socket:"]


def test_a_keeper_is_confined(one, interface):
    one.attach(interface.target())
    [keeper] = keepers_of(one.programs.node)
    told = status(keeper)
    assert (told["NoNewPrivs"], told["Seccomp"], told["Threads"]) == ("1", "2", "1")
    assert int(told["CapPrm"], 16) == int(told["CapEff"], 16) == NET_ADMIN
    assert {int(told[f"Cap{of}"], 16) for of in ("Inh", "Bnd", "Amb")} == {0}
    limits = Path(f"/proc/{keeper}/limits").read_text()
    assert re.search(r"Max core file size +0 +0 ", limits)


def test_a_keeper_sleeps(one, interface):
    one.attach(interface.target())
    [keeper] = keepers_of(one.programs.node)
    wait_until(lambda: status(keeper)["State"].startswith("S"), what="the keeper sleeps")
    before = status(keeper)["voluntary_ctxt_switches"]
    assert one.programs.info(one.link)["type"] == "clsact"
    assert status(keeper)["voluntary_ctxt_switches"] == before
