"""A sandbox is used only if what was read back from it is what was planned."""

from collections.abc import Sequence

import pytest

from sandbox.container.mounts import HeldVolume, Mount, Overlay, Scratch
from sandbox.container.seal import KernelPolicy, SealReport, check
from sandbox.errors import KernelUnsupported, SealBroken
from sandbox.guest.protocol import FirstWords, SealFact

Facts = dict[bytes, bytes]

SEALED: Facts = {
    b"CapInh": b"0000000000000000",
    b"CapPrm": b"0000000000000000",
    b"CapEff": b"0000000000000000",
    b"CapBnd": b"0000000000000000",
    b"CapAmb": b"0000000000000000",
    b"NoNewPrivs": b"1",
    b"Seccomp": b"2",
    b"uid": b"1000",
    b"gid": b"1000",
    b"interfaces": b"lo",
}


def words(
    facts: Facts | None = None,
    *,
    abi: int = 7,
    probes: tuple[int | None, int | None] = (13, 13),
) -> FirstWords:
    return FirstWords(
        abi=abi,
        missing=[],
        facts=[SealFact(key=key, value=value) for key, value in (facts or SEALED).items()],
        probe_read=probes[0],
        probe_executed=probes[1],
        since_ns=5,
    )


def judged(
    answer: FirstWords,
    *,
    kernel_policy: KernelPolicy = KernelPolicy.REQUIRE,
    probe: str | None = "/usr/bin/curl",
    engine_differences: Sequence[str] = (),
    seals_memory: bool = False,
    mounts: Sequence[Mount] = (),
) -> SealReport:
    return check(
        answer,
        kernel_policy=kernel_policy,
        probe=probe,
        missing=("gone",),
        notes=("note",),
        engine_differences=engine_differences,
        seals_memory=seals_memory,
        mounts=mounts,
    )


def test_a_sealed_container_is_reported_as_such() -> None:
    report = judged(words())
    assert report.kernel_enforced
    assert (report.landlock_abi, report.cap_eff, report.cap_bnd) == (7, 0, 0)
    assert (report.no_new_privs, report.seccomp, report.uid) == (True, 2, 1000)
    assert report.interfaces == ("lo",)
    assert (report.probed, report.missing, report.notes) == ("/usr/bin/curl", ("gone",), ("note",))


@pytest.mark.parametrize("kernel_policy", list(KernelPolicy))
@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[
            (key, value)
            for key in (b"CapInh", b"CapPrm", b"CapEff", b"CapBnd", b"CapAmb")
            for value in (b"0000000000000001", b"000001ffffffffff", b"", b"none", b"0x", b"\xff")
        ],
        (b"NoNewPrivs", b"0"),
        (b"NoNewPrivs", b""),
        (b"Seccomp", b"0"),
        (b"Seccomp", b"1"),
        (b"uid", b"0"),
        (b"uid", b"00"),
        (b"uid", b"1001"),
        (b"uid", b"nobody"),
        (b"gid", b"0"),
        (b"gid", b""),
        (b"interfaces", b"lo eth0"),
        (b"interfaces", b"eth0"),
    ],
)
def test_one_wrong_fact_breaks_the_seal(
    key: bytes, value: bytes, kernel_policy: KernelPolicy
) -> None:
    with pytest.raises(SealBroken):
        judged(words({**SEALED, key: value}), kernel_policy=kernel_policy)


@pytest.mark.parametrize("key", SEALED)
def test_one_missing_fact_breaks_the_seal(key: bytes) -> None:
    with pytest.raises(SealBroken):
        judged(words({name: value for name, value in SEALED.items() if name != key}))


@pytest.mark.parametrize(
    "probes", [(0, 13), (13, 0), (0, 0), (-1, -1), (2, 2), (13, None), (None, None)]
)
def test_a_forbidden_program_that_could_be_reached_breaks_the_seal(
    probes: tuple[int | None, int | None],
) -> None:
    with pytest.raises(SealBroken, match="curl"):
        judged(words(probes=probes))


def test_without_a_program_to_try_nothing_was_probed() -> None:
    assert judged(words(probes=(None, None)), probe=None).probed is None


def test_a_difference_that_the_engine_shows_breaks_the_seal() -> None:
    with pytest.raises(SealBroken, match="Privileged"):
        judged(words(), engine_differences=["Privileged: is True, not False"])


MOUNTS: tuple[Mount, ...] = (
    Scratch(target="/tmp", size_bytes=1),
    HeldVolume(volume="v", target="/volumes/w", copies=True),
    Overlay(target="/workspace", lower="/l", upper="/u", work="/w", user_attributes=False),
)
MOUNTED = {
    b"memory": b"sealed",
    b"noexec": b"/tmp /workspace /dev/shm",
    b"exec": b"/ /dev /volumes/w",
    b"volumes": b"masked",
}


def test_places_where_nothing_is_executed_are_reported() -> None:
    report = judged(words({**SEALED, **MOUNTED}), seals_memory=True, mounts=MOUNTS)
    assert (report.noexec, report.memory_sealed) == (("/tmp", "/workspace"), True)
    assert report.notes == ("note",)


@pytest.mark.parametrize("kernel_policy", list(KernelPolicy))
@pytest.mark.parametrize(
    ("key", "value"),
    [
        (b"noexec", b"/tmp"),
        (b"noexec", b"/workspace"),
        (b"noexec", b""),
        (b"exec", b"/ /dev /workspace"),
        (b"exec", b"/ /dev /workspace/sub"),
        (b"exec", b"/ /tmp/x"),
        (b"volumes", b"open"),
        (b"volumes", b""),
    ],
)
def test_a_place_that_is_not_mounted_as_planned_breaks_the_seal(
    key: bytes, value: bytes, kernel_policy: KernelPolicy
) -> None:
    answer = words({**SEALED, **MOUNTED, key: value})
    with pytest.raises(SealBroken):
        judged(answer, seals_memory=True, mounts=MOUNTS, kernel_policy=kernel_policy)


def test_what_the_engine_or_the_kernel_does_not_hold_is_said() -> None:
    report = judged(words({**SEALED, b"memory": b"open"}), seals_memory=True)
    assert (report.noexec, report.memory_sealed) == ((), False)
    assert ["execve only" in note for note in report.notes] == [False, True, False]
    assert "6.3" in report.notes[2]


@pytest.mark.parametrize("abi", [0, 1, 2, -1])
def test_a_kernel_that_can_not_enforce_is_an_error(abi: int) -> None:
    with pytest.raises(KernelUnsupported, match="kernel-policy=prefer"):
        judged(words(abi=abi, probes=(0, 0)))


@pytest.mark.parametrize("abi", [0, 1, 2])
def test_the_operator_may_go_on_and_the_report_says_so(abi: int) -> None:
    answer = words(abi=abi, probes=(0, 0))
    report = judged(answer, kernel_policy=KernelPolicy.PREFER)
    assert (report.kernel_enforced, report.probed) == (False, None)


def test_going_on_without_the_kernel_is_no_leave_for_the_rest() -> None:
    facts = {**SEALED, b"CapEff": b"1"}
    with pytest.raises(SealBroken):
        judged(words(facts, abi=0), kernel_policy=KernelPolicy.PREFER)
