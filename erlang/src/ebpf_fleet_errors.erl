%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains in words why a function of the fleet raised an exception, EEP 54, and why a host has
%% failed.
%% @private
-module(ebpf_fleet_errors).

-export([format_error/2, words/1]).

-import(ebpf_cnode_words, [shown/1, kernel_says/1]).

-define(MOST_SHOWN, 8). % hosts in a text

-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error({error, Reason}, _Stack) ->
    ebpf_cnode_words:binaries(#{general => of_host(Reason)});
format_error(Reason, [{ebpf_fleet, Function, Args, _Info} | _]) when is_list(Args) ->
    ebpf_cnode_words:binaries(raised(Reason, Function, Args));
format_error(_Reason, _Stack) ->
    #{}.

%%--------------------------------------------------------------------------------------------------
%% Hosts
%%--------------------------------------------------------------------------------------------------

-spec words(Reason :: term()) -> binary().
words({error, Reason}) -> words(Reason);
words(Reason) -> unicode:characters_to_binary(of_host(Reason)).

%% A node may have made up the reason.
of_host(Reason) ->
    Text = try of_reason(Reason) catch error:_ -> shown(Reason) end,
    case unicode:characters_to_binary(Text) of
        Words when is_binary(Words) -> Words;
        _ -> shown(Reason)
    end.

of_reason(nodedown) ->
    "no connection: check that ebpf_cnode runs there under this name, with the same cookie; it is "
    "tried again half a minute after that, or once it is connected";
of_reason(timeout) ->
    "no answer in time: the options timeout and deadline say how long one is waited for; who was "
    "silent for a second is asked again half a minute after that";
of_reason(undef) ->
    "the C node does not serve the function: it is older than this application, or is none";
of_reason(badreply) ->
    "what came is no answer of an ebpf_cnode to that: it has another shape, other sizes than its map, "
    "or more entries than the map can have";
of_reason(undone) ->
    "done here, and undone because another host has failed";
of_reason({partial, Count, Reason}) ->
    [io_lib:format("~w entries were done; then: ", [Count]), of_host(Reason)];
of_reason({max_keys, Most}) ->
    io_lib:format("it has keys beyond the ~w that the option max_keys allows in all", [Most]);
of_reason({left, Reason}) ->
    ["done here, and left so: another host has failed, but it could not be undone: ", of_host(Reason)];
of_reason({badvalue, Value}) when Value =:= nan; Value =:= infinity; Value =:= '-infinity' ->
    ["a value is ", atom_to_list(Value), ", which has no sum and no rank with numbers"];
of_reason({badvalue, Value}) ->
    ["a value is no number, or has another shape than those of other hosts, so it cannot be merged: ",
     shown(Value), "; give its layout by the option values, or a merge that takes any value"];
of_reason({badmap, {error, Reason}}) ->
    ["the fun has returned ", shown({error, Reason})];
of_reason({badmap, Term}) ->
    ["not a live map: ", shown(Term)];
of_reason({badkey, Key}) ->
    ["no such key: ", shown(Key)];
of_reason({badmember, Path}) ->
    ["the value has no number at the member ", shown(Path), ", or a term does not fit it"];
of_reason({too_big, Max}) ->
    io_lib:format("the request or its answer would be longer than ~w bytes, the C node's "
                  "--max-message", [Max]);
of_reason(badarg) ->
    "an argument or an option is wrong there: keys and values may have other sizes or types than those "
    "given, or the function takes no such option";
of_reason(notype) ->
    "the kernel has no types of the map: give layouts by the options keys and values";
of_reason(ambiguous) ->
    "several maps there have that name";
of_reason(enoent) ->
    "no map has that name or path there, or that entry";
of_reason({rejected, Posix, Program, _Log}) ->
    ["the kernel refuses the program ", Program, ": ", kernel_says(Posix),
     "; ebpf_programs:verifier/1 says why"];
of_reason({object, Text}) when is_binary(Text) ->
    ["libbpf can make nothing of the object: ", Text];
of_reason(unfolded) ->
    "its values are lists of those of all CPUs: give the option percpu, sum, max or min";
of_reason(ebusy) ->
    "something is attached there already that takes only one; or the C node is busy";
of_reason(eacces) ->
    "this node has not the right for that there (--allow and --programs of the C node)";
of_reason({loader, How}) when How =:= gone; How =:= killed; How =:= timeout ->
    ebpf_cnode_words:loader(How, load);
of_reason({busy, Node}) ->
    ["another keeper is at work there: ", shown(Node)];
of_reason({file, Posix}) ->
    ["the object cannot be read: ", file:format_error(Posix)];
of_reason(too_many) ->
    "64 specs are kept already, or one has more maps and programs than a mark has room for";
of_reason(notstarted) ->
    "the application ebpf_cnode does not run on this node: start it";
of_reason(damaged) ->
    "its mark is damaged, so what was kept is not known";
of_reason({object, Text}) when is_binary(Text) ->
    ["libbpf cannot read the object: ", Text];
of_reason(Reason) when is_atom(Reason) ->
    kernel_says(Reason);
of_reason(Reason) ->
    shown(Reason).

%%--------------------------------------------------------------------------------------------------
%% Raised
%%--------------------------------------------------------------------------------------------------

raised(badarg, Function, Args) ->
    faults(Function, Args);
raised({badmap, Term}, _Function, Args) ->
    #{position(Term, Args) =>
          ["not {name, Name}, {pinned, Path} or a fun of a node: ", shown(Term)]};
