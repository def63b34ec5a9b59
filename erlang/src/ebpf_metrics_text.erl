%% SPDX-License-Identifier: Apache-2.0
%%
%% The text of metrics, as Prometheus reads it: its own format 0.0.4, and OpenMetrics 1.0.0. They
%% differ in the name of a counter's family, in what is escaped in a help, in a count that needs a
%% sum, and in the end.
%% @private
-module(ebpf_metrics_text).

-export([format/1, content_type/1, render/2]).

-export_type([format/0, family/0, sample/0]).

-type format() :: prometheus | openmetrics.
-type label() :: {binary(), binary()}.
%% A value; of a histogram the counts up to each edge, that of all, and the sum.
-type sample() :: {[label()], term()}
                | {[label()], {histogram, [{binary(), number()}], number(), none | number()}}.
-type family() :: {counter | gauge | histogram, Name :: binary(), Help :: binary(), [sample()]}.

%%--------------------------------------------------------------------------------------------------
%% Formats
%%--------------------------------------------------------------------------------------------------

%% What a request's header Accept asks for: OpenMetrics only if it is named, with no less weight
%% than the other.
-spec format(Accept :: string()) -> format().
format(Accept) ->
    Ranges = [range(Range) || Range <- string:lexemes(Accept, ",")],
    OpenMetrics = weight("application/openmetrics-text", Ranges),
    case OpenMetrics > 0 andalso OpenMetrics >= weight("text/plain", Ranges) of
        true -> openmetrics;
        false -> prometheus
    end.

%% {Type, Weight}, of no weight in a version that is not offered.
range(Range) ->
    [Type | Parameters] = [string:trim(Part) || Part <- string:split(Range, ";", all)],
    Given = maps:from_list([parameter(Parameter) || Parameter <- Parameters]),
    Weight = case maps:get("version", Given, "1.0.0") of
        "1.0.0" -> number(maps:get("q", Given, "1"));
        "0.0.4" -> number(maps:get("q", Given, "1"));
        _ -> 0
    end,
    {string:lowercase(Type), Weight}.

parameter(Text) ->
    case string:split(Text, "=") of
        [Name, Value] -> {string:lowercase(string:trim(Name)), string:trim(Value, both, " \"")};
        [Name] -> {string:lowercase(Name), ""}
    end.

number(Text) ->
    case {string:to_float(Text), string:to_integer(Text)} of
        {{Float, _}, _} when is_float(Float) -> Float;
        {_, {Integer, _}} when is_integer(Integer) -> Integer;
        _ -> 0
    end.

weight(Type, Ranges) ->
    lists:max([0 | [Weight || {T, Weight} <- Ranges, T =:= Type]]).

-spec content_type(format()) -> string().
content_type(prometheus) -> "text/plain; version=0.0.4; charset=utf-8";
content_type(openmetrics) -> "application/openmetrics-text; version=1.0.0; charset=utf-8".

%%--------------------------------------------------------------------------------------------------
%% Texts
%%--------------------------------------------------------------------------------------------------

-spec render(format(), [family()]) -> iodata().
render(prometheus, Families) ->
    [family(prometheus, Family) || Family <- Families];
render(openmetrics, Families) ->
    [[family(openmetrics, Family) || Family <- Families], "# EOF\n"].

family(_Format, {_Type, _Name, _Help, []}) ->
    [];
family(Format, {Type, Name, Help, Samples}) ->
    Family = family_name(Format, Type, Name),
    ["# HELP ", Family, $\s, escaped_help(Format, Help), $\n,
     "# TYPE ", Family, $\s, atom_to_binary(Type), $\n
     | [sample(Format, Type, Name, Sample) || Sample <- Samples]].

%% OpenMetrics has the suffix in samples only.
family_name(openmetrics, counter, Name) ->
    binary:part(Name, 0, byte_size(Name) - byte_size(<<"_total">>));
family_name(_Format, _Type, Name) ->
    Name.

sample(Format, histogram, Name, {Labels, {histogram, Buckets, Count, Sum}}) ->
    Pairs = pairs(Labels),
    [[bucket(Name, Pairs, Edge, Number) || {Edge, Number} <- Buckets],
     bucket(Name, Pairs, <<"+Inf">>, Count),
     [line([Name, "_sum"], Pairs, Sum) || Sum =/= none],
     [line([Name, "_count"], Pairs, Count) || Sum =/= none orelse Format =:= prometheus]];
sample(_Format, _Type, Name, {Labels, Value}) ->
    line(Name, pairs(Labels), Value).

bucket(Name, Pairs, Edge, Number) ->
    line([Name, "_bucket"], Pairs ++ [["le=\"", Edge, $"]], Number).

line(Name, [], Value) ->
    [Name, $\s, ebpf_metrics_number:text(Value), $\n];
line(Name, Pairs, Value) ->
    [Name, ${, lists:join($,, Pairs), "} ", ebpf_metrics_number:text(Value), $\n].

pairs(Labels) ->
    [[Name, "=\"", escaped(Value), $"] || {Name, Value} <- Labels].

%% Most have nothing to escape.
escaped(Text) ->
    escaped(Text, [<<"\\">>, <<"\"">>, <<"\n">>]).

escaped_help(openmetrics, Text) -> escaped(Text);
escaped_help(prometheus, Text) -> escaped(Text, [<<"\\">>, <<"\n">>]).

escaped(Text, Special) ->
    case binary:match(Text, Special) of
        nomatch -> Text;
        _ -> [escape(Byte, Special) || <<Byte>> <= Text]
    end.

escape($\n, _Special) ->
    "\\n";
escape(Byte, Special) ->
    case lists:member(<<Byte>>, Special) of
        true -> [$\\, Byte];
        false -> Byte
    end.
