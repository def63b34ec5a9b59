# SPDX-License-Identifier: Apache-2.0
"""The addresses on which it listens, of both kinds; and without epmd."""

import re
import socket
import subprocess

import pytest

from beam import Beam
from cluster import free_port

USAGE, LISTEN = 2, 5
CLIENT_HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(64)


@pytest.fixture
def link():
    """An interface with an address of its own on a link."""
    subprocess.run("ip link add link0 type veth peer name link1".split(), check=True)
    for name in "link0", "link1":
        subprocess.run(f"ip link set {name} up".split(), check=True)
    subprocess.run("ip -6 address add fe80::17/64 dev link0 nodad".split(), check=True)
    yield "fe80::17%link0"
    subprocess.run("ip link del link0".split(), check=True)


def answers(node, host):
    """Whether it refuses TLS there, with the words for that address."""
    start = node.mark()
    with socket.create_connection((host, node.port), timeout=10) as s:
        s.sendall(CLIENT_HELLO)
        s.recv(100)
    return node.wait_log(r"warning refused (\S+) .*it speaks TLS, and this", start=start)[1]


@pytest.mark.plain
@pytest.mark.parametrize(
    ("listen", "hosts"),
    [
        (["127.0.0.1"], {"127.0.0.1": r"127\.0\.0\.1:\d+"}),
        (["::1"], {"::1": r"\[::1\]:\d+"}),
        (["::"], {"::1": r"\[::1\]:\d+", "127.0.0.1": r"127\.0\.0\.1:\d+"}),
        (["127.0.0.2", "::1", "127.0.0.1"], {"127.0.0.2": "", "::1": "", "127.0.0.1": ""}),
        (["::", "0.0.0.0"], {"::1": r"\[::1\]:", "127.0.0.1": r"127\.0\.0\.1:"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_it_listens_there_and_says_who_came(listen, hosts, start_cnode):
    node = start_cnode(*(part for one in listen for part in ("--listen", one)))
    for host, said in hosts.items():
        assert re.match(said, answers(node, host))


@pytest.mark.parametrize("listen", [["127.0.0.1"], ["::1"]], ids=lambda value: value[0])
def test_and_not_elsewhere(listen, start_cnode):
    node = start_cnode("--listen", *listen)
    for host in {"127.0.0.1", "::1", "127.0.0.2"} - set(listen):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((host, node.port), timeout=10)


@pytest.mark.plain
def test_an_address_of_a_link_has_its_interface(link, start_cnode):
    node = start_cnode("--listen", link)
    assert re.match(r"\[fe80::17%\d+\]:", answers(node, link))


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_nodes_of_both_kinds_connect_at_one_port(host, start_cnode, connect):
    node = start_cnode("--listen", "::")
    peer = connect(node, host=host)
    shown = r"\[::1\]" if host == "::1" else r"127\.0\.0\.1"
    node.wait_log(rf"notice connected {peer.name} from {shown}:\d+( by tls\S+ as .*)?$")
    assert peer.maps("new", "hash", 4, 8, 4)[0] == "ebpf_map"
    peer.close()
    node.wait_log(rf"notice disconnected {peer.name}")


@pytest.mark.parametrize(
    ("listen", "words"),
    [
        ("localhost", "give an address such as 127.0.0.1 or ::1"),
        ("127.1", "give an address such as 127.0.0.1 or ::1"),
        ("::1::", "give an address such as"),
        ("[::1]", "give an address such as"),
        ("", "give an address such as"),
    ],
)
def test_what_is_no_address_is_refused(listen, words, start_cnode):
    node = start_cnode("--listen", listen, ready=False)
    assert node.wait_exit() == USAGE
    assert words in node.log


@pytest.mark.plain
def test_seventeen_addresses_are_too_many(start_cnode):
    many = [part for n in range(1, 18) for part in ("--listen", f"127.0.0.{n}")]
    node = start_cnode(*many, ready=False)
    assert node.wait_exit() == USAGE
    assert "that is more than 16 addresses" in node.log
    assert answers(start_cnode(*many[:-2]), "127.0.0.16")


def test_the_address_that_is_taken_is_named(start_cnode):
    port = free_port()
    with socket.create_server(("127.0.0.2", port)):
        options = ("--listen", "127.0.0.1", "--listen", "127.0.0.2", "--port", str(port))
        node = start_cnode(*options, ready=False)
        assert node.wait_exit() == LISTEN
    assert f"cannot listen on 127.0.0.2 port {port}: Address already in use" in node.log


def test_an_address_that_is_not_there_is_named(start_cnode):
    node = start_cnode("--listen", "2001:db8::1", ready=False)
    assert node.wait_exit() == LISTEN
    assert "cannot listen on 2001:db8::1 port 0: Cannot assign requested address" in node.log


# --- Without epmd -----------------------------------------------------------------------


def test_without_epmd_a_port_has_to_be_given(start_cnode):
    node = start_cnode("--no-epmd", ready=False)
    assert node.wait_exit() == USAGE
    assert "without epmd no node learns of a free port; give one by --port" in node.log


def without_epmd(port):
    return ["-start_epmd", "false", "-erl_epmd_port", str(port), "-dist_listen", "false"]


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_a_node_reaches_it_without_any_epmd(host, lone_cluster, start_cnode):
    port = free_port()
    name = lone_cluster.name("alone")
    node = start_cnode(
        *("--no-epmd", "--port", str(port), "--listen", host),
        naming=["--name", f"{name}@{host}"],
        cluster=lone_cluster,
    )
    assert not lone_cluster.epmd.answers()
    long_name = f"{lone_cluster.name('beam')}@{host}"
    ipv6 = host == "::1"
    beam = Beam(lone_cluster, *without_epmd(port), long_name=long_name, ipv6=ipv6)
    try:
        map = beam.erpc(node.name, "new", "hash", 4, 8, 4)
        beam.erpc(node.name, "put", 1, 2, map)
        assert beam.erpc(node.name, "get", 1, map) == (2).to_bytes(8, "little")
        node.wait_log(rf"connected \S+ from {re.escape('[::1]' if host == '::1' else host)}:")
    finally:
        beam.close()
    assert not lone_cluster.epmd.answers()


def test_nothing_is_registered(start_cnode, cluster, connect):
    port = free_port()
    node = start_cnode("--no-epmd", "--port", str(port))
    assert node.port == port
    assert node.sname not in cluster.epmd.names()
    assert connect(node).maps("new", "hash", 4, 8, 4)[0] == "ebpf_map"
