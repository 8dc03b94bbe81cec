# Read by the other scripts: what they need on the machine, installed if it is missing.
#
# Only Debian packages go onto the machine itself, with apt-get and, for a user who is not root, sudo. Everything else, caches included,
# stays in target/, so that removing the folder removes it. Nothing is installed twice, and nothing is said when nothing is missing.

fail() {
    echo "$0: $*" >&2
    exit 1
}

# need COMMAND PACKAGE...: remembers the packages if there is no such command.
missing=()
need() {
    command -v "$1" >/dev/null || missing+=("${@:2}")
}

install_missing() {
    (( ${#missing[@]} )) || return 0
    echo "Installing ${missing[*]}"
    command -v apt-get >/dev/null || fail "there is no apt-get; please install: ${missing[*]}"
    local root=()
    if (( EUID != 0 )); then
        command -v sudo >/dev/null || fail "there is no sudo; please install as root: ${missing[*]}"
        root=(sudo)
    fi
    local log=target/apt.log
    mkdir -p target
    # sudo clears the environment, hence env.
    {
        "${root[@]}" apt-get update &&
            "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}"
    } >"$log" 2>&1 </dev/null || { tail -n 5 "$log" >&2; fail "apt-get could not install ${missing[*]} (all it said: $log)"; }
    missing=()
}

# What every build and every mount needs.
need_basics() {
    # A toolchain that was installed a moment ago may not be in this shell's PATH yet.
    command -v cargo >/dev/null || PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    command -v cargo >/dev/null || fail "there is no cargo: install Rust first (https://rustup.rs)"
    need cc gcc libc6-dev
    need fusermount3 fuse3
    need getfattr attr
    # TLS to a real account, and to the registries.
    [[ -e /etc/ssl/certs/ca-certificates.crt ]] || missing+=(ca-certificates)
}

# need_tool NAME VERSION: installs a program of crates.io into target/tools.
need_tool() {
    ! target/tools/bin/"$1" --version 2>/dev/null </dev/null | grep -q "$2" || return 0
    echo "Installing $1 $2 into target/tools"
    mkdir -p target/tools
    # What it is built in is its own, so that it does not wait for our builds, and is of no use afterwards.
    cargo install "$1" --version "$2" --locked --root target/tools --target-dir target/tools/build >target/tools/"$1".log 2>&1 </dev/null ||
        { tail -n 5 target/tools/"$1".log >&2; fail "cargo could not install $1"; }
    rm -rf target/tools/build
}

# need_toolchain VERSION: installs that version of Rust beside the usual one; false if it cannot be had.
need_toolchain() {
    command -v rustup >/dev/null || return 1
    ! rustup run "$1" rustc --version >/dev/null 2>&1 </dev/null || return 0
    echo "Installing Rust $1"
    mkdir -p target
    timeout 600 rustup toolchain install "$1" --profile minimal --no-self-update >target/rustup.log 2>&1 </dev/null
}

# need_target TARGET: installs what programs for another target are built with; false if it cannot be had.
need_target() {
    command -v rustup >/dev/null || return 1
    ! rustup target list --installed 2>/dev/null </dev/null | grep -qx "$1" || return 0
    echo "Installing Rust's $1"
    mkdir -p target
    timeout 600 rustup target add "$1" >target/rustup.log 2>&1 </dev/null
}

need_fuse() {
    [[ -e /dev/fuse ]] || fail "/dev/fuse is missing: try 'modprobe fuse'; a container needs --device /dev/fuse --cap-add SYS_ADMIN"
    [[ -r /dev/fuse && -w /dev/fuse ]] || fail "/dev/fuse: you may not open it; usually everybody may (chmod 666 /dev/fuse)"
}
