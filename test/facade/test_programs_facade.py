# SPDX-License-Identifier: Apache-2.0
"""The facade of programs, with a C node: objects of test/bpf are loaded and attached."""

import re
import subprocess
import sys

import pytest

import etf
from beam import BeamError
from bpf_objects import compiled
from cluster import kill, spawn
from conftest import raises
from host import CGROUPS

pytestmark = pytest.mark.sandbox

NAMES = "-DPIDS=facade_pids", "-DALL=facade_all"
LOADING = ("--programs", "all", "--allow", "*=load")


class Facade:
    """The module ebpf_programs, as called in its own node."""

    def __init__(self, beam):
        self.beam = beam

    def __getattr__(self, function):
        return lambda *args: self.beam.apply("ebpf_programs", function, *args)


@pytest.fixture
def node(start_cnode):
    """A C node that loads, by default for the facade."""
    return start_cnode(*LOADING)


@pytest.fixture
def facade(facade_beam, node):
    facade_beam.apply("application", "set_env", "ebpf_cnode", "node", node.name)
    yield Facade(facade_beam)
    facade_beam.apply("application", "unset_env", "ebpf_cnode", "node")


@pytest.fixture(scope="session")
def count(srcdir, tmp_path_factory):
    """An object with a program at a tracepoint, as a file."""
    source = srcdir / "test" / "bpf" / "count.bpf.c"
    return compiled(source, tmp_path_factory.mktemp("count"), *NAMES)


@pytest.fixture
def attachable(compile_bpf):
    """Programs for each kind of target; they let pass whatever they see."""
    return compile_bpf("attach").read_bytes()


def attached(facade, ids):
    """Those of the links that are attached still; other tests attach as well."""
    return set(ids) & {link["id"] for link in facade.links()}


def held(facade):
    return facade.handles()


# --- of a file to a count that grows


def test_three_calls_count(facade, count, tracefs):
    loaded = facade.load_file(str(count).encode(), [])
    assert set(loaded["programs"]) == {b"count"}
    assert set(loaded["maps"]) == {b"facade_pids", b"facade_all"}
    links = facade.attach_all(loaded)
    assert set(links) == {b"count"}
    map = loaded["maps"][b"facade_all"]
    counted = "lists:sum([N || <<N:64/native>> <- ebpf_maps:get(0, M)])"
    before = facade.beam.eval(counted, M=map)
    subprocess.run([sys.executable, "-c", "import os; [os.getppid() for _ in range(9)]"])
    assert facade.beam.eval(counted, M=map) >= before + 9
    assert facade.detach(links[b"count"]) == "ok"


def test_all_that_attach_all_attached_is_detached_if_one_has_no_target(facade, objects, tracefs):
    """pass is of xdp, whose section names no interface."""
    options = [("programs", [b"at_getppid", b"pass"])]
    loaded = facade.load(objects, options)
    assert facade.attach_all(loaded) == ("error", (b"pass", "badarg"))
    id = facade.info(loaded["programs"][b"at_getppid"])["id"]
    assert not any(link["program"] == id for link in facade.links())
    assert all(handle[0][0] == "ebpf_program" for handle in held(facade))


def test_attach_all_takes_targets_that_no_section_can_name(facade, attachable):
    loaded = facade.load(attachable, [("programs", [b"xdp"])])
    targets = {b"xdp": ("xdp", b"lo", "generic")}
    links = facade.attach_all(loaded, [("targets", targets), ("lifetime", "permanent")])
    link = links[b"xdp"]
    assert facade.type(link) == "xdp"
    assert [lifetime for handle, _, lifetime in held(facade) if handle == link] == ["permanent"]
    assert facade.detach(link) == "ok"


# --- with_program/3


def with_program(facade, object, fun, options="[]"):
    return facade.beam.eval(
        f"ebpf_programs:with_program(Elf, {options}, {fun})", Elf=object
    )


TRACEPOINTS = "[{programs, [at_getppid, at_raw, at_btf]}]"
IDS = "[maps:get(id, ebpf_programs:info(L)) || L <- maps:values(Links)]"


def test_with_program_attaches_for_as_long_as_the_fun_takes(facade, objects, tracefs):
    names, ids, links = with_program(
        facade,
        objects,
        f"fun(#{{links := Links}}) -> {{maps:keys(Links), {IDS}, ebpf_programs:links()}} end",
        TRACEPOINTS,
    )
    assert sorted(names) == [b"at_btf", b"at_getppid", b"at_raw"]
    assert len(ids) == 3 and set(ids) <= {link["id"] for link in links}
    assert attached(facade, ids) == set()
    assert held(facade) == []
    assert facade.beam.eval("ebpf_maps:handles()") == []


