# SPDX-License-Identifier: Apache-2.0
"""An embedded C node speaks TLS where the Erlang node that runs it does, with its files."""

import os
import re
import signal
import stat
import subprocess
from pathlib import Path

import pytest

import etf
from certificates import Authority, replace
from cluster import wait_until

HASH = ("hash", 4, 8, 4)
LISTS = "{ssl_crl_hash_dir, {internal, [{dir, \"%s\"}]}}"

# Before erl: a mount of its own for the names of hosts.
WITH_HOSTS = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"']

# In place of the C node: tells how it was started, and ends with its standard input.
STAND_IN = """#!/bin/sh
for one; do echo "$one"; done >'{told}.new'
mv '{told}.new' '{told}'
echo '2026-01-01T00:00:00.000Z notice ready {node} port 1' >&2
exec cat >/dev/null
"""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates") / "authority")


@pytest.fixture(scope="module")
def identity(authority):
    return authority.issue("DNS:localhost", "DNS:ip6")


@pytest.fixture
def optfile(identity, tmp_path):
    def optfile(**terms):
        return identity.write_optfile(tmp_path / "ssl_dist.conf", **terms)

    return optfile


class Embedding:
    """An Erlang node over TLS, whose application ebpf_cnode is to run a C node."""

    def __init__(self, start_beam, cluster, ebin, folder, proto="inet_tls", flags=()):
        host = "ip6" if proto.startswith("inet6") else "localhost"
        name = f"{cluster.name('over_tls')}@{host}"
        self.node = f"{cluster.name('cnode_over_tls')}@{host}"
        hosts = folder / "hosts"
        hosts.write_text("127.0.0.1 localhost\n::1 ip6\n")
        self.folder = folder / "cache" / "ebpf_cnode" / "tls" / name

        def start():
            self.beam = start_beam(
                *("-proto_dist", proto, *map(str, flags)),
                cluster=cluster,
                sname=name,
                wrapper=[*WITH_HOSTS, hosts],
                paths=[ebin],
                env={"XDG_CACHE_HOME": str(folder / "cache")},
            )
            self.beam.eval("ok = application:load(ebpf_cnode)")
            self.set("cnode", "embedded")
            self.set("node", self.node)

        self.start_beam = start
        start()

    def set(self, name, value):
        self.beam.apply("application", "set_env", "ebpf_cnode", name, value)

    def set_args(self, *args):
        self.set("args", [list(arg.encode()) for arg in args])

    def start(self, program):
        self.set("program", list(str(program).encode()))
        return self.beam.eval("application:ensure_all_started(ebpf_cnode)", timeout=30)

    def program_pids(self):
        """Those of the programs that the node runs."""
        pids = "[erlang:port_info(P, os_pid) || P <- erlang:ports()]"
        return self.beam.eval(f"[Pid || {{os_pid, Pid}} <- {pids}, is_integer(Pid)]")

    def stop(self):
        return self.beam.eval("application:stop(ebpf_cnode)")

    def refusal(self, program):
        """Why it does not start, in words."""
        answer = self.start(program)
        text = 'lists:flatten(io_lib:format("~tp", [Fault])) ++ " " ++ Text'
        match = "{error, {ebpf_cnode, {{cnode, Fault, Text}, _}}} = E"
        return bytes(self.beam.eval(f"{match}, {text}", E=answer)).decode()


@pytest.fixture
def embedding(start_beam, cluster, ebin, tmp_path, optfile):
    def embedding(proto="inet_tls", flags=None, **terms):
        if flags is None:
            flags = ["-ssl_dist_optfile", optfile(**terms)]
        return Embedding(start_beam, cluster, ebin, tmp_path, proto, flags)

    return embedding


class StandIn:
    def __init__(self, folder):
        self.path = folder / "stand_in"
        self.told = folder / "told"

    def be(self, node):
        self.path.write_text(STAND_IN.format(told=self.told, node=node))
        self.path.chmod(0o755)
        return self.path

    def args(self):
        """Those that concern addresses and TLS, by what the facade gave it."""
        args = self.told.read_text().splitlines()
        assert args[:2] == ["--sname", args[1]] and args[-2:] == ["--log-format", "text"]
        return args[args.index("--ticktime") + 2 : -2]


