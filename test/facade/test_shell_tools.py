# SPDX-License-Identifier: Apache-2.0
"""What the facade prints for people in a shell."""

import pytest

from beam import BeamError

TABLE = """
Printer = fun Printer(Printed) ->
    receive
        {io_request, From, Ref, {put_chars, _, Chars}} ->
            From ! {io_reply, Ref, ok},
            Printer([Printed, Chars]);
        {get, From} ->
            From ! {printed, unicode:characters_to_binary(Printed)}
    end
end,
Leader = spawn(fun() -> Printer([]) end),
Old = group_leader(),
group_leader(Leader, self()),
try ok = apply(ebpf_maps, i, Args) after group_leader(Old, self()) end,
Leader ! {get, self()},
receive {printed, Text} -> Text end
"""


@pytest.fixture
def shell(cluster, cnode, ebin, start_beam):
    beam = start_beam(paths=[ebin])
    beam.apply("application", "set_env", "ebpf_cnode", "node", cnode.name)
    return beam


def lines(beam, *args):
    return beam.eval(TABLE, Args=list(args)).decode().splitlines()


def test_i_prints_a_line_for_each_map(shell, maps, folder):
    map = maps.new("hash", 4, 100_000, 7, [("name", "tabled")])
    maps.pin(str(folder / "map").encode(), map)
    head, *rows = lines(shell)
    assert head.split() == (
        ["id", "name", "type", "key", "value", "entries", "memory", "pins", "handles"]
    )
    [row] = [row.split() for row in rows if row.split()[1] == "tabled"]
    assert row[0] == str(maps.info(map)["id"])
    assert row[2:6] == ["hash", "4", "98K", "7"]
    assert row[7:] == ["1", "1"]


def test_i_of_a_node_prints_its_maps(shell, cnode, maps):
    maps.new("hash", 4, 8, 7, [("name", "of_that_node")])
    assert any("of_that_node" in line for line in lines(shell, cnode.name))


def test_i_fits_80_columns_with_long_names_and_large_numbers(shell, maps):
    options = [("name", "fifteen_letters"), "no_prealloc"]
    maps.new("hash", 4, 8, 1_000_000, options)
    maps.new("hash", 500, 30_000, 1000, options)
    printed = lines(shell)
    assert sum("fifteen_letters" in line for line in printed) == 2
    assert max(len(line) for line in printed) <= 80


def table_of(beam, infos):
    """As of a C node whose host has these maps."""
    return beam.eval(
        "unicode:characters_to_binary(ebpf_maps_table:format(Infos))", Infos=infos
    ).decode().splitlines()


def test_i_fits_80_columns_with_anything_that_the_kernel_can_say(shell):
    most = {
        **dict(id=2**32 - 1, name=b"fifteen_letters", type="percpu_cgroup_storage"),
        **dict(key_size=2**32 - 1, value_size=2**32 - 1, max_entries=2**32 - 1),
        **dict(memlock=2**64 - 1, pinned=[b""] * 9999, handles=[1] * 9999),
    }
    printed = table_of(shell, [{**most}, {**most, "type": 99}])
    assert len(printed) == 3
    assert max(len(line) for line in printed) <= 80


def test_i_without_maps_prints_the_heads(shell):
    assert len(table_of(shell, [])) == 1


def test_i_raises_eperm_where_the_c_node_may_not_look(shell, start_cnode):
    node = start_cnode("--no-open-by-id")
    with pytest.raises(BeamError) as raised:
        lines(shell, node.name)
    assert raised.value.reason == "eperm"
    words = shell.apply("ebpf_maps", "format_error", "eperm", raised.value.stack)
    assert "--no-open-by-id" in str(words)
