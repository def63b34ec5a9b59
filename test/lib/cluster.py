# SPDX-License-Identifier: Apache-2.0
"""The processes of a test: a private epmd, C nodes, and what they share."""

import itertools
import os
import re
import resource
import secrets
import signal
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from pathlib import Path

import tls
from processes import processes

SANITIZED = os.environ.get("EBPF_SANITIZED") or ""  # address,undefined | thread
PATIENCE = 4 if SANITIZED else 1
REPORT = re.compile(
    r"ERROR: AddressSanitizer|runtime error:|WARNING: ThreadSanitizer|LeakSanitizer"
)

THIS_HOST = os.uname().nodename.split(".")[0]


def wait_until(predicate, timeout=10, what=None):
    """The first true value of predicate(); fails when the time is over."""
    deadline = time.monotonic() + timeout * PATIENCE
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            what = what or getattr(predicate, "__name__", "the condition")
            raise AssertionError(f"{what}: not within {timeout * PATIENCE} s")
        time.sleep(0.005)


def allow_descriptors(number):
    """Here and now; the host's own limit, fs.nr_open, is the most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number:
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, max(hard, number)))


PORTS = itertools.count(10000)  # none that the kernel gives by itself


def free_port():
    """Nobody takes it before it is used: the network is the run's own."""
    while True:
        port = next(PORTS)
        with socket.socket() as s, suppress(OSError):
            s.bind(("", port))
            return port


# Programs that then become the one that is meant. A function between fork and exec
# would do the same, but that fork copies the page tables of all our memory.
DIES_WITH_PARENT = ["/usr/bin/setpriv", "--pdeathsig", "KILL"]
ENV = "/usr/bin/env"
NOT_IGNORED = "--default-signal=HUP,INT,QUIT"


def ignores_signals():
    """As a run does under nohup(1), or in the background of a script."""
    signals = signal.SIGHUP, signal.SIGINT, signal.SIGQUIT
    return any(signal.getsignal(one) == signal.SIG_IGN for one in signals)


def spawn(args, env=None, **options):
    """Popen of a process that cannot outlive this one, and begins with no signal ignored.

    A library to preload is for that program alone.
    """
    env = dict(os.environ if env is None else env)
    preload = env.pop("LD_PRELOAD", None)
    given = [NOT_IGNORED] if ignores_signals() else []
    if preload:
        given.append(f"LD_PRELOAD={preload}")
    before = [*DIES_WITH_PARENT, *([ENV, *given] if given else [])]
    return subprocess.Popen([*before, *map(str, args)], env=env, **options)


def kill(process):
    if process.poll() is None:
        process.kill()
    process.wait(60)  # each call that is under way in the kernel ends first


def without_sandbox(program):
    """The options that keep it out of its sandbox, where it has one."""
    done = subprocess.run([program, "--help"], capture_output=True, text=True)
    return ["--no-sandbox"] if "--no-sandbox" in done.stdout else []


def usual_options(cluster, *hosts, identity=None):
    """Those of a C node that nodes of this cluster can reach, on these hosts too.

    Sanitizers need more than the sandbox allows, and no less is tested.
    """
    identity = tls.identity_for(identity, cluster.host, "localhost", *hosts)
    options = ["--no-sandbox"] if SANITIZED else []
    return options + (tls.cnode_options(identity) if identity else [])


class Epmd:
    """A name server of our own, in the foreground."""

    def __init__(self, port):
        self.port = port
        self.process = None

    def start(self):
        env = dict(os.environ, ERL_EPMD_ADDRESS="127.0.0.1")
        self.process = spawn(
            ["epmd", "-port", self.port],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(self.answers, 10, "epmd answers")

    def stop(self):
        if self.process:
            kill(self.process)
        self.process = None

    def stop_daemon(self):
        """Kills the epmd that another process has started on our port."""
        for process in processes():
            if process.name == "epmd" and process.env.get(b"ERL_EPMD_PORT") == b"%d" % self.port:
                os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not self.answers(), what="epmd has ended")

    def ask(self, request):
        with socket.create_connection(("127.0.0.1", self.port), 10) as s:
            s.sendall(struct.pack(">H", len(request)) + request)
            answer = b""
            while chunk := s.recv(4096):
                answer += chunk
            return answer

    def answers(self):
        try:
            return len(self.ask(b"n")) >= 4
        except OSError:
            return False

    def names(self):
        """{name: port} of all that are registered."""
        text = self.ask(b"n")[4:].decode()
        return {n: int(p) for n, p in re.findall(r"name (\S+) at port (\d+)", text)}

    def port_of(self, name):
        """The port of name (PORT_PLEASE2), None when it is not registered."""
        answer = self.ask(b"z" + name.encode())
        if answer[:1] != b"w" or answer[1] != 0:
            return None
        return struct.unpack(">H", answer[2:4])[0]


class Cluster:
    """One epmd, one cookie, one home: the world of a test."""

    def __init__(self, home):
        self.home = Path(home)
        self.cookie = secrets.token_hex(10)
        self.host = THIS_HOST
        self.epmd = Epmd(free_port())
        self.taken = 0
        path = self.home / ".erlang.cookie"
        path.write_text(self.cookie)
        path.chmod(0o400)

    @property
    def env(self):
        env = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("ERL_", "ERTS_")) or k == "ERL_LIBS"
        }
        env.update(
            HOME=str(self.home),
            ERL_EPMD_PORT=str(self.epmd.port),
            ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_CRASH_DUMP_SECONDS="0",
        )
        return env

    def name(self, hint):
        """A node name, without its host, that no test has used yet."""
        self.taken += 1
        return f"{hint}{self.taken}"


