# SPDX-License-Identifier: Apache-2.0
"""An authority and identities of this host, for tests that say who speaks TLS."""

import pytest

from certificates import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates") / "authority")


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """An authority that nobody else believes."""
    return Authority(tmp_path_factory.mktemp("certificates") / "stranger")


@pytest.fixture(scope="session")
def here(authority, cluster):
    """An identity of this host."""
    return authority.issue(f"DNS:{cluster.host}")


@pytest.fixture
def issue_here(authority, cluster):
    """Further identities of this host, with more names."""

    def issue(*sans, by=authority, **options):
        return by.issue(f"DNS:{cluster.host}", *sans, **options)

    return issue


@pytest.fixture
def secure_cnode(start_cnode, here):
    def secure_cnode(*options, **others):
        return start_cnode(*options, **{"identity": here, **others})

    return secure_cnode


@pytest.fixture
def secure_beam(start_beam, here):
    def secure_beam(*args, **options):
        return start_beam(*args, **{"identity": here, **options})

    return secure_beam


def connects(beam, node):
    return beam.apply("net_kernel", "connect_node", node.name)


def use(beam, node, number=1):
    """Makes a map, and uses it."""
    handle = beam.erpc(node.name, "new", "hash", 4, 8, 100)
    key, value = number.to_bytes(4, "big"), number.to_bytes(8, "big")
    assert beam.erpc(node.name, "put", key, value, handle) == handle
    assert beam.erpc(node.name, "get", key, handle) == value
    return handle
