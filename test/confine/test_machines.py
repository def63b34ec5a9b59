# SPDX-License-Identifier: Apache-2.0
"""System calls by the numbers of another machine, as the filter takes them.

Many hosts make no such call at all: so the filter itself is run, here, over
what the kernel would tell it.
"""

import platform
import re
import struct
import subprocess

import pytest

from syscall_numbers import NUMBERS

pytestmark = pytest.mark.sandbox

KILL_PROCESS, ALLOW = 0x80000000, 0x7FFF0000
NATIVE = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# audit.h: what the kernel calls the machines whose calls a host may make
MACHINES = {
    "i386": 0x40000003,
    "x86_64": 0xC000003E,
    "arm": 0x40000028,
    "aarch64": 0xC00000B7,
    "ppc64": 0x80000015,
    "riscv64": 0xC00000F3,
    "none": 0,
}
X32 = 1 << 30
JUMPS = {
    0x15: lambda a, k: a == k,
    0x25: lambda a, k: a > k,
    0x35: lambda a, k: a >= k,
    0x45: lambda a, k: a & k,
}


def verdict(steps, arch, number):
    """Of classic BPF, as seccomp(2) runs it: with zeros for all arguments."""
    data = struct.pack("=iI", number, arch) + bytes(56)
    at = a = 0
    while True:
        code, if_true, if_false, k = steps[at]
        at += 1
        if code == 0x06:
            return k
        if code == 0x20:
            a = struct.unpack_from("=I", data, k)[0]
        elif code == 0x54:
            a &= k
        else:
            at += if_true if JUMPS[code](a, k) else if_false


def read_filters(header):
    """{name: steps} of the filters in what the build has made."""
    found = {}
    for name, text in re.findall(r"sock_filter (\w+)\[\] = \{(.*?)\n\};", header, re.S):
        steps = re.findall(r"\{ (\w+), (\w+), (\w+), (\w+) \}", text)
        found[name] = [tuple(int(n, 0) for n in step) for step in steps]
    return found


@pytest.fixture(scope="module")
def filters(builddir):
    return read_filters((builddir / "cnode" / "confine" / "syscalls_program.h").read_text())


NAMES = ["with_ids", "without_ids", "programs_with_ids", "programs_without_ids"]
NAMES += [f"no_epmd_{name}" for name in NAMES]
NAMES += ["loader", "load", "run", "attach", "keep", "perf"]
# bpf(2) whose arguments are zero
OF_MAP_CREATE = {"run": KILL_PROCESS, "attach": KILL_PROCESS, "keep": KILL_PROCESS, "perf": KILL_PROCESS}


# what each machine calls itself, and its numbers of getpid and bpf
CROSS = {
    "x86_64": (0xC000003E, 39, 321),
    "aarch64": (0xC00000B7, 172, 280),
    "riscv64": (0xC00000F3, 172, 280),
    "s390x": (0x80000016, 20, 351),
}


@pytest.mark.parametrize("machine", CROSS)
def test_a_filter_can_be_made_for_another_machine(machine, builddir):
    generator = builddir / "cnode" / "confine" / "syscalls_filter"
    made = subprocess.run([generator, machine], capture_output=True, text=True, check=True)
    arch, getpid, bpf = CROSS[machine]
    made = read_filters(made.stdout)
    assert set(made) == set(NAMES)
    for name, steps in made.items():
        assert verdict(steps, arch, getpid) == ALLOW
        assert verdict(steps, arch, bpf) == OF_MAP_CREATE.get(name, ALLOW)
        assert verdict(steps, arch, 4096) == KILL_PROCESS
        others = [other for other, _, _ in CROSS.values() if other != arch]
        assert {verdict(steps, other, getpid) for other in others} == {KILL_PROCESS}
        assert {verdict(steps, other, bpf) for other in others} == {KILL_PROCESS}


def test_no_filter_is_made_for_a_machine_that_libseccomp_does_not_know(builddir):
    generator = builddir / "cnode" / "confine" / "syscalls_filter"
    made = subprocess.run([generator, "pdp11"], capture_output=True, text=True)
    assert made.returncode == 1
    assert made.stdout == "" and "pdp11" in made.stderr


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("machine", MACHINES)
def test_the_filter_kills_at_each_call_of_another_machine(machine, name, filters):
    arch, native = MACHINES[machine], NATIVE[platform.machine()]
    verdicts = [verdict(filters[name], arch, n) for n in range(max(NUMBERS.values()) + 100)]
    if arch == native:
        assert verdicts[NUMBERS["getpid"]] == ALLOW
        assert verdicts[NUMBERS["bpf"]] == OF_MAP_CREATE.get(name, ALLOW)
    else:
        assert set(verdicts) == {KILL_PROCESS}


if platform.machine() == "x86_64":

    @pytest.mark.parametrize("name", NAMES)
    def test_the_filter_kills_at_each_call_of_x32(name, filters):
        numbers = [X32 | n for n in range(max(NUMBERS.values()) + 100)]
        verdicts = {verdict(filters[name], NATIVE["x86_64"], n) for n in numbers}
        assert verdicts == {KILL_PROCESS}
