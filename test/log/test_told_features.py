# SPDX-License-Identifier: Apache-2.0
"""What a C node tells of itself by features/0."""

import subprocess

import pytest

pytestmark = pytest.mark.single


@pytest.fixture
def features(alice):
    """features/0 of a C node, by bare erpc."""
    return lambda node: alice.erpc(node.name, "features")


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
        "keep": "false",
        "file_root": "false",
        "vmlinux_types": "false",
        "max_message": 16 << 20,
        "grace": 60,
        "max_maps": 64,
        "max_maps_per_node": "infinity",
        "max_pins": 4096,
        "programs": [],
        "may_load": "false",
        "max_programs": 1000,
        "max_subscriptions": 256,
        "max_programs_per_node": "infinity",
    }


def test_features_have_the_options_that_are_given(
    features, start_cnode, folder, tmp_path, kept_folder
):
    node = start_cnode(
        *("--keep", kept_folder),
        *("--no-open-by-id", "--pin-root", folder, "--file-root", tmp_path),
        "--vmlinux-types",
        *("--max-message", "65536", "--grace", "3", "--max-maps", "17"),
        *("--max-maps-per-node", "5", "--max-pins", "7"),
        *("--programs", "tc,xdp", "--allow", "*=load", "--max-programs", "9"),
        *("--max-programs-per-node", "4", "--max-subscriptions", "7"),
    )
    assert features(node)["options"] == {
        "read_only": "false",
        "open_by_id": "false",
        "pin_root": "true",
        "keep": "true",
        "file_root": "true",
        "vmlinux_types": "true",
        "max_message": 65536,
        "grace": 3,
        "max_maps": 17,
        "max_maps_per_node": 5,
        "max_pins": 7,
        "programs": ["xdp", "tc"],
        "may_load": "true",
        "max_programs": 9,
        "max_subscriptions": 7,
        "max_programs_per_node": 4,
    }


def test_read_only_is_as_it_is_for_the_caller(start_cnode, alice, bob):
    rules = ("--allow", f"{alice.name}=ro", "--allow", f"{bob.name}=rw")
    node = start_cnode(*rules)
    told = [beam.erpc(node.name, "features")["options"] for beam in (alice, bob)]
    assert [options["read_only"] for options in told] == ["true", "false"]


WORDS = ["socket", "xdp", "tc", "cgroup", "sockmap", "netns", "lwt", "tracing"]


def test_all_programs_are_told_by_their_words(features, programs):
    assert features(programs.node)["options"]["programs"] == WORDS


@pytest.mark.parametrize("rule, told", [("ro", "false"), ("rw", "false"), ("load", "true")])
def test_the_right_to_load_is_as_it_is_for_the_caller(rule, told, start_cnode, alice):
    rules = ("--allow", f"{alice.name}={rule}", "--allow", "*=load")
    for programs, may_load in (("--programs", "all"), told), ((), "false"):
        node = start_cnode(*rules, *programs)
        assert alice.erpc(node.name, "features")["options"]["may_load"] == may_load


def test_no_folder_is_told(start_cnode, alice, folder):
    node = start_cnode("--pin-root", folder)
    text = alice.eval(
        "iolist_to_binary(io_lib:format(\"~0p\", [erpc:call(N, ebpf_maps, features, [])]))",
        N=node.name,
    )
    assert b"pin_root => true" in text
    assert str(folder).encode() not in text
