"""Services beside commands: started in order, awaited, there in every container, in no patch."""

import os
import secrets
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import OpenBox
from fakes.guest import link_to, said
from fakes.service import PORT, READY, serving, tell, told
from policies.kernel.image import Inventory
from policies.policy import Policy
from sandbox.container import services
from sandbox.container.seal import KernelPolicy
from sandbox.engine.docker import Engine
from sandbox.engine.values import LABEL_RUN
from sandbox.errors import KernelUnsupported, SandboxLost, ServiceFailed
from sandbox.guest.protocol import Done
from sandbox.guest.service_protocol import ServiceStarted
from sandbox.opening import reattach
from sandbox.opening.reattach import ReattachState
from sandbox.sandbox import Sandbox


def test_a_service_is_ready_before_the_first_command(
    open_box: OpenBox, default_policy: Policy
) -> None:
    lines: list[str] = []
    box = open_box(serving(default_policy), on_progress=lines.append)
    assert tell(box, "6 * 7") == "42"
    assert [line for line in lines if line.startswith("service told: ready (")]
    assert tell(box, "os.getcwd(), os.environ['HOME']") == str(
        ("/moonpool-services/told", "/moonpool-services/told")
    )


@pytest.mark.parametrize("executes", [True, False])
def test_it_is_no_leftover_and_in_no_patch_and_stops_for_the_export(
    open_box: OpenBox, default_policy: Policy, *, executes: bool
) -> None:
    box = open_box(serving(replace(default_policy, exec_workspace=executes)))
    pid = tell(box, "os.getpid()")
    assert tell(box, "open('kept', 'w').write('x' * 10)") == "10"
    assert box.run("true").leftovers == 0
    assert box.run("sleep 1000 & true").leftovers == 1
    box.write_file("a.txt", b"a\n")
    assert [change.path for change in box.preview().changes] == [b"a.txt"]
    assert tell(box, "open('kept').read()") == "x" * 10, "it goes on after a preview"
    assert [change.path for change in box.export().changes] == [b"a.txt"]
    state = box.read_file(f"/proc/{pid}/stat").rpartition(b")")[2].split()[0]
    assert state == b"T", "what a command handed it open can't change while the patch is made"
    assert tell(box, "os.getpid()") == pid, "and it goes on with the next command"


def test_it_is_there_again_in_a_fresh_container_and_after_a_restart(
    open_box: OpenBox, default_policy: Policy
) -> None:
    box = open_box(serving(default_policy))
    assert tell(box, "open('kept', 'w').write('x')") == "1"
    with box.fresh() as other:
        assert tell(other, "os.listdir('.')") == "['handed']"
    box.break_off()
    assert box.rouse()
    assert tell(box, "os.listdir('.')") == "['handed']", "what it wrote was in memory"


def test_it_is_there_again_where_another_process_takes_the_container_up(
    open_box: OpenBox, default_policy: Policy, engine: Engine, workspace: Path
) -> None:
    policy = serving(default_policy)
    run = secrets.token_hex(8)
    box = open_box(policy, run_id=run)
    box.write_file("kept", b"x")
    remembered = ReattachState(container_state=box.container_state, left_out=(), seal=box.seal)
    taken = Sandbox(
        reattach.take_up(
            remembered,
            workspace=workspace,
            policy=policy,
            run_id=run,
            engine=engine,
            may_ask=False,
            kernel_policy=KernelPolicy.REQUIRE,
        )
    )
    assert tell(taken, "6 * 7") == "42"
    assert taken.read_file("kept") == b"x"


@pytest.mark.slow
def test_it_is_there_while_the_workspace_is_prepared(
    open_box: OpenBox, default_policy: Policy, workspace: Path
) -> None:
    (workspace / "ask.py").write_text(
        f"import socket\nhandle = socket.create_connection(('127.0.0.1', {PORT}))\n"
        f"handle.sendall(b'{os.getpid()} + 1\\n')\n"
        "open('answer', 'w').write(handle.makefile().readline())\n"
    )
    setup = replace(default_policy.setup, prepare=("python3 ask.py",))
    box = open_box(serving(replace(default_policy, setup=setup)))
    assert box.read_file("answer") == f"{os.getpid() + 1}\n".encode()
    assert tell(box, "1 + 1") == "2"


def test_they_start_in_order_each_when_the_one_before_it_is_ready(
    open_box: OpenBox, default_policy: Policy
) -> None:
    lines: list[str] = []
    second = told(name="b", command=f"{READY} && exec sleep 1000", ready="true")
    open_box(serving(default_policy, told(), second), on_progress=lines.append)
    ready = [line.partition(":")[0] for line in lines if line.startswith("service ")]
    assert ready == ["service told", "service b"]


def test_one_that_goes_into_the_background_is_awaited_as_any_other(
    open_box: OpenBox, default_policy: Policy
) -> None:
    daemon = told(command=f"({told().command}) </dev/null >/dev/null 2>&1 &")
    box = open_box(serving(default_policy, daemon))
    assert tell(box, "2 + 2") == "4"
    assert box.run("true").leftovers == 0


FAILING = {
    "its command ended with 3": told(command="echo broken >&2; exit 3", ready="true && false"),
    "its command ended with 0": told(command="echo broken", ready="false"),
    "the image does not hold nonesuch": told(command="echo broken; nonesuch", ready="false"),
    "(it did not end)": told(
        command="echo broken; exec sleep 1000", ready="echo why; exec sleep 1000", timeout_s=1.5
    ),
    "why": told(
        command="trap '' TERM; echo broken; while :; do sleep 1; done",
        ready="echo why; false",
        timeout_s=1.5,
    ),
    "not ready after": told(command="while :; do echo broken; done", ready="false", timeout_s=1.5),
}


@pytest.mark.slow
@pytest.mark.parametrize("shown", FAILING)
def test_one_that_does_not_become_ready_is_an_error_that_shows_what_it_printed(
    engine: Engine, open_box: OpenBox, default_policy: Policy, shown: str
) -> None:
    run = secrets.token_hex(8)
    with pytest.raises(ServiceFailed) as failed:
        open_box(serving(default_policy, FAILING[shown]), run_id=run)
    text = str(failed.value)
    assert text.startswith("service told: ")
    assert shown in text
    assert "broken" in text
    assert len(text) < 6000
    assert not engine.containers(f"{LABEL_RUN}={run}"), "and nothing is left behind"


def test_a_kernel_that_can_not_hold_them_apart_is_an_error(default_policy: Policy) -> None:
    nothing = Inventory(programs={}, links={}, directories={}, search_path=())
    wanted = services.planned(serving(default_policy), nothing)
    with link_to() as link, pytest.raises(KernelUnsupported, match=r"ABI 5.*without `services`"):
        services.start(link, wanted, abi=5)


def test_what_a_guest_says_of_a_service_is_bounded_and_may_be_nothing_else(
    default_policy: Policy,
) -> None:
    nothing = Inventory(programs={}, links={}, directories={}, search_path=())
    wanted = services.planned(serving(default_policy), nothing)
    lie = ServiceStarted(
        ending=b"x", exit_code=1 << 60, waited_ms=-(1 << 60), printed=b"\xff" * 500_000,
        ready_printed=b"y" * 400_000,
    )  # fmt: skip
    with link_to(said(1, lie)) as link, pytest.raises(ServiceFailed) as failed:
        services.start(link, wanted, abi=6)
    assert len(str(failed.value)) < 8000
    with link_to(said(1, Done())) as link, pytest.raises(SandboxLost, match="with Done"):
        services.start(link, wanted, abi=6)
