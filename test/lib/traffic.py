# SPDX-License-Identifier: Apache-2.0
"""Records what nodes send to C nodes: pytest --record-traffic FILE.

It reads along on the loopback interface, so that the tests notice nothing. Of
each connection the handshake, which has to do with the cookie, is left out, and
so are packets of great length. FILE gets the packets of all connections, each
behind its length as it came, and one of length 0 at the end of each connection.
"""

import socket
import struct
import threading
import time

ETH_P_IP = 0x0800
SO_RCVBUFFORCE = 33
BUFFER = 64 << 20
MOST = 64 << 10  # bytes of a packet that is kept
SYN = 2


class Flow:
    """What one side of a connection sends."""

    def __init__(self, sequence):
        self.next = sequence
        self.early = {}
        self.bytes = bytearray()
        self.shaking_hands = True
        self.skip = 0
        self.packets = []

    def add(self, sequence, data):
        if (sequence - self.next) % (1 << 32) >= 1 << 31:
            return  # it came before
        self.early[sequence] = data
        while self.next in self.early:
            data = self.early.pop(self.next)
            self.bytes += data
            self.next = (self.next + len(data)) % (1 << 32)
        while self.take():
            pass

    def take(self):
        """Takes the next message in; False where it is not all there."""
        size = min(self.skip, len(self.bytes))
        del self.bytes[:size]
        self.skip -= size
        form = ">H" if self.shaking_hands else ">I"
        head = struct.calcsize(form)
        if self.skip or len(self.bytes) < head:
            return False
        end = head + struct.unpack_from(form, self.bytes)[0]
        if end > MOST:
            self.skip = end
            return True
        if len(self.bytes) < end:
            return False
        message = bytes(self.bytes[head:end])
        del self.bytes[:end]
        if not self.shaking_hands and message:
            self.packets.append(message)
        elif message[:1] == b"r":  # the last of a handshake
            self.shaking_hands = False
        return True


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
        while not self.stopped:
            try:
                data, address = self.socket.recvfrom(1 << 17)
            except TimeoutError:
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
        if flags & SYN and port in self.ports:
            self.flows[source, port] = Flow((sequence + 1) % (1 << 32))
            self.order.append(self.flows[source, port])
        elif payload and (source, port) in self.flows:
            self.flows[source, port].add(sequence, payload)

    def listen_to(self, port):
        self.ports.add(port)

    def close(self):
        time.sleep(1)  # for what has come; on a busy host more always does
        self.stopped = True
        self.thread.join()
        self.socket.close()
        with open(self.path, "wb") as file:
            for flow in self.order:
                for packet in flow.packets:
                    file.write(struct.pack(">I", len(packet)) + packet)
                file.write(bytes(4))
