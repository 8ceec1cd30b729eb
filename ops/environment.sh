# Read by the scripts beside it. Makes the virtual environments from the locks: once, and again when
# a lock, this file or the machine's Python changes.

repository=$(dirname "$(dirname "${BASH_SOURCE[0]}")")

# Settings of other Dash apps and of the person's own Python are not ours.
unset "${!DASH_@}" "${!PYTHON@}"
export PYTHONPATH=$repository PYTHONSAFEPATH=1

# Cron jobs and containers may have no HOME; the shell then finds it in the list of users.
[ "${HOME:-}" ] || { unset HOME; export HOME=~; }

# Never let other users write to what is installed and then run, whatever this shell's umask is.
umask go-w

production=$repository/.venv
testing=$repository/.venv-test
python= # the one to make environments with; the first that is found, where none was chosen
# Stands where this user wants messages sent, by whichever version: ./ops/run alerts install
alerts_wanted=$HOME/.local/share/mission-control/alerts

say() { printf '%s\n' "$@" >&2; }
fail() { say "$@"; exit 1; }

# Prints a dot every few seconds for whoever looks on, until it or the script ends.
show_progress() {
    while [ -t 2 ] && sleep 3 && kill -0 $$ 2>/dev/null; do printf . >&2; done
}

# Runs a command without its chatter, which is shown if it fails.
quietly() {
    local chatter progress
    show_progress >/dev/null 8>&- 9>&- &
    progress=$!
    chatter=$("$@" 2>&1 </dev/null) ||
        fail "$chatter" "Could not install, for the reason above. Starting again tries again."
    kill "$progress" 2>/dev/null || true
    wait "$progress" 2>/dev/null || true
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

# Prints the minor version of a Python 3, the modules that it lacks, and its real path: a link such as
# python3 may lead to another version after an upgrade, and an activated environment may be removed.
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

# Prints the Python to make an environment with: the first in PATH of a supported version, or else
# the first newer one, for which the libraries may have files too.
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
        say "$newer is newer than Python 3.$newest, the newest that this version was tested with. Trying it."
        echo "$newer" && return
    fi
    say "Mission Control needs Python 3.$oldest or newer with its venv module."
    for path in "${!refused[@]}"; do say "$path ${refused[$path]}"; done
    [ ${#refused[@]} -gt 0 ] || say "There is no python3 in PATH; on Debian and Ubuntu: sudo apt-get install python3 python3-venv"
    return 1
}

# Runs pip with the person's settings that lead to a package index, and none that change what is
# installed or where, such as user, target or constraint.
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
# Loudly, since a file may ask for quiet.
listed = subprocess.run([*pip, "-vvv", "config", "list"], stdout=subprocess.PIPE, text=True, check=True)
found = dict(line.split("=", 1) for line in listed.stdout.splitlines() if "=" in line)
for name in kept:
    variable = "PIP_" + name.upper().replace("-", "_")
    values = [ast.literal_eval(found[key]) for key in ("install." + name, "global." + name) if key in found]
    if value := own.get(variable) or next(iter(values), None):
        os.environ[variable] = value
os.environ |= {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
os.execv(pip[0], [*pip, *sys.argv[1:]])
'

# install_lock PYTHON LOCK OPTION...: what a lock names, and nothing else.
install_lock() {
    quietly "$1" -I -c "$isolated_pip" install --require-hashes --only-binary :all: \
        --requirement "$repository/$2" "${@:3}"
}

# install_python FOLDER LOCK: an empty environment, and in it what the lock names. Compiled is what
# is loaded, once it is: pip would compile all of it, libraries' own tests too, on one core.
install_python() {
    quietly "$python" -I -m venv --clear "$1"
    install_lock "$1/bin/python" "$2" --no-compile
}

# compress_files FOLDER...: makes FILE.gz beside each script and style sheet, unless it is there. Both
# have the same modification time: the server sends only a copy that is as old as its file. If a folder
# cannot be written, the server compresses each answer itself.
compress_files() {
    local file
    find "$@" -type f -size +999c \( -name '*.js' -o -name '*.css' \) | while read -r file; do
        [ ! "$file" -nt "$file.gz" ] && [ ! "$file" -ot "$file.gz" ] || gzip --best --no-name --keep --force "$file"
    done
} 2>/dev/null

# The libraries that the service loads; that they can be loaded is tried, since a disk may forbid to
# run what is on it. What cannot be compiled shows when it is loaded.
install_production() {
    say "Installing Mission Control into ${production##*/}: once, about a minute."
    install_python "$production" requirements.txt
    quietly "$production/bin/python" -I -c \
        "import click, dash, dash_bootstrap_components, flask, pandas, prometheus_client, pydantic, tomlkit, waitress, werkzeug"
    "$production/bin/python" -m compileall -qq -j 0 -x '/site-packages/.*/tests/' \
        "$production/lib" "$repository/dash_app" || true
    compress_files "$production"/lib/python3.*/site-packages/{dash,dash_bootstrap_components} || true
}

# The tests' environment sees all of production, which may still be on its way, and has their tools
# besides.
install_testing() {
    local libraries
    say "Installing what the tests need into .venv-test: once, half a minute."
    install_python "$testing" tests/requirements.txt
    libraries=$(echo "$testing"/lib/python3.*/site-packages)
    echo "../../../../.venv${libraries#"$testing"}" >"$libraries/production.pth"
}

# ready FOLDER SOURCES: whether the environment stands there, made from these very sources, and by
# this Python where one was chosen.
ready() {
    [ -x "$1/bin/python" ] && [ "$(cat "$1/made-from" 2>/dev/null)" = "$2" ] &&
        [ "$(readlink -f "$1/bin/python")" = "${python:-$(readlink -f "$1/bin/python")}" ]
}

# try_lock DESCRIPTOR: whether no other process holds its lock; also if there is no flock, or the file
# system has no such locks.
try_lock() {
    command -v flock >/dev/null || return 0
    flock -n -E 99 "$1" 2>/dev/null || [ $? -ne 99 ]
}

# Waits while another start installs.
take_turns() {
    try_lock 9 || { say "Another start is installing; waiting for it."; flock 9; }
}

# prepare FOLDER INSTALL LOCK: runs INSTALL unless FOLDER is ready. What it was made from is noted
# in it last, so that half an installation is never taken for a whole one.
prepare() {
    local folder=$1 install=$2 lock=$3 sources
    sources=$(cd "$repository" && echo "$HOSTTYPE" && cksum ops/environment.sh requirements.txt "$lock")
    if ready "$folder" "$sources"; then return; fi
    [ ! -L "$folder" ] || fail "$folder is a link, and what it leads to is another's: remove the link."
    (
        take_turns
        if ready "$folder" "$sources"; then exit; fi
        python=${python:-$(find_python)} || exit
        rm -f "$folder/made-from"
        "$install"
        echo "$sources" >"$folder/made-from"
        say "Ready."
    ) 9<"$repository/$lock"
}

# What sends messages, into an environment that is ready: it is made anew without it.
prepare_alerts() {
    local lock=ops/alerts.txt sources
    [ -e "$alerts_wanted" ] || return 0
    sources=$(cd "$repository" && cksum "$lock")
    [ "$(cat "$production/alerts-from" 2>/dev/null)" != "$sources" ] || return 0
    (
        take_turns
        [ "$(cat "$production/alerts-from" 2>/dev/null)" != "$sources" ] || exit 0
        say "Installing apprise, which sends messages: once, a few seconds."
        install_lock "$production/bin/python" "$lock"
        echo "$sources" >"$production/alerts-from"
    ) 9<"$repository/requirements.txt" || say "All else works; until then, no message is sent."
}

prepare_production() {
    prepare "$production" install_production requirements.txt
    compress_files "$repository/assets" || true
    prepare_alerts
}

# Both by the first Python in PATH, and at once: pip uses one core.
prepare_testing() {
    local tools
    python=$(find_python)
    prepare "$testing" install_testing tests/requirements.txt &
    tools=$!
    prepare_production
    wait "$tools"
}
