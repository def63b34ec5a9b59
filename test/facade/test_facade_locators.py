# SPDX-License-Identifier: Apache-2.0
"""{id, Id}, {name, Name} and {pinned, Path} where a map stands in the facade."""

from functools import partial

import pytest

import locators
from beam import BeamError
from cluster import wait_until
from conftest import raises
from locators import HANDLES_ONLY, HASH, KINDS, MAP, READING, WRITING, fill
from native import u32

MANY = 40000  # entries, which are more than one chunk
WHOLE = ("to_list", "keys", "values")

each_kind = pytest.mark.parametrize("kind", KINDS)
each_function = pytest.mark.parametrize("function", READING | WRITING)


@pytest.fixture
def facade(usual_beam):
    return partial(usual_beam.apply, "ebpf_maps")


@pytest.fixture
def named(maps, folder):
    """named(type): a map that holds 1 -> 2, and its locators by their kind."""
    return partial(locators.make, maps, folder)


@pytest.fixture
def left_alone(maps):
    return locators.LeftAlone(maps)


@each_kind
@each_function
def test_a_function_takes_a_locator_for_a_map(
    function, kind, facade, named, left_alone
):
    type, args, result = (READING | WRITING)[function]
    what = named(type)[1][kind]
    with left_alone:
        got = facade(function.split("/")[0], *fill(args, what))
    assert got == fill(result, what)


@each_kind
def test_those_that_take_a_fun_take_a_locator(kind, usual_beam, named, left_alone):
    _, whats = named("hash")
    with left_alone:
        got = usual_beam.eval(
            """
            Add = fun(<<N:64/native>>) -> N + 1 end,
            What = ebpf_maps:update_with(1, Add, What),
            ok = ebpf_maps:foreach(fun(K, _) -> self() ! {came, K} end, What),
            K = receive {came, Key} -> Key end,
            {K, ebpf_maps:fold(fun(_, <<N:64/native>>, S) -> S + N end, 0, What)}""",
            What=whats[kind],
        )
    assert got == (u32(1), 3)


@each_kind
def test_the_node_of_a_locator_is_the_default_one(kind, facade, named, cnode):
    assert facade("node", named("hash")[1][kind]) == cnode.name


@each_kind
@pytest.mark.parametrize("function", HANDLES_ONLY)
def test_what_needs_a_handle_is_badarg(function, kind, facade, named, left_alone):
    what = named("hash")[1][kind]
    with left_alone, raises("badarg"):
        facade(function, *fill(HANDLES_ONLY[function], what))


def test_a_fun_that_fails_leaves_no_handle(usual_beam, named, left_alone):
    _, whats = named("hash")
    with left_alone, pytest.raises(BeamError) as caught:
        usual_beam.eval("ebpf_maps:foreach(fun(_, _) -> throw(up) end, M)", M=whats["id"])
    assert (caught.value.kind, caught.value.reason) == ("throw", "up")


def test_a_caller_that_is_killed_leaves_no_handle(usual_beam, maps, named):
    map, whats = named("hash")
    handles = len(maps.info(map)["handles"])
    usual_beam.eval(
        """
        Self = self(),
        Wait = fun(_, _) -> Self ! {walks, self()}, receive never -> ok end end,
        spawn(fun() -> ebpf_maps:foreach(Wait, M) end),
        receive {walks, Pid} -> Pid end""",
        M=whats["id"],
        keep=True,
    )
    assert len(maps.info(map)["handles"]) == handles + 1
    usual_beam.eval("exit(Pid, kill)")
    wait_until(lambda: len(maps.info(map)["handles"]) == handles)


def test_a_whole_map_of_many_chunks_is_merged_read_and_drained(
    usual_beam, maps, folder, left_alone
):
    name = "facade_many"
    map = maps.new("hash", 4, 8, MANY, [("name", name)])
    with left_alone:
        sizes = usual_beam.eval(
            """
            What = {name, Name},
            What = ebpf_maps:merge(What, [{K, K} || K <- lists:seq(1, Many)]),
            Sizes = [length(ebpf_maps:F(What)) || F <- Functions],
            Sizes ++ [length(ebpf_maps:drain(What)), ebpf_maps:size(What)]""",
            Name=name,
            Many=MANY,
            Functions=list(WHOLE),
        )
    assert sizes == [MANY] * 4 + [0]
    assert maps.close(map) == "ok"



