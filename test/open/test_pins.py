# SPDX-License-Identifier: Apache-2.0
"""Pins in number, and in odd places: what they cost others, and --max-pins."""

import ctypes
import os
import resource
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path

import pytest

from cluster import wait_until
from conftest import Maps, raises
from others import others_link, others_map, others_program, pin, pinned
from syscall_numbers import NUMBERS

pytestmark = pytest.mark.single

HASH = ("hash", 4, 8, 4)
ENOSPC = ("error", "enospc")
PINS = Path("/sys/fs/bpf")
MANY = 5000


def data(path):
    return os.fsencode(path)


def mount(*args):
    subprocess.run(["mount", *map(str, args)], check=True)


@pytest.fixture
def mounted():
    """Mounts what is unmounted at the end, the last one first."""
    places = []

    def mounted(place, *args):
        place.mkdir(exist_ok=True)
        mount(*(args or ("-t", "bpf", "bpf")), place)
        places.append(place)
        return place

    yield mounted
    for place in reversed(places):
        subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def bpf_fs(mounted, tmp_path):
    """A bpf file system of the test's own."""
    return mounted(tmp_path / "pins")


def pins_in(folder):
    """By their paths, without the files that the kernel may put there."""
    return {path for path in folder.iterdir() if "." not in path.name}


@pytest.fixture
def meanwhile():
    """Runs a function in a loop until the end of the block; it must not fail."""

    class Meanwhile:
        def __init__(self, function):
            self.stop = threading.Event()
            self.pool = ThreadPoolExecutor(1)
            self.rounds = 0
            self.function = function

        def run(self):
            while not self.stop.is_set():
                self.function(self.rounds)
                self.rounds += 1

        def __enter__(self):
            self.result = self.pool.submit(self.run)
            return self

        def __exit__(self, *exception):
            self.stop.set()
            self.result.result()
            self.pool.shutdown()

    return Meanwhile


# --- many pins of others


def test_who_looks_through_many_pins_holds_up_nobody(
    start_cnode, connect, bpf_fs, meanwhile
):
    """A get does not wait for a walk: there are many more of these than of those."""
    pinned(others_map, *(bpf_fs / f"m{i}" for i in range(MANY)))
    node = start_cnode()
    bystander = connect(node)
    map = bystander.maps("new", *HASH)
    with ExitStack() as stack:
        walkers = []
        for function, args in [("info", [map]), ("list", [])] * 2:
            walk = partial(connect(node).maps, function, *args)
            walkers.append(stack.enter_context(meanwhile(lambda _, walk=walk: walk())))
        wait_until(lambda: all(walker.rounds for walker in walkers), 60)
        before = sum(walker.rounds for walker in walkers)
        for _ in range(200):
            assert bystander.maps("get", 1, map, 0) == 0
        walks = sum(walker.rounds for walker in walkers) - before
    assert walks < 100  # who waits for a walk each time waits for 200 of them


def test_all_pins_of_a_map_are_found_among_many(start_cnode, alice, bpf_fs):
    pinned(others_map, *(bpf_fs / f"m{i}" for i in range(MANY)))
    maps = Maps(alice, start_cnode("--max-pins", 2 * MANY))
    mine = [maps.new(*HASH) for _ in range(3)]
    places = {
        i: {data(bpf_fs / f"mine{i}_{j}") for j in range(i)} for i in range(3)
    }
    for i, paths in places.items():
        for path in paths:
            assert maps.pin(path, mine[i]) == "ok"
    listed = {info["id"]: info["pinned"] for info in maps.list()}
    for i, paths in places.items():
        info = maps.info(mine[i])
        assert set(info["pinned"]) == paths and len(info["pinned"]) == len(paths)
        assert set(listed[info["id"]]) == paths
    assert MANY in {len(pinned) for pinned in listed.values()}


# --- the limit


@pytest.fixture
def confined(start_cnode, alice, bpf_fs):
    """ebpf_maps of a node with a place of its own for N pins."""

    def confined(number, root=bpf_fs):
        node = start_cnode("--pin-root", root, "--max-pins", number)
        return Maps(alice, node)

    return confined


