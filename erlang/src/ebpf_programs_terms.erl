%% SPDX-License-Identifier: Apache-2.0
%%
%% What handles of programs and links look like. The C node trusts nothing in them but the
%% reference.
%% @private
-module(ebpf_programs_terms).

-export([is_handle/2, looks_like_handle/1, bad_handle/2]).

-export_type([kind/0]).

-type kind() :: program | link | either.
%% What may stand there.

-spec is_handle(kind(), term()) -> boolean().
is_handle(either, Term) -> is_handle(program, Term) orelse is_handle(link, Term);
is_handle(program, Term) -> has_reference(Term) andalso element(1, Term) =:= ebpf_program;
is_handle(link, Term) -> has_reference(Term) andalso element(1, Term) =:= ebpf_link.

has_reference(Term) when is_reference(element(2, Term)) -> true;
has_reference(_Term) -> false.

%% As for the C node, whose close returns an error for such a term.
-spec looks_like_handle(term()) -> boolean().
looks_like_handle(Term) when element(1, Term) =:= ebpf_program -> true;
looks_like_handle(Term) when element(1, Term) =:= ebpf_link -> true;
looks_like_handle(_Term) -> false.

%% The reason for a term that is no live handle.
-spec bad_handle(kind(), term()) -> {badprogram | badlink, term()}.
bad_handle(link, Term) ->
    {badlink, Term};
bad_handle(either, Term) ->
    case is_handle(link, Term) of
        true -> {badlink, Term};
        false -> {badprogram, Term}
    end;
bad_handle(program, Term) ->
    {badprogram, Term}.
