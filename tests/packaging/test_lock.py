"""constraints.txt and those of single extras: every package pinned with hashes, and no address."""

import itertools
import re
import tomllib

import pytest

from checkout import ROOT

FILES = ("constraints.txt", "constraints-ray.txt", "constraints-inspect.txt")
LINES = [line for name in FILES for line in (ROOT / name).read_text().splitlines()]
PINNED = [line.split(" ")[0] for line in LINES if re.match(r"^[a-z0-9]", line)]
APART = {"boto3", "botocore", "s3transfer"}
"""What Inspect reads S3 with wants others than the extra `bedrock`."""


def test_every_package_is_pinned_to_one_version_with_a_hash() -> None:
    requirements = re.split(r"(?<!\\)\n", "\n".join(LINES))
    for requirement in requirements:
        text = requirement.partition("    #")[0].strip()
        if text and not text.startswith("#"):
            assert re.match(r"^[a-z0-9-]+==[0-9][^ ]* \\\n    --hash=sha256:[0-9a-f]{64}", text)


def test_no_address_and_no_option_stands_in_it() -> None:
    for line in LINES:
        assert not re.search(r"://|@ |\.whl|\.tar|^\s*--(?!hash=)|^\s*-[a-z]|(^|\s)/", line), line


def test_everything_the_project_asks_for_is_in_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [
        *project["build-system"]["requires"],
        *project["project"]["dependencies"],
        *itertools.chain.from_iterable(project["project"]["optional-dependencies"].values()),
    ]
    pinned = {line.partition("==")[0] for line in PINNED}
    names = {re.split(r"[^A-Za-z0-9._-]", entry)[0].lower() for entry in wanted}
    assert names - pinned == set()


def test_what_several_files_hold_is_the_same_version_in_all() -> None:
    versions = {line for line in PINNED if line.partition("==")[0] not in APART}
    assert len(versions) == len({line.partition("==")[0] for line in versions})


@pytest.mark.parametrize(
    "file", ["images/recipes/shared/tools.txt", "acceptance/browser/packages.txt"]
)
def test_what_a_pin_comes_from_is_named_as_it_lies_beside_its_file(file: str) -> None:
    path = ROOT / file
    named = set(re.findall(r"via.* -r ([^\s,]+)", path.read_text()))
    assert named
    assert all(path.with_name(name).is_file() for name in named)
