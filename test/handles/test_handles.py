# SPDX-License-Identifier: Apache-2.0
"""How a map handle looks, lives and dies, and that it cannot be forged."""

import re
import struct
import time

import pytest

import etf
from beam import BeamError
from cluster import wait_until
from conftest import before, raises
from native import u32, u64

HASH = ("hash", 4, 8, 4)


def words(ref):
    """The words of a reference, without its node and creation."""
    data = ref.raw
    count = struct.unpack(">H", data[1:3])[0]
    return struct.unpack(f">{count}I", data[-4 * count :])


def with_words(ref, new):
    head = ref.raw[: -4 * len(words(ref))]
    head = head[:1] + struct.pack(">H", len(new)) + head[3:]
    return etf.Opaque("reference", head + struct.pack(f">{len(new)}I", *new), ref.node)


# --- what it looks like


def test_a_handle_is_a_tuple_with_a_reference_of_the_c_node(maps, alice, cnode):
    map = maps.new(*HASH)
    assert map[0] == "ebpf_map"
    assert map[2:] == HASH
    home = alice.eval("node(R)", R=map[1])
    assert home == cnode.name


def test_a_handle_prints_readably(maps, alice):
    map = maps.new(*HASH)
    printed = bytes(alice.eval('lists:flatten(io_lib:format("~p", [M]))', M=map))
    assert re.fullmatch(rb"\{ebpf_map,#Ref<[0-9.]+>,hash,4,8,4\}", printed)


def test_references_do_not_follow_from_each_other(maps):
    """64 random bits: of ten references no two words of that kind repeat."""
    seen = [words(maps.new(*HASH)[1]) for _ in range(10)]
    random_columns = [
        column for column in zip(*seen) if len({word >> 8 for word in column}) == 10
    ]
    assert len(random_columns) >= 2


def test_the_creation_of_the_c_node_is_random(connect, start_cnode):
    creations = [connect(start_cnode()).remote_creation for _ in range(3)]
    assert len(set(creations)) == 3
    assert max(creations) > 2**16
    assert 0 not in creations


# --- who may use it


def test_a_handle_works_from_another_node(maps, bob, cnode):
    map = maps.new(*HASH)
    assert bob.erpc(cnode.name, "put", 1, 2, map) == map
    assert maps.get(1, map) == u64(2)
    assert bob.erpc(cnode.name, "close", map) == "ok"
    with raises(("badmap", map)):
        maps.get(1, map)


def test_a_map_outlives_a_user_that_goes(maps, start_beam, cnode):
    map = maps.new(*HASH)
    user = start_beam()
    user.erpc(cnode.name, "put", 1, 2, map)
    start = cnode.mark()
    user.kill()
    cnode.wait_log(f"disconnected {user.name}", start=start)
    assert maps.get(1, map) == u64(2)


# --- how it ends


def test_close_frees_the_map_in_the_kernel(maps, cnode):
    before = cnode.held_maps()
    made = [maps.new(*HASH) for _ in range(20)]
    assert cnode.new_maps(before) == 20
    for map in made:
        maps.close(map)
    assert cnode.new_maps(before) == 0


def test_a_closed_handle_never_names_the_next_map(maps):
    old = maps.new(*HASH)
    descriptor = maps.fd(old)
    maps.close(old)
    new = maps.new(*HASH)
    assert maps.fd(new) == descriptor, "the descriptor should be used again"
    with raises(("badmap", old)):
        maps.put(1, 1, old)
    assert maps.close(old) == ("error", "ebadf")
    assert maps.walk(new) == []


def test_of_two_that_close_at_once_one_does(maps, alice, bob, cnode):
    made = [maps.new(*HASH) for _ in range(200)]
    for beam in (alice, bob):
        beam.start_eval(
            """
            Ids = [erpc:send_request(N, ebpf_maps, close, [M]) || M <- Made],
            [erpc:receive_response(I, 10000) || I <- Ids]""",
            N=cnode.name,
            Made=made,
        )
    for pair in zip(alice.finish(), bob.finish()):
        assert sorted(pair, key=str) == sorted(["ok", ("error", "ebadf")], key=str)


