# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a declaration or an option, in words; and how the application starts."""

import pytest

from beam import Beam
from cluster import free_port, wait_until

GOOD = '{counter, a_total, "Counts.", {name, "m"}, [{l, 4}], u64}'


@pytest.fixture(scope="module")
def beam(cluster, ebin):
    beam = Beam(cluster, paths=[ebin], hint="metrics")
    yield beam
    beam.close()


def faults(beam, call):
    """The texts of an error."""
    answer = beam.eval(f"ebpf_metrics:{call}")
    if answer == "ok":
        return []
    assert answer[0] == "error"
    return [text.decode() for text in answer[1]]


def declared(
    type="counter", name="a_total", help='"Counts."', what='{name, "m"}', labels="[{l, 4}]",
    value="u64", options=None,
):  # fmt: skip
    options = f", {options}" if options else ""
    return f"{{{type}, {name}, {help}, {what}, {labels}, {value}{options}}}"


FAULTY = {
    "no type": (declared(type="summary"), "with the type counter, gauge or histogram"),
    "no tuple": ("nothing", "not {Type, Name, Help, What, Labels, Value} or"),
    "name with a dash": (declared(name="'a-total'"), "not the name of a metric, which has"),
    "name with a digit": (declared(name="'1_total'"), "begins with no digit"),
    "no name": (declared(name="7"), "not the name of a metric: 7"),
    "counter without total": (declared(name="a"), "the name of a counter ends in _total: a_total"),
    "gauge with total": (declared("gauge"), "the name of a gauge does not end in _total"),
    "histogram of buckets": (
        declared("histogram", "a_bucket", value="{log2, u64}"),
        "the name of a histogram does not end in _bucket",
    ),
    "own name": (declared("gauge", "ebpf_up"), "is the name of a metric that is there anyway"),
    "own prefix": (declared(name="ebpf_cnode_x_total"), "that is there anyway"),
    "no help": (declared(help='""'), "the help is empty: say what is counted"),
    "help that is none": (declared(help="7"), "the help is a text, not 7"),
    "help with a bell": (declared(help='"a\\x{7}b"'), "characters that are for no reader"),
    "no map": (declared(what="m"), "not {name, Name}, {pinned, Path} or a fun"),
    "no path": (declared(what="{pinned, 7}"), "{pinned, Path} has a text, not 7"),
    "labels that are none": (declared(labels="l"), "the labels are a list, not l"),
    "no label": (declared(labels="[l]"), "not a label, which is {Name, Size, Decoder}"),
    "label with a colon": (declared(labels="[{'a:b', 4}]"), "not the name of a label"),
    "label of Prometheus": (declared(labels="[{'__name__', 4}]"), "Prometheus' own: __name__"),
    "label node": (declared(labels="[{node, 4}]"), "the label node names the C node"),
    "label le": (declared(labels="[{le, 4}]"), "the label le is for histograms"),
    "label twice": (declared(labels="[{l, 4}, {l, 4}]"), "two labels are called l"),
    "label of no bytes": (declared(labels="[{l, 0}]"), "not a number of bytes, and not a member"),
    "no decoder": (declared(labels="[{l, 4, text}]"), "not a decoder, which is uint"),
    "address of 5 bytes": (declared(labels="[{l, 5, ip}]"), "ip takes 4 or 16 bytes, not 5"),
    "number of 32 bytes": (declared(labels="[{l, 32, uint}]"), "uint takes up to 16 bytes, not 32"),
    "enum without names": (declared(labels="[{l, 4, {enum, #{1 => 2}}}]"), "names by numbers"),
    "skip nothing": (declared(labels="[{skip, 0}]"), "leaves out N bytes, from 1 on, not 0"),
    "bytes and members": (
        declared(labels="[{l, 4}, {m, member}]", value="n"),
        "some labels are bytes of the key, and others members",
    ),
    "no value": (declared(value="{u64}"), "the value is a layout or a member: "),
    "histogram without buckets": (
        declared("histogram", "h", value="u64"),
        "the value of a histogram is {Buckets, Value}",
    ),
    "no buckets": (
        declared("histogram", "h", value="{{log2, 65}, u64}"),
        "not the buckets of a histogram, which are log2, {log2, N}",
    ),
    "edges in no order": (
        declared("histogram", "h", value="{{explicit, [2, 1]}, u64}"),
        "each larger than the one before",
    ),
    "members without layouts of keys": (
        declared(labels="[{l, m}]"),
        "so the option keys has the layout of keys",
    ),
    "members of values without a layout": (
        declared(value="n"),
        "so the option values has the layout of values",
    ),
    "keys without values": (
        declared(labels="[{l, m}]", value="n", options="[{keys, u32}]"),
        "the option keys comes with the option values",
    ),
    "keys of bytes": (declared(options="[{keys, u32}]"), "so labels are members of them"),
    "two layouts": (declared(options="[{values, u64}]"), "the option values says it twice"),
    "no layout": (declared(value="n", options="[{values, {u64}}]"), "the option values: "),
    "sum of a counter": (declared(options="[{sum, n}]"), "the option sum is for histograms"),
    "sum beside a whole value": (
        declared("histogram", "h", value="{log2, u64}", options="[{sum, n}]"),
        "the value has to be another one",
    ),
    "no percpu": (declared(options="[{percpu, max}]"), "percpu is sum or label, not max"),
    "cpu twice": (
        declared(labels="[{cpu, 4}]", options="[{percpu, label}]"),
        "the label cpu is that of the option percpu",
    ),
    "histogram by CPU": (
        declared("histogram", "h", value="{log2, u64}", options="[{percpu, label}]"),
        "a histogram is of all CPUs",
    ),
    "factor of 0": (declared(options="[{multiply, 0}]"), "multiply is a number from 1.0e-30"),
    "no series": (declared(options="[{max_series, 0}]"), "max_series is a number from 1 on, not 0"),
    "option twice": (
        declared(options="[{multiply, 2}, {multiply, 3}]"),
        "the option multiply is there twice",
    ),
    "no option": (declared(options="[verbose]"), "not an option, which are percpu"),
    "options that are none": (declared(options="verbose"), "the options are a list, not verbose"),
}  # fmt: skip


