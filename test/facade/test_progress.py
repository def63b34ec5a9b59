# SPDX-License-Identifier: Apache-2.0
"""What long work of the facade tells a fun, and the bar of a shell."""

import fcntl
import os
import pty
import re
import select
import struct
import termios

import pytest

from beam import BeamError
from cluster import PATIENCE, kill, spawn
from shell import type_in

CHUNK = 16384
MANY = 2 * CHUNK + 1000
PAIRS = "Pairs = [{K, K} || K <- lists:seq(1, N)]"
CALLS = {
    "merge": "ebpf_maps:merge(M, Pairs, O)",
    "to_list": "ebpf_maps:to_list(M, O)",
    "fold": "ebpf_maps:fold(fun(K, V, A) -> [{K, V} | A] end, [], M, O)",
    "drain": "ebpf_maps:drain(M, O)",
}
PLAIN = {
    "merge": "ebpf_maps:merge(M, Pairs)",
    "to_list": "ebpf_maps:to_list(M)",
    "fold": "ebpf_maps:fold(fun(K, V, A) -> [{K, V} | A] end, [], M)",
    "drain": "lists:sort(Pairs)",
}
TOLD = """
put(told, []),
O = [{progress, fun(D, T) -> put(told, [{D, T} | get(told)]) end}],
%s,
V = %s,
{V, lists:reverse(get(told))}
"""


