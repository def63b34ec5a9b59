# SPDX-License-Identifier: Apache-2.0
"""The unit for systemd: what it says, and the service that comes of it.

systemd runs it, in namespaces of the test's own, as `make install' left it.
"""

import os
import re
import shlex
import signal
import subprocess
import sys

import pytest

import etf
from cluster import wait_until
from conftest import CI, Maps, raises
from systemd import Systemd

pytestmark = pytest.mark.sandbox

SERVICE = "ebpf_cnode.service"
COOKIE = "/etc/ebpf_cnode/cookie"
PINS = "/sys/fs/bpf/ebpf_cnode"
KEPT = "/sys/fs/bpf/ebpf_cnode_kept"
LOG = "/run/ebpf_cnode.log"
DROP_INS = f"/etc/systemd/system/{SERVICE}.d"
NET_ADMIN, SYS_ADMIN, BPF = 1 << 12, 1 << 21, 1 << 39
PERFMON, DAC_READ_SEARCH = 1 << 38, 1 << 2
HASH = ("hash", 4, 8, 16)

# A sanitizer needs more than the unit allows.
runs = pytest.mark.counts


# --- what it says


@pytest.fixture(scope="module")
def installed(builddir, tmp_path_factory):
    """The tree that `make install' makes."""
    tree = tmp_path_factory.mktemp("installed")
    env = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MFLAGS")}
    done = subprocess.run(
        ["make", "install", f"DESTDIR={tree}"],
        cwd=builddir,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    if not list(tree.rglob(SERVICE)):
        pytest.skip("configured with --without-systemdsystemunitdir")
    return tree


def find(tree, name):
    (path,) = tree.rglob(name)
    return path


def settings(*paths):
    """{name: [value ...]} of [Service], of a unit and then its drop-ins."""
    found, section = {}, None
    for path in paths:
        for line in path.read_text().splitlines():
            if line.startswith("["):
                section = line
            elif section == "[Service]" and "=" in line and line[0] != "#":
                name, value = line.split("=", 1)
                found.setdefault(name, []).append(value)
    return found


def command(said):
    """The command line, its variables filled in as systemd does it."""
    env = dict(v.split("=", 1) for line in said["Environment"] for v in shlex.split(line))
    words = []
    for word in shlex.split(said["ExecStart"][0]):
        words += env[word[1:]].split() if word[0] == "$" else [word]
    return words


def in_place(path):
    """Where a file of the installed tree will be."""
    return re.sub(r"^.*/installed\d+(?=/)", "", str(path))


def test_systemd_finds_little_exposed(installed, record_property):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager"]
        + [find(installed, SERVICE)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = done.stdout.strip()
    record_property("systemd-analyze security", said if CI else said.splitlines()[-1])
    assert done.returncode == 0 and not done.stderr
    level = re.search(rf"exposure level for {SERVICE}: ([\d.]+) ", done.stdout)
    assert float(level[1]) < 2.0


@pytest.mark.parametrize(
    "ci, least, most",
    [("", 1, 1), pytest.param("true", 60, 200, marks=pytest.mark.ci)],
    ids=["usually", "CI"],
)
def test_what_systemd_finds_is_in_the_log(ci, least, most, installed):
    """Also where all is well: its last line, and with CI=true all of it."""
    test = f"{__file__}::{test_systemd_finds_little_exposed.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", test],
        env={**os.environ, "CI": ci},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, title, rest = done.stdout.partition(" systemd-analyze security ===")
    said = [line for line in rest.splitlines()[1:] if " passed in " not in line]
    assert title and least <= len(said) <= most
    assert f"exposure level for {SERVICE}: " in said[-1]


def test_its_command_line_is_one_of_the_program(installed, program):
    said = settings(find(installed, SERVICE))
    name, *options = command(said)
    assert name == in_place(find(installed / name.split("/")[1], "sbin") / "ebpf_cnode")
    told = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20)
    known = set(re.findall(r"--[a-z-]+", told.stdout))
    assert {o for o in options if o.startswith("--")} <= known
    assert "--no-open-by-id" in options
    assert options[:2] == ["--cookie-file", "%d/cookie"]
    assert said["LoadCredential"] == [f"cookie:{COOKIE}"]


