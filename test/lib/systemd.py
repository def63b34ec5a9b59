# SPDX-License-Identifier: Apache-2.0
"""A systemd of the test's own, which runs real units.

It is process 1 of its own namespaces, with this host's files below an overlay:
what it writes to /etc, and what is installed there, nobody else sees. The
network is the host's. It starts no unit that it is not asked to start.
"""

import os
import subprocess
import threading
from pathlib import Path

from cluster import PATIENCE, kill, spawn, wait_until
from host import CGROUPS

# $1: a folder for layers; $2: what is laid over the host's files; $3: a pipe
# that is taken for the kernel's log.
INIT = r"""
set -e
mount --make-rprivate /
mount -t proc proc /proc
for d in /proc/sys /sys; do
	mount --bind "$d" "$d"
	mount -o remount,bind,ro "$d"
done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t bpf -o mode=0700 bpf /sys/fs/bpf
mount --bind "$3" /dev/kmsg
[ ! -e /dev/console ] || mount --bind /dev/null /dev/console
mount -t tmpfs layers "$1"
mkdir "$1/over" "$1/work"
cp -a "$2/." "$1/over"
mkdir -p "$1/over/etc" "$1/over/var"
for d in "$1"/over/*; do
	top=/${d##*/}
	mkdir "$1/work$top"
	mount -t overlay -o "lowerdir=$top,upperdir=$d,workdir=$1/work$top" \
		overlay "$top"
done
mount -t tmpfs -o mode=0755 run /run
mount -t tmpfs -o mode=1777 tmp /tmp
mount -t tmpfs -o mode=1777 tmp /var/tmp
# systemd passes credentials on by mounts that a child of it makes
mount --make-rshared /
mkdir -p /run/systemd/system
printf '[Unit]\nDescription=nothing\nDefaultDependencies=no\n' \
	>/run/systemd/system/nothing.target
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin \
	/lib/systemd/systemd --system --unit=nothing.target \
	--log-target=kmsg --log-level=info --show-status=no
"""


class Systemd:
    """tree is laid over the host's files."""

    def __init__(self, folder, tree):
        self.folder = folder
        self.tree = tree
        self.lines = []
        self.readers = []
        self.end_of_log = None
        self.cgroup = CGROUPS / f"ebpf_cnode_test_{os.getpid()}"
        self.process = self.pid = None

    def start(self):
        layers, log = self.folder / "layers", self.folder / "kmsg"
        layers.mkdir()
        os.mkfifo(log)
        self.cgroup.mkdir()
        # Only what is in its cgroup is in the namespace: no process above it.
        enter = f'echo 0 >"{self.cgroup}/cgroup.procs"; exec unshare --cgroup "$@"'
        namespaces = "--mount --pid --fork --kill-child --ipc --uts".split()
        self.process = spawn(
            ["unshare", *namespaces, "sh", "-c", enter, "sh"]
            + ["sh", "-c", INIT, "sh", layers, self.tree, log],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        # ours for writing too: no writer that goes is the last one
        reading = os.fdopen(os.open(log, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
        os.set_blocking(reading.fileno(), True)
        self.end_of_log = os.open(log, os.O_WRONLY | os.O_CLOEXEC)
        for file in (reading, self.process.stderr):
            self.readers.append(threading.Thread(target=self._read, args=[file]))
            self.readers[-1].start()
        wait_until(self.is_running, 30, "systemd runs")

    def _read(self, file):
        with file:
            for line in file:
                self.lines.append(line.decode(errors="replace").rstrip())

    def is_running(self):
        if self.process.poll() is not None:
            self.readers[1].join(10)
            raise AssertionError(f"systemd has ended:\n{self.log}")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        self.pid = children.read_text().strip()
        if not self.pid:
            return False
        told = self.run("systemctl", "is-system-running", check=False)
        return told.stdout.strip() in ("running", "degraded")

    @property
    def log(self):
        return "\n".join(self.lines)

    def run(self, *command, check=True):
        """Runs a command among its processes, and gives what became of it."""
        enter = ["nsenter", "-t", self.pid, "-m", "-p", "-i", "-u", "-C"]
        done = subprocess.run(
            [*enter, *(str(part) for part in command)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60 * PATIENCE,
            env={"PATH": os.environ["PATH"], "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8"},
        )
        what = f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
        assert not check or done.returncode == 0, f"{what}\n{self.log}"
        return done

    def show(self, unit, name):
        """A property of a unit, as systemctl(1) shows it."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).stdout.strip()

    def write(self, path, text, mode=0o644):
        """A file as its processes see it."""
        write = 'mkdir -p "${1%/*}" && printf %s "$2" >"$1" && chmod "$3" "$1"'
        self.run("sh", "-c", write, "sh", path, text, f"{mode:o}")

    def stop(self):
        if self.process:
            kill(self.process)
        if self.end_of_log is not None:
            os.close(self.end_of_log)
        for reader in self.readers:
            reader.join(10)
        wait_until(self._remove_cgroups, 10, "its cgroups can be removed")

    def _remove_cgroups(self):
        """False: there are still processes in them, or what is left of some."""
        for folder, _, _ in os.walk(self.cgroup, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                return False
        return True
