# SPDX-License-Identifier: Apache-2.0
"""What the facade makes of what a C node tells of itself."""

import re
import subprocess

import pytest

from beam import Beam


@pytest.fixture(scope="module")
def facade_beam(cluster, ebin):
    beam = Beam(cluster, paths=[ebin])
    yield beam
    beam.close()


def words(beam, node, function, arity):
    """What the facade says when a node raises undef."""
    return beam.eval(
        """
        Stack = [{ebpf_maps, F, lists:duplicate(A, x), []}],
        maps:get(general, ebpf_maps:format_error({undef, N}, Stack))""",
        N=node,
        F=function,
        A=arity,
    ).decode()


def test_undef_says_since_when_and_the_version_of_the_node(facade_beam, cnode):
    facade_beam.apply("ebpf_maps", "features", cnode.name)
    text = words(facade_beam, cnode.name, "check", 5)
    assert "check/5" in text and "came with version 0.2.0" in text
    assert re.search(r"the node has \d+\.\d+\.\d+$", text)


def test_undef_of_a_node_without_features_says_that_it_is_older(facade_beam, alice):
    facade_beam.apply("net_adm", "ping", alice.name)
    text = words(facade_beam, alice.name, "check", 5)
    assert text.endswith(", and the node is older than 0.2.0")


def test_undef_of_a_node_that_is_gone_is_said_at_once(facade_beam):
    text = words(facade_beam, "gone@nowhere", "get", 2)
    assert text == "gone@nowhere does not serve ebpf_maps:get/2, or a function that it needs"


def test_the_facade_knows_its_own_version(facade_beam, ebin):
    vsn = facade_beam.eval("application:load(ebpf_cnode), application:get_key(ebpf_cnode, vsn)")
    assert vsn == ("ok", facade_beam.eval("ebpf_cnode_since:version()"))


@pytest.mark.parametrize(
    "module, known", [("ebpf_maps", ("0.2.0", "check")), ("ebpf_programs", ("0.3.0", "load"))]
)
def test_the_docs_say_the_same_version(module, known, facade_beam, srcdir):
    source = (srcdir / f"erlang/src/{module}.erl").read_text()
    tagged = re.findall(r"^%% @since (\S+)\n(?:%%.*\n)*-spec (\w+)\(", source, re.M)
    assert known in tagged
    for version, function in tagged:
        since = facade_beam.eval(
            "[ebpf_cnode_since:since(M, F, A) || {F, A} <- M:module_info(exports), F =:= F0]",
            M=module,
            F0=function,
        )
        assert list(version.encode()) in since


def test_the_changes_begin_with_the_version(srcdir, program):
    printed = subprocess.run([program, "--version"], capture_output=True, text=True)
    version = printed.stdout.split()[1]
    headings = re.findall(r"^## \[?([\d.]+)\]?", (srcdir / "CHANGES.md").read_text(), re.M)
    assert headings[0] == version