def test_its_capabilities_are_those_of_maps(installed):
    said = settings(find(installed, SERVICE))
    assert said["AmbientCapabilities"] == ["CAP_BPF CAP_NET_ADMIN"]
    assert said["CapabilityBoundingSet"] == ["CAP_BPF CAP_NET_ADMIN"]
    assert said["NoNewPrivileges"] == ["yes"]
    assert said["User"] == ["ebpf_cnode"]


def test_the_drop_in_adds_ids_and_what_they_take(installed):
    unit, drop_in = find(installed, SERVICE), find(installed, "open-by-id.conf")
    plain, both = command(settings(unit)), command(settings(unit, drop_in))
    assert [o for o in plain if o not in both] == ["--no-open-by-id"]
    assert set(both) < set(plain)
    said = settings(drop_in)
    assert said["AmbientCapabilities"] == ["CAP_SYS_ADMIN"]
    assert said["CapabilityBoundingSet"] == ["CAP_SYS_ADMIN"]


def test_the_drop_in_for_programs_adds_what_tracing_takes(installed):
    said = settings(find(installed, "programs.conf"))
    assert said == {
        "AmbientCapabilities": ["CAP_PERFMON CAP_DAC_READ_SEARCH"],
        "CapabilityBoundingSet": ["CAP_PERFMON CAP_DAC_READ_SEARCH"],
        "SystemCallFilter": ["perf_event_open"],
        "RestrictAddressFamilies": ["AF_NETLINK"],
    }


# --- the cookie as a credential


@pytest.fixture
def credential(cluster, tmp_path):
    """A cookie as systemd hands it over where it has access control lists."""
    path = tmp_path / "credentials" / "cookie"
    path.parent.mkdir(0o700)
    path.write_text(cluster.cookie)
    path.chmod(0o440)
    return path


def test_a_credential_may_show_rights_of_a_group(
    credential, cluster, start_cnode, alice
):
    env = {**cluster.env, "CREDENTIALS_DIRECTORY": str(credential.parent)}
    node = start_cnode("--cookie-file", credential, env=env)
    assert alice.erpc(node.name, "handles") == []


@pytest.mark.parametrize(
    "folder, mode",
    [
        (None, 0o440),
        ("", 0o440),
        ("/nowhere", 0o440),
        ("{parent}s", 0o440),
        ("{parent.parent}", 0o440),
        ("{parent}", 0o444),
        ("{parent}", 0o460),
    ],
)
def test_but_no_more_and_no_other_file(folder, mode, credential, cluster, start_cnode):
    env = dict(cluster.env)
    if folder is not None:
        env["CREDENTIALS_DIRECTORY"] = folder.format(parent=credential.parent)
    credential.chmod(mode)
    node = start_cnode("--cookie-file", credential, ready=False, env=env)
    assert node.wait_exit() == 3
    assert "users other than its owner may read or write it" in node.log


# --- what comes of it


@pytest.fixture(scope="module")
def systemd(installed, srcdir, tmp_path_factory):
    systemd = Systemd(tmp_path_factory.mktemp("systemd"), installed)
    try:
        systemd.start()
        prepare(systemd, (srcdir / "README.md").read_text())
        yield systemd
    finally:
        systemd.stop()
        print(systemd.log)


def prepare(systemd, readme):
    """What README.md says to do once, but for the cookie and the start."""
    steps = re.findall(r"^systemd-\S+ .*", readme, re.MULTILINE)
    assert len(steps) == 2
    for step in steps:
        systemd.run("sh", "-c", step)
    # on the host's network there may be one
    systemd.run("systemctl", "mask", "epmd.socket", "epmd.service")


