# SPDX-License-Identifier: Apache-2.0
"""What a shell shows of the facade: chunks of EEP 48, made by the build."""

import os
import re
import subprocess

import pytest

from beam import Beam
from cluster import PATIENCE


FACADES = ["ebpf_events", "ebpf_fleet", "ebpf_maps", "ebpf_metrics", "ebpf_programs"]


@pytest.fixture(scope="module")
def modules(ebin):
    return sorted(path.stem for path in ebin.glob("*.beam"))


def help_of(ebin, *arguments):
    """What the shell's h shows; it has no terminal, and so no pages."""
    return run_erl(ebin, f"ok = c:h({', '.join(map(str, arguments))}), halt().")


def run_erl(ebin, call):
    done = subprocess.run(
        ["erl", "-noinput", "-pa", str(ebin), "-eval", call],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return " ".join(done.stdout.split())


def help_of_all(ebin, module):
    """What h shows of each function that has a page."""
    functions = "{ok, {docs_v1, _, _, _, _, _, Docs}} = code:get_doc(%s)" % module
    shows = "[c:h(%s, F, A) || {{function, F, A}, _, _, #{}, _} <- Docs]" % module
    return run_erl(ebin, f"{functions}, {shows}, halt().")


def in_iex(ebin, home, line):
    """What Elixir's shell prints at that."""
    done = subprocess.run(
        ["iex", "--dot-iex", "/dev/null", "--erl", f"-pa {ebin}"],
        input=f"{line}\nSystem.halt()\n",
        env={**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=60 * PATIENCE,
    )
    return " ".join(done.stdout.split())


def test_h_2_shows_what_a_function_does(ebin):
    assert "Puts a value under a key" in help_of(ebin, "ebpf_maps", "put")


def test_h_3_shows_the_function_of_that_arity(ebin):
    shown = help_of(ebin, "ebpf_maps", "get", 3)
    assert shown.startswith("-spec get(Key :: key(), Map :: any_map(), Default")
    assert "or Default if there is none" in shown
    assert "the next value" not in shown  # that is get/2


@pytest.mark.parametrize("module", FACADES)
def test_h_3_shows_the_specs_of_all_functions(module, ebin):
    """It cannot print one that has types both in its head and behind a `when'."""
    shown = help_of_all(ebin, module)
    assert shown.count("-spec ") > 5 and "INVALID" not in shown


def test_iex_shows_what_a_function_does(ebin, tmp_path):
    shown = in_iex(ebin, tmp_path, "h :ebpf_maps.put/3")
    assert "Puts a value under a key" in shown


def test_h_2_shows_what_a_function_of_programs_does(ebin):
    assert "Loads the programs of an object file" in help_of(ebin, "ebpf_programs", "load", 2)


def test_iex_shows_what_a_type_means(ebin, tmp_path):
    shown = in_iex(ebin, tmp_path, "t :ebpf_maps.key")
    assert "of exactly the map's key size" in shown


def documents(beam, modules):
    """{module: its chunk}"""
    return dict(
        beam.eval(
            "[{M, begin {ok, Docs} = code:get_doc(M), Docs end} || M <- Modules]",
            Modules=modules,
        )
    )


@pytest.fixture(scope="module")
def chunks(cluster, ebin, modules):
    beam = Beam(cluster, paths=[ebin])
    yield documents(beam, modules), beam
    beam.close()


def test_all_modules_but_the_facades_are_hidden(chunks, modules):
    shown = [module for module in modules if chunks[0][module][4] != "hidden"]
    assert shown == FACADES


@pytest.mark.parametrize("module", FACADES)
def test_each_function_and_type_of_the_facade_says_something(module, chunks):
    docs, beam = chunks
    exported = set(beam.apply(module, "module_info", "exports"))
    exported -= {("module_info", 0), ("module_info", 1), ("behaviour_info", 1)}
    entries = {entry[0]: entry[3] for entry in docs[module][6]}
    functions = {k[1:]: doc for k, doc in entries.items() if k[0] == "function"}
    assert set(functions) == exported
    empty = [k for k, doc in entries.items() if not doc]
    assert empty == []


def test_the_text_of_the_module_is_what_h_1_shows(chunks):
    beam = chunks[1]
    shown = beam.eval(
        """
        {ok, Docs} = code:get_doc(ebpf_maps),
        unicode:characters_to_binary(shell_docs:render(ebpf_maps, Docs))
        """
    ).decode()
    assert "eBPF maps of any host of the cluster" in shown


def test_edoc_finds_nothing_to_complain_of(srcdir, tmp_path):
    sources = sorted((srcdir / "erlang" / "src").glob("*.erl"))
    command = ["escript", srcdir / "erlang" / "chunks.escript", tmp_path, *sources]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_where_edoc_is_missing_a_build_by_rebar3_says_so_and_goes_on(srcdir, tmp_path):
    """It is there, and what it needs is taken from the code path."""
    script = srcdir / "erlang" / "chunks.escript"
    hide = (
        '[code:del_path(P) || P <- code:get_path(), string:find(P, "/xmerl-") =/= nomatch]'
    )
    done = subprocess.run(
        ["escript", str(script), "--if-possible", str(tmp_path / "doc"), "none.erl"],
        env={**os.environ, "ERL_AFLAGS": f"-eval '{hide}'"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "has no xmerl" in done.stdout


def types_of_the_facade(srcdir):
    source = (srcdir / "erlang" / "src" / "ebpf_maps.erl").read_text()
    [text] = re.findall(r"^-type type\(\) ::(.*?)\.$", source, re.M | re.DOTALL)
    return set(re.findall(r"\b[a-z_]+\b(?!\()", text))


def test_the_man_page_has_all_types(srcdir):
    page = (srcdir / "erlang" / "ebpf_maps.3").read_text()
    section = page.split(".Sh TYPES\n")[1].split(".Sh ")[0]
    heads = re.findall(r"^\.It Li (.*)$", section, re.MULTILINE)
    named = [name for head in heads for name in head.split(" , ")]
    assert len(named) == len(set(named))
    assert set(named) == types_of_the_facade(srcdir) - {"unspec"}


def test_the_unit_of_sizes_stands_where_new_does(srcdir):
    page = (srcdir / "erlang" / "ebpf_maps.3").read_text()
    about_new = page.split(".It Fn new ")[2].split(".It Fn open ")[0]
    assert "are in bytes" in about_new
