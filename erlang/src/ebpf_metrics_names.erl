%% SPDX-License-Identifier: Apache-2.0
%%
%% Names of metrics and labels, by the rules of Prometheus and OpenMetrics.
%% @private
-module(ebpf_metrics_names).

-export([name/1, metric/2, label/1, taken/1]).

-import(ebpf_cnode_words, [shown/1]).

%% What this module's own metrics begin with, and what Prometheus makes of others.
-define(OWN, [<<"ebpf_up">>, <<"ebpf_metric_up">>, <<"ebpf_series_dropped">>,
              <<"ebpf_decoder_failures_total">>, <<"ebpf_scrape_duration_seconds">>]).
-define(OWN_PREFIXES, [<<"ebpf_cnode_">>, <<"ebpf_program_">>]).
-define(SUFFIXES, [<<"_total">>, <<"_created">>, <<"_bucket">>, <<"_count">>, <<"_sum">>,
                   <<"_info">>]).

%% As a binary, of an atom, a string or a binary; error of anything else.
-spec name(term()) -> binary() | error.
name(Name) ->
    case ebpf_cnode_arguments:is_text(Name) of
        true -> ebpf_cnode_arguments:utf8(Name);
        false -> error
    end.

%% What is wrong with the name of a metric of that type.
-spec metric(counter | gauge | histogram, term()) -> none | unicode:chardata().
metric(Type, Name) ->
    case name(Name) of
        error -> ["not the name of a metric: ", shown(Name)];
        Binary -> spelled(Type, Binary)
    end.

spelled(Type, Name) ->
    case is_matched(Name, "^[a-zA-Z_:][a-zA-Z0-9_:]*$") of
        false ->
            ["not the name of a metric, which has letters, digits, _ and :, and begins with no "
             "digit: ", shown(Name)];
        true ->
            case is_own(Name) of
                true -> [Name, " is the name of a metric that is there anyway"];
                false -> suffixed(Type, Name, suffix(Name))
            end
    end.

suffixed(counter, _Name, <<"_total">>) -> none;
suffixed(counter, Name, _Suffix) ->
    ["the name of a counter ends in _total: ", Name, "_total"];
suffixed(_Type, _Name, none) -> none;
suffixed(Type, Name, Suffix) ->
    ["the name of a ", atom_to_list(Type), " does not end in ", Suffix, ": ", Name].

suffix(Name) ->
    hd([Suffix || Suffix <- ?SUFFIXES, is_suffix(Suffix, Name)] ++ [none]).

is_suffix(Suffix, Name) ->
    Size = byte_size(Name) - byte_size(Suffix),
    Size > 0 andalso binary:part(Name, Size, byte_size(Suffix)) =:= Suffix.

is_own(Name) ->
    lists:member(Name, ?OWN) orelse
        lists:any(fun(Prefix) -> binary:longest_common_prefix([Prefix, Name]) =:= byte_size(Prefix)
                  end, ?OWN_PREFIXES).

%% What is wrong with the name of a label.
-spec label(term()) -> none | unicode:chardata().
label(Name) ->
    case name(Name) of
        error -> ["not the name of a label: ", shown(Name)];
        <<"node">> -> "the label node names the C node of a series";
        <<"quantile">> -> "the label quantile is for summaries";
        <<"__", _/binary>> = Binary -> ["labels that begin with __ are Prometheus' own: ", Binary];
        Binary ->
            case is_matched(Binary, "^[a-zA-Z_][a-zA-Z0-9_]*$") of
                true -> none;
                false ->
                    ["not the name of a label, which has letters, digits and _, and begins with no "
                     "digit: ", shown(Binary)]
            end
    end.

%% All names that a metric takes, so that no other may have them. OpenMetrics calls a counter by its
%% name without _total.
-spec taken({counter | gauge | histogram, binary()}) -> [binary()].
taken({counter, Name}) ->
    [Name, binary:part(Name, 0, byte_size(Name) - byte_size(<<"_total">>))];
taken({gauge, Name}) ->
    [Name];
taken({histogram, Name}) ->
    Suffixes = [<<"_bucket">>, <<"_count">>, <<"_sum">>],
    [Name | [<<Name/binary, Suffix/binary>> || Suffix <- Suffixes]].

is_matched(Name, Pattern) ->
    re:run(Name, Pattern, [{capture, none}, dollar_endonly]) =:= match.
