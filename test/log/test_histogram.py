# SPDX-License-Identifier: Apache-2.0
"""The figures of the line at SIGUSR1 are those of the calls that were made."""

import re
import signal

import pytest

from cluster import PATIENCE, wait_until
from slow_calls import slow_calls, threads_of

pytestmark = pytest.mark.single

SLOW = 0.2 * PATIENCE  # s, and a quick one takes no ms
LIMIT = SLOW * 1e9
FIGURES = {"half of the requests": 500, "99%": 990, "all": 1000}  # thousandths
LINE = re.compile(
    r"(?P<requests>\d+) requests \[.*answered in ns \[(?P<counts>(?: <\d+ \d+)*) \], "
    r"half of the requests within (?P<half>\d+) ns, 99% within (?P<most>\d+) ns, "
    r"all within (?P<all>\d+) ns$"
)


def told(node):
    """(requests, [(bound, number)], {thousandths: ns}), as the line has them."""
    start = node.mark()
    node.process.send_signal(signal.SIGUSR1)
    found = LINE.search(node.wait_log(r"notice stats: ", start=start).string)
    counts = [(int(b), int(n)) for b, n in re.findall(r"<(\d+) (\d+)", found["counts"])]
    within = {500: int(found["half"]), 990: int(found["most"]), 1000: int(found["all"])}
    return int(found["requests"]), counts, within


def bound_of(counts, thousandths):
    """The least bound within which so many of a thousand requests were."""
    total = sum(number for _, number in counts)
    so_far = 0
    for bound, number in counts:
        so_far += number
        if 1000 * so_far >= thousandths * total:
            return bound
    return 0


def test_before_any_request_all_of_them_are_0(fresh_cnode):
    assert told(fresh_cnode) == (0, [], {500: 0, 990: 0, 1000: 0})


@pytest.mark.parametrize("number", [1, 2, 3, 4, 99, 100, 101, 200])
def test_the_figures_follow_from_the_counts(number, fresh_cnode, connect):
    peer = connect(fresh_cnode)
    for _ in range(number):
        peer.maps("handles")
    requests, counts, within = told(fresh_cnode)
    assert requests == sum(n for _, n in counts) == number
    assert [bound for bound, _ in counts] == sorted({bound for bound, _ in counts})
    assert all(bound & (bound - 1) == 0 for bound, _ in counts)
    assert within == {t: bound_of(counts, t) for t in FIGURES.values()}


def of_both(node, connect, quick, slow):
    others = threads_of(node)
    peer = connect(node)
    (thread,) = threads_of(node) - others
    with slow_calls(node, SLOW, {thread}):
        for _ in range(slow):
            peer.erpc("ebpf_maps", "open", [("id", 2**32 - 1)])
    for _ in range(quick):
        peer.maps("handles")
    return told(node)[1:]


@pytest.mark.parametrize(
    "quick, slow, slower",
    [
        (1, 1, {500: False, 990: True, 1000: True}),
        (1, 2, {500: True, 990: True, 1000: True}),
        (2, 1, {500: False, 990: True, 1000: True}),
        (99, 1, {500: False, 990: False, 1000: True}),
        (98, 2, {500: False, 990: True, 1000: True}),
    ],
    ids=str,
)
def test_a_figure_is_of_the_slow_requests_only_where_the_quick_ones_do_not_do(
    quick, slow, slower, start_cnode, connect
):
    """Of what is exactly a half, and 99 of a hundred, the quick ones do."""

    def done():
        """Once more where the host has made a quick one slow."""
        counts, within = of_both(start_cnode(), connect, quick, slow)
        if sum(number for bound, number in counts if bound > LIMIT) != slow:
            return False
        assert {t: within[t] > LIMIT for t in within} == slower
        return True

    wait_until(done, 60)


def test_errors_and_requests_that_are_none_count_as_they_were_answered(
    fresh_cnode, connect
):
    peer = connect(fresh_cnode)
    peer.erpc("ebpf_maps", "nope", [])
    peer.erpc("ebpf_maps", "get", [1, "no map"])
    peer.maps("handles")
    requests, counts, _ = told(fresh_cnode)
    assert requests == 2  # of functions that there are
    assert sum(number for _, number in counts) == 3
