# SPDX-License-Identifier: Apache-2.0
"""--vmlinux-types: layouts by the names of the kernel's own types."""

import ctypes
import sys
import threading

import pytest

from beam import Beam
from bpf_objects import libbpf
from btf_bombs import BOMBS, Types
from conftest import Maps, raises
from native import u32

pytestmark = pytest.mark.single

TYPES = "/sys/kernel/btf/vmlinux"
EACCES = "eacces"


def kernel(name):
    return "vmlinux", name


@pytest.fixture
def node(start_cnode):
    return start_cnode("--vmlinux-types")


@pytest.fixture
def maps(alice, node):
    return Maps(alice, node)


def new(maps, key, value):
    map = maps.new("hash", key, value, 8)
    assert map[0] == "ebpf_map", map
    return map


def typed(maps, map, key, value, *options):
    return maps.typed(map, [("types", (key, value)), *options])


# --- Layouts by name --------------------------------------------------------------


def test_a_structure_by_its_name_is_read_and_written(maps):
    raw = new(maps, 4, 16)
    view = typed(maps, raw, "u32", kernel(b"sockaddr_in"))
    address = {b"sin_family": 2, b"sin_port": 443, b"sin_addr": {b"s_addr": 0x7F000001}}
    maps.put(7, address | {b"__pad": bytes(8)}, view)
    data = (2).to_bytes(2, sys.byteorder) + b"\x01\xbb" + b"\x7f\0\0\1" + bytes(8)
    assert maps.get(u32(7), raw) == data
    assert maps.get(7, view) == address | {b"__pad": bytes(8)}
    with raises(("badmember", [b"sin_port"])):
        maps.put(7, address | {b"__pad": bytes(8), b"sin_port": 1 << 16}, view)


@pytest.mark.parametrize(
    "name, layout",
    [
        (b"in_addr", ("struct", 4, [(b"s_addr", 0, "be32")])),
        (b"sigval", ("union", 8, [(b"sival_int", 0, "s32"), (b"sival_ptr", 0, "ptr")])),
        (b"pid_t", "s32"),
        (b"__be32", "be32"),
        (b"unsigned char", "u8"),
        (
            b"hrtimer_restart",
            ("enum", 4, [(b"HRTIMER_NORESTART", 0), (b"HRTIMER_RESTART", 1)]),
        ),
    ],
    ids=["struct", "union", "typedef", "big-endian typedef", "int", "enum"],
)
def test_types_shows_the_layout_of_each_kind(name, layout, maps):
    assert maps.types(new(maps, "u32", kernel(name))) == ("u32", layout)


@pytest.mark.parametrize("name", ["in6_addr", b"in6_addr", list(b"in6_addr")], ids=repr)
def test_a_name_is_an_atom_a_binary_or_a_string(name, maps):
    map = new(maps, kernel(name), kernel(name))
    assert map[3:5] == (16, 16)
    key, value = maps.types(map)
    assert key == value and key[:2] == ("struct", 16)


def test_open_and_check_take_them_too(maps):
    id = maps.info(new(maps, 4, 16))["id"]
    layouts = ("u32", kernel(b"in6_addr"))
    view = maps.open(("id", id), [("types", layouts)])
    assert maps.types(view)[1][:2] == ("struct", 16)
    assert maps.check("hash", *layouts, 8) == "ok"


def test_options_of_a_view_go_with_them(maps):
    layouts = kernel("pid_t"), kernel("in_addr")
    view = maps.new("hash", *layouts, 8, [("as", "tuple")])
    maps.put(-1, (5,), view)
    assert maps.to_list(view) == [(-1, (5,))]
    chosen = typed(maps, view, *layouts, ("as", [b"s_addr"]))
    assert maps.to_list(chosen) == [(-1, (5,))]
    with raises("badarg"):
        typed(maps, view, *layouts, ("as", [b"absent"]))


# --- What is no layout ------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [b"no_such_type", b"", b"\xff", b"a\0b", b"x" * 5000, [], "no_such_type"], ids=str
)
def test_a_name_that_is_not_there_is_notype(name, maps):
    raw = new(maps, 4, 16)
    assert typed(maps, raw, "u32", kernel(name)) == ("error", "notype")
    assert maps.new("hash", kernel(name), "u32", 8) == ("error", "notype")
    (fault,) = maps.check("hash", "u32", kernel(name), 8)[1]
    assert b"names no type of the kernel" in fault
    assert maps.handles() == [(raw, *maps.handles()[0][1:])]


