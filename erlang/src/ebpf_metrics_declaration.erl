%% SPDX-License-Identifier: Apache-2.0
%%
%% Checks what is declared, and makes of it what a sweep goes by. A declaration comes from a file of
%% configuration as often as from a shell, so all that is wrong with all of them is said at once.
%% @private
-module(ebpf_metrics_declaration).

-export([compile/1, labels/1]).

-export_type([metric/0]).

-import(ebpf_cnode_words, [shown/1]).

-define(MAX_SERIES, 10000).
-define(MIN_FACTOR, 1.0e-30).
-define(MAX_FACTOR, 1.0e30).

-type metric() :: #{
    type := counter | gauge | histogram,
    name := binary(),
    help := binary(),
    what := term(),
    labels := ebpf_metrics_labels:labels(),
    %% of a value: all of it, or a member
    member := whole | ebpf_metrics_labels:path(),
    sum := none | ebpf_metrics_labels:path(),
    %% empty but of a histogram
    edges := [number()],
    percpu := sum | label,
    scale := ebpf_metrics_histogram:scale(),
    max_series := pos_integer(),
    %% options of ebpf_fleet:fold/4
    fold := [term()]
}.

%% All of them, or what is wrong with them, a text for each fault.
-spec compile(term()) -> {ok, [metric()]} | {error, [unicode:chardata()]}.
compile(Declarations) when length(Declarations) >= 0 ->
    Numbered = lists:zip(lists:seq(1, length(Declarations)), Declarations),
    Compiled = [{N, compile_one(Declaration)} || {N, Declaration} <- Numbered],
    Faults = [place(N, Declaration, Text)
              || {{N, {error, Texts}}, Declaration} <- lists:zip(Compiled, Declarations),
                 Text <- Texts],
    Metrics = [Metric || {_, {ok, Metric}} <- Compiled],
    case Faults ++ duplicates(Metrics) of
        [] -> {ok, Metrics};
        Texts -> {error, Texts}
    end;
compile(Term) ->
    {error, [["the declarations are a list, not ", shown(Term)]]}.

place(N, Declaration, Text) ->
    [io_lib:format("declaration ~w", [N]), called(Declaration), ": ", Text].

called(Declaration) when is_tuple(Declaration), tuple_size(Declaration) >= 2 ->
    case ebpf_metrics_names:name(element(2, Declaration)) of
        error -> "";
        Name -> [" (", shown(binary_to_list(Name)), ")"]
    end;
called(_Declaration) ->
    "".

duplicates(Metrics) ->
    Taken = lists:flatmap(fun(#{type := Type, name := Name}) ->
                              ebpf_metrics_names:taken({Type, Name})
                          end, Metrics),
    [["two metrics would be called ", Name] || Name <- lists:usort(Taken -- lists:usort(Taken))].

%%--------------------------------------------------------------------------------------------------
%% One
%%--------------------------------------------------------------------------------------------------

compile_one({Type, Name, Help, What, Labels, Value}) ->
    compile_one({Type, Name, Help, What, Labels, Value, []});
compile_one({Type, Name, Help, What, Labels, Value, Options}) when
    Type =:= counter; Type =:= gauge; Type =:= histogram
->
    {Parts, LabelFaults} = compiled_labels(ebpf_metrics_labels:compile(Labels, Type)),
    Compiled = compile_value(Type, Value),
    Faults = fault(ebpf_metrics_names:metric(Type, Name)) ++ fault(bad_help(Help)) ++
        fault(bad_what(What)) ++ LabelFaults ++ faults_of(Compiled) ++
        option_faults(Type, Options),
    case Faults of
        [] -> whole(#{type => Type, name => ebpf_metrics_names:name(Name),
                      help => ebpf_metrics_names:name(Help), what => What, labels => Parts},
                    Compiled, maps:from_list(Options));
        _ -> {error, Faults}
    end;
