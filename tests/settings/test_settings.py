"""The configuration file: accepted values, and how wrong ones are reported."""

import os
import socket
import tomllib
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from dash_app import settings
from dash_app.model.expectation import Expectation, TableRules
from dash_app.model.quiet_hours import NO_QUIET_HOURS
from dash_app.settings import SettingsError
from dash_app.system.secret_files import redact

DATABASE = '[[databases]]\nname = "a"\npath = "a.db"\n'
TABLE = f"{DATABASE}[databases.tables.a]\n"


def parse(text: str, source: Path = Path("/etc/mc/config.toml")) -> settings.Settings:
    return settings.parse(tomllib.loads(text), source)


def test_an_empty_file_yields_the_defaults() -> None:
    found = parse("")
    assert [database.name for database in found.databases] == [
        "coordination",
        "observability",
        "content",
        "email",
        "health",
    ]
    assert found.databases[0].path == Path.home() / "clawd" / "coordination.db"
    assert found.server.port == 3001
    assert found.server.addresses == ("loopback", "tailscale")
    assert found.sampler.interval == timedelta(seconds=5)
    assert found.history.retention == timedelta(days=400)


def test_values_and_paths_are_parsed() -> None:
    found = parse(
        '[sampler]\ninterval = "2s"\ndeadline = "0.5s"\n'
        '[history]\npath = "~/h.db"\nevery = "2m"\nmax_size = "2GB"\n'
        '[[databases]]\nname = "a_b-1"\npath = "data/a.db"\n'
        '[[databases]]\nname = "b"\npath = "/srv/b.db"\nlabel = "Bee"\nintegrity = "off"\n'
        'replaced = "expected"\nignore_tables = ["load_*"]\n'
        '[integrity]\nshare = "2.5%"\nevery = "6h"\n'
    )
    first, second = found.databases
    assert (first.label, first.path) == ("A b 1", Path("/etc/mc/data/a.db"))
    assert (second.label, second.path) == ("Bee", Path("/srv/b.db"))
    assert found.sampler.deadline == timedelta(seconds=0.5)
    assert found.history.path == Path.home() / "h.db"
    assert found.history.max_size == 2_000_000_000
    assert [database.is_page_checked for database in found.databases] == [True, False]
    assert [database.rules.expects_replacement for database in found.databases] == [False, True]
    assert [second.rules.ignores(table) for table in ("load_9", "tasks")] == [True, False]
    assert (found.integrity.share, found.integrity.every) == (2.5, timedelta(hours=6))


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[sampler]\ninterval = 5", "[sampler] `interval` = 5: write a number and a unit"),
        ('[sampler]\ninterval = "5"', "[sampler] `interval` = '5': write a number and a unit"),
        ('[sampler]\ninterval = "5 weeks"', "[sampler] `interval` = '5 weeks': write a number"),
        ('[sampler]\ninterval = "1ms"', "must be between 1s and 1h"),
        ('[sampler]\nperiod = "5s"', "[sampler] has no setting `period`. Allowed: interval,"),
        ('[history]\nmax_size = "5"', "[history] `max_size` = '5': write a number and a unit"),
        ("[history]\npath = 3", "[history] `path` = 3: write a path in quotes"),
        (f'[history]\npath = "/{"é" * 2048}"', "...: that is too long"),
        ('[server]\nport = "3001"', "[server] `port` = '3001'"),
        ("[server]\nport = 70000", "[server] `port` = 70000"),
        ('[server]\naddresses = ["everywhere"]', "[server] `addresses` = 'everywhere'"),
        ('[server]\nallowed_clients = ["10.0.0.0/99"]', "[server] `allowed_clients`"),
        ("[server]\ntrust_tailscale_identity = 1", "`trust_tailscale_identity` = 1: write true"),
        ('[server]\nallowed_users = ["a"]', "known only with trust_tailscale_identity = true"),
        ('[server]\ntoken_file = "none"', "[server] `token_file` = 'none': cannot be read"),
        ('[server]\ntoken_file = "/dev/null"', "is not a regular file"),
        ('[server]\ntoken_file = "/dev/zero"', "is not a regular file"),
        ('[alerts]\nurls_file = "/dev/zero"', "is not a regular file"),
        ('[alerts]\nurls_file = "ntfys://ntfy.sh/s3cr3t"', "`urls_file` = a URL: write a path"),
        (
            DATABASE.replace("a.db", "$HOME/a.db"),
            "number 1 `path` = '$HOME/a.db': write a path such",
        ),
        (DATABASE.replace("a.db", "${HOME}/*.db"), "no variable, URL or Windows path"),
        (DATABASE.replace("a.db", " ~/a.db"), "no variable, URL or Windows path"),
        (DATABASE.replace("a.db", "sqlite:////a.db"), "no variable, URL or Windows path"),
        (DATABASE.replace('"a.db"', r"'C:\a.db'"), "no variable, URL or Windows path"),
        (DATABASE.replace('"a.db"', """"'/a.db'\""""), "no variable, URL or Windows path"),
        ('[history]\npath = "%HOME%/h.db"', "no variable, URL or Windows path"),
        (f'[sampler]\ninterval = "{"9" * 400}s"', "write a number and a unit"),
        ('[sampler]\ninterval = "999999999999999d"', "that is too long"),
        ('[history]\nmax_size = "999999999999999GB"', "that is too large"),
        (f"[metrics]\nmax_tables = {2**63}", "that is too large"),
        ("[server]\nport = nan", "[server] `port` = nan: write a whole number"),
        ("[server]\nport = inf", "[server] `port` = inf: write a whole number"),
        ("[server]\nport = 2026-11-23", "`port` = datetime.date(2026, 11, 23): write a whole"),
        ("[server]\naddresses = []", "`addresses` = []: list at least one"),
        ('[server]\naddresses = ["fe80::1%eth0"]', "an address with a zone cannot be served"),
        ('[server]\naddresses = ["192.168.1.5:3001"]', "the port is a setting of its own"),
        ('[server]\naddresses = ["224.0.0.1"]', "that address does not belong to one machine"),
        ('[server]\nallowed_clients = ["172.31.99.2/24"]', 'write "172.31.99.0/24" for the whole'),
        (
            '[alerts]\nlink = "https://box.ts.net/mc"',
            'cannot be served under a path: write "https://box',
        ),
        (
            '[server]\ntrust_tailscale_identity = true\nallowed_users = ["a", " "]',
            "an empty name would let everybody in",
        ),
        (f"[server]\nport = 0x{'f' * 4000}", "[server] `port` = a number: "),
        (f"[server]\nallowed_clients = {['10.0.0.1'] * 1001}", "that list is too long"),
        (f"[{'x' * 1000}]", f"there is no [{'x' * 100}...]"),
        ('[server]\nallowed_origins = ["*"]', "write a scheme and a host"),
        ('[server]\nallowed_origins = ["https://a/b"]', "write a scheme and a host"),
        (DATABASE + f"quiet = {['Sat UTC'] * 51}", "write at most 50"),
        (DATABASE + 'replaced = "on"', '\'on\': write "unexpected" or "expected"'),
        (DATABASE + 'ignore_tables = "load_*"', "`ignore_tables` = 'load_*': write a list"),
        (DATABASE + 'ignore_tables = [""]', "number 1 `ignore_tables` = '': that is empty"),
        (DATABASE + "ignore_tables = [1]", "`ignore_tables` = 1: write text in quotes"),
        (
            DATABASE + 'ignore_tables = ["l?ad_*"]\n[databases.tables.load_x]\nmin_rows = 1',
            "[databases.tables.load_x] of database number 1 has rules, but `ignore_tables`",
        ),
        (DATABASE + "integrity = false", '`integrity` = False: write "on" or "off"'),
        ('[integrity]\nshare = "0%"', "[integrity] `share` = '0%': that is too small"),
        (
            "[databases]\nname = 1",
            "config.toml: [[databases]]: write [[databases]], with two brackets",
        ),
        (DATABASE.replace("a.db", "~nosuchuser/a.db"), "~nosuchuser is not a home folder here"),
        (DATABASE.replace('"a"', f'"{"a" * 201}"'), "that is too long"),
        (DATABASE + f"min_rows = {'9' * 4000}", "that is too large"),
        (f'[sampler]\ninterval = "{"x" * 100_000}"', "xxxxx...: write a number and a unit"),
        ("[sampler]\ninterval = true", "[sampler] `interval` = True"),
        ("server = 3", "The file `server` = 3"),
        ("[sevrer]\nport = 1", "there is no [sevrer]. Tables: server, sampler, history"),
        ('source = "x"', "`source` is in no [table]. Tables: server, sampler"),
        ("[tables.x]\nmin_rows = 1", "there is no [tables]. Tables: server, sampler"),
        (DATABASE + '[history]\npath = "./a.db"', "`path` is the file of database a: use another"),
        ('[watch]\nheartbeat_file = "none"', "[watch] `heartbeat_file` = 'none': cannot be read"),
        ('[alerts]\nurls_file = "none"', "[alerts] `urls_file` = 'none': cannot be read"),
        ('[alerts]\nlink = "box"', "[alerts] `link` = 'box': write the URL of the page"),
        ("[alerts]\nmost_an_hour = 0", "[alerts] `most_an_hour` = 0: that is too small"),
        ('[alerts]\nquiet = "22-7"', "[alerts] `quiet` = '22-7': write days, times or both, and a"),
        ("[fleet]", "[fleet] is reserved for a later version"),
        ("databases = []", "list at least one database"),
        (
            DATABASE * 2,
            "[[databases]]: each name must be unique; given twice: a. Join these entries",
        ),
        ('[[databases]]\nname = "a"', "[[databases]] number 1 needs `path`"),
        ('[[databases]]\nname = "A b"\npath = "x"', "[[databases]] number 1 `name` = 'A b'"),
        (DATABASE + 'lable = "x"', "number 1 has no setting `lable`. Allowed: name, path, label"),
        (DATABASE + 'expect = "1h"', "number 1 `expect` = '1h': write the expected time between"),
        (DATABASE + 'expect = {grace = "1h"}', "[[databases]] number 1 needs `expect.every`"),
        (DATABASE + 'expect = {every = "1s"}', "`expect.every` = '1s': must be between 1m and"),
        (DATABASE + 'expect = {evry = "1h"}', "no setting `expect.evry`. Allowed: every, grace."),
        (DATABASE + 'quiet = "22:00-07:00"', "number 1 `quiet` = '22:00-07:00': write days,"),
        (
            DATABASE + 'quiet = "22:00-07:00 Mars"',
            "number 1 `quiet` = '22:00-07:00 Mars': unknown time zone Mars",
        ),
        (DATABASE + 'max_drop = "120%"', "`max_drop` = '120%': write a percentage from \"0%\" to"),
        (DATABASE + "max_drop = 0.2", "number 1 `max_drop` = 0.2: write a percentage"),
        (DATABASE + 'min_free = "2"', "number 1 `min_free` = '2': write a number and a unit"),
        (DATABASE + "measures.name = 3", "write [[databases.measures]], with two brackets"),
        ("[[measures]]\nname = 'm'", "write [[databases.measures]], with two brackets, below the"),
        ("[measures]\nsql = 'm'", "Allowed: share. For a measure, write [[databases.measures]]"),
        (DATABASE + "tables = 3", "number 1 `tables` = 3: write [databases.tables.NAME] above the"),
        (DATABASE + "tables = {a = 3}", "[[databases]] number 1 `tables.a` = 3: write a table"),
        (TABLE + "min_rows = -1", "[databases.tables.a] of database number 1 `min_rows` = -1"),
        (
            TABLE + "paused = 1",
            "[databases.tables.a] of database number 1 `paused` = 1: write true",
        ),
        (TABLE + 'max_wal = "1GB"', "has no setting `max_wal`. Allowed: expect, quiet, paused"),
        (TABLE + "expect = {}", "[databases.tables.a] of database number 1 needs `expect.every`"),
        (
            '[sampler]\ninterval = "5m"\n' + TABLE + 'expect = {every = "4m"}',
            "database number 1 `expect.every` is shorter than [sampler] `interval`",
        ),
    ],
)
def test_a_wrong_setting_is_reported_with_its_place_and_what_is_allowed(
    text: str, place: str
) -> None:
    with pytest.raises(SettingsError) as rejection:
        parse(text)
    assert str(rejection.value).startswith("/etc/mc/config.toml: ")
    assert place in str(rejection.value)


