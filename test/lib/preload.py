# SPDX-License-Identifier: Apache-2.0
"""Libraries that tests put before libc, by LD_PRELOAD: built where they are used."""

import shutil
import subprocess
from pathlib import Path


def build(name, folder):
    """The path of the library that name.c makes, which lies beside this file."""
    source = Path(__file__).with_name(f"{name}.c")
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    built = folder / f"{name}.so"
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    flags += ["-fno-builtin", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-o", built], check=True)
    return built
