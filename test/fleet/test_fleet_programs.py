# SPDX-License-Identifier: Apache-2.0
"""Programs on all hosts, or on none; and the events of all in one mailbox."""

import struct

import pytest

from beam import BeamError
from cluster import wait_until
from etf import Atom
from fleets import all_ok

LOADS = ["--programs", "all", "--allow", "*=load"]
ALL = Atom("all_or_none")
XDP = (Atom("xdp"), b"lo", Atom("generic"))
TC = (Atom("tc"), b"lo", Atom("ingress"), Atom("last"))

RECEIVE = """
    receive {ebpf_events, S, _, _, Runs} -> {node(S), ebpf_events:records(Runs)}
    after 5000 -> none
    end
"""
NEWS = "receive {ebpf_fleet, P, News} -> News after 10000 -> none end"


def option(name, value):
    return (Atom(name), value)


@pytest.fixture
def loaders(fleet):
    """Three hosts that load programs."""
    for _ in range(3):
        fleet.start(*LOADS)
    return fleet


@pytest.fixture
def attach_object(compile_bpf):
    """Its programs let all packets pass: those of the cluster, too."""
    return compile_bpf("attach").read_bytes()


def only(*names):
    return option("programs", list(names))


def held_by(nodes, fleet):
    return [
        sorted(map(repr, fleet.beam.erpc(Atom(node.name), "handles", module=module)))
        for node in nodes
        for module in ("ebpf_maps", "ebpf_programs")
    ]


def program_of(answer, name):
    return {node: loaded["programs"][name] for node, loaded in answer.value.items()}


# --- Programs ---------------------------------------------------------------------


def test_a_program_on_all_hosts(loaders, attach_object):
    answer = loaders.call("load", attach_object, [only(b"xdp")])
    assert answer.results == all_ok(loaders)
    assert set(answer.value) == set(loaders.names())
    assert all(b"xdp" in loaded["programs"] for loaded in answer.value.values())


def test_one_that_fails_undoes_all(loaders, attach_object):
    """The third host allows no programs at all."""
    loaders.hosts.pop().stop()
    refuses = loaders.start()
    wanted = {**all_ok(loaders), refuses.name: ("error", "eacces")}
    some = loaders.call("load", attach_object, [only(b"xdp")])
    assert some.results == wanted
    assert len(some.value) == 2
    held = held_by(loaders.hosts[:2], loaders)
    none = loaders.call("load", attach_object, [only(b"xdp"), ALL])
    assert none.value == {}
    undone = {node.name: ("error", "undone") for node in loaders.hosts[:2]}
    assert none.results == {**undone, refuses.name: ("error", "eacces")}
    assert held_by(loaders.hosts[:2], loaders) == held
    with pytest.raises(BeamError) as raised:
        loaders.call("load", attach_object, [only(b"xdp"), ALL, Atom("strict")])
    assert raised.value.reason == ("failed", {Atom(refuses.name): "eacces"})
    assert held_by(loaders.hosts[:2], loaders) == held


def test_attached_on_all_hosts(loaders, attach_object):
    programs = program_of(loaders.call("load", attach_object, [only(b"tc")]), b"tc")
    answer = loaders.call("attach", programs, TC, [])
    assert answer.results == all_ok(loaders)
    assert all(link[0] == "ebpf_link" for link in answer.value.values())


def test_attached_on_all_hosts_or_none(loaders, attach_object):
    """The interface is the same for all three, and takes one XDP program."""
    programs = program_of(loaders.call("load", attach_object, [only(b"xdp")]), b"xdp")
    answer = loaders.call("attach", programs, XDP, [ALL])
    assert answer.value == {}
    assert sorted(answer.results.values()) == [("error", "ebusy")] * 2 + [("error", "undone")]
    # nothing is left there
    first = dict(list(programs.items())[:1])
    alone = loaders.call("attach", first, XDP, [])
    assert alone.results == {str(node): "ok" for node in first}


def test_without_that_the_first_stays(loaders, attach_object):
    programs = program_of(loaders.call("load", attach_object, [only(b"xdp")]), b"xdp")
    answer = loaders.call("attach", programs, XDP, [])
    assert sorted(answer.results.values(), key=str) == [("error", "ebusy")] * 2 + ["ok"]
    assert len(answer.value) == 1


def test_a_wrong_object_is_each_hosts_error(loaders):
    answer = loaders.call("load", b"no object", [])
    assert answer.value == {}
    assert {reason[0] for _, reason in answer.results.values()} == {"object"}
    # an option that the C node does not know is raised there
    answer = loaders.call("load", b"no object", [Atom("fast")])
    assert set(answer.results.values()) == {("error", "badarg")}


# --- Events -----------------------------------------------------------------------


@pytest.fixture
def rings(loaders, events_object):
    """What the rings are, and how records come into them."""
    names = [only(b"events"), option("max_entries", {b"ring": 65536})]
    answer = loaders.call("load", events_object, names)
    assert answer.results == all_ok(loaders), answer.results
    for node, loaded in answer.value.items():
        ring = loaded["maps"][b"ring"]
        assert loaders.beam.erpc(node, "pin", loaders.path("ring"), ring) == "ok"
    loaders.programs = program_of(answer, b"events")
    return loaders


