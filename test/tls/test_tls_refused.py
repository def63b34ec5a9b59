# SPDX-License-Identifier: Apache-2.0
"""Who is refused, in milliseconds and in words; and what a C node does not start with."""

import re
import ssl
import time
from datetime import timedelta

import pytest

import tls
from certificates import openssl, replace
from cluster import wait_until
from dist import Closed, Refused
from tls_fixtures import connects, use

pytestmark = pytest.mark.plain  # each test says who speaks TLS

USAGE, FILES = 2, 8
AT_ONCE = 3  # s: a handshake that times out takes 5
DAY = timedelta(days=1)


def refused(node, beam):
    start, before = node.mark(), time.monotonic()
    assert connects(beam, node) == "false"
    assert time.monotonic() - before < AT_ONCE
    return node.wait_log(r" warning refused \S+ (\S+|\(no name\)): (.*)", start=start)[2]


# --- Certificates of nodes --------------------------------------------------------------

ANY = "its certificate is refused: "


def expired(issue_here, **_):
    return issue_here(ends=-DAY, starts=-2 * DAY)


def not_yet(issue_here, **_):
    return issue_here(starts=DAY)


def of_a_stranger(issue_here, stranger, **_):
    return issue_here(by=stranger)


def of_another_host(authority, **_):
    return authority.issue("DNS:elsewhere")


def of_no_host(authority, cluster, **_):
    """CN is none."""
    return authority.issue("email:app@elsewhere", name=cluster.host)


def for_servers(issue_here, **_):
    return issue_here(usage="serverAuth")


def without_its_intermediate(issue_here, authority, tmp_path, **_):
    identity = issue_here(by=authority.intermediate(tmp_path.name))
    leaf = identity.certificate.read_text().partition("-----END CERTIFICATE-----\n")
    identity.certificate.write_text(leaf[0] + leaf[1])
    return identity


OF_NONE = "it is of no authority in ca.pem, or its file lacks the certificates between (DNS:"
NOT_NAMED = "its certificate does not name the host of its name as that is spelt, but "
REFUSED = [
    (expired, ANY + "it, or an authority of it, has expired (DNS:"),
    (not_yet, ANY + "certificate is not yet valid (DNS:"),
    (of_a_stranger, ANY + OF_NONE),
    (of_another_host, NOT_NAMED + "DNS:elsewhere; see --tls-names"),
    (of_no_host, NOT_NAMED + "email:app@elsewhere; see --tls-names"),
    (for_servers, ANY + "it is for other uses; nodes need the extendedKeyUsage clientAuth"),
    (without_its_intermediate, ANY + OF_NONE),
]


@pytest.mark.parametrize(("make", "words"), REFUSED, ids=[make.__name__ for make, _ in REFUSED])
@pytest.mark.parametrize("version", ["tlsv1.2", "tlsv1.3"])
def test_a_certificate_that_proves_nothing_here(
    make, words, version, secure_cnode, secure_beam, issue_here, authority, stranger, tmp_path, cluster
):
    node = secure_cnode()
    given = dict(issue_here=issue_here, authority=authority, stranger=stranger)
    identity = make(**given, tmp_path=tmp_path, cluster=cluster)
    identity.trusted = authority.certificate  # it believes the C node
    beam = secure_beam(identity=identity, ssl={"versions": f"['{version}']"})
    assert refused(node, beam).startswith(words)
    use(secure_beam(), node)


def test_any_name_by_a_verified_certificate(secure_cnode, secure_beam, authority):
    node = secure_cnode("--tls-names", "any")
    use(secure_beam(identity=authority.issue("DNS:elsewhere")), node)


REVOKED = "it, or an authority of it, has been revoked"


def test_revoked_ones(tmp_path, authority, start_cnode, secure_beam, issue_here, cluster):
    good, bad, own = issue_here(), issue_here(), issue_here()
    authority.revoke(bad)
    folder = own.write_folder(tmp_path / "tls", crl=authority.crl())
    node = start_cnode("--tls", str(folder))
    words = refused(node, secure_beam(identity=bad))
    assert re.fullmatch(ANY + REVOKED + rf" \(DNS:{cluster.host}, serial [0-9A-F]+\)", words)
    use(secure_beam(identity=good), node)


