%% SPDX-License-Identifier: Apache-2.0
%%
%% The arguments of the facade's functions of programs, by position, and in words what is wrong with
%% those of a call that raised badarg. What only the C node can see is blamed on an argument only if
%% no other cause is left.
%% @private
-module(ebpf_programs_arguments).

-export([roles/2, position/3, faults/2, targets/2]).

-import(ebpf_cnode_arguments, [
    bad_text/1, bad_path/1, bad_uint32/1, bad_list/2, first/1, is_text/1, utf8/1, named/2
]).
-import(ebpf_cnode_words, [shown/1, number/2]).

%% in the C node, with the final zero
-define(NAME_SIZE, 256).
-define(TARGET_SIZE, 128).
-define(LICENSE_SIZE, 128).
-define(OBJECT_NAME_SIZE, 64).
-define(LOGGED, "the C node logs what, at level info").

-type role() ::
    elf | file | type | instructions | options | program | link | either | target | input | loaded
    | 'fun' | what | path | node | rejection.

%%--------------------------------------------------------------------------------------------------
%% Roles by position
%%--------------------------------------------------------------------------------------------------

-spec roles(atom(), arity()) -> [role()].
roles(load, 2) -> [elf, options];
roles(load, 3) -> [type, instructions, options];
roles(load_file, 2) -> [file, options];
roles(with_program, 3) -> [elf, options, 'fun'];
roles(run, 3) -> [program, input, options];
roles(count, 1) -> [program];
roles(attach, 2) -> [program, target];
roles(attach, 3) -> [program, target, options];
roles(attach_all, 1) -> [loaded];
roles(attach_all, 2) -> [loaded, options];
roles(detach, 1) -> [link];
roles(update, 2) -> [link, program];
roles(open, 1) -> [what];
roles(open, 2) -> [what, options];
roles(pin, 2) -> [path, either];
roles(unpin, 2) -> [path, either];
roles(verifier, 1) -> [rejection];
roles(Function, 1) when Function =:= list; Function =:= links; Function =:= handles -> [node];
roles(_Function, 1) -> [either];
roles(_Function, _Arity) -> [].

-spec position(role(), atom(), arity()) -> pos_integer() | none.
position(Role, Function, Arity) ->
    ebpf_cnode_arguments:position(Role, roles(Function, Arity)).

%% The targets in the option of that name, each with the name of its program.
-spec targets(atom(), Args :: [term()]) -> [{Name :: term(), Target :: term()}].
targets(Function, Args) ->
    case position(options, Function, length(Args)) of
        N when is_integer(N) -> targets_of(lists:nth(N, Args));
        none -> []
    end.

targets_of(Options) when length(Options) >= 0 ->
    lists:append([lists:sort(maps:to_list(Targets))
                  || {targets, Targets} <- Options, is_map(Targets)]);
targets_of(_Term) ->
    [].

%%--------------------------------------------------------------------------------------------------
%% Faults
%%--------------------------------------------------------------------------------------------------

-spec faults(atom(), Args :: [term()]) -> ebpf_cnode_words:words().
faults(Function, Args) ->
    Roles = roles(Function, length(Args)),
    Numbered = lists:zip3(lists:seq(1, length(Roles)), Roles, Args),
    case [{N, Text} || {N, Role, Arg} <- Numbered,
                       (Text = check(Role, Arg, {Function, length(Args)})) =/= none]
    of
        [] -> otherwise(Function, Args);
        Faults -> maps:from_list(Faults)
    end.

check(elf, Elf, _) when is_binary(Elf) -> none;
check(elf, Term, _) ->
    ["not a binary, the content of an object file: ", shown(Term),
     "; load_file/2 takes the name of a file"];
check(file, File, _) -> bad_file(File);
check(type, Type, _) when is_atom(Type) -> none;
check(type, Term, _) -> ["not an atom that names a type of program: ", shown(Term)];
check(instructions, Instructions, _) -> bad_instructions(Instructions);
check(options, Options, Function) ->
    case bad_list(Options, fun(Option) -> bad_option(Option, Function) end) of
        none -> twice(Options);
        Text -> Text
    end;
check(target, Target, _) -> bad_target(Target);
check(input, Input, _) -> bad_input(Input);
check(loaded, Loaded, _) -> bad_loaded(Loaded);
check('fun', Fun, _) when is_function(Fun, 1) -> none;
check('fun', Term, _) -> ["not a fun of 1 argument: ", shown(Term)];
check(what, What, _) -> bad_what(What);
check(path, Path, _) -> bad_path(Path);
check(node, Node, _) -> ebpf_cnode_arguments:bad_node(Node);
check(rejection, Term, _) ->
    ["neither {error, {rejected, Posix, Program, Log}} nor a log, which is a binary: ",
     shown(Term)];
