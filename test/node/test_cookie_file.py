# SPDX-License-Identifier: Apache-2.0
"""The file of the cookie: byte for byte as `erl' reads it, and where it is."""

import os
import subprocess

import pytest

import preload

pytestmark = pytest.mark.single

# {what: content}
COOKIES = {
    "a line": b"plain\n",
    "no end of line": b"plain",
    "a space at its end": b"plain \n",
    "spaces at its end and no end of line": b"plain   ",
    "a space before it": b" plain\n",
    "a space in it": b"pl ain\n",
    "a space alone": b" ",
    "a line of a space": b" \n",
    "an end as of Windows": b"plain\r\n",
    "a space and an end as of Windows": b"plain \r\n",
    "an end as of old Macs": b"plain\r",
    "ends of lines and spaces behind it": b"plain\n \r\n\n ",
    "a second line": b"plain\nsecond\n",
    "a second line of a letter behind spaces": b"plain\n  s",
    "more behind a carriage return": b"plain\rsecond\n",
    "an empty line before it": b"\nplain\n",
    "a carriage return before it": b"\rplain\n",
    "a tab at its end": b"plain\t\n",
    "a tab behind its line": b"plain\n\t",
    "a byte 0 at its end": b"plain\0",
    "a byte 0 behind its line": b"plain\n\0",
    "nothing": b"",
    "an end of line alone": b"\n",
    "quotes and all of ASCII": b"'\"!#$%&()*+,-./:;<=>?@[\\]^_`{|}~\n",
    "delete": b"plai\x7fn\n",
    "Latin-1": b"pl\xe4in\n",
    "UTF-8": "pläin\n".encode(),
    "255 characters": b"x" * 255 + b"\n",
    "255 characters and a space": b"x" * 255 + b" \n",
    "256 characters": b"x" * 256 + b"\n",
    "255 characters and 2000 ends of lines": b"x" * 255 + b"\n" * 2000,
}


@pytest.fixture
def home(cluster, tmp_path):
    """An environment with a home of its own."""
    return {**cluster.env, "HOME": str(tmp_path)}


def cookie_of_erl(env, name):
    """None where it does not start."""
    done = subprocess.run(
        ["erl", "-sname", name, "-noshell"]
        + ["-eval", 'io:format("~s", [erlang:get_cookie()]), halt().'],
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    return done.stdout.decode() if done.returncode == 0 else None


@pytest.mark.parametrize("content", COOKIES.values(), ids=COOKIES)
def test_it_is_read_as_erl_reads_it(
    content, home, cluster, tmp_path, start_cnode, connect
):
    path = tmp_path / ".erlang.cookie"
    path.write_bytes(content)
    path.chmod(0o400)
    wanted = cookie_of_erl(home, cluster.name("erl"))
    node = start_cnode(env=home, ready=wanted is not None)
    if wanted is None:
        assert node.wait_exit() == 3
        assert f"cookie file {path}: " in node.log
    else:
        assert connect(node, cookie=wanted).remote_name == node.name


@pytest.mark.parametrize(
    "content, wanted",
    [
        (b"plain \nrest", "plain "),
        (b"plain\r\nrest", "plain"),
        (b"plain \r \n\0", "plain "),
        (b"plain \r x\n", None),
        (b"plain ", "plain "),
        (b"\nplain\n", None),
    ],
    ids=repr,
)
def test_of_a_pipe_the_first_line_is_read_like_that(
    content, wanted, start_cnode, connect
):
    node = start_cnode(
        "--cookie-file", "/dev/stdin", ready=False, stdin=subprocess.PIPE
    )
    node.process.stdin.write(content)
    node.process.stdin.close()
    if wanted is None:
        assert node.wait_exit() == 3
    else:
        node.wait_ready()
        assert connect(node, cookie=wanted).remote_name == node.name
        node.stop()


@pytest.mark.parametrize("place", ["file", "folder/file"])
def test_one_that_is_named_has_to_be_there(place, start_cnode, tmp_path):
    path = tmp_path / place
    node = start_cnode("--cookie-file", path, ready=False)
    assert node.wait_exit() == 3
    assert f"error cookie file {path}: No such file or directory; " in node.log
    assert os.listdir(tmp_path) == []


def test_a_pipe_that_nobody_writes_to_is_told_of(start_cnode, cluster, tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path, 0o600)
    node = start_cnode("--cookie-file", path, ready=False)
    node.wait_log("notice waiting for the cookie to be written")
    path.write_text(cluster.cookie + "\n")
    node.wait_ready()
    node.stop()


@pytest.mark.preload
def test_one_that_somebody_makes_at_the_same_time_is_taken(
    start_cnode, cluster, connect, tmp_path
):
    """As erl does, when both are started on a new host."""
    home = tmp_path / "home"
    home.mkdir()
    library = preload.build("late_cookie", tmp_path)
    env = {"HOME": str(home), "LD_PRELOAD": str(library), "LATE_COOKIE": "FROMOTHERS"}
    node = start_cnode(env={**cluster.env, **env})
    assert not node.find_log("made a random cookie")
    assert connect(node, cookie="FROMOTHERS").serves()
