# SPDX-License-Identifier: Apache-2.0
"""Sessions of the shells of Erlang and Elixir, as they stand in documents: typed anew."""

import re
import subprocess

from cluster import PATIENCE, kill, spawn

PROMPT = re.compile(r"^((?:iex)?\(\S+@\S+\)\d+> )", re.MULTILINE)
SHELLS = {
    "": (["erl", "-sname"], "halt()."),
    "iex": (["iex", "--dot-iex", "/dev/null", "--sname"], "System.halt()"),
}


def steps_of(session):
    """(prompt, what was typed, what was printed) of each.

    What takes several lines has its prompt at each of them, as in a terminal.
    """
    parts = PROMPT.split(session)[1:]
    steps = []
    for prompt, text in zip(parts[::2], parts[1::2]):
        typed, printed = text.split("\n", 1)
        if steps and steps[-1][0] == prompt:
            typed = f"{steps.pop()[1]}\n{typed}"
        steps.append((prompt, typed, printed))
    return steps


def plain(printed):
    """Without what differs from run to run: references and line breaks."""
    return "".join(re.sub(r"#Ref(erence)?<[0-9.]+>", "#Ref", printed).split())


def type_in(command, lines, cluster):
    """All that a shell prints at that."""
    process = spawn(
        command,
        env=cluster.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        typed = "".join(f"{line}\n" for line in lines)
        return process.communicate(typed.encode(), 30 * PATIENCE)[0].decode()
    finally:
        kill(process)


def on_this_host(session, cluster):
    """The session, on the host that is called host in documents."""
    session = re.sub(r"(\(\w+@)host\)", rf"\1{cluster.host})", session)
    return re.sub(r"(?<![\w'])(\w+)@host\b", rf"'\1@{cluster.host}'", session)


def check(session, cluster, ebin, wrapper=()):
    """Has a session typed anew; gives its number of steps.

    Fails where the shell says anything else than stands there. wrapper is a command
    that runs the shell.
    """
    session = on_this_host(session, cluster)
    shell, name, host = re.match(r"\s*(\w*)\((\w+)@([\w.]+)", session).groups()
    if host == "localhost":
        name = f"{name}@localhost"
    command, halt = SHELLS[shell]
    steps = steps_of(session)
    lines = [line for _, line, _ in steps] + [halt]
    printed = type_in([*wrapper, *command, name, "-pa", ebin], lines, cluster)
    seen = PROMPT.split(printed)[1:]
    left = seen[2 * len(steps) :]  # that of the halt, which may not come out
    assert len(seen) >= 2 * len(steps) and len(left) in (0, 2), seen
    for step, prompt, printed in zip(steps, seen[::2], seen[1::2]):
        assert prompt == step[0]
        assert plain(printed) == plain(step[2]), step[1]
    return len(steps)