EXPECTED = """
expect = {every = "1h", grace = "10m"}
quiet = ["22:00-07:00 Europe/Paris", "Sat-Sun Europe/Paris"]
max_drop = "20%"
max_wal = "1GB"
max_size = "5GB"
min_free = "2GB"
[databases.tables.messages]
expect = {every = "8m"}
quiet = ""
min_rows = 10
max_drop = "100%"
[databases.tables.drafts]
paused = true
"""


def test_expectations_of_a_database_and_its_tables_are_parsed() -> None:
    (database,) = parse(DATABASE + EXPECTED).databases
    rules, hour = database.rules, timedelta(hours=1)
    assert rules.expect == Expectation(hour, hour / 6)
    assert (rules.max_wal_bytes, rules.max_size_bytes) == (10**9, 5 * 10**9)
    assert (rules.max_drop_percent, rules.min_free_bytes) == (20, 2 * 10**9)
    assert len(rules.quiet.spans) == 2
    messages = TableRules(Expectation(hour * 8 / 60, hour / 30), NO_QUIET_HOURS, False, 10, 100)
    drafts = TableRules(quiet=rules.quiet, paused=True, max_drop_percent=20)
    assert rules.tables == {"messages": messages, "drafts": drafts}


def test_a_paused_database_has_paused_tables() -> None:
    (database,) = parse(f"{DATABASE}paused = true\n[databases.tables.a]\nmin_rows = 1").databases
    assert database.rules.for_table("a").paused
    assert database.rules.for_table("b").paused


SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (f"ntfys://ntfy.sh/{SECRET}\n", 0o640, "can be read by other users: chmod 600 '{path}'"),
        (f"# mine\n\nntfys://ntfy.sh/{SECRET}\nmailto:{SECRET}\n", 0o600, "entry 2 is not a URL"),
        ("# nothing yet\n", 0o600, "is empty"),
    ],
)
@pytest.mark.parametrize("key", ["[alerts]\nurls_file", "[watch]\nheartbeat_file"])
def test_secret_files_must_be_private_and_are_never_shown(
    tmp_path: Path, key: str, content: str, mode: int, reason: str
) -> None:
    path = tmp_path / "a secret"
    path.write_text(content)
    path.chmod(mode)
    with pytest.raises(SettingsError) as rejection:
        parse(f'{key} = "{path}"')
    assert reason.format(path=path) in str(rejection.value)
    assert SECRET not in str(rejection.value)


def test_a_heartbeat_needs_an_http_url(tmp_path: Path) -> None:
    path = tmp_path / "heartbeat"
    path.touch(0o600)
    path.write_text(f"ntfys://ntfy.sh/{SECRET}")
    with pytest.raises(SettingsError, match="must begin with http:// or https://"):
        parse(f'[watch]\nheartbeat_file = "{path}"')
    path.write_text(f"https://hc-ping.com/{SECRET}")
    assert parse(f'[watch]\nheartbeat_file = "{path}"').watch.heartbeat_file == path


