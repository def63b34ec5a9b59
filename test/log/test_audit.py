# SPDX-License-Identifier: Apache-2.0
"""The audit trail: what changes rights, or what others see, is one event each,
in text and in JSON."""

import re
import struct

import pytest

import dist
import etf
import tls
from cluster import wait_until
from counting import Trace
from dist import Closed, Refused
from test_log_format import of_json

HASH = ("hash", 4, 8, 16)
PINS = "/sys/fs/bpf"
EACCES = ("error", "eacces")
TEXT = re.compile(
    r"""(?P<time>\S+Z)\ (?P<level>info)\ (?P<event>[a-z_]+)
        (?:\ (?P<node>\S+@\S+))?(?:\ (?P<pid><\d+\.\d+>))?
        (?:\ (?P<function>\w+/\d))?:
        \ (?P<object>map)\ (?P<id>\d+)\ (?P<type>\w+)(?:\ "(?P<name>.*?)")?
        (?P<rest>(?:,\ \w+\ [^,]+)*)$""",
    re.VERBOSE,
)


def of_text(line):
    """The fields of an event that is logged as text."""
    match = TEXT.match(line)
    if not match:
        return None
    fields = {key: text for key, text in match.groupdict().items() if text}
    rest = fields.pop("rest", "")
    fields.update(pair.split(" ", 1) for pair in rest.split(", ")[1:])
    for key in {"id", "handle", "holders"} & fields.keys():
        fields[key] = int(fields[key])
    return fields


class Trail:
    """A node, and the events that it logs."""

    def __init__(self, start_cnode, cluster, connect, form, *options):
        self.connect_to = connect
        self.of_line = {"text": of_text, "json": of_json}[form]
        options = ("--log-level", "info", "--log-format", form, *options)
        self.node = start_cnode(*options, ready=False)
        self.node.port = wait_until(
            lambda: cluster.epmd.port_of(self.node.sname), what="it is registered"
        )
        self.node.wait_log("ready")
        self.peers = {}

    def connect(self, name, creation=7):
        self.peers[name] = self.connect_to(
            self.node, name=f"{name}@h", creation=creation
        )
        return self.peers[name]

    def __getitem__(self, name):
        return self.peers.get(name) or self.connect(name)

    def events(self, start=0):
        """All but those of connections, and of the node itself."""
        lines = [self.of_line(line) for line in self.node.lines[start:]]
        return [
            line
            for line in lines
            if line and re.match("handle_|pin|unpin|frozen|refused", line.get("event", ""))
        ]

    def wait(self, number, start=0):
        """So many events, and no more."""
        wait_until(lambda: len(self.events(start)) >= number, what=self.node.log)
        events = self.events(start)
        assert len(events) == number, events
        return events


@pytest.fixture(params=["text", "json"])
def trail(request, start_cnode, cluster, connect):
    def trail(*options):
        return Trail(start_cnode, cluster, connect, request.param, *options)

    return trail


@pytest.fixture
def json_trail(start_cnode, cluster, connect):
    def trail(*options):
        return Trail(start_cnode, cluster, connect, "json", *options)

    return trail


def id_of(peer, map):
    return peer.maps("info", map)[etf.Atom("id")]


def tells(line, /, **fields):
    """Whether it has these fields: None is for one that it has not."""
    return {key: line.get(key) for key in fields} == fields


# --- each event, as a table


def new(trail):
    trail["app"].maps("new", *HASH, [("name", "counts")])


def new_for_a_process(trail):
    trail["app"].maps("new", *HASH, [("lifetime", "process")])


def new_for_ever(trail):
    trail["app"].maps("new", *HASH, [("lifetime", "permanent")])


def opened_to_read(trail):
    map = trail["app"].maps("new", *HASH)
    trail["other"].maps("open", ("id", id_of(trail["app"], map)), ["read"])


def opened_to_write(trail):
    map = trail["app"].maps("new", *HASH)
    trail["other"].maps("open", ("id", id_of(trail["app"], map)), ["write"])


