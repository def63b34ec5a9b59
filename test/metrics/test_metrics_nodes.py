# SPDX-License-Identifier: Apache-2.0
"""Scrapes while hosts hang, go and come back, and what the C nodes tell of themselves."""

import time

import pytest

from cluster import PATIENCE, wait_until
from etf import Atom
from fleets import pretend
from metrics import counter, label, option
from native import u32, u64

TIMEOUT = 2  # s, of a scraper


@pytest.fixture
def counted(three, metrics):
    """Three hosts with a series each."""
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {7: 3})
    metrics.start([counter("a_total", what, [label("l", 4)]), counter("b_total", what)])
    metrics.scrape()
    return metrics


def scrape(metrics, timeout=TIMEOUT):
    return metrics.scrape(X_Prometheus_Scrape_Timeout_Seconds=str(timeout * PATIENCE))


def up(samples):
    return {node for node, value in samples.by("ebpf_up", "node").items() if value == 1}


def names(nodes):
    return {node.name for node in nodes}


def test_a_host_that_hangs_is_down_and_the_others_are_told_in_time(counted, three):
    hanging, *others = three.hosts
    with hanging.asleep():
        begun = time.monotonic()
        samples = scrape(counted)
        took = time.monotonic() - begun
        assert up(samples) == names(others)
        for name in ("a_total", "b_total"):
            assert set(samples.by(name, "node")) == names(others)
            assert set(samples.by("ebpf_metric_up", "node", metric=name)) == names(three.hosts)
        assert samples.get("ebpf_metric_up", node=hanging.name, metric="a_total") == 0
        # the answer is there before the scraper gives up
        assert took < TIMEOUT * PATIENCE
    three.forget_silence()
    assert up(scrape(counted)) == names(three.hosts)


def test_all_hosts_that_hang_are_down(counted, three):
    first, second, third = three.hosts
    with first.asleep(), second.asleep(), third.asleep():
        samples = scrape(counted)
        assert up(samples) == set() and samples.all("a_total") == []
        assert set(samples.by("ebpf_up", "node")) == names(three.hosts)
    three.forget_silence()


def test_a_host_that_hangs_within_a_walk_has_no_part_of_a_metric(three, metrics):
    """What came before it hung is not shown: a counter that lacks a part has gone back."""
    what = three.new("m", entries=65536)
    first, *others = three.hosts
    three.put(first, what, {key: 1 for key in range(100_000, 120_000)})
    for node in others:
        three.put(node, what, {key: 1 for key in range(20_000)})
    declared = """
        [{counter, a_total, "Counts.", {pinned, "%s"}, [{l, 4, fun(<<Key:32/native>>) ->
              Key >= 100000 andalso ets:update_counter(slow, entries, 1) =:= 10 andalso begin
                  ets:insert(slow, {reached, true}),
                  (fun Wait() ->
                      ets:lookup(slow, go) =:= [] andalso begin timer:sleep(5), Wait() end
                  end)()
              end,
              integer_to_list(Key rem 10)
          end}], u64}]
    """
    metrics.beam.eval(
        """
        Self = self(),
        spawn(fun() ->
            slow = ets:new(slow, [named_table, public]),
            ets:insert(slow, {entries, 0}),
            Self ! made,
            receive forever -> ok end
        end),
        receive made -> ok end
        """
    )
    metrics.start(declared % what[1].decode())
    metrics.beam.eval(
        """
        Me = self(),
        spawn(fun() -> Me ! {text, ebpf_metrics_scrape:text(prometheus, Ms)} end)
        """,
        Ms=4000 * PATIENCE,
    )
    wait_until(lambda: metrics.beam.eval("ets:lookup(slow, reached)") != [])
    with first.asleep():
        metrics.beam.eval("ets:insert(slow, {go, true})")
        status, text = metrics.beam.eval("receive {text, T} -> T end", timeout=20)
    assert status == "ok"
    series = text.decode()
    assert f'ebpf_up{{node="{first.name}"}} 0' in series
    assert f'a_total{{node="{first.name}"' not in series
    for node in others:
        assert f'a_total{{node="{node.name}",l="9"}} 2000\n' in series
    three.forget_silence()


def test_a_host_that_goes_is_down_and_is_up_again_once_it_is_back(counted, three):
    gone, *others = three.hosts
    gone.stop()
    gone.must_live = False
    assert up(scrape(counted)) == names(others)
    anew = three.start(sname=gone.sname)
    three.hosts.remove(anew)
    three.beam.apply("application", "set_env", "ebpf_cnode", "fleet", three.names())
    three.forget_silence()
    assert up(scrape(counted)) == names(three.hosts)


