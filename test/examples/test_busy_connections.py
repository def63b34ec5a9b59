# SPDX-License-Identifier: Apache-2.0
"""The example of busy connections, between two hosts and with real traffic."""

import re
import subprocess
from contextlib import suppress
from ipaddress import ip_address

import pytest

from bpf_objects import compiled
from cluster import wait_until
from etf import Atom
from host import CGROUPS
from two_hosts import TwoHosts, run

LOADS = ["--programs", "cgroup", "--allow", "*=load"]
SENT = 1_000_000
ENTER = f'echo 0 >"{CGROUPS}/cgroup.procs" && exec "$0" "$@"'

LISTEN = """
    Self = self(),
    spawn(fun() ->
        register(download, self()),
        {ok, Listener} = gen_tcp:listen(0, Options ++ [binary, {active, false}]),
        {ok, Port} = inet:port(Listener),
        Self ! {port, Port},
        {ok, Socket} = gen_tcp:accept(Listener),
        {ok, _} = gen_tcp:recv(Socket, Size),
        Self ! received,
        receive stop -> ok end
    end),
    receive {port, Port} -> Port end
"""
SEND = """
    spawn(fun() ->
        register(upload, self()),
        {ok, Socket} = gen_tcp:connect(Address, Port, Options ++ [binary]),
        ok = gen_tcp:send(Socket, binary:copy(<<1>>, Size)),
        receive stop -> ok end
    end),
    ok
"""
TOP = """
    {Top, Results} = busy_connections:top(Server, 10),
    Owner = fun(none) -> none; ({Node, _, Process}) -> {Node, Process} end,
    {[{Bytes, Local, Remote, Owner(O)} || {Bytes, {Local, Remote}, O} <- Top], Results}
"""


@pytest.fixture(scope="module")
def built(srcdir, ebin, tmp_path_factory):
    """(the folder of the module, the object file)"""
    folder = tmp_path_factory.mktemp("examples")
    examples = srcdir / "erlang" / "examples"
    source = examples / "busy_connections.erl"
    subprocess.run(["erlc", "-pa", ebin, "-o", folder, source], check=True)
    return folder, compiled(examples / "busy_connections.bpf.c", folder)


@pytest.fixture
def hosts(tmp_path):
    """Two hosts, each of which sees a cgroup of its own as the root."""
    two = TwoHosts(tmp_path)
    cgroups = []
    for host in two.hosts:
        cgroups.append(CGROUPS / f"ebpf_cnode_{host.process.pid}")
        cgroups[-1].mkdir()
        run(*host.wrapper, "mount", "--bind", cgroups[-1], CGROUPS)
        host.wrapper += ["sh", "-c", ENTER]
    yield two.hosts
    two.close()
    for cgroup in cgroups:
        (cgroup / "cgroup.kill").write_text("1")  # an epmd that the C node has started
        wait_until(lambda cgroup=cgroup: is_removed(cgroup), 10, "all of a host have ended")


def is_removed(cgroup):
    with suppress(OSError):
        cgroup.rmdir()
    return not cgroup.exists()


@pytest.fixture
def web(hosts, lone_cluster, start_cnode, start_beam, ebin, built):
    """An Erlang node on each host, beside a C node."""
    started = []
    for host in hosts:
        node = start_cnode(*LOADS, cluster=lone_cluster, naming=[], wrapper=host.wrapper)
        assert node.name == f"ebpf@{host.name}"
        options = {"paths": [ebin, built[0]], "wrapper": host.wrapper}
        beam = start_beam(cluster=lone_cluster, sname="web", **options)
        started.append((node, beam))
    nodes, beams = zip(*started)
    assert beams[0].apply("net_adm", "ping", Atom("web@web2")) == "pong"
    return nodes, beams


def start(beam, built, *nodes):
    beam.eval(
        "process_flag(trap_exit, true), {ok, Server} ="
        " busy_connections:start_link(File, Cgroup, [{nodes, Nodes}])",
        keep=True,
        File=bytes(built[1]),
        Cgroup=bytes(CGROUPS),
        Nodes=[Atom(node.name) for node in nodes],
    )


