# SPDX-License-Identifier: Apache-2.0
"""--log-format json: each line of the log is an object, whatever peers send."""

import fcntl
import json
import os
import subprocess
from datetime import datetime

import pytest

from cluster import wait_until
from dist import Closed, Refused

pytestmark = pytest.mark.single

def of_json(line):
    """The same of one of JSON, whose form is looked at."""
    fields = json.loads(line)
    assert isinstance(fields, dict) and line.isprintable() and len(line) < 4096
    datetime.strptime(fields["time"], "%Y-%m-%dT%H:%M:%S.%fZ")
    assert fields["level"] in ("error", "warning", "notice", "info", "debug")
    assert list(fields)[:2] == ["time", "level"]
    assert fields["message"]
    return fields


class Name(str):
    """A name of a node, byte for byte."""

    def encode(self):
        return super().encode("utf-8", "surrogateescape")


def start_json(start_cnode, cluster, *options, **more):
    """A node that logs so; it is registered."""
    node = start_cnode("--log-format", "json", *options, ready=False, **more)
    node.port = wait_until(lambda: cluster.epmd.port_of(node.sname))
    node.must_live = True
    return node


def test_each_line_is_an_object_with_the_words_of_text(start_cnode, cluster, connect):
    node = start_json(start_cnode, cluster, "--log-level", "debug")
    connect(node, name="one@h").close()
    node.wait_log("disconnected one@h")
    node.stop()
    lines = [of_json(line) for line in node.lines]
    words = [line["level"] + " " + line["message"] for line in lines]
    assert any(line.startswith("notice ready cnode") for line in words)
    assert any(line.startswith("notice connected one@h from 127.0.0.1:") for line in words)
    assert words[-1].startswith("notice ending: signal 15 (")


@pytest.mark.parametrize(
    "name", [b"a\xff\xfeb@h", b"\xc0\x80@h", b"\xed\xa0\x80@h", b"\xf4\x90\x80\x80@h"]
)
def test_a_name_that_is_no_utf8_is_refused_in_a_valid_line(
    name, start_cnode, cluster, connect
):
    node = start_json(start_cnode, cluster)
    with pytest.raises((Refused, Closed)):
        connect(node, name=Name(name.decode("utf-8", "surrogateescape")))
    node.wait_log("its name is not UTF-8")
    message = of_json(node.lines[-1])["message"]
    assert "\ufffd" in message and message.isprintable()


def test_of_lines_that_are_lost_the_number_is_an_object_too(
    start_cnode, cluster, connect, tmp_path
):
    """There is room for one write, each time that it has been read."""
    path = tmp_path / "log"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    log_to = ["sh", "-c", 'log=$1; shift; exec "$@" 2>>"$log"', "sh", path]
    node = start_json(start_cnode, cluster, wrapper=log_to)
    keeper = connect(node)
    assert keeper.serves()
    os.read(fd, 1 << 16)
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, os.sysconf("SC_PAGE_SIZE"))
    read = []
    for number in range(3):
        with connect(node, name=f"peer{number}@h") as peer:
            assert peer.serves()
        wait_until(lambda: keeper.maps("stats")["connections"] == 1)
        read += os.read(fd, 1 << 16).decode().splitlines()
    os.close(fd)
    lost = [line for line in map(of_json, read) if line.get("event") == "lines_lost"]
    assert [line["count"] for line in lost] == [1, 1]
    assert all(line["message"] == "1 log lines were lost" for line in lost)


def test_a_start_that_fails_says_so_in_json(program):
    args = ["--log-format", "json", "--sname", "x@y@z"]
    done = subprocess.run([program, *args], capture_output=True, text=True)
    assert done.returncode == 2
    assert of_json(done.stderr.rstrip("\n"))["level"] == "error"


@pytest.mark.parametrize("form", ["", "xml", "JSON"])
def test_a_format_is_text_or_json(form, program):
    args = [program, "--log-format", form]
    done = subprocess.run(args, capture_output=True, text=True)
    assert done.returncode == 2
    assert "give text or json" in done.stderr


def test_a_long_message_is_whole_as_long_as_its_line_has_space(program):
    """Longer than any field may be: a start that fails has none of those."""
    path = "/etc" + 20 * ("/" + 120 * "p")
    command = [program, "--log-format", "json", "--cookie-file", path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    told = json.loads(line)
    assert path in told["message"]
    assert "truncated" not in told
