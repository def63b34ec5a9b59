# SPDX-License-Identifier: Apache-2.0
"""--pin-root: no path of a caller leads out of it."""

import os
import pwd
import shutil
import threading
from pathlib import Path

import pytest

from beam import BeamError
from conftest import Maps, raises

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 4)
PINS = Path("/sys/fs/bpf")


@pytest.fixture
def folder():
    """A folder in the bpf file system, with what is outside of the root."""
    folder = PINS / f"ebpf_cnode_root_{os.getpid()}"
    folder.mkdir(mode=0o700)
    (folder / "root").mkdir()
    (folder / "root" / "sub").mkdir()
    (folder / "rootless").mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def root(folder):
    return folder / "root"


@pytest.fixture
def node(start_cnode, root):
    return start_cnode("--pin-root", root)


@pytest.fixture
def maps(node, alice):
    return Maps(alice, node)


@pytest.fixture
def map(maps):
    return maps.new(*HASH)


@pytest.fixture
def outside(start_cnode, alice, folder):
    """A map that is pinned outside of the root, by a node without one."""
    free = Maps(alice, start_cnode())
    path = folder / "outside"
    assert free.pin(data(path), free.new(*HASH)) == "ok"
    return path


def data(path):
    return str(path).encode()


@pytest.mark.parametrize(
    "form", ["{}/map", "{}//map", "{}/./map", "{}/sub/map", "{}/sub/../map", "{}/sub//map"]
)
def test_below_it_all_is_as_without(form, maps, map, root):
    path = form.format(root).encode()
    assert maps.unpin(path, map) == ("error", "enoent")
    assert maps.open(("pinned", path)) == ("error", "enoent")
    assert maps.pin(path, map) == "ok"
    assert maps.pin(path, map) == ("error", "eexist")
    maps.put(1, 2, map)
    again = maps.open(("pinned", path), ["read"])
    assert maps.get(1, again) == maps.get(1, map)
    with raises("eperm"):
        maps.put(1, 3, again)
    assert maps.unpin(path, maps.new(*HASH)) == ("error", "einval")
    assert maps.unpin(path, map) == "ok"
    assert sorted(p.name for p in root.rglob("*")) == ["sub"]


OUTSIDE = [
    "{folder}/outside",
    "{folder}/new",
    "{folder}/rootless/map",
    "{folder}/root/../outside",
    "{folder}/root/sub/../../outside",
    "{folder}/root/./../outside",
    "{folder}/root/..//outside",
    "{folder}/root/../root/map",
    "{folder}/nothing/../root/map",
    "/{folder}/root/map",
    "//outside",
    "/",
    "/etc/passwd",
    "/nothing/there",
    "/proc/self/fd/3/map",
    "/sys/fs/bpf",
]


@pytest.mark.parametrize("form", OUTSIDE)
def test_a_path_outside_of_it_is_refused(form, node, maps, map, folder, outside):
    path = form.format(folder=folder).encode()
    before = sorted(folder.rglob("*"))
    for call in (
        lambda: maps.pin(path, map),
        lambda: maps.unpin(path, map),
        lambda: maps.open(("pinned", path)),
        lambda: maps.open(("pinned", path), ["read"]),
    ):
        start = node.mark()
        with raises("eacces"):
            call()
        line = node.wait_log(
            r"Z warning refused (pin|unpin|open)/[12] to (\S+) <\d+\.\d+>: "
            r"not to be reached below --pin-root: (.*)$",
            start=start,
        )
        assert (line[2], line[3].encode()) == (maps.beam.name, path)
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("last", ["", "/", "/.", "/..", "/sub/..", "/sub/."])
def test_the_root_and_what_has_no_name_are_no_pins(last, maps, map, root):
    path = data(root) + last.encode()
    for call in (lambda: maps.pin(path, map), lambda: maps.unpin(path, map)):
        with raises("eacces"):
            call()
    with raises("eacces") if last in ("", "/", "/..") else nullcontext():
        assert maps.open(("pinned", path)) == ("error", "eacces")


