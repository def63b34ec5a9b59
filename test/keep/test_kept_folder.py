# SPDX-License-Identifier: Apache-2.0
"""The folder of --keep: whose it is, who reaches it, and what others put there."""

import os
import re
import signal
import subprocess

import pytest

from conftest import raises
from keeping import Records
from native import u32, u64
from others import check, libbpf, others_map, pinned

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 16)
USAGE = 2


# --- Whose it is ------------------------------------------------------------------------


def refused(kept, words, *options, status=USAGE):
    kept.start(*options, ready=False)
    assert kept.node.wait_exit() == status, kept.node.log
    assert re.search(words, kept.node.log), kept.node.log
    assert len(kept.node.lines) == 1, kept.node.log


def test_it_is_made_where_it_is_missing(kept, kept_folder):
    kept.start("--log-level", "info")
    status = kept_folder.stat()
    assert (status.st_mode & 0o777, status.st_uid) == (0o700, os.getuid())
    kept.node.wait_log(r"info made the folder /sys/fs/bpf/kept")
    kept.node.wait_log(r"info --keep \S+: nothing is kept there yet")


def test_a_folder_that_others_may_enter_is_refused(kept, kept_folder):
    kept_folder.mkdir(mode=0o750)
    refused(kept, r"error --keep \S+: others may enter it; `chmod 0700' it")


def test_the_folder_of_another_user_is_refused(kept, kept_folder):
    kept_folder.mkdir(mode=0o700)
    os.chown(kept_folder, 65534, 65534)
    refused(kept, r"it belongs to the user 65534, and this process runs as 0:")


def test_a_folder_that_is_in_no_bpf_file_system_is_refused(kept, tmp_path):
    kept.folder = tmp_path / "kept"
    refused(kept, r"No such file or directory; give a folder of a bpf file system, such as /sys")
    assert not kept.folder.exists()
    kept.folder.mkdir(mode=0o700)
    refused(kept, r"not in a bpf file system; give a folder such as /sys/fs/bpf/")


def test_a_file_is_refused(kept, kept_folder):
    pinned(others_map, kept_folder)
    try:
        refused(kept, r"error --keep \S+: Not a directory")
    finally:
        kept_folder.unlink()


def test_a_whole_file_system_is_refused(kept, tmp_path):
    place = tmp_path / "fs"
    place.mkdir()
    subprocess.run(["mount", "-t", "bpf", "-o", "mode=0700", "bpf", place], check=True)
    kept.folder = place
    try:
        refused(kept, r"it is the whole file system, where others pin as well; give a folder in it")
    finally:
        subprocess.run(["umount", place], check=True)


def test_a_failed_start_ends_with_its_reason(kept, start_cnode, kept_folder):
    kept.start()
    kept.new(*HASH)
    kept.end(signal.SIGTERM)
    kept.node.wait_log(r"notice kept 1 handles in /sys")
    other = start_cnode("--keep", kept_folder, ready=False)
    assert other.wait_exit() == USAGE
    assert "the node" in other.lines[-1] and "has kept what is there" in other.lines[-1]


def test_a_relative_path_is_refused(kept):
    kept.folder = "kept"
    refused(kept, r"give an absolute path")


