# SPDX-License-Identifier: Apache-2.0
"""The C node as a program: options, start, name, signals and exit status."""

import os
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

import dist
from cluster import PATIENCE, free_port, wait_until
from counting import Trace
from processes import processes

pytestmark = pytest.mark.single

OPTIONS = """
    --sname --name --cookie-file --listen --port --max-connections --max-message
    --max-maps --grace --ticktime --user --no-open-by-id --no-sandbox --log-level
    --log-format --functions --version --help
    --max-handshakes --max-waiting --max-maps-per-node --max-map-memory
    --max-memory
    --allow --read-only --pin-root""".split()

FUNCTIONS = """
    ebpf_maps:close/1
    ebpf_maps:fd/1
    ebpf_maps:get/2
    ebpf_maps:get/3
    ebpf_maps:iterator/1
    ebpf_maps:new/4
    ebpf_maps:new/5
    ebpf_maps:next/1
    ebpf_maps:put/3
    ebpf_maps:remove/2
    ebpf_maps:take/2
    ebpf_maps:update/3""".split()


@pytest.fixture
def run(program, cluster):
    """Runs the program to its end."""

    def run(*args, **options):
        options.setdefault("env", cluster.env)
        return subprocess.run(
            [program, *map(str, args)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=20,
            **options,
        )

    return run


def status_and_line(node):
    """How a start that failed has ended, and the line that says so."""
    status = node.wait_exit()
    lines = [line for line in node.lines if " notice waiting for " not in line]
    assert len(lines) == 1, node.log
    return status, lines[0]


# --- what it prints and goes


def test_help_names_every_option(run):
    done = run("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert set(OPTIONS) <= set(re.findall(r"--[a-z-]+", done.stdout))


def test_version_is_that_of_the_package(run, srcdir):
    done = run("--version")
    assert (done.returncode, done.stderr) == (0, "")
    configure = (srcdir / "configure.ac").read_text()
    version = re.search(r"AC_INIT\(\[\w+\], \[([0-9.]+)\]", configure)[1]
    assert done.stdout.strip() == f"ebpf_cnode {version}"


@pytest.mark.parametrize("option", ["--help", "--version", "--functions"])
def test_what_finds_no_room_is_told_and_no_fault_of_the_command_line(option, program):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [program, option], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert done.returncode == 1
    assert "error standard output: No space left on device" in done.stderr


def test_functions_are_printed_one_a_line(run):
    done = run("--functions")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert all(re.fullmatch(r"\w+:\w+/\d+", line) for line in lines)
    assert len(set(lines)) == len(lines)
    assert set(FUNCTIONS) <= set(lines)


@pytest.mark.parametrize(
    "args",
    [
        ["--nope"],
        ["--port"],
        ["--port", "x"],
        ["--port", "12x"],
        ["--port", "-1"],
        ["--port", "65536"],
        ["--port", "99999999999999999999"],
        ["--port", ""],
        ["--log-level", "loud"],
        ["--max-message", "many"],
        ["--max-maps", "-5"],
        ["--max-connections", "1.5"],
        ["--max-handshakes", "0"],
        ["--max-waiting", "1000"],
        ["--max-maps-per-node", "0"],
        ["--grace", "soon"],
        ["--ticktime", "0x"],
        ["--listen", "nowhere at all"],
        ["--name", "no_host"],
        ["--name", "@host"],
        ["--sname", ""],
        ["--sname", "a b"],
        ["--sname", "a@b@c"],
        ["--sname", "a" * 300],
        ["--cookie-file", ""],
        ["--pin-root", ""],
        ["--file-root", ""],
        ["--user", ""],
        ["--allow", ""],
        ["argument"],
    ],
    ids=str,
)
def test_a_bad_option_is_told_with_status_2(args, run):
    done = run(*args)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert args[0] in done.stderr


def test_an_argument_that_an_option_does_not_take_is_told(run):
    done = run("--read-only=yes")
    assert done.returncode == 2
    assert "error --read-only: it takes no argument; " in done.stderr


# --- its name, and the way to it


def test_ready_is_logged_once_callers_can_reach_it(start_cnode, cluster, connect):
    node = start_cnode()
    assert cluster.epmd.port_of(node.sname) == node.port
    assert node.name == f"{node.sname}@{cluster.host}"
    assert connect(node).remote_name == node.name


def test_every_log_line_has_time_and_level(start_cnode, alice):
    node = start_cnode("--log-level", "debug")
    alice.erpc(node.name, "new", "hash", 4, 4, 4)
    node.stop()
    time = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    form = rf"{time} (error|warning|notice|info|debug) \S"
    assert node.lines
    assert all(re.match(form, line) for line in node.lines), node.log


def test_a_log_level_keeps_lower_lines_away(start_cnode, cluster, connect):
    node = start_cnode("--log-level", "warning", ready=False)
    node.port = wait_until(lambda: cluster.epmd.port_of(node.sname))
    connect(node).close()
    node.stop()
    assert node.lines == []


def test_without_a_name_it_is_called_ebpf(start_cnode, lone_cluster):
    lone_cluster.epmd.start()
    node = start_cnode(cluster=lone_cluster, naming=[])
    assert node.name == f"ebpf@{lone_cluster.host}"
    assert "ebpf" in lone_cluster.epmd.names()


def test_a_long_name_is_reached_by_nodes_with_long_names(start_cnode, start_beam):
    node = start_cnode(naming=["--name", "longish@127.0.0.1"])
    assert node.name == "longish@127.0.0.1"
    beam = start_beam(long_name="caller@127.0.0.1")
    map = beam.erpc(node.name, "new", "hash", 4, 4, 4)
    assert beam.eval("node(element(2, M))", M=map) == node.name


def test_it_is_registered_as_a_hidden_node(start_cnode, cluster):
    """So that global and pg do not take it for one of theirs."""
    node = start_cnode()
    answer = cluster.epmd.ask(b"z" + node.sname.encode())
    assert answer[:2] == b"w\0"
    assert answer[4:5] == b"h"


def test_a_name_that_is_taken_is_told_with_status_7(start_cnode, fresh_cnode, alice):
    second = start_cnode(sname=fresh_cnode.sname, ready=False)
    status, line = status_and_line(second)
    assert status == 7
    assert fresh_cnode.sname in line
    assert alice.apply("net_adm", "ping", fresh_cnode.name) == "pong"


def test_a_killed_node_can_be_followed_at_once(start_cnode, fresh_cnode, alice):
    fresh_cnode.kill()
    second = start_cnode(sname=fresh_cnode.sname)
    assert alice.apply("net_adm", "ping", second.name) == "pong"


def test_a_start_waits_for_a_name_that_is_given_up(start_cnode, cluster, alice):
    """By a node that has it and is gone at once: there are 3 s from then on."""
    name = cluster.name("cnode")
    with registered(cluster.epmd, name) as one:
        node = start_cnode("--log-level", "info", sname=name, ready=False)
        node.wait_log(f"info the name {name} is taken; waiting up to 3000 ms")
        one.close()
        node.wait_ready()
    assert alice.apply("net_adm", "ping", node.name) == "pong"


def registered(epmd, name):
    """The connection to epmd of a node of that name, which has it that long."""
    one = socket.create_connection(("127.0.0.1", epmd.port), 10)
    data = struct.pack(">HBBHHH", 9, 77, 0, 6, 5, len(name)) + name.encode() + b"\0\0"
    one.sendall(struct.pack(">HB", 1 + len(data), 120) + data)  # ALIVE2_REQ
    assert one.recv(100)[1:2] == b"\0"
    wait_until(lambda: name in epmd.names())
    return one


def wait_forgotten(epmd, node):
    """epmd may be asked before it has seen that the node is gone."""
    wait_until(lambda: node.sname not in epmd.names(), what="epmd has forgotten it")


def test_it_listens_where_it_is_told(start_cnode, connect):
    port = free_port()
    node = start_cnode("--listen", "127.0.0.1", "--port", port)
    assert node.port == port
    assert connect(node).remote_name == node.name
    with open(f"/proc/{node.pid}/net/tcp") as f:
        assert f"0100007F:{port:04X} 00000000:0000 0A" in f.read()


def test_a_port_in_use_is_told_with_status_5(start_cnode):
    with dist.listen() as other:
        port = other.getsockname()[1]
        node = start_cnode("--port", port, ready=False)
        status, line = status_and_line(node)
    assert status == 5
    assert str(port) in line


def test_the_port_of_epmd_is_told_with_status_2(start_cnode, cluster):
    """It would wait for an answer of itself, where there is no epmd yet."""
    node = start_cnode("--port", cluster.epmd.port, ready=False)
    assert node.wait_exit() == 2
    assert f"error --port {cluster.epmd.port} is the port of epmd" in node.log


def test_an_address_that_is_not_ours_is_told_with_status_5(start_cnode):
    node = start_cnode("--listen", "203.0.113.1", ready=False)
    status, line = status_and_line(node)
    assert status == 5
    assert "203.0.113.1" in line


# --- privilege


def test_a_missing_privilege_is_told_with_status_4(start_cnode):
    node = start_cnode(
        wrapper=["setpriv", "--bounding-set=-all", "--inh-caps=-all"], ready=False
    )
    status, line = status_and_line(node)
    assert status == 4
    assert "setcap" in line


def test_cap_bpf_is_enough_for_a_hash(start_cnode, alice):
    caps = "-all,+bpf"
    node = start_cnode(
        wrapper=["setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}"]
    )
    map = alice.erpc(node.name, "new", "hash", 4, 4, 4)
    assert alice.erpc(node.name, "put", 1, 1, map) == map


# --- the cookie


def test_a_cookie_is_made_where_there_is_none(start_cnode, lone_cluster, connect):
    path = lone_cluster.home / ".erlang.cookie"
    path.unlink()
    lone_cluster.epmd.start()
    node = start_cnode(cluster=lone_cluster)
    assert path.stat().st_mode & 0o777 == 0o400
    cookie = path.read_text()
    assert re.fullmatch(r"[A-Z]{20}", cookie)
    assert connect(node, cookie=cookie).remote_name == node.name


def test_a_made_cookie_is_not_the_same_twice(start_cnode, lone_cluster):
    path = lone_cluster.home / ".erlang.cookie"
    lone_cluster.epmd.start()
    cookies = set()
    for _ in range(2):
        path.unlink()
        start_cnode(cluster=lone_cluster)
        cookies.add(path.read_text())
    assert len(cookies) == 2


@pytest.mark.parametrize("mode", [0o404, 0o440, 0o444, 0o644, 0o604, 0o777])
def test_a_cookie_that_others_can_read_is_refused(mode, start_cnode, lone_cluster):
    path = lone_cluster.home / ".erlang.cookie"
    path.chmod(mode)
    lone_cluster.epmd.start()
    node = start_cnode(cluster=lone_cluster, ready=False)
    status, line = status_and_line(node)
    assert status == 3
    assert str(path) in line
    assert lone_cluster.cookie not in line


@pytest.mark.parametrize(
    "content",
    ["", "\n", "x" * 2000, "\0", "a\0b", "a\tb", "\u00e9"],
    ids=lambda content: repr(content[:9]),
)
def test_a_cookie_file_without_a_cookie_is_refused(content, start_cnode, tmp_path):
    path = tmp_path / "cookie"
    path.write_text(content)
    path.chmod(0o400)
    node = start_cnode("--cookie-file", path, ready=False)
    status, line = status_and_line(node)
    assert status == 3
    assert str(path) in line


def test_a_cookie_file_that_cannot_be_read_is_refused(start_cnode, tmp_path):
    for path in (tmp_path / "absent" / "cookie", tmp_path):
        node = start_cnode("--cookie-file", path, ready=False)
        status, line = status_and_line(node)
        assert status == 3
        assert str(path) in line


def test_a_cookie_file_may_stand_elsewhere(start_cnode, tmp_path, connect):
    path = tmp_path / "cookie"
    path.write_text("elsewhere\n")
    path.chmod(0o600)
    node = start_cnode("--cookie-file", path)
    assert connect(node, cookie="elsewhere").remote_name == node.name


def test_a_cookie_may_come_by_standard_input(start_cnode, connect):
    node = start_cnode(
        "--cookie-file", "/dev/stdin", ready=False, stdin=subprocess.PIPE
    )
    node.process.stdin.write(b"by_a_pipe\n")
    node.process.stdin.flush()
    node.wait_ready()
    assert connect(node, cookie="by_a_pipe").remote_name == node.name
    node.process.stdin.close()
    node.stop()


def test_a_cookie_by_standard_input_goes_with_until_eof(start_cnode, connect):
    node = start_cnode(
        "--until-eof",
        "--cookie-file",
        "/dev/stdin",
        ready=False,
        stdin=subprocess.PIPE,
    )
    node.process.stdin.write(b"by_a_pipe\n")
    node.process.stdin.flush()
    node.wait_ready()
    assert connect(node, cookie="by_a_pipe").remote_name == node.name
    node.process.stdin.close()
    assert node.wait_exit() == 0


# --- epmd


def test_it_starts_an_epmd_where_none_runs(start_cnode, lone_cluster):
    assert not lone_cluster.epmd.answers()
    node = start_cnode(cluster=lone_cluster)
    assert lone_cluster.epmd.names() == {node.sname: node.port}
    node.stop()
    wait_forgotten(lone_cluster.epmd, node)
    assert lone_cluster.epmd.names() == {}


def test_an_epmd_that_it_starts_listens_where_erl_epmd_address_says(
    start_cnode, lone_cluster
):
    start_cnode(cluster=lone_cluster)
    with open("/proc/net/tcp") as f:
        sockets = [line.split()[1:4] for line in f.readlines()[1:]]
    port = f":{lone_cluster.epmd.port:04X}"
    listening = [here for here, _, state in sockets if state == "0A" and port in here]
    assert listening == ["0100007F" + port]


def test_no_epmd_to_be_had_is_told_with_status_6(start_cnode, lone_cluster):
    """Something else sits at its port, and hangs up on everyone."""
    with socket.create_server(("127.0.0.1", lone_cluster.epmd.port)) as server:

        def hang_up():
            while True:
                try:
                    server.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=hang_up, daemon=True).start()
        node = start_cnode(cluster=lone_cluster, ready=False)
        status, line = status_and_line(node)
        server.shutdown(socket.SHUT_RDWR)
    assert status == 6
    assert "epmd" in line


@pytest.mark.parametrize(
    "port", ["0", "x", "", " 4369", "4369x", "-1", "65536", "70000", "1" * 30]
)
def test_what_is_no_port_of_an_epmd_is_told_with_status_6(
    port, start_cnode, lone_cluster
):
    """And no epmd is started, which would take any port."""
    env = {**lone_cluster.env, "ERL_EPMD_PORT": port}
    node = start_cnode(cluster=lone_cluster, ready=False, env=env)
    try:
        status, line = status_and_line(node)
    finally:
        strays = epmds_of(lone_cluster)
        for pid in strays:
            os.kill(pid, signal.SIGKILL)
    assert not strays
    assert status == 6
    assert f"ERL_EPMD_PORT is '{port}', which is not a port" in line


def epmds_of(cluster):
    """The epmds that were started with the home of this cluster."""
    home = str(cluster.home).encode()
    return [p.pid for p in processes() if p.name == "epmd" and p.env.get(b"HOME") == home]


@pytest.mark.ci
@pytest.mark.slow
def test_an_epmd_that_says_nothing_is_told_with_status_6(start_cnode, lone_cluster):
    with socket.create_server(("127.0.0.1", lone_cluster.epmd.port)):
        node = start_cnode(cluster=lone_cluster, ready=False)
        assert node.wait_exit(30) == 6
    assert "epmd" in node.log


def test_it_ends_cleanly_when_a_new_epmd_says_nothing(
    start_cnode, lone_cluster, connect
):
    lone_cluster.epmd.start()
    node = start_cnode(cluster=lone_cluster)
    lone_cluster.epmd.stop()
    with socket.create_server(("127.0.0.1", lone_cluster.epmd.port)) as silent:
        silent.settimeout(10 * PATIENCE)
        with silent.accept()[0]:
            assert connect(node, cookie=lone_cluster.cookie).remote_name == node.name
            node.stop()


def test_it_is_registered_again_when_epmd_restarts(
    start_cnode, lone_cluster, start_beam
):
    epmd = lone_cluster.epmd
    epmd.start()
    node = start_cnode(cluster=lone_cluster)
    before = start_beam(cluster=lone_cluster)
    map = before.erpc(node.name, "new", "hash", 4, 4, 4)
    for _ in range(2):
        epmd.stop()
        assert before.erpc(node.name, "put", 1, 1, map) == map
        epmd.start()
        wait_until(lambda: epmd.port_of(node.sname) == node.port, 10)
    after = start_beam(cluster=lone_cluster)
    assert after.erpc(node.name, "put", 1, 1, map) == map
    assert before.erpc(node.name, "put", 1, 1, map) == map


def test_it_ends_cleanly_while_epmd_is_away(start_cnode, lone_cluster):
    lone_cluster.epmd.start()
    node = start_cnode(cluster=lone_cluster)
    lone_cluster.epmd.stop()
    node.stop()


# --- its end


HUP = pytest.param(signal.SIGHUP, marks=pytest.mark.plain)  # else it takes new certificates


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, HUP])
def test_a_signal_ends_it_unregistered_and_disconnected(signum, start_cnode, cluster, alice):
    node = start_cnode(wrapper=["env", "--default-signal"])
    alice.eval("pong = net_adm:ping(N), monitor_node(N, true)", N=node.name)
    assert node.sname in cluster.epmd.names()
    node.stop(signum)
    node.wait_log(rf"notice ending: signal {signum:d} \(")
    wait_forgotten(cluster.epmd, node)
    down = alice.eval(
        "receive {nodedown, N} -> down after 15000 -> late end", N=node.name
    )
    assert down == "down"


