# SPDX-License-Identifier: Apache-2.0
"""What all tests share: where the programs are, and the processes they run.

EBPF_CNODE     the C node under test, <top>/cnode/ebpf_cnode by default
EBPF_EBIN      the compiled facade, <top>/erlang/ebin by default
EBPF_SRCDIR    the top of the sources
EBPF_BUILDDIR  the top of the build
EBPF_SANITIZED set where the C node is a sanitizer build
EBPF_ALL_ROWS  set: a sanitizer build runs all rows of large tables, too
EBPF_DIST      tls: all nodes speak TLS (lib/tls.py); what is about TCP, counts, or tries
               the facade is left out
"""

import ctypes
import os
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

sys.dont_write_bytecode = True

import pytest  # noqa: E402

import tls  # noqa: E402
from beam import Beam, BeamError  # noqa: E402
from cluster import SANITIZED, CNode, Cluster  # noqa: E402
from dist import Closed, Peer, Refused  # noqa: E402
from hostile import Siege  # noqa: E402
from traffic import Recorder  # noqa: E402

# a conftest.py in a folder would take the place of this one
pytest_plugins = ["fleets", "keeping", "metrics", "program_fixtures", "subscriptions", "tls_fixtures"]

TOP = Path(__file__).resolve().parent.parent
CI = os.environ.get("CI") == "true"
ALL_ROWS = bool(os.environ.get("EBPF_ALL_ROWS"))
TABLE = 8  # rows, from which on a table is large


CLONE_NEWNS = 0x00020000  # sched.h
CLONE_NEWNET = 0x40000000


def pytest_configure():
    """Mounts and ports of our own: others, also of other runs of this, do not count."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS | CLONE_NEWNET):
        error = os.strerror(ctypes.get_errno())
        pytest.exit(f"no mounts and network of our own: {error}; be root")
    for command in (
        "ip link set lo up",
        "mount --make-rprivate /",
        "umount --all --types bpf",
        "mount --types bpf bpf /sys/fs/bpf",
    ):
        subprocess.run(command.split(), check=True)
    # Tests fill buffers: on a host that was tuned these would take all.
    for name, sizes in ("rmem", "4096 131072 6291456"), ("wmem", "4096 16384 4194304"):
        Path(f"/proc/sys/net/ipv4/tcp_{name}").write_text(sizes)


def pytest_addoption(parser):
    parser.addoption(
        "--record-traffic",
        metavar="FILE",
        help="write the packets that nodes send to C nodes (traffic.py)",
    )
    parser.addoption(
        "--go",
        choices=["together", "alone"],
        help="only what may share the machine, or only what counts or takes it all",
    )


@pytest.fixture
def folder():
    """A folder of the test's own in the bpf file system."""
    folder = Path(f"/sys/fs/bpf/ebpf_cnode_test_{os.getpid()}")
    folder.mkdir(mode=0o700)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session", autouse=True)
def record_traffic(request):
    path = request.config.getoption("--record-traffic")
    if not path:
        yield
        return
    CNode.recorder = Recorder(path)
    yield
    CNode.recorder.close()


def is_erlang(item):
    """Whether it tries Erlang or a document: other tests run all of the C."""
    return item.path.parent.name in ("demo", "examples", "facade", "project")


def is_functional(item):
    """Whether it tries what nodes ask for, which is the same over TLS."""
    return not is_erlang(item) and item.path.parent.name not in ("bench", "costs", "faults")


def is_wanted(item, go):
    def has(*marks):
        return any(item.get_closest_marker(mark) for mark in marks)

    if has("ci") and not CI:
        return False
    if SANITIZED and (has("counts", "many", "preload", "sandbox") or is_erlang(item)):
        return False
    if SANITIZED == "thread" and has("single"):
        return False
    if tls.EVERYWHERE and (has("plain", "alone", "counts") or not is_functional(item)):
        return False
    return not go or has("counts", "alone") == (go == "alone")


def step(table):
    return 1 if len(table) < TABLE else 8 if len(table) < 2 * TABLE else 16


