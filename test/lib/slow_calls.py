# SPDX-License-Identifier: Apache-2.0
"""Long requests, on hosts however quick: strace holds up the system calls."""

import os
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from pathlib import Path

from cluster import kill, spawn, wait_until


def threads_of(node):
    return {int(thread) for thread in os.listdir(f"/proc/{node.pid}/task")}


def is_at_work(strace, pid, threads):
    """Whether strace holds up the next call of each of them.

    It waits for events (wait4(2)) once it has not only seized but also
    interrupted them all.
    """
    with suppress(FileNotFoundError, ProcessLookupError):
        tasks = [Path(f"/proc/{pid}/task/{t}/status").read_text() for t in threads]
        waits = Path(f"/proc/{strace.pid}/wchan").read_text() == "do_wait"
        return waits and not any("TracerPid:\t0\n" in status for status in tasks)
    return False


def is_held(node, thread):
    """Whether strace holds it up: it is stopped, and still is a while later."""
    status = Path(f"/proc/{node.pid}/task/{thread}/status")
    before = status.read_text()
    time.sleep(0.1)
    return "(tracing stop)" in before and status.read_text() == before


@contextmanager
def slow_calls(node, seconds, threads=(), when="1+"):
    """Each bpf(2) of the node takes so long, in these of its threads or in all.

    when: of each thread's calls, as strace(1) has it; "1" is the first.
    """
    whose = [part for t in threads for part in ("-p", t)] or ["-f", "-p", node.pid]
    delay = f"--inject=bpf:delay_enter={int(seconds * 1e6)}:when={when}"
    process = spawn(
        ["strace", "-qq", "-o", "/dev/null", "--trace=bpf", delay, *whose],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(
            lambda: is_at_work(process, node.pid, threads or threads_of(node)),
            10,
            "strace is attached",
        )
        yield
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        kill(process)