def test_close_while_others_use_the_map_does_no_harm(maps, alice, bob, cnode):
    """The descriptor must not be closed, and reused, under a running call."""
    for _ in range(20):
        map = maps.new("hash", 4, 8, 100)
        bystander = maps.new("hash", 4, 8, 100)
        bob.start_eval(
            """
            Ids = [erpc:send_request(N, ebpf_maps, put, [I rem 100, I, Map]) ||
                   I <- lists:seq(1, 400)],
            [try erpc:receive_response(I, 10000) of Map -> ok
             catch error:{exception, {badmap, Map}, _} -> badmap end || I <- Ids]
            """,
            N=cnode.name,
            Map=map,
        )
        assert maps.close(map) == "ok"
        successor = maps.new("hash", 4, 8, 100)
        assert set(bob.finish()) <= {"ok", "badmap"}
        for other in (bystander, successor):
            assert maps.walk(other) == []
            maps.close(other)


def test_no_handle_survives_a_restart_of_the_c_node(start_cnode, alice):
    first = start_cnode()
    old = [alice.erpc(first.name, "new", *HASH) for _ in range(5)]
    first.stop()
    second = start_cnode(sname=first.sname)
    wait_until(lambda: alice.apply("net_adm", "ping", second.name) == "pong")
    new = [alice.erpc(second.name, "new", *HASH) for _ in range(5)]
    for map in old:
        with raises(("badmap", map)):
            alice.erpc(second.name, "put", 1, 1, map)
        assert alice.erpc(second.name, "close", map) == ("error", "ebadf")
    assert not {m[1].raw for m in old} & {m[1].raw for m in new}


def test_a_map_goes_when_its_maker_has_been_gone_for_the_grace(
    start_cnode, start_beam, alice
):
    grace = 2  # s
    node = start_cnode("--grace", grace)
    maker = start_beam()
    map = maker.erpc(node.name, "new", *HASH)
    assert alice.apply("net_adm", "ping", node.name) == "pong"
    gone = time.monotonic()
    maker.kill()
    node.wait_log(f"disconnected {maker.name}")
    with before(gone + grace):
        assert alice.erpc(node.name, "put", 1, 1, map) == map
    wait_until(lambda: node.map_count() == 0)
    assert time.monotonic() - gone >= grace
    with raises(("badmap", map)):
        alice.erpc(node.name, "get", 1, map)


def test_a_grace_of_0_frees_at_once(start_cnode, start_beam):
    node = start_cnode("--grace", "0")
    maker = start_beam()
    maker.erpc(node.name, "new", *HASH)
    assert node.map_count() == 1
    maker.kill()
    wait_until(lambda: node.map_count() == 0)


def test_the_maps_of_others_stay_when_a_maker_goes(start_cnode, start_beam, alice):
    node = start_cnode("--grace", "0")
    maker = start_beam()
    maker.erpc(node.name, "new", *HASH)
    mine = alice.erpc(node.name, "new", *HASH)
    maker.kill()
    wait_until(lambda: node.map_count() == 1)
    assert alice.erpc(node.name, "put", 1, 1, mine) == mine


def test_a_maker_that_returns_within_the_grace_keeps_its_maps(start_cnode, start_beam):
    grace = 3  # s
    node = start_cnode("--grace", grace)
    maker = start_beam()
    left = 0
    while time.monotonic() - left >= grace:  # on a host that stands still again
        map = maker.erpc(node.name, "new", *HASH)
        start, left = node.mark(), time.monotonic()
        maker.apply("erlang", "disconnect_node", node.name)
        node.wait_log(f"disconnected {maker.name}", start=start)
        assert maker.apply("net_adm", "ping", node.name) == "pong"
    assert maker.erpc(node.name, "put", 1, 1, map) == map
    wait_until(lambda: time.monotonic() - left > grace + 1)
    assert maker.erpc(node.name, "put", 2, 2, map) == map


def test_a_maker_that_comes_back_after_the_grace_has_lost_its_maps(
    start_cnode, start_beam
):
    node = start_cnode("--grace", "1")
    maker = start_beam()
    map = maker.erpc(node.name, "new", *HASH)
    maker.apply("erlang", "disconnect_node", node.name)
    wait_until(lambda: node.map_count() == 0)
    with raises(("badmap", map)):
        maker.erpc(node.name, "get", 1, map)


def test_the_same_incarnation_is_known_by_its_creation(start_cnode, connect):
    grace = 4  # s
    node = start_cnode("--grace", grace)
    left = 0
    while time.monotonic() - left >= grace:  # on a host that stands still again
        first = connect(node, name="maker@here", creation=77)
        map = first.maps("new", *HASH)
        start, left = node.mark(), time.monotonic()
        first.close()
        node.wait_log("disconnected maker@here", start=start)
        again = connect(node, name="maker@here", creation=77)
        assert again.serves()
    wait_until(lambda: time.monotonic() - left > grace + 1)
    assert again.maps("put", 1, 1, map) == map


