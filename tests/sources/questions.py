"""What a source asks about an event: as sync finds it out."""

from typing import Any

from sources.base import Event, Source


def open_questions(source: Source[Any], event: Event) -> list[str]:
    """What its facts leave open. Raises NotUnderstood, as interpreting it does."""
    return source.questions(event, source.interpret(event))
