# SPDX-License-Identifier: Apache-2.0
"""What a certificate proves: rights by --allow, and who a node was before."""

import re
import signal

import pytest

import tls
from dist import Closed, Refused
from keeping import Records
from tls_fixtures import connects

pytestmark = pytest.mark.plain  # each test says who speaks TLS

USAGE = 2
TAKEN = (
    "a node of that name is there, or was within --grace, whose certificate shares no name "
    "with its own"
)
PLAIN_TAKEN = (
    "a node of that name is there, or was within --grace, that has shown a certificate, and "
    "this one connects without TLS"
)


def right(beam, node):
    """none, ro, rw or load: as the C node says itself."""
    if connects(beam, node) != "true":
        return "none"
    options = beam.erpc(node.name, "features")["options"]
    if options["read_only"] == "true":
        return "ro"
    return "load" if options["may_load"] == "true" else "rw"


def allow(*rules):
    return [part for rule in rules for part in ("--allow", rule)]


@pytest.mark.parametrize(
    ("san", "rules", "expected"),
    [
        ("DNS:db1.prod", ["cert:DNS:db*.prod=rw"], "rw"),
        ("DNS:DB1.Prod", ["cert:DNS:db*.prod=rw"], "rw"),
        ("DNS:db1.prod", ["cert:DNS:DB?.PROD=rw"], "rw"),
        ("DNS:db1.eu.prod", ["cert:DNS:db*.prod=rw"], "none"),
        ("DNS:db1.prod", ["cert:DNS:*=rw", "*=ro"], "rw"),  # by the name of this host
        ("DNS:db1.prod", ["cert:DNS:*.*=ro"], "ro"),
        ("DNS:db1.prod", ["cert:DNS:db1?prod=rw"], "none"),
        ("DNS:*.prod", ["cert:DNS:db1.prod=rw"], "none"),
        ("DNS:*.prod", ["cert:DNS:*.prod=ro"], "ro"),
        ("URI:spiffe://prod/grafana/1", ["cert:URI:spiffe://prod/*=ro"], "ro"),
        ("URI:spiffe://prod/grafana", ["cert:URI:spiffe://PROD/*=ro"], "none"),
        ("URI:spiffe://prod/a", ["cert:DNS:spiffe*=rw"], "none"),
        ("email:app@db1", ["cert:email:app@*=load"], "load"),
        ("email:app@db1", ["cert:email:ap@*=load", "*@*=ro"], "ro"),
        ("URI:x:y=z", ["cert:URI:x:y=z=ro"], "ro"),
        # the first that matches counts, of either kind
        ("DNS:db1.prod", ["*@*=ro", "cert:DNS:db1.prod=rw"], "ro"),
        ("DNS:db1.prod", ["cert:DNS:db1.prod=none", "*@*=rw"], "none"),
        ("DNS:db1.prod", ["cert:DNS:other=load", "cert:DNS:db1.prod=rw", "*=none"], "rw"),
    ],
)
def test_rights_by_a_name_in_the_certificate(
    san, rules, expected, secure_cnode, secure_beam, issue_here
):
    load = ["--programs", "all"] if any("=load" in rule for rule in rules) else []
    node = secure_cnode(*allow(*rules), *load)
    assert right(secure_beam(identity=issue_here(san)), node) == expected


DNS, URI = 0x82, 0x86  # context tags of GeneralName


def der(*names):
    """A subjectAltName of short names."""
    parts = b"".join(bytes([tag, len(name)]) + name for tag, name in names)
    return bytes([0x30, len(parts)]) + parts


@pytest.mark.parametrize("end", [b"\0", b"\0.evil", b"\n"])
def test_a_name_with_a_nul_matches_nothing(end, secure_cnode, secure_beam, authority, cluster):
    """It could be taken for what stands before it."""
    own = (DNS, cluster.host.encode())
    node = secure_cnode(*allow("cert:DNS:db.prod*=rw", "cert:URI:spiffe://prod/db*=rw"))
    for good, bad in ((DNS, b"db.prod"), (URI, b"spiffe://prod/db")):
        identity = authority.issue(raw=der(own, (good, bad)))
        assert right(secure_beam(identity=identity), node) == "rw"
        identity = authority.issue(raw=der(own, (good, bad + end)))
        assert right(secure_beam(identity=identity), node) == "none"