def emit(fleet, node, count=1):
    data = {"data": struct.pack("=III", count, 16, 0).ljust(64, b"\0")}
    program = fleet.programs[Atom(node.name)]
    ran = fleet.beam.erpc(Atom(node.name), "run", program, data, [], module="ebpf_programs")
    assert ran["return"] == 1


def subscribed(fleet, what, *options):
    text = "ebpf_fleet:subscribe(What, self(), Options)"
    stream, results = fleet.beam.eval(text, What=what, Options=list(options))
    return stream, {str(node): result for node, result in results.items()}


def test_events_of_all_hosts_come_to_one_process(rings):
    stream, results = subscribed(rings, ("pinned", rings.path("ring")))
    assert results == all_ok(rings)
    news = [rings.beam.eval(NEWS, P=stream) for _ in rings.hosts]
    assert {(kind, str(node)) for kind, node, _ in news} == {("up", n.name) for n in rings.hosts}
    for node in rings.hosts:
        emit(rings, node, 3)
        host, records = rings.beam.eval(RECEIVE)
        assert (host, len(records)) == (node.name, 3)
    assert rings.beam.apply("ebpf_fleet", "unsubscribe", stream) == "ok"
    assert rings.beam.apply("ebpf_fleet", "unsubscribe", stream) == ("error", "esrch")
    subscriptions = "ebpf_fleet:call({ebpf_events, subscriptions}, [], [])"
    wait_until(lambda: not any(rings.beam.eval(subscriptions)[0].values()), what="all have ended")


def test_a_host_that_comes_later_is_in_the_stream(loaders):
    """By its log, of which each line is an event."""
    stream, results = subscribed(loaders, Atom("log"), option("nodes", loaders.names()[:2]))
    assert set(results.values()) == {"ok"}
    loaders.beam.apply("ebpf_fleet", "unsubscribe", stream)
    loaders.beam.forget()
    text = """
        Source = fun() -> application:get_env(ebpf_cnode, fleet, []) end,
        element(1, ebpf_fleet:subscribe(log, self(), [{nodes, Source}]))
    """
    stream = loaders.beam.eval(text)
    ups = {loaders.beam.eval(NEWS, P=stream)[:2] for _ in range(3)}
    assert ups == {("up", node.name) for node in loaders.hosts}
    late = loaders.start(*LOADS)
    assert loaders.beam.apply("net_adm", "ping", Atom(late.name)) == "pong"
    assert loaders.beam.eval(NEWS, P=stream)[:2] == ("up", late.name)
    gone = loaders.hosts[0]
    gone.stop()
    kind, node, reason = loaders.beam.eval(NEWS, P=stream)
    assert (kind, node) == ("down", gone.name)
    loaders.hosts.remove(gone)
    # its source would name the hosts of other tests, too
    assert loaders.beam.apply("ebpf_fleet", "unsubscribe", stream) == "ok"


def test_a_host_that_answers_late_is_in_the_stream_once(loaders):
    hung = loaders.hosts[1]
    with hung.asleep():
        stream, results = subscribed(loaders, Atom("log"), option("timeout", 300))
        assert results == {**all_ok(loaders), hung.name: ("error", "timeout")}
        ups = {loaders.beam.eval(NEWS, P=stream)[:2] for _ in range(2)}
        assert len(ups) == 2
    assert loaders.beam.eval(NEWS, P=stream)[:2] == ("up", hung.name)
    count = """
        {All, _} = ebpf_fleet:call({ebpf_events, subscriptions}, [], []),
        [length(Of) || Of <- maps:values(All)]
    """
    assert loaders.beam.eval(count) == [1, 1, 1]
    with hung.asleep():
        # it keeps nobody waiting who ends the stream
        assert loaders.beam.apply("ebpf_fleet", "unsubscribe", stream) == "ok"
    wait_until(lambda: loaders.beam.eval(count) == [0, 0, 0])


def test_other_processes_are_no_streams(loaders):
    with pytest.raises(BeamError) as raised:
        loaders.beam.eval("ebpf_fleet:unsubscribe(self())")
    assert raised.value.reason == "badarg"
    assert loaders.beam.eval("is_pid(whereis(ebpf_fleet_known))") == "true"
    with pytest.raises(BeamError):
        loaders.beam.eval("ebpf_fleet:unsubscribe(whereis(ebpf_fleet_known))")


def test_a_stream_ends_with_its_subscriber(loaders):
    text = """
        Me = self(),
        Pid = spawn(fun() -> receive stop -> ok end end),
        {Stream, _} = ebpf_fleet:subscribe(log, Pid, []),
        {Pid, monitor(process, Stream)}
    """
    pid, monitor = loaders.beam.eval(text)
    loaders.beam.eval("Pid ! stop", Pid=pid)
    ended = "receive {'DOWN', M, process, _, R} -> R after 5000 -> none end"
    assert loaders.beam.eval(ended, M=monitor) == "normal"


def test_strict_subscribes_at_all_or_none(loaders):
    missing = ("pinned", loaders.path("nothing"))
    _, results = subscribed(loaders, missing)
    assert set(results.values()) == {("error", "enoent")}
    text = """
        try ebpf_fleet:subscribe(What, self(), [strict]) of _ -> none
        catch error:{failed, Failed} -> Failed end
    """
    assert loaders.beam.eval(text, What=missing) == {name: "enoent" for name in loaders.names()}
