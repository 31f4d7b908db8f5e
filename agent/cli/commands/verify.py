"""``moonpool verify``: whether a record is what the run wrote."""

# Imports stand where they are needed, so that a command loads no SDK it does not use; and this is
# the terminal, where printing is the point.

import json

from agent.cli.setup import environment, exit_codes


def verify(wanted: str, *, as_json: bool) -> int:
    from agent.past_runs import integrity
    from agent.past_runs.integrity import CheckState
    from agent.record.runs import find_id, reread
    from agent.record.store import runs_directory
    from agent.untrusted_text import one_line

    home = environment.home()
    run = reread(runs_directory(home) / find_id(home, wanted))
    rows = []
    for check in integrity.checks(run):
        rows.append(check)
        if not as_json:
            print(f"{check.state:<10} {check.name:<10} {one_line(check.detail, 400)}", flush=True)
    broken = [check.name for check in rows if check.state is CheckState.BROKEN]
    if as_json:
        print(
            json.dumps(
                {
                    "run_id": run.id,
                    "holds": not broken,
                    "checks": [
                        {"name": row.name, "state": row.state, "detail": row.detail} for row in rows
                    ],
                }
            )
        )
    elif broken:
        print(f"run {run.id} is NOT what was recorded: {', '.join(broken)}")
    else:
        print(f"run {run.id} is what was recorded, as far as the record itself can tell")
    return exit_codes.NOT_FINISHED if broken else exit_codes.DONE
