# SPDX-License-Identifier: Apache-2.0
"""What views keep of their types counts in --max-memory."""

import pytest

from conftest import Maps, raises

pytestmark = pytest.mark.single

MIB = 1 << 20
MEMBERS = 4000
# a plan of some hundred KiB, for keys and for values of 4000 bytes
WIDE = ("struct", MEMBERS, [(b"member_%d" % n, 8 * n, "u8") for n in range(MEMBERS)])


def test_views_take_no_more_than_max_memory_and_give_it_back(start_cnode, alice):
    maps = Maps(alice, start_cnode("--max-message", str(MIB), "--max-memory", str(4 * MIB)))
    map = maps.new("array", 4, MEMBERS, 1)
    views = []
    with raises("enomem"):
        while len(views) < 20:
            views.append(maps.typed(map, [("types", ("u32", WIDE))]))
    assert len(views) > 2
    assert maps.close(views.pop()) == "ok"
    views.append(maps.typed(map, [("types", ("u32", WIDE))]))
    assert maps.get(0, views[-1])[b"member_7"] == 0


def test_views_of_one_view_share_its_types(start_cnode, alice):
    maps = Maps(alice, start_cnode("--max-message", str(MIB), "--max-memory", str(4 * MIB)))
    first = maps.new("array", "u32", WIDE, 1)
    views = [maps.typed(first, [("as", "tuple")]) for _ in range(50)]
    assert maps.close(first) == "ok"
    assert all(maps.get(0, view) == (0,) * MEMBERS for view in views[::10])