@pytest.mark.parametrize(
    ("url", "place"),
    [
        (
            f"ntfys://user:{SECRET}@ntfy.example.com/{SECRET}?auth={SECRET}",
            "ntfys://ntfy.example.com",
        ),
        (f"ntfy://{SECRET}", "ntfy://"),
        (f"tgram://123456789:{SECRET}/12345", "tgram://"),
        (f"slack://{SECRET}/B/C", "slack://"),
        (f"sendgrid://SG.{SECRET}.x:me@example.com", "sendgrid://"),
        (f"mailtos://me:{SECRET}@mail.example.com", "mailtos://mail.example.com"),
        (f"https://hc-ping.com/{SECRET}", "https://hc-ping.com"),
        (f"json://localhost:8080/{SECRET}", "json://localhost"),
        (f"https://[{SECRET}", "a URL"),
    ],
)
def test_only_scheme_and_host_of_a_url_are_shown(url: str, place: str) -> None:
    assert redact(url) == place


def test_all_wrong_settings_are_reported_at_once() -> None:
    with pytest.raises(SettingsError) as rejection:
        parse("[server]\nport = 0\nprot = 1\n[sampler]\ninterval = 1")
    assert len(str(rejection.value).splitlines()) == 3
    with pytest.raises(SettingsError) as rejection:
        parse('[server]\naddresses = ["*", "all"]')
    assert "list at least one" not in str(rejection.value)


