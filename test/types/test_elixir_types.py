# SPDX-License-Identifier: Apache-2.0
"""Typed values in Elixir's shell, where structures are maps with strings as keys."""

import pytest

import shell

pytestmark = [pytest.mark.single, pytest.mark.plain]  # its own shell knows no TLS

SESSION = """
iex(me@host)1> :application.set_env(:ebpf_cnode, :node, :NODE)
:ok
iex(me@host)2> state = {:enum, 4, [idle: 0, busy: 1]}
{:enum, 4, [idle: 0, busy: 1]}
iex(me@host)3> flow = {:struct, 24, [{"bytes", 0, :u64}, {"comm", 64, {:char, 8}}, {:state, 128, state}]}
{:struct, 24, [{"bytes", 0, :u64}, {"comm", 64, {:char, 8}}, {:state, 128, {:enum, 4, [idle: 0, busy: 1]}}]}
iex(me@host)4> map = :ebpf_maps.new(:hash, :u32, flow, 8)
{:ebpf_map, #Reference<0.1.2.3>, :hash, 4, 24, 8}
iex(me@host)5> :ebpf_maps.put(80, %{"bytes" => 7, "comm" => "nginx", "state" => "busy"}, map)
{:ebpf_map, #Reference<0.1.2.3>, :hash, 4, 24, 8}
iex(me@host)6> :ebpf_maps.get(80, map)
%{"bytes" => 7, "comm" => "nginx", "state" => "busy"}
iex(me@host)7> %{"bytes" => bytes} = :ebpf_maps.get(80, map)
%{"bytes" => 7, "comm" => "nginx", "state" => "busy"}
iex(me@host)8> bytes
7
iex(me@host)9> :ebpf_maps.put(443, %{bytes: 9, comm: 'ssh', state: :idle}, map)
{:ebpf_map, #Reference<0.1.2.3>, :hash, 4, 24, 8}
iex(me@host)10> Enum.sort(:ebpf_maps.to_list(map))
[{80, %{"bytes" => 7, "comm" => "nginx", "state" => "busy"}}, {443, %{"bytes" => 9, "comm" => "ssh", "state" => "idle"}}]
iex(me@host)11> raw = :ebpf_maps.open({:id, :ebpf_maps.info(map).id})
{:ebpf_map, #Reference<0.1.2.3>, :hash, 4, 24, 8}
iex(me@host)12> :ebpf_maps.get(443, raw)
<<9, 0, 0, 0, 0, 0, 0, 0, 115, 115, 104, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0>>
iex(me@host)13> tuples = :ebpf_maps.typed(raw, types: {:u32, flow}, as: :tuple)
{:ebpf_map, #Reference<0.1.2.3>, :hash, 4, 24, 8}
iex(me@host)14> :ebpf_maps.get(80, tuples)
{7, "nginx", "busy"}
iex(me@host)15> :ebpf_maps.types(tuples) |> elem(1) |> elem(2) |> hd
{"bytes", 0, :u64}
iex(me@host)16> try do :ebpf_maps.put(80, %{"bytes" => -1, "comm" => "", "state" => "idle"}, map) rescue e -> e.original end
{:badmember, ["bytes"]}
iex(me@host)17> for m <- [map, raw, tuples], do: :ebpf_maps.close(m)
[:ok, :ok, :ok]
"""


def test_structures_are_maps_with_strings_as_keys(cluster, cnode, ebin):
    session = SESSION.replace("NODE", f'"{cnode.name}"').replace("me@host", f"{cluster.name('me')}@host")
    assert shell.check(session, cluster, ebin) == 17
