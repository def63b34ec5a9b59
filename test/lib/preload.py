# SPDX-License-Identifier: Apache-2.0
"""Libraries that tests put before libc, by LD_PRELOAD: built where they are used."""

import shutil
import subprocess


def build(source, folder):
    """The path of the library that a C file makes."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    built = folder / f"{source.stem}.so"
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror"]
    flags += ["-fno-builtin", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, source, "-o", built], check=True)
    return built
