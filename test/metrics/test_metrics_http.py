# SPDX-License-Identifier: Apache-2.0
"""What the listener serves, to whom, and what it does with those who are slow or ask for more."""

import socket
import subprocess
import threading
from contextlib import ExitStack

import pytest

from cluster import PATIENCE, free_port, wait_until
from etf import Atom
from metrics import OPENMETRICS, Samples, counter, label, option

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPEN = "application/openmetrics-text; version=1.0.0; charset=utf-8"
CLIENTS = 16


@pytest.fixture
def served(fleet, metrics):
    """One host with one series."""
    node = fleet.start()
    what = fleet.new("m")
    fleet.put(node, what, {7: 3})
    return metrics.start([counter("drops_total", what, [label("reason", 4)])])


# --- Requests


def test_get_and_head_are_served(served):
    status, headers, text = served.ask()
    assert (status, headers["Content-Type"]) == (200, TEXT)
    assert int(headers["Content-Length"]) == len(text.encode())
    assert Samples(text).get("drops_total", reason="7") == 3
    status, headers, text = served.ask("HEAD")
    assert (status, headers["Content-Type"], text) == (200, TEXT, "")
    assert int(headers["Content-Length"]) > 100


def test_a_query_is_no_other_path(served):
    assert served.ask(path="/metrics?collect=all")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE"])
def test_other_methods_are_refused(method, served):
    status, headers, text = served.ask(method)
    assert (status, headers["Allow"], text) == (405, "GET, HEAD", "only GET and HEAD\n")
    assert served.ask(method, "/")[0] == 404


@pytest.mark.parametrize("method", ["OPTIONS", "CONNECT", "PROPFIND"])
def test_methods_that_httpd_does_not_know_are_refused(method, served):
    assert served.ask(method)[0] == 501


def test_a_trace_tells_nothing_of_the_request(served):
    _, headers, text = served.ask("TRACE", Cookie="secret")
    assert "secret" not in text and "secret" not in str(headers)


PATHS = ["/", "/metrics/", "/metrics/x", "//metrics", "/Metrics", "/metric"]
PATHS += ["/ebin/ebpf_maps.beam", "/../../../etc/passwd", "/cgi-bin/x", "*"]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_else_is_there(path, served):
    status, _, text = served.ask(path=path)
    assert status in (403, 404)
    assert "root:" not in text and "drops" not in text


def raw(served, request, timeout=30):
    """All that comes until the connection ends."""
    with socket.create_connection(("127.0.0.1", served.port), timeout * PATIENCE) as s:
        s.sendall(request)
        answer = b""
        try:
            while chunk := s.recv(65536):
                answer += chunk
        except ConnectionResetError:
            pass
        return answer


BOUNDED = {
    "headers": b"GET /metrics HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    "one header": b"GET /metrics HTTP/1.1\r\nHost: " + b"x" * 100000 + b"\r\n\r\n",
    "path": b"GET /" + b"x" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "method": b"G" * 100000 + b" /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "body": b"POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    "garbage": bytes(range(256)) * 100 + b"\r\n\r\n",
}


@pytest.mark.parametrize("request_", BOUNDED.values(), ids=BOUNDED)
def test_what_is_too_long_or_none_is_refused(request_, served):
    answer = raw(served, request_)
    assert b"drops_total" not in answer
    assert b" 200 " not in answer.partition(b"\r\n")[0]
    assert served.ask()[0] == 200


def test_headers_may_be_anything(served):
    for value in ("", "-1", "1e9", "nan", "x", "0", "\x00", "1" * 400):
        status, _, text = served.ask(
            Accept=value, X_Prometheus_Scrape_Timeout_Seconds=value
        )
        assert status == 200 and "drops_total" in text


# --- Formats


ACCEPTS = {
    "application/openmetrics-text": OPEN,
    "application/openmetrics-text; version=1.0.0; charset=utf-8": OPEN,
    # that of Prometheus 2.42
    f"{OPENMETRICS},application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;"
    "q=0.5,*/*;q=0.1": OPEN,
    "text/plain;version=0.0.4": TEXT,
    "*/*": TEXT,
    "text/html, */*;q=0.1": TEXT,
    "text/plain;q=0.9, application/openmetrics-text;q=0.5": TEXT,
    "application/openmetrics-text;version=0.0.1": TEXT,
    "application/openmetrics-text;q=0": TEXT,
}


@pytest.mark.parametrize("accept, type", ACCEPTS.items(), ids=ACCEPTS)
def test_openmetrics_comes_to_those_who_ask_for_it(accept, type, served):
    _, headers, text = served.ask(Accept=accept)
    assert headers["Content-Type"] == type
    assert text.endswith("# EOF\n") == (type == OPEN)


