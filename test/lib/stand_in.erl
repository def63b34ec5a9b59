%% SPDX-License-Identifier: Apache-2.0
%% Stands for a C node, on an Erlang node: it serves programs as ebpf_programs and ebpf_maps, notes
%% each call, and fails on request. ?MODULE is given by who compiles it.
-module(?SERVED).
-export([load/2, attach/2, attach/3, detach/1, close/1]).

load(Elf, Options) ->
    answer({load, Elf}, {load, Elf, Options}, fun() ->
        Programs = [{Name, {ebpf_program, make_ref(), xdp, Name}} || Name <- names()],
        #{
            programs => maps:from_list(Programs),
            maps => #{<<"m">> => {ebpf_map, make_ref(), hash, 4, 8, 16}},
            variables => #{}
        }
    end).

names() -> [<<"a">>, <<"b">>, <<"c">>].

attach(Program, Target) -> attach(Program, Target, none).

attach({_, _, _, Name}, Target, Options) ->
    answer({attach, Name}, {attach, Name, Target, Options}, fun() ->
        {ebpf_link, make_ref(), xdp, Name}
    end).

detach({_, _, _, Name}) -> answer({detach, Name}, {detach, Name}, fun() -> ok end).

close({ebpf_map, _, Type, _, _, _}) -> answer(none, {close, ebpf_map, Type}, fun() -> ok end);
close({Tag, _, _, Name}) -> answer(none, {close, Tag, Name}, fun() -> ok end).

%% What persistent_term has for the call: {value, V} or {error, Reason}.
answer(Key, Call, Usual) ->
    note(Call),
    case persistent_term:get({stand_in, Key}, usual) of
        usual -> Usual();
        {value, Value} -> Value;
        {error, Reason} -> error(Reason)
    end.

note(Call) ->
    persistent_term:put(stand_in, persistent_term:get(stand_in, []) ++ [Call]).
