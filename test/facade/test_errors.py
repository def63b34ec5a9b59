# SPDX-License-Identifier: Apache-2.0
"""Exceptions of the facade: where they are from, and what they say in words."""

import re
from string import Template

import pytest

import error_cases
import error_words
from beam import Beam, BeamError
from conftest import Nodes
from error_shells import SHELLS, Typed

NOT_RAISING = {("format_error", 2), ("module_info", 0), ("module_info", 1)}
NOT_RAISING |= {("progress", 0)}


@pytest.fixture(scope="module")
def lost_beam(cluster, ebin):
    """An Erlang node whose default C node has no name: whatever it asks raises."""
    beam = Beam(cluster, paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", "nowhere")
    yield beam
    beam.close()


@pytest.fixture(scope="module")
def places(lost_beam):
    """{function: the lines of its clauses}"""
    forms = lost_beam.eval(
        """
        {ok, {_, [{_, {_, Forms}}]}} =
            beam_lib:chunks(code:which(ebpf_maps), [abstract_code]),
        [{{F, A}, erl_anno:line(L)} || {function, L, F, A, _} <- Forms]"""
    )
    ends = [line for _, line in forms[1:]] + [10**9]
    return {name: range(line, end) for (name, line), end in zip(forms, ends)}


def exported(beam):
    return set(beam.eval("ebpf_maps:module_info(exports)")) - NOT_RAISING


def test_the_stack_points_at_the_function_that_was_called(lost_beam, places):
    for name, arity in exported(lost_beam):
        with pytest.raises(BeamError) as caught:
            lost_beam.apply("ebpf_maps", name, *["nothing"] * arity)
        module, function, args, info = caught.value.stack[0]
        assert (module, function, len(args)) == ("ebpf_maps", name, arity)
        assert bytes(dict(info)["file"]).decode().endswith("src/ebpf_maps.erl")
        assert dict(info)["line"] in places[name, arity]


def test_a_stack_that_comes_by_rpc_points_there_too(lost_beam, places, alice):
    _, (_, (_, stack)) = alice.apply(
        "rpc", "call", lost_beam.name, "ebpf_maps", "get", [1, "nothing"]
    )
    assert stack[0][:3] == ("ebpf_maps", "get", [1, "nothing"])
    assert dict(stack[0][3])["line"] in places["get", 2]


# --- words


class World:
    """What the calls of error_words.py are made on."""

    def __init__(self, cluster, nodes, beam, alice):
        self.beam = beam
        self.nodes = {
            "usual": nodes.start(),
            "gone": nodes.start(),
            "slow": nodes.start(),
            "guarded": nodes.start("--allow", f"{alice.sname}@*=rw", "--allow", "*=ro"),
            "tight": nodes.start("--max-message", "65536", "--max-maps", "4"),
            "loading": nodes.start("--programs", "all", "--allow", "*=load"),
            "blind": nodes.start("--no-open-by-id"),
        }
        self.names = {name: node.name for name, node in self.nodes.items()}
        self.names["alice"] = alice.name
        variables = {f"{n.title()}Node": name for n, name in self.names.items()}
        beam.eval(error_words.world(), keep=True, **variables)
        self.variables = [*error_words.MAPS, "On", *variables]
        bound = ", ".join(f"{{'{v}', {v}}}" for v in self.variables)
        beam.eval(f"persistent_term:put(words, [{bound}])")
        self.nodes["gone"].stop()

    def setting(self, case):
        """The environment in which a case raises what it raises."""
        node = "nowhere" if case.reason == "badenv" else self.names["usual"]
        timeout = 0 if case.reason == "timeout" else 15000
        return {"node": node, "timeout": timeout}

    def words(self, case):
        """By number, as they are meant to be."""
        return {n: Template(w).substitute(self.names) for n, w in case.words.items()}


@pytest.fixture(scope="module")
def awake(cluster, program, ebin):
    """The world before one of its nodes falls asleep."""
    nodes = Nodes(cluster, program)
    beam, alice = Beam(cluster, paths=[ebin]), Beam(cluster, hint="alice")
    yield World(cluster, nodes, beam, alice)
    for one in (beam, alice):
        one.close()
    nodes.close()


@pytest.fixture(scope="module")
def typed(awake, cluster, ebin):
    """Shells that are connected to all nodes, as long as these answer."""
    typed = {name: Typed(shell, cluster, ebin) for name, shell in SHELLS.items()}
    for one in typed.values():
        one.greet(awake)
    yield typed
    for one in typed.values():
        one.close()


@pytest.fixture(scope="module")
def world(awake, typed):
    with awake.nodes["slow"].asleep():
        yield awake


@pytest.mark.parametrize("case", error_cases.cases(), ids=str)
def test_the_words_for(case, world):
    for name, value in world.setting(case).items():
        world.beam.apply("application", "set_env", "ebpf_cnode", name, value)
    told = world.beam.eval(
        f"""
        try ebpf_maps:{case.call} of V -> {{returned, V}}
        catch error:R:S -> {{raised, R, ebpf_maps:format_error(R, S)}}
        end"""
    )
    assert told[0] == "raised", told
    _, reason, words = told
    words = {0 if n == "general" else n: text.decode() for n, text in words.items()}
    assert words == world.words(case)
    assert (reason if isinstance(reason, str) else reason[0]) == case.reason


def test_each_function_has_words(lost_beam):
    told = {error_words.function_of(case.call) for case in error_cases.cases()}
    assert told == exported(lost_beam)


@pytest.fixture(scope="module")
def printed(world, typed):
    """{shell: what it printed at each case}"""
    cases = error_cases.cases()
    settings = [world.setting(case) for case in cases]
    return {name: one.type_all(cases, settings) for name, one in typed.items()}


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("case", error_cases.cases(), ids=str)
def test_a_shell_prints_the_words_for(case, name, world, printed):
    for text in SHELLS[name].expected(case, world.words(case)):
        assert " ".join(text.split()) in printed[name][str(case)]


def test_erl_prints_the_function_that_was_called(printed):
    for case in error_cases.cases():
        name, arity = error_words.function_of(case.call)
        place = f"in function ebpf_maps:{name}/{arity} called as ebpf_maps:{name}("
        assert place in printed["erl"][str(case)]


def test_elixir_prints_the_line_of_the_function_that_was_called(places, printed):
    for case in error_cases.cases():
        name, arity = error_words.function_of(case.call)
        place = rf"/ebpf_maps.erl:(\d+): :ebpf_maps.{name}\("
        line = re.search(place, printed["iex"][str(case)])
        assert int(line[1]) in places[name, arity]