def test_option_precedes_environment_precedes_default_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MISSION_CONTROL_CONFIG", raising=False)
    assert settings.load(None).server.port == 3001
    default = tmp_path / ".config" / "mission-control" / "config.toml"
    default.parent.mkdir(parents=True)
    default.write_text("[server]\nport = 1")
    assert settings.load(None).server.port == 1
    from_environment = tmp_path / "environment.toml"
    from_environment.write_text("[server]\nport = 2")
    monkeypatch.setenv("MISSION_CONTROL_CONFIG", str(from_environment))
    assert settings.load(None).server.port == 2
    from_option = tmp_path / "option.toml"
    from_option.write_text("[server]\nport = 3")
    assert settings.load(from_option).server.port == 3
    assert settings.load(from_option, {"port": 4}).server.port == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"[server", "not valid TOML: Expected ']'"),
        (b"x\n\xff\xfe", "is not UTF-8 text (line 2)"),
        ("[server]".encode("utf-16"), "is not UTF-8 text (line 1)"),
        (b"[server]\rport = 1\r", "not valid TOML"),
        (b"[server]\nport = 1\nport = 2", "Write each key and each [table] once"),
        (b"[history]\npath = /srv/h.db", "Write text in straight quotes"),
        (b"x = " + b"[" * 100_000, "brackets are nested too deeply"),
        (b"x = " + b"9" * 5000, "a number has too many digits"),
        (b"a." * 400_000 + b"a = 1", "a key has too many parts"),
        (b"#" * 1_000_001, "is larger than 1000 kB"),
        (b"[databases.tables.a]\n[[databases]]", "[databases.tables.NAME] below the [[databases]]"),
        (b"databases = " + b"[" * 300 + b"]" * 300, "write a table"),
    ],
)
def test_an_unreadable_file_is_rejected(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError) as rejection:
        settings.load(path, {"port": 4000})
    assert reason in str(rejection.value)
    assert str(rejection.value).startswith(str(path))
    assert len(str(rejection.value)) < 1000


