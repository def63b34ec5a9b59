# SPDX-License-Identifier: Apache-2.0
"""A raw client of the Erlang distribution protocol, able to misbehave.

It connects as a node of any name and creation that knows any cookie, sends
what it is told to and hands out the packets that come.
"""

import hashlib
import itertools
import random
import socket
import struct
import time

import etf
import tls
from cluster import PATIENCE, THIS_HOST

EXTENDED_REFERENCES = 0x4
DIST_MONITOR = 0x8
FUN_TAGS = 0x10
DIST_MONITOR_NAME = 0x20
NEW_FUN_TAGS = 0x80
EXTENDED_PIDS_PORTS = 0x100
EXPORT_PTR_TAG = 0x200
BIT_BINARIES = 0x400
NEW_FLOATS = 0x800
UTF8_ATOMS = 0x10000
MAP_TAG = 0x20000
BIG_CREATION = 0x40000
EXIT_PAYLOAD = 0x400000
HANDSHAKE_23 = 0x1000000
UNLINK_ID = 0x2000000
SPAWN = 1 << 32
V4_NC = 1 << 34
ALIAS = 1 << 35

FLAGS = (
    EXTENDED_REFERENCES
    | DIST_MONITOR
    | FUN_TAGS
    | DIST_MONITOR_NAME
    | NEW_FUN_TAGS
    | EXTENDED_PIDS_PORTS
    | EXPORT_PTR_TAG
    | BIT_BINARIES
    | NEW_FLOATS
    | UTF8_ATOMS
    | MAP_TAG
    | BIG_CREATION
    | EXIT_PAYLOAD
    | HANDSHAKE_23
    | UNLINK_ID
    | SPAWN
    | V4_NC
    | ALIAS
)

LINK = 1
SEND = 2
EXIT = 3
UNLINK = 4
REG_SEND = 6
GROUP_LEADER = 7
EXIT2 = 8
MONITOR_P = 19
DEMONITOR_P = 20
MONITOR_P_EXIT = 21
PAYLOAD_EXIT = 24
PAYLOAD_EXIT2 = 26
PAYLOAD_MONITOR_P_EXIT = 28
SPAWN_REQUEST = 29
SPAWN_REPLY = 31
ALIAS_SEND = 33
UNLINK_ID_OP = 35
UNLINK_ID_ACK = 36

WITH_PAYLOAD = {2, 6, 12, 16, 18, 22, 23, 24, 25, 26, 27, 28, 29, 30, 33, 34}

# Of a packet in the handshake: TLS has the length of all others from the first on.
SHORT, SHORT_TLS = struct.Struct(">H"), struct.Struct(">I")


class Closed(Exception):
    """The other side has disconnected."""


class Refused(Exception):
    """The handshake did not come to its end."""


def digest(cookie, challenge):
    return hashlib.md5(f"{cookie}{challenge}".encode()).digest()


def listen():
    s = socket.create_server(("127.0.0.1", 0))
    s.settimeout(10 * PATIENCE)
    return s


def framed(packet):
    return struct.pack(">I", len(packet)) + packet


def short_size(size):
    """The length of a packet in the handshake, as most peers of this run send it."""
    return (SHORT_TLS if tls.EVERYWHERE else SHORT).pack(size)


def short(packet):
    return short_size(len(packet)) + packet