@pytest.mark.parametrize(
    "layout",
    [
        kernel(b"pid_t"),  # of another size
        kernel(b"bpf_spin_lock"),  # hidden
        kernel(5),
        kernel(("in6_addr",)),
        ("vmlinux",),
        ("vmlinux", b"in6_addr", 16),
        ("kernel", b"in6_addr"),
        ("array", 1, kernel(b"in6_addr")),
        ("struct", 16, [(b"a", 0, kernel(b"in6_addr"))]),
    ],
    ids=str,
)
def test_other_layouts_are_badarg(layout, maps):
    raw = new(maps, 4, 16)
    with raises("badarg"):
        typed(maps, raw, "u32", layout)
    with raises("badarg"):
        typed(maps, raw, kernel(b"in6_addr"), "u32")


# --- Types of our own in place of the kernel's ------------------------------------

libbpf.btf__raw_data.restype = ctypes.c_void_p


def under(script):
    """Runs the C node with mounts of its own."""
    return ["unshare", "--mount", "sh", "-c", f'{script} && exec "$@"', "sh"]


@pytest.fixture
def start_with(start_cnode, tmp_path):
    """Starts a C node whose kernel seems to have the types that a function makes."""

    def start(make):
        types = Types()
        make(types)
        size = ctypes.c_uint32()
        data = libbpf.btf__raw_data(types.btf, ctypes.byref(size))
        file = tmp_path / "vmlinux"
        file.write_bytes(ctypes.string_at(data, size.value))
        types.close()
        return start_cnode("--vmlinux-types", wrapper=under(f"mount --bind {file} {TYPES}"))

    return start


def add_int(types):
    types.add("int", b"same", ctypes.c_size_t(2), 0)


def add_enum(types):
    types.add("enum", b"same", ctypes.c_uint32(4))
    assert libbpf.btf__add_enum_value(types.btf, b"one", ctypes.c_int64(1)) == 0


def add_typedef(types):
    types.add("typedef", b"same", types.u32)


def add_union(types):
    types.add("union", b"same", ctypes.c_uint32(0))


def add_struct(types):
    types.structure(b"same", 8, (b"a", types.u32, 0))


# as long as no later one is there
ORDER = [
    (add_int, "u16"),
    (add_enum, ("enum", 4, [(b"one", 1)])),
    (add_typedef, "u32"),
    (add_struct, ("struct", 8, [(b"a", 0, "u32")])),
]


@pytest.mark.parametrize("count", range(1, len(ORDER) + 1))
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
def test_of_several_types_of_a_name_one_is_taken(count, first, start_with, alice):
    """A struct, or else a typedef, an enum or an int, wherever it stands."""
    adders = [add for add, _ in ORDER[:count]]

    def make(types):
        for add in reversed(adders) if first else adders:
            add(types)

    maps = Maps(alice, start_with(make))
    assert maps.types(new(maps, "u32", kernel(b"same"))) == ("u32", ORDER[count - 1][1])


def test_a_union_goes_before_a_typedef(start_with, alice):
    """This one is empty, and so no type of a value."""

    def make(types):
        for add in add_typedef, add_union, add_int:
            add(types)

    maps = Maps(alice, start_with(make))
    with raises("badarg"):
        maps.new("hash", "u32", kernel(b"same"), 8)


@pytest.mark.parametrize("make", BOMBS)
def test_a_type_that_is_too_large_is_e2big(make, start_with, alice):
    def make_named(types):
        types.add("typedef", b"large", make(types)[0])

    maps = Maps(alice, start_with(make_named))
    large = kernel(b"large")
    assert typed(maps, new(maps, 4, 16), "u32", large) == ("error", "e2big")
    assert maps.new("hash", "u32", large, 8) == ("error", "e2big")
    (fault,) = maps.check("hash", "u32", large, 8)[1]
    assert b"too much" in fault


# --- Many at once -----------------------------------------------------------------


