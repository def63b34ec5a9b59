%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains in words why a function of the facade raised an exception: EEP 54. It has only the
%% exception and the arguments to go by, and says no more than follows from them. Texts are
%% binaries, as Elixir requires.
%% @private
-module(ebpf_maps_errors).

-export([format_error/2, no_map/1]).

-import(ebpf_maps_arguments, [argument/3, position/3]).
-import(ebpf_cnode_words, [shown/1]).

-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error(Reason, [{ebpf_maps, Function, Args, _Info} | _]) when is_list(Args) ->
    ebpf_cnode_words:binaries(words(Reason, Function, Args));
format_error(_Reason, _Stack) ->
    #{}.

%% i/1 is table/1 of anything but a node.
words(Reason, i, [Map]) when not is_atom(Map) ->
    words(Reason, table, [Map]);
words(badarg, Function, Args) ->
    explain(badarg, Function, Args);
words(Reason, Function, Args) ->
    case [{Role, N, Text} || {Role, N, What} <- locators(Function, Args),
                             (Text = ebpf_maps_locators:words(Reason, Function, What)) =/= none]
    of
        [{map, N, Text}] -> #{N => Text};
        [{options, N, Text}] -> #{N => ["the option inner_map: ", Text]};
        [{_, N, Text}] when Reason =:= enoent; Reason =:= ambiguous -> #{N => ["a value: ", Text]};
        [{_, _, Text}] -> #{general => ["a value: ", Text, "; or the map: ",
                                        why(explain(Reason, Function, Args))]};
        _ -> explain(Reason, Function, Args)
    end.

%% With their roles and positions. If keys or values name other things too, the reason may be about
%% any of them.
locators(Function, Args) ->
    Roles = ebpf_maps_arguments:roles(Function, length(Args)),
    Found = lists:usort([{Role, N, What}
                         || {N, Role, Arg} <- lists:zip3(lists:seq(1, length(Roles)), Roles, Args),
                            What <- inside(Role, Arg), ebpf_maps_terms:is_locator(What)]),
    case ebpf_maps_posix:named(Function, Args) of
        [] -> Found;
        _ -> []
    end.

inside(Role, Term) when Role =:= map; Role =:= value -> [Term];
inside(options, Options) when length(Options) >= 0 -> [Map || {inner_map, Map} <- Options];
inside(pairs, Pairs) when is_map(Pairs) -> maps:values(Pairs);
inside(pairs, Pairs) when length(Pairs) >= 0 -> [Value || {_, Value} <- Pairs];
inside(_Role, _Term) -> [].

%%--------------------------------------------------------------------------------------------------
%% Reasons
%%--------------------------------------------------------------------------------------------------

explain(badarg, Function, Args) ->
    ebpf_maps_arguments:faults(Function, Args);
explain({badkey, Key}, Function, Args) ->
    #{1 => ebpf_maps_posix:absent(Key, Function, Args)};
explain({keyexists, _}, _Function, _Args) ->
    #{1 => "already present in the map"};
explain({badmember, Path}, Function, Args) ->
    ebpf_maps_typed:bad_member(Path, Function, Args);
explain(unfolded, Function, Args) ->
    #{position(map, Function, length(Args)) => unfolded(argument(map, Function, Args))};
explain({badmap, Term}, Function, Args) ->
    bad_map(Term, Function, Args);
explain({badprogram, Term}, Function, Args) ->
    bad_program(Term, Function, Args);
explain({Reason, Taken}, drain, Args) when is_list(Taken) ->
    #{general => [number(length(Taken), "entry", "entries"), " removed, and kept in this reason; "
                  "then: ", why(explain(Reason, drain, Args))]};
explain({Reason, Done}, merge, [Map, Pairs | _]) when is_integer(Done) ->
    #{general => [number(Done, "pair", "pairs"), " put; ",
                  explain_rest(Reason, Map, Pairs, Done)]};
explain(Reason, Function, Args) ->
    case ebpf_cnode_words:of_request(Reason, ebpf_maps, Function, length(Args)) of
        none when is_atom(Reason) -> ebpf_maps_posix:explain(Reason, Function, Args);
        none -> #{};
        Text -> #{general => Text}
    end.

