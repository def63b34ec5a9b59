# SPDX-License-Identifier: Apache-2.0
"""Peers that hold the memory of a C node, so that others meet its limit."""

import fcntl
import re
import select
import struct
import termios
import time
from pathlib import Path

import dist
from cluster import wait_until
from hostile import spawn_request
from syscall_numbers import NUMBERS

KIB = 1 << 10
MIB = 1 << 20
ENOMEM = ("error", "enomem")
MESSAGE = 4 * MIB
BUDGET = 4 * MESSAGE
OPTIONS = ("--max-message", MESSAGE, "--max-memory", BUDGET)
FREE = 64 * KIB  # of a buffer that does not count
PUT = ("ebpf_maps", "put")
WORDS = rf"--max-memory {BUDGET}"


def queued(node, peer):
    """Bytes that the node's end of a connection has, and has not read."""
    mine = peer.socket.getsockname()[1]
    ends = f":{node.port:04X} [0-9A-F]+:{mine:04X}"
    with open("/proc/net/tcp") as f:
        found = re.search(rf"{ends} \w\w \w+:(\w+)", f.read())
    return int(found[1], 16) if found else 0


def unsent(peer):
    return struct.unpack("i", fcntl.ioctl(peer.socket, termios.TIOCOUTQ, bytes(4)))[0]


def is_taken(node, peer):
    """Whether the node has read all that was sent."""
    return unsent(peer) == 0 and queued(node, peer) == 0


def wait_taken(node, peer, asks=None):
    """Who asks next may be one that is not to be silent meanwhile."""

    def taken():
        if asks:
            asks.tick()
        return is_taken(node, peer)

    wait_until(taken, 20, "the node has read it")


def has_come(peer):
    return bool(peer.pending() or select.select([peer.socket], [], [], 0)[0])


def is_refused(peer):
    """Whether an answer says so, among the ticks that came."""
    while has_come(peer):
        peer.buffer += peer.socket.recv(64 * KIB)
    return b"enomem" in peer.buffer


LEFT = 4 * KIB  # of a request that is under way


def begin(peer, size):
    """A request of so many bytes and some, but for its end, which it gives."""
    data = dist.framed(spawn_request(peer, args=[0, *PUT, [0, bytes(size), bytes(LEFT)]]))
    peer.send_raw(data[:-LEFT])
    return data[-LEFT:]


def hold(node, peer, size, asks=None):
    """Whether the node keeps the beginning of such a request, or refuses it."""
    begin(peer, size)
    wait_taken(node, peer, asks)
    return not is_refused(peer)


def waits_to_send(node):
    """How many of its threads wait for a socket to take an answer in."""
    calls = Path(f"/proc/{node.pid}/task").glob("*/syscall")
    return sum(call.read_text().startswith(f"{NUMBERS['sendto']} ") for call in calls)


def use_up(node, connect):
    """Holds all but less than 128 KiB of the budget; gives who does."""
    holders = []
    threads = node.threads()
    size = MESSAGE
    while size > FREE:
        peer = connect(node)
        if hold(node, peer, size - 8 * KIB):
            holders.append(peer)
        else:
            peer.close()
            size //= 2
    assert len(holders) > 3
    wait_until(lambda: node.threads() <= threads + len(holders))
    return holders


def give_back(node, holders):
    """Their threads free it, after what they log."""
    start, threads = node.mark(), node.threads()
    for peer in holders:
        peer.close()
    for peer in holders:
        node.wait_log(f"disconnected {peer.name}", start=start)
    wait_until(lambda: node.threads() <= threads - len(holders))


def bulk(peer):
    """A map with entries of more than is left, and the requests for them."""
    large = peer.maps("new", "array", 4, MIB, 3)
    small = peer.maps("new", "hash", 4, 8, 20_000)
    peer.maps("merge", small, [(i, i) for i in range(10_000)])
    return {
        "get": ["get", 0, large],
        "find": ["find", 0, large],
        "to_list": ["to_list", small],
        "keys": ["keys", small],
        "with": ["with", list(range(10_000, 20_000)), small],
        "merge": ["merge", small, [(i, i) for i in range(10_000)]],
        "put": ["put", 0, bytes(MIB), large],
    }


def want(asks, map, meanwhile):
    """Asks for a value of 3 MiB until there is memory for it."""
    answers = []

    def is_answered():
        meanwhile()
        answers.append(asks.erpc("ebpf_maps", "get", [0, map], 20))
        time.sleep(0.1)
        return answers[-1][:2] != ENOMEM

    wait_until(is_answered, 30, "there is memory again")
    assert len(answers) > 1
    assert answers[-1] == ("return", bytes(3 * MIB))


def dribble(peers):
    """A byte more of what each has begun to send."""
    for peer in peers:
        try:
            peer.send_raw(b"j")
        except dist.Closed:
            pass


SLOW = ("--ticktime", "6", *OPTIONS)
