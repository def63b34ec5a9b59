# SPDX-License-Identifier: Apache-2.0
"""Drives a real Erlang node.

A process in the node reads requests from a descriptor of its own, evaluates
them and answers in the external term format; standard input and output stay
the node's.  All evaluations of a node run in that one process, so messages
to self() wait from one to the next.
"""

import os
import select
import struct
import subprocess
import time

import etf
import tls
from cluster import PATIENCE, kill, spawn

LOOP = r"""
spawn(fun() ->
    Port = open_port({fd, %d, %d}, [{packet, 4}, binary, eof]),
    Try = fun(Fun, Old) ->
        try Fun() of {V, New} -> {{ok, V}, New}
        catch C:R:S -> {{raised, C, R, S}, Old}
        end
    end,
    Eval = fun(Text, Bound) ->
        {ok, Tokens, _} = erl_scan:string(binary_to_list(Text)),
        {ok, Parsed} = erl_parse:parse_exprs(Tokens),
        {value, V, New} = erl_eval:exprs(Parsed, Bound),
        {V, New}
    end,
    Empty = erl_eval:new_bindings(),
    Serve = fun Serve(Old) ->
        receive
            {Port, {data, Data}} ->
                {Answer, New} =
                    case binary_to_term(Data) of
                        {eval, Text, Given, Keep} ->
                            Bound = lists:foldl(
                                fun({K, V}, B) -> erl_eval:add_binding(K, V, B) end,
                                Old, Given),
                            {Result, All} = Try(fun() -> Eval(Text, Bound) end, Old),
                            {Result, case Keep of true -> All; false -> Old end};
                        {apply, M, F, A} ->
                            Try(fun() -> {apply(M, F, A), Old} end, Old);
                        forget ->
                            Flush = fun Flush() ->
                                receive
                                    {Port, eof} = Eof -> self() ! Eof;
                                    _ -> Flush()
                                after 0 -> ok
                                end
                            end,
                            process_flag(trap_exit, false),
                            {{ok, Flush()}, Empty}
                    end,
                port_command(Port, term_to_binary(Answer)),
                Serve(New);
            {Port, eof} ->
                halt(0)
        end
    end,
    Serve(Empty)
end).
"""


class BeamError(Exception):
    """An exception in the node; what erpc carried stands as it was raised."""

    def __init__(self, kind, reason, stack):
        super().__init__(kind, reason, stack)
        self.kind = kind
        self.reason = reason
        self.stack = stack


class BeamTimeout(Exception):
    pass


class Beam:
    def __init__(
        self,
        cluster,
        *args,
        sname=None,
        long_name=None,
        alive=True,
        paths=(),
        env=None,
        hint="beam",
        wrapper=(),
        identity=None,
        ipv6=False,
        ssl=None,
    ):
        """wrapper is a command that runs erl. With an identity it speaks TLS, see tls.py,
        with further options in ssl."""
        self.sname = sname or cluster.name(hint)
        self.name = long_name or f"{self.sname}@{cluster.host}"
        naming = ["-name", long_name] if long_name else ["-sname", self.sname]
        if not alive:
            naming = []
        self.output = open(cluster.home / f"{self.sname}.out", "w+b")
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [*wrapper, "erl", "-noinput", "-boot", "no_dot_erlang"]
        command += ["-start_epmd", "false", "-connect_all", "false"]
        command += [a for path in paths for a in ("-pa", path)]
        command += [*naming, *self._dist(cluster, identity, ipv6, ssl), *args]
        command += ["-eval", LOOP % (theirs_in, theirs_out)]
        self.process = spawn(
            command,
            env={**cluster.env, **(env or {})},
            pass_fds=(theirs_in, theirs_out),
            stdin=subprocess.DEVNULL,
            stdout=self.output,
            stderr=subprocess.STDOUT,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self.unanswered = 0
        try:
            self.eval("ok.", timeout=60)
        except BaseException:
            self.kill()
            raise

    def _dist(self, cluster, identity, ipv6, ssl):
        family = "inet6" if ipv6 else "inet"
        identity = tls.identity_for(identity, tls.host_of(self.name, cluster.host))
        if identity:
            return tls.beam_options(identity, f"{family}_tls", **(ssl or {}))
        return ["-proto_dist", "inet6_tcp"] if ipv6 else []

    @property
    def pid(self):
        return self.process.pid

    def printed(self):
        """All that the node has written to standard output and error."""
        with open(self.output.name, "rb") as f:
            return f.read().decode(errors="replace")

    def start_eval(self, text, keep=False, **bindings):
        """Has an expression evaluated; finish() gives its value."""
        text = text if text.rstrip().endswith(".") else text + "."
        given = list(bindings.items())
        self._send(("eval", text.encode(), given, keep))

    def start_apply(self, module, function, args):
        self._send(("apply", module, function, list(args)))

    def finish(self, timeout=20):
        answer = self._receive(timeout * PATIENCE)
        if answer[0] == "ok":
            return answer[1]
        _, kind, reason, stack = answer
        raise BeamError(kind, reason, stack)

    def eval(self, text, timeout=20, keep=False, **bindings):
        """The value of the expressions in text.

        Keywords bind Python values, so beam.eval("X + 1", X=2) is 3. With
        keep the next evaluations see what was bound.
        """
        self.start_eval(text, keep, **bindings)
        return self.finish(timeout)

    def apply(self, module, function, *args, timeout=20):
        self.start_apply(module, function, args)
        return self.finish(timeout)

    def rpc(self, node, function, *args):
        """rpc:call of a function of ebpf_maps in node."""
        return self.apply("rpc", "call", node, "ebpf_maps", function, list(args))

    def erpc(self, node, function, *args, timeout=15, module="ebpf_maps"):
        """erpc:call of a function that a C node serves; raises what it raised there."""
        limit = int(timeout * PATIENCE * 1000)
        request = [node, module, function, list(args), limit]
        try:
            value = self.apply("erpc", "call", *request, timeout=timeout + 5)
            return tls.usual_answer(function, value)
        except BeamError as e:
            match (e.kind, e.reason):
                case "error", ("exception", reason, stack):
                    raise BeamError("error", reason, stack) from None
                case "exit", ("exception", reason):
                    raise BeamError("exit", reason, []) from None
            raise

    def forget(self):
        """Drops the bindings and the messages of earlier evaluations, and answers that no one took."""
        while self.unanswered:
            self._receive(20 * PATIENCE)
        self._send("forget")
        self.finish()

    def connected(self):
        return self.apply("erlang", "nodes", "connected")

    def _send(self, term):
        self.unanswered += 1
        data = etf.encode(term)
        data = memoryview(struct.pack(">I", len(data)) + data)
        while data:
            data = data[os.write(self._out, data) :]

    def _receive(self, timeout):
        deadline = time.monotonic() + timeout
        size = struct.unpack(">I", self._read(4, deadline))[0]
        self.unanswered -= 1
        return etf.decode(self._read(size, deadline))

    def _read(self, size, deadline):
        parts = []
        while size:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._in], [], [], left)[0]:
                self.kill()
                raise BeamTimeout(f"{self.name} did not answer in time")
            part = os.read(self._in, min(size, 1 << 20))
            if not part:
                raise EOFError(f"{self.name} has ended:\n{self.printed()}")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def alive(self):
        return self.process.poll() is None

    def kill(self):
        kill(self.process)

    def close(self):
        """Kills the node and gives back what it held here; once only."""
        self.kill()
        os.close(self._in)
        os.close(self._out)
        self.output.close()
