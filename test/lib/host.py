# SPDX-License-Identifier: Apache-2.0
"""What differs from host to host: CPUs, where the cgroups are, pages."""

import ctypes
import os
from pathlib import Path

# Those that per-CPU values have a place for, online or not.
CPUS = ctypes.CDLL("libbpf.so.1").libbpf_num_possible_cpus()
PAGE = os.sysconf("SC_PAGE_SIZE")


def mounted(type):
    """The folders where file systems of that type are mounted."""
    with open("/proc/self/mounts") as f:
        rows = [line.split() for line in f]
    return [Path(row[1]) for row in rows if row[2] == type]


def cgroups():
    """The cgroup file system: alone, or beside those of version 1."""
    found = mounted("cgroup2")
    assert found, "no cgroup2 is mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup"
    return found[0]


CGROUPS = cgroups()
# What looks like cgroups and is of version 1; many hosts have none.
OLD_CGROUPS = mounted("cgroup")

