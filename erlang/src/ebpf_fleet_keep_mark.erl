%% SPDX-License-Identifier: Apache-2.0
%%
%% The mark of what is kept on a host, which any keeper finds: an array of one entry, named after
%% the spec, with a permanent handle. It has the ids of maps and programs. An id is there before
%% anything permanent is made of it, so a keeper that is killed leaves nothing that the mark does not
%% name: the programs that it loaded end with it, their links are found by the programs' ids.
%%
%% Two keepers are kept apart by the C node, whether or not they are connected to one another: who
%% works there has a map of its own, as a lock, which ends with its process. It works while no other
%% lock is there. As each looks after it has made its own, no two can both see none.
%% @private
-module(ebpf_fleet_keep_mark).

-export([name/1, is_mark/1, new/2, read/2, write/3]).
-export([handles/2, info/2, with_lock/4]).

-export_type([content/0, record/0]).

-define(SIZE, 16384).
-define(LOCK_SIZE, 72). % it holds nothing, but few maps have that size
-define(MAGIC, "ebpfkeep").
-define(VERSION, 1).
-define(PAUSE, 50). % ms

-type record() :: {Name :: binary(), Id :: non_neg_integer(), Code :: binary()}.
%% Code is the digest of the object and the options that it was loaded with.

-type content() :: #{maps := [record()], programs := [record()]}.

%%--------------------------------------------------------------------------------------------------
%% The mark
%%--------------------------------------------------------------------------------------------------

-spec name(Name :: atom()) -> binary().
name(Name) -> <<"k_", (digits(Name))/binary>>.

lock_name(Name) -> <<"l_", (digits(Name))/binary>>.

digits(Name) ->
    <<Digits:12/binary, _/binary>> = binary:encode_hex(erlang:md5(atom_to_binary(Name))),
    Digits.

-spec is_mark(Map :: term()) -> boolean().
is_mark({ebpf_map, _Ref, array, 4, ?SIZE, 1}) -> true;
is_mark(_Map) -> false.

-spec new(node(), Name :: atom()) -> Mark :: tuple().
new(Node, Name) ->
    Options = [{name, name(Name)}, {lifetime, permanent}],
    Mark = ebpf_fleet_keep_ask:must(Node, ebpf_maps, new, [array, 4, ?SIZE, 1, Options]),
    case is_mark(Mark) of
        true -> Mark;
        false -> ebpf_fleet_keep_ask:lied()
    end.

