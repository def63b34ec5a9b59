# SPDX-License-Identifier: Apache-2.0
"""File systems that take nothing: no pins, no cookie, no log."""

import errno
import fcntl
import os
import stat
import subprocess
from pathlib import Path

import pytest

from cluster import Cluster, wait_until
from conftest import Maps
from host import PAGE

HASH = ("hash", 4, 8, 4)
PINS = Path("/sys/fs/bpf")


def mount(*args):
    subprocess.run(["mount", *map(str, args)], check=True)


@pytest.fixture
def bpf_fs():
    """A bpf file system of the test's own, below the one that is there."""
    folder = PINS / f"ebpf_cnode_ro_{os.getpid()}"
    folder.mkdir(mode=0o700)
    mount("-t", "bpf", "bpf", folder)
    yield folder
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


@pytest.fixture
def disk(tmp_path):
    """A file system of its own, with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=64k", "tmpfs", folder)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder):
    """Until there is no room for a byte; what has taken it."""
    path = folder / "filler"
    with open(path, "wb", buffering=0) as f:
        try:
            while f.write(bytes(4096)):
                pass
        except OSError as e:
            assert e.errno == errno.ENOSPC
    return path


def data(path):
    return str(path).encode()


# --- a bpf file system that is read-only


def test_on_a_read_only_bpf_file_system_pins_stay_as_they_are(bpf_fs, maps):
    """What is pinned there can still be used, and found."""
    pinned, other = maps.new(*HASH), maps.new(*HASH)
    path = data(bpf_fs / "there")
    maps.put(1, 2, pinned)
    assert maps.pin(path, pinned) == "ok"
    mount("-o", "remount,ro", bpf_fs)
    assert maps.pin(data(bpf_fs / "new"), other) == ("error", "erofs")
    assert maps.unpin(path, pinned) == ("error", "erofs")
    assert maps.info(pinned)["pinned"] == [path]
    assert maps.info(other)["pinned"] == []
    opened = maps.open(("pinned", path), ["read"])
    maps.made.append(opened)
    assert maps.get(1, opened) == maps.get(1, pinned)
    assert maps.put(1, 3, pinned) == pinned
    mount("-o", "remount,rw", bpf_fs)
    assert maps.unpin(path, pinned) == "ok"


def test_a_pin_root_may_be_read_only(bpf_fs, start_cnode, alice):
    mount("-o", "remount,ro", bpf_fs)
    maps = Maps(alice, start_cnode("--pin-root", bpf_fs))
    map = maps.new(*HASH)
    assert maps.pin(data(bpf_fs / "new"), map) == ("error", "erofs")
    assert maps.put(1, 2, map) == map


# --- no room for the cookie


def test_a_cookie_that_finds_no_room_is_told_and_not_left_in_part(
    disk, start_cnode
):
    """And with room again the same node starts."""
    lone = Cluster(disk)
    cookie = disk / ".erlang.cookie"
    cookie.unlink()
    filler = fill(disk)
    lone.epmd.start()
    try:
        node = start_cnode(cluster=lone, ready=False)
        assert node.wait_exit() == 3
        assert f"{cookie}: " in node.log
        assert os.strerror(errno.ENOSPC) in node.log
        assert not cookie.exists()
        filler.unlink()
        node = start_cnode(cluster=lone)
        assert stat.S_IMODE(cookie.stat().st_mode) == 0o400
        assert len(cookie.read_text()) == 20
        node.stop()
    finally:
        lone.epmd.stop()


# --- no room for the log


def start_logging_to(path, start_cnode, cluster):
    """A node whose log goes there; ready when it is registered."""
    log_to = ["sh", "-c", 'log=$1; shift; exec "$@" 2>>"$log"', "sh", path]
    node = start_cnode(wrapper=log_to, ready=False)
    node.port = wait_until(lambda: cluster.epmd.port_of(node.sname))
    node.must_live = True
    return node


def wait_until_it_tells_of_who_connects(node, log, connect):
    """Of some: there are only so many lines a second."""
    names = []

    def has_told():
        with connect(node) as peer:
            names.append(peer.name)
        text = log.read_text()
        return any(f"connected {name}" in text for name in names)

    wait_until(has_told)


def test_a_log_device_that_is_full_holds_up_nobody(
    start_cnode, cluster, connect, alice
):
    node = start_logging_to("/dev/full", start_cnode, cluster)
    map = alice.erpc(node.name, "new", *HASH)
    for _ in range(50):
        connect(node).close()
    assert alice.erpc(node.name, "put", 1, 2, map) == map
    node.stop()


def test_a_log_goes_on_when_its_full_disk_has_room_again(
    disk, start_cnode, cluster, connect, alice
):
    """And then it says how much of it is lost."""
    log = disk / "log"
    filler = fill(disk)
    node = start_logging_to(log, start_cnode, cluster)
    map = alice.erpc(node.name, "new", *HASH)
    lost = [connect(node) for _ in range(15)]  # of as many a line is written
    for peer in lost:
        peer.close()
    assert alice.erpc(node.name, "put", 1, 2, map) == map
    assert log.stat().st_size == 0
    filler.unlink()
    wait_until_it_tells_of_who_connects(node, log, connect)
    text = log.read_text()
    number = int(text.split(" log lines were lost")[0].split()[-1])
    assert number >= len(lost)
    assert f" connected {lost[0].name}" not in text
    assert alice.erpc(node.name, "put", 1, 3, map) == map
    node.stop()


def test_a_line_that_finds_no_room_for_its_end_is_no_part_of_the_next(
    disk, start_cnode, cluster, connect
):
    log = disk / "log"
    filler = fill(disk)

    def give_a_page():
        """Room for some lines."""
        os.truncate(filler, filler.stat().st_size - PAGE)

    give_a_page()
    node = start_logging_to(log, start_cnode, cluster)

    def cut():
        connect(node).close()
        text = log.read_bytes()
        if len(text) % PAGE == 0 and text.endswith(b"\n"):
            give_a_page()
        return len(text) % PAGE == 0 and not text.endswith(b"\n")

    wait_until(cut)
    filler.unlink()
    wait_until_it_tells_of_who_connects(node, log, connect)
    lines = log.read_text().splitlines()
    lost = [line for line in lines if line.endswith(" log lines were lost")]
    assert lost and all(line.split(" ", 1)[0].isdigit() for line in lost)
    node.stop()


def test_what_is_lost_of_a_log_that_is_read_slowly_is_told_of_once(
    tmp_path, start_cnode, cluster, connect
):
    """There is room for one write, each time that it has been read."""
    path = tmp_path / "log"
    os.mkfifo(path)
    fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    node = start_logging_to(path, start_cnode, cluster)
    keeper = connect(node)
    assert keeper.serves()
    os.read(fd, 1 << 16)
    fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PAGE)
    read = []
    for number in range(5):
        with connect(node, name=f"peer{number}@h") as peer:
            assert peer.serves()
        wait_until(lambda: keeper.maps("stats")["connections"] == 1)
        read += os.read(fd, 1 << 16).decode().splitlines()
    os.close(fd)
    found = [line for line in read if " notice connected peer" in line]
    told = [int(line.split()[0]) for line in read if line.endswith(" were lost")]
    assert len(found) == 5
    assert told == [1] * 4  # that each of them had gone
    node.stop()