def test_a_signal_ends_it_with_clients_in_every_state(start_cnode, connect, alice):
    node = start_cnode()
    connect(node, handshake=False)
    connect(node)
    halfway = connect(node)
    halfway.send_raw(b"\0\0\1\0p")
    alice.eval(
        """
        erpc:send_request(N, ebpf_maps, new, [hash, 4, 4, 4]),
        [erpc:send_request(N, ebpf_maps, new, [hash, 4, 8, 2000000]) ||
         _ <- [1, 2]], ok""",
        N=node.name,
    )
    node.stop()


def test_a_terminal_that_closes_ends_nothing_behind_nohup(start_cnode, alice):
    node = start_cnode(wrapper=["env", "--ignore-signal=HUP"])
    node.process.send_signal(signal.SIGHUP)
    start = node.mark()
    node.process.send_signal(signal.SIGUSR1)  # comes after it
    node.wait_log("notice stats: ", start=start)
    assert alice.apply("net_adm", "ping", node.name) == "pong"


def test_sigpipe_is_survived(start_cnode, alice):
    node = start_cnode()
    node.process.send_signal(signal.SIGPIPE)
    assert alice.apply("net_adm", "ping", node.name) == "pong"


def test_until_eof_it_ends_with_its_standard_input(start_cnode, cluster):
    node = start_cnode("--until-eof", stdin=subprocess.PIPE)
    node.process.stdin.close()
    assert node.wait_exit() == 0
    wait_forgotten(cluster.epmd, node)


