# SPDX-License-Identifier: Apache-2.0
"""What a child of the loader makes of an object, confined as it is in the loader."""

import errno
import os
from pathlib import Path

import pytest

from bpf_objects import ARRAY, HASH, info, look_up, make_map, map_shape, put
from jobs import LOAD, Ended, option
from native import ORDER, native, u32, u64

pytestmark = pytest.mark.sandbox

XDP = 6  # enum bpf_prog_type
NO_PREALLOC = 1  # BPF_F_NO_PREALLOC
NO_PROGRAMS = option("no_programs")


def only(*names):
    return b"".join(option("program", name) for name in names)


def fails(answer):
    """(kind, number, name) of the only record."""
    [record] = answer
    return record.kind, record.number, record.name


def value_of(answer, variable):
    """Of a variable as the kernel has it."""
    [place] = [r for r in answer.of("variable") if r.name == variable]
    offset, size = place.number >> 32, place.number & 2**32 - 1
    fd = answer.fd("map", place.data.decode())
    return look_up(fd, u32(0), map_shape(fd)[2])[offset : offset + size]


# --- What is loaded ---------------------------------------------------------------


def test_an_object_is_loaded_with_all_that_it_has(jobs, objects):
    answer = jobs.do(LOAD, object=objects)
    assert answer.names("program") == {"pass", "second"}
    assert answer.names("map") == {"table", "asks_pin", "resized", ".bss", ".data", ".rodata"}
    assert map_shape(answer.fd("map", "table")) == (HASH, 4, 8, 16)
    places = {r.name: r.data.decode() for r in answer.of("variable")}
    assert places["limit"] == places["text"] == ".rodata"
    assert (places["small"], places["runs"]) == (".data", ".bss")
    assert answer.one("btf").fd is not None
    assert answer.of("log") == []


def test_only_the_programs_that_are_named_are_loaded(jobs, objects):
    assert jobs.do(LOAD, only("second"), object=objects).names("program") == {"second"}
    both = jobs.do(LOAD, only("pass", "optional"), object=objects)
    assert both.names("program") == {"pass", "optional"}  # of a `?' section


def test_an_object_may_be_loaded_for_its_maps_alone(jobs, objects):
    answer = jobs.do(LOAD, NO_PROGRAMS, object=objects)
    assert answer.of("program") == []
    assert len(answer.of("map")) == 6


def test_the_log_of_each_program_is_told_if_asked_for(jobs, objects):
    answer = jobs.do(LOAD, option("log", number=1), object=objects)
    assert [log.name for log in answer.of("log")] == ["pass", "second"]
    assert all(b"processed " in log.data for log in answer.of("log"))


def test_the_name_of_the_object_is_that_of_the_request(jobs, objects):
    answer = jobs.do(LOAD, option("name", data=b"mine"), NO_PROGRAMS, object=objects)
    assert b"mine.bss\0" in info(answer.fd("map", ".bss"))


def test_no_map_is_pinned_or_taken_from_a_pin(jobs, objects):
    pin = Path("/sys/fs/bpf/asks_pin")
    answer = jobs.do(LOAD, NO_PROGRAMS, object=objects)
    assert {r.name: r.number for r in answer.of("map")}["asks_pin"] == 1
    assert [r.number for r in answer.of("map")].count(1) == 1
    assert not pin.exists()


def test_a_pin_of_that_name_is_not_used(jobs, objects, bpftool):
    pin = Path("/sys/fs/bpf/asks_pin")
    kind = ["type", "array", "key", 4, "value", 8, "entries", 1, "name", "theirs"]
    bpftool("map", "create", pin, *kind)
    try:
        answer = jobs.do(LOAD, NO_PROGRAMS, object=objects)
        put(answer.fd("map", "asks_pin"), u32(0), u64(7))
        assert bpftool("-j", "map", "dump", "pinned", pin).count('"0x07"') == 0
    finally:
        pin.unlink()


# --- What it may not ----------------------------------------------------------------


