# SPDX-License-Identifier: Apache-2.0
"""Exceptions and errors of the facade of programs: what they say in words."""

import re
from string import Template

import pytest

import program_words
from beam import Beam, BeamError
from conftest import Nodes
from error_shells import SHELLS, Typed
from error_words import function_of

NOT_RAISING = {("format_error", 2), ("module_info", 0), ("module_info", 1)}
# a file that is not there is an error that is returned
NOT_RAISING |= {("load_file", 2)}


@pytest.fixture(scope="module")
def lost_beam(cluster, ebin):
    """An Erlang node whose default C node has no name: whatever it asks raises."""
    beam = Beam(cluster, paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", "nowhere")
    yield beam
    beam.close()


def exported(beam):
    return set(beam.eval("ebpf_programs:module_info(exports)")) - NOT_RAISING


def test_the_stack_points_at_the_function_that_was_called(lost_beam):
    for name, arity in exported(lost_beam):
        with pytest.raises(BeamError) as caught:
            lost_beam.apply("ebpf_programs", name, *["nothing"] * arity)
        module, function, args, info = caught.value.stack[0]
        assert (module, function, len(args)) == ("ebpf_programs", name, arity)
        assert dict(info)["error_info"] == {"module": "ebpf_programs"}
        assert bytes(dict(info)["file"]).decode().endswith("src/ebpf_programs.erl")


class World:
    """What the calls of program_words.py are made on."""

    def __init__(self, cluster, nodes, beam, alice):
        self.beam = beam
        loading = ["--programs", "all", "--allow", "*=load"]
        weak = ["--programs", "all", "--allow", "nobody@*=load", "--allow", "*=rw"]
        self.nodes = {
            "usual": nodes.start(*loading),
            "gone": nodes.start(*loading),
            "slow": nodes.start(*loading),
            "plain": nodes.start(),
            "weak": nodes.start(*weak),
        }
        self.names = {name: node.name for name, node in self.nodes.items()}
        self.names["alice"] = alice.name
        variables = {f"{n.title()}Node": name for n, name in self.names.items()}
        beam.eval(program_words.world(), keep=True, **variables)
        self.variables = [*program_words.HANDLES, "On", "File", *variables]
        bound = ", ".join(f"{{'{v}', {v}}}" for v in self.variables)
        beam.eval(f"persistent_term:put(words, [{bound}])")
        self.nodes["gone"].stop()

    def setting(self, case):
        """The environment in which a case raises what it raises."""
        node = "nowhere" if case.reason == "badenv" else self.names["usual"]
        timeout = 0 if case.reason == "timeout" else 15000
        return {"node": node, "timeout": timeout}

    def words(self, case):
        return {n: Template(w).substitute(self.names) for n, w in case.words.items()}


@pytest.fixture(scope="module")
def awake(cluster, program, ebin):
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


def as_told(words):
    return {0 if n == "general" else n: text.decode() for n, text in words.items()}


@pytest.mark.parametrize("case", program_words.cases(), ids=str)
def test_the_words_for(case, world):
    for name, value in world.setting(case).items():
        world.beam.apply("application", "set_env", "ebpf_cnode", name, value)
    told = world.beam.eval(
        f"""
        try ebpf_programs:{case.call} of V -> {{returned, V}}
        catch error:R:S -> {{raised, R, ebpf_programs:format_error(R, S)}}
        end"""
    )
    assert told[0] == "raised", told
    _, reason, words = told
    assert (reason if isinstance(reason, str) else reason[0]) == case.reason
    told, meant = as_told(words), world.words(case)
    assert set(told) == set(meant)
    # a handle is cut where it is long
    assert all(told[n].startswith(text) for n, text in meant.items()), told


def test_each_function_has_words(lost_beam):
    told = {function_of(case.call) for case in program_words.cases()}
    assert told == exported(lost_beam) | {("load_file", 2)}


@pytest.fixture(scope="module")
def printed(world, typed):
    """{shell: what it printed at each case}"""
    cases = program_words.cases()
    settings = [world.setting(case) for case in cases]
    return {name: one.type_all(cases, settings) for name, one in typed.items()}


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("case", program_words.cases(), ids=str)
def test_a_shell_prints_the_words_for(case, name, world, printed):
    for text in SHELLS[name].expected(case, world.words(case)):
        assert " ".join(text.split()) in printed[name][str(case)]


def test_erl_prints_the_function_that_was_called(printed):
    for case in program_words.cases():
        name, arity = function_of(case.call)
        place = f"in function ebpf_programs:{name}/{arity} called as ebpf_programs:{name}("
        assert place in printed["erl"][str(case)]


def test_elixir_prints_the_function_that_was_called(printed):
    for case in program_words.cases():
        name, _ = function_of(case.call)
        place = rf"/ebpf_programs.erl:\d+: :ebpf_programs.{name}\("
        assert re.search(place, printed["iex"][str(case)])


# --- what the facade makes of a reason


def explained(beam, reason, function, arguments):
    stack = f"[{{ebpf_programs, {function}, [{arguments}], []}}]"
    return as_told(beam.eval(f"ebpf_programs:format_error({reason}, {stack})"))


@pytest.mark.parametrize("function, arguments, words", program_words.FAULTS, ids=str)
def test_the_words_for_the_arguments(function, arguments, words, lost_beam):
    assert explained(lost_beam, "badarg", function, arguments) == words


@pytest.mark.parametrize("reason, function, arguments, words", program_words.RAISED, ids=str)
def test_the_words_for_the_reason(reason, function, arguments, words, lost_beam):
    assert explained(lost_beam, reason, function, arguments) == words


@pytest.mark.parametrize("reason, function, words", program_words.RETURNED, ids=str)
def test_the_words_for_what_was_returned(reason, function, words, lost_beam):
    stack = f"[{{ebpf_programs, {function}, 2, []}}]" if function else "[]"
    told = lost_beam.eval(f"ebpf_programs:format_error({{error, {reason}}}, {stack})")
    assert as_told(told) == {0: words}


@pytest.mark.parametrize("reason", ["{error, 1}", "{error, {loader, x}}", "{odd, 1}"])
def test_an_unknown_reason_has_no_words(reason, lost_beam):
    stack = "[{ebpf_programs, load, [x, []], []}]"
    assert lost_beam.eval(f"ebpf_programs:format_error({reason}, {stack})") == {}
