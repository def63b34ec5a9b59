# SPDX-License-Identifier: Apache-2.0
"""Children that lie, hang or crash, and a loader that is gone: what it costs their
callers, while all others go on.

By libraries that take the place of functions of libc and libbpf in a child; the
node has no hook for any of this.
"""

import json
import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from cluster import wait_until
from instructions import returns
from preload import build
from processes import children
from program_fixtures import Programs
from test_loader import has_ended, memory

pytestmark = [pytest.mark.sandbox, pytest.mark.preload]

KILLED = ("error", ("loader", "killed"))
TIMEOUT = ("error", ("loader", "timeout"))
GONE = ("error", ("loader", "gone"))
GETPPID = ("tracepoint", b"syscalls", b"sys_enter_getppid")
PACKET = {"data": bytes(64)}
BY_SIGSYS = (KILLED, "was killed by signal 31")
NO_ANSWER = (KILLED, "sent something else than an answer|gave no proper answer|failed")

# What a child does: what its caller gets, and the log.
LIES = {
    "crash": (KILLED, "was killed by signal 11"),
    "abort": (KILLED, "was killed by signal 6"),
    "say nothing": (KILLED, "gave no proper answer"),
    "fail": (KILLED, "failed"),
    "spin": (TIMEOUT, "took too long"),
    "sleep": (TIMEOUT, "took too long"),
    "endless": (KILLED, "sent something else than an answer"),
    "descriptors": NO_ANSWER,
    "hoard": NO_ANSWER,
    "short": NO_ANSWER,
    "empty": NO_ANSWER,
    "wrong size": NO_ANSWER,
    "wrong serial": NO_ANSWER,
    "end of another": NO_ANSWER,
    "fork": BY_SIGSYS,
    "exec": BY_SIGSYS,
    "socket": BY_SIGSYS,
    "receive": BY_SIGSYS,
    "kill the loader": BY_SIGSYS,
    "trace the loader": BY_SIGSYS,
    "make code": BY_SIGSYS,
}


