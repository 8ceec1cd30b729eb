# Sourced by the scripts that need more system packages than the service.

find_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_packages() {
    say "Installing system packages, once: $*"
    { as_root apt-get update && as_root apt-get install --yes "$@"; } >/dev/null 2>&1 </dev/null || true
}

# Installs the packages that missing_packages, of the sourcing script, prints.
require_packages() {
    local missing
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    install_packages $missing
    missing=$(missing_packages)
    [ -z "$missing" ] || fail "System packages are missing; on Debian and Ubuntu: sudo apt-get install $(echo $missing)"
}