@pytest.mark.parametrize("text, words", FAULTY.values(), ids=FAULTY)
def test_a_faulty_declaration_is_told_in_words(text, words, beam):
    [fault] = faults(beam, f"check([{GOOD.replace('a_total', 'first_total')}, {text}])")
    assert fault.startswith("declaration 2")
    assert words in fault


def test_all_faults_are_told_at_once(beam):
    text = declared(name="a", help="7", labels="[{node, 4}, {l, 5, ip}]")
    found = faults(beam, f"check([{text}, nothing])")
    assert len(found) == 5 and found[0].startswith('declaration 1 ("a"): the name of a counter')
    assert found[-1].startswith("declaration 2: ")


@pytest.mark.parametrize("other", [GOOD, declared("gauge", "a")], ids=["same", "family"])
def test_no_two_metrics_have_one_name(other, beam):
    """Of OpenMetrics the counter a_total is the family a."""
    found = faults(beam, f"check([{GOOD}, {other}])")
    assert found and all(text.startswith("two metrics would be called a") for text in found)


def test_a_name_of_a_histogram_s_line_is_taken(beam):
    other = declared("histogram", "b", value="{log2, u64}", labels="[{le, 4}]")
    [fault] = faults(beam, f"check([{other}, {declared('histogram', 'b', value='{log2, u64}')}])")[:1]
    assert fault == "two metrics would be called b"


GOODS = [
    GOOD,
    declared(options="[]"),
    declared(name='"a:b_total"', labels="[]"),
    declared(labels="[{skip, 4}, {a, 3, hex}, {b, 16, ip}, {c, 5, {uint, big}}, {d, 4, errno}]"),
    declared("histogram", "h", labels="[{le, 4}]", value="{{linear, -5, 5, 10}, u64}"),
    declared("gauge", "g", value="[<<\"u64\">>]", labels="[{l, m}]"),
    declared("gauge", "g", what="fun erlang:node/1", value="n"),
]


@pytest.mark.parametrize("text", GOODS, ids=range(len(GOODS)))
def test_a_good_declaration_is_ok(text, beam):
    assert faults(beam, f"check([{text}])") == []


OPTIONS = {
    "port": ("{port, 65536}", "the option port is a number from 0"),
    "address": ('{address, "localhost"}', "the option address is an address of this host"),
    "address of 5": ("{address, {1,2,3,4,5}}", "the option address is an address of this host"),
    "timeout": ("{timeout, 0}", "the option timeout is a number of milliseconds from 1"),
    "fleet": ("{fleet, hosts}", "the option fleet is a list of options of ebpf_fleet"),
    "fleet's strict": ("{fleet, [strict]}", "the option fleet has nodes, window and timeout"),
    "fleet's nodes": ("{fleet, [{nodes, 7}]}", "the option fleet: "),
    "programs": ("{programs, 7}", "the option programs is true or false, not 7"),
    "another": ("verbose", "not an option, which are port"),
    "twice": ("{port, 0}, {port, 0}", "the option port is there twice"),
}


@pytest.mark.parametrize("option, words", OPTIONS.values(), ids=OPTIONS)
def test_a_faulty_option_is_told_in_words(option, words, beam):
    [fault] = faults(beam, f"start_link([{option}])")
    assert fault.startswith(words)


def test_options_that_are_none_are_told(beam):
    assert faults(beam, "start_link(nothing)") == ["not a list of options: nothing"]


def told(beam, call):
    """The words for what a call raises."""
    return beam.eval(
        f"""
        try ebpf_metrics:{call} of V -> V
        catch error:R:S -> {{R, ebpf_metrics:format_error(R, S)}}
        end"""
    )


def test_a_call_with_faulty_options_has_words(beam):
    reason, words = told(beam, "text([{port, x}, verbose], html)")
    assert reason == "badarg"
    assert words[1].startswith(b"the option port is a number") and b"; not an option" in words[1]
    assert words[2] == b"neither prometheus nor openmetrics: html"


# --- The application