def test_no_more_pins_than_allowed(confined, bpf_fs, bob):
    maps = confined(3)
    map = maps.new(*HASH)
    paths = [data(bpf_fs / f"m{i}") for i in range(4)]
    for path in paths[:3]:
        assert maps.pin(path, map) == "ok"
    assert not maps.node.find_log("max-pins")
    for each in (maps, Maps(bob, maps.node)):
        assert each.pin(paths[3], map) == ENOSPC
        maps.node.wait_log(
            rf"Z warning refused {each.beam.name} a pin: there are --max-pins 3 already"
        )
    assert len(pins_in(bpf_fs)) == 3
    assert maps.open(("pinned", paths[0]))[0] == "ebpf_map"
    assert maps.unpin(paths[0], map) == "ok"
    assert maps.pin(paths[3], map) == "ok"
    assert maps.pin(paths[0], map) == ENOSPC


def test_pins_that_others_remove_make_room(confined, bpf_fs):
    maps = confined(1)
    map = maps.new(*HASH)
    path = bpf_fs / "m"
    for _ in range(3):
        assert maps.pin(data(path), map) == "ok"
        assert maps.pin(data(bpf_fs / "n"), map) == ENOSPC
        path.unlink()


def test_pins_of_others_and_of_programs_and_links_count(confined, bpf_fs):
    (bpf_fs / "a" / "b").mkdir(parents=True)
    pinned(others_map, bpf_fs / "a" / "map")
    pinned(others_program, bpf_fs / "a" / "b" / "program")
    pinned(others_link, bpf_fs / "link")
    maps = confined(4)
    map = maps.new(*HASH)
    assert maps.pin(data(bpf_fs / "mine"), map) == "ok"
    assert maps.pin(data(bpf_fs / "a" / "mine"), map) == ENOSPC
    (bpf_fs / "a" / "b" / "program").unlink()
    assert maps.pin(data(bpf_fs / "a" / "mine"), map) == "ok"


def test_what_was_pinned_before_a_restart_counts(confined, bpf_fs):
    for number in range(1, 4):
        maps = confined(number)
        map = maps.new(*HASH)
        for name in ("one", "two"):
            made = maps.pin(data(bpf_fs / f"{name}{number}"), map)
            assert made == ("ok" if name == "one" else ENOSPC)


def test_folders_and_links_are_no_pins(confined, bpf_fs):
    for i in range(5):
        (bpf_fs / f"folder{i}").mkdir()
        (bpf_fs / f"link{i}").symlink_to(bpf_fs)
    maps = confined(1)
    assert maps.pin(data(bpf_fs / "m"), maps.new(*HASH)) == "ok"


@pytest.mark.parametrize("place", ["beside it", "on another file system"])
def test_pins_outside_of_the_root_do_not_count(
    place, confined, bpf_fs, mounted, tmp_path
):
    root = bpf_fs / "root"
    root.mkdir()
    other = bpf_fs if place == "beside it" else mounted(tmp_path / "other")
    pinned(others_map, *(other / f"m{i}" for i in range(5)))
    maps = confined(2, root)
    map = maps.new(*HASH)
    for name, made in (("a", "ok"), ("b", "ok"), ("c", ENOSPC)):
        assert maps.pin(data(root / name), map) == made


def test_what_is_mounted_below_the_root_counts(confined, bpf_fs, mounted):
    below = mounted(bpf_fs / "below")
    pinned(others_map, below / "theirs")
    maps = confined(3)
    map = maps.new(*HASH)
    assert maps.pin(data(bpf_fs / "a"), map) == "ok"
    assert maps.pin(data(below / "b"), map) == "ok"
    for folder in (bpf_fs, below):
        assert maps.pin(data(folder / "c"), map) == ENOSPC


def test_a_root_above_all_of_them(start_cnode, alice, bpf_fs, tmp_path):
    """The root need not be in a bpf file system itself."""
    maps = Maps(alice, start_cnode("--pin-root", tmp_path, "--max-pins", 1))
    map = maps.new(*HASH)
    assert maps.pin(data(bpf_fs / "a"), map) == "ok"
    assert maps.pin(data(bpf_fs / "b"), map) == ENOSPC


