# SPDX-License-Identifier: Apache-2.0
"""The resource of the Erlang application, and the script that makes it."""

import subprocess

import pytest

from beam import Beam


@pytest.fixture(scope="module")
def beam(cluster, ebin):
    beam = Beam(cluster, paths=[ebin])
    yield beam
    beam.close()


@pytest.fixture(scope="module")
def keys(beam):
    """What the .app says."""
    file = "code:where_is_file(\"ebpf_cnode.app\")"
    return dict(beam.eval(f"{{ok, [{{_, _, Keys}}]}} = file:consult({file}), Keys"))


def test_each_variable_has_the_default_that_holds_unloaded(keys, beam):
    names = {"cnode", "node", "timeout", "retry", "fleet", "program", "args", "metrics"}
    assert names == set(dict(keys["env"]))
    beam.eval("application:unload(ebpf_cnode)")
    for name, default in keys["env"]:
        assert beam.apply("ebpf_cnode_env", "get", name) == default


def test_a_variable_that_was_unset_has_its_default_again(keys, beam):
    beam.eval("ok = application:load(ebpf_cnode)")
    for name, default in keys["env"]:
        beam.apply("application", "set_env", "ebpf_cnode", name, "other")
        assert beam.apply("ebpf_cnode_env", "get", name) == "other"
        beam.apply("application", "unset_env", "ebpf_cnode", name)
        assert beam.apply("ebpf_cnode_env", "get", name) == default


def test_it_names_all_modules(keys, ebin):
    assert sorted(keys["modules"]) == sorted(path.stem for path in ebin.glob("*.beam"))


@pytest.mark.parametrize("key", ["description", "licenses", "links"])
def test_it_says_what_a_package_has_to(keys, key):
    assert keys[key]


MAKE_APP = {
    "another version": ("{application, a, [{vsn, \"1\"}]}.", "vsn is \"1\", in configure.ac it is 2"),
    "no application": ("{a, b}.", "is not one {application, Name, Keys}"),
    "no term": ("{application,", "syntax error"),
}


@pytest.mark.parametrize("text, words", MAKE_APP.values(), ids=MAKE_APP)
def test_a_faulty_source_makes_no_app(text, words, srcdir, tmp_path):
    source, target = tmp_path / "a.app.src", tmp_path / "a.app"
    source.write_text(text)
    script = srcdir / "erlang" / "app.escript"
    command = ["escript", script, source, target, "2", "a.beam"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert str(source) in done.stderr and words in done.stderr
    assert not target.exists()
