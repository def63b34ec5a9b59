# SPDX-License-Identifier: Apache-2.0
"""Instructions of eBPF programs, as bytes."""

import struct

LOAD_IMM, MOVE, MOVE_FROM, ADD_TO, EXIT, CALL = 0x18, 0xB7, 0xBF, 0xDB, 0x95, 0x85
GET_CURRENT_TASK = 35
# where a load of 64 bits takes its number from
FD, FD_VALUE, BTF_ID, FUNCTION, IDX, IDX_VALUE = range(1, 7)


def insn(code, to=0, source=0, offset=0, imm=0):
    return struct.pack("=BBhi", code, to | source << 4, offset, imm)


def load(to, source, first, second=0):
    return insn(LOAD_IMM, to, source, 0, first) + insn(0, imm=second)


def returns(number):
    return insn(MOVE, 0, imm=number) + insn(EXIT)


def counts(first, source=IDX_VALUE):
    """Adds 1 to what the map's first value is."""
    one = insn(MOVE, 2, imm=1)
    return load(1, source, first) + one + insn(ADD_TO, 1, 2) + returns(9)
