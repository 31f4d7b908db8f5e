"""Who gets a page: the browser with the address, its own requests, and nobody else's."""

from pathlib import Path

import pytest

from agent.review.server.guard import BODY_LIMIT_BYTES, CSRF_HEADER
from fakes.reviews import FakeReview


@pytest.fixture
def review(tmp_path: Path) -> FakeReview:
    return FakeReview(home=tmp_path)


def start(review: FakeReview) -> str:
    return f"{review.session.origin}{review.session.base}/"


def test_the_address_lets_one_browser_in_and_a_second_one_not(review: FakeReview) -> None:
    first, second = review.stranger(), review.stranger()
    assert first.get(review.session.address).status_code == 200
    assert first.get(start(review)).status_code == 303
    refused = second.get(review.session.address)
    assert refused.status_code == 403
    assert "used already" in refused.text
    assert second.get(start(review)).status_code == 401


def test_the_same_browser_may_follow_the_address_again(review: FakeReview) -> None:
    browser = review.stranger()
    browser.get(review.session.address)
    assert browser.get(review.session.address).status_code == 200
    assert browser.get(start(review)).status_code == 303


@pytest.mark.parametrize("token", ["", "x", "ü", "../"])
def test_another_token_lets_nobody_in(review: FakeReview, token: str) -> None:
    browser = review.stranger()
    answer = browser.get(f"{review.session.base}/enter", params={"token": token})
    assert answer.status_code == 403
    assert browser.get(start(review)).status_code == 401


def test_the_cookie_goes_to_no_other_port_of_this_address(review: FakeReview) -> None:
    answer = review.stranger().get(review.session.address)
    cookie = answer.headers["set-cookie"]
    assert f"Path={review.session.base};" in cookie
    assert len(review.session.base) > 10
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "localhost:8000", ""])
def test_a_name_that_was_rebound_to_this_address_gets_nothing(
    review: FakeReview, host: str
) -> None:
    browser = review.browser()
    answer = browser.get(start(review), headers={"host": host})
    assert answer.status_code == 421
    assert review.session.csrf not in answer.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_what_another_page_asks_for_is_refused(review: FakeReview, site: str) -> None:
    answer = review.browser().get(start(review), headers={"sec-fetch-site": site})
    assert answer.status_code == 403


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": None}, 403),
        ({CSRF_HEADER: "x"}, 403),
        ({CSRF_HEADER: None}, 403),
        ({"content-length": str(BODY_LIMIT_BYTES + 1)}, 413),
        ({"content-length": "many"}, 411),
    ],
)
def test_a_writing_request_that_is_not_our_pages_own_reaches_no_route(
    review: FakeReview, change: dict[str, str | None], status: int
) -> None:
    headers = {"origin": review.session.origin, CSRF_HEADER: review.session.csrf}
    browser = review.browser()
    # As our own page sends it, it passes: no route takes a POST here.
    assert browser.post(start(review), headers=headers, content=b"x").status_code == 405
    changed = {name: value for name, value in {**headers, **change}.items() if value is not None}
    assert browser.post(start(review), headers=changed, content=b"x").status_code == status


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_no_other_method_is_answered(review: FakeReview, method: str) -> None:
    assert review.browser().request(method, start(review)).status_code == 405


def test_outside_of_its_own_path_there_is_nothing(review: FakeReview) -> None:
    browser = review.browser()
    for path in ("/", "/static/review.js", "/run/x", f"{review.session.base}x/"):
        answer = browser.get(f"{review.session.origin}{path}")
        assert answer.status_code == 404, path


def test_every_answer_forbids_what_is_not_ours(review: FakeReview) -> None:
    browser = review.browser()
    answers = [
        browser.get(start(review)),
        browser.get("run/none"),
        browser.get("static/review.js"),
        review.stranger().get(start(review)),
    ]
    nonces = set()
    for answer in answers:
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'nonce-")
        assert "unsafe" not in policy
        assert "*" not in policy
        nonces.add(policy.split("'nonce-")[1].split("'")[0])
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
        assert "server" not in answer.headers
    assert len(nonces) == len(answers)


def test_a_browsers_question_for_an_icon_is_no_error_and_says_nothing(review: FakeReview) -> None:
    answer = review.stranger().get(f"{review.session.origin}/favicon.ico")
    assert (answer.status_code, answer.content) == (204, b"")
    rebound = review.stranger().get("/favicon.ico", headers={"host": "evil.example"})
    assert rebound.status_code == 421
