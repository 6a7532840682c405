#!/bin/sh
# Run the scripts of this folder one after another and save their output.
#
#     sh benchmarks/all.sh speed|quality FOLDER [PEERS_PYTHON]
#
# `speed` needs an idle machine (about half an hour on two cores); `quality` does not. Models of 0.5B
# shape are made in FOLDER first. PEERS_PYTHON is an interpreter with xllamacpp and transformers (see
# peers.py).
set -eu
part=$1 folder=$2 peers=${3:-}
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
mkdir -p "$folder"

save() {
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
    save first_token first_token.py --rounds 7
    save peers peers.py --rounds 3 ${peers:+--peers-python "$peers"}
    save decode_loop decode_loop.py --replies 3
    save decode_loop-Q4_0 decode_loop.py --replies 3 --model "$q4_0"
    save decode_loop-0.5B decode_loop.py --replies 2 --model "$big"
    save streams streams.py --model "$q4_0"
    save second_prompt second_prompt.py --rounds 3
    save memory memory.py --model "$big"
    save classify classify.py --rounds 2
    save classify-Q4_0 classify.py --rounds 2 --model "$q4_0"
    save together together.py --rounds 1
    save together-Q4_0 together.py --rounds 1 --model "$q4_0"
    save together-0.5B together.py --rounds 1 --max-tokens 24 --model "$big"
    save batch batch.py --rounds 1 --loop 10
    save chat chat.py --turns 16
    save conversations conversations.py
    save gaps gaps.py
    save hub_transfer hub_transfer.py --rounds 5
    save structured_output structured_output.py
    save constant_memory constant_memory.py
    save translate translate.py --model "$big" --share 32
    ;;
quality)
    save labels labels.py
    save code code.py
    save questions questions.py --half test
    save summaries summaries.py --half test
    save summaries-forms summaries.py --forms
    save translate-marks translate.py --marks
    for template in sum sum-bullets sum-headline sum-tldr title keywords translate qa extract code \
        code-fix code-tests code-explain commit review explain rewrite email regex; do
        save "prompts-$template" prompts.py "$template" --half test
    done
    ;;
*)
    echo "usage: all.sh speed|quality FOLDER [PEERS_PYTHON]" >&2
    exit 2
    ;;
esac