@pytest.fixture
def stand_in(tmp_path):
    return StandIn(tmp_path)


def args_of(embedding, stand_in):
    assert embedding.start(stand_in.be(embedding.node)) == ("ok", ["ebpf_cnode"])
    return stand_in.args()


def links(folder):
    return {one.name: os.readlink(one) for one in folder.iterdir()}


def paths(identity):
    files = identity.certificate, identity.key, identity.trusted
    return dict(zip(("cert.pem", "key.pem", "ca.pem"), map(str, files)))


# --- the C node


WAYS = {
    "by IPv4": ("inet_tls", {}),
    "by IPv6": ("inet6_tls", {}),
    "by 1.3 alone": ("inet_tls", dict(versions="['tlsv1.3']")),
}


@pytest.mark.parametrize("proto, terms", WAYS.values(), ids=WAYS)
def test_an_embedded_c_node_answers_over_tls(proto, terms, embedding, program):
    embedding = embedding(proto, **terms)
    assert embedding.start(program) == ("ok", ["ebpf_cnode"])
    map = embedding.beam.apply("ebpf_maps", "new", *HASH)
    assert embedding.beam.apply("ebpf_maps", "put", 80, 7, map) == map
    assert embedding.beam.apply("ebpf_maps", "get", 80, map) == (7).to_bytes(8, "little")
    assert embedding.beam.eval("node(element(2, M))", M=map) == embedding.node
    address = f"{{ok, Address}} = net_kernel:node_info('{embedding.node}', address), Address"
    _, (ip, _), _, spoken, _ = embedding.beam.eval(address)
    assert spoken == "tls" and len(ip) == (8 if proto == "inet6_tls" else 4)


def test_it_reads_the_lists_of_what_is_revoked(
    embedding, program, authority, start_beam, cluster, tmp_path
):
    revoked = authority.issue("DNS:localhost")
    authority.revoke(revoked)
    hashed = tmp_path / "lists"
    hashed.mkdir()
    listed = subprocess.run(
        ["openssl", "crl", "-hash", "-noout", "-in", authority.crl()],
        capture_output=True,
        text=True,
        check=True,
    )
    (hashed / f"{listed.stdout.strip()}.r0").write_bytes(authority.crl().read_bytes())
    embedding = embedding(crl_check="true", crl_cache=LISTS % hashed)
    assert embedding.start(program) == ("ok", ["ebpf_cnode"])
    assert embedding.beam.apply("ebpf_maps", "new", *HASH)[0] == "ebpf_map"
    for one, connected in (authority.issue("DNS:localhost"), "true"), (revoked, "false"):
        file = one.write_optfile(tmp_path / "other.conf")
        flags = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", str(file)]
        other = start_beam(*flags, cluster=cluster, sname=f"{cluster.name('other')}@localhost")
        assert other.apply("net_kernel", "connect_node", etf.Atom(embedding.node)) == connected


def test_it_takes_new_files_of_the_node(embedding, program, authority, cluster, tmp_path):
    first, second = (authority.issue("DNS:localhost", name=name) for name in ("first", "second"))
    embedding = embedding(flags=["-ssl_dist_optfile", first.write_optfile(tmp_path / "first")])
    assert embedding.start(program) == ("ok", ["ebpf_cnode"])
    port = cluster.epmd.port_of(embedding.node.split("@")[0])
    assert "CN = first" in certificate_at(port)
    replace(first.certificate, second.certificate.read_bytes(), 0o644)
    replace(first.key, second.key.read_bytes(), 0o600)
    [pid] = [pid for pid in embedding.program_pids() if comm(pid) == "ebpf_cnode"]
    os.kill(pid, signal.SIGHUP)
    wait_until(lambda: "CN = second" in certificate_at(port))