def test_the_limit_goes_with_a_root_that_is_renamed(confined, bpf_fs, mounted):
    (bpf_fs / "root").mkdir()
    maps = confined(2, bpf_fs / "root")
    map = maps.new(*HASH)
    (bpf_fs / "root").rename(bpf_fs / "moved")
    for name, made in (("a", "ok"), ("b", "ok"), ("c", ENOSPC)):
        assert maps.pin(data(bpf_fs / "root" / name), map) == made
    assert len(pins_in(bpf_fs / "moved")) == 2


def test_without_a_root_all_bpf_file_systems_count(start_cnode, alice):
    """In a mount namespace, so that nobody else's are among them."""
    script = """
    umount -a -t bpf && mount -t bpf bpf /sys/fs/bpf &&
    mkdir /sys/fs/bpf/one && mount -t bpf bpf /sys/fs/bpf/one &&
    mount --bind /sys/fs/bpf /mnt && exec "$0" "$@" """
    node = start_cnode(
        "--max-pins", "3", wrapper=["unshare", "--mount", "sh", "-c", script]
    )
    maps = Maps(alice, node)
    map = maps.new(*HASH)
    paths = [PINS / "b", PINS / "one" / "a", Path("/mnt/c")]
    for path in paths:
        assert maps.pin(data(path), map) == "ok"
    for path in (PINS / "one" / "d", PINS / "d", Path("/mnt/d")):
        assert maps.pin(data(path), map) == ENOSPC
    # each by all of its paths, and counted once
    all_paths = {*paths, PINS / "c", Path("/mnt/b")}
    assert set(maps.info(map)["pinned"]) == {data(path) for path in all_paths}


def test_many_who_pin_at_once_do_not_get_past_it(start_cnode, connect, bpf_fs):
    (bpf_fs / "theirs").mkdir()
    pinned(others_map, *(bpf_fs / "theirs" / f"m{i}" for i in range(MANY)))
    node = start_cnode("--pin-root", bpf_fs, "--max-pins", MANY + 30)
    peers = [connect(node) for _ in range(10)]

    def pin_all(index):
        peer = peers[index]
        map = peer.maps("new", *HASH)
        paths = [data(bpf_fs / f"p{index}_{i}") for i in range(20)]
        asked = [peer.start_erpc("ebpf_maps", "pin", [p, map]) for p in paths]
        return [peer.finish_erpc(request) for request in asked]

    with ThreadPoolExecutor(len(peers)) as pool:
        answers = [a for some in pool.map(pin_all, range(10)) for a in some]
    assert answers.count(("return", "ok")) == 30
    assert answers.count(("return", ENOSPC)) == 170
    assert len(pins_in(bpf_fs) - {bpf_fs / "theirs"}) == 30


def test_who_is_refused_all_the_time_cannot_flood_the_log(start_cnode, connect, bpf_fs):
    pinned(others_map, bpf_fs / "there")
    node = start_cnode("--pin-root", bpf_fs, "--max-pins", 1)
    peer = connect(node)
    map = peer.maps("new", *HASH)
    asked = [
        peer.start_erpc("ebpf_maps", "pin", [data(bpf_fs / "m"), map])
        for _ in range(1000)
    ]
    assert {peer.finish_erpc(request) for request in asked} == {("return", ENOSPC)}
    assert 20 <= len(node.find_log("warning refused .*--max-pins")) < 400


def test_enospc_is_told_by_rpc_and_by_the_facade(start_cnode, start_beam, ebin, bpf_fs):
    pinned(others_map, bpf_fs / "there")
    node = start_cnode("--pin-root", bpf_fs, "--max-pins", 1)
    answers = start_beam(paths=[ebin]).eval(
        """
        M = ebpf_maps:new(hash, 4, 8, 4, [{node, N}]),
        {rpc:call(N, ebpf_maps, pin, [P, M]), erpc:call(N, ebpf_maps, pin, [P, M]),
         ebpf_maps:pin(P, M)}""",
        N=node.name,
        P=data(bpf_fs / "m"),
    )
    assert answers == (ENOSPC, ENOSPC, ENOSPC)