compile_one(Term) ->
    {error, [["not {Type, Name, Help, What, Labels, Value} or {Type, Name, Help, What, Labels, "
              "Value, Options} with the type counter, gauge or histogram: ", shown(Term)]]}.

fault(none) -> [];
fault(Text) -> [Text].

compiled_labels({ok, Parts}) -> {Parts, []};
compiled_labels({error, Texts}) -> {[], Texts}.

faults_of({error, Text}) -> [Text];
faults_of(_Compiled) -> [].

bad_help(Help) ->
    case ebpf_metrics_names:name(Help) of
        error -> ["the help is a text, not ", shown(Help)];
        <<>> -> "the help is empty: say what is counted, and in which unit";
        Text -> bad_chars(re:run(Text, "[\\x00-\\x09\\x0b-\\x1f]", [{capture, none}]))
    end.

bad_chars(match) -> "the help has characters that are for no reader";
bad_chars(nomatch) -> none.

bad_what({name, Name}) -> bad_text("{name, Name}", Name);
bad_what({pinned, Path}) -> bad_text("{pinned, Path}", Path);
bad_what(Fun) when is_function(Fun, 1) -> none;
bad_what(Term) ->
    ["not {name, Name}, {pinned, Path} or a fun that makes a map of a node: ", shown(Term)].

bad_text(Form, Text) ->
    case ebpf_metrics_names:name(Text) of
        error -> [Form, " has a text, not ", shown(Text)];
        _ -> none
    end.

%%--------------------------------------------------------------------------------------------------
%% Values
%%--------------------------------------------------------------------------------------------------

%% {Member, Layout | none, Buckets | none}
compile_value(histogram, {Buckets, Value}) ->
    case ebpf_metrics_histogram:fault(Buckets) of
        none -> of_value(Value, Buckets);
        Text -> {error, Text}
    end;
compile_value(histogram, Term) ->
    {error, ["the value of a histogram is {Buckets, Value}, such as {{log2, 32}, u64}, not ",
             shown(Term)]};
compile_value(_Type, Value) ->
    of_value(Value, none).

%% A layout is no name, unless it is one, such as u64.
of_value(Value, Buckets) ->
    case {ebpf_maps_layout:fault(Value), ebpf_metrics_labels:path(Value)} of
        {none, _} -> {whole, Value, Buckets};
        {_, {ok, Path}} -> {Path, none, Buckets};
        {{_, Text}, error} -> {error, ["the value is a layout or a member: ", Text]}
    end.

%%--------------------------------------------------------------------------------------------------
%% Options
%%--------------------------------------------------------------------------------------------------

option_faults(Type, Options) when length(Options) >= 0 ->
    [Text || Option <- Options, Text <- fault(bad_option(Type, Option))] ++
        [["the option ", shown(Name), " is there twice"]
         || Name <- twice([element(1, O) || O <- Options, is_tuple(O), tuple_size(O) =:= 2])];
option_faults(_Type, Term) ->
    [["the options are a list, not ", shown(Term)]].

twice(Names) -> lists:usort(Names -- lists:usort(Names)).

bad_option(_Type, {percpu, How}) when How =:= sum; How =:= label -> none;
bad_option(_Type, {percpu, Term}) -> ["the option percpu is sum or label, not ", shown(Term)];
bad_option(_Type, {multiply, Factor}) when
    is_number(Factor), Factor >= ?MIN_FACTOR, Factor =< ?MAX_FACTOR
->
    none;
bad_option(_Type, {multiply, Term}) ->
    ["the option multiply is a number from 1.0e-30 to 1.0e30, not ", shown(Term)];
bad_option(_Type, {max_series, N}) when is_integer(N), N >= 1 -> none;
bad_option(_Type, {max_series, Term}) ->
    ["the option max_series is a number from 1 on, not ", shown(Term)];
bad_option(_Type, {Name, Layout}) when Name =:= keys; Name =:= values ->
    case ebpf_maps_layout:fault(Layout) of
        none -> none;
        {_, Text} -> ["the option ", atom_to_list(Name), ": ", Text]
    end;
