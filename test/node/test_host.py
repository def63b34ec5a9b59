# SPDX-License-Identifier: Apache-2.0
"""The host of a C node that was given none: as `erl -sname' has it."""

import socket
import subprocess
from contextlib import contextmanager

import pytest

pytestmark = pytest.mark.single

# {what: (host name, the hosts file, services, what comes of it)}
HOSTS = {
    "a canonical name with a domain": (
        "alias",
        "127.0.1.1 canonical.example.org alias",
        "files",
        "canonical",
    ),
    "no other name than its own": ("own", "127.0.1.1 own", "files", "own"),
    "none that can be resolved": ("own", "127.0.1.1 other", "files", "own"),
    "a domain of its own": (
        "own.example.org",
        "127.0.1.1 canonical.example.org own own.example.org",
        "files",
        "own",
    ),
    "an IPv6 address alone": ("own", "fd00::1 canonical own", "files", "own"),
    "a canonical name of digits": ("own", "127.0.1.1 10 own", "files", "10"),
    "no name services": ("own", "127.0.1.1 canonical own", "", "own"),
}


class Host:
    """A wrapper: the programs that it runs are on a host of that name."""

    def __init__(self, folder, name, hosts, services):
        self.name = name
        for file, text in {
            "hosts": hosts,
            "nsswitch.conf": f"hosts: {services}",
            "resolv.conf": "nameserver 127.0.0.1\noptions timeout:30",
        }.items():
            (folder / file).write_text(text + "\n")
        script = [f"mount --bind {folder}/{file.name} /etc/{file.name}"
                  for file in folder.iterdir()]
        script = ["set -e", *script, f"hostname {name}", 'exec "$@"']
        self.wrapper = ["unshare", "--mount", "--uts", "sh", "-c"]
        self.wrapper += ["\n".join(script), "sh"]


@pytest.fixture
def host(tmp_path):
    def host(*args):
        folder = tmp_path / "etc"
        folder.mkdir()
        return Host(folder, *args)

    return host


def erlang_host(host, cluster):
    """What erl itself says on it."""
    done = subprocess.run(
        [*host.wrapper, "erl", "-sname", cluster.name("erl"), "-noshell"]
        + ["-eval", 'io:format("~ts", [node()]), halt().'],
        env=cluster.env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.partition("@")[2]


@pytest.mark.parametrize(
    "name, hosts, services, wanted", HOSTS.values(), ids=HOSTS
)
def test_it_is_that_of_erl(
    name, hosts, services, wanted, host, start_cnode, cluster
):
    here = host(name, hosts, services)
    node = start_cnode(wrapper=here.wrapper)
    assert node.name == f"{node.sname}@{wanted}"
    assert erlang_host(here, cluster) == wanted


def test_a_host_that_is_named_is_not_looked_up(host, start_cnode, cluster):
    here = host("alias", "127.0.1.1 canonical alias", "files")
    naming = ["--sname", f"{cluster.name('cnode')}@alias"]
    assert start_cnode(naming=naming, wrapper=here.wrapper).name == naming[1]


@contextmanager
def silent_resolver():
    """Takes questions by DNS, and answers none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.bind(("127.0.0.1", 53))
        yield


def test_name_services_that_hang_are_told_of_and_not_waited_for_long(
    host, start_cnode
):
    here = host("own", "", "dns")
    with silent_resolver():
        node = start_cnode(ready=False, wrapper=here.wrapper)
        node.wait_log("notice waiting for the name services of this host, ", 5)
        assert not node.find_log(" ready ")
        node.wait_ready(20)
    assert node.name == f"{node.sname}@own"
    node.wait_log("notice the name services do not answer: using host own")
    node.stop()