@pytest.fixture
def shell(cluster, cnode, ebin, start_beam):
    beam = start_beam(paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", cnode.name)
    return beam


@pytest.fixture
def filled(shell, maps):
    """A map with so many entries, and room for twice as many."""

    def filled(n, *options):
        map = maps.new("hash", 4, 8, max(2 * n, 1), list(options))
        shell.eval(f"{PAIRS}, ebpf_maps:merge(M, Pairs)", M=map, N=n)
        return map

    return filled


def told(shell, function, map, n):
    return shell.eval(TOLD % (PAIRS, CALLS[function]), M=map, N=n)


def total_of(function, n):
    return n if function == "merge" else 2 * n


@pytest.mark.parametrize("function", CALLS)
def test_the_fun_is_told_after_each_message(function, shell, filled):
    _, calls = told(shell, function, filled(MANY), MANY)
    *before, last = calls
    assert last == (MANY, MANY)
    assert len(before) >= 2
    assert {total for _, total in before} == {total_of(function, MANY)}
    dones = [done for done, _ in calls]
    assert dones == sorted(dones)
    assert all(done < total for done, total in before)


@pytest.mark.parametrize("function", CALLS)
def test_the_fun_is_told_of_a_map_without_a_handle(function, shell, filled):
    filled(MANY, ("name", "progressing"))
    handles = shell.eval("length(ebpf_maps:handles())")
    _, calls = told(shell, function, ("name", b"progressing"), MANY)
    assert calls[-1] == (MANY, MANY)
    assert {total for _, total in calls[:-1]} == {total_of(function, MANY)}
    assert shell.eval("length(ebpf_maps:handles())") == handles


@pytest.mark.parametrize("function", CALLS)
def test_the_fun_is_told_of_nothing_once(function, shell, filled):
    assert told(shell, function, filled(0), 0)[1] == [(0, 0)]


@pytest.mark.parametrize("function", ["merge", "to_list", "fold"])
def test_it_returns_what_it_does_without_the_fun(function, shell, filled):
    map = filled(MANY)
    value, _ = told(shell, function, map, MANY)
    assert value == shell.eval(f"{PAIRS}, {PLAIN[function]}", M=map, N=MANY)


def test_drain_returns_all_that_it_tells_of(shell, filled):
    map = filled(MANY)
    before = shell.eval("lists:sort(ebpf_maps:to_list(M))", M=map)
    assert sorted(told(shell, "drain", map, MANY)[0]) == before


def test_the_total_grows_where_more_comes_than_there_is_room_for(shell):
    """As in a trie that others delete from."""
    calls = shell.eval(
        """
        put(told, []),
        F = fun(D, T) -> put(told, [{D, T} | get(told)]) end,
        Map = {ebpf_map, make_ref(), lpm_trie, 8, 4, 3},
        S = ebpf_maps_progress:start(F, Map),
        S1 = ebpf_maps_progress:more([a, b], S),
        S2 = ebpf_maps_progress:more([c, d], S1),
        ok = ebpf_maps_progress:done([e], S2),
        lists:reverse(get(told))
        """
    )
    assert calls == [(2, 3), (4, 5), (5, 5)]


RAISING = """
O = [{progress, fun(D, T) when D >= Least -> erlang:Class(stop); (_, _) -> ok end}],
%s,
try %s of V -> {returned, V} catch C:R:_ -> {C, R} end
"""


@pytest.mark.parametrize("kind", ["error", "exit", "throw"])
@pytest.mark.parametrize("function", ["merge", "to_list", "fold"])
def test_what_the_fun_raises_ends_the_work(function, kind, shell, filled):
    text = RAISING.replace("Class", kind) % (PAIRS, CALLS[function])
    handles = shell.eval("length(ebpf_maps:handles())")
    filled(MANY, ("name", "raising"))
    map = ("name", b"raising")
    assert shell.eval(text, M=map, N=MANY, Least=1) == (kind, "stop")
    assert shell.eval("length(ebpf_maps:handles())") == handles + 1


@pytest.mark.parametrize("kind", ["error", "exit", "throw"])
@pytest.mark.parametrize("least", [1, MANY], ids=["midway", "at the end"])
def test_drain_loses_nothing_where_the_fun_raises(least, kind, shell, filled):
    map = filled(MANY)
    before = shell.eval("lists:sort(ebpf_maps:to_list(M))", M=map)
    text = RAISING.replace("Class", kind) % ("Pairs = []", CALLS["drain"])
    raised, (reason, taken) = shell.eval(text, M=map, Least=least)
    assert (raised, reason) == (kind, "stop")
    assert len(taken) >= least
    left = shell.eval("ebpf_maps:to_list(M)", M=map)
    assert sorted(taken + left) == before


def test_drain_of_nothing_raises_what_the_fun_did(shell, filled):
    text = RAISING.replace("Class", "error") % ("Pairs = []", CALLS["drain"])
    assert shell.eval(text, M=filled(0), Least=0) == ("error", "stop")


def test_the_stack_of_what_drain_raises_is_that_of_the_fun(shell, filled):
    text = "ebpf_maps:drain(M, [{progress, fun lists:nth/2}])"
    with pytest.raises(BeamError) as raised:
        shell.eval(text, M=filled(3))
    assert raised.value.stack[0][0] == "lists"


@pytest.mark.parametrize("function", CALLS)
def test_with_other_options_nothing_is_done(function, shell, filled):
    map = filled(3)
    with pytest.raises(BeamError) as raised:
        shell.eval(f"Pairs = [{{9, 9}}], O = [x], {CALLS[function]}", M=map)
    assert raised.value.reason == "badarg"
    assert shell.apply("ebpf_maps", "size", map) == 3


# --- the bar

TYPED = [
    "M = ebpf_maps:new(hash, 4, 8, 100000, [{node, '%s'}]).",
    f"L = [{{K, K}} || K <- lists:seq(1, {MANY})], ok.",
    "P = ebpf_maps:progress(), ok.",
    "ebpf_maps:merge(M, L, [{progress, P}]), merged.",
    "ebpf_maps:drain(M, [{progress, P}]), drained.",
    "ebpf_maps:to_list(M, [{progress, P}]), listed.",
    "halt().",
]
BAR = re.compile(r"\[#*\.*\] +\d+% \d+/\d+")


def in_a_terminal(cluster, ebin, lines, columns):
    """All that erl prints in one of so many columns."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(ours, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    command = ["erl", "-sname", cluster.name("tty"), "-pa", ebin]
    env = {**cluster.env, "TERM": "xterm"}
    process = spawn(command, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    printed = b""
    try:
        for line in lines:
            os.write(ours, f"{line}\r".encode())
        while select.select([ours], [], [], 30 * PATIENCE)[0]:
            printed += os.read(ours, 65536)
    except OSError:  # it has ended
        process.wait(30 * PATIENCE)
    finally:
        os.close(ours)
        kill(process)
    return printed.decode()


def typed(cnode):
    return [line.replace("%s", cnode.name) for line in TYPED]


def test_a_shell_draws_a_bar(cluster, cnode, ebin):
    printed = in_a_terminal(cluster, ebin, typed(cnode), 80)
    bars = BAR.findall(printed)
    assert all(len(bar) == 79 for bar in bars)
    of = rf"100% {MANY}/{MANY}"
    assert len(re.findall(rf"#\] {of}\s*\r\n", printed)) == 2
    assert len(re.findall(r"#\] 100% 0/0\s*\r\n", printed)) == 1
    assert any(f"/{MANY}" in bar and "100%" not in bar for bar in bars)
    for word in ("merged", "drained", "listed"):
        assert re.search(rf"\n{word}\r\n", printed)


def test_a_narrow_terminal_has_the_numbers_alone(cluster, cnode, ebin):
    printed = in_a_terminal(cluster, ebin, typed(cnode), 20)
    assert f"100% {MANY}/{MANY}" in printed
    assert not BAR.search(printed)


def test_a_file_has_no_bar(cluster, cnode, ebin):
    command = ["erl", "-sname", cluster.name("piped"), "-pa", ebin]
    printed = type_in(command, typed(cnode), cluster)
    assert "listed" in printed and "/" not in printed.split("ok", 1)[1]
    assert "\r" not in printed and not BAR.search(printed)
