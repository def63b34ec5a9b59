# SPDX-License-Identifier: Apache-2.0
"""Debian's Prometheus scrapes counters that a program in the kernel moves."""

import os
import subprocess

import pytest

from bpf_objects import compiled
from cluster import wait_until
from etf import Atom
from host import CGROUPS
from metrics import counter, label, prometheus_of
from native import u32

@pytest.fixture
def cgroup():
    path = f"{CGROUPS}/metrics_{os.getpid()}"
    os.mkdir(path)
    yield path

    def is_removed():
        try:
            os.rmdir(path)
        except OSError:
            return False
        return True

    wait_until(is_removed)


def send(srcdir, cgroup, count, port):
    command = [srcdir / "test" / "demo" / "send", str(count), str(port)]
    subprocess.run(command, env={**os.environ, "EBPF_DEMO_CGROUP": cgroup}, check=True)


@pytest.fixture
def counting(start_programs, fleet, srcdir, tmp_path, cgroup, folder):
    """A host on which a program counts the packets of a cgroup."""
    source = srcdir / "test" / "demo" / "count_packets.bpf.c"
    elf = compiled(source, tmp_path).read_bytes()
    programs = start_programs()
    loaded = programs.load(elf, [])
    target = (Atom("cgroup"), cgroup.encode())
    assert programs.attach(loaded["programs"][b"count_packets"], target)[0] == "ebpf_link"
    for name, map in loaded["maps"].items():
        assert programs.maps("pin", f"{folder}/{name.decode()}".encode(), map) == "ok"
    fleet.beam.apply("application", "set_env", "ebpf_cnode", "fleet", [Atom(programs.node.name)])
    return programs.node


def test_counters_that_a_program_moves_are_what_promql_gives(
    counting, metrics, srcdir, tmp_path, cgroup, folder
):
    def pinned(name):
        return (Atom("pinned"), f"{folder}/{name}".encode())

    metrics.start([
        counter("sent_packets_total", pinned("packets"), [label("port", 4)]),
        counter("sent_bytes_total", pinned("bytes"), [label("port", 4)]),
    ])
    send(srcdir, cgroup, 7, 9)
    send(srcdir, cgroup, 3, 10)
    size = 20 + 8 + len("hello")
    with prometheus_of(metrics.port, srcdir, tmp_path) as prometheus:
        [(of, _)] = prometheus.wait_for('sent_packets_total{port="9"}', 7)
        assert of["node"] == counting.name and of["job"] == "ebpf"
        prometheus.wait_for("sum(sent_packets_total)", 10)
        prometheus.wait_for("sum(sent_bytes_total)", 10 * size)
        prometheus.wait_for("sum(ebpf_up)", 1)
        send(srcdir, cgroup, 5, 9)
        prometheus.wait_for('sent_packets_total{port="9"}', 12)
        nine = 'sent_packets_total{port="9"}'
        grown = f"max_over_time({nine}[1h]) - min_over_time({nine}[1h])"
        prometheus.wait_for(grown, 5)
        assert prometheus.target()["health"] == "up"
        # OpenMetrics, whose counters it asks for: it knows the family by that name
        metadata = prometheus.api("metadata", metric="sent_packets")
        assert metadata["sent_packets"][0]["type"] == "counter"
        median = "histogram_quantile(0.5, sum by (le) (ebpf_cnode_latency_seconds_bucket))"
        prometheus.wait_for(f"{median} > 0")


def test_whatever_is_in_a_key_breaks_no_scrape(fleet, metrics, srcdir, tmp_path):
    """All bytes, as texts and in a fun's; each is a series of its own unless it is for no reader."""
    node = fleet.start()
    what = fleet.new("m", key=8)
    map = fleet.maps(node, "open", what)
    keys = [bytes([97, byte, 98, 0]) + u32(byte) for byte in range(256)]
    fleet.maps(node, "merge", map, [(key, 1) for key in keys])
    fleet.maps(node, "close", map)
    declared = """
        [{counter, raw_total, "Counts.", {pinned, "%s"}, [{text, 4, string}, {n, 4}], u64},
         {counter, fun_total, "Counts.", {pinned, "%s"},
          [{text, 4, fun(<<Text:3/binary, _>>) -> Text end}, {n, 4}], u64}]
    """ % (what[1].decode(), what[1].decode())
    metrics.start(declared)
    assert len(metrics.scrape().all("raw_total")) == 256
    with prometheus_of(metrics.port, srcdir, tmp_path) as prometheus:
        prometheus.wait_for("count(raw_total)", 256)
        prometheus.wait_for("count(fun_total)", 256)
        assert prometheus.target()["lastError"] == ""
        found = {of["n"]: of["text"] for of, _ in prometheus.query("fun_total")}
    assert found["34"] == 'a"b' and found["92"] == "a\\b" and found["10"] == "a\nb"
    assert found["0"] == found["13"] == found["255"] == "a\ufffdb"
