"""What the agents wrote: rows for given times, every word of them invented.

Pure generators, one a table. In: a seeded random and the rows' times (aware, UTC). Out: the values
of a row for each time, in the order of the table's columns without its `id`. Mail addresses are
under `example.com`, which is nobody's by RFC 2606.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from random import Random

from dash_app.demo.rhythm import busyness

Row = tuple[str | int | float, ...]

AGENTS = (
    ("planner", "turns goals into tasks"),
    ("researcher", "reads and summarizes sources"),
    ("writer", "drafts articles"),
    ("editor", "checks drafts before they go out"),
    ("postman", "sorts and answers mail"),
    ("gardener", "tidies folders and old branches"),
    ("watchman", "measures the server"),
)
AGENT_STATES = ("idle", "working", "waiting")

TOPICS = (
    "Composting in small gardens",
    "Night trains",
    "Learning to read maps",
    "Sourdough at altitude",
    "Repairing bicycles",
    "Birds of the harbour",
)

VERBS = ("Draft", "Review", "Summarize", "Collect sources for", "Shorten", "Translate", "Archive")
THINGS = (
    "the weekly digest",
    "the reading list",
    "the garden calendar",
    "the timetable comparison",
    "last month's notes",
    "the repair guide",
    "the bread experiment",
    "the bird count",
)
TASK_STATES = ("done", "done", "done", "done", "cancelled", "running", "queued")

LEVELS = ("debug", "info", "info", "info", "info", "info", "warning", "error")
MESSAGES = (
    "step finished",
    "tool called",
    "answer accepted",
    "retrying after a slow reply",
    "result stored",
    "nothing to do",
    "context trimmed",
    "waiting for another agent",
)

SENTENCES = (
    "Start small and write down what you change.",
    "Most of the effort goes into the first week.",
    "The cheaper variant turned out to be the better one.",
    "Two readers asked for pictures, so the next issue has some.",
    "It helps to keep the tools where the work is.",
    "The numbers from spring and autumn hardly differ.",
    "Patience matters more than equipment.",
    "A second look showed that the old advice still holds.",
)
MAILBOXES = ("newsletter", "support", "library", "workshop", "harbour", "allotment", "bakery")
SUBJECTS = (
    "Your weekly digest",
    "Question about the repair guide",
    "Opening hours next week",
    "Thank you for the article",
    "The bird count is ready",
    "A correction to the timetable",
)


def text_of(time: datetime) -> str:
    """Return a time as the databases store it: UTC, RFC 3339, whole seconds."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def agents(_random: Random, times: Iterable[datetime]) -> Iterator[Row]:
    """Yield the agents, one a time: as many as there are, each once."""
    for (name, role), time in zip(AGENTS, times, strict=True):
        yield name, role, "idle", text_of(time), text_of(time)


def tasks(random: Random, times: Iterable[datetime]) -> Iterator[Row]:
    """Yield tasks, each for one of the agents."""
    for time in times:
        title = f"{random.choice(VERBS)} {random.choice(THINGS)}"
        agent = random.randint(1, len(AGENTS))
        yield (agent, title, random.choice(TASK_STATES), random.randint(1, 5), text_of(time))


def events(random: Random, times: Iterable[datetime]) -> Iterator[Row]:
    """Yield what agents log while they work; most steps are quick, a few are slow."""
    for time in times:
        agent, _role = random.choice(AGENTS)
        duration_ms = int(random.lognormvariate(5, 1.2))
        yield (text_of(time), agent, random.choice(LEVELS), random.choice(MESSAGES), duration_ms)


def topics(_random: Random, times: Iterable[datetime]) -> Iterator[Row]:
    """Yield the topics, one a time: as many as there are, each once."""
    for name, time in zip(TOPICS, times, strict=True):
        yield name, text_of(time)


def articles(random: Random, times: Iterable[datetime]) -> Iterator[Row]:
    """Yield articles of a few paragraphs, each on one of the topics."""
    for time in times:
        topic = random.randrange(len(TOPICS))
        title = f"{TOPICS[topic]}: {random.choice(THINGS)}"
        body = " ".join(random.choices(SENTENCES, k=random.randint(10, 40)))
        yield topic + 1, title, body, text_of(time)


def messages(random: Random, times: Iterable[datetime]) -> Iterator[Row]:
    """Yield mail between invented mailboxes."""
    for time in times:
        sender, recipient = (f"{box}@example.com" for box in random.sample(MAILBOXES, 2))
        body = " ".join(random.choices(SENTENCES, k=random.randint(2, 8)))
        yield sender, recipient, random.choice(SUBJECTS), body, text_of(time)


def attachments(_random: Random, _times: Iterable[datetime]) -> Iterator[Row]:
    """Yield nothing: no message ever had one."""
    return iter(())


def readings(random: Random, times: Iterable[datetime]) -> Iterator[Row]:
    """Yield the server's health: it works, warms and fills its memory with the agents' day."""
    for time in times:
        cpu_percent = round(min(100, 4 + 25 * busyness(time) * random.uniform(0.7, 1.3)), 1)
        memory_mb = int(700 + 250 * busyness(time) + random.uniform(-60, 60))
        celsius = round(38 + cpu_percent / 5 + random.uniform(-1, 1), 1)
        yield text_of(time), cpu_percent, memory_mb, celsius
