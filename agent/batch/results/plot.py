"""Tasks done and dollars over time, as two curves of inline SVG.

The drawing is stretched to the width that there is; its words stand beside it as text, so that they
stay readable on a narrow screen. Refuses to know rows: it gets points.
"""

from collections.abc import Sequence

from agent.review.pages.markup import Markup, joined, tag

_WIDTH, _HEIGHT = 1000, 100
_MOST_POINTS = 600


def curve(
    name: str, points: Sequence[tuple[float, float]], *, until_s: float, shown: tuple[str, str]
) -> Markup:
    """One figure: a step at each point.

    Args:
        points: seconds since the beginning and what the sum is from then on, in order.
        until_s: where the time ends, in seconds; more than 0.
        shown: the highest value and the whole time, in words.
    """
    most = points[-1][1] if points else 0.0
    steps = _steps(_thinned(points), most or 1.0, until_s)
    top, time = shown
    drawing = tag(
        "svg",
        tag("path", d=f"{steps}V{_HEIGHT}H0Z", class_="area"),
        tag("path", d=steps, class_="line", vector_effect="non-scaling-stroke"),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
        aria_label=f"{name}: from 0 to {top} in {time}",
    )
    return tag(
        "figure",
        tag("figcaption", tag("span", name), tag("b", top)),
        drawing,
        tag("p", tag("span", "0"), tag("span", time), class_="axis", aria_hidden="true"),
        class_="card",
    )


def _thinned(points: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    """So many that the drawing shows each; the last one, which is the sum, always."""
    step = -(-len(points) // _MOST_POINTS) or 1
    return [*points[:-1:step], *points[-1:]]


def _steps(points: Sequence[tuple[float, float]], most: float, until_s: float) -> str:
    drawn = [f"M0 {_HEIGHT}"]
    for at, value in points:
        x = min(max(at / until_s, 0.0), 1.0) * _WIDTH
        drawn.append(f"H{x:.1f}V{_HEIGHT - value / most * _HEIGHT:.1f}")
    drawn.append(f"H{_WIDTH}")
    return joined("".join(drawn))
