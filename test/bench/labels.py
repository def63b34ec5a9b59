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
BARE_ERL = "erl -sname"
