# SPDX-License-Identifier: Apache-2.0
"""The peers of the tests speak TLS as Erlang nodes do: here among themselves."""

from datetime import timedelta

import pytest

import tls
from certificates import Authority
from dist import Closed, Peer, Refused


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@pytest.fixture
def identity(authority, cluster):
    return authority.issue(*tls.sans(cluster.host))


@pytest.mark.parametrize(("erlang", "python"), [("tlsv1.2", "TLSv1.2"), ("tlsv1.3", "TLSv1.3")])
def test_they_speak_a_version_to_each_other(erlang, python, identity, cluster, start_beam):
    ssl = {"versions": f"['{erlang}']"}
    beam, other = (start_beam(identity=identity, ssl=ssl) for _ in range(2))
    assert beam.apply("net_adm", "ping", other.name) == "pong"
    name = f"{cluster.name('python')}@{cluster.host}"
    port = cluster.epmd.port_of(beam.sname)
    with Peer(port, name, cookie=cluster.cookie, identity=identity).handshake() as peer:
        assert peer.remote_name == beam.name
        assert peer.socket.version() == python
        assert peer.erpc("erlang", "abs", [-5]) == ("return", 5)


def test_a_plain_node_does_not_reach_one(identity, start_beam):
    plain, other = start_beam(identity=tls.PLAIN), start_beam(identity=identity)
    assert plain.apply("net_adm", "ping", other.name) == "pang"


def of_the_past(authority, cluster):
    return authority.issue(f"DNS:{cluster.host}", ends=-timedelta(minutes=1))


def of_the_future(authority, cluster):
    return authority.issue(f"DNS:{cluster.host}", starts=timedelta(days=1))


def of_a_server(authority, cluster):
    return authority.issue(f"DNS:{cluster.host}", usage="serverAuth")


def of_another_authority(authority, cluster):
    another = Authority(authority.folder.with_name(cluster.name("another")))
    identity = another.issue(f"DNS:{cluster.host}")
    identity.trusted = authority.certificate
    return identity


def of_an_intermediate_of_the_past(authority, cluster):
    ends = -timedelta(minutes=1)
    middle = authority.intermediate(cluster.name("middle"), ends=ends)
    return middle.issue(f"DNS:{cluster.host}")


@pytest.mark.parametrize(
    "make",
    [of_the_past, of_the_future, of_a_server, of_another_authority, of_an_intermediate_of_the_past],
)
def test_an_erlang_node_refuses_an_identity(make, authority, identity, cluster, start_beam):
    beam = start_beam(identity=identity)
    name = f"{cluster.name('python')}@{cluster.host}"
    port = cluster.epmd.port_of(beam.sname)
    wrong = make(authority, cluster)
    with Peer(port, name, cookie=cluster.cookie, identity=wrong) as peer:
        with pytest.raises((Closed, Refused)):
            peer.handshake()


@pytest.mark.parametrize("key", ["P-256", "RSA"])
def test_an_erlang_node_takes_one_of_an_intermediate(key, authority, identity, cluster, start_beam):
    beam = start_beam(identity=identity)
    middle = authority.intermediate(cluster.name("middle"))
    right = middle.issue(f"DNS:{cluster.host}", key=key)
    other = start_beam(identity=right)
    assert beam.apply("net_adm", "ping", other.name) == "pong"
    again = start_beam(identity=identity)
    assert other.apply("net_adm", "ping", again.name) == "pong"


def test_an_erlang_node_asks_for_its_peers_name(authority, identity, cluster, start_beam):
    other = start_beam(identity=authority.issue("DNS:elsewhere"))
    assert start_beam(identity=identity).apply("net_adm", "ping", other.name) == "pang"
