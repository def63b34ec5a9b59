# SPDX-License-Identifier: Apache-2.0
"""A client of TLS that can do what Python's ssl does not: new keys in mid stream."""

import ctypes
import os
import socket
import struct

libssl = ctypes.CDLL("libssl.so.3")
PEM, VERIFY_NONE = 1, 0
TLS_1_2, TLS_1_3 = 0x0303, 0x0304
CTRL_MIN, CTRL_MAX = 123, 124  # SSL_CTRL_SET_MIN_PROTO_VERSION and _MAX_
KEY_UPDATE_REQUESTED = 1

libssl.TLS_client_method.restype = ctypes.c_void_p
libssl.SSL_CTX_new.restype = ctypes.c_void_p
libssl.SSL_CTX_new.argtypes = [ctypes.c_void_p]
libssl.SSL_CTX_ctrl.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
libssl.SSL_new.restype = ctypes.c_void_p
libssl.SSL_new.argtypes = [ctypes.c_void_p]
for name in "SSL_CTX_free SSL_free SSL_connect SSL_renegotiate SSL_do_handshake".split():
    getattr(libssl, name).argtypes = [ctypes.c_void_p]
for name in "SSL_CTX_use_certificate_chain_file SSL_use_certificate_chain_file".split():
    getattr(libssl, name).argtypes = [ctypes.c_void_p, ctypes.c_char_p]
for name in "SSL_CTX_use_PrivateKey_file SSL_use_PrivateKey_file".split():
    getattr(libssl, name).argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
libssl.SSL_set_fd.argtypes = [ctypes.c_void_p, ctypes.c_int]
libssl.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
libssl.SSL_write.argtypes = libssl.SSL_read.argtypes = [
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_int,
]


class Client:
    """Over a connected socket, which blocks; its methods say whether they succeed."""

    def __init__(self, socket, identity, version):
        self.socket = socket
        self.version = version
        self.context = libssl.SSL_CTX_new(libssl.TLS_client_method())
        for bound in CTRL_MIN, CTRL_MAX:
            libssl.SSL_CTX_ctrl(self.context, bound, version, None)
        libssl.SSL_CTX_use_certificate_chain_file(self.context, os.fsencode(identity.certificate))
        libssl.SSL_CTX_use_PrivateKey_file(self.context, os.fsencode(identity.key), PEM)
        self.ssl = libssl.SSL_new(self.context)
        libssl.SSL_set_fd(self.ssl, socket.fileno())

    def shake_hands(self):
        return libssl.SSL_connect(self.ssl) == 1

    def become(self, identity):
        """From the next handshake on it shows another certificate."""
        libssl.SSL_use_certificate_chain_file(self.ssl, os.fsencode(identity.certificate))
        libssl.SSL_use_PrivateKey_file(self.ssl, os.fsencode(identity.key), PEM)

    def renew(self):
        """Asks for new keys; in TLS 1.2 that is a handshake, which it sees through."""
        if self.version == TLS_1_3:
            libssl.SSL_key_update(self.ssl, KEY_UPDATE_REQUESTED)
        else:
            libssl.SSL_renegotiate(self.ssl)
        return libssl.SSL_do_handshake(self.ssl) == 1

    def begin_to_renew(self):
        """The first message of a handshake, of which the rest does not come."""
        self.socket.setblocking(False)
        libssl.SSL_renegotiate(self.ssl)
        libssl.SSL_do_handshake(self.ssl)
        self.socket.setblocking(True)

    def send(self, data):
        return libssl.SSL_write(self.ssl, data, len(data)) == len(data)

    def receive(self, size):
        buffer = ctypes.create_string_buffer(size)
        n = libssl.SSL_read(self.ssl, buffer, size)
        return buffer.raw[:n] if n > 0 else b""

    def close(self):
        libssl.SSL_free(self.ssl)
        libssl.SSL_CTX_free(self.context)
        self.ssl = self.context = None
        self.socket.close()


class OverLibssl:
    """Instead of an identity, for a Peer: its socket is by a Client."""

    def __init__(self, identity, version):
        self.identity = identity
        self.version = version

    def wrap_socket(self, socket, **_):
        return Socket(Client(socket, self.identity, self.version))


class Socket:
    """As much of a socket as a Peer needs; it blocks for a time of its own."""

    SECONDS = 20

    def __init__(self, client):
        self.client = client
        client.socket.setblocking(True)
        for limit in socket.SO_RCVTIMEO, socket.SO_SNDTIMEO:
            client.socket.setsockopt(socket.SOL_SOCKET, limit, struct.pack("ll", self.SECONDS, 0))
        client.shake_hands()

    def settimeout(self, seconds):
        pass

    def sendall(self, data):
        if not self.client.send(data):
            raise ConnectionResetError

    def recv(self, size):
        return self.client.receive(size)

    def close(self):
        self.client.close()
