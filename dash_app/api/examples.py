"""One example of each document, for `openapi.json`."""

from __future__ import annotations

from dash_app.api import schemas

WELL: schemas.Database = {
    "name": "coordination",
    "label": "Coordination",
    "path": "/home/ann/clawd/coordination.db",
    "status": "connected",
    "since": "2026-11-20T08:11:00.000Z",
    "level": "well",
    "verdict": "133 rows in 2 tables.",
    "error": None,
    "findings": [],
    "watch": {
        "state": "on_time",
        "paused": False,
        "dueAt": "2026-11-23T15:59:58.118Z",
        "file": None,
        "tables": {
            "tasks": {
                "state": "on_time",
                "everySeconds": 3600.0,
                "graceSeconds": 600.0,
                "lastAt": "2026-11-23T14:59:58.118Z",
                "dueAt": "2026-11-23T15:59:58.118Z",
            }
        },
    },
    "lastGood": None,
    "rowCounts": {"agents": 7, "tasks": 126},
    "totalRows": 133,
    "totalComplete": True,
    "change": {"rows": 24, "since": "2026-11-22T15:00:05.120Z"},
    "estimates": {},
    "tableErrors": {},
    "lastModified": "2026-11-23T14:59:58.000Z",
    "sizeBytes": 40960,
    "walBytes": 4152,
    "journalMode": "wal",
    "readAt": "2026-11-23T14:59:58.118Z",
    "verifiedAt": "2026-11-23T15:00:05.118Z",
    "waitingFor": None,
}
GONE: schemas.Database = {
    **WELL,
    "name": "observability",
    "label": "Observability",
    "path": "/home/ann/clawd/observability.db",
    "status": "error",
    "since": "2026-11-23T14:02:10.000Z",
    "level": "fault",
    "verdict": "The file is gone.",
    "error": {
        "code": "file_missing",
        "message": "The file is gone.",
        "remedy": "Move its `-wal` and `-journal` aside, if any are left. "
        "Then restore a backup, or start its program.",
    },
    "findings": [
        {
            "kind": "gone",
            "level": "fault",
            "since": "2026-11-23T14:02:10.000Z",
            "text": "The file is gone.",
            "remedy": "Move its `-wal` and `-journal` aside, if any are left. "
            "Then restore a backup, or start its program.",
            "table": None,
        }
    ],
    "watch": None,
    "lastGood": {"readAt": "2026-11-23T14:01:58.000Z", "totalRows": 10640},
    "rowCounts": {},
    "totalRows": None,
    "totalComplete": False,
    "change": None,
    "lastModified": None,
    "sizeBytes": None,
    "walBytes": None,
    "journalMode": None,
}
EMPTIED: schemas.Event = {
    "id": 17,
    "at": "2026-11-23T14:02:10.000Z",
    "database": "coordination",
    "kind": "rows_dropped",
    "text": "Emptied: tasks 126 → 0",
    "before": {"rows": {"tasks": 126}},
    "after": {"rows": {"tasks": 0}},
    "endedAt": None,
}
DISK: schemas.Disk = {"freeBytes": 12_400_000_000, "totalBytes": 40_000_000_000}

STATUS: schemas.StatusDocument = {
    "takenAt": "2026-11-23T15:00:05.120Z",
    "connected": 1,
    "total": 2,
    "level": "fault",
    "headline": "1 of 2 needs you",
    "databases": [WELL, GONE],
}
DATABASE: schemas.DatabaseDocument = {
    **WELL,
    "walBacklogBytes": 0,
    "holders": [
        {
            "pid": 812,
            "command": "node",
            "uses": ["open", "read"],
            "since": "2026-11-23T12:00:00.000Z",
            "holdsLogBackSince": None,
        }
    ],
    "foreignEngine": False,
    "disk": DISK,
    "schema": {"table tasks": "", "column tasks.owner": "TEXT"},
    "userVersion": 3,
    "applicationId": 0,
    "changeCounter": 4711,
    "freelistBytes": 0,
    "events": [EMPTIED],
}
EVENTS: schemas.EventsDocument = {"events": [EMPTIED], "next": "17"}
INCIDENTS: schemas.IncidentsDocument = {
    "incidents": [
        {
            "id": 4,
            "key": "process:812",
            "databases": ["coordination", "observability"],
            "kind": "down",
            "level": "fault",
            "text": "Coordination and Observability: Nothing written for 2 h. "
            "node (pid 812) had them open until 13:02 UTC.",
            "remedy": "Start node again, if it should run.",
            "since": "2026-11-23T14:02:10.000Z",
            "endedAt": None,
            "acknowledged": {
                "by": "ann@example.com",
                "at": "2026-11-23T14:10:00.000Z",
                "until": "2026-11-23T22:10:00.000Z",
            },
            "messages": [
                {
                    "kind": "fault",
                    "title": "Coordination and Observability: down",
                    "madeAt": "2026-11-23T14:03:10.000Z",
                    "sentAt": "2026-11-23T14:03:11.000Z",
                    "attempts": 1,
                    "failure": None,
                }
            ],
        }
    ],
    "next": None,
}
HISTORY: schemas.HistoryDocument = {
    "series": [
        {
            "database": "coordination",
            "table": "tasks",
            "metric": "rows",
            "unit": "rows",
            "points": [
                ("2026-11-23T14:00:00Z", None),
                ("2026-11-23T14:30:00Z", 120),
                ("2026-11-23T15:00:00Z", 126),
            ],
            "ranges": [None, None, (118, 126)],
        }
    ]
}
HISTORY_CSV = (
    "time,database,table,metric,unit,value\r\n"
    "2026-11-23T15:00:00Z,coordination,tasks,rows,rows,126\r\n"
)
SERVICE: schemas.ServiceDocument = {
    "level": "well",
    "version": "0.1.0",
    "startedAt": "2026-11-11T06:00:00.000Z",
    "uptimeSeconds": 1_069_205,
    "memory": {"serviceBytes": 128_000_000, "readerBytes": [11_000_000]},
    "ticks": {"done": 213_841, "missed": 0},
    "guards": ["landlock", "seccomp"],
    "sidecarsLeft": 0,
    "historyDisk": DISK,
    "historyProblem": None,
    "refused": [
        {
            "kind": "host",
            "name": "server.lan:3001",
            "address": "127.0.0.1",
            "count": 3,
            "lastAt": "2026-11-23T14:02:05.000Z",
        }
    ],
    "promises": [{"name": "bytesWritten", "measured": 0, "most": 0, "kept": True}],
}
GLANCE = (
    "1 of 2 needs you · 15:00:05 UTC, 2 s ago\n"
    "ERROR  Observability  The file is gone. Since 14:02 UTC (58 min). Last seen 10,640 rows.\n"
    "ok     Coordination   Last write 7 s ago. 133 rows, +24 in 24 h.\n"
)
METRICS = (
    "# HELP mission_control_table_rows Rows of a table, counted or estimated; "
    "absent where neither is to be had.\n"
    "# TYPE mission_control_table_rows gauge\n"
    'mission_control_table_rows{database="coordination",table="tasks"} 126.0\n'
)
