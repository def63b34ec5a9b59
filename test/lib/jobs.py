# SPDX-License-Identifier: Apache-2.0
"""Jobs of the loader's children, each done by one: run_job, without the loader."""

import array
import os
import socket
import struct
import subprocess
from collections import namedtuple

LOAD, INSTRUCTIONS, RUN, ATTACH, KEEP = range(5)
# enum loader_option, enum loader_result
OPTIONS = """types map_memory max_maps max_programs name log program no_programs map
max_entries value_size integer large bytes program_type attach_type attach_to type
license sleepable data context repeat cpu target""".split()
RESULTS = """program map variable btf return data context nanoseconds link log needs errno
rejected object badarg kept""".split()
HEAD = struct.Struct("=IIQII")
PART = struct.Struct("=QIIIIIIII")
NO_FD = 2**32 - 1
MAX_FDS = 253

Record = namedtuple("Record", "kind name fd number data")


class Ended(Exception):
    """The child gave no answer: the status says how it ended."""


def option(kind, name=None, *, fd=NO_FD, number=0, data=b""):
    name = name.encode() + b"\0" if name else b""
    head = HEAD.pack(OPTIONS.index(kind), fd, number % 2**64, len(name), len(data))
    return head + name + data + bytes(-len(name + data) % 8)


def results(data, fds):
    at = 0
    while at < len(data):
        kind, fd, number, name_size, size = HEAD.unpack_from(data, at)
        at += HEAD.size
        name = data[at : at + name_size].rstrip(b"\0").decode(errors="replace")
        body = data[at + name_size : at + name_size + size]
        at += name_size + size + -(name_size + size) % 8
        yield Record(RESULTS[kind], name, None if fd == NO_FD else fds[fd], number, body)


class Answer(list):
    """Its records; the descriptors are closed with it."""

    def __init__(self, data, fds):
        super().__init__(results(data, fds))
        self.fds = fds

    def of(self, kind):
        return [record for record in self if record.kind == kind]

    def one(self, kind):
        [record] = self.of(kind)
        return record

    def names(self, kind):
        return {record.name for record in self.of(kind)}

    def fd(self, kind, name):
        [record] = [record for record in self.of(kind) if record.name == name]
        return record.fd

    def close(self):
        for fd in self.fds:
            os.close(fd)
        self.fds = []


def receive(end):
    """(records, descriptors) of all parts."""
    data, fds = b"", []
    while True:
        room = socket.CMSG_SPACE(MAX_FDS * 4)
        part, ancillary, *_ = end.recvmsg(PART.size + 32768, room, socket.MSG_CMSG_CLOEXEC)
        if not part:
            return data, fds
        for _, _, numbers in ancillary:
            fds += array.array("i", numbers)
        data += part[PART.size :]


class Jobs:
    """What each gave is closed at the end."""

    def __init__(self, program):
        self.program = program
        self.answers = []

    def do(self, job, *options, object=b"", fds=(), words="all", env=None):
        records = b"".join(options)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memfd = os.memfd_create("request")
        os.write(memfd, records + object)
        numbers = [theirs.fileno(), job, words, len(records), len(object), memfd, *fds]
        with ours, theirs:
            child = subprocess.Popen(
                [self.program, *map(str, numbers)],
                pass_fds=[theirs.fileno(), memfd, *fds],
                stderr=subprocess.PIPE,
                env=env,
            )
            theirs.close()
            os.close(memfd)
            answer = Answer(*receive(ours))
            self.answers.append(answer)
            _, errors = child.communicate(timeout=60)
        if child.returncode:
            raise Ended(child.returncode, errors)
        return answer

    def close(self):
        for answer in self.answers:
            answer.close()
