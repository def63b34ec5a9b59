%% SPDX-License-Identifier: Apache-2.0
%%
%% A map of a structure with ten members, as those of tracing tools are: read and written as bytes,
%% as terms by the C node, and as bytes that are decoded here. All times are in nanoseconds.
-module(bench_typed).

-export([make/2, listed/2, decoded/2, bpftool/2, calls/5, views/4]).

-export_type([form/0]).

-type form() :: bytes | tuple | map.
%% How an entry looks.

-define(STATES, #{<<"new">> => 1, <<"open">> => 2, <<"closing">> => 3, <<"closed">> => 4}).

layouts() ->
    {u64,
     {struct, 64, [
         {source, 0, u32},
         {target, 32, u32},
         {source_port, 64, u16},
         {target_port, 80, u16},
         {protocol, 96, u8},
         {state, 128, {enum, 4, maps:to_list(?STATES)}},
         {packets, 192, u64},
         {first_seen, 256, u64},
         {command, 320, {char, 16}},
         {offset, 448, s64}
     ]}}.

%% A hash of so many entries: its handles and its id.
-spec make(node(), Entries :: pos_integer()) -> {Bytes, Tuples, Maps, Id} when
    Bytes :: term(), Tuples :: term(), Maps :: term(), Id :: pos_integer().
make(Node, Entries) ->
    {Key, Value} = layouts(),
    Maps = ask(Node, new, [hash, Key, Value, Entries]),
    #{id := Id} = ask(Node, info, [Maps]),
    Bytes = ask(Node, open, [{id, Id}]),
    Tuples = ask(Node, typed, [Bytes, [{types, btf}, {as, tuple}]]),
    Bytes = ask(Node, merge, [Bytes, [entry(bytes, N) || N <- lists:seq(1, Entries)]]),
    {Bytes, Tuples, Maps, Id}.

ask(Node, Function, Args) -> erpc:call(Node, ebpf_maps, Function, Args).

%%--------------------------------------------------------------------------------------------------
%% Entries
%%--------------------------------------------------------------------------------------------------

entry(Form, N) -> {key(Form, N), value(Form, N)}.

key(bytes, N) -> <<N:64/native>>;
key(_Form, N) -> N.

%% Numbers of all lengths: addresses, ports, a counter, a time, what is negative.
value(tuple, N) ->
    State = element(N rem 4 + 1, {<<"new">>, <<"open">>, <<"closing">>, <<"closed">>}),
    {N * 2654435761 rem (1 bsl 32), 16#0a000000 + N, 1024 + N rem 60000, 443, 6, State,
     N * 7, 1000000000000 + N, <<"worker/", (integer_to_binary(N))/binary>>, -N};
value(map, N) ->
    {_, {struct, _, Members}} = layouts(),
    Names = [atom_to_binary(element(1, Member)) || Member <- Members],
    maps:from_list(lists:zip(Names, tuple_to_list(value(tuple, N))));
value(bytes, N) ->
    {Source, Target, From, To, Protocol, State, Packets, First, Command, Offset} = value(tuple, N),
    Zeros = 8 * (16 - byte_size(Command)),
    <<Source:32/native, Target:32/native, From:16/native, To:16/native, Protocol, 0:24,
      (map_get(State, ?STATES)):32/native, 0:32, Packets:64/native, First:64/native,
      Command/binary, 0:Zeros, Offset:64/signed-native>>.

%% As one who knows the structure writes it.
decode(Form, {<<Key:64/native>>, Value}) -> {Key, decode_value(Form, Value)}.

decode_value(tuple,
    <<Source:32/native, Target:32/native, From:16/native, To:16/native, Protocol, _:24,
      State:32/native, _:32, Packets:64/native, First:64/native, Command:16/binary,
      Offset:64/signed-native>>) ->
    {Source, Target, From, To, Protocol, state(State), Packets, First, text(Command), Offset};
decode_value(map,
    <<Source:32/native, Target:32/native, From:16/native, To:16/native, Protocol, _:24,
      State:32/native, _:32, Packets:64/native, First:64/native, Command:16/binary,
      Offset:64/signed-native>>) ->
    #{<<"source">> => Source, <<"target">> => Target, <<"source_port">> => From,
      <<"target_port">> => To, <<"protocol">> => Protocol, <<"state">> => state(State),
      <<"packets">> => Packets, <<"first_seen">> => First, <<"command">> => text(Command),
      <<"offset">> => Offset}.

