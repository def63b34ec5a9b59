# SPDX-License-Identifier: Apache-2.0
"""What the man pages say is what the program and the module do."""

import datetime
import os
import re
import shlex
import signal
import subprocess
from html import unescape

import pytest

import shell
from cluster import wait_until

PAGES = {
    "ebpf_cnode": "cnode/ebpf_cnode.8",
    "ebpf_maps": "erlang/ebpf_maps.3",
    "ebpf_programs": "erlang/ebpf_programs.3",
    "ebpf_events": "erlang/ebpf_events.3",
    "ebpf_fleet": "erlang/ebpf_fleet.3",
    "ebpf_metrics": "erlang/ebpf_metrics.3",
}
FACADES = ["ebpf_maps", "ebpf_programs", "ebpf_events"]
NOT_SERVED = ["ebpf_fleet", "ebpf_metrics"]


def run(*command, **options):
    """What it prints; fails where the command does."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, **options
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def words(html):
    return " ".join(unescape(re.sub(r"<[^>]*>", "", html)).split())


class Page:
    """A man page, taken apart by mandoc."""

    def __init__(self, path):
        html = run("mandoc", "-T", "html", "-O", "fragment", path)
        parts = re.split(r'<h1 class="Sh" id="(.*?)">', html)
        self.sections = dict(zip(parts[1::2], parts[2::2]))
        self.words = words(html)

    def items(self, section):
        """[(head, body)] of its tagged lists, as they are written."""
        item = r"<dt[^>]*>(.*?)</dt>\s*(?:<dd[^>]*>(.*?)</dd>)?"
        return re.findall(item, self.sections[section], re.DOTALL)

    def heads(self, section):
        return [words(head) for head, _ in self.items(section)]

    def bodies(self, section):
        """{head: body}"""
        return {words(head): words(body) for head, body in self.items(section)}

    def blocks(self, section):
        """What stands there as it is typed or seen."""
        blocks = re.findall(r"<pre>(.*?)</pre>", self.sections[section], re.DOTALL)
        return [unescape(re.sub(r"<[^>]*>", "", block)) for block in blocks]


def with_holes(head):
    """With a {} for each word that stands for another."""
    return words(re.sub(r'<var class="Ar">.*?</var>', "{}", head, flags=re.DOTALL))


@pytest.fixture(scope="module")
def cnode_page(srcdir):
    return Page(srcdir / PAGES["ebpf_cnode"])


@pytest.fixture(scope="module")
def maps_page(srcdir):
    return Page(srcdir / PAGES["ebpf_maps"])


@pytest.fixture(scope="module")
def programs_page(srcdir):
    return Page(srcdir / PAGES["ebpf_programs"])


@pytest.fixture(scope="module")
def pages(maps_page, programs_page, srcdir):
    """Those of modules."""
    events_page = Page(srcdir / PAGES["ebpf_events"])
    return dict(zip(FACADES, (maps_page, programs_page, events_page)))


@pytest.fixture(scope="module")
def help_text(program):
    return run(program, "--help")


# --- both


def make(builddir, *arguments):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return run("make", "-C", builddir, *arguments, env=env)


def test_mandoc_finds_no_fault(builddir):
    printed = make(builddir, "lint-man")
    assert all(page in printed for page in PAGES.values())


def date_of_last_change(srcdir, page):
    """By git, in a clone that has the history; else None."""
    git = ["git", "-c", "safe.directory=*", "-C", srcdir]
    if not (srcdir / ".git").exists():
        return None
    if run(*git, "rev-parse", "--is-shallow-repository").strip() != "false":
        return None
    changed = run(*git, "log", "-1", "--format=%as", "--", page).strip()
    return datetime.date.fromisoformat(changed) if changed else None


@pytest.mark.parametrize("page", PAGES.values())
def test_the_date_is_not_older_than_the_page(page, srcdir):
    [written] = re.findall(r"^\.Dd (.*)$", (srcdir / page).read_text(), re.MULTILINE)
    written = datetime.datetime.strptime(written, "%B %d, %Y").date()
    changed = date_of_last_change(srcdir, page)
    assert changed is None or written >= changed, f"{page}: .Dd is to be {changed}"


def test_make_installs_them_where_man_looks(builddir, tmp_path):
    make(builddir, "install-man", f"DESTDIR={tmp_path}", "mandir=/man")
    installed = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.[38]")}
    pages = {"man/man3/ebpf_maps.3", "man/man3/ebpf_programs.3", "man/man3/ebpf_events.3"}
    pages |= {f"man/man3/{module}.3" for module in NOT_SERVED}
    pages.add("man/man8/ebpf_cnode.8")
    assert installed == pages


# --- ebpf_cnode(8)


def test_the_options_are_those_of_the_help(cnode_page, help_text):
    shown = re.findall(r"^  (--\S+(?: [A-Z]\S*)?) ", help_text, re.MULTILINE)
    assert "--sname NAME[@HOST]" in shown and "--help" in shown
    assert sorted(cnode_page.heads("OPTIONS")) == sorted(shown)


def test_the_defaults_of_the_help_stand_in_the_page(cnode_page, help_text):
    """Those that are numbers."""
    described = cnode_page.bodies("OPTIONS")
    described = {head.split()[0]: body for head, body in described.items()}
    defaults = re.findall(r"^  (--\S+) .*\(([^()]*)\)$", help_text, re.MULTILINE)
    numbers = [(o, n) for o, text in defaults for n in re.findall(r"[\d.]*\d", text)]
    assert ("--max-connections", "1024") in numbers
    for option, number in numbers:
        assert re.search(rf"\b{re.escape(number)}\b", described[option]), option


def test_the_exit_statuses_are_those_of_the_help(cnode_page, help_text):
    text = help_text.split("Exit status: ")[1].split(".\n")[0]
    shown = dict(part.split(None, 1) for part in " ".join(text.split()).split("; "))
    described = cnode_page.bodies("EXIT_STATUS")
    assert len(shown) == 9
    assert list(described) == list(shown)
    for status, meaning in shown.items():
        assert described[status].lower().startswith(meaning.lower())


def masks(pid):
    """The numbers of the signals that a process has blocked, or ignores."""
    with open(f"/proc/{pid}/status") as status:
        text = status.read()
    libc = {32, 33}  # nobody else can set what is done at them
    return {
        kind: {n for n in range(1, 65) if int(mask, 16) >> (n - 1) & 1} - libc
        for kind, mask in re.findall(r"^Sig(Blk|Ign):\s*(\w+)", text, re.MULTILINE)
    }


def test_the_signals_have_the_fate_that_is_told(cnode_page, fresh_cnode):
    """Ignored, left to their default action, or waited for."""
    told = {"Ign": set(range(signal.SIGRTMIN, signal.SIGRTMAX + 1)), "Blk": set()}
    left = set()
    for names, fate in cnode_page.bodies("SIGNALS").items():
        numbers = {signal.Signals[name] for name in names.split(", ")}
        if "default action" in fate:
            left |= numbers
        else:
            told["Ign" if fate.startswith("Ignored") else "Blk"] |= numbers
    seen = masks(fresh_cnode.pid)
    assert seen["Blk"] == told["Blk"] and {signal.SIGTERM} < told["Blk"]
    assert seen["Ign"] - told["Blk"] == told["Ign"]
    assert left and not left & (seen["Blk"] | seen["Ign"])


def test_the_variables_are_those_that_it_reads(cnode_page, srcdir):
    sources = "\n".join(p.read_text() for p in (srcdir / "cnode").rglob("*.c"))
    read = set(re.findall(r'getenv\("(\w+)"\)', sources))
    assert "ERL_EPMD_PORT" in read
    named = set(", ".join(cnode_page.heads("ENVIRONMENT")).split(", "))
    # by epmd, and by posix_spawnp(3)
    assert named == read | {"ERL_EPMD_ADDRESS", "PATH"}


def lines_that_are_logged(srcdir):
    """[(level, text)] of the sources, with a {} for what is filled in."""
    text = "\n".join(path.read_text() for path in (srcdir / "cnode").rglob("*.c"))
    text = re.sub(r'"\s*PRI\w+\s*"', "d", text)
    text = re.sub(r'"\s*"', "", text)
    text = re.sub(r"%[-.*0-9]*z?l*[a-z]", "{}", text)
    plainly = re.findall(r'log_(\w+)\(\s*"([^"]*)"', text)
    limited = re.findall(r'LOG_([A-Z]+),\s*(?:[\w<> ]+\?\s*)?"([^"]*)"', text)
    return [(level.lower(), line) for level, line in plainly + limited]


def test_each_line_of_the_log_in_it_is_one_of_the_program(cnode_page, srcdir):
    logged = lines_that_are_logged(srcdir)
    heads = [with_holes(head) for head, _ in cnode_page.items("DIAGNOSTICS")]
    assert len(heads) > 5
    for head in heads:
        level, text = head.split(" ", 1)
        assert any(level == at and line.startswith(text) for at, line in logged), head


def examples(page):
    """(prompt, [argument]) of the command lines."""
    typed = "\n".join(page.blocks("EXAMPLES")).replace("\\\n", " ").splitlines()
    lines = [line.split(None, 2) for line in typed]
    assert {program for _, program, _ in lines} == {"ebpf_cnode"}
    return [(prompt, shlex.split(options)) for prompt, _, options in lines]


def test_each_example_starts_a_node(
    cnode_page, lone_cluster, start_cnode, start_beam, here, tmp_path
):
    lone_cluster.epmd.start()
    folder = here.write_folder(tmp_path / "tls")
    starts = [options for prompt, options in examples(cnode_page) if prompt == "#"]
    assert len(starts) >= 2
    for options in starts:
        options = [str(folder) if one == "/etc/ebpf_cnode/tls" else one for one in options]
        node = start_cnode(*options, naming=[], cluster=lone_cluster)
        at = node.name.split("@")[1]
        naming = {"long_name": f"probe@{at}"} if "." in at else {"sname": f"probe@{at}"}
        identity = here if "--tls" in options else None
        beam = start_beam(cluster=lone_cluster, identity=identity, **naming)
        assert beam.apply("net_adm", "ping", node.name) == "pong"
        beam.kill()
        node.stop()
        node.must_live = False
        wait_until(lambda: not lone_cluster.epmd.names())


def test_each_other_example_prints_something(cnode_page, program):
    prints = [options for prompt, options in examples(cnode_page) if prompt == "$"]
    assert prints
    for options in prints:
        assert run(program, *options)


# --- ebpf_maps(3), ebpf_programs(3)


def functions(page, section):
    """{(name, arity)} of its heads."""
    found = []
    for head in page.heads(section):
        if head.startswith("{") or head == "sleepable":  # an option
            continue
        match = re.fullmatch(r"(\w+)\(([\w, ]*)\) -> \S.*", head)
        assert match, head
        found.append((match[1], len(re.findall(r"\w+", match[2]))))
    assert len(found) == len(set(found)), found
    return set(found)


def served_functions(program, module):
    lines = run(program, "--functions").splitlines()
    matches = [re.fullmatch(r"(\w+):(\w+)/(\d+)", line) for line in lines]
    return {(match[2], int(match[3])) for match in matches if match[1] == module}


@pytest.mark.parametrize("module", FACADES)
def test_the_functions_are_those_of_the_table(module, pages, program):
    assert functions(pages[module], "FUNCTIONS") == served_functions(program, module)


@pytest.mark.parametrize("module", FACADES)
def test_those_of_the_facade_are_its_other_exports(module, pages, program, start_beam, ebin):
    beam = start_beam(paths=[ebin])
    exported = set(beam.apply(module, "module_info", "exports"))
    served = served_functions(program, module)
    assert served < exported
    others = exported - served - {("module_info", 0), ("module_info", 1), ("behaviour_info", 1)}
    assert ("format_error", 2) in others
    assert functions(pages[module], "FUNCTIONS_OF_THE_FACADE") == others


def test_the_options_of_new_are_those_of_the_facade(maps_page, srcdir):
    source = (srcdir / "erlang" / "src" / "ebpf_maps.erl").read_text()
    [type] = re.findall(r"^-type map_option\(\) ::(.*?)\.$", source, re.M | re.DOTALL)
    wanted = set(re.findall(r"[|{\n] *([a-z_]+)(?= *[|,\n])", type))
    assert {"mmapable", "inner_map", "node"} <= wanted
    html = maps_page.sections["FUNCTIONS"].split('class="Fn">open<', 1)[0]
    named = set(re.findall(r'<code class="Cm">(\w+)</code>', html))
    assert named - {"process", "permanent"} == wanted


def test_its_variables_are_those_that_the_application_reads(maps_page, srcdir):
    sources = (srcdir / "erlang" / "src").glob("*.erl")
    text = "\n".join(path.read_text() for path in sources)
    read = set(re.findall(r"ebpf_cnode_env:get\((\w+)", text))
    assert "timeout" in read
    assert set(maps_page.heads("ENVIRONMENT")) == read


@pytest.mark.parametrize("module", NOT_SERVED)
def test_those_of_a_module_that_no_c_node_serves_are_its_exports(
    module, srcdir, program, start_beam, ebin
):
    exported = set(start_beam(paths=[ebin]).apply(module, "module_info", "exports"))
    public = exported - {("module_info", 0), ("module_info", 1)}
    assert not served_functions(program, module)
    assert functions(Page(srcdir / PAGES[module]), "FUNCTIONS") == public


@pytest.mark.parametrize("module", FACADES)
def test_the_options_of_the_c_node_in_it_are_options(module, pages, help_text):
    named = set(re.findall(r"--[a-z-]+", pages[module].words))
    assert named
    assert named <= set(re.findall(r"--[a-z-]+", help_text))


@pytest.mark.parametrize("type", ["load_option", "instructions_option"])
def test_the_options_of_load_are_those_of_the_facade(type, programs_page, srcdir):
    source = (srcdir / "erlang" / "src" / "ebpf_programs.erl").read_text()
    [text] = re.findall(rf"^-type {type}\(\) ::(.*?)\.$", source, re.M | re.DOTALL)
    wanted = set(re.findall(r"[|{\n] *([a-z_]+)(?= *[|,\n])", text))
    html = programs_page.sections["FUNCTIONS"].split('class="Fn">run<', 1)[0]
    first, second = re.split(r'class="Fn">load<', html)[1:]
    part = first if type == "load_option" else second
    named = set(re.findall(r'<code class="Cm">(\w+)</code>', part))
    assert "lifetime" in named
    assert named - {"process", "permanent"} | {"node"} == wanted


def test_the_targets_are_those_of_the_table(programs_page, srcdir):
    rows = (srcdir / "cnode" / "bpf" / "attach.c").read_text()
    known = re.findall(r'\[ATTACH_\w+\] = \{ "(\w+)"', rows)
    heads = [re.match(r"\{?([a-z_| ]+)", head)[1] for head in programs_page.heads("TARGETS")]
    named = [name.strip() for head in heads for name in head.split("|")]
    assert sorted(named) == sorted([*known, "auto"])


def test_its_sessions_are_what_one_sees(maps_page, lone_cluster, start_cnode, ebin):
    lone_cluster.epmd.start()
    start_cnode(cluster=lone_cluster, naming=[])
    session = "\n".join(maps_page.blocks("EXAMPLES"))
    assert shell.check(session, lone_cluster, ebin) >= 8
