# SPDX-License-Identifier: Apache-2.0
"""The lock of what all connections share."""

import shutil
import subprocess
from pathlib import Path


def test_a_writer_is_not_starved_by_a_steady_stream_of_readers(srcdir, tmp_path):
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    source = Path(__file__).with_name("waiting_writer.c")
    program = tmp_path / "waiting_writer"
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-pthread", "-Wall", "-Wextra", "-Werror"]
    include = f"-I{srcdir / 'cnode'}"
    subprocess.run([compiler, *flags, include, source, "-o", program], check=True)
    assert subprocess.run([program], timeout=60).returncode == 0