state(1) -> <<"new">>;
state(2) -> <<"open">>;
state(3) -> <<"closing">>;
state(4) -> <<"closed">>;
state(Number) -> Number.

text(Chars) -> hd(binary:split(Chars, <<0>>)).

%%--------------------------------------------------------------------------------------------------
%% Whole maps
%%--------------------------------------------------------------------------------------------------

%% By the facade; it returns the number of entries that are right, too.
-spec listed(form(), Map :: term()) -> bench_whole:times().
listed(Form, Map) ->
    bench_whole:run(fun() -> ebpf_maps:to_list(Map) end, fun(Pairs) -> right(Form, Pairs) end).

-spec decoded(form(), Map :: term()) -> bench_whole:times().
decoded(Form, Map) ->
    bench_whole:run(fun() -> [decode(Form, Pair) || Pair <- ebpf_maps:to_list(Map)] end,
                    fun(Pairs) -> right(Form, Pairs) end).

right(Form, Pairs) ->
    length([Key || {Key, _} = Pair <- Pairs, Pair =:= entry(Form, number(Key))]).

number(<<N:64/native>>) -> N;
number(N) -> N.

%% It knows the types as well; its output is not parsed.
-spec bpftool(Program :: string(), MapId :: pos_integer()) -> bench_whole:times().
bpftool(Program, Id) ->
    Args = ["map", "dump", "-j", "id", integer_to_list(Id)],
    bench_whole:run(
        fun() ->
            Options = [{args, Args}, binary, exit_status, in],
            iolist_to_binary(output(open_port({spawn_executable, Program}, Options)))
        end,
        fun(Text) -> length(binary:matches(Text, <<"\"formatted\":">>)) end).

output(Port) ->
    receive
        {Port, {data, Data}} -> [Data | output(Port)];
        {Port, {exit_status, 0}} -> []
    end.

%%--------------------------------------------------------------------------------------------------
%% Calls
%%--------------------------------------------------------------------------------------------------

%% Count of them, one after the other; the terms are made before the clock starts.
-spec calls(node(), get | put, form(), Map :: term(), Count :: pos_integer()) -> pos_integer().
calls(Node, Function, Form, Map, Count) ->
    bench_calls:in_process(fun() ->
        Entries = [entry(Form, N) || N <- lists:seq(1, Count)],
        each(get, Node, Map, lists:sublist(Entries, 200)),
        Begun = erlang:monotonic_time(nanosecond),
        each(Function, Node, Map, Entries),
        erlang:monotonic_time(nanosecond) - Begun
    end).

each(_Function, _Node, _Map, []) ->
    ok;
each(get, Node, Map, [{Key, Value} | Entries]) ->
    Value = ask(Node, get, [Key, Map]),
    each(get, Node, Map, Entries);
each(put, Node, Map, [{Key, Value} | Entries]) ->
    Map = ask(Node, put, [Key, Value, Map]),
    each(put, Node, Map, Entries).

%% Count handles of a map, each made and closed: views by the kernel's types, views by a layout, or
%% plain ones.
-spec views(node(), btf | layout | none, Map :: term(), Count :: pos_integer()) -> pos_integer().
views(Node, Types, Map, Count) ->
    {Function, Args} = how(Types, Node, Map),
    bench_calls:in_process(fun() ->
        Begun = erlang:monotonic_time(nanosecond),
        [ask(Node, close, [ask(Node, Function, Args)]) || _ <- lists:seq(1, Count)],
        erlang:monotonic_time(nanosecond) - Begun
    end).

how(btf, _Node, Map) -> {typed, [Map, [{types, btf}]]};
how(layout, _Node, Map) -> {typed, [Map, [{types, layouts()}]]};
how(none, Node, Map) -> {open, [{id, maps:get(id, ask(Node, info, [Map]))}]}.