def test_with_program_cleans_up_when_the_fun_raises(facade, objects, tracefs):
    fun = f"fun(#{{links := Links}}) -> error({IDS}) end"
    with pytest.raises(BeamError) as caught:
        with_program(facade, objects, fun, TRACEPOINTS)
    assert len(caught.value.reason) == 3
    assert attached(facade, caught.value.reason) == set()
    assert held(facade) == []
    assert facade.beam.eval("ebpf_maps:handles()") == []


def test_with_program_cleans_up_when_its_process_is_killed(facade, objects, tracefs):
    ids, during, after = facade.beam.eval(
        f"""
        Self = self(),
        {{Pid, Monitor}} = spawn_monitor(fun() ->
            ebpf_programs:with_program(Elf, {TRACEPOINTS}, fun(#{{links := Links}}) ->
                Self ! {{attached, {IDS}}},
                receive never -> ok end
            end)
        end),
        Ids = receive {{attached, Them}} -> Them after 10000 -> error(late) end,
        During = ebpf_programs:handles(),
        exit(Pid, kill),
        receive {{'DOWN', Monitor, process, Pid, killed}} -> ok end,
        Wait = fun Wait(0) -> ebpf_programs:handles();
                   Wait(N) ->
                       case ebpf_programs:handles() of
                           [] -> [];
                           _ -> timer:sleep(10), Wait(N - 1)
                       end
               end,
        {{Ids, During, Wait(500)}}""",
        Elf=objects,
    )
    assert len(during) == 6
    assert all(lifetime == "process" for _, _, lifetime in during)
    assert after == []
    assert len(ids) == 3 and attached(facade, ids) == set()


def test_with_program_leaves_maps_that_were_given(facade, objects, tracefs):
    options = f"[{{maps, #{{table => Map}}}} | {TRACEPOINTS}]"
    alive = facade.beam.eval(
        f"""
        Map = ebpf_maps:new(hash, 4, 8, 16),
        ok = ebpf_programs:with_program(Elf, {options}, fun(_) -> ok end),
        [H] = [H || {{H, _, _}} <- ebpf_maps:handles()],
        ok = ebpf_maps:close(Map),
        H =:= Map""",
        Elf=objects,
    )
    assert alive == "true"


def test_with_program_loads_nothing_if_one_cannot_be_attached(facade, objects, tracefs):
    options = "[{programs, [at_getppid, pass]}]"
    failed = with_program(facade, objects, "fun(_) -> error(called) end", options)
    assert failed == ("error", (b"pass", "badarg"))
    assert held(facade) == []


def test_with_program_attaches_to_a_cgroup(facade, attachable):
    target = f'{{cgroup, "{CGROUPS}"}}'
    options = f"[{{programs, [cgroup_skb]}}, {{targets, #{{cgroup_skb => {target}}}}}]"
    fun = f"fun(#{{links := Links}}) -> {{{IDS}, ebpf_programs:links()}} end"
    ids, links = with_program(facade, attachable, fun, options)
    assert len(ids) == 1 and set(ids) <= {link["id"] for link in links}
    assert attached(facade, ids) == set()
    assert held(facade) == []


def test_a_link_that_cannot_be_ended_is_enotsup_with_words(facade, objects, tracefs):
    loaded = facade.load(objects, [("programs", [b"at_raw"])])
    link = facade.attach(loaded["programs"][b"at_raw"], "auto")
    other = facade.open(("link", facade.info(link)["id"]))
    error = facade.detach(link)
    assert error == ("error", "enotsup")
    stack = [("ebpf_programs", "detach", [link], [])]
    words = facade.format_error(error, stack)["general"]
    assert words.startswith(b"the kernel cannot end this link while a pin or another handle")
    assert [facade.close(handle) for handle in (link, other)] == ["ok", "ok"]


def test_with_program_tells_what_the_verifier_says(facade, objects):
    error = with_program(facade, objects, "fun(_) -> ok end", "[{programs, [refused]}]")
    assert error[:1] + error[1][:3] == ("error", "rejected", "eacces", b"refused")
    lines = facade.verifier(error).decode().split("\n")
    assert lines[0].startswith("; ") and "invalid access to packet" in lines[2]
    assert held(facade) == []