def nested(trail):
    """An outer map, and an inner one that only that has."""
    app = trail["app"]
    inner = app.maps("new", "array", 4, 4, 1)
    outer = app.maps("new", "array_of_maps", 4, 4, 1, [("inner_map", inner)])
    app.maps("put", 0, inner, outer)
    app.maps("close", inner)
    return outer


def read_out_of_a_map(trail):
    trail["app"].maps("get", 0, nested(trail))


def read_by_another(trail):
    outer = nested(trail)
    trail["app"].maps("get", 0, outer)
    trail["other"].maps("get", 0, outer)
    trail["other"].maps("get", 0, outer)  # it holds it already


def closed_by_another(trail):
    trail["other"].maps("close", trail["app"].maps("new", *HASH))


def closed_with_two_holders(trail):
    outer = nested(trail)
    inner = trail["app"].maps("get", 0, outer)
    trail["other"].maps("get", 0, outer)
    trail["other"].maps("close", inner)


def pin(trail):
    map = trail["app"].maps("new", *HASH)
    trail["app"].maps("pin", f"{PINS}/audited".encode(), map)
    trail["other"].maps("unpin", f"{PINS}/audited".encode(), map)


def freeze(trail):
    trail["other"].maps("freeze", trail["app"].maps("new", *HASH))


def leave(trail):
    trail["app"].maps("new", *HASH)
    trail["app"].close()


def process_ends(trail):
    app = trail["app"]
    sender = app.pid()
    args = ["hash", 4, 8, 4, [("lifetime", "process")]]
    map = app.finish_erpc(app.start_erpc("ebpf_maps", "new", args, sender=sender))[1]
    app.send((dist.MONITOR_P_EXIT, sender, app.pid(app.remote_name), map[1], "normal"))


def restart(trail):
    trail["app"].maps("new", *HASH)
    trail.connect("app", creation=8)


def come_shortly(trail):
    """Until three connections in a row took less than a second: not each does."""
    new_for_a_process(trail)

    def end_one():
        start = trail.node.mark()
        trail["app"].close()
        trail.node.wait_log("disconnected app@h", start=start)
        del trail.peers["app"]
        return trail.events()[1:]

    wait_until(end_one, what="the map has ended")


def end(trail):
    trail["app"].maps("new", *HASH)
    trail.node.stop()


GRACE = ["--grace", "0"]
MADE = {"event": "handle_made", "node": "app@h", "owner": "app@h", "type": "hash"}
ENDED = {"event": "handle_ended", "owner": "app@h", "function": None, "pid": None}
SHARED = {"type": "array", "lifetime": "shared", "function": "get/2"}

EVENTS = {
    "a map is made": (
        [], new, 1, [{**MADE, "function": "new/5", "name": "counts", "handle": 0,
                      "lifetime": "node", "access": None, "reason": None}]),
    "and is to end with a process": (
        [], new_for_a_process, 1, [{**MADE, "lifetime": "process"}]),
    "and is to stay": (
        [], new_for_ever, 1, [{**MADE, "lifetime": "permanent"}]),
    "a map is opened to read": (
        [], opened_to_read, 2,
        [{"event": "handle_made", "node": "other@h", "function": "open/2",
          "access": "read", "handle": 1, "owner": "other@h", "name": None}]),
    "a map is opened to write": (
        [], opened_to_write, 2, [{"event": "handle_made", "access": "write"}]),
    "a map is read out of a map": (
        [], read_out_of_a_map, 4,
        [{"event": "handle_made", "node": "app@h", "owner": "app@h", **SHARED}]),
    "and by another node": (
        [], read_by_another, 5,
        [{"event": "handle_shared", "node": "other@h", "owner": "other@h", **SHARED}]),
    "a map is closed by another node": (
        [], closed_by_another, 2,
        [{"event": "handle_closed", "node": "other@h", "owner": "app@h",
          "function": "close/1", "handle": 0, "holders": None, "reason": None}]),
    "and one that two nodes hold": (
        [], closed_with_two_holders, 6,
        [{"event": "handle_closed", "node": "other@h", "owner": "app@h", "holders": 2}]),
    "a map is pinned and unpinned": (
        [], pin, 3,
        [{"event": "pinned", "node": "app@h", "function": "pin/2", "type": "hash",
          "path": f"{PINS}/audited", "handle": None},
         {"event": "unpinned", "node": "other@h", "function": "unpin/2",
          "path": f"{PINS}/audited"}]),
    "a map is frozen": (
        [], freeze, 2, [{"event": "frozen", "node": "other@h", "function": "freeze/1"}]),
    "a node stays away": (
        GRACE, leave, 2, [{**ENDED, "node": None, "reason": "grace_over"}]),
    "a process ends": (
        [], process_ends, 2, [{**ENDED, "node": "app@h", "reason": "process_ended"}]),
    "a node is started anew": (
        [], restart, 2, [{**ENDED, "reason": "node_restarted"}]),
    "a node comes and goes time and again": (
        [], come_shortly, 2, [{**ENDED, "reason": "short_connections"}]),
    "the C node ends": (
        [], end, 2, [{**ENDED, "node": None, "reason": "ebpf_cnode_ends"}]),
}  # fmt: skip


