# SPDX-License-Identifier: Apache-2.0
"""A server at the port of epmd that is none."""

import socket
import threading

REGISTERED = b"v\0\0\0\0\5"  # ALIVE2_X_RESP: it is, with a creation


class Impostor:
    """A server that does the same to whoever has asked it for something."""

    def __init__(self, port, act):
        self.act = act
        self.asked = 0
        self.open = []
        self.server = socket.create_server(("127.0.0.1", port))
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self):
        while True:
            try:
                client = self.server.accept()[0]
            except OSError:
                return
            if client.recv(1000):
                self.asked += 1
                threading.Thread(target=self.answer, args=[client], daemon=True).start()
            else:
                client.close()

    def answer(self, client):
        self.open.append(client)
        try:
            self.act(client)
        except OSError:
            pass

    def close(self):
        """Frees the port; once more does no harm."""
        if self.server.fileno() < 0:
            return
        self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()
        self.thread.join(10)
        for client in self.open:
            client.close()


def hang_up(client):
    client.sendall(REGISTERED)
    client.close()
