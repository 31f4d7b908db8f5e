"""What a sealed run leaves, as a batch exports it: the work, and nothing that a build makes."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.batch.results.rows import attempt_row
from agent.batch.results.writing import write_all
from command_line.running import Shell
from fakes.batches import a_task
from fakes.model import saying

pytestmark = pytest.mark.usefixtures("image")
MADE = ("build/a.o", "src/__pycache__/a.cpython-311.pyc", "x.egg-info/PKG-INFO", ".coverage")
COMMANDS = (
    "mkdir -p build src/__pycache__ x.egg-info",
    f"for made in {' '.join(MADE)}; do echo x > $made; done",
    f"echo 'print(2)' > src/a.py; cat {' '.join(MADE)}",
)


def test_predictions_hold_no_ignored_file_and_no_build_product(
    moonpool: Shell, tmp_path: Path
) -> None:
    (moonpool.directory / "src").mkdir()
    (moonpool.directory / "src/a.py").write_text("print(1)\n")
    (moonpool.directory / ".gitignore").write_text("build/\n")
    calls = [{"tool": "bash", "arguments": {"command": command}} for command in COMMANDS]
    turns = {"calls": calls}, {"expect": "x\nx\nx\nx\n", "text": "Done."}
    done = moonpool("run", "x", "-m", saying(tmp_path / "build.yaml", *turns))
    assert done.returncode == 0, done.stdout + done.stderr
    batch = Path(moonpool.environ["MOONPOOL_HOME"])
    (run,) = (batch / "runs").iterdir()
    task = a_task()
    write_all(batch, [task], [attempt_row(task, 1, batch, run)], began=datetime.now(UTC))
    patch = json.loads((batch / "preds.json").read_text())["t1"]["model_patch"]
    assert [line for line in patch.splitlines() if line.startswith("diff --git")] == [
        "diff --git a/src/a.py b/src/a.py"
    ]