unfolded({value, Map}) ->
    Call = case ebpf_maps_terms:is_locator(Map) of
        true -> "open(What, [{percpu, sum}])";
        false -> "typed(Map, [{percpu, sum}])"
    end,
    ["the map has a value for each CPU, and one number is wanted: ", Call,
     " returns a handle that adds them up; max and min are the other ways"].

why(Words) ->
    case lists:sort(maps:values(Words)) of
        [] -> "the operation failed";
        [Why | _] -> Why
    end.

%% The kernel refuses one pair; anything else stops a whole message, at an unknown pair.
explain_rest(badarg, _Map, _Pairs, _Done) ->
    "a later pair names something that does not exist, or has not one value for each possible CPU "
    "of the C node's host";
explain_rest(Posix, Map, Pairs, Done) when is_atom(Posix), Posix =/= notalive ->
    case pair(Done + 1, Pairs) of
        {Key, Value} ->
            ["the key ", shown(Key), " failed: ", why(explain(Posix, put, [Key, Value, Map]))];
        unknown ->
            ["then: ", why(explain(Posix, merge, [Map, Pairs]))]
    end;
explain_rest(Reason, Map, Pairs, _Done) ->
    ["then: ", why(explain(Reason, merge, [Map, Pairs]))].

pair(N, Pairs) when is_map(Pairs) -> pair(N, maps:to_list(Pairs));
pair(N, Pairs) when N =< length(Pairs) -> lists:nth(N, Pairs);
pair(_N, _Pairs) -> unknown.

number(1, One, _Many) -> ["1 ", One, " was"];
number(N, _One, Many) -> [integer_to_list(N), $\s, Many, " were"].

%%--------------------------------------------------------------------------------------------------
%% Maps
%%--------------------------------------------------------------------------------------------------

%% The map may also be a value, or in an option.
bad_map(Term, Function, Args) ->
    case {argument(map, Function, Args), argument(value, Function, Args)} of
        {{value, Term}, _} ->
            N = position(map, Function, length(Args)),
            #{N => [no_map(Term), order(Term, Function, Args)]};
        {_, {value, Term}} ->
            #{position(value, Function, length(Args)) => no_map(Term)};
        _ ->
            elsewhere(Term, Function, length(Args))
    end.

elsewhere(Term, next, 1) -> #{1 => ["the iterator's map is ", no_map(Term)]};
elsewhere(Term, check, 5) -> elsewhere(Term, new, 5);
elsewhere(Term, new, 5) -> #{5 => ["the option inner_map: ", no_map(Term)]};
elsewhere(Term, Function, _Arity) -> of_value(no_map(Term), Function).

%% A value that is no argument by itself.
of_value(Text, merge) -> #{2 => ["a value: ", Text]};
of_value(Text, update_with) -> #{2 => ["the result of the fun: ", Text]};
of_value(Text, _Function) -> #{general => Text}.

bad_program(Term, Function, Args) ->
    Text = ebpf_programs_errors:no_handle(program, Term),
    case argument(value, Function, Args) of
        {value, _} -> #{position(value, Function, length(Args)) => Text};
        none -> of_value(Text, Function)
    end.

%% Why a term is no live handle of a map.
-spec no_map(term()) -> unicode:chardata().
no_map({error, notype}) ->
    ["not a map handle but {error,notype}: the kernel has no types of the map; give layouts, "
     "{types, {KeyLayout, ValueLayout}}; or it has none of the name in {vmlinux, Name}"];
no_map({error, Reason}) when is_atom(Reason) ->
    ["not a map handle but ", shown({error, Reason}), ", as a failed new or open returns"];
no_map(Term) ->
    case ebpf_maps_terms:is_handle(Term) of
        true when node(element(2, Term)) =:= node() ->
            "not a live map: this node created its reference, not a C node";
        true ->
            ["not a live map: it was closed, its owner has gone, or ",
             atom_to_list(node(element(2, Term))), " has restarted without --keep"];
        false ->
            ["not a map handle: ", shown(Term)]
    end.

%% Says so if another argument is the map.
order(Term, Function, Args) ->
    IsHandle = fun ebpf_maps_terms:is_handle/1,
    case {IsHandle(Term), [N || {N, Arg} <- lists:enumerate(Args), IsHandle(Arg)]} of
        {false, [N]} ->
            [io_lib:format("; argument ~w is one: call ", [N]),
             ebpf_maps_arguments:signature(Function, length(Args))];
        _ ->
            ""
    end.
