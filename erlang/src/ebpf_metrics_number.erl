%% SPDX-License-Identifier: Apache-2.0
%%
%% The numbers of samples: in another unit, and as texts.
%% @private
-module(ebpf_metrics_number).

-export([scale/1, scaled/2, is_sample/1, sum/1, text/1, edge/1]).

%% No layout has more than 128 bits.
-define(LARGEST, (1 bsl 128)).

%% How to multiply by a number: a division where that is exact and the number is not, so that 1023
%% nanoseconds are 1.023e-6 seconds.
-spec scale(number()) -> ebpf_metrics_histogram:scale().
scale(Factor) when is_float(Factor), Factor > 0, Factor < 1 ->
    Whole = round(1 / Factor),
    case 1 / Whole =:= Factor of
        true -> {divide, Whole};
        false -> {multiply, Factor}
    end;
scale(Factor) ->
    {multiply, Factor}.

-spec scaled(term(), ebpf_metrics_histogram:scale()) -> term().
scaled(Number, {multiply, 1}) -> Number;
scaled(Number, {multiply, Factor}) when is_number(Number) ->
    try
        Number * Factor
    catch
        error:badarith when Number > 0 -> infinity;
        error:badarith -> '-infinity'
    end;
scaled(Number, {divide, Whole}) when is_number(Number) -> Number / Whole;
scaled(Term, _Scale) -> Term.

%% What a typed view has for a number: floats may be none.
-spec is_sample(term()) -> boolean().
is_sample(Number) when is_integer(Number) ->
    abs(Number) < ?LARGEST;
is_sample(Term) ->
    is_float(Term) orelse is_boolean(Term) orelse
        lists:member(Term, [nan, infinity, '-infinity']).

-spec sum([term()]) -> term().
sum(Terms) ->
    case lists:all(fun erlang:is_number/1, Terms) of
        true -> sum_of(Terms);
        false -> special([one(Term) || Term <- Terms])
    end.

sum_of(Numbers) ->
    try
        lists:sum(Numbers)
    catch
        error:badarith -> infinity
    end.

one(true) -> 1;
one(false) -> 0;
one(Term) -> Term.

special(Terms) ->
    case lists:usort([Term || Term <- Terms, is_atom(Term)]) of
        [] -> sum_of(Terms);
        [Special] -> Special;
        _ -> nan
    end.

%% As both formats have it.
-spec text(term()) -> binary().
text(Number) when is_integer(Number) -> integer_to_binary(Number);
text(Number) when is_float(Number) -> float_to_binary(Number, [short]);
text(true) -> <<"1">>;
text(false) -> <<"0">>;
text(nan) -> <<"NaN">>;
text(infinity) -> <<"+Inf">>;
text('-infinity') -> <<"-Inf">>.

%% Of a bucket: OpenMetrics wants 1.0 for 1, and a series should have one name in both formats.
-spec edge(number()) -> binary().
edge(Number) -> float_to_binary(float(Number), [short]).
