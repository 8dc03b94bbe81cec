# rclone's backend azureblob, over the vendor's Go client. RCLONE names the program.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/rclone.conf" <<CONF
[judge]
type = azureblob
account = $JUDGE_ACCOUNT
key = $JUDGE_KEY
endpoint = $JUDGE_ENDPOINT
CONF
rc() { "$RCLONE" --config "$work/rclone.conf" --retries 1 --log-level NOTICE "$@"; }
box=judge:rclone-$$
mkdir -p "$work/tree/sub dir"
printf alpha >"$work/tree/a"
head -c 9000000 /dev/urandom >"$work/tree/sub dir/large"
touch -d 2020-02-02T02:02:02.123456789Z "$work/tree/a"
rc mkdir "$box"
rc copy --azureblob-chunk-size 4M --azureblob-upload-concurrency 2 --metadata-set sourceFile=orig "$work/tree" "$box/tree"
rc check --download "$work/tree" "$box/tree"
[[ $(rc lsf -R "$box" | sort | tr '\n' ';') == 'tree/;tree/a;tree/sub dir/;tree/sub dir/large;' ]]
[[ $(rc lsjson "$box/tree/a" --no-modtime=false) == *2020-02-02T02:02:02.123456789* ]]
[[ $(rc cat "$box/tree/a") == alpha ]]
# Within the service
rc copyto "$box/tree/a" "$box/copy"
rc moveto "$box/copy" "$box/moved"
[[ $(rc cat "$box/moved") == alpha ]]
printf beta >"$work/tree/a"
rc sync "$work/tree" "$box/tree"
[[ $(rc cat "$box/tree/a") == beta ]]
rc copy "$box/tree" "$work/back"
diff -r "$work/tree" "$work/back"
rc settier Cool "$box/moved"
[[ $(rc lsf --format pT "$box/moved") == *Cool ]]
[[ $(rc hashsum md5 "$box/tree/a") == $(md5sum <"$work/tree/a" | cut -d' ' -f1)* ]]
rc purge "$box"
if rc lsf "$box" 2>/dev/null; then
    exit 1
fi