class Service:
    """ebpf_cnode.service, with what a test adds to it."""

    def __init__(self, systemd, cluster):
        self.systemd = systemd
        self.cluster = cluster
        self.sname = cluster.name("service")
        self.name = f"{self.sname}@{cluster.host}"
        self.options = []
        self.settings = []
        systemd.write(COOKIE, cluster.cookie + "\n", 0o600)

    def start(self, *options, settings=(), check=True):
        """With these options and settings besides those of the unit."""
        naming = f"--sname {self.name}"
        lines = [
            "[Unit]",
            "DefaultDependencies=no",
            "[Service]",
            f"StandardError=append:{LOG}",
            f"Environment=ERL_EPMD_PORT={self.cluster.epmd.port}",
            "Environment=ERL_EPMD_ADDRESS=127.0.0.1",
            f'Environment="EBPF_CNODE_OPTIONS={" ".join([naming, *options])}"',
            *settings,
        ]
        self.systemd.write(f"{DROP_INS}/test.conf", "\n".join(lines) + "\n")
        self.systemd.run("systemctl", "daemon-reload")
        return self.systemd.run("systemctl", "start", SERVICE, check=check)

    def stop(self):
        self.systemd.run("systemctl", "stop", SERVICE)

    def show(self, name):
        return self.systemd.show(SERVICE, name)

    @property
    def log(self):
        return self.systemd.run("cat", LOG, check=False).stdout

    def status(self, pid=None):
        """What /proc tells of it, or of a process of it."""
        pid = pid or self.show("MainPID")
        text = self.systemd.run("cat", f"/proc/{pid}/status").stdout
        return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)

    def kill(self, number):
        self.systemd.run("systemctl", "kill", "-s", signal.Signals(number).name, SERVICE)

    def is_back(self):
        """systemd has started it again, and it is ready."""
        return self.show("NRestarts") != "0" and self.show("ActiveState") == "active"

    def forget(self):
        """What is kept is of one node name, and each test has another."""
        path = re.search(r"path=(\S+) ;", self.show("ExecStart"))[1]
        return self.systemd.run(path, "--keep", KEPT, "--forget")

    def close(self):
        self.systemd.run("systemctl", "stop", SERVICE, check=False)
        self.forget()
        self.systemd.run("systemctl", "reset-failed", SERVICE, check=False)
        print(self.log)
        self.systemd.run("rm", "-rf", DROP_INS, LOG, "/etc/ebpf_cnode/cookie")


@pytest.fixture
def service(systemd, cluster):
    service = Service(systemd, cluster)
    yield service
    service.close()


@runs
def test_systemd_finds_no_fault_in_it(systemd, service):
    service.start()
    path = service.show("FragmentPath")
    done = systemd.run("systemd-analyze", "verify", "--man=no", path)
    assert SERVICE not in done.stdout + done.stderr


@runs
def test_it_serves_maps_and_says_how_many(service, alice):
    service.start()
    assert service.show("ActiveState") == "active"
    assert service.show("WatchdogUSec") == "30s"
    maps = Maps(alice, service)
    map = maps.new(*HASH)
    maps.put(1, 2, map)
    assert maps.get(1, map) == b"\2" + bytes(7)
    assert maps.new("devmap", 4, 4, 1)[0] == "ebpf_map"  # CAP_NET_ADMIN
    wait_until(
        lambda: service.show("StatusText") == "1 nodes connected, 2 map handles", 20
    )
    service.stop()
    assert service.show("Result") == "success"
    # epmd may be asked before it has seen that the node is gone
    wait_until(lambda: service.cluster.epmd.port_of(service.sname) is None)


@runs
def test_it_has_the_users_rights_and_two_capabilities(systemd, service):
    service.start()
    told = service.status()
    user = systemd.run("id", "-u", "ebpf_cnode").stdout.strip()
    assert user != "0"
    assert told["Uid"].split() == [user] * 4
    for name in ("CapPrm", "CapEff"):
        assert int(told[name], 16) == BPF | NET_ADMIN
    assert int(told["CapBnd"], 16) & ~(BPF | NET_ADMIN) == 0
    assert (told["NoNewPrivs"], told["Seccomp"]) == ("1", "2")