def test_keys_of_a_map_of_maps_leave_no_handles_of_what_is_in_it(
    facade, maps, named, left_alone
):
    inner, _ = named("hash")
    name = "facade_outer"
    options = [("inner_map", inner), ("name", name)]
    outer = maps.new("hash_of_maps", 4, 4, 4, options)
    maps.put(1, inner, outer)
    maps.close(inner)
    with left_alone:
        assert facade("keys", ("name", name)) == [u32(1)]


@pytest.mark.parametrize("function", ["get/2", "put", "to_list", "merge", "drain"])
def test_what_is_not_there_is_raised_as_of_the_locator(function, facade, left_alone):
    _, args, _ = (READING | WRITING)[function]
    name = function.split("/")[0]
    sent = fill(args, ("id", 2**32 - 1))
    with left_alone, raises("enoent") as raised:
        facade(name, *sent)
    assert raised.value.stack[0][:2] == ("ebpf_maps", name)
    assert raised.value.stack[0][2] == sent


@pytest.mark.parametrize("function", ["get/2", "to_list"])
def test_a_name_of_several_maps_is_ambiguous(function, facade, maps, named):
    _, whats = named("hash")
    maps.new(*HASH, [("name", whats["name"][1])])
    _, args, _ = READING[function]
    with raises("ambiguous"):
        facade(function.split("/")[0], *fill(args, whats["name"]))


def test_a_locator_is_a_value_of_a_map_of_maps(facade, maps, named):
    map, whats = named("hash")
    outer = facade("new", "hash_of_maps", 4, 4, 8, [("inner_map", whats["name"])])
    facade("merge", outer, [(n, whats[kind]) for n, kind in enumerate(KINDS)])
    assert [facade("get", n, outer) for n in range(3)] == [map] * 3
    facade("close", outer)


# --- in words

WORDS = {
    "a handle is needed": ("close", [MAP], ("id", 1), 1, "this function takes a handle"),
    "a chunk": ("next_chunk", ["start", MAP, 1], ("id", 1), 2, "this function takes a handle"),
    "no such id": ("get", [1, MAP], ("id", 2**32 - 1), 2, "no map with this id"),
    "no such name": ("get", [1, MAP], ("name", "nope"), 2, "no map with this name"),
    "no such path": (
        *("to_list", [MAP], ("pinned", b"/sys/fs/bpf/nope"), 1),
        "there is nothing at this path",
    ),
    "no pin": ("get", [1, MAP], ("pinned", b"/etc/passwd"), 2, "not in a bpf file"),
    "an id that is none": ("get", [1, MAP], ("id", -1), 2, "the id is not an integer"),
    "a relative path": ("get", [1, MAP], ("pinned", b"a/b"), 2, "not an absolute path: <<\"a/b\">>"),
    "a name that is none": ("put", [1, 1, MAP], ("name", 1), 3, "neither a string nor"),
}


@pytest.mark.parametrize("case", WORDS.values(), ids=WORDS)
def test_an_error_names_the_locator_in_words(case, usual_beam):
    function, args, what, position, words = case
    told = usual_beam.eval(
        """
        try apply(ebpf_maps, Function, Args)
        catch error:Reason:Stack -> ebpf_maps:format_error(Reason, Stack)
        end""",
        Function=function,
        Args=fill(args, what),
    )
    assert list(told) == [position]
    text = told[position]
    text = text if isinstance(text, bytes) else bytes(text)
    assert words in text.decode()


def test_the_words_for_a_name_of_several_maps(usual_beam, maps, named):
    _, whats = named("hash")
    maps.new(*HASH, [("name", whats["name"][1])])
    told = usual_beam.eval(
        """
        try ebpf_maps:get(1, What)
        catch error:Reason:Stack -> ebpf_maps:format_error(Reason, Stack)
        end""",
        What=whats["name"],
    )
    assert b"several maps have this name" in bytes(told[2])
