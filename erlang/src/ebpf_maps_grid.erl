%% SPDX-License-Identifier: Apache-2.0
%%
%% Prints rows of cells as a table, in as many columns as a line has room for.
%% @private
-module(ebpf_maps_grid).

-export([format/3, widths/1, cell/2, cut/2]).

-type column() :: {Head :: unicode:chardata(), left | right}.
-type row() :: [unicode:chardata()].

%% The lines, and the heads of the columns that are not shown. The first column always is, cut if
%% it has to be.
-spec format([column()], [row()], Width :: pos_integer()) ->
    {unicode:chardata(), [unicode:chardata()]}.
format(Columns, Rows, Width) ->
    {Heads, Sides} = lists:unzip(Columns),
    Widths = widths([Heads | Rows]),
    N = how_many(Widths, Width, 0),
    Shown = lists:zip(lists:sublist(Sides, N), [min(W, Width) || W <- lists:sublist(Widths, N)]),
    {[line(Row, Shown) || Row <- [Heads | Rows]], lists:nthtail(N, Heads)}.

%% Of columns in which the longest cell fits.
-spec widths([row(), ...]) -> [non_neg_integer()].
widths([First | _] = Rows) ->
    lists:foldl(fun(Row, Widths) -> lists:zipwith(fun wider/2, Row, Widths) end,
                [0 || _ <- First], Rows).

wider(Cell, Width) -> max(string:length(Cell), Width).

%% Two blanks stand between two columns.
how_many([Width | Widths], Left, N) when N =:= 0; Width =< Left ->
    how_many(Widths, Left - Width - 2, N + 1);
how_many(_Widths, _Left, N) ->
    N.

line(Row, Shown) ->
    Cells = lists:zipwith(fun cell/2, lists:sublist(Row, length(Shown)), Shown),
    [string:trim(lists:flatten(lists:join("  ", Cells)), trailing, " "), $\n].

-spec cell(unicode:chardata(), {left | right, Width :: non_neg_integer()}) -> unicode:chardata().
cell(Cell, {left, Width}) -> string:pad(cut(Cell, Width), Width, trailing);
cell(Cell, {right, Width}) -> string:pad(cut(Cell, Width), Width, leading).

%% A text that is too long ends in two dots.
-spec cut(unicode:chardata(), Width :: non_neg_integer()) -> unicode:chardata().
cut(Cell, Width) ->
    case string:length(Cell) > Width of
        true -> [string:slice(Cell, 0, max(0, Width - 2)), ".."];
        false -> Cell
    end.
