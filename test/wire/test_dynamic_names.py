# SPDX-License-Identifier: Apache-2.0
"""Nodes without a name, which the first node that they connect to is to give one."""

import pytest

import dist

NAME_ME = 1 << 33  # a flag of the distribution


@pytest.fixture
def unnamed(start_beam):
    return start_beam(sname="undefined")


def connect(beam, name):
    return beam.eval("net_kernel:connect_node(N)", N=name, timeout=30)


def test_one_is_refused_with_what_to_do(unnamed, fresh_cnode):
    assert connect(unnamed, fresh_cnode.name) == "false"
    fresh_cnode.wait_log(
        r"warning refused .*: it asks for a name, which libei cannot give; "
        "connect it to a node of the cluster first, or start it with a name"
    )
    assert unnamed.eval("node()") == "nonode@nohost"


def test_one_that_has_been_given_a_name_is_served(unnamed, alice, fresh_cnode):
    assert connect(unnamed, alice.name) == "true"
    assert unnamed.eval("node()") != "nonode@nohost"
    assert unnamed.erpc(fresh_cnode.name, "new", "hash", 4, 8, 4)[0] == "ebpf_map"


def test_the_words_are_for_those_alone_that_want_a_name(fresh_cnode):
    for flags, said in ((dist.FLAGS | NAME_ME, "asks for a name"), (dist.FLAGS, "no @")):
        start = fresh_cnode.mark()
        peer = dist.Peer(fresh_cnode.port, name="host", cookie="any")
        with pytest.raises((dist.Refused, dist.Closed)):
            peer.handshake(flags=flags)
        peer.close()
        fresh_cnode.wait_log(f"warning refused .*{said}", start=start)