def test_each_authority_of_a_chain_has_to_have_a_list(
    tmp_path, authority, here, start_cnode, secure_beam, issue_here
):
    between = authority.intermediate("listed")
    beam = secure_beam(identity=issue_here(by=between))
    whole = between.crl().read_bytes()
    own = whole.partition(b"-----END X509 CRL-----\n")
    one = tmp_path / "one.pem"
    one.write_bytes(own[0] + own[1])
    node = start_cnode("--tls", str(here.write_folder(tmp_path / "one", crl=one)))
    words = "crl.pem has no list of one of its authorities"
    assert refused(node, beam).startswith(ANY + words)
    both = tmp_path / "both.pem"
    both.write_bytes(whole)
    use(beam, start_cnode("--tls", str(here.write_folder(tmp_path / "both", crl=both))))
    authority.openssl("ca", "-revoke", between.certificate)
    gone = here.write_folder(tmp_path / "gone", crl=between.crl())
    assert refused(start_cnode("--tls", str(gone)), beam).startswith(ANY + REVOKED)


def test_no_certificate_at_all(secure_cnode, connect, here):
    node = secure_cnode()
    context = tls.new_context(here.trusted)
    with pytest.raises((Refused, Closed)):
        connect(node, identity=context)
    node.wait_log(r"warning refused .*it shows no certificate; the client section of its")


def test_a_c_node_that_nodes_do_not_believe_learns_why(start_cnode, secure_beam, authority):
    """Their name for it is not in its certificate."""
    node = start_cnode(identity=authority.issue("DNS:elsewhere"))
    assert "cert.pem does not have DNS:" in node.log
    words = refused(node, secure_beam())
    assert words.startswith("it refuses this node by the alert handshake failure; nodes with")
    assert "verify_peer want DNS:HOST in cert.pem" in words


def test_a_node_that_ends_without_a_word(secure_cnode, secure_beam, issue_here):
    """OTP says nothing where it cannot read its own key."""
    node, identity = secure_cnode(), issue_here()
    beam = secure_beam(identity=identity)
    identity.key.unlink()
    words = refused(node, beam)
    assert words.startswith("it disconnected before the end of the handshake of TLS; if its log says")


def test_it_says_how_others_will_see_it(
    tmp_path, here, issue_here, authority, stranger, start_cnode
):
    """What only becomes known when nobody can connect any more is said at the start."""
    of_another = issue_here(by=stranger)
    folder = of_another.write_folder(tmp_path / "another", trusted=authority.certificate)
    words = "nodes that believe ca.pem and crl.pem as they are here will refuse cert.pem: "
    node = start_cnode("--tls", str(folder))
    assert words + "it is of no authority in ca.pem" in node.log
    revoked = issue_here()
    authority.revoke(revoked)
    folder = revoked.write_folder(tmp_path / "revoked", crl=authority.crl())
    node = start_cnode("--tls", str(folder))
    assert words + "it, or an authority of it, has been revoked" in node.log
    node = start_cnode("--tls", str(here.write_folder(tmp_path / "good")))
    assert words not in node.log
    assert re.search(r"notice nodes connect by TLS; .* is of DNS:\S+, serial \w+, and ends at 20", node.log)


# --- Nodes that do not speak the same ------------------------------------------------------


def test_a_plain_node_at_a_port_of_tls(secure_cnode, start_beam):
    beam = start_beam()
    words = refused(secure_cnode(), beam)
    assert words.startswith("it does not speak TLS, and this node wants that: start it with -proto_dist")


def test_a_node_of_tls_at_a_plain_port(start_cnode, secure_beam):
    beam = secure_beam()
    assert refused(start_cnode(), beam) == "it speaks TLS, and this node does not"
    wait_until(lambda: "SERVER ALERT: Fatal - Handshake Failure" in beam.printed())


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions(most, secure_cnode, connect, here):
    node = secure_cnode()
    context = tls.new_context(here.trusted, here)
    context.minimum_version = ssl.TLSVersion.TLSv1
    context.maximum_version = most
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((Refused, Closed)):
        connect(node, identity=context)
    node.wait_log(r"warning refused .*it offers no version of TLS from --tls-min on")


# --- What it does not start with --------------------------------------------------------------


def no_start(start_cnode, *options, status=FILES):
    node = start_cnode(*options, ready=False)
    assert node.wait_exit() == status
    return node.log


def missing(folder):
    (folder / "ca.pem").unlink()


def readable(folder):
    (folder / "key.pem").chmod(0o604)


def group_writable(folder):
    (folder / "key.pem").chmod(0o620)


def garbage(folder):
    replace(folder / "cert.pem", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o644)


def empty(folder):
    replace(folder / "ca.pem", b"", 0o644)


def huge(folder):
    replace(folder / "ca.pem", bytes(2 << 20), 0o644)


