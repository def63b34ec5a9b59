%% SPDX-License-Identifier: Apache-2.0
%%
%% How often the programs of all hosts have run, and how long: of those that a C node has a handle
%% of. Where counting is not allowed there is nothing to show.
%% @private
-module(ebpf_metrics_programs).

-export([families/2]).

%% Of a node: each is a request.
-define(MAX_PROGRAMS, 256).
-define(NANOSECONDS, {divide, 1000000000}).

-type counted() :: {node(), Info :: map(), Counts :: map()}.

%% Call asks some nodes, as ebpf_fleet:call/3 does, for what they answer.
-spec families(Call, [node()]) -> [ebpf_metrics_text:family()] when
    Call :: fun((Function :: term(), Args :: term(), [node()]) -> #{node() => term()}).
families(Call, Nodes) ->
    Lists = Call({ebpf_programs, list}, [], Nodes),
    Held = maps:map(fun(_Node, List) -> held(List) end, Lists),
    Counted = lists:sort(rounds(Call, Held, [])),
    [{counter, <<"ebpf_program_run_total">>, <<"Runs of a program.">>,
      samples(runs, {multiply, 1}, Counted)},
     {counter, <<"ebpf_program_run_seconds_total">>, <<"Seconds that a program has run.">>,
      samples(nanoseconds, ?NANOSECONDS, Counted)},
     {counter, <<"ebpf_program_recursion_misses_total">>,
      <<"Runs that were left out, as the program was running already.">>,
      samples(recursion_misses, {multiply, 1}, Counted)}].

held(List) when length(List) >= 0 ->
    lists:sublist([Info || #{id := Id, name := Name, type := _, handles := [_ | _]} = Info <- List,
                           is_integer(Id), is_binary(Name)], ?MAX_PROGRAMS);
held(_Term) ->
    [].

%% One program of each node at a time: all nodes at once, and no node twice.
-spec rounds(fun(), #{node() => [map()]}, [counted()]) -> [counted()].
rounds(Call, Held, Counted) ->
    case maps:filter(fun(_Node, Infos) -> Infos =/= [] end, Held) of
        Left when map_size(Left) =:= 0 ->
            Counted;
        Left ->
            Firsts = maps:map(fun(_Node, [Info | _]) -> Info end, Left),
            Handle = fun(Node) -> [hd(maps:get(handles, maps:get(Node, Firsts)))] end,
            Counts = Call({ebpf_programs, count}, Handle, maps:keys(Firsts)),
            More = [{Node, maps:get(Node, Firsts), Of}
                    || {Node, Of} <- maps:to_list(Counts), is_map(Of)],
            %% who refuses the first one refuses all of them
            Answered = maps:with([Node || {Node, _, _} <- More], Left),
            rounds(Call, maps:map(fun(_Node, [_ | Infos]) -> Infos end, Answered), More ++ Counted)
    end.

samples(Name, Scale, Counted) ->
    [{[{<<"node">>, atom_to_binary(Node)},
       {<<"id">>, integer_to_binary(Id)},
       {<<"name">>, text(Program)},
       {<<"type">>, type(Type)}],
      ebpf_metrics_number:scaled(maps:get(Name, Counts), Scale)}
     || {Node, #{id := Id, name := Program, type := Type}, Counts} <- Counted,
        is_integer(maps:get(Name, Counts, none))].

text(Bytes) ->
    {ok, Text} = ebpf_metrics_decoders:decode(string, Bytes, #{}),
    Text.

type(Type) when is_atom(Type) -> atom_to_binary(Type);
type(Type) when is_integer(Type) -> integer_to_binary(Type).
