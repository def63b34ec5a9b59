# SPDX-License-Identifier: Apache-2.0
"""The build itself: sanitizers, the suite over TLS, dialyzer, bootstrap, the distribution."""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from cluster import (
    SANITIZED,
    Epmd,
    free_port,
    kill,
    spawn,
    wait_until,
    without_sandbox,
)

pytestmark = [pytest.mark.ci, pytest.mark.alone, pytest.mark.slow]

MADE = shutil.ignore_patterns(
    ".git",
    ".bootstrap",
    ".deps",
    ".dirstamp",
    ".hypothesis",
    "*.o",
    "*.plt",
    "*.pyc",
    "__pycache__",
    "autom4te.cache",
    "build-aux",
    "aclocal.m4",
    "configure",
    "configure~",
    "Makefile",
    "Makefile.in",
    "config.h",
    "config.h.in",
    "config.h.in~",
    "config.log",
    "config.status",
    "stamp-h1",
    "doc",
    "ebin",
    "ebpf_cnode",
    "fuzz.build",
    "sandbox_probe",
    "loader_probe",
    "objects_probe",
    "syscalls_filter",
    "syscalls_program.h",
    "pingpong",
    "maploop",
    "loadloop",
    "ebpf_cnode.service",
    "ebpf_cnode-*",
)


def copy(srcdir, folder):
    """The sources, without what has been made of them."""
    return shutil.copytree(srcdir, folder / "tree", ignore=MADE)


@pytest.fixture
def tree(srcdir, tmp_path):
    return copy(srcdir, tmp_path)


@pytest.fixture(scope="module")
def built(srcdir, tmp_path_factory):
    """The place of a build without warnings."""
    return build(copy(srcdir, tmp_path_factory.mktemp("built")), "--enable-werror")


@pytest.fixture(scope="module")
def bootstrapped(srcdir, tmp_path_factory):
    tree = copy(srcdir, tmp_path_factory.mktemp("bootstrapped"))
    run("./bootstrap", cwd=tree)
    return tree