def test_a_host_with_a_nul_is_no_host(secure_cnode, secure_beam, authority, cluster):
    identity = authority.issue(raw=der((DNS, cluster.host.encode() + b"\0.evil")))
    node = secure_cnode()
    assert right(secure_beam(identity=identity), node) == "none"
    node.wait_log("refused .*its certificate does not name the host of its name")


@pytest.mark.parametrize(
    ("san", "hosts"),
    [
        ("DNS:evil.prod", {"evil.prod": "rw", "EVIL.prod": "none", ".prod": "none", "prod": "none"}),
        ("DNS:EVIL.prod", {"EVIL.prod": "rw", "evil.prod": "none"}),
        ("DNS:a.evil.prod", {"a.evil.prod": "rw", ".evil.prod": "none", "evil.prod": "none"}),
        ("DNS:*.evil.prod", {"a.evil.prod": "rw", "A.evil.prod": "none", "*.evil.prod": "none"}),
        ("IP:::1", {"::1": "rw", "0:0:0:0:0:0:0:1": "none"}),
        ("IP:10.0.0.1", {"10.0.0.1": "rw", "::ffff:10.0.0.1": "none"}),
        ("DNS:10.0.0.1", {"10.0.0.1": "rw"}),  # as Erlang nodes ask for it
    ],
)
def test_a_host_is_spelt_in_one_way(san, hosts, secure_cnode, connect, authority):
    """Or rules for it, and names that are kept, would be for another."""
    node, identity = secure_cnode(), authority.issue(san)
    for host, expected in hosts.items():
        if expected == "rw":
            assert connect(node, name=f"x@{host}", identity=identity).serves()
        else:
            with pytest.raises((Refused, Closed)):
                connect(node, name=f"x@{host}", identity=identity)
            node.wait_log(rf"refused \S+ x@{re.escape(host)}: its certificate does not name")


# --- Names, and the right to load ----------------------------------------------------------