@pytest.mark.parametrize("options, act, number, wanted", EVENTS.values(), ids=EVENTS)
def test_it_is_one_event_when(options, act, number, wanted, trail):
    trail = trail(*options)
    act(trail)
    events = trail.wait(number)
    for event, fields in zip(events[-len(wanted) :], wanted):
        assert tells(event, **fields), event
        assert event["level"] == "info" and event["object"] == "map", event
        if fields.get("function"):
            assert re.fullmatch(r"<\d+\.\d+>", event["pid"]), event


def test_of_all_events_of_a_map_the_id_is_the_same(trail):
    trail = trail()
    map = trail["app"].maps("new", *HASH)
    id = id_of(trail["app"], map)
    trail["app"].maps("freeze", map)
    trail["app"].maps("close", map)
    assert [event["id"] for event in trail.wait(3)] == [id, id, id]


def test_the_pid_is_that_of_the_process_that_asked(trail):
    trail = trail()
    app = trail["app"]
    sender = app.pid()
    request = app.start_erpc("ebpf_maps", "new", HASH, sender=sender)
    assert app.finish_erpc(request)[0] == "return"
    number = app.maps("new", *HASH) and next(app.numbers)
    first, second = trail.wait(2)
    assert first["pid"] != second["pid"]
    assert 0 < int(first["pid"][1:].split(".")[0]) < number


def test_no_line_has_what_it_takes_to_use_a_handle(trail):
    trail = trail()
    map = trail["app"].maps("new", *HASH)
    trail["app"].maps("close", map)
    trail.wait(2)
    words = [str(word) for word in struct.unpack(">II", map[1].raw[-8:])]
    words = [word for word in words if len(word) > 6]
    assert words, "they are random"
    assert not any(word in trail.node.log for word in words)


def test_what_fails_is_no_event(trail):
    trail = trail()
    map = trail["app"].maps("new", *HASH)
    trail["app"].maps("close", map)
    app = trail["app"]
    assert app.maps("close", map) == ("error", "ebadf")
    assert app.maps("new", "hash", 0, 0, 0) == ("error", "einval")
    map = app.maps("new", *HASH)
    assert app.maps("pin", b"/nowhere/at/all", map) == ("error", "enoent")
    assert app.maps("unpin", f"{PINS}/nothing".encode(), map) == ("error", "enoent")
    assert len(trail.wait(3)) == 3


def test_nothing_is_left_out_of_it(trail):
    trail = trail()
    app = trail["app"]
    asked = [app.start_erpc("ebpf_maps", "new", HASH) for _ in range(200)]
    for request in asked:
        assert app.finish_erpc(request)[0] == "return"
    events = trail.wait(200)
    assert sorted(event["handle"] for event in events) == list(range(200))


# --- refusals


def ask(*call, name="reader"):
    return lambda trail, map: trail[name].erpc("ebpf_maps", call[0], [
        map if argument is HASH else argument for argument in call[1:]
    ])  # fmt: skip