# --- limits


def descriptor_limits(node):
    return resource.prlimit(node.pid, resource.RLIMIT_NOFILE)


def test_the_soft_limit_of_descriptors_is_raised(start_cnode):
    node = start_cnode(wrapper=["prlimit", "--nofile=256:2048"])
    assert descriptor_limits(node) == (2048, 2048)


def test_it_is_raised_no_further_than_to_what_can_be_in_use(start_cnode):
    few = ("--max-connections", 2, "--max-handshakes", 3, "--max-maps", 4)
    few += ("--max-subscriptions", 5)
    node = start_cnode(*few, wrapper=["prlimit", "--nofile=256:2048"])
    assert descriptor_limits(node) == (8 * (2 + 3) + 4 + 5 + 64, 2048)


@pytest.mark.parametrize(
    ("limit", "maps"),
    # beside 1024 connections, 128 handshakes and 64 for what a request names
    [(10000 + 1216, 10000), (10000 + 1215, 9999), (10500, 9284), (1217, 1)],
    ids=["enough", "one too few", "enough for maps alone", "hardly any"],
)
def test_maps_leave_the_descriptors_that_connections_need(limit, maps, start_cnode, connect):
    node = start_cnode(wrapper=["prlimit", f"--nofile=256:{limit}"])
    features = connect(node).maps("features")
    assert features["options"]["max_maps"] == maps
    lowered = node.find_log(rf"warning --max-maps 10000 is lowered to {maps}: ")
    assert len(lowered) == (maps < 10000)