# --- handles of any node, and what they become


def test_a_handle_works_from_any_node(facade, objects, start_beam, ebin):
    loaded = facade.load(objects, [("programs", [b"pass"])])
    other = Facade(start_beam(paths=[ebin]))
    program = loaded["programs"][b"pass"]
    assert other.type(program) == "xdp"
    assert other.info(program)["name"] == b"pass"
    assert other.run(program, {"data": bytes(64)}, [("repeat", 2)])["return"] == 7
    assert other.close(program) == "ok"
    with raises(("badprogram", program)):
        facade.info(program)
    assert facade.close(program) == ("error", "ebadf")


def test_load_goes_to_the_node_in_its_options(facade, objects, start_cnode):
    other = start_cnode(*LOADING)
    options = [("programs", [b"pass"]), ("node", other.name)]
    program = facade.load(objects, options)["programs"][b"pass"]
    assert facade.beam.eval("node(element(2, P))", P=program) == other.name
    assert facade.handles() == []
    assert [handle for handle, *_ in facade.handles(other.name)] == [program]
    id = facade.info(program)["id"]
    opened = facade.open(("id", id), [("node", other.name)])
    assert facade.beam.eval("node(element(2, P))", P=opened) == other.name
    assert id in {listed["id"] for listed in facade.list(other.name)}


def test_instructions_are_loaded_with_the_number_that_fd_tells(facade):
    """r1 = a map, r0 = 5, exit"""
    result = facade.beam.eval(
        """
        M = ebpf_maps:new(array, 4, 8, 1),
        Fd = ebpf_maps:fd(M),
        Load = <<16#18, 16#11, 0:16, Fd:32/little, 0:64>>,
        Code = <<Load/binary, 16#b7, 0, 0:16, 5:32/little, 16#95, 0:56>>,
        P = ebpf_programs:load(xdp, Code, [{maps, [M]}, {name, five}]),
        {P, ebpf_programs:run(P, #{data => <<0:512>>}, [])}"""
    )
    program, output = result
    assert program[2:] == ("xdp", b"five")
    assert output["return"] == 5


def test_programs_are_values_of_maps(facade, compile_bpf):
    values = compile_bpf("values").read_bytes()
    loaded = facade.load(values, [("programs", [b"caller", b"callee"])])
    caller, callee = (loaded["programs"][name] for name in (b"caller", b"callee"))
    callees = loaded["maps"][b"callees"]
    assert facade.beam.apply("ebpf_maps", "merge", callees, [(2, callee)]) == callees
    id = ("id", facade.info(callee)["id"])
    assert facade.beam.apply("ebpf_maps", "get", 2, callees) == id
    assert facade.run(caller, {"data": bytes(64)}, [])["return"] == 42


# --- where there is no answer


def test_a_node_that_is_down_is_nodedown(facade, node, objects):
    program = facade.load(objects, [("programs", [b"pass"])])["programs"][b"pass"]
    link = ("ebpf_link", *program[1:])
    node.stop()
    for call in (
        lambda: facade.attach(program, "auto"),
        lambda: facade.run(program, {}, []),
        lambda: facade.detach(link),
        lambda: facade.close(program),
        lambda: facade.list(),
    ):
        with raises(("nodedown", node.name)):
            call()
    down = ("error", "nodedown")
    assert facade.load(b"", []) == facade.open(("id", 1)) == down
    assert facade.load("xdp", bytes(16), []) == down
    assert with_program(facade, b"", "fun(_) -> ok end") == down


def test_a_node_that_does_not_answer_is_a_timeout(facade, node, objects):
    program = facade.load(objects, [("programs", [b"pass"])])["programs"][b"pass"]
    facade.beam.apply("application", "set_env", "ebpf_cnode", "timeout", 300)
    with node.asleep():
        with raises(("timeout", node.name)):
            facade.info(program)
        assert facade.open(("id", 1)) == ("error", "timeout")
    facade.beam.apply("application", "unset_env", "ebpf_cnode", "timeout")
    assert facade.type(program) == "xdp"