def test_another_incarnation_frees_the_maps_of_the_old_one_at_once(
    start_cnode, connect
):
    node = start_cnode()
    first = connect(node, name="maker@here", creation=77)
    map = first.maps("new", *HASH)
    other = connect(node, name="other@here")
    kept = other.maps("new", *HASH)
    first.close()
    node.wait_log("disconnected maker@here")
    assert other.maps("put", 1, 1, map) == map
    connect(node, name="maker@here", creation=78)
    wait_until(lambda: node.map_count() == 1)
    assert other.maps("put", 1, 1, kept) == kept


def test_another_incarnation_frees_them_while_the_old_connection_stands(
    start_cnode, connect
):
    """As after a power failure of the maker's host: nobody has disconnected."""
    node = start_cnode()
    first = connect(node, name="maker@here", creation=77)
    first.maps("new", *HASH)
    connect(node, name="maker@here", creation=78)
    wait_until(lambda: node.map_count() == 0)
    first.wait_closed()


def test_a_restarted_erlang_node_frees_its_maps_at_once(start_cnode, start_beam):
    node = start_cnode()
    maker = start_beam()
    maker.erpc(node.name, "new", *HASH)
    maker.kill()
    node.wait_log(f"disconnected {maker.name}")
    assert node.map_count() == 1
    wait_until(lambda: maker.sname not in node.cluster.epmd.names())
    again = start_beam(sname=maker.sname)
    assert again.apply("net_adm", "ping", node.name) == "pong"
    wait_until(lambda: node.map_count() == 0)


def test_a_map_that_is_made_while_its_maker_goes_is_freed_too(start_cnode, connect):
    """Requests sent just before hanging up must not leave maps behind."""
    node = start_cnode("--grace", "0")
    for _ in range(10):
        start = node.mark()
        peer = connect(node, name="maker@here", creation=77)
        for _ in range(50):
            peer.start_erpc("ebpf_maps", "new", HASH)
        peer.close()
        node.wait_log("disconnected maker@here", start=start)
    wait_until(lambda: node.map_count() == 0)


# --- how many there may be


def test_more_maps_than_allowed_are_refused_with_emfile(start_cnode, alice, bob):
    node = start_cnode("--max-maps", "3")
    made = [alice.erpc(node.name, "new", *HASH) for _ in range(2)]
    made.append(bob.erpc(node.name, "new", *HASH))
    for beam in (alice, bob):
        assert beam.erpc(node.name, "new", *HASH) == ("error", "emfile")
    assert node.map_count() == 3
    assert alice.erpc(node.name, "close", made[0]) == "ok"
    assert bob.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


def test_a_refused_map_does_not_count(start_cnode, alice):
    node = start_cnode("--max-maps", "1")
    for _ in range(5):
        refused = alice.erpc(node.name, "new", "hash", 0, 4, 4)
        assert refused == ("error", "einval")
    assert alice.erpc(node.name, "new", *HASH)[0] == "ebpf_map"


def test_the_limit_holds_for_two_that_hurry(start_cnode, alice, bob):
    node = start_cnode("--max-maps", "50")
    for beam in (alice, bob):
        beam.start_eval(
            """
            Ids = [erpc:send_request(N, ebpf_maps, new, [hash, 4, 8, 4]) ||
                   _ <- lists:seq(1, 100)],
            [element(1, erpc:receive_response(I, 10000)) || I <- Ids]""",
            N=node.name,
        )
    kinds = alice.finish() + bob.finish()
    assert kinds.count("ebpf_map") == 50
    assert kinds.count("error") == 150
    assert node.map_count() == 50


# --- forgeries

OTHER_SHAPES = [
    ("hash", 1, 8, 4),
    ("hash", 4, 1, 4),
    ("hash", 4096, 4096, 4),
    ("hash", 0, 0, 0),
    ("hash", 4, 2**32 - 1, 2**32 - 1),
    ("array", 4, 8, 4),
    ("percpu_hash", 4, 8, 4),
    ("queue", 0, 8, 4),
    ("prog_array", 4, 8, 4),
    ("nope", "x", -1, b"x"),
    (1, 2**70, -(2**70), 1.5),
]