def in_another_name(trail, map):
    app = trail["app"]
    stranger = etf.pid("other@h", 1, 0, 7)
    app.start_erpc("ebpf_maps", "stats", [], sender=stranger)


def too_long(trail, map):
    trail["app"].erpc("ebpf_maps", "get", [b"k" * 70_000, map])


def too_long_an_answer(trail, map):
    big = trail["app"].maps("new", "array", 4, 60_000, 2)
    trail["app"].erpc("ebpf_maps", "to_list", [big])


READERS = ["--allow", "reader@*=ro", "--allow", "*=rw"]
SMALL = ["--max-message", "65536"]
REFUSALS = {
    "may_only_read": (READERS, ask("put", 1, 2, HASH), {"function": "put/3", "id": True}),
    "may_only_read, to open by id": (
        READERS, ask("open", ("id", 77)), {"function": "open/1", "id": 77}),
    "may_only_read, to open a pin": (
        READERS, ask("open", ("pinned", b"/a")), {"path": "/a", "id": None}),
    "may_only_read, to open by name": (
        READERS, ask("open", ("name", "n")), {"name": "n", "object": None}),
    "may_only_read, to pin": (
        READERS, ask("pin", b"/a", HASH), {"path": "/a", "id": True}),
    "not_its_own": (READERS, ask("close", HASH), {"function": "close/1", "id": True}),
    "outside_pin_root": (
        ["--pin-root", PINS], ask("pin", b"/tmp/x", HASH), {"path": "/tmp/x"}),
    "outside_file_root": (
        [], ask("get", ("file", b"/etc"), HASH), {"path": "/etc", "function": "get/2"}),
    "no_cgroup": (
        [], ask("put", 0, ("cgroup", b"/etc"), HASH), {"path": "/etc"}),
    "max_maps": (["--max-maps", "1"], ask("new", *HASH), {"function": "new/4"}),
    "max_maps_per_node": (
        ["--max-maps-per-node", "1"], ask("new", *HASH, name="app"),
        {"node": "app@h", "function": "new/4"}),
    "max_map_memory": (
        ["--max-map-memory", "1000000"], ask("new", "array", 4, 8, 1_000_000),
        {"function": "new/4"}),
    "max_pins": (["--max-pins", "1"], ask("pin", f"{PINS}/two".encode(), HASH),
                 {"function": "pin/2"}),
    "max_message": (SMALL, too_long, {"node": "app@h", "function": None}),
    "max_message, of an answer": (
        SMALL, too_long_an_answer, {"node": "app@h", "function": "to_list/1"}),
    "in_another_name": ([], in_another_name, {"node": "app@h"}),
}  # fmt: skip
TYPES = {
    "outside_file_root": ("inode_storage", 4, 8, 0, ["no_prealloc"]),
    "no_cgroup": ("cgroup_array", 4, 4, 4),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_it_is_refused_with_who_asked_for_what(case, json_trail):
    options, act, wanted = REFUSALS[case]
    reason = case.split(",")[0]
    trail = json_trail(*options)
    map = trail["app"].maps("new", *TYPES.get(reason, HASH))
    if reason == "max_pins":
        trail["app"].maps("pin", f"{PINS}/one".encode(), map)
    start = trail.node.mark()
    act(trail, map)
    trail.node.wait_log('"refused"', start=start)
    (event,) = [e for e in trail.events(start) if e["event"] == "refused"]
    wanted = {"reason": reason, "level": "warning", "node": "reader@h", **wanted}
    if wanted.get("id") is True:
        wanted["id"] = id_of(trail["app"], map)
    assert tells(event, **wanted), event
    if event.get("function"):
        assert re.fullmatch(r"<\d+\.\d+>", event["pid"])
    if event.get("id"):
        assert event["object"] == "map"


def test_of_refusals_the_number_that_is_left_out_is_told(json_trail):
    trail = json_trail(*READERS)
    map = trail["app"].maps("new", *HASH)
    reader = trail["reader"]
    asked = [reader.start_erpc("ebpf_maps", "put", [1, 2, map]) for _ in range(500)]
    for request in asked:
        assert reader.finish_erpc(request)[1] == "eacces"

    def told():
        lines = [of_json(line) for line in trail.node.lines]
        logged = sum(line.get("event") == "refused" for line in lines)
        left_out = [line for line in lines if line.get("event") == "left_out"]
        assert all(
            tells(line, of="refused", reason="may_only_read", node=None)
            for line in left_out
        )
        return logged + sum(line["count"] for line in left_out) == 500

    wait_until(told)


# --- connections, and the node itself


def test_connections_and_the_node_are_events_too(json_trail):
    trail = json_trail("--allow", "app@*=rw")
    trail["app"].close()
    trail.node.wait_log('"disconnected"')
    with pytest.raises((Refused, Closed)):
        trail.connect("stranger")
    trail.node.wait_log('"connection_refused"')
    trail.node.stop()
    lines = [of_json(line) for line in trail.node.lines]
    seen = {line["event"]: line for line in lines if "event" in line}
    name = trail.node.log.split('"ready ')[1].split()[0]
    assert tells(seen["ready"], node=name, port=trail.node.port, level="notice")
    assert tells(seen["connected"], node="app@h", level="notice")
    assert re.fullmatch(r"127\.0\.0\.1:\d+", seen["connected"]["address"])
    assert tells(seen["disconnected"], node="app@h", level="notice")
    assert seen["disconnected"]["reason"] in seen["disconnected"]["message"]
    refused = seen["connection_refused"]
    assert tells(refused, node="stranger@h", reason="--allow gives it nothing")
    assert seen["ending"]["message"].startswith("ending: signal 15")


# --- whatever a peer sends, a line is one


NAMES = {
    "quotes": 'a"b\\"c@h',
    "a backslash at its end": "a@h\\",
    "a line of its own": 'a@h\n{"level":"error"}',
    "control characters": "\x01\x1b[2J\x7f\x9b\r\t@h",
    "characters that turn the order": "\u202eevil\u2066@h\u200b\ufeff",
    "of two, three and four bytes": "\u00e9\u4e2d\U0001f600@h",
    "255 of four bytes": "\U0001f600" * 253 + "@h",
    "254 to be escaped": "\x01" * 253 + "@h",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_any_name_of_a_node_comes_out_whole(name, json_trail, connect):
    trail = json_trail(*tls.ANY_NAMES)
    if len(name.encode()) > 256:  # libei takes no more
        name = name[:63] + "@h"
    peer = connect(trail.node, name=name)
    map = peer.maps("new", *HASH)
    peer.maps("close", map)
    made, closed = trail.wait(2)
    assert tells(made, node=name, owner=name, event="handle_made")
    assert tells(closed, node=name, owner=name, event="handle_closed")
    assert name in made["message"] or made["truncated"] is True


PATHS = {
    "quotes": b'/etc/"x"\\',
    "new lines": b'/etc/\n{"level":"error"}\r',
    "no UTF-8": b"/etc/\xff\xc3(\xe2\x82\xf0\x9f\x98",
    "its end in the middle of a character": b"/etc/\xe2\x82",
    "the longest": b"/etc/" + b"p" * 4090,
    "the longest, to be escaped": b"/etc/" + b"\x01" * 4085 + b"/last",
    "the longest, of no UTF-8": b"/etc/" + b"\xff" * 4085 + b"/last",
    "the longest, of four bytes": b"/etc/" + "\U0001f600".encode() * 1020 + b"/last",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_any_path_stays_in_one_valid_line(path, json_trail):
    trail = json_trail()
    app = trail["app"]
    map = app.maps("new", "inode_storage", 4, 8, 0, ["no_prealloc"])
    trail.wait(1)
    start = trail.node.mark()
    assert tuple(app.erpc("ebpf_maps", "get", [("file", path), map])[:2]) == EACCES
    trail.node.wait_log("outside_file_root", start=start)
    (event,) = trail.events(start)
    text = path.decode(errors="replace")
    if len(path) < 100:
        assert event["path"].rstrip("\ufffd") == text.rstrip("\ufffd")
        assert "truncated" not in event
    else:
        head, tail = event["path"].split("...")
        assert text.startswith(head) and text.endswith(tail) and tail
        assert event["truncated"] is True
    assert len(trail.node.lines) == start + 1


WAYS = {
    "padded": PINS + "/." * 2000 + "/seen",
    "by two dots": PINS + "/../bpf/seen",
    "by a link": "{link}/seen",
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_pin_is_told_by_where_it_is(way, trail, tmp_path):
    (tmp_path / "link").symlink_to(PINS)
    way = way.format(link=tmp_path / "link").encode()
    trail = trail()
    map = trail["app"].maps("new", *HASH)
    for function in ("pin", "unpin"):
        assert trail["app"].maps(function, way, map) == "ok"
    assert [event.get("path") for event in trail.wait(3)] == [None] + 2 * [PINS + "/seen"]


def test_below_a_root_too_a_pin_is_told_by_where_it_is(trail):
    trail = trail("--pin-root", PINS)
    map = trail["app"].maps("new", *HASH)
    for function in ("pin", "unpin"):
        assert trail["app"].maps(function, f"{PINS}/./seen".encode(), map) == "ok"
    assert [event.get("path") for event in trail.wait(3)] == [None] + 2 * [PINS + "/seen"]


# --- what it costs who has not asked for it


def test_without_level_info_there_is_no_trail_and_it_costs_nothing(
    fresh_cnode, connect, tmp_path
):
    peer = connect(fresh_cnode)
    peer.maps("close", peer.maps("new", *HASH))
    fresh_cnode.wait_log(f" connected {peer.name} ")
    start = fresh_cnode.mark()
    with Trace(fresh_cnode, tmp_path / "trace") as trace:
        map = peer.maps("new", *HASH)
        peer.maps("freeze", map)
        peer.maps("close", map)
    assert fresh_cnode.lines[start:] == []
    assert trace.calls["write"] == 0, trace.text
    # made, asked for its sizes, frozen
    assert trace.calls["bpf"] == 3, trace.text


def test_a_get_and_a_put_are_no_events(trail, tmp_path):
    trail = trail()
    map = trail["app"].maps("new", *HASH)
    trail.wait(1)
    start = trail.node.mark()
    with Trace(trail.node, tmp_path / "trace") as trace:
        trail["app"].maps("put", 1, 2, map)
        trail["app"].maps("get", 1, map)
    assert trail.node.lines[start:] == []
    assert trace.calls["write"] == 0 and trace.calls["bpf"] == 2, trace.text


# --- the page


def documented(srcdir):
    """What is called by a name in that section of the man page."""
    page = (srcdir / "cnode/ebpf_cnode.8").read_text()
    (section,) = re.findall(r"^\.Sh AUDIT TRAIL\n(.*?)^\.Sh", page, re.M | re.S)
    events, members = section.split("Members of the JSON object")
    heads = re.findall(r"^\.It Cm (.*)", events, re.M)
    reasons = re.findall(r"^\.Cm ([\w ,]+)", events, re.M)
    members = re.findall(r"^\.It Ql (.*)", members, re.M)
    return [set(re.findall(r"\w+", " ".join(part))) for part in (heads, reasons, members)]


def test_the_page_has_each_event_and_reason_of_the_program(srcdir):
    events, reasons, members = documented(srcdir)
    text = "\n".join(path.read_text() for path in (srcdir / "cnode").rglob("*.c"))
    limits = re.findall(r'LOG_LIMIT_OF\(\s*"(\w+)", *(?:"(\w+)")?', text)
    assert {event for event, _ in limits} <= events
    assert {reason for _, reason in limits if reason} <= reasons
    assert set(re.findall(r'REFUSED\("(\w+)"\)', text)) <= reasons
    assert set(re.findall(r'reason = "(\w+)"', text)) <= reasons
    tested = {row["event"] for *_, rows in EVENTS.values() for row in rows}
    assert tested < events
    assert {case.split(",")[0] for case in REFUSALS} < reasons
    named = re.findall(r'log_fields_(?:text|number|format)\([\w&.>-]+, "(\w+)"', text)
    assert set(named) - members == {"event", "of", "count"}
