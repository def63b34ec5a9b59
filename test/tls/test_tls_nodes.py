# SPDX-License-Identifier: Apache-2.0
"""Erlang nodes over TLS: versions, keys, chains, and what either end does in mid stream."""

import time

import pytest

from beam import BeamError
from program_fixtures import Programs
from subscriptions import Source, Subscriber, numbers
from tls_fixtures import connects, use

pytestmark = pytest.mark.plain  # each test says who speaks TLS

VERSIONS = {"tlsv1.2": "['tlsv1.2']", "tlsv1.3": "['tlsv1.3']"}
MERGE = """
    Many = maps:from_list([{<<N:32>>, <<N:64>>} || N <- lists:seq(1, 20000)]),
    [begin
        H = erpc:call(Node, ebpf_maps, merge, [H, Many]),
        20000 = erpc:call(Node, ebpf_maps, size, [H]),
        Many = maps:from_list(erpc:call(Node, ebpf_maps, to_list, [H]))
    end || _ <- lists:seq(1, Rounds)],
    done
"""
GETS = """
    [<<1:64>> = erpc:call(Node, ebpf_maps, get, [<<1:32>>, H]) || _ <- lists:seq(1, Number)],
    done
"""


def proof_of(beam, node):
    stats = beam.erpc(node.name, "stats")
    return stats["nodes"][beam.name]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_node_of_that_version(version, secure_cnode, secure_beam, cluster):
    node = secure_cnode("--log-format", "json", ready=False)
    assert node.wait_log(r'"event":"ready"')
    beam = secure_beam(ssl={"versions": VERSIONS[version]})
    handle = use(beam, node)
    names = [b"DNS:" + cluster.host.encode()]
    assert proof_of(beam, node) == {"tls": version, "names": names}
    [(shown, owner, lifetime, proof)] = beam.erpc(node.name, "handles")
    assert (shown, owner, lifetime) == (handle, beam.name, "node")
    assert proof == {"tls": version, "names": names}
    line = node.wait_log(r'"event":"connected"').string
    assert f'"tls":"{version}"' in line and f'"names":"DNS:{cluster.host}"' in line


@pytest.mark.parametrize(
    ("least", "versions", "connected"),
    [
        ("1.2", "tlsv1.2", "true"),
        ("1.2", "tlsv1.3", "true"),
        ("1.3", "tlsv1.2", "false"),
        ("1.3", "tlsv1.3", "true"),
    ],
)
def test_the_oldest_version(least, versions, connected, secure_cnode, secure_beam):
    node = secure_cnode("--tls-min", least)
    beam = secure_beam(ssl={"versions": VERSIONS[versions]})
    assert connects(beam, node) == connected
    if connected == "false":
        node.wait_log(r"warning refused .*it offers no version of TLS from --tls-min on")


@pytest.mark.parametrize("key", ["RSA", "P-384"])
@pytest.mark.parametrize("version", VERSIONS)
def test_keys_of_other_kinds(key, version, start_cnode, secure_beam, issue_here):
    identity = issue_here(key=key)
    node = start_cnode(identity=identity)
    beam = secure_beam(identity=identity, ssl={"versions": VERSIONS[version]})
    use(beam, node)
    assert proof_of(beam, node)["tls"] == version


def test_certificates_of_an_intermediate_authority(authority, start_cnode, start_beam, issue_here):
    between = authority.intermediate()
    node = start_cnode(identity=issue_here(by=between))
    use(start_beam(identity=issue_here(by=between)), node)


@pytest.mark.parametrize("version", VERSIONS)
def test_large_requests_and_answers(version, secure_cnode, secure_beam):
    node = secure_cnode()
    beam = secure_beam(ssl={"versions": VERSIONS[version]})
    handle = beam.erpc(node.name, "new", "hash", 4, 8, 20000)
    assert beam.eval(MERGE, timeout=60, Node=node.name, H=handle, Rounds=2) == "done"


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_ipv6_and_ipv4_at_one_port(host, authority, start_cnode, start_beam, cluster):
    identity = authority.issue(f"IP:{host}", f"DNS:{host}")
    name = cluster.name("six")
    node = start_cnode("--listen", "::", naming=["--name", f"{name}@{host}"], identity=identity)
    own = f"{cluster.name('six')}@{host}"
    beam = start_beam(long_name=own, ipv6=":" in host, identity=identity)
    use(beam, node)
    assert proof_of(beam, node)["tls"] == "tlsv1.2"


