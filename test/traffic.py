# SPDX-License-Identifier: Apache-2.0
"""Records what nodes send to C nodes: pytest --record-traffic FILE.

It reads along on the loopback interface, so that the tests notice nothing. Of
each connection the handshake, which has to do with the cookie, is left out.
FILE gets the packets of all connections, each behind its length as it came,
and one of length 0 at the end of each connection.
"""

import socket
import struct
import threading

ETH_P_IP = 0x0800
SO_RCVBUFFORCE = 33
BUFFER = 64 << 20
MOST = 4 << 20  # octets of a connection
SYN = 2


class Flow:
    """What one side of a connection sends."""

    def __init__(self, sequence):
        self.next = sequence
        self.early = {}
        self.octets = bytearray()

    def add(self, sequence, data):
        if (sequence - self.next) % (1 << 32) >= 1 << 31:
            return  # it came before
        self.early[sequence] = data
        while self.next in self.early:
            data = self.early.pop(self.next)
            if len(self.octets) < MOST:
                self.octets += data
            self.next = (self.next + len(data)) % (1 << 32)

    def packets(self):
        """Those behind the handshake, whose last message is an 'r'."""
        data = bytes(self.octets)
        at, kind = 0, b""
        while kind != b"r":
            kind = data[at + 2 : at + 3]
            if kind not in (b"N", b"s", b"r"):
                return
            at += 2 + struct.unpack_from(">H", data, at)[0]
        while at + 4 <= len(data):
            start = at + 4
            at = start + struct.unpack_from(">I", data, at)[0]
            if start < at <= len(data):
                yield data[start:at]


class Recorder:
    def __init__(self, path):
        self.path = path
        self.ports = set()
        self.flows = {}
        self.order = []
        self.socket = socket.socket(
            socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP)
        )
        self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
        self.socket.bind(("lo", ETH_P_IP))
        self.socket.settimeout(0.2)
        self.stopped = False
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while True:
            try:
                data, address = self.socket.recvfrom(1 << 17)
            except TimeoutError:
                if self.stopped:
                    return
                continue
            if address[2] == socket.PACKET_HOST:  # each comes twice
                self._take(data)

    def _take(self, data):
        start = (data[0] & 15) * 4
        if data[9] != socket.IPPROTO_TCP:
            return
        source, port, sequence = struct.unpack_from(">HHI", data, start)
        flags = data[start + 13]
        length = struct.unpack_from(">H", data, 2)[0] or len(data)
        payload = data[start + (data[start + 12] >> 4) * 4 : length]
        if flags & SYN:
            self.flows[source, port] = Flow((sequence + 1) % (1 << 32))
            self.order.append((port, self.flows[source, port]))
        elif payload and (source, port) in self.flows:
            self.flows[source, port].add(sequence, payload)

    def listen_to(self, port):
        self.ports.add(port)

    def close(self):
        self.stopped = True
        self.thread.join()
        self.socket.close()
        with open(self.path, "wb") as file:
            for port, flow in self.order:
                if port not in self.ports:
                    continue
                for packet in flow.packets():
                    file.write(struct.pack(">I", len(packet)) + packet)
                file.write(bytes(4))
