"""Over random policies: a ceiling is an intersection, and a difference is what is left of one."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from policies.decision import Allow, Ask, Call, decide
from policies.errors import Where
from policies.file.compose import ComposedKeys
from policies.kernel.rules import Access, granted_at, intersection
from policies.loading import loads
from policies.operator import ceiling_intersection
from policies.operator.ceiling import Ceiling, under
from policies.operator.diff import more
from policies.paths import normal, within
from policies.policy import CommandRule, Policy
from sandbox.git.ignore import OperatorPatterns

AT = Where(file="p.yaml", line=1)
WORDS = ("status", "push", "-f", "-q", "--force", "origin")
PROGRAMS = ("git", "ls", "/usr/bin/git", "/opt/git")

names = st.sampled_from(["a", "b", "c"])
trees = st.dictionaries(
    st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts)),
    st.integers(1, 15).map(Access),
    max_size=8,
)
# No options among them: a rule that permits an option where a subcommand stands, beside one that
# forbids options, is denied by `decide` alone; the narrowed rule does not show it.
SUBCOMMANDS = [word for word in WORDS if not word.startswith("-")]
begins = st.lists(st.sampled_from(SUBCOMMANDS), min_size=1, max_size=3).map(tuple)
flags = st.lists(st.sampled_from(("-f", "-q", "--force")), max_size=1).map(tuple)
rules = st.lists(
    st.builds(
        CommandRule,
        program=st.sampled_from(PROGRAMS),
        args=st.none() | st.lists(begins, max_size=3).map(tuple),
        ask=st.booleans(),
        forbid=flags,
        require=flags,
        where=st.just(AT),
        key=st.just("commands[0]"),
    ),
    max_size=4,
).map(tuple)
places = st.lists(
    st.sampled_from([".", "src", "src/a", "docs", "/opt", "/opt/x", "/workspace/src"]),
    max_size=3,
    unique=True,
).map(tuple)
patterns = st.lists(
    st.sampled_from(["a", "*.x", "!a", "!b.x", "d/", "!d/a", "d/*", "!*.x", "b.x"]), max_size=5
).map(tuple)
files = st.sampled_from(["a", "b.x", "c.x", "d/a", "d/b.x", "e/a", "e/d/a", "z"])
commands = st.tuples(
    st.sampled_from(PROGRAMS), st.lists(st.sampled_from((*WORDS, "other")), max_size=4)
).map(lambda parts: " ".join([parts[0], *parts[1]]))

GROUND = loads("version: 1\nname: p\ntools: [bash, write_file, read_file]\n", file="p.yaml")


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    return replace(
        GROUND,
        commands=draw(rules),
        exec_workspace=draw(st.booleans()),
        paths=replace(
            GROUND.paths,
            write=draw(places),
            read=draw(st.none() | places),
            protect=(),
        ),
        workspace=replace(GROUND.workspace, exclude=()),
        limits=replace(GROUND.limits, pids=draw(st.integers(8, 20))),
        budget=replace(GROUND.budget, usd=draw(st.none() | st.floats(1, 9))),
    )


@st.composite
def ceilings(draw: st.DrawFn) -> Ceiling:
    said: dict[str, object] = {}
    for key in ("paths.write", "paths.read"):
        if draw(st.booleans()):
            said[key] = draw(places)
    if draw(st.booleans()):
        said["tools"] = draw(st.sampled_from([(), ("bash",), ("bash", "write_file")]))
    if draw(st.booleans()):
        said["exec_workspace"] = draw(st.booleans())
    if draw(st.booleans()):
        said["limits.pids"] = draw(st.integers(8, 20))
    if draw(st.booleans()):
        said["budget.usd"] = draw(st.none() | st.floats(1, 9))
    if draw(st.booleans()):
        said["commands"] = draw(rules)
    return Ceiling(
        name="top", where=AT, said=ComposedKeys(values=said, places=dict.fromkeys(said, AT))
    )


def rank(policy: Policy, tool: str, text: str) -> int:
    arguments = {"command": text} if tool == "bash" else {"path": text}
    match decide(policy, Call(tool=tool, arguments=arguments)):
        case Allow():
            return 2
        case Ask():
            return 1
        case _:
            return 0


@given(trees, trees, st.lists(names, max_size=6))
def test_rules_of_both_grant_what_each_grants(
    one: dict[str, Access], other: dict[str, Access], parts: list[str]
) -> None:
    nothing = Access(0)
    path = "/" + "/".join(parts)
    both = intersection(one, other, nothing)
    assert granted_at(both, path, nothing) == (
        granted_at(one, path, nothing) & granted_at(other, path, nothing)
    )
    for place, access in both.items():
        above = {key: value for key, value in both.items() if key != place}
        assert not access & granted_at(above, place, nothing), "nothing is said twice"


@given(policies(), ceilings(), commands)
def test_a_command_is_judged_as_the_stricter_of_both_judges_it(
    policy: Policy, ceiling: Ceiling, command: str
) -> None:
    bounded = under(policy, [ceiling])
    assert bounded.bounds is not None
    strictest = min(rank(p, "bash", command) for p in (policy, *bounded.bounds.ceilings))
    assert rank(bounded, "bash", command) == strictest
    # The narrowed rules alone say the same: the prompt and the kernel are made of them.
    assert rank(replace(bounded, bounds=None), "bash", command) == strictest


@given(policies(), ceilings(), st.sampled_from(["x", "src/x", "src/a/b", "docs/x", "/opt/x/y"]))
def test_a_path_is_writable_and_readable_only_where_both_say_so(
    policy: Policy, ceiling: Ceiling, path: str
) -> None:
    bounded = under(policy, [ceiling])
    assert bounded.bounds is not None
    for tool in ("write_file", "read_file"):
        expected = min(rank(p, tool, path) for p in (policy, *bounded.bounds.ceilings))
        assert rank(bounded, tool, path) == expected
        assert rank(replace(bounded, bounds=None), tool, path) == expected


@given(policies(), ceilings(), ceilings())
def test_what_is_narrowed_allows_nothing_more(
    policy: Policy, ceiling: Ceiling, another: Ceiling
) -> None:
    bounded = under(policy, [ceiling, another])
    assert more(policy, bounded) == ()
    assert under(bounded, [ceiling, another]).limits == bounded.limits


@given(policies(), policies(), commands)
def test_what_no_difference_tells_of_is_no_difference(
    one: Policy, other: Policy, command: str
) -> None:
    if rank(other, "bash", command) > rank(one, "bash", command):
        assert [item for item in more(one, other) if item.key in {"commands", "exec_workspace"}]


@given(policies())
def test_nothing_allows_more_than_itself(policy: Policy) -> None:
    assert more(policy, policy) == ()
    shuffled = replace(policy, commands=tuple(reversed(policy.commands)))
    assert more(policy, shuffled) == ()


@given(patterns, patterns, files)
def test_what_either_guards_both_guard(
    mine: tuple[str, ...], bounds: tuple[str, ...], file: str
) -> None:
    if matches(mine, file) or matches(bounds, file):
        assert matches(ceiling_intersection.guarding(mine, bounds), file)


@given(places, places, places)
def test_places_lie_in_both(
    mine: tuple[str, ...], bounds: tuple[str, ...], asked: tuple[str, ...]
) -> None:
    met = ceiling_intersection.places(mine, bounds)
    for entry in asked:
        assert inside(entry, met) == (inside(entry, mine) and inside(entry, bounds))


def inside(entry: str, tops: tuple[str, ...]) -> bool:
    return any(within(normal(entry), normal(top)) for top in tops)


def matches(lines: tuple[str, ...], file: str) -> bool:
    return OperatorPatterns(lines).cover(file.encode())
