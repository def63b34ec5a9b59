# SPDX-License-Identifier: Apache-2.0
"""load/2: what is wrong, refused or too much leaves nothing."""

import pytest

import etf
from beam import BeamError
from conftest import raises
from program_fixtures import Programs

pytestmark = pytest.mark.single

OBJECT_MAPS = 6  # of objects.bpf.c
HASH = ("hash", 4, 8, 16)
UNSIGNED = "neither a binary nor an integer of 64 bits"


@pytest.fixture
def refused(shared_programs, objects):
    """What load/2 gives or raises, once nothing of it is left."""

    def refused(*options, elf=objects):
        with shared_programs.unchanged():
            try:
                return shared_programs.load(elf, list(options))
            except BeamError as e:
                assert e.kind == "error"
                return "raised", e.reason

    return refused


# --- Options that are wrong --------------------------------------------------------------


@pytest.mark.parametrize(
    "options, words",
    [
        ([("other", 1)], "none that load/2 has"),
        (["programs"], "none that load/2 has"),
        ([("programs", [], [])], "none that load/2 has"),
        (["sleepable"], "none that load/2 has"),
        ([("license", b"GPL")], "none that load/2 has"),
        ([("lifetime", "forever")], None),
        ([("log", 3)], "log is none of 0, 1, 2"),
        ([("log", 1), ("log", 1)], "log is there twice"),
        ([("name", b"")], "name is not a text of 1 to 63 bytes"),
        ([("name", b"n" * 64)], "name is not a text of 1 to 63 bytes"),
        ([("name", b"a\0b")], "name is not a text of 1 to 63 bytes"),
        ([("pin", b"relative")], None),
        ([("pin", 1)], None),
        ([("programs", "pass")], "programs is not a list"),
        ([("programs", [1])], "a name in programs is not a text of 1 to 255 bytes"),
        ([("programs", [b""])], "a name in programs is not a text"),
        ([("programs", [b"n" * 256])], "a name in programs is not a text"),
        ([("programs", etf.Improper((b"pass",), "tail"))], None),
        ([("programs", ["pass", b"pass"])], "programs has pass twice"),
        ([("programs", []), ("programs", ["pass"])], "programs is there twice"),
        ([("programs", ["none"])], "the object has no program none"),
        ([("maps", [])], "maps is not a map from names"),
        ([("max_entries", {b"table": -1})], "max_entries of table is no number of 32 bits"),
        ([("max_entries", {b"table": 2**32})], "max_entries of table is no number"),
        ([("max_entries", {b"none": 1})], "the object has no map none"),
        ([("max_entries", {b".bss": 2})], "map .bss has the size of its section"),
        ([("max_entries", {b"table": 1, "table": 1})], "max_entries has table twice"),
        ([("max_entries", {b"table": 1}), ("max_entries", {"table": 2})], "table twice"),
        ([("value_size", {b"table": b"8"})], "value_size of table is no number"),
        ([("value_size", {b".data": 24})], "map .data has the size of its section"),
        ([("variables", {b"none": 1})], "the object has no variable none"),
        ([("variables", {b"small": 256})], "variable small does not fit 8 bits"),
        ([("variables", {b"small": -1})], "variable small does not fit 8 bits"),
        ([("variables", {b"signed_small": 2**15})], "does not fit a sign and 15 bits"),
        ([("variables", {b"signed_small": 2**64 - 1})], "does not fit a sign and 15 bits"),
        ([("variables", {b"large": -1})], "variable large does not fit 64 bits"),
        ([("variables", {b"large": 2**64})], UNSIGNED),
        ([("variables", {b"large": 1.0})], UNSIGNED),
        ([("variables", {b"text": 1})], "variable text is no integer"),
        ([("variables", {b"text": b"short"})], "variable text has 8 bytes, not 5"),
        ([("variables", {b"small": 1, "small": b"\1"})], "variables has small twice"),
        ([("program_types", {b"pass": "none"})], "the type of program pass is none"),
        ([("program_types", {b"pass": 6})], "the type of program pass is none"),
        ([("program_types", {b"none": "xdp"})], "the object has no program none"),
        ([("attach_to", {b"pass": b""})], "attach_to of pass is not a text of 1 to 127 bytes"),
        ([("attach_to", {b"pass": b"n" * 128})], "attach_to of pass is not a text"),
        ([("max_entries", {b"%d" % n: 1 for n in range(1025)})], "more than 1024 names"),
        ("options", "the options are no list"),
        (etf.Improper((("log", 1),), "tail"), None),
    ],
    ids=repr,
)
def test_an_option_that_is_wrong_is_badarg_with_words(options, words, shared_programs, objects):
    def load():
        with raises("badarg"):
            shared_programs.load(objects, options)

    with shared_programs.unchanged():
        shared_programs.says(f"badarg of load/2 for .*: .*{words}", load) if words else load()