def socket_at(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as listener:
        listener.bind(str(path))


UNREADABLE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a folder": lambda path: path.mkdir(),
    "a socket": socket_at,
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "kernel messages": lambda path: path.symlink_to("/proc/kmsg"),
    "memory": lambda path: path.symlink_to("/proc/self/mem"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
@pytest.mark.parametrize("key", ["", "[server]\ntoken_file", "[watch]\nheartbeat_file"])
def test_no_kind_of_file_hangs_or_fills_the_memory(tmp_path: Path, kind: str, key: str) -> None:
    """Neither as the configuration nor as a file that it refers to."""
    path = tmp_path / "strange"
    UNREADABLE[kind](path)
    config = tmp_path / "config.toml"
    config.write_text(f'{key} = "strange"')
    with pytest.raises(SettingsError):
        settings.load(config if key else path)


def test_a_file_written_on_windows_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes("\ufeff[server]\r\nport = 4000\r\n".encode())
    assert settings.load(path).server.port == 4000


def test_command_line_options_do_not_hide_a_wrong_table(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("server = 3")
    with pytest.raises(SettingsError, match="The file `server` = 3: write a table"):
        settings.load(path, {"port": 4000})


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (b"s3cr3t", 0o604, "can be read by every user of this machine: chmod 600"),
        (b" \n", 0o600, "is empty: put the token into it"),
        (b"s3cr3t\nother", 0o600, "must contain a single token"),
        (b"s3cr3t\tother", 0o600, "must contain a single token"),
        ("s3cr\u00e9t".encode(), 0o600, "must contain a single token"),
        (b"s3cr3t\xff", 0o600, "is not UTF-8 text"),
        (b"x" * 5000, 0o600, "is larger than 4 kB"),
    ],
)
def test_an_unusable_token_is_rejected(
    tmp_path: Path, content: bytes, mode: int, reason: str
) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    path.chmod(mode)
    with pytest.raises(SettingsError) as rejection:
        parse(f'[server]\ntoken_file = "{path}"')
    assert reason in str(rejection.value)
    assert SECRET not in str(rejection.value)


@pytest.mark.parametrize("content", ["s3cr3t", "s3cr3t\n", "\ufeffs3cr3t\r\n", "\t s3cr3t \n\n"])
def test_whitespace_around_a_token_is_ignored(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o640)  # shared with a monitor of the same group
    server = parse(f'[server]\ntoken_file = "{path}"').server
    assert server.authorization == "Bearer s3cr3t"
    assert SECRET not in repr(server)


@pytest.mark.parametrize(
    ("written", "host"),
    [
        ("server", "server"),
        (" Server ", "server"),
        ("server:3001", "server"),
        ("http://server", "server"),
        ("https://server.tail1.ts.net:443/", "server.tail1.ts.net"),
        ("server.tail1.ts.net.", "server.tail1.ts.net"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("my_server", "my_server"),
        ("192.168.7.2:3001", "192.168.7.2"),
        ("0.0.0.0", "0.0.0.0"),
        ("fd7a:115c:a1e0:0::1", "fd7a:115c:a1e0::1"),
        ("[fd7a:115c:a1e0::1]", "fd7a:115c:a1e0::1"),
        ("http://[fd7a:115c:a1e0::1]:3001/", "fd7a:115c:a1e0::1"),
    ],
)
def test_common_ways_to_write_a_host_are_accepted(written: str, host: str) -> None:
    """With its port, a name would never match (VoucherVault issue 6)."""
    found = settings.parse({"server": {"allowed_hosts": [written]}}, Path("/c.toml"))
    assert found.server.allowed_hosts == (host,)


def test_an_ipv4_address_may_be_written_as_ipv6() -> None:
    written = {"addresses": ["::ffff:10.0.0.1"], "allowed_clients": ["::ffff:10.0.0.0/104"]}
    server = settings.parse({"server": written}, Path("/c.toml")).server
    assert (server.addresses, server.allowed_clients) == (("10.0.0.1",), ("10.0.0.0/8",))


@pytest.mark.parametrize("written", ["https://box", " HTTPS://box/ "])
def test_a_link_may_be_written_as_people_copy_it(written: str) -> None:
    assert settings.parse({"alerts": {"link": written}}, Path("/c.toml")).alerts.link.lower() == (
        "https://box"
    )


@pytest.mark.parametrize("name", ["./$HOME.db", "a$b.db", "a:b.db", "50%.db", "/srv/C:/a.db"])
def test_a_file_may_have_an_unusual_name(name: str) -> None:
    (database,) = parse(DATABASE.replace("a.db", name)).databases
    assert database.path == Path("/etc/mc", name)


def test_a_label_is_shown_in_one_line_without_control_characters() -> None:
    (declared,) = parse(DATABASE + 'label = " a\\nb\\u202e\\u0007c "').declared
    assert declared.label == "a bc"


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("*", "write each host in full"),
        ("*.ts.net", "write each host in full"),
        (".ts.net", "write each host in full"),
        ("", "write only a host"),
        ("server/mc", "write only a host"),
        ("user@server", "write only a host"),
        ("server:port", "write only a host"),
        ("a b", "write only a host"),
        ("stra\u00dfe.example", "write only a host"),
        ("fe80::1%eth0", "write only a host"),
        ("127.1", "write only a host"),
        ("[server]", "write only a host"),
        ("x" * 64, "write only a host"),
        ("ftp://server", "write only a host"),
    ],
)
def test_anything_but_one_host_is_rejected(written: str, reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        settings.parse({"server": {"allowed_hosts": [written]}}, Path("/c.toml"))


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        ("https://box.ts.net", "https://box.ts.net"),
        (" HTTPS://Box.ts.net:443/ ", "https://box.ts.net"),
        ("http://box:80", "http://box"),
        ("http://box:443", "http://box:443"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_origins_are_normalized_as_browsers_send_them(written: str, origin: str) -> None:
    found = settings.parse({"server": {"allowed_origins": [written]}}, Path("/c.toml"))
    assert found.server.allowed_origins == (origin,)


SOMETHING = f"""
    -1, 0, 1.5, nan, inf, true, '', ' ', 'x', '~', '/', '1s', '1GB', 2026-01-01, 07:00:00, [], [[]],
    [1], ['x'], [{{}}], {{}}, {{a = 1}}, {"9" * 4000}, 0x{"f" * 4000}, '{"x" * 5000}', '\u0663s'
"""
"""Values of each type of TOML, ordinary and strange."""


def rejection_of(data: dict[str, object]) -> str:
    """Return the error for a configuration; "" if it is accepted."""
    try:
        settings.parse(data, Path("/c.toml"))
    except SettingsError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("section", [*settings.SECTIONS, "databases.tables"])
def test_each_setting_accepts_or_rejects_values_of_any_type(section: str) -> None:
    model = settings.NESTED.get(section) or settings.SECTIONS[section]
    for value in tomllib.loads(f"all = [{SOMETHING}]")["all"]:
        for table in (value, {"x": value}, [value], *({key: value} for key in model.model_fields)):
            data = {section: table}
            if section == "databases" and isinstance(table, dict):
                data = {section: [{"name": "a", "path": "a.db", **table}]}
            elif section == "databases.tables":
                data = {"databases": [{"name": "a", "path": "a.db", "tables": {"t": table}}]}
            assert all(len(line) < 500 for line in rejection_of(data).splitlines())
