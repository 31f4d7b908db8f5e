"""The conversation: what goes back to the model, and what ends it."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from agent.errors import ModelRefusedRequest, ModelUnavailable
from agent.models.interface import (
    AssistantMessage,
    Opaque,
    Reply,
    Request,
    Retrying,
    StopReason,
    StreamEvent,
    Text,
    ToolResult,
    ToolUse,
    Usage,
    UserMessage,
)
from agent.models.pricing import ModelInfo, Prices, Rates
from agent.record.events.conversation import CallReserved, CallStarted, ReplyDiscarded
from agent.record.events.kinds import Event
from agent.record.outcome import (
    Finished,
    GaveUp,
    Interrupted,
    LimitReached,
    ModelFailed,
    Refused,
    RunLimit,
    SandboxFailed,
)
from fakes.conversation import FakeConversation, with_budget
from fakes.model import ToldModel, call, calls, say
from sandbox.errors import SandboxLost

PRICED = ModelInfo(prices=Prices(usual=Rates(input=10, output=50, cache_write=12.5, cache_read=1)))


def test_a_model_that_only_answers_finishes(conversation: FakeConversation) -> None:
    assert conversation.on(ToldModel(say("All is well."))) == Finished(message="All is well.")


def test_the_task_is_the_first_message(conversation: FakeConversation) -> None:
    model = ToldModel(say("ok"))
    conversation.on(model, "paint it blue")
    assert model.requests[0].messages == (UserMessage(blocks=(Text(text="paint it blue"),)),)


def test_several_calls_of_one_turn_are_answered_in_one_message_in_order(
    conversation: FakeConversation,
) -> None:
    model = ToldModel(
        calls(
            ("bash", {"command": "echo one"}),
            ("read_file", {"path": "nowhere"}),
            ("bash", {"command": "echo three"}),
        ),
        say("done"),
    )
    conversation.on(model)
    newest = model.requests[1].messages[-1]
    assert all(isinstance(block, ToolResult) for block in newest.blocks)
    results = model.last_results()
    assert [result.tool_use_id for result in results] == ["use_0", "use_1", "use_2"]
    assert [result.is_error for result in results] == [False, True, False]
    assert results[0].text.startswith("one\n")
    assert results[2].text.startswith("three\n")


def test_history_is_append_only(conversation: FakeConversation) -> None:
    model = ToldModel(call("bash", command="echo a"), call("bash", command="echo b"), say("done"))
    conversation.on(model)
    for earlier, later in zip(model.requests, model.requests[1:], strict=False):
        assert later.messages[: len(earlier.messages)] == earlier.messages


def test_a_failing_command_is_a_result_and_no_error(conversation: FakeConversation) -> None:
    model = ToldModel(call("bash", command="echo bad >&2; exit 3"), say("done"))
    conversation.on(model)
    (result,) = model.last_results()
    assert not result.is_error
    assert "[stderr]\nbad" in result.text
    assert "exit code 3" in result.text


def test_an_unknown_tool_goes_back_with_the_tools_there_are(conversation: FakeConversation) -> None:
    model = ToldModel(call("browse", url="x"), say("done"))
    conversation.on(model)
    (result,) = model.last_results()
    assert result.is_error
    assert "no tool 'browse'" in result.text
    assert "read_file" in result.text


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({}, "command: Field required"),
        ({"command": 5}, "command: Input should be a valid string"),
        ({"command": "ls", "cwd": "/"}, "cwd: Extra inputs are not permitted"),
        ({"command": "ls", "timeout_s": "5"}, "timeout_s: Input should be a valid number"),
        ({"command": "ls", "timeout_s": -1}, "timeout_s: Input should be greater than 0"),
        ({"command": "ls\0rm"}, "command: String should match pattern"),
        ({"command": ""}, "command: String should have at least 1 character"),
    ],
)
def test_malformed_arguments_go_back_with_the_complaint_and_nothing_runs(
    conversation: FakeConversation, arguments: dict[str, object], complaint: str
) -> None:
    model = ToldModel(calls(("bash", arguments)), say("done"))
    conversation.on(model)
    (result,) = model.last_results()
    assert result.is_error
    assert complaint in result.text
    assert conversation.box.calls == []


@pytest.mark.parametrize(
    "arguments",
    [
        {"command": "echo \ud800"},
        {"command": ["echo"]},
        {"command": "ls", "timeout_s": float("nan")},
        {"command": "ls", "timeout_s": 1e400},
        {"command": "ls", "timeout_s": True},
        {"": ""},
    ],
)
def test_nonsense_in_arguments_goes_back_and_breaks_nothing(
    conversation: FakeConversation, arguments: dict[str, object]
) -> None:
    model = ToldModel(calls(("bash", arguments)), say("done"))
    assert conversation.on(model) == Finished(message="done")
    assert model.last_results()[0].is_error
    assert conversation.box.calls == []


def test_arguments_nested_without_end_go_back(conversation: FakeConversation) -> None:
    nested: object = "core"
    for _ in range(3000):
        nested = [nested]
    model = ToldModel(calls(("bash", {"command": nested})), say("done"))
    assert conversation.on(model) == Finished(message="done")
    assert model.last_results()[0].is_error


def test_a_denied_command_never_reaches_the_box(conversation: FakeConversation) -> None:
    model = ToldModel(call("bash", command="curl https://example.org"), say("done"))
    conversation.on(model)
    (result,) = model.last_results()
    assert result.is_error
    assert result.text.startswith("Denied (")
    assert "curl" in result.text
    assert conversation.box.calls == []
    assert [event.why for event in conversation.refused()] == ["denied"]


def test_a_tool_the_policy_leaves_out_is_not_offered_and_not_run(
    conversation: FakeConversation,
) -> None:
    conversation.policy = replace(conversation.policy, tools=("read_file",))
    model = ToldModel(call("bash", command="echo hello"), say("done"))
    conversation.on(model)
    assert [tool.name for tool in model.requests[0].tools] == ["read_file"]
    assert model.last_results()[0].is_error
    assert conversation.box.calls == []


def test_a_call_with_a_problem_is_not_run_and_says_why(conversation: FakeConversation) -> None:
    use = ToolUse(
        id="torn", name="bash", arguments={"command": "echo x"}, problem="no JSON object."
    )
    torn = Reply(message=AssistantMessage(blocks=(use,)), stop=StopReason.TOOL_USE, usage=Usage())
    model = ToldModel(torn, say("done"))
    conversation.on(model)
    assert "no JSON object." in model.last_results()[0].text
    assert conversation.box.calls == []


def test_a_call_cut_off_by_max_tokens_is_answered_and_not_run(
    conversation: FakeConversation,
) -> None:
    torn = calls(("bash", {"command": "rm -rf bui"}), stop=StopReason.MAX_TOKENS)
    model = ToldModel(torn, say("done"))
    assert conversation.on(model) == Finished(message="done")
    (result,) = model.last_results()
    assert result.is_error
    assert "cut off" in result.text
    assert conversation.box.calls == []


def test_words_cut_off_by_max_tokens_are_asked_to_go_on(conversation: FakeConversation) -> None:
    model = ToldModel(say("I was about to", StopReason.MAX_TOKENS), say("say this."))
    assert conversation.on(model) == Finished(message="say this.")
    assert "Go on where it stopped" in model.last_words()


def test_a_pause_in_the_providers_own_tools_is_sent_back_as_it_came(
    conversation: FakeConversation,
) -> None:
    raw = {"type": "server_tool_use"}
    searching = Opaque(provider="anthropic", raw=raw, server_side="web_search: landlock")
    paused = replace(say("", StopReason.PAUSE_TURN), message=AssistantMessage(blocks=(searching,)))
    model = ToldModel(paused, say("found"))
    assert conversation.on(model) == Finished(message="found")
    assert model.requests[1].messages[-1] == paused.message


def test_calls_of_an_answer_that_does_not_wait_for_them_are_not_run(
    conversation: FakeConversation,
) -> None:
    model = ToldModel(calls(("bash", {"command": "echo x"}), stop=StopReason.END_TURN), say("done"))
    conversation.on(model)
    assert model.last_results()[0].is_error
    assert conversation.box.calls == []


def test_a_refusal_ends_the_run_with_the_models_words(conversation: FakeConversation) -> None:
    assert conversation.on(ToldModel(say("I won't.", StopReason.REFUSAL))) == Refused(
        message="I won't."
    )


def test_a_full_context_window_ends_the_run_by_its_name(conversation: FakeConversation) -> None:
    ended = conversation.on(ToldModel(say("hm", StopReason.CONTEXT_WINDOW)))
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.CONTEXT


def test_an_empty_answer_is_asked_about_and_never_sent_back_empty(
    conversation: FakeConversation,
) -> None:
    model = ToldModel(say(""), say("done"))
    assert conversation.on(model) == Finished(message="done")
    assert all(message.blocks for message in model.requests[1].messages)
    roles = [type(message) for message in model.requests[1].messages]
    assert roles == [UserMessage, AssistantMessage, UserMessage]


@pytest.mark.parametrize(
    "nonsense", [say(""), say("hm", StopReason.TOOL_USE), say("", StopReason.PAUSE_TURN)]
)
def test_a_model_of_nothing_but_nonsense_is_given_up(
    conversation: FakeConversation, nonsense: Reply
) -> None:
    model = ToldModel(*[nonsense] * 50)
    assert isinstance(conversation.on(model), GaveUp)
    assert len(model.requests) == 5


def test_the_same_failing_call_is_told_after_three_and_stopped_after_six(
    conversation: FakeConversation,
) -> None:
    model = ToldModel(*[call("bash", command="exit 1")] * 50)
    ended = conversation.on(model)
    assert isinstance(ended, GaveUp)
    assert "6 times" in ended.reason
    assert len(model.requests) == 6
    assert [len(conversation.said())] == [1 + 3]
    assert "failed 3 times" in conversation.said()[1]


def test_a_test_that_fails_again_after_an_edit_is_no_loop(conversation: FakeConversation) -> None:
    steps = []
    for number in range(8):
        steps.append(call("bash", command="exit 1"))
        steps.append(call("write_file", path=f"try{number}", content="x"))
    ended = conversation.on(ToldModel(*steps, say("done")))
    assert ended == Finished(message="done")


def test_a_new_plan_between_failures_does_not_hide_a_loop(conversation: FakeConversation) -> None:
    plan = ("update_plan", {"items": [{"step": "try", "status": "in_progress"}]})
    model = ToldModel(*[calls(("bash", {"command": "exit 1"}), plan)] * 50)
    assert isinstance(conversation.on(model), GaveUp)


def test_two_failing_calls_in_turn_are_a_loop_too(conversation: FakeConversation) -> None:
    pair = [call("bash", command="exit 1"), call("bash", command="exit 2")]
    model = ToldModel(*pair * 50)
    assert isinstance(conversation.on(model), GaveUp)
    assert len(model.requests) == 11


def test_a_success_between_failures_does_not_hide_a_loop(conversation: FakeConversation) -> None:
    model = ToldModel(*[call("bash", command="exit 1"), call("list_dir")] * 50)
    ended = conversation.on(model)
    assert isinstance(ended, GaveUp)
    assert "30 calls in a row brought nothing new" in ended.reason
    assert len(model.requests) == 2 + 30


def test_edits_that_undo_each_other_are_told_and_then_stopped(
    conversation: FakeConversation,
) -> None:
    there = call("edit_file", path="calc.py", old_string="a + b", new_string="a * b")
    back = call("edit_file", path="calc.py", old_string="a * b", new_string="a + b")
    ended = conversation.on(ToldModel(*[there, back] * 50))
    assert isinstance(ended, GaveUp)
    told = [text for text in conversation.said() if "made before" in text]
    assert len(told) == 2


def test_the_same_look_between_pieces_of_work_is_no_loop(conversation: FakeConversation) -> None:
    steps = []
    conversation.policy = with_budget(conversation.policy, turns=200)
    for number in range(40):
        steps.append(call("list_dir", path="."))
        steps.append(call("bash", command=f"echo {number}"))
    assert conversation.on(ToldModel(*steps, say("done"))) == Finished(message="done")


def test_waiting_for_what_changes_is_no_loop(conversation: FakeConversation) -> None:
    look = call("bash", command="echo x >> log; wc -l < log")
    assert conversation.on(ToldModel(*[look] * 50, say("done"))) == Finished(message="done")


def test_a_loop_in_one_turn_is_stopped_in_it(conversation: FakeConversation) -> None:
    model = ToldModel(calls(*[("list_dir", {"path": "."})] * 60))
    ended = conversation.on(model)
    assert isinstance(ended, GaveUp)
    assert len(conversation.ended()) == 31
    assert len(conversation.refused()) == 29


def test_turns_are_limited_before_the_call_is_made(conversation: FakeConversation) -> None:
    conversation.policy = with_budget(conversation.policy, turns=2)
    model = ToldModel(*[call("bash", command="echo x")] * 9)
    ended = conversation.on(model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.TURNS
    assert len(model.requests) == 2


def test_output_tokens_are_limited_and_bound_each_request(conversation: FakeConversation) -> None:
    conversation.policy = with_budget(conversation.policy, output_tokens=500)
    used = calls(("bash", {"command": "echo x"}), usage=Usage(output_tokens=300))
    model = ToldModel(*[used] * 9)
    ended = conversation.on(model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.OUTPUT_TOKENS
    assert [request.max_tokens for request in model.requests] == [500, 200]


def test_input_tokens_are_limited_with_what_the_cache_gave_and_before_they_are_passed(
    conversation: FakeConversation,
) -> None:
    conversation.policy = with_budget(conversation.policy, input_tokens=1000)
    usage = Usage(input_tokens=100, cache_read_tokens=250, cache_write_tokens=50)
    model = ToldModel(*[calls(("bash", {"command": "echo x"}), usage=usage)] * 9)
    ended = conversation.on(model)
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.INPUT_TOKENS
    # Two calls used 800; a third needs 400 or more.
    assert len(model.requests) == 2


def test_time_is_limited(conversation: FakeConversation) -> None:
    conversation.policy = replace(
        conversation.policy, limits=replace(conversation.policy.limits, time_s=0.0)
    )
    ended = conversation.on(ToldModel(say("never asked")))
    assert isinstance(ended, LimitReached)
    assert ended.limit is RunLimit.TIME


def test_the_model_is_told_when_few_turns_are_left(conversation: FakeConversation) -> None:
    conversation.policy = with_budget(conversation.policy, turns=4)
    model = ToldModel(call("bash", command="echo x"), say("done"))
    conversation.on(model)
    assert "3 turns are left" in model.last_words()


def test_a_model_that_fails_ends_the_run_with_its_message(conversation: FakeConversation) -> None:
    ended = conversation.on(ToldModel(ModelUnavailable("529 overloaded, 8 attempts")))
    assert ended == ModelFailed(message="529 overloaded, 8 attempts")


def test_a_lost_sandbox_ends_the_run_and_is_no_command_output(
    conversation: FakeConversation,
) -> None:
    conversation.box.failures["run"] = SandboxLost("the container is gone")
    model = ToldModel(call("bash", command="echo x"), say("never asked"))
    assert conversation.on(model) == SandboxFailed(message="the container is gone")
    assert len(model.requests) == 1


def test_an_interrupt_during_a_call_lets_it_finish_and_answers_the_rest(
    conversation: FakeConversation,
) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, CallStarted) and event.number == 1:
            conversation.interrupts.receive("SIGINT")

    conversation.also = interrupt
    model = ToldModel(
        calls(("bash", {"command": "echo one"}), ("bash", {"command": "echo two"})),
        say("never asked"),
    )
    assert conversation.on(model) == Interrupted(signal="SIGINT")
    assert conversation.box.calls == ["run echo one"]
    assert [event.exit_code for event in conversation.ended()] == [0]
    answered = conversation.journal.state.conversation.history[-1].blocks
    assert [type(block) for block in answered] == [ToolResult, ToolResult]


def test_an_interrupt_while_the_model_is_awaited_breaks_it_off(
    conversation: FakeConversation,
) -> None:
    def interrupted(_request: object) -> Reply:
        conversation.interrupts.receive("SIGTERM")
        raise AssertionError("the wait went on")

    conversation.facts = PRICED
    assert conversation.on(ToldModel(interrupted)) == Interrupted(signal="SIGTERM")
    # It is billed, and nobody says how much: for the most that it was allowed to be.
    (told,) = [event for event in conversation.log if isinstance(event, ReplyDiscarded)]
    (reserved,) = [event for event in conversation.log if isinstance(event, CallReserved)]
    assert told.usage.uncounted_replies == 1
    assert told.usd == conversation.budget.usd == reserved.usd
    assert told.usd is not None
    assert told.usd > conversation.max_tokens * 50 / 1_000_000


def test_an_interrupt_in_the_pause_before_another_attempt_costs_nothing(
    conversation: FakeConversation,
) -> None:
    class Pausing(ToldModel):
        def reply(self, request: Request, on_event: Callable[[StreamEvent], None]) -> Reply:
            on_event(Retrying(reason="too much is asked", wait_s=300, attempt=1))
            conversation.interrupts.receive("SIGTERM")
            raise AssertionError("the wait went on")

    conversation.facts = PRICED
    assert conversation.on(Pausing()) == Interrupted(signal="SIGTERM")
    assert not [event for event in conversation.log if isinstance(event, ReplyDiscarded)]
    assert not conversation.budget.usd


def test_a_second_interrupt_ends_the_command_and_the_call_has_its_end(
    conversation: FakeConversation,
) -> None:
    def twice() -> None:
        for _ in range(2):
            conversation.interrupts.receive("SIGINT")

    timer = threading.Timer(0.3, twice)
    timer.start()
    ended = conversation.on(ToldModel(call("bash", command="exec sleep 99")))
    timer.join()
    assert ended == Interrupted(signal="SIGINT")
    assert [event.ending for event in conversation.ended()] == ["cancelled"]


def test_a_third_breaks_off_a_call_that_hangs(conversation: FakeConversation) -> None:
    def run(_command: str, **_options: object) -> None:
        for _ in range(3):
            conversation.interrupts.receive("SIGINT")
        raise AssertionError("the call went on")

    conversation.box.run = run  # type: ignore[assignment, method-assign]
    ended = conversation.on(ToldModel(call("bash", command="sleep 99")))
    assert ended == Interrupted(signal="SIGINT")


@pytest.mark.parametrize(
    "written",
    [
        '<tool_call>\n{"name": "bash", "arguments": {"command": "ls"}}\n</tool_call>',
        "I look.\n<function=bash>\n<parameter=command>ls</parameter>\n</function>",
        '```json\n{"tool": "bash", "arguments": {}}\n```',
        '{"name": "bash", "parameters": {"command": "ls"}}',
        '[TOOL_CALLS][{"name": "bash", "arguments": {}}]',
        '<invoke name="bash"></invoke>',
    ],
)
def test_a_call_that_is_written_as_text_is_told_so_and_not_run(
    conversation: FakeConversation, written: str
) -> None:
    model = ToldModel(say(written), call("list_dir"), say(written), say(written))
    assert conversation.on(model) == Finished(message=written)
    told = [request.messages[-1] for request in model.requests]
    assert [str(message).count("wrote a call of bash as text") for message in told] == [0, 1, 0, 1]
    assert not [what for what in conversation.box.calls if what.startswith("run ")]


def test_a_model_that_only_writes_calls_as_text_gives_up(conversation: FakeConversation) -> None:
    written = say('<tool_call>{"name": "bash"}</tool_call>')
    assert isinstance(conversation.on(ToldModel(*[written] * 9)), GaveUp)


@pytest.mark.parametrize(
    "words", ["{}", "I ran bash.", '<tool_call>{"name": "nope"}', 'As in {"name": "bash"}: done.']
)
def test_an_answer_that_asks_for_no_tool_is_the_end(
    conversation: FakeConversation, words: str
) -> None:
    assert conversation.on(ToldModel(say(words))) == Finished(message=words)


def test_a_refusal_in_unknown_words_near_the_window_is_tried_once_shorter(
    conversation: FakeConversation,
) -> None:
    refusal = ModelRefusedRequest("400 zu viel")
    conversation.facts = ModelInfo(context_tokens=20_000)
    conversation.box.write_file("long.txt", b"a line of text\n" * 600)
    model = ToldModel(*[call("read_file", path="long.txt")] * 4, refusal, say("Done."))
    assert conversation.on(model) == Finished(message="Done.")
    assert len(str(model.requests[-1])) < len(str(model.requests[-2]))
    assert isinstance(conversation.on(ToldModel(refusal)), ModelFailed)