@pytest.mark.parametrize(
    "words, names, denied",
    [
        ("xdp", ["pass", "second"], "second"),
        ("tc", ["pass"], "pass"),
        ("socket,tc,xdp,cgroup", ["at_raw"], "at_raw"),
        ("all", ["never"], "never"),
    ],
    ids=["tc without tc", "xdp without xdp", "tracing without tracing", "syscall by all"],
)
def test_a_type_that_is_not_allowed_is_refused(words, names, denied, jobs, objects):
    answer = jobs.do(LOAD, only(*names), object=objects, words=words)
    assert fails(answer) == ("errno", errno.EACCES, denied)
    assert answer.fds == []


def test_a_request_may_allow_less_than_the_loader(jobs, objects):
    xdp, tc = 1 << 1, 1 << 2
    allowed = jobs.do(LOAD, option("types", number=xdp | tc), object=objects)
    assert len(allowed.of("program")) == 2
    answer = jobs.do(LOAD, option("types", number=xdp), object=objects)
    assert fails(answer) == ("errno", errno.EACCES, "second")


@pytest.mark.parametrize("limit, most", [("max_maps", 6), ("max_programs", 2)])
def test_no_more_is_made_than_there_are_places(limit, most, jobs, objects):
    """It tells what it needs, and which maps may be there already, as pins."""
    assert jobs.do(LOAD, option(limit, number=most), object=objects).of("needs") == []
    answer = jobs.do(LOAD, option(limit, number=most - 1), object=objects)
    assert answer.one("needs").number == 6 << 32 | 2
    assert 1000 < int.from_bytes(answer.one("needs").data, ORDER) < 100_000
    assert [(r.name, r.fd) for r in answer.of("map")] == [("asks_pin", None)]
    assert (len(answer), answer.fds) == (2, [])


def test_what_is_given_takes_no_place(jobs, objects):
    mine = make_map(ARRAY, 4, 8, 1)
    options = option("map", "asks_pin", fd=0), option("max_maps", number=0)
    answer = jobs.do(LOAD, *options, NO_PROGRAMS, object=objects, fds=[mine])
    assert [(r.kind, r.number) for r in answer] == [("needs", 5 << 32)]
    os.close(mine)


def test_memory_of_maps_is_counted_before_any_is_made(jobs, objects):
    gib = option("max_entries", "resized", number=2**27)
    less = option("map_memory", number=2**30 - 1)
    answer = jobs.do(LOAD, NO_PROGRAMS, gib, less, object=objects)
    assert answer.fds == []
    assert 2**30 <= int.from_bytes(answer.one("needs").data, ORDER) < 2**30 + 100_000


def test_a_map_that_takes_more_than_the_child_may_have_is_refused(jobs, compile_bpf):
    """It maps what its variables are."""
    huge = compile_bpf("huge").read_bytes()
    assert fails(jobs.do(LOAD, object=huge)) == ("errno", errno.ENOMEM, "")


def test_entries_that_are_asked_for_count(jobs, objects):
    enough = option("map_memory", number=100_000)
    assert jobs.do(LOAD, NO_PROGRAMS, enough, object=objects).of("needs") == []
    more = option("max_entries", "table", number=100_000)
    assert jobs.do(LOAD, NO_PROGRAMS, enough, more, object=objects).of("needs") != []


def test_a_program_may_do_no_more_than_its_type_takes(jobs, objects):
    """A tracing program may read the kernel's memory anyway."""
    assert fails(jobs.do(LOAD, only("leaks"), object=objects))[0] == "rejected"
    both = jobs.do(LOAD, only("leaks", "at_raw"), object=objects)
    assert both.names("program") == {"leaks", "at_raw"}


# --- What is wrong with it ----------------------------------------------------------


def test_a_program_that_the_verifier_refuses_is_told_with_its_log(jobs, objects):
    for level in (0, 1, 2):
        answer = jobs.do(LOAD, only("refused"), option("log", number=level), object=objects)
        assert fails(answer) == ("rejected", errno.EACCES, "refused")
        assert b"invalid access to packet" in answer[0].data


def test_a_long_log_is_told_by_its_end(jobs, compile_bpf):
    answer = jobs.do(LOAD, object=compile_bpf("endless").read_bytes())
    assert fails(answer)[0] == "rejected"
    log = answer[0].data
    assert 60_000 < len(log) <= 65_536
    assert b"processed " in log[-200:]


