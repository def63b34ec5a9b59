# SPDX-License-Identifier: Apache-2.0
"""load/2: objects, with each option, through a node as it is."""

import os

import pytest

from cluster import wait_until
from conftest import raises
from native import ORDER, u32, u64

pytestmark = pytest.mark.single

MAPS = {
    b"table": ("hash", 4, 8, 16),
    b"asks_pin": ("array", 4, 8, 1),
    b"resized": ("array", 4, 8, 1),
    b".bss": ("array", 4, 8, 1),
    b".data": ("array", 4, 20, 1),
    b".rodata": ("array", 4, 13, 1),
}
PACKET = {"data": bytes(64)}


@pytest.fixture
def load(shared_programs, objects):
    """Loads objects.bpf.c; closed at the end."""
    return lambda *options, **others: shared_programs.load(objects, list(options), **others)


def value_of(programs, loaded, variable):
    """The bytes of a variable, as its map has them."""
    place = loaded["variables"][variable]
    value = programs.maps("get", u32(0), place["map"])
    return value[place["offset"] : place["offset"] + place["size"]]


def number_of(programs, loaded, variable):
    return int.from_bytes(value_of(programs, loaded, variable), ORDER)


def shapes(maps):
    return {name: handle[2:] for name, handle in maps.items()}


# --- What there is ----------------------------------------------------------------------


def test_an_object_becomes_programs_maps_and_variables(load):
    loaded = load()
    assert set(loaded) == {"programs", "maps", "variables"}
    kinds = {name: (tag, type, own) for name, (tag, _, type, own) in loaded["programs"].items()}
    assert kinds == {
        b"pass": ("ebpf_program", "xdp", b"pass"),
        b"second": ("ebpf_program", "sched_cls", b"second"),
    }
    assert shapes(loaded["maps"]) == MAPS
    names = b"limit enabled text small signed_small large colour runs".split()
    assert set(loaded["variables"]) == set(names)
    assert loaded["variables"][b"large"] == {
        "map": loaded["maps"][b".data"],
        "offset": 8,
        "size": 8,
    }


def test_what_was_loaded_is_held_until_it_is_closed(shared_programs, load):
    with shared_programs.unchanged():
        loaded = load()
        handles = {*loaded["programs"].values(), *loaded["maps"].values()}
        assert handles <= shared_programs.held()
        assert len(handles) == 8
        for handle in handles:
            shared_programs.end(handle)


def test_a_program_runs_on_its_maps(shared_programs, load):
    loaded = load()
    shared_programs.maps("put", u32(0), u64(40), loaded["maps"][b"table"])
    done = shared_programs.run(loaded["programs"][b"pass"], PACKET, [("repeat", 2)])
    assert done["return"] == 7
    assert shared_programs.maps("get", u32(0), loaded["maps"][b"table"]) == u64(42)


def test_auto_attaches_to_what_the_section_names(shared_programs, load, tracefs):
    loaded = load(("programs", ["at_getppid"]))
    [(name, program)] = loaded["programs"].items()
    link = shared_programs.attach(program, "auto")
    assert link[3] == ("tracepoint", b"syscalls", b"sys_enter_getppid")
    before = number_of(shared_programs, loaded, b"runs")
    for _ in range(100):
        os.getppid()
    assert number_of(shared_programs, loaded, b"runs") >= before + 100
    assert shared_programs.detach(link) == "ok"


def test_each_program_and_map_is_in_the_audit_trail(shared_programs, load):
    start = shared_programs.node.mark()
    load()
    for line in (
        r" info loaded \S+ <\S+> load/2: program \d+ xdp \"pass\"",
        r" info loaded \S+ <\S+> load/2: program \d+ sched_cls \"second\"",
        r" info handle_made \S+ <\S+> load/2: program \d+ xdp \"pass\", handle \d+, lifetime node",
        r" info handle_made \S+ <\S+> load/2: map \d+ hash \"table\", handle \d+, lifetime node",
    ):
        shared_programs.node.wait_log(line, start=start)


# --- Options ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", [b"optional", "optional", list(b"optional")], ids=repr)
def test_a_name_is_a_binary_an_atom_or_a_string(name, load):
    assert set(load(("programs", [name]))["programs"]) == {b"optional"}


def test_without_programs_there_are_maps(load):
    loaded = load(("programs", []))
    assert loaded["programs"] == {}
    assert set(loaded["maps"]) == set(MAPS)