bad_option(histogram, {sum, Member}) ->
    case ebpf_metrics_labels:path(Member) of
        {ok, _} -> none;
        error -> ["the option sum is a member of the value, not ", shown(Member)]
    end;
bad_option(_Type, {sum, _}) -> "the option sum is for histograms";
bad_option(_Type, Term) ->
    ["not an option, which are percpu, multiply, max_series, keys, values and sum: ", shown(Term)].

%%--------------------------------------------------------------------------------------------------
%% What they are together
%%--------------------------------------------------------------------------------------------------

whole(Metric, {Member, Layout, Buckets}, Options) ->
    case together(Metric, Member, Layout, Buckets, Options) of
        [] -> {ok, complete(Metric, Member, Layout, Buckets, Options)};
        Texts -> {error, Texts}
    end.

together(#{labels := Parts, what := What}, Member, Layout, Buckets, Options) ->
    Names = ebpf_metrics_labels:names(Parts),
    Has = fun(Name) -> is_map_key(Name, Options) end,
    Form = ebpf_metrics_labels:form(Parts),
    IsTyped = is_function(What, 1),
    HasValues = Layout =/= none orelse Has(values),
    [Text || {true, Text} <- [
        {Layout =/= none andalso Has(values),
         "the value is a layout, so the option values says it twice: let the value be a member"},
        {Member =:= whole andalso Has(sum),
         "the option sum is a member, so the value has to be another one"},
        {Has(keys) andalso not HasValues,
         "the option keys comes with the option values, or with a layout as the value"},
        {Form =:= member andalso HasValues andalso not Has(keys),
         "labels are members and values have a layout, so the option keys has the layout of keys"},
        {Form =:= bytes andalso not HasValues andalso not IsTyped,
         "labels are bytes and the value is a member, so the option values has the layout of "
         "values"},
        {Has(keys) andalso Form =:= bytes,
         "the option keys makes terms of keys, so labels are members of them: {Name, Member}"},
        {maps:get(percpu, Options, sum) =:= label andalso lists:member(<<"cpu">>, Names),
         "the label cpu is that of the option percpu"},
        {maps:get(percpu, Options, sum) =:= label andalso Buckets =/= none,
         "a histogram is of all CPUs: the option percpu is sum"}
    ]].

complete(Metric, Member, Layout, Buckets, Options) ->
    Scale = ebpf_metrics_number:scale(maps:get(multiply, Options, 1)),
    Edges = case Buckets of
        none -> [];
        _ -> ebpf_metrics_histogram:edges(Buckets, Scale)
    end,
    Percpu = maps:get(percpu, Options, sum),
    Metric#{
        member => Member,
        sum => sum_of(Options),
        edges => Edges,
        percpu => Percpu,
        scale => Scale,
        max_series => maps:get(max_series, Options, ?MAX_SERIES),
        fold => [{percpu, fold_percpu(Percpu)} || is_viewed(Metric, Layout, Options)]
            ++ [{values, Layout} || Layout =/= none]
            ++ [Option || {Name, _} = Option <- maps:to_list(Options),
                          Name =:= keys orelse Name =:= values]
    }.

%% A handle that a fun returns is taken as it is, unless there is a layout.
is_viewed(#{what := What}, Layout, Options) ->
    not is_function(What) orelse Layout =/= none orelse is_map_key(keys, Options) orelse
        is_map_key(values, Options).

fold_percpu(label) -> list;
fold_percpu(sum) -> sum.

sum_of(#{sum := Member}) -> element(2, ebpf_metrics_labels:path(Member));
sum_of(_Options) -> none.

%% The names of a series' labels: those of the key, and the CPU.
-spec labels(metric()) -> [binary()].
labels(#{labels := Parts, percpu := label}) -> ebpf_metrics_labels:names(Parts) ++ [<<"cpu">>];
labels(#{labels := Parts}) -> ebpf_metrics_labels:names(Parts).
