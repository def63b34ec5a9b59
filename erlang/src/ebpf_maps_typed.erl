%% SPDX-License-Identifier: Apache-2.0
%%
%% Explains what goes wrong with typed handles: options that make one, and members that do not fit.
%% To name what a layout wants it may ask the C node for it, if that is connected.
%% @private
-module(ebpf_maps_typed).

-export([layouts/1, bad_layout/2, bad_option/1, bad_view/2, bad_form/3, bad_member/3]).
-export([of_kernel/2, bad_of_kernel/2]).

-import(ebpf_cnode_arguments, [first/1, is_text/1, named/2]).
-import(ebpf_cnode_words, [shown/1, number/2]).
-import(ebpf_maps_arguments, [argument/3]).

-define(NO_MEMBER, <<"?">>).
-define(MOST_ELEMENTS, 1024).

-type words() :: ebpf_cnode_words:words().
-type fault() :: none | unicode:chardata().

%% The layouts of a handle that has some, as far as its C node can be asked at once.
-spec layouts(Map :: term()) -> {Key :: term(), Value :: term()} | unknown.
layouts(Map) ->
    case ebpf_maps_terms:is_handle(Map) of
        true ->
            case ask(Map, types, [Map]) of
                {value, {Key, _} = Layouts} when Key =/= error -> Layouts;
                _ -> unknown
            end;
        false ->
            unknown
    end.

ask(Map, Function, Args) ->
    ebpf_cnode_request:ask_at_once(node(element(2, Map)), Function, Args).

%%--------------------------------------------------------------------------------------------------
%% Views
%%--------------------------------------------------------------------------------------------------

%% Of a new map's keys or values; also one that is too large.
-spec bad_layout(What :: string(), term()) -> fault().
bad_layout(What, Layout) ->
    case bad_layout(Layout) of
        none -> no_bytes(What, ebpf_maps_layout:size(Layout));
        Text -> Text
    end.

bad_layout(Layout) ->
    case ebpf_maps_layout:fault(Layout) of
        none -> none;
        {_, Text} -> ["the layout: ", Text]
    end.

no_bytes("key", 0) -> "the layout of a key has 0 bytes: that of no keys is 0";
no_bytes("value", 0) -> "the layout of a value has 0 bytes: give one that has some";
no_bytes(_What, _Size) -> none.

%% unknown: it is no option of a view.
-spec bad_option(term()) -> fault() | unknown.
bad_option({types, btf}) ->
    none;
bad_option({types, {Key, Value}}) ->
    case {Key =/= 0 andalso bad_layout(Key), bad_layout(Value)} of
        {false, none} -> none;
        {false, Text} -> named("types", ["the value: ", Text]);
        {none, none} -> none;
        {none, Text} -> named("types", ["the value: ", Text]);
        {Text, _} -> named("types", ["the key: ", Text])
    end;
bad_option({types, Term}) ->
    named("types", ["neither btf nor {KeyLayout, ValueLayout}: ", shown(Term)]);
bad_option({as, As}) when As =:= map; As =:= tuple ->
    none;
bad_option({as, Names}) when length(Names) > 0 ->
    case [Name || Name <- Names, not is_text(Name)] of
        [] -> none;
        [Name | _] -> named("as", ["not the name of a member: ", shown(Name)])
    end;
bad_option({as, Term}) ->
    named("as", ["not map, tuple or a list of members: ", shown(Term)]);
bad_option({percpu, Fold}) ->
    case lists:member(Fold, [list, sum, max, min]) of
        true -> none;
        false -> named("percpu", ["not list, sum, max or min: ", shown(Fold)])
    end;
bad_option(_Term) ->
    unknown.

%% Why good options make no view of a map with these fields.
-spec bad_view(Options :: [term()], ebpf_maps_terms:fields() | unknown) -> fault().
bad_view(Options, unknown) ->
    bad_form(Options, proplists:get_value(types, Options), unknown);
bad_view(Options, {Type, _, _, _} = Fields) ->
    Types = proplists:get_value(types, Options),
    case bad_sizes(Types, Fields) of
        none -> bad_form(Options, Types, Type);
        Text -> Text
    end.

%% Why good options do not show a map of this type by these layouts.
-spec bad_form(Options :: [term()], Types :: term(), Type :: atom() | non_neg_integer()) -> fault().
bad_form(Options, Types, Type) ->
    {As, Fold} = {proplists:get_value(as, Options), proplists:get_value(percpu, Options)},
    case {As, Fold, Types} of
        {undefined, undefined, _} -> none;
        {undefined, _, {_, Size}} when is_integer(Size) -> no_layouts("percpu");
        {_, _, {_, Size}} when is_integer(Size) -> no_layouts("as");
        _ -> first([bad_cpus(Fold, As, Type), bad_members(As, Types, Type),
                    bad_numbers(Fold, Types, Type)])
    end.

