# SPDX-License-Identifier: Apache-2.0
"""Metrics as a scraper gets them: by HTTP, and taken apart; and Debian's Prometheus."""

import http.client
import json
import os
import re
import shutil
import subprocess
from contextlib import contextmanager
from urllib.parse import urlencode

import pytest

from cluster import PATIENCE, free_port, kill, spawn, wait_until
from etf import Atom

LINE = re.compile(r"^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
OPENMETRICS = "application/openmetrics-text;version=1.0.0"


def unescaped(text):
    return re.sub(r'\\([\\"n])', lambda m: "\n" if m[1] == "n" else m[1], text)


def labels(text):
    """{name: value}; fails where there is anything else."""
    found = LABEL.findall(text)
    assert "".join(match[0] for match in LABEL.finditer(text)) == text, text
    assert len(dict(found)) == len(found), text
    return {name: unescaped(value) for name, value in found}


class Samples:
    """A text, taken apart; each line has to be one of the format."""

    def __init__(self, text):
        self.text = text
        self.types = {}
        self.helps = {}
        self.series = {}
        for line in text.removesuffix("\n").split("\n"):
            self._line(line)

    def _line(self, line):
        if line.startswith("# TYPE "):
            _, _, name, type = line.split(" ")
            assert name not in self.types
            self.types[name] = type
        elif line.startswith("# HELP "):
            _, _, name, help = line.split(" ", 3)
            self.helps[name] = help
        elif line != "# EOF":
            match = LINE.match(line)
            assert match, line
            key = match[1], frozenset(labels(match[2] or "").items())
            assert key not in self.series, line
            self.series[key] = float(match[3])

    def get(self, name, /, **labels):
        """The value of the one series with these labels, and perhaps others; None if there is
        none."""
        found = self.all(name, **labels)
        assert len(found) <= 1, found
        return found[0][1] if found else None

    def all(self, name, /, **labels):
        """[(labels, value)]"""
        wanted = set(labels.items())
        return [(dict(of), v) for (n, of), v in self.series.items() if n == name and wanted <= of]

    def by(self, name, label, /, **labels):
        """{value of the label: value of the series}"""
        return {of[label]: value for of, value in self.all(name, **labels)}


class Metrics:
    """ebpf_metrics of an Erlang node."""

    def __init__(self, beam):
        self.beam = beam

    def start(self, declare=(), **options):
        """At any port. Declarations are terms, or a text in Erlang."""
        given = [(Atom(k), v) for k, v in {"port": 0, **options}.items()]
        text, bound = (declare, {}) if isinstance(declare, str) else ("D", {"D": list(declare)})
        started = self.beam.eval(
            f"ebpf_metrics:start_link([{{declare, {text}}} | Given])", Given=given, **bound
        )
        assert started[0] == "ok", started
        self.port = self.beam.apply("ebpf_metrics", "port")
        return self

    def stop(self):
        self.beam.eval(
            """
            case whereis(ebpf_metrics_sup) of
                undefined -> ok;
                Pid -> unlink(Pid), gen_server:stop(Pid, shutdown, infinity)
            end
            """
        )

    def connect(self, timeout=30):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * PATIENCE)

    def ask(self, method="GET", path="/metrics", body=None, connection=None, **headers):
        """(status, headers, text); header names have _ for -."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        used = connection or self.connect()
        try:
            used.request(method, path, body=body, headers=headers)
            response = used.getresponse()
            return response.status, response.headers, response.read().decode()
        finally:
            if not connection:
                used.close()

    def logged(self, words):
        """Waits for them."""
        wait_until(lambda: words in " ".join(self.beam.printed().split()), what=words)

    def scrape(self, **headers):
        status, _, text = self.ask(**headers)
        assert status == 200, text
        return Samples(text)


@pytest.fixture
def metrics(fleet):
    """Those of the beam of a fleet; not started yet."""
    metrics = Metrics(fleet.beam)
    yield metrics
    metrics.stop()


def counter(name, what, labels=(), value="u64", *options, type="counter"):
    """A declaration."""
    declared = (Atom(type), name.encode(), b"Counts.", what, list(labels), value_of(value))
    return (*declared, list(options)) if options else declared


def value_of(value):
    return Atom(value) if isinstance(value, str) else value


def label(name, part, decoder="uint"):
    return (name.encode(), part, Atom(decoder) if isinstance(decoder, str) else decoder)


def option(name, value):
    return (Atom(name), value_of(value))


# --- Prometheus -----------------------------------------------------------------


def prometheus_folder(srcdir):
    """Where its programs are: installed, or unpacked by ./bootstrap check."""
    unpacked = srcdir / ".bootstrap" / "prometheus" / "usr" / "bin"
    given = os.environ.get("EBPF_PROMETHEUS")
    path = os.pathsep.join(filter(None, [given, str(unpacked), os.environ.get("PATH")]))
    found = shutil.which("prometheus", path=path)
    if not found:
        pytest.skip("no Prometheus here: ./bootstrap check fetches it")
    return os.path.dirname(found)


@pytest.fixture(scope="session")
def promtool(srcdir):
    """promtool(*arguments, input=text): what it prints; fails where it does."""
    tool = f"{prometheus_folder(srcdir)}/promtool"

    def promtool(*arguments, input=None):
        done = subprocess.run([tool, *arguments], input=input, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return promtool


CONFIG = """
global:
  scrape_interval: 1s
  scrape_timeout: 1s
scrape_configs:
  - job_name: ebpf
    static_configs:
      - targets: ["127.0.0.1:{port}"]
"""


class Prometheus:
    """A server that scrapes each second, and its API."""

    def __init__(self, folder, place, config):
        self.port = free_port()
        file = place / "prometheus.yml"
        file.write_text(config)
        self.log = open(place / "prometheus.log", "w+")
        command = [f"{folder}/prometheus", f"--config.file={file}"]
        command += [f"--storage.tsdb.path={place}/data"]
        command += [f"--web.listen-address=127.0.0.1:{self.port}"]
        command += ["--log.level=warn"]
        self.process = spawn(command, stdout=self.log, stderr=subprocess.STDOUT)

    @classmethod
    def at(cls, port):
        """One that somebody else has started."""
        server = cls.__new__(cls)
        server.port, server.process = port, None
        return server

    def close(self):
        kill(self.process)
        self.log.close()

    def printed(self):
        with open(self.log.name) as log:
            return log.read()

    def api(self, path, **parameters):
        """The data of an answer; None while it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
            answer = json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            assert not self.process or self.process.poll() is None, self.printed()
            return None
        finally:
            connection.close()
        assert answer["status"] == "success", answer
        return answer["data"]

    def query(self, expr):
        """[(labels, number)] of now."""
        data = self.api("query", query=expr)
        if data is None:
            return []
        assert data["resultType"] == "vector", data
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def wait_for(self, expr, value=None, timeout=60):
        """Until a query has data, or the one number that is given."""
        def there():
            found = self.query(expr)
            return found and (value is None or [v for _, v in found] == [value]) and found

        return wait_until(there, timeout, f"{expr} is {value}")

    def target(self):
        """What it knows of the one that it scrapes."""
        data = self.api("targets", state="active")
        return data["activeTargets"][0] if data and data["activeTargets"] else None


@contextmanager
def prometheus_of(port, srcdir, place, config=CONFIG):
    server = Prometheus(prometheus_folder(srcdir), place, config.format(port=port))
    try:
        yield server
    finally:
        server.close()
