# SPDX-License-Identifier: Apache-2.0
"""The entries of a map as a table, or as histograms, as they are printed."""

import pytest

from beam import BeamError
from host import CPUS

# A terminal of so many columns; 0: none.
PRINT = """
Printer = fun Printer(Printed) ->
    receive
        {io_request, From, Ref, {put_chars, _, Chars}} ->
            From ! {io_reply, Ref, ok},
            Printer([Printed, Chars]);
        {io_request, From, Ref, {get_geometry, columns}} ->
            From ! {io_reply, Ref, case Columns of 0 -> {error, enotsup}; _ -> Columns end},
            Printer(Printed);
        {get, From} ->
            From ! {printed, unicode:characters_to_binary(Printed)}
    end
end,
Leader = spawn(fun() -> Printer([]) end),
Old = group_leader(),
group_leader(Leader, self()),
try ok = apply(ebpf_maps, Function, Args) after group_leader(Old, self()) end,
Leader ! {get, self()},
receive {printed, Text} -> Text end
"""
FORMAT = """
Names = fun(1) -> {ok, "lo"}; (_) -> error end,
Columns = ebpf_maps_columns:new(Layouts, maps:from_list(Displays)),
Shape = {Columns, Layouts, Names},
unicode:characters_to_binary(ebpf_maps_show:format(Shape, Entries, Left, Width))
"""


def printed(beam, function, *args, columns=0):
    bound = {"Function": function, "Args": list(args), "Columns": columns}
    return beam.eval(PRINT, **bound).decode()


@pytest.fixture
def table(facade_beam):
    """Formats entries that no C node has."""

    def table(layouts, entries, *displays, left=0, width=80):
        bound = {"Layouts": layouts, "Entries": entries, "Displays": list(displays)}
        return facade_beam.eval(FORMAT, Left=left, Width=width, **bound).decode()

    return table


# --- from a C node

FLOW = ("struct", 8, [(b"saddr", 0, "be32"), (b"dport", 32, "be16")])
COUNTS = ("struct", 24, [(b"packets", 0, "u64"), (b"comm", 64, ("char", 16))])
PORTS = [(443, 7, b"nginx"), (80, 123456, b"nginx"), (22, 0, b"sshd")]


@pytest.fixture
def map(usual_beam):
    map = usual_beam.apply("ebpf_maps", "new", "hash", FLOW, COUNTS, 64)
    for port, packets, comm in PORTS:
        key = {"saddr": 0x0A000001, "dport": port}
        usual_beam.apply("ebpf_maps", "put", key, {"packets": packets, "comm": comm}, map)
    return map


SHOWN = """\
    saddr  dport  packets  comm
167772161     22        0  sshd
167772161     80   123456  nginx
167772161    443        7  nginx
"""


def test_i_of_a_map_prints_its_entries(usual_beam, map):
    assert printed(usual_beam, "i", map) == SHOWN
    assert printed(usual_beam, "table", map) == SHOWN


def test_a_handle_without_types_is_printed_by_those_that_the_kernel_has(usual_beam, map):
    id = usual_beam.apply("ebpf_maps", "info", map)["id"]
    raw = usual_beam.apply("ebpf_maps", "open", ("id", id))
    handles = len(usual_beam.apply("ebpf_maps", "handles"))
    assert printed(usual_beam, "table", raw) == SHOWN
    assert printed(usual_beam, "i", ("id", id)) == SHOWN
    assert len(usual_beam.apply("ebpf_maps", "handles")) == handles


@pytest.mark.parametrize("form", ["tuple", [b"comm"]], ids=["tuples", "members"])
def test_tuples_are_printed_with_all_members(form, usual_beam, map):
    other = usual_beam.apply("ebpf_maps", "typed", map, [("as", form)])
    assert printed(usual_beam, "table", other) == SHOWN


def test_rows_that_are_not_shown_are_counted(usual_beam, map):
    head, row, last = printed(usual_beam, "table", map, [("rows", 1)]).splitlines()
    assert head == SHOWN.splitlines()[0]
    assert row.split()[1] in ("22", "80", "443")
    assert last == "2 entries are not shown"
    assert printed(usual_beam, "table", map, [("rows", "infinity")]) == SHOWN


