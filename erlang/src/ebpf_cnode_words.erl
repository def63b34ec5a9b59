%% SPDX-License-Identifier: Apache-2.0
%%
%% Texts that the explanations of all modules share: terms, numbers, the kernel's own words, and why
%% a C node could not be asked.
%% @private
-module(ebpf_cnode_words).

-export([shown/1, number/2, kernel_says/1, loader/2, of_request/4, binaries/1]).

-export_type([words/0]).

-type words() :: #{pos_integer() | general => unicode:chardata()}.

%% A term as the shell prints it, but shortened to one line.
-spec shown(term()) -> unicode:chardata().
shown(Term) ->
    io_lib:format("~0tp", [Term], [{chars_limit, 60}]).

%% 1 byte, 2 bytes
-spec number(non_neg_integer(), string()) -> iolist().
number(1, Noun) -> ["1 ", Noun];
number(N, Noun) -> [integer_to_list(N), $\s, Noun, $s].

-spec kernel_says(atom()) -> unicode:chardata().
kernel_says(Posix) ->
    case file:format_error(Posix) of
        "unknown POSIX error" ++ _ -> ["the kernel says ", atom_to_list(Posix)];
        Text -> ["the kernel says: ", Text]
    end.

%% Why the process that does a function's work in the C node's place did not.
-spec loader(gone | killed | timeout, atom()) -> unicode:chardata().
loader(gone, _Function) ->
    "the C node's loader has ended: nothing can be loaded or run until the C node is restarted; "
    "maps, programs and links that are there go on";
loader(killed, subscribe) ->
    "a signal ended the process that was to open perf events, or it failed: the log of the C node "
    "says how";
loader(killed, run) ->
    "a signal ended the process that ran the program: the program may have sent it";
loader(killed, _Function) ->
    "a signal ended the process that did this: a malformed object can crash libbpf, and so can one "
    "that takes more than --load-memory of the C node, or too much CPU time";
loader(timeout, run) ->
    "the run took longer than --run-seconds of the C node";
loader(timeout, _Function) ->
    "it took longer than --load-seconds of the C node".

%% As Elixir requires.
-spec binaries(words()) -> #{pos_integer() | general => binary()}.
binaries(Words) ->
    maps:map(fun(_, Text) -> unicode:characters_to_binary(Text) end, Words).

%% Why a function of a module got no answer; none if the reason is another.
-spec of_request(Reason :: term(), module(), atom(), arity()) -> none | unicode:chardata().
of_request({too_big, Max}, _Module, _Function, _Arity) ->
    io_lib:format("the request or its answer would be longer than ~w bytes, the C node's "
                  "--max-message: ask for less at a time, or raise it", [Max]);
of_request({nodedown, Node}, _Module, _Function, _Arity) ->
    io_lib:format("no connection to ~ts: check that ebpf_cnode runs there under this name, with "
                  "the same cookie, and that both speak TLS or neither does; its log says whom it "
                  "refuses; if the connection was lost during the call, the operation may have "
                  "been carried out", [Node]);
of_request({timeout, Node}, _Module, _Function, _Arity) ->
    io_lib:format("no answer from ~ts in time; the operation may have been carried out, or may "
                  "still be", [Node]);
of_request(notalive, _Module, _Function, _Arity) ->
    "this node is not distributed: start it with -sname or -name";
of_request({undef, Node}, Module, Function, Arity) ->
    ebpf_cnode_since:missing(Node, Module, Function, Arity);
of_request({badenv, {node, Node}}, _Module, _Function, _Arity) ->
    ["the variable node of the application ebpf_cnode is not the name of another node, such as "
     "ebpf@host: ", shown(Node)];
of_request({badenv, {timeout, Timeout}}, _Module, _Function, _Arity) ->
    ["the variable timeout of the application ebpf_cnode is neither a number of milliseconds nor "
     "infinity: ", shown(Timeout)];
of_request({badenv, {retry, Retry}}, _Module, _Function, _Arity) ->
    ["the variable retry of the application ebpf_cnode is not a number of milliseconds: ",
     shown(Retry)];
of_request(_Reason, _Module, _Function, _Arity) ->
    none.
