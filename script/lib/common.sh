# What the scripts share. Source this file.

# Steps that are left to the person who runs the script; print_manual_steps shows them.
MANUAL_STEPS=()

# Where everything goes that is installed for this project only.
hearken_home() {
    printf '%s\n' "${HEARKEN_HOME:-$HOME/.local/share/hearken}"
}

# Says what happens next.
heading() {
    printf '\n== %s\n' "$*"
}

have() {
    command -v "$1" >/dev/null 2>&1
}

# Remembers a step that only a person can take.
manual_step() {
    MANUAL_STEPS+=("$*")
    printf 'cannot do this here: %s\n' "$*" >&2
}

print_manual_steps() {
    local step
    [ "${#MANUAL_STEPS[@]}" -gt 0 ] || return 0
    printf '\nLeft to you, then run this again:\n'
    for step in "${MANUAL_STEPS[@]}"; do
        printf '  - %s\n' "$step"
    done
}

# Installs Debian packages where that is possible: on Debian and its relatives, as root.
# Fails, and remembers the sentence to type, where it is not.
install_packages() {
    local sentence="install with the system's package manager (Debian: sudo apt-get install -y $*)"
    if ! have apt-get || [ "$(id -u)" -ne 0 ]; then
        manual_step "$sentence"
        return 1
    fi
    echo "installing with apt-get: $*"
    if ! apt_get install -y --no-install-recommends "$@" && ! { apt_get update && apt_get install -y --no-install-recommends "$@"; }; then
        manual_step "$sentence; apt-get failed, its output is above"
        return 1
    fi
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 "$@" >/dev/null
}
