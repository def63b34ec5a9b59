# SPDX-License-Identifier: Apache-2.0
"""What the facade of programs makes of several calls: they are answered by an Erlang
node in place of the C node, which fails on request."""

import pytest

from beam import Beam, BeamError
from conftest import raises

STAND_IN = """
    lists:foreach(fun(Module) ->
        Options = [binary, no_error_module_mismatch, {d, 'SERVED', Module}],
        {ok, _, Binary} = compile:file(Source, Options),
        {module, Module} = code:load_binary(Module, Source, Binary)
    end, [ebpf_programs, ebpf_maps])
"""
A, B, C = b"a", b"b", b"c"
PROCESS = [("lifetime", "process")]
CLOSED = [*(("close", "ebpf_program", name) for name in (A, B, C)), ("close", "ebpf_map", "hash")]
ATTACHED = [("attach", name, "auto", PROCESS) for name in (A, B, C)]
DETACHED = [("detach", name) for name in (A, B, C)]
FUN = "fun(#{links := Links}) -> lists:sort(maps:keys(Links)) end"


@pytest.fixture(scope="module")
def served(cluster, srcdir):
    beam = Beam(cluster, hint="stand_in")
    beam.eval(STAND_IN, Source=list(str(srcdir / "test/lib/stand_in.erl").encode()))
    yield beam
    beam.close()


