# SPDX-License-Identifier: Apache-2.0
"""Layouts of a map, from the types that bpftool lists."""

import json
import os
import re
import struct
from pathlib import Path
from typing import NamedTuple

from bpf_objects import info, libbpf

# Kinds that stand for another: names and hints.
ASIDE = {"TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG", "VAR"}
BIG_ENDIAN = {"__be16": "be16", "__be32": "be32", "__be64": "be64"}
KERNELS_OWN = {
    "bpf_spin_lock",
    "bpf_res_spin_lock",
    "bpf_timer",
    "bpf_wq",
    "bpf_list_head",
    "bpf_list_node",
    "bpf_rb_root",
    "bpf_rb_node",
    "bpf_refcount",
}


class Known(NamedTuple):
    """What the kernel knows of a map: ids of its BTF and of the types in it, 0 for none."""

    btf: int
    key: int
    value: int
    frozen: bool


def known_of(map_id):
    fd = libbpf.bpf_map_get_fd_by_id(map_id)
    assert fd >= 0
    try:
        ids = struct.unpack_from("=3I", info(fd), 64)  # btf_id in struct bpf_map_info
        told = Path(f"/proc/self/fdinfo/{fd}").read_text()
        return Known(*ids, bool(re.search(r"^frozen:\s+1$", told, re.M)))
    finally:
        os.close(fd)


class Types:
    def __init__(self, listed):
        self.by_id = {one["id"]: one for one in json.loads(listed)["types"]}

    def name(self, one):
        return "" if one["name"] == "(anon)" else one["name"]

    def bare(self, id):
        """Without what stands for it; its type if that is known by its name."""
        while (one := self.by_id[id])["kind"] in ASIDE:
            if one["kind"] == "TYPEDEF" and one["name"] in BIG_ENDIAN:
                return BIG_ENDIAN[one["name"]], one
            id = one["type_id"]
        return None, one

    def layout(self, id):
        known, one = self.bare(id)
        if known:
            return known
        return getattr(self, f"of_{one['kind'].lower()}")(one)

    def of_int(self, one):
        if one["encoding"] == "BOOL":
            return "bool"
        sign = "s" if "SIGNED" in one["encoding"] else "u"
        return f"{sign}{8 * one['size']}"

    def of_ptr(self, one):
        target = self.by_id.get(one["type_id"], {})
        if target.get("kind") == "TYPE_TAG" and "kptr" in target["name"]:
            return "hidden"
        return "ptr"

    def of_float(self, one):
        return f"f{8 * one['size']}"

    def of_enum(self, one):
        mask = -1 if one["encoding"] == "SIGNED" else (1 << 8 * one["size"]) - 1
        rows = [(value["name"].encode(), value["val"] & mask) for value in one["values"]]
        return ("enum", one["size"], rows)

    of_enum64 = of_enum

    def of_array(self, one):
        known, of = self.bare(one["type_id"])
        if not known and of["kind"] == "INT" and of["size"] == 1:
            if of["name"] == "char":
                return ("char", one["nr_elems"])
            if of["encoding"] == "(none)":
                return ("bytes", one["nr_elems"])
        return ("array", one["nr_elems"], self.layout(one["type_id"]))

    def of_struct(self, one):
        if one["name"] in KERNELS_OWN:
            return "hidden"
        rows = [self.member(member) for member in one["members"]]
        return (one["kind"].lower(), one["size"], rows)

    of_union = of_struct

    def member(self, member):
        bits = [member["bitfield_size"]] if member.get("bitfield_size") else []
        return (
            self.name(member).encode(),
            member["bits_offset"],
            *bits,
            self.layout(member["type_id"]),
        )

    def of_datasec(self, one):
        """Its size is that of the map's values."""
        rows = [
            (
                self.by_id[var["type_id"]]["name"].encode(),
                8 * var["offset"],
                self.layout(var["type_id"]),
            )
            for var in one["vars"]
        ]
        return ("struct", one["size"], rows)
