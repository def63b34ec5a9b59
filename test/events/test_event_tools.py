# SPDX-License-Identifier: Apache-2.0
"""The events of tools of Debian's, read by us and printed by the tools themselves:
through perf event arrays, and mountsnoop's through a ring buffer."""

import re
import signal
import socket
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest

from cluster import wait_until
from debian_objects import of_tools
from subscriptions import Subscriber

COMM = ("char", 16)
TIME = r"^\d\d:\d\d:\d\d "
AGE = r"\d+\.\d\d +"  # each program takes the time by itself
MS = r" +\d+\.\d{3}$"
FLAGS = r", (0x\w+|MS_\w+( \| MS_\w+)*)(?=[,)])"


def struct(size, *members):
    """Of members without gaps."""
    bits, found = 0, []
    for name, type, bytes in members:
        found.append((name, bits, type))
        bits += 8 * bytes
    return ("struct", size, found)


# Layouts are those of the tools' headers, in libbpf-tools 0.26, where BTF has none.
MOUNTSNOOP = struct(
    8768, ("delta", "u64", 8), ("flags", "u64", 8), ("pid", "u32", 4), ("tid", "u32", 4),
    ("mnt_ns", "u32", 4), ("ret", "s32", 4), ("comm", COMM, 16), ("fs", ("char", 8), 8),
    ("src", ("char", 4096), 4096), ("dest", ("char", 4096), 4096),
    ("data", ("char", 512), 512), ("op", ("enum", 4, [("mount", 0), ("umount", 1)]), 4),
)  # fmt: skip
EXECSNOOP = struct(
    7720, ("pid", "u32", 4), ("ppid", "u32", 4), ("uid", "u32", 4), ("retval", "s32", 4),
    ("args_count", "s32", 4), ("args_size", "u32", 4), ("comm", COMM, 16),
    ("args", ("bytes", 7680), 7680),
)  # fmt: skip
OPENSNOOP = struct(
    312, ("ts", "u64", 8), ("pid", "u32", 4), ("uid", "u32", 4), ("ret", "s32", 4),
    ("flags", "s32", 4), ("callers", ("bytes", 16), 16), ("comm", COMM, 16),
    ("fname", ("char", 255), 255),
)  # fmt: skip
EXITSNOOP = struct(
    56, ("start", "u64", 8), ("exit", "u64", 8), ("pid", "u32", 4), ("tid", "u32", 4),
    ("ppid", "u32", 4), ("sig", "u32", 4), ("code", "s32", 4), ("comm", COMM, 16),
)  # fmt: skip
ADDRESS = ("bytes", 16)
TCPSTATES = struct(
    96, ("saddr", ADDRESS, 16), ("daddr", ADDRESS, 16), ("skaddr", "u64", 8),
    ("ts", "u64", 8), ("delta", "u64", 8), ("pid", "u32", 4), ("old", "s32", 4),
    ("new", "s32", 4), ("family", "u16", 2), ("sport", "u16", 2), ("dport", "u16", 2),
    ("task", COMM, 16),
)  # fmt: skip
STATES = (
    "? ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT"
    " LAST_ACK LISTEN CLOSING NEW_SYN_RECV"
).split()


# --- what is done, and what tells it from what others do at the same time


def run(*command):
    """Runs it to its end: the pid."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    child.wait()
    return str(child.pid)


def open_files(folder):
    """Makes one, reads it, and one that is not there: their folder."""
    folder = tempfile.mkdtemp(dir=folder)
    Path(folder, "there").touch()
    subprocess.run(["cat", f"{folder}/there", f"{folder}/missing"], stderr=subprocess.DEVNULL)
    return folder


def connect():
    """A TCP connection, begun and ended: the port of who listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            server.accept()[0].close()
            client.recv(1)
        return str(server.getsockname()[1])


def mount(folder):
    folder = tempfile.mkdtemp(dir=folder)
    options = ["-t", "tmpfs", "-o", "size=4096", "source"]
    subprocess.run(["mount", *options, folder], check=True)
    subprocess.run(["umount", folder], check=True)
    return folder


# --- events, as the tools print them


def text(event, key):
    return event[key].decode(errors="replace")


def of_execsnoop(event):
    arguments = event[b"args"][: event[b"args_size"]].replace(b"\0", b" ").decode(errors="replace")
    numbers = (event[key] for key in (b"pid", b"ppid", b"retval"))
    return "%-16s %-6d %-6d %3d %s" % (text(event, b"comm"), *numbers, arguments)


def of_opensnoop(event):
    result = event[b"ret"]
    shown = (result, 0) if result >= 0 else (-1, -result)
    names = text(event, b"comm"), text(event, b"fname")
    return "%-6d %-16s %3d %3d %s" % (event[b"pid"], names[0], *shown, names[1])


def how_it_ended(event):
    if event[b"sig"]:
        number = event[b"sig"] & 0x7F
        return f"signal {number} ({signal.strsignal(number)})"
    return f"code {event[b'code']}" if event[b"code"] else "0"


