# SPDX-License-Identifier: Apache-2.0
"""What is said of terms that a typed handle refuses, and of functions that it cannot do."""

import pytest


SETUP = """
Pair = {struct, 8, [{a, 0, u32}, {b, 32, u32}]},
Outer = {struct, 16, [{x, 0, u32}, {in, 64, Pair}]},
Mixed = {struct, 16, [{x, 0, u32}, {<<>>, 64, Pair}]},
New = fun(Type, Key, Value, Options) -> ebpf_maps:new(Type, Key, Value, 4, Options) end,
Map = New(hash, u32, Pair, []),
Tuples = New(hash, u32, Pair, [{as, tuple}]),
Some = New(hash, u32, Pair, [{as, [a]}]),
Here = fun(Of) -> {id, maps:get(id, ebpf_maps:info(Of))} end,
_ = {Pair, Outer, Mixed, New, Map, Tuples, Some, Here},
"""

CALL = """
try (%s) of Returned -> {returned, Returned}
catch error:Reason:Stack -> {raised, Reason, ebpf_maps:format_error(Reason, Stack)}
end
"""


@pytest.fixture
def said(usual_beam):
    """(reason, {number of the argument, or 0: text}) of a call in Erlang."""

    def said(call):
        how, reason, words = usual_beam.eval(SETUP + CALL % call)
        assert how == "raised"
        return reason, {0 if n == "general" else n: text.decode() for n, text in words.items()}

    return said


NO_TUPLE = "not a tuple of 2 elements (a, b): "
NO_MAP = "not an Erlang map with a, b: "
ANY = "an Erlang map with a, b, or with {as, tuple} a tuple of 2 elements (a, b)"
NEITHER = "neither an Erlang map with a, b nor, with {as, tuple}, a tuple of 2 elements (a, b): "
TWICE = 'it is there twice, as a and as <<"a">>'
BOTH = '#{a => 1, <<"a">> => 1, b => 2}'

