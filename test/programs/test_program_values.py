# SPDX-License-Identifier: Apache-2.0
"""Programs as values of maps: tail calls, and what devmaps and cpumaps run."""

import subprocess
from types import SimpleNamespace

import pytest

from cluster import wait_until
from conftest import raises
from host import CPUS
from native import u32
from program_fixtures import Programs

pytestmark = pytest.mark.single

PACKET = {"data": bytes(64)}
LOOPBACK = 1
NOBODY, CALLEE, ANOTHER = 1, 42, 43  # what a run of caller returns
PROG_ARRAY = ("prog_array", 4, 4, 4)
INDEX = 2  # that caller calls


@pytest.fixture(scope="session")
def values(compile_bpf):
    return compile_bpf("values")


@pytest.fixture
def pinned(values, folder, bpftool):
    """Where its programs and its map are pinned, for a node to open."""
    bpftool("prog", "loadall", values, folder / "programs", "pinmaps", folder / "maps")
    return SimpleNamespace(programs=folder / "programs", maps=folder / "maps")


def opened(programs, pinned):
    """Its programs by their names, and the map as callees."""
    handles = {
        pin.name: programs.open(("pinned", bytes(pin))) for pin in pinned.programs.iterdir()
    }
    callees = programs.maps("open", ("pinned", bytes(pinned.maps / "callees")))
    return SimpleNamespace(**handles, callees=callees)


@pytest.fixture
def open_all(programs, pinned):
    return opened(programs, pinned)


def id_of(programs, program):
    return ("id", programs.info(program)["id"])


def ids(programs):
    """Of what is loaded on the host; to open one would keep it there."""
    return {("id", program["id"]) for program in programs.list()}


def run(programs, program):
    return programs.run(program, PACKET, [])["return"]


# --- tail calls


def test_a_program_that_is_put_is_called(programs, open_all):
    o = open_all
    assert run(programs, o.caller) == NOBODY
    assert programs.maps("put", INDEX, o.callee, o.callees) == o.callees
    assert run(programs, o.caller) == CALLEE
    programs.maps("put", INDEX, o.another, o.callees)
    assert run(programs, o.caller) == ANOTHER
    programs.maps("remove", INDEX, o.callees)
    assert run(programs, o.caller) == NOBODY


def test_a_program_in_a_map_is_read_as_its_id(programs, open_all):
    o = open_all
    id = id_of(programs, o.callee)
    with raises(("badkey", INDEX)):
        programs.maps("get", INDEX, o.callees)
    programs.maps("put", INDEX, o.callee, o.callees)
    assert programs.maps("get", INDEX, o.callees) == id
    assert programs.maps("find", INDEX, o.callees) == ("ok", id)
    assert programs.maps("with", [0, INDEX], o.callees) == {INDEX: id}
    assert programs.maps("to_list", o.callees) == [(u32(INDEX), id)]
    assert programs.maps("values", o.callees) == [id]
    assert programs.maps("next_chunk", "start", o.callees, 4)[0] == [(u32(INDEX), id)]
    assert programs.maps("next", programs.maps("iterator", o.callees))[:2] == (u32(INDEX), id)
    assert programs.maps("take", INDEX, o.callees) == (id, o.callees)
    assert programs.maps("take", INDEX, o.callees) == "error"


def test_each_function_that_takes_a_value_takes_a_program(programs, open_all):
    o = open_all
    callee, another = id_of(programs, o.callee), id_of(programs, o.another)
    programs.maps("insert", 0, o.callee, o.callees)
    with raises(("keyexists", 0)):
        programs.maps("insert", 0, o.another, o.callees)
    programs.maps("update", 0, o.another, o.callees)
    with raises(("badkey", 1)):
        programs.maps("update", 1, o.another, o.callees)
    programs.maps("merge", o.callees, [(2, o.callee), (3, o.another), (1, o.callee)])
    assert programs.maps("values", o.callees) == [another, callee, callee, another]
    drained = [(u32(key), id) for key, id in enumerate([another, callee, callee, another])]
    assert programs.maps("drain", o.callees) == drained
    assert programs.maps("size", o.callees) == 0


def test_a_merge_checks_each_program_before_it_puts_one(programs, open_all):
    o = open_all
    programs.close(o.another)
    with raises(("badprogram", o.another)):
        programs.maps("merge", o.callees, [(0, o.callee), (1, o.another)])
    assert programs.maps("size", o.callees) == 0


