#!/usr/bin/env bash
# FACT: archivemount 0.8.7 and ratarmount 1.3.0 (with --write-overlay): "mv" of a directory with a directory in it exits 0, and what lies two levels down is not to be found under the new name.
# Needs: root, /dev/fuse, python3 (pip: ratarmount), apt packages archivemount, tar and fuse3; network registry.
set -euo pipefail

work=$(mktemp -d)
mounted=()
finish() {
    for mount in "${mounted[@]}"; do fusermount3 -u "$mount" || fusermount3 -uz "$mount" || true; done
    rm -rf "$work"
}
trap finish EXIT
[ "$(id -u)" = 0 ] && [ -c /dev/fuse ] || { echo "needs root and /dev/fuse"; exit 2; }

command -v archivemount >/dev/null || apt-get install -y -qq --no-install-recommends archivemount fuse3 >/dev/null

python3 -m venv "$work/env"
"$work/env/bin/pip" install -q --disable-pip-version-check ratarmount==1.3.0

mkdir -p "$work/tree/old/deep" "$work/archivemount" "$work/ratarmount" "$work/overlay"
echo top >"$work/tree/old/top"
echo bottom >"$work/tree/old/deep/bottom"
tar -C "$work/tree" -cf "$work/one.tar" old
cp "$work/one.tar" "$work/two.tar"
archivemount "$work/one.tar" "$work/archivemount"
mounted+=("$work/archivemount")
"$work/env/bin/ratarmount" --write-overlay "$work/overlay" "$work/two.tar" "$work/ratarmount" >/dev/null 2>&1
mounted+=("$work/ratarmount")
dpkg-query -W -f '${Package} ${Version}\n' archivemount
"$work/env/bin/pip" list 2>/dev/null | grep '^ratarmount '

# Expected: new/deep/bottom has the content and old is gone, or mv fails.
same=yes
for place in tree archivemount ratarmount; do
    cat "$work/$place/old/deep/bottom" >/dev/null
    code=0
    mv "$work/$place/old" "$work/$place/new" || code=$?
    bottom=$(cat "$work/$place/new/deep/bottom" 2>/dev/null || echo "cannot be read")
    names=$(ls "$work/$place" | tr '\n' ' ')
    echo "$place: expected exit code 0, \"bottom\" in new; seen $code, \"$bottom\" in ${names% }"
    case $place in
    tree) want="0 bottom new " ;;
    *) want="0 cannot be read new " ;;
    esac
    [ "$code $bottom $names" = "$want" ] || same=no
done
[ $same = yes ] || { echo "the behaviour has changed"; exit 1; }