TERMS = {
    # of the other form, or of neither
    "put(1, {1}, Tuples)": {2: f"{NO_TUPLE}{{1}}"},
    "put(1, #{a => 1}, Tuples)": {2: f"{NO_TUPLE}#{{a => 1}}"},
    "put(1, 7, Tuples)": {2: f"{NO_TUPLE}7"},
    "put(1, {1, -2}, Tuples)": {2: "the member b: not an integer from 0 to 4294967295: -2"},
    "put(1, {1}, Map)": {2: f"{NO_MAP}{{1}}"},
    "put(1, {1, 2}, Map)": {2: f"{NO_MAP}{{1,2}}"},
    "put(1, #{1 => 2}, Map)": {2: "not the name of a member: 1"},
    "put(1, {1, 2}, New(percpu_hash, u32, Pair, []))": {2: f"{NO_MAP}{{1,2}}"},
    "merge(Map, [{1, #{a => 1, b => 2}}, {2, {1, 2}}])": {2: f"element 2: the value: {NO_MAP}{{1,2}}"},
    "merge(Tuples, [{1, {1, 2}}, {2, #{a => 1}}])": {
        2: f"element 2: the value: {NO_TUPLE}#{{a => 1}}"
    },
    "merge(Tuples, #{1 => #{a => 1}})": {2: f"under the key 1: {NO_TUPLE}#{{a => 1}}"},
    "push(#{a => 1}, New(queue, 0, Pair, [{as, tuple}]))": {1: f"{NO_TUPLE}#{{a => 1}}"},
    "push({1, 2}, New(bloom_filter, 0, Pair, []))": {1: f"{NO_MAP}{{1,2}}"},
    "is_key({1, 2}, New(bloom_filter, 0, Pair, []))": {1: f"{NO_MAP}{{1,2}}"},
    "get(#{a => 1}, New(hash, Pair, u32, [{as, tuple}]))": {1: f"{NO_TUPLE}#{{a => 1}}"},
    "get({1, 2}, New(hash, Pair, u32, []))": {1: f"{NO_MAP}{{1,2}}"},
    "get({1, 2}, New(hash, Pair, Pair, [{as, [a]}]))": {1: f"{NO_MAP}{{1,2}}"},
    "with([#{a => 1}], New(hash, Pair, u32, [{as, tuple}]))": {
        1: f"element 1: {NO_TUPLE}#{{a => 1}}"
    },
    "update_with(1, fun(_) -> {1, 2} end, ebpf_maps:put(1, #{a => 1, b => 2}, Map))": {
        2: "the result of the fun: the term takes an Erlang map with a, b"
    },
    "update_with(1, fun(_) -> #{} end, ebpf_maps:put(1, {1, 2}, Tuples))": {
        2: "the result of the fun: the term takes a tuple of 2 elements (a, b)"
    },
    # nested ones
    "put(1, {1, #{a => 1}}, New(hash, u32, Outer, [{as, tuple}]))": {
        2: f"the member in: {NO_TUPLE}#{{a => 1}}"
    },
    "put(1, #{x => 1, in => {1, 2}}, New(hash, u32, Outer, []))": {
        2: f"the member in: {NO_MAP}{{1,2}}"
    },
    "put(1, {1, {2}}, New(hash, u32, Mixed, [{as, tuple}]))": {2: f"element 2: {NO_TUPLE}{{2}}"},
    "put(1, {1, {2, -1}}, New(hash, u32, Mixed, [{as, tuple}]))": {
        2: "the member b: not an integer from 0 to 4294967295: -1"
    },
    "put(1, 7, New(hash, u32, Mixed, [{as, tuple}]))": {
        2: "not a tuple of 2 elements (x, one without a name): 7"
    },
    "put(1, [7], New(hash, u32, {array, 1, Pair}, []))": {2: f"the member [0]: {NO_MAP}7"},
    "put(1, [#{a => 1}], New(hash, u32, {array, 1, Pair}, [{as, tuple}]))": {
        2: f"the member [0]: {NO_TUPLE}#{{a => 1}}"
    },
    "put(1, #{c => #{}}, New(hash, u32, {union, 8, [{c, 0, Pair}]}, [{as, tuple}]))": {
        2: f"the member c: {NO_TUPLE}#{{}}"
    },
    "put(1, #{c => {1, 2}}, New(hash, u32, {union, 8, [{d, 0, u8}, {c, 0, Pair}]}, []))": {
        2: f"the member c: {NO_MAP}{{1,2}}"
    },
    # where there are too many to ask
    "put(1, lists:duplicate(2000, 7), New(hash, u32, {array, 2000, Pair}, []))": {
        2: f"the member [0]: {NEITHER}7"
    },
    "put(1, lists:duplicate(2000, {1, 2}), New(hash, u32, {array, 2000, Pair}, []))": {
        0: f"the member [0] takes {ANY}"
    },
    # a member by two names
    f"put(1, {BOTH}, Map)": {2: f"the member a: {TWICE}"},
    f"put(1, #{{x => 1, in => {BOTH}}}, New(hash, u32, Outer, []))": {2: f"the member in.a: {TWICE}"},
    f"merge(Map, [{{1, {BOTH}}}])": {2: f"element 1: the value: the member a: {TWICE}"},
    "update_with(1, fun(V) -> V#{a => 7} end, ebpf_maps:put(1, #{a => 1, b => 2}, Map))": {
        2: "the result of the fun: the member a takes an integer from 0 to 4294967295; nor may it "
        'be missing, or be there twice, as a and as <<"a">>'
    },
    # keys
    "put({{10, 1, 0, 0}, 16}, 2, New(lpm_trie, Pair, u32, []))": {1: f"{NO_MAP}{{{{10,1,0,0}},16}}"},
    "put(-3, 7, New(hash, {enum, 4, [{a, 1}]}, bool, []))": {
        1: "not an integer from 0 to 4294967295, as this enum has: -3"
    },
    "get(1 bsl 31, New(hash, {enum, 4, [{a, -1}]}, bool, []))": {
        1: "not an integer from -2147483648 to 2147483647, as this enum has: 2147483648"
    },
    # numbers
    "put(1, 1.0e300, New(hash, u32, f32, []))": {2: "1.0e300 is too large for f32"},
    "put(1, -3.4028235677973366e38, New(hash, u32, f32, []))": {
        2: "-3.4028235677973366e38 is too large for f32"
    },
    "put(1, 1 bsl 64, New(hash, u32, f64, []))": {
        2: "an integer of more than 64 bits: 18446744073709551616; a number this large is given as a "
        "float"
    },
    "put(1, x, New(hash, u32, f64, []))": {2: "not a number, nan, infinity or '-infinity': x"},
    # texts
    'put(1, <<"a", 0, "b">>, New(hash, u32, {char, 8}, []))': {
        2: "a text with a zero byte inside, which ends it: <<97,0,98>>"
    },
    "put(1, [$a, 0, $b], New(hash, u32, {char, 8}, []))": {
        2: "a text with a zero byte inside, which ends it: [97,0,98]"
    },
    'put(1, "x\\x{400}", New(hash, u32, {char, 8}, []))': {
        2: "a string of characters, not of bytes: give a text beyond Latin-1 as a binary: [120,1024]"
    },
    "put(1, abc, New(hash, u32, {char, 8}, []))": {
        2: "not a text of up to 8 bytes, a binary or a string: abc"
    },
}


