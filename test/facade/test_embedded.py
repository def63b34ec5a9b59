# SPDX-License-Identifier: Apache-2.0
"""The C node that the Erlang application can run itself."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import SANITIZED, wait_until
from conftest import raises

HASH = ("hash", 4, 8, 4)
# the children of the supervisor, with no C node
USUAL = {"ebpf_cnode_nodes", "ebpf_fleet_keep_keeper", "ebpf_fleet_known"}


class Embedded:
    """An Erlang node whose application ebpf_cnode runs a C node."""

    def __init__(self, beam, node, program):
        self.beam = beam
        self.node = node
        self.program = program

    def start(self):
        return self.beam.eval("application:ensure_all_started(ebpf_cnode)", timeout=30)

    def call(self, function, *args):
        """A function of ebpf_maps in that node."""
        return self.beam.apply("ebpf_maps", function, *args)

    def up(self):
        return self.beam.apply("net_adm", "ping", self.node) == "pong"

    def pid(self):
        """The process id of its C node, None when there is none."""
        ports = self.beam.eval("[erlang:port_info(P, os_pid) || P <- erlang:ports()]")
        for port in ports:
            if port == "undefined" or port[1] == "undefined":
                continue
            try:
                target = os.readlink(f"/proc/{port[1]}/exe")
            except OSError:
                continue
            if target == str(self.program):
                return port[1]
        return None


@pytest.fixture
def embedded(start_beam, ebin, program, cluster):
    def embedded(sname=None, cluster=cluster, **env):
        sname = sname or cluster.name("embedded")
        node = f"{sname}@{cluster.host}"
        beam = start_beam(cluster=cluster, paths=[ebin])
        beam.eval("ok = application:load(ebpf_cnode)")
        env = {"cnode": "embedded", "node": node, **env}
        env.setdefault("program", list(str(program).encode()))
        if SANITIZED:
            env.setdefault("args", [list(b"--no-sandbox")])
        for key, value in env.items():
            beam.apply("application", "set_env", "ebpf_cnode", key, value)
        return Embedded(beam, node, program)

    return embedded


def exists(pid):
    return os.path.exists(f"/proc/{pid}")


def test_the_application_starts_without_a_c_node_unless_told(start_beam, ebin):
    beam = start_beam(paths=[ebin])
    assert beam.eval("application:start(ebpf_cnode)") == "ok"
    assert children(beam).keys() == USUAL


def children(beam):
    """{name: pid} of those of the supervisor."""
    found = beam.eval("supervisor:which_children(ebpf_cnode_sup)")
    assert all(child[2:] == ("worker", [child[0]]) for child in found)
    return {child[0]: child[1] for child in found}


def test_an_embedded_c_node_is_up_when_the_application_is(embedded):
    embedded = embedded()
    assert embedded.start() == ("ok", ["ebpf_cnode"])
    map = embedded.call("new", *HASH)
    assert embedded.call("put", 1, 1, map) == map
    assert embedded.beam.eval("node(element(2, M))", M=map) == embedded.node


def test_the_cookie_of_an_embedded_c_node_is_not_on_its_command_line(
    embedded, cluster
):
    embedded = embedded()
    embedded.start()
    pid = embedded.pid()
    for file in ("cmdline", "environ"):
        with open(f"/proc/{pid}/{file}", "rb") as f:
            assert cluster.cookie.encode() not in f.read()


def test_an_embedded_c_node_is_restarted_when_it_is_killed(embedded):
    embedded = embedded()
    embedded.start()
    first = embedded.pid()
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: embedded.pid() not in (None, first))
    wait_until(embedded.up)
    assert embedded.call("new", *HASH)[0] == "ebpf_map"


def test_an_embedded_c_node_ends_with_the_application(embedded, cluster):
    embedded = embedded()
    embedded.start()
    pid = embedded.pid()
    assert embedded.beam.eval("application:stop(ebpf_cnode)") == "ok"
    assert not exists(pid)
    wait_until(lambda: embedded.node.split("@")[0] not in cluster.epmd.names())


def test_an_embedded_c_node_ends_with_a_node_that_halts(embedded):
    embedded = embedded()
    embedded.start()
    pid = embedded.pid()
    with pytest.raises(EOFError):
        embedded.beam.eval("halt(), receive never -> ok end")
    wait_until(lambda: not exists(pid))


def test_an_embedded_c_node_ends_with_a_node_that_is_killed(embedded, cluster):
    embedded = embedded()
    embedded.start()
    pid = embedded.pid()
    embedded.beam.kill()
    wait_until(lambda: not exists(pid))
    wait_until(lambda: embedded.node.split("@")[0] not in cluster.epmd.names())


def test_a_c_node_that_is_up_already_is_watched(embedded, start_cnode):
    running = start_cnode()
    embedded = embedded(sname=running.sname)
    embedded.start()
    assert embedded.pid() is None
    assert embedded.call("new", *HASH)[0] == "ebpf_map"
    running.stop()
    wait_until(embedded.pid)
    wait_until(embedded.up)
    assert embedded.call("new", *HASH)[0] == "ebpf_map"


def test_of_two_embedding_nodes_one_runs_the_c_node(embedded, cluster):
    sname = cluster.name("common")
    first, second = embedded(sname=sname), embedded(sname=sname)
    for one in (first, second):
        one.beam.start_eval("application:ensure_all_started(ebpf_cnode)")
    for one in (first, second):
        assert one.beam.finish(40) == ("ok", ["ebpf_cnode"])
    pids = [one.pid() for one in (first, second)]
    assert len([pid for pid in pids if pid]) == 1
    runner, watcher = (first, second) if pids[0] else (second, first)
    runner.beam.kill()
    wait_until(watcher.pid, 10)
    wait_until(watcher.up, 10)


def test_what_an_embedded_c_node_logs_goes_to_logger(embedded):
    embedded = embedded()
    embedded.start()
    wait_until(lambda: f"ready {embedded.node}" in embedded.beam.printed())


def test_it_does_so_whatever_format_was_asked_for(embedded):
    args = ["--log-format", "json"] + (["--no-sandbox"] if SANITIZED else [])
    embedded = embedded(args=[list(arg.encode()) for arg in args])
    embedded.start()
    ready = f"{embedded.node}: ready {embedded.node} port "
    wait_until(lambda: ready in embedded.beam.printed())


def test_a_missing_privilege_of_an_embedded_c_node_is_said_in_words(
    embedded, program, tmp_path
):
    script = tmp_path / "unprivileged"
    script.write_text(
        "#!/bin/sh\n"
        f"exec setpriv --bounding-set=-all --inh-caps=-all '{program}' \"$@\"\n"
    )
    script.chmod(0o755)
    embedded = embedded(program=list(str(script).encode()))
    answer = embedded.start()
    assert answer[0] == "error"
    text = embedded.beam.eval('lists:flatten(io_lib:format("~p", [E]))', E=answer)
    assert b"missing_privilege" in bytes(text)
    assert "setcap cap_bpf" in embedded.beam.printed()


@pytest.mark.parametrize(
    "env, word",
    [
        ({"program": list(b"/nonexistent")}, "no_program"),
        ({"args": [list(b"--nope")]}, "usage"),
        ({"node": "ebpf@elsewhere"}, "badenv"),
    ],
    ids=str,
)
def test_an_embedded_c_node_that_cannot_run_says_why(env, word, embedded):
    embedded = embedded(**env)
    answer = embedded.start()
    assert answer[0] == "error"
    text = embedded.beam.eval('lists:flatten(io_lib:format("~p", [E]))', E=answer)
    assert word in bytes(text).decode()


def test_where_none_is_installed_it_says_what_to_do(embedded):
    embedded = embedded(program="undefined")
    embedded.beam.eval('os:putenv("PATH", "/nonexistent")')
    answer = embedded.start()
    assert answer[0] == "error"
    text = embedded.beam.eval('lists:flatten(io_lib:format("~p", [E]))', E=answer)
    assert b"{cnode,no_program," in bytes(text)
    assert b"there is no ebpf_cnode in PATH" in bytes(text)


def test_a_name_that_stays_taken_is_told_after_four_tries(embedded, tmp_path):
    script, tries = tmp_path / "taken", tmp_path / "tries"
    said = "read -r cookie\necho 'it is taken' >&2\nexit 7\n"
    script.write_text(f"#!/bin/sh\necho >>'{tries}'\n{said}")
    script.chmod(0o755)
    embedded = embedded(program=list(str(script).encode()))
    answer = embedded.start()
    assert answer[0] == "error"
    text = embedded.beam.eval('lists:flatten(io_lib:format("~p", [E]))', E=answer)
    assert b"name_taken" in bytes(text)
    assert tries.read_text() == "\n" * 4
    told = "the C node does not run: it is taken (exit status 7)"
    assert embedded.beam.printed().count(told) == 1
    assert embedded.beam.eval("whereis(ebpf_cnode_sup)") == "undefined"


# --- while it does not start yet

# Starts the application, without waiting for it.
START = """
    persistent_term:erase(started),
    spawn(fun() ->
        persistent_term:put(started, application:ensure_all_started(ebpf_cnode))
    end),
    ok
