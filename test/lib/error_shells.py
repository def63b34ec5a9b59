# SPDX-License-Identifier: Apache-2.0
"""The shells of Erlang and of Elixir, and what they print at an exception.

One start of a shell does for all cases of error_words.py: each is typed behind
a mark of its own.
"""

import os
import select
import subprocess
import time

from cluster import PATIENCE, kill, spawn


class Erl:
    """A call is typed as it stands."""

    command = ["erl", "-start_epmd", "false", "-connect_all", "false", "-sname"]
    end = "halt()."

    @staticmethod
    def greeting(world):
        pairs = ", ".join(f"{{_, {variable}}}" for variable in world.variables)
        words = f"erpc:call('{world.beam.name}', persistent_term, get, [words])"
        yield f"[{pairs}] = {words}, ok."
        for node in world.nodes.values():
            yield f"net_kernel:connect_node('{node.name}')."

    @staticmethod
    def mark(text):
        return f'io:put_chars("{text}\\n").'

    @staticmethod
    def lines(case, setting):
        yield f"application:set_env(ebpf_cnode, node, '{setting['node']}')."
        yield f"application:set_env(ebpf_cnode, timeout, {setting['timeout']})."
        yield f"{case.module}:{case.call}."

    @staticmethod
    def expected(case, words):
        for n, text in words.items():
            yield f"*** argument {n}: {text}" if n else f"*** {text}"


class Iex:
    """It gets a call as a text, and has it evaluated as Erlang."""

    flags = "-start_epmd false -connect_all false"
    command = ["iex", "--erl", flags, "--sname"]
    end = "System.halt()"
    ordinals = ["", "1st", "2nd", "3rd", "4th", "5th"]
    own = {
        "badkey": "(KeyError) key ",
        "badmap": "(BadMapError) expected a map, got: ",
    }

    @staticmethod
    def greeting(world):
        words = f':erpc.call(:"{world.beam.name}", :persistent_term, :get, [:words])'
        yield f"b = {words}; :ok"
        yield (
            "call = fn text -> {:ok, t, _} = :erl_scan.string(to_charlist(text));"
            " {:ok, e} = :erl_parse.parse_exprs(t); :erl_eval.exprs(e, b) end"
        )
        for node in world.nodes.values():
            yield f':net_kernel.connect_node(:"{node.name}")'

    @staticmethod
    def mark(text):
        return f'IO.puts("{text}")'

    @staticmethod
    def lines(case, setting):
        call = case.call.replace("\\", "\\\\").replace('"', '\\"').replace("#{", "\\#{")
        yield f":application.set_env(:ebpf_cnode, :node, :\"{setting['node']}\")"
        yield f":application.set_env(:ebpf_cnode, :timeout, {setting['timeout']})"
        yield f'call.("{case.module}:{call}.")'

    @classmethod
    def expected(cls, case, words):
        """Of two reasons Elixir makes exceptions with words of its own."""
        if case.reason in cls.own:
            yield cls.own[case.reason]
            return
        for n, text in words.items():
            yield f"* {cls.ordinals[n]} argument: {text}" if n else text


SHELLS = {"erl": Erl, "iex": Iex}


class Typed:
    """A shell that runs, and into which lines are typed."""

    def __init__(self, shell, cluster, ebin):
        self.shell = shell
        self.process = spawn(
            [*shell.command, cluster.name("typed"), "-pa", ebin],
            env=cluster.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.output = b""

    def type(self, lines, end):
        """Until a mark comes out; what has been printed up to then."""
        text = "".join(f"{line}\n" for line in [*lines, self.shell.mark(end)])
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()
        deadline = time.monotonic() + 30 * PATIENCE
        while f"{end}\n".encode() not in self.output:
            left = max(0, deadline - time.monotonic())
            ready = select.select([self.process.stdout], [], [], left)[0]
            part = os.read(self.process.stdout.fileno(), 1 << 16) if ready else b""
            assert part, f"{end} does not come:\n{self.output.decode()}"
            self.output += part
        printed, _, self.output = self.output.partition(f"{end}\n".encode())
        return " ".join(printed.decode().split())

    def greet(self, world):
        self.type(self.shell.greeting(world), "greeted")

    def type_all(self, cases, settings):
        return {
            str(case): self.type(self.shell.lines(case, setting), f"end of {n}")
            for n, (case, setting) in enumerate(zip(cases, settings))
        }

    def close(self):
        kill(self.process)
        self.process.stdin.close()
        self.process.stdout.close()
