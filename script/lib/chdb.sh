# libchdb, the ClickHouse engine of the embedded store. Source this file.

CHDB_PACKAGE="@chdb/lib-linux-x64-gnu"
CHDB_VERSION=26.7.3-stable.1
CHDB_SHA256=36ad4e999882821ef13cf2d0f52c93f48e6ee1b4498b35a201c23ce4b8d15bf5

# Installs libchdb.so into $HEARKEN_HOME/lib unless this version is there, and checks it against the
# digest above. Fails, and says what to do, where it cannot be had.
install_chdb() {
    local lib library stamp work
    lib="${HEARKEN_HOME:-$HOME/.local/share/hearken}/lib"
    library="$lib/libchdb.so"
    # The stamp saves reading half a gigabyte each time.
    stamp="$lib/.libchdb-$CHDB_VERSION"
    if [ -f "$library" ] && [ -f "$stamp" ] && [ ! "$library" -nt "$stamp" ]; then
        echo "libchdb $CHDB_VERSION is installed in $library"
        return 0
    fi
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        echo "libchdb $CHDB_VERSION is fetched for Linux on x86-64 only, and this is $(uname -sm): install a libchdb of this version yourself and set HEARKEN_LIBCHDB to its path" >&2
        return 1
    fi
    if ! command -v npm >/dev/null; then
        echo "libchdb comes as the npm package $CHDB_PACKAGE and there is no npm: install it (Debian: apt-get install npm), or run chDB's own installer (curl -sL https://lib.chdb.io | bash) and set HEARKEN_LIBCHDB to the libchdb.so that it installs" >&2
        return 1
    fi
    work=$(mktemp -d) || return 1
    echo "fetching libchdb $CHDB_VERSION (180 MB; 570 MB unpacked) ..."
    if ! (cd "$work" && npm pack --silent "$CHDB_PACKAGE@$CHDB_VERSION" >/dev/null && tar -xzf ./*.tgz package/libchdb.so); then
        rm -rf "$work"
        echo "cannot fetch $CHDB_PACKAGE@$CHDB_VERSION with npm: check that \`npm ping\` reaches the registry" >&2
        return 1
    fi
    if [ "$(sha256sum "$work/package/libchdb.so" | cut -d ' ' -f 1)" != "$CHDB_SHA256" ]; then
        rm -rf "$work"
        echo "the libchdb.so of $CHDB_PACKAGE@$CHDB_VERSION is not the one that is expected (SHA-256 $CHDB_SHA256): it was not installed" >&2
        return 1
    fi
    # Moved into place as a whole: an engine may be running.
    if ! { mkdir -p "$lib" && mv "$work/package/libchdb.so" "$library.new" && touch "$library.new" && mv "$library.new" "$library" && touch "$stamp"; }; then
        rm -rf "$work"
        return 1
    fi
    rm -rf "$work"
    echo "libchdb $CHDB_VERSION is in $library"
}
