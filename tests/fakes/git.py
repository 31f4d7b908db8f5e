"""git for tests, with an author and without anybody's configuration."""

import subprocess
from pathlib import Path

_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"} | {
    f"GIT_{who}_{what}": "t@t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
}


def git(directory: Path, *words: str, stdin: str = "") -> str:
    """Its standard output without white space around."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *words],
        cwd=directory,
        env=_ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
        input=stdin,
    )
    return done.stdout.strip()
