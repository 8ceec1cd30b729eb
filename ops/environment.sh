# Sourced by the other scripts. Creates the virtual environments from the locks, and again when a lock,
# this file or the machine's Python changes.

repository=$(dirname "$(dirname "${BASH_SOURCE[0]}")")

# Settings for other Dash apps and for the user's own Python do not apply to us.
unset "${!DASH_@}" "${!PYTHON@}"
export PYTHONPATH=$repository PYTHONSAFEPATH=1

# Cron jobs and containers may have no HOME. The shell then looks it up in the user database.
[ "${HOME:-}" ] || { unset HOME; export HOME=~; }

# No other user may write to installed programs, whatever the umask of this shell.
umask go-w

production=$repository/.venv
testing=$repository/.venv-test
python= # for new environments; if empty, the first suitable one
# A file that exists if this user wants notifications, from any version: ./ops/run alerts install
alerts_wanted=$HOME/.local/share/mission-control/alerts

say() { printf '%s\n' "$@" >&2; }
fail() { say "$@"; exit 1; }

# Prints a dot every few seconds on a terminal, until it is killed or the script exits.
show_progress() {
    while [ -t 2 ] && sleep 3 && kill -0 $$ 2>/dev/null; do printf . >&2; done
}

# quietly COMMAND...: runs a command, and shows its output only if it fails.
quietly() {
    local output progress
    show_progress >/dev/null 8>&- 9>&- &
    progress=$!
    output=$("$@" 2>&1 </dev/null) ||
        fail "$output" "The installation failed for the reason above. Run it again to retry."
    kill "$progress" 2>/dev/null || true
    wait "$progress" 2>/dev/null || true
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

# Prints the minor version of a Python 3, its missing modules and its real path: after an upgrade, a
# link such as python3 may lead to another version, and an activated environment may be removed.
probe='
import os, sys
missing = []
for name in ("ctypes", "ensurepip", "sqlite3", "ssl", "venv", "zlib"):
    try:
        __import__(name)
    except ImportError:
        missing.append(name)
path = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
print(sys.version_info[1], ",".join(missing) or "none", path)
'
oldest=11 newest=15

# Prints the path of the Python for new environments: the first tested version in PATH, or otherwise the
# first newer one, which the libraries may support too.
find_python() {
    local name program minor missing path newer=
    local -A refused=()
    while read -r name; do
        while read -r program; do
            read -r minor missing path < <("$program" -I -c "$probe" 2>/dev/null) || continue
            if [ "$minor" -lt "$oldest" ]; then refused[$path]="is Python 3.$minor, which is too old"
            elif [[ $missing == *ensurepip* ]]; then
                refused[$path]="has no venv module; on Debian and Ubuntu: sudo apt-get install python3.$minor-venv"
            elif [ "$missing" != none ]; then refused[$path]="was built without $missing"
            elif [ "$minor" -le "$newest" ]; then echo "$path" && return
            else newer=${newer:-$path}; fi
        done < <(type -aP "$name")
    done < <(printf '%s\n' python3 python3.{11..29})
    if [ "$newer" ]; then
        say "$newer is newer than Python 3.$newest, the newest tested version. Trying it."
        echo "$newer" && return
    fi
    say "Mission Control needs Python 3.$oldest or newer with its venv module."
    for path in "${!refused[@]}"; do say "$path ${refused[$path]}"; done
    [ ${#refused[@]} -gt 0 ] || say "There is no python3 in PATH; on Debian and Ubuntu: sudo apt-get install python3 python3-venv"
    return 1
}

# Runs pip with the user's settings for a package index, but without those that change what is installed
# or where, such as user, target or constraint.
isolated_pip='
import ast, os, subprocess, sys
pip = [sys.executable, "-I", "-m", "pip"]
kept = (
    "index-url extra-index-url find-links no-index trusted-host cert client-cert proxy timeout "
    "default-timeout retries keyring-provider use-feature use-deprecated cache-dir no-cache-dir"
).split()
own = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PIP_")}
if "PIP_CONFIG_FILE" in own:
    os.environ["PIP_CONFIG_FILE"] = own["PIP_CONFIG_FILE"]
# Verbose, because a configuration file may ask for quiet.
listing = subprocess.run([*pip, "-vvv", "config", "list"], stdout=subprocess.PIPE, text=True)
if listing.returncode:
    sys.exit("pip cannot read its settings.")
settings = dict(line.split("=", 1) for line in listing.stdout.splitlines() if "=" in line)
for name in kept:
    variable = "PIP_" + name.upper().replace("-", "_")
    values = [ast.literal_eval(settings[key]) for key in ("install." + name, "global." + name) if key in settings]
    if value := own.get(variable) or next(iter(values), None):
        os.environ[variable] = value
os.environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
os.execv(pip[0], [*pip, *sys.argv[1:]])
'

# install_lock PYTHON LOCK OPTION...: installs exactly what a lock lists. Downloads go to the disk of the
# environment, because /tmp may be small.
install_lock() {
    TMPDIR=${1%/bin/python} quietly "$1" -I -c "$isolated_pip" install --require-hashes --only-binary :all: \
        --requirement "$repository/$2" "${@:3}"
}

# install_python FOLDER LOCK: creates an environment with what a lock lists. Python compiles modules when
# it loads them: pip would compile everything, tests of libraries too, on one core.
install_python() {
    quietly "$python" -I -m venv --clear "$1"
    install_lock "$1/bin/python" "$2" --no-compile
}

# compress_files FOLDER...: creates FILE.gz beside each script and style sheet. Both have the same
# modification time, and the server sends no copy with another one. If a folder is not writable, the
# server compresses each response instead.
compress_files() {
    local file
    find "$@" -type f -size +999c \( -name '*.js' -o -name '*.css' \) | while read -r file; do
        [ ! "$file" -nt "$file.gz" ] && [ ! "$file" -ot "$file.gz" ] || gzip --best --no-name --keep --force "$file"
    done
} 2>/dev/null

# Installs the libraries of the service and imports them, which fails on a disk mounted noexec. Modules
# that cannot be compiled fail when they are loaded.
install_production() {
    say "Installing Mission Control into ${production##*/}. This takes about a minute, once."
    install_python "$production" requirements.txt
    quietly "$production/bin/python" -I -c \
        "import click, dash, dash_bootstrap_components, flask, pandas, prometheus_client, pydantic, tomlkit, waitress, werkzeug"
    "$production/bin/python" -m compileall -qq -j 0 -x '/site-packages/.*/tests/' \
        "$production/lib" "$repository/dash_app" || true
    compress_files "$production"/lib/python3.*/site-packages/{dash,dash_bootstrap_components} || true
}

# The tests' environment has their tools, and sees the one of production, which may be installed at the
# same time.
install_testing() {
    local libraries
    say "Installing what the tests need into .venv-test. This takes half a minute, once."
    install_python "$testing" tests/requirements.txt
    libraries=$(echo "$testing"/lib/python3.*/site-packages)
    echo "../../../../.venv${libraries#"$testing"}" >"$libraries/production.pth"
}

# is_ready FOLDER SOURCES: whether the environment was made from these sources, and with $python if that
# is set.
is_ready() {
    [ -x "$1/bin/python" ] && [ "$(cat "$1/made-from" 2>/dev/null)" = "$2" ] &&
        [ "$(readlink -f "$1/bin/python")" = "${python:-$(readlink -f "$1/bin/python")}" ]
}

# try_lock DESCRIPTOR: fails if another process holds the lock. Succeeds without flock, and on a file
# system without such locks.
try_lock() {
    command -v flock >/dev/null || return 0
    flock -n -E 99 "$1" 2>/dev/null || [ $? -ne 99 ]
}

# Waits while another process installs.
take_turns() {
    try_lock 9 || { say "Waiting for another installation to finish."; flock 9; }
}

# prepare FOLDER INSTALL LOCK: runs INSTALL unless FOLDER is ready. It writes made-from last, so that an
# interrupted installation does not count as ready.
prepare() {
    local folder=$1 install=$2 lock=$3 sources
    sources=$(cd "$repository" && echo "$HOSTTYPE" && cksum ops/environment.sh requirements.txt "$lock")
    if is_ready "$folder" "$sources"; then return; fi
    case $folder in *:*) fail "Python cannot use $folder, because its path has a colon: move it." ;; esac
    [ ! -L "$folder" ] || fail "$folder is a link to a folder that is not ours: remove the link."
    (
        take_turns
        if is_ready "$folder" "$sources"; then exit; fi
        python=${python:-$(find_python)} || exit
        rm -f "$folder/made-from"
        "$install"
        echo "$sources" >"$folder/made-from"
        say "Ready."
    ) 9<"$repository/$lock"
}

# Installs what sends notifications into an environment that is ready. A new environment lacks it.
prepare_alerts() {
    local lock=ops/alerts.txt sources
    [ -e "$alerts_wanted" ] || return 0
    sources=$(cd "$repository" && cksum "$lock")
    [ "$(cat "$production/alerts-from" 2>/dev/null)" != "$sources" ] || return 0
    (
        take_turns
        [ "$(cat "$production/alerts-from" 2>/dev/null)" != "$sources" ] || exit 0
        say "Installing apprise, which sends notifications. This takes a few seconds, once."
        install_lock "$production/bin/python" "$lock"
        echo "$sources" >"$production/alerts-from"
    ) 9<"$repository/requirements.txt" || say "Everything else works, but no notification is sent until apprise is installed."
}

prepare_production() {
    prepare "$production" install_production requirements.txt
    compress_files "$repository/assets" || true
    prepare_alerts
}

# Installs both at the same time, because pip uses one core, with the first suitable Python.
prepare_testing() {
    local tools
    python=$(find_python)
    prepare "$testing" install_testing tests/requirements.txt &
    tools=$!
    prepare_production
    wait "$tools"
}
