"""Where an engine is looked for, from the client's own environment and files."""

import hashlib
import json
from pathlib import Path

import pytest

from sandbox.engine.endpoints import Endpoint, candidates


def write_context(home: Path, name: str, meta: object) -> Path:
    digest = hashlib.sha256(name.encode()).hexdigest()
    file = home / ".docker/contexts/meta" / digest / "meta.json"
    file.parent.mkdir(parents=True)
    file.write_text(meta if isinstance(meta, str) else json.dumps(meta))
    return home / ".docker/contexts/tls" / digest / "docker"


def write_config(home: Path, text: str) -> None:
    (home / ".docker").mkdir(parents=True, exist_ok=True)
    (home / ".docker/config.json").write_text(text)


def only(environ: dict[str, str], home: Path) -> Endpoint:
    (endpoint,) = candidates(environ, home=home)
    return endpoint


def test_docker_host_is_the_only_candidate(tmp_path: Path) -> None:
    write_config(tmp_path, '{"currentContext": "other"}')
    found = only({"DOCKER_HOST": "unix:///x.sock", "DOCKER_CONTEXT": "other"}, tmp_path)
    assert (found.host, found.source, found.tls_directory) == (
        "unix:///x.sock",
        "DOCKER_HOST",
        None,
    )


def test_docker_host_with_certificates(tmp_path: Path) -> None:
    environ = {"DOCKER_HOST": "tcp://h:2376", "DOCKER_TLS_VERIFY": "1"}
    assert only(environ, tmp_path).tls_directory == tmp_path / ".docker"
    found = only({**environ, "DOCKER_CERT_PATH": "/certs"}, tmp_path)
    assert (found.tls_directory, found.tls_verify) == (Path("/certs"), True)


def test_the_current_context_is_the_only_candidate(tmp_path: Path) -> None:
    write_config(tmp_path, '{"currentContext": "rootless"}')
    write_context(tmp_path, "rootless", {"Endpoints": {"docker": {"Host": "unix:///r.sock"}}})
    found = only({}, tmp_path)
    assert (found.host, found.source) == ("unix:///r.sock", "context rootless")


def test_the_environment_s_context_goes_before_the_file_s(tmp_path: Path) -> None:
    write_config(tmp_path, '{"currentContext": "one"}')
    write_context(tmp_path, "one", {"Endpoints": {"docker": {"Host": "unix:///1.sock"}}})
    write_context(tmp_path, "two", {"Endpoints": {"docker": {"Host": "unix:///2.sock"}}})
    assert only({"DOCKER_CONTEXT": "two"}, tmp_path).host == "unix:///2.sock"


def test_a_context_s_certificates_are_used(tmp_path: Path) -> None:
    docker = {"Host": "tcp://h:2376", "SkipTLSVerify": True}
    tls = write_context(tmp_path, "far", {"Endpoints": {"docker": docker}})
    tls.mkdir(parents=True)
    found = only({"DOCKER_CONTEXT": "far"}, tmp_path)
    assert (found.tls_directory, found.tls_verify) == (tls, False)


def test_another_configuration_directory_is_obeyed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "config.json").write_text('{"currentContext": "named"}')
    assert only({"DOCKER_CONFIG": str(elsewhere)}, tmp_path).source == "context named"


@pytest.mark.parametrize(
    "meta",
    ["", "{", "[]", "null", '"x"', "{}", '{"Endpoints": []}', '{"Endpoints": {"docker": 7}}',
     '{"Endpoints": {"docker": {"Host": 7}}}', "[" * 200_000, "\x00\xff"],
)  # fmt: skip
def test_a_broken_context_names_no_address_and_no_other_engine_is_taken(
    tmp_path: Path, meta: str
) -> None:
    write_context(tmp_path, "broken", meta)
    assert only({"DOCKER_CONTEXT": "broken"}, tmp_path).host == ""


def test_a_context_that_does_not_exist_names_no_address(tmp_path: Path) -> None:
    assert only({"DOCKER_CONTEXT": "../../none\udcff"}, tmp_path).host == ""


@pytest.mark.parametrize(
    "config", ["", "{", "[]", "7", "{}", '{"currentContext": 7}', '{"currentContext": "default"}',
               '{"currentContext": ""}', "[" * 200_000]
)  # fmt: skip
def test_a_broken_configuration_counts_as_none(tmp_path: Path, config: str) -> None:
    write_config(tmp_path, config)
    socket = tmp_path / ".docker/run/docker.sock"
    socket.parent.mkdir(parents=True)
    socket.touch()
    found = candidates({}, home=tmp_path)
    assert f"unix://{socket}" in {endpoint.host for endpoint in found}
    assert {endpoint.source for endpoint in found} == {"default"}


def test_only_sockets_that_stand_there_are_candidates(tmp_path: Path) -> None:
    (tmp_path / "docker.sock").touch()
    found = candidates({"XDG_RUNTIME_DIR": str(tmp_path)}, home=tmp_path / "home")
    hosts = [endpoint.host for endpoint in found if str(tmp_path) in endpoint.host]
    assert hosts == [f"unix://{tmp_path}/docker.sock"]
