"""``server_tools``: what the model's service runs for it. Off unless a policy says so."""

from pathlib import Path

import pytest

from policies.decision import Allow, Call, Deny, decide
from policies.errors import PolicyError
from policies.file.schema import json_schema, render
from policies.loading import load, loads
from policies.operator.ceiling import load_ceiling, under
from policies.operator.diff import more
from policies.operator.explain import explain_file
from policies.operator.learn import learn
from policies.operator.needs import ObservedCall
from policies.operator.proposal import ObservedUse
from policies.policy import SERVER_TOOLS, Policy

SEARCH = "server_tools: [web_search, web_fetch]\n"


def made(text: str) -> Policy:
    return loads(f"version: 1\nname: made\n{text}", file="made.yaml")


@pytest.mark.parametrize("name", ["default", "locked", "read-only", "python-tests", "node-tests"])
def test_no_bundled_policy_lets_the_service_run_anything(name: str) -> None:
    assert load(name).server_tools == ()


def test_unsaid_it_is_nothing() -> None:
    assert made("tools: [bash]\n").server_tools == ()


@pytest.mark.parametrize("value", ["[bash]", "[web_surf]", "[WEB_SEARCH]", "true", "web_search"])
def test_only_known_names_in_a_list_pass(value: str) -> None:
    with pytest.raises(PolicyError) as caught:
        made(f"server_tools: {value}\n")
    assert caught.value.key is not None
    assert caught.value.key.startswith("server_tools")


@pytest.mark.parametrize("name", SERVER_TOOLS)
def test_it_is_no_tool_of_the_container(name: str) -> None:
    with pytest.raises(PolicyError, match="is not one of"):
        made(f"tools: [{name}]\n")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("web_search", "web_fetch")),
        ("server_tools: []\n", ()),
        ("server_tools: [code_execution]\n", ("code_execution",)),
        ("+server_tools: [code_execution]\n", ("web_search", "web_fetch", "code_execution")),
        ("-server_tools: [web_fetch]\n", ("web_search",)),
    ],
)
def test_a_child_replaces_adds_or_takes_away(
    tmp_path: Path, text: str, expected: tuple[str, ...]
) -> None:
    (tmp_path / "parent.yaml").write_text(f"version: 1\nname: parent\n{SEARCH}")
    child = tmp_path / "child.yaml"
    child.write_text(f"version: 1\nname: child\nextends: parent.yaml\n{text}")
    assert load(str(child)).server_tools == expected


@pytest.mark.parametrize(
    ("bound", "left"),
    [("[]", ()), ("[web_fetch, code_execution]", ("web_fetch",)), ("[bash]", None)],
)
def test_a_ceiling_bounds_it(tmp_path: Path, bound: str, left: tuple[str, ...] | None) -> None:
    file = tmp_path / "ceiling.yaml"
    file.write_text(f"version: 1\nname: ceiling\nserver_tools: {bound}\n")
    if left is None:
        with pytest.raises(PolicyError):
            load_ceiling(str(file))
        return
    policy = under(made(SEARCH), [load_ceiling(str(file))])
    assert policy.server_tools == left
    for tool in SERVER_TOOLS:
        decision = decide(policy, Call(tool=tool, arguments={}))
        assert isinstance(decision, Allow if tool in left else Deny), tool
    assert policy.bounds is not None
    assert [n.key for n in policy.bounds.narrowings] == ["server_tools"]


def test_show_writes_it_out_and_reads_it_back() -> None:
    assert loads(render(made(SEARCH)), file="again.yaml").server_tools == (
        "web_search",
        "web_fetch",
    )
    assert "server_tools: []" in render(made(""))


def test_diff_says_that_text_can_leave() -> None:
    (found,) = more(made(""), made("server_tools: [web_search]\n"))
    assert (found.key, found.what) == (
        "server_tools",
        "the service's web_search: text can leave this way",
    )
    assert more(made(SEARCH), made("")) == ()


def test_the_schema_knows_it() -> None:
    properties = json_schema()["properties"]
    assert isinstance(properties, dict)
    for key in ("server_tools", "+server_tools", "-server_tools"):
        assert properties[key]["items"]["enum"] == list(SERVER_TOOLS)


def test_explain_says_which_layer_there_is_none_of() -> None:
    told = str(explain_file(made(SEARCH), "web_search", ""))
    assert "made.yaml:3 server_tools" in told
    assert "no kernel of ours" in told
    denied = explain_file(made(""), "web_search", "").decision
    assert isinstance(denied, Deny)
    assert denied.reason.endswith("allowed server tools: none")


def test_what_is_learned_lists_what_the_service_ran_and_no_more() -> None:
    call = ObservedCall(number=1, tool="read_file", arguments={"path": "a"})
    base = made("tools: [read_file]\n" + SEARCH)

    def lesson(*server_tools: str) -> Policy:
        return learn(
            [call], base=base, title="t", used=ObservedUse(), server_tools=server_tools
        ).policy

    assert lesson().server_tools == ()
    assert lesson("web_fetch").server_tools == ("web_fetch",)
    assert lesson("web_fetch", "x]\nexec_workspace: true", "bash").server_tools == ("web_fetch",)
