# SPDX-License-Identifier: Apache-2.0
"""The unit for systemd: what it says."""

import os
import re
import shlex
import subprocess

import pytest

SERVICE = "ebpf_cnode.service"
COOKIE = "/etc/ebpf_cnode/cookie"

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
    for word in said["ExecStart"][0].split():
        words += env[word[1:]].split() if word[0] == "$" else [word]
    return words


def in_place(path):
    """Where a file of the installed tree will be."""
    return re.sub(r"^.*/installed\d+(?=/)", "", str(path))


def test_systemd_finds_little_exposed(installed):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager"]
        + [find(installed, SERVICE)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0 and not done.stderr
    level = re.search(rf"exposure level for {SERVICE}: ([\d.]+) ", done.stdout)
    assert float(level[1]) < 2.0


def test_its_command_line_is_one_of_the_program(installed):
    said = settings(find(installed, SERVICE))
    name, *options = command(said)
    assert name == in_place(find(installed / name.split("/")[1], "sbin") / "ebpf_cnode")
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
    assert "others than its owner may read or write it" in node.log