def test_the_rows_are_counted_once_however_often_they_are_read(usual_beam, map):
    def counts():
        return usual_beam.apply("ebpf_maps", "stats")["requests"].get(("size", 1), 0)

    tuples = usual_beam.apply("ebpf_maps", "typed", map, [("as", "tuple")])
    before = counts()
    assert printed(usual_beam, "table", tuples, [("rows", 1)]).endswith("2 entries are not shown\n")
    assert counts() == before + 1
    assert printed(usual_beam, "table", tuples) == SHOWN
    assert counts() == before + 1


def test_the_width_is_that_of_the_terminal(usual_beam, map):
    shown = printed(usual_beam, "i", map, columns=26)
    assert shown.splitlines()[0] == "    saddr  dport  packets"
    assert shown.splitlines()[-1] == "1 column is not shown: c.."


def test_what_members_mean_is_displayed(usual_beam, map):
    shown = printed(usual_beam, "table", map, [("display", {"saddr": "ipv4"})])
    assert shown.splitlines()[1] == "10.0.0.1     22        0  sshd"


def test_an_empty_map_says_so(usual_beam):
    map = usual_beam.apply("ebpf_maps", "new", "hash", FLOW, "u64", 4)
    assert printed(usual_beam, "i", map) == "saddr  dport  value\n(no entries)\n"


def test_a_map_that_nobody_knows_types_of_has_bytes(usual_beam):
    map = usual_beam.apply("ebpf_maps", "new", "hash", 4, 8, 4)
    usual_beam.apply("ebpf_maps", "put", bytes([1, 2, 3, 255]), bytes(range(8)), map)
    assert printed(usual_beam, "i", map) == (
        "key       value\n" "010203ff  0001020304050607\n"
    )


def test_each_cpu_has_a_line_unless_they_are_folded(usual_beam):
    map = usual_beam.apply("ebpf_maps", "new", "percpu_array", "u32", "u64", 1)
    usual_beam.apply("ebpf_maps", "put", 0, list(range(CPUS)), map)
    head, *rows = printed(usual_beam, "table", map).splitlines()
    assert head == "key  cpu  value"
    assert rows == [f"  0  {cpu:3}  {cpu:5}" for cpu in range(CPUS)][:CPUS]
    total = usual_beam.apply("ebpf_maps", "typed", map, [("percpu", "sum")])
    assert printed(usual_beam, "table", total) == f"key  value\n  0  {sum(range(CPUS)):5}\n"


def test_an_array_of_slots_is_one_histogram(usual_beam):
    map = usual_beam.apply("ebpf_maps", "new", "array", "u32", "u32", 27)
    usual_beam.apply("ebpf_maps", "merge", map, [(1, 5), (3, 10)])
    assert printed(usual_beam, "table", map, [("display", {"value": "log2"})]) == """\
     value               : count    distribution
         0 -> 1          : 0        |                                        |
         2 -> 3          : 5        |********************                    |
         4 -> 7          : 0        |                                        |
         8 -> 15         : 10       |****************************************|
"""


@pytest.mark.parametrize(
    "option, words",
    [
        (("rows", 0), "the option rows: neither a number from 1 on nor infinity: 0"),
        (("display", "all"), "the option display: not an Erlang map: all"),
        (
            ("display", {"a": "time"}),
            "the option display: time is not ipv4, ipv6, mac, ifname, log2, "
            "{nanoseconds, boot} or {nanoseconds, unix}",
        ),
        (("columns", 3), "there is no option {columns,3}"),
    ],
    ids=str,
)
def test_another_option_is_badarg(option, words, usual_beam, map):
    with pytest.raises(BeamError) as raised:
        printed(usual_beam, "table", map, [option])
    assert raised.value.reason == "badarg"
    said = usual_beam.apply("ebpf_maps", "format_error", "badarg", raised.value.stack)
    assert said == {2: words.encode()}


def test_what_is_neither_a_node_nor_a_map_is_a_badmap(usual_beam):
    with pytest.raises(BeamError) as raised:
        printed(usual_beam, "i", 7)
    assert raised.value.reason == ("badmap", 7)