def test_refused_pins_leave_no_descriptor(confined, bpf_fs):
    pinned(others_map, bpf_fs / "there")
    maps = confined(1)
    map = maps.new(*HASH)
    before = len(maps.node.descriptors())
    for _ in range(50):
        assert maps.pin(data(bpf_fs / "m"), map) == ENOSPC
    assert len(maps.node.descriptors()) == before


@pytest.fixture
def stuck(tmp_path):
    """A file system whose server does not answer, until it is closed."""
    place = tmp_path / "stuck"
    place.mkdir()
    server = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={server},rootmode=40000,user_id=0,group_id=0".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"none", data(place), b"fuse", 0, options) == 0
    yield place, server
    subprocess.run(["umount", "-l", place], check=True)


def test_who_names_a_path_that_takes_for_ever_holds_up_nobody(
    start_cnode, connect, bpf_fs, stuck
):
    place, server = stuck
    node = start_cnode()
    waiting, other = [connect(node) for _ in range(2)], connect(node)
    map = other.maps("new", *HASH)
    paths = (place / "pin", place / "folder" / "pin")
    asked = [
        peer.start_erpc("ebpf_maps", "pin", [data(path), map])
        for peer, path in zip(waiting, paths)
    ]
    wait_until(lambda: b"fuse" in b"".join(waiting_at(node)), what="it waits for it")
    try:
        for i in range(5):
            path = data(bpf_fs / f"m{i}")
            assert other.maps("pin", path, map) == "ok"
            assert path in other.maps("info", map)["pinned"]
            assert other.maps("unpin", path, map) == "ok"
    finally:
        os.close(server)
    for peer, request in zip(waiting, asked):
        kind, (tag, reason) = peer.finish_erpc(request)
        assert (kind, tag) == ("return", "error") and reason in ("enotconn", "eperm")


def test_who_opens_a_path_that_takes_for_ever_holds_up_nobody(
    start_cnode, connect, bpf_fs, stuck
):
    """Nor who looks, since ids tell nothing, for maps that have gone."""
    place, server = stuck
    only = "-all,+bpf,+net_admin"
    wrapper = ["setpriv", f"--bounding-set={only}", f"--inh-caps={only}"]
    node = start_cnode("--max-map-memory", 4 << 20, wrapper=wrapper)
    waiting, other = connect(node), connect(node)
    big = ("array", 4, 4096, 600)
    map, path = other.maps("new", *big), data(bpf_fs / "m")
    assert other.maps("pin", path, map) == "ok"
    assert other.maps("close", map) == "ok"
    what = ("pinned", data(place / "pin"))
    asked = waiting.start_erpc("ebpf_maps", "open", [what])
    wait_until(lambda: b"fuse" in b"".join(waiting_at(node)), what="it waits for it")
    try:
        assert other.maps("new", *big) == ("error", "enomem")
        assert other.maps("open", ("pinned", path))[0] == "ebpf_map"
    finally:
        os.close(server)
    kind, (tag, reason) = waiting.finish_erpc(asked)
    assert (kind, tag) == ("return", "error") and reason in ("enotconn", "eperm")


def waiting_at(node):
    """Where in the kernel each of its threads is."""
    for task in Path(f"/proc/{node.pid}/task").iterdir():
        yield (task / "stack").read_bytes()


REMOVAL = [NUMBERS[name] for name in ("unlink", "unlinkat") if name in NUMBERS]


def is_removing(node):
    """Whether one of its threads is about to remove a file."""
    for task in Path(f"/proc/{node.pid}/task").iterdir():
        number = (task / "syscall").read_text().split()[0]
        if number.isdigit() and int(number) in REMOVAL:
            return True
    return False


