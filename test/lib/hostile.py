# SPDX-License-Identifier: Apache-2.0
"""What tests of hostile peers share: a siege, and what is thrown in it.

A siege is a C node of the test's own, an Erlang node that keeps calling it
while the test attacks, and a look at what the attack has left behind.
"""

import re
from collections import Counter
from pathlib import Path

import dist
import etf
import tls
from cluster import PATIENCE, SANITIZED, wait_until

HASH = ("hash", 4, 8, 4)

# A call of the bystander takes 0.2 ms, and mostly no more than thrice that while
# an attack goes on; what takes all processors makes it 30 times that. A node
# that is held up by one of its peers is so for a handshake (5 s), a tick time,
# or for good: no call may take as long, in time that the bystander has had itself.
SLOWEST_MS = 3000 * PATIENCE
SLOWER = 100  # times, at most, is what half of its calls take meanwhile
QUICK_US = 250 * PATIENCE  # of a host that is quicker, the others don't matter
CALLS = 20  # of each kind, from the beginning of the attack on

# Mostly 0 to 200 are kept; up to 1,100 after thousands of threads, whose stacks
# libc keeps for the next, and up to 1,800 after 9,000 maps, whose table stays.
# With TLS libc keeps up to 4,000 of what their sessions have freed.
KEPT_KIB = 6144 if tls.EVERYWHERE else 3072
CONNECTION_KIB = 256  # its buffers and the used part of its stack

# Compiled, not evaluated as other expressions of tests are: erl_eval's own work
# is most of what such a loop does, and an emulator of OTP 25.2 died of it.
SOURCE = Path(__file__).with_name("bystander.erl")
LOAD = """
{ok, bystander, Code} = compile:file(Path, [binary]),
{module, bystander} = code:load_binary(bystander, Path, Code).
"""


class Bystander:
    """Two processes of an Erlang node: one uses a map, one makes maps.

    How long their calls usually take is seen before it is here to be used.
    """

    def __init__(self, beam, node):
        self.beam = beam
        if beam.apply("erlang", "module_loaded", "bystander") != "true":
            beam.eval(LOAD, Path=list(str(SOURCE).encode()))
        self.pids = beam.apply("bystander", "start", node.name, SLOWEST_MS)
        self.wait_calls([0, 0])
        self.usual = {pid: us for pid, (_, us, _) in zip(self.pids, self.look())}
        beam.eval("[P ! mark || P <- Ps]", Ps=self.pids)

    def look(self):
        """(calls, µs that they usually take, what went wrong) of each."""
        limit = 20_000 * PATIENCE
        return self.beam.apply("bystander", "look", self.pids, limit, timeout=60)

    def counts(self):
        return [count for count, _, _ in self.look()]

    def wait_calls(self, since, number=CALLS):
        """Until each has made number more calls than those of since."""

        def enough():
            return all(n >= s + number for n, s in zip(self.counts(), since))

        wait_until(enough, 30, f"{number} calls of a bystander")

    def check(self):
        for pid, (calls, us, wrong) in zip(self.pids, self.look()):
            times = f"half of {calls} calls took {self.usual[pid]} µs, and then {us}"
            print(times)
            assert not wrong, f"{times}: {wrong}"
            assert us <= SLOWER * max(self.usual[pid], QUICK_US), times

    def stop_maker(self):
        """Where the attack is that nobody can make a map."""
        self.beam.eval("P ! stop", P=self.pids.pop())

    def stop(self):
        self.beam.eval("[P ! stop || P <- Ps]", Ps=self.pids)


def crowd(connect, many):
    """Peers that tick while others connect: all may take longer than a tick time."""
    peers = []
    for _ in range(many):
        peers.append(connect())
        if len(peers) % 16 == 0:
            for peer in peers:
                peer.tick()
    return peers


