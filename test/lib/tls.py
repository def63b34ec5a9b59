# SPDX-License-Identifier: Apache-2.0
"""Distribution over TLS, of one test or of the whole run.

With EBPF_DIST=tls in the environment each C node, Erlang node and raw peer speaks TLS,
but for one that a test gives an identity of its own, or PLAIN. All of a run believe
one authority, and each has a certificate for the host in its name.
"""

import atexit
import functools
import ipaddress
import itertools
import os
import shutil
import ssl
import string
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path

from certificates import Authority

EVERYWHERE = os.environ.get("EBPF_DIST") == "tls"
PLAIN = "plain"  # instead of an identity: this one speaks plain TCP
NUMBERS = itertools.count(1)
NOGROUP = 65534
ANY_NAMES = ["--tls-names", "any"] if EVERYWHERE else []  # for names no certificate has
LETTERS = set(string.ascii_letters + string.digits + "./-_:")  # of the name of a host


class World:
    """The authority of a run, and what it has issued."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.chmod(0o755)  # a C node may run as somebody else
        self.authority = Authority(self.folder / "authority")
        self.identities = {}
        self.lock = threading.Lock()

    def identity(self, *hosts):
        """The one for the nodes of these hosts."""
        with self.lock:
            if hosts not in self.identities:
                self.identities[hosts] = self.authority.issue(*sans(*hosts))
            return self.identities[hosts]


@functools.cache
def world():
    folder = tempfile.mkdtemp(prefix="ebpf_tls")
    atexit.register(shutil.rmtree, folder)
    return World(folder)


def sans(*hosts):
    """As names of hosts, and of addresses also as what they are."""
    return [san for host in hosts for san in (f"DNS:{host}", *address_of(host))]


def address_of(host):
    try:
        return [f"IP:{ipaddress.ip_address(host)}"]
    except ValueError:
        return []


def host_of(name, default):
    """Where a node of that name says that it is, if a certificate can say so."""
    host = name.partition("@")[2]
    return host if host and set(host) <= LETTERS else default


def identity_for(given, *hosts):
    """That which was given, or the run's for these hosts; None for plain TCP."""
    if given is None and EVERYWHERE:
        return world().identity(*dict.fromkeys(hosts))
    return None if given == PLAIN else given


# --- What each kind of node is given ---------------------------------------------------


def cnode_options(identity):
    """Its files may be read by a node that runs as nobody."""
    folder = identity.key.with_suffix(".tls")
    if not folder.exists():
        key = identity.write_folder(folder) / "key.pem"
        os.chown(key, -1, NOGROUP)
        key.chmod(0o640)
    return ["--tls", str(folder)]


def rules(options):
    """Those of a C node of a run over TLS, where a name of any host gives no load."""
    load = {"*=load": "cert:DNS:*=load"} if EVERYWHERE else {}
    return [load.get(option, option) for option in options]


def usual_answer(function, value):
    """As without TLS: what certificates prove is for tests that ask for it."""
    if EVERYWHERE and function == "handles":
        return [row[:3] for row in value]
    return value


def beam_options(identity, proto="inet_tls", **terms):
    """terms are further options of its ssl, as those of write_optfile."""
    path = identity.key.with_suffix(f".{next(NUMBERS)}.config")
    identity.write_optfile(path, **terms)
    return ["-proto_dist", proto, "-ssl_dist_optfile", str(path)]


def new_context(trusted, identity=None):
    """Of a client, that verifies the node but not its name, as it knows only a port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(trusted)
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    context.sslsocket_class = Socket
    return context


@functools.cache
def context_of(identity):
    return new_context(identity.trusted, identity)


def wrap(socket, identity):
    """For an identity, or by a context or what else wraps. The TLS handshake comes with what is sent or
    read first."""
    context = identity if hasattr(identity, "wrap_socket") else context_of(identity)
    return context.wrap_socket(socket, do_handshake_on_connect=False)


@contextmanager
def as_plain():
    """The errors of a plain socket."""
    try:
        yield
    except (ssl.SSLWantReadError, ssl.SSLWantWriteError) as e:
        raise BlockingIOError(*e.args) from None
    except ssl.SSLError as e:
        raise ConnectionResetError(*e.args) from None


class Socket(ssl.SSLSocket):
    """It ends and fails as a plain socket does."""

    def recv(self, *args):
        with as_plain():
            return super().recv(*args)

    def send(self, data, flags=0):
        if flags:  # those are for TCP
            return super(ssl.SSLSocket, self).send(data, flags)
        with as_plain():
            return super().send(data)

    def shutdown(self, how):
        """Without a word of TLS; what comes can still be read."""
        super(ssl.SSLSocket, self).shutdown(how)
