# SPDX-License-Identifier: Apache-2.0
"""What the facade picks out of a verifier's log: of logs that this kernel wrote, and
of what older ones write."""

import re

import pytest

from conftest import raises
from jobs import LOAD, option

NO_REASON = "the verifier tells no reason"


@pytest.fixture
def verifier(facade_beam):
    """The lines of its words."""

    def verifier(error):
        return facade_beam.apply("ebpf_programs", "verifier", error).decode().split("\n")

    return verifier


@pytest.fixture(scope="session")
def refused(compile_bpf):
    return compile_bpf("refused").read_bytes()


@pytest.fixture
def log_of(jobs, refused):
    """The log of a program, by its name, at a level."""

    def log_of(name, level=0):
        options = option("program", name), option("log", number=level)
        [record] = jobs.do(LOAD, *options, object=refused)
        assert (record.kind, record.name) == ("rejected", name)
        return record.data

    return log_of


# --- logs of this kernel


REFUSED = {
    "beyond_packet": (r"r\d+ = \*\(", "invalid access to packet"),
    "perhaps_null": (r"r\d+ = \*\(", "invalid mem access 'map_value_or_null'"),
    "kept": ("exit", "Unreleased reference"),
    "in_function": (r"r\d+ = \*\(", "invalid read from stack"),
}


@pytest.mark.sandbox
@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("name", REFUSED)
def test_it_tells_the_source_the_instruction_and_the_reason(name, level, verifier, log_of):
    instruction, reason = REFUSED[name]
    source, refused, *reasons = verifier(log_of(name, level))
    assert source.startswith("; ") and f"/* {name} */" in source
    assert re.match(rf"\d+: \(\w\w\) {instruction}", refused)
    assert reason in reasons[0]
    assert len(reasons) <= 3


@pytest.mark.sandbox
def test_a_helper_that_the_type_does_not_have_is_told_by_its_name(verifier, log_of):
    """With CAP_PERFMON any type may have it: the child gave that up."""
    _, call, *reasons = verifier(log_of("wrong_helper"))
    assert "call bpf_probe_read" in call
    assert "bpf_probe_read" in reasons[0]


@pytest.mark.sandbox
def test_a_loop_is_told_as_one(verifier, log_of):
    lines = verifier(log_of("for_ever"))
    assert lines[2].startswith("infinite loop detected")


@pytest.mark.sandbox
@pytest.mark.parametrize("level", [0, 2])
def test_statistics_and_registers_are_left_out(level, verifier, log_of):
    for name in REFUSED:
        lines = verifier(log_of(name, level))
        assert not any(line.startswith("processed ") for line in lines)
        assert not any(re.match(r"(\d+: )?R\d+=", line) for line in lines)


@pytest.mark.sandbox
def test_the_end_of_a_long_log_is_enough(verifier, jobs, compile_bpf):
    [record] = jobs.do(LOAD, object=compile_bpf("endless").read_bytes())
    assert len(record.data) > 60_000
    lines = verifier(record.data)
    assert 1 < len(lines) <= 15
    assert lines[0].startswith("; ")
    assert "too " in lines[-1]


@pytest.mark.sandbox
def test_an_object_without_debug_information_has_no_source(verifier, log_of):
    log = re.sub(rb"^;.*\n", b"", log_of("kept"), flags=re.MULTILINE)
    assert re.match(r"\d+: \(95\) exit", verifier(log)[0])


# --- logs of other kernels


def test_states_of_older_kernels_are_left_out(verifier):
    log = b"""func#0 @0
0: R1=ctx(id=0,off=0,imm=0) R10=fp0
; value = bpf_map_lookup_elem(&table, &key);
5: (85) call bpf_map_lookup_elem#1
last_idx 5 first_idx 0
regs=4 stack=0 before 4: (bf) r2 = r10
6: R0_w=map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0) R10=fp0
; *value += 1;
6: (79) r1 = *(u64 *)(r0 +0)
 R0_w=map_value_or_null(id=1,off=0,ks=4,vs=8,imm=0) R10=fp0
R0 invalid mem access 'map_value_or_null'
verification time 33 usec
stack depth 4
processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0
"""
    assert verifier(log) == [
        "; *value += 1;",
        "6: (79) r1 = *(u64 *)(r0 +0)",
        "R0 invalid mem access 'map_value_or_null'",
    ]


def test_a_log_without_instructions_is_told_by_its_last_lines(verifier):
    log = b"\n".join(b"line %d" % n for n in range(40)) + b"\nprocessed 0 insns\n"
    assert verifier(log) == [f"line {n}" for n in range(25, 40)]


def test_many_reasons_are_cut_but_for_the_last(verifier):
    reasons = [f"reason {n}" for n in range(40)]
    lines = verifier("\n".join(["; source", "1: (95) exit", *reasons]).encode())
    assert lines == ["; source", "1: (95) exit", *reasons[:12], "reason 39"]


@pytest.mark.parametrize("log", [b"", b"\n\n", b"processed 0 insns (limit 1000000)\n"])
def test_a_log_that_tells_nothing_says_so(log, verifier):
    assert verifier(log) == [NO_REASON]


def test_bytes_that_are_no_text_become_text(verifier):
    assert verifier(b"; \xff\xc3\xa4\n0: (95) exit\nR0 !read_ok")[0] == "; ÿÃ¤"
    assert verifier("; ä\n0: (95) exit\nR0 !read_ok".encode())[0] == "; ä"


# --- what it takes


def test_it_takes_what_load_returned(verifier):
    log = b"; source\n0: (95) exit\nR0 !read_ok\n"
    error = ("error", ("rejected", "eacces", b"name", log))
    assert verifier(error) == verifier(log) == log.decode().split("\n")[:3]


@pytest.mark.parametrize(
    "term",
    ["log", ("error", "eperm"), ("rejected", "eacces", b"name", b""), ("error", ("object", b""))],
    ids=repr,
)
def test_other_terms_are_badarg(term, facade_beam):
    with raises("badarg") as caught:
        facade_beam.apply("ebpf_programs", "verifier", term)
    words = facade_beam.apply("ebpf_programs", "format_error", "badarg", caught.value.stack)
    assert words[1].startswith(b"neither {error, {rejected, Posix, Program, Log}} nor a log")