raised({failed, Results}, _Function, _Args) when is_map(Results) ->
    #{general => failed(maps:to_list(Results))};
raised({badvalue, Value}, _Function, _Args) ->
    #{general => of_host({badvalue, Value})};
raised({badkey, Name}, status, _Args) ->
    #{1 => ["nothing is kept here under that name: ", shown(Name)]};
raised({badnodes, Term}, _Function, _Args) ->
    #{general => ["the fun of the option nodes has returned no list of names of nodes: ",
                  shown(Term)]};
raised({badenv, {fleet, Term}}, _Function, _Args) ->
    #{general => ["the variable fleet of the application ebpf_cnode names no nodes, as the option "
                  "nodes would: ", shown(Term)]};
raised(Reason, Function, Args) ->
    case ebpf_cnode_words:of_request(Reason, ebpf_fleet, Function, length(Args)) of
        none -> #{};
        Text -> #{general => Text}
    end.

failed(Results) ->
    Shown = lists:sublist(Results, ?MOST_SHOWN),
    More = length(Results) - length(Shown),
    [lists:join("; ", [[atom_to_list(Node), ": ", of_host(Reason)] || {Node, Reason} <- Shown]),
     [io_lib:format("; and ~w more", [More]) || More > 0]].

position(Term, Args) ->
    case [N || {N, Arg} <- lists:enumerate(Args), Arg =:= Term] of
        [N | _] -> N;
        [] -> general
    end.

%%--------------------------------------------------------------------------------------------------
%% Arguments
%%--------------------------------------------------------------------------------------------------

faults(Function, Args) ->
    Options = [{length(Args), ebpf_fleet_options:fault(by(Function), lists:last(Args))}
               || Args =/= [], has_options(Function), {Function, length(Args)} =/= {unkeep, 1}],
    maps:from_list([{N, Text} || {N, Text} <- arguments(Function, Args) ++ Options, Text =/= none]).

has_options(Function) ->
    not lists:member(Function, [unsubscribe, keep, status, kept]).

by(nodes) -> call;
by(Function) -> Function.

arguments(call, [Function, Args | _]) ->
    [{1, unless(is_function_name(Function), "a function of ebpf_maps, or {Module, Function}", Function)},
     {2, unless(is_function(Args, 1) orelse is_list(Args), "a list, or a fun of a node", Args)}];
arguments(fold, [Fun | _]) ->
    [{1, unless(is_function(Fun, 3) orelse is_function(Fun, 4),
                "a fun of key, value and accumulator, or of the node and these", Fun)}];
arguments(top, [N | _]) ->
    [{1, unless(is_integer(N) andalso N >= 0, "a number of entries", N)}];
arguments(merge, [_What, Pairs | _]) ->
    [{2, unless(ebpf_maps_merge:messages(Pairs) =/= badarg, "a map, or a list of pairs", Pairs)}];
arguments(attach, [Programs | _]) ->
    [{1, unless(is_map(Programs), "a map of nodes to programs", Programs)}];
arguments(subscribe, [_What, Pid | _]) ->
    [{2, unless(is_pid(Pid) andalso node(Pid) =:= node(), "a process of this node", Pid)}];
arguments(unsubscribe, [Stream | _]) ->
    [{1, unless(false, "what subscribe/3 has returned on this node", Stream)}];
arguments(keep, [Spec]) ->
    [{1, ebpf_fleet_keep_spec:fault(Spec)}];
arguments(unkeep, [Name | _]) ->
    [{1, unless(is_atom(Name), "the name of what is kept, an atom", Name)}];
arguments(kept, [Name, Map]) ->
    [{1, unless(is_atom(Name), "the name of what is kept, an atom", Name)},
     {2, unless(ebpf_cnode_arguments:is_text(Map), "the name of a map", Map)}];
arguments(_Function, _Args) ->
    [].

is_function_name({Module, Name}) -> is_atom(Module) andalso is_atom(Name);
is_function_name(Name) -> is_atom(Name).

unless(true, _Wanted, _Term) -> none;
unless(false, Wanted, Term) -> ["not ", Wanted, ": ", shown(Term)].
