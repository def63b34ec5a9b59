# SPDX-License-Identifier: Apache-2.0
"""The cookie shows nowhere: in no log, no error, no state of a process."""

import os
import signal
import struct
import subprocess
from pathlib import Path

import pytest

import dist
from cluster import usual_options, wait_until

pytestmark = pytest.mark.single

GIVEN = "SUCHASECRET"


# --- the C node


@pytest.mark.parametrize("by", ["--cookie=", "--setcookie=", "--cookie-fil="])
def test_one_on_the_command_line_is_not_repeated(by, program):
    done = subprocess.run([program, by + GIVEN], capture_output=True, text=True)
    assert done.returncode == 2
    assert f"{by[:-1]}: no such option" in done.stderr
    assert GIVEN not in done.stderr


@pytest.mark.parametrize("variable", ["EI_TRACELEVEL", "ERL_DEBUG_DIST"])
def test_the_handshake_is_not_traced(variable, start_cnode, cluster, connect):
    """ei can print challenges and digests, by which a cookie is found out."""
    node = start_cnode(env={**cluster.env, variable: "9"})
    connect(node)
    with pytest.raises(dist.Refused):
        connect(node, cookie="wrong")
    node.wait_log("it has a different cookie")
    assert all("Z notice " in line or "Z warning " in line for line in node.lines)
    assert "digest" not in node.log


def proofs(cookie, challenge):
    """Answers to a challenge, none of them right."""
    right = dist.digest(cookie, challenge)
    head = b"r" + struct.pack(">I", 1)
    yield head + right[:-1] + bytes([right[-1] ^ 1])
    yield head + right[:-1]
    yield head + dist.digest(cookie, challenge + 1)
    yield head + dist.digest(cookie + "x", challenge)
    yield head + cookie.encode()[:16].ljust(16)
    yield head
    yield b"r"
    yield b"x" + head[1:] + right


def test_no_wrong_answer_to_a_challenge_shows_it(start_cnode, connect, cluster):
    node = start_cnode("--log-level", "debug")
    heard = []
    for number in range(len(list(proofs("", 0)))):
        peer = connect(node, handshake=False)
        name = peer.name.encode()
        flags = struct.pack(">QIH", dist.FLAGS, peer.creation, len(name))
        peer.send_short(b"N" + flags + name)
        assert peer.receive_short() == b"sok"
        answer = peer.receive_short()
        heard.append(answer)
        challenge = struct.unpack(">I", answer[9:13])[0]
        digest = dist.digest(cluster.cookie, challenge)
        peer.send_short(list(proofs(cluster.cookie, challenge))[number])
        peer.socket.shutdown(1)
        try:
            while True:
                heard.append(peer.read(1, 0))
        except (dist.Closed, TimeoutError):
            pass
        node.wait_log(f"refused .*{peer.name}")
        assert digest.hex() not in node.log
    assert cluster.cookie.encode() not in b"".join(heard)
    assert cluster.cookie not in node.log


# --- the embedded C node

# What the processes of the application show of themselves.
SHOWN = """
    Pids = [P || P <- [whereis(ebpf_cnode_sup), whereis(ebpf_cnode_port)], is_pid(P)],
    [[sys:get_status(P), sys:get_state(P),
      erlang:process_info(P, [messages, dictionary, backtrace, initial_call, links])]
     || P <- Pids] ++
    [catch supervisor:which_children(ebpf_cnode_sup),
     [[erlang:port_info(P) | [catch erlang:port_info(P, I) || I <- [input, output, os_pid]]]
      || P <- erlang:ports()],
     application:info(), application:get_all_env(ebpf_cnode)]
"""

STARTS = {
    "it runs": {"args": [list(b"--log-level"), list(b"debug")]},
    "an option that is none": {"args": [list(b"--nope")]},
    "a cookie as an option": {"args": [list(b"--cookie")]},
    "another cookie": {"args": [list(b"--cookie-file"), list(b"/etc/passwd")]},
    "no program": {"program": list(b"/nonexistent")},
    "a folder": {"program": list(b"/tmp")},
    "no list": {"args": "nope"},
    "no strings": {"args": [1, 2.5]},
    "another host": {"node": "ebpf@elsewhere"},
    "one that fails at once": {"program": list(b"/bin/false")},
    "one that is no C node": {"program": list(b"/bin/true")},
    "one that is killed": {"program": b"#!/bin/sh\nkill -9 $$\n"},
    "one that shuts its input": {"program": b"#!/bin/sh\nexec <&-\nsleep 0.2\n"},
}