def run(*command, cwd, timeout=600, **env):
    """Its output; fails where the command does."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout,
    )
    print(done.stdout)
    told = re.findall(r"^(?:FAILED|ERROR) .*", done.stdout, re.MULTILINE)
    ended = f"{' '.join(done.args)} ended with {done.returncode}"
    assert done.returncode == 0, "\n".join([ended, *told])
    return done.stdout


def build(tree, *options):
    """Configures and builds beside the tree; gives the place."""
    place = tree.parent / "build"
    place.mkdir()
    run("autoreconf", "-fi", cwd=tree)
    run(tree / "configure", *options, cwd=place)
    run("make", "-j", len(os.sched_getaffinity(0)), cwd=place)
    return place


def run_the_suite(tree, sanitizers, workers):
    place = build(tree, f"--enable-sanitizers={sanitizers}", "--enable-werror")
    output = run(
        *("make", "check", f"CHECK_WORKERS={workers}"),
        cwd=place,
        timeout=3000,
        CI="",  # the everyday form of what has two
        ASAN_OPTIONS="detect_stack_use_after_return=1",
        UBSAN_OPTIONS="print_stacktrace=1",
        TSAN_OPTIONS="second_deadlock_stack=1",
    )
    together = int(re.search(r"\b(\d+) passed", output)[1])
    assert together > 400


def test_the_suite_passes_under_sanitizers(srcdir, tmp_path):
    """Both at a time, each by several: most of what they do is to wait."""
    suites = {"address,undefined": 2, "thread": 3}
    trees = [copy(srcdir, tmp_path / kind) for kind in suites]
    with ThreadPoolExecutor() as pool:
        list(pool.map(run_the_suite, trees, suites, suites.values()))


def test_the_suite_passes_over_tls(built):
    output = run("make", "check", cwd=built, timeout=1500, CI="", EBPF_DIST="tls")
    assert int(re.search(r"\b(\d+) passed", output)[1]) > 1000


PROGRAMS = ["test/confine/sandbox_probe"]
PROGRAMS += [f"test/bench/{name}" for name in ("pingpong", "maploop", "loadloop")]


def test_the_build_has_no_warnings(built):
    assert (built / "cnode" / "ebpf_cnode").exists()
    run("make", *PROGRAMS, cwd=built)


def test_clang_has_no_warnings_either(tree):
    place = build(tree, "--enable-werror", "CC=clang")
    run("make", "-j2", *PROGRAMS, cwd=place)


def test_a_build_without_openssl_refuses_tls_in_words(tree):
    """And has nothing of it."""
    program = build(tree, "--enable-werror", "--without-openssl") / "cnode" / "ebpf_cnode"
    assert "libssl" not in run("ldd", program, cwd=tree)
    done = subprocess.run([program, "--tls", "/etc"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "--tls /etc: this program was built without TLS: configure it --with-openssl" in done.stderr


def test_a_cross_build_makes_the_filter_here_and_for_there(tree):
    """By a compiler whose programs do not run here, as one for another machine."""
    place = tree.parent / "cross"
    place.mkdir()
    run("autoreconf", "-fi", cwd=tree)
    foreign = "CC=gcc -Wl,--dynamic-linker=/nowhere"
    run(tree / "configure", "--host=aarch64-linux-gnu", foreign, cwd=place)
    run("make", "cnode/confine/syscalls.o", cwd=place)
    made = (place / "cnode" / "confine" / "syscalls_program.h").read_text()
    checks = re.findall(r"\{ 0x20, 0, 0, 0x4 \},\n\t\{ 0x15, 0, \d+, (\w+) \}", made)
    filters = made.count("[] = {")
    assert filters >= 2
    assert [int(check, 0) for check in checks] == [0xC00000B7] * filters  # of audit.h


def test_dialyzer_finds_nothing(built):
    run("make", "dialyzer", cwd=built)


def test_the_distribution_builds_checks_and_installs_itself(built):
    output = run("make", "distcheck", "PYTESTFLAGS=-k version", cwd=built, timeout=900)
    assert re.search(r"\b[1-9]\d* passed", output)
    assert "ready for distribution" in output


def test_what_is_installed_runs_by_itself(tree, tmp_path, cluster, start_beam):
    prefix = tmp_path / "a prefix of 100%"
    libs = prefix / "lib" / "erlang" / "lib"
    place = build(tree, f"--prefix={prefix}", f"ERLANG_INSTALL_LIB_DIR={libs}")
    run("make", "install", cwd=place)
    beam = start_beam(env={"ERL_LIBS": str(libs)})
    node = f"{cluster.name('installed')}@{cluster.host}"
    beam.eval("ok = application:load(ebpf_cnode)")
    beam.apply("application", "set_env", "ebpf_cnode", "cnode", "embedded")
    beam.apply("application", "set_env", "ebpf_cnode", "node", node)
    started = beam.eval("application:ensure_all_started(ebpf_cnode)", timeout=30)
    assert started == ("ok", ["ebpf_cnode"])
    assert beam.apply("ebpf_maps", "new", "hash", 4, 8, 4)[0] == "ebpf_map"
    assert beam.eval("element(1, code:get_doc(ebpf_maps))") == "ok"
    assert list(libs.glob("ebpf_cnode-*/doc/chunks/ebpf_maps.chunk"))
    (unit,) = prefix.rglob("ebpf_cnode.service")
    said = run("systemd-analyze", "verify", "--man=no", unit, cwd=place)
    assert "not executable" not in said
    run("make", "uninstall", cwd=place)
    # what others put their files into too, stays
    left = [p for p in prefix.rglob("*") if not p.is_dir() or "ebpf" in p.name]
    assert left == []


def snapshot(tree):
    """What stands in a tree, and since when."""
    return {
        path: path.stat().st_mtime_ns
        for path in tree.rglob("*")
        if path.is_file() and ".bootstrap" not in path.parts
    }


def test_a_second_bootstrap_does_nothing(bootstrapped):
    before = snapshot(bootstrapped)
    output = run("./bootstrap", cwd=bootstrapped)
    assert snapshot(bootstrapped) == before
    steps = dict(line.split(None, 1) for line in output.splitlines()[:4])
    assert steps == {
        "packages": "all there",
        "autoreconf": "up to date",
        "configure": "up to date",
        "make": "up to date",
    }


def test_bootstrap_runs_the_demo(bootstrapped, tmp_path):
    env = {"ERL_EPMD_PORT": str(free_port()), "HOME": str(tmp_path)}
    output = run("./bootstrap", "demo", cwd=bootstrapped, timeout=120, **env)
    for words in ("packages", "rpc:call", "ebpf_maps:new", "<<7,0,0,0,0,0,0,0>>"):
        assert words in output


def test_bootstrap_runs_the_demo_of_tls(bootstrapped, tmp_path):
    env = {"ERL_EPMD_PORT": str(free_port()), "HOME": str(tmp_path)}
    output = run("./bootstrap", "demo", "tls", cwd=bootstrapped, timeout=120, **env)
    for words in ("packages", "openssl", "<<7,0,0,0,0,0,0,0>>", "{connected,false}"):
        assert words in output


# Two packages are missing, and stay so.
DPKG_QUERY = """#!/bin/sh
for name; do
	case $name in -* | mandoc | faketime) ;; *) printf 'installed/%s ' "$name" ;; esac