@pytest.mark.parametrize("shape", OTHER_SHAPES, ids=str)
def test_sizes_in_a_handle_are_not_trusted(shape, maps):
    """It is refused, or the map's own sizes hold."""
    map = maps.new(*HASH)
    maps.put(1, 2, map)
    forged = ("ebpf_map", map[1], *shape)
    calls = [
        (lambda: maps.get(1, forged), u64(2)),
        (lambda: maps.put(1, 2, forged), map),
        (lambda: maps.get(b"1", forged), "badarg"),
        (lambda: maps.get(b"", forged), "badarg"),
        (lambda: maps.get(bytes(4096), forged), "badarg"),
        (lambda: maps.put(b"1234", b"1", forged), "badarg"),
        (lambda: maps.put(b"1234", bytes(4096), forged), "badarg"),
        (lambda: maps.put(b"", bytes(8), forged), "badarg"),
    ]
    for call, expected in calls:
        try:
            answer = call()
        except BeamError as e:
            answer = e.reason
        assert answer in (expected, forged, ("badmap", forged))
    assert maps.walk(map) == [(u32(1), u64(2))]


def test_a_reference_with_any_other_word_is_no_map(maps):
    map = maps.new(*HASH)
    true = words(map[1])
    forged = []
    for place in range(len(true)):
        for change in (1, 1 << 17, (1 << 18) - 1):
            other = list(true)
            other[place] ^= change
            forged.append(other)
    forged += [true[:-1], true[1:], true[:1], true[::-1]]
    forged += [(0,) * len(true), (2**32 - 1,) * len(true)]
    for first, *rest in forged:
        guess = (first % (1 << 18), *rest)  # an Erlang node takes no more bits
        fake = ("ebpf_map", with_words(map[1], guess), *HASH)
        with raises(("badmap", fake)):
            maps.get(1, fake)
        assert maps.close(fake) == ("error", "ebadf")
    assert maps.walk(map) == []


def test_a_reference_of_another_node_or_creation_is_no_map(maps, cnode):
    map = maps.new(*HASH)
    for node, creation in ((cnode.name, 1), ("other@host", 1), ("", 0)):
        ref = etf.ref(node, words(map[1]), creation)
        fake = ("ebpf_map", ref, *HASH)
        assert maps.close(fake) == ("error", "ebadf")
    assert maps.walk(map) == []


# --- who is waited for, and for what


def come_upon(connect, node, outer, names, inner=1):
    """Nodes that each hold what others made, and go."""
    for name in names:
        with connect(node, name=name, creation=77) as peer:
            for index in range(inner):
                assert peer.maps("get", index, outer)[0] == "ebpf_map"


@pytest.fixture
def shared(start_cnode, connect):
    """shared(option...): a node, a peer that stays in silence, a map of four maps."""

    def shared(*options):
        node = start_cnode("--ticktime", "3600", *options)
        keeper = connect(node, name="keeper@h")
        made = [keeper.maps("new", "array", 4, 4, 1) for _ in range(4)]
        options = [("inner_map", made[0])]
        outer = keeper.maps("new", "array_of_maps", 4, 4, 4, options)
        for index, inner in enumerate(made):
            keeper.maps("put", index, inner, outer)
            keeper.maps("close", inner)
        return node, keeper, outer

    return shared


@pytest.mark.many
def test_no_more_than_4096_guests_are_waited_for(shared, connect):
    """Who has made a map of its own is waited for all the same."""
    node, keeper, outer = shared("--grace", "3600")
    with connect(node, name="maker@h", creation=77) as maker:
        mine = maker.maps("new", *HASH)
    guests = [f"guest{n}@h" for n in range(4096)]
    come_upon(connect, node, outer, guests)
    assert len(keeper.maps("handles")) == 2 + 4096
    assert not node.find_log("is waited for no longer")
    come_upon(connect, node, outer, ["last@h"])
    node.wait_log("warning a node that has gone is waited for no longer: .* 4096 others")
    names = {name for _, name, _ in keeper.maps("handles")}
    assert len(names) == 2 + 4096 and "last@h" in names
    (gone,) = set(guests) - names
    assert gone in guests[:20]  # several may have gone at once
    with connect(node, name="maker@h", creation=77) as maker:
        assert maker.maps("put", 1, 1, mine) == mine


@pytest.mark.many
def test_who_has_nothing_of_its_own_left_is_a_guest(shared, connect):
    """Others have closed what it had made, while it was waited for."""
    node, keeper, outer = shared("--grace", "3600")
    made = []
    for n in range(4097):
        with connect(node, name=f"maker{n}@h", creation=77) as peer:
            made.append(peer.maps("new", *HASH))
            peer.maps("get", 0, outer)
    names = {name for _, name, _ in keeper.maps("handles")}
    assert len(names) == 1 + 4097
    for map in made:
        assert keeper.maps("close", map) == "ok"
    node.wait_log("warning a node that has gone is waited for no longer: .* 4096 others")
    names = {name for _, name, _ in keeper.maps("handles")}
    assert len(names) == 1 + 4096 and "maker0@h" not in names


