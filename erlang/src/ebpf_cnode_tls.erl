%% SPDX-License-Identifier: Apache-2.0
%%
%% Makes the embedded C node speak what this node speaks: over TLS with the same files, over IPv6 at
%% its addresses. It reads the options that ssl has for the distribution, and knows only those that
%% say what a C node can be given: files. They become links in a folder, which goes with the C node.
%%
%% The folder is in the cache of this node's user, beside whose home the cookie file is, too. It has
%% the name of this node: no other that is up on this host has that, and the next start replaces
%% what an emulator left that was killed.
%% @private
-module(ebpf_cnode_tls).

-export([options/1, forget/1]).

-export_type([folder/0]).

-type folder() :: none | file:filename_all().
-type section() :: {server | client, [term()]}.

-define(INSTEAD, ". Or give the C node a folder of its own: \"--tls\", \"DIR\" in the variable "
                 "args").

%% The options with which the C node speaks what this node speaks, without those among its own; and
%% the folder that they name, for forget/1. Throws {tls, Text} if it cannot.
-spec options(Args :: term()) -> {[file:filename_all()], folder()}.
options(Args) ->
    Protocol = protocol(),
    Listen = unless_given("--listen", ["::" || is_ipv6(Protocol)], Args),
    case is_tls(Protocol) andalso not is_given("--tls", Args) of
        true ->
            {Least, Files} = wanted(),
            Folder = make(Files),
            {["--tls", Folder] ++ unless_given("--tls-min", Least, Args) ++ Listen, Folder};
        false ->
            {Listen, none}
    end.

-spec forget(folder()) -> ok.
forget(none) ->
    ok;
forget(Folder) ->
    _ = file:del_dir_r(Folder),
    ok.

%% Of several, the first is the one by which this node connects.
protocol() ->
    case init:get_argument(proto_dist) of
        {ok, [[Protocol | _]]} -> Protocol;
        _ -> "inet_tcp"
    end.

is_tls(Protocol) -> lists:member(Protocol, ["inet_tls", "inet6_tls"]).

is_ipv6(Protocol) -> lists:prefix("inet6_", Protocol).

unless_given(Option, [Value], Args) ->
    case is_given(Option, Args) of
        true -> [];
        false -> [Option, Value]
    end;
unless_given(_Option, [], _Args) ->
    [].

%% What is no list of strings is refused where the program is started.
is_given(Option, Args) when length(Args) >= 0 ->
    lists:any(fun(Arg) -> is_option(Option, Arg) end, Args);
is_given(_Option, _NoList) ->
    false.

is_option(Option, Arg) when is_binary(Arg) -> is_option(Option, binary_to_list(Arg));
is_option(Option, Arg) when is_list(Arg) -> hd(string:split(Arg, "=")) =:= Option;
is_option(_Option, _NoString) -> false.

%%--------------------------------------------------------------------------------------------------
%% What ssl was told
%%--------------------------------------------------------------------------------------------------

%% ssl has read -ssl_dist_optfile into a table; a section that is not in there it takes from
%% -ssl_dist_opt.
section(Type) ->
    try ets:lookup(ssl_dist_opts, Type) of
        [{Type, Options}] -> {Type, Options};
        [] -> {Type, given(Type)}
    catch
        error:badarg -> {Type, given(Type)}
    end.

given(Type) ->
    case init:get_argument(ssl_dist_opt) of
        {ok, Lists} -> given(atom_to_list(Type) ++ "_", lists:append(Lists));
        error -> []
    end.

given(Prefix, [Name, Value | Rest]) ->
    case string:prefix(Name, Prefix) of
        nomatch -> given(Prefix, Rest);
        Option -> option(Option, Value) ++ given(Prefix, Rest)
    end;
given(_Prefix, _None) ->
    [].

option("certfile", File) -> [{certfile, File}];
option("keyfile", File) -> [{keyfile, File}];
option("cacertfile", File) -> [{cacertfile, File}];
option("password", Text) -> [{password, Text}];
option("crl_check", Text) -> [{crl_check, list_to_atom(Text)}];
option("crl_cache", Text) -> [{crl_cache, term(Text)}];
option(_Other, _Value) -> [].

term(Text) ->
    {ok, Tokens, _} = erl_scan:string(Text ++ "."),
    {ok, Term} = erl_parse:parse_term(Tokens),
    Term.

%% How an error names where they come from.
source() ->
    case init:get_argument(ssl_dist_optfile) of
        {ok, [[File]]} -> File;
        _ -> "-ssl_dist_opt"
    end.

%%--------------------------------------------------------------------------------------------------
%% What of it a C node can be given
%%--------------------------------------------------------------------------------------------------

-define(IDENTITY, [certfile, cert, key, keyfile, certs_keys]).

%% The options for versions; and of each file its name, and where or what it is.
wanted() ->
    Server = section(server),
    Client = section(client),
    Identity = with(?IDENTITY, Server, Client),
    Authority = with([cacertfile, cacerts], Server, Client),
    refuse([cert, key, certs_keys], Identity),
    refuse([cacerts], Authority),
    refuse_password(Identity),
    Cert = file(certfile, Identity),
    Key = file(keyfile, Identity, Cert),
    Ca = file(cacertfile, Authority),
    check_client(Client),
    Files = [{"cert.pem", {link, Cert}}, {"key.pem", {link, Key}}, {"ca.pem", {link, Ca}}],
    {least(with([versions], Server, Client)), Files ++ crl(with([crl_check], Server, Client))}.