def thinned(items):
    """Of a large table every eighth row, of a larger one every 16th: the rows run much
    the same code.

    In a diagonal, and each table from a row of its own: of a table of several
    parameters each has all of its values in some row.
    """
    rows = defaultdict(list)
    for item in items:
        rows[item.path, getattr(item, "originalname", item.name)].append(item)
    return [
        item
        for number, table in enumerate(rows.values())
        for row, item in enumerate(table)
        if (row + row // step(table) + number) % step(table) == 0
    ]


def pytest_collection_modifyitems(config, items):
    go = config.getoption("--go")
    wanted = [item for item in items if is_wanted(item, go)]
    if SANITIZED and not ALL_ROWS:
        wanted = thinned(wanted)
    if len(wanted) < len(items):
        kept = set(wanted)
        config.hook.pytest_deselected(items=[i for i in items if i not in kept])
        items[:] = wanted


def _no_skip(report):
    if CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, and CI=true: {report.longrepr}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    _no_skip(outcome.get_result())


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    outcome = yield
    _no_skip(outcome.get_result())


def pytest_terminal_summary(terminalreporter):
    """What record_property(title, text) was told: also of what passed."""
    for report in chain.from_iterable(terminalreporter.stats.values()):
        if getattr(report, "when", None) == "call":
            for title, text in report.user_properties:
                terminalreporter.section(title)
                terminalreporter.write_line(text)


def setting(name, default):
    return Path(os.environ.get(name) or default).resolve()


@pytest.fixture(scope="session")
def srcdir():
    return setting("EBPF_SRCDIR", TOP)


@pytest.fixture(scope="session")
def builddir():
    return setting("EBPF_BUILDDIR", TOP)


@pytest.fixture(scope="session")
def program(builddir):
    path = setting("EBPF_CNODE", builddir / "cnode" / "ebpf_cnode")
    if not os.access(path, os.X_OK):
        pytest.exit(f"no C node at {path}: run make, or set EBPF_CNODE", 2)
    return path


@pytest.fixture(scope="session")
def ebin(builddir):
    return setting("EBPF_EBIN", builddir / "erlang" / "ebin")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """The epmd, home and cookie of the whole session."""
    cluster = Cluster(tmp_path_factory.mktemp("home"))
    cluster.epmd.start()
    yield cluster
    cluster.epmd.stop()


@pytest.fixture
def lone_cluster(tmp_path):
    """A world of the test's own, whose epmd it may kill; none runs yet."""
    home = tmp_path / "home"
    home.mkdir()
    cluster = Cluster(home)
    yield cluster
    cluster.epmd.stop()
    cluster.epmd.stop_daemon()


class Nodes:
    """C nodes that live as long as one test."""

    def __init__(self, cluster, program):
        self.cluster = cluster
        self.program = program
        self.started = []

    def start(self, *options, ready=True, cluster=None, **others):
        """A C node; one that ends by itself is asked for with ready=False."""
        program = others.pop("program", self.program)
        node = CNode(cluster or self.cluster, program, *options, **others)
        node.must_live = ready
        self.started.append(node)
        if ready:
            node.wait_ready()
        return node

    __call__ = start

    def close(self):
        try:
            for node in self.started:
                print(f"--- {node.name}\n{node.log}")
                if node.must_live and node.alive():
                    node.stop()
                elif node.must_live:
                    status = node.process.returncode
                    assert status in (0, -9), f"status {status}:\n{node.log}"
                node.check()
        finally:
            for node in self.started:
                node.kill()


@pytest.fixture
def start_cnode(cluster, program):
    """Starts C nodes that live as long as the test, and checks their end."""
    nodes = Nodes(cluster, program)
    yield nodes
    nodes.close()


@pytest.fixture
def fresh_cnode(start_cnode):
    """A C node of the test's own, without options."""
    return start_cnode()


class Shared:
    """One C node for the many tests that leave it as they found it.

    What nodes leave there that go is gone at once, not in a later test.
    """

    def __init__(self, cluster, program):
        self.cluster = cluster
        self.program = program
        self.node = None

    def get(self):
        if not self.node or not self.node.alive():
            self.node = CNode(self.cluster, self.program, "--grace", "0")
            self.node.wait_ready()
        return self.node

    def check(self, start):
        assert self.node.alive(), f"the C node has ended:\n{self.node.log}"
        self.node.check()
        print("\n".join(self.node.lines[start:]))


@pytest.fixture(scope="session")
def shared_cnode(cluster, program):
    shared = Shared(cluster, program)
    yield shared
    if shared.node and shared.node.alive():
        shared.node.stop()
        shared.node.check()


@pytest.fixture
def cnode(shared_cnode):
    """The C node that tests share; fresh_cnode is for those that cannot."""
    node = shared_cnode.get()
    start = node.mark()
    yield node
    shared_cnode.check(start)


@pytest.fixture
def start_beam(cluster):
    """Starts Erlang nodes that live as long as the test."""
    started = []

    def start(*args, cluster=cluster, **options):
        beam = Beam(cluster, *args, **options)
        started.append(beam)
        return beam

    yield start
    for beam in started:
        beam.close()


@pytest.fixture(scope="module")
def facade_beam(cluster, ebin):
    """An Erlang node with the facade, for the tests of one file."""
    beam = Beam(cluster, paths=[ebin], hint="facade")
    yield beam
    beam.close()


@pytest.fixture
def usual_beam(facade_beam, cnode):
    """That node, whose default C node is the one that tests share; its bindings are empty."""
    facade_beam.forget()
    facade_beam.apply("application", "set_env", "ebpf_cnode", "node", cnode.name)
    return facade_beam


class SharedBeam:
    def __init__(self, cluster, hint):
        self.cluster = cluster
        self.hint = hint
        self.beam = None

    def get(self):
        if self.beam and not self.beam.alive():
            self.close()
        if not self.beam:
            self.beam = Beam(self.cluster, hint=self.hint)
        self.beam.forget()
        return self.beam

    def close(self):
        if self.beam:
            self.beam.close()
        self.beam = None


@pytest.fixture(scope="session")
def shared_beams(cluster):
    shared = [SharedBeam(cluster, hint) for hint in ("alice", "bob")]
    yield shared
    for one in shared:
        one.close()


@pytest.fixture
def alice(shared_beams):
    """An Erlang node without the facade; its bindings are empty."""
    return shared_beams[0].get()


@pytest.fixture
def bob(shared_beams):
    """Another one."""
    return shared_beams[1].get()


class Maps:
    """ebpf_maps of a C node, as called from an Erlang node by erpc.

    Maps that new() made are closed at the end of the test.
    """

    def __init__(self, beam, node):
        self.beam = beam
        self.node = node
        self.made = []

    def new(self, *args):
        result = self.beam.erpc(self.node.name, "new", *args)
        if result[0] == "ebpf_map":
            self.made.append(result)
        return result

    def call(self, function, *args, **options):
        return self.beam.erpc(self.node.name, function, *args, **options)

    def __getattr__(self, function):
        return lambda *args, **options: self.call(function, *args, **options)

    def walk(self, map):
        """All that an iterator gives, in its order."""
        return self.beam.eval(
            """
            Walk = fun Walk(I, Acc) ->
                case erpc:call(Node, ebpf_maps, next, [I]) of
                    none -> lists:reverse(Acc);
                    {K, V, I2} -> Walk(I2, [{K, V} | Acc])
                end
            end,
            Walk(erpc:call(Node, ebpf_maps, iterator, [Map]), []).
            """,
            Node=self.node.name,
            Map=map,
        )

    def close_all(self):
        for map in self.made:
            self.call("close", map)


@pytest.fixture
def maps(alice, cnode):
    """ebpf_maps of the shared C node, called from alice."""
    maps = Maps(alice, cnode)
    yield maps
    if cnode.alive() and alice.alive():
        maps.close_all()


HANDSHAKE_LIMIT = 5  # s, that a node gives it


@pytest.fixture
def connect(cluster):
    """Connects as a node of our own making: connect(cnode, name=...).

    Once more where the host has stood still for so long that it was too late.
    """
    peers = []

    def connect(node, handshake=True, name=None, cookie=None, flags=None, **options):
        name = name or f"{cluster.name('python')}@{cluster.host}"
        cookie = cluster.cookie if cookie is None else cookie
        flags = {"flags": flags} if flags is not None else {}
        begun = time.monotonic()
        while True:
            peer = Peer(node.port, name=name, cookie=cookie, **options)
            peers.append(peer)
            try:
                return peer.handshake(**flags) if handshake else peer
            except (Refused, Closed):
                took = time.monotonic() - begun
                if not HANDSHAKE_LIMIT <= took < 4 * HANDSHAKE_LIMIT:
                    raise

    yield connect
    for peer in peers:
        peer.close()


@pytest.fixture(scope="session")
def bystander(cluster):
    """The Erlang node that goes on calling while others attack."""
    beam = Beam(cluster, hint="bystander")
    yield beam
    beam.close()


@pytest.fixture
def siege(start_cnode, connect, bystander):
    """with siege(): an attack that has to leave no trace; see Siege.

    A node's maps go with it: what an attacker leaves is to be gone at once.
    """

    def siege(*options):
        node = start_cnode("--grace", "0", *options)
        return Siege(node, bystander, connect)

    return siege


@contextmanager
def before(end):
    """What the block asserts holds until end, of time.monotonic().

    A host may stand still for so long that it was asked too late.
    """
    try:
        yield
    except (AssertionError, BeamError):
        if time.monotonic() < end:
            raise


class raises:
    """with raises(reason): an exception of class error with that reason."""

    def __init__(self, reason, kind="error"):
        self.wanted = (kind, reason)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        assert kind, f"{self.wanted} was not raised"
        if not issubclass(kind, BeamError):
            return False
        self.value = value
        assert (value.kind, value.reason) == self.wanted
        return True
