# SPDX-License-Identifier: Apache-2.0
"""Sessions of the Erlang shell, as they stand in documents: typed anew."""

import re
import subprocess

from cluster import PATIENCE, kill, spawn

PROMPT = re.compile(r"^(\(\S+@\S+\)\d+> )", re.MULTILINE)


def steps_of(session):
    """(prompt, what was typed, what was printed) of each prompt."""
    parts = PROMPT.split(session)[1:]
    return [(p, *text.split("\n", 1)) for p, text in zip(parts[::2], parts[1::2])]


def plain(printed):
    """Without what differs from run to run: references and line breaks."""
    return "".join(re.sub(r"#Ref<[0-9.]+>", "#Ref", printed).split())


def type_in(lines, name, cluster, ebin):
    """All that an erl with the facade prints at that."""
    process = spawn(
        ["erl", "-sname", name, "-pa", ebin],
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


def check(session, cluster, ebin):
    """Has a session with ebpf@host typed anew; gives its number of steps.

    Fails where the shell says anything else than stands there.
    """
    name = re.match(r"\((\S+)@host\)", session.lstrip())[1]
    steps = steps_of(session.replace(f"{name}@host", f"{name}@{cluster.host}"))
    lines = [line for _, line, _ in steps] + ["halt()."]
    lines = [line.replace("ebpf@host", f"'ebpf@{cluster.host}'") for line in lines]
    seen = PROMPT.split(type_in(lines, name, cluster, ebin))[1:]
    left = seen[2 * len(steps) :]  # that of halt(), which may not come out
    assert len(seen) >= 2 * len(steps) and len(left) in (0, 2), seen
    for step, prompt, printed in zip(steps, seen[::2], seen[1::2]):
        assert prompt == step[0]
        assert plain(printed) == plain(step[2]), step[1]
    return len(steps)