%% One that was never written is empty.
-spec read(node(), Mark :: term()) -> {ok, content()} | damaged.
read(Node, Mark) ->
    case ebpf_fleet_keep_ask:must(Node, ebpf_maps, get, [<<0:32>>, Mark]) of
        <<0:?SIZE/unit:8>> ->
            {ok, #{maps => [], programs => []}};
        <<?MAGIC, ?VERSION:32, Sum:32, Size:32, Rest/binary>> when Size =< byte_size(Rest) ->
            content(Sum, binary:part(Rest, 0, Size));
        Value when is_binary(Value) ->
            damaged;
        _ ->
            ebpf_fleet_keep_ask:lied()
    end.

%% A compressed term could be much larger than its bytes.
content(Sum, <<131, Tag, _/binary>> = Bytes) when Tag =/= $P ->
    case erlang:crc32(Bytes) =:= Sum andalso binary_to_term(Bytes, [safe]) of
        {Maps, Programs} ->
            case are_records(Maps) andalso are_records(Programs) of
                true -> {ok, #{maps => Maps, programs => Programs}};
                false -> damaged
            end;
        _ ->
            damaged
    end;
content(_Sum, _Bytes) ->
    damaged.

are_records(Records) when length(Records) >= 0 -> lists:all(fun is_record_/1, Records);
are_records(_Term) -> false.

is_record_({Name, Id, Code}) -> is_binary(Name) andalso is_integer(Id) andalso is_binary(Code);
is_record_(_Term) -> false.

-spec write(node(), Mark :: term(), content()) -> ok.
write(Node, Mark, #{maps := Maps, programs := Programs}) ->
    Bytes = term_to_binary({Maps, Programs}, [{minor_version, 2}]),
    Size = byte_size(Bytes),
    Head = <<?MAGIC, ?VERSION:32, (erlang:crc32(Bytes)):32, Size:32>>,
    case ?SIZE - byte_size(Head) - Size of
        Room when Room >= 0 ->
            Value = <<Head/binary, Bytes/binary, 0:Room/unit:8>>,
            _ = ebpf_fleet_keep_ask:must(Node, ebpf_maps, put, [<<0:32>>, Value, Mark]),
            ok;
        _ ->
            ebpf_fleet_keep_ask:failed(too_many)
    end.

%%--------------------------------------------------------------------------------------------------
%% What the C node tells
%%--------------------------------------------------------------------------------------------------

%% All live handles: {Handle, Owner, Lifetime}.
-spec handles(node(), ebpf_maps | ebpf_programs) -> [{tuple(), node() | pid() | none, atom()}].
handles(Node, Module) ->
    case ebpf_fleet_keep_ask:must(Node, Module, handles, []) of
        Owned when length(Owned) >= 0 -> [owned(One, Node) || One <- Owned];
        _ -> ebpf_fleet_keep_ask:lied()
    end.

owned(Owned, Node) when tuple_size(Owned) =:= 3; tuple_size(Owned) =:= 4 ->
    Handle = element(1, Owned),
    case is_tuple(Handle) andalso tuple_size(Handle) > 3 andalso is_reference(element(2, Handle))
        andalso node(element(2, Handle)) =:= Node
    of
        true -> {Handle, element(2, Owned), element(3, Owned)};
        false -> ebpf_fleet_keep_ask:lied()
    end;
owned(_Term, _Node) ->
    ebpf_fleet_keep_ask:lied().

%% Of a map or a link; none if it has ended.
-spec info(node(), Handle :: tuple()) -> {ok, #{id := non_neg_integer(), _ => _}} | none.
info(Node, Handle) ->
    Module =
        case element(1, Handle) of
            ebpf_map -> ebpf_maps;
            _ -> ebpf_programs
        end,
    case ebpf_fleet_keep_ask:call(Node, Module, info, [Handle]) of
        {ok, #{id := Id} = Info} when is_integer(Id) -> {ok, Info};
        {ok, _} -> ebpf_fleet_keep_ask:lied();
        {error, {badmap, _}} -> none;
        {error, {badlink, _}} -> none;
        {error, {badprogram, _}} -> none;
        {error, Reason} -> ebpf_fleet_keep_ask:failed(Reason)
    end.

%%--------------------------------------------------------------------------------------------------
%% The lock
%%--------------------------------------------------------------------------------------------------

%% Waits for it so many milliseconds. busy: another keeper works there.
-spec with_lock(node(), Name :: atom(), Wait :: non_neg_integer(), fun(() -> Result)) ->
    Result | {busy, Owner :: pid()}.
with_lock(Node, Name, Wait, Fun) ->
    Text = lock_name(Name),
    Options = [{name, Text}, {lifetime, process}],
    Until = now_ms() + Wait,
    Lock = ebpf_fleet_keep_ask:must(Node, ebpf_maps, new, [array, 4, ?LOCK_SIZE, 1, Options]),
    case lock(Node, Text, Lock, Until) of
        held ->
            Result = Fun(),
            ok = unlock(Node, Lock),
            Result;
        {busy, Owner, first} ->
            ok = unlock(Node, Lock),
            {busy, Owner};
        {busy, Owner, later} ->
            ok = unlock(Node, Lock),
            wait_again(Owner, Until, fun(Left) -> with_lock(Node, Name, Left, Fun) end)
    end.

wait_again(Owner, Until, Again) ->
    timer:sleep(?PAUSE + rand:uniform(4 * ?PAUSE)),
    case Until - now_ms() of
        Left when Left > 0 -> Again(Left);
        _ -> {busy, Owner}
    end.

%% Of several the oldest waits for the others, which go.
lock(Node, Text, Lock, Until) ->
    Locks = locks(Node, Text),
    case {lists:keyfind(Lock, 2, Locks), lists:keydelete(Lock, 2, Locks)} of
        {false, _} ->
            ebpf_fleet_keep_ask:failed({badmap, Lock});
        {_, []} ->
            held;
        {{Id, _, _}, [{Other, _, Owner} | _]} when Other < Id ->
            {busy, Owner, later};
        {_, [{_, _, Owner} | _]} ->
            case now_ms() < Until of
                true ->
                    timer:sleep(?PAUSE),
                    lock(Node, Text, Lock, Until);
                false ->
                    {busy, Owner, first}
            end
    end.

%% In the order of their ids.
locks(Node, Text) ->
    lists:sort([{Id, Lock, Owner}
                || {{ebpf_map, _, array, 4, ?LOCK_SIZE, 1} = Lock, Owner, process} <-
                       handles(Node, ebpf_maps),
                   {ok, #{id := Id, name := Name}} <- [info(Node, Lock)], Name =:= Text]).

%% It ends with this process in any case.
unlock(Node, Lock) ->
    _ = ebpf_fleet_keep_ask:call(Node, ebpf_maps, close, [Lock]),
    ok.

now_ms() -> erlang:monotonic_time(millisecond).
