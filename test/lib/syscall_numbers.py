# SPDX-License-Identifier: Apache-2.0
"""The system calls of this machine: NUMBERS[name]."""

import re
import subprocess


def preprocess(text, *options):
    command = ["cc", "-E", "-P", *options, "-include", "sys/syscall.h", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return done.stdout


def numbers():
    """{name: number} of the system calls of this machine, by the headers of libc."""
    names = re.findall(r"define SYS_(\w+) ", preprocess("", "-dM"))
    told = preprocess("".join(f"@{name} SYS_{name}\n" for name in names))
    return {name: int(n) for name, n in re.findall(r"@(\w+) (\d+)\b", told)}


NUMBERS = numbers()
