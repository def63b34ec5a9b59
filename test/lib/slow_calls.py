# SPDX-License-Identifier: Apache-2.0
"""Long requests, on hosts however quick: strace holds up the system calls."""

import os
import signal
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster import kill, spawn, wait_until


def threads_of(node):
    return {int(thread) for thread in os.listdir(f"/proc/{node.pid}/task")}


def is_traced(pid, thread):
    """Or has it ended?"""
    with suppress(FileNotFoundError, ProcessLookupError):
        return "TracerPid:\t0\n" not in Path(f"/proc/{pid}/task/{thread}/status").read_text()
    return False


@contextmanager
def slow_calls(node, seconds, thread=None, when="1+"):
    """Each bpf(2) of the node takes so long, in one of its threads or all.

    when: of each thread's calls, as strace(1) has it; "1" is the first.
    """
    whose = ["-p", thread] if thread else ["-f", "-p", node.pid]
    delay = f"--inject=bpf:delay_enter={int(seconds * 1e6)}:when={when}"
    process = spawn(
        ["strace", "-qq", "-o", "/dev/null", "--trace=bpf", delay, *whose],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: all(is_traced(node.pid, t) for t in ([thread] if thread else threads_of(node))),
            10,
            "strace is attached",
        )
        yield
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        kill(process)