@runs
def test_nothing_but_its_pins_can_be_written_where_it_is(systemd, service):
    service.start()
    inside = ["nsenter", "-m", "-t", service.show("MainPID")]
    systemd.run(*inside, "mkdir", f"{PINS}/x")
    systemd.run(*inside, "rmdir", f"{PINS}/x")
    # not even by root
    for folder in ("/", "/etc", "/usr", "/var", "/run", "/home", "/root", "/sys/fs/bpf"):
        made = systemd.run(*inside, "mkdir", f"{folder}/x", check=False)
        assert "Read-only file system" in made.stderr, folder
    seen = systemd.run(*inside, "ls", "/home", "/root", check=False)
    assert seen.stdout.split() == ["/home:", "/root:"]


@runs
def test_without_the_drop_in_there_are_no_ids(service, alice):
    service.start()
    maps = Maps(alice, service)
    with raises("eperm"):
        maps.call("list")
    id = maps.info(maps.new(*HASH))[etf.Atom("id")]
    with raises("eperm"):
        maps.open(("id", id))


@runs
def test_with_the_drop_in_there_are(systemd, service, installed, alice):
    drop_in = in_place(find(installed, "open-by-id.conf"))
    systemd.run("mkdir", "-p", DROP_INS)
    systemd.run("ln", "-s", drop_in, DROP_INS)
    service.start()
    assert int(service.status()["CapEff"], 16) == BPF | NET_ADMIN | SYS_ADMIN
    maps = Maps(alice, service)
    map = maps.new(*HASH)
    maps.put(1, 2, map)
    id = maps.info(map)[etf.Atom("id")]
    assert maps.get(1, maps.open(("id", id))) == b"\2" + bytes(7)
    assert id in [found[etf.Atom("id")] for found in maps.call("list")]


@runs
@pytest.mark.parametrize("tracing", [False, True], ids=["xdp", "tracing"])
def test_with_programs_its_loader_alone_has_more(tracing, systemd, service, installed):
    more = PERFMON | DAC_READ_SEARCH if tracing else 0
    if tracing:
        drop_in = in_place(find(installed, "programs.conf"))
        systemd.run("mkdir", "-p", DROP_INS)
        systemd.run("ln", "-s", drop_in, DROP_INS)
    service.start("--programs", "tracing" if tracing else "xdp", "--allow", "*=load")
    node = service.show("MainPID")
    children = systemd.run("cat", f"/proc/{node}/task/{node}/children").stdout
    [loader] = children.split()
    told = service.status(loader)
    assert told["Name"] == "ebpf_loader"
    assert int(told["CapEff"], 16) == BPF | NET_ADMIN | more
    assert int(service.status()["CapEff"], 16) == BPF | NET_ADMIN
    assert (told["Seccomp"], told["Uid"]) == ("2", service.status()["Uid"])
    # also of a service that is stopped: by the node, and not before it
    systemd.run("systemctl", "stop", SERVICE)
    assert service.show("Result") == "success"
    assert "the loader is gone" not in service.log
    assert systemd.run("test", "-e", f"/proc/{loader}", check=False).returncode == 1


@runs
def test_its_pins_outlive_it_by_the_same_path_for_all(systemd, service, alice):
    service.start()
    maps = Maps(alice, service)
    path = f"{PINS}/outlives"
    map = maps.new(*HASH)
    maps.put(1, 2, map)
    assert maps.pin(path.encode(), map) == "ok"
    systemd.run("systemctl", "restart", SERVICE)
    assert systemd.run("stat", "-c", "%U", path).stdout.strip() == "ebpf_cnode"
    again = maps.open(("pinned", path.encode()))
    assert maps.get(1, again) == b"\2" + bytes(7)
    assert maps.unpin(path.encode(), again) == "ok"
    assert systemd.run("ls", PINS).stdout == ""
    with raises("eacces"):
        maps.pin(b"/sys/fs/bpf/elsewhere", again)


