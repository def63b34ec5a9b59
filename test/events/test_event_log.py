# SPDX-License-Identifier: Apache-2.0
"""Subscriptions to the log of a C node: its lines as terms."""

import json
import re
import time

import pytest

from cluster import wait_until
from conftest import raises
from subscriptions import PRINTED, WATCH, Subscriber



@pytest.fixture
def node(start_cnode, bob):
    """At level info, in JSON; bob may only read."""
    options = ["--log-level", "info", "--log-format", "json"]
    allowed = ["--allow", f"{bob.name}=ro", "--allow", "*=rw"]
    node = start_cnode(*options, *allowed, ready=False)
    wait_until(lambda: any('"ready"' in line for line in node.lines), what="it is ready")
    _, node.name, _, port = json.loads(node.lines[-1])["message"].split()
    node.port = int(port)
    return node


@pytest.fixture
def subscribe(node, alice):
    def subscribe(*options, beam=alice):
        subscriber = Subscriber(beam, node.name, "log", *options)
        node.wait_log(f"connected {beam.name} ")  # no line of before comes later
        return subscriber

    return subscribe


def terms(subscriber, count):
    """So many events, as JSON would have them; and what was lost before the last one."""
    found, lost = [], 0
    while len(found) < count:
        message = subscriber.receive()
        assert message != "none", found
        first, lost, [(_, events)] = message
        assert first == len(found) + subscriber.missed
        found += [as_json(event) for event in events]
    return found, lost


def as_json(event):
    def text(value):
        return value if isinstance(value, int) else value.decode()

    fixed = {key: str(event[key]) for key in ("level", "event") if key in event}
    return {str(key): text(value) for key, value in event.items() if key not in fixed} | fixed


def without_time(events):
    return [{key: value for key, value in event.items() if key != "time"} for event in events]


def logged(node, start, count=0):
    """Once there are so many."""
    wait_until(lambda: len(node.lines) >= start + count, what="all is logged")
    return [json.loads(line) for line in node.lines[start:]]


def test_events_are_what_json_says(node, subscribe, alice, bob):
    s = subscribe()
    start = node.mark()
    map = alice.erpc(node.name, "new", "hash", 4, 8, 16, [("name", "counts")])
    with raises("eacces"):
        bob.erpc(node.name, "put", 1, 1, map)
    alice.erpc(node.name, "close", map)
    began = time.time_ns() // 1000
    found, lost = terms(s, 4)
    lines = logged(node, start, 4)
    assert without_time(found) == without_time(lines)
    assert [event["event"] for event in found] == ["handle_made", "connected", "refused", "handle_closed"]
    assert found[2]["reason"] == "may_only_read" and found[2]["level"] == "warning"
    assert all(began - 60e6 < event["time"] < began + 60e6 for event in found)
    assert lost == 0


def test_nothing_is_logged_of_it(node, subscribe, alice):
    alice.erpc(node.name, "features")
    node.wait_log(f"connected {alice.name} ")
    start = node.mark()
    first = subscribe()
    second = subscribe()
    assert {info["ring"] for info in first.call("subscriptions", "log")} == {"log"}
    first.call("unsubscribe", first.subscription)
    second.nothing(200)
    assert logged(node, start) == []


def test_as_many_as_there_may_be(start_cnode, alice):
    """Who is refused is not logged, either."""
    node = start_cnode("--max-subscriptions", "1")
    s = Subscriber(alice, node.name, "log")
    node.wait_log(f"connected {alice.name}")
    start = node.mark()
    me = alice.eval("self()")
    answer = alice.erpc(node.name, "subscribe", "log", me, [], module="ebpf_events")
    assert answer == ("error", "emfile")
    s.nothing(200)
    assert node.lines[start:] == []


def test_lines_that_find_no_room_are_counted(node, subscribe, alice):
    s = subscribe(("credit", 0))
    start = node.mark()
    for _ in range(500):
        alice.erpc(node.name, "close", alice.erpc(node.name, "new", "hash", 4, 8, 16))
    s.nothing()
    s.grant(1000)
    wait_until(lambda: s.info()["sent"], what="there is room again")
    alice.erpc(node.name, "new", "hash", 4, 8, 16)
    while s.info()["fill"]:  # it waits for credit at each line
        s.grant(100)
    kept = s.info()["sent"]
    assert 100 < kept < 1001
    found, lost = terms(s, kept)
    lines = logged(node, start, 1001)
    assert kept + lost == len(lines) == 1001
    assert without_time(found) == without_time(lines[: kept - 1] + lines[-1:])


