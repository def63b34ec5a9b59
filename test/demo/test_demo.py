# SPDX-License-Identifier: Apache-2.0
"""The demo counts what was really sent, and leaves nothing, however it ends."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest

from cluster import Epmd, free_port, spawn, wait_until
from processes import processes

BPFTOOL = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
# Fails at this one command, and tells which program was loaded by then.
FAILING_BPFTOOL = f"""#!/bin/sh
[ "$1 $2" = "cgroup attach" ] || exec {BPFTOOL} "$@"
{BPFTOOL} -j prog show pinned "$6" >"$LOADED"
exit 1
"""


def bpftool(*args):
    """What it shows; None of what is not there."""
    done = subprocess.run([BPFTOOL, "-j", *args], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


class Demo:
    """A run of the demo, with an epmd and folders of its own."""

    def __init__(self, srcdir, program, ebin, folder):
        self.script = srcdir / "test" / "demo" / "demo"
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

    def start(self, **env):
        with self.said.open("w") as said:
            self.process = spawn(
                [self.script],
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

    def program(self):
        """What the kernel knows of the program, once it is attached."""
        return bpftool("prog", "show", "id", self.wait_for(r"^(\d+) +\w+ +count_pac")[1])

    def wait(self):
        status = self.process.wait(120)
        print(self.output)
        return status

    def processes(self):
        temporary = str(self.temporary).encode()
        return [p.name for p in processes() if p.env.get(b"TMPDIR") == temporary]

    def assert_nothing_is_left(self, program=None):
        cgroup = re.search(r"^\$ mkdir (\S+)", self.output, re.MULTILINE)
        assert not (cgroup and Path(cgroup[1]).exists())
        assert list(self.temporary.iterdir()) == []
        wait_until(lambda: not self.epmd.answers(), what="epmd has ended")
        wait_until(lambda: not self.processes(), what="no process is left")
        if program:  # the kernel frees it a little later
            objects = [("prog", program["id"]), *(("map", m) for m in program["map_ids"])]
            for kind, id in objects:
                wait_until(lambda: not bpftool(kind, "show", "id", str(id)))


@pytest.fixture
def demo(srcdir, program, ebin, tmp_path):
    demo = Demo(srcdir, program, ebin, tmp_path)
    yield demo
    if demo.process.poll() is None:
        os.killpg(demo.process.pid, signal.SIGTERM)
        demo.process.wait(60)


def test_the_demo_does_the_main_job_and_leaves_nothing(demo):
    demo.start()
    program = demo.program()
    assert len(program["map_ids"]) == 2
    assert demo.wait() == 0
    first, second = demo.output.split("Another Erlang node")

    sent = re.findall(r"^sent (\d+) packets .* port (\d+)$", first, re.MULTILINE)
    assert sent == [("7", "9")]
    assert "<<7,0,0,0,0,0,0,0>>" in first
    assert re.search(r"^5> <<Count:64/native>> = .*\n7$", first, re.MULTILINE)
    assert f"\n{7 * (20 + 8 + len('hello'))}\n" in first  # IP, UDP, what was sent

    counted = {9: 7}
    begun, ended = second.split("$ bpftool map dump")
    for packets, port in re.findall(r"^sent (\d+) .* port (\d+)$", begun, re.MULTILINE):
        counted[int(port)] = counted.get(int(port), 0) + int(packets)
    shown = ",".join(f"{{{port},{packets}}}" for port, packets in counted.items())
    assert len(counted) == 2 and f"\n[{shown}]\n" in begun
    assert "{badkey,80}" in ended
    demo.assert_nothing_is_left(program)


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(r"^\$ clang", id="as it compiles"),
        pytest.param(r"^\$ bpftool prog load", id="as it loads"),
        pytest.param(r"^\$ bpftool cgroup show", id="once it is attached"),
        pytest.param(r"^1> ", id="as an Erlang node asks"),
        pytest.param(r"^sent 5", id="as the other does"),
    ],
)
def test_it_leaves_nothing_when_it_is_interrupted(demo, moment):
    demo.start()
    demo.wait_for(moment)
    program = demo.program() if "prog" not in moment and "clang" not in moment else None
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.wait() == 130
    demo.assert_nothing_is_left(program)


def test_it_leaves_nothing_when_it_fails_in_the_middle(demo, tmp_path):
    failing = tmp_path / "bin" / "bpftool"
    failing.parent.mkdir()
    failing.write_text(FAILING_BPFTOOL)
    failing.chmod(0o755)
    loaded = tmp_path / "loaded"
    demo.start(PATH=f"{failing.parent}:{os.environ['PATH']}", LOADED=str(loaded))
    assert demo.wait() == 1
    assert "demo: bpftool failed with status 1" in demo.output
    demo.assert_nothing_is_left(json.loads(loaded.read_text()))



def test_it_says_that_it_takes_root(srcdir):
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # that of a test is for root alone
        script = Path(folder) / "test" / "demo" / "demo"
        shutil.copytree(srcdir / "test" / "demo", script.parent)
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        done = subprocess.run(
            [*user, script], stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
    assert done.returncode != 0
    assert "loading an eBPF program takes root" in done.stdout + done.stderr
