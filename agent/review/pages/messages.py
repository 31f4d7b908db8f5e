"""Pages of one sentence: what was refused, what is not there, and the way in."""

from agent.review.pages.markup import Markup, document, tag

NOT_ENTERED = (
    "This browser has not come in with the address that moonpool review printed. Open that "
    "address here, or start moonpool review again for a new one."
)
ADDRESS_USED = (
    "This address was used already, or is not that of this server: it lets one browser in, once. "
    "Go on in that browser, or start moonpool review again for a new address."
)


def message_page(words: str, *head: Markup) -> str:
    """A whole page, without style: it is shown where nothing else of the server is."""
    body = tag("body", tag("main", tag("h1", "Moonpool review"), tag("p", words)))
    return document("Moonpool review", head, body)


def onward(address: str) -> str:
    """A page that leads to another one of ours by itself."""
    lead = tag("meta", http_equiv="refresh", content=f"0;url={address}")
    return message_page("One moment …", lead)