def test_a_second_node_is_refused(kept, start_cnode, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    other = start_cnode("--keep", kept_folder, ready=False)
    assert other.wait_exit() == 1
    assert re.search(r"error --keep \S+: another process has it", other.log)
    assert kept.size(map) == 0


def test_another_node_name_is_refused(kept, start_cnode, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    other = start_cnode("--keep", kept_folder, ready=False)
    assert other.wait_exit() == USAGE
    words = rf"error --keep \S+: the node {kept.name} has kept what is there, and this one is"
    assert re.search(words, other.log)
    kept.start()
    assert kept.size(map) == 0


def test_a_pin_root_in_it_is_refused(kept, kept_folder):
    kept_folder.mkdir(mode=0o700)
    (kept_folder / "pins").mkdir()
    refused(kept, r"--pin-root \S+ is in the folder of --keep", "--pin-root", kept_folder / "pins")


def test_a_newer_version_is_refused_and_loses_nothing(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    records = Records(kept_folder)
    records.write_version(2)
    refused(kept, r"a newer ebpf_cnode wrote it, in version 2 of its records; this one reads up")
    records.write_version(1)
    kept.start()
    assert kept.size(map) == 0


# --- Who reaches it ---------------------------------------------------------------------


@pytest.mark.parametrize("root", [(), ("--pin-root", "/sys/fs/bpf")], ids=["no root", "a root"])
def test_callers_reach_nothing_in_it(kept, kept_folder, root):
    kept.start(*root, "--programs", "all", "--allow", "*=load")
    map = kept.new(*HASH)
    (name,) = kept.pins()
    for inside in name, "records0":
        path = bytes(kept_folder / inside)
        for call in (
            lambda path=path: kept.open(("pinned", path)),
            lambda path=path: kept.get(u32(1), ("pinned", path)),
            lambda path=path: kept.programs.open(("pinned", path)),
            lambda path=path: kept.pin(path, map),
            lambda path=path: kept.unpin(path, map),
        ):
            with raises("eacces"):
                call()
    assert kept.pins() == [name]
    if not root:
        kept.node.wait_log(r"warning refused \S+ to \S+ <\S+>: in the folder of --keep, which is")


def test_no_other_path_leads_there(kept, kept_folder, tmp_path):
    mount, link = tmp_path / "mount", kept_folder.with_name(kept_folder.name + "_link")
    mount.mkdir()
    kept.start()
    map = kept.new(*HASH)
    (name,) = kept.pins()
    subprocess.run(["mount", "--bind", kept_folder, mount], check=True)
    link.symlink_to(kept_folder)
    try:
        for folder in mount, link:
            with raises("eacces"):
                kept.open(("pinned", bytes(folder / name)))
            with raises("eacces"):
                kept.unpin(bytes(folder / name), map)
            with raises("eacces"):
                kept.pin(bytes(folder / "more"), map)
    finally:
        link.unlink()
        subprocess.run(["umount", mount], check=True)


def test_it_is_not_told_of_and_does_not_count(kept, kept_folder):
    kept.start("--max-pins", "1")
    maps = [kept.new(*HASH, [("name", b"kept_one")]) for _ in range(3)]
    assert kept.info(maps[0])["pinned"] == []
    mine = [info for info in kept.list() if info["name"] == b"kept_one"]
    assert [info["pinned"] for info in mine] == [[]] * 3
    path = str(kept_folder).encode() + b"_pin"
    assert kept.pin(path, maps[0]) == "ok"
    assert kept.info(maps[0])["pinned"] == [path]
    assert kept.unpin(path, maps[0]) == "ok"


def test_nobody_opens_the_records_by_their_id(kept, kept_folder):
    kept.start()
    fd = check(libbpf.bpf_obj_get(bytes(kept_folder / "records0")))
    with open(f"/proc/self/fdinfo/{fd}") as f:
        id = int(re.search(r"map_id:\s+(\d+)", f.read())[1])
    os.close(fd)
    assert kept.open(("id", id)) == ("error", "enoent")
    assert id not in [info["id"] for info in kept.list()]


# --- What others put there --------------------------------------------------------------


def test_files_of_others_are_told_of_and_left_alone(kept, kept_folder, tmp_path):
    kept.start()
    map = kept.new(*HASH)
    (name,) = kept.pins()
    kept.end()
    pinned(others_map, kept_folder / "others")
    (kept_folder / "folder").mkdir()
    (kept_folder / "h0123456789abcdef").symlink_to(kept_folder / name)
    (kept_folder / "records1").mkdir()
    subprocess.run(["mount", "--bind", tmp_path, kept_folder / "folder"], check=True)
    try:
        kept.start()
        for foreign in "others", "folder", "h0123456789abcdef", "records1":
            kept.node.wait_log(rf"warning --keep \S+: {foreign} is none of this node's")
        assert kept.size(map) == 0
        there = {"others", "folder", "h0123456789abcdef", "records1", "records0", name}
        assert set(os.listdir(kept_folder)) == there
    finally:
        subprocess.run(["umount", kept_folder / "folder"], check=True)


def test_a_pin_without_a_record_is_half_done_and_removed(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    pinned(others_map, kept_folder / "h0123456789abcdef", kept_folder / "hfedcba9876543210_1")
    kept.start()
    kept.node.wait_log(r"notice --keep \S+: removed 2 pins of what was half done")
    assert kept.size(map) == 0
    assert len(kept.pins()) == 1


def test_a_record_without_its_pin_is_dropped(kept, kept_folder):
    kept.start("--log-level", "info")
    gone, stays = kept.new(*HASH), kept.new(*HASH)
    pin = kept_folder / pin_of(gone)
    kept.end()
    pin.unlink()
    kept.start()
    kept.node.wait_log(r"warning --keep \S+: map \d+ of \S+ is not back: its pin is missing")
    kept.node.wait_log(r"info handle_ended: map \d+, handle 0, lifetime node, .*not_restored")
    with raises(("badmap", gone)):
        kept.size(gone)
    assert kept.size(stays) == 0
    assert Records(kept_folder).heads(Records.HANDLE) != []
    assert len(Records(kept_folder).heads(Records.HANDLE)) == 1


def pin_of(map):
    return "h" + map[1].raw[-8:].hex()


def test_another_object_in_the_place_of_a_pin_is_not_taken_for_it(kept, kept_folder):
    kept.start()
    gone = kept.new(*HASH)
    kept.put(u32(1), u64(1), gone)
    pin = kept_folder / pin_of(gone)
    kept.end()
    pin.unlink()
    pinned(others_map, pin)
    kept.start()
    kept.node.wait_log(r"is not back: its pin is of another object; its handle is dropped")
    with raises(("badmap", gone)):
        kept.get(u32(1), gone)
    assert kept.pins() == []


# --- Records that are cut ---------------------------------------------------------------


@pytest.mark.parametrize("how", ["zeros", "ones", "another bit"])
def test_a_record_cut_at_any_byte_is_dropped_and_the_others_stay(kept, kept_folder, how):
    kept.start()
    maps = [kept.new(*HASH) for _ in range(Records.SIZE)]
    for n, map in enumerate(maps):
        kept.put(u32(0), u64(n), map)
    kept.end()
    records = Records(kept_folder)
    touched = []
    for at, map in enumerate(maps):
        start = records.of(map) * Records.SIZE
        before = records.page[start : start + Records.SIZE]
        rest = {
            "zeros": bytes(Records.SIZE - at),
            "ones": b"\xff" * (Records.SIZE - at),
            "another bit": bytes([before[at] ^ 1]) + before[at + 1 :],
        }[how]
        touched.append((start, before[:at] + rest))
    for start, after in touched:
        records.page[start : start + Records.SIZE] = after
    kept.start()
    whole = 0
    for n, map in enumerate(maps):
        try:
            assert kept.get(u32(0), map) == u64(n)
            whole += 1
        except Exception as e:  # noqa: BLE001
            assert e.reason == ("badmap", map), e
    # what is behind a record, in its last entry, is no part of it
    size = len(records.read(records.heads(Records.NODE)[0]))
    assert 0 < whole < Records.SIZE - size
    assert len(kept.handles()) == whole
    assert len(kept.pins()) == whole


def test_a_long_record_whose_entries_are_mixed_up_is_dropped(kept, kept_folder):
    kept.start()
    map = kept.new("hash", 4, 8, 4)
    members = [(f"a_rather_long_name_of_a_member_{n}", 8 * n, "u8") for n in range(8)]
    view = kept.typed(map, [("types", ("u32", ("struct", 8, members)))])
    other = kept.typed(map, [("types", ("u32", ("struct", 8, members[:4])))])
    kept.end()
    records = Records(kept_folder)
    index = records.of(view)
    records.page[index * 128 + 4 : index * 128 + 8] = u32(records.of(other))
    kept.start()
    with raises(("badmap", view)):
        kept.size(view)
    assert kept.size(other) == kept.size(map) == 0
    more = [kept.typed(map, [("types", ("u32", ("struct", 8, members)))]) for _ in range(9)]
    kept.again()
    assert [kept.size(one) for one in [map, other, *more]] == [0] * 11


def test_records_that_point_in_circles_end_nothing(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    records = Records(kept_folder)
    for index in range(100, 8192):
        start = index * 128
        records.page[start : start + 16] = u32(Records.HEAD) + u32(index) + u32(1 << 20) + u32(7)
    kept.start()
    assert kept.size(map) == 0
    assert len(kept.node.find_log("is damaged, and is dropped")) == 10
    assert len(kept.node.find_log("more records are damaged")) == 1


def test_one_copy_of_the_nodes_record_is_enough(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    records = Records(kept_folder)
    for copy in range(2):
        index = records.heads(Records.NODE)[copy]
        records.page[index * 128 + 20] ^= 1
        kept.start()
        assert kept.size(map) == 0
        kept.end()


def test_without_both_copies_nothing_is_misread(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    records = Records(kept_folder)
    for index in records.heads(Records.NODE):
        records.page[index * 128 + 20] ^= 1
    kept.start()
    kept.node.wait_log(r"is dropped: it is not known which node has kept it")
    with raises(("badmap", map)):
        kept.size(map)
    assert kept.pins() == []
    assert kept.size(kept.new(*HASH)) == 0


def test_a_damaged_version_is_mended(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    records = Records(kept_folder)
    records.page[16:36] = bytes(20)
    kept.start()
    kept.node.wait_log(r"records0 is damaged; what is whole in it is read")
    assert kept.size(map) == 0
    assert records.page[16:26] == b"ebpf_cnode"


def test_records_that_are_gone_are_made_anew(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    (kept_folder / "records0").unlink()
    kept.start()
    with raises(("badmap", map)):
        kept.size(map)
    assert kept.pins() == []
    new = kept.new(*HASH)
    kept.again()
    assert kept.size(new) == 0


def test_another_map_in_the_place_of_the_records_is_left_alone(kept, kept_folder):
    kept.start()
    map = kept.new(*HASH)
    kept.end()
    (kept_folder / "records0").unlink()
    pinned(others_map, kept_folder / "records0")
    kept.start()
    kept.node.wait_log(r"error --keep \S+: its records cannot be opened: Invalid argument; handles")
    with raises(("badmap", map)):
        kept.size(map)
    assert kept.new(*HASH) == ("error", "einval")
    assert isinstance(kept.stats(), dict)


# --- What the kernel refuses ------------------------------------------------------------


ENOSPC, EPERM, ENOMEM, EINVAL = 28, 1, 12, 22


@pytest.mark.preload
def test_a_full_file_system_refuses_new_handles_and_serves_the_others(kept, odd):
    kept.start(env=odd.environment)
    map = kept.new(*HASH)
    odd.unpinnable = ENOSPC
    assert kept.new(*HASH) == ("error", "enospc")
    kept.node.wait_log(r"warning --keep \S+: a new handle cannot be kept, and is refused: No space")
    kept.put(u32(1), u64(1), map)
    assert kept.handles() == [(map, kept.beam.name, "node")]
    odd.unpinnable = 0
    other = kept.new(*HASH)
    kept.again(signal.SIGKILL)
    assert kept.get(u32(1), map) == u64(1)
    assert kept.size(other) == 0


@pytest.mark.preload
def test_a_full_file_system_at_the_first_start_keeps_nothing_and_serves(kept, odd):
    odd.unpinnable = ENOSPC
    kept.start(env=odd.environment)
    kept.node.wait_log(r"error --keep \S+: no records can be made: No space left on device")
    assert kept.new(*HASH) == ("error", "enospc")
    assert isinstance(kept.features(), dict)


def test_a_file_system_that_is_read_only_serves_what_needs_no_handle(kept, tmp_path):
    place = tmp_path / "fs"
    place.mkdir()
    subprocess.run(["mount", "-t", "bpf", "bpf", place], check=True)
    kept.folder = place / "kept"
    try:
        kept.start()
        map = kept.new(*HASH)
        kept.end()
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        kept.start()
        kept.node.wait_log(r"error --keep \S+: its records cannot be opened: Read-only file system")
        assert kept.new(*HASH) == ("error", "erofs")
        assert isinstance(kept.list(), list)
        kept.end()
        subprocess.run(["mount", "-o", "remount,rw", place], check=True)
        kept.start()
        assert kept.size(map) == 0
        kept.end()
    finally:
        subprocess.run(["umount", "-l", place], check=True)


@pytest.mark.preload
@pytest.mark.parametrize("error", [EPERM, ENOMEM], ids=["EPERM", "ENOMEM"])
def test_what_the_kernel_refuses_at_restore_is_named_and_left_for_later(kept, odd, error):
    kept.start(env=odd.environment)
    map = kept.new(*HASH)
    kept.put(u32(1), u64(1), map)
    odd.unopened = error
    kept.again(signal.SIGKILL, env=odd.environment)
    kept.node.wait_log(r"warning --keep \S+: map \d+ of \S+ is not back: .*; it stays in the folder")
    with raises(("badmap", map)):
        kept.size(map)
    odd.unopened = 0
    others = [kept.new(*HASH) for _ in range(3)]
    assert map[1] not in [other[1] for other in others]
    kept.again()
    assert kept.get(u32(1), map) == u64(1)
    assert [kept.size(other) for other in others] == [0] * 3


@pytest.mark.preload
def test_what_will_never_open_is_dropped(kept, odd):
    kept.start(env=odd.environment)
    map = kept.new(*HASH)
    odd.unopened = EINVAL
    kept.again(signal.SIGKILL, env=odd.environment)
    kept.node.wait_log(r"map \d+ of \S+ is not back: .*; its handle is dropped")
    with raises(("badmap", map)):
        kept.size(map)
    assert kept.pins() == []


# --- Forgetting -------------------------------------------------------------------------


def forget(kept, start_cnode, *more):
    node = start_cnode("--keep", kept.folder, "--forget", *more, ready=False)
    return node.wait_exit(), node.log


def test_forget_drops_all_and_says_what(kept, start_cnode, kept_folder):
    kept.start()
    map = kept.new(*HASH, [("name", b"one")])
    id = kept.info(map)["id"]
    kept.new(*HASH)
    kept.end()
    pinned(others_map, kept_folder / "others")
    Records(kept_folder).write_version(7)
    status, log = forget(kept, start_cnode)
    assert status == 0, log
    assert re.search(rf"notice dropped map {id} hash \"one\"\n", log), log
    assert re.search(r"notice nothing is kept in \S+ any more", log)
    assert os.listdir(kept_folder) == ["others"]
    kept.start()
    with raises(("badmap", map)):
        kept.size(map)


def test_forget_is_refused_while_a_node_runs(kept, start_cnode):
    kept.start()
    map = kept.new(*HASH)
    status, log = forget(kept, start_cnode)
    assert status == 1
    assert "another process has it" in log
    assert kept.size(map) == 0


def test_forget_takes_a_folder(kept, start_cnode):
    node = start_cnode("--forget", ready=False)
    assert node.wait_exit() == USAGE
    assert "--forget: of which folder? Give --keep DIR as well" in node.log
    status, log = forget(kept, start_cnode)
    assert status == USAGE
    assert "No such file or directory" in log


def test_forget_takes_the_folder_of_any_user(kept, start_cnode, kept_folder):
    kept.start()
    kept.new(*HASH)
    kept.end()
    os.chown(kept_folder, 65534, 65534)
    status, log = forget(kept, start_cnode)
    assert status == 0, log
    assert os.listdir(kept_folder) == []