def test_hosts_that_restart_break_no_scrape(counted, three):
    [restarting, *others] = three.hosts
    for _ in range(3):
        restarting.kill()
        restarting = three.start(sname=restarting.sname)
        three.hosts.pop()
        assert names(others) <= up(scrape(counted))
    three.beam.apply("application", "set_env", "ebpf_cnode", "fleet", three.names())
    three.forget_silence()
    assert up(scrape(counted)) == names(three.hosts)


def test_without_hosts_there_is_nothing_to_tell(fleet, metrics):
    metrics.start([counter("a_total", ("pinned", fleet.path("m")))], fleet=[(Atom("nodes"), [])])
    samples = metrics.scrape()
    assert samples.all("ebpf_up") == [] and samples.get("ebpf_series_dropped") == 0


def test_a_fleet_that_cannot_be_found_is_told_in_the_log(fleet, metrics):
    metrics.start([counter("a_total", ("pinned", fleet.path("m")))])
    metrics.beam.apply("application", "set_env", "ebpf_cnode", "fleet", "nonsense")
    status, _, text = metrics.ask()
    assert (status, text) == (500, "the C nodes could not be asked: this node's log says why\n")
    metrics.logged("badenv")
    metrics.beam.apply("application", "set_env", "ebpf_cnode", "fleet", [])
    assert metrics.ask()[0] == 200


def test_a_scraper_with_little_time_takes_none_from_another(counted, three):
    """It has a sweep of its own: who waits longer gets the next one."""
    hanging = three.hosts[0]
    ask = "spawn(fun() -> Me ! {N, ebpf_metrics_scrape:text(prometheus, Ms)} end)"
    with hanging.asleep():
        counted.beam.eval(f"Me = self(), {ask}", N=1, Ms=400)
        short = "element(5, sys:get_state(ebpf_metrics_scrape)) =:= 400"
        wait_until(lambda: counted.beam.eval(short), what="a short sweep is under way")
        counted.beam.eval(f"Me = self(), {ask}", N=2, Ms=20_000)
        counted.beam.eval("receive {1, _} -> ok end")
    status, text = counted.beam.eval("receive {2, T} -> T end", timeout=30)
    assert status == "ok"
    assert f'ebpf_up{{node="{hanging.name}"}} 1' in text.decode()
    counted.beam.forget()


# What a node answers that is no C node: each is put there under the function's name.
LIAR = """
    -module(ebpf_maps). -compile(export_all). -compile(nowarn_export_all).
    stats() -> answer(stats). host() -> answer(host). close(_) -> ok.
    open(_, _) -> answer(open). typed(M, _) -> M. next_chunk(_, _, _) -> answer(next_chunk).
    answer(F) -> persistent_term:get({liar, F}).
"""
TRUTHS = {
    "open": "{ebpf_map, make_ref(), hash, 4, 8, 16}",
    "stats": "#{}",
    "host": "#{}",
    "next_chunk": "{[{<<0:32>>, 1}], done}",
}

LIES = {
    "no statistics": ("stats", "nothing"),
    "other statistics": ("stats", "#{uptime => x, bytes => y, requests => [z], latency => 7}"),
    "odd statistics": (
        "stats",
        "#{requests => #{x => 1, {1, 2} => 3, {a, 1} => q}, errors => #{1 => 2, a => -1}, "
        "latency => [{1, 2} | 3], bytes => #{in => -1}, connections => 1.5}",
    ),
    "odd latencies": ("stats", "#{latency => [x, {-5, 7}, {1 bsl 9999, 3}, {8, 1.5}]}"),
    "no host": ("host", "nothing"),
    "other interfaces": ("host", "#{interfaces => x, cgroups => #{0 => {y}}}"),
    "no entries": ("next_chunk", "nothing"),
    "keys of another size": ("next_chunk", "{[{<<1>>, 1}], done}"),
    "no number": ("next_chunk", "{[{<<0:32>>, x}], done}"),
    "a list of values": ("next_chunk", "{[{<<0:32>>, [1 | 2]}], done}"),
    "a term as a key": ("next_chunk", "{[{{key}, 1}], done}"),
    "an endless number": ("next_chunk", "{[{<<0:32>>, 1 bsl 99999}], done}"),
}