def test_several_get_the_same_and_one_waits_for_nobody(node, subscribe, alice, start_beam):
    paused, all = subscribe(("credit", 0)), subscribe()
    other = subscribe(beam=start_beam())
    for _ in range(50):
        alice.erpc(node.name, "close", alice.erpc(node.name, "new", "hash", 4, 8, 16))
    found, _ = terms(all, 101)
    assert terms(other, 100)[0] == found[1:]
    paused.nothing()


def test_it_can_be_subscribed_to_again(node, subscribe, alice):
    for _ in range(5):
        s = subscribe()
        alice.erpc(node.name, "new", "hash", 4, 8, 16)
        assert terms(s, 1)[0][0]["event"] == "handle_made"
        s.call("unsubscribe", s.subscription)


def test_who_may_only_read_may_not(node, subscribe, bob):
    with raises("eacces"):
        subscribe(beam=bob)


@pytest.mark.parametrize(
    "option",
    [("types", "u8"), ("as", "map"), ("filter", [(0, "u8", "==", 1)]), ("lost", "x", 0), ("x", 1)],
)
def test_options_of_rings_are_not_for_it(node, subscribe, option):
    with raises("badarg"):
        subscribe(option)


@pytest.mark.parametrize(
    "path, told",
    [
        ("/tmp/" + "x" * 3000, "/tmp/" + "x" * 1531),
        ("/tmp/\x1b[2J\u202e", "/tmp/\x1b[2J\u202e"),
    ],
)
def test_text_of_a_peer_is_a_binary_and_its_length_has_a_limit(path, told, node, subscribe, bob):
    s = subscribe()
    with raises("eacces"):
        bob.erpc(node.name, "put", 1, 1, ("pinned", path.encode()))
    found, _ = terms(s, 2)
    assert [event["path"] for event in found if event["event"] == "refused"] == [told]


def test_a_line_comes_that_is_logged_as_a_node_leaves(node, subscribe, connect):
    """It leaves the thread that sends: that is woken for the line all the same."""
    s = subscribe()
    for _ in range(10):
        connect(node, name="other@h").close()
        found = []
        while len(found) < 2:
            _, _, [(_, events)] = s.receive()
            found += [str(event["event"]) for event in events]
        assert found == ["connected", "disconnected"]


def test_a_grant_is_enough_though_others_have_had_all(node, subscribe, alice):
    paused, all = subscribe(("credit", 0)), subscribe()
    alice.erpc(node.name, "new", "hash", 4, 8, 16)
    assert len(terms(all, 1)[0]) == 1
    paused.grant(2**64)

    def is_served():
        info = paused.info()
        return info["sent"] + info["skipped"] == 1

    wait_until(is_served, what="it gets the line, or is passed over for it")


def test_lines_lost_before_it_began_are_none_of_its_own(node, subscribe, alice):
    earlier = subscribe(("credit", 0))
    for _ in range(500):
        alice.erpc(node.name, "close", alice.erpc(node.name, "new", "hash", 4, 8, 16))
    later = subscribe()
    earlier.grant(2**64)
    wait_until(lambda: earlier.info()["fill"] == 0, what="there is room")
    alice.erpc(node.name, "new", "hash", 4, 8, 16)
    assert terms(later, 1)[1] == 0
    wait_until(lambda: earlier.receive()[1] > 0, what="the other one learns of them")


@pytest.mark.parametrize("of_node", [False, True])
def test_in_a_shell_lines_are_printed(of_node, node, start_beam, ebin):
    beam = start_beam(paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", node.name)
    shell = beam.eval(WATCH, Ring=("log", node.name) if of_node else "log", Options=[])
    wait_until(lambda: beam.eval("length(ebpf_events:subscriptions(log))") == 1)
    beam.erpc(node.name, "new", "hash", 4, 8, 16)
    line = beam.eval(PRINTED).decode()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z info handle_made .*\n", line), line
    beam.eval("S ! enter", S=shell)
    assert beam.eval("receive {result, R} -> R after 5000 -> none end") == "ok"
