# SPDX-License-Identifier: Apache-2.0
"""--pin-root and --file-root: which folders will do, and what others are told."""

import os
import pwd
import re
import subprocess
from pathlib import Path

import pytest

from conftest import Maps, raises

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 4)
FILES = ("inode_storage", 4, 8, 0, ["no_prealloc"])
PINS = Path("/sys/fs/bpf")
NOBODY = pwd.getpwnam("nobody")
OPTIONS = ["--pin-root", "--file-root"]


@pytest.fixture
def fit(folder, tmp_path):
    """{option: a folder that will do}, each in one that is for root alone."""
    folders = {"--pin-root": folder / "root", "--file-root": tmp_path / "root"}
    for each in folders.values():
        each.parent.chmod(0o700)
        each.mkdir(mode=0o700)
    (folders["--file-root"] / "file").touch()
    return folders


def refused(start_cnode, option, path, *others, **wrapper):
    """What it says of a path with which it does not start."""
    node = start_cnode(option, path, *others, ready=False, **wrapper)
    assert node.wait_exit() == 2
    [line] = node.lines
    head = f" error {option} {path}: "
    assert head in line
    return line.split(head)[1]


def serves(node, alice, option, folder):
    """Whether what is named below it is reached."""
    maps = Maps(alice, node)
    if option == "--pin-root":
        map, path = maps.new(*HASH), str(folder / "map").encode()
        return maps.pin(path, map) == "ok" and maps.unpin(path, map) == "ok"
    map = maps.new(*FILES)
    return maps.put(("file", str(folder / "file").encode()), 1, map) == map


# --- what is no folder


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize(
    "path, words",
    [
        ("", "give an absolute path"),
        ("relative/path", "give an absolute path"),
        ("{tmp}/never/there", "No such file or directory"),
        ("{tmp}/file", "Not a directory"),
        ("{tmp}/to_file", "Not a directory"),
        ("{tmp}/dangling", "No such file or directory"),
        ("{tmp}/loop", "Too many levels of symbolic links"),
        ("/" + "a" * 300, "File name too long"),
    ],
)
def test_what_is_no_folder_is_told_with_status_2(
    option, path, words, start_cnode, tmp_path
):
    (tmp_path / "file").touch()
    for link, target in [("to_file", "file"), ("dangling", "never"), ("loop", "loop")]:
        (tmp_path / link).symlink_to(tmp_path / target)
    said = refused(start_cnode, option, path.format(tmp=tmp_path))
    assert words in said
    assert re.search("give an absolute path|give a folder that exists", said)


# --- who may enter it


@pytest.mark.parametrize("option", OPTIONS)
def test_what_its_user_may_not_enter_is_told_with_status_2(option, start_cnode, fit):
    said = refused(start_cnode, option, fit[option], "--user", "nobody")
    assert re.search("may not enter it: Permission denied; change its owner or mode", said)


@pytest.mark.parametrize("option", OPTIONS)
def test_root_without_its_capabilities_may_not_enter_what_is_of_others(
    option, start_cnode, fit
):
    os.chown(fit[option], NOBODY.pw_uid, NOBODY.pw_gid)
    assert "may not enter it" in refused(start_cnode, option, fit[option])


@pytest.mark.parametrize("option", OPTIONS)
def test_who_may_not_even_find_it_is_told_with_status_2(option, start_cnode, fit):
    caps = "-all,+bpf,+net_admin,+setpcap,+setuid,+setgid"
    os.chown(fit[option].parent, NOBODY.pw_uid, NOBODY.pw_gid)
    wrapper = ["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}"]
    assert "Permission denied" in refused(
        start_cnode, option, fit[option], wrapper=wrapper
    )


@pytest.mark.parametrize("option", OPTIONS)
def test_a_folder_of_its_user_may_be_in_one_of_others(option, start_cnode, alice, fit):
    os.chown(fit[option], NOBODY.pw_uid, NOBODY.pw_gid)
    node = start_cnode(option, fit[option], "--user", "nobody")
    assert serves(node, alice, option, fit[option])


# --- which folder it is


@pytest.mark.parametrize("option", OPTIONS)
def test_a_link_is_followed_once(option, start_cnode, alice, fit, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(fit[option])
    node = start_cnode(option, link)
    link.unlink()
    link.symlink_to("/etc")
    assert serves(node, alice, option, link)
    with raises("eacces"):
        serves(node, alice, option, fit[option])


def test_a_file_root_stays_the_folder_that_it_was(start_cnode, alice, fit):
    folder = fit["--file-root"]
    node = start_cnode("--file-root", folder)
    moved = folder.rename(folder.parent / "moved")
    folder.mkdir()
    maps = Maps(alice, node)
    map = maps.new(*FILES)
    (moved / "old").touch()
    (folder / "new").touch()
    assert maps.put(("file", str(folder / "old").encode()), 1, map) == map
    with raises("enoent"):
        maps.put(("file", str(folder / "new").encode()), 1, map)


def test_a_pin_root_in_no_bpf_file_system_is_told_with_status_2(start_cnode, tmp_path):
    said = refused(start_cnode, "--pin-root", tmp_path)
    assert re.search("neither in a bpf file system nor above one.*; give a folder such as", said)


def test_a_pin_root_may_be_above_a_bpf_file_system(start_cnode, alice, tmp_path):
    below = tmp_path / "root" / "bpf"
    below.mkdir(parents=True)
    beside = tmp_path / "roo"
    beside.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", below], check=True)
    try:
        node = start_cnode("--pin-root", tmp_path / "root")
        assert serves(node, alice, "--pin-root", below)
        assert "neither in a bpf file system nor above one" in refused(start_cnode, "--pin-root", beside)
    finally:
        subprocess.run(["umount", below], check=True)


def test_without_any_bpf_file_system_it_may_be_the_root_only(start_cnode):
    script = 'umount -a -t bpf; exec setpriv --bounding-set=-sys_admin "$0" "$@"'
    wrapper = ["unshare", "--mount", "sh", "-c", script]
    start_cnode("--pin-root", "/", wrapper=wrapper)
    said = refused(start_cnode, "--pin-root", PINS, wrapper=wrapper)
    assert "neither in a bpf file system nor above one" in said