def test_several_nodes_read_them_at_once(node, connect):
    """Each on its own connection, and so in a thread of its own."""
    seen = []

    def ask(peer):
        for _ in range(20):
            map = peer.maps("new", "hash", 4, 16, 8)
            view = peer.maps("typed", map, [("types", ("u32", ("vmlinux", b"sockaddr_in")))])
            seen.append(peer.maps("types", view))
            for handle in view, map:
                peer.maps("close", handle)

    threads = [
        threading.Thread(target=ask, args=(connect(node, name=f"peer{n}@here"),)) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 80 and all(one == seen[0] for one in seen)


# --- Without the option -----------------------------------------------------------


def refusal(maps, call):
    start = maps.node.mark()
    with raises(EACCES):
        call()
    return maps.node.wait_log(r"warning refused (\w+/\d) to .*>: (.*)", start=start)


def test_without_the_option_they_are_refused(alice, start_cnode):
    maps = Maps(alice, start_cnode())
    raw = new(maps, 4, 16)
    name = kernel(b"in6_addr")
    id = maps.info(raw)["id"]
    calls = {
        "typed/2": lambda: typed(maps, raw, "u32", name),
        "open/2": lambda: maps.open(("id", id), [("types", (name, "u32"))]),
        "new/4": lambda: maps.new("hash", "u32", name, 8),
        "check/4": lambda: maps.check("hash", "u32", name, 8),
    }
    for function, call in calls.items():
        line = refusal(maps, call)
        assert line[1] == function
        assert line[2] == "this node serves no types of the kernel (--vmlinux-types): in6_addr"
    with raises("badarg"):
        typed(maps, raw, "u32", kernel(5))
    assert len(maps.handles()) == 1


# --- Words ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def facade(cluster, ebin):
    beam = Beam(cluster, paths=[ebin])
    yield beam
    beam.close()


def words(facade, node, call):
    """What the facade says of a call on a map of values of 16 bytes."""
    return facade.eval(
        f"""
        {{ok, _}} = {{ok, application:load(ebpf_cnode)}},
        M = ebpf_maps:new(hash, 4, 16, 8, [{{node, N}}]),
        try {call} of
            Other -> {{returned, Other}}
        catch
            error:Reason:Stack ->
                Words = ebpf_maps:format_error(Reason, Stack),
                {{Reason, maps:values(Words)}}
        after
            ebpf_maps:close(M)
        end""",
        N=node.name,
    )


NEW = "ebpf_maps:new(hash, u32, {}, 8, [{{node, N}}])"
TYPED = "ebpf_maps:typed(M, [{{types, {{u32, {}}}}}])"


@pytest.mark.parametrize(
    "call, text",
    [
        (TYPED.format("{vmlinux, pid_t}"), "{vmlinux,pid_t} has another size than the map"),
        (TYPED.format("{vmlinux, 5}"), "not a name: 5"),
        (TYPED.format("{array, 1, {vmlinux, in6_addr}}"), "for a whole key or value, not for a part"),
        (NEW.format("{vmlinux, bpf_spin_lock}"), "is no type that a key or a value can have"),
        (
            NEW.format("{vmlinux, in6_addr}").replace("[{", "[{as, [x]}, {", 1),
            "a value can have; or the options want other members than it has",
        ),
    ],
)
def test_the_facade_says_what_is_wrong(call, text, facade, node):
    told, (said,) = words(facade, node, call)
    assert told == "badarg"
    assert text in said.decode()


def test_the_facade_says_which_option_is_missing(facade, cnode):
    told, (said,) = words(facade, cnode, TYPED.format("{vmlinux, in6_addr}"))
    assert told == EACCES
    assert b"without --vmlinux-types" in said
    told, (said,) = words(facade, cnode, NEW.format("{vmlinux, x}"))
    assert told == EACCES
    assert b"without --vmlinux-types" in said and b"may only read" in said


# --- The start --------------------------------------------------------------------


@pytest.mark.parametrize(
    "script, words",
    [
        ("mount -t tmpfs none /sys/kernel/btf", "No such file or directory"),
        (f"mount --bind /dev/null {TYPES}", ""),
        (f"mount --bind /etc/hostname {TYPES}", "Protocol error"),
    ],
    ids=["no file", "an empty file", "another file"],
)
def test_a_start_fails_where_they_cannot_be_read(script, words, start_cnode):
    node = start_cnode("--vmlinux-types", wrapper=under(script), ready=False)
    assert node.wait_exit() == 1
    line = node.lines[-1]
    assert f"cannot read the types of the kernel in {TYPES}: {words}" in line
    assert "CONFIG_DEBUG_INFO_BTF; or leave out --vmlinux-types" in line
    start_cnode(wrapper=under(script))


def test_they_are_read_before_the_user_changes_and_the_sandbox_closes(start_cnode, alice):
    maps = Maps(alice, start_cnode("--vmlinux-types", "--user", "nobody", "--no-open-by-id"))
    assert maps.types(new(maps, "u32", kernel("pid_t"))) == ("u32", "s32")