class Siege:
    """with siege(Options) as s: what is done to s.node harms no others.

    Whoever connects by s.connect() is disconnected at the end. Then calls are
    made as before, and descriptors, threads and memory are again what they
    were at the beginning.
    """

    patience = 20  # s, until what the attack has taken is given back

    def __init__(self, node, beam, connect):
        self.node = node
        self.beam = beam
        self.make_peer = connect
        self.peers = []

    def connect(self, **options):
        peer = self.make_peer(self.node, **options)
        self.peers.append(peer)
        return peer

    def again(self, peer):
        """A connection in place of one that has ended."""
        peer.close()
        self.peers.remove(peer)
        return self.connect()

    def close_peers(self):
        for peer in self.peers:
            peer.close()
        self.peers.clear()

    def __enter__(self):
        self.rehearse()
        self.bystander = Bystander(self.beam, self.node)
        wait_until(lambda: self.node.threads() == self.idle_threads + 1)
        self.before = self.resources()
        self.memory_before = self.node.anonymous_kib()
        self.calls_before = self.bystander.counts()
        return self

    def __exit__(self, kind, value, trace):
        try:
            if not kind:
                self.check()
        finally:
            self.bystander.stop()
            self.close_peers()

    def rehearse(self):
        """What an innocent crowd makes the node keep is not the attack's."""
        self.idle_threads = self.node.threads()
        self.peers += crowd(lambda: self.make_peer(self.node), 40)
        for peer in self.peers:
            peer.start_erpc("ebpf_maps", "nope", [bytes(1 << 17)])
        for peer in self.peers:
            assert peer.serves()
        self.close_peers()
        wait_until(lambda: self.node.threads() == self.idle_threads)

    def check(self):
        assert self.node.alive()
        self.bystander.wait_calls(self.calls_before)
        self.bystander.check()
        newcomer = self.connect()
        assert newcomer.serves()
        self.close_peers()
        try:
            wait_until(lambda: not self.kept(), self.patience)
        except AssertionError:
            raise AssertionError(f"the node keeps {self.kept()}") from None
        finally:
            print(f"{self.grown()} KiB more")
        self.bystander.check()

    # what the node holds

    def resources(self):
        kinds = Counter(re.sub(r"\d+", "N", d) for d in self.node.descriptors())
        return kinds, self.node.threads()

    def grown(self):
        return self.node.anonymous_kib() - self.memory_before

    def kept(self):
        """What the node has more than before the attack, in words.

        The bystander's Maker has a map more, or has not, at any time.
        """
        kinds, threads = self.resources()
        kinds_before, threads_before = self.before
        more = kinds - kinds_before - Counter({"anon_inode:bpf-map": 1})
        kept = [f"{n} descriptors of {kind}" for kind, n in more.items()]
        if threads > threads_before:
            kept.append(f"{threads - threads_before} threads")
        if not SANITIZED and self.grown() > KEPT_KIB:
            kept.append(f"{self.grown()} KiB")
        return ", ".join(kept)

    def crowd_keeps(self, connections):
        """As kept(), of memory, while so many peers are connected."""
        return self.grown() > KEPT_KIB + CONNECTION_KIB * connections


def throw(peer, data):
    """Whether the connection stands after such a packet."""
    try:
        peer.send_packet(data)
    except dist.Closed:
        return False
    return peer.serves(30)


# --- the forms of a request, as request.c has them, and of all other messages


def packet(control, *payload):
    """The bytes that follow a packet's length."""
    return b"p" + b"".join(map(etf.encode, (control, *payload)))


def spawn_request(peer, **parts):
    """A request of erpc, with parts of it replaced."""
    me = peer.pid()
    whole = {
        "op": dist.SPAWN_REQUEST,
        "id": peer.ref(),
        "sender": me,
        "leader": me,
        "mfa": ("erpc", "execute_call", 4),
        "options": ["monitor"],
        **parts,
    }
    args = whole.pop("args", [whole["id"], "ebpf_maps", "nope", []])
    return packet(tuple(whole.values()), args)