def certificate_at(port):
    """What openssl says of it; it has none itself, and gets no further."""
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return done.stdout


def comm(pid):
    return Path(f"/proc/{pid}/comm").read_text().strip()


# --- what it is given


def test_the_c_node_is_given_the_files_of_the_node(embedding, stand_in, identity):
    embedding = embedding()
    assert args_of(embedding, stand_in) == ["--tls", str(embedding.folder)]
    assert links(embedding.folder) == paths(identity)
    assert stat.S_IMODE(embedding.folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(embedding.folder.parent.stat().st_mode) == 0o700


def test_it_is_given_those_of_the_command_line(embedding, stand_in, identity):
    flags = []
    for end in "server", "client":
        flags += ["-ssl_dist_opt", f"{end}_certfile", identity.certificate]
        flags += ["-ssl_dist_opt", f"{end}_keyfile", identity.key]
        flags += [f"{end}_cacertfile", identity.trusted, f"{end}_verify", "verify_peer"]
    embedding = embedding(flags=flags)
    assert args_of(embedding, stand_in) == ["--tls", str(embedding.folder)]
    assert links(embedding.folder) == paths(identity)


def test_a_plain_node_gives_it_nothing(embedding, stand_in, optfile):
    embedding = embedding("inet_tcp", ["-ssl_dist_optfile", optfile()])
    assert args_of(embedding, stand_in) == []
    assert not embedding.folder.parent.exists()


VERSIONS = {
    "['tlsv1.3']": ["--tls-min", "1.3"],
    "['tlsv1.3', 'tlsv1.2']": [],
    "['tlsv1.2']": [],
}


@pytest.mark.parametrize("versions, options", VERSIONS.items(), ids=VERSIONS)
def test_it_speaks_1_3_alone_where_the_node_does(versions, options, embedding, stand_in):
    embedding = embedding(versions=versions)
    assert args_of(embedding, stand_in) == ["--tls", str(embedding.folder), *options]


def test_what_the_server_lacks_is_that_of_the_client(embedding, stand_in, identity, tmp_path):
    file = tmp_path / "client.conf"
    certificate = f'{{certfile, "{identity.certificate}"}}, {{keyfile, "{identity.key}"}}'
    other = f'{{cacertfile, "{identity.trusted}"}}, {{versions, [\'tlsv1.3\']}}'
    file.write_text(f"[{{server, []}}, {{client, [{certificate}, {other}]}}].\n")
    embedding = embedding(flags=["-ssl_dist_optfile", file])
    wanted = ["--tls", str(embedding.folder), "--tls-min", "1.3"]
    assert args_of(embedding, stand_in) == wanted
    assert links(embedding.folder) == paths(identity)


def test_a_section_that_the_file_lacks_is_on_the_command_line(
    embedding, stand_in, identity, tmp_path
):
    file = tmp_path / "client.conf"
    options = f'{{certfile, "{identity.certificate}"}}, {{keyfile, "/nonexistent"}}'
    file.write_text(f"[{{client, [{options}]}}].\n")
    flags = ["-ssl_dist_optfile", file, "-ssl_dist_opt", "server_certfile", identity.certificate]
    flags += ["server_keyfile", identity.key, "server_cacertfile", identity.trusted]
    embedding = embedding(flags=flags)
    args_of(embedding, stand_in)
    assert links(embedding.folder) == paths(identity)


def test_the_key_may_be_in_the_file_of_the_certificate(embedding, stand_in, identity, tmp_path):
    both = tmp_path / "both.pem"
    both.write_bytes(identity.certificate.read_bytes() + identity.key.read_bytes())
    both.chmod(0o600)
    file = tmp_path / "both.conf"
    options = f'{{certfile, <<"{both}">>}}, {{cacertfile, "{identity.trusted}"}}'
    file.write_text(f"[{{server, [{options}]}}, {{client, [{options}]}}].\n")
    embedding = embedding(flags=["-ssl_dist_optfile", file])
    args_of(embedding, stand_in)
    assert links(embedding.folder) == {**paths(identity), "cert.pem": str(both), "key.pem": str(both)}


def test_a_relative_path_is_that_of_the_node(embedding, stand_in, identity, tmp_path):
    file = tmp_path / "relative.conf"
    names = dict(certfile=identity.certificate, keyfile=identity.key, cacertfile=identity.trusted)
    pairs = (f'{{{name}, "{os.path.relpath(path)}"}}' for name, path in names.items())
    options = ", ".join(pairs)
    file.write_text(f"[{{server, [{options}]}}, {{client, [{options}]}}].\n")
    embedding = embedding(flags=["-ssl_dist_optfile", file])
    args_of(embedding, stand_in)
    wanted = {name: os.path.realpath(path) for name, path in paths(identity).items()}
    assert {name: os.path.realpath(path) for name, path in links(embedding.folder).items()} == wanted
    assert all(path.startswith("/") for path in links(embedding.folder).values())


def test_it_is_given_the_lists_of_what_is_revoked(embedding, stand_in, authority, tmp_path):
    hashed = tmp_path / "lists"
    hashed.mkdir()
    (hashed / "0a0b0c0d.r0").write_bytes(authority.crl().read_bytes())
    (hashed / "0a0b0c0d.r1").write_text("another\n")
    (hashed / "README").write_text("none\n")
    embedding = embedding(crl_check="peer", crl_cache=LISTS % hashed)
    args_of(embedding, stand_in)
    wanted = authority.crl().read_text().splitlines()[0]
    given = (embedding.folder / "crl.pem").read_text()
    assert given.startswith(wanted) and given.endswith("another\n")


def test_over_ipv6_it_listens_there(embedding, stand_in):
    embedding = embedding("inet6_tls")
    wanted = ["--tls", str(embedding.folder), "--listen", "::"]
    assert args_of(embedding, stand_in) == wanted


def test_over_plain_ipv6_it_does_too(embedding, stand_in):
    assert args_of(embedding("inet6_tcp"), stand_in) == ["--listen", "::"]


def test_its_own_options_win(embedding, stand_in):
    embedding = embedding("inet6_tls", certfile='"/nonexistent"', versions="['tlsv1.3']")
    own = ["--tls", "/etc/own", "--listen", "::1"]
    embedding.set_args(*own)
    assert args_of(embedding, stand_in) == own
    assert not embedding.folder.exists()


def test_its_own_options_win_one_by_one(embedding, stand_in):
    embedding = embedding("inet6_tls", versions="['tlsv1.3']")
    embedding.set_args("--tls-min=1.2", "--listen=::1")
    wanted = ["--tls", str(embedding.folder), "--tls-min=1.2", "--listen=::1"]
    assert args_of(embedding, stand_in) == wanted


# --- the folder


def test_the_folder_goes_with_the_application(embedding, stand_in):
    embedding = embedding()
    args_of(embedding, stand_in)
    assert embedding.folder.exists()
    assert embedding.stop() == "ok"
    assert not embedding.folder.exists()


def test_what_a_killed_node_left_is_replaced(embedding, stand_in, identity):
    embedding = embedding()
    args_of(embedding, stand_in)
    embedding.beam.kill()
    (embedding.folder / "crl.pem").write_text("old\n")
    embedding.start_beam()
    args_of(embedding, stand_in)
    assert links(embedding.folder) == paths(identity)
    embedding.stop()
    assert list(embedding.folder.parent.iterdir()) == []


def test_one_that_watches_another_c_node_has_none(
    embedding, stand_in, start_beam, cluster, optfile
):
    """It had one while it tried to run its own."""
    embedding = embedding()
    script = stand_in.be(embedding.node)
    taken = stand_in.told.with_name("taken")
    taken_later = f"until [ -e '{taken}' ]; do sleep 0.01; done; exit 7\n"
    script.write_text(script.read_text().replace("echo '2026", f"{taken_later}echo '2026"))
    embedding.set("program", list(str(script).encode()))
    embedding.beam.start_eval("application:ensure_all_started(ebpf_cnode)")
    wait_until(stand_in.told.exists)
    assert links(embedding.folder)
    flags = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", str(optfile())]
    start_beam(*flags, cluster=cluster, sname=embedding.node)
    taken.touch()
    assert embedding.beam.finish(40) == ("ok", ["ebpf_cnode"])
    assert not embedding.folder.exists()


def test_a_program_that_does_not_start_leaves_none(embedding, tmp_path):
    embedding = embedding()
    assert "no_program" in embedding.refusal(tmp_path / "nonexistent")
    assert list(embedding.folder.parent.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_told(embedding, stand_in):
    embedding = embedding()
    cache = embedding.folder.parents[2]
    cache.write_text("a file\n")
    told = embedding.refusal(stand_in.be(embedding.node))
    assert f"{embedding.folder} cannot be made" in told and "XDG_CACHE_HOME" in told


# --- what cannot be passed on

REFUSED = {
    "a missing file": (dict(certfile='"/nonexistent"'), "certfile of the server.*no such file"),
    "no path": (dict(cacertfile="42"), "cacertfile of the server in .* is no path: 42"),
    "a certificate itself": (dict(cert="<<1>>"), "option cert of the server .*PEM"),
    "a key itself": (dict(key="{'ECPrivateKey', <<1>>}"), "option key of the server .*PEM"),
    "several certificates": (dict(certs_keys="[#{}]"), "option certs_keys of the server .*PEM"),
    "authorities themselves": (dict(cacerts="[<<1>>]"), "option cacerts of the server .*PEM"),
    "a password": (dict(password='"secret"'), "a password .*openssl pkey -in KEY -out FILE"),
    "old versions": (dict(versions="['tlsv1.1']"), r"the versions in .* are \['tlsv1.1'\]"),
    "lists by HTTP": (dict(crl_check="true"), "option crl_check .*ssl_crl_hash_dir"),
    "no lists": (
        dict(crl_check="true", crl_cache=LISTS % "/nonexistent"),
        'no revocation list in "/nonexistent"',
    ),
}


@pytest.mark.parametrize("terms, words", REFUSED.values(), ids=REFUSED)
def test_what_it_cannot_be_given_ends_the_start(terms, words, embedding, stand_in, optfile):
    embedding = embedding(**terms)
    told = embedding.refusal(stand_in.be(embedding.node))
    assert told.startswith("tls this node speaks TLS, and so has the C node to: ")
    assert re.search(words, told) and "/ssl_dist.conf" in told
    assert told.endswith('Or give the C node a folder of its own: "--tls", "DIR" in the variable args')
    assert "secret" not in embedding.beam.printed()
    assert f"the C node does not run: {told.removeprefix('tls ')}" in embedding.beam.printed()
    assert not stand_in.told.exists() and not embedding.folder.exists()


MISSING = {
    "all": ("[]", "[]", "neither the server nor the client in .* has the option certfile"),
    "a certificate of the client": (
        '[{certfile, "/dev/null"}, {cacertfile, "/dev/null"}]',
        "[]",
        "the client in .* has none: give it the same certfile, keyfile and cacertfile",
    ),
    "authorities": (
        '[{certfile, "/dev/null"}]',
        '[{certfile, "/dev/null"}]',
        "neither the server nor the client in .* has the option cacertfile",
    ),
}


@pytest.mark.parametrize("server, client, words", MISSING.values(), ids=MISSING)
def test_what_is_missing_ends_the_start(server, client, words, embedding, stand_in, tmp_path):
    file = tmp_path / "ssl_dist.conf"
    file.write_text(f"[{{server, {server}}}, {{client, {client}}}].\n")
    embedding = embedding(flags=["-ssl_dist_optfile", file])
    assert re.search(words, embedding.refusal(stand_in.be(embedding.node)))


def test_a_node_without_options_is_told_of_them(embedding, stand_in):
    embedding = embedding(flags=[])
    told = embedding.refusal(stand_in.be(embedding.node))
    assert "nor the client in -ssl_dist_opt has the option certfile" in told
