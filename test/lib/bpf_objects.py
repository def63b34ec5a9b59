# SPDX-License-Identifier: Apache-2.0
"""Objects of eBPF programs, compiled where they are tried."""

import shutil
import subprocess
from pathlib import Path

import pytest


def compiled(source, folder, *defines):
    """The path of the object that a C file makes."""
    clang = shutil.which("clang")
    if not clang:
        pytest.skip("no clang here")
    built = folder / f"{source.stem}.o"
    command = [clang, "-target", "bpf", "-g", "-O2", "-Wall", "-Werror", "-c", *defines]
    for include in Path("/usr/include").glob("*-linux-gnu"):
        command += ["-idirafter", include]
    subprocess.run([*command, source, "-o", built], check=True)
    return built
