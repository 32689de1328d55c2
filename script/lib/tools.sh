# Functions that install what only the tests and checks need. Source this file after common.sh.

CARGO_DENY_VERSION=0.20.2
CARGO_MACHETE_VERSION=0.9.2
CLICKHOUSE_CONNECT_VERSION=1.12.0
SYNAPSE_VERSION=1.163.2

# Installs a cargo command in the given version; a debug build, because it is used for seconds and
# built for minutes.
install_cargo_tool() {
    local tool=$1 version=$2
    if [ "$(cargo "${tool#cargo-}" --version 2>/dev/null | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -n 1)" = "$version" ]; then
        echo "$tool $version is installed"
        return 0
    fi
    echo "building $tool $version; this takes some minutes, once ..."
    if ! cargo install --quiet --locked --debug --force "$tool@$version"; then
        manual_step "cargo install --locked $tool@$version"
        return 1
    fi
}

# Installs Python's clickhouse-connect into $HEARKEN_HOME/python, with which the embedded store is
# tested.
install_clickhouse_connect() {
    local venv
    venv="$(hearken_home)/python"
    if "$venv/bin/python" -c "
import sys, clickhouse_connect
sys.exit(clickhouse_connect.__version__ != '$CLICKHOUSE_CONNECT_VERSION')" 2>/dev/null; then
        echo "clickhouse-connect $CLICKHOUSE_CONNECT_VERSION is installed in $venv"
        return 0
    fi
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        install_packages python3 python3-venv || return 1
    fi
    echo "installing clickhouse-connect $CLICKHOUSE_CONNECT_VERSION in $venv"
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "clickhouse-connect==$CLICKHOUSE_CONNECT_VERSION"; }; then
        manual_step "python3 -m venv $venv && $venv/bin/pip install clickhouse-connect==$CLICKHOUSE_CONNECT_VERSION"
        return 1
    fi
}

# Installs Synapse, a Matrix homeserver, into $HEARKEN_HOME/synapse.
install_synapse() {
    local venv
    venv="$(hearken_home)/synapse"
    if "$venv/bin/python" -c "
import sys, importlib.metadata
sys.exit(importlib.metadata.version('matrix-synapse') != '$SYNAPSE_VERSION')" 2>/dev/null; then
        echo "Synapse $SYNAPSE_VERSION is installed in $venv"
        return 0
    fi
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        install_packages python3 python3-venv || return 1
    fi
    echo "installing Synapse $SYNAPSE_VERSION in $venv (about 250 MB) ..."
    # From source, it would want its own Rust build.
    if ! { python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --only-binary=matrix-synapse "matrix-synapse==$SYNAPSE_VERSION"; }; then
        manual_step "python3 -m venv $venv && $venv/bin/pip install matrix-synapse==$SYNAPSE_VERSION"
        return 1
    fi
}

# Installs the servers and clients that tests speak to, and the checker of these scripts.
install_test_programs() {
    local packages=()
    have nginx || [ -x /usr/sbin/nginx ] || packages+=(nginx-light)
    have curl || packages+=(curl)
    have shellcheck || packages+=(shellcheck)
    if [ "${#packages[@]}" -gt 0 ]; then
        install_packages "${packages[@]}"
    else
        echo "nginx, curl and shellcheck are installed"
    fi
}