"""


def started(embedded):
    """What came of START, none before it has ended."""
    return embedded.beam.eval("persistent_term:get(started, none)")


def state(embedded):
    """That of the process that runs the C node, None when there is none."""
    if embedded.beam.eval("whereis(ebpf_cnode_port)") == "undefined":
        return None
    return embedded.beam.eval("element(1, sys:get_state(ebpf_cnode_port))")


def check_answers(embedded, *states):
    """The process that runs the C node and its supervisor do, in one of the states."""
    assert wait_until(lambda: state(embedded)) in states
    assert embedded.beam.eval("sys:suspend(ebpf_cnode_port)") == "ok"
    assert embedded.beam.eval("sys:resume(ebpf_cnode_port)") == "ok"
    found = children(embedded.beam)
    assert found.keys() == {*USUAL, "ebpf_cnode_port"}
    assert found["ebpf_cnode_port"] == embedded.beam.eval("whereis(ebpf_cnode_port)")


@pytest.fixture
def stopping(tmp_path, program):
    """A program that is the C node, but stops first where a file says so."""
    script, wanted, pid = (tmp_path / name for name in ("program", "wanted", "pid"))
    script.write_text(
        "#!/bin/sh\n"
        f"if rm '{wanted}'; then echo $$ >'{pid}'; kill -STOP $$; fi 2>/dev/null\n"
        f"exec '{program}' \"$@\"\n"
    )
    script.chmod(0o755)

    class Stopping:
        path = list(str(script).encode())
        stop = wanted.touch

        def go_on(self):
            os.kill(int(pid.read_text()), signal.SIGCONT)

        def wait(self):
            """Until it is stopped."""
            wait_until(lambda: pid.exists() and pid.read_text(), what="it has begun")
            stat = Path(f"/proc/{pid.read_text().strip()}/stat")
            wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T")

    yield Stopping()
    with suppress(OSError):
        os.kill(int(pid.read_text()), signal.SIGKILL)


def test_its_supervisor_answers_while_epmd_hangs(embedded, lone_cluster):
    lone_cluster.epmd.start()
    embedded = embedded(cluster=lone_cluster)
    epmd = lone_cluster.epmd.process.pid
    os.kill(epmd, signal.SIGSTOP)
    embedded.beam.eval(START)
    check_answers(embedded, "connecting", "starting")
    assert started(embedded) == "none"
    os.kill(epmd, signal.SIGCONT)
    wait_until(lambda: started(embedded) == ("ok", ["ebpf_cnode"]), 30)
    assert embedded.call("new", *HASH)[0] == "ebpf_map"


def test_its_supervisor_answers_while_it_hangs_at_its_start(embedded, stopping):
    embedded = embedded(program=stopping.path)
    stopping.stop()
    embedded.beam.eval(START)
    stopping.wait()
    check_answers(embedded, "starting")
    assert started(embedded) == "none"
    stopping.go_on()
    wait_until(lambda: started(embedded) == ("ok", ["ebpf_cnode"]), 30)
    assert embedded.call("new", *HASH)[0] == "ebpf_map"


def test_its_supervisor_answers_while_it_hangs_at_its_second_start(embedded, stopping):
    embedded = embedded(program=stopping.path)
    assert embedded.start()[0] == "ok"
    stopping.stop()
    os.kill(embedded.pid(), signal.SIGKILL)
    stopping.wait()
    check_answers(embedded, "starting")
    with raises(("nodedown", embedded.node)):
        embedded.call("handles")
    stopping.go_on()
    wait_until(embedded.up)
    assert embedded.call("new", *HASH)[0] == "ebpf_map"


def test_an_application_that_is_stopped_while_it_hangs_ends_it(embedded, stopping):
    embedded = embedded(program=stopping.path)
    assert embedded.start()[0] == "ok"
    stopping.stop()
    os.kill(embedded.pid(), signal.SIGKILL)
    stopping.wait()
    assert embedded.beam.eval("application:stop(ebpf_cnode)", timeout=30) == "ok"
    assert embedded.beam.eval("whereis(ebpf_cnode_port)") == "undefined"


def test_a_start_that_failed_is_tried_once_and_leaves_nothing(embedded):
    embedded = embedded(args=[list(b"--nope")])
    assert embedded.start()[0] == "error"
    assert embedded.beam.eval("whereis(ebpf_cnode_sup)") == "undefined"
    assert embedded.beam.printed().count("the C node does not run: ") == 1
    embedded.beam.apply("application", "unset_env", "ebpf_cnode", "args")
    if SANITIZED:
        args = [list(b"--no-sandbox")]
        embedded.beam.apply("application", "set_env", "ebpf_cnode", "args", args)
    assert embedded.start() == ("ok", ["ebpf_cnode"])