def test_a_program_that_the_kernel_has_no_place_for_is_loaded_or_refused_by_name(
    jobs, objects
):
    """Many kernels have no fentry."""
    answer = jobs.do(LOAD, only("at_fentry"), object=objects)
    if not answer.of("program"):
        assert answer[0].number in (0, errno.EPERM)
        assert b"at_fentry" in answer[0].data or answer[0].name == "at_fentry"


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: b"no object at all",
        lambda data: data[:100],
        lambda data: data[:5] + b"\2" + data[6:],
        lambda data: data[: len(data) // 2],
    ],
    ids=["nothing", "text", "a head alone", "other byte order", "half of one"],
)
def test_what_is_no_object_is_told_in_words(damage, jobs, objects):
    answer = jobs.do(LOAD, object=damage(objects))
    assert fails(answer)[0] == "object"
    assert answer[0].data
    assert answer.fds == []


def test_a_section_that_tells_no_type_needs_one_from_the_request(jobs, objects):
    answer = jobs.do(LOAD, only("untyped"), object=objects)
    assert fails(answer)[0] == "object"
    assert b"mine/eth0" in answer[0].data
    typed = option("program_type", "untyped", number=XDP)
    assert jobs.do(LOAD, only("untyped"), typed, object=objects).names("program") == {"untyped"}
    never = option("program_type", "untyped", number=31)
    answer = jobs.do(LOAD, only("untyped"), never, object=objects)
    assert fails(answer) == ("errno", errno.EACCES, "untyped")


@pytest.mark.parametrize(
    "wrong, text",
    [
        (only("none"), b"no program none"),
        (option("program_type", "none", number=XDP), b"no program none"),
        (option("attach_type", "none", number=1), b"no program none"),
        (option("attach_to", "none", data=b"sys_exit"), b"no program none"),
        (option("max_entries", "none", number=1), b"no map none"),
        (option("value_size", ".bss", number=4096), b".bss"),
        (option("max_entries", ".data", number=4096), b".data"),
        (option("max_entries", "table", number=2**32), b"out of range"),
        (option("map", "none", fd=0), b"no map none"),
        (option("integer", "none", number=1), b"no variable none"),
        (option("bytes", "text", data=b"short"), b"8 bytes, not 5"),
        (option("log", number=3), b"log"),
        (option("name", data=b"x" * 64), b"name"),
        (option("name", data=b"a\0b"), b"name"),
    ],
    ids=[
        "program",
        "type of a program",
        "attach type of a program",
        "target of a program",
        "entries of a map",
        "size of variables",
        "entries of variables",
        "too many entries",
        "another map",
        "variable",
        "bytes of a variable",
        "level of the log",
        "a long name",
        "a name with a NUL",
    ],
)
def test_a_wrong_option_is_told_in_words(wrong, text, jobs, objects):
    answer = jobs.do(LOAD, wrong, object=objects)
    assert fails(answer)[0] == "badarg"
    assert text in answer[0].data


def test_records_that_are_none_are_refused(jobs, objects):
    answer = jobs.do(LOAD, b"\xff" * 24, object=objects)
    assert fails(answer) == ("errno", errno.EPROTO, "")


# --- Maps ---------------------------------------------------------------------------


def test_maps_have_the_sizes_that_are_asked_for(jobs, objects):
    sizes = option("max_entries", "table", number=99), option("value_size", "resized", number=24)
    answer = jobs.do(LOAD, *sizes, object=objects)
    assert map_shape(answer.fd("map", "table")) == (HASH, 4, 8, 99)
    assert map_shape(answer.fd("map", "resized")) == (ARRAY, 4, 24, 1)


def test_a_map_of_the_request_takes_the_place_of_its_own(jobs, objects, run):
    mine = make_map(HASH, 4, 8, 16)
    put(mine, u32(0), u64(0))
    answer = jobs.do(LOAD, option("map", "table", fd=0), object=objects, fds=[mine])
    assert "table" not in answer.names("map")
    run(answer.fd("program", "pass"), repeat=3)
    assert look_up(mine, u32(0), 8) == u64(3)
    os.close(mine)