def test_no_more_connections_than_allowed(start_cnode, connect):
    node = start_cnode("--max-connections", "2")
    first, second = connect(node), connect(node)
    for peer in (first, second):  # who is answered is counted
        assert peer.erpc("ebpf_maps", "nope", [])[0] == "error"
    start = node.mark()
    third = connect(node)
    third.wait_closed()
    node.wait_log(f"warning refused .*{third.name}.*max-connections", start=start)
    assert first.erpc("ebpf_maps", "nope", [])[0] == "error"
    first.close()

    def fourth_is_served():
        try:
            return connect(node).erpc("ebpf_maps", "nope", [])[0] == "error"
        except (dist.Refused, dist.Closed, OSError):
            return False

    wait_until(fourth_is_served)
    assert second.erpc("ebpf_maps", "nope", [])[0] == "error"


def test_who_never_finishes_a_handshake_keeps_nobody_out(start_cnode, connect):
    """The oldest of too many handshakes goes, and they are no connections."""
    node = start_cnode("--max-connections", "2")
    before = node.threads()
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(400)]
    try:
        peer = connect(node)
        assert peer.erpc("ebpf_maps", "nope", [])[0] == "error"
        assert node.threads() < before + 300
        assert 0 < node.most_in_a_second("Z warning refused") <= 2 * 20
    finally:
        for one in silent:
            one.close()
    wait_until(lambda: node.threads() <= before + 1, what="the handshakes are over")


