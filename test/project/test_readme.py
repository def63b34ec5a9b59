# SPDX-License-Identifier: Apache-2.0
"""What the README shows is what one gets."""

import re
import subprocess

import pytest

import etf
import shell
from cluster import wait_until
from conftest import raises


@pytest.fixture(scope="module")
def readme(srcdir):
    return (srcdir / "README.md").read_text()


def blocks(readme, language):
    return re.findall(rf"^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)


def test_the_shell_session_is_what_one_sees(readme, lone_cluster, start_cnode, ebin):
    [session] = [block for block in blocks(readme, "erlang") if "1> " in block]
    lone_cluster.epmd.start()
    start_cnode(cluster=lone_cluster, naming=[])
    assert shell.check(session, lone_cluster, ebin) >= 4


@pytest.mark.sandbox
def test_the_embedded_example_starts_a_c_node(
    readme, lone_cluster, start_beam, ebin, program
):
    [example] = [block for block in blocks(readme, "erlang") if "embedded" in block]
    lone_cluster.epmd.start()
    env = {"PATH": f"{program.parent}:{lone_cluster.env['PATH']}"}
    beam = start_beam(cluster=lone_cluster, paths=[ebin], env=env)
    lines = example.strip().splitlines()
    assert beam.eval(lines[0]) == "ok"
    assert beam.eval(lines[1], timeout=30) == ("ok", ["ebpf_cnode"])
    assert beam.apply("ebpf_maps", "new", "hash", 4, 8, 4)[0] == "ebpf_map"
    beam.kill()
    wait_until(lambda: "ebpf" not in lone_cluster.epmd.names())


def test_the_table_has_all_functions(readme, program):
    listed = subprocess.run([program, "--functions"], capture_output=True, text=True)
    served = {line.split(":")[1] for line in listed.stdout.splitlines()}
    shown = set()
    for row in re.findall(r"^\| (`\w+\(.*?) \|", readme, re.MULTILINE):
        for name, arguments in re.findall(r"`(\w+)\((.*?)\)`", row):
            arity = len(arguments.split(",")) if arguments else 0
            if arguments == "..., Options":
                arity = 5
            shown.add(f"{name}/{arity}")
    assert shown == served


def test_each_option_in_it_is_one_of_the_program(readme, program):
    listed = subprocess.run([program, "--help"], capture_output=True, text=True)
    shown = set(re.findall(r"`(?:ebpf_cnode )?(--[a-z-]+)", readme))
    assert shown
    assert shown <= set(re.findall(r"--[a-z-]+", listed.stdout))


def test_each_link_leads_somewhere(readme, srcdir):
    links = re.findall(r"\]\((?!http)([^)#]+)", readme)
    assert links
    assert [link for link in links if not (srcdir / link).exists()] == []


NET_ADMIN_TYPES = {
    "devmap": (4, 4),
    "devmap_hash": (4, 4),
    "sockmap": (4, 4),
    "sockhash": (4, 4),
    "xskmap": (4, 4),
}
OTHER_TYPES = {
    "hash": (4, 4),
    "array": (4, 4),
    "percpu_hash": (4, 4),
    "lru_hash": (4, 4),
    "prog_array": (4, 4),
    "cpumap": (4, 4),
    "queue": (0, 4),
    "stack_trace": (4, 8),
}


def capabilities(start_cnode, alice, caps):
    """What becomes of a map of each type, under these capabilities alone."""
    only = ",".join(["-all", *(f"+{cap}" for cap in caps)])
    node = start_cnode(
        wrapper=["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    )
    types = {**NET_ADMIN_TYPES, **OTHER_TYPES}
    made = {t: alice.erpc(node.name, "new", t, *types[t], 1) for t in types}
    return {t: made[t] if made[t][0] == "error" else "made" for t in types}


def test_cap_bpf_alone_makes_all_but_the_network_types(readme, start_cnode, alice):
    row = re.search(r"^\| `CAP_NET_ADMIN` \| making (.*?) \|", readme, re.MULTILINE)[1]
    assert set(re.findall(r"\w+", row)) - {"and"} == set(NET_ADMIN_TYPES)
    answers = capabilities(start_cnode, alice, ["bpf"])
    refused = {t for t, answer in answers.items() if answer == ("error", "eperm")}
    made = {t for t, answer in answers.items() if answer == "made"}
    assert (refused, made) == (set(NET_ADMIN_TYPES), set(OTHER_TYPES))


def test_cap_bpf_alone_opens_the_network_types(start_cnode, connect, folder):
    maker = connect(start_cnode())
    only = "-all,+bpf"
    node = start_cnode(
        wrapper=["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    )
    peer = connect(node)
    for type, sizes in NET_ADMIN_TYPES.items():
        path = bytes(folder / type)
        assert maker.maps("pin", path, maker.maps("new", type, *sizes, 1)) == "ok"
        map = peer.maps("open", ("pinned", path))
        assert map[0] == "ebpf_map" and peer.maps("type", map) == type


def test_the_setcap_line_is_enough_for_all_types(readme, start_cnode, alice):
    caps = re.search(r"^setcap ([a-z_,]+)\+ep", readme, re.MULTILINE)[1].split(",")
    caps = [cap.removeprefix("cap_") for cap in caps]
    answers = capabilities(start_cnode, alice, caps)
    assert set(answers.values()) == {"made"}


def test_the_setcap_line_is_the_one_that_the_program_advises(readme, start_cnode):
    shown = re.search(r"^setcap ([a-z_,]+\+ep)", readme, re.MULTILINE)[1]
    node = start_cnode(
        wrapper=["setpriv", "--bounding-set=-all", "--inh-caps=-all"], ready=False
    )
    assert node.wait_exit() == 4
    assert f"setcap {shown} " in node.log


def test_without_cap_sys_admin_nothing_is_opened_by_id(readme, start_cnode, alice):
    assert re.search(r"^\| `CAP_SYS_ADMIN` \| .*`list/0`, `open/1`", readme, re.MULTILINE)
    only = "-all,+bpf,+net_admin"
    node = start_cnode(
        wrapper=["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    )

    def call(function, *args):
        return alice.erpc(node.name, function, *args)

    map = call("new", "hash", 4, 4, 1)
    id = call("info", map)[etf.Atom("id")]
    for function, *args in [
        ("open", ("id", id)),
        ("open", ("name", b"nope")),
        ("open", ("name", b"nope"), ["read"]),
        ("list",),
    ]:
        with raises("eperm"):
            call(function, *args)
    outer = call("new", "array_of_maps", 4, 4, 1, [("inner_map", map)])
    call("put", 0, map, outer)
    assert call("get", 0, outer) == map  # who holds it need not open it
    call("close", map)
    with raises("eperm"):
        call("get", 0, outer)
