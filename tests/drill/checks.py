"""Holds what was said against what had to be said: each failure once, in time, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.drill.injected_faults import Plant, Told

MAX_AN_HOUR, HOUR = 10, timedelta(hours=1)


@dataclass(frozen=True)
class Said:
    """A message that a person received, by the time of the world.

    `kind` is "fault", "reminder", "over" or "summary"; `names` are the databases that it is about.
    """

    at: datetime
    kind: str
    names: tuple[str, ...]
    text: str


def faults(plants: Iterable[Plant], said: Sequence[Said]) -> list[str]:
    """Return what was said wrongly, late or not at all."""
    found: list[str] = []
    rest = [part for one in said for part in _parts(one)]
    for plant in plants:
        for told in plant.told:
            about = [one for one in rest if _is_about(one, plant, told)]
            rest = [one for one in rest if one not in about]
            found += [f"{plant.what}: {why}" for why in _wrong(plant, told, about)]
    for number, one in enumerate(said):
        if sum(one.at - HOUR < other.at for other in said[: number + 1]) > MAX_AN_HOUR:
            found.append(f"too many messages up to {one.at:%d %H:%M}")
    return found + [f"false message: {one.at:%d %H:%M} {one.kind} {one.text}" for one in rest]


def _parts(one: Said) -> list[Said]:
    """Return a message; a summary as those in whose place it came."""
    if one.kind != "summary":
        return [one]
    kinds = {"needs you": "fault", "over": "over"}
    found = re.findall(r"(Db\d+): (needs you|over)", one.text)
    return [Said(one.at, kinds[kind], (name.lower(),), f"{name}: {kind}") for name, kind in found]


def _is_about(one: Said, plant: Plant, told: Told) -> bool:
    until = plant.end + told.over_within
    return bool(set(one.names) & set(told.names)) and plant.begin <= one.at <= until


def _wrong(plant: Plant, told: Told, about: Sequence[Said]) -> Iterable[str]:
    of = {
        kind: [one for one in about if one.kind == kind] for kind in ("fault", "reminder", "over")
    }
    for kind, times in (("fault", 1), ("reminder", told.reminders), ("over", 1)):
        if len(of[kind]) != times:
            yield f"{len(of[kind])} messages of kind {kind} instead of {times}"
    for one in of["fault"]:
        if one.at > plant.begin + told.within:
            yield f"told {one.at - plant.begin} after it began"
    for one in [*of["fault"], *of["over"]]:
        if told.cause.lower() not in one.text.lower():
            yield f"told without its cause: {one.text}"
    for one in of["over"]:
        if one.at < plant.end:
            yield f"told to be over {plant.end - one.at} before it was"