no_layouts(Option) -> named(Option, "it takes two layouts in place of the sizes").

bad_sizes({Key, Value}, {_, KeySize, ValueSize, _}) ->
    case {bad_size("key", Key, KeySize), bad_size("value", Value, ValueSize)} of
        {none, Fault} -> Fault;
        {Fault, _} -> Fault
    end;
bad_sizes(_Types, _Fields) ->
    none.

bad_size("key", 0, 0) -> none;
bad_size("key", 0, Size) ->
    named("types", ["the key's layout is 0, that of no keys; a key of the map has ",
                    number(Size, "byte")]);
bad_size(What, Layout, 0) ->
    named("types", no_bytes(What, ebpf_maps_layout:size(Layout)));
bad_size(What, Layout, Size) ->
    case ebpf_maps_layout:size(Layout) of
        Size -> none;
        Other when is_integer(Other) ->
            named("types", ["the ", What, "'s layout has ", number(Other, "byte"), "; a ", What,
                            " of the map has ", number(Size, "byte")]);
        unknown -> none
    end.

bad_members(Names, Types, Type) when is_list(Names) ->
    case ebpf_maps_terms:may_be_typed(value, Type) of
        true -> bad_names(Names, Types);
        false -> named("as", io_lib:format("values of a map of type ~w have no layout", [Type]))
    end;
bad_members(_As, _Types, _Type) ->
    none.

bad_names(Names, {_, {Tag, _, _} = Layout}) when Tag =:= struct; Tag =:= union ->
    Known = ebpf_maps_layout:names(Layout),
    case [Name || Name <- Names, not lists:member(ebpf_maps_layout:name(Name), Known)] of
        [] -> none;
        [Name | _] -> named("as", ["a value has no member ", shown(Name)])
    end;
bad_names(_Names, {_, {vmlinux, _}}) ->
    none;
bad_names(_Names, {_, Layout}) ->
    named("as", ["a value is no structure: ", shown(Layout)]);
bad_names(Names, _Kernel) ->
    named("as", ["a value has no member of one of these names, or is no structure: ",
                 shown(Names)]).

bad_cpus(Fold, _As, _Type) when Fold =:= undefined; Fold =:= list ->
    none;
bad_cpus(Fold, As, Type) ->
    case Type =:= unknown orelse ebpf_maps_terms:is_per_cpu(Type) of
        true when is_list(As) ->
            named("percpu", io_lib:format("with a list of members it can only be list, not ~w",
                                          [Fold]));
        true -> none;
        false -> named("percpu", io_lib:format("a map of type ~w has no value per CPU", [Type]))
    end.

bad_numbers(Fold, _Types, _Type) when Fold =:= undefined; Fold =:= list ->
    none;
bad_numbers(_Fold, {_, {vmlinux, _}}, _Type) ->
    none;
bad_numbers(Fold, {_, Layout}, _Type) ->
    case ebpf_maps_layout:no_number([], Layout) of
        none -> none;
        Path -> named("percpu", io_lib:format("~w takes numbers, and nothing else: not ~ts",
                                              [Fold, part(Path)]))
    end;
bad_numbers(Fold, _Btf, Type) ->
    named("percpu", [io_lib:format("~w takes numbers, and nothing else", [Fold]),
                     ["; or the map has no value per CPU" || Type =:= unknown]]).

part([]) -> "the value";
part(Path) -> ["the member ", ebpf_maps_layout:path(Path)].

%% The layouts among the arguments that are types of the kernel.
-spec of_kernel(atom(), Args :: [term()]) -> [{vmlinux, term()}].
of_kernel(Function, Args) ->
    Roles = ebpf_maps_arguments:roles(Function, length(Args)),
    lists:usort([Layout || {Role, Arg} <- lists:zip(Roles, Args),
                           {vmlinux, _} = Layout <- layouts_in(Role, Arg)]).

%% Only the C node knows them, so these are all causes.
-spec bad_of_kernel(atom(), Args :: [term()]) -> fault().
bad_of_kernel(Function, Args) ->
    case of_kernel(Function, Args) of
        [] -> none;
        Layouts when Function =:= new; Function =:= check ->
            [listed(Layouts), " is no type that a key or a value can have"
             | ["; or the options want other members than it has"
                || {Option, _} <- lists:append(lists:nthtail(4, Args)),
                   Option =:= as orelse Option =:= percpu]];
        Layouts ->
            [listed(Layouts), " has another size than the map, or is no type that a key or a value "
             "can have; or the options want other members than it has"]
    end.

