"""Credentials are found by rules that are loaded only where something may be one."""

import re
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.risk import credentials

PATTERNS = [
    pattern
    for rule in credentials._rules()
    for pattern in getattr(rule, "denylist", [credentials._NEWER])
]


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern[:40])
@settings(max_examples=20)
@given(data=st.data())
def test_no_match_of_any_rule_escapes_the_look_that_comes_first(
    pattern: re.Pattern[str], data: st.DataObject
) -> None:
    match = pattern.search(data.draw(st.from_regex(pattern)))
    assert match is not None
    assert credentials._MAY_HOLD_ONE.search(match[0])


def test_a_key_whose_runs_are_all_short_does_not_escape_it() -> None:
    assert credentials._MAY_HOLD_ONE.search(f"AccountKey={f'{0:023}=' * 3}{0:016}")


def test_ordinary_code_does_not_load_the_rules() -> None:
    code = (
        "import sys; from agent.risk import credentials as c;"
        "c.masked('    return first_number * second_number  # multiply, not add');"
        "print([m for m in sys.modules if m.startswith('detect_secrets')])"
    )
    command = [sys.executable, "-P", "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"
