#!/bin/sh
# Run the scripts of this folder one after another, and keep what each prints.
#
#     sh benchmarks/all.sh speed|quality FOLDER [PEERS_PYTHON]
#
# `speed` wants a machine that does nothing else (about half an hour on two cores); what `quality`
# measures does not depend on that. Models of 0.5B shape are made in FOLDER first. PEERS_PYTHON has
# xllamacpp and transformers (see peers.py).
set -eu
part=$1 folder=$2 peers=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
mkdir -p "$folder"

keep() {
    name=$1
    shift
    printf '%s, load %s\n' "$name" "$(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo '?')"
    "$python" "$here/$@" >"$folder/$name.txt" 2>&1 || printf '%s failed\n' "$name"
}

make_model() {
    [ -e "$folder/$1-$2.gguf" ] || "$python" "$here/make_model.py" "$1" "$2" --out "$folder"
}

case $part in
speed)
    make_model 0.5B Q4_K_M
    make_model starter Q4_0
    big=$folder/0.5B-Q4_K_M.gguf q4_0=$folder/starter-Q4_0.gguf
    keep first_token first_token.py --rounds 7
    keep peers peers.py --rounds 3 ${peers:+--peers-python "$peers"}
    keep decode_loop decode_loop.py --replies 3
    keep decode_loop-Q4_0 decode_loop.py --replies 3 --model "$q4_0"
    keep decode_loop-0.5B decode_loop.py --replies 2 --model "$big"
    keep second_prompt second_prompt.py --rounds 3
    keep memory memory.py --model "$big"
    keep classify classify.py --rounds 2
    keep classify-Q4_0 classify.py --rounds 2 --model "$q4_0"
    keep together together.py --rounds 1
    keep together-Q4_0 together.py --rounds 1 --model "$q4_0"
    keep together-0.5B together.py --rounds 1 --max-tokens 24 --model "$big"
    keep batch batch.py --rounds 1 --loop 10
    keep chat chat.py --turns 16
    keep hub_transfer hub_transfer.py --rounds 5
    keep structured_output structured_output.py
    keep constant_memory constant_memory.py
    keep translate translate.py --model "$big" --share 32
    keep summaries-together summaries.py --together "$big" --share 6
    ;;
quality)
    keep labels labels.py
    keep code code.py
    keep summaries summaries.py --half test
    keep summaries-lengths summaries.py --lengths
    keep summaries-loops summaries.py --loops
    keep translate-marks translate.py --marks
    for template in sum sum-bullets sum-headline sum-tldr title keywords translate qa extract code \
        code-fix code-tests code-explain commit review explain rewrite email regex; do
        keep "prompts-$template" prompts.py "$template" --half test
    done
    ;;
*)
    echo "usage: all.sh speed|quality FOLDER [PEERS_PYTHON]" >&2
    exit 2
    ;;
esac