def test_a_program_in_a_map_outlives_its_handle_and_its_pin(programs, open_all, pinned):
    o = open_all
    id = id_of(programs, o.callee)
    programs.maps("put", INDEX, o.callee, o.callees)
    assert programs.close(o.callee) == "ok"
    (pinned.programs / "callee").unlink()
    assert run(programs, o.caller) == CALLEE
    again = programs.open(programs.maps("get", INDEX, o.callees))
    assert again[2:] == o.callee[2:] and again != o.callee
    assert programs.close(again) == "ok"
    programs.maps("remove", INDEX, o.callees)
    wait_until(lambda: id not in ids(programs))


def test_an_array_that_is_gone_lets_its_programs_go(programs, open_all, pinned):
    o = open_all
    id = id_of(programs, o.callee)
    array = programs.maps("new", *PROG_ARRAY)
    programs.maps("put", 0, o.callee, array)
    programs.close(o.callee)
    (pinned.programs / "callee").unlink()
    assert programs.maps("get", 0, array) == id
    programs.maps("close", array)
    wait_until(lambda: id not in ids(programs))


def test_the_kernel_keeps_an_array_to_programs_of_one_kind(programs, open_all):
    o = open_all
    array = programs.maps("new", *PROG_ARRAY)
    programs.maps("put", 0, o.callee, array)
    with raises("einval"):
        programs.maps("put", 1, o.of_tc, array)
    with raises(("einval", 1)):
        programs.maps("merge", array, [(0, o.another), (1, o.of_tc)])
    assert programs.maps("values", array) == [id_of(programs, o.another)]
    with raises("e2big"):
        programs.maps("put", 4, o.callee, array)


# --- interfaces and CPUs

NUMBERED = {
    "devmap": (("devmap", 4, 8, 4), LOOPBACK, "at_device"),
    "devmap_hash": (("devmap_hash", 4, 8, 4), LOOPBACK, "at_device"),
    "cpumap": (("cpumap", 4, 8, CPUS), 64, "at_cpu"),
}
# what the kernel says of a program that was loaded for something else
WRONG_PROGRAM = {"devmap": "einval", "devmap_hash": "einval", "cpumap": "enomem"}
numbered = pytest.mark.parametrize("shape, number, name", NUMBERED.values(), ids=NUMBERED)


@numbered
def test_a_program_behind_a_number_is_read_as_its_id(shape, number, name, programs, open_all):
    program = getattr(open_all, name)
    map = programs.maps("new", *shape)
    value = (number, id_of(programs, program))
    assert programs.maps("put", 0, (number, program), map) == map
    assert programs.maps("get", 0, map) == value
    assert programs.maps("to_list", map) == [(u32(0), value)]
    programs.close(program)
    assert programs.maps("take", 0, map) == (value, map)


@numbered
def test_a_value_without_a_program_is_plain_bytes(shape, number, name, programs, open_all):
    map = programs.maps("new", *shape)
    programs.maps("put", 0, (number, getattr(open_all, name)), map)
    plain = u32(number) + u32(0)
    programs.maps("update", 0, plain, map)
    assert programs.maps("get", 0, map) == plain


@numbered
def test_the_kernel_takes_programs_that_were_loaded_for_such_a_map(
    shape, number, name, programs, open_all
):
    map = programs.maps("new", *shape)
    others = {"callee", "of_tc", "at_device", "at_cpu"} - {name}
    for other in others:
        with raises(WRONG_PROGRAM[shape[0]]):
            programs.maps("put", 0, (number, getattr(open_all, other)), map)
    assert programs.maps("size", map) == 0


@pytest.mark.parametrize("type", ["devmap", "devmap_hash"])
def test_an_interface_before_a_program_may_be_named(type, programs, open_all):
    map = programs.maps("new", type, 4, 8, 4)
    programs.maps("put", 0, (("ifname", b"lo"), open_all.at_device), map)
    id = id_of(programs, open_all.at_device)
    assert programs.maps("get", 0, map) == (LOOPBACK, id)
    with raises("enodev"):
        programs.maps("put", 0, (("ifname", b"nowhere"), open_all.at_device), map)
    with raises("einval"):
        programs.maps("put", 0, (2**31, open_all.at_device), map)


def test_many_programs_behind_numbers_are_merged(programs, open_all):
    map = programs.maps("new", "devmap_hash", 4, 8, 64)
    pairs = [(key, (LOOPBACK, open_all.at_device)) for key in range(64)]
    programs.maps("merge", map, pairs)
    id = id_of(programs, open_all.at_device)
    assert programs.maps("values", map) == [(LOOPBACK, id)] * 64


