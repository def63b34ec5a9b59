# SPDX-License-Identifier: Apache-2.0
"""Records as each version of the node has written them are read by this one.

records_versionN.json has them as they were written, but for the ids of kernel
objects, which differ from boot to boot, and where the part of another record is. A new version gets a file of its own; those
that there are stay as they are.
"""

import ctypes
import json
import os
import random
import struct
from pathlib import Path

import pytest

from keeping import Records, create_options
from native import u32, u64
from others import HASH, RAW_TRACEPOINT, check, libbpf, others_program, pin

HASH_OF_MAPS = 13
LAYOUT = (
    "u32",
    (
        *("struct", 8),
        [
            (b"count", 0, "u32"),
            (b"a_longer_name_of_a_member", 32, ("enum", 4, [(b"none", 0), (b"some", 1)])),
        ],
    ),
)


def object_id(fd, kind):
    with open(f"/proc/self/fdinfo/{fd}") as f:
        (line,) = [line for line in f if line.startswith(kind)]
    return int(line.split()[1])


class Objects:
    """What the records are of, made anew: by name, a descriptor and its id."""

    def __init__(self):
        same = self.hash()
        inner = self.hash()
        program = others_program(RAW_TRACEPOINT)
        link = check(libbpf.bpf_raw_tracepoint_open(b"task_rename", program))
        self.fds = {
            "map": same,
            "permanent": self.hash(),
            "process": self.hash(),
            "read only": same,
            "outer": self.outer(inner),
            "shared": inner,
            "view": same,
            "members": same,
            "program": program,
            "link": link,
        }
        kinds = {"program": "prog_id", "link": "link_id"}
        self.ids = {
            name: object_id(fd, kinds.get(name, "map_id")) for name, fd in self.fds.items()
        }

    def hash(self):
        return check(libbpf.bpf_map_create(HASH, b"golden", 4, 8, 4, None))

    def outer(self, inner):
        """With the inner map at the key 1."""
        options = create_options(inner)
        fd = check(libbpf.bpf_map_create(HASH_OF_MAPS, b"golden", 4, 4, 4, options))
        key, value = ctypes.c_uint32(1), ctypes.c_uint32(inner)
        check(libbpf.bpf_map_update_elem(fd, ctypes.byref(key), ctypes.byref(value), 0))
        return fd

    def close(self):
        for fd in set(self.fds.values()):
            os.close(fd)


def write_folder(folder, written, objects, version):
    folder.mkdir(mode=0o700)
    records = Records.make(folder, version)
    at, part = 1, None
    # parts first: handles say where they are
    for name, text in sorted(written["records"], key=lambda row: row[0] != "part"):
        record = bytearray.fromhex(text)
        if record[0] == Records.PART:
            part = at
        elif record[0] == Records.HANDLE:
            record[16:20] = u32(objects.ids[name])
            if record[24:28] != bytes(4):
                record[24:28] = u32(part)
            pin(objects.fds[name], folder / ("h" + written["references"][name][-16:]))
        elif record[0] == Records.CHARGE:
            record[4:8] = u32(objects.ids[name.removeprefix("charge of ")])
        at = records.write(at, bytes(record))


@pytest.fixture(params=[1], ids=lambda version: f"version {version}")
def golden(request, kept, kept_folder):
    """The references of handles by what they are of, in a node that has them back."""
    place = Path(__file__).with_name(f"records_version{request.param}.json")
    written = json.loads(place.read_text())
    objects = Objects()
    write_folder(kept_folder, written, objects, request.param)
    objects.close()
    options = "--programs", "all", "--allow", "*=load"
    kept.start(*options, naming=["--sname", "kept@golden"], sname=None)
    return {name: bytes.fromhex(raw) for name, raw in written["references"].items()}


def test_all_that_was_written_is_read(golden, kept, connect):
    kept.node.wait_log(r"back from \S+: 8 maps, 1 programs, 1 links, of 2 nodes; 0 dropped, 0 left")
    app = connect(kept.node, name="app@golden", creation=7777)
    told = app.maps("handles") + app.maps("handles", module="ebpf_programs")
    found = sorted((handle[1].raw, owner, lifetime) for handle, owner, lifetime in told)
    expected = {
        **{name: [("app@golden", "node")] for name in golden},
        "permanent": [("none", "permanent")],
        "shared": [("app@golden", "node"), ("other@golden", "node")],
    }
    process = [owner for handle, owner, lifetime in told if lifetime == "process"]
    assert [pid.kind for pid in process] == ["pid"]
    expected["process"] = [(process[0], "process")]
    assert [(raw, lifetime) for raw, _, lifetime in found] == sorted(
        (golden[name], lifetime) for name, rows in expected.items() for _, lifetime in rows
    )
    assert {(raw, owner) for raw, owner, _ in found} == {
        (golden[name], owner) for name, rows in expected.items() for owner, _ in rows
    }


