# SPDX-License-Identifier: Apache-2.0
"""Where an exception of the facade is from, by its stack."""

import pytest

from beam import Beam, BeamError

NOT_RAISING = {("format_error", 2), ("module_info", 0), ("module_info", 1)}


@pytest.fixture(scope="module")
def lost_beam(cluster, ebin):
    """An Erlang node whose default C node has no name: whatever it asks raises."""
    beam = Beam(cluster, paths=[ebin])
    beam.apply("application", "set_env", "ebpf_maps", "node", "nowhere")
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