@pytest.mark.preload  # of strace, a leak sanitizer wants nothing to know
def test_what_is_unpinned_is_what_was_looked_at(start_cnode, connect, bpf_fs):
    """And no pin of another that has come to its place since."""
    late = "--inject=unlink,unlinkat:delay_enter=300000"
    node = start_cnode(wrapper=["strace", "-D", "-f", "-qq", "-o", "/dev/null", late])
    one, other = connect(node), connect(node)
    path = bpf_fs / "m"
    first, second = one.maps("new", *HASH), other.maps("new", *HASH)
    assert one.maps("pin", data(path), first) == "ok"
    asked = one.start_erpc("ebpf_maps", "unpin", [data(path), first])
    wait_until(lambda: is_removing(node))
    path.unlink()
    assert other.maps("pin", data(path), second) == "ok"
    assert one.finish_erpc(asked) == ("return", ("error", "enoent"))
    assert other.maps("info", second)["pinned"] == [data(path)]


# --- what stands where pins are


def test_what_is_no_map_is_none(start_cnode, alice, bpf_fs):
    """Their ids are no ids of maps, and they stay what they are."""
    maps = Maps(alice, start_cnode("--pin-root", bpf_fs))
    mine = maps.new(*HASH)
    paths = [bpf_fs / "program", bpf_fs / "link"]
    pinned(others_program, paths[0])
    pinned(others_link, paths[1])
    for path in map(data, paths):
        assert maps.open(("pinned", path)) == ("error", "einval")
        assert maps.unpin(path, mine) == ("error", "einval")
        assert maps.pin(path, mine) == ("error", "eexist")
    assert all(path.exists() for path in paths)
    told = {path for info in maps.list() for path in info["pinned"]}
    assert not told & {data(path) for path in paths}


ODD = ["a b", "new\nline", 'quo"te\\', "%s%n", "ünï", "x" * 255, "\x01\x7f", "-rf", "~"]


def test_names_of_odd_characters_are_told_as_they_are(maps, bpf_fs, start_cnode, alice):
    maps = Maps(alice, start_cnode("--pin-root", bpf_fs))
    map = maps.new(*HASH)
    paths = {data(bpf_fs / name) for name in ODD} | {data(bpf_fs) + b"/\xff\xfe"}
    for path in paths:
        assert maps.pin(path, map) == "ok"
        assert maps.open(("pinned", path))[0] == "ebpf_map"
    assert set(maps.info(map)["pinned"]) == paths
    for path in paths:
        assert maps.unpin(path, map) == "ok"
    assert maps.info(map)["pinned"] == []
    for name in ("a.b", ".", "..", ".hidden"):
        with raises("eacces") if name in (".", "..") else nullcontext():
            assert maps.pin(data(bpf_fs) + b"/" + name.encode(), map) == (
                "error",
                "eperm",
            )
    assert not pins_in(bpf_fs)


@pytest.mark.parametrize("name", ["with space", "tab\tand\nline", "back\\slash\\040"])
def test_a_file_system_may_be_mounted_anywhere(
    name, mounted, tmp_path, start_cnode, alice
):
    place = mounted(tmp_path / name)
    maps = Maps(alice, start_cnode("--max-pins", 1000000))
    map = maps.new(*HASH)
    assert maps.pin(data(place / "m"), map) == "ok"
    assert maps.info(map)["pinned"] == [data(place / "m")]


def test_a_mount_over_another_is_looked_through_once(
    mounted, tmp_path, start_cnode, alice, bpf_fs
):
    pin(others_map(), bpf_fs / "hidden")
    mounted(bpf_fs)
    maps = Maps(alice, start_cnode("--pin-root", bpf_fs, "--max-pins", 2))
    map = maps.new(*HASH)
    assert maps.pin(data(bpf_fs / "m"), map) == "ok"
    assert maps.info(map)["pinned"] == [data(bpf_fs / "m")]
    assert maps.pin(data(bpf_fs / "n"), map) == "ok"
    assert maps.pin(data(bpf_fs / "o"), map) == ENOSPC


def test_a_mount_that_another_kind_hides_is_none(
    mounted, tmp_path, start_cnode, alice, bpf_fs
):
    place = mounted(tmp_path / "hidden")
    mounted(place, "-t", "tmpfs", "tmpfs")
    for i in range(5):
        (place / f"file{i}").touch()
    maps = Maps(alice, start_cnode("--pin-root", tmp_path, "--max-pins", 1))
    map = maps.new(*HASH)
    assert maps.pin(data(bpf_fs / "m"), map) == "ok"
    assert maps.info(map)["pinned"] == [data(bpf_fs / "m")]


