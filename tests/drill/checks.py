"""Compares the notifications received with those expected: each in time, and no others."""

import re
from collections.abc import Iterable, Sequence
from datetime import timedelta

from tests.drill.injected_faults import Expected, InjectedFault
from tests.drill.runner import Received

MAX_PER_HOUR, HOUR = 10, timedelta(hours=1)


def errors(faults: Iterable[InjectedFault], received: Sequence[Received]) -> list[str]:
    """Return one line per notification that is wrong, late, missing or unexpected."""
    lines: list[str] = []
    unmatched = [part for message in received for part in _parts(message)]
    for fault in faults:
        for expected in fault.expected:
            matched = [message for message in unmatched if _matches(message, fault, expected)]
            unmatched = [message for message in unmatched if message not in matched]
            lines += [f"{fault.name}: {error}" for error in _errors(fault, expected, matched)]
    for number, message in enumerate(received):
        earliest = message.at - HOUR
        if sum(earliest < earlier.at for earlier in received[: number + 1]) > MAX_PER_HOUR:
            lines.append(f"too many notifications up to {message.at:%d %H:%M}")
    return lines + [
        f"unexpected: {message.at:%d %H:%M} {message.kind} {message.text}" for message in unmatched
    ]


def _parts(message: Received) -> list[Received]:
    """Split a summary into the notifications that it combines."""
    if message.kind != "summary":
        return [message]
    kinds = {"needs you": "fault", "need you": "fault", "over": "over"}
    return [
        Received(message.at, kinds[kind], (name.lower(),), f"{name}: {kind}")
        for name, kind in re.findall(r"(Db\d+): (needs? you|over)", message.text)
    ]


def _matches(message: Received, fault: InjectedFault, expected: Expected) -> bool:
    is_in_time = fault.start <= message.at <= fault.end + expected.over_within
    return is_in_time and not set(message.databases).isdisjoint(expected.databases)


def _errors(
    fault: InjectedFault, expected: Expected, received: Sequence[Received]
) -> Iterable[str]:
    by_kind: dict[str, list[Received]] = {"fault": [], "reminder": [], "over": []}
    for message in received:
        by_kind[message.kind].append(message)
    for kind, times in (("fault", 1), ("reminder", expected.reminders), ("over", 1)):
        if len(by_kind[kind]) != times:
            yield f"{len(by_kind[kind])} notifications of kind {kind} instead of {times}"
    for message in by_kind["fault"]:
        if message.at > fault.start + expected.within:
            yield f"notified {message.at - fault.start} after its start"
    for message in [*by_kind["fault"], *by_kind["over"]]:
        if expected.cause.lower() not in message.text.lower():
            yield f"the cause is missing: {message.text}"
    for message in by_kind["over"]:
        if message.at < fault.end:
            yield f"reported as over {fault.end - message.at} before its end"