@pytest.fixture(scope="module")
def facade_beam(cluster, ebin, served):
    beam = Beam(cluster, paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", served.name)
    yield beam
    beam.close()


@pytest.fixture
def node(served):
    """The node that answers: what it is to answer, and what it was asked."""
    served.eval("[persistent_term:erase(K) || {{stand_in, _} = K, _} <- persistent_term:get()]")
    served.apply("persistent_term", "erase", "stand_in")

    class Node:
        def answers(self, call, value):
            served.apply("persistent_term", "put", ("stand_in", call), value)

        @property
        def calls(self):
            return served.eval("persistent_term:get(stand_in, [])")

    return Node()


@pytest.fixture
def with_program(facade_beam):
    def with_program(fun=FUN, options="[]"):
        return facade_beam.eval(f"ebpf_programs:with_program(<<1>>, {options}, {fun})")

    return with_program


def attach_all(beam):
    return beam.eval(
        """
        case ebpf_programs:attach_all(ebpf_programs:load(<<1>>, [])) of
            {error, _} = Error -> Error;
            Links -> lists:sort(maps:keys(Links))
        end"""
    )


# --- attach_all/1


def test_attach_all_attaches_each_by_its_section(facade_beam, node):
    assert attach_all(facade_beam) == [A, B, C]
    assert node.calls[1:] == [("attach", name, "auto", "none") for name in (A, B, C)]


@pytest.mark.parametrize("failed, attached", [(A, []), (B, [A]), (C, [A, B])])
def test_attach_all_detaches_what_is_attached_if_one_cannot_be(
    failed, attached, facade_beam, node
):
    node.answers(("attach", failed), ("value", ("error", "enoent")))
    assert attach_all(facade_beam) == ("error", (failed, "enoent"))
    assert [call[1] for call in node.calls if call[0] == "detach"] == attached


def test_attach_all_names_the_program_whose_section_says_nothing(facade_beam, node):
    node.answers(("attach", C), ("error", "badarg"))
    assert attach_all(facade_beam) == ("error", (C, "badarg"))
    assert node.calls[-2:] == [("detach", A), ("detach", B)]


def test_attach_all_raises_what_was_raised_after_it_has_detached(facade_beam, node):
    node.answers(("attach", B), ("error", "eacces"))
    with raises("eacces") as caught:
        attach_all(facade_beam)
    assert caught.value.stack[0][:2] == ("ebpf_programs", "attach_all")
    assert node.calls[-1] == ("detach", A)


def test_a_link_that_cannot_be_detached_is_closed(facade_beam, node):
    """Somebody has opened it meanwhile."""
    node.answers(("detach", A), ("value", ("error", "enotsup")))
    node.answers(("attach", C), ("value", ("error", "enoent")))
    assert attach_all(facade_beam) == ("error", (C, "enoent"))
    assert node.calls[-3:] == [("detach", A), ("close", "ebpf_link", A), ("detach", B)]


def test_one_that_cannot_be_detached_keeps_no_other_from_it(facade_beam, node):
    node.answers(("detach", A), ("error", "eacces"))
    node.answers(("attach", C), ("value", ("error", "enoent")))
    assert attach_all(facade_beam) == ("error", (C, "enoent"))
    assert node.calls[-2:] == [("detach", A), ("detach", B)]


def test_attach_all_takes_what_load_returns_alone(facade_beam, node):
    for term in ("[]", "#{}", "#{programs => []}", "{error, eperm}"):
        with raises("badarg"):
            facade_beam.eval(f"ebpf_programs:attach_all({term})")
    with raises(("badprogram", "x")):
        facade_beam.eval("ebpf_programs:attach_all(#{programs => #{<<1>> => x}})")
    assert facade_beam.eval("ebpf_programs:attach_all(#{programs => #{}})") == {}
    assert node.calls == []


# --- attach_all/2


def attach_all_by(beam, options):
    return beam.eval(
        f"""
        case ebpf_programs:attach_all(ebpf_programs:load(<<1>>, []), {options}) of
            {{error, _}} = Error -> Error;
            Links -> lists:sort(maps:keys(Links))
        end"""
    )


XDP = ("xdp", "lo", "generic")
TARGETS = "{targets, #{<<\"a\">> => {xdp, lo, generic}, b => btf}}"
TARGETED = [(A, XDP), (B, "btf"), (C, "auto")]


def test_attach_all_attaches_those_with_a_target_to_it(facade_beam, node):
    assert attach_all_by(facade_beam, f"[{TARGETS}]") == [A, B, C]
    assert node.calls[1:] == [("attach", *one, "none") for one in TARGETED]


def test_attach_all_gives_each_link_the_lifetime(facade_beam, node):
    assert attach_all_by(facade_beam, f"[{{lifetime, process}}, {TARGETS}]") == [A, B, C]
    assert node.calls[1:] == [("attach", *one, PROCESS) for one in TARGETED]


@pytest.mark.parametrize(
    "options",
    [
        *("[{targets, #{<<\"d\">> => btf}}]", "[{targets, []}]", "[{targets, #{1 => btf}}]"),
        *("[{targets, #{a => btf, <<\"a\">> => btf}}]", "[{targets, #{}}, {targets, #{}}]"),
        *("[{lifetime, long}]", "[{lifetime, node}, {lifetime, node}]"),
        *("[{log, 1}]", "[fast]", "fast", "[{targets, #{}} | fast]"),
    ],
)
def test_attach_all_attaches_nothing_by_wrong_options(options, facade_beam, node):
    with raises("badarg") as caught:
        attach_all_by(facade_beam, options)
    assert caught.value.stack[0][:2] == ("ebpf_programs", "attach_all")
    assert [call[0] for call in node.calls] == ["load"]


def test_a_target_that_the_node_refuses_is_the_callers_fault(facade_beam, node):
    """Not that of the object, as a section that names no target."""
    node.answers(("attach", B), ("error", "badarg"))
    with raises("badarg"):
        attach_all_by(facade_beam, f"[{TARGETS}]")
    assert node.calls[-1] == ("detach", A)


# --- with_program/3


def test_with_program_returns_what_the_fun_does_and_cleans_up(with_program, node):
    assert with_program() == [A, B, C]
    loaded = ("load", b"\1", PROCESS)
    assert node.calls == [loaded, *ATTACHED, *DETACHED, *CLOSED]


def test_the_fun_gets_all_that_was_loaded(with_program, node):
    keys = with_program("fun(Attached) -> lists:sort(maps:keys(Attached)) end")
    assert keys == ["links", "maps", "programs", "variables"]


@pytest.mark.parametrize(
    "fun, kind",
    [("error(oops)", "error"), ("throw(oops)", "throw"), ("exit(oops)", "exit")],
)
def test_with_program_cleans_up_when_the_fun_raises(fun, kind, with_program, node):
    with pytest.raises(BeamError) as caught:
        with_program(f"fun(_) -> {fun} end")
    assert (caught.value.kind, caught.value.reason) == (kind, "oops")
    assert node.calls[4:] == [*DETACHED, *CLOSED]


@pytest.mark.parametrize(
    "answer, outcome",
    [
        (("value", ("error", "enoent")), ("error", (B, "enoent"))),
        (("error", "badarg"), ("error", (B, "badarg"))),
    ],
    ids=["an error", "no target"],
)
def test_with_program_cleans_up_when_one_cannot_be_attached(answer, outcome, with_program, node):
    node.answers(("attach", B), answer)
    assert with_program("fun(_) -> error(called) end") == outcome
    assert node.calls[3:] == [("detach", A), *CLOSED]


def test_with_program_cleans_up_when_attaching_raises(with_program, node):
    node.answers(("attach", B), ("error", "eacces"))
    with raises("eacces") as caught:
        with_program()
    assert caught.value.stack[0][:2] == ("ebpf_programs", "with_program")
    assert node.calls[3:] == [("detach", A), *CLOSED]


def test_with_program_returns_why_it_could_not_load(with_program, node):
    error = ("error", ("rejected", "eacces", A, b"log"))
    node.answers(("load", b"\1"), ("value", error))
    assert with_program() == error
    assert len(node.calls) == 1


def test_maps_that_were_given_stay_open(facade_beam, served, node):
    given, made = (
        served.eval(f"{{ebpf_map, make_ref(), {type}, 4, 8, 16}}") for type in ("hash", "array")
    )
    maps = {b"given": given, b"made": made}
    node.answers(("load", b"\1"), ("value", {"programs": {}, "maps": maps, "variables": {}}))
    facade_beam.eval(
        "ebpf_programs:with_program(<<1>>, [{maps, #{given => Given}}], fun(_) -> ok end)",
        Given=given,
    )
    assert node.calls[1:] == [("close", "ebpf_map", "array")]


def test_another_lifetime_is_that_of_the_links_too(with_program, node):
    with_program(options="[{log, 1}, {lifetime, permanent}]")
    assert node.calls[0] == ("load", b"\1", [("log", 1), ("lifetime", "permanent")])
    assert node.calls[1] == ("attach", A, "auto", [("lifetime", "permanent")])


def test_with_program_attaches_those_with_a_target_to_it(with_program, node):
    assert with_program(options=f"[{{log, 1}}, {TARGETS}]") == [A, B, C]
    loaded = ("load", b"\1", [*PROCESS, ("log", 1)])
    attached = [("attach", *one, PROCESS) for one in TARGETED]
    assert node.calls == [loaded, *attached, *DETACHED, *CLOSED]


def test_with_program_closes_all_if_a_target_is_that_of_no_program(with_program, node):
    with raises("badarg") as caught:
        with_program(options="[{targets, #{d => btf}}]")
    assert caught.value.stack[0][:2] == ("ebpf_programs", "with_program")
    assert node.calls == [("load", b"\1", PROCESS), *CLOSED]


@pytest.mark.parametrize("targets", ["[]", "#{1 => btf}", "#{a => btf, <<\"a\">> => btf}"])
def test_with_program_loads_nothing_for_targets_without_names(targets, with_program, node):
    with raises("badarg"):
        with_program(options=f"[{{targets, {targets}}}]")
    assert node.calls == []


def test_options_that_are_no_list_are_for_the_node_to_refuse(with_program, node):
    node.answers(("load", b"\1"), ("error", "badarg"))
    with raises("badarg"):
        with_program(options="fast")
    assert node.calls == [("load", b"\1", "fast")]


@pytest.mark.parametrize("fun", ["now", "fun() -> ok end", "fun(_, _) -> ok end"])
def test_with_program_loads_nothing_for_what_is_no_fun_of_one(fun, with_program, node):
    with raises("badarg"):
        with_program(fun)
    assert node.calls == []


# --- load_file/2


def test_load_file_sends_what_is_in_the_file(facade_beam, node, tmp_path):
    path = tmp_path / "object.o"
    path.write_bytes(b"content")
    options = [("log", 1)]
    loaded = facade_beam.apply("ebpf_programs", "load_file", str(path).encode(), options)
    assert set(loaded["programs"]) == {A, B, C}
    assert node.calls == [("load", b"content", options)]


@pytest.mark.parametrize("name, reason", [("none", "enoent"), (".", "eisdir")])
def test_load_file_says_why_it_cannot_read(name, reason, facade_beam, node, tmp_path):
    path = str(tmp_path / name).encode()
    returned = facade_beam.apply("ebpf_programs", "load_file", path, [])
    assert returned == ("error", ("file", reason))
    assert node.calls == []


def test_load_file_takes_names_of_files_alone(facade_beam, node):
    with raises("badarg"):
        facade_beam.apply("ebpf_programs", "load_file", 1, [])
