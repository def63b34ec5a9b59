# SPDX-License-Identifier: Apache-2.0
"""Children of the loader: what becomes of requests when they lie, hang or crash.

By loader_probe, which asks the loader as the node does; the node itself has no
hook for any of this.
"""

import os
import re
import signal
import subprocess
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import PATIENCE, SANITIZED, kill, spawn, wait_until
from preload import build

pytestmark = pytest.mark.sandbox

LOAD, INSTRUCTIONS, RUN, ATTACH = range(4)


@pytest.fixture(scope="session")
def built_probe(program):
    place = program.parent.parent
    subprocess.run(["make", "-s", "-C", place, "test/programs/loader_probe"], check=True)
    return place / "test" / "programs" / "loader_probe"


@pytest.fixture(scope="session")
def lying_child(tmp_path_factory):
    return build("lying_child", tmp_path_factory.mktemp("lib"))


def has_ended(pid):
    """Be it a zombie: whoever has it now may be slow to wait for it."""
    with suppress(FileNotFoundError, ProcessLookupError):
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    return True


class Probe:
    """One loader, and requests to it."""

    def __init__(self, program, *options, env=None):
        self.process = spawn(
            [program, *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
        )
        self.loader = int(re.fullmatch(r"loader (\d+)\n", self.process.stdout.readline())[1])
        self.asked = 0
        self.answers = {}
        self.log = []
        reads = (self._read_answers, self._read_log)
        self.readers = [threading.Thread(target=read) for read in reads]
        for reader in self.readers:
            reader.start()

    def _read_answers(self):
        with self.process.stdout as answers:
            for line in answers:
                number, outcome, _, *kinds = line.split()
                self.answers[int(number)] = (outcome, kinds)

    def _read_log(self):
        with self.process.stderr as log:
            for line in log:
                self.log.append(line.rstrip("\n"))

    def send(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def ask(self, node="a@h", job=LOAD):
        """Its number, for wait()."""
        self.asked += 1
        self.send(f"{self.asked} {node} {job} object")
        return self.asked

    def wait(self, number, timeout=10):
        return wait_until(lambda: self.answers.get(number), timeout, "an answer")[0]

    def outcome(self, *args, timeout=10, **options):
        return self.wait(self.ask(*args, **options), timeout)

    def said(self, pattern):
        return wait_until(lambda: [line for line in self.log if re.search(pattern, line)])

    def children(self):
        return Path(f"/proc/{self.loader}/task/{self.loader}/children").read_text().split()

    def close(self):
        self.process.stdin.close()
        assert self.process.wait(20 * PATIENCE) == 0
        for reader in self.readers:
            reader.join()
        wait_until(lambda: has_ended(self.loader))


@pytest.fixture
def start_probe(built_probe, lying_child):
    started = []

    def start(*, words="all", max_loads=2, seconds=5, lie=None):
        env = dict(os.environ, LD_PRELOAD=str(lying_child), LIE=lie) if lie else None
        started.append(Probe(built_probe, words, max_loads, seconds, env=env))
        return started[-1]

    yield start
    for probe in started:
        probe.process.stdin.close()
        kill(probe.process)
        for reader in probe.readers:
            reader.join()


def test_each_job_is_answered(start_probe):
    probe = start_probe()
    assert [probe.outcome(job=job) for job in range(4)] == ["answered"] * 4
    assert probe.children() == []
    probe.close()


def test_many_requests_of_many_nodes_are_answered(start_probe):
    probe = start_probe(max_loads=4)
    asked = [probe.ask(node=f"n{i % 40}@h", job=i % 2) for i in range(300)]
    assert {probe.wait(number, 30) for number in asked} == {"answered"}
    assert probe.children() == []
    probe.close()


# What the first child does, and what comes of it; then, in the log.
LIES = {
    "crash": ("killed", "was killed by signal 11"),
    "abort": ("killed", "was killed by signal 6"),
    "say nothing": ("killed", "gave no proper answer"),
    "fail": ("killed", "failed"),
    "spin": ("timeout", "took too long"),
    "sleep": ("timeout", "took too long"),
    "endless": ("killed", "sent something else than an answer"),
    "descriptors": ("killed", "sent something else|gave no proper answer|failed"),
    "short": ("killed", "sent something else|gave no proper answer|failed"),
    "empty": ("killed", "gave no proper answer|failed"),
    "wrong size": ("killed", "sent something else|gave no proper answer|failed"),
    "wrong serial": ("killed", "sent something else|gave no proper answer|failed"),
    "end of another": ("killed", "sent something else|gave no proper answer|failed"),
    "fork": ("killed", "was killed by signal 31"),
    "exec": ("killed", "was killed by signal 31"),
    "socket": ("killed", "was killed by signal 31"),
    "receive": ("killed", "was killed by signal 31"),
    "kill the loader": ("killed", "was killed by signal 31"),
    "trace the loader": ("killed", "was killed by signal 31"),
    "make code": ("killed", "was killed by signal 31"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_child_that_lies_costs_its_caller_an_answer_and_nobody_else(lie, start_probe):
    outcome, line = LIES[lie]
    probe = start_probe(seconds=1, lie=lie)
    assert probe.outcome() == outcome
    assert probe.said(f"warning loading an object for a@h: the loader's child ({line})")
    others = [probe.outcome(node=f"{name}@h") for name in "abcdef"]
    assert others == ["answered"] * 6
    wait_until(lambda: probe.children() == [])
    probe.close()


@pytest.mark.parametrize("lie", ["read a file", "write a file", "look around", "memory"])
def test_a_child_has_nothing_but_its_request(lie, start_probe):
    if SANITIZED and lie == "memory":
        return  # its own memory has no limit: a sanitizer maps too much
    probe = start_probe(lie=lie)
    assert probe.outcome() == "answered"
    assert probe.log == []
    probe.close()


BPF, NET_ADMIN, PERFMON, DAC_READ_SEARCH = 1 << 39, 1 << 12, 1 << 38, 1 << 2
NETWORK = "socket,xdp,tc,cgroup,sockmap,netns,lwt"


@pytest.mark.parametrize(
    "words, job, most",
    [
        ("all", LOAD, BPF | NET_ADMIN | PERFMON),
        ("all", INSTRUCTIONS, BPF | NET_ADMIN | PERFMON),
        ("all", RUN, 0),
        ("all", ATTACH, PERFMON | DAC_READ_SEARCH),
        (NETWORK, LOAD, BPF | NET_ADMIN),
        (NETWORK, RUN, 0),
        (NETWORK, ATTACH, 0),
    ],
    ids=str,
)
def test_a_child_has_no_more_than_its_job_takes(words, job, most, start_probe):
    probe = start_probe(words=words, seconds=20, lie="sleep")
    hangs = probe.ask(job=job)
    child = Path("/proc") / wait_until(probe.children)[0]
    # by then it has given up what it does
    wait_until(lambda: "\nSeccomp_filters:\t2\n" in (child / "status").read_text())
    wait_until(lambda: (child / "wchan").read_text().startswith("futex"))
    told = dict(re.findall(r"^(\w+):\t(.*)$", (child / "status").read_text(), re.MULTILINE))
    capabilities = {int(told[name], 16) for name in ("CapPrm", "CapEff")}
    assert len(capabilities) == 1
    old = os.uname().release.startswith(("4.", "5."))
    assert capabilities.pop() & ~most & ~(BPF if old else 0) == 0
    assert int(told["CapBnd"], 16) == int(told["CapInh"], 16) == 0
    limits = (child / "limits").read_text()
    for limit in (r"cpu time +\d+ +\d+", "file size +0 +0", "core file size +0 +0"):
        assert re.search(f"^Max {limit} ", limits, re.MULTILINE), limits
    assert SANITIZED or re.search(r"^Max address space +536870912 +536870912 ", limits, re.M)
    kinds = sorted(os.readlink(fd).split(":")[0] for fd in (child / "fd").iterdir())
    assert kinds == ["/dev/null"] * 3 + ["socket"]
    probe.send(f"cancel {hangs}")
    assert probe.wait(hangs) == "canceled"
    probe.close()


def test_others_go_on_while_a_child_hangs(start_probe):
    probe = start_probe(seconds=3, lie="sleep")
    hangs = probe.ask(node="a@h")
    [child] = wait_until(probe.children)
    wait_until(lambda: sleeps(child), what="the child lies: only the first that answers does")
    assert [probe.outcome(node="b@h") for _ in range(50)] == ["answered"] * 50
    assert hangs not in probe.answers
    assert probe.wait(hangs) == "timeout"
    probe.close()


def test_requests_wait_for_a_slot_in_turn(start_probe):
    """At most 8 of one node."""
    probe = start_probe(max_loads=1, seconds=20, lie="sleep")
    first = probe.ask(node="a@h")
    [child] = wait_until(probe.children)
    wait_until(lambda: sleeps(child), what="the child lies: only the first that answers does")
    queue = [probe.ask(node="a@h") for _ in range(8)]
    wait_until(lambda: threads(probe.process.pid) == 1 + 9)
    assert probe.outcome(node="a@h") == "busy"
    queue.append(probe.ask(node="b@h"))
    probe.send(f"cancel {first}")
    assert probe.wait(first) == "canceled"
    assert [probe.wait(number) for number in queue] == ["answered"] * 9
    probe.close()


def threads(pid):
    return len(os.listdir(f"/proc/{pid}/task"))


def sleeps(pid):
    return "\nState:\tS" in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.parametrize("waits", [False, True], ids=["running", "queued"])
def test_a_request_ends_with_its_connection(waits, start_probe):
    probe = start_probe(max_loads=1, seconds=20, lie="sleep")
    first = probe.ask(node="a@h")
    [child] = wait_until(probe.children)
    wait_until(lambda: sleeps(child), what="the child lies: only the first that answers does")
    canceled = probe.ask(node="b@h") if waits else first
    probe.send(f"cancel {canceled}")
    assert probe.wait(canceled) == "canceled"
    if waits:
        assert probe.children() == [child]
        probe.send(f"cancel {first}")
    wait_until(lambda: probe.children() == [])
    assert probe.outcome() == "answered"
    probe.close()


def test_requests_of_a_loader_that_was_killed_are_gone(start_probe):
    probe = start_probe(seconds=20, lie="sleep")
    hangs = probe.ask()
    [child] = wait_until(probe.children)
    os.kill(probe.loader, signal.SIGKILL)
    assert probe.wait(hangs) == "gone"
    wait_until(lambda: has_ended(child))
    assert [probe.outcome() for _ in range(3)] == ["gone"] * 3
    assert len(probe.said("error the loader is gone")) == 1
    probe.close()


def test_requests_of_a_loader_that_is_stopped_are_gone_until_it_goes_on(start_probe):
    probe = start_probe()
    assert probe.outcome() == "answered"
    os.kill(probe.loader, signal.SIGSTOP)
    assert [probe.outcome() for _ in range(3)] == ["gone"] * 3
    assert len(probe.said("warning the loader does not answer")) == 1
    os.kill(probe.loader, signal.SIGCONT)
    assert probe.outcome() == "answered"
    assert len(probe.said("notice the loader answers again")) == 1
    probe.close()