listed(Layouts) -> lists:join(" and ", [shown(Layout) || Layout <- Layouts]).

layouts_in(Role, Layout) when Role =:= key_size; Role =:= value_size -> [Layout];
layouts_in(options, Options) when length(Options) >= 0 ->
    [Layout || {types, {Key, Value}} <- Options, Layout <- [Key, Value]];
layouts_in(_Role, _Arg) -> [].

%%--------------------------------------------------------------------------------------------------
%% Members
%%--------------------------------------------------------------------------------------------------

%% Which argument has the member that does not fit, and what is wanted there.
-spec bad_member(Path :: term(), atom(), Args :: [term()]) -> words().
bad_member(Path, Function, Args) when Function =:= top; Function =:= sum ->
    bad_number_member(Path, Function, Args);
bad_member(Path, Function, Args) when length(Path) >= 0 ->
    case {argument(map, Function, Args), lists:all(fun is_step/1, Path)} of
        {{value, Map}, true} ->
            of_arguments([Step || Step <- Path, Step =/= <<>>], layouts_of(Map), Function, Args);
        _ ->
            #{}
    end;
bad_member(_Path, _Function, _Args) ->
    #{}.

%% Of a function on one number of each value.
bad_number_member(Path, Function, Args) ->
    {value, Map} = argument(map, Function, Args),
    N = ebpf_maps_arguments:position(number, Function, length(Args)),
    case length(Path) >= 0 andalso lists:all(fun is_step/1, Path) of
        true -> #{N => no_number(Path, layouts(Map))};
        false -> #{}
    end.

no_number(Path, unknown) ->
    [part(Path), " is not there, or is no number: types/1 returns the layout of values"];
no_number(Path, {_, Layout}) ->
    case ebpf_maps_member:find(Path, Layout) of
        {ok, {Tag, _, _}} when Path =:= [], Tag =:= struct orelse Tag =:= union ->
            "the value is no number: give one of its members";
        {ok, Found} -> [part(Path), " is no number: ", shown(Found)];
        none -> ["there is no member ", ebpf_maps_layout:path(Path)]
    end.

is_step(Step) -> is_binary(Step) orelse is_integer(Step).

%% Values of a per-CPU map are lists, or one for all.
layouts_of(Map) ->
    case {layouts(Map), ebpf_maps_terms:fields(Map)} of
        {{KeyLayout, Layout}, {_, _, _, _} = Fields} ->
            case ebpf_maps_terms:is_per_cpu(Fields) of
                true -> {KeyLayout, {percpu, Layout}};
                false -> {KeyLayout, Layout}
            end;
        {Layouts, _} ->
            Layouts
    end.

of_arguments(Path, unknown, _Function, _Args) ->
    #{general => [called(Path), " does not fit its layout: types/1 returns that"]};
of_arguments(Path, Layouts, Function, Args) ->
    Form = form(Layouts, Function, Args),
    Numbered = [{N, Candidates}
                || {N, Role, Arg} <- lists:zip3(lists:seq(1, length(Args)),
                                                ebpf_maps_arguments:roles(Function, length(Args)),
                                                Args),
                   (Candidates = candidates(Role, Arg, Layouts)) =/= []],
    Found = [{N, [Which, member(Path, Text)]}
             || {N, Candidates} <- Numbered, {Which, Layout, Term} <- Candidates,
                (Text = ebpf_maps_member:fault(Path, Layout, Term, Form)) =/= none],
    case Found of
        [{N, Text} | _] -> #{N => Text};
        [] when Function =:= update_with ->
            Wanted = ebpf_maps_member:wanted(Path, element(2, Layouts), Form),
            #{2 => ["the result of the fun: ", takes(Path, Wanted)]};
        [] ->
            #{general => wanted(Path, Layouts, Numbered, Form)}
    end.

%% What structures are with this handle, which does not say: of an Erlang map with a name that none
%% has, that name is raised, and of one in place of a tuple nothing. It is never put, as it fits
%% nothing.
form({KeyLayout, Layout}, Function, Args) ->
    {value, Map} = argument(map, Function, Args),
    case {strange(KeyLayout), strange(Layout), key(Function, Args)} of
        {{Term, Path}, _, _} -> form(ask(Map, is_key, [Term, Map]), Path);
        {none, {Term, Path}, _} when Function =:= is_key ->
            form(ask(Map, is_key, [Term, Map]), Path);
        {none, {Term, Path}, {value, Key}} -> form(ask(Map, merge, [Map, [{Key, Term}]]), Path);
        _ -> unknown
    end.