class CNode:
    """One ebpf_cnode process and what it logs."""

    recorder = None  # of the traffic to all of them

    def __init__(
        self,
        cluster,
        program,
        *options,
        sname=None,
        naming=None,
        wrapper=(),
        identity=None,
        **popen,
    ):
        """naming replaces --sname; wrapper is a command that runs the program. With an
        identity it speaks TLS, see tls.py.
        """
        self.cluster = cluster
        self.sname = sname or cluster.name("cnode")
        if naming is None:
            naming = ["--sname", self.sname]
        self.name = f"{self.sname}@{cluster.host}"
        self.port = None
        self.lines = []
        self.ended = False
        self.changed = threading.Condition()
        env = popen.pop("env", cluster.env)
        popen.setdefault("stdin", subprocess.DEVNULL)
        if "--tls" in options:
            identity = tls.PLAIN  # or what the test has given it
        hosts = (tls.host_of(str(part), cluster.host) for part in naming)
        usual = usual_options(cluster, *hosts, identity=identity)
        command = [*wrapper, program, *naming, *usual, *tls.rules(options)]
        self.process = spawn(
            command, env=env, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, **popen
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @property
    def pid(self):
        return self.process.pid

    def _read(self):
        with self.process.stderr as stderr:
            for line in stderr:
                with self.changed:
                    self.lines.append(line.decode(errors="replace").rstrip("\n"))
                    self.changed.notify_all()
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def find_log(self, pattern, start=0):
        """The matches of pattern in the lines since start."""
        found = (re.search(pattern, line) for line in self.lines[start:])
        return [match for match in found if match]

    def wait_log(self, pattern, timeout=10, start=0):
        """The first match of pattern in a logged line; fails after timeout."""
        deadline = time.monotonic() + timeout * PATIENCE
        with self.changed:
            while True:
                found = self.find_log(pattern, start)
                if found:
                    return found[0]
                left = deadline - time.monotonic()
                if self.ended or left <= 0:
                    raise AssertionError(f"no line {pattern!r} in\n{self.log}")
                self.changed.wait(left)

    def wait_ready(self, timeout=10):
        match = self.wait_log(r"^\S+Z notice ready (\S+) port (\d+)$", timeout)
        self.name = match[1]
        self.port = int(match[2])
        if self.recorder:
            self.recorder.listen_to(self.port)
        return self

    @property
    def log(self):
        return "\n".join(self.lines)

    def most_in_a_second(self, pattern, start=0):
        """How many lines that match pattern were logged in one second."""
        found = (match.string for match in self.find_log(pattern, start))
        seconds = Counter(line.partition(".")[0] for line in found)
        return max(seconds.values(), default=0)

    def mark(self):
        """Where the log ends now, for the start of wait_log and find_log."""
        return len(self.lines)

    def alive(self):
        return self.process.poll() is None

    def wait_exit(self, timeout=10):
        """The exit status of a node that ends by itself."""
        try:
            status = self.process.wait(timeout * PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.log}") from None
        self.reader.join(10)
        return status

    def stop(self, signum=signal.SIGTERM):
        self.process.send_signal(signum)
        status = self.wait_exit()
        assert status == 0, f"status {status} after signal {signum}:\n{self.log}"

    @contextmanager
    def asleep(self):
        """Stopped while the block runs: what comes meanwhile waits for it."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            wait_until(self.is_stopped)  # a thread stops when it is next at work
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def is_stopped(self):
        """Whether each thread is, traced (t) or not (T); one may end meanwhile."""
        states = set()
        for stat in Path(f"/proc/{self.pid}/task").glob("*/stat"):
            with suppress(FileNotFoundError, ProcessLookupError):
                states.add(stat.read_text().rpartition(") ")[2][0])
        return states <= {"T", "t"}

    def kill(self):
        kill(self.process)
        self.reader.join(10)

    def check(self):
        """Fails where a sanitizer has spoken."""
        assert not REPORT.search(self.log), self.log

    def anonymous_kib(self):
        """What it has of its own, in stacks and heap; not what it has of files."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        return int(re.search(r"^Anonymous: +(\d+)", rollup, re.M)[1])

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def descriptors(self):
        """What each descriptor of the process is, as /proc tells."""
        folder = f"/proc/{self.pid}/fd"
        found = []
        for fd in os.listdir(folder):
            try:
                found.append(os.readlink(f"{folder}/{fd}"))
            except FileNotFoundError:
                pass
        return found

    def held_maps(self):
        """The ids of the maps it holds, and how many descriptors of each."""
        ids = Counter()
        for info in Path(f"/proc/{self.pid}/fdinfo").iterdir():
            with suppress(FileNotFoundError):
                ids.update(re.findall(r"^map_id:\s+(\d+)", info.read_text(), re.M))
        return ids

    def new_maps(self, before):
        """How many map descriptors came since it held before. Those of a node that
        has left may go meanwhile, and count for nothing."""
        return (self.held_maps() - before).total()

    def map_count(self):
        """How many map descriptors the process holds."""
        return sum("bpf-map" in target for target in self.descriptors())

    def settled_map_count(self):
        """The same, once the maps of who has just left are gone, too."""
        last, count = None, self.map_count()
        while count != last:
            time.sleep(0.1)
            last, count = count, self.map_count()
        return count
