%% SPDX-License-Identifier: Apache-2.0
%%
%% Says in words what differs on a host, and why it could not be mended.
%% @private
-module(ebpf_fleet_keep_words).

-export([difference/1, reason/1]).

-import(ebpf_cnode_words, [shown/1, number/2]).

-spec difference(term()) -> binary().
difference(Difference) -> unicode:characters_to_binary(text(Difference)).

text(pending) ->
    "it was not looked at yet";
text(unmarked) ->
    "nothing is loaded";
text({untidy, N}) ->
    ["what was there before is not closed yet: ", number(N, "map")];
text({no_map, Name}) ->
    ["map ", Name, ": not there: the object has none of that name, or its handle was closed"];
text({map, Name, Difference}) ->
    ["map ", Name, ": ", of_map(Difference)];
text({State, Program, Target, Reason}) ->
    ["program ", Program, ": ", state(State), target(Target), because(Reason)];
text({extra, Program, Target}) ->
    ["program ", Program, ": attached to ", target(Target), ", which the spec does not say"];
text({busy, Node}) ->
    ["another keeper works there: ", atom_to_list(Node)].

state(not_attached) -> "not attached to ";
state(ended) -> "no longer attached, as its target has gone: ";
state(old) -> "an older one is attached to ".

because(none) -> "";
because(Reason) -> [": ", with_name(Reason, attach)].

of_map({put, [{Key, _} | _] = Pairs}) ->
    [number(length(Pairs), "entry"), " missing or different, first ", shown(Key),
     "; if this stays, the map does not return a value as it was put, or something else writes it"];
of_map({remove, [Key | _] = Keys}) ->
    [number(length(Keys), "entry"), " too many, first ", shown(Key)];
of_map({failed, badarg}) ->
    "badarg: keys and values do not fit the map: it may have other sizes, or no keys";
of_map({failed, Reason}) ->
    with_name(Reason, map).

target(auto) -> "the target of its section";
target(Target) when is_atom(Target) -> atom_to_list(Target);
target(Target) when is_tuple(Target) ->
    lists:join(" ", [word(One) || One <- tuple_to_list(Target)]).

word(Binary) when is_binary(Binary) -> Binary;
word(Term) -> shown(Term).

%% Why a host has failed.
-spec reason(term()) -> binary().
reason(Reason) -> unicode:characters_to_binary(why(Reason, load)).

%% The name is what one looks for.
with_name(Reason, What) when is_atom(Reason) -> [atom_to_list(Reason), ": ", why(Reason, What)];
with_name(Reason, What) -> why(Reason, What).

why(damaged, _What) ->
    "its mark is damaged, so what was kept is not known: ebpf_maps:list/1 shows it, with a name "
    "that begins with k_; close its handle, and detach what was attached";
why(too_many, _What) ->
    "the object has more maps and programs than a mark has room for";
why({busy, Node}, _What) ->
    text({busy, Node});
why(no_program, _What) ->
    "the object has no program of that name, or load does not name it";
why(worker, _What) ->
    "the process that was at work there took too long, or failed";
why(Reason, _What) when Reason =:= nodedown; Reason =:= timeout; Reason =:= badreply ->
    ebpf_fleet_errors:words(Reason);
why({rejected, _, Program, Log} = Reason, _What) when is_binary(Program), is_binary(Log) ->
    [ebpf_fleet_errors:words(Reason), ": ", ebpf_programs:verifier({error, Reason})];
why({object, Text}, _What) when is_binary(Text) ->
    ["libbpf cannot read the object: ", Text];
why(badarg, load) ->
    "an option of load names what the object does not have, or is none: the C node logs what, at "
    "level info";
why(eacces, What) when What =:= load; What =:= attach ->
    "this node may not load programs there: --allow of the C node must give it load, and "
    "--programs name the type of the program";
why(Reason, What) when What =:= load; What =:= attach ->
    case ebpf_programs:format_error({error, Reason}, [{ebpf_programs, What, [], []}]) of
        #{general := Text} -> Text;
        _ -> ebpf_fleet_errors:words(Reason)
    end;
why(Reason, _What) ->
    ebpf_fleet_errors:words(Reason).
