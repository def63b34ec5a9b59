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

import etf
from cluster import spawn, wait_until
from demos import Demo
from host import CGROUPS

BPFTOOL = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
# Fails at its first look, and tells which program was loaded by then.
FAILING_BPFTOOL = f"""#!/bin/sh
program=$({BPFTOOL} -j link show id "$4" | sed 's/.*"prog_id":\\([0-9]*\\).*/\\1/')
{BPFTOOL} -j prog show id "$program" >"$LOADED"
exit 1
"""
# Before the demo, in mounts of its own: a host that has no cgroups of version 2.
NO_CGROUPS = "umount -a -t cgroup2; ! grep -q ' cgroup2 ' /proc/mounts && exec"


def bpftool(*args):
    """What it shows; None of what is not there."""
    done = subprocess.run([BPFTOOL, "-j", *args], capture_output=True, text=True)
    return json.loads(done.stdout) if done.returncode == 0 else None


class Counting(Demo):
    """A run of the demo that counts packets."""

    def program(self, nodes=1):
        """What the kernel knows of the program that the last of the nodes has attached."""
        shown = r"^\d+: cgroup +prog (\d+)"
        found = self.wait_for(rf"(?:{shown}[\s\S]*?){{{nodes}}}")
        return bpftool("prog", "show", "id", found[1])

    def assert_nothing_is_left(self, program=None):
        cgroup = re.search(r"^\$ mkdir \S+/(\S+)", self.output, re.MULTILINE)
        assert not (cgroup and (CGROUPS / cgroup[1]).exists())
        super().assert_nothing_is_left()
        if program:  # the kernel frees it a little later
            objects = [("prog", program["id"]), *(("map", m) for m in program["map_ids"])]
            for kind, id in objects:
                wait_until(lambda: not bpftool(kind, "show", "id", str(id)))


@pytest.fixture
def demo(srcdir, program, ebin, tmp_path):
    demo = Counting(srcdir / "test" / "demo" / "demo", program, ebin, tmp_path)
    yield demo
    demo.close()


def test_the_demo_does_the_main_job_and_leaves_nothing(demo):
    demo.start()
    program = demo.program()
    assert len(program["map_ids"]) == 2
    assert demo.wait() == 0
    first, second = demo.output.split("Another Erlang node")

    assert "ebpf_demo_beam@*=load" in first
    sent = re.findall(r"^sent (\d+) packets .* port (\d+)$", first, re.MULTILINE)
    assert sent == [("7", "9")]
    assert "<<7,0,0,0,0,0,0,0>>" in first
    assert re.search(r"^\d+> <<Count:64/native>> = .*\n7$", first, re.MULTILINE)
    assert f"\n{7 * (20 + 8 + len('hello'))}\n" in first  # IP, UDP, what was sent

    counted = {}
    begun, ended = second.split("$ bpftool map dump")
    for packets, port in re.findall(r"^sent (\d+) .* port (\d+)$", begun, re.MULTILINE):
        counted[int(port)] = counted.get(int(port), 0) + int(packets)
    shown = ",".join(f"{{{port},{packets}}}" for port, packets in counted.items())
    assert len(counted) == 2 and f"\n[{shown}]\n" in begun
    assert "{badkey,80}" in ended
    counts = re.findall(r"^sent (\d+) [^\n]*\n\d+> Count\(9\)\.\n(\d+)$", ended, re.MULTILINE)
    assert counts == [("2", "102"), ("4", "102")]  # from 100 on, and once it is detached
    assert re.search(r'^\{"sent 6 packets to [^"]* port 9\\n",6\}$', ended, re.MULTILINE)
    started = re.search(r"^after 5000 -> false\nend\.\n(\[[^]]*\])$", ended, re.MULTILINE)[1]
    assert re.findall(r'\{\d+,<<"(uname|id)">>\}', started) == ["uname", "id"]
    demo.assert_nothing_is_left(program)


def test_it_goes_where_a_host_has_no_cgroups_of_version_2(demo):
    demo.start(["unshare", "--mount", "sh", "-c", f'{NO_CGROUPS} "$0"'])
    program = demo.program()
    assert demo.wait() == 0
    assert "$ mkdir /sys/fs/cgroup/ebpf_demo." in demo.output
    demo.assert_nothing_is_left(program)


@pytest.mark.parametrize(
    "moment, nodes",
    [
        pytest.param(r"^\$ clang", 0, id="as it compiles"),
        pytest.param(r"^1> ", 0, id="as an Erlang node begins"),
        pytest.param(r"^\d+> #\{programs", 0, id="as it loads"),
        pytest.param(r"^\$ bpftool prog show", 1, id="once it is attached"),
        pytest.param(r"^sent 5", 2, id="as the other node asks"),
    ],
)
def test_it_leaves_nothing_when_it_is_interrupted(demo, moment, nodes):
    demo.start()
    demo.wait_for(moment)
    program = demo.program(nodes) if nodes else None
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.wait() == 130
    demo.assert_nothing_is_left(program)


def test_it_leaves_nothing_when_it_alone_is_told_to_end(demo):
    demo.start()
    demo.wait_for(r"^sent 5")
    program = demo.program(2)
    os.kill(demo.process.pid, signal.SIGTERM)
    assert demo.wait() == 143
    demo.assert_nothing_is_left(program)


def test_it_leaves_nothing_when_it_fails_in_the_middle(demo, tmp_path):
    failing = tmp_path / "bin" / "bpftool"
    failing.parent.mkdir()
    failing.write_text(FAILING_BPFTOOL)
    failing.chmod(0o755)
    loaded = tmp_path / "loaded"
    demo.start(PATH=f"{failing.parent}:{os.environ['PATH']}", LOADED=str(loaded))
    assert demo.wait() == 1
    assert re.search(r"^demo: bpftool link show .* failed$", demo.output, re.MULTILINE)
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


def test_in_the_shell_one_may_load_programs_and_others_may_use_maps(
    srcdir, program, ebin, lone_cluster, start_beam
):
    lone_cluster.epmd.start()
    env = {**lone_cluster.env, "EBPF_CNODE": str(program), "EBPF_EBIN": str(ebin)}
    shell = spawn(
        [srcdir / "test" / "demo" / "shell"],
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    wait_until(lambda: {"ebpf", "ebpf_shell"} <= set(lone_cluster.epmd.names()), 30)
    other = start_beam(cluster=lone_cluster, sname="other@localhost")
    told = other.apply("rpc", "call", etf.Atom("ebpf@localhost"), "ebpf_maps", "features", [])
    options = told["options"]
    assert (options["may_load"], options["read_only"]) == ("false", "false")
    asked = "maps:get(may_load, maps:get(options, ebpf_maps:features())).\nq().\n"
    assert re.search(r"1> true\n", shell.communicate(asked.encode(), 30)[0].decode())
    assert shell.returncode == 0
    wait_until(lambda: "ebpf" not in lone_cluster.epmd.names())
