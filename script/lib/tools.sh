# Functions that install what only the tests and checks need. Source this file after common.sh.

CARGO_DENY_VERSION=0.20.2
CARGO_MACHETE_VERSION=0.9.2
CLICKHOUSE_CONNECT_VERSION=1.12.0
SCHEMATHESIS_VERSION=4.32.5
STANDARDWEBHOOKS_VERSION=1.1.0
CONFLUENT_KAFKA_VERSION=2.16.1
VADER_VERSION=3.3.2
NETWORKX_VERSION=3.6.1
SCIPY_VERSION=1.17.1
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

# Installs Python packages, each as NAME==VERSION, into $HEARKEN_HOME/python.
install_python_packages() {
    local venv missing
    venv="$(hearken_home)/python"
    missing=$("$venv/bin/python" - "$@" 2>/dev/null <<'EOF' || echo "$@"
import sys, importlib.metadata as metadata
def installed(package):
    name, version = package.split("==")
    try:
        return metadata.version(name) == version
    except metadata.PackageNotFoundError:
        return False
print(*(package for package in sys.argv[1:] if not installed(package)))
EOF
    )
    if [ -z "$missing" ]; then
        echo "$* is in $venv"
        return 0
    fi
    if ! python3 -c 'import ensurepip' 2>/dev/null; then
        install_packages python3 python3-venv || return 1
    fi
    echo "installing $missing in $venv"
    # shellcheck disable=SC2086  # several words are several packages
    if ! { [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"; } || ! "$venv/bin/pip" install --quiet $missing; then
        manual_step "python3 -m venv $venv && $venv/bin/pip install $missing"
        return 1
    fi
}

# Clients in Python that the embedded store, the HTTP API and webhook sources are tested with.
install_python_clients() {
    install_python_packages "clickhouse-connect==$CLICKHOUSE_CONNECT_VERSION" "schemathesis==$SCHEMATHESIS_VERSION" \
        "standardwebhooks==$STANDARDWEBHOOKS_VERSION"
}

# What the Python stack of the benches is made of.
install_python_stack() {
    install_python_packages "clickhouse-connect==$CLICKHOUSE_CONNECT_VERSION" \
        "confluent-kafka==$CONFLUENT_KAFKA_VERSION" "vaderSentiment==$VADER_VERSION" \
        "networkx==$NETWORKX_VERSION" "scipy==$SCIPY_VERSION"
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
    have openssl || packages+=(openssl)
    have shellcheck || packages+=(shellcheck)
    if [ "${#packages[@]}" -gt 0 ]; then
        install_packages "${packages[@]}"
    else
        echo "nginx, curl, openssl and shellcheck are installed"
    fi
    install_mail_servers
}

# Installs Dovecot and Postfix, which tests start themselves. The system's own are not started, neither
# now nor with the machine.
install_mail_servers() {
    local policy=/usr/sbin/policy-rc.d packages=() services=() installed=0 is_ours=
    if ! have dovecot && [ ! -x /usr/sbin/dovecot ]; then
        packages+=(dovecot-imapd dovecot-lmtpd openssl)
        services+=(dovecot.service)
    fi
    if [ ! -x /usr/lib/postfix/sbin/master ]; then
        if [ -e /usr/sbin/sendmail ]; then
            # Debian would remove the mail server that is there.
            manual_step "install Postfix if it may replace the mail server of this machine (apt-get install postfix)"
        else
            packages+=(postfix)
            services+=(postfix.service)
        fi
    fi
    if [ "${#packages[@]}" -eq 0 ]; then
        echo "dovecot and postfix are installed, as far as they can be"
        return 0
    fi
    # Debian's way not to start services while packages are installed (invoke-rc.d(8)).
    if [ "$(id -u)" -eq 0 ] && have apt-get && [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod 755 "$policy"
        is_ours=yes
    fi
    install_packages "${packages[@]}" || installed=$?
    [ -z "$is_ours" ] || rm -f "$policy"
    if [ "$installed" -eq 0 ] && have systemctl; then
        systemctl disable --quiet "${services[@]}" 2>/dev/null || true
    fi
    return "$installed"
}
