# SPDX-License-Identifier: Apache-2.0
"""The folders: what each of cnode/ may include, and what lies below test/."""

import re
import subprocess
from pathlib import PurePath

import pytest


@pytest.fixture(scope="module")
def rules(srcdir):
    """{folder: the folders that it may include}, in the order of the table."""
    text = (srcdir / "cnode" / "README.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| .* \| ?(.*?) ?\|$", text, re.MULTILINE)
    folders = [folder for folder, _ in rows]
    return {
        folder: folders if may == "all" else re.findall(r"`(\w+)`", may)
        for folder, may in rows
    }


def sources(srcdir):
    return sorted((srcdir / "cnode").rglob("*.[ch]"))


def folder_of(path, srcdir):
    return path.relative_to(srcdir / "cnode").parts[0]


def test_the_table_has_the_folders_that_there_are(rules, srcdir):
    found = {folder_of(path, srcdir) for path in sources(srcdir)}
    assert set(rules) == found - {"main.c"}
    assert rules["base"] == []


def test_a_folder_may_include_only_what_stands_below_it(rules):
    folders = list(rules)
    for folder, may in rules.items():
        below = folders[folders.index(folder) + 1 :]
        assert folder == folders[0] or set(may) <= set(below), folder


def test_no_file_includes_what_its_folder_may_not(rules, srcdir):
    wrong, seen = [], 0
    for path in sources(srcdir):
        folder = folder_of(path, srcdir)
        may = {folder, *rules.get(folder, rules)}
        for name in re.findall(r'#include "([^"]+)"', path.read_text()):
            if name == "config.h":
                continue
            parts = PurePath(name).parts
            seen += 1
            if len(parts) != 2 or parts[0] not in may:
                wrong.append(f"{path.relative_to(srcdir)}: {name}")
    assert wrong == []
    assert seen > 200


def test_terms_and_the_wire_know_no_bpf_and_bpf_knows_no_terms(srcdir):
    forbidden = {
        "term": "bpf/|linux/bpf",
        "dist": "bpf/|linux/bpf",
        "bpf": "ei.h|sys/socket.h",
        "base": "ei.h|bpf/",
        "types": "bpf/|linux/bpf",
    }
    for folder, names in forbidden.items():
        for path in sorted((srcdir / "cnode" / folder).glob("*.[ch]")):
            if path.match("types/btf_*"):
                continue  # of libbpf they may know what reads and makes BTF
            found = re.findall(rf"#include [<\"](?:{names}).*", path.read_text())
            assert found == [], path


def test_each_file_is_named_in_the_local_mk_of_its_folder(rules, srcdir):
    for folder in rules:
        place = srcdir / "cnode" / folder
        named = re.findall(r"%D%/(\S+)", (place / "local.mk").read_text())
        found = [path.name for path in place.glob("*.[ch]")]
        # what the build runs is no part of the program
        found = set(found) - {"syscalls_filter.c", "syscalls_program.h"}
        assert sorted(named) == sorted(found), folder


@pytest.mark.ci  # needs the repository
def test_the_files_of_the_tests_are_named(srcdir):
    """What else lies there, as an editor's, is not distributed."""
    text = (srcdir / "test" / "local.mk").read_text()
    named = re.findall(r"^\t(\S+)", text, re.MULTILINE)
    tracked = ["git", "-c", f"safe.directory={srcdir}", "ls-files", "test"]
    found = subprocess.run(tracked, cwd=srcdir, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    files = found.stdout.split()
    assert sorted(set(files) - set(named)) == [], "add them to test/local.mk"
    assert sorted(set(named) - set(files)) == [], "they are in test/local.mk"
    assert len(named) == len(files)


def test_the_folders_of_the_tests_are_told(srcdir):
    text = (srcdir / "test" / "README.md").read_text()
    told = re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)
    found = {p.parent.name for p in (srcdir / "test").glob("[a-z]*/*") if p.is_file()}
    assert sorted(told) == sorted(found)


def test_no_two_test_files_have_one_name(srcdir):
    names = [path.name for path in (srcdir / "test").rglob("test_*.py")]
    assert sorted(set(names)) == sorted(names)


def test_handles_know_no_kind_of_kernel_object(srcdir):
    known = {
        path.name: name
        for path in sorted((srcdir / "cnode" / "handles").glob("*.[ch]"))
        for name in re.findall(r'#include "(bpf/[^"]+)"', path.read_text())
        if name != "bpf/resource.h"
    }
    assert known == {"handle_idle.c": "bpf/map_scan.h"}


def test_no_test_file_is_longer_than_700_lines(srcdir):
    files = sorted((srcdir / "test").rglob("test_*.py"))
    assert len(files) > 80
    lengths = {path.name: len(path.read_text().splitlines()) for path in files}
    assert {name: length for name, length in lengths.items() if length > 700} == {}