class nullcontext:
    def __enter__(self):
        return self

    def __exit__(self, *exception):
        return False


def test_a_trailing_slash_makes_it_no_pin(maps, map, root):
    path = data(root / "map")
    assert maps.pin(path, map) == "ok"
    with raises("eacces"):
        maps.unpin(path + b"/", map)
    assert maps.open(("pinned", path + b"/")) == ("error", "enotdir")
    assert maps.unpin(path, map) == "ok"


def test_no_link_is_followed(maps, map, root, folder, outside):
    """Neither one to the outside, nor one that stays inside."""
    inside = root / "inside"
    assert maps.pin(data(inside), map) == "ok"
    (root / "to_outside").symlink_to(outside)
    (root / "to_inside").symlink_to(inside)
    (root / "folder").symlink_to(folder)
    (root / "here").symlink_to(".")
    (root / "to_nothing").symlink_to(folder / "made")
    for path in ("to_outside", "to_inside", "folder/outside", "here/inside"):
        with raises("eacces"):
            maps.open(("pinned", data(root / path)))
    for path in ("folder/new", "here/new"):
        with raises("eacces"):
            maps.pin(data(root / path), map)
    with raises("eacces"):
        maps.unpin(data(root / "here" / "inside"), map)
    assert maps.pin(data(root / "to_nothing"), map) == ("error", "eexist")
    assert maps.unpin(data(root / "to_inside"), map) == ("error", "eperm")
    assert inside.exists() and (root / "to_inside").is_symlink()
    assert not (folder / "made").exists() and not (folder / "new").exists()


def test_what_is_below_it_is_not_said_to_be_outside(maps, node, map, root):
    """The user may not enter a folder there; and there may be links."""
    os.chown(root / "sub", pwd.getpwnam("nobody").pw_uid, -1)
    (root / "sub").chmod(0o700)
    (root / "link").symlink_to("sub")
    for path in (data(root / "sub" / "map"), data(root / "link")):
        start = node.mark()
        with raises("eacces"):
            maps.open(("pinned", path))
        line = node.wait_log("warning refused open/1 .*: (.*): (.*)$", start=start)
        assert line[1] == "not to be reached below --pin-root"
        assert line[2].encode() == path


def test_a_long_name_is_an_error_value(maps, map, root):
    for name in ("a" * 256, "a" * 3000):
        path = data(root / name)
        assert maps.pin(path, map) == ("error", "enametoolong")
        assert maps.open(("pinned", path)) == ("error", "enametoolong")


def test_links_and_folders_swapped_meanwhile_lead_nowhere(
    maps, root, folder, outside, node
):
    """What the path names is replaced all the time while it is opened."""
    mine = maps.new("array", 4, 4, 1)
    for place in (root / "a", folder / "b"):
        place.mkdir()
    assert maps.pin(data(root / "a" / "map"), mine) == "ok"
    victim = folder / "b" / "map"
    os.link(outside, victim)
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            (root / "a").rename(root / "aside")
            (root / "a").symlink_to(folder / "b")
            (root / "a").unlink()
            (root / "aside").rename(root / "a")

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        answers = maps.beam.eval(
            """
            Try = fun(F, A) -> try erpc:call(N, ebpf_maps, F, A)
                               catch error:{exception, R, _} -> R end end,
            lists:usort(lists:append([begin
                Type = case Try(open, [{pinned, Path}]) of
                    {ebpf_map, _, T, _, _, _} = O -> Try(close, [O]), T;
                    Other -> Other
                end,
                P = Try(pin, [New, Mine]),
                P =:= ok andalso Try(unpin, [New, Mine]),
                [Type, P]
            end || _ <- lists:seq(1, 3000)] ) )""",
            N=node.name,
            Path=data(root / "a" / "map"),
            New=data(root / "a" / "new"),
            Mine=mine,
            timeout=60,
        )
    finally:
        stop.set()
        thread.join()
    allowed = {"array", "ok", "eacces", ("error", "enoent"), ("error", "eexist")}
    assert set(answers) <= allowed
    assert "array" in answers and "eacces" in answers
    assert sorted(p.name for p in (folder / "b").iterdir()) == ["map"]