def test_maps_have_the_sizes_that_are_asked_for(load):
    sizes = ("max_entries", {b"table": 99}), ("value_size", {b"resized": 16})
    loaded = load(("programs", []), *sizes, ("max_entries", {b"resized": 5}))
    assert shapes(loaded["maps"]) == {
        **MAPS,
        b"table": ("hash", 4, 8, 99),
        b"resized": ("array", 4, 16, 5),
    }


@pytest.mark.parametrize("by", ["handle", "id", "pin"])
def test_a_map_of_the_caller_takes_the_place_of_the_objects(by, shared_programs, load, folder):
    mine = shared_programs.maps("new", "hash", 4, 8, 16)
    shared_programs.maps("pin", f"{folder}/mine".encode(), mine)
    named = {
        "handle": mine,
        "id": ("id", shared_programs.maps("info", mine)["id"]),
        "pin": ("pinned", f"{folder}/mine".encode()),
    }[by]
    shared_programs.maps("put", u32(0), u64(1), mine)
    loaded = load(("maps", {b"table": named}))
    assert loaded["maps"][b"table"] == named
    assert len(shared_programs.maps("handles")) == len(MAPS)
    shared_programs.run(loaded["programs"][b"pass"], PACKET, [])
    assert shared_programs.maps("get", u32(0), mine) == u64(2)


def test_variables_of_two_objects_may_be_the_same(shared_programs, load):
    first = load(("programs", []))
    data = first["maps"][b".data"]
    second = load(("maps", {b".data": data}))
    assert second["variables"][b"small"] == first["variables"][b"small"]


@pytest.mark.parametrize(
    "variable, given, bytes",
    [
        (b"limit", 2, u32(2)),
        (b"enabled", 1, b"\1"),
        (b"text", b"changed\0", b"changed\0"),
        (b"small", 255, b"\xff"),
        (b"signed_small", -(2**15), (-(2**15)).to_bytes(2, ORDER, signed=True)),
        (b"large", 2**64 - 1, u64(2**64 - 1)),
        (b"large", 2**63, u64(2**63)),
        (b"colour", 2, u32(2)),
        (b"runs", u64(5), u64(5)),
    ],
    ids=str,
)
def test_a_variable_is_set_before_the_object_is_loaded(
    variable, given, bytes, shared_programs, load
):
    loaded = load(("programs", []), ("variables", {variable: given}))
    assert value_of(shared_programs, loaded, variable) == bytes


def test_a_program_sees_the_variables_that_were_set(shared_programs, load):
    loaded = load(("variables", {b"limit": 2, b"large": 40}))
    assert shared_programs.run(loaded["programs"][b"pass"], PACKET, [])["return"] == 2
    assert number_of(shared_programs, loaded, b"runs") == 40 - 1 + ord("b") + 1


def test_a_section_that_tells_no_type_is_given_one(load):
    loaded = load(("programs", ["untyped"]), ("program_types", {"untyped": "sched_cls"}))
    assert loaded["programs"][b"untyped"][2] == "sched_cls"


@pytest.mark.sandbox  # without it, EPERM ends the search in the types of modules
def test_a_program_is_loaded_for_what_is_asked_for(shared_programs, load):
    loaded = load(("programs", ["at_btf"]), ("attach_to", {"at_btf": b"sys_exit"}))
    link = shared_programs.attach(loaded["programs"][b"at_btf"], "auto")
    assert link[2:] == ("raw_tracepoint", "btf")
    none = load(("programs", ["at_btf"]), ("attach_to", {"at_btf": b"no_such_event"}))
    assert none[0] == "error"
    assert none[1][0] == "object"
    assert none[1][1].startswith(b"attach_to of at_btf: the kernel tells of no no_such_event ")


def test_the_name_of_an_object_is_in_those_of_its_sections_maps(shared_programs, load):
    loaded = load(("name", b"mine"))
    assert shared_programs.maps("info", loaded["maps"][b".bss"])["name"] == b"mine.bss"


@pytest.mark.parametrize("level, least", [(0, None), (1, 0), (2, 1)])
def test_the_log_is_told_of_each_program_at_its_level(level, least, load):
    loaded = load(("programs", ["second", "pass"]), ("log", level))
    if level == 0:
        assert "log" not in loaded
        return
    assert set(loaded["log"]) == {b"pass", b"second"}
    for log in loaded["log"].values():
        assert b"processed " in log
        assert (b"exit" in log) == (level == 2)


