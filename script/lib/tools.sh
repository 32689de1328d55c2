# Functions that install what only the tests and checks need. Source this file after common.sh.

CARGO_DENY_VERSION=0.20.2
CARGO_MACHETE_VERSION=0.9.2
CLICKHOUSE_CONNECT_VERSION=1.12.0
CONFLUENT_KAFKA_VERSION=2.16.1
VADER_VERSION=3.3.2

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

# Installs what the Python stack of the benches is made of, beside clickhouse-connect.
install_python_stack() {
    local venv packages
    venv="$(hearken_home)/python"
    packages=("confluent-kafka==$CONFLUENT_KAFKA_VERSION" "vaderSentiment==$VADER_VERSION")
    install_clickhouse_connect || return 1
    if ! "$venv/bin/pip" install --quiet "${packages[@]}"; then
        manual_step "$venv/bin/pip install ${packages[*]}"
        return 1
    fi
    echo "${packages[*]} are installed in $venv"
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
