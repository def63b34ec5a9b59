# SPDX-License-Identifier: Apache-2.0
"""The types of maps that this host's libbpf knows."""

import ctypes


def known_types():
    name_of = ctypes.CDLL("libbpf.so.1").libbpf_bpf_map_type_str
    name_of.restype = ctypes.c_char_p
    names = []
    while name := name_of(len(names)):
        names.append(name.decode())
    return names