def test_holders_of_what_is_shared_have_a_limit(shared, connect):
    node, keeper, outer = shared("--max-maps", "5", "--grace", "3600")
    free = 5 * 64 - 1  # the keeper holds the outer one
    come_upon(connect, node, outer, (f"guest{n}@h" for n in range(free // 4)), 4)
    last = connect(node, name="last@h")
    for index in range(free % 4):
        assert last.maps("get", index, outer)[0] == "ebpf_map"
    kind, reason, _ = last.erpc("ebpf_maps", "get", [3, outer])
    assert (kind, reason) == ("error", "emfile")
    node.wait_log("warning refused last@h a map that others hold: nodes hold 320, 64 times")
    assert keeper.maps("close", last.maps("get", 0, outer)) == "ok"
    assert last.maps("get", 3, outer)[0] == "ebpf_map"


@pytest.mark.counts
def test_who_has_gone_and_holds_nothing_more_is_not_waited_for(start_cnode, connect):
    """Its quota goes with it, so that names without end take no memory."""
    node = start_cnode("--grace", "3600")
    keeper = connect(node)

    def come_and_go(number):
        for n in range(number):
            with connect(node, name=f"{'n' * 200}{n}@h", creation=77) as peer:
                map = peer.maps("new", *HASH)
            wait_until(lambda: keeper.maps("stats")["connections"] == 1)
            assert keeper.maps("close", map) == "ok"

    come_and_go(200)
    before = node.anonymous_kib()
    come_and_go(500)
    assert node.anonymous_kib() - before < 400


def test_a_pid_that_an_impostor_left_does_not_lock_a_node_out(
    start_cnode, start_beam, connect
):
    """An emulator hangs up when it is asked to watch one that it cannot have."""
    node = start_cnode("--grace", "3600")
    beam = start_beam()
    creation = beam.eval("erlang:system_info(creation)")
    with connect(node, name=beam.name, creation=creation) as impostor:
        pid = etf.pid(beam.name, 0xFFFFFFFF, 0xFFFFFFFF, creation)
        args = ["hash", 4, 8, 4, [("lifetime", "process")]]
        request = impostor.start_erpc("ebpf_maps", "new", args, sender=pid)
        assert impostor.finish_erpc(request)[1][0] == "ebpf_map"
    lost = 0
    while lost < 10:
        try:
            map = beam.erpc(node.name, "new", *HASH)
            break
        except BeamError as e:
            assert e.reason == ("erpc", "noconnection"), e
            lost += 1
    assert 0 < lost < 5
    node.wait_log(f"warning ended 1 handles of processes of {beam.name}: 3 connections")
    assert beam.erpc(node.name, "put", 1, 1, map) == map


def test_who_is_replaced_time_and_again_keeps_what_its_processes_have(
    start_cnode, connect
):
    """As a node whose connections the network loses: none of them was short."""
    node = start_cnode()
    peer = connect(node, name="node@h", creation=77)
    map = peer.maps("new", *HASH, [("lifetime", "process")])
    for _ in range(5):
        peer = connect(node, name="node@h", creation=77)
        assert peer.maps("put", 1, 1, map) == map


def test_a_long_life_between_short_ones_begins_anew(start_cnode, connect):
    """Two short lives, a long one, a short one: never three short in a row."""
    node = start_cnode("--grace", "3600")
    keeper = connect(node)

    def live(seconds=0):
        start = node.mark()
        with connect(node, name="node@h", creation=77) as peer:
            born = time.monotonic()
            assert peer.serves()
            wait_until(lambda: time.monotonic() - born >= seconds)
        node.wait_log("disconnected node@h", start=start)

    with connect(node, name="node@h", creation=77) as peer:
        map = peer.maps("new", *HASH, [("lifetime", "process")])
    node.wait_log("disconnected node@h")
    live()
    live(1.2)
    live()
    live()
    assert keeper.maps("put", 1, 1, map) == map
    assert not node.find_log("ended 1 handles of processes")
    ended = "warning ended 1 handles of processes of node@h: 3 connections"
    wait_until(lambda: live() or node.find_log(ended))  # the third in a row
    assert keeper.erpc("ebpf_maps", "put", [1, 1, map])[1][0] == "badmap"
