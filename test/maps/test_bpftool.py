# SPDX-License-Identifier: Apache-2.0
"""The kernel's own tool sees the maps that the C node has made."""

import json
import secrets
import shutil
import subprocess
import sys

import pytest

from host import CPUS
from native import u32

pytestmark = pytest.mark.single


@pytest.fixture(scope="module")
def bpftool():
    path = shutil.which("bpftool", path="/usr/sbin:/usr/bin:/sbin:/bin")
    if not path:
        pytest.skip("no bpftool here")

    def bpftool(*args):
        done = subprocess.run(
            [path, "-j", *args], capture_output=True, text=True, timeout=20
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    return bpftool


@pytest.fixture
def named(maps, bpftool):
    """Makes a map, and tells its id and what bpftool shows of it."""
    name = f"t{secrets.token_hex(6)}"

    def named(*args, options=()):
        map = maps.new(*args, [("name", name), *options])
        assert map[0] == "ebpf_map", map
        shown = [one for one in bpftool("map", "list") if one.get("name") == name]
        assert len(shown) == 1, shown
        return map, shown[0]

    return named


def data(texts):
    return bytes(int(text, 16) for text in texts)


def test_it_shows_type_sizes_and_name(named):
    _, shown = named("hash", 5, 7, 9)
    assert shown["type"] == "hash"
    assert (shown["bytes_key"], shown["bytes_value"]) == (5, 7)
    assert shown["max_entries"] == 9


@pytest.mark.parametrize(
    "type, option, flag",
    [
        ("hash", "no_prealloc", 0x1),
        ("hash", "zero_seed", 0x40),
        ("hash", "prog_read", 0x80),
        ("hash", "prog_write", 0x100),
        ("array", "mmapable", 0x400),
    ],
)
def test_an_option_is_the_kernel_flag_of_its_name(type, option, flag, named):
    _, shown = named(type, 4, 8, 4, options=[option])
    assert shown["flags"] == flag


def test_options_add_up(named):
    _, shown = named("hash", 4, 8, 4, options=["zero_seed", "no_prealloc"])
    assert shown["flags"] == 0x41


@pytest.mark.parametrize("form", [str, str.encode, lambda s: list(s.encode())])
def test_a_name_of_15_characters_is_whole(form, maps, bpftool):
    map = maps.new("hash", 4, 4, 1, [("name", form("abc_XYZ.0123456"))])
    assert map[0] == "ebpf_map"
    assert "abc_XYZ.0123456" in [one.get("name") for one in bpftool("map", "list")]


def test_it_dumps_what_was_put(named, maps, bpftool):
    map, shown = named("hash", 4, 8, 100)
    for key in range(50):
        maps.put(key, key * key, map)
    dumped = bpftool("map", "dump", "id", str(shown["id"]))
    entries = {data(e["key"]): data(e["value"]) for e in dumped}
    assert entries == {u32(k): (k * k).to_bytes(8, sys.byteorder) for k in range(50)}


def test_it_dumps_the_value_of_each_cpu(named, maps, bpftool):
    map, shown = named("percpu_array", 4, 5, 1)
    value = [bytes([cpu, 2, 3, 4, 5]) for cpu in range(CPUS)]
    maps.put(0, value, map)
    [entry] = bpftool("map", "dump", "id", str(shown["id"]))
    assert [data(one["value"])[:5] for one in entry["values"]] == value


def test_what_it_writes_is_read(named, maps, bpftool):
    map, shown = named("hash", 4, 4, 4)
    text = "key hex 01 02 03 04 value hex 05 06 07 08".split()
    subprocess.run(
        ["bpftool", "map", "update", "id", str(shown["id"]), *text], check=True
    )
    assert maps.get(b"\1\2\3\4", map) == b"\5\6\7\x08"
    assert maps.walk(map) == [(b"\1\2\3\4", b"\5\6\7\x08")]


def test_a_closed_map_has_gone(named, maps, bpftool):
    map, shown = named("hash", 4, 4, 4)
    maps.close(map)
    assert shown["id"] not in [one["id"] for one in bpftool("map", "list")]
