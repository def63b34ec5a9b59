%% SPDX-License-Identifier: Apache-2.0
%%
%% Says in words what is wrong with arguments that functions of several modules take, or none; and
%% where an argument stands. It rejects only what the C node would reject.
%% @private
-module(ebpf_cnode_arguments).

-export([
    position/2,
    bad_node/1,
    bad_text/1,
    bad_path/1,
    bad_uint32/1,
    bad_list/2,
    option/4,
    first/1,
    bad_lifetime/1,
    is_text/1,
    utf8/1,
    named/2
]).

-import(ebpf_cnode_words, [shown/1]).

-define(PATH_SIZE, 4096). % in the C node, with the final zero

-type fault() :: none | unicode:chardata().

%% The position of the argument with that role.
-spec position(Role :: atom(), Roles :: [atom()]) -> pos_integer() | none.
position(Role, Roles) ->
    position(Role, Roles, 1).

position(_Role, [], _N) -> none;
position(Role, [Role | _], N) -> N;
position(Role, [_ | Roles], N) -> position(Role, Roles, N + 1).

-spec bad_node(term()) -> fault().
bad_node(Node) ->
    case ebpf_cnode_request:is_node_name(Node) of
        true when Node =/= node() -> none;
        true -> [shown(Node), " is this node itself, not a C node"];
        false -> ["not the name of a node: ", shown(Node)]
    end.

-spec bad_text(term()) -> fault().
bad_text(Text) when is_atom(Text); is_binary(Text) ->
    none;
bad_text(Text) ->
    case io_lib:char_list(Text) of
        true -> none;
        false -> ["neither a string nor a binary: ", shown(Text)]
    end.

%% Why a term is not a path for the C node.
-spec bad_path(term()) -> fault().
bad_path(Path) ->
    case is_text(Path) of
        true -> bad_path(utf8(Path), Path);
        false -> ["neither a string nor a binary: ", shown(Path)]
    end.

bad_path(<<"/", _/binary>> = Path, Text) when byte_size(Path) < ?PATH_SIZE ->
    case binary:match(Path, <<0>>) of
        nomatch -> none;
        _ -> ["the path has a zero byte: ", shown(Text)]
    end;
bad_path(<<"/", _/binary>> = Path, _Text) ->
    io_lib:format("the path has ~w bytes, more than ~w", [byte_size(Path), ?PATH_SIZE - 1]);
bad_path(_Path, Text) ->
    ["not an absolute path: ", shown(Text)].

-spec bad_uint32(term()) -> fault().
bad_uint32(N) when is_integer(N), N >= 0, N < 1 bsl 32 -> none;
bad_uint32(Term) -> ["not an integer from 0 to 4294967295: ", shown(Term)].

%% A list of options, of which each may be bad.
-spec bad_list(term(), fun((Option :: term()) -> fault())) -> fault().
bad_list(Options, Bad) when length(Options) >= 0 ->
    case [Text || Option <- Options, (Text = Bad(Option)) =/= none] of
        [] -> none;
        Texts -> lists:join("; ", Texts)
    end;
bad_list(Term, _Bad) ->
    ["not a list of options: ", shown(Term)].

%% The value of the only option that there is. The first one counts, but all must be good.
-spec option(atom(), Options :: term(), fun((Option :: term()) -> boolean()), Default) ->
    term() | Default | badarg.
option(Name, Options, IsGood, Default) when length(Options) >= 0 ->
    case lists:all(IsGood, Options) of
        true -> proplists:get_value(Name, Options, Default);
        false -> badarg
    end;
option(_Name, _Term, _IsGood, _Default) ->
    badarg.

-spec first([fault()]) -> fault().
first(Faults) ->
    case [Text || Text <- Faults, Text =/= none] of
        [Text | _] -> Text;
        [] -> none
    end.

-spec bad_lifetime(term()) -> fault().
bad_lifetime(Lifetime) ->
    case lists:member(Lifetime, [node, process, permanent]) of
        true -> none;
        false -> ["not node, process or permanent: ", shown(Lifetime)]
    end.

%% A fault of the value of an option.
-spec named(Option :: unicode:chardata(), fault()) -> fault().
named(_Option, none) -> none;
named(Option, Text) -> ["the option ", Option, ": ", Text].

-spec is_text(term()) -> boolean().
is_text(Text) when is_list(Text) ->
    length(Text) >= 0 andalso
        lists:all(fun(C) -> is_integer(C) andalso C >= 0 andalso C =< 16#10ffff end, Text);
is_text(Text) ->
    is_atom(Text) orelse is_binary(Text).

%% Half of a surrogate pair is a character for the C node, but not in Erlang.
-spec utf8(atom() | string() | binary()) -> binary().
utf8(Text) when is_atom(Text) -> atom_to_binary(Text);
utf8(Text) when is_binary(Text) -> Text;
utf8(Text) -> << <<(case C band 16#1ff800 of 16#d800 -> 16#fffd; _ -> C end)/utf8>> || C <- Text >>.
