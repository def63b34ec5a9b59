# SPDX-License-Identifier: Apache-2.0
"""The sentences below the picture: what the bars are, what is missing, what was missed."""

import labels as by
from turns import ABOVE

PHRASES = {
    "its time": "× the time of",
    "its rate": "× the rate of",
    "its size": "× the size of",
    "as fast": "× as fast as",
    ABOVE: ABOVE,
}
NO_POINT = {  # why a contender stops at fewer entries than others
    by.CNODE: "its answer would be one message of more than --max-message",
    by.CNODE_EACH: "it would take minutes",
    by.NIF_EACH: "it would take minutes",
}
NO_CONTENDER = {
    by.BPFTOOL: "no bpftool in PATH",
    by.BPFTOOL_LOAD: "no bpftool in PATH",
    **{
        label: "EBPF_NIF_DIR names no built copy of it"
        for label in (by.NIF_ERPC, by.NIF, by.NIF_EACH)
    },
}


def sentences(results, lines):
    """Each a text; lines are {contender: {entries: ms}} as they are drawn."""
    yield (
        f"Medians of {results['amounts']['rounds']} rounds, in which the contenders"
        " take turns; thin lines go from the lowest to the highest."
    )
    yield from not_run(results)
    yield from short_lines(lines)
    yield from differences(results["contests"])
    yield from missed(results["contests"])


def not_run(results):
    reasons = {}
    for contest in results["contests"]:
        for contender in contest["contenders"]:
            if not contender["given"]:
                label = contender["label"]
                reason = NO_CONTENDER.get(label, "what it needs is not here")
                reasons.setdefault(reason, {})[label] = None
    for reason, labels in reasons.items():
        yield f"Not run: {'; '.join(labels)} ({reason})."
    if results["failed"]:
        yield f"Failed, and left out: {', '.join(results['failed'])}."
    for id, lacking in results.get("left_out", {}).items():
        yield f"Left out: {id} ({lacking})."


def short_lines(lines):
    most = max((entries for line in lines.values() for entries in line), default=0)
    reasons = {}
    for label, line in lines.items():
        if most not in line:
            reason = NO_POINT.get(label, "it was not run there")
            reasons.setdefault(reason, []).append(label)
    for reason, labels in reasons.items():
        yield f"No point at {most:,} entries: {'; '.join(labels)} ({reason})."


def differences(contests):
    """Those with a target: the bars show ratios alone."""
    for contest in contests:
        for row in contest["rows"]:
            if contest["shows"] == ABOVE and row["target"] and row["ratio"]:
                median, low, high = (row["ratio"][k] for k in ("median", "low", "high"))
                yield (
                    f"{contest['work']}: {median:.3g} {ABOVE} {row['against']}"
                    f" ({low:.3g} to {high:.3g})."
                )


def missed(contests):
    texts = [text for contest in contests for text in missed_in(contest)]
    if texts:
        yield f"Targets missed: {'; '.join(texts)}."


def missed_in(contest):
    for row in contest["rows"]:
        target = row["target"]
        if target and target["met"] is False:
            ratio = f"{row['ratio']['median']:.3g} {PHRASES[contest['shows']]}"
            wanted = f"{target['relation']} {target['number']:g}"
            yield f"{contest['work']}: {ratio} {row['against']}, target {wanted}"
    limit = contest["limit"]
    if limit and limit["met"] is False:
        ours = contest["contenders"][0]["median"]
        wanted = f"{limit['relation']} {limit['number']:,g}"
        yield f"{contest['work']}: {ours:,.0f}, target {wanted}"
