# SPDX-License-Identifier: Apache-2.0
"""Runs of the demos, and what is left of them."""

import os
import re
import signal
import subprocess

from cluster import Epmd, free_port, spawn, wait_until
from processes import processes


class Demo:
    """A run of a demo, with an epmd and folders of its own."""

    def __init__(self, script, program, ebin, folder):
        self.script = script
        self.epmd = Epmd(free_port())
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.said = folder / "said"
        self.env = {
            **os.environ,
            "ERL_EPMD_PORT": str(self.epmd.port),
            "EBPF_CNODE": str(program),
            "EBPF_EBIN": str(ebin),
            "HOME": str(folder),
            "TMPDIR": str(self.temporary),
        }

    def start(self, wrapper=(), **env):
        with self.said.open("w") as said:
            self.process = spawn(
                [*wrapper, self.script],
                env={**self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self):
        return self.said.read_text()

    def wait_for(self, pattern):
        def found():
            return re.search(pattern, self.output, re.MULTILINE)

        wait_until(lambda: found() or self.process.poll() is not None, 60, pattern)
        assert found(), self.output
        return found()

    def wait(self):
        status = self.process.wait(120)
        print(self.output)
        return status

    def processes(self):
        temporary = str(self.temporary).encode()
        return [p.name for p in processes() if p.env.get(b"TMPDIR") == temporary]

    def assert_nothing_is_left(self):
        assert list(self.temporary.iterdir()) == []
        wait_until(lambda: not self.epmd.answers(), what="epmd has ended")
        wait_until(lambda: not self.processes(), what="no process is left")

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            self.process.wait(60)