# --- what is no program


def test_what_is_no_live_program_is_refused(programs, open_all):
    o = open_all
    array = programs.maps("new", *PROG_ARRAY)
    id = id_of(programs, o.callee)
    for value in (
        *(0, 3, u32(3), id, ("name", b"callee"), array, "callee"),
        *((LOOPBACK, o.callee), ("ebpf_link", *o.callee[1:])),
    ):
        with raises("badarg"):
            programs.maps("put", 0, value, array)
    programs.close(o.callee)
    of_a_map = ("ebpf_program", array[1], "xdp", b"callee")
    for value in (o.callee, of_a_map, ("ebpf_program", "no_ref", "xdp", b"")):
        with raises(("badprogram", value)):
            programs.maps("put", 0, value, array)
    assert programs.maps("size", array) == 0


def test_only_such_maps_take_programs(programs, open_all):
    o = open_all
    hash = programs.maps("new", "hash", 4, 8, 4)
    outer = programs.maps("new", "array_of_maps", 4, 4, 4, [("inner_map", hash)])
    small = programs.maps("new", "devmap", 4, 4, 4)
    devmap = programs.maps("new", "devmap", 4, 8, 4)
    cpumap = programs.maps("new", "cpumap", 4, 8, CPUS)
    for map, value in (
        *((hash, o.callee), (hash, (1, o.callee)), (outer, o.callee)),
        *((small, o.at_device), (small, (LOOPBACK, o.at_device))),
        *((devmap, o.at_device), (devmap, ("lo", o.at_device))),
        *((devmap, (-1, o.at_device)), (devmap, (2**32, o.at_device))),
        *((devmap, (LOOPBACK, o.at_device, 0)), (devmap, (u32(1), o.at_device))),
        *((devmap, (LOOPBACK, id_of(programs, o.at_device))),),
        *((cpumap, (("ifname", b"lo"), o.at_cpu)), (cpumap, (64, 0))),
    ):
        with raises("badarg"):
            programs.maps("put", 0, value, map)


# --- who may


REFUSED = {
    "ro": r"it may only read \(--allow, --read-only\): map ",
    "rw": r"it may not load programs \(--allow PATTERN=load\): map ",
}


def put(programs, how, program, map):
    function, value = PUTS[how]
    if function == "merge":
        return programs.maps("merge", map, [(0, value(program))])
    return programs.maps(function, 0, value(program), map)


PUTS = {
    "put": ("put", lambda program: program),
    "insert": ("insert", lambda program: program),
    "merge": ("merge", lambda program: program),
    "put of an interface": ("put", lambda program: (LOOPBACK, program)),
}


@pytest.mark.parametrize("how", PUTS)
@pytest.mark.parametrize("permission", ["ro", "rw", "load"])
def test_who_may_load_puts_programs(permission, how, start_cnode, alice, bob, pinned):
    rules = ("--allow", f"{bob.name}={permission}", "--allow", f"{alice.name}=load")
    node = start_cnode("--programs", "all", *rules)
    loads, asks = Programs(alice, node), Programs(bob, node)
    o = opened(loads, pinned)
    name, shape = ("callee", PROG_ARRAY)
    if "interface" in how:
        name, shape = ("at_device", ("devmap", 4, 8, 4))
    map, program = loads.maps("new", *shape), getattr(o, name)
    start = node.mark()
    if permission == "load":
        assert put(asks, how, program, map) == map
        assert loads.maps("size", map) == 1
        return
    with raises("eacces"):
        put(asks, how, program, map)
    node.wait_log(
        rf"refused {PUTS[how][0]}/\d to {bob.name} <\d+\.\d+>: {REFUSED[permission]}",
        start=start,
    )
    assert loads.maps("size", map) == 0


def test_a_node_without_programs_takes_none(start_cnode, alice):
    node = start_cnode("--allow", "*=load")
    array = alice.erpc(node.name, "new", *PROG_ARRAY)
    for value in (("ebpf_program", array[1], "xdp", b"callee"), ("ebpf_program", 1, 2, 3)):
        with raises("eacces"):
            alice.erpc(node.name, "put", 0, value, array)
    node.wait_log(r"refused put/3 to \S+ <\d+\.\d+>: this node serves no programs \(--programs\)")
    with raises("badarg"):
        alice.erpc(node.name, "put", 0, 1, array)