@pytest.mark.parametrize(
    "shape, differs",
    [
        ((ARRAY, 4, 8, 16), b"another type"),
        ((HASH, 8, 8, 16), b"another key_size"),
        ((HASH, 4, 4, 16), b"another value_size"),
        ((HASH, 4, 8, 17), b"another max_entries"),
        ((HASH, 4, 8, 16, NO_PREALLOC), b"another flags"),
    ],
    ids=["type", "key_size", "value_size", "max_entries", "flags"],
)
def test_a_map_of_another_shape_takes_no_place(shape, differs, jobs, objects):
    mine = make_map(*shape)
    answer = jobs.do(LOAD, option("map", "table", fd=0), object=objects, fds=[mine])
    assert fails(answer)[0] == "badarg"
    assert differs in answer[0].data
    os.close(mine)


def test_a_map_is_compared_with_the_sizes_that_are_asked_for(jobs, objects):
    mine = make_map(HASH, 4, 8, 99)
    options = option("map", "table", fd=0), option("max_entries", "table", number=99)
    assert len(jobs.do(LOAD, *options, object=objects, fds=[mine]).of("program")) == 2
    os.close(mine)


def test_a_descriptor_that_did_not_come_is_refused(jobs, objects):
    answer = jobs.do(LOAD, option("map", "table", fd=0), object=objects)
    assert fails(answer) == ("errno", errno.EPROTO, "")


# --- Variables ----------------------------------------------------------------------


def integer(variable, number):
    return option("large" if number >= 2**63 else "integer", variable, number=number)


@pytest.mark.parametrize(
    "variable, size, low, high",
    [
        ("small", 1, 0, 255),
        ("signed_small", 2, -(2**15), 2**15 - 1),
        ("limit", 4, 0, 2**32 - 1),
        ("enabled", 1, 0, 1),
        ("colour", 4, 0, 2**32 - 1),
        ("large", 8, 0, 2**64 - 1),
    ],
)
def test_an_integer_is_set_as_far_as_it_fits(variable, size, low, high, jobs, objects):
    for number in (low, high):
        answer = jobs.do(
            LOAD, NO_PROGRAMS, integer(variable, number), object=objects
        )
        assert value_of(answer, variable) == native(number, size)
    for number in {low - 1, min(high + 1, 2**64 - 1)} - {high}:
        answer = jobs.do(LOAD, integer(variable, number), object=objects)
        assert fails(answer)[0] == "badarg"
        assert variable.encode() in answer[0].data


def test_a_variable_is_set_by_all_its_bytes(jobs, objects):
    options = option("bytes", "text", data=b"changed\0"), option("bytes", "large", data=u64(9))
    answer = jobs.do(LOAD, *options, object=objects)
    assert value_of(answer, "text") == b"changed\0"
    assert value_of(answer, "large") == u64(9)
    assert value_of(answer, "small") == b"\1"  # its neighbour


def test_what_is_no_integer_takes_no_number(jobs, objects):
    answer = jobs.do(LOAD, option("integer", "text", number=1), object=objects)
    assert fails(answer)[0] == "badarg"


def test_a_program_sees_the_variables_that_were_set(jobs, objects, run):
    options = option("integer", "limit", number=2), option("integer", "large", number=40)
    answer = jobs.do(LOAD, *options, object=objects)
    assert run(answer.fd("program", "pass")).one("return").number == 2
    # large, and what the others begin with: -1, the b of "before", GREEN
    assert value_of(answer, "runs") == u64(40 - 1 + ord("b") + 1)


def test_a_variable_of_a_map_that_is_there_cannot_be_set(jobs, objects):
    first = jobs.do(LOAD, NO_PROGRAMS, object=objects)
    shared = first.fd("map", ".data")
    options = option("map", ".data", fd=0), option("integer", "small", number=1)
    answer = jobs.do(LOAD, *options, object=objects, fds=[shared])
    assert fails(answer)[0] == "badarg"
    assert b"there already" in answer[0].data


# --- Hostile objects ----------------------------------------------------------------


def test_mutated_objects_end_nothing_but_their_child(jobs, objects, randomness):
    """libbpf 1.1 crashes by one in a thousand."""
    ended = 0
    for _ in range(150):
        mutated = bytearray(objects)
        for _ in range(randomness.randint(1, 6)):
            mutated[randomness.randrange(len(mutated))] = randomness.randrange(256)
        try:
            answer = jobs.do(LOAD, object=bytes(mutated))
        except Ended as end:
            assert end.args[0] in (-6, -7, -11), end
            ended += 1
            continue
        assert answer != []
    assert ended < 15