PAUSE = 0.1  # s, between two attempts to accept without a descriptor


def test_running_out_of_descriptors_is_survived(start_cnode, alice, connect, tmp_path):
    """Who connects waits; without a loop that burns the CPU."""
    node = start_cnode()
    map = alice.erpc(node.name, "new", "hash", 4, 4, 4)
    before = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    waiting = connect(node, handshake=False)
    node.wait_log("no connection can be accepted: Too many open files")
    begun = time.monotonic()
    with Trace(node, tmp_path / "trace") as traced:
        assert alice.erpc(node.name, "put", 1, 1, map) == map
        wait_until(lambda: traced.so_far("accept4") >= 5)
    pauses = (time.monotonic() - begun) / PAUSE
    assert 5 <= traced.calls["accept4"] <= pauses + 1, traced.calls
    assert traced.total <= 4 * (pauses + 5), traced.calls
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, before)
    waiting.handshake()
    node.wait_log("connections are accepted again")
    assert waiting.remote_name == node.name


def test_descriptors_are_not_inherited_by_epmd(start_cnode, lone_cluster):
    """A map must not live on in a daemon that the node has started."""
    start_cnode(cluster=lone_cluster)
    assert lone_cluster.epmd.answers()
    inherited = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/comm") as f:
                if f.read().strip() != "epmd":
                    continue
            with open(f"/proc/{pid}/environ", "rb") as f:
                if f"ERL_EPMD_PORT={lone_cluster.epmd.port}".encode() not in f.read():
                    continue
            folder = f"/proc/{pid}/fd"
            inherited += [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder)]
        except OSError:
            continue
    assert inherited, "no epmd found"
    assert not [target for target in inherited if "bpf" in target or "event" in target]


def test_nothing_of_the_node_stays_when_it_ends(start_cnode, alice):
    node = start_cnode()
    name = f"left{os.getpid()}"
    alice.erpc(node.name, "new", "hash", 4, 4, 4, [("name", name)])
    listed = subprocess.run(["bpftool", "map", "list"], capture_output=True, text=True)
    assert name in listed.stdout
    node.stop()

    def gone():
        done = subprocess.run(
            ["bpftool", "map", "list"], capture_output=True, text=True
        )
        return name not in done.stdout

    wait_until(gone)
