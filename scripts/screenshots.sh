#!/bin/sh
# Makes the pictures in docs/ anew: pages of merges of the model in examples/, photographed in Chromium.
#
#   scripts/screenshots.sh [QCONV]     needs chromium and pngquant
set -eu
cd "$(dirname "$0")/.."

qconv=$(realpath "${1:-.build/release/qconv}")
pictures=$PWD/docs
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$pictures" "$work/adapters"

# Short paths in the pictures.
ln -s "$PWD/examples/tiny-llama/base-nf4" "$work/base-nf4"
ln -s "$PWD/examples/tiny-llama/adapters/checkpoint-200" "$work/adapters/checkpoint-200"
cd "$work"

# compare NAME RULES: merges the adapter by the rules and makes the page NAME.html of base and result.
compare() {
    cat >spec.json <<SPEC
{"input": "base-nf4",
 "steps": [{"op": "attach-adapter", "path": "adapters/checkpoint-200"},
           {"op": "merge-in-4bit", $2}],
 "output": {"path": "merged-$1"}}
SPEC
    "$qconv" pipeline spec.json --quiet
    # 1 says that the models differ.
    "$qconv" diff base-nf4 "merged-$1" --adapter adapters/checkpoint-200 --html "$1.html" --quiet || [ $? = 1 ]
}

# photograph PAGE THEME WIDTH HEIGHT PICTURE. A window lays a page out for a least width; a frame does not.
photograph() {
    echo "<body style='margin:0'><iframe src='$1' style='border:0;display:block;width:$3px;height:$4px'></iframe>" >frame.html
    case $2 in light) scheme=1 ;; *) scheme=0 ;; esac
    chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" \
        --blink-settings="preferredColorScheme=$scheme" --window-size="$3,$4" --screenshot="$work/picture.png" \
        "file://$work/frame.html" >/dev/null 2>&1
    pngquant --force --strip --nofs --speed 1 96 --output "$pictures/$5" "$work/picture.png"
}

compare as-peft '"rounding": "nearest", "scales": "fresh"'
compare auto '"rounding": "auto"'
photograph as-peft.html light 1100 950 page-light.png
photograph auto.html dark 1100 950 page-dark.png
photograph as-peft.html light 400 950 page-narrow.png