@pytest.mark.parametrize("plain", [True, False])
def test_both_kinds_at_one_port_to_move_a_cluster(plain, secure_cnode, start_beam, here):
    node = secure_cnode("--tls-or-plain")
    beam = start_beam(identity=None if plain else here)
    use(beam, node)
    assert proof_of(beam, node)["tls"] == ("none" if plain else "tlsv1.2")


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_a_quiet_connection_stays(version, secure_cnode, secure_beam):
    node = secure_cnode("--ticktime", "4")
    beam = secure_beam("-kernel", "net_ticktime", "4", ssl={"versions": VERSIONS[version]})
    handle = use(beam, node)
    start = node.mark()
    time.sleep(11)
    assert beam.erpc(node.name, "get", (1).to_bytes(4, "big"), handle) is not None
    assert not node.find_log("connected", start)


# --- New keys in mid stream -----------------------------------------------------------

RENEWALS = {
    "tlsv1.2": {"versions": "['tlsv1.2']", "renegotiate_at": "500"},
    "tlsv1.3": {"versions": "['tlsv1.3']", "key_update_at": "20000"},
}


@pytest.mark.parametrize("version", RENEWALS)
def test_new_keys_while_it_calls(version, secure_cnode, secure_beam):
    """3,000 calls at 500 records for a handshake; and answers of many records between."""
    node = secure_cnode()
    beam = secure_beam(ssl=RENEWALS[version])
    handle = use(beam, node)
    assert beam.eval(GETS, timeout=60, Node=node.name, H=handle, Number=3000) == "done"
    large = beam.erpc(node.name, "new", "hash", 4, 8, 20000)
    assert beam.eval(MERGE, timeout=60, Node=node.name, H=large, Rounds=1) == "done"
    assert beam.eval(GETS, timeout=60, Node=node.name, H=handle, Number=1500) == "done"
    assert not node.find_log("disconnected")


CALLS_ON = """
    Get = fun Get() ->
        <<1:64>> = erpc:call(Node, ebpf_maps, get, [<<1:32>>, H]),
        receive stop -> ok after 0 -> Get() end
    end,
    spawn(Get)
"""


@pytest.mark.parametrize("version", RENEWALS)
def test_new_keys_while_it_is_sent_events(
    version, events_object, secure_cnode, secure_beam, cluster
):
    """Another node makes the events, so that they come whenever they like."""
    allow = f"cert:DNS:{cluster.host}=load"
    node = secure_cnode("--programs", "all", "--allow", allow)
    source = Source(Programs(secure_beam(), node), events_object, 1 << 24)
    beam = secure_beam(ssl=RENEWALS[version])
    calls = beam.eval(CALLS_ON, Node=node.name, H=use(beam, node))
    s = Subscriber(beam, node.name, source.ring, ("from", "oldest"), ("credit", 2**64))
    for _ in range(100):
        source.emit(200, 64)
    assert numbers(s.records(20000)) == list(range(20000))
    beam.eval("P ! stop", P=calls)
    assert source.lost() == 0 and not node.find_log("disconnected")


def test_too_many_handshakes_end_the_connection(secure_cnode, secure_beam):
    """One for each tenth record, where 600 in a minute are allowed."""
    node = secure_cnode()
    beam = secure_beam(ssl={"versions": "['tlsv1.3']", "key_update_at": "50"})
    handle = use(beam, node)
    with pytest.raises(BeamError):
        beam.eval(GETS, timeout=60, Node=node.name, H=handle, Number=3000)
    node.wait_log(r"disconnected .*: it sends more than 600 handshakes, key updates and alerts")
    use(beam, node)