@pytest.fixture(scope="session")
def liars(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lib")
    return {name: build(name, folder) for name in ("lying_child", "lying_answer")}


@pytest.fixture
def start_lying(start_programs, cluster, liars):
    def start(lie, job="bpf_object__open_mem", by="lying_child"):
        """The first child that does its job by this function lies."""
        lies = {"LD_PRELOAD": str(liars[by]), "LIE": lie, "LIE_IN": job}
        # what nobody waits for may take its time, on a machine with much to do
        seconds = 3 if LIES.get(lie, [KILLED])[0] == TIMEOUT else 20
        limits = ("--load-seconds", seconds, "--run-seconds", seconds, "--max-loads", 2)
        return start_programs(*limits, env={**cluster.env, **lies})

    return start


def start_call(programs, function, *args):
    """Its value is that of programs.beam.finish()."""
    request = [programs.node.name, "ebpf_programs", function, [*args]]
    programs.beam.start_apply("erpc", "call", request)


def go_on(others, map):
    """They load, run, and use maps, as if nothing were."""
    for _ in range(3):
        program = others.load("xdp", returns(2), [])
        assert others.run(program, PACKET, [])["return"] == 2
        assert others.close(program) == "ok"
        assert others.maps("put", 1, bytes(8), map) == map
        assert others.maps("get", 1, map) == bytes(8)


class Loader:
    """It has no child and no descriptor more than when it began."""

    def __init__(self, programs):
        self.node = programs.node
        [self.pid] = children(self.node.pid)
        self.before = self.descriptors()

    def descriptors(self):
        return sorted(os.listdir(f"/proc/{self.pid}/fd"))

    def check(self):
        assert children(self.node.pid) == [self.pid]
        wait_until(lambda: children(self.pid) == [], what="its children have ended")
        assert self.descriptors() == self.before


@pytest.mark.parametrize("lie", LIES)
def test_a_child_that_lies_costs_its_caller_an_error_and_nobody_else(
    lie, start_lying, bob, objects
):
    wanted, words = LIES[lie]
    programs = start_lying(lie)
    others = Programs(bob, programs.node)
    map = others.maps("new", "hash", 4, 8, 16)
    loader = Loader(programs)
    with programs.unchanged():
        start_call(programs, "load", objects, [])
        go_on(others, map)
        assert programs.beam.finish() == wanted
        go_on(others, map)
    programs.node.wait_log(f"warning loading an object for {programs.beam.name}: .* ({words})")
    loader.check()


def test_descriptors_on_their_way_are_waited_for(programs, objects):
    """The kernel allows a user but so many, and others of that user may have them."""
    loader = Loader(programs)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(20):  # 20 x 250 are more than a child may have on their way
            socket.send_fds(ours, [b"x"], [theirs.fileno()] * 250)
        start_call(programs, "load", "xdp", returns(2), [])
        [child] = wait_until(lambda: children(loader.pid), what="it is at work")
        time.sleep(0.3)
        assert children(loader.pid) == [child]
    assert programs.beam.finish()[0] == "ebpf_program"
    loader.check()


def test_too_many_descriptors_on_their_way_do_not_end_the_use_of_the_loader(start_programs):
    """Without CAP_SYS_ADMIN the node itself may have but so many, too."""
    programs = start_programs("--no-open-by-id")
    subprocess.run(["prlimit", "--pid", str(programs.node.pid), "--nofile=200:200"], check=True)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        for _ in range(2):
            socket.send_fds(ours, [b"x"], [theirs.fileno()] * 150)
        assert programs.load("xdp", returns(2), []) == ("error", "ebusy")
    assert programs.load("xdp", returns(2), [])[0] == "ebpf_program"


# What each job's child calls, the log's word for it, and the request.
JOBS = {
    "load/3": ("bpf_prog_load", "loading a program", lambda p, xdp, _: p.load("xdp", returns(0), [])),
    "run/3": ("bpf_prog_test_run_opts", "running a program", lambda p, xdp, _: p.run(xdp, PACKET, [])),
    "attach/2": ("bpf_link_create", "attaching a program", lambda p, _, tp: p.attach(tp, GETPPID)),
}


@pytest.mark.parametrize("lie", ["crash", "sleep", "endless", "fork"])
@pytest.mark.parametrize("job", JOBS)
def test_it_costs_no_more_whatever_its_job_is(job, lie, start_lying, objects, tracefs):
    function, does, request = JOBS[job]
    wanted, words = LIES[lie]
    programs = start_lying(lie, function)
    loader = Loader(programs)
    names = [b"pass", b"at_getppid"]
    loaded = programs.load(objects, [("programs", names)])["programs"]
    loaded = [loaded[name] for name in names]
    with programs.unchanged():
        assert request(programs, *loaded) == wanted
    programs.node.wait_log(f"warning {does} for {programs.beam.name}: .* ({words})")
    # the next one tells the truth
    assert "error" not in request(programs, *loaded)
    loader.check()


@pytest.mark.parametrize("lie", ["attach: the program", "attach: the event"])
def test_what_is_no_link_is_none(lie, start_lying, objects, tracefs):
    programs = start_lying(lie, by="lying_answer")
    loaded = programs.load(objects, [("programs", [b"at_getppid"])])
    with programs.unchanged():
        assert programs.attach(loaded["programs"][b"at_getppid"], GETPPID) == KILLED
    programs.node.wait_log(f"warning attach/2 for {programs.beam.name}: .*what it made was closed")


def test_a_descriptor_that_nobody_asked_for_is_closed(start_lying, objects):
    """Nor is it taken for what a record calls it."""
    programs = start_lying("a socket", by="lying_answer")
    with programs.unchanged():
        assert programs.load("xdp", returns(2), []) == KILLED
        assert programs.load(objects, []) == KILLED


def test_the_memory_of_a_child_does_not_hold_the_cookie(
    start_programs, cluster, liars, objects
):
    """One that hangs when it has done its job; what it does hold is its object."""
    lies = {"LD_PRELOAD": str(liars["lying_child"]), "LIE": "sleep"}
    programs = start_programs("--load-seconds", "60", env={**cluster.env, **lies})
    start_call(programs, "load", objects, [])
    loader = Loader(programs).pid
    [child] = wait_until(lambda: children(loader))
    wait_until(lambda: Path(f"/proc/{child}/wchan").read_text().startswith("futex"))
    secret, part = cluster.cookie.encode(), objects[:4096]
    assert any(secret in of_node for of_node in memory(programs.node.pid))
    held = memory(child)
    assert any(part in of_child for of_child in held)
    assert not any(secret in of_child for of_child in held)
    os.kill(child, signal.SIGKILL)
    assert programs.beam.finish() == KILLED


# --- The loader itself


class World:
    """What goes on without a loader, and requests that do not."""

    def __init__(self, programs, objects):
        self.programs = programs
        self.objects = objects
        names = [b"pass", b"second", b"at_getppid", b"at_raw"]
        # XDP_PASS: the nodes talk to each other through it
        loaded = programs.load(objects, [("programs", names), ("variables", {b"limit": 2})])
        self.loaded = loaded["programs"]
        self.map = loaded["maps"][b"table"]
        self.xdp = self.attach(b"pass", ("xdp", b"lo", "generic"))
        self.links = [
            self.xdp,
            self.attach(b"at_getppid", GETPPID),
            self.attach(b"at_raw", ("raw_tracepoint", b"sys_enter")),
            self.attach(b"second", ("tc", b"lo", "egress", "last")),
        ]
        self.ids = [programs.info(link)["id"] for link in self.links]

    def attach(self, name, target):
        link = self.programs.attach(self.loaded[name], target)
        assert link[0] == "ebpf_link", link
        return link

    def requests_of_the_loader(self):
        programs = self.programs
        return [
            programs.load(self.objects, []),
            programs.load("xdp", returns(2), []),
            programs.run(self.loaded[b"pass"], PACKET, []),
            programs.attach(self.loaded[b"at_getppid"], GETPPID),
        ]

    def goes_on(self):
        """Maps and links, and what the node does itself."""
        programs = self.programs
        programs.maps("put", 1, bytes(8), self.map)
        assert programs.maps("get", 1, self.map) == bytes(8)
        assert [programs.info(link)["id"] for link in self.links] == self.ids
        assert programs.update(self.xdp, self.loaded[b"pass"]) == self.xdp
        again = self.attach(b"at_raw", ("raw_tracepoint", b"sys_exit"))
        assert programs.detach(again) == "ok"


@pytest.fixture
def world(programs, objects, tracefs):
    return World(programs, objects)


def test_a_loader_that_was_killed_is_gone_and_all_else_goes_on(world):
    programs = world.programs
    os.kill(Loader(programs).pid, signal.SIGKILL)
    programs.node.wait_log("error the loader is gone")
    assert world.requests_of_the_loader() == [GONE] * 4
    world.goes_on()
    assert children(programs.node.pid) == []
    assert len(programs.node.find_log("the loader is gone")) == 1


@pytest.mark.slow
def test_a_loader_that_is_stopped_is_gone_until_it_goes_on(start_programs, objects, tracefs):
    programs = start_programs("--load-seconds", "1", "--run-seconds", "1")
    world = World(programs, objects)
    loader = Loader(programs)
    os.kill(loader.pid, signal.SIGSTOP)
    start_call(programs, "load", objects, [])
    assert programs.beam.finish(60) == GONE
    programs.node.wait_log("warning the loader does not answer")
    world.goes_on()
    assert world.requests_of_the_loader() == [GONE] * 4
    os.kill(loader.pid, signal.SIGCONT)
    assert GONE not in world.requests_of_the_loader()
    programs.node.wait_log("notice the loader answers again")


def test_of_a_node_that_was_killed_only_what_is_pinned_stays(world, folder, bpftool):
    """Also of one whose loader is stopped."""
    programs = world.programs
    pinned = world.links[1]
    kept = programs.info(pinned)["id"]
    assert programs.pin(bytes(folder / "link"), pinned) == "ok"
    loader = Loader(programs).pid
    os.kill(loader, signal.SIGSTOP)
    programs.node.must_live = False
    programs.node.kill()

    def left():
        there = {link["id"] for link in json.loads(bpftool("-j", "link", "list"))}
        return there & set(world.ids)

    wait_until(lambda: left() == {kept}, what="all but one of its links have gone")
    wait_until(lambda: has_ended(loader), what="the loader has ended")
    (folder / "link").unlink()
    wait_until(lambda: not left(), what="the last link has gone")
