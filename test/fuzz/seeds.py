#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The fuzzers' seeds: packets that the tests have sent.

    seeds.py make RECORDED... > traffic     of pytest --record-traffic RECORDED
    seeds.py split traffic FOLDER           a folder for each fuzzer below it

traffic has one packet on each line, as a Python literal, and an empty line
between connections.  Names of nodes are replaced by those that the fuzzers know;
numbers of pids and references start at 1.  Of packets that differ only in
numbers and bytes it has one, and of each sort only a few.
"""

import ast
import collections
import hashlib
import re
import struct
import sys
from pathlib import Path

from type_seeds import types

NODE = b"ebpf@localhost"
PEER = b"peer@localhost"
HEADER = """\
# SPDX-License-Identifier: Apache-2.0
# Made by seeds.py from what the tests sent; it says how to read this.
"""

# In the order of world.c.
MAPS = """hash array percpu_hash percpu_array lru_hash lru_percpu_hash lpm_trie
queue stack bloom_filter array_of_maps hash_of_maps devmap devmap_hash cpumap
prog_array perf_event_array cgroup_array stack_trace sockmap inode_storage
task_storage ringbuf""".split()

MAX_PACKET = 2000  # bytes
EACH = 5  # packets of one kind that call the same function
PLAY = 12  # packets in a seed for fuzz_connection
WHOLE, WAITED_FOR, TOO_LONG, BORN_AGAIN, LESS_CAPABLE = 0, 3, 5, 11, 12


class Walker:
    """Walks over the terms of a packet; subclasses say what to write for each."""

    FIXED = {97: 1, 98: 4, 70: 8, 99: 31, 106: 0}
    ATOMS = {119: ">B", 115: ">B", 118: ">H", 100: ">H"}
    COUNTED = {107: ">H", 109: ">I"}
    ITEMS = {104: (">B", 1, 0), 105: (">I", 1, 0), 108: (">I", 1, 1), 116: (">I", 2, 0)}

    def __init__(self, data):
        self.data = data
        self.at = 0
        self.out = bytearray()

    def take(self, size):
        if self.at + size > len(self.data):
            raise ValueError("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def count(self, form):
        head = self.take(struct.calcsize(form))
        return head, struct.unpack(form, head)[0]

    def packet(self):
        """(control, payload or None), each without its version byte."""
        if self.take(1) != b"p":
            raise ValueError("no pass-through")
        parts = []
        while self.at < len(self.data):
            if self.take(1) != b"\x83":
                raise ValueError("no version")
            self.out = bytearray()
            self.term()
            parts.append(bytes(self.out))
        return parts

    def term(self):
        tag = self.take(1)[0]
        if tag in self.ATOMS:
            head, size = self.count(self.ATOMS[tag])
            self.atom(tag, self.take(size))
        elif tag in self.FIXED:
            self.number(tag, b"", self.take(self.FIXED[tag]))
        elif tag in self.COUNTED:
            head, size = self.count(self.COUNTED[tag])
            self.bytes(tag, head, self.take(size))
        elif tag in self.ITEMS:
            form, times, more = self.ITEMS[tag]
            head, count = self.count(form)
            self.out += bytes([tag]) + head
            for _ in range(count * times + more):
                self.term()
        elif tag in (110, 111):
            head, size = self.count(">B" if tag == 110 else ">I")
            self.number(tag, head, self.take(1 + size))
        elif tag == 88:
            self.out.append(tag)
            self.term()
            self.pid(self.take(12))
        elif tag == 90:
            head, words = self.count(">H")
            self.out += bytes([tag]) + head
            self.term()
            self.reference(self.take(4 + 4 * words))
        else:
            raise ValueError(f"tag {tag}")

    def atom(self, tag, text):
        self.out += bytes([tag]) + struct.pack(self.ATOMS[tag], len(text)) + text

    def number(self, tag, head, data):
        self.out += bytes([tag]) + head + data

    def bytes(self, tag, head, data):
        self.out += bytes([tag]) + head + data

    def pid(self, numbers):
        self.out += numbers

    def reference(self, numbers):
        self.out += numbers


class Plain(Walker):
    """Replaces names and numbers by those that the fuzzers know."""

    def __init__(self, data, node):
        super().__init__(data)
        self.node = node
        self.seen = {}

    def atom(self, tag, text):
        if b"@" in text:
            text = NODE if text == self.node else PEER
        super().atom(tag, text)

    def nth(self, numbers):
        return self.seen.setdefault(numbers, len(self.seen) + 1)

    def pid(self, numbers):
        self.out += struct.pack(">III", self.nth(numbers), 0, 7)

    def reference(self, numbers):
        words = len(numbers) // 4 - 1
        first = [self.nth(numbers)] if words else []  # hostile packets have none
        self.out += struct.pack(f">{1 + words}I", 7, *first, *[0] * (words - 1))


class Skeleton(Walker):
    """The common form of packets that differ only in values."""

    def number(self, tag, head, data):
        self.out.append(tag)

    bytes = number

    def pid(self, numbers):
        pass

    reference = pid


def name_of_node(packets):
    """The C node's name: that in the references of handles, or else the first other
    name."""
    handle = re.compile(rb"w\x08ebpf_mapZ\x00\x03[ws].([^\x00-\x20]+@[A-Za-z0-9._-]+)", re.S)
    for packet in packets:
        found = handle.search(packet)
        if found:
            return found[1]
    return None


def number_handles(packet):
    """A handle's reference gets the number of the world's map of its type."""
    pattern = rb"(w\x08ebpf_mapZ\x00\x03w\x0e" + NODE + rb")(.{16})w(.)(?=([a-z_]+))"

    def put(match):
        name = match[4][: match[3][0]].decode()
        number = MAPS.index(name) if name in MAPS else 0
        return match[1] + struct.pack(">IIII", 7, number, 0, 0) + b"w" + match[3]

    return re.sub(pattern, put, packet, flags=re.S)


def read_recorded(path):
    """Lists of packets, one for each connection."""
    data = Path(path).read_bytes()
    connections, packets = [], []
    at = 0
    while at < len(data):
        start = at + 4
        at = start + struct.unpack_from(">I", data, at)[0]
        if at > start:
            packets.append(data[start:at])
        else:
            connections.append(packets)
            packets = []
    return connections


def normalise(packet, node):
    parts = Plain(packet, node).packet()
    return number_handles(b"p" + b"".join(b"\x83" + part for part in parts))


def sort_of(packet):
    """The number of the control message, and the called function."""
    called = re.search(rb"w.(ebpf_(?:maps|programs|events))w(.)([a-z_]*)", packet, re.S)
    return packet[:6][-1], called and (called[1], called[3][: called[2][0]])


def make(paths):
    known = set()
    sorts = collections.Counter()
    sys.stdout.write(HEADER)
    for connection in (c for path in paths for c in read_recorded(path)):
        kept = []
        node = name_of_node(connection)
        for packet in connection:
            if len(packet) > MAX_PACKET or b"/tmp/" in packet:
                continue
            try:
                packet = normalise(packet, node)
                skeleton = b"".join(Skeleton(packet).packet())
            except ValueError:
                continue
            sort = sort_of(packet)
            if skeleton not in known and sorts[sort] < EACH:
                known.add(skeleton)
                sorts[sort] += 1
                kept.append(packet)
        if kept:
            sys.stdout.write("\n" + "".join(f"{packet!r}\n" for packet in kept))


def read_traffic(path):
    connections = [[]]
    for line in Path(path).read_text().splitlines():
        if line.startswith("#"):
            continue
        if line:
            connections[-1].append(ast.literal_eval(line))
        else:
            connections.append([])
    return [packets for packets in connections if packets]


def save(folder, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


def play(packets, first):
    kinds = [first] + [WHOLE] * (len(packets) - 1)
    if len(packets) > 4:
        kinds[3], kinds[4] = WAITED_FOR, TOO_LONG
    acts = zip(kinds, packets)
    return b"".join(struct.pack(">BH", k, len(p)) + p for k, p in acts)


def record(kind, fd, number, name, data):
    name = name + b"\0" if name else b""
    head = struct.pack("=IIQII", kind, fd, number, len(name), len(data))
    return head + name + data + bytes(-len(name + data) % 8)


def records():
    """What a child of the loader might say: one record, and several."""
    kinds = [
        record(kind, kind % 3, kind << 32 | 8, b"name"[: kind % 5], bytes(range(kind)))
        for kind in range(12)
    ]
    return kinds + [b"".join(kinds[i:]) for i in range(0, 12, 4)]


def jobs():
    """What the loader may be asked for: each option, with instructions behind it."""
    load_map = struct.pack("=BBhi", 0x18, 0x51, 0, 0) + bytes(8)
    code = load_map + struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0)
    perf = struct.pack("=I128s128s4xQIII??xxii", 10, b"", b"", 0, 0, 99, 0, 0, 0, -1, -1)
    target = perf.replace(struct.pack("=I", 10), struct.pack("=I", 0), 1)
    values = [b"", b"data", b"GPL", perf, target[:4] + b"syscalls" + target[12:]]
    common = record(17, 2**32 - 1, 6, b"", b"") + record(18, 0, 0, b"", b"GPL")
    for job in range(12):
        for kind in range(25):
            data = values[kind * (job + 1) % len(values)]
            options = common + record(kind, 2**32 - 1, kind % 3, b"", data)
            yield struct.pack("<BH", job, len(options)) + options + code
        for data in values[3:]:
            options = record(24, 2**32 - 1, 0, b"", data)
            yield struct.pack("<BH", job, len(options)) + options


TO_SESSION, TO_CLIENT, READ, WRITE, SAY, HEAR, RENEW, SETTLE, CHANGE, END = range(10)
ALL = 0xFFFF


def tls():
    """Plays for fuzz_tls: what both ends of a session do, and in which pieces it comes."""
    there = (SAY, 100), (TO_SESSION, ALL), (READ, 0)
    back = (WRITE, 300), (TO_CLIENT, ALL), (HEAR, 0)
    renewed = (RENEW, 256), *3 * ((TO_SESSION, ALL), (READ, 0), (TO_CLIENT, ALL), (HEAR, 0))
    plays = [
        [*there, *back],
        [(SAY, 40000), *8 * ((TO_SESSION, 7000), (READ, 9000))],
        [(WRITE, 40000), *8 * ((TO_CLIENT, 7000), (HEAR, 0))],
        [*renewed, *there, *back, *renewed, *back],
        [(RENEW, 0), (TO_SESSION, ALL), (READ, 0), *there, *back],
        [(RENEW, 256), (TO_SESSION, ALL), (SETTLE, 0), (WRITE, 9), (TO_CLIENT, ALL), (HEAR, 0)],
        [*there, (SAY, 60), (CHANGE, 20), (READ, 0), (WRITE, 5)],
        [(SAY, 3000), (TO_SESSION, 3), (READ, 1), (TO_SESSION, ALL), (READ, 1)],
        [*back, (END, 0), (TO_SESSION, ALL), (READ, 0), (WRITE, 1)],
    ]
    for version in (0, 1):
        for play in plays:
            steps = b"".join(struct.pack(">BH", *step) for step in play)
            yield bytes([version | 2]) + steps
            yield bytes([version | 2]) + steps + b"\xff\x08\x17\x03\x03\0\x03abc" + steps
        for record in (b"\x16\x03\x01\0\x05\1\0\0\1\3", b"\x15\x03\x03\0\x02\2\x28", bytes(21)):
            yield bytes([version]) + record


def split(path, folder):
    folder = Path(folder)
    for data in tls():
        save(folder / "tls", data)
    for data in jobs():
        save(folder / "jobs", data)
    for data in records():
        save(folder / "records", data)
    for data in types():
        save(folder / "types", data)
    for connection in read_traffic(path):
        for i, packet in enumerate(connection):
            save(folder / "dist", packet)
            save(folder / "rpc", b"\0" + packet)
            save(folder / "rpc", bytes([i % 64]) + packet)
            for part in Walker(packet).packet():
                save(folder / "term", part)
        for i in range(0, len(connection), PLAY):
            packets = connection[i : i + PLAY]
            first = (WHOLE, BORN_AGAIN, LESS_CAPABLE)[i // PLAY % 3]
            if first != WHOLE:
                packets = [b"", *packets]
            save(folder / "connection", play(packets, first))
    words = set()
    for connection in read_traffic(path):
        for packet in connection:
            words |= set(re.findall(rb"w[\x01-\x20][a-z_$]{2,}", packet))
    with open(folder / "words", "w") as file:
        for word in sorted(words):
            word = word[: 2 + word[1]]
            text = "".join(f"\\x{byte:02x}" for byte in word)
            file.write(f'"{text}"\n')


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", *paths] if paths:
            make(paths)
        case ["split", path, folder]:
            split(path, folder)
        case _:
            sys.exit(__doc__)