def test_folders_deeper_than_a_path_can_say(start_cnode, alice, bpf_fs):
    """What has no path cannot be named, and is passed over."""
    name = "d" * 200
    there = os.open(bpf_fs, os.O_RDONLY)
    for _ in range(40):
        os.mkdir(name, dir_fd=there)
        deeper = os.open(name, os.O_RDONLY, dir_fd=there)
        os.close(there)
        there = deeper
    os.close(there)
    maps = Maps(alice, start_cnode("--pin-root", bpf_fs))
    map = maps.new(*HASH)
    deep = data(bpf_fs) + f"/{name}".encode() * 15 + b"/m"
    assert maps.pin(deep, map) == "ok"
    assert maps.info(map)["pinned"] == [deep]
    assert maps.unpin(deep, map) == "ok"


def test_without_descriptors_nobody_is_told_that_there_are_no_pins(
    start_cnode, connect, bpf_fs
):
    """What cannot be looked at for want of them is no answer."""
    node = start_cnode("--pin-root", bpf_fs)
    peer = connect(node)
    map = peer.maps("new", *HASH)
    assert peer.maps("pin", data(bpf_fs / "m"), map) == "ok"
    soft, hard = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    used = {int(fd) for fd in os.listdir(f"/proc/{node.pid}/fd")}
    free = [fd for fd in range(max(used) + 8) if fd not in used]
    told = set()
    for number in free[:5]:
        resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (number, hard))
        kind, reason, *_ = peer.erpc("ebpf_maps", "info", [map])
        told.add(reason["pinned"][0] if kind == "return" else reason)
        answer = peer.maps("pin", data(bpf_fs / "m"), map)
        assert answer in (("error", "emfile"), ("error", "eexist"))
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (soft, hard))
    assert told == {"emfile", data(bpf_fs / "m")}


# --- meanwhile


def test_pins_and_folders_that_come_and_go_under_the_walk(
    start_cnode, connect, bpf_fs, meanwhile
):
    node = start_cnode("--pin-root", bpf_fs)
    looker, maker = connect(node), connect(node)
    stays = looker.maps("new", *HASH)
    paths = {data(bpf_fs / f"stay{i}") for i in range(5)}
    for path in paths:
        assert looker.maps("pin", path, stays) == "ok"
    comes = maker.maps("new", *HASH)
    fd = others_map()

    def by_node(i):
        path = data(bpf_fs / f"come{i % 7}")
        assert maker.maps("pin", path, comes) == "ok"
        assert maker.maps("unpin", path, comes) == "ok"

    def by_others(i):
        folder = bpf_fs / f"folder{i % 3}"
        (folder / "sub").mkdir(parents=True)
        pin(fd, folder / "a", folder / "sub" / "b")
        (folder / "sub").rename(bpf_fs / "aside")
        for path in (folder / "a", bpf_fs / "aside" / "b"):
            path.unlink()
        for path in (folder, bpf_fs / "aside"):
            path.rmdir()

    id = looker.maps("info", stays)["id"]
    with meanwhile(by_node) as nodes, meanwhile(by_others) as other:
        looks = 0
        while looks < 100 or nodes.rounds < 100 or other.rounds < 100:
            assert set(looker.maps("info", stays)["pinned"]) == paths
            [info] = [i for i in looker.maps("list") if i["id"] == id]
            assert set(info["pinned"]) == paths
            looks += 1
    os.close(fd)
    assert {data(path) for path in pins_in(bpf_fs)} == paths


def test_a_root_that_is_removed_is_an_error_value(confined, bpf_fs):
    root = bpf_fs / "root"
    root.mkdir()
    maps = confined(2, root)
    map = maps.new(*HASH)
    root.rmdir()
    assert maps.pin(data(root / "m"), map) == ("error", "enoent")
    assert maps.info(map)["pinned"] == []


@pytest.mark.parametrize("number", ["0", "-1", "x", "", "1000001"])
def test_a_bad_number_is_told_with_status_2(number, start_cnode):
    node = start_cnode("--max-pins", number, ready=False)
    assert node.wait_exit() == 2
    assert "--max-pins" in node.log
