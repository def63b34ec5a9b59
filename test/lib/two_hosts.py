# SPDX-License-Identifier: Apache-2.0
"""Hosts of a network: namespaces with a name and an address of their own."""

import subprocess

from cluster import kill, spawn, wait_until

SCRIPT = """
set -e
hostname "$0"
mount --bind "$1" /etc/hosts
ip link set lo up
echo up
exec sleep infinity
"""


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


class Host:
    """What runs on it is run by its wrapper."""

    def __init__(self, name, hosts):
        self.name = name
        self.process = spawn(
            ["unshare", "--net", "--uts", "--mount", "sh", "-c", SCRIPT, name, hosts],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout.readline() == b"up\n"
        # epmd is to listen on its address, too
        self.wrapper = ["nsenter", f"--target={self.process.pid}", "--net", "--uts"]
        self.wrapper += ["--mount", "env", "--unset=ERL_EPMD_ADDRESS"]

    def close(self):
        kill(self.process)
        self.process.stdout.close()


class TwoHosts:
    """web1 and web2, and a cable between them."""

    addresses = {"web1": "10.0.0.1", "web2": "10.0.0.2"}

    def __init__(self, folder):
        hosts = folder / "hosts"
        lines = ["127.0.0.1 localhost", *(f"{a} {n}" for n, a in self.addresses.items())]
        hosts.write_text("\n".join(lines) + "\n")
        self.hosts = [Host(name, hosts) for name in self.addresses]
        ends = [f"net{host.process.pid}" for host in self.hosts]
        run("ip", "link", "add", ends[0], "type", "veth", "peer", "name", ends[1])
        for host, end in zip(self.hosts, ends):
            run("ip", "link", "set", end, "netns", host.process.pid)
            address = f"{self.addresses[host.name]}/24"
            run(*host.wrapper, "ip", "address", "add", address, "dev", end)
            run(*host.wrapper, "ip", "link", "set", end, "up")

    def close(self):
        for host in self.hosts:
            host.close()