def test_the_root_is_the_folder_that_it_was_at_the_start(
    maps, map, root, folder, outside
):
    """A root that is renamed and replaced by a link changes nothing."""
    os.rename(root, folder / "moved")
    root.symlink_to(folder)
    assert maps.pin(data(root / "map"), map) == "ok"
    assert (folder / "moved" / "map").exists()
    assert maps.open(("pinned", data(root / "outside"))) == ("error", "enoent")
    root.unlink()


@pytest.mark.parametrize("suffix", ["/", "//"])
def test_slashes_behind_the_root_change_nothing(suffix, start_cnode, alice, root):
    maps = Maps(alice, start_cnode("--pin-root", f"{root}{suffix}"))
    map = maps.new(*HASH)
    assert maps.pin(data(root / "map"), map) == "ok"
    with raises("eacces"):
        maps.pin(data(f"{root}less/map"), map)
    assert maps.unpin(data(root / "map"), map) == "ok"


def test_the_root_may_be_the_root_or_a_link(start_cnode, alice, root, tmp_path):
    """As the command line names it, and as a path then begins."""
    link = tmp_path / "link"
    link.symlink_to(root)
    by_link = Maps(alice, start_cnode("--pin-root", link))
    map = by_link.new(*HASH)
    assert by_link.pin(data(link / "map"), map) == "ok"
    with raises("eacces"):
        by_link.open(("pinned", data(root / "map")))
    whole = Maps(alice, start_cnode("--pin-root", "/"))
    assert whole.open(("pinned", data(root / "map")))[0] == "ebpf_map"
    with raises("eacces"):
        whole.open(("pinned", data(link / "map")))
    assert by_link.unpin(data(link / "map"), map) == "ok"


def test_paths_of_all_lengths_are_refused_or_told(maps, map, root):
    for size in (4000, 4093, 4094, 4095):
        below = data(root) + b"/"
        path = below + (b"a/" * 4096)[: size - len(below)]
        for call in (maps.pin, maps.unpin):
            try:
                assert call(path, map)[0] == "error"
            except BeamError as e:
                assert e.reason == "eacces" and path.endswith(b"/")
        assert maps.open(("pinned", path))[0] == "error"
    with raises("badarg"):
        maps.open(("pinned", b"/" + bytes(b"a" * 4096)))


def test_refused_paths_leave_no_descriptor(maps, map, root, node, outside):
    assert maps.pin(data(root / "map"), map) == "ok"
    before = len(node.descriptors())
    for _ in range(50):
        maps.close(maps.open(("pinned", data(root / "map"))))
        maps.pin(data(root / "map"), map)
        maps.unpin(data(root / "never"), map)
        for path in (root / ".." / "outside", outside):
            with raises("eacces"):
                maps.open(("pinned", data(path)))
    assert len(node.descriptors()) == before


def test_without_it_the_kernel_says_what_it_keeps_from_the_user(
    start_cnode, alice, tmp_path
):
    """An error value, as of other paths: nothing was refused by an option."""
    tmp_path.chmod(0o700)
    node = start_cnode("--user", "nobody")
    maps = Maps(alice, node)
    map = maps.new("hash", 4, 8, 4)
    path = str(tmp_path / "folder" / "m").encode()
    eacces = ("error", "eacces")
    assert maps.pin(path, map) == maps.unpin(path, map) == eacces
    assert maps.open(("pinned", path)) == eacces
    assert not node.find_log("--pin-root")


def test_without_it_pins_may_be_anywhere(start_cnode, alice, folder):
    maps = Maps(alice, start_cnode())
    map = maps.new(*HASH)
    (folder / "link").symlink_to(folder / "rootless")
    path = data(folder / "link" / "map")
    assert maps.pin(path, map) == "ok"
    assert maps.open(("pinned", path))[0] == "ebpf_map"
    assert maps.unpin(path, map) == "ok"
