"""Comments become the agent's next request, with file and line."""

from collections.abc import Callable

import pytest

from agent.errors import UsageError
from agent.review.decide.marks import WHOLE, Verdict, accepted_choice, counts
from agent.review.decide.sending_back import request_of
from agent.review.decide.store import MarkedPatch, MarkStore
from fakes.reviewed import Reviewed

Make = Callable[..., Reviewed]
WORK = "sed -i -e 1s/line/LINE/ -e 30s/line/LINE/ code.py; chmod +x code.py; echo x > 'n\tew'"


def test_what_is_said_is_in_the_request_and_in_no_other_words(make: Make) -> None:
    reviewed = make(WORK, None)
    store = MarkStore(reviewed.home)
    of = MarkedPatch(run=reviewed.run.id, patch=reviewed.run.summary.patch_sha256 or "")
    with pytest.raises(UsageError, match="say what is to be done"):
        request_of(reviewed.files, store.marks(of))
    new = next(file for file in reviewed.files if file.path == b"n\tew")
    assert new.choices == ()
    verdicts = {
        (b"code.py", 1): Verdict.REJECTED,
        (b"code.py", 0): Verdict.REJECTED,
        (b"code.py", 2): Verdict.ACCEPTED,
        (new.path, WHOLE): Verdict.REJECTED,
    }
    store.decide(of, verdicts, by="ann", seen=0)
    store.comment(of, b"code.py", side="new", line=30, text="Why?\nSay it.", by="ann")
    store.comment(of, new.path, side="old", line=1, text="no", by="ann")
    marks = store.marks(of)
    assert request_of(reviewed.files, marks, words=" All in all fine. ") == (
        "A person reviewed your patch and sends it back. Mend it as they say.\n\n"
        "All in all fine.\n\n"
        "Rejected, so do it otherwise or take it back:\n"
        "- code.py: the change of its mode\n"
        "- code.py: the hunk @@ -1,4 +1,4 @@\n"
        "- n\\tew: all that you changed in it\n\n"
        "Comments:\n"
        "- code.py, line 30: Why?\n  Say it.\n"
        "- n\\tew, line 1 as it was before your change: no"
    )
    assert accepted_choice(reviewed.files, marks) == {b"code.py": frozenset({2})}
    assert counts(reviewed.files, marks)[Verdict.REJECTED] == 3
    for _ in range(12):
        store.comment(of, b"code.py", side="new", line=1, text="x" * 10_000, by="ann")
    with pytest.raises(UsageError, match="too much"):
        request_of(reviewed.files, store.marks(of))
    store.close()
