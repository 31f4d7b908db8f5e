"""What a service says of its use is held against the words that were sent and that came."""

from collections.abc import Iterator

import pytest

from agent.models.interface import Discarded, Model, Request, StreamEvent, Text, Usage, UserMessage
from agent.models.least_use import believed, least_tokens
from fakes.providers import AT_ONCE
from fakes.services import SERVICES, ProviderService
from standins.exchange.lying import ones, retold
from standins.exchange.replies import Break, Call, How, Thought, answer
from standins.exchange.server import Exchange

SAMPLES = (
    (19, "序列化数据格式不对。第一节应该是 GTKTEXTBUFFERCONTENTS-0001"),
    (13, "指定された RGBA ピクセルフォーマットの利用可能な設定はありません"),
    (12, "GNU Lesser General Public License, 버전 3 또는 이후 버전"),
    (20, "आप कोई CSS नियम को टाइप कर सकते हैं जो GTK+ के द्वारा पहचाना जाता है."),
    (12, "Для печати этого документа на принтере требуется проверить права доступа"),
    (23, "البيانات المرسلة غير صالحة. القسم الأول ليس GTKTEXTBUFFERCONTENTS-0001"),
    (26, "ట్రీ దర్శనంనందు యీ అరను కలిగివున్న అడ్డువరుసను విస్తరింపు లేదా కుదింపు"),
    (15, "GNU Affero General Public License รุ่นที่ 3 หรือรุ่นถัดมา"),
    (16, "cwd கோப்பகத்திற்கு பதில் இந்தக் கோப்பகத்தில் வெளியீட்டைச் செய்"),
    (20, "Bạn có thể nhập quy tắc CSS bất kỳ mà GTK+ có thể nhận ra vào đây."),
    (13, "Anonymer Tag wurde gefunden und Tags können nicht erstellt werden."),
    (16, "ძალიან პატარა მაღალი რეგისტრის მქონეები მაღალი რეგისტრის მქონეებიდან"),
    (17, "A moon pool is the opening in a ship's hull through which divers go down."),
    (21, "def settle(self, number: int) -> None:\n    self._ledger.settle(number, usd)\n"),
    (25, '{"path": "src/app.py", "old_string": "a-b", "new_string": "a + b"}'),
    (30, "2026-11-29 15:37:00 INFO  tests/test_0.py::test_it PASSED [  0%]\n"),
)
"""Texts with the fewest tokens that one of four vocabularies (cl100k, o200k, Claude 2, Gemma 3) has
for them. The foreign ones are messages of GTK's translations."""
REPEATED = (
    ("=" * 4000, 62),
    (" " * 4000, 7),
    ("\n" * 4000, 125),
    ("0" * 4000, 125),
    ("A" * 4000, 251),
    ("─" * 4000, 250),
    ("Application" * 1000, 1000),
    ("internationalization " * 500, 500),
)
"""The same of what a file may be full of, to have an honest service disbelieved."""
SAID = {"output_tokens", "completion_tokens", "total_tokens"}
PROSE = "What the service must have counted, in words that nobody can shorten. " * 100


@pytest.mark.parametrize(("fewest", "text"), SAMPLES)
def test_no_vocabulary_has_so_few_tokens_for_a_text(fewest: int, text: str) -> None:
    assert fewest / 10 < least_tokens(text) <= fewest / 2


@pytest.mark.parametrize(("text", "fewest"), REPEATED, ids=[text[0] for text, _ in REPEATED])
def test_nothing_that_repeats_itself_makes_a_true_count_a_lie(text: str, fewest: int) -> None:
    assert least_tokens(text) < fewest


def asked(text: str) -> Request:
    message = UserMessage(blocks=(Text(text=text),))
    return Request(system="be careful", tools=(), messages=(message,), max_tokens=20_000)


@pytest.mark.parametrize(
    "usage",
    [
        Usage(input_tokens=900, output_tokens=900),
        Usage(cache_read_tokens=899, input_tokens=1, output_tokens=900),
        Usage(cache_write_tokens=900, output_tokens=900),
    ],
)
def test_the_input_counts_whether_it_was_cached_or_not(usage: Usage) -> None:
    assert believed(usage, asked(PROSE), PROSE) == usage


@pytest.mark.parametrize(
    "usage", [Usage(), Usage(input_tokens=900, output_tokens=9), Usage(output_tokens=900)]
)
def test_less_than_the_words_can_have_is_no_count(usage: Usage) -> None:
    assert believed(usage, asked(PROSE), PROSE).uncounted_replies == 1


# -- on each provider, by the real SDKs -----------------------------------------------------------


@pytest.fixture(params=SERVICES, ids=lambda service: service.provider)
def on(request: pytest.FixtureRequest) -> Iterator[tuple[ProviderService, Exchange, Model]]:
    with request.param.stand_in() as api:
        model = request.param.open(api, timing=AT_ONCE)
        yield request.param, api, model
        model.close()


On = tuple[ProviderService, Exchange, Model]


@pytest.mark.parametrize("text", [PROSE, *(text * 9 for _, text in SAMPLES)])
def test_who_counts_honestly_is_believed_with_thoughts_calls_and_a_warm_cache(
    on: On, text: str
) -> None:
    _, api, model = on
    api.queue(*[answer(Thought(text), text, Call("bash", {"command": text}))] * 2)
    _, warm = (model.reply(asked(text), lambda _: None).usage for _ in range(2))
    assert warm.uncounted_replies == 0
    assert text != PROSE or warm.cache_read_tokens


@pytest.mark.parametrize("block", [PROSE, Call("bash", {"command": PROSE})], ids=["words", "call"])
def test_an_answer_that_is_said_to_be_one_token_is_not_counted(on: On, block: str | Call) -> None:
    _, api, model = on
    retold(api, lambda counts, _: {**counts, **dict.fromkeys(SAID & counts.keys(), 1)})
    api.queue(answer(block))
    assert model.reply(asked("Go on."), lambda _: None).usage.uncounted_replies == 1


def test_one_that_broke_off_is_held_against_what_came_of_it(on: On) -> None:
    of, api, model = on
    retold(api, lambda counts, _: ones(counts))
    api.queue(Break(How.DROP, before=of.kinds[-1], answer=answer(PROSE)), answer("Done."))
    heard: list[StreamEvent] = []
    model.reply(asked(PROSE), heard.append)
    (void,) = [event.usage for event in heard if isinstance(event, Discarded)]
    assert void.uncounted_replies == 1