@pytest.fixture
def start(start_beam, ebin):
    """Starts the application with that variable metrics: the answer, and the node."""

    def start(metrics, *args, **options):
        beam = start_beam(*args, paths=[ebin], hint="metrics", **options)
        answer = beam.eval(
            f"""
            ok = application:load(ebpf_cnode),
            ok = application:set_env(ebpf_cnode, metrics, {metrics}),
            application:ensure_all_started(ebpf_cnode)"""
        )
        return answer, beam

    return start


def reason_of(answer):
    assert answer[0] == "error"
    return answer[1][1][0]


def test_the_application_serves_metrics_if_it_is_to(start):
    answer, beam = start(f"[{{port, 0}}, {{declare, [{GOOD}]}}, {{fleet, [{{nodes, []}}]}}]")
    assert answer[0] == "ok"
    port = beam.apply("ebpf_metrics", "port")
    text = beam.eval(
        """
        {ok, S} = gen_tcp:connect({127,0,0,1}, Port, [binary, {active, false}]),
        ok = gen_tcp:send(S, "GET /metrics HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n"),
        {ok, T} = gen_tcp:recv(S, 0, 10000), T""",
        Port=port,
    )
    assert text.startswith(b"HTTP/1.1 200 OK\r\n")
    assert beam.apply("application", "stop", "ebpf_cnode") == "ok"
    assert beam.apply("ebpf_metrics", "port") == "none"
    assert beam.eval("gen_tcp:connect({127,0,0,1}, P, [])", P=port) == ("error", "econnrefused")


def test_without_the_variable_nothing_listens_and_inets_is_not_started(start):
    answer, beam = start("undefined")
    assert answer == ("ok", ["ebpf_cnode"])
    assert beam.apply("ebpf_metrics", "port") == "none"
    assert beam.eval("whereis(inets_sup)") == "undefined"


def test_a_faulty_declaration_fails_the_start(start):
    answer, beam = start("[{declare, [{counter, a, 7, m, [], u64}]}]")
    badenv, (name, texts) = reason_of(answer)
    assert (badenv, name) == ("badenv", "metrics")
    assert texts[0].startswith(b'declaration 1 ("a"): the name of a counter ends in _total')
    assert len(texts) == 3
    assert beam.eval("whereis(ebpf_cnode_sup)") == "undefined"


def test_a_taken_port_fails_the_start(start, start_beam):
    port = free_port()
    options = f"[{{port, {port}}}, {{fleet, [{{nodes, []}}]}}]"
    assert start(options)[0][0] == "ok"
    answer, beam = start(options)
    metrics, text = reason_of(answer)
    assert metrics == "metrics"
    assert text.decode() == (
        f"cannot listen at port {port} of 127.0.0.1: another process does; choose another port, or "
        "0 for any"
    )
    assert beam.eval("whereis(ebpf_cnode_sup)") == "undefined"


def test_an_address_of_another_host_fails_the_start(start):
    answer, _ = start('[{port, 0}, {address, "192.0.2.1"}]')
    assert reason_of(answer)[1].endswith(b"192.0.2.1: this host has no such address")


def test_without_inets_the_start_fails(start):
    hide = "[code:del_path(P) || P <- code:get_path(), string:find(P, \"/inets-\") =/= nomatch]."
    answer, _ = start("[{port, 0}]", "-eval", hide)
    assert reason_of(answer)[1].startswith(b"metrics need OTP's application inets")


def test_there_is_one_server_in_a_node(start):
    _, beam = start("[{port, 0}, {fleet, [{nodes, []}]}]")
    status, [text] = beam.eval("ebpf_metrics:start_link([{port, 0}])")
    assert status == "error" and text.startswith(b"metrics are served by this node already")


def test_the_listener_comes_back(start):
    _, beam = start("[{port, 0}, {fleet, [{nodes, []}]}]")
    beam.eval("exit(whereis(ebpf_metrics_scrape), kill)")
    asks = "ebpf_metrics_scrape:text(prometheus, 1000)"
    wait_until(lambda: beam.eval(f"catch {asks}")[0] == "ok")
    wait_until(lambda: beam.apply("ebpf_metrics", "port") != "none")


def test_the_record_of_httpd_is_the_one_that_is_taken(beam):
    """Its fields, in their order: the module has a copy of them, with types."""
    theirs, ours = beam.eval(
        """
        Field = fun F({typed_record_field, R, _}) -> F(R);
                    F({record_field, _, {atom, _, N}}) -> N;
                    F({record_field, _, {atom, _, N}, _}) -> N
                end,
        Fields = fun(Forms) ->
            [[Field(D) || D <- Def] || {attribute, _, record, {mod, Def}} <- Forms]
        end,
        {ok, Theirs} = epp:parse_file(filename:join(code:lib_dir(inets), "include/httpd.hrl"), []),
        {ok, {_, [{_, {_, Ours}}]}} =
            beam_lib:chunks(code:which(ebpf_metrics_http), [abstract_code]),
        {Fields(Theirs), Fields(Ours)}
        """
    )
    assert theirs == ours and len(theirs[0]) == 13