class Embedding:
    """An Erlang node that is to run a C node and logs all there is to log."""

    def __init__(self, beam, cluster, tmp_path, env):
        self.beam = beam
        self.node = f"{cluster.name('cookie')}@{cluster.host}"
        beam.eval("logger:set_primary_config(level, debug)")
        beam.eval("ok = application:load(ebpf_cnode)")
        env = {"cnode": "embedded", "node": self.node, **env}
        if isinstance(env["program"], bytes):
            script = tmp_path / "script"
            script.write_bytes(env["program"])
            script.chmod(0o755)
            env["program"] = script
        if not isinstance(env["program"], list):
            env["program"] = list(os.fsencode(env["program"]))
        args = env.get("args", [])
        if all(isinstance(arg, list) for arg in args):
            usual = usual_options(cluster)
            env["args"] = [*(list(option.encode()) for option in usual), *args]
        for key, value in env.items():
            beam.apply("application", "set_env", "ebpf_cnode", key, value)

    def pid(self):
        """The process id of its C node."""
        [pid] = self.beam.eval(
            "[P || {os_pid, P} <- [erlang:port_info(P, os_pid) || P <- erlang:ports()],"
            " os:cmd(io_lib:format(\"cat /proc/~w/comm\", [P])) =:= \"ebpf_cnode\\n\"]"
        )
        return pid

    def shows(self, text):
        """Whether the cookie is in what the expressions of text give."""
        answer = self.beam.eval(
            f"""
            Secret = atom_to_binary(erlang:get_cookie()),
            Shown = begin {text} end,
            Lists = unicode:characters_to_binary(io_lib:format("~w~tp", [Shown, Shown])),
            lists:any(fun(Bytes) -> binary:match(Bytes, Secret) =/= nomatch end,
                      [term_to_binary(Shown), Lists])
            """,
            timeout=40,
        )
        return {"true": True, "false": False}[answer]


@pytest.fixture
def embedding(start_beam, ebin, cluster, program, tmp_path):
    def embedding(**env):
        beam = start_beam(paths=[ebin])
        return Embedding(beam, cluster, tmp_path, {"program": program, **env})

    return embedding


def test_the_search_would_find_it(embedding):
    one = embedding()
    for form in ("{x, [~s]}", "atom_to_list(~s)", "atom_to_binary(~s)", "#{~s => 1}"):
        assert one.shows(form.replace("~s", "erlang:get_cookie()")) is True
    assert one.shows("nothing") is False


@pytest.mark.sandbox
@pytest.mark.parametrize("env", STARTS.values(), ids=STARTS)
def test_no_start_of_an_embedded_c_node_shows_it(env, embedding, cluster):
    one = embedding(**env)
    start = "application:ensure_all_started(ebpf_cnode)"
    assert one.shows(start) is False
    started = env is STARTS["it runs"]
    running = one.beam.eval("is_pid(whereis(ebpf_cnode_port))")
    assert running == str(started).lower()
    assert one.shows(SHOWN) is False
    word = "ready" if started else "the C node does not run: "
    wait_until(lambda: word in one.beam.printed(), what="it is logged")
    assert cluster.cookie not in one.beam.printed()


def test_one_that_ends_in_a_space_is_that_of_the_embedded_c_node(embedding):
    one = embedding()
    one.beam.eval("erlang:set_cookie('ends in spaces  ')")
    assert one.beam.eval("application:ensure_all_started(ebpf_cnode)", timeout=40)[0] == "ok"
    assert one.beam.erpc(one.node, "handles") == []


@pytest.mark.sandbox
@pytest.mark.parametrize("file", ["cmdline", "environ"])
def test_ps_does_not_show_it_either(file, embedding, cluster):
    one = embedding()
    assert one.shows("application:ensure_all_started(ebpf_cnode)") is False
    told = Path(f"/proc/{one.pid()}/{file}").read_bytes()
    assert (one.node if file == "cmdline" else "HOME=").encode() in told
    assert cluster.cookie.encode() not in told


@pytest.mark.sandbox
def test_neither_does_its_end_nor_a_call_that_fails(embedding, cluster):
    one = embedding()
    assert one.shows("application:ensure_all_started(ebpf_cnode)") is False
    pid = one.pid()
    # the host may have thousands of maps, and to show them takes time
    calls = """
        [try apply(ebpf_maps, F, A) of
             Maps when F =:= list -> lists:sublist(Maps, 10);
             Answer -> Answer
         catch C:R:S -> {C, R, S, [catch ebpf_maps:format_error(R, S)]} end
         || {F, A} <- [{get, [1, nope]}, {new, [hash, 4, 4, 4, [{node, 'no@where'}]]},
                       {new, [hash, 4, -1, 4]}, {list, ['no@where']}, {list, []}]]"""
    assert one.shows(calls) is False
    first = one.beam.eval("whereis(ebpf_cnode_port)")
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: "ended with status 137" in one.beam.printed())
    gone = (first, "undefined")
    wait_until(lambda: one.beam.eval("whereis(ebpf_cnode_port)") not in gone)
    assert one.shows(calls) is False
    assert one.shows(SHOWN) is False
    one.beam.eval("exit(whereis(ebpf_cnode_port), kill)")
    wait_until(lambda: "reason: killed" in one.beam.printed().lower())
    assert one.shows("application:stop(ebpf_cnode)") is False
    assert cluster.cookie not in one.beam.printed()


@pytest.mark.parametrize(
    "cookie",
    ["[16#43a, 16#44e]", '"two\\nlines"', '"ends\\n"', '"ends\\r"'],
    ids=["not of ASCII", "two lines", "an end of line", "a carriage return"],
)
def test_one_that_no_c_node_can_have_is_told(cookie, embedding):
    one = embedding()
    one.beam.eval(f"erlang:set_cookie(list_to_atom({cookie}))")
    answer = one.beam.eval(
        'unicode:characters_to_binary(io_lib:format("~tp",'
        " [application:ensure_all_started(ebpf_cnode)]))",
        timeout=40,
    )
    assert b"{cnode,cookie," in answer
