%% SPDX-License-Identifier: Apache-2.0
%%
%% What takes several calls of the C node, and leaves nothing behind if one of them fails.
%% @private
-module(ebpf_programs_whole).

-export([load_file/3, attach_all/3, with_program/4]).

-import(ebpf_cnode_arguments, [is_text/1, utf8/1]).
-import(ebpf_programs_request, [ask/4, ask_by_option/4]).

-type outcome() :: ebpf_cnode_request:outcome().
-type args() :: [term()].

-spec load_file(File :: term(), Options :: term(), args()) -> outcome().
load_file(File, Options, Args) ->
    case file:read_file(File) of
        {ok, Elf} -> ask_by_option(load, [Elf], Options, Args);
        {error, badarg} -> {raise, badarg, Args};
        {error, Posix} -> {value, {error, {file, Posix}}}
    end.

%%--------------------------------------------------------------------------------------------------
%% All programs of an object
%%--------------------------------------------------------------------------------------------------

-spec attach_all(Loaded :: term(), Options :: term(), args()) -> outcome().
attach_all(#{programs := Programs}, Options, Args) when is_map(Programs) ->
    case attach_options(Options) of
        {Targets, Sent} -> attach_to(Targets, Programs, Sent, Args);
        badarg -> {raise, badarg, Args}
    end;
attach_all(_Term, _Options, Args) ->
    {raise, badarg, Args}.

%% What goes with each program and target to the C node. That would refuse a wrong option, but not
%% in other words than a section without a target.
attach_options(Options) ->
    case targets(Options) of
        {Targets, []} -> {Targets, []};
        {Targets, [{lifetime, Lifetime}] = Rest} ->
            case ebpf_cnode_arguments:bad_lifetime(Lifetime) of
                none -> {Targets, [Rest]};
                _ -> badarg
            end;
        _ -> badarg
    end.

%% Programs without a target of their own get that of their section.
attach_to(Targets, Programs, Options, Args) ->
    case maps:keys(Targets) -- maps:keys(Programs) of
        [] ->
            Targeted = [{Name, Program, maps:get(Name, Targets, auto)}
                        || {Name, Program} <- lists:sort(maps:to_list(Programs))],
            attach_each(Targeted, Options, #{}, Args);
        _Unknown ->
            {raise, badarg, Args}
    end.

attach_each([], _Options, Links, _Args) ->
    {value, Links};
attach_each([{Name, Program, Target} | Programs], Options, Links, Args) ->
    case ask(program, Program, attach, [Program, Target | Options]) of
        {value, {error, Reason}} ->
            undo(Links, {value, {error, {Name, Reason}}});
        %% the section names no target: that is a fault of the object
        {raise, badarg, _} when Target =:= auto ->
            undo(Links, {value, {error, {Name, badarg}}});
        {raise, Reason, _} ->
            undo(Links, {raise, Reason, Args});
        {value, Link} ->
            attach_each(Programs, Options, Links#{Name => Link}, Args)
    end.

undo(Links, Outcome) ->
    detach(maps:values(Links)),
    Outcome.

%%--------------------------------------------------------------------------------------------------
%% An object for a while
%%--------------------------------------------------------------------------------------------------

-spec with_program(Elf :: term(), Options :: term(), Fun :: term(), args()) -> outcome().
with_program(Elf, Options, Fun, Args) when is_function(Fun, 1) ->
    case targets(Options) of
        {Targets, Rest} -> with_targets(Elf, Targets, Rest, Fun, Args);
        badarg -> {raise, badarg, Args}
    end;
with_program(_Elf, _Options, _Term, Args) ->
    {raise, badarg, Args}.

with_targets(Elf, Targets, Options, Fun, Args) ->
    {Lifetime, All} = lifetime(Options),
    case ask_by_option(load, [Elf], All, Args) of
        {value, #{programs := Programs} = Loaded} ->
            try
                Attached = attach_to(Targets, Programs, [[{lifetime, Lifetime}]], Args),
                call(Fun, Loaded, Attached)
            after
                close(Loaded, given(Options))
            end;
        Failed ->
            Failed
    end.

call(Fun, Loaded, Attached) ->
    case Attached of
        {value, Links} when is_map(Links) ->
            try
                {value, Fun(Loaded#{links => Links})}
            after
                detach(maps:values(Links))
            end;
        Failed ->
            Failed
    end.

%% Links bear the lifetime of the programs; what is no list of options is for the C node to refuse.
lifetime(Options) when length(Options) >= 0 ->
    case [Lifetime || {lifetime, Lifetime} <- Options] of
        [Lifetime | _] -> {Lifetime, Options};
        [] -> {process, [{lifetime, process} | Options]}
    end;
lifetime(Term) ->
    {process, Term}.

%% The option that the C node does not know, by names as they are returned; and all other options.
targets(Options) when length(Options) >= 0 ->
    case lists:keytake(targets, 1, Options) of
        {value, {targets, Targets}, Rest} when is_map(Targets) -> by_name(Targets, Rest);
        {value, _, _} -> badarg;
        false -> {#{}, Options}
    end;
targets(Term) ->
    {#{}, Term}.

by_name(Targets, Rest) ->
    ByName = maps:from_list([{utf8(Name), Target} || {Name, Target} <- maps:to_list(Targets),
                                                     is_text(Name)]),
    case map_size(ByName) =:= map_size(Targets) of
        true -> {ByName, Rest};
        false -> badarg
    end.

%% The references of maps that are the caller's own.
given(Options) ->
    [element(2, Map) || {maps, Maps} <- Options, Map <- maps:values(Maps)].

%%--------------------------------------------------------------------------------------------------
%% The end; it goes on whatever fails
%%--------------------------------------------------------------------------------------------------

%% A link that somebody else has opened meanwhile cannot be detached, but left.
detach(Links) ->
    lists:foreach(fun(Link) ->
        case ask(link, Link, detach, [Link]) of
            {value, {error, _}} -> close_handle(Link);
            _ -> ok
        end
    end, Links).

close(#{programs := Programs, maps := Maps}, Given) ->
    lists:foreach(fun close_handle/1, maps:values(Programs)),
    lists:foreach(fun close_map/1, [Map || Map <- maps:values(Maps),
                                           not lists:member(element(2, Map), Given)]).

close_handle(Handle) ->
    _ = ask(either, Handle, close, [Handle]),
    ok.

close_map(Map) ->
    _ = ebpf_maps_request:ask(Map, close, [Map]),
    ok.
