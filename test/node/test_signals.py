# SPDX-License-Identifier: Apache-2.0
"""What signals do to a C node: three end it, and none that means nothing here."""

import re
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from cluster import usual_options, wait_until

IGNORED = {
    *(signal.SIGPIPE, signal.SIGXFSZ, signal.SIGTTOU, signal.SIGUSR2),
    *(signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR),
    *(16, signal.SIGRTMIN, signal.SIGRTMAX),  # 16: SIGSTKFLT
}
SERVED = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1}
# To end it at once, to stop it at a terminal, its own crashes, and no action.
BY_DEFAULT = {
    *(signal.SIGQUIT, signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL),
    *(signal.SIGTSTP, signal.SIGTTIN, signal.SIGSTOP),
    *(signal.SIGILL, signal.SIGTRAP, signal.SIGABRT, signal.SIGBUS),
    *(signal.SIGFPE, signal.SIGSEGV, signal.SIGSYS),
    *(signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
}


def numbers(pid, field):
    """The signals of a mask that /proc tells."""
    told = Path(f"/proc/{pid}/status").read_text()
    mask = int(re.search(rf"^{field}:\t(\w+)", told, re.M)[1], 16)
    return {n for n in range(1, 65) if mask >> (n - 1) & 1}


def name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def is_served(node):
    start = node.mark()
    node.process.send_signal(signal.SIGUSR1)  # comes after those before it
    node.wait_log("notice stats: ", start=start)


@pytest.mark.parametrize("number", sorted(IGNORED), ids=name)
def test_a_signal_without_a_meaning_ends_and_stops_nothing(number, fresh_cnode, alice):
    fresh_cnode.process.send_signal(number)
    is_served(fresh_cnode)
    assert alice.apply("net_adm", "ping", fresh_cnode.name) == "pong"


def test_nor_does_any_while_it_starts(start_cnode, cluster):
    node = start_cnode(
        *("--cookie-file", "/dev/stdin"),
        ready=False,
        stdin=subprocess.PIPE,
        wrapper=["env", "--default-signal"],
    )
    wait_until(lambda: signal.SIGXFSZ in numbers(node.pid, "SigIgn"))
    for number in IGNORED:
        node.process.send_signal(number)
    node.process.stdin.write(cluster.cookie.encode() + b"\n")
    node.process.stdin.close()
    node.wait_ready()
    node.stop()


@pytest.mark.sandbox
def test_every_signal_has_its_fate(start_cnode):
    node = start_cnode(wrapper=["env", "--default-signal"])
    libc = {32, 33}  # pthread_cancel(3), setuid(2) of all threads: as inherited
    ignored, blocked = numbers(node.pid, "SigIgn") - libc, numbers(node.pid, "SigBlk")
    assert blocked == SERVED
    realtime = set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1))
    assert ignored == IGNORED | realtime | {signal.SIGUSR1}
    rest = set(range(1, 65)) - ignored - blocked - libc
    assert rest == BY_DEFAULT
    assert not numbers(node.pid, "SigCgt") - SERVED - libc


def test_a_log_that_may_not_grow_loses_lines_and_no_more(
    program, cluster, alice, tmp_path
):
    """The limit comes after the start: a log that has grown to its limit."""
    log = tmp_path / "log"
    sname = cluster.name("cnode")
    with log.open("ab") as stderr:
        process = subprocess.Popen(
            [program, "--sname", sname, *usual_options(cluster)],
            env=cluster.env,
            stdin=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        wait_until(lambda: " notice ready " in log.read_text())
        size = log.stat().st_size
        _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))
        for _ in range(2):  # when the second one is taken, the first one is done
            process.send_signal(signal.SIGUSR1)
            wait_until(lambda: signal.SIGUSR1 not in numbers(process.pid, "ShdPnd"))
        node = f"{sname}@{cluster.host}"
        assert alice.apply("net_adm", "ping", node) == "pong"
        assert log.stat().st_size == size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: re.search(r"\d+ log lines were lost", log.read_text()))
        assert "notice stats: " in log.read_text()
    finally:
        process.terminate()
        assert process.wait(20) == 0
