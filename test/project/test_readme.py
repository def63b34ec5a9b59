# SPDX-License-Identifier: Apache-2.0
"""What the README shows is what one gets."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

import etf
import shell
from cluster import wait_until
from conftest import raises
from host import CGROUPS
from two_hosts import TwoHosts


@pytest.fixture(scope="module")
def readme(srcdir):
    return (srcdir / "README.md").read_text()


def blocks(readme, language):
    return re.findall(rf"^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)


def section_of(readme, heading):
    return readme.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def session(readme, heading, language="erlang"):
    """That of a section, which may be in several blocks."""
    section = section_of(readme, heading)
    return "".join(block for block in blocks(section, language) if re.match(r".*\d+> ", block))


@pytest.fixture
def start_local(start_cnode, lone_cluster):
    """A C node as that of ./bootstrap shell."""

    def start(*options):
        lone_cluster.epmd.start()
        naming = ["--sname", "ebpf@localhost"]
        return start_cnode(*options, cluster=lone_cluster, naming=naming)

    return start


@pytest.mark.parametrize(
    "heading, language",
    [("In the shell", "erlang"), ("Values as terms", "erlang"), ("From Elixir", "elixir")],
)
def test_the_session_is_what_one_sees(
    heading, language, readme, lone_cluster, start_local, ebin
):
    start_local()
    shown = session(readme, heading, language)
    assert shell.check(shown, lone_cluster, ebin) >= 4


@pytest.fixture
def two_hosts(tmp_path):
    hosts = TwoHosts(tmp_path)
    yield hosts.hosts
    hosts.close()


@pytest.mark.parametrize("heading", ["Two hosts", "A whole cluster"])
def test_the_session_of_two_hosts_is_what_one_sees(
    heading, readme, two_hosts, lone_cluster, start_cnode, ebin
):
    for host in two_hosts:
        start_cnode("--port", 4370, cluster=lone_cluster, naming=[], wrapper=host.wrapper)
    shown = session(readme, heading)
    assert shell.check(shown, lone_cluster, ebin, two_hosts[1].wrapper) >= 4


def test_the_table_of_the_fleet_has_its_functions(readme, start_beam, ebin):
    rows = re.findall(r"^\| (`\w+\(.*?) \|", section_of(readme, "A whole cluster"), re.MULTILINE)
    calls = [call for row in rows for call in re.findall(r"`(\w+)\((.*?)\)`", row)]
    shown = {(name, len(re.findall("[^,]+", arguments))) for name, arguments in calls}
    exported = start_beam(paths=[ebin]).apply("ebpf_fleet", "module_info", "exports")
    hidden = {("module_info", 0), ("module_info", 1), ("format_error", 2), ("unsubscribe", 1)}
    assert shown == set(exported) - hidden


def test_the_session_over_tls_is_what_one_sees(
    readme, two_hosts, lone_cluster, start_cnode, ebin, tmp_path
):
    section = section_of(readme, "Over TLS")
    make, start = blocks(section, "sh")
    [configure, erl] = re.fullmatch(r"(.*\n)(erl .*)\n", start, re.DOTALL).groups()
    for commands in make, configure:
        subprocess.run(["sh", "-exc", commands], cwd=tmp_path, check=True)
    [options] = re.findall(r"`web1` runs `ebpf_cnode ([^`]*)`", section)
    here = ["env", f"--chdir={tmp_path}"]
    web1, web2 = ([*host.wrapper, *here] for host in two_hosts)
    start_cnode(*options.split(), cluster=lone_cluster, naming=[], wrapper=web1)
    [flags] = re.fullmatch(r"erl -sname me (.*) -pa erlang/ebin", erl).groups()
    web2 += [f"ERL_FLAGS={flags}"]
    assert shell.check(session(readme, "Over TLS"), lone_cluster, ebin, web2) >= 3


def is_removed(cgroup):
    """As soon as its last process has been waited for."""
    try:
        cgroup.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


class Typed:
    """What a section has one type, with folders of this test in place of its own."""

    def __init__(self, srcdir, folder):
        self.srcdir = srcdir
        self.cgroup = CGROUPS / f"readme_{os.getpid()}"
        self.pins = Path(f"/sys/fs/bpf/readme_{os.getpid()}")
        self.folders = {
            "/tmp/": f"{folder}/",
            "/sys/fs/cgroup/demo": str(self.cgroup),
            "/sys/fs/bpf/demo": str(self.pins),
            " test/demo/send": f" {srcdir}/test/demo/send",
        }

    def here(self, text):
        for shown, here in self.folders.items():
            text = text.replace(shown, here)
        return text

    def run(self, commands):
        env = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        command = ["sh", "-exc", self.here(commands)]
        subprocess.run(command, cwd=self.srcdir, env=env, check=True)


@pytest.fixture
def typed(srcdir, tmp_path):
    typed = Typed(srcdir, tmp_path)
    yield typed
    subprocess.run(["rm", "-rf", typed.pins], check=True)
    wait_until(lambda: is_removed(typed.cgroup))


LOADING = ["--programs", "all", "--allow", "ebpf_shell@*=load", "--allow", "*=rw"]


@pytest.fixture
def program_section(readme, typed):
    """With the program compiled."""
    section = section_of(readme, "With an eBPF program")
    typed.run(blocks(section, "sh")[0])
    return section


def test_the_session_with_a_program_is_what_one_sees(
    readme, program_section, typed, lone_cluster, start_local, ebin
):
    start_local(*LOADING)
    shown = typed.here(session(readme, "With an eBPF program"))
    assert shell.check(shown, lone_cluster, ebin) >= 5


def test_a_node_with_nothing_installed_loads_that_program_too(
    program_section, typed, lone_cluster, start_local, start_beam
):
    start_local(*LOADING)
    text = " ".join(program_section.split())
    [read] = re.findall(r"`(\{ok, Elf\} = [^`]*)`", text)
    [load] = re.findall(r"`(rpc:call\(ebpf@localhost, ebpf_programs, load, [^`]*)`", text)
    beam = start_beam(cluster=lone_cluster, sname="ebpf_shell@localhost")
    loaded = beam.eval(f"{read}, {load}", File=typed.here("/tmp/count_packets.o").encode())
    assert set(loaded["maps"]) == {b"packets", b"bytes"}


def test_the_maps_of_what_bpftool_loads_can_be_opened(
    readme, program_section, typed, lone_cluster, start_local, start_beam, ebin
):
    section = section_of(readme, "Maps of other programs")
    typed.run(blocks(section, "sh")[0])
    start_local(*LOADING)
    beam = start_beam(cluster=lone_cluster, paths=[ebin], sname="ebpf_shell@localhost")
    calls = re.findall(r"`(ebpf_\w+:open[^`]*)`", " ".join(section.split()))
    opened = [beam.eval(typed.here(call)) for call in calls]
    assert [handle[0] for handle in opened] == ["ebpf_map", "ebpf_program"]


def test_the_words_of_programs_are_those_of_the_table(readme, srcdir):
    source = (srcdir / "cnode" / "bpf" / "program_words.c").read_text()
    needs = dict(re.findall(r'\{ "(\w+)", PROGRAM_NEEDS_(\w+) \}', source))
    types = {word: [] for word in needs}
    for type, word in re.findall(r"\{ BPF_PROG_TYPE_(\w+),\s+PROGRAMS_(\w+) \}", source):
        types[word.lower()].append(type.lower())
    section = section_of(readme, "Functions for programs")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", section, re.MULTILINE)
    assert {word: re.findall(r"`(\w+)`", named) for word, named, _ in rows} == types
    shown = {word: re.sub(r"\W|CAP_", "", cap) for word, _, cap in rows}
    assert shown == {word: "nothing" if n == "BPF" else n for word, n in needs.items()}


@pytest.mark.parametrize("type", ["load_option", "instructions_option"])
def test_the_options_of_load_are_those_of_the_facade(type, readme, srcdir):
    source = (srcdir / "erlang" / "src" / "ebpf_programs.erl").read_text()
    [text] = re.findall(rf"^-type {type}\(\) ::(.*?)\.$", source, re.M | re.DOTALL)
    wanted = set(re.findall(r"[|{\n] *([a-z_]+)(?= *[|,\n])", text)) - {"node"}
    [(of_two, of_three)] = re.findall(
        r"Options of `load/2` are (.*?); of `load/3` they are (.*?)\.", " ".join(readme.split())
    )
    named = of_two if type == "load_option" else of_three
    assert set(re.findall(r"`(\w+)`", named)) == wanted


def test_the_targets_are_those_that_the_c_node_knows(readme, srcdir):
    rows = (srcdir / "cnode" / "bpf" / "attach.c").read_text()
    known = set(re.findall(r'\[ATTACH_\w+\] = \{ "(\w+)"', rows))
    [text] = re.findall(r"^A target is (.*?)\.\n\n", readme, re.MULTILINE | re.DOTALL)
    heads = re.findall(r"`\{?([a-z_]+(?: \| [a-z_]+)?)[,`]", text)
    assert {name for head in heads for name in head.split(" | ")} == known | {"auto"}


SHELL_FILES = ["bootstrap", *(f"test/demo/{n}" for n in ("demo", "demo_tls", "shell", "nodes.sh"))]


def test_nothing_shows_how_to_give_load_to_every_node(srcdir, program):
    """A name proves little, but what is copied should name somebody."""
    pages = [*srcdir.glob("*.md"), *srcdir.glob("*/README.md"), *srcdir.glob("docs/*")]
    pages += [*srcdir.glob("*/*.[38]"), *srcdir.glob("cnode/systemd/*.*")]
    pages += [*srcdir.glob("erlang/examples/*"), *map(srcdir.joinpath, SHELL_FILES)]
    texts = {page: page.read_text() for page in pages if page.is_file()}
    texts["help"] = subprocess.run([program, "--help"], capture_output=True, text=True).stdout
    assert any("@*=load" in text for text in texts.values())
    assert [name for name, text in texts.items() if re.search(r"(?<!@)\*=load", text)] == []


def test_the_options_of_new_are_those_of_the_facade(readme, srcdir):
    source = (srcdir / "erlang" / "src" / "ebpf_maps.erl").read_text()
    [type] = re.findall(r"^-type map_option\(\) ::(.*?)\.$", source, re.M | re.DOTALL)
    wanted = set(re.findall(r"[|{\n] *([a-z_]+)(?= *[|,\n])", type))
    section = section_of(readme, "Options of `new`")
    heads = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert set(re.findall(r"`\{?([a-z_]+)", "\n".join(heads))) == wanted


@pytest.mark.sandbox
def test_the_embedded_example_starts_a_c_node(
    readme, lone_cluster, start_beam, ebin, program
):
    [example] = [block for block in blocks(readme, "erlang") if "embedded" in block]
    lone_cluster.epmd.start()
    env = {"PATH": f"{program.parent}:{lone_cluster.env['PATH']}"}
    beam = start_beam(cluster=lone_cluster, paths=[ebin], env=env)
    lines = example.strip().splitlines()
    assert beam.eval(lines[0]) == "ok"
    assert beam.eval(lines[1], timeout=30) == ("ok", ["ebpf_cnode"])
    assert beam.apply("ebpf_maps", "new", "hash", 4, 8, 4)[0] == "ebpf_map"
    beam.kill()
    wait_until(lambda: "ebpf" not in lone_cluster.epmd.names())


@pytest.mark.parametrize(
    "module, heading",
    [("ebpf_maps", "In the shell"), ("ebpf_programs", "Functions for programs")],
)
def test_the_table_has_all_functions(module, heading, readme, program):
    listed = subprocess.run([program, "--functions"], capture_output=True, text=True)
    lines = [line.split(":") for line in listed.stdout.splitlines()]
    served = {function for of, function in lines if of == module}
    shown = set()
    for row in re.findall(r"^\| (`\w+\(.*?) \|", section_of(readme, heading), re.MULTILINE):
        for name, arguments in re.findall(r"`(\w+)\((.*?)\)`", row):
            arity = len(arguments.split(",")) if arguments else 0
            if arguments == "..., Options":
                arity = 5
            shown.add(f"{name}/{arity}")
    assert served and shown == served


def test_each_option_in_it_is_one_of_the_program(readme, program):
    listed = subprocess.run([program, "--help"], capture_output=True, text=True)
    shown = set(re.findall(r"`(?:ebpf_cnode )?(--[a-z-]+)", readme))
    assert shown
    assert shown <= set(re.findall(r"--[a-z-]+", listed.stdout))


@pytest.mark.parametrize(
    "page",
    ["README.md", "SECURITY.md", "CONTRIBUTING.md", "CHANGES.md", "cnode/README.md", "docs/metrics.md"],
)
def test_each_link_leads_somewhere(page, srcdir):
    path = srcdir / page
    links = re.findall(r"\]\((?!http)([^)#]+)", path.read_text())
    assert [link for link in links if not (path.parent / link).exists()] == []


def headings(text):
    """As links name them."""
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


def test_each_link_within_leads_to_a_heading(readme):
    links = set(re.findall(r"\]\(#([^)]+)\)", readme))
    assert links and links <= headings(readme)


def median(contests, id, label):
    [contest] = [one for one in contests if one["id"] == id]
    [contender] = [one for one in contest["contenders"] if one["label"] == label]
    return contender["median"]


def test_the_figures_of_speed_are_those_of_the_benchmark(readme, srcdir):
    figures = json.loads((srcdir / "test" / "bench" / "bench.json").read_text())
    contests = figures["contests"]
    one = median(contests, "get-1", "C node by erpc")
    ratio = one / median(contests, "get-1", "TCP ping-pong in C")
    many = median(contests, "get-16", "C node by erpc")
    whole = median(contests, "to_list-hash-1000000", "C node by the facade")
    bpftool = median(contests, "to_list-hash-1000000", "bpftool map dump -j")
    text = " ".join(readme.split("\n## Speed\n")[1].split())
    assert f"waits {one:.0f} µs for a `get`" in text
    assert f"{ratio:.1f} times a bare TCP round trip" in text
    assert f"get {many // 1000 * 1000:,.0f} values a second" in text
    assert f"arrive in {whole / 1000:.1f} s, where `bpftool` takes {bpftool / 1000:.0f}" in text


NET_ADMIN_TYPES = {
    "devmap": (4, 4),
    "devmap_hash": (4, 4),
    "sockmap": (4, 4),
    "sockhash": (4, 4),
    "xskmap": (4, 4),
}
OTHER_TYPES = {
    "hash": (4, 4),
    "array": (4, 4),
    "percpu_hash": (4, 4),
    "lru_hash": (4, 4),
    "prog_array": (4, 4),
    "cpumap": (4, 4),
    "queue": (0, 4),
    "stack_trace": (4, 8),
}


def capabilities(start_cnode, alice, caps):
    """What becomes of a map of each type, under these capabilities alone."""
    only = ",".join(["-all", *(f"+{cap}" for cap in caps)])
    node = start_cnode(
        wrapper=["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    )
    types = {**NET_ADMIN_TYPES, **OTHER_TYPES}
    made = {t: alice.erpc(node.name, "new", t, *types[t], 1) for t in types}
    return {t: made[t] if made[t][0] == "error" else "made" for t in types}


def test_cap_bpf_alone_makes_all_but_the_network_types(readme, start_cnode, alice):
    row = re.search(r"^\| `CAP_NET_ADMIN` \| making (.*?);", readme, re.MULTILINE)[1]
    assert set(re.findall(r"\w+", row)) - {"and"} == set(NET_ADMIN_TYPES)
    answers = capabilities(start_cnode, alice, ["bpf"])
    refused = {t for t, answer in answers.items() if answer == ("error", "eperm")}
    made = {t for t, answer in answers.items() if answer == "made"}
    assert (refused, made) == (set(NET_ADMIN_TYPES), set(OTHER_TYPES))


def test_cap_bpf_alone_opens_the_network_types(start_cnode, connect, folder):
    maker = connect(start_cnode())
    only = "-all,+bpf"
    node = start_cnode(
        wrapper=["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    )
    peer = connect(node)
    for type, sizes in NET_ADMIN_TYPES.items():
        path = bytes(folder / type)
        assert maker.maps("pin", path, maker.maps("new", type, *sizes, 1)) == "ok"
        map = peer.maps("open", ("pinned", path))
        assert map[0] == "ebpf_map" and peer.maps("type", map) == type


def test_the_setcap_line_is_enough_for_all_types(readme, start_cnode, alice):
    caps = re.search(r"^setcap ([a-z_,]+)\+ep", readme, re.MULTILINE)[1].split(",")
    caps = [cap.removeprefix("cap_") for cap in caps]
    answers = capabilities(start_cnode, alice, caps)
    assert set(answers.values()) == {"made"}


def test_the_setcap_line_is_the_one_that_the_program_advises(readme, start_cnode):
    shown = re.search(r"^setcap ([a-z_,]+\+ep)", readme, re.MULTILINE)[1]
    node = start_cnode(
        wrapper=["setpriv", "--bounding-set=-all", "--inh-caps=-all"], ready=False
    )
    assert node.wait_exit() == 4
    assert f"setcap {shown} " in node.log


def test_without_cap_sys_admin_nothing_is_opened_by_id(readme, start_cnode, alice):
    assert re.search(r"^\| `CAP_SYS_ADMIN` \| .*`list/0`, `open/1`", readme, re.MULTILINE)
    only = "-all,+bpf,+net_admin"
    node = start_cnode(
        wrapper=["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    )

    def call(function, *args):
        return alice.erpc(node.name, function, *args)

    map = call("new", "hash", 4, 4, 1)
    id = call("info", map)[etf.Atom("id")]
    for function, *args in [
        ("open", ("id", id)),
        ("open", ("name", b"nope")),
        ("open", ("name", b"nope"), ["read"]),
        ("list",),
    ]:
        with raises("eperm"):
            call(function, *args)
    outer = call("new", "array_of_maps", 4, 4, 1, [("inner_map", map)])
    call("put", 0, map, outer)
    assert call("get", 0, outer) == map  # who holds it need not open it
    call("close", map)
    with raises("eperm"):
        call("get", 0, outer)
