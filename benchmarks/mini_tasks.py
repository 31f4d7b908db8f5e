"""The tasks of `batch.py`, done by mini-swe-agent in its Docker environment with a scripted model.

Run by the Python of an environment that has mini-swe-agent, whose own code does all of it, and
nothing of ours. Prints the seconds until the last task has submitted its patch.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

from minisweagent.agents.default import DefaultAgent  # type: ignore[import-not-found]
from minisweagent.environments.docker import DockerEnvironment  # type: ignore[import-not-found]
from minisweagent.models.test_models import DeterministicModel, make_output  # type: ignore[import-not-found]

COMMANDS = (
    "true",
    "cat a.txt",
    "echo x >> a.txt",
    "echo COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT; git -c safe.directory='*' diff",
)


def one(image: str) -> None:
    environment = DockerEnvironment(image=image, cwd="/workspace", interpreter=["bash", "-c"])
    model = DeterministicModel(
        outputs=[make_output("", [{"command": command}]) for command in COMMANDS]
    )
    agent = DefaultAgent(
        model, environment, system_template="x", instance_template="{{task}}", cost_limit=0
    )
    ended = agent.run("x")
    assert "+x" in ended["submission"], ended


def main() -> None:
    image, tasks, jobs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    one(image)
    began = time.perf_counter()
    with ThreadPoolExecutor(jobs) as threads:
        for _ in threads.map(one, [image] * tasks):
            pass
    print(time.perf_counter() - began)


if __name__ == "__main__":
    main()