def requests(peer, module, function, args, filler=None):
    """{form: packet} of all in which a call can be asked for.

    filler stands in the control message, in the place of what does not matter.
    """
    me, ref = peer.pid(), peer.ref()
    leader = me if filler is None else filler
    cookie = "" if filler is None else filler
    mfa = (module, function, len(args) if isinstance(args, list) else 0)
    call = ("call", module, function, args, me)
    alias = etf.Improper(("alias",), ref)
    token = (1, 2, 3, me, 5)

    def spawn(mfa, args, *options):
        return spawn_request(
            peer, leader=leader, mfa=mfa, options=list(options), args=args
        )

    def rex(message, name="rex"):
        return packet((dist.REG_SEND, me, cookie, name), message)

    return {
        "erpc": spawn(
            ("erpc", "execute_call", 4), [ref, module, function, args], "monitor"
        ),
        "erpc with a token": packet(
            (30, ref, me, leader, ("erpc", "execute_call", 4), ["monitor"], token),
            [ref, module, function, args],
        ),
        "spawn": spawn(mfa, args),
        "spawn_monitor": spawn(mfa, args, "monitor"),
        "spawn_link": spawn(mfa, args, "link"),
        "spawn_opt": spawn(
            mfa, args, "link", ("monitor", [("alias", "demonitor")]), ("priority", "low")
        ),
        "cast": spawn(("erpc", "execute_cast", 3), [module, function, args]),
        "gen_server": rex(("$gen_call", (me, ref), call)),
        "gen_server by alias": rex(
            ("$gen_call", (me, alias), call)
        ),
        "block_call": rex(("$gen_call", (me, ref), ("block_call", *call[1:]))),
        "gen_server with a token": packet(
            (16, me, cookie, "rex", token), ("$gen_call", (me, ref), call)
        ),
        "ei_rpc": rex((me, ("call", module, function, args, "user"))),
        "sbcast": rex((me, ("sbcast", function, args))),
        "ping": rex(("$gen_call", (me, ref), ("is_auth", function)), "net_kernel"),
    }


def signals(peer):
    """{what: packet} of what asks for no call, each in a form that is right."""
    me, ref = peer.pid(), peer.ref()
    you = peer.pid(node=peer.remote_name)
    token = (1, 2, 3, me, 5)
    word = "anything"
    return {
        "link": packet((dist.LINK, me, you)),
        "send": packet((dist.SEND, "", you), word),
        "send_tt": packet((12, "", you, token), word),
        "exit": packet((dist.EXIT, me, you, word)),
        "exit_tt": packet((13, me, you, token, word)),
        "unlink": packet((dist.UNLINK, me, you)),
        "group_leader": packet((dist.GROUP_LEADER, me, you)),
        "exit2": packet((dist.EXIT2, me, you, word)),
        "exit2_tt": packet((18, me, you, token, word)),
        "monitor of a pid": packet((dist.MONITOR_P, me, you, ref)),
        "monitor of a name": packet((dist.MONITOR_P, me, word, ref)),
        "monitor of rex": packet((dist.MONITOR_P, me, "rex", ref)),
        "demonitor": packet((dist.DEMONITOR_P, me, you, ref)),
        "monitor_exit": packet((dist.MONITOR_P_EXIT, me, you, ref, word)),
        "payload_exit": packet((dist.PAYLOAD_EXIT, me, you), word),
        "payload_exit_tt": packet((25, me, you, token), word),
        "payload_exit2": packet((dist.PAYLOAD_EXIT2, me, you), word),
        "payload_exit2_tt": packet((27, me, you, token), word),
        "payload_monitor_exit": packet(
            (dist.PAYLOAD_MONITOR_P_EXIT, me, you, ref), word
        ),
        "spawn_reply": packet((dist.SPAWN_REPLY, ref, you, 0, me)),
        "spawn_reply_tt": packet((32, ref, you, 0, me, token)),
        "alias_send": packet((dist.ALIAS_SEND, me, ref), word),
        "alias_send_tt": packet((34, me, ref, token), word),
        "unlink_id": packet((dist.UNLINK_ID_OP, 5, me, you)),
        "unlink_id_ack": packet((dist.UNLINK_ID_ACK, 5, me, you)),
    }