form({raised, {badmember, Path}}, Path) -> tuple;
form({raised, {badmember, Longer}}, Path) ->
    case Longer =:= Path ++ [?NO_MEMBER] of
        true -> map;
        false -> unknown
    end;
form(_Answer, _Path) -> unknown.

%% A term with such a map in place of its first structure, and the path to that; none if it has none.
strange({percpu, Layout}) ->
    strange(Layout);
strange({struct, _, _}) ->
    {#{?NO_MEMBER => self()}, []};
strange({array, N, Layout}) when N > 0, N =< ?MOST_ELEMENTS ->
    case strange(Layout) of
        {Term, Path} -> {lists:duplicate(N, Term), [0 | Path]};
        none -> none
    end;
strange({union, _, _} = Layout) ->
    case [{Name, Strange} || {Name, _, _, T} <- ebpf_maps_layout:visible(Layout), Name =/= <<>>,
                             (Strange = strange(T)) =/= none]
    of
        [{Name, {Term, Path}} | _] -> {#{Name => Term}, [Name | Path]};
        [] -> none
    end;
strange(_Layout) ->
    none.

%% A key that is good if a value is not.
key(Function, Args) ->
    case {argument(key, Function, Args), argument(pairs, Function, Args)} of
        {{value, Key}, _} -> {value, Key};
        {_, {value, Pairs}} when is_map(Pairs), map_size(Pairs) > 0 ->
            {value, hd(maps:keys(Pairs))};
        {_, {value, [{Key, _} | _]}} -> {value, Key};
        _ when Function =:= push -> {value, <<>>};
        _ -> none
    end.

member([], Text) -> Text;
member(Path, Text) -> [called(Path), ": ", Text].

called([]) -> "the term";
called(Path) -> ["the member ", ebpf_maps_layout:path(Path)].

%% [{Where, Layout, Term}]
%% A bloom filter is asked for values.
candidates(member, Value, {0, Layout}) -> [{"", Layout, Value}];
candidates(Role, Key, {Layout, _}) when Role =:= key; Role =:= member -> [{"", Layout, Key}];
candidates(value, Value, {_, Layout}) -> [{"", Layout, Value}];
candidates(members, Members, {_, Layout}) -> [{"", Layout, Members}];
candidates(keys, Keys, {Layout, _}) when length(Keys) >= 0 ->
    [{element_of(N), Layout, Key} || {N, Key} <- lists:enumerate(Keys)];
candidates(pairs, Pairs, Layouts) when is_map(Pairs) ->
    [{["under the key ", shown(Key), ": "], Layout, Term}
     || {Key, _} = Pair <- maps:to_list(Pairs), {_, Layout, Term} <- pair("", Pair, Layouts)];
candidates(pairs, Pairs, Layouts) when length(Pairs) >= 0 ->
    [Candidate || {N, Pair} <- lists:enumerate(Pairs),
                  Candidate <- pair(element_of(N), Pair, Layouts)];
candidates(_Role, _Arg, _Layouts) ->
    [].

pair(Where, {Key, Value}, {KeyLayout, Layout}) ->
    [{[Where, "the key: "], KeyLayout, Key}, {[Where, "the value: "], Layout, Value}];
pair(_Where, _Term, _Layouts) ->
    [].

element_of(N) -> io_lib:format("element ~w: ", [N]).

%% Not even which argument it is in is known if both have such a member.
wanted(Path, {KeyLayout, _}, Numbered, Form) ->
    Layouts = lists:usort([Layout || {_, Candidates} <- Numbered, {_, Layout, _} <- Candidates]),
    Wanted = [{Layout, Text} || Layout <- Layouts,
                                (Text = ebpf_maps_member:wanted(Path, Layout, Form)) =/= none],
    case Wanted of
        [] -> takes(Path, none);
        [{_, Text}] -> takes(Path, Text);
        _ ->
            {value, {_, OfKey}, [{_, OfValue}]} = lists:keytake(KeyLayout, 1, Wanted),
            takes(Path, [OfKey, " in a key, and ", OfValue, " in a value"])
    end.

takes(Path, none) -> [called(Path), " does not fit its layout"];
takes(Path, Text) -> [called(Path), " takes ", Text].