check(_Handle, _Arg, _Function) -> none.

%% Every argument looks good from here: only the C node knows what is wrong.
otherwise(Function, Args) when Function =:= attach; Function =:= run; Function =:= open ->
    #{2 => otherwise_of(Function, Args)};
otherwise(load, [Type, _, _]) ->
    #{general => ["the C node's libbpf knows no type of program ", shown(Type), ", or no "
                  "attach_type of the options, or the instructions load a map that is not in the "
                  "option maps: ", ?LOGGED]};
otherwise(attach_all, [#{programs := Programs}, _Options] = Args) ->
    #{2 => ["the option targets: ", otherwise_of_targets(targets(attach_all, Args), Programs)]};
otherwise(with_program, [_, Options, _] = Args) ->
    case targets(with_program, Args) of
        [] -> otherwise(load, [Options]);
        _ ->
            #{2 => "targets or another option names a program, map or variable that the object "
                   "does not have, or what does not fit it: if targets names only programs that "
                   "are there, " ?LOGGED}
    end;
otherwise(Function, _Args) when
    Function =:= load; Function =:= load_file
->
    #{2 => "an option names a program, map or variable that the object does not have, or what does "
           "not fit it: " ?LOGGED};
otherwise(_Function, _Args) ->
    #{general => "an argument is not what the C node takes: " ?LOGGED}.

otherwise_of(attach, [_, auto | _]) ->
    "the section of the program's source names no target that auto takes: name one in its place";
otherwise_of(attach, _Args) ->
    "the program's C node takes no such target: " ?LOGGED;
otherwise_of(run, _Args) ->
    "the program does not take such an input: " ?LOGGED;
otherwise_of(open, _Args) ->
    "the C node does not take such an option: " ?LOGGED.

otherwise_of_targets(Targets, Programs) ->
    case [Name || {Name, _} <- Targets, not is_map_key(utf8(Name), Programs)] of
        [Name | _] -> ["the object has no program ", shown(Name)];
        [] -> "the C node of a program takes no such target: " ?LOGGED
    end.

bad_file(File) ->
    case file:read_file_info(File) of
        {error, badarg} -> ["not the name of a file: ", shown(File)];
        _ -> none
    end.

bad_instructions(Instructions) when byte_size(Instructions) rem 8 =:= 0, Instructions =/= <<>> ->
    none;
bad_instructions(Instructions) when is_binary(Instructions) ->
    [number(byte_size(Instructions), "byte"), ": an instruction has 8, and there is at least one"];
bad_instructions(Term) ->
    ["not a binary of instructions: ", shown(Term)].