@pytest.mark.parametrize("call", TERMS)
def test_of_a_term_that_does_not_fit(call, said):
    reason, words = said(f"ebpf_maps:{call}")
    assert reason[0] == "badmember"
    assert words == TERMS[call]


def test_to_ask_for_the_form_changes_no_map(said, usual_beam):
    said("(fun() -> persistent_term:put(form, Tuples), ebpf_maps:put(1, {1}, Tuples) end)()")
    assert usual_beam.eval("ebpf_maps:to_list(persistent_term:get(form))") == []


NO_KEYS = "the layout of a key has 0 bytes: that of no keys is 0"
NO_VALUES = "the layout of a value has 0 bytes: give one that has some"
ONE_VALUE = "the option percpu: a map of type hash has no value per CPU"
EXCLUDED = "the option percpu: with a list of members it can only be list, not sum"
NO_MEMBERS = "a value of the map has no members: it is"

LAYOUTS = {
    "new(queue, {bytes, 0}, Pair, 4)": {2: NO_KEYS},
    "new(hash, {struct, 0, []}, u32, 4)": {2: NO_KEYS},
    "new(hash, u32, {bytes, 0}, 4)": {3: NO_VALUES},
    "new(hash, u32, {char, 0}, 4)": {3: NO_VALUES},
    "new(hash, u32, {array, 0, u32}, 4)": {3: NO_VALUES},
    "check(hash, u32, {char, 0}, 4)": {3: NO_VALUES},
    "typed(New(queue, 0, 8, []), [{types, {{bytes, 0}, Pair}}])": {
        2: f"the option types: {NO_KEYS}"
    },
    "open(Here(Map), [{percpu, sum}])": {2: ONE_VALUE},
    "open(Here(Map), [{types, {u32, u64}}, {percpu, sum}])": {2: ONE_VALUE},
    "open(Here(New(percpu_hash, u32, Pair, [])), [{percpu, sum}, {as, [a]}])": {2: EXCLUDED},
    "typed(New(percpu_hash, u32, Pair, []), [{percpu, sum}, {as, [a]}])": {2: EXCLUDED},
    "open(Here(Map), [{types, {u32, u32}}])": {
        2: "the option types: the value's layout has 4 bytes; a value of the map has 8 bytes"
    },
    "open(Here(Map), [{types, {u64, Pair}}])": {
        2: "the option types: the key's layout has 8 bytes; a key of the map has 4 bytes"
    },
    "put(0, #{a => 1, b => 2}, ebpf_maps:new(task_storage, u32, Pair, 0))": {
        1: "not {pid, OsPid} with an integer from 1 to 2147483647: 0"
    },
}


@pytest.mark.parametrize("call", LAYOUTS)
def test_of_layouts_and_options_that_make_no_handle(call, said):
    assert said(f"ebpf_maps:{call}") == ("badarg", LAYOUTS[call])


def test_put_members_takes_structures(said):
    for layout, value in [("u32", "2"), ("{array,2,u32}", "[2, 3]"), ("{char,4}", '"ab"')]:
        call = f"put_members(1, #{{a => 1}}, ebpf_maps:put(1, {value}, New(hash, u32, {layout}, [])))"
        assert said(f"ebpf_maps:{call}") == ("enotsup", {0: f"{NO_MEMBERS} {layout}"})
    inner = "New(array_of_maps, u32, {struct, 4, [{a, 0, u32}]}, [{inner_map, Map}])"
    call = f"put_members(1, #{{a => 1}}, ebpf_maps:put(1, Map, {inner}))"
    words = "the values of a map of type array_of_maps have no members"
    assert said(f"ebpf_maps:{call}") == ("enotsup", {0: words})


