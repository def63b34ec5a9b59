%% SPDX-License-Identifier: Apache-2.0
%%
%% Prints the counts of a log2 histogram as bars, in the manner of the tools of bcc: count N is how
%% many values there were from 2^N to 2^(N+1)-1, and the first one that of 0 and 1.
%% @private
-module(ebpf_maps_histogram).

-export([format/3]).

-define(STARS, 40).
-define(WIDE_FROM, 34).

%% Up to the last count that is not 0, in lines of Width columns at most, if the bars leave that.
-spec format(Name :: unicode:chardata(), Counts :: [integer()], Width :: pos_integer()) ->
    unicode:chardata().
format(Name, Counts, Width) ->
    case until_last(Counts) of
        [] -> [Name, ": no counts\n"];
        Shown -> bars(Name, Shown, Width)
    end.

until_last(Counts) ->
    lists:reverse(lists:dropwhile(fun(Count) -> Count =:= 0 end, lists:reverse(Counts))).

bars(Name, Counts, Width) ->
    Digits = digits(length(Counts)),
    Numbers = max(8, lists:max([length(integer_to_list(Count)) || Count <- Counts])),
    Stars = max(10, min(?STARS, Width - (2 * Digits + 4 + 3 + Numbers + 3))),
    Most = lists:max(Counts),
    [head(Name, Digits, Numbers)
     | [line(Slot, Count, Most, {Digits, Numbers, Stars})
        || {Slot, Count} <- lists:zip(lists:seq(0, length(Counts) - 1), Counts)]].

%% Those of the largest value.
digits(N) when N < ?WIDE_FROM -> 10;
digits(_N) -> 20.

head(Name, Digits, Numbers) ->
    [lists:duplicate(Digits div 2, $\s), string:pad(Name, 2 * Digits + 4 - Digits div 2), " : ",
     string:pad("count", Numbers), " distribution\n"].

line(Slot, Count, Most, {Digits, Numbers, Stars}) ->
    Bar = case Most > 0 of
        true -> max(0, Count) * Stars div Most;
        false -> 0
    end,
    io_lib:format("~*w -> ~ts : ~ts |~ts~ts|\n",
                  [Digits, low(Slot), string:pad(integer_to_list((2 bsl Slot) - 1), Digits),
                   string:pad(integer_to_list(Count), Numbers),
                   lists:duplicate(Bar, $*), lists:duplicate(Stars - Bar, $\s)]).

low(0) -> 0;
low(Slot) -> 1 bsl Slot.
