"""Bar charts as SVG, drawn here; their colours are in console.css."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from console.drawing import drawn

WIDTH, HEIGHT, TOP, BOTTOM = 420, 190, 26, 28


@dataclass(frozen=True)
class Bar:
    """One bar."""

    label: str
    value: int
    href: str = ""
    """Where a click on it leads."""
    is_late: bool = False
    """Whether its colour is that of what is overdue."""


def bar_chart(title: str, bars: Sequence[Bar]) -> Markup:
    """The bars side by side, each with its value above and its label below."""
    most = max([bar.value for bar in bars] + [1])
    step = WIDTH // len(bars)
    drawn_bars = [
        {"bar": bar, "x": i * step + step // 6, "middle": i * step + step // 2, "height": _height(bar.value, most)}
        for i, bar in enumerate(bars)
    ]
    said = f"{title}: {', '.join(f'{bar.label}: {bar.value}' for bar in bars)}."
    return Markup(  # noqa: S704 - a template's own output, everything in it escaped
        drawn(
            "bars.svg",
            said=said,
            bars=drawn_bars,
            width=WIDTH,
            bottom=HEIGHT - BOTTOM,
            height=HEIGHT,
            bar_width=step * 2 // 3,
        )
    )


def _height(value: int, most: int) -> int:
    """Never nothing where there is something."""
    return max(value * (HEIGHT - TOP - BOTTOM) // most, 3) if value else 0