bad_loaded(#{programs := Programs}) when is_map(Programs) -> none;
bad_loaded({error, _} = Error) -> ["not what load/2 returns of an object, but ", shown(Error)];
bad_loaded(Term) -> ["not what load/2 returns of an object: ", shown(Term)].

bad_what({Tag, Id}) when Tag =:= id; Tag =:= link -> bad_uint32(Id);
bad_what({pinned, Path}) -> bad_path(Path);
bad_what({name, Name}) -> bad_text(Name);
bad_what(Term) -> ["not {id, Id}, {link, Id}, {pinned, Path} or {name, Name}: ", shown(Term)].

bad_input(Input) when is_map(Input) ->
    case [Pair || {Key, Value} = Pair <- maps:to_list(Input),
                  (Key =/= data andalso Key =/= context) orelse not is_binary(Value)]
    of
        [] -> none;
        [{Key, Value} | _] when Key =:= data; Key =:= context ->
            ["the ", atom_to_list(Key), " is not a binary: ", shown(Value)];
        [{Key, _} | _] -> ["there is data and context, but not ", shown(Key)]
    end;
bad_input(Term) ->
    ["not a map with data and context: ", shown(Term)].

%%--------------------------------------------------------------------------------------------------
%% Options
%%--------------------------------------------------------------------------------------------------

bad_option({node, Node}, {Function, _}) when
    Function =/= attach, Function =/= attach_all, Function =/= run
->
    named("node", ebpf_cnode_arguments:bad_node(Node));
bad_option({lifetime, Lifetime}, {Function, _}) when Function =/= run ->
    named("lifetime", ebpf_cnode_arguments:bad_lifetime(Lifetime));
bad_option({targets, Targets}, {Function, _}) when
    Function =:= attach_all; Function =:= with_program
->
    named("targets", bad_values(Targets, fun bad_target/1));
bad_option({repeat, N}, {run, _}) -> named("repeat", bad_repeat(N));
bad_option({cpu, N}, {run, _}) -> named("cpu", bad_cpu(N));
bad_option(Option, {Function, _}) when
    Function =:= attach; Function =:= attach_all; Function =:= run; Function =:= open
->
    no_option(Option);
bad_option({name, Name}, {load, 3}) -> named("name", bad_program_name(Name));
bad_option({name, Name}, _) -> named("name", bad_short("the name", Name, ?OBJECT_NAME_SIZE));
bad_option({log, Level}, _) -> named("log", bad_level(Level));
bad_option(Option, {load, 3}) -> bad_option_of_instructions(Option);
bad_option(Option, _) -> bad_option_of_object(Option).

bad_option_of_instructions({maps, Maps}) when length(Maps) >= 0 ->
    named("maps", first([bad_locator(Map) || Map <- Maps]));
bad_option_of_instructions({maps, Term}) -> named("maps", ["not a list: ", shown(Term)]);
bad_option_of_instructions({license, License}) ->
    named("license", bad_short("the license", License, ?LICENSE_SIZE));
bad_option_of_instructions({attach_to, Name}) -> named("attach_to", bad_target_name(Name));
bad_option_of_instructions({attach_type, Type}) when is_atom(Type) -> none;
bad_option_of_instructions({attach_type, N}) -> named("attach_type", bad_uint32(N));
bad_option_of_instructions(sleepable) -> none;
bad_option_of_instructions(Option) -> no_option(Option).

bad_option_of_object({programs, Names}) -> named("programs", bad_names(Names));
%% A value that is no map raises badmap.
bad_option_of_object({maps, Maps}) -> named("maps", bad_values(Maps, fun bad_locator/1));
bad_option_of_object({variables, Values}) ->
    named("variables", bad_values(Values, fun bad_value/1));
bad_option_of_object({program_types, Types}) ->
    named("program_types", bad_values(Types, fun bad_type/1));
bad_option_of_object({attach_to, Names}) ->
    named("attach_to", bad_values(Names, fun bad_target_name/1));
bad_option_of_object({Size, Sizes}) when Size =:= max_entries; Size =:= value_size ->
    named(atom_to_list(Size), bad_values(Sizes, fun ebpf_cnode_arguments:bad_uint32/1));
bad_option_of_object({types, btf}) -> none;
bad_option_of_object({types, Term}) -> named("types", ["not btf: ", shown(Term)]);
bad_option_of_object({as, As}) when As =:= map; As =:= tuple -> none;
bad_option_of_object({as, Term}) -> named("as", ["not map or tuple: ", shown(Term)]);
bad_option_of_object({pin, Folder}) -> named("pin", bad_path(Folder));
bad_option_of_object(Option) -> no_option(Option).

no_option(Option) -> ["there is no option ", shown(Option)].

bad_repeat(N) when is_integer(N), N >= 1, N =< 1000000 -> none;
bad_repeat(Term) -> ["not an integer from 1 to 1000000: ", shown(Term)].

bad_cpu(N) when is_integer(N), N >= 0, N < 65536 -> none;
bad_cpu(Term) -> ["not an integer from 0 to 65535: ", shown(Term)].

bad_level(Level) when Level =:= 0; Level =:= 1; Level =:= 2 -> none;
bad_level(Term) -> ["not 0, 1 or 2: ", shown(Term)].

bad_type(Type) when is_atom(Type) -> none;
bad_type(Term) -> ["not an atom: ", shown(Term)].

bad_value(Value) when is_binary(Value) -> none;
bad_value(N) when is_integer(N), N >= -(1 bsl 63), N < 1 bsl 64 -> none;
bad_value(Term) -> ["neither a binary nor an integer of 64 bits: ", shown(Term)].

bad_names(Names) when length(Names) >= 0 -> first([bad_name(Name) || Name <- Names]);
bad_names(Term) -> ["not a list: ", shown(Term)].

bad_values(Map, Bad) when is_map(Map) ->
    first([bad_value_of(Name, Value, Bad) || {Name, Value} <- lists:sort(maps:to_list(Map))]);
bad_values(Term, _Bad) ->
    ["not a map, with names as keys: ", shown(Term)].

bad_value_of(Name, Value, Bad) ->
    case {bad_name(Name), Bad(Value)} of
        {none, none} -> none;
        {none, Text} -> ["of ", shown(Name), ": ", Text];
        {Text, _} -> Text
    end.

bad_target_name(Name) -> bad_short("the name", Name, ?TARGET_SIZE).

bad_name(Name) -> bad_short("a name", Name, ?NAME_SIZE).

%% The kernel takes it as it is.
bad_program_name(Name) ->
    case bad_short("the name", Name, ?OBJECT_NAME_SIZE) of
        none ->
            case re:run(utf8(Name), "[^A-Za-z0-9_.]", [{capture, none}]) of
                nomatch -> none;
                match -> ["the name has others than letters, digits, _ and .: ", shown(Name)]
            end;
        Text -> Text
    end.

bad_short(What, Text, Size) ->
    case is_text(Text) andalso byte_size(utf8(Text)) of
        N when is_integer(N), N > 0, N < Size -> none;
        _ ->
            io_lib:format("~s is not a text of 1 to ~w bytes: ~ts", [What, Size - 1, shown(Text)])
    end.

%% An option without names may be there once, one with names once for each.
twice(Options) ->
    Keys = [Key || Option <- Options, Key <- keys(Option)],
    case Keys -- lists:usort(Keys) of
        [] -> none;
        [{Option, Name} | _] -> io_lib:format("the option ~w has ~ts twice", [Option, Name]);
        [Option | _] -> ["the option ", shown(Option), " is there twice"]
    end.

keys({Option, Values}) when is_map(Values) -> [{Option, utf8(Name)} || Name <- maps:keys(Values)];
keys({programs, Names}) -> [programs | [{programs, utf8(Name)} || Name <- Names]];
keys({Option, _Value}) -> [Option];
keys(Option) -> [Option].

%%--------------------------------------------------------------------------------------------------
%% Targets
%%--------------------------------------------------------------------------------------------------

%% Of a term that is no locator, as of a handle: badmap is raised where it is no map.
bad_locator(Map) -> ebpf_maps_locators:words(badarg, load, Map).

bad_target(auto) -> none;
bad_target(btf) -> none;
bad_target({tracepoint, Category, Name}) ->
    first([bad_event_name("category", Category), bad_event_name("name", Name)]);
bad_target({raw_tracepoint, Name}) ->
    bad_event_name("name", Name);
bad_target({Probe, Function, Offset}) when Probe =:= kprobe; Probe =:= kretprobe ->
    first([bad_event_name("function", Function), bad_offset(Offset)]);
bad_target({xdp, Interface, Mode}) ->
    first([bad_interface(Interface), bad_word(Mode, [native, generic])]);
bad_target({tc, Interface, Direction, Place}) ->
    first([bad_interface(Interface), bad_word(Direction, [ingress, egress]), bad_place(Place)]);
bad_target({cgroup, Path}) -> bad_path(Path);
bad_target({netns, own}) -> none;
bad_target({netns, Path}) -> bad_path(Path);
bad_target({sockmap, Map}) -> bad_locator(Map);
bad_target({perf, Event, Hertz}) -> first([bad_word(Event, [cpu_clock]), bad_frequency(Hertz)]);
bad_target(Term) -> ["there is no target ", shown(Term)].

bad_event_name(What, Name) ->
    bad_short(["the ", What], Name, ?TARGET_SIZE).

bad_interface(Index) when is_integer(Index), Index > 0, Index < 1 bsl 32 -> none;
bad_interface(Index) when is_integer(Index) -> ["not the index of an interface: ", shown(Index)];
bad_interface(Name) -> bad_text(Name).

bad_place({Place, _Link}) when Place =:= before; Place =:= 'after' -> none;
bad_place(Place) when Place =:= first; Place =:= last -> none;
bad_place(Term) ->
    ["the place is not first, last, {before, Link} or {after, Link}: ", shown(Term)].

bad_word(Word, Words) ->
    case lists:member(Word, Words) of
        true -> none;
        false -> ["not ", lists:join(" or ", [atom_to_list(W) || W <- Words]), ": ", shown(Word)]
    end.

bad_offset(N) when is_integer(N), N >= 0, N < 1 bsl 64 -> none;
bad_offset(Term) -> ["the offset is not an integer from 0 to 2^64-1: ", shown(Term)].

bad_frequency(N) when is_integer(N), N > 0, N =< 100000 -> none;
bad_frequency(Term) -> ["the frequency is not an integer from 1 to 100000: ", shown(Term)].
