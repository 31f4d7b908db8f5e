"""The images of an engine: found, pulled, built, imported, loaded, named and removed.

Owns too what holds of every request: what counts as done, and the one place where a failure becomes
an error of ours.
"""

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from sandbox.engine.api import (
    NOT_FOUND,
    SLOW_TIMEOUT_S,
    Api,
    EngineRefused,
    Malformed,
    Unreachable,
    path_part,
)
from sandbox.engine.endpoints import Endpoint
from sandbox.engine.values import LABEL_LAYERS, LABEL_SNAPSHOT, ImageInfo
from sandbox.errors import (
    ContainerGone,
    EngineDiskFull,
    EngineError,
    EngineUnavailable,
    ImageUnusable,
    VolumeRefused,
)


def reference(key: str) -> str:
    """The engine's name for the snapshot of a key."""
    return f"moonpool/snapshot:{key}"


def snapshot_labels(key: str, layers: int = 1) -> dict[str, str]:
    """What a snapshot bears. All of it is said each time, for an image below may say something."""
    return {LABEL_SNAPSHOT: key, LABEL_LAYERS: str(layers)}


def unavailable(endpoint: Endpoint, error: Exception) -> str:
    """Why no engine could be reached at an address, and what to do."""
    if "Permission denied" in str(error):
        return (
            f"no permission for the engine at {endpoint.host}: add yourself to the docker group, "
            "use a rootless engine, or run as root"
        )
    if not endpoint.host:
        return f"{endpoint.source} names no engine: see `docker context ls`, or set DOCKER_HOST"
    return (
        f"no engine answers at {endpoint.host} ({endpoint.source}): start it "
        "(on Debian as root: make engine), or set DOCKER_HOST"
    )


@contextmanager
def translated(doing: str) -> Generator[None]:
    """Make errors of a request into ours. `doing` says what was tried, as the message begins."""
    try:
        yield
    except EngineRefused as error:
        what = str(error)
        if error.status == NOT_FOUND and "container" in what.lower():
            raise ContainerGone(f"{doing}: the container is gone ({what})") from error
        raise _engine_error(doing, what) from error
    except Unreachable as error:
        raise EngineUnavailable(
            f"{doing}: the engine went away or does not answer; see `moonpool doctor`"
        ) from error
    except Malformed as error:
        raise _engine_error(doing, str(error)) from error


def _engine_error(doing: str, explanation: str) -> EngineError:
    """The engine has words for what failed, and no codes."""
    if "no space left on device" in explanation:
        return EngineDiskFull(
            f"{doing}: the engine's disk is full; free some space (`moonpool prune`)"
        )
    text = f"{doing}: {explanation}"
    return VolumeRefused(text) if "volume" in text else EngineError(text)


def as_json(value: Mapping[str, object]) -> bytes:
    """The body of a request."""
    return json.dumps(value).encode()


def labelled(label: str) -> dict[str, str]:
    """The query for things that carry a label (``KEY`` or ``KEY=VALUE``)."""
    return {"filters": json.dumps({"label": [label]})}


_PIECE_BYTES = 1 << 20
_STREAM_END_BYTES = 16 << 20