def test_errors_of_i_of_a_map_are_explained_as_those_of_table(usual_beam, map, start_cnode):
    queue = usual_beam.apply("ebpf_maps", "new", "queue", 0, "u64", 4)
    write = usual_beam.apply("ebpf_maps", "new", "hash", 4, 8, 4, ["write"])
    other = start_cnode()
    there = usual_beam.apply("ebpf_maps", "new", "hash", 4, 8, 4, [("node", other.name)])
    other.stop()
    usual_beam.apply("ebpf_maps", "close", map)
    for what in (7, map, queue, write, there, ("id", 2**32 - 1), ("id", -1), ("name", 1.5)):
        said = []
        for function in ("i", "table"):
            with pytest.raises(BeamError) as raised:
                printed(usual_beam, function, what)
            error = raised.value
            said.append(usual_beam.apply("ebpf_maps", "format_error", error.reason, error.stack))
        assert said[0] == said[1] != {}


def test_a_queue_has_no_table(usual_beam):
    map = usual_beam.apply("ebpf_maps", "new", "queue", 0, "u64", 4)
    with pytest.raises(BeamError) as raised:
        printed(usual_beam, "i", map)
    assert raised.value.reason == "enotsup"


# --- all that can be in one

KEY = ("struct", 8, [(b"pid", 0, "u32"), (b"ifindex", 32, "u32")])
VALUE = (
    "struct",
    72,
    [
        (b"load", 0, "f64"),
        (b"up", 64, "bool"),
        (b"mac", 72, ("bytes", 6)),
        (b"state", 128, ("enum", 4, [(b"idle", 0)])),
        (b"", 160, ("union", 4, [(b"addr", 0, ("bytes", 4)), (b"port", 0, "be16")])),
        (b"where", 192, ("struct", 8, [(b"x", 0, "s32"), (b"y", 32, "s32")])),
        (b"at", 256, "ptr"),
        (b"hits", 320, ("array", 3, "u16")),
        (b"boot", 384, "u64"),
        (b"day", 448, "u64"),
        (b"lock", 512, "hidden"),
    ],
)
ENTRY = (
    {b"pid": 7, b"ifindex": 1},
    {
        **{b"load": 0.5, b"up": "true", b"mac": bytes([2, 0, 0, 0, 1, 255]), b"state": b"idle"},
        **{b"addr": bytes([10, 0, 0, 1]), b"port": 2560, b"where": {b"x": -1, b"y": 2}},
        **{b"at": 0xFFFF8888, b"hits": [1, 2, 3], b"boot": 3_000_001_500, b"day": 10**18},
    },
)
OTHER = ({b"pid": 12345, b"ifindex": 2}, ENTRY[1] | {b"load": "nan", b"state": 9, b"up": 7})
DISPLAYS = [
    *((b"ifindex", "ifname"), (b"mac", "mac"), (b"addr", "ipv4")),
    *((b"boot", ("nanoseconds", "boot")), (b"day", ("nanoseconds", "unix"))),
]


def test_all_kinds_of_members(table):
    shown = table((KEY, VALUE), [ENTRY, OTHER], *DISPLAYS, width=200)
    assert shown == """\
  pid  ifindex  load  up    mac                state  addr      port  where.x  where.y          at  hits         boot  day
    7  lo        0.5  true  02:00:00:00:01:ff  idle   10.0.0.1  2560       -1        2  0xffff8888  1 2 3  3.000001 s  2001-09-09T01:46:40.000000Z
12345  2         nan  7     02:00:00:00:01:ff  9      10.0.0.1  2560       -1        2  0xffff8888  1 2 3  3.000001 s  2001-09-09T01:46:40.000000Z
"""


def test_columns_that_do_not_fit_are_counted_and_named(table):
    shown = table((KEY, VALUE), [ENTRY, OTHER], *DISPLAYS, left=1, width=62)
    assert shown == """\
  pid  ifindex  load  up    mac                state  addr
    7  lo        0.5  true  02:00:00:00:01:ff  idle   10.0.0.1
12345  2         nan  7     02:00:00:00:01:ff  9      10.0.0.1
1 entry and 7 columns are not shown: port, where.x, where.y,..
"""


