# SPDX-License-Identifier: Apache-2.0
"""The events of a tool of Debian's, read by us and printed by the tool itself."""

import re
import subprocess

import pytest

from debian_objects import of_tools
from subscriptions import Subscriber

# struct event of mountsnoop.h, in libbpf-tools 0.26; its BTF leaves it out
EVENT = ("struct", 8768, [
    ("delta", 0, "u64"), ("flags", 64, "u64"), ("pid", 128, "u32"), ("tid", 160, "u32"),
    ("mnt_ns", 192, "u32"), ("ret", 224, "s32"), ("comm", 256, ("char", 16)),
    ("fs", 384, ("char", 8)), ("src", 448, ("char", 4096)), ("dest", 33216, ("char", 4096)),
    ("data", 65984, ("char", 512)), ("op", 70080, ("enum", 4, [("mount", 0), ("umount", 1)])),
])  # fmt: skip
LINE = re.compile(r"(\S+) +(\d+) +(\d+) +(\d+) +(u?mount)\((.*)\) = (\S+)")


@pytest.fixture
def mountsnoop():
    """The tool, at work, once it has said so."""
    command = ["stdbuf", "-oL", "mountsnoop"]
    started = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert started.stdout.readline().startswith("COMM")
    yield started
    started.kill()
    started.communicate()


def told(line):
    """What a line of the tool says."""
    comm, pid, tid, namespace, op, arguments, result = LINE.match(line).groups()
    strings = re.findall(r'"(.*?)"', arguments)
    return comm, int(pid), int(tid), int(namespace), op, strings, result


def ours(event):
    strings = ["src", "dest", "fs", "data"] if event[b"op"] == b"mount" else ["dest"]
    numbers = [event[key] for key in (b"pid", b"tid", b"mnt_ns")]
    strings = [event[key.encode()].decode() for key in strings]
    return event[b"comm"].decode(), *numbers, event[b"op"].decode(), strings, str(event[b"ret"])


def test_events_of_mountsnoop_are_what_it_prints(start_programs, tracefs, mountsnoop, tmp_path):
    programs = start_programs()
    loaded = programs.load(of_tools()["mountsnoop"], [])
    for program in loaded["programs"].values():
        assert "error" not in programs.attach(program, "auto")
    s = Subscriber(programs.beam, programs.node.name, loaded["maps"][b"events"], ("types", EVENT))
    mount = ["mount", "-t", "tmpfs", "-o", "size=4096", "source", tmp_path]
    subprocess.run(mount, check=True)
    subprocess.run(["umount", tmp_path], check=True)
    wanted = []
    while len(wanted) < 2:
        line = told(mountsnoop.stdout.readline())
        wanted += [line] if str(tmp_path) in line[5] else []
    found = []
    while len(found) < 2:
        _, _, [(_, events)] = s.receive()
        found += [ours(event) for event in events if str(tmp_path).encode() == event[b"dest"]]
    assert found == wanted
    assert [event[4] for event in found] == ["mount", "umount"]
