"""The container engine: its containers and volumes, and with `EngineImages` its images.

Owns which request each operation is. Refuses to know workspaces, policies and guests, and how a
request travels (`sandbox.engine.api`).
"""

import contextlib
import os
import socket
from collections.abc import Generator, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

from sandbox.cache import cache_directory
from sandbox.engine.api import (
    CONFLICT,
    NOT_FOUND,
    SLOW_TIMEOUT_S,
    Api,
    EngineRefused,
    Malformed,
    Unreachable,
    path_part,
)
from sandbox.engine.endpoints import Endpoint, candidates
from sandbox.engine.images import EngineImages, as_json, labelled, translated, unavailable
from sandbox.engine.values import LABEL_DEADLINE, ContainerInfo, EngineInfo, VolumeInfo
from sandbox.errors import EngineUnavailable, SandboxError

_MODIFIED = 0
"""Of the kinds of change; source: the engine's API, `ContainerChanges`."""
_GREETING_BYTES = 1 << 10


class Engine(EngineImages):
    """One engine. Safe to share between threads; holds no connection open."""

    def __init__(self, endpoint: Endpoint, api: Api, environ: Mapping[str, str]) -> None:
        super().__init__(endpoint, api)
        self.environ = environ
        """Of whoever uses it: it named the engine, and names proxies and a person's directories."""
        self.cache = cache_directory(environ)
        """What can be made again of what the engine holds is described there."""
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
                # For its version an engine asks all that it is made of, and starts some of that.
                said = api.call("GET", "/_ping").read(_GREETING_BYTES)
                if said.strip() != b"OK":
                    raise Malformed("what answers there is no container engine")
                return cls(endpoint, api, dict(environ))
            # ValueError: an address that is none, such as http://[x
            except (EngineRefused, Unreachable, Malformed, ValueError) as error:
                failures.append((endpoint, error))
        tried, cause = failures[0]
        raise EngineUnavailable(unavailable(tried, cause)) from cause

    def facts(self) -> EngineInfo:
        """What the engine says of itself."""
        with translated("asking the engine what it is"):
            version = self._api.json("GET", "/version")
            info = self._api.json("GET", "/info")
        return EngineInfo(
            version=str(version.get("Version", "")),
            operating_system=str(info.get("OperatingSystem", "")),
            kernel=str(info.get("KernelVersion", "")),
            storage_driver=str(info.get("Driver", "")),
            cgroup_version=str(info.get("CgroupVersion", "1")),
            rootless="name=rootless" in (info.get("SecurityOptions") or ()),
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
            return _volume_info(self._api.json("POST", "/volumes/create", body=as_json(body)))

    def volume(self, name: str) -> VolumeInfo | None:
        """Describe a volume, or None where the engine has none of that name."""
        with translated("looking at a volume"):
            raw = self._looked_at(f"/volumes/{path_part(name)}")
        return None if raw is None else _volume_info(raw)

    def volumes(self, label: str) -> list[VolumeInfo]:
        """Volumes that carry a label (``KEY`` or ``KEY=VALUE``)."""
        with translated("listing volumes"):
            answer = self._api.json("GET", "/volumes", query=labelled(label))
            rows = answer.get("Volumes") or ()
        return [_volume_info(row) for row in rows]

    def volume_sizes(self) -> dict[str, int]:
        """Bytes of each volume, by name. The engine counts file by file: no quick answer."""
        with translated("asking the engine how large its volumes are"):
            rows = (
                self._api.json("GET", "/system/df", timeout_s=SLOW_TIMEOUT_S).get("Volumes") or ()
            )
            return {
                str(row["Name"]): max(int((row.get("UsageData") or {}).get("Size") or 0), 0)
                for row in rows
            }

    def remove_volume(self, name: str) -> None:
        """Remove a volume that no container uses; one that is gone already is fine."""
        with translated("removing a volume"):
            self._removed(f"/volumes/{path_part(name)}", {}, gone=(NOT_FOUND,))

    def remove_volumes(self, names: Iterable[str]) -> None:
        """Remove volumes; what does not go now is left to `moonpool prune`."""
        for name in names:
            with contextlib.suppress(SandboxError):
                self.remove_volume(name)

    # -- containers ------------------------------------------------------------------------

    def create(self, body: Mapping[str, object]) -> str:
        """Create a container from the engine API's own JSON body; gives its id."""
        with translated("creating the container"):
            return str(self._api.json("POST", "/containers/create", body=as_json(body))["Id"])

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
            except EngineRefused as error:
                # A main process that waits for its last children to end is a zombie meanwhile. On a
                # busy machine that takes seconds, and the engine has no status of its own for it.
                if error.status != CONFLICT and "is zombie" not in str(error):
                    raise

    def rename(self, container: str, name: str) -> None:
        """Give a container in any state another name, which no other has."""
        with translated("naming the container"):
            self._api.json("POST", f"/containers/{container}/rename", query={"name": name})

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
        """Containers of ours in any state that carry a label (``KEY`` or ``KEY=VALUE``).

        A container has its image's labels too, and anybody's image may say anything: each of ours
        has a deadline of its own, and one whose deadline is its image's is somebody else's.
        """
        with translated("listing containers"):
            query = {"all": 1, **labelled(label)}
            rows = self._api.json("GET", "/containers/json", query=query)
        images = {name: self.image(name) for name in {row["ImageID"] for row in rows}}
        inherited = {name: found.labels for name, found in images.items() if found is not None}
        return [
            ContainerInfo(
                id=row["Id"],
                labels=row.get("Labels") or {},
                state=row["State"],
                name=str((row.get("Names") or ("",))[0]).lstrip("/"),
            )
            for row in rows
            if (row.get("Labels") or {}).get(LABEL_DEADLINE)
            != inherited.get(row["ImageID"], {}).get(LABEL_DEADLINE)
        ]

    def changed_paths(self, container: str) -> frozenset[str]:
        """What stands in its image and otherwise in the container; not what is new in it."""
        with translated("comparing the container with its image"):
            rows = self._api.json("GET", f"/containers/{container}/changes") or ()
        return frozenset(row["Path"] for row in rows if row["Kind"] == _MODIFIED)

    def attach(self, container: str) -> socket.socket:
        """A two-way stream to the main process: multiplexed as the engine documents it.

        Attach before the start, so that nothing the process says is missed.
        """
        query = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with translated("attaching to the container"):
            return self._api.upgrade(f"/containers/{container}/attach", query)

    def resize(self, container: str, *, rows: int, columns: int) -> None:
        """Tell the terminal of a running container its size."""
        with translated("resizing the terminal"):
            query = {"h": rows, "w": columns}
            self._api.json("POST", f"/containers/{container}/resize", query=query)

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

    def get_archive(self, container: str, path: str) -> Generator[bytes]:
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
            except EngineRefused as error:
                if error.status != NOT_FOUND or "No such container" in str(error):
                    raise
                raise FileNotFoundError(path) from error
            with answer:
                yield from answer.pieces()

    def stands(self, container: str, path: str) -> bool:
        """Whether anything is at a path of a container, in any state."""
        try:
            next(iter(self.get_archive(container, path)), b"")
        except FileNotFoundError:
            return False
        return True

    def commit(
        self,
        container: str,
        *,
        ref: str,
        labels: Mapping[str, str],
        environment: Sequence[str] = (),
    ) -> str:
        """Make an image of a container's files; gives the image's id.

        The container's own deadline does not pass to the image, nor to what runs from it.

        Args:
            environment: ``NAME=VALUE`` that counts before the container's own.
        """
        repository, _, tag = ref.rpartition(":")
        with translated(f"storing {ref}"):
            answer = self._api.json(
                "POST",
                "/commit",
                query={"container": container, "repo": repository, "tag": tag, "pause": 0},
                body=as_json({"Labels": {LABEL_DEADLINE: "", **labels}, "Env": list(environment)}),
                timeout_s=SLOW_TIMEOUT_S,
            )
            return str(answer["Id"])


def _volume_info(raw: Mapping[str, Any]) -> VolumeInfo:
    return VolumeInfo(
        name=raw["Name"],
        labels=raw.get("Labels") or {},
        mountpoint=str(raw.get("Mountpoint") or ""),
        created=str(raw.get("CreatedAt") or ""),
    )
