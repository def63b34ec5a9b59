# SPDX-License-Identifier: Apache-2.0
"""bench.svg, from what is in bench.json.

Four parts: the targets, each as so many times better than it has to be; a lone
get; gets per second; to_list by size.
"""

import labels as by

OURS = "#b5179e"
THEIRS = "#8d99ae"
FLOOR = "#495057"
COLOURS = {by.CNODE: OURS, by.FACADE: "#7209b7", by.PINGPONG: FLOOR, by.LOOP: FLOOR}
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
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e9ecef",
    }
    with pyplot.rc_context(settings):
        figure, axes = pyplot.subplots(2, 2, figsize=(11, 8), layout="constrained")
        draw_targets(axes[0][0], results["contests"])
        draw_alone(axes[0][1], contests.get("get-1"))
        draw_rates(axes[1][0], contests)
        draw_sizes(axes[1][1], contests)
        figure.suptitle(title(results), fontsize=9)
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


# --- How far from the targets -------------------------------------------------


def margin(target, value):
    """Above 1 it is met, by so many times."""
    number = target["number"]
    if value == number == 0:
        return 1
    return number / value if target["relation"] == "at most" else value / number


def margins(contests):
    """(words, margin) of all that has a target and a figure."""
    for contest in contests:
        for row in contest["rows"]:
            if row["target"] and row["ratio"]:
                words = f"{contest['work']}\nagainst {row['against']}"
                yield words, margin(row["target"], row["ratio"]["median"])
        if contest["limit"]:
            ours = contest["contenders"][0]["median"]
            limit = contest["limit"]
            words = f"{contest['work']}\n{limit['relation']} {limit['number']:,g} "
            yield words + contest["unit"], margin(limit, ours)


def draw_targets(axes, contests):
    found = list(margins(contests))
    values = [value for _, value in found]
    colours = [OURS if value >= 1 else "#e85d04" for value in values]
    places = range(len(found))
    axes.barh(places, [value - 1 for value in values], left=1, color=colours)
    axes.set_yticks(places, [words for words, _ in found], fontsize=5, linespacing=0.85)
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(False)
    axes.xaxis.set_major_formatter("{x:g}")
    for place, value in zip(places, values):
        axes.annotate(f" {value:.2g}", (value, place), va="center", fontsize=6)
    axes.set_title("Targets: times better than asked for")


# --- Bars and lines ---------------------------------------------------------------


def draw_bars(axes, bars, words):
    """bars are (words, contender)."""
    places = range(len(bars))
    for place, (_, c) in zip(places, bars):
        spread = [[c["median"] - c["low"]], [c["high"] - c["median"]]]
        colour = COLOURS.get(c["label"], THEIRS)
        axes.barh(place, c["median"], xerr=spread, color=colour, ecolor="#00000080")
    axes.set_yticks(places, [text for text, _ in bars], fontsize=7)
    axes.invert_yaxis()
    axes.set_title(words)


def draw_alone(axes, contest):
    bars = [(c["label"], c) for c in given(contest)]
    draw_bars(axes, bars, "get, one caller: µs per call")


def draw_rates(axes, contests):
    bars = []
    for id, words in (("get-16", "16 callers"), ("stream", "pipelined")):
        bars += [(f"{words}, {c['label']}", c) for c in given(contests.get(id))]
    draw_bars(axes, bars, "get: calls per second")


def draw_sizes(axes, contests):
    lines = {}
    for size in SIZES:
        contest = contests.get(f"to_list-hash-{size}")
        for c in given(contest):
            points = lines.setdefault(c["label"], {})
            points.setdefault(contest["entries"], c["median"])
    for label, points in lines.items():
        colour = COLOURS.get(label)
        axes.plot(*zip(*points.items()), marker="o", label=label, color=colour)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("entries of a hash")
    if lines:
        axes.legend(fontsize=7)
    axes.set_title("to_list: ms")
