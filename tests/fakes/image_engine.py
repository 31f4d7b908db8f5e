"""An engine for the images room that holds images in a dictionary and keeps count."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from sandbox.cache import cache_directory
from sandbox.engine.docker import Engine
from sandbox.engine.values import ImageInfo
from sandbox.errors import EngineError, EngineUnavailable


@dataclass(kw_only=True)
class FakeEngine(Engine):
    held: dict[str, ImageInfo] = field(default_factory=dict)
    registry: frozenset[str] = frozenset()
    """References that can be pulled."""
    pull_error: EngineError | EngineUnavailable | None = None
    """None: a pull of what is not in the registry ends without an error and without an image."""
    build_error: EngineError | None = None
    build_output: tuple[str, ...] = ()
    while_building: Callable[[], None] = lambda: None
    calls: list[str] = field(default_factory=list)
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    cache: Path = field(default_factory=lambda: cache_directory(os.environ))

    def image(self, ref: str) -> ImageInfo | None:
        self.calls.append(f"image {ref}")
        return self.held.get(ref)

    def pull(self, ref: str, *, timeout_s: float) -> None:
        self.calls.append(f"pull {ref}")
        if ref in self.registry:
            self._hold(ref, {})
        elif self.pull_error is not None:
            raise self.pull_error

    def import_rootfs(
        self, path: Path, *, ref: str, labels: Mapping[str, str] | None = None
    ) -> None:
        self.calls.append(f"import {ref}")
        self._hold(ref, labels or {})

    def build(
        self,
        context: bytes,
        *,
        ref: str,
        labels: Mapping[str, str] | None = None,
        build_args: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        self.calls.append(f"build {ref}")
        self.while_building()
        for line in self.build_output:
            if on_line is not None:
                on_line(line)
        if self.build_error is not None:
            raise self.build_error
        self._hold(ref, labels or {})

    def tag(self, ref: str, new_ref: str) -> None:
        self.calls.append(f"tag {ref} {new_ref}")
        info = self.held[ref]
        self.held[ref] = self.held[new_ref] = replace(info, tags=(*info.tags, new_ref))

    def builds(self) -> list[str]:
        return [call for call in self.calls if call.startswith("build ")]

    def _hold(self, ref: str, labels: Mapping[str, str]) -> None:
        self.held[ref] = held(ref, labels=labels)


def held(ref: str, *, labels: Mapping[str, str]) -> ImageInfo:
    return ImageInfo(
        id=f"sha256:{ref}",
        tags=(ref,),
        labels=dict(labels),
        size_bytes=1000,
        created="2026-01-01T00:00:00Z",
        layers=(),
        architecture="amd64",
        os="linux",
    )
