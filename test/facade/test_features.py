# SPDX-License-Identifier: Apache-2.0
"""What a C node tells of itself, and what the facade makes of it."""

import re
import subprocess

import pytest

from beam import Beam


@pytest.fixture
def features(alice):
    """features/0 of a C node, by bare erpc."""
    return lambda node: alice.erpc(node.name, "features")


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


def test_features_have_the_version_of_the_program(features, cnode, program):
    printed = subprocess.run([program, "--version"], capture_output=True, text=True)
    assert features(cnode)["version"].decode() == printed.stdout.split()[1]


def test_features_have_the_functions_that_are_served(features, cnode, program):
    printed = subprocess.run([program, "--functions"], capture_output=True, text=True)
    served = {
        f"{module}:{name}/{arity}"
        for module, functions in features(cnode)["modules"].items()
        for name, arity in functions
    }
    assert served == set(printed.stdout.split())


def test_features_have_the_defaults(features, start_cnode):
    """But --max-maps, which the limit of descriptors bounds."""
    assert features(start_cnode("--max-maps", "64"))["options"] == {
        "read_only": "false",
        "open_by_id": "true",
        "pin_root": "false",
        "file_root": "false",
        "max_message": 16 << 20,
        "grace": 60,
        "max_maps": 64,
        "max_maps_per_node": "infinity",
        "max_pins": 4096,
    }


def test_features_have_the_options_that_are_given(
    features, start_cnode, folder, tmp_path
):
    node = start_cnode(
        *("--no-open-by-id", "--pin-root", folder, "--file-root", tmp_path),
        *("--max-message", "65536", "--grace", "3", "--max-maps", "17"),
        *("--max-maps-per-node", "5", "--max-pins", "7"),
    )
    assert features(node)["options"] == {
        "read_only": "false",
        "open_by_id": "false",
        "pin_root": "true",
        "file_root": "true",
        "max_message": 65536,
        "grace": 3,
        "max_maps": 17,
        "max_maps_per_node": 5,
        "max_pins": 7,
    }


def test_read_only_is_as_it_is_for_the_caller(start_cnode, alice, bob):
    rules = ("--allow", f"{alice.name}=ro", "--allow", f"{bob.name}=rw")
    node = start_cnode(*rules)
    told = [beam.erpc(node.name, "features")["options"] for beam in (alice, bob)]
    assert [options["read_only"] for options in told] == ["true", "false"]


def test_no_folder_is_told(start_cnode, alice, folder):
    node = start_cnode("--pin-root", folder)
    text = alice.eval(
        "iolist_to_binary(io_lib:format(\"~0p\", [erpc:call(N, ebpf_maps, features, [])]))",
        N=node.name,
    )
    assert b"pin_root => true" in text
    assert str(folder).encode() not in text


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
    assert vsn == ("ok", facade_beam.eval("ebpf_maps_since:version()"))


def test_the_docs_say_the_same_version(facade_beam, srcdir):
    source = (srcdir / "erlang/src/ebpf_maps.erl").read_text()
    tagged = re.findall(r"^%% @since (\S+)\n(?:%%.*\n)*-spec (\w+)\(", source, re.M)
    assert ("0.2.0", "check") in tagged
    for version, function in tagged:
        since = facade_beam.eval(
            "[ebpf_maps_since:since(F, A) || {F, A} <- ebpf_maps:module_info(exports),"
            " F =:= F0]",
            F0=function,
        )
        assert list(version.encode()) in since


def test_the_changes_begin_with_the_version(srcdir, program):
    printed = subprocess.run([program, "--version"], capture_output=True, text=True)
    version = printed.stdout.split()[1]
    headings = re.findall(r"^## \[?([\d.]+)\]?", (srcdir / "CHANGES.md").read_text(), re.M)
    assert headings[0] == version