def test_the_formats_differ_in_names_and_escapes(fleet, metrics):
    node = fleet.start()
    what = fleet.new("m", key=8)
    map = fleet.maps(node, "open", what)
    fleet.maps(node, "put", b'a"\\b\nc\0\0', 3, map)
    fleet.maps(node, "close", map)
    help = b'What "it" is,\nin C:\\n.'
    metrics.start([
        (Atom("counter"), b"a_total", help, what, [label("l", 8, "string")], Atom("u64")),
        counter("h", what, [], ((Atom("log2"), 2), (Atom("array"), 1, Atom("u64"))), type="histogram"),
    ])
    line = f'a_total{{node="{node.name}",l="a\\"\\\\b\\nc"}} 3\n'
    text = metrics.ask()[2]
    assert '# HELP a_total What "it" is,\\nin C:\\\\n.\n# TYPE a_total counter\n' + line in text
    assert f'h_count{{node="{node.name}"}} 3\n' in text and "# EOF" not in text
    text = metrics.ask(Accept=OPENMETRICS)[2]
    assert '# HELP a What \\"it\\" is,\\nin C:\\\\n.\n# TYPE a counter\n' + line in text
    # there is no sum, and so no count
    assert "h_count" not in text and 'le="+Inf"} 3\n' in text


def test_promtool_finds_nothing_wrong(served, promtool):
    assert promtool("check", "metrics", input=served.ask()[2]) == ""


def test_promtool_finds_nothing_wrong_with_all_kinds(fleet, metrics, promtool):
    node = fleet.start("--programs", "all", "--allow", "*=load")
    what = fleet.new("m", key=8)
    fleet.put(node, fleet.new("n"), {1: 5})
    map = fleet.maps(node, "open", what)
    fleet.maps(node, "put", bytes(range(248, 256)), 2**64 - 1, map)
    fleet.maps(node, "close", map)
    metrics.start(
        [
            counter("drops_total", what, [label("l", 8, "string")]),
            counter("load_ratio", what, [], "f64", type="gauge"),
            counter("h_seconds", ("pinned", fleet.path("n")), [label("le", 4)],
                    ((Atom("log2"), 8), Atom("u64")), option("multiply", 1e-9), type="histogram"),
        ],
        programs=True,
    )  # fmt: skip
    assert promtool("check", "metrics", input=metrics.ask()[2]) == ""


# --- Clients


def test_connections_are_kept(served):
    connection = served.connect()
    for _ in range(3):
        assert served.ask(connection=connection)[0] == 200
    connection.close()


def test_there_is_a_place_for_sixteen_clients(served):
    """One more gets no metrics, and the next one does, once there is a place again."""
    with ExitStack() as stack:
        kept = [served.connect() for _ in range(CLIENTS)]
        for connection in kept:
            stack.callback(connection.close)
            assert served.ask(connection=connection)[0] == 200
        assert served.ask()[0] == 503
    wait_until(lambda: served.ask()[0] == 200)


@pytest.mark.slow
def test_a_client_that_sends_nothing_is_let_go(served):
    """So a place is free again; nobody else waits meanwhile."""
    with ExitStack() as stack:
        slow = []
        for begun in (b"", b"GET /metr", b"GET /metrics HTTP/1.1\r\nHost: x\r\n"):
            s = socket.create_connection(("127.0.0.1", served.port), 60 * PATIENCE)
            stack.enter_context(s)
            s.sendall(begun)
            slow.append(s)
        assert served.ask()[0] == 200
        for s in slow:
            assert b"drops_total" not in s.recv(65536)


def test_clients_at_once_share_a_sweep(served, fleet):
    """By what the C node has been asked for."""
    [node] = fleet.hosts

    def asked():
        return fleet.maps(node, "stats")["requests"].get((Atom("next_chunk"), 3), 0)

    served.scrape()
    before = asked()
    with node.asleep():
        answers = []
        scrapers = [
            threading.Thread(target=lambda: answers.append(served.ask()[0]))
            for _ in range(CLIENTS - 1)
        ]
        for scraper in scrapers:
            scraper.start()
        waiting = "length(element(4, sys:get_state(ebpf_metrics_scrape)))"  # of its record
        wait_until(lambda: served.beam.eval(waiting) == len(scrapers), what="all wait")
    for scraper in scrapers:
        scraper.join(30 * PATIENCE)
    assert answers == [200] * len(scrapers)
    assert asked() == before + 1


# --- Where it listens


def test_it_listens_at_loopback_only(served):
    listeners = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=True).stdout
    [line] = [line for line in listeners.splitlines() if line.split()[3].endswith(f":{served.port}")]
    assert line.split()[3] == f"127.0.0.1:{served.port}"


def test_it_listens_where_it_is_told(fleet, metrics):
    fleet.start()
    port = free_port()
    metrics.start([], address=b"::1", port=port)
    with socket.create_connection(("::1", port), 10):
        pass
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 10)


@pytest.mark.slow
def test_clients_that_do_not_read_are_let_go(fleet, metrics):
    """An answer is larger than what the two sockets take, and all places are taken."""
    node = fleet.start()
    what = fleet.new("m", key=512, entries=16384)
    map = fleet.maps(node, "open", what)
    pairs = [(bytes([n & 255, n >> 8]) * 256, 1) for n in range(5_000)]
    fleet.maps(node, "merge", map, pairs)
    fleet.maps(node, "close", map)
    metrics.start([counter("a_total", what, [label("l", 512, "hex")])])
    with ExitStack() as stack:
        for _ in range(CLIENTS):
            s = stack.enter_context(socket.socket())
            s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            s.connect(("127.0.0.1", metrics.port))
            s.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            assert s.recv(8) == b"HTTP/1.1"
        assert metrics.ask()[0] == 503
        wait_until(lambda: metrics.ask()[0] == 200, 60, "there is a place again")
