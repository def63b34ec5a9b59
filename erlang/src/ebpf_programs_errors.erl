%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains in words why a function of programs raised an exception: EEP 54; and what an error means
%% that it returned. It has only the reason and the arguments to go by, and says no more than
%% follows from them.
%% @private
-module(ebpf_programs_errors).

-export([format_error/2, no_handle/2]).

-import(ebpf_cnode_words, [shown/1]).
-import(ebpf_programs_arguments, [position/3, roles/2]).

-type words() :: ebpf_cnode_words:words().

-spec format_error(Reason :: term(), erlang:stacktrace()) ->
    #{pos_integer() | general => binary()}.
format_error({error, Reason}, Stack) ->
    ebpf_cnode_words:binaries(returned(Reason, function(Stack)));
format_error(Reason, [{ebpf_programs, Function, Args, _Info} | _]) when is_list(Args) ->
    ebpf_cnode_words:binaries(raised(Reason, Function, Args));
format_error(_Reason, _Stack) ->
    #{}.

function([{ebpf_programs, Function, _Args, _Info} | _]) -> Function;
function(_Stack) -> unknown.

%%--------------------------------------------------------------------------------------------------
%% Exceptions
%%--------------------------------------------------------------------------------------------------

-spec raised(Reason :: term(), atom(), Args :: [term()]) -> words().
raised(badarg, Function, Args) ->
    ebpf_programs_arguments:faults(Function, Args);
raised({badprogram, Term}, Function, Args) ->
    bad_handle(program, Term, Function, Args);
raised({badlink, Term}, Function, Args) ->
    bad_handle(link, Term, Function, Args);
raised({badmap, Term}, Function, Args) ->
    bad_map(Term, Function, Args);
raised(Reason, Function, Args) ->
    case ebpf_cnode_words:of_request(Reason, ebpf_programs, Function, length(Args)) of
        none when is_atom(Reason) ->
            case bad_locators(Reason, Function, Args) of
                Faults when Faults =/= #{} -> Faults;
                _ -> #{general => ebpf_programs_posix:raised(Reason, Function, Args)}
            end;
        none -> #{};
        Text -> #{general => Text}
    end.

%% A handle may also stand in a target, or in what load/2 returned.
bad_handle(Kind, Term, Function, Args) ->
    Text = no_handle(Kind, Term),
    case [N || N <- [position(Role, Function, length(Args)) || Role <- [Kind, either]],
               N =/= none, lists:nth(N, Args) =:= Term]
    of
        [N | _] -> #{N => Text};
        [] ->
            case of_targets(fun(Target) -> is_beside(Term, Target) end, Function, Args) of
                [Name | _] -> of_target(Name, ["the link of the place: ", Text]);
                [] -> elsewhere(Text, Term, lists:zip(roles(Function, length(Args)), Args))
            end
    end.

is_beside(Link, Target) ->
    case Target of
        {tc, _, _, {_, Link}} -> true;
        _ -> false
    end.

%% The names of the programs that the option targets gives such a target; it stands second.
of_targets(Is, Function, Args) ->
    [Name || {Name, Target} <- ebpf_programs_arguments:targets(Function, Args), Is(Target)].

of_target(Name, Text) ->
    #{2 => ["the option targets: of ", name(Name), ": ", Text]}.

elsewhere(Text, Term, Arguments) ->
    case lists:search(fun({Role, _}) -> Role =:= target orelse Role =:= loaded end, Arguments) of
        {value, {target, {tc, _, _, {_, Term}}}} ->
            #{2 => ["the link of the place: ", Text]};
        {value, {loaded, #{programs := Programs}}} ->
            #{1 => [["the program ", name(Name), ": "]
                    || {Name, Program} <- maps:to_list(Programs), Program =:= Term] ++ Text};
        _ ->
            #{general => Text}
    end.

name(Name) when is_binary(Name) -> Name;
name(Name) -> shown(Name).

bad_map(Term, Function, Args) ->
    Text = no_map(Term),
    case [{N, [Where, Text]} || {N, Where, Map} <- maps_in(Function, Args), Map =:= Term] of
        [Fault | _] -> maps:from_list([Fault]);
        [] -> #{general => Text}
    end.

%% Faults of locators. By eacces there are other causes, too.
bad_locators(eacces, _Function, _Args) ->
    #{};
bad_locators(Reason, Function, Args) ->
    maps:from_list([{N, [Where, shown(Map), ": ", Text]}
                    || {N, Where, Map} <- lists:reverse(maps_in(Function, Args)),
                       (Text = ebpf_maps_locators:words(Reason, Function, Map)) =/= none]).

