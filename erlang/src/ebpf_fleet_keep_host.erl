%% SPDX-License-Identifier: Apache-2.0
%%
%% Keeps a spec on one host: looks what is there, by the mark, and mends what differs. It runs in a
%% process of its own for each host, with which locks, programs and views end.
%%
%% What is found is judged by ids alone: links by the id of their program, maps by their own. The
%% mark has these before a link is attached or a map's handle made permanent, and nothing else is
%% needed to go on where another keeper was killed.
%% @private
-module(ebpf_fleet_keep_host).

-export([run/3, finish/3]).

-export_type([result/0, cache/0]).

-import(ebpf_fleet_keep_ask, [call/4, must/4, lied/0]).

-define(END_WAIT, 10_000). % ms for which the end waits for another keeper

-type spec() :: ebpf_fleet_keep_spec:spec().

-type difference() ::
    unmarked
    | {untidy, non_neg_integer()}
    | {no_map, Name :: binary()}
    | {map, Name :: binary(), term()}
    | {not_attached | ended | old, Program :: binary(), Target :: term(), Reason :: term()}
    | {extra, Program :: binary(), Target :: term()}
    | {busy, node()}.

-type result() :: {ok, [difference()], Maps :: #{binary() => tuple()}} | {error, Reason :: term()}.

-type cache() :: #{reference() => {Id :: non_neg_integer(), Name :: binary()}}.
%% What the ids of maps are does not change.

-record(link, {
    handle :: tuple(),
    program :: binary(),
    code :: binary(),
    id :: non_neg_integer(), % of its program
    target :: term(),
    live :: boolean() % false: what it was attached to has gone
}).

-record(seen, {
    cache :: cache(),
    marks :: [tuple()], % the first one counts
    content :: ebpf_fleet_keep_mark:content(),
    maps :: #{binary() => {Handle :: tuple(), ebpf_fleet_keep_mark:record()}},
    surplus :: [tuple()], % further handles of such maps
    links :: [#link{}]
}).

%%--------------------------------------------------------------------------------------------------
%% Once
%%--------------------------------------------------------------------------------------------------

%% Looks, and mends what differs.
-spec run(node(), spec(), cache()) -> {result(), cache()}.
run(Node, Spec, Cache) ->
    guarded(fun() ->
        Seen = see(Node, maps:get(name, Spec), Cache),
        case differences(Node, Spec, Seen) of
            [] -> {ended([], Seen), Seen#seen.cache};
            _ -> mend_alone(Node, Spec, Seen#seen.cache)
        end
    end, Cache).

mend_alone(Node, #{name := Name} = Spec, Cache) ->
    Mend = fun() -> mend(Node, Spec, see(Node, Name, Cache)) end,
    case ebpf_fleet_keep_mark:with_lock(Node, Name, 1000, Mend) of
        {busy, Owner} -> {{ok, [{busy, node(Owner)}], #{}}, Cache};
        Result -> Result
    end.

ended(Differences, #seen{maps = Maps}) ->
    {ok, Differences, maps:map(fun(_Name, {Handle, _}) -> Handle end, Maps)}.

%% Ends what the mark names, and then the mark.
-spec finish(node(), Name :: atom(), cache()) -> ok | {error, Reason :: term()}.
finish(Node, Name, Cache) ->
    {Result, _} = guarded(fun() ->
        case see(Node, Name, Cache) of
            #seen{marks = []} -> {ok, Cache};
            _ -> {finish_alone(Node, Name, Cache), Cache}
        end
    end, Cache),
    Result.

finish_alone(Node, Name, Cache) ->
    Finish = fun() ->
        Seen = see(Node, Name, Cache),
        #seen{links = Links, maps = Maps, surplus = Surplus, marks = Marks} = Seen,
        lists:foreach(fun(Link) -> detach(Node, Link) end, Links),
        Handles = [Handle || {Handle, _} <- maps:values(Maps)],
        lists:foreach(fun(Map) -> close(Node, Map) end, Handles ++ Surplus ++ Marks)
    end,
    case ebpf_fleet_keep_mark:with_lock(Node, Name, ?END_WAIT, Finish) of
        {busy, Owner} -> {error, {busy, node(Owner)}};
        ok -> ok
    end.

%% An answer of another shape fails some match here, and is a lie as well.
guarded(Fun, Cache) ->
    try
        Fun()
    catch
        throw:{failed, Reason} -> {{error, Reason}, Cache};
        error:Reason:Stack -> {{error, bad_reply(Reason, Stack)}, Cache}
    end.

bad_reply(Reason, Stack) ->
    logger:debug("~p ~p: ~tp", [?MODULE, Reason, Stack]),
    badreply.

%%--------------------------------------------------------------------------------------------------
%% Looking
%%--------------------------------------------------------------------------------------------------

see(Node, Name, Cache) ->
    Handles = [Map || {Map, _, permanent} <- ebpf_fleet_keep_mark:handles(Node, ebpf_maps),
                      element(1, Map) =:= ebpf_map],
    Known = maps:from_list([Known || Map <- Handles, Known <- known(Node, Map, Cache)]),
    Text = ebpf_fleet_keep_mark:name(Name),
    Marks = lists:sort([{Id, Map} || Map <- Handles, ebpf_fleet_keep_mark:is_mark(Map),
                                     {Id, Named} <- [found(Map, Known)], Named =:= Text]),
    Content = content(Node, [Mark || {_, Mark} <- Marks]),
    {Maps, Surplus} = sort_maps(Handles, Known, Content),
    #seen{
        cache = Known,
        marks = [Mark || {_, Mark} <- Marks],
        content = Content,
        maps = Maps,
        surplus = Surplus,
        links = links(Node, Content)
    }.

known(Node, Map, Cache) ->
    Ref = element(2, Map),
    case Cache of
        #{Ref := Known} ->
            [{Ref, Known}];
        #{} ->
            case ebpf_fleet_keep_mark:info(Node, Map) of
                {ok, #{id := Id, name := Name}} -> [{Ref, {Id, Name}}];
                {ok, _} -> lied();
                none -> []
            end
    end.

found(Map, Known) -> maps:get(element(2, Map), Known, {none, none}).

%% There are several marks where keepers lost their connection in the middle: all count.
content(Node, Marks) ->
    Contents = [read(Node, Mark) || Mark <- Marks],
    #{maps => lists:append([Maps || #{maps := Maps} <- Contents]),
      programs => lists:append([Programs || #{programs := Programs} <- Contents])}.

read(Node, Mark) ->
    case ebpf_fleet_keep_mark:read(Node, Mark) of
        {ok, Content} -> Content;
        damaged -> ebpf_fleet_keep_ask:failed(damaged)
    end.

%% Of several maps of a name the last one counts, which was loaded last.
sort_maps(_Handles, _Known, #{maps := []}) ->
    {#{}, []};
sort_maps(Handles, Known, #{maps := Records}) ->
    Live = [{Id, Map} || Map <- Handles, {Id, _} <- [found(Map, Known)], is_integer(Id)],
    lists:foldl(fun({Name, Id, _} = Record, {Maps, Surplus}) ->
        case [Map || {Same, Map} <- Live, Same =:= Id] of
            [] -> {Maps, Surplus};
            [Map | More] ->
                Named = maps:values(maps:with([Name], Maps)),
                Old = [Handle || {Handle, _} <- Named, Handle =/= Map],
                {Maps#{Name => {Map, Record}}, Old ++ More ++ Surplus}
        end
    end, {#{}, []}, Records).

links(_Node, #{programs := []}) ->
    [];
links(Node, #{programs := Programs}) ->
    [Link || {Handle, _, permanent} <- ebpf_fleet_keep_mark:handles(Node, ebpf_programs),
             element(1, Handle) =:= ebpf_link,
             {ok, Info} <- [ebpf_fleet_keep_mark:info(Node, Handle)],
             Link <- ours(Handle, Info, Programs)].

ours(Handle, #{program := Id, type := Type, target := Target}, Programs) when is_map(Target) ->
    [#link{
        handle = Handle,
        program = Name,
        code = Code,
        id = Id,
        target = ebpf_fleet_keep_spec:target(element(4, Handle)),
        live = is_live(Type, Target)
    } || {Name, _, Code} <- lists:sublist([One || {_, Same, _} = One <- Programs, Same =:= Id], 1)];
ours(_Handle, _Info, _Programs) ->
    lied().

%% The kernel tells nothing of an interface, a cgroup or a namespace that has gone.
is_live(Type, Target) when Type =:= xdp; Type =:= tcx; Type =:= cgroup; Type =:= netns ->
    lists:any(fun(Value) -> Value =/= 0 end, maps:values(Target));
is_live(_Type, _Target) ->
    true.

%%--------------------------------------------------------------------------------------------------
%% What differs
%%--------------------------------------------------------------------------------------------------

differences(Node, #{maps := Wanted} = Spec, #seen{maps = Maps} = Seen) ->
    structure(Spec, Seen) ++
        [{map, Name, Difference} || {Name, One} <- maps:to_list(Wanted), is_map_key(Name, Maps),
                                    Difference <- filled(differs, Node, Name, One, Maps)].

filled(Function, Node, Name, Wanted, Maps) ->
    {Handle, _} = maps:get(Name, Maps),
    ebpf_fleet_keep_fill:Function(Node, Handle, Wanted).

structure(#{attach := Attach, maps := Wanted} = Spec, #seen{maps = Maps} = Seen) ->
    {Matched, Extra} = match(Attach, Seen#seen.links),
    [unmarked || Seen#seen.marks =:= []] ++
        [{no_map, Name} || Name <- maps:keys(Wanted), not is_good_map(Name, Maps, Spec)] ++
        [{State, Program, Target, none} || {{Program, Target}, Link} <- Matched,
                                           (State = state(Link, Spec)) =/= attached] ++
        [{extra, Program, Target} || #link{program = Program, target = Target} <- Extra] ++
        [{untidy, length(Seen#seen.surplus)} || is_untidy(Seen)].

is_good_map(Name, Maps, #{code := Code}) ->
    case Maps of
        #{Name := {_Handle, {_, _, Code}}} -> true;
        #{} -> false
    end.

state(none, _Spec) -> not_attached;
state(#link{live = false}, _Spec) -> ended;
state(#link{code = Code}, #{code := Code}) -> attached;
state(#link{}, _Spec) -> old.

%% Each attachment with its link, and the links that belong to none. What was attached to `auto` has
%% another target by now: that is the one that is left.
match(Attach, Links) ->
    {Autos, Others} = lists:partition(fun({_, Target}) -> Target =:= auto end, Attach),
    lists:mapfoldl(fun({Program, Target} = One, Left) ->
        case best([Link || #link{program = Same} = Link <- Left, Same =:= Program,
                           Target =:= auto orelse Link#link.target =:= Target])
        of
            none -> {{One, none}, Left};
            Link -> {{One, Link}, lists:delete(Link, Left)}
        end
    end, Links, Others ++ Autos).

best([]) -> none;
best(Links) ->
    hd([Link || #link{live = true} = Link <- Links] ++ Links).

is_untidy(#seen{marks = Marks, surplus = Surplus} = Seen) ->
    length(Marks) > 1 orelse Surplus =/= [] orelse
        (Marks =/= [] andalso used(Seen) =/= Seen#seen.content).

%% What of the mark is of use. A program without a link has ended with its keeper.
used(#seen{content = #{maps := Maps, programs := Programs}, maps = Held, links = Links}) ->
    Records = [Record || {_, Record} <- maps:values(Held)],
    Ids = [Id || #link{id = Id} <- Links],
    #{maps => [Map || Map <- Maps, lists:member(Map, Records)],
      programs => [One || {_, Id, _} = One <- Programs, lists:member(Id, Ids)]}.

%%--------------------------------------------------------------------------------------------------
%% Mending
%%--------------------------------------------------------------------------------------------------

mend(Node, #{name := Name} = Spec, Seen) ->
    Marked = mark(Node, Spec, Seen),
    {Failures, Held} =
        case needs_load(Spec, Marked) of
            true -> load(Node, Spec, Marked);
            false -> {fill(Node, Spec, Marked#seen.maps), Marked}
        end,
    Extra = extra(Spec, see(Node, Name, Held#seen.cache)),
    lists:foreach(fun(Link) -> detach(Node, Link) end, Extra),
    Tidied = tidy(Node, see(Node, Name, Held#seen.cache)),
    {ended(explain(structure(Spec, Tidied), Failures), Tidied), Tidied#seen.cache}.

mark(Node, #{name := Name}, #seen{marks = []} = Seen) ->
    Seen#seen{marks = [ebpf_fleet_keep_mark:new(Node, Name)]};
mark(_Node, _Spec, Seen) ->
    Seen.

needs_load(Spec, Seen) ->
    [] =/= [Difference || Difference <- structure(Spec, Seen), needs_program(Difference)].

needs_program({State, _, _, _}) -> State =/= extra;
needs_program({no_map, _}) -> true;
needs_program(_Difference) -> false.

extra(#{attach := Attach}, #seen{links = Links}) ->
    {Matched, Extra} = match(Attach, Links),
    %% while its program cannot be loaded, what was there before stays
    case [none || {_, none} <- Matched] of
        [] -> Extra;
        _ -> []
    end.

%% Failures of attachments stand for what differs, those of maps beside it.
explain(Differences, Failures) ->
    [with_reason(Difference, Failures) || Difference <- Differences] ++
        [Failure || {map, _, _} = Failure <- Failures].

with_reason({State, Program, Target, none} = Difference, Failures) ->
    case [Reason || {attach, Same, Other, Reason} <- Failures,
                    Same =:= Program, Other =:= Target]
    of
        [Reason | _] -> {State, Program, Target, Reason};
        [] -> Difference
    end;
with_reason(Difference, _Failures) ->
    Difference.

fill(Node, #{maps := Wanted}, Maps) ->
    [{map, Name, Difference} || {Name, One} <- maps:to_list(Wanted), is_map_key(Name, Maps),
                                Difference <- filled(mend, Node, Name, One, Maps)].

%% What the mark does not name any more has to be closed by then.
tidy(Node, #seen{marks = [Mark | Marks], surplus = Surplus} = Seen) ->
    case is_untidy(Seen) of
        true ->
            Used = used(Seen),
            lists:foreach(fun(Map) -> close(Node, Map) end, Surplus),
            ok = ebpf_fleet_keep_mark:write(Node, Mark, Used),
            lists:foreach(fun(Map) -> close(Node, Map) end, Marks),
            Seen#seen{content = Used, marks = [Mark], surplus = []};
        false ->
            Seen
    end.

detach(Node, #link{handle = Handle}) ->
    case call(Node, ebpf_programs, detach, [Handle]) of
        {ok, ok} -> ok;
        {error, enotsup} -> close(Node, Handle);
        {error, {badlink, _}} -> ok;
        {error, Reason} -> ebpf_fleet_keep_ask:failed(Reason);
        {ok, _} -> lied()
    end.

close(Node, Handle) when element(1, Handle) =:= ebpf_map -> close(Node, ebpf_maps, Handle);
close(Node, Handle) -> close(Node, ebpf_programs, Handle).

close(Node, Module, Handle) ->
    case call(Node, Module, close, [Handle]) of
        {ok, ok} -> ok;
        {error, ebadf} -> ok;
        {error, Reason} -> ebpf_fleet_keep_ask:failed(Reason);
        {ok, _} -> lied()
    end.

%%--------------------------------------------------------------------------------------------------
%% Loading
%%--------------------------------------------------------------------------------------------------

%% Programs end with this process where no link holds them. Maps that are there are used again.
load(Node, #{code := Code, attach := Attach} = Spec, Seen) ->
    Reuse = reuse(Node, Spec, Seen),
    {#{programs := Programs, maps := Maps}, Reused} = load_object(Node, Spec, Reuse),
    New = maps:filter(fun(Name, Map) -> is_own(Name, Map, Reused) end, Maps),
    Ids = [{Name, id(Node, Map), Code} || {Name, Map} <- maps:to_list(New)],
    Again = [{Name, Id, Code} || {Name, {_, {_, Id, _}}} <- maps:to_list(Seen#seen.maps),
                                 is_map_key(Name, Reused)],
    ProgramIds = [{Name, id(Node, Program), Code} || {Name, Program} <- maps:to_list(Programs)],
    #{maps := OldMaps, programs := OldPrograms} = Seen#seen.content,
    Content = #{maps => but(Again, OldMaps) ++ Again ++ Ids, programs => OldPrograms ++ ProgramIds},
    ok = ebpf_fleet_keep_mark:write(Node, hd(Seen#seen.marks), Content),
    Held = maps:merge(maps:map(fun(_Name, Map) -> {Map, record} end, Reused),
                      maps:map(fun(_Name, Map) -> {hold(Node, Map), record} end, New)),
    Failures = fill(Node, Spec, Held),
    {Matched, Extra} = match(Attach, Seen#seen.links),
    {Failures ++ lists:append([attach(Node, One, Link, Programs, Extra, Code)
                               || {One, Link} <- Matched]), Seen}.

%% Those with the same id, whatever their code was.
but(Again, Records) ->
    [Record || {_, Id, _} = Record <- Records, not lists:keymember(Id, 2, Again)].

is_own(Name, Map, Reused) ->
    ebpf_maps_terms:is_handle(Map) andalso not is_map_key(Name, Reused).

%% Of an object with other code, maps of the same shape.
reuse(_Node, _Spec, #seen{maps = Maps}) when map_size(Maps) =:= 0 ->
    #{};
reuse(Node, #{code := Code} = Spec, #seen{maps = Maps}) ->
    Handles = maps:map(fun(_Name, {Handle, _}) -> Handle end, Maps),
    case [other || {_, {_, _, Other}} <- maps:values(Maps), Other =/= Code] of
        [] -> Handles;
        _ -> reuse_others(Node, Spec, Handles)
    end.

reuse_others(Node, #{elf := Elf, load := Load}, Handles) ->
    Options = [{programs, []}, {lifetime, process} | proplists:delete(programs, Load)],
    case call(Node, ebpf_programs, load, [Elf, Options]) of
        {ok, #{maps := Maps}} ->
            Same = maps:filter(fun(Name, Map) -> is_alike(Name, Map, Maps) end, Handles),
            lists:foreach(fun(Map) -> close(Node, Map) end,
                          [Map || Map <- maps:values(Maps), ebpf_maps_terms:is_handle(Map)]),
            Same;
        {ok, _} ->
            lied();
        {error, _} ->
            #{}
    end.

%% Variables begin anew with new code.
is_alike(Name, Map, Maps) ->
    binary:match(Name, <<".">>) =:= nomatch andalso
        case Maps of
            #{Name := Other} -> ebpf_maps_terms:fields(Other) =:= ebpf_maps_terms:fields(Map);
            #{} -> false
        end.

load_object(Node, Spec, Reuse) ->
    case try_load(Node, Spec, Reuse) of
        {ok, #{programs := _, maps := _} = Loaded} -> {Loaded, Reuse};
        {ok, _} -> lied();
        {error, _} when map_size(Reuse) > 0 -> load_object(Node, Spec, #{});
        {error, Reason} -> ebpf_fleet_keep_ask:failed(Reason)
    end.

try_load(Node, #{elf := Elf, load := Load}, Reuse) ->
    Given = proplists:get_value(maps, Load, #{}),
    Maps = [{maps, maps:merge(Reuse, Given)} || map_size(Reuse) + map_size(Given) > 0],
    Options = [{lifetime, process} | Maps] ++ proplists:delete(maps, Load),
    call(Node, ebpf_programs, load, [Elf, Options]).

id(Node, Handle) ->
    case ebpf_fleet_keep_mark:info(Node, Handle) of
        {ok, #{id := Id}} -> Id;
        none -> lied()
    end.

%% A second, permanent handle of a map. A ring has no view; its programs hold it.
hold(Node, {ebpf_map, _, _, KeySize, ValueSize, _} = Map) ->
    Types = {ebpf_fleet_keep_spec:bytes(KeySize), ebpf_fleet_keep_spec:bytes(ValueSize)},
    case call(Node, ebpf_maps, typed, [Map, [{types, Types}, {lifetime, permanent}]]) of
        {ok, Held} -> Held;
        {error, _} -> hold_by_id(Node, Map)
    end.

hold_by_id(Node, Map) ->
    Options = [{lifetime, permanent}],
    case call(Node, ebpf_maps, open, [{id, id(Node, Map)}, Options]) of
        {ok, Held} -> Held;
        {error, _} -> Map
    end.

%%--------------------------------------------------------------------------------------------------
%% Attaching
%%--------------------------------------------------------------------------------------------------

attach(_Node, _One, #link{live = true, code = Code}, _Programs, _Extra, Code) ->
    [];
attach(Node, {Name, Target}, Link, Programs, Extra, _Code) ->
    case Programs of
        #{Name := Program} ->
            case attach_or_update(Node, Program, Target, Link, Extra) of
                ok -> [];
                {error, Reason} -> [{attach, Name, Target, Reason}]
            end;
        #{} ->
            [{attach, Name, Target, no_program}]
    end.

attach_or_update(Node, Program, Target, #link{live = true, handle = Handle} = Link, Extra) ->
    case call(Node, ebpf_programs, update, [Handle, Program]) of
        {ok, _} -> ok;
        {error, _} -> replace(Node, Program, Target, [Link], Extra)
    end;
attach_or_update(Node, Program, Target, none, Extra) ->
    replace(Node, Program, Target, [], Extra);
attach_or_update(Node, Program, Target, Link, Extra) ->
    replace(Node, Program, Target, [Link], Extra).

%% The new one first, where the kernel has room for both.
replace(Node, Program, Target, Old, Extra) ->
    case {new_link(Node, Program, Target), Old ++ Extra} of
        {{error, ebusy}, [_ | _] = InTheWay} ->
            lists:foreach(fun(Link) -> detach(Node, Link) end, InTheWay),
            new_link(Node, Program, Target);
        {{error, Reason}, _} ->
            {error, Reason};
        {ok, _} ->
            lists:foreach(fun(Link) -> detach(Node, Link) end, Old)
    end.

new_link(Node, Program, Target) ->
    case call(Node, ebpf_programs, attach, [Program, Target, [{lifetime, permanent}]]) of
        {ok, _Link} -> ok;
        {error, Reason} -> {error, Reason}
    end.