def test_a_node_that_is_not_distributed_is_notalive(start_beam, ebin):
    facade = Facade(start_beam(alive=False, paths=[ebin]))
    assert facade.load(b"", []) == ("error", "notalive")
    assert facade.open(("id", 1), [("node", "a@b")]) == ("error", "notalive")
    for program in (
        facade.beam.eval("{ebpf_program, make_ref(), xdp, <<>>}"),
        ("ebpf_program", etf.ref("a@b", [1, 2, 3]), "xdp", b""),
    ):
        with raises("notalive"):
            facade.info(program)
    with raises(("badprogram", "nothing")):
        facade.info("nothing")


@pytest.mark.parametrize("tag, reason", [("program", "badprogram"), ("link", "badlink")])
def test_a_handle_of_our_own_making_is_none(tag, reason, facade):
    forged = facade.beam.eval(f"{{ebpf_{tag}, make_ref(), xdp, none}}")
    with raises((reason, forged)):
        facade.type(forged)
    assert facade.close(forged) == ("error", "ebadf")
    assert facade.close((f"ebpf_{tag}",)) == ("error", "ebadf")


BAD_CALLS = [
    ("load", ["text", []]),
    ("load", [b"", "fast"]),
    ("load", [b"", ["fast"]]),
    ("load", [b"", [("log", 1), ("log", 1)]]),
    ("load", [b"", [("maps", {b"a": "x"})]]),
    ("load", ["nope", bytes(16), []]),
    ("attach", ["nope", "auto"]),
    ("attach", ["program", "nowhere"]),
    ("attach", ["program", "auto", [("node", "a@b")]]),
    ("run", ["program", [], []]),
    ("run", ["program", {}, [("repeat", 0)]]),
    ("detach", ["program"]),
    ("update", ["nope", "program"]),
    ("open", ["nope"]),
    ("pin", [b"relative", "program"]),
    ("type", [()]),
    ("close", [1]),
]


@pytest.mark.parametrize("call", BAD_CALLS, ids=str)
def test_an_exception_is_the_one_of_the_c_node(call, facade, node, objects):
    function, args = call
    loaded = facade.load(objects, [("programs", [b"pass"])])
    args = [loaded["programs"][b"pass"] if arg == "program" else arg for arg in args]
    with pytest.raises(BeamError) as by_rpc:
        facade.beam.erpc(node.name, function, *args, module="ebpf_programs")
    with pytest.raises(BeamError) as here:
        facade.beam.apply("ebpf_programs", function, *args)
    assert (here.value.kind, here.value.reason) == ("error", by_rpc.value.reason)
    words = facade.format_error(here.value.reason, here.value.stack)
    assert words and all(isinstance(text, bytes) for text in words.values())


# --- in shells


def typed(cluster, command, lines):
    process = spawn(
        [*command, cluster.name("shell")],
        env=cluster.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        text = "".join(line + "\n" for line in lines)
        output, _ = process.communicate(text.encode(), 60)
    finally:
        kill(process)
    return " ".join(output.decode().split())


@pytest.fixture
def refused(compile_bpf):
    return compile_bpf("refused")


def test_erl_prints_what_the_verifier_says(cluster, ebin, node, refused):
    options = f"[{{programs, [perhaps_null]}}, {{node, '{node.name}'}}]"
    printed = typed(
        cluster,
        ["erl", "-start_epmd", "false", "-pa", ebin, "-sname"],
        [
            f'E = ebpf_programs:load_file("{refused}", {options}).',
            'io:put_chars(["<<", ebpf_programs:verifier(E), ">>"]).',
            'io:put_chars(["<<", map_get(general, ebpf_programs:format_error(E, [])), ">>"]).',
            "halt().",
        ],
    )
    [alone, explained] = re.findall(r"<<((?:;|the verifier) .*?'map_value_or_null')>>", printed)
    assert alone.startswith("; ") and "/* perhaps_null */" in alone
    assert explained == f"the verifier rejects the program perhaps_null (eacces): {alone}"


def test_iex_prints_what_the_verifier_says(cluster, ebin, node, refused):
    options = f'[programs: [:perhaps_null], node: :"{node.name}"]'
    printed = typed(
        cluster,
        ["iex", "--dot-iex", "/dev/null", "--erl", f"-start_epmd false -pa {ebin}", "--sname"],
        [
            f'e = :ebpf_programs.load_file("{refused}", {options})',
            'IO.puts(["<<", :ebpf_programs.verifier(e), ">>"])',
            "System.halt()",
        ],
    )
    [alone] = re.findall(r"<<(; .*?'map_value_or_null')>>", printed)
    assert "/* perhaps_null */" in alone
