# SPDX-License-Identifier: Apache-2.0
"""C nodes that keep their handles over a restart, and the folder where they do."""

import os
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

FS = Path("/sys/fs/bpf")


class Kept:
    """A C node with --keep, which is started anew under the same name."""

    def __init__(self, start_cnode, folder, beam):
        self.start_cnode = start_cnode
        self.folder = folder
        self.beam = beam
        self.sname = start_cnode.cluster.name("kept")
        self.options = ()
        self.node = None

    def start(self, *options, **others):
        """Options are those of the starts that follow, too."""
        self.options = options or self.options
        others.setdefault("sname", self.sname)
        self.node = self.start_cnode("--keep", self.folder, *self.options, **others)
        return self

    def end(self, how=signal.SIGKILL):
        """By a signal, and all the same whether it may end as it likes."""
        if how == signal.SIGKILL:
            self.node.kill()
        else:
            self.node.stop(how)

    def again(self, how=signal.SIGKILL, *options, **others):
        self.end(how)
        return self.start(*options, **others)

    @property
    def name(self):
        return self.node.name

    @property
    def programs(self):
        from program_fixtures import Programs  # a plugin as this is

        return Programs(self.beam, self.node)

    def call(self, function, *args, beam=None, **options):
        return (beam or self.beam).erpc(self.name, function, *args, **options)

    def __getattr__(self, function):
        return lambda *args, **options: self.call(function, *args, **options)

    def pins(self):
        """The names of what is pinned for handles."""
        return sorted(name for name in os.listdir(self.folder) if name.startswith("h"))

    def handles(self, beam=None):
        return self.call("handles", beam=beam)


@pytest.fixture
def kept_folder(tmp_path):
    folder = FS / f"kept_{tmp_path.name}_{os.getpid()}".replace(".", "_")
    yield folder
    with suppress(FileNotFoundError):
        shutil.rmtree(folder)


@pytest.fixture
def kept(start_cnode, kept_folder, alice):
    """Not started yet."""
    return Kept(start_cnode, kept_folder, alice)