@pytest.mark.parametrize("width", [1, 2, 5, 20, 79, 300])
def test_no_line_is_longer_than_the_terminal(width, table):
    for line in table((KEY, VALUE), [ENTRY, OTHER], *DISPLAYS, left=10**6, width=width).splitlines():
        assert len(line) <= max(width, 2)


def test_a_name_of_both_says_whose_it_is(table):
    both = ("struct", 4, [(b"pid", 0, "u32")])
    assert table((both, both), [({b"pid": 1}, {b"pid": 2})]) == """\
key.pid  value.pid
      1          2
"""


def test_a_text_stays_on_its_line_and_in_its_column(table):
    layouts = ("u32", ("char", 64))
    entries = [(1, b"two\nlines\x1b[2J"), (2, b"x" * 64), (3, "gr\u00fc\u00df".encode()), (4, b"\xff")]
    assert table(layouts, entries) == f"""\
key  value
  1  two.lines.[2J
  2  {'x' * 38}..
  3  gr\u00fc\u00df
  4  \u00ff
"""


@pytest.mark.parametrize(
    "layout, term",
    [
        (("bytes", 16), bytes(15) + b"\1"),
        (("array", 4, "be32"), [0, 0, 0, 1]),
        (("array", 8, "be16"), [0] * 7 + [1]),
        (
            ("struct", 16, [(b"u", 0, ("union", 16, [(b"a", 0, ("bytes", 16)), (b"b", 0, ("array", 4, "u32"))]))]),
            {b"u": {b"a": bytes(15) + b"\1", b"b": [0, 0, 0, 2**24]}},
        ),
    ],
    ids=["bytes", "words", "halves", "a structure as the kernel has it"],
)
def test_an_ipv6_address_is_any_16_bytes(layout, term, table):
    value = ("struct", 16, [(b"daddr", 0, layout)])
    assert table(("u32", value), [(1, {b"daddr": term})], (b"daddr", "ipv6")) == """\
key  daddr
  1  ::1
"""


def test_what_is_no_address_is_shown_as_it_is(table):
    assert table(("u32", "u64"), [(1, 5)], (b"value", "ipv4")) == "key  value\n  1  5\n"


SLOTS = ("struct", 108, [(b"comm", 0, ("char", 4)), (b"slots", 32, ("array", 6, "u32"))])


def test_a_histogram_of_each_entry_as_the_tools_of_bcc_have_it(table):
    entries = [
        (1, {b"comm": b"sshd", b"slots": [0, 3, 17, 40, 0, 0]}),
        (2, {b"comm": b"cron", b"slots": [0] * 6}),
    ]
    assert table(("u32", SLOTS), entries, (b"slots", "log2"), left=3) == """\
key = 1, comm = sshd
     slots               : count    distribution
         0 -> 1          : 0        |                                        |
         2 -> 3          : 3        |***                                     |
         4 -> 7          : 17       |*****************                       |
         8 -> 15         : 40       |****************************************|

key = 2, comm = cron
slots: no counts
3 entries are not shown
"""


def test_its_bars_are_as_long_as_there_is_room(table):
    entries = [(1, {b"comm": b"sshd", b"slots": [1, 2, 0, 0, 0, 0]})]
    assert table(("u32", SLOTS), entries, (b"slots", "log2"), width=58) == """\
key = 1, comm = sshd
     slots               : count    distribution
         0 -> 1          : 1        |**********          |
         2 -> 3          : 2        |********************|
"""


def test_counts_of_all_cpus_are_one_histogram(table):
    entries = [(1, [{b"comm": b"sshd", b"slots": [1, n, 0, 0, 0, 0]} for n in range(3)])]
    assert "         0 -> 1          : 3 " in table(("u32", SLOTS), entries, (b"slots", "log2"))


def test_long_histograms_are_as_wide_as_their_numbers(table):
    layout = ("struct", 512, [(b"slots", 0, ("array", 64, "u64"))])
    entries = [(1, {b"slots": [0] * 63 + [2**63]})]
    last = table(("u32", layout), entries, (b"slots", "log2"), width=120).splitlines()[-1]
    assert last.startswith(" 9223372036854775808 -> 18446744073709551615 : 9223372036854775808 |***")
