# SPDX-License-Identifier: Apache-2.0
"""Objects that ask for what nobody may have, and nodes that reach for what is not
theirs: each is refused, and nothing comes of it."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from cluster import wait_until
from counting import Trace
from map_calls import outcome
from processes import children
from program_fixtures import Programs

pytestmark = pytest.mark.sandbox

BPFFS = Path("/sys/fs/bpf")


def nothing_held(programs):
    """Neither a handle, nor a descriptor of what the kernel might have made."""
    assert programs.handles() == [] and programs.maps("handles") == []
    [loader] = children(programs.node.pid)
    wait_until(lambda: children(loader) == [], what="its children have ended")
    made = ("bpf-map", "bpf-prog", "bpf_link", "bpf-link")
    return not [d for d in programs.node.descriptors() if d.endswith(made)]


# --- objects that ask for too much

TIB = 1 << 40
ENORMOUS = {
    # type, size of keys, of values, entries
    "a hash of 1 TiB": ("HASH", 4, 4096, TIB // 4096 - 1),
    "an array of 1 TiB": ("ARRAY", 4, 4096, TIB // 4096 - 1),
    "an array of 4 GiB entries": ("ARRAY", 4, 4096, 2**32 - 1),
    "an array for each processor": ("PERCPU_ARRAY", 4, 4096, TIB // 4096 - 1),
    "a hash for each processor": ("PERCPU_HASH", 4, 4096, TIB // 4096 - 1),
    "a cache": ("LRU_HASH", 4, 4096, TIB // 4096 - 1),
    "a queue": ("QUEUE", 0, 4096, TIB // 4096 - 1),
    "stacks": ("STACK_TRACE", 4, 1016, TIB // 1024),
}


@pytest.mark.parametrize("map", ENORMOUS)
def test_a_map_that_no_host_has_room_for_is_enomem(map, programs, compile_bpf):
    names = ("TYPE", "KEY", "VALUE", "ENTRIES")
    kind, *sizes = ENORMOUS[map]
    numbers = [f"BPF_MAP_TYPE_{kind}", *(f"{size}u" for size in sizes)]
    defines = [f"-D{name}={number}" for name, number in zip(names, numbers)]
    elf = compile_bpf("enormous", *defines).read_bytes()
    for options in [], [("programs", [])]:
        assert programs.load(elf, options) == ("error", "enomem")
    assert nothing_held(programs)


def test_sizes_that_the_caller_asks_for_are_enomem_as_well(programs, objects):
    most = ("max_entries", {b"table": 2**32 - 1})
    assert programs.load(objects, [most]) == ("error", "enomem")
    assert nothing_held(programs)


def test_a_small_object_with_a_large_variable_is_enomem(programs, compile_bpf):
    elf = compile_bpf("huge").read_bytes()
    assert len(elf) < 10_000
    assert programs.load(elf, []) == ("error", "enomem")
    assert nothing_held(programs)


def test_a_program_without_end_is_given_up_while_others_go_on(start_programs, compile_bpf, bob):
    """By the verifier, or at the deadline if that comes first."""
    programs = start_programs("--load-seconds", "2", "--max-loads", "2")
    elf = compile_bpf("endless").read_bytes()
    other = compile_bpf("grow").read_bytes()
    beam, node = programs.beam, programs.node
    request = [node.name, "ebpf_programs", "load", [elf, []]]
    beam.start_apply("erpc", "call", request)
    calls = Programs(bob, node)
    for _ in range(10):
        assert calls.load(other, [])["programs"].keys() == {b"grow"}
    match beam.finish():
        case ("error", ("rejected", _, b"endless", log)):
            assert 1000 < len(log) <= 65536 and b"processed" in log[-300:]
        case reason:
            assert reason == ("error", ("loader", "timeout"))
    assert programs.load(other, [])["programs"].keys() == {b"grow"}


# --- objects that reach out of themselves


def test_an_object_makes_no_pin_and_takes_none(programs, objects):
    other = programs.maps("new", "array", 4, 8, 1)
    pin = BPFFS / "asks_pin"
    before = set(os.listdir(BPFFS))
    programs.maps("pin", bytes(pin), other)
    try:
        loaded = programs.load(objects, [])
        own = loaded["maps"][b"asks_pin"]
        ids = {programs.maps("info", map)["id"] for map in (own, other)}
        assert len(ids) == 2
        assert set(os.listdir(BPFFS)) == before | {"asks_pin"}
    finally:
        pin.unlink()
    programs.load(objects, [])
    assert set(os.listdir(BPFFS)) == before


@pytest.mark.counts
def test_a_file_that_a_section_names_is_opened_by_nobody(
    start_programs, objects, compile_bpf, tmp_path
):
    programs = start_programs("--log-level", "info")
    file = tmp_path / "named-by-a-section"
    file.write_bytes(Path("/bin/true").read_bytes())
    elf = compile_bpf("paths", f'-DFILE="{str(file)[1:]}"').read_bytes()
    absolute = compile_bpf("paths", f'-DFILE="{file}"').read_bytes()
    loader = SimpleNamespace(pid=children(programs.node.pid)[0])
    with Trace(programs.node, tmp_path / "node") as of_node:
        with Trace(loader, tmp_path / "loader") as of_loader:
            programs.load(objects, [("programs", [b"at_btf"])])
            for object in elf, absolute:
                loaded = programs.load(object, [])
                assert len(loaded["programs"]) == 4
                for program in loaded["programs"].values():
                    assert outcome(programs.attach, program, "auto") == ("raised", "badarg")
    assert "/sys/kernel/btf/vmlinux" in of_loader.text and of_node.total > 0
    assert file.name not in of_node.text + of_loader.text
    refused = programs.node.find_log("badarg of attach/2 for .*: the section .* names no target")
    assert len(refused) > 0


# --- programs of one node, used by another


class Two:
    """alice has loaded and attached; bob may do what the rule says."""

    def __init__(self, start_cnode, alice, bob, right, objects, folder):
        rules = ["--allow", f"{alice.name}=load", "--allow", f"{bob.name}={right}"]
        node = start_cnode("--programs", "all", *rules)
        self.alice, self.bob = Programs(alice, node), Programs(bob, node)
        # what it returns is XDP_PASS: the nodes talk to each other through it
        options = [("programs", [b"pass", b"second"]), ("variables", {b"limit": 2})]
        loaded = self.alice.load(objects, options)
        self.program = loaded["programs"][b"pass"]
        self.of_tc = loaded["programs"][b"second"]
        self.table = loaded["maps"][b"table"]
        self.link = self.alice.attach(self.program, ("xdp", b"lo", "generic"))
        self.prog_array = self.alice.maps("new", "prog_array", 4, 4, 2)
        self.path = bytes(folder / "pin")
        self.elf = objects

    def attempts(self):
        """What bob does with what alice has."""
        b, program, link = self.bob, self.program, self.link
        packet = {"data": bytes(64)}
        return {
            "load": lambda: b.load(self.elf, []),
            "load instructions": lambda: b.load("xdp", bytes(16), [("maps", [self.table])]),
            "attach": lambda: b.attach(self.of_tc, ("tc", b"lo", "ingress", "last")),
            "update": lambda: b.update(link, program),
            "run": lambda: b.run(program, packet, []),
            "put": lambda: b.maps("put", 0, program, self.prog_array),
            "merge": lambda: b.maps("merge", self.prog_array, {0: program}),
            "pin": lambda: b.pin(self.path, program),
            "unpin": lambda: b.unpin(self.path, program),
            "open": lambda: b.open(("id", self.alice.info(program)["id"])),
            "open link": lambda: b.open(("link", self.alice.info(link)["id"])),
            "detach": lambda: b.detach(link),
            "close link": lambda: b.close(link),
            "close": lambda: b.close(program),
        }


@pytest.mark.parametrize("right", ["ro", "rw"])
def test_without_load_a_node_only_looks_at_what_others_have(
    right, start_cnode, alice, bob, objects, folder
):
    two = Two(start_cnode, alice, bob, right, objects, folder)
    refused = {name: outcome(attempt) for name, attempt in two.attempts().items()}
    assert refused == {name: ("raised", "eacces") for name in refused}
    infos = [two.alice.info(two.program), two.alice.info(two.link)]
    assert [two.bob.info(two.program), two.bob.info(two.link)] == infos
    assert infos[1]["program"] == infos[0]["id"] and infos[0]["pinned"] == []
    assert two.bob.handles() == two.alice.handles()
    assert two.alice.maps("find", 0, two.prog_array) == "error"
    assert two.alice.detach(two.link) == "ok"


def test_with_load_a_node_uses_and_ends_what_others_have(
    start_cnode, alice, bob, objects, folder
):
    """Who may load is trusted by all who may."""
    two = Two(start_cnode, alice, bob, "load", objects, folder)
    done = {name: outcome(attempt) for name, attempt in two.attempts().items()}
    no_program = done.pop("load instructions")  # but zeros
    assert no_program[1][:2] == ("rejected", "einval")
    assert done.pop("close link") == ("error", "ebadf")  # it is detached
    assert {name: what for name, what in done.items() if "error" in what or "raised" in what} == {}
    assert outcome(two.alice.info, two.program) == ("raised", ("badprogram", two.program))
    assert outcome(two.alice.info, two.link) == ("raised", ("badlink", two.link))