def a_folder(folder):
    (folder / "crl.pem").mkdir()


def no_list(folder):
    replace(folder / "crl.pem", b"nothing", 0o644)


def leads_nowhere(folder):
    (folder / "crl.pem").symlink_to("nowhere")


def many_names(folder):
    """A handshake has the names of all authorities."""
    subject = "/CN=" + 60 * "a" + "/O=" + 60 * "b" + "/OU=" + 60 * "c"
    authorities = b"".join(own_authority(folder.parent, f"{subject}/L={n}") for n in range(320))
    replace(folder / "ca.pem", authorities, 0o644)


def own_authority(folder, subject):
    key, path = folder / "many.key", folder / "many.pem"
    if not key.exists():
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key, cwd=folder)
    openssl("req", "-x509", "-new", "-key", key, "-subj", subject, "-out", path, cwd=folder)
    return path.read_bytes()


def swapped(folder):
    replace(folder / "key.pem", (folder / "cert.pem").read_bytes(), 0o600)


BAD_FOLDERS = [
    (missing, "ca.pem: No such file or directory"),
    (readable, "key.pem: others may read or change it; chmod 600 it"),
    (group_writable, "key.pem: others may read or change it; chmod 600 it"),
    (garbage, "cert.pem: no certificate can be read"),
    (empty, "ca.pem: there is no certificate in it"),
    (huge, "ca.pem: it is larger than 1 MiB"),
    (a_folder, "crl.pem: it is no regular file"),
    (no_list, "crl.pem: no list can be read"),
    (swapped, "key.pem: no key can be read"),
    (leads_nowhere, "crl.pem: No such file or directory"),
    (many_names, "ca.pem: the names of its authorities take more than 60000 bytes"),
]


@pytest.mark.parametrize(("spoil", "words"), BAD_FOLDERS, ids=[f.__name__ for f, _ in BAD_FOLDERS])
def test_files_that_are_wrong(spoil, words, here, tmp_path, start_cnode):
    folder = here.write_folder(tmp_path / "tls")
    spoil(folder)
    assert words in no_start(start_cnode, "--tls", str(folder))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ends": -DAY, "starts": -2 * DAY}, "cert.pem: the certificate has expired"),
        ({"starts": DAY}, "cert.pem: the certificate is not valid yet"),
        ({"usage": "clientAuth"}, "cert.pem: the certificate is for other uses than that of a server"),
    ],
)
def test_its_own_certificate_is_of_no_use(options, words, issue_here, tmp_path, start_cnode):
    folder = issue_here(**options).write_folder(tmp_path / "tls")
    assert words in no_start(start_cnode, "--tls", str(folder))


def test_the_key_of_another_certificate(here, issue_here, tmp_path, start_cnode):
    folder = here.write_folder(tmp_path / "tls")
    replace(folder / "key.pem", issue_here().key.read_bytes(), 0o600)
    assert "key.pem: it is not the key of cert.pem" in no_start(start_cnode, "--tls", str(folder))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--tls-or-plain"], "--tls-or-plain: it takes --tls DIR"),
        (["--tls-min", "1.3"], "--tls-min 1.3: it takes --tls DIR"),
        (["--tls-names", "any"], "--tls-names any: it takes --tls DIR"),
        (["--tls-min", "1.1"], "--tls-min 1.1: give 1.2 or 1.3"),
        (["--tls-names", "some"], "--tls-names some: give host or any"),
        (["--tls", ""], "--tls : the folder is missing"),
        (["--allow", "cert:DNS:a/b=none"], "a pattern for DNS has no slash, no dot in brackets"),
        (["--allow", "cert:DNS:db[1.]=none"], "a pattern for DNS has no slash, no dot in brackets"),
        (["--allow", f"cert:DNS:{512 * 'a'}=none"], "and at most 511 bytes"),
        (["--allow", "cert:DNS:*=rw"], "--allow cert:DNS:*=rw: nodes show a certificate only with --tls"),
        (["--allow", "cert:IP:10.0.0.1=rw"], "behind cert: goes DNS:, URI: or email:, and a pattern"),
        (["--allow", "cert:DNS:=rw"], "the pattern is missing"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_options_that_make_no_sense(options, words, start_cnode):
    assert words in no_start(start_cnode, *options, status=USAGE)


def test_a_folder_that_is_not_there(start_cnode):
    words = "--tls /nowhere: /nowhere/cert.pem: No such file or directory"
    assert words in no_start(start_cnode, "--tls", "/nowhere")
