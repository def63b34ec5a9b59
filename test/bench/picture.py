# SPDX-License-Identifier: Apache-2.0
"""bench.svg, from what is in bench.json.

Four panels: a lone get; gets per second; to_list by size; the C node beside the
others. Below them is what cannot be seen in them, in sentences.
"""

import json
import sys
import textwrap
from pathlib import Path

import caption
import labels as by
from turns import ABOVE

OURS = "#b5179e"
THEIRS = "#8d99ae"
FLOOR = "#495057"
SLOWER = "#e85d04"
COLOURS = {by.CNODE: OURS, by.FACADE: "#7209b7", by.PINGPONG: FLOOR, by.LOOP: FLOOR}
LINES = {"ecolor": "#00000080"}
VALUE = {"va": "center", "fontsize": 8}
PANEL = 5  # inches of height
EACH_RATIO = 0.38  # two lines of words
TIMES = (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)
SIZES = (1_000, 100_000, 1_000_000)
METADATA = {"Date": None, "Rights": "SPDX-License-Identifier: Apache-2.0"}


def check():
    """Ends the program, with words, where there is nothing to draw with."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise SystemExit(
            "bench: the picture wants matplotlib for this Python"
            " (Debian: python3-matplotlib)"
        ) from None


def draw(results, path):
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    contests = {contest["id"]: contest for contest in results["contests"]}
    settings = {
        "svg.fonttype": "none",
        "svg.hashsalt": "ebpf_maps",
        "font.size": 9,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e9ecef",
    }
    with pyplot.rc_context(settings):
        ratios = list(compared(results["contests"]))
        below = max(PANEL, EACH_RATIO * len(ratios))
        shape = {"figsize": (12, PANEL + below), "height_ratios": (PANEL, below)}
        figure, axes = pyplot.subplots(2, 2, layout="constrained", **shape)
        lines = sizes(contests)
        draw_alone(axes[0][0], contests.get("get-1"))
        draw_rates(axes[0][1], contests)
        draw_sizes(axes[1][0], lines)
        draw_ratios(axes[1][1], ratios)
        figure.suptitle(title(results), fontsize=10)
        words = [textwrap.fill(s, 150) for s in caption.sentences(results, lines)]
        figure.supxlabel("\n".join(words), x=0.01, ha="left", fontsize=8.5)
        figure.savefig(path, metadata=METADATA)
        pyplot.close(figure)


def title(results):
    machine = results["machine"]
    return (
        f"ebpf_cnode on {machine['cpu']}, {machine['cores']} cores,"
        f" Linux {machine['kernel']}, Erlang/OTP {results['versions']['otp']}"
        f" ({results['made']}, {results['size']} run)"
    )


def given(contest):
    return [c for c in contest["contenders"] if c["given"]] if contest else []


# --- Beside the others ----------------------------------------------------------


def times_as_fast(contest, ratio):
    """(median, low, high) of a ratio, all turned so that more is better."""
    median, low, high = ratio["median"], ratio["low"], ratio["high"]
    if contest["shows"] in ("its time", "its size"):
        return 1 / median, 1 / high, 1 / low
    return median, low, high


def compared(contests):
    """(words, times as fast) of the comparisons that have a target; differences are
    told below the picture."""
    for contest in contests:
        if contest["shows"] == ABOVE:
            continue
        for row in contest["rows"]:
            if row["target"] and row["ratio"]:
                words = f"{contest['work']}\nbeside {row['against']}"
                yield words, times_as_fast(contest, row["ratio"])


def short(number):
    return f"{number:.0f}" if number >= 10 else f"{number:.2g}"


def draw_ratios(axes, found):
    for place, (_, (median, low, high)) in enumerate(found):
        spread = [[median - low], [high - median]]
        colour = OURS if median >= 1 else SLOWER
        axes.barh(place, median - 1, left=1, color=colour, **LINES, xerr=spread)
        axes.annotate(f" {short(median)} ×", (max(high, 1), place), **VALUE)
    axes.set_yticks(range(len(found)), [words for words, _ in found], linespacing=1.05, fontsize=8)
    axes.invert_yaxis()
    axes.set_xscale("log")
    if found:
        axes.set_xlim(0.4, 1000)
    axes.set_xticks(TIMES, [f"{times:g}" for times in TIMES])
    axes.minorticks_off()
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(False, axis="y")
    finish(axes, "The C node beside others", "times as fast (left of 1: slower)", found)


# --- Bars and lines ---------------------------------------------------------------


def finish(axes, title, unit, drawn):
    """Each panel has a title, an axis with a unit, and says so when it is empty."""
    axes.set_title(title, fontweight="bold")
    axes.set_xlabel(unit)
    if not drawn:
        words = "not part of this run"
        axes.text(0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center")


def draw_bars(axes, bars, title, unit, scale=1, digits=0):
    """bars are (words, contender); what is drawn is divided by scale."""
    for place, (_, c) in enumerate(bars):
        median, low, high = (c[key] / scale for key in ("median", "low", "high"))
        colour = COLOURS.get(c["label"], THEIRS)
        spread = [[median - low], [high - median]]
        axes.barh(place, median, color=colour, **LINES, xerr=spread)
        axes.annotate(f" {median:.{digits}f}", (high, place), **VALUE)
    axes.set_yticks(range(len(bars)), [words for words, _ in bars])
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.grid(False, axis="y")
    finish(axes, title, unit, bars)


def draw_alone(axes, contest):
    bars = [(c["label"], c) for c in given(contest)]
    draw_bars(axes, bars, "get, one caller", "µs per call (less is better)", digits=1)


def draw_rates(axes, contests):
    bars = []
    for id, words in (("get-16", "16 callers"), ("stream", "pipelined")):
        bars += [(f"{words}: {c['label']}", c) for c in given(contests.get(id))]
    unit = "thousand calls per second (more is better)"
    draw_bars(axes, bars, "get, many at once", unit, scale=1000)


def sizes(contests):
    """{contender: {entries: ms}} of to_list of a hash."""
    lines = {}
    for size in SIZES:
        contest = contests.get(f"to_list-hash-{size}")
        for c in given(contest):
            points = lines.setdefault(c["label"], {})
            points.setdefault(contest["entries"], c["median"])
    return lines


def draw_sizes(axes, lines):
    for label, points in lines.items():
        style = {"marker": "o", "markersize": 4, "color": COLOURS.get(label)}
        axes.plot(*zip(*points.items()), label=label, **style)
    for axis in (axes.xaxis, axes.yaxis):
        axis.axes.set(**{f"{axis.axis_name}scale": "log"})
        axis.set_major_formatter(lambda value, _: f"{value:,.10g}")
    axes.set_ylabel("ms (less is better)")
    if lines:
        axes.legend(loc="lower right", fontsize=8)
    finish(axes, "to_list of a whole map", "entries of a hash map", lines)


def main():
    """picture.py bench.json bench.svg: draws the figures of an earlier run."""
    source, picture = sys.argv[1:]
    check()
    draw(json.loads(Path(source).read_text()), picture)


if __name__ == "__main__":
    main()