def test_a_name_gives_load_where_its_host_is_written_out(secure_cnode, secure_beam, cluster):
    rules = allow(f"loads*@{cluster.host}=load", "*@*=rw")
    node = secure_cnode(*rules, "--programs", "all")
    assert right(secure_beam(hint="loads"), node) == "load"
    assert right(secure_beam(), node) == "rw"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["*=load"], "with --tls a name may give load only where its host is written out"),
        (["app@*=load"], "with --tls a name may give load only where its host is written out"),
        (["app@db[12]=load"], "with --tls a name may give load only where its host is written out"),
        (["*[x@db1.prod]=load"], "with --tls a name may give load only where its host is written out"),
        (["app@=load"], "with --tls a name may give load only where its host is written out"),
        (["a@db1=load", "--tls-names", "any"], "with --tls-names any the name of a node is not proved"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_other_names_give_no_load(options, words, secure_cnode):
    rule, *others = options
    node = secure_cnode("--allow", rule, *others, "--programs", "all", ready=False)
    assert node.wait_exit() == USAGE
    assert f"--allow {rule}: {words}" in node.log


def test_a_plain_connection_proves_nothing(secure_cnode, start_beam, secure_beam, cluster):
    rules = allow("cert:DNS:*=rw", f"loads*@{cluster.host}=load", "*@*=ro")
    node = secure_cnode("--tls-or-plain", "--programs", "all", *rules)
    assert right(secure_beam(), node) == "rw"
    assert right(start_beam(), node) == "ro"
    assert right(start_beam(hint="loads"), node) == "rw"


# --- Who a node was before --------------------------------------------------------------------




class Place:
    """A name, and who has it: nodes with certificates of one authority, for no host."""

    def __init__(self, node, name, connect):
        self.node = node
        self.name = name
        self.connect = connect

    def come(self, identity, creation=7):
        return self.connect(self.node, name=self.name, identity=identity, creation=creation)

    def is_refused(self, identity, creation=7, words=TAKEN):
        start = self.node.mark()
        with pytest.raises(Refused):
            self.come(identity, creation)
        self.node.wait_log(f"warning refused .*{self.name}: {words}", start=start)


@pytest.fixture
def place(secure_cnode, connect, cluster):
    def place(*options):
        node = secure_cnode("--tls-names", "any", *options)
        return Place(node, f"{cluster.name('taken')}@{cluster.host}", connect)

    return place


@pytest.mark.parametrize("connected", [True, False])
def test_nobody_takes_the_name_of_another(connected, place, authority):
    place = place()
    first = place.come(authority.issue("email:a@x", "URI:x:a"))
    handle = first.maps("new", "hash", 4, 8, 4)
    if not connected:
        first.close()
        place.node.wait_log(f"disconnected {place.name}")
    thief = authority.issue("email:b@x", "URI:x:ab", "DNS:a")
    place.is_refused(thief)
    place.is_refused(thief, creation=8)  # which would end what the first one holds
    place.is_refused(authority.issue())
    if connected:
        assert first.maps("type", handle) == "hash"
    heir = place.come(authority.issue("email:new@x", "URI:x:a"))
    assert heir.maps("type", handle) == "hash"
    place.is_refused(authority.issue("email:a@x"))  # it is the heir's names that count now


def test_a_certificate_without_names_is_known_by_itself(place, authority):
    place, own = place(), authority.issue()
    place.come(own).maps("new", "hash", 4, 8, 4)
    place.is_refused(authority.issue())
    assert place.come(own).maps("handles")


def test_a_plain_node_takes_no_name_that_was_proved(place, authority):
    place = place("--tls-or-plain")
    plain = place.come(tls.PLAIN)
    handle = plain.maps("new", "hash", 4, 8, 4)
    proved = place.come(authority.issue("email:a@x"))  # the cluster has moved
    assert proved.maps("type", handle) == "hash"
    place.is_refused(tls.PLAIN, words=PLAIN_TAKEN)


def test_without_tls_again_nobody_is_asked(kept, connect, authority, here, cluster):
    """The way back: what was proved counts for nothing where nothing can be."""
    kept = kept.start("--tls-names", "any", identity=here)
    place = Place(kept.node, f"{cluster.name('taken')}@{cluster.host}", connect)
    handle = place.come(authority.issue("email:a@x")).maps("new", "hash", 4, 8, 4)
    kept.end(signal.SIGTERM)
    kept.options = ()
    place.node = kept.start(identity=tls.PLAIN).node
    assert place.come(tls.PLAIN).maps("type", handle) == "hash"


def test_a_name_is_free_after_the_grace_period(place, authority):
    place = place("--grace", "0")
    place.come(authority.issue("email:a@x")).close()
    place.node.wait_log(f"disconnected {place.name}")
    place.come(authority.issue("email:b@x"))


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_nobody_takes_it_over_a_restart(how, kept, connect, authority, here, cluster):
    options = ("--tls-names", "any")
    kept = kept.start(*options, identity=here)
    own = authority.issue("email:a@x")
    place = Place(kept.node, f"{cluster.name('taken')}@{cluster.host}", connect)
    handle = place.come(own).maps("new", "hash", 4, 8, 4)
    kept.end(how)
    place.node = kept.start(*options, identity=here).node
    place.is_refused(authority.issue("email:b@x"))
    again = place.come(own)
    assert again.maps("type", handle) == "hash"
    again.maps("close", handle)
    again.close()
    place.node.wait_log(f"disconnected {place.name}")
    kept.end(how)
    place.node = kept.start(*options, identity=here).node
    assert place.come(authority.issue("email:b@x")).serves()  # nobody held anything any more
    (record,) = Records(kept.folder).heads(6)  # of the one that is there
    assert b"email:b@x" in Records(kept.folder).read(record)
