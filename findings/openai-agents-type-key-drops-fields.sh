#!/bin/sh
# openai-agents 0.24.0: a tool's rows lose all their fields but the text, if each of them has "text" for its type.
#
# One would expect the model to be shown what a tool returns. Dicts and lists of them are shown as they are, and a tool
# that wants to send pictures or files has ToolOutputImage and ToolOutputFileContent for that.
#
# What happens: a plain dict counts as one of those, too, if its "type" is text, image or file and the one field that
# the SDK wants with it is there. Fields that it does not know are no reason against it, and are left behind. A list is
# taken so only if all of its dicts can be, so that one row of another type brings back the fields of all rows.
# "type" with such values is what parsers of documents, stores of vectors and scrapers call what they found.
#
# Seen on 2026-11-29 (what the tool returns, and what the model is sent):
#   text and table:  [{'type': 'text', 'text': 'Fees', 'page': 3}, {'type': 'table', 'text': '1 2', 'page': 4}]
#   text alone:      [{'type': 'input_text', 'text': 'Fees'}, {'type': 'input_text', 'text': 'Risks'}]
#   an image's row:  [{'type': 'input_image', 'image_url': 'https://example.org/a.png'}]
#   kind, not type:  [{'kind': 'text', 'text': 'Fees', 'page': 3}]
#
# It matters to whoever lets an agent search: with the pages, ids and scores gone it can't cite or open what it found,
# or invents them, in just those searches that found nothing but text; the picture that a page had is sent to be looked
# at and paid for, and its caption is not. Tests of the function see every field.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install -q --disable-pip-version-check openai-agents==0.24.0 2>"$tmp/pip.log" || { cat "$tmp/pip.log"; exit 1; }

"$tmp/venv/bin/python" - <<'PY_END'
import asyncio, sys
from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

set_tracing_disabled(True)
FEES, RISKS = {"type": "text", "text": "Fees", "page": 3}, {"type": "text", "text": "Risks", "page": 9}
TABLE = {"type": "table", "text": "1 2", "page": 4}
IMAGE = {"type": "image", "image_url": "https://example.org/a.png", "caption": "Rates"}
KIND = {"kind": "text", "text": "Fees", "page": 3}


class Scripted(Model):
    """Calls the tool, and keeps what it is sent afterwards."""

    sent = None

    async def get_response(self, system_instructions, input, *more, **options):
        outputs = [item["output"] for item in input if "output" in item]
        if not outputs:
            turn = ResponseFunctionToolCall(type="function_call", call_id="1", name="search", arguments="{}")
        else:
            (self.sent,) = outputs
            text = ResponseOutputText(type="output_text", text="Done.", annotations=[])
            turn = ResponseOutputMessage(id="1", type="message", role="assistant", status="completed", content=[text])
        return ModelResponse(output=[turn], usage=Usage(), response_id=None)

    async def stream_response(self, *more, **options):
        raise NotImplementedError


def sent(rows):
    @function_tool
    def search() -> list[dict]:
        return rows

    model = Scripted()
    asyncio.run(Runner.run(Agent(name="a", model=model, tools=[search]), "Search."))
    return model.sent


changed = False
for what, rows, expected in (
    ("text and table: ", [FEES, TABLE], str([FEES, TABLE])),
    ("text alone:     ", [FEES, RISKS], [{"type": "input_text", "text": "Fees"}, {"type": "input_text", "text": "Risks"}]),
    ("an image's row: ", [IMAGE], [{"type": "input_image", "image_url": IMAGE["image_url"]}]),
    ("kind, not type: ", [KIND], str([KIND])),
):
    seen = sent(rows)
    print(what, seen)
    changed |= seen != expected
if changed:
    sys.exit("CHANGED: rows of a type are now shown to the model as the others are")
PY_END
