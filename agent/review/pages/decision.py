"""Where a patch is decided about: what stands so far, applying it, sending it back, the outcome.

Owns the markup. Forms are sent by our script, with the server's token; texts are made visible here.
"""

from collections.abc import Iterable, Iterator, Sequence

from agent import verification
from agent.record.decisions import Decision
from agent.record.summary import RunSummary
from agent.review.pages.findings import badge, finding_rows, verified_badge
from agent.review.pages.markup import Markup, joined, tag
from agent.risk.finding import Finding
from agent.untrusted_text import one_line, path_text, visible
from agent.verification import NotAsked, Verification, Verified
from sandbox.apply.conflicts import ConflictRegion
from sandbox.patch.values import Change

_SHOWN = 200


def decision_parts(
    summary: RunSummary, decisions: Sequence[Decision], *, has_place: bool, key: str
) -> Iterator[Markup]:
    """The page, part by part.

    Args:
        has_place: the run's workspace is there, which the patch goes to.
        key: of what is begun from this page: sent twice, it is begun once.
    """
    yield tag("h1", "Decide")
    yield tag(
        "div",
        tag("div", id="tally", class_="tally", role="status"),
        tag(
            "div",
            _button("Accept all", id="accept-all"),
            " ",
            _button("Reject all", id="reject-all"),
            " ",
            _button("Forget all", id="forget-all"),
            class_="row",
        ),
        tag("ul", id="decided-files", class_="decided", aria_label="Files"),
        class_="card",
        id="decision",
    )
    yield tag("section", id="action", class_="card", hidden="hidden", aria_live="polite")
    yield joined(
        tag("h2", "Apply"), tag("div", _apply(summary, key, has_place=has_place), class_="card")
    )
    yield joined(tag("h2", "Send back"), tag("div", _send_back(summary, key), class_="card"))
    if decisions:
        rows = [tag("li", *_decided(one)) for one in decisions]
        yield joined(tag("h2", "Decided so far"), tag("ol", *rows, class_="card decisions"))


def _apply(summary: RunSummary, key: str, *, has_place: bool) -> Markup:
    if not has_place:
        words = "Its workspace is not on this machine: save the patch, or use apply -w."
        return tag("p", words)
    refusing = sorted({finding.id for finding in summary.findings if finding.refuses})
    verify = summary.verify
    check = (
        joined("It is verified again first: ", tag("code", one_line(verify, 200)))
        if verify
        else "The run has no check, so nothing is verified again."
    )
    place = tag("code", visible(summary.workspace))
    fields = [
        tag("p", "What is accepted becomes a patch of its own and goes to ", place),
        tag("p", check, class_="soft"),
        _field("branch", "On a new branch of its repository (else to the files)"),
        _check("three_way", "Merge it with what was changed there since"),
        *(_check("risk", f"Let pass: {name}", value=name) for name in refusing),
        _check("unverified", "Apply it though its check does not pass, or can't be run")
        if verify
        else "",
        _field("reason", "Why, where something may pass"),
        tag("button", "Apply what is accepted", type="submit", class_="main"),
    ]
    return tag("form", *fields, id="apply-form", data_key=key, autocomplete="off")


def _send_back(summary: RunSummary, key: str) -> Markup:
    words = (
        "The agent gets what is rejected, the comments, and this, and goes on in a run of its own."
    )
    return tag(
        "form",
        tag("p", words),
        tag(
            "label",
            "For all of it (may be empty)",
            tag("textarea", name="words", rows="4", maxlength="10000"),
        ),
        _field("model", "Model (empty: " + one_line(summary.model, 60) + ")"),
        tag("button", "Send back", type="submit", class_="main"),
        id="send-back-form",
        data_key=key,
        autocomplete="off",
    )


def _button(words: str, **attributes: str) -> Markup:
    return tag("button", words, type="button", **attributes)


def _field(name: str, words: str) -> Markup:
    return tag("label", words, tag("input", type="text", name=name, maxlength="500"))


def _check(name: str, words: str, *, value: str = "yes") -> Markup:
    box = tag("input", type="checkbox", name=name, value=value)
    return tag("label", box, " ", words, class_="check")


def _decided(decision: Decision) -> Iterator[str]:
    yield f"{decision.at.replace('T', ' ').removesuffix('+00:00')} UTC, {one_line(decision.by)}: "
    if decision.patch_sha256 is None:
        yield one_line(decision.place)
    else:
        what = one_line(decision.hunks, 500) if decision.hunks else "the whole patch"
        yield f"{what} put in {one_line(decision.place)}"
    if decision.verified is not None:
        yield " "
        yield verified_badge(decision.verified)
    if decision.accepted_risks:
        yield f" let pass: {', '.join(map(one_line, decision.accepted_risks))}"
    if decision.reason:
        yield tag("div", visible(decision.reason), class_="words soft")


# -- what came of an action --------------------------------------------------------------------


def applied_words(place: str, changes: Sequence[Change], commit: str | None) -> Markup:
    if not changes:
        return tag("p", f"Nothing to do: all of it is in {one_line(place)} already.")
    count = f"{len(changes)} {'file' if len(changes) == 1 else 'files'}"
    rows = [tag("li", f"{change.kind} {path_text(change.path)}") for change in changes[:_SHOWN]]
    if len(changes) > _SHOWN:
        rows.append(tag("li", f"and {len(changes) - _SHOWN} more"))
    made = f", as commit {commit[:12]}" if commit else ""
    return joined(
        tag("p", badge("applied", "good"), f" {count} in {one_line(place)}{made}"),
        tag("ul", *rows, class_="mono"),
    )


def refused_words(findings: Sequence[Finding]) -> Markup:
    words = " The export gate refuses what is accepted, so nothing was written."
    words += " Reject it, or let it pass with a reason."
    return joined(
        tag("p", badge("refused", "bad"), words),
        tag("table", *finding_rows(findings), class_="findings"),
    )


def check_words(result: Verification) -> Markup:
    output = getattr(result, "output", "")
    is_asked = not isinstance(result, NotAsked)
    said = visible(verification.reason(result)) if is_asked else "the run has no check"
    return joined(
        tag("p", verified_badge(isinstance(result, Verified)), " ", said),
        tag("details", tag("summary", "output"), tag("pre", visible(output), class_="words"))
        if output
        else "",
    )


def conflict_words(message: str, *, merges: bool, regions: Iterable[ConflictRegion]) -> Markup:
    hint = (
        "It can be merged with what was changed there: tick that, and apply again."
        if merges
        else "Both changed the same lines. Mend these files, reject these hunks, or send it back."
    )
    top = tag("p", badge("does not fit", "bad"), " ", visible(message))
    return joined(top, tag("p", hint), *map(_region, regions))


def _region(region: ConflictRegion) -> Markup:
    sides = (
        ("as it stands now", "del", region.ours),
        ("as it was", "same", region.base),
        ("as the patch has it", "add", region.theirs),
    )
    rows = [
        row
        for words, kind, lines in sides
        for row in (
            tag("tr", tag("td", words), class_="hunk"),
            *(
                tag("tr", tag("td", visible(text.decode(errors="replace")[:2000])), class_=kind)
                for text in lines
            ),
        )
    ]
    title = tag("caption", f"{path_text(region.path)}, line {region.line}")
    return tag("table", title, *rows, class_="diff conflict")