def transfer(to, sender, address=(10, 0, 0, 1), options=()):
    """Returns the port there."""
    given = {"Options": list(options), "Size": SENT}
    port = to.eval(LISTEN, **given)
    sender.eval(SEND, Address=address, Port=port, **given)
    to.eval("receive received -> ok end")
    return port


def end(words_and_port):
    words, port = words_and_port
    address = ip_address(b"".join(word.to_bytes(2, "big") for word in words))
    return str(address.ipv4_mapped or address), port


@pytest.mark.parametrize("backend", ["inet", "socket"])
def test_the_busiest_is_told_of_both_ends(web, built, backend):
    nodes, beams = web
    start(beams[0], built, *nodes)
    port = transfer(*beams, options=[(Atom("inet_backend"), Atom(backend))])
    top, results = beams[0].eval(TOP)
    assert results == {Atom(node.name): "ok" for node in nodes}
    assert [bytes for bytes, *_ in top] == sorted((bytes for bytes, *_ in top), reverse=True)
    ends = {end(local)[0]: (end(remote), owner) for _, local, remote, owner in top[:2]}
    assert ends["10.0.0.2"][0] == ("10.0.0.1", port)
    assert ends["10.0.0.1"][0][0] == "10.0.0.2"
    assert all(SENT < bytes < 1.3 * SENT for bytes, *_ in top[:2])
    owners = {owner for _, owner in ends.values()}
    if backend == "inet":
        assert owners == {("web@web1", "download"), ("web@web2", "upload")}
    else:  # a process of OTP's has the socket
        assert {node for node, _ in owners} == {"web@web1", "web@web2"}
    # and that of the two nodes, which asking has used
    between = {("web@web1", "web@web2"), ("web@web2", "web@web1")}
    wait_until(lambda: between <= {owner for *_, owner in beams[0].eval(TOP)[0]})


def test_of_ipv6_within_a_host_both_ends_are_told(web, built):
    nodes, (beam, _) = web
    start(beam, built, *nodes)
    options = [(Atom("inet_backend"), Atom("inet")), Atom("inet6")]
    port = transfer(beam, beam, (0, 0, 0, 0, 0, 0, 0, 1), options)
    top, _ = beam.eval(TOP)
    [one, other] = top[:2]
    assert {one[3], other[3]} == {("web@web1", "download"), ("web@web1", "upload")}
    assert end(one[1]) == end(other[2]) and end(one[2]) == end(other[1])
    assert ("::1", port) in (end(one[1]), end(one[2]))
    # also of packets of more than 64 KiB
    assert all(SENT < bytes < 1.3 * SENT for bytes, *_ in top[:2])


def test_it_is_printed_a_line_each_with_what_failed(web, built):
    nodes, beams = web
    start(beams[0], built, *nodes)
    port = transfer(*beams)
    nodes[1].stop()
    wait_until(lambda: beams[0].eval("not lists:member('ebpf@web2', nodes(connected))"))
    beams[0].eval("busy_connections:print(Server)")
    told = beams[0].printed()
    assert re.search(rf"^ +\d{{7}}  web@web1  #Port<.*> +download +10\.0\.0\.1:{port} - 10\.0\.0\.2:\d+ *$",
                     told, re.MULTILINE)
    assert re.search(r"^ebpf@web2: .*the same cookie", told, re.MULTILINE)


def test_nothing_is_left_when_it_ends(web, built):
    nodes, beams = web
    start(beams[0], built, *nodes)
    text = "[{M, H} || N <- Nodes, M <- [ebpf_maps, ebpf_programs], H <- erpc:call(N, M, handles, [])]"
    names = [Atom(node.name) for node in nodes]
    count = f"length({text})"
    assert beams[0].eval(count, Nodes=names) == 2 * 5  # a map, two programs, two links
    beams[0].eval("exit(Server, kill)")
    wait_until(lambda: beams[0].eval(count, Nodes=names) == 0)


def test_it_does_not_start_where_no_host_loads(web, built):
    _, beams = web
    answer = beams[0].apply(
        "busy_connections", "start_link", bytes(built[1]), b"/etc", [(Atom("nodes"), [Atom("ebpf@web1")])]
    )
    assert answer == ("error", {Atom("ebpf@web1"): ("error", "eacces")})
