"""Which files the gate compares as a whole, old with new: manifests and lockfiles."""

COMPARED = frozenset(
    {
        b"package.json",
        b"composer.json",
        b"pyproject.toml",
        b"cargo.toml",
        b"pipfile",
        b"package-lock.json",
        b"npm-shrinkwrap.json",
        b"yarn.lock",
        b"pnpm-lock.yaml",
        b"bun.lock",
        b"poetry.lock",
        b"uv.lock",
        b"pdm.lock",
        b"pipfile.lock",
        b"cargo.lock",
        b"gemfile.lock",
        b"composer.lock",
        b"go.sum",
    }
)
"""Names in lower case. A patch keeps both versions of these (`sandbox.patch.values`)."""