done
"""
APT_GET = """#!/bin/sh
echo "$@" >>"$TOLD"
cp "$SAID" "$TOLD.before"
exit 100
"""


def test_bootstrap_names_the_missing_packages_before_it_installs_them(tree, tmp_path):
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in ("dpkg-query", DPKG_QUERY), ("apt-get", APT_GET):
        (tools / name).write_text(text)
        (tools / name).chmod(0o755)
    told, said = tmp_path / "told", tmp_path / "said"
    env = {"PATH": f"{tools}:{os.environ['PATH']}", "TOLD": told, "SAID": said}
    with said.open("w") as output:
        done = subprocess.run(
            ["./bootstrap"], cwd=tree, stdout=output, env={**os.environ, **env}
        )
    assert done.returncode == 1
    install = told.read_text().splitlines()[0]
    assert install.endswith("--no-install-recommends mandoc faketime")
    before = Path(f"{told}.before").read_text()
    assert before == (
        "packages    about to install as root, by apt-get: mandoc faketime\n"
    )


def test_a_failed_step_names_itself_and_its_log(tree):
    (tree / "cnode" / "main.c").write_text("no C at all\n")
    done = subprocess.run(
        ["./bootstrap"], cwd=tree, capture_output=True, text=True, timeout=300
    )
    assert done.returncode != 0
    assert "step make failed" in done.stderr
    log = re.search(r"\S+/make\.log", done.stderr)[0]
    assert "main.c" in Path(log).read_text()


def test_the_shell_has_the_facade_and_a_c_node(bootstrapped, tmp_path):
    epmd = Epmd(free_port())
    env = {**os.environ, "ERL_EPMD_PORT": str(epmd.port), "HOME": str(tmp_path)}
    done = subprocess.run(
        ["./bootstrap", "shell"],
        cwd=bootstrapped,
        env=env,
        input="M = ebpf_maps:new(hash, 4, 8, 10).\nebpf_maps:put(1, 42, M).\n"
        "ebpf_maps:get(1, M).\nq().\n",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "<<42,0,0,0,0,0,0,0>>" in done.stdout
    assert not epmd.answers()


@pytest.fixture
def user(tree, tmp_path):
    """An application of somebody else's that depends on the repository."""
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@localhost")
    run("git", "init", "-q", "-b", "main", cwd=tree)
    run("git", "add", "-A", cwd=tree)
    run("git", *who, "commit", "-q", "-m", "all", cwd=tree)
    user = tmp_path / "user"
    (user / "src").mkdir(parents=True)
    (user / "rebar.config").write_text(
        f'{{deps, [{{ebpf_cnode, {{git, "file://{tree}", {{branch, "main"}}}}}}]}}.\n'
        "{relx, [{release, {mapper, \"1\"}, [mapper, sasl]}, {mode, prod},\n"
        "        {sys_config, \"sys.config\"}, {vm_args, \"vm.args\"}]}.\n"
    )
    (user / "src" / "mapper.app.src").write_text(
        '{application, mapper, [{description, "uses maps"}, {vsn, "1"},\n'
        "    {applications, [kernel, stdlib, ebpf_cnode]}]}.\n"
    )
    return user


# Only warnings and errors are printed.
QUIET = {"QUIET": "1"}


def test_rebar3_takes_the_repository_as_a_dependency(user, tmp_path):
    assert run("rebar3", "compile", cwd=user, HOME=str(tmp_path), **QUIET) == ""
    ebin = user / "_build" / "default" / "lib" / "ebpf_cnode" / "ebin"
    assert (ebin / "ebpf_maps.beam").exists()
    assert (ebin / "ebpf_cnode.app").exists()
    assert (ebin.parent / "doc" / "chunks" / "ebpf_maps.chunk").exists()


def test_a_release_of_rebar3_runs_a_c_node(user, tmp_path, cluster, program, start_beam):
    node, name = (f"{cluster.name(n)}@{cluster.host}" for n in ("embedded", "release"))
    args = ", ".join(f'"{arg}"' for arg in without_sandbox(program) if SANITIZED)
    (user / "sys.config").write_text(
        f"[{{ebpf_cnode, [{{cnode, embedded}}, {{node, '{node}'}}, {{args, [{args}]}},\n"
        f'                {{program, "{program}"}}]}}].\n'
    )
    (user / "vm.args").write_text(f"-sname {name}\n-setcookie {cluster.cookie}\n")
    assert run("rebar3", "release", cwd=user, HOME=str(tmp_path), **QUIET) == ""
    script = user / "_build" / "default" / "rel" / "mapper" / "bin" / "mapper"
    env = {**os.environ, **cluster.env, "HOME": str(tmp_path)}
    running = spawn([script, "foreground"], env=env, stdin=subprocess.DEVNULL)
    try:
        wait_until(lambda: node.split("@")[0] in cluster.epmd.names(), 60)
        beam = start_beam()
        assert beam.erpc(node, "new", "hash", 4, 8, 4)[0] == "ebpf_map"
        stops = spawn([script, "stop"], env=env, stdin=subprocess.DEVNULL)
        assert running.wait(60) == 0  # it is waited for here, and only then there
        assert stops.wait(60) == 0
    finally:
        kill(running)
    assert node.split("@")[0] not in cluster.epmd.names()
