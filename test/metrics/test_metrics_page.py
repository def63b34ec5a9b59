# SPDX-License-Identifier: Apache-2.0
"""docs/metrics.md, typed as it stands; and the dashboard, all of whose queries have data then."""

import json
import os
import re
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from cluster import Cluster, wait_until
from host import CGROUPS
from metrics import Prometheus, prometheus_folder


def page(srcdir):
    return (srcdir / "docs" / "metrics.md").read_text()


def blocks(srcdir):
    return re.findall(r"```sh\n(.*?)```", page(srcdir), re.DOTALL)


class Host:
    """One on which the page is typed: with folders, a cgroup and pins of this test's own."""

    def __init__(self, cluster, srcdir, program, ebin, folder):
        self.folder = folder
        self.srcdir = srcdir
        self.cgroup = CGROUPS / f"page_{os.getpid()}"
        self.pins = Path(f"/sys/fs/bpf/page_{os.getpid()}")
        self.here = {
            "/tmp/": f"{folder}/",
            "/sys/fs/cgroup/demo": str(self.cgroup),
            "/sys/fs/bpf/demo": str(self.pins),
            "cnode/ebpf_cnode": str(program),
            "erlang/ebin": str(ebin),
        }
        path = [prometheus_folder(srcdir), os.environ["PATH"], "/usr/sbin", "/sbin"]
        self.env = {**cluster.env, "PATH": os.pathsep.join(map(str, path))}
        self.groups = []

    def type(self, commands):
        """What it prints; what it leaves in the background runs on."""
        for shown, here in self.here.items():
            commands = commands.replace(shown, here)
        output = self.folder / f"output{len(self.groups)}"
        with open(output, "w") as file:
            process = subprocess.Popen(
                ["sh", "-exc", commands],
                cwd=self.srcdir,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.groups.append(process.pid)
            status = process.wait(120)
        printed = output.read_text()
        assert status == 0, printed
        return printed

    def close(self):
        for group in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        subprocess.run(["rm", "-rf", self.pins], check=True)
        wait_until(self.cgroup_is_removed)

    def cgroup_is_removed(self):
        with suppress(FileNotFoundError, OSError):
            self.cgroup.rmdir()
        return not self.cgroup.exists()


# There are series of errors once there is one.
FAILS = """erl -noinput -sname fails -pa erlang/ebin -eval '
    [ebpf_maps:open({name, "none"}) || _ <- lists:seq(1, 3)], halt().'"""


@pytest.fixture(scope="module")
def host(srcdir, program, ebin, tmp_path_factory):
    """The page, typed to its end."""
    home = tmp_path_factory.mktemp("page")
    cluster = Cluster(home)
    host = Host(cluster, srcdir, program, ebin, home)
    cluster.epmd.start()
    try:
        compile, start, load, serve, scrape, send = blocks(srcdir)
        host.type(compile)
        host.type(start)
        wait_until(lambda: "ebpf" in cluster.epmd.names())
        host.type(load)
        host.type(serve)
        wait_until(lambda: answers(9435), 30)
        host.type(scrape)
        wait_until(lambda: answers(9090), 60)
        host.prometheus = Prometheus.at(9090)
        host.prometheus.wait_for("ebpf_up", 1)
        host.sent = host.type(send)
        host.type(FAILS)
        host.prometheus.wait_for("ebpf_cnode_errors_total")
        yield host
    finally:
        host.close()
        cluster.epmd.stop()


def answers(port):
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 10):
        return True


def test_the_page_leads_to_the_value_that_it_tells(host, srcdir):
    [value] = re.findall(r"a series whose value is (\d+)", page(srcdir))
    sent = sum(int(n) for n in re.findall(r"sent (\d+) packets", host.sent))
    assert sent == int(value)
    [(of, _)] = host.prometheus.wait_for('demo_packets_total{port="9"}', sent)
    assert of["node"].startswith("ebpf@")
    assert "demo_packets_total" in host.sent.rpartition("promtool")[2]


def test_the_query_of_the_page_has_a_graph(host, srcdir):
    [query] = re.findall(r"the query\s+`(rate[^`]+)`", page(srcdir))
    assert host.prometheus.wait_for(query)


def dashboard(srcdir):
    return json.loads((srcdir / "erlang" / "examples" / "ebpf_dashboard.json").read_text())


def queries(srcdir):
    return [
        (panel["title"], target["expr"])
        for panel in dashboard(srcdir)["panels"]
        for target in panel["targets"]
    ]


def test_each_query_of_the_dashboard_has_data(host, srcdir):
    found = queries(srcdir)
    assert len(found) > 15
    for title, expr in found:
        expr = expr.replace("$node", ".*").replace("$__rate_interval", "1m")
        assert "$" not in expr, (title, expr)
        assert host.prometheus.wait_for(expr), (title, expr)


def test_the_list_of_nodes_of_the_dashboard_has_the_node(host, srcdir):
    [variable] = dashboard(srcdir)["templating"]["list"]
    metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["definition"]).groups()
    assert len(host.prometheus.api(f"label/{label}/values", **{"match[]": metric})) == 1


def test_each_metric_of_the_dashboard_is_one_that_there_is(srcdir, host):
    names = set(re.findall(r"\b((?:ebpf|demo)_\w+)", " ".join(e for _, e in queries(srcdir))))
    there = set(host.prometheus.api("label/__name__/values"))
    assert len(names) > 12 and names <= there


def test_the_page_ends_what_it_has_started(srcdir):
    """Three processes, in the background."""
    started = re.findall(r"&$", "".join(blocks(srcdir)), re.MULTILINE)
    [killed] = re.findall(r"`kill ((?:%\d ?)+)`", page(srcdir))
    assert killed.split() == [f"%{n}" for n in range(1, len(started) + 1)]


def test_alerts_of_the_page_are_metrics(host, srcdir):
    named = set(re.findall(r"`(?:rate\()?(ebpf_(?!metrics|programs)\w+)[^`]*`", page(srcdir)))
    assert len(named) >= 4
    assert named - {"ebpf_cnode"} <= set(host.prometheus.api("label/__name__/values"))