def test_they_are_of_the_same_objects(golden, kept, connect):
    app = connect(kept.node, name="app@golden", creation=7777)
    listed = app.maps("handles") + app.maps("handles", module="ebpf_programs")
    by_raw = {handle[1].raw: handle for handle, *_ in listed}
    handles = {name: by_raw[raw] for name, raw in golden.items()}
    app.maps("put", 5, 1 << 32 | 3, handles["map"])
    assert app.maps("get", u32(5), handles["read only"]) == u64(1 << 32 | 3)
    assert app.erpc("ebpf_maps", "put", [5, 1, handles["read only"]])[:2] == ("error", "eperm")
    assert app.maps("get", 5, handles["view"]) == (3, b"some")
    assert app.maps("types", handles["view"]) == LAYOUT
    assert app.maps("get", 5, handles["members"]) == (3,)
    assert app.maps("get", u32(1), handles["outer"]) == handles["shared"]
    assert app.maps("size", handles["permanent"]) == 0
    info = app.erpc("ebpf_programs", "info", [handles["program"]])[1]
    assert info["name"] == b"least"
    # its section says where
    _, another = app.erpc("ebpf_programs", "attach", [handles["program"], "auto"])
    assert another[2:] == handles["link"][2:]
    assert handles["link"][2:] == ("raw_tracepoint", ("raw_tracepoint", b"task_rename"))
    assert app.erpc("ebpf_programs", "detach", [handles["link"]]) == ("return", "ok")


# --- Any content ------------------------------------------------------------------------


def mutated(record, dice):
    """The same with some bytes changed, cut off, or from elsewhere in it."""
    record = bytearray(record)
    for _ in range(dice.choice([1, 1, 2, 4])):
        if len(record) < 2:
            break
        at = dice.randrange(1, len(record))
        match dice.randrange(4):
            case 0:
                record[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
            case 1:
                del record[at : at + dice.randrange(1, 9)]
            case 2:
                record[at:at] = record[: dice.randrange(1, 40)]
            case 3:
                record[at : at + 4] = dice.choice([bytes(4), b"\xff" * 4, u32(1 << 18)])
    return bytes(record) or b"\2"


@pytest.mark.parametrize("seed", range(8))
def test_records_of_any_content_with_the_right_sum_end_nothing(kept, kept_folder, connect, seed):
    """What was written whole is still checked: a later version, or an error, may have written it."""
    dice = random.Random(seed)
    place = Path(__file__).with_name("records_version1.json")
    written = json.loads(place.read_text())
    objects = Objects()
    write_folder(kept_folder, written, objects, 1)
    records = Records(kept_folder)
    at = max(records.heads()) + 40
    rows = [(name, bytes.fromhex(text)) for name, text in written["records"] if name != "node"]
    for n in range(300):
        name, record = dice.choice(rows)
        record = bytearray(record)
        if record[0] == Records.HANDLE:
            random_bits = struct.pack(">Q", n << 32 | seed)
            record[8:16] = struct.pack("=2I", *struct.unpack(">2I", random_bits))
            record[4:8] = u32(100 + n)
            record[16:20] = u32(objects.ids[name])
            pin(objects.fds[name], kept_folder / ("h" + random_bits.hex()))
        at = records.write(at, mutated(record, dice))
    objects.close()
    options = "--programs", "all", "--allow", "*=load"
    kept.start(*options, naming=["--sname", "kept@golden"], sname=None)
    found = kept.node.find_log(r"back from \S+: (\d+) maps, \d+ programs, .*; (\d+) dropped")
    assert int(found[0][1]) >= 8
    assert int(found[0][2]) > 50
    app = connect(kept.node, name="app@golden", creation=7777)
    for handle, *_ in app.maps("handles"):
        assert app.erpc("ebpf_maps", "info", [handle])[0] == "return"
    for handle in {handle for handle, *_ in app.maps("handles")}:
        assert app.maps("close", handle) == "ok"
    assert app.maps("new", "hash", 4, 8, 4)[0] == "ebpf_map"
