"""The container engine: its containers, images, volumes and archives.

Owns which request each operation is. Refuses to know workspaces, policies and guests, and how a
request travels (`sandbox.engine.api`).
"""

import json
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

from sandbox.engine.api import (
    CONFLICT,
    NOT_FOUND,
    SLOW_TIMEOUT_S,
    Api,
    Malformed,
    Refused,
    Unreachable,
    path_part,
)
from sandbox.engine.api_errors import translated, unavailable
from sandbox.engine.endpoints import Endpoint, candidates
from sandbox.engine.labels import LABEL_DEADLINE
from sandbox.engine.values import ContainerInfo, EngineInfo, ImageInfo, VolumeInfo
from sandbox.errors import EngineError, EngineUnavailable

_PIECE_BYTES = 1 << 20
_STREAM_END_BYTES = 16 << 20


class Engine:
    """One engine. Safe to share between threads; holds no connection open."""

    def __init__(self, endpoint: Endpoint, api: Api) -> None:
        self._endpoint = endpoint
        self._api = api
        self._local_root: tuple[Path | None] | None = None  # not asked yet
        self._rootless: bool | None = None

    @classmethod
    def connect(cls, environ: Mapping[str, str]) -> Self:
        """Find an engine as the docker client would, by its variables in an environment.

        Raises:
            EngineUnavailable: none is named or none answers; the message says what to do.
        """
        found = candidates(environ, home=Path(environ.get("HOME") or Path.home()))
        if not found:
            raise EngineUnavailable(
                "no container engine: install Docker (on Debian as root: make engine), "
                "start it, or set DOCKER_HOST"
            )
        failures = []
        for endpoint in found:
            try:
                api = Api(endpoint)
                api.json("GET", "/version")
                return cls(endpoint, api)
            # ValueError: an address that is none, such as http://[x
            except (Refused, Unreachable, Malformed, ValueError) as error:
                failures.append((endpoint, error))
        tried, cause = failures[0]
        raise EngineUnavailable(unavailable(tried, cause)) from cause

    def facts(self) -> EngineInfo:
        """What the engine says of itself."""
        with translated("asking the engine what it is"):
            version = self._api.json("GET", "/version")
            info = self._api.json("GET", "/info")
        security = tuple(str(option) for option in info.get("SecurityOptions") or ())
        return EngineInfo(
            version=str(version.get("Version", "")),
            api_version=str(version.get("ApiVersion", "")),
            operating_system=str(info.get("OperatingSystem", "")),
            kernel=str(info.get("KernelVersion", "")),
            storage_driver=str(info.get("Driver", "")),
            cgroup_version=str(info.get("CgroupVersion", "1")),
            security_options=security,
            rootless="name=rootless" in security,
            endpoint=self._endpoint.host,
        )

    def local_root(self) -> Path | None:
        """Where the engine keeps containers, if that is a directory of this machine."""
        if self._local_root is None:
            with translated("asking the engine where it keeps things"):
                info = self._api.json("GET", "/info")
            self._local_root = (self._root_here(info),)
        return self._local_root[0]

    def _root_here(self, info: Mapping[str, Any]) -> Path | None:
        root = Path(str(info.get("DockerRootDir") or ""))
        # The engine of a virtual machine has a socket here, and its disk elsewhere.
        here = self._endpoint.host.startswith("unix://")
        same = info.get("KernelVersion") == os.uname().release
        return root if here and same and root.is_absolute() and root.exists() else None

    def rootless(self) -> bool:
        """Whether the engine runs without root; asked once."""
        if self._rootless is None:
            self._rootless = self.facts().rootless
        return self._rootless

    # -- volumes ---------------------------------------------------------------------------

    def create_volume(self, name: str, labels: Mapping[str, str]) -> VolumeInfo:
        """Make an empty volume, which the engine keeps in a directory of its host."""
        with translated("making a volume"):
            body = {"Name": name, "Labels": dict(labels)}
            return _volume_info(self._api.json("POST", "/volumes/create", body=_json(body)))

    def volume(self, name: str) -> VolumeInfo | None:
        """Describe a volume, or None where the engine has none of that name."""
        with translated("looking at a volume"):
            raw = self._looked_at(f"/volumes/{path_part(name)}")
        return None if raw is None else _volume_info(raw)

    def volumes(self, label: str) -> list[VolumeInfo]:
        """Volumes that carry a label (``KEY`` or ``KEY=VALUE``)."""
        with translated("listing volumes"):
            answer = self._api.json("GET", "/volumes", query=_labelled(label))
            rows = answer.get("Volumes") or ()
        return [_volume_info(row) for row in rows]

    def remove_volume(self, name: str) -> None:
        """Remove a volume that no container uses; one that is gone already is fine."""
        with translated("removing a volume"):
            self._removed(f"/volumes/{path_part(name)}", {}, gone=(NOT_FOUND,))

    # -- images ----------------------------------------------------------------------------

    def layer_directory(self, ref: str) -> str | None:
        """Where an image's top layer lies on the engine's host; None where it does not say.

        The layer alone, as it is under an overlay mount: what the layers below hold is not in it.
        """
        with translated(f"looking at the image {ref}"):
            raw = self._api.json("GET", f"/images/{path_part(ref)}/json")
            driver = raw.get("GraphDriver") or {}
        if driver.get("Name") != "overlay2":
            return None
        return (driver.get("Data") or {}).get("UpperDir") or None

    def image(self, ref: str) -> ImageInfo | None:
        """Describe an image, or None where the engine has none of that name."""
        with translated(f"looking at the image {ref}"):
            raw = self._looked_at(f"/images/{path_part(ref)}/json")
        return None if raw is None else _image_info(raw)

    def images(self, label: str) -> list[ImageInfo]:
        """Images that carry a label (``KEY`` or ``KEY=VALUE``), newest first."""
        with translated("listing images"):
            rows = self._api.json("GET", "/images/json", query=_labelled(label))
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
        with translated("asking the engine how it stores images"):
            status = self._api.json("GET", "/info").get("DriverStatus") or ()
        return not any("containerd" in str(row) for row in status)

    def load(self, tar: Iterable[bytes]) -> None:
        """Load an image from a tar as `docker save` writes it.

        Raises:
            EngineError: the engine can't make an image of it.
        """
        self._stream_in("/images/load", {"quiet": 1}, tar, "storing the workspace copy")

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

    # -- containers ------------------------------------------------------------------------

    def create(self, body: Mapping[str, object]) -> str:
        """Create a container from the engine API's own JSON body; gives its id."""
        with translated("creating the container"):
            return str(self._api.json("POST", "/containers/create", body=_json(body))["Id"])

    def start(self, container: str) -> None:
        """Start the main process."""
        with translated("starting the container"):
            self._api.json("POST", f"/containers/{container}/start")

    def inspect(self, container: str) -> dict[str, Any]:
        """All that the engine says of a container, as its API gives it."""
        with translated("looking at the container"):
            found = self._api.json("GET", f"/containers/{container}/json")
            return cast("dict[str, Any]", found)

    def kill(self, container: str, signal: str = "KILL") -> None:
        """Signal the main process; one that ended already is fine."""
        with translated("killing the container"):
            try:
                self._api.json("POST", f"/containers/{container}/kill", query={"signal": signal})
            except Refused as error:
                # A main process that waits for its last children to end is a zombie meanwhile. On a
                # busy machine that takes seconds, and the engine has no status of its own for it.
                if error.status != CONFLICT and "is zombie" not in str(error):
                    raise

    def wait(self, container: str, *, timeout_s: float) -> int:
        """Wait until the main process ended; gives its exit code."""
        with translated("waiting for the container"):
            path = f"/containers/{container}/wait"
            return int(self._api.json("POST", path, timeout_s=timeout_s)["StatusCode"])

    def remove(self, container: str) -> None:
        """Kill and remove; one that is gone already is fine.

        Never by stop: an engine waits 10 s for a main process that ignores SIGTERM.
        """
        with translated("removing the container"):
            # 409: a removal is already under way (another process, or auto-removal).
            gone = (NOT_FOUND, CONFLICT)
            self._removed(f"/containers/{container}", {"force": 1, "v": 1}, gone=gone)

    def containers(self, label: str) -> list[ContainerInfo]:
        """Containers in any state that carry a label (``KEY`` or ``KEY=VALUE``)."""
        with translated("listing containers"):
            query = {"all": 1, **_labelled(label)}
            rows = self._api.json("GET", "/containers/json", query=query)
        return [
            ContainerInfo(id=row["Id"], labels=row.get("Labels") or {}, state=row["State"])
            for row in rows
        ]

    def attach(self, container: str) -> socket.socket:
        """A two-way stream to the main process: multiplexed as the engine documents it.

        Attach before the start, so that nothing the process says is missed.
        """
        query = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with translated("attaching to the container"):
            return self._api.upgrade(f"/containers/{container}/attach", query)

    def put_archive(self, container: str, path: str, tar: Iterable[bytes]) -> None:
        """Unpack an uncompressed tar below a directory of a container."""
        with translated("copying into the container"):
            self._api.json(
                "PUT",
                f"/containers/{container}/archive",
                query={"path": path},
                body=tar,
                timeout_s=SLOW_TIMEOUT_S,
            )

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        """A plain tar of a file or directory of a container, in any state.

        Raises:
            FileNotFoundError: nothing stands at that path.
        """
        with translated("copying out of the container"):
            try:
                answer = self._api.call(
                    "GET",
                    f"/containers/{container}/archive",
                    query={"path": os.fsencode(path)},  # a name need not be UTF-8
                    timeout_s=SLOW_TIMEOUT_S,
                )
            except Refused as error:
                if error.status != NOT_FOUND or "No such container" in str(error):
                    raise
                raise FileNotFoundError(path) from error
            with answer:
                yield from answer.pieces()

    def commit(self, container: str, *, ref: str, labels: Mapping[str, str]) -> str:
        """Make an image of a container's files; gives the image's id.

        The container's own deadline does not pass to the image, nor to what runs from it.
        """
        repository, _, tag = ref.rpartition(":")
        with translated(f"storing {ref}"):
            answer = self._api.json(
                "POST",
                "/commit",
                query={"container": container, "repo": repository, "tag": tag, "pause": 0},
                body=_json({"Labels": {LABEL_DEADLINE: "", **labels}}),
                timeout_s=SLOW_TIMEOUT_S,
            )
            return str(answer["Id"])

    # -- requests --------------------------------------------------------------------------

    def _looked_at(self, path: str) -> dict[str, Any] | None:
        """What the engine says of a thing; None where there is none."""
        try:
            return cast("dict[str, Any]", self._api.json("GET", path))
        except Refused as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def _removed(self, path: str, query: Mapping[str, object], *, gone: tuple[int, ...]) -> None:
        try:
            self._api.json("DELETE", path, query=query, timeout_s=SLOW_TIMEOUT_S)
        except Refused as error:
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


def _json(value: Mapping[str, object]) -> bytes:
    return json.dumps(value).encode()


def _labelled(label: str) -> dict[str, str]:
    return {"filters": json.dumps({"label": [label]})}


def _image_info(raw: Mapping[str, Any]) -> ImageInfo:
    return ImageInfo(
        id=raw["Id"],
        tags=tuple(raw.get("RepoTags") or ()),
        labels=(raw.get("Config") or {}).get("Labels") or {},
        size_bytes=int(raw.get("Size") or 0),
        created=str(raw.get("Created", "")),
        layers=tuple((raw.get("RootFS") or {}).get("Layers") or ()),
        architecture=str(raw.get("Architecture", "")),
        os=str(raw.get("Os", "")),
    )


def _volume_info(raw: Mapping[str, Any]) -> VolumeInfo:
    return VolumeInfo(
        name=raw["Name"],
        labels=raw.get("Labels") or {},
        mountpoint=str(raw.get("Mountpoint") or ""),
        created=str(raw.get("CreatedAt") or ""),
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
