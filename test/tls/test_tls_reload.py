# SPDX-License-Identifier: Apache-2.0
"""New certificates of a C node that runs; and nodes whose own end, or are revoked."""

import hashlib
import signal
import ssl
import time
from datetime import timedelta

import pytest

import tls
from certificates import replace
from dist import Closed, Refused
from tls_fixtures import use

pytestmark = pytest.mark.plain  # each test says who speaks TLS

TAKEN = "new files are used for new connections"
REFUSED = "new files are refused, those of before go on: "
LOOKED = 25  # s: it looks every 5 s, and takes what has stayed for as long
FOREVER = """
    Get = fun Get(N) ->
        <<1:64>> = erpc:call(Node, ebpf_maps, get, [<<1:32>>, H]),
        receive {stop, Who} -> Who ! {made, N} after 0 -> Get(N + 1) end
    end,
    [spawn_link(fun() -> Get(0) end) || _ <- lists:seq(1, 4)]
"""
STOPPED = """
    [begin P ! {stop, self()}, receive {made, N} -> N after 5000 -> 0 end end || P <- Ps]
"""


def reload(node, line):
    start = node.mark()
    node.process.send_signal(signal.SIGHUP)
    return node.wait_log(line, start=start)


def digest(certificate):
    """Of the first in a file."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate.read_text().partition("\n-----END")[0] + "\n-----END CERTIFICATE-----\n")).hexdigest()


@pytest.fixture
def shown(connect, here):
    """The digest of the certificate that a C node shows to a new connection."""

    def shown(node):
        peer = connect(node, identity=here)
        data = hashlib.sha256(peer.socket.getpeercert(binary_form=True)).hexdigest()
        peer.close()
        return data

    return shown


@pytest.fixture
def folder(here, tmp_path):
    return here.write_folder(tmp_path / "tls")


def test_new_files_by_a_signal(folder, issue_here, here, start_cnode, secure_beam, shown):
    node = start_cnode("--tls", str(folder))
    beam = secure_beam()
    handle = use(beam, node)
    assert shown(node) == digest(here.certificate)
    new = issue_here()
    new.write_folder(folder)
    reload(node, TAKEN)
    assert shown(node) == digest(new.certificate)
    assert beam.erpc(node.name, "size", handle) == 1
    assert not node.find_log(f"disconnected {beam.name}")


@pytest.mark.slow
def test_new_files_by_themselves(folder, issue_here, start_cnode, shown):
    node = start_cnode("--tls", str(folder))
    new = issue_here()
    replace(folder / "cert.pem", new.certificate.read_bytes(), 0o644)
    time.sleep(6)  # it has seen one of two
    replace(folder / "key.pem", new.key.read_bytes(), 0o600)
    node.wait_log(TAKEN, LOOKED)
    assert shown(node) == digest(new.certificate)
    assert len(node.find_log(TAKEN)) == 1


def test_links_to_files_elsewhere(issue_here, tmp_path, start_cnode, shown):
    """As certbot makes them: live/NAME/cert.pem leads to archive/NAME/cert1.pem."""
    live, archive = tmp_path / "live" / "a", tmp_path / "archive" / "a"
    for one in live, archive:
        one.mkdir(parents=True)

    def issue(number):
        identity = issue_here()
        identity.write_folder(tmp_path / "new")
        for name in "cert", "key", "ca":
            (tmp_path / "new" / f"{name}.pem").rename(archive / f"{name}{number}.pem")
            link = live / f"{name}.pem"
            link.unlink(missing_ok=True)
            link.symlink_to(f"../../archive/a/{name}{number}.pem")
        return digest(identity.certificate)

    first = issue(1)
    node = start_cnode("--tls", str(live))
    assert shown(node) == first
    second = issue(2)
    reload(node, TAKEN)
    assert shown(node) == second


def test_a_bad_set_is_refused_and_the_old_one_goes_on(
    folder, issue_here, here, start_cnode, secure_beam, shown
):
    node = start_cnode("--tls", str(folder))
    new = issue_here()
    replace(folder / "key.pem", new.key.read_bytes(), 0o600)
    reload(node, REFUSED + "key.pem: it is not the key of cert.pem")
    (folder / "cert.pem").unlink()
    reload(node, REFUSED + ".*cert.pem: No such file or directory")
    issue_here(ends=-timedelta(days=1), starts=-timedelta(days=2)).write_folder(folder)
    reload(node, REFUSED + "cert.pem: the certificate has expired")
    replace(folder / "ca.pem", b"", 0o644)
    here.write_folder(folder)
    (folder / "key.pem").chmod(0o644)
    reload(node, REFUSED + ".*key.pem: others may read or change it")
    assert shown(node) == digest(here.certificate)
    use(secure_beam(), node)
    (folder / "key.pem").chmod(0o600)
    reload(node, TAKEN)


def test_another_authority_is_believed_from_then_on(
    folder, here, issue_here, stranger, authority, start_cnode, connect, tmp_path
):
    node = start_cnode("--tls", str(folder))
    other = issue_here(by=stranger)
    old = connect(node, identity=here)
    both = tmp_path / "both.pem"
    both.write_bytes(authority.certificate.read_bytes() + stranger.certificate.read_bytes())
    here.write_folder(folder, trusted=both)
    reload(node, TAKEN)
    other.trusted = authority.certificate
    assert connect(node, identity=other).serves()
    assert old.serves()


def test_a_reload_under_load_loses_no_call(folder, issue_here, start_cnode, secure_beam):
    node = start_cnode("--tls", str(folder))
    beam = secure_beam()
    handle = use(beam, node)
    callers = beam.eval(FOREVER, Node=node.name, H=handle)
    for _ in range(20):
        issue_here().write_folder(folder)
        reload(node, TAKEN)
        use(beam, node)
    made = beam.eval(STOPPED, Ps=callers)
    assert all(number > 20 for number in made), made
    assert not node.find_log("disconnected")


# --- Certificates that end -------------------------------------------------------------------


def test_a_connection_ends_with_its_certificate(secure_cnode, connect, issue_here, here):
    node = secure_cnode()
    stays = connect(node, identity=here)
    peer = connect(node, identity=issue_here(ends=timedelta(seconds=3)))
    assert peer.serves()
    node.wait_log(f"disconnected {peer.name}: its certificate has expired", 20)
    with pytest.raises(Closed):
        peer.receive_packet()
    assert stays.serves()


def test_a_connection_ends_when_its_certificate_is_revoked(
    folder, authority, issue_here, here, start_cnode, connect
):
    node = start_cnode("--tls", str(folder))
    stays, peer_identity = connect(node, identity=here), issue_here()
    peer = connect(node, identity=peer_identity)
    authority.revoke(peer_identity)
    here.write_folder(folder, crl=authority.crl())
    start = node.mark()
    node.process.send_signal(signal.SIGHUP)
    node.wait_log(TAKEN, start=start)
    node.wait_log(f"disconnected {peer.name}: its certificate has been revoked", start=start)
    assert stays.serves()


def test_a_handshake_over_a_reload_is_no_way_in(
    folder, authority, issue_here, here, start_cnode, connect
):
    """It began with the lists of before."""
    node, identity = start_cnode("--tls", str(folder)), issue_here()
    peer = connect(node, identity=identity, handshake=False)
    peer.socket.do_handshake()
    authority.revoke(identity)
    here.write_folder(folder, crl=authority.crl())
    reload(node, TAKEN)
    peer.handshake()
    node.wait_log(f"disconnected {peer.name}: its certificate has been revoked")


def test_a_list_that_is_gone_lets_nobody_in(
    folder, authority, issue_here, here, start_cnode, connect
):
    identity = issue_here()
    authority.revoke(identity)
    here.write_folder(folder, crl=authority.crl())
    node = start_cnode("--tls", str(folder))
    (folder / "crl.pem").unlink()
    reload(node, REFUSED + "crl.pem is gone, and without it nobody is revoked")
    with pytest.raises((Closed, Refused)):
        connect(node, identity=identity)


@pytest.mark.slow
def test_rights_that_are_mended_count_as_a_change(folder, issue_here, start_cnode, shown):
    node, new = start_cnode("--tls", str(folder)), issue_here()
    new.write_folder(folder)
    (folder / "key.pem").chmod(0o644)
    reload(node, REFUSED + ".*key.pem: others may read")
    (folder / "key.pem").chmod(0o600)
    node.wait_log(TAKEN, LOOKED)
    assert shown(node) == digest(new.certificate)


def test_it_warns_of_its_own_end(issue_here, tmp_path, start_cnode):
    folder = issue_here(ends=timedelta(seconds=8)).write_folder(tmp_path / "soon")
    node = start_cnode("--tls", str(folder))
    node.wait_log(r"warning --tls \S+: cert.pem ends at 20\S+Z; from then on no node can connect")
    node.wait_log(r"error --tls \S+: cert.pem has ended at 20\S+Z: no node can connect", 20)


def test_an_intermediate_authority_is_revoked(
    folder, authority, issue_here, here, start_cnode, connect
):
    node = start_cnode("--tls", str(folder))
    between = authority.intermediate("revoked")
    peer = connect(node, identity=issue_here(by=between))
    authority.openssl("ca", "-revoke", between.certificate)
    here.write_folder(folder, crl=between.crl())
    start = node.mark()
    node.process.send_signal(signal.SIGHUP)
    node.wait_log(f"disconnected {peer.name}: its certificate has been revoked", start=start)


# --- Who may read them -------------------------------------------------------------------------


@pytest.mark.sandbox
def test_a_user_that_cannot_read_them_again_is_told_of(folder, here, start_cnode, secure_beam):
    folder.parent.chmod(0o755)
    node = start_cnode("--tls", str(folder), "--user", "nobody")
    node.wait_log(r"warning --tls: .*/\w+.pem: Permission denied: from now on this process can read it no")
    use(secure_beam(), node)


@pytest.mark.sandbox
def test_a_folder_that_was_not_there_cannot_be_read(folder, tmp_path, here, start_cnode):
    """The sandbox lets it read where the files were when it started."""
    node = start_cnode("--tls", str(folder))
    here.write_folder(tmp_path / "elsewhere")
    (folder / "cert.pem").unlink()
    (folder / "cert.pem").symlink_to(tmp_path / "elsewhere" / "cert.pem")
    reload(node, REFUSED + ".*cert.pem: Permission denied; from its sandbox it reads only where")


def test_without_tls_the_signal_ends_it(start_cnode):
    node = start_cnode(identity=tls.PLAIN)
    node.process.send_signal(signal.SIGHUP)
    assert node.wait_exit() == 0