def of_exitsnoop(event):
    numbers = (event[key] for key in (b"pid", b"ppid", b"tid"))
    assert 0 <= event[b"exit"] - event[b"start"] < 60e9
    return "%-16s %-7d %-7d %-7d %s" % (text(event, b"comm"), *numbers, how_it_ended(event))


def of_sigsnoop(event):
    numbers = event[b"pid"], text(event, b"comm"), event[b"sig"], event[b"tpid"], event[b"ret"]
    return "%-7d %-16s %-9d %-7d %-6d" % numbers


def of_tcpstates(event):
    def host(address):
        return socket.inet_ntoa(event[address][:4])

    return "%-16x %-7d %-10.10s %-15s %-5d %-15s %-5d %-11s -> %s" % (
        event[b"skaddr"], event[b"pid"], text(event, b"task"), host(b"saddr"),
        event[b"sport"], host(b"daddr"), event[b"dport"], STATES[event[b"old"]],
        STATES[event[b"new"]],
    )  # fmt: skip


def of_mountsnoop(event):
    """Without the flags, which it prints by their names."""
    keys = [b"src", b"dest", b"fs", b"data"] if event[b"op"] == b"mount" else [b"dest"]
    strings = ", ".join(f'"{text(event, key)}"' for key in keys)
    numbers = text(event, b"comm"), *(event[key] for key in (b"pid", b"tid", b"mnt_ns"))
    called = f"{event[b'op'].decode()}({strings}) = {event[b'ret']}"
    return "%-16s %-7d %-7d %-11u %s" % (*numbers, called)


# --- the tools


@dataclass
class Tool:
    act: object  # does something, and returns a word of the lines to compare
    lines: int  # that there are of it
    line: object  # how an event is printed
    types: object  # of an event: a layout; or which map has the object's BTF
    object: str = None  # another tool's
    programs: tuple = ()  # only these
    left_out: str = "$."  # of a line, a pattern: what need not be the same


TOOLS = {
    "execsnoop": Tool(lambda _: run("echo", "one", "two words"), 1, of_execsnoop, EXECSNOOP),
    "opensnoop": Tool(open_files, 3, of_opensnoop, OPENSNOOP),
    "exitsnoop": Tool(lambda _: run("sh", "-c", "kill -9 $$"), 1, of_exitsnoop, EXITSNOOP, left_out=AGE),
    "killsnoop": Tool(
        lambda _: run("sh", "-c", "kill -0 $$; kill -CONT $$"), 2, of_sigsnoop, b"values",
        "sigsnoop", ("kill_entry", "kill_exit"), TIME,
    ),
    "sigsnoop": Tool(
        lambda _: run("sh", "-c", "kill -CONT $$"), 2, of_sigsnoop, b"values",
        None, ("sig_trace",), TIME,
    ),
    "tcpstates": Tool(lambda _: connect(), 12, of_tcpstates, TCPSTATES, left_out=MS),
    "mountsnoop": Tool(mount, 2, of_mountsnoop, MOUNTSNOOP, left_out=FLAGS),
}  # fmt: skip


class Printed:
    """The tool itself, at work, and the lines that it has printed."""

    def __init__(self, name):
        command = ["stdbuf", "-oL", name]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert re.match("P?COMM|PID|SKADDR|TIME", self.process.stdout.readline())
        self.lines = []
        self.reader = Thread(target=self.read)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def close(self):
        self.process.kill()
        self.reader.join()
        self.process.communicate()


@pytest.fixture
def printed():
    started = []

    def printed(name):
        started.append(Printed(name))
        return started[-1].lines

    yield printed
    for tool in started:
        tool.close()


def with_word(lines, word):
    return [line for line in lines if re.search(rf"(?<![\w.]){word}(?![\w.])", line)]


@pytest.mark.parametrize("name", TOOLS)
def test_events_of_a_tool_are_what_it_prints(name, start_programs, tracefs, printed, tmp_path):
    tool = TOOLS[name]
    programs = start_programs()
    wanted = [("programs", [program.encode() for program in tool.programs])]
    loaded = programs.load(of_tools()[tool.object or name], wanted if tool.programs else [])
    for program in loaded["programs"].values():
        assert "error" not in programs.attach(program, "auto")
    map = loaded["maps"][b"events"]
    # libbpf gives a perf event array no types
    types = tool.types
    if isinstance(types, bytes):
        types = ("btf", b"event", loaded["maps"][types])
    s = Subscriber(programs.beam, programs.node.name, map, ("types", types), ("credit", 2**64))
    lines = printed(name)
    # it prints its heading before it reads
    wait_until(lambda: with_word(lines, tool.act(tmp_path)), timeout=20)
    word = tool.act(tmp_path)
    wait_until(lambda: len(with_word(lines, word)) >= tool.lines, what=f"{word} in {lines}")
    shown = sorted(re.sub(tool.left_out, "", line) for line in with_word(lines, word))
    found = []
    while len(found) < len(shown):
        _, lost, [(_, events)] = s.receive()
        assert lost in (0, "unknown")
        found += with_word([tool.line(event).rstrip() for event in events], word)
    assert sorted(found) == shown
    assert len(found) == tool.lines