class EngineImages:
    """What can be done with images."""

    def __init__(self, endpoint: Endpoint, api: Api) -> None:
        self._endpoint = endpoint
        self._api = api
        self._stores_layers: bool | None = None  # not asked yet

    def workspace_layers(self, ref: str) -> tuple[str, ...]:
        """Where an image's layers with the workspace lie on the engine's host, uppermost first;
        none where it does not say.

        The layers alone, as they are under an overlay mount: what those below hold is not in them.
        """
        with translated(f"looking at the image {ref}"):
            raw = self._api.json("GET", f"/images/{path_part(ref)}/json")
            driver = raw.get("GraphDriver") or {}
        if driver.get("Name") != "overlay2":
            return ()
        data = driver.get("Data") or {}
        layers = [data.get("UpperDir") or "", *(data.get("LowerDir") or "").split(":")]
        count = int(_image_info(raw).labels.get(LABEL_LAYERS, 1))
        return tuple(layers[:count]) if all(layers[:count]) else ()

    def image(self, ref: str) -> ImageInfo | None:
        """Describe an image, or None where the engine has none of that name."""
        with translated(f"looking at the image {ref}"):
            raw = self._looked_at(f"/images/{path_part(ref)}/json")
        return None if raw is None else _image_info(raw)

    def existing_image(self, ref: str) -> ImageInfo:
        """As `image`. Raises `ImageUnusable` where there is none."""
        found = self.image(ref)
        if found is None:
            raise ImageUnusable.missing(ref)
        return found

    def history(self, ref: str) -> list[dict[str, Any]]:
        """What an image was made by, and its whole description first, as the engine's API gives
        both."""
        with translated(f"looking at the image {ref}"):
            described = self._api.json("GET", f"/images/{path_part(ref)}/json")
            return [described, *self._api.json("GET", f"/images/{path_part(ref)}/history")]

    def images(self, label: str) -> list[ImageInfo]:
        """Images that carry a label (``KEY`` or ``KEY=VALUE``), newest first."""
        with translated("listing images"):
            rows = self._api.json("GET", "/images/json", query=labelled(label))
            return [info for row in rows if (info := self.image(row["Id"])) is not None]

    def pull(self, ref: str, *, timeout_s: float) -> None:
        """Pull an image; EngineError where no registry answers in time or has it."""
        from sandbox.engine import registry  # noqa: PLC0415 - the docker SDK

        repository, _, tag = ref.rpartition(":")
        with translated(f"pulling {ref}"):
            registry.pull(self._endpoint, repository, tag, timeout_s=timeout_s)

    def import_rootfs(
        self, path: Path, *, ref: str, labels: Mapping[str, str] | None = None
    ) -> None:
        """Make a one-layer image of a plain tar of a root file system."""
        changes = [f"LABEL {key}={_quoted(value)}" for key, value in (labels or {}).items()]
        repository, _, tag = ref.rpartition(":")
        query = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": changes}
        with path.open("rb") as file:
            pieces = iter(lambda: file.read(_PIECE_BYTES), b"")
            self._stream_in("/images/create", query, pieces, f"importing {ref}")

    def build(
        self,
        context: bytes,
        *,
        ref: str,
        labels: Mapping[str, str] | None = None,
        build_args: Mapping[str, str] | None = None,
        on_line: Callable[[str], None] | None = None,
    ) -> None:
        """Build from a tar that holds a Dockerfile. ``on_line`` gets the engine's output.

        Raises:
            EngineError: the build failed; the message ends with the last lines of its output.
        """
        from sandbox.engine import registry  # noqa: PLC0415 - the docker SDK

        last: list[str] = []
        with translated(f"building {ref}"):
            for event in registry.build(
                self._endpoint, context, ref=ref, labels=labels or {}, build_args=build_args or {}
            ):
                if "error" in event:
                    tail = "\n".join(last[-12:])
                    raise EngineError(f"building {ref} failed: {event['error']}\n{tail}")
                for line in str(event.get("stream", "")).splitlines():
                    if line.strip():
                        last = [*last[-30:], line]
                        if on_line is not None:
                            on_line(line)

    def stores_layers(self) -> bool:
        """Whether the engine keeps images in a store of its own, by layer.

        Then an image may be loaded without the layers it has already. With containerd's store
        (the default from engine 29) every layer has to be sent.
        """
        if self._stores_layers is None:
            with translated("asking the engine how it stores images"):
                status = self._api.json("GET", "/info").get("DriverStatus") or ()
            self._stores_layers = not any("containerd" in str(row) for row in status)
        return self._stores_layers

    def load(self, tar: Iterable[bytes]) -> None:
        """Load an image from a tar as `docker save` writes it.

        Raises:
            EngineError: the engine can't make an image of it.
        """
        self._stream_in("/images/load", {"quiet": 1}, tar, "storing the workspace copy")

    @contextmanager
    def saved(self, ref: str) -> Generator[Iterator[bytes]]:
        """Inside, an image as `docker save` writes it, in pieces."""
        path = f"/images/{path_part(ref)}/get"
        with (
            translated(f"reading the image {ref}"),
            self._api.call("GET", path, timeout_s=SLOW_TIMEOUT_S) as answer,
        ):
            yield answer.pieces()

    def layer_lists(self) -> list[tuple[str, ...]]:
        """The layers of every image that there is, lowest first."""
        with translated("listing images"):
            rows = self._api.json("GET", "/images/json")
            return [info.layers for row in rows if (info := self.image(row["Id"])) is not None]

    def tag(self, ref: str, new_ref: str) -> None:
        """Give an image another name."""
        repository, _, tag = new_ref.rpartition(":")
        with translated(f"tagging {new_ref}"):
            query = {"repo": repository, "tag": tag}
            self._api.json("POST", f"/images/{path_part(ref)}/tag", query=query)

    def remove_image(self, ref: str) -> None:
        """Remove an image; one that is gone already is fine."""
        with translated(f"removing the image {ref}"):
            self._removed(f"/images/{path_part(ref)}", {}, gone=(NOT_FOUND,))

    def _looked_at(self, path: str) -> dict[str, Any] | None:
        """What the engine says of a thing; None where there is none."""
        try:
            return cast("dict[str, Any]", self._api.json("GET", path))
        except EngineRefused as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _removed(self, path: str, query: Mapping[str, object], *, gone: tuple[int, ...]) -> None:
        try:
            self._api.json("DELETE", path, query=query, timeout_s=SLOW_TIMEOUT_S)
        except EngineRefused as error:
            if error.status not in gone:
                raise

    def _stream_in(
        self, path: str, query: Mapping[str, object], tar: Iterable[bytes], doing: str
    ) -> None:
        """Send a tar of which the engine makes an image. It may answer 200 and then fail."""
        with (
            translated(doing),
            self._api.call("POST", path, query=query, body=tar, timeout_s=SLOW_TIMEOUT_S) as answer,
        ):
            text = answer.read(_STREAM_END_BYTES).decode("utf-8", "replace")
        if '"error"' in text:
            raise EngineError(f"{doing} failed: {text.strip()[-300:]}")


def _image_info(raw: Mapping[str, Any]) -> ImageInfo:
    return ImageInfo(
        id=raw["Id"],
        tags=tuple(raw.get("RepoTags") or ()),
        labels=(raw.get("Config") or {}).get("Labels") or {},
        size_bytes=int(raw.get("Size") or 0),
        created=str(raw.get("Created", "")),
        tagged=str((raw.get("Metadata") or {}).get("LastTagTime", "")),
        layers=tuple((raw.get("RootFS") or {}).get("Layers") or ()),
        architecture=str(raw.get("Architecture", "")),
        os=str(raw.get("Os", "")),
        environment=tuple((raw.get("Config") or {}).get("Env") or ()),
        volumes=tuple((raw.get("Config") or {}).get("Volumes") or ()),
        directory=str((raw.get("Config") or {}).get("WorkingDir") or ""),
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