def install_again(systemd, path):
    """As `make install' puts a new file in the place of the old one."""
    systemd.run("sh", "-c", 'cp "$1" "$1.new" && mv -f "$1.new" "$1"', "sh", path)


@runs
def test_handles_outlive_an_upgrade_a_stop_and_a_kill(systemd, service, alice):
    service.start()
    maps = Maps(alice, service)
    map = maps.new(*HASH)
    maps.put(1, 2, map)
    path = re.search(r"path=(\S+) ;", service.show("ExecStart"))[1]
    before = systemd.run("stat", "-L", "-c", "%i", f"/proc/{service.show('MainPID')}/exe").stdout
    install_again(systemd, path)
    systemd.run("systemctl", "restart", SERVICE)
    assert maps.get(1, map) == b"\2" + bytes(7)
    after = systemd.run("stat", "-L", "-c", "%i", f"/proc/{service.show('MainPID')}/exe").stdout
    assert after != before
    service.kill(signal.SIGKILL)
    wait_until(service.is_back, 20)
    assert maps.get(1, map) == b"\2" + bytes(7)
    service.stop()
    assert systemd.run("stat", "-c", "%U %a", KEPT).stdout.strip() == "ebpf_cnode 700"
    systemd.run("systemctl", "start", SERVICE)
    assert maps.get(1, map) == b"\2" + bytes(7)
    with raises("eacces"):
        maps.pin(f"{KEPT}/x".encode(), map)


@runs
def test_a_service_that_is_stopped_for_good_is_forgotten(systemd, service, alice):
    service.start()
    maps = Maps(alice, service)
    map = maps.new(*HASH)
    service.stop()
    said = service.forget().stderr
    assert re.search(r"notice dropped map \d+ hash \"\"\n", said), said
    assert systemd.run("ls", KEPT).stdout == ""
    systemd.run("systemctl", "start", SERVICE)
    with raises(("badmap", map)):
        maps.get(1, map)


@runs
def test_a_process_can_be_a_key_though_proc_hides_it(service, alice):
    service.start()
    maps = Maps(alice, service)
    map = maps.new("task_storage", 4, 8, 0, ["no_prealloc"])
    key = ("pid", 1)
    maps.put(key, 7, map)
    assert maps.get(key, map) == b"\7" + bytes(7)


@runs
def test_a_cgroup_can_be_a_value_though_it_may_not_change_it(service, alice):
    service.start()
    maps = Maps(alice, service)
    map = maps.new("cgroup_array", 4, 4, 1)
    assert maps.put(0, ("cgroup", b"/sys/fs/cgroup/system.slice"), map) == map


@runs
def test_it_starts_an_epmd_where_there_is_none(service, lone_cluster, start_beam):
    service.cluster = lone_cluster
    service.systemd.write(COOKIE, lone_cluster.cookie + "\n", 0o600)
    service.start()
    beam = start_beam(cluster=lone_cluster)
    assert Maps(beam, service).new(*HASH)[0] == "ebpf_map"
    service.stop()
    assert not lone_cluster.epmd.answers()


@runs
def test_it_is_started_again_when_it_is_killed(service, alice):
    service.start()
    service.kill(signal.SIGKILL)
    wait_until(service.is_back, 20)
    assert Maps(alice, service).new(*HASH)[0] == "ebpf_map"


@runs
def test_it_is_started_again_when_it_does_not_turn(service, alice):
    service.start(settings=["WatchdogSec=3"])
    service.kill(signal.SIGSTOP)
    wait_until(service.is_back, 30)
    assert "Watchdog timeout" in service.systemd.log
    assert Maps(alice, service).new(*HASH)[0] == "ebpf_map"