def test_a_permanent_handle_takes_more_than_reading(said, start_cnode):
    node = start_cnode("--read-only")
    opened = f"ebpf_maps:open(Here(Map), [read, {{node, '{node.name}'}}])"
    options = "[{types, {u32, Pair}}, {lifetime, permanent}]"
    reason, words = said(f"ebpf_maps:typed({opened}, {options})")
    assert (reason, words) == (
        "eacces",
        {
            0: "this node may only read (--allow, --read-only of the C node): make a handle that is "
            "not permanent"
        },
    )


READS = "the handle only reads: it folds the values of CPUs, or has {as, [Member]}"
FILTER = "a bloom filter has no keys or entries to read: use push/2 and is_key/2"
KEYLESS = "a queue or a stack has no keys: use push/2, pop/1, peek/1, drain/1 or clear/1"
RING = (
    "a map of type ringbuf has no keys or entries: eBPF programs and those that map its memory "
    "share it"
)
TASKS = "the kernel cannot walk through a map of type task_storage: ask for single keys"
TRACES = "a map of type stack_trace does not support this operation"

UNSUPPORTED = {
    "put(1, #{a => 1, b => 2}, Some)": READS,
    "remove(1, Some)": READS,
    "take(1, Some)": READS,
    "without([1], Some)": READS,
    "drain(Some)": READS,
    "drain_chunk(start, Some, 1)": READS,
    "clear(New(percpu_hash, u32, Pair, [{percpu, sum}]))": READS,
    "remove(1, New(percpu_array, u32, u64, [{percpu, max}]))": READS,
    "push(#{a => 1, b => 2}, New(queue, 0, Pair, [{as, [a]}]))": READS,
    "pop(New(stack, 0, Pair, [{as, [a]}]))": READS,
    "clear(New(queue, 0, Pair, [{as, [a]}]))": READS,
    "push(#{a => 1, b => 2}, New(bloom_filter, 0, Pair, [{as, [a]}]))": READS,
    "remove(0, New(cpumap, u32, Pair, [{as, [a]}]))": READS,
    "remove({pid, 1}, ebpf_maps:new(task_storage, u32, Pair, 0, [{as, [a]}]))": READS,
    # of any handle
    "put(1, <<0:64>>, New(stack_trace, 4, 8, []))": TRACES,
    "size(New(queue, 0, Pair, [{as, [a]}]))": KEYLESS,
    "take(<<>>, New(bloom_filter, 0, Pair, [{as, [a]}]))": FILTER,
    "push(<<>>, ebpf_maps:new(ringbuf, 0, 0, 65536))": RING,
    "pop(ebpf_maps:new(ringbuf, 0, 0, 65536))": RING,
    "clear(ebpf_maps:new(task_storage, 4, 8, 0))": TASKS,
    # of a map that is printed
    "i(New(bloom_filter, 0, 8, []))": FILTER,
    "table(ebpf_maps:new(ringbuf, 0, 0, 65536))": RING,
    "table(ebpf_maps:new(task_storage, u32, Pair, 0), [])": TASKS,
    "i(Here(New(bloom_filter, 0, 8, [])))": FILTER,
    "table(Here(New(queue, 0, 8, [])))": KEYLESS,
    "i(Here(ebpf_maps:new(ringbuf, 0, 0, 65536)))": RING,
    "table(Here(ebpf_maps:new(task_storage, u32, Pair, 0)))": TASKS,
}


@pytest.mark.parametrize("call", UNSUPPORTED)
def test_of_what_a_map_or_a_handle_cannot_do(call, said):
    assert said(f"ebpf_maps:{call}") == ("enotsup", {0: UNSUPPORTED[call]})


UNTYPED = "an Erlang map, but the handle has no types, and so takes bytes: typed/2 returns one that has"
PROGRAM = (
    "; or it has some, and bytes 5 to 8 are not 0: they are the descriptor of a program in the C node"
)


@pytest.mark.parametrize("layouts", ["u32, Pair", "4, 8"])
def test_of_a_descriptor_in_a_term(layouts, said):
    words = {2: UNTYPED + PROGRAM}
    assert said(f"ebpf_maps:put(1, #{{a => 2, b => 5}}, New(cpumap, {layouts}, []))") == ("badarg", words)


@pytest.mark.parametrize("type", ["cpumap", "devmap", "devmap_hash"])
def test_merge_takes_terms_that_have_a_number(type, usual_beam, said):
    call = f"ebpf_maps:to_list(ebpf_maps:merge(New({type}, u32, Pair, []), [{{1, #{{a => 1, b => 0}}}}]))"
    assert usual_beam.eval(SETUP + call) == [(1, {b"a": 1, b"b": 0})]
