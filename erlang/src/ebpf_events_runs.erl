%% SPDX-License-Identifier: Apache-2.0
%%
%% Takes the events of a message apart.
%% @private
-module(ebpf_events_runs).

-export([records/1, fold/3]).

-spec records(ebpf_events:runs()) -> [ebpf_events:record()].
records(Runs) ->
    lists:append([split(Run) || Run <- Runs]).

%% A binary of no bytes is one record without any.
split({terms, Terms}) -> Terms;
split({0, <<>>}) -> [<<>>];
split({Size, Binary}) -> [Record || <<Record:Size/binary>> <= Binary].

-spec fold(fun((ebpf_events:record(), Acc) -> Acc), Acc, ebpf_events:runs()) -> Acc.
fold(Fun, Acc, Runs) ->
    lists:foldl(fun(Run, Acc1) -> fold_run(Fun, Acc1, Run) end, Acc, Runs).

fold_run(Fun, Acc, {Size, Binary}) when is_integer(Size), Size > 0 ->
    fold_binary(Fun, Acc, Size, Binary);
fold_run(Fun, Acc, Run) ->
    lists:foldl(Fun, Acc, split(Run)).

fold_binary(Fun, Acc, Size, Binary) ->
    case Binary of
        <<Record:Size/binary, Rest/binary>> -> fold_binary(Fun, Fun(Record, Acc), Size, Rest);
        <<>> -> Acc
    end.