@runs
def test_it_is_started_again_until_its_address_is_there(service):
    """As when its network comes up later than it does."""
    service.start("--listen", "192.0.2.1", settings=["RestartSec=20ms"], check=False)
    wait_until(lambda: int(service.show("NRestarts")) > 10)
    address = ["192.0.2.1/32", "dev", "lo"]
    subprocess.run(["ip", "address", "add", *address], check=True)
    try:
        wait_until(lambda: service.show("ActiveState") == "active")
    finally:
        subprocess.run(["ip", "address", "del", *address], check=True)


@runs
@pytest.mark.parametrize(
    "option, cookie, status",
    [("--nope", "good", 2), ("", "a\tb", 3)],
    ids=["an option", "the cookie"],
)
def test_it_is_not_started_again_for_nothing(option, cookie, status, service):
    service.systemd.write(COOKIE, cookie + "\n", 0o600)
    done = service.start(*option.split(), check=False)
    assert done.returncode != 0
    wait_until(lambda: service.show("ActiveState") == "failed")
    assert service.show("ExecMainStatus") == str(status)
    assert service.show("NRestarts") == "0"


@runs
def test_without_a_cookie_it_does_not_start(service):
    service.systemd.run("rm", COOKIE)
    assert service.start(check=False).returncode != 0
    assert service.show("ExecMainStatus") == "243"  # CREDENTIALS
    assert not service.log


@runs
def test_the_cookie_is_for_the_manager_and_the_service_alone(systemd, service):
    service.start()
    for path in (COOKIE, "/run/credentials"):
        done = systemd.run(
            *("setpriv", "--reuid=nobody", "--clear-groups", "find", path, "-type", "f"),
            check=False,
        )
        assert done.returncode != 0 or done.stdout == ""
    told = systemd.run("stat", "-c", "%a %U", "/etc/ebpf_cnode").stdout.split()
    assert told == ["750", "root"]  # its user goes through it, to its certificates


CERTIFICATES = "/etc/ebpf_cnode/tls"


def bring(systemd, identity):
    """Certificates for the unit, as README.md has it."""
    files = {"key": identity.key, "cert": identity.certificate, "ca": identity.trusted}
    for name, path in files.items():
        systemd.write(f"{CERTIFICATES}/{name}.pem", path.read_text(), 0o640)
        systemd.run("chgrp", "ebpf_cnode", f"{CERTIFICATES}/{name}.pem")


@runs
def test_it_serves_over_tls_and_a_reload_takes_new_certificates(
    systemd, service, here, issue_here, secure_beam
):
    bring(systemd, here)
    service.start("--tls", CERTIFICATES)
    beam = secure_beam()
    assert Maps(beam, service).new(*HASH)[0] == "ebpf_map"
    bring(systemd, issue_here())
    systemd.run("systemctl", "reload", SERVICE)
    wait_until(lambda: "new files are used for new connections" in service.log)
    assert "no more" not in service.log  # its user can read them again
    assert Maps(secure_beam(), service).new(*HASH)[0] == "ebpf_map"


@runs
def test_it_is_started_again_until_its_certificates_are_there(
    systemd, service, here, secure_beam
):
    systemd.run("sh", "-c", f"rm -f {CERTIFICATES}/*")
    service.start("--tls", CERTIFICATES, settings=["RestartSec=100ms"], check=False)
    wait_until(lambda: int(service.show("NRestarts")) > 1)
    bring(systemd, here)
    wait_until(lambda: service.show("ActiveState") == "active")
    assert Maps(secure_beam(), service).new(*HASH)[0] == "ebpf_map"


@runs
def test_without_tls_a_reload_ends_nothing(systemd, service, alice):
    service.start()
    pid = service.show("MainPID")
    systemd.run("systemctl", "reload", SERVICE)
    wait_until(lambda: "there is nothing to read anew without --tls" in service.log)
    assert Maps(alice, service).new(*HASH)[0] == "ebpf_map"
    assert service.show("MainPID") == pid
