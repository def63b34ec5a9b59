# SPDX-License-Identifier: Apache-2.0
"""The contenders' names in the table."""

NODE = "C node"
CNODE = "C node by erpc"
FACADE = "C node by the facade"
PINGPONG = "TCP ping-pong in C"  # packets as long as those of a get, on two cores
LOOP = "bpf(2) in a C loop"
BEAM = "Erlang node by erpc"  # a function that only answers
SERVER = "Erlang node by gen_server"
NIF_ERPC = "NIF by erpc"
NIF = "NIF in process"
BPFTOOL = "bpftool map dump -j"
CNODE_EACH = "C node by erpc, call by call"
NIF_EACH = "NIF by erpc, call by call"
CNODE_CPU = "C node's CPU time"
LOOP_CPU = "CPU time of the C loop"
AGAIN = "connected before"
FIRST = "the first call"
LOAD_LOOP = "libbpf in a C loop"
BPFTOOL_LOAD = "bpftool prog loadall, attaching nothing"
LOADING = "while it loads for another node"
NOT_LOADING = "while nobody loads"
LOADING_IN_C = "while a C program loads"
BARE_ERL = "erl -sname"
BYTES = "raw bytes"
TUPLES = "typed, as tuples"
MAPS = "typed, as maps"
DECODED_TUPLES = "raw bytes, made tuples by the caller"
DECODED_MAPS = "raw bytes, made maps by the caller"
OF_BTF = "typed by the kernel's BTF"
OF_LAYOUT = "typed by a layout"
NO_TYPES = "opened without types"
EVENTS = "C node, to Erlang processes"
EVENTS_IN_C = "libbpf's ring_buffer in C"
EVENTS_BY_PORT = "port program, to an Erlang process"
FLOWING = "while a million events a second flow"
FLOWING_BY_PORT = "while they flow through a port program"
NOT_FLOWING = "while none flow"
KEPT = "C node with 10,000 kept handles, from its start until it is ready"
NONE_KEPT = "C node with none"
OBJ_GET = "BPF_OBJ_GET of their pins in a C loop"
WITH_KEEP = "C node with --keep"
WITHOUT_KEEP = "C node without"
CNODE_PLAIN = "C node over plain TCP"
FLEET = "ebpf_fleet:to_map"
AT_ONCE = "erpc to all at once, then merged"
ONE_BY_ONE = "erpc to one after the other"
FLEET_SUM = "ebpf_fleet:sum"
FLEET_FOLD = "ebpf_fleet:fold"
FLEET_TOP = "ebpf_fleet:top"
FLEET_SORTED = "ebpf_fleet:to_map, then sorted"
HUNG_FLEET = "ebpf_fleet:to_map with a deadline"
HUNG_MULTICALL = "erpc:multicall with a timeout"
BEAM_PLAIN = "Erlang node over plain TCP"


def cnode_tls(version):
    return f"C node over TLS {version}"


def cnode_buffer(version):
    """The caller reads so many bytes at once, in place of 1460."""
    return f"C node over TLS {version}, {{buffer, 65536}}"


def beam_tls(version):
    return f"Erlang node over TLS {version}"
