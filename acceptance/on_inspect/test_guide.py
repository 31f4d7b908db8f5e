"""What docs/inspect.md shows is run: its blocks one after the other, and its task as an eval."""

from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval as evaluate
from inspect_ai.model import ModelOutput, ModelUsage, get_model

from agent.servers.inspect.config import request_of
from documentation.examples import of

HERE = "make test-inspect"


# An eval warns of what Inspect itself calls, and of streams that it leaves open.
@pytest.mark.filterwarnings("default")
def test_the_blocks_of_the_guide_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    blocks = [it for it in of("python") if it.run_by == HERE]
    assert blocks
    for block in blocks:
        exec(compile(block.text, str(block), "exec"), names)
    script = "python3 -c 'print(6 * 7)' && cat a.txt"
    outputs = [
        ModelOutput.for_tool_call("mockllm/model", "bash", {"command": script}),
        ModelOutput.from_content("mockllm/model", "It is 42."),
    ]
    for output in outputs:
        # Without it the mock model would count, by a file that it fetches (findings/).
        output.usage = ModelUsage(input_tokens=1, output_tokens=1, total_tokens=2)
    model = get_model("mockllm/model", custom_outputs=outputs, memoize=False)
    (log,) = evaluate(names["sums"](), model=model, display="none", log_dir="logs")
    assert log.status == "success", log.error
    assert log.samples is not None
    (sample,) = log.samples
    assert [it.text for it in sample.messages if it.role == "tool"] == ["42\nfor you"]
    assert sample.scores is not None
    assert sample.scores["includes"].value == "C"


def test_the_compose_file_of_the_guide_is_taken(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM moonpool/python\n")
    files = [it for it in of("yaml") if it.run_by == HERE]
    assert files
    for file in files:
        file.write(tmp_path)
        asked = request_of(str(tmp_path / file.title))
        assert (asked.policy.name, asked.working_dir) == ("evals", "/testbed")