def test_a_node_without_programs_reads_their_ids_as_bytes(
    start_cnode, alice, programs, open_all, pinned
):
    o = open_all
    (_, id) = id_of(programs, o.callee)
    programs.maps("put", INDEX, o.callee, o.callees)
    devmap = programs.maps("new", "devmap", 4, 8, 4)
    programs.maps("put", 0, (LOOPBACK, o.at_device), devmap)
    of_device = u32(LOOPBACK) + u32(id_of(programs, o.at_device)[1])
    maps = [("id", programs.maps("info", map)["id"]) for map in (o.callees, devmap)]
    node = start_cnode()
    told = [alice.erpc(node.name, "to_list", map) for map in maps]
    assert told == [[(u32(INDEX), u32(id))], [(u32(0), of_device)]]


def test_a_type_that_the_node_does_not_allow_is_not_put(start_cnode, alice, pinned):
    node = start_cnode("--programs", "tc", "--allow", "*=load")
    programs = Programs(alice, node)
    o = opened(programs, pinned)
    with raises("eacces"):
        programs.maps("put", 0, o.callee, o.callees)
    line = node.wait_log("refused put/3 ").string
    assert line.endswith(": --programs does not allow the type: callee")
    array = programs.maps("new", *PROG_ARRAY)
    assert programs.maps("put", 0, o.of_tc, array) == array


def test_a_handle_that_may_only_read_puts_none(programs, open_all, pinned):
    map = programs.maps("open", ("pinned", bytes(pinned.maps / "callees")), ["read"])
    with raises("eperm"):
        programs.maps("put", 0, open_all.callee, map)


def test_maps_that_are_named_take_programs_too(programs, open_all, pinned):
    o = open_all
    named = ("pinned", bytes(pinned.maps / "callees"))
    assert programs.maps("put", INDEX, o.callee, named) == named
    assert run(programs, o.caller) == CALLEE
    assert programs.maps("get", INDEX, named) == id_of(programs, o.callee)


# --- loaded by the node, and by the facade


def test_an_object_that_is_loaded_has_its_array_filled(programs, values):
    loaded = programs.load(values.read_bytes(), [("programs", ["caller", "callee"])])
    caller, callee = (loaded["programs"][name] for name in (b"caller", b"callee"))
    callees = loaded["maps"][b"callees"]
    assert run(programs, caller) == NOBODY
    programs.maps("put", INDEX, callee, callees)
    assert run(programs, caller) == CALLEE
    assert programs.maps("get", INDEX, callees) == id_of(programs, callee)


FACADE = """
    #{programs := #{<<"caller">> := Caller, <<"callee">> := Callee, <<"another">> := Another,
                    <<"at_device">> := AtDevice},
      maps := #{<<"callees">> := Callees}} = ebpf_programs:load(Elf, [{node, N}]),
    #{id := Callee1} = ebpf_programs:info(Callee),
    #{id := Another1} = ebpf_programs:info(Another),
    #{id := AtDevice1} = ebpf_programs:info(AtDevice),
    Run = fun() -> maps:get(return, ebpf_programs:run(Caller, #{data => <<0:512>>}, [])) end,
    Called = [begin put(done, Put()), Run() end || Put <- [
        fun() -> ebpf_maps:put(2, Callee, Callees) end,
        fun() -> ebpf_maps:update_with(2, fun({id, I}) when I =:= Callee1 -> Another end, Callees)
            end,
        fun() -> ebpf_maps:merge(Callees, [{2, Callee}, {0, Another}]) end,
        fun() -> ebpf_maps:remove(2, Callees) end
    ]],
    {id, Another1} = ebpf_maps:fold(fun(_, V, none) -> V end, none, Callees),
    Unread = try ebpf_maps:update_with(0, fun(V) -> V end, Callees) catch error:R:_ -> R end,
    Devices = ebpf_maps:new(devmap, 4, 8, 4, [{node, N}]),
    ebpf_maps:merge(Devices, #{0 => {1, AtDevice}, 1 => {{ifname, lo}, AtDevice}}),
    [{1, {id, AtDevice1}}, {1, {id, AtDevice1}}] = ebpf_maps:values(Devices),
    {Called, Unread}
"""


def test_the_facade_puts_and_reads_programs(programs, values, start_beam, ebin):
    beam = start_beam(paths=[ebin])
    called, unread = beam.eval(FACADE, N=programs.node.name, Elf=values.read_bytes())
    assert called == [CALLEE, ANOTHER, CALLEE, NOBODY]
    assert unread == "badarg"  # an id is read, and a handle is put
