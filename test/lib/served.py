# SPDX-License-Identifier: Apache-2.0
"""What a C node serves, as it prints it."""

import subprocess


def served(program, module="ebpf_maps"):
    """{(name, arity)} of a module."""
    printed = subprocess.run(
        [program, "--functions"], capture_output=True, text=True, check=True
    )
    functions = set()
    for line in printed.stdout.split():
        of, function = line.split(":")
        name, arity = function.split("/")
        if of == module:
            functions.add((name, int(arity)))
    assert functions
    return functions
