"""The proxy's configuration: what is let through, in which order it is asked, and the way up."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from images.setup.squid import AllowedHosts, UpstreamProxy, configuration, thinned, upstream_of
from sandbox.errors import SandboxError

LABELS = st.sampled_from(["a", "b", "deb"])
NAMES = st.builds(
    lambda star, labels: star + ".".join(labels),
    st.sampled_from(["", "*."]),
    st.lists(LABELS, min_size=2, max_size=4),
)


def _fits(host: str, names: list[str]) -> bool:
    return any(
        host == name.removeprefix("*.") or (name[:2] == "*." and host.endswith(name[1:]))
        for name in names
    )


def _fits_squid(host: str, names: tuple[str, ...]) -> bool:
    return any(
        host == name.lstrip(".") or (name[0] == "." and host.endswith(name)) for name in names
    )


@given(st.lists(NAMES, max_size=6), st.lists(LABELS, min_size=2, max_size=5))
def test_thinning_changes_nothing_of_what_fits(names: list[str], labels: list[str]) -> None:
    host = ".".join(labels)
    assert _fits_squid(host, thinned(names)) == _fits(host, names)


@given(st.lists(NAMES, max_size=6))
def test_no_name_of_a_thinned_list_covers_another(names: list[str]) -> None:
    """Squid ends at such a list, in either order."""
    kept = thinned(names)
    for name in kept:
        assert not _fits_squid(name.lstrip("."), tuple(other for other in kept if other != name))


def _rules(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("http_access")]


def test_a_name_is_looked_up_once_it_is_known_to_be_listed() -> None:
    rules = _rules(configuration(AllowedHosts(names=("a.example",)), None))
    assert rules == [
        "http_access deny !connecting",
        "http_access deny !tls",
        "http_access deny !named",
        "http_access deny private",
        "http_access allow named",
        "http_access deny all",
    ]


def test_a_registry_has_its_own_port_and_any_address() -> None:
    allowed = AllowedHosts(
        names=("n.example",), registries=(("r.example", 8443), ("s.example", 443))
    )
    text = configuration(allowed, None)
    rules = _rules(text)
    assert rules.index("http_access allow registries8443 port8443") < rules.index(
        "http_access deny private"
    )
    assert "acl registries8443 dstdomain -n r.example" in text
    assert "acl registries443 dstdomain -n s.example" in text
    assert rules[0] == "http_access deny !connecting"
    assert rules[-1] == "http_access deny all"


def test_nothing_is_let_through_where_nothing_is_listed() -> None:
    assert _rules(configuration(AllowedHosts(names=()), None)) == [
        "http_access deny !connecting",
        "http_access deny all",
    ]


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_operators_proxy_is_the_way_up(name: str) -> None:
    up = upstream_of({name: "http://u%40x:p%25%20w%23@proxy.example:8080"})
    assert up == UpstreamProxy(
        host="proxy.example", port=8080, login="u%40x:p%25%20w%23", direct=()
    )
    text = configuration(AllowedHosts(names=("a.example",)), up)
    assert (
        "cache_peer proxy.example parent 8080 0 no-query no-digest default "
        "login=u%40x:p%25%20w%23\n" in text
    )
    assert text.endswith("never_direct allow all\n")


def test_a_login_adds_no_line_and_no_option() -> None:
    up = upstream_of({"https_proxy": "http://a%0Ahttp_access%20allow%20all:b%20%22@p.example"})
    assert up is not None
    text = configuration(AllowedHosts(names=()), up)
    assert "allow all\n" not in text.replace("never_direct allow all\n", "")
    assert not any(character in up.login for character in ' \n"#$')


@pytest.mark.parametrize(
    "address",
    [
        "https://p.example",
        "socks5://p.example:1080",
        "http://localhost:3128",
        "http://127.0.0.1:3128",
        "http://p.example:99999",
        "http://:3128",
        "http://a b.example:3128",
        "http://a$b.example",
    ],
)
def test_a_proxy_that_no_container_can_use_is_said(address: str) -> None:
    with pytest.raises(SandboxError, match="HTTPS_PROXY"):
        upstream_of({"https_proxy": address})


def test_a_proxy_by_its_address_in_the_newer_form_stands_in_brackets() -> None:
    up = upstream_of({"https_proxy": "http://[fd00::1]:3128"})
    assert "cache_peer [fd00::1] parent 3128 " in configuration(AllowedHosts(names=()), up)


def test_what_the_operator_excepts_goes_without_the_proxy() -> None:
    environ = {"https_proxy": "http://p.example", "no_proxy": "a.example, .B.example,c.example:443"}
    up = upstream_of(environ)
    assert up is not None
    assert up.direct == (".a.example", ".b.example", ".c.example")
    assert upstream_of({**environ, "no_proxy": "*"}) is None


def test_without_a_proxy_there_is_none() -> None:
    assert upstream_of({"http_proxy": "http://p.example"}) is None