@pytest.mark.parametrize("function, lie", LIES.values(), ids=LIES)
def test_a_liar_spoils_no_scrape(function, lie, three, metrics, start_beam):
    what = three.new("m")
    for node in three.hosts:
        three.put(node, what, {7: 3})
    liar = start_beam(hint="liar")
    pretend(liar, LIAR)
    for name, said in {**TRUTHS, function: lie}.items():
        liar.eval(f"persistent_term:put({{liar, {name}}}, {said})")
    nodes = [(Atom("nodes"), [*three.names(), Atom(liar.name)])]
    values = option("multiply", 0.5)
    kinds = [
        counter("a_total", what, [label("l", 4)]),
        counter("b_total", what, [label("l", 4, "ifname")], "u64", values),
        counter("c_total", what, [label("l", 4, "cgroup")]),
        counter("h", what, [label("le", 4)], ((Atom("log2"), 8), Atom("u64")), type="histogram"),
    ]
    metrics.start(kinds, fleet=nodes)
    samples = metrics.scrape()
    for name in ("a_total", "b_total", "c_total", "h_count"):
        assert names(three.hosts) <= set(samples.by(name, "node"))


# --- The C nodes themselves


def test_a_c_node_tells_its_statistics(three, metrics):
    node = three.hosts[0]
    metrics.start([])
    stats = three.maps(node, "stats")
    samples = metrics.scrape()
    of = {"node": node.name}
    assert samples.get("ebpf_cnode_connections", **of) == 1
    assert samples.get("ebpf_cnode_handles", **of) == 0
    assert samples.get("ebpf_cnode_refused_total", **of) == 0
    assert samples.get("ebpf_cnode_loader_up", **of) is None
    assert samples.get("ebpf_cnode_uptime_seconds", **of) >= stats["uptime"] / 1000
    assert samples.get("ebpf_cnode_received_bytes_total", **of) > stats["bytes"]["in"]
    assert samples.get("ebpf_cnode_sent_bytes_total", **of) > stats["bytes"]["out"]
    for function, number in stats["requests"].items():
        module, name, arity = function if len(function) == 3 else ("ebpf_maps", *function)
        of = {"module": module, "function": name, "arity": str(arity), "node": node.name}
        told = samples.get("ebpf_cnode_requests_total", **of)
        assert told >= number, function


def test_errors_of_a_c_node_are_counted_by_their_reason(three, metrics):
    node = three.hosts[0]
    metrics.start([])
    for _ in range(3):
        assert three.maps(node, "open", ("pinned", b"/sys/fs/bpf/none"))[0] == "error"
    found = metrics.scrape().by("ebpf_cnode_errors_total", "reason", node=node.name)
    assert found["enoent"] == 3


def test_the_latency_is_a_histogram(three, metrics):
    node = three.hosts[0]
    metrics.start([])
    metrics.scrape()
    stats = three.maps(node, "stats")
    samples = metrics.scrape()
    found = samples.by("ebpf_cnode_latency_seconds_bucket", "le", node=node.name)
    served = sum(number for _, number in stats["latency"])
    assert found["+Inf"] == samples.get("ebpf_cnode_latency_seconds_count", node=node.name)
    assert found["+Inf"] >= served
    # of requests answered in less than 2^20 ns, and so in 2^20 - 1 at most
    edge = f"{(2**20 - 1) / 1e9}"
    less = sum(number for limit, number in stats["latency"] if limit <= 2**20)
    assert found[edge] >= less > 0
    assert list(found.values()) == sorted(found.values())


def test_programs_tell_how_often_they_ran(start_programs, fleet, metrics, events_object):
    programs = start_programs()
    fleet.beam.apply("application", "set_env", "ebpf_cnode", "fleet", [Atom(programs.node.name)])
    loaded = programs.load(events_object, [(Atom("programs"), [b"events"])])
    program = loaded["programs"][b"events"]
    metrics.start([], programs=True)
    metrics.scrape()  # from now on they are counted
    packet = {"data": bytes(64)}
    for _ in range(5):
        programs.run(program, packet, [])
    samples = metrics.scrape()
    info = programs.info(program)
    of = {"name": "events", "type": info["type"], "id": str(info["id"])}
    assert samples.get("ebpf_program_run_total", **of) == 5
    assert samples.get("ebpf_program_run_seconds_total", **of) > 0
    assert samples.get("ebpf_program_recursion_misses_total", **of) == 0


def test_where_counting_is_not_allowed_programs_tell_nothing(three, metrics):
    metrics.start([], programs=True)
    samples = metrics.scrape()
    assert samples.all("ebpf_program_run_total") == []
    assert up(samples) == names(three.hosts)
