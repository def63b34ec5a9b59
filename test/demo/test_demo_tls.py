# SPDX-License-Identifier: Apache-2.0
"""The demo of TLS shows what it says, what it shows can be typed, and it leaves nothing."""

import os
import re
import shlex
import signal
import subprocess

import pytest

import etf
from demos import Demo


@pytest.fixture
def demo(srcdir, program, ebin, tmp_path):
    demo = Demo(srcdir / "test" / "demo" / "demo_tls", program, ebin, tmp_path)
    yield demo
    demo.close()


def parts(output):
    """What is printed below each heading."""
    return re.split(r"^# \d+\. ", output, flags=re.MULTILINE)[1:]


def commands(text):
    return re.findall(r"^\$ (.*)$", text, re.MULTILINE)


def test_it_uses_a_map_over_tls_and_shows_who_is_refused(demo):
    demo.start()
    assert demo.wait() == 0
    used, stranger, plain = parts(demo.output)[-3:]
    assert "<<7,0,0,0,0,0,0,0>>" in used
    assert re.search(r'^\{ok,\{net_address,\{\{127,0,0,1\},\d+\},"localhost",tls,', used, re.M)
    logged = r"^\{connected,false\}\n[\s\S]*?^The C node has logged:\n    (\S+Z warning .*)\n"
    why = [re.search(logged, part, re.MULTILINE)[1] for part in (stranger, plain)]
    assert "its certificate is refused" in why[0] and "it does not speak TLS" in why[1]
    demo.assert_nothing_is_left()


def test_what_it_shows_can_be_typed(demo, tmp_path, lone_cluster, start_cnode, start_beam):
    """Up to the map that is used over TLS; in a folder of one's own."""
    demo.start()
    assert demo.wait() == 0
    shown = demo.output.split("# 6. ")[0]
    typed = commands(shown)
    [there] = {command.removeprefix("cd ") for command in typed if command.startswith("cd ")}
    here = tmp_path / "here"
    here.mkdir()
    lone_cluster.epmd.start()
    for command in typed:
        name, *args = shlex.split(command.replace(there, str(here)))
        if name == "ebpf_cnode":
            assert args[-1] == "&"
            cnode = start_cnode(*args[:-1], naming=[], cluster=lone_cluster, cwd=here)
        elif name == "erl":
            [_, sname, *flags] = args
            there_too = ["env", f"--chdir={here}", f"HOME={here}"]
            beam = start_beam(*flags, cluster=lone_cluster, sname=sname, wrapper=there_too)
        elif name == "cat":
            [text] = re.findall(rf"^\$ {re.escape(command)}\n(.*?\.)$", shown, re.M | re.DOTALL)
            (here / args[0]).write_text(f"{text}\n")
        else:
            subprocess.run(["sh", "-ec", command.replace(there, str(here))], cwd=here, check=True)
    node = etf.Atom(cnode.name)
    answer = beam.apply("rpc", "call", node, "ebpf_maps", "new", ["hash", 4, 8, 16])
    assert answer[0] == "ebpf_map"


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param(r"^\$ openssl", id="as it makes keys"),
        pytest.param(r"^\$ ebpf_cnode", id="as the C node starts"),
        pytest.param(r"^1> ", id="as an Erlang node begins"),
    ],
)
def test_it_leaves_nothing_when_it_is_interrupted(moment, demo):
    demo.start()
    demo.wait_for(moment)
    os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.wait() == 130
    demo.assert_nothing_is_left()


def test_it_says_why_openssl_fails(demo, tmp_path):
    failing = tmp_path / "bin" / "openssl"
    failing.parent.mkdir()
    failing.write_text("#!/bin/sh\necho 'no entropy' >&2\nexit 1\n")
    failing.chmod(0o755)
    demo.start(PATH=f"{failing.parent}:{os.environ['PATH']}")
    assert demo.wait() == 1
    assert re.search(r"^no entropy\ndemo tls: openssl failed$", demo.output, re.MULTILINE)
    demo.assert_nothing_is_left()
