# SPDX-License-Identifier: Apache-2.0
"""The processes beside us. Test runs side by side use the same ports and names,
each in a network namespace of its own: others than ours do not count.
"""

import os
from pathlib import Path
from typing import NamedTuple


class Process(NamedTuple):
    pid: int
    name: str
    env: dict  # {bytes: bytes}, as it was started


def processes():
    """Those in our network namespace; one that ends meanwhile is left out."""
    network = os.readlink("/proc/self/ns/net")
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(folder / "ns" / "net") != network:
                continue
            name = (folder / "comm").read_text().strip()
            environ = (folder / "environ").read_bytes()
        except OSError:
            continue
        env = dict(e.split(b"=", 1) for e in environ.split(b"\0") if b"=" in e)
        yield Process(int(folder.name), name, env)


def children(pid):
    """The ids of its child processes."""
    return [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