class Peer:
    def __init__(
        self,
        port,
        name="python@nowhere",
        creation=None,
        cookie="",
        receive_buffer=None,
        host="127.0.0.1",
        identity=None,
    ):
        """receive_buffer is of the kernel's, in bytes; None is its default. With an
        identity it speaks TLS, see tls.py."""
        self.name = name
        self.creation = creation or random.randrange(1 << 16, 1 << 32)
        self.cookie = cookie
        self.remote_name = None
        self.remote_creation = None
        self.remote_flags = None
        self.buffer = bytearray()
        self.numbers = itertools.count(1)
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(10 * PATIENCE)
        try:
            self.socket.connect((host, port))
        except OSError:
            self.socket.close()
            raise
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        identity = tls.identity_for(identity, tls.host_of(name, THIS_HOST))
        self.short = SHORT_TLS if identity else SHORT
        if identity:
            self.socket = tls.wrap(self.socket, identity)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends the connection by RST, not FIN; what is under way is lost."""
        self.socket.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        self.socket.close()

    # the handshake

    def handshake(self, flags=FLAGS):
        name = self.name.encode()
        hello = b"N" + struct.pack(">QIH", flags, self.creation, len(name)) + name
        self.send_short(hello)
        status = self.receive_short()
        if status == b"salive":
            self.send_short(b"strue")
        elif status not in (b"sok", b"sok_simultaneous"):
            raise Refused(status)
        answer = self.receive_short()
        if answer[:1] != b"N":
            raise Refused(answer)
        head = struct.unpack(">QIIH", answer[1:19])
        self.remote_flags, challenge, self.remote_creation, _ = head
        self.remote_name = answer[19:].decode()
        mine = random.randrange(1 << 32)
        proof = digest(self.cookie, challenge)
        self.send_short(b"r" + struct.pack(">I", mine) + proof)
        if self.receive_short() != b"a" + digest(self.cookie, mine):
            raise Refused("a wrong answer to our challenge")
        return self

    def send_short(self, data):
        self.send_raw(self.short.pack(len(data)) + data)

    def receive_short(self, timeout=10):
        deadline = time.monotonic() + timeout * PATIENCE
        try:
            (size,) = self.short.unpack(self.read(self.short.size, deadline))
            return self.read(size, deadline)
        except Closed as e:
            raise Refused(e) from None

    # bytes

    def send_raw(self, data):
        self.socket.settimeout(20 * PATIENCE)
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError) as e:
            raise Closed(e) from None

    def read(self, size, deadline):
        while len(self.buffer) < size:
            self.socket.settimeout(max(deadline - time.monotonic(), 0.001))
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError as e:
                raise Closed(e) from None
            if not data:
                raise Closed("end of file")
            self.buffer += data
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def pending(self):
        """Bytes that have been read from the network and can be had at once."""
        return self.socket.pending() if isinstance(self.socket, tls.Socket) else 0

    # packets

    def send_packet(self, data):
        self.send_raw(framed(data))

    def tick(self):
        self.send_packet(b"")

    def send(self, control, *payload):
        """A control message, with at most one payload."""
        terms = map(etf.encode, (control, *payload))
        self.send_packet(b"p" + b"".join(terms))

    def receive_packet(self, timeout=10):
        """The next packet as it came; b"" is a tick."""
        return self.packet_by(time.monotonic() + timeout * PATIENCE)

    def packet_by(self, deadline):
        size = struct.unpack(">I", self.read(4, deadline))[0]
        return self.read(size, deadline)

    def receive(self, timeout=10):
        """(control, payload or None) of the next packet; answers ticks."""
        return self.message_by(time.monotonic() + timeout * PATIENCE)

    def message_by(self, deadline):
        while not (packet := self.packet_by(deadline)):
            self.tick()
        if packet[:1] != b"p":
            raise ValueError(f"no pass-through packet: {packet[:20].hex()}")
        control, rest = etf.decode_prefix(packet[1:])
        return control, (etf.decode(rest) if rest else None)

    def receive_until(self, wanted, timeout=10):
        """The next (control, payload) for which wanted(control, payload)."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            message = self.message_by(deadline)
            if wanted(*message):
                return message

    def wait_closed(self, timeout=10):
        """Reads and drops what comes until the other side hangs up."""
        deadline = time.monotonic() + timeout * PATIENCE
        while True:
            try:
                self.read(1, deadline)
            except Closed:
                return

    # messages

    def pid(self, node=None):
        creation = self.remote_creation if node == self.remote_name else self.creation
        return etf.pid(node or self.name, next(self.numbers), 0, creation)

    def ref(self):
        words = [next(self.numbers), random.randrange(1 << 32), 77]
        return etf.ref(self.name, words, self.creation)

    def reg_send(self, name, message, sender=None):
        self.send((REG_SEND, sender or self.pid(), "", name), message)

    def rex(self, module, function, args, timeout=10):
        """A call as ei_rpc makes it; gives what rpc:call would give."""
        me = self.pid()
        call = ("call", module, function, list(args), "user")
        self.reg_send("rex", (me, call), me)
        control, payload = self.receive_until(
            lambda c, p: c[0] in (SEND, 22) and c[2] == me, timeout
        )
        tag, value = payload
        assert tag == "rex", payload
        return value

    def start_erpc(self, module, function, args, sender=None):
        """Sends erpc's spawn request; gives its request id."""
        sender = sender or self.pid()
        request = self.ref()
        mfa = ("erpc", "execute_call", 4)
        control = (SPAWN_REQUEST, request, sender, sender, mfa, ["monitor"])
        self.send(control, [request, module, function, list(args)])
        return request

    def finish_erpc(self, request, timeout=10):
        """(kind, ...) as the spawned process exited, without its request id."""

        def ours(control, payload):
            if control[0] == SPAWN_REPLY and control[1] == request:
                assert isinstance(control[4], etf.Opaque), control
            return control[0] in (MONITOR_P_EXIT, 28) and control[3] == request

        control, payload = self.receive_until(ours, timeout)
        reason = payload if control[0] == 28 else control[4]
        assert reason[0] == request, reason
        return reason[1:]

    def erpc(self, module, function, args, timeout=10):
        """erpc:call by hand: ("return", Value), ("error", Reason, Stack)..."""
        return self.finish_erpc(self.start_erpc(module, function, args), timeout)

    def wait_exit(self, request, timeout=10):
        """Waits for the end of what was spawned, and does not look into it."""
        deadline = time.monotonic() + timeout * PATIENCE
        reply = b"p" + bytes([etf.VERSION, 104, 5, 97, SPAWN_REPLY])
        while True:
            left = max(deadline - time.monotonic(), 0.001) / PATIENCE
            packet = self.receive_packet(left)
            if request.raw in packet and not packet.startswith(reply):
                return packet

    def serves(self, timeout=10):
        """Whether a request is answered; False where the node has disconnected.

        Answers to requests from before are dropped.
        """
        try:
            self.wait_exit(self.start_erpc("ebpf_maps", "nope", []), timeout)
            return True
        except Closed:
            return False

    def maps(self, function, *args, module="ebpf_maps"):
        """The value of a function."""
        kind, *rest = self.erpc(module, function, args)
        if kind != "return":
            raise AssertionError((kind, *rest))
        return tls.usual_answer(function, rest[0])
