# SPDX-License-Identifier: Apache-2.0
"""Programs and links over a restart: what is attached stays so, and counts on."""

import os
import signal
import subprocess
import threading

import pytest

import odd_kernel
import preload
from cluster import wait_until
from conftest import raises
from test_attach import (  # noqa: F401
    Attached,
    attachable,
    call_the_kernel,
    send_packet,
    send_through_veth,
    veth,
)

pytestmark = pytest.mark.sandbox

ALL = ("--programs", "all", "--allow", "*=load")
ENDS = pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
GETPPID = ("tracepoint", b"syscalls", b"sys_enter_getppid")


@pytest.fixture
def attached(kept, attachable):  # noqa: F811
    kept.start(*ALL)
    return lambda name: Attached(kept.programs, attachable, name)


def restarted(one, kept, how):
    """The same object, of the C node that was started anew."""
    kept.again(how)
    one.programs = kept.programs
    return one


TARGETS = [
    ("tracepoint", GETPPID, call_the_kernel),
    ("raw_tracepoint", ("raw_tracepoint", b"sys_enter"), call_the_kernel),
    ("btf", "btf", call_the_kernel),
    ("xdp", ("xdp", b"lo", "generic"), send_packet),
    ("tc", ("tc", b"lo", "ingress", "first"), send_packet),
]


@ENDS
@pytest.mark.parametrize(("name", "target", "trigger"), TARGETS, ids=[row[0] for row in TARGETS])
def test_a_link_stays_attached_and_can_be_detached(
    name, target, trigger, how, attached, kept, tracefs
):
    one = attached(name)
    link = one.attach(target)
    before = kept.programs.info(link), kept.programs.info(one.program)
    kept.end(how)
    trigger()  # nobody is there to see, but the program
    kept.start()
    one.programs = kept.programs
    after = kept.programs.info(link), kept.programs.info(one.program)
    assert after == before
    assert one.hits() > 0
    assert one.counts(trigger)
    assert kept.programs.detach(link) == "ok"
    assert not one.counts(trigger)
    with raises(("badlink", link)):
        kept.programs.info(link)


def test_a_loaded_program_can_be_attached_and_run_after_a_restart(attached, kept):
    one = restarted(attached("xdp"), kept, signal.SIGKILL)
    one.attach(("xdp", b"lo", "generic"))
    assert one.counts(send_packet)


@ENDS
def test_a_link_of_each_processor_comes_back_whole(attached, kept, how):
    one = attached("perf")
    link = one.attach(("perf", "cpu_clock", 1000))
    pins = kept.pins()
    restarted(one, kept, how)
    assert kept.pins() == pins
    begun = one.hits()
    wait_until(lambda: one.hits() > begun, what="the clock ticks")
    assert kept.programs.detach(link) == "ok"
    assert len(kept.pins()) == len(pins) - os.cpu_count()


def test_a_link_is_updated_after_a_restart(attached, kept, attachable):  # noqa: F811
    one = attached("xdp")
    link = one.attach(("xdp", b"lo", "generic"))
    other = Attached(kept.programs, attachable, "xdp")
    restarted(one, kept, signal.SIGKILL)
    other.programs = kept.programs
    assert kept.programs.update(link, other.program) == link
    assert other.counts(send_packet)
    assert not one.counts(send_packet)
    restarted(one, kept, signal.SIGKILL)
    other.programs = kept.programs
    assert kept.programs.info(link)["program"] == kept.programs.info(other.program)["id"]


@ENDS
def test_no_packet_goes_uncounted_while_the_node_restarts(attached, kept, veth, how):  # noqa: F811
    one = attached("xdp")
    one.attach(("xdp", veth.encode(), "native"))
    first = one.hits()
    sent, stop = 0, threading.Event()

    def send():
        nonlocal sent
        while not stop.is_set():
            send_through_veth()
            sent += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        for _ in range(3):
            mark = sent
            wait_until(lambda: sent > mark + 100, what="packets are sent")  # noqa: B023
            restarted(one, kept, how)
            wait_until(lambda: sent > mark + 200, what="packets are sent")  # noqa: B023
    finally:
        stop.set()
        thread.join()
    assert one.hits() - first >= sent
    assert sent > 600


def test_without_programs_what_was_attached_stays(attached, kept):
    one = attached("xdp")
    link = one.attach(("xdp", b"lo", "generic"))
    kept.again(signal.SIGTERM, "--grace", "60")
    kept.node.wait_log(r"back from \S+: \d+ maps, \d+ programs, 1 links")
    with raises("eacces"):
        kept.programs.info(link)
    kept.again(signal.SIGTERM, *ALL)
    one.programs = kept.programs
    assert one.counts(send_packet)
    assert kept.programs.detach(link) == "ok"


# --- What is no kernel link -------------------------------------------------------------


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return preload.build("odd_kernel", tmp_path_factory.mktemp("preload"))


@pytest.mark.preload
@ENDS
def test_what_is_no_kernel_link_is_removed_and_said_so(
    kept, library, tmp_path, cluster, attachable, how  # noqa: F811
):
    odd = odd_kernel.OddKernel(library, tmp_path / "odd")
    odd.linkless = odd_kernel.NO_TCX | odd_kernel.NO_SOCKMAP_LINKS
    env = {**cluster.env, **odd.env}
    kept.start(*ALL, env=env)
    one = Attached(kept.programs, attachable, "tc")
    link = one.attach(("tc", b"lo", "ingress", "first"))
    assert link[2] == "clsact"
    assert one.counts(send_packet)
    kept.end(how)
    if how == signal.SIGTERM:
        kept.node.wait_log(r"notice link \d+ is no kernel link, and cannot be kept")
    kept.start(*ALL, env=env)
    if how == signal.SIGKILL:
        kept.node.wait_log(r"warning --keep \S+: link \d+ of \S+ is not back: it is no kernel link")
    one.programs = kept.programs
    wait_until(lambda: not one.counts(send_packet), what="it is detached")
    with raises(("badlink", link)):
        kept.programs.info(link)
    subprocess.run(["tc", "qdisc", "del", "dev", "lo", "clsact"], stderr=subprocess.DEVNULL)