def test_an_object_that_is_no_binary_is_badarg(refused):
    assert refused(elf="pass") == refused(elf=[b"pass"]) == ("raised", "badarg")


def test_no_more_maps_are_taken_than_fit_one_message(shared_programs, refused):
    mine = shared_programs.maps("new", *HASH)
    maps = {b"%d" % n: mine for n in range(250)}
    shared_programs.says("there are more than 249 maps", lambda: refused(("maps", maps)))
    maps.popitem()
    shared_programs.says(r"the object has no map \d+", lambda: refused(("maps", maps)))


@pytest.mark.parametrize(
    "type, key, value, entries, flags, differs",
    [
        ("lru_hash", 4, 8, 16, [], "type"),
        ("hash", 8, 8, 16, [], "key_size"),
        ("hash", 4, 16, 16, [], "value_size"),
        ("hash", 4, 8, 17, [], "max_entries"),
        ("hash", 4, 8, 16, ["no_prealloc"], "flags"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_a_map_of_another_shape_is_badarg(
    type, key, value, entries, flags, differs, shared_programs, refused
):
    mine = shared_programs.maps("new", type, key, value, entries, flags)
    option = ("maps", {b"table": mine})
    assert refused(option) == ("raised", "badarg")
    shared_programs.says(f"the map for table has another {differs}", lambda: refused(option))


@pytest.mark.parametrize("access", ["read", "write"])
def test_a_map_that_only_half_is_open_goes_into_no_program(
    access, shared_programs, refused, folder
):
    mine = shared_programs.maps("new", *HASH)
    path = f"{folder}/mine".encode()
    shared_programs.maps("pin", path, mine)
    half = shared_programs.maps("open", ("pinned", path), [access])
    option = ("maps", {b"table": half})
    assert refused(option) == ("raised", "eacces")
    words = r"refused load/2 .*a program could write .*: table$"
    shared_programs.says(words, lambda: refused(option))


def test_what_is_no_live_map_is_badmap(shared_programs, refused):
    gone = shared_programs.maps("new", *HASH)
    shared_programs.maps("close", gone)
    assert refused(("maps", {b"table": gone})) == ("raised", ("badmap", gone))
    assert refused(("maps", {b"table": "table"})) == ("raised", ("badmap", "table"))
    none = ("pinned", b"/sys/fs/bpf/none")
    assert refused(("maps", {b"table": none})) == ("raised", "enoent")


# --- Objects that do not load -------------------------------------------------------------


def test_a_program_that_the_verifier_refuses_comes_with_its_log(refused):
    error, (reason, posix, name, log) = refused(("programs", ["pass", "refused"]))
    assert (error, reason, posix, name) == ("error", "rejected", "eacces", b"refused")
    assert b"invalid access to packet" in log


def test_an_xdp_program_may_not_leak_pointers(refused):
    error, (reason, _, name, log) = refused(("programs", ["leaks"]))
    assert (error, reason, name) == ("error", "rejected", b"leaks")
    assert log


NO_OBJECTS = {b"": b"it is empty", b"no object": b"ELF", b"\x7fELF" + bytes(60): b"ELF"}


@pytest.mark.parametrize("elf, words", NO_OBJECTS.items(), ids=repr)
def test_what_is_no_object_is_told_in_words(elf, words, refused):
    error, (reason, text) = refused(elf=elf)
    assert (error, reason) == ("error", "object")
    assert words in text


def test_an_object_cut_short_is_an_error(objects, refused):
    error, reason = refused(elf=objects[: len(objects) // 2])
    assert error == "error"
    assert reason[0] in ("object", "loader")


def test_a_section_that_tells_no_type_is_an_error(refused):
    error, (reason, text) = refused(("programs", ["untyped"]))
    assert (error, reason) == ("error", "object")
    assert b"section mine/eth0 of program untyped tells no type" in text


def test_fentry_is_eperm_where_the_kernel_refuses_it(refused):
    """This kernel does; libbpf finds no do_nanosleep where there is none."""
    outcome = refused(("programs", ["at_fentry"]))
    assert outcome == ("error", "eperm") or outcome[1][0] == "object", outcome


@pytest.mark.parametrize(
    "words, options, name",
    [
        ("all", [("programs", ["never"])], "never"),
        ("all", [("program_types", {"second": "ext"})], "second"),
        ("all", [("program_types", {"second": "struct_ops"})], "second"),
        ("tc", [], "pass"),
        ("xdp", [], "second"),
        ("xdp,tc", [("programs", ["at_getppid"])], "at_getppid"),
    ],
    ids=["syscall", "ext", "struct_ops", "xdp without xdp", "tc without tc", "tracing without it"],
)
def test_a_type_that_is_not_allowed_is_eacces_and_logged(
    words, options, name, start_cnode, alice, objects
):
    node = start_cnode("--programs", words, "--allow", "*=load")
    programs = Programs(alice, node)
    with programs.unchanged(), raises("eacces"):
        programs.load(objects, options)
    node.wait_log(rf"refused load/2 .*--programs does not allow the type: {name}$")


# --- Limits -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit, most",
    [
        ("max-programs", 2),
        ("max-programs-per-node", 2),
        ("max-maps", OBJECT_MAPS),
        ("max-maps-per-node", OBJECT_MAPS),
    ],
)
def test_an_object_is_loaded_as_long_as_there_are_places_for_all_of_it(
    limit, most, start_programs, objects
):
    few = start_programs(f"--{limit}", str(most - 1))
    with few.unchanged():
        assert few.load(objects, []) == ("error", "emfile")
    few.node.wait_log(rf"refused {few.beam.name} {most} .*--{limit} {most - 1}")
    enough = start_programs(f"--{limit}", str(most))
    loaded = enough.load(objects, [])
    with enough.unchanged():
        assert enough.load(objects, []) == ("error", "emfile")
    for handle in [*loaded["programs"].values(), *loaded["maps"].values()]:
        enough.end(handle)
    assert len(enough.load(objects, [])["programs"]) == 2


def test_maps_of_the_caller_take_no_places(start_programs, objects):
    programs = start_programs("--max-maps", str(OBJECT_MAPS))
    mine = programs.maps("new", *HASH)
    assert programs.load(objects, [("maps", {b"table": mine})])["maps"][b"table"] == mine


def test_a_load_leaves_the_places_to_others_that_it_does_not_take(start_programs, objects):
    programs = start_programs("--max-maps", "20", "--max-programs", "20")
    made = [programs.load(objects, [("programs", [])]) for _ in range(3)]
    made += [programs.maps("new", *HASH) for _ in range(2)]
    assert all("error" not in one for one in made)
    assert programs.maps("new", *HASH) == ("error", "emfile")


def test_memory_of_maps_is_limited(start_programs, objects, compile_bpf):
    programs = start_programs("--max-map-memory", str(1 << 20))
    with programs.unchanged():
        huge = compile_bpf("huge").read_bytes()
        assert programs.load(huge, []) == ("error", "enomem")
        large = ("max_entries", {b"resized": 1 << 20})
        assert programs.load(objects, [large]) == ("error", "enomem")
        programs.node.wait_log(rf"refused {programs.beam.name} a map of \d+ bytes")
    assert "maps" in programs.load(objects, [])


def test_the_memory_of_maps_that_were_loaded_is_charged(start_programs, objects):
    programs = start_programs("--max-map-memory", str(1 << 20))
    half = [("programs", []), ("max_entries", {b"resized": 1 << 16})]
    loaded = programs.load(objects, half)
    assert "maps" in loaded
    with programs.unchanged():
        assert programs.load(objects, half) == ("error", "enomem")
        assert programs.maps("new", "array", 4, 8, 1 << 16) == ("error", "enomem")
    programs.maps("close", loaded["maps"][b"resized"])
    assert "maps" in programs.load(objects, half)


def test_an_answer_that_is_too_long_leaves_nothing(start_programs, objects):
    size = (len(objects) // 1024 + 2) * 1024
    programs = start_programs("--max-message", str(size))
    with programs.unchanged(), raises(("too_big", size)):
        programs.load(objects, [("log", 2)])


# --- Rights -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, why",
    [
        ([], "--programs"),
        (["--allow", "*=rw"], "--programs"),
        (["--programs", "all", "--allow", "nobody@here=load", "--allow", "*=rw"], "PATTERN=load"),
        (["--programs", "all", "--allow", "nobody@here=load", "--allow", "*=ro"], "PATTERN=load"),
    ],
    ids=["without --programs", "without it, rw", "rw", "ro"],
)
@pytest.mark.parametrize("function", [2, 3])
def test_who_may_not_load_is_refused(function, options, why, start_cnode, alice, objects):
    node = start_cnode(*options)
    args = [objects, []] if function == 2 else ["xdp", bytes(16), []]
    with raises("eacces"):
        Programs(alice, node).load(*args)
    node.wait_log(rf"refused load/{function} to {alice.name} .*{why}")


# --- Many -------------------------------------------------------------------------------


def test_many_loads_leave_nothing(shared_programs, objects):
    with shared_programs.unchanged():
        for _ in range(40):
            loaded = shared_programs.load(objects, [])
            for handle in [*loaded["programs"].values(), *loaded["maps"].values()]:
                shared_programs.end(handle)
            shared_programs.load(objects, [("programs", ["refused"])])