HOLDER = """
    Me = self(),
    Holder = spawn(fun() ->
        Me ! {loaded, erpc:call(N, ebpf_programs, load, [Elf, [{lifetime, process}]])},
        receive stop -> ok end
    end),
    receive {loaded, Loaded} -> {Holder, Loaded} after 15000 -> late end."""


def test_handles_of_a_process_end_with_it(shared_programs, objects):
    beam, name = shared_programs.beam, shared_programs.node.name
    with shared_programs.unchanged():
        holder, loaded = beam.eval(HOLDER, N=name, Elf=objects)
        assert len(shared_programs.held()) == 8
        assert {life for *_, life in shared_programs.handles()} == {"process"}
        beam.eval("H ! stop.", H=holder)


def test_permanent_handles_have_no_owner(shared_programs, load):
    load(("lifetime", "permanent"))
    told = shared_programs.handles() + shared_programs.maps("handles")
    assert {tuple(rest) for _, *rest in told} == {("none", "permanent")}


# --- Pins -------------------------------------------------------------------------------


def test_maps_that_ask_for_it_are_pinned_where_the_caller_says(shared_programs, load, folder):
    loaded = load(("pin", str(folder).encode()))
    assert os.listdir(folder) == ["asks_pin"]
    path = f"{folder}/asks_pin".encode()
    ids = [shared_programs.maps("info", map)["id"] for map in (
        loaded["maps"][b"asks_pin"], ("pinned", path)
    )]
    assert ids[0] == ids[1]


def test_a_pin_that_is_there_is_used(shared_programs, load, folder):
    pin = ("pin", str(folder).encode())
    first, second = (load(pin)["maps"] for _ in range(2))
    shared_programs.maps("put", u32(0), u64(5), first[b"asks_pin"])
    assert shared_programs.maps("get", u32(0), second[b"asks_pin"]) == u64(5)
    assert first[b"asks_pin"] != second[b"asks_pin"]
    ids = [{shared_programs.maps("info", map)["id"] for map in maps.values()} for maps in (first, second)]
    assert len(ids[0] & ids[1]) == 1
    given = load(pin, ("maps", {b"asks_pin": first[b"asks_pin"]}))
    assert given["maps"][b"asks_pin"] == first[b"asks_pin"]


def test_no_pin_is_made_or_used_by_an_object(shared_programs, load):
    pin = "/sys/fs/bpf/asks_pin"
    load()
    assert not os.path.exists(pin)
    theirs = shared_programs.maps("new", "array", 4, 8, 1)
    shared_programs.maps("pin", pin.encode(), theirs)
    loaded = load()
    assert shared_programs.maps("put", u32(0), u64(7), loaded["maps"][b"asks_pin"])
    assert shared_programs.maps("get", u32(0), theirs) == u64(0)
    shared_programs.maps("unpin", pin.encode(), theirs)


def test_a_pin_of_another_size_is_not_used(shared_programs, load, folder):
    other = shared_programs.maps("new", "array", 4, 16, 1)
    shared_programs.maps("pin", f"{folder}/asks_pin".encode(), other)
    with shared_programs.unchanged(), raises("badarg"):
        load(("pin", str(folder).encode()))
    assert os.listdir(folder) == ["asks_pin"]


def test_a_folder_that_is_not_there_is_an_error(shared_programs, load, folder):
    with shared_programs.unchanged():
        assert load(("pin", f"{folder}/none".encode())) == ("error", "enoent")


def test_pins_are_made_below_their_root_and_up_to_their_number(start_programs, objects, folder):
    (folder / "root").mkdir()
    programs = start_programs("--pin-root", folder / "root", "--max-pins", "1")
    with programs.unchanged(), raises("eacces"):
        programs.load(objects, [("pin", str(folder).encode())])
    programs.node.wait_log(r"refused load/2 .* --pin-root")
    pin = ("pin", f"{folder}/root".encode())
    first = programs.load(objects, [pin])
    programs.maps("unpin", f"{folder}/root/asks_pin".encode(), first["maps"][b"asks_pin"])
    programs.maps("pin", f"{folder}/root/other".encode(), first["maps"][b"table"])
    with programs.unchanged():
        assert programs.load(objects, [pin]) == ("error", "enospc")
    assert os.listdir(folder / "root") == ["other"]
