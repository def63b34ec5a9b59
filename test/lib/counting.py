# SPDX-License-Identifier: Apache-2.0
"""Counts of what a node does while a block runs, which no other process of the
host can change: its system calls by strace, its instructions by callgrind."""

import collections
import os
import re
import signal
import subprocess

from cluster import kill, spawn, wait_until

ALLOCATORS = r"malloc|calloc|realloc|reallocarray|posix_memalign|aligned_alloc|memalign"


class Trace:
    """The system calls of all threads of a node while the block runs."""

    def __init__(self, node, path):
        self.node = node
        self.path = path

    def __enter__(self):
        self.process = spawn(
            ["strace", "-f", "-qq", "-o", self.path, "-p", self.node.pid],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        wait_until(self.attached, 10, "strace is attached")
        return self

    def attached(self):
        for thread in (f"/proc/{self.node.pid}/task/{t}/status" for t in self.tasks()):
            try:
                with open(thread) as f:
                    if "TracerPid:\t0" in f.read():
                        return False
            except (FileNotFoundError, ProcessLookupError):
                return False  # it has just ended
        return True

    def tasks(self):
        return os.listdir(f"/proc/{self.node.pid}/task")

    def so_far(self, call):
        """How often it was made since the block began."""
        with open(self.path) as f:
            return len(re.findall(rf"^\d+ +{call}\(", f.read(), re.MULTILINE))

    def __exit__(self, *exception):
        self.process.send_signal(signal.SIGINT)
        self.process.wait(10)
        self.process.stderr.close()
        kill(self.process)
        with open(self.path) as f:
            text = f.read()
        self.calls = collections.Counter(
            re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE)
        )
        del self.calls["restart_syscall"]  # what was under way when it began
        self.text = text

    def calls_of_thread(self, call):
        """Those of the one thread that made that call."""
        (thread,) = set(re.findall(rf"^(\d+) +{call}\(", self.text, re.MULTILINE))
        return collections.Counter(
            re.findall(rf"^{thread} +(\w+)\(", self.text, re.MULTILINE)
        )

    @property
    def total(self):
        return sum(self.calls.values())

    def data(self, *calls):
        """What these system calls have moved."""
        of_them = "|".join(calls)
        moved = re.findall(rf" (?:{of_them})\(.* = (\d+)$", self.text, re.MULTILINE)
        return sum(map(int, moved))


def on_callgrind(out, *options):
    """The command that runs a node so; it makes calls that no sandbox allows."""
    command = ["valgrind", "-q", "--tool=callgrind", *options]
    return [*command, f"--callgrind-out-file={out}"]


class Callgrind:
    """What a block of calls costs a node that on_callgrind() runs."""

    def __init__(self, node, out):
        self.node = node
        self.out = out
        self.dumps = 0

    def control(self, what):
        subprocess.run(
            ["callgrind_control", what, str(self.node.pid)],
            check=True,
            timeout=60,
            stdout=subprocess.DEVNULL,
        )

    def __enter__(self):
        self.control("--zero")
        return self

    def __exit__(self, *exception):
        self.control("--dump")
        self.dumps += 1
        dump = self.out.with_name(f"{self.out.name}.{self.dumps}")
        wait_until(lambda: dump.exists() and "totals:" in dump.read_text(), 10)
        text = dump.read_text()
        self.instructions = total(text)
        self.allocations = count_calls(text, ALLOCATORS)


EACH_THREAD = "--separate-threads=yes"


class CallgrindOfThreads(Callgrind):
    """The same of one thread; on_callgrind() was given EACH_THREAD."""

    def __exit__(self, *exception):
        self.control("--dump")
        self.dumps += 1
        self.threads = wait_until(self.dumped, 10, "all threads are dumped")

    def dumped(self):
        parts = self.out.parent.glob(f"{self.out.name}.{self.dumps}-*")
        texts = [part.read_text() for part in parts]
        whole = len(texts) >= self.node.threads()
        return whole and all("totals:" in text for text in texts) and texts

    def thread(self, name):
        """The dump of the one thread that called functions of that name."""
        (dump,) = (text for text in self.threads if count_calls(text, name))
        return dump


def total(dump):
    """Its instructions."""
    return int(re.search(r"^totals: (\d+)", dump, re.M)[1])


def count_calls(dump, name):
    """How often functions of that name were called."""
    names = dict(re.findall(r"^c?fn=\((\d+)\) (\S+)", dump, re.M))
    return sum(
        int(calls)
        for callee, calls in re.findall(r"^cfn=\((\d+)\).*\ncalls=(\d+)", dump, re.M)
        if re.fullmatch(name, names[callee])
    )
