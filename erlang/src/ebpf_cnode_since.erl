%% SPDX-License-Identifier: Apache-2.0
%%
%% The version that introduced each function, to explain that a C node does not serve it. A function
%% in no table below came with ?VERSION; before that is raised, list those here in a table of their
%% own.
%% @private
-module(ebpf_cnode_since).

-export([version/0, since/3, missing/4]).

-define(FIRST, "0.1.0").
-define(SECOND, "0.2.0").
-define(VERSION, "0.4.0").
-define(FEATURES_SINCE, "0.2.0").
-define(PROGRAMS_SINCE, "0.3.0").

%% The version of this application.
-spec version() -> string().
version() -> ?VERSION.

%% The first version whose facade has the function.
-spec since(module(), atom(), arity()) -> string().
since(ebpf_maps, Function, Arity) ->
    since({Function, Arity}, [{?FIRST, first()}, {?SECOND, second()}]);
since(ebpf_programs, _Function, _Arity) ->
    ?PROGRAMS_SINCE;
since(_Module, _Function, _Arity) ->
    ?VERSION.

since(_Name, []) ->
    ?VERSION;
since(Name, [{Version, Names} | Later]) ->
    case lists:member(Name, Names) of
        true -> Version;
        false -> since(Name, Later)
    end.

%% The first version of a C node that is enough for it: a newer function may be made of older ones.
needs(ebpf_maps, Function, Arity) ->
    case lists:member({Function, Arity}, made_of_first() ++ shown()) of
        true -> ?FIRST;
        false -> since(ebpf_maps, Function, Arity)
    end;
needs(Module, Function, Arity) ->
    since(Module, Function, Arity).

%% Why Node, which is up, raised undef. A node that lacks a function of the first version is not an
%% ebpf_cnode at all.
-spec missing(node(), module(), atom(), arity()) -> binary().
missing(Node, Module, Function, Arity) ->
    Versions = versions(needs(Module, Function, Arity), version(Node)),
    Text = io_lib:format("~ts does not serve ~ts:~ts/~w, or a function that it needs~ts",
                         [Node, Module, Function, Arity, Versions]),
    unicode:characters_to_binary(Text).

versions(?FIRST, unknown) -> "";
versions(?FIRST, none) -> "";
versions(Since, unknown) -> [": that came with version ", Since];
versions(Since, none) -> [versions(Since, unknown), ", and the node is older than " ?FEATURES_SINCE];
versions(Since, Version) -> [versions(Since, unknown), ", and the node has ", Version].

version(Node) ->
    case ebpf_cnode_request:ask_at_once(Node, features, []) of
        {value, #{version := Version}} when is_binary(Version) -> Version;
        undef -> none;
        _ -> unknown
    end.

first() ->
    [{new, 4}, {new, 5}, {open, 1}, {open, 2}, {close, 1}, {fd, 1}, {node, 1}, {type, 1},
     {info, 1}, {list, 0}, {list, 1}, {handles, 0}, {handles, 1}, {stats, 0}, {stats, 1},
     {pin, 2}, {unpin, 2}, {freeze, 1}, {get, 2}, {get, 3}, {find, 2}, {is_key, 2}, {put, 3},
     {insert, 3}, {update, 3}, {update_with, 3}, {remove, 2}, {take, 2}, {push, 2}, {pop, 1},
     {peek, 1}, {with, 2}, {without, 2}, {merge, 2}, {size, 1}, {keys, 1}, {values, 1},
     {to_list, 1}, {fold, 3}, {foreach, 2}, {clear, 1}, {drain, 1}, {iterator, 1}, {iterator, 2},
     {next, 1}, {next_chunk, 3}, {drain_chunk, 3}, {format_error, 2}].

second() ->
    [{check, 4}, {check, 5}, {features, 0}, {features, 1}, {progress, 0} | made_of_first()].

%% They print bytes where a C node knows no types.
shown() -> [{table, 1}, {table, 2}].

made_of_first() ->
    [{i, 0}, {i, 1}, {merge, 3}, {to_list, 2}, {fold, 4}, {drain, 2}].
