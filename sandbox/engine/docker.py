"""The container engine: the one module that imports the docker SDK.

Owns the connection, and the one place that turns the SDK's errors into ours (`_translated`).
Knows containers, images and archives; refuses to know workspaces, policies and guests.
"""

import io
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self, cast

import docker
import docker.errors
import docker.tls
import requests

from sandbox.engine.docker_errors import translated, unavailable
from sandbox.engine.endpoints import Endpoint, candidates
from sandbox.engine.labels import LABEL_DEADLINE
from sandbox.engine.values import ContainerInfo, EngineInfo, ImageInfo, VolumeInfo
from sandbox.errors import EngineError, EngineUnavailable

_QUICK_TIMEOUT_S = 60
_SLOW_TIMEOUT_S = 1800
"""For calls in which the engine is silent while it works: build, commit, import."""

_ARCHIVE_CHUNK_BYTES = 1 << 20


class Engine:
    """A connection to one engine. Safe to share between threads."""

    def __init__(self, endpoint: Endpoint, api: docker.APIClient, slow: docker.APIClient) -> None:
        # Any: the stubs leave out the request methods that we need where the SDK rewrites bodies.
        self._api: Any
        self._slow: Any
        self._endpoint = endpoint
        self._local_root: tuple[Path | None] | None = None  # not asked yet
        self._api = api
        self._slow = slow
        self._rootless: bool | None = None

    @classmethod
    def connect(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Find an engine as the docker client would.

        Raises:
            EngineUnavailable: none is named or none answers; the message says what to do.
        """
        environ = os.environ if environ is None else environ
        found = candidates(environ, home=Path(environ.get("HOME") or Path.home()))
        if not found:
            raise EngineUnavailable(
                "no container engine: install Docker (on Debian as root: make engine), "
                "start it, or set DOCKER_HOST"
            )
        failures = []
        for endpoint in found:
            try:
                return cls._open(endpoint)
            except (
                docker.errors.DockerException,
                requests.RequestException,
                OSError,
                ValueError,  # an address that is none, such as http://[x
            ) as error:
                failures.append((endpoint, error))
        tried, cause = failures[0]
        raise EngineUnavailable(unavailable(tried, cause)) from cause

    @classmethod
    def _open(cls, endpoint: Endpoint) -> Self:
        if not endpoint.host:
            raise docker.errors.DockerException("the context names no docker endpoint")

        def client(timeout_s: int) -> docker.APIClient:
            tls = None
            if endpoint.tls_directory is not None:
                files = endpoint.tls_directory
                tls = docker.tls.TLSConfig(
                    client_cert=(str(files / "cert.pem"), str(files / "key.pem")),
                    ca_cert=str(files / "ca.pem"),
                    verify=endpoint.tls_verify,
                )
            return docker.APIClient(
                base_url=endpoint.host, tls=tls or False, timeout=timeout_s, version="auto"
            )

        api = client(_QUICK_TIMEOUT_S)
        return cls(endpoint, api, client(_SLOW_TIMEOUT_S))

    def close(self) -> None:
        self._api.close()
        self._slow.close()

    def facts(self) -> EngineInfo:
        with translated("asking the engine what it is"):
            version = self._api.version()
            info = self._api.info()
        security = tuple(str(option) for option in info.get("SecurityOptions") or ())
        return EngineInfo(
            version=str(version.get("Version", "")),
            api_version=str(self._api.api_version),
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
                info = self._api.info()
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
            return _volume_info(self._api.create_volume(name, labels=dict(labels)))

    def volume(self, name: str) -> VolumeInfo | None:
        """Describe a volume, or None where the engine has none of that name."""
        with translated("looking at a volume"):
            try:
                return _volume_info(self._api.inspect_volume(name))
            except docker.errors.NotFound:
                return None

    def volumes(self, label: str) -> list[VolumeInfo]:
        """Volumes that carry a label (``KEY`` or ``KEY=VALUE``)."""
        with translated("listing volumes"):
            rows = self._api.volumes(filters={"label": label}).get("Volumes") or ()
        return [_volume_info(row) for row in rows]

    def remove_volume(self, name: str) -> None:
        """Remove a volume that no container uses; one that is gone already is fine."""
        with translated("removing a volume"):
            try:
                self._api.remove_volume(name)
            except docker.errors.NotFound:
                return

    # -- images ----------------------------------------------------------------------------

    def layer_directory(self, ref: str) -> str | None:
        """Where an image's top layer lies on the engine's host; None where it does not say.

        The layer alone, as it is under an overlay mount: what the layers below hold is not in it.
        """
        with translated(f"looking at the image {ref}"):
            driver = self._api.inspect_image(ref).get("GraphDriver") or {}
        if driver.get("Name") != "overlay2":
            return None
        return (driver.get("Data") or {}).get("UpperDir") or None

    def image(self, ref: str) -> ImageInfo | None:
        """Describe an image, or None where the engine has none of that name."""
        with translated(f"looking at the image {ref}"):
            try:
                return _image_info(self._api.inspect_image(ref))
            except docker.errors.ImageNotFound:
                return None

    def images(self, label: str) -> list[ImageInfo]:
        """Images that carry a label (``KEY`` or ``KEY=VALUE``), newest first."""
        with translated("listing images"):
            rows = self._api.images(filters={"label": label})
            return [info for row in rows if (info := self.image(row["Id"])) is not None]

    def pull(self, ref: str, *, timeout_s: float) -> None:
        """Pull an image; EngineError where no registry answers in time or has it."""
        repository, _, tag = ref.rpartition(":")
        with (
            translated(f"pulling {ref}"),
            docker.APIClient(
                base_url=self._endpoint.host, timeout=int(timeout_s), version=self._api.api_version
            )
            if self._endpoint.tls_directory is None
            else self._slow as api,
        ):
            api.pull(repository, tag=tag)

    def import_rootfs(
        self, path: Path, *, ref: str, labels: Mapping[str, str] | None = None
    ) -> None:
        """Make a one-layer image of a plain tar of a root file system."""
        changes = [f"LABEL {key}={_quoted(value)}" for key, value in (labels or {}).items()]
        url = self._slow._url("/images/create")  # noqa: SLF001 - the SDK's import reads files whole
        repository, _, tag = ref.rpartition(":")
        params = {"fromSrc": "-", "repo": repository, "tag": tag, "changes": changes}
        with translated(f"importing {ref}"), path.open("rb") as file:
            answer = self._slow._post(url, params=params, data=file)  # noqa: SLF001
            self._slow._raise_for_status(answer)  # noqa: SLF001
            _check_stream_end(answer.text, f"importing {ref}")

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
        last: list[str] = []
        with translated(f"building {ref}"):
            for event in self._slow.build(
                fileobj=io.BytesIO(context),
                custom_context=True,
                tag=ref,
                rm=True,
                forcerm=True,
                decode=True,
                labels=dict(labels or {}),
                buildargs=dict(build_args or {}),
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
            status = self._api.info().get("DriverStatus") or ()
        return not any("containerd" in str(row) for row in status)

    def load(self, tar: Iterable[bytes]) -> None:
        """Load an image from a tar as `docker save` writes it.

        Raises:
            EngineError: the engine can't make an image of it.
        """
        url = self._slow._url("/images/load")  # noqa: SLF001 - the SDK's load wants a whole file
        with translated("storing the workspace copy"):
            answer = self._slow._post(url, params={"quiet": 1}, data=iter(tar))  # noqa: SLF001
            self._slow._raise_for_status(answer)  # noqa: SLF001
            _check_stream_end(answer.text, "storing the workspace copy")

    def tag(self, ref: str, new_ref: str) -> None:
        repository, _, tag = new_ref.rpartition(":")
        with translated(f"tagging {new_ref}"):
            self._api.tag(ref, repository, tag)

    def remove_image(self, ref: str) -> None:
        """Remove an image; one that is gone already is fine."""
        with translated(f"removing the image {ref}"):
            try:
                self._slow.remove_image(ref)
            except docker.errors.ImageNotFound:
                return

    # -- containers ------------------------------------------------------------------------

    def create(self, body: Mapping[str, object]) -> str:
        """Create a container from the engine API's own JSON body; gives its id."""
        url = self._api._url("/containers/create")  # noqa: SLF001 - the SDK's builder rewrites fields
        with translated("creating the container"):
            answer = self._api._post_json(url, data=dict(body))  # noqa: SLF001
            return str(self._api._result(answer, json=True)["Id"])  # noqa: SLF001

    def start(self, container: str) -> None:
        with translated("starting the container"):
            self._api.start(container)

    def inspect(self, container: str) -> dict[str, Any]:
        with translated("looking at the container"):
            return cast("dict[str, Any]", self._api.inspect_container(container))

    def kill(self, container: str, signal: str = "KILL") -> None:
        """Signal the main process; one that ended already is fine."""
        with translated("killing the container"):
            try:
                self._api.kill(container, signal)
            except docker.errors.APIError as error:
                if error.status_code != requests.codes.conflict:
                    raise

    def wait(self, container: str, *, timeout_s: float) -> int:
        """Wait until the main process ended; gives its exit code."""
        with translated("waiting for the container"):
            return int(self._api.wait(container, timeout=timeout_s)["StatusCode"])

    def remove(self, container: str) -> None:
        """Kill and remove; one that is gone already is fine.

        Never by stop: an engine waits 10 s for a main process that ignores SIGTERM.
        """
        with translated("removing the container"):
            try:
                self._api.remove_container(container, force=True, v=True)
            except docker.errors.NotFound:
                return
            except docker.errors.APIError as error:
                # 409: a removal is already under way (another process, or auto-removal).
                if error.status_code != requests.codes.conflict:
                    raise

    def containers(self, label: str) -> list[ContainerInfo]:
        """Containers in any state that carry a label (``KEY`` or ``KEY=VALUE``)."""
        with translated("listing containers"):
            rows = self._api.containers(all=True, filters={"label": label})
        return [
            ContainerInfo(id=row["Id"], labels=row.get("Labels") or {}, state=row["State"])
            for row in rows
        ]

    def attach(self, container: str) -> socket.socket:
        """A two-way stream to the main process: multiplexed as the engine documents it.

        Attach before the start, so that nothing the process says is missed.
        """
        params = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
        with translated("attaching to the container"):
            holder = self._api.attach_socket(container, params=params)
        # A unix or plain TCP connection comes wrapped in a SocketIO; others are sockets already.
        stream = getattr(holder, "_sock", holder)
        if type(stream) is not socket.socket:
            return _Kept(stream, holder)  # type: ignore[return-value]
        # A descriptor of our own, so that the SDK's response can be closed as it wants to be.
        own = stream.dup()
        holder._response.close()  # noqa: SLF001 - where the SDK keeps it
        holder.close()
        return own

    def put_archive(self, container: str, path: str, tar: Iterable[bytes]) -> None:
        """Unpack an uncompressed tar below a directory of a container."""
        with translated("copying into the container"):
            self._slow.put_archive(container, path, cast("bytes", iter(tar)))

    def get_archive(self, container: str, path: str) -> Iterator[bytes]:
        """A plain tar of a file or directory of a container, in any state.

        Raises:
            FileNotFoundError: nothing stands at that path.
        """
        with translated("copying out of the container"):
            try:
                # As bytes: a name need not be UTF-8.
                name = cast("str", os.fsencode(path))
                chunks, _ = self._slow.get_archive(container, name, _ARCHIVE_CHUNK_BYTES)
            except docker.errors.NotFound as error:
                if "No such container" in str(error):
                    raise
                raise FileNotFoundError(path) from error
        with translated("copying out of the container"):
            yield from chunks

    def commit(self, container: str, *, ref: str, labels: Mapping[str, str]) -> str:
        """Make an image of a container's files; gives the image's id.

        The container's own deadline does not pass to the image, nor to what runs from it.
        """
        repository, _, tag = ref.rpartition(":")
        with translated(f"storing {ref}"):
            answer = self._slow.commit(
                container,
                repository,
                tag,
                pause=False,
                conf={"Labels": {LABEL_DEADLINE: "", **labels}},
            )
            return str(answer["Id"])


class _Kept:
    """A TLS or named-pipe stream, which can't be duplicated; it keeps the HTTP response it came
    from alive, which would close it when collected."""

    def __init__(self, stream: socket.socket, holder: Any) -> None:
        self._stream = stream
        self._holder = holder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


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


def _check_stream_end(text: str, doing: str) -> None:
    """Some calls answer 200 and then report the failure in the stream."""
    if '"error"' in text:
        raise EngineError(f"{doing} failed: {text.strip()[-300:]}")
