"""A run's time is that of its work."""

from agent.conversation.budget import Stopwatch


def test_no_time_passes_in_a_wait_not_even_for_who_looks_at_it_from_outside() -> None:
    now = [10.0]
    watch = Stopwatch(before_s=5.0, clock=lambda: now[0])
    now[0] += 1
    with watch.stopped():
        now[0] += 100
        assert watch() == 6
        with watch.stopped():
            now[0] += 100
        assert watch() == 6
    now[0] += 1
    assert watch() == 7
