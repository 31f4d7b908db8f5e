"""What looks like a credential in what a patch adds, by the rules of detect-secrets.

Owns which of its rules count, the few beside them, the bounds, and that a secret which was found is
told by its kind only, and masked where content is shown. Nothing is verified over a network:
only the rules' `analyze_string` is called, which has no such step; nor do its configuration, its
baseline or its ``allowlist`` comments have a say here, for the patch could bring them.
"""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from typing import Protocol

from agent.risk.finding import Finding, Severity, found
from agent.risk.inspected_patch import InspectedPatch
from policies.frozen import dataclass

_RULES = {
    "artifactory": "ArtifactoryDetector",
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "basic_auth": "BasicAuthDetector",
    "cloudant": "CloudantDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "ibm_cloud_iam": "IbmCloudIamDetector",
    "ibm_cos_hmac": "IbmCosHmacDetector",
    "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "softlayer": "SoftlayerDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
"""Module and class. Left out for their false alarms: KeywordDetector (``password = ...`` in every
test), the two entropy rules (every hash in a lockfile), IPPublicDetector (no secret)."""

_NEWER = re.compile(
    r"(?<![A-Za-z0-9])(?:sk-(?:ant|proj|svcacct|admin)-[A-Za-z0-9_-]{20,}"
    r"|github_pat_[A-Za-z0-9_]{22,}|AIza[A-Za-z0-9_-]{35}|hf_[A-Za-z0-9]{34,}"
    r"|AGE-SECRET-KEY-1[A-Z0-9]{58})"
)
"""Keys whose shape is newer than those rules."""
_KEY_BEGIN = re.compile(
    r"-----BEGIN [A-Z ]{0,20}PRIVATE KEY(?: BLOCK)?-----(?:\\+[nr]|[A-Za-z0-9+/=])*"
)
_KEY_BODY = re.compile(
    r"[-+ ]?[\s\"'#*]*(?:[A-Za-z0-9+/]+={0,2}|(?:Proc-Type|DEK-Info|Version|Comment): ?[ -~]*)?"
    r"(?:\\+[nr])*[\s\"',;+\\)]*"
)
_MASK = "•" * 8

_MAY_HOLD_ONE = re.compile(
    r"://|PRIVATE KEY|PuTTY|AKC|AP[\dA-F]|A3T|ABIA|ACCA|AKIA|ASIA|gh[opsur]_|gl[a-z]+-|GR1348941"
    r"|eyJ|-us[0-9]|_authToken|sk-|github_pat_|AIza|hf_|AGE-SECRET|pypi-|SG\.|xox|sq0csp|k_live_"
    r"|AccountKey=|\d{8}:|[MNO][\w-]{23}|[a-z0-9/+]{24}|[\w\\\[\]^`-]{35}",
    re.IGNORECASE,
)
"""Each rule's matches contain one of these. Many patches hold none of them, and then the rules need
not be loaded. A test draws matches of every rule and looks for these in them."""
_LOOKED_AT_FIRST = 8192
"""Characters. In a longer text the look takes as long as loading the rules, whatever it finds."""

_OFTEN_HARMLESS = frozenset({"Basic Auth Credentials"})
"""``https://user:password@host`` stands in examples and tests more often than in use."""

_PIECE = 2048
_OVERLAP = 256
"""Some rules take the square of a line's length: a longer line is looked at in pieces."""
_CHUNK = 1 << 16
"""Characters looked at in one call, most of which finds nothing."""
_EACH_FILE = 20
_CPU_S = 15.0
"""CPU time of this process. Ten megabytes of code take four seconds; text made to be slow takes all
that it gets."""


class _Rule(Protocol):
    secret_type: str

    def analyze_string(self, string: str) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    path: bytes
    line: int | None
    text: str


def inspect(subject: InspectedPatch, *, cpu_s: float = _CPU_S) -> Iterator[Finding]:
    """A finding for each likely secret, and one for each file that there was no time to inspect."""
    end = time.process_time() + cpu_s
    told: dict[bytes, int] = {}
    late: dict[bytes, None] = {}
    for chunk in _chunks(subject):
        if time.process_time() > end:
            late |= dict.fromkeys(row.path for row in chunk)
            continue
        for finding in _of_chunk(chunk, end, late):
            told[finding.path] = told.get(finding.path, 0) + 1
            if told[finding.path] <= _EACH_FILE:
                yield finding
    for path in late:
        reason = f"looking for secrets took more than {cpu_s:.0f} s: not all of it was looked at"
        yield found("not-inspected", path, reason)


def masked(text: str) -> str:
    """One line with what looks like a secret masked."""
    for rule in _rules_for(text):
        for start in range(0, len(text), _PIECE - _OVERLAP):
            for secret in set(rule.analyze_string(text[start : start + _PIECE])):
                text = text.replace(secret, _MASK)
    return text


class SecretMask:
    """Masks secrets line after line: of a private key not only the line that names it."""

    def __init__(self) -> None:
        self._inside = False

    def line(self, text: str) -> str:
        begin = _KEY_BEGIN.search(text)
        if begin is not None:
            self._inside = "-----END" not in text[begin.end() :]
            text = _KEY_BEGIN.sub(_MASK, text)
        elif self._inside:
            # What can't be a key's line ends it: else its first line would hide all that follows.
            self._inside = _KEY_BODY.fullmatch(text) is not None
            if self._inside:
                return text[:1] + _MASK
        return masked(text)

    def text(self, text: str) -> str:
        return "\n".join(map(self.line, text.split("\n")))


def has_secret(findings: Iterable[Finding]) -> bool:
    return any(finding.id == "secret" for finding in findings)


def hidden(text: str) -> str:
    """Any number of lines with what looks like a secret masked."""
    return SecretMask().text(text)


def hiding(findings: Iterable[Finding] | None) -> Callable[[str], str]:
    """What blots out secrets: where the gate found one, the agent's steps may show it too.

    Args:
        findings: the gate's; None where no gate has looked, and anything may be there.
    """
    return hidden if findings is None or has_secret(findings) else str


class _NewerKeys:
    secret_type = "API key"  # noqa: S105 - the name of a kind

    def analyze_string(self, string: str) -> Iterator[str]:
        return (match[0] for match in _NEWER.finditer(string))


def _of_chunk(chunk: Sequence[_Row], end: float, late: dict[bytes, None]) -> Iterator[Finding]:
    whole = "\n".join(row.text for row in chunk)
    rules = [rule for rule in _rules_for(whole) if any(True for _ in rule.analyze_string(whole))]
    if not rules:
        return
    for row in chunk:
        if time.process_time() > end:
            late[row.path] = None
            continue
        kinds = {
            rule.secret_type for rule in rules if any(True for _ in rule.analyze_string(row.text))
        }
        for kind in sorted(kinds):
            severity = Severity.WARNING if kind in _OFTEN_HARMLESS else None
            reason = f"looks like a credential: {kind}"
            yield found("secret", row.path, reason, line=row.line, severity=severity)


def _chunks(subject: InspectedPatch) -> Iterator[list[_Row]]:
    chunk = list(_names(subject))
    size = 0
    for path, section in subject.added.items():
        lines = bytes(section.text).decode("utf-8", "replace").split("\n")
        for number, line in zip(section.numbers, lines, strict=False):
            for start in range(0, max(1, len(line)), _PIECE - _OVERLAP):
                piece = line[start : start + _PIECE]
                if not piece:
                    continue
                chunk.append(_Row(path=path, line=number, text=piece))
                size += len(piece) + 1
                if size >= _CHUNK:
                    yield chunk
                    chunk, size = [], 0
    if chunk:
        yield chunk


def _names(subject: InspectedPatch) -> Iterator[_Row]:
    """What a patch says beside lines: new names, and where links lead."""
    for change in subject.patch.changes:
        target = subject.patch.links.get(change.path, b"")
        for words in (change.path if not change.old_mode or change.old_path else b"", target):
            if words and change.new_mode:
                yield _Row(path=change.path, line=None, text=words.decode("utf-8", "replace"))


def _rules_for(text: str) -> tuple[_Rule, ...]:
    short = len(text) <= _LOOKED_AT_FIRST and not _rules.cache_info().currsize
    if short and not _MAY_HOLD_ONE.search(text):
        return ()
    return _rules()


@lru_cache(maxsize=1)
def _rules() -> tuple[_Rule, ...]:
    """The rules, imported when they are needed: an SDK of HTTP requests comes along."""
    return (
        *(
            getattr(import_module(f"detect_secrets.plugins.{module}"), name)()
            for module, name in _RULES.items()
        ),
        _NewerKeys(),
    )