%% The section of the server, unless only that of the client has one of these options.
-spec with([atom()], section(), section()) -> section().
with(Names, Server, Client) ->
    case lists:any(fun(Name) -> has(Name, Client) end, Names) andalso
        not lists:any(fun(Name) -> has(Name, Server) end, Names)
    of
        true -> Client;
        false -> Server
    end.

has(Name, Section) -> value(Name, Section) =/= undefined.

value(Name, {_Type, Options}) -> proplists:get_value(Name, Options).

refuse(Names, {Type, _} = Section) ->
    [tell(["the option ", atom_to_list(Name), " of the ", atom_to_list(Type), " in ", source(),
           " cannot be passed on, as the C node reads files: write what it has as PEM, and name "
           "the files as certfile, keyfile and cacertfile"])
     || Name <- Names, has(Name, Section)].

refuse_password(Section) ->
    case value(password, Section) of
        None when None =:= undefined; None =:= ""; None =:= <<>> ->
            ok;
        _Secret ->
            tell(["the key has a password in ", source(), ", and the C node takes none: write it "
                  "without one, by openssl pkey -in KEY -out FILE, into a file that only this user "
                  "may read, and name that as keyfile, without the option password"])
    end.

%% With which this node connects to the C node.
check_client(Client) ->
    lists:any(fun(Name) -> has(Name, Client) end, [certfile, cert, certs_keys]) orelse
        tell(["the C node asks this node for a certificate, and the client in ", source(),
              " has none: give it the same certfile, keyfile and cacertfile as the server"]).

file(Option, Section) ->
    file(Option, Section, none).

file(Option, {Type, _} = Section, Default) ->
    case value(Option, Section) of
        undefined when Default =/= none ->
            Default;
        undefined ->
            tell(["neither the server nor the client in ", source(), " has the option ",
                  atom_to_list(Option), ", which the C node needs, as it checks who connects"]);
        File ->
            is_file(Option, Type, File)
    end.

is_file(Option, Type, File) ->
    try
        Path = filename:absname(File),
        {ok, _} = file:read_file_info(Path),
        Path
    catch
        error:{badmatch, {error, Posix}} ->
            tell(["the ", atom_to_list(Option), " of the ", atom_to_list(Type), " in ", source(),
                  ", ", ebpf_cnode_words:shown(File), ": ", file:format_error(Posix)]);
        error:_ ->
            tell(["the ", atom_to_list(Option), " of the ", atom_to_list(Type), " in ", source(),
                  " is no path: ", ebpf_cnode_words:shown(File)])
    end.

%% Without the option it is 1.2 alone, as ssl has it; a C node then speaks 1.3 with others.
least(Section) ->
    case value(versions, Section) of
        undefined ->
            [];
        Versions ->
            case [lists:member(Version, Versions) || Version <- ['tlsv1.2', 'tlsv1.3']] of
                [true, _] -> [];
                [false, true] -> ["1.3"];
                [false, false] -> tell(["the C node speaks TLS 1.2 and 1.3, and the versions in ",
                                        source(), " are ", ebpf_cnode_words:shown(Versions)])
            end
    end.

%% ssl reads revocation lists from files where it is given a folder of them, named by hashes.
crl(Section) ->
    case {value(crl_check, Section), value(crl_cache, Section)} of
        {Off, _} when Off =:= undefined; Off =:= false ->
            [];
        {_, {ssl_crl_hash_dir, {_, [{dir, Folder}]}}} ->
            [{"crl.pem", {bytes, lists(Folder)}}];
        {_, _} ->
            tell(["the option crl_check is in ", source(), ", and the C node reads revocation "
                  "lists from files alone: add {crl_cache, {ssl_crl_hash_dir, {internal, "
                  "[{dir, FOLDER}]}}}"])
    end.

lists(Folder) ->
    Files = filelib:wildcard("*.r[0-9]*", Folder),
    case [Bytes || File <- Files, {ok, Bytes} <- [file:read_file(filename:join(Folder, File))]] of
        [] ->
            tell(["there is no revocation list in ", ebpf_cnode_words:shown(Folder), ", the folder "
                  "of crl_cache in ", source(), ": put them there, as HASH.r0"]);
        Lists ->
            Lists
    end.

-spec tell(unicode:chardata()) -> no_return().
tell(Text) ->
    throw({tls, ["this node speaks TLS, and so has the C node to: ", Text, ?INSTEAD]}).

%%--------------------------------------------------------------------------------------------------
%% The folder
%%--------------------------------------------------------------------------------------------------

make(Files) ->
    All = filename:join(filename:basedir(user_cache, "ebpf_cnode"), "tls"),
    Folder = filename:join(All, [case C of $/ -> $_; _ -> C end || C <- atom_to_list(node())]),
    ok = forget(Folder),
    Steps = [fun() -> filelib:ensure_path(All) end,
             fun() -> file:change_mode(All, 8#700) end,
             fun() -> file:make_dir(Folder) end,
             fun() -> file:change_mode(Folder, 8#700) end
             | [fun() -> place(filename:join(Folder, Name), What) end || {Name, What} <- Files]],
    case first_error(Steps) of
        none ->
            Folder;
        Posix ->
            ok = forget(Folder),
            tell(["it needs a folder with links to the files of this node, and ", Folder,
                  " cannot be made: ", file:format_error(Posix), ". The variable XDG_CACHE_HOME of "
                  "the environment puts it elsewhere"])
    end.

place(Path, {link, File}) -> file:make_symlink(File, Path);
place(Path, {bytes, Bytes}) -> file:write_file(Path, Bytes).

first_error([]) ->
    none;
first_error([Step | Steps]) ->
    case Step() of
        ok -> first_error(Steps);
        {error, Posix} -> Posix
    end.