%% Each map with the number of its argument, and where it stands there.
maps_in(Function, Args) ->
    [{2, ["the option targets: of ", name(Name), ": "], Map}
     || {Name, {sockmap, Map}} <- ebpf_programs_arguments:targets(Function, Args)]
        ++ [{N, "", Map} || {target, N, {sockmap, Map}} <- numbered(Function, Args)]
        ++ [{N, "the option maps: ", Map} || {options, N, Options} <- numbered(Function, Args),
                                             length(Options) >= 0, {maps, Maps} <- Options,
                                             Map <- values(Maps)].

numbered(Function, Args) ->
    Roles = roles(Function, length(Args)),
    [{Role, N, lists:nth(N, Args)} || {N, Role} <- lists:enumerate(Roles)].

values(Maps) when is_map(Maps) -> [Map || {_Name, Map} <- lists:sort(maps:to_list(Maps))];
values(Maps) when length(Maps) >= 0 -> Maps;
values(_Term) -> [].

no_map(Term) ->
    case ebpf_maps_terms:is_handle(Term) of
        true -> not_live("map", Term);
        false -> ["not a map handle: ", shown(Term)]
    end.

%% Why a term is no live handle.
-spec no_handle(program | link, term()) -> unicode:chardata().
no_handle(Kind, Term) ->
    Noun = atom_to_list(Kind),
    case {ebpf_programs_terms:is_handle(Kind, Term), ebpf_programs_terms:is_handle(either, Term)} of
        {true, _} -> not_live(Noun, Term);
        {_, true} when Kind =:= program -> ["a link, where a program belongs: ", shown(Term)];
        {_, true} -> ["a program, where a link belongs: ", shown(Term)];
        _ -> no_handle(Noun, Term, made_by(Kind))
    end.

no_handle(Noun, {error, Reason}, Makers) ->
    ["not a ", Noun, " handle but ", shown({error, Reason}), ", as a failed ", Makers, " returns"];
no_handle(Noun, Term, _Makers) when is_map(Term) ->
    ["not a ", Noun, " handle but a map, as load/2 returns, where ", Noun, "s are under their "
     "names"];
no_handle(Noun, Term, _Makers) ->
    ["not a ", Noun, " handle: ", shown(Term)].

made_by(program) -> "load or open";
made_by(link) -> "attach or open".

not_live(Noun, Handle) when node(element(2, Handle)) =:= node() ->
    ["not a live ", Noun, ": this node created its reference, not a C node"];
not_live(Noun, Handle) ->
    ["not a live ", Noun, ": it was closed", also(Noun), ", its owner has gone, or ",
     atom_to_list(node(element(2, Handle))), " has restarted without --keep"].

also("link") -> " or detached";
also(_Noun) -> "".

%%--------------------------------------------------------------------------------------------------
%% Errors that were returned
%%--------------------------------------------------------------------------------------------------

%% The first clauses are those that name what it is about; attach_all/1,2 and with_program/3 return
%% the name of the program that could not be attached.
-spec returned(Reason :: term(), atom()) -> words().
returned({rejected, Posix, Program, Log}, _Function) when is_atom(Posix), is_binary(Program) ->
    #{general => rejected(Posix, Program, Log)};
returned({object, Text}, _Function) when is_binary(Text) ->
    #{general => ["libbpf cannot load the object: ", Text]};
returned({loader, How}, Function) when How =:= gone; How =:= killed; How =:= timeout ->
    #{general => ebpf_cnode_words:loader(How, Function)};
returned({file, Posix}, _Function) when is_atom(Posix) ->
    #{general => ["the file cannot be read on this node: ", file:format_error(Posix)]};
returned({Name, badarg}, _Function) when is_binary(Name) ->
    #{general => ["the program ", Name, ": its section names no target that auto takes; the "
                  "option targets gives it one"]};
returned({Name, Reason}, _Function) when is_binary(Name) ->
    maps:map(fun(_, Text) -> ["the program ", Name, ": ", Text] end, returned(Reason, attach));
returned(nodedown, _Function) ->
    #{general => "no connection to the C node: check that ebpf_cnode runs there under this name, "
                 "with the same cookie, and that both speak TLS or neither does; its log says whom "
                 "it refuses; if the connection was lost during the call, the operation may have "
                 "been carried out"};
returned(timeout, _Function) ->
    #{general => "no answer from the C node in time; the operation may have been carried out, or "
                 "may still be"};
returned(notalive, Function) ->
    #{general => ebpf_cnode_words:of_request(notalive, ebpf_programs, Function, 0)};
returned(Posix, Function) when is_atom(Posix) ->
    #{general => ebpf_programs_posix:returned(Posix, Function)};
returned(_Reason, _Function) ->
    #{}.

rejected(Posix, Program, <<>>) ->
    ["the kernel does not load the program ", Program, ", and its verifier tells no reason: ",
     ebpf_programs_posix:returned(Posix, load)];
rejected(Posix, Program, Log) when is_binary(Log) ->
    ["the verifier rejects the program ", Program, " (", atom_to_list(Posix), "):\n",
     ebpf_programs_verifier:last_lines(Log)].
