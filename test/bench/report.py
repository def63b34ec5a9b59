# SPDX-License-Identifier: Apache-2.0
"""What came out: as JSON, and as a table of it."""

import json
import os
import platform
import re
import subprocess
import time
from dataclasses import asdict
from pathlib import Path

from turns import ABOVE, Spread

COLUMNS = ("work", "who", "against", "ratio", "lowest to highest")
COLUMNS += ("median", "its median", "target")
OTP = 'io:put_chars(erlang:system_info(otp_release)), halt().'


def header(size, program):
    """What the figures hold for."""
    return {
        "made": time.strftime("%Y-%m-%d", time.gmtime()),
        "size": size.name,
        "amounts": asdict(size),
        "machine": {
            "cpu": field("/proc/cpuinfo", "model name"),
            "cores": os.cpu_count(),
            "memory": field("/proc/meminfo", "MemTotal"),
            "kernel": platform.release(),
        },
        "versions": {
            "ebpf_cnode": said(program, "--version"),
            "otp": said("erl", "-noinput", "-boot", "start_clean", "-eval", OTP),
        },
        "erlang_nodes": "the default flags of erl in all, busy waiting included",
        "contests": [],
        "failed": [],
        "left_out": {},
    }


def field(path, name):
    for line in Path(path).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return None


def said(*command):
    done = subprocess.run(
        [str(c) for c in command], capture_output=True, text=True, timeout=60
    )
    return done.stdout.strip()


def result(contest, size, values):
    """The result of a contest; values are {label: [of each round] or None}."""
    values = {
        label: runs and [float(f"{value:.6g}") for value in runs]
        for label, runs in values.items()
    }
    ours = contest.contenders[0]
    entries = size.entries(contest.entries)
    return {
        "id": contest.id,
        "work": contest.work,
        "unit": contest.unit,
        "shows": contest.shows,
        "entries": entries or None,
        "in_full": entries == contest.entries,
        "contenders": [
            contender(label, values[label], contest.note(label, size))
            for label in contest.contenders
        ],
        "rows": [
            row(contest, values[ours], label, values[label])
            for label in contest.contenders[1:]
        ],
        "limit": judged(contest.limit, values[ours]),
    }


def contender(label, values, note):
    if values is None:
        return {"label": label, "given": False}
    spread = Spread(tuple(values))
    return {
        "label": label,
        "given": True,
        "note": note,
        "median": spread.median,
        "low": spread.low,
        "high": spread.high,
        "runs": values,
    }


def row(contest, ours, label, theirs):
    target = contest.targets.get(label)
    if theirs is None:
        return {"against": label, "ratio": None, "target": judged(target, None)}
    ratio = contest.ratio(ours, theirs)
    return {
        "against": label,
        "ratio": {"median": ratio.median, "low": ratio.low, "high": ratio.high},
        "target": judged(target, ratio.values),
    }


def judged(target, values):
    """None without a target, and nobody knows whether it is met without values."""
    if not target:
        return None
    met = target.met(Spread(tuple(values)).median) if values else None
    return {"relation": target.relation, "number": target.number, "met": met}


def write(results, path):
    """The runs of a contender on one line."""
    text = json.dumps(results, indent=1, ensure_ascii=False)
    text = re.sub(r"\[[-+.\de,\s]+\]", lambda m: re.sub(r"\s+", " ", m[0]), text)
    path.write_text(text + "\n")


# --- The table ------------------------------------------------------------------


def table(results):
    lines = [COLUMNS, *(line for c in results["contests"] for line in lines_of(c))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(COLUMNS))]
    lines.insert(1, tuple("-" * width for width in widths))
    text = "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths)).rstrip()
        for line in lines
    )
    return f"{text}\n\n{summary(results)}"


def lines_of(contest):
    """The first line of a contest says what it is, and its limit if it has one."""
    ours, *theirs = contest["contenders"]
    unit = contest["unit"]
    work = contest["work"]
    if not contest["in_full"]:
        work += f" (on {contest['entries']:,})"
    limit = contest["limit"]
    own = [work, ours["label"], "", "", "", with_unit(ours, unit), "", ""]
    own[-1] = said_target(limit, unit) if limit else ""
    yield tuple(own)
    above = unit if contest["shows"] == ABOVE else ""
    for row, their in zip(contest["rows"], theirs, strict=True):
        ratio = row["ratio"]
        if not ratio:
            cells = ["not given", "", "", ""]
        else:
            cells = [
                f"{short(ratio['median'])} {said_how(contest['shows'])}",
                f"{short(ratio['low'])} to {short(ratio['high'])}",
                "",
                with_unit(their, unit),
            ]
        target = said_target(row["target"], above) if row["target"] else ""
        yield ("", "", row["against"], *cells, target)


def said_how(shows):
    return shows if shows == ABOVE else f"× {shows}"


def with_unit(contender, unit):
    note = f" ({contender['note']})" if contender["note"] else ""
    return f"{short(contender['median'])} {unit}{note}"


def said_target(target, unit=""):
    met = {True: "met", False: "missed", None: "not given"}[target["met"]]
    number = f"{target['number']:,g} {unit}".strip()
    return f"{target['relation']} {number}: {met}"


def short(number):
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"


def summary(results):
    machine, versions = results["machine"], results["versions"]
    amounts = results["amounts"]
    return (
        "'0.5 × its time': the time of `who` divided by that of `against`; rates and"
        " sizes alike; '2 × as fast' is the other way round; 'ms above' is a difference.\n"
        f"{results['size']} run of {results['made']}, {results['seconds']} s;"
        f" medians of {amounts['rounds']} rounds, in which the contenders take turns.\n"
        f"Calls in a run: {amounts['calls']:,} of a lone caller,"
        f" {amounts['many_calls']:,} of many, {amounts['stream']:,} in a stream;"
        f" {amounts['nodes']} C nodes at once.\n"
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory']},"
        f" Linux {machine['kernel']}, Erlang/OTP {versions['otp']},"
        f" {versions['ebpf_cnode']}.\n"
        f"Erlang nodes: {results['erlang_nodes']}."
    )
