# llmtool completion for bash, made by `llmtool completions bash`.
_llmtool() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command="" word words options
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$command $word" in
            ' gen') command="gen" ;;
            ' run') command="run" ;;
            ' prompts') command="prompts" ;;
            'prompts ls') command="prompts ls" ;;
            'prompts show') command="prompts show" ;;
            'prompts schema') command="prompts schema" ;;
            'prompts new') command="prompts new" ;;
            'prompts import') command="prompts import" ;;
            'prompts lint') command="prompts lint" ;;
            'prompts test') command="prompts test" ;;
            ' classify') command="classify" ;;
            'classify eval') command="classify eval" ;;
            ' sum') command="sum" ;;
            ' translate') command="translate" ;;
            ' code') command="code" ;;
            'code explain') command="code explain" ;;
            'code review') command="code review" ;;
            'code fix') command="code fix" ;;
            'code complete') command="code complete" ;;
            'code tests') command="code tests" ;;
            'code commit') command="code commit" ;;
            ' chat') command="chat" ;;
            ' sessions') command="sessions" ;;
            'sessions ls') command="sessions ls" ;;
            'sessions show') command="sessions show" ;;
            'sessions rm') command="sessions rm" ;;
            'sessions export') command="sessions export" ;;
            'sessions search') command="sessions search" ;;
            ' models') command="models" ;;
            'models ls') command="models ls" ;;
            'models info') command="models info" ;;
            'models pull') command="models pull" ;;
            'models rm') command="models rm" ;;
            'models prune') command="models prune" ;;
            'models verify') command="models verify" ;;
            'models import') command="models import" ;;
            'models alias') command="models alias" ;;
            'models recommend') command="models recommend" ;;
            ' cache') command="cache" ;;
            'cache ls') command="cache ls" ;;
            'cache clear') command="cache clear" ;;
            ' config') command="config" ;;
            'config show') command="config show" ;;
            'config set') command="config set" ;;
            'config unset') command="config unset" ;;
            ' bench') command="bench" ;;
            ' doctor') command="doctor" ;;
            ' completions') command="completions" ;;
        esac
    done
    case "$command" in
        "")
            case "$prev" in
            esac
            words='gen run prompts classify sum translate code chat sessions models cache config bench doctor completions'
            options='--version --help -h' ;;
        "gen")
            case "$prev" in
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --each) COMPREPLY=($(compgen -W 'line jsonl csv file' -- "$cur")); return ;;
                --field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --limit) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --samples|-n) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --prefill) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --logprobs) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --schema) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --regex) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --grammar) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--file -f --no-stdin --errors --output -o --json --stats --dry-run --no-stream --extract -x --log --no-log --each --field --jsonl --resume --overwrite --limit --system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --samples -n --prefill --logprobs --schema --regex --grammar --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "run")
            case "$prev" in
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --each) COMPREPLY=($(compgen -W 'line jsonl csv file' -- "$cur")); return ;;
                --field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --limit) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --samples|-n) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --prefill) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --logprobs) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --schema) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --regex) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --grammar) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--file -f --no-stdin --errors --output -o --json --stats --dry-run --no-stream --extract -x --log --no-log --each --field --jsonl --resume --overwrite --limit --system -s --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --samples -n --prefill --logprobs --schema --regex --grammar --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "prompts")
            case "$prev" in
            esac
            words='ls show schema new import lint test'
            options='--help -h' ;;
        "prompts ls")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "prompts show")
            case "$prev" in
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--rendered --tokens --system -s --param -p --model -m --file -f --no-stdin --errors --json --offline --quiet -q --color --debug --help -h' ;;
        "prompts schema")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--quiet -q --color --debug --help -h' ;;
        "prompts new")
            case "$prev" in
                --from) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --task) COMPREPLY=($(compgen -W 'gen sum classify translate code chat' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--from --task --force --quiet -q --color --debug --help -h' ;;
        "prompts import")
            case "$prev" in
                --name) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --format) COMPREPLY=($(compgen -W 'llm fabric prompty' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--name --format --output -o --force --quiet -q --color --debug --help -h' ;;
        "prompts lint")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--strict --json --quiet -q --color --debug --help -h' ;;
        "prompts test")
            case "$prev" in
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --split) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --junit) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --baseline) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --tolerance) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--model -m --split --junit --baseline --update-baseline --tolerance --parallel --ctx-size --threads --n-gpu-layers -ngl --no-cache --json --offline --quiet -q --color --debug --help -h' ;;
        "classify")
            case "$prev" in
                --label|-l) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --examples) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --prior) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --calibrate) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --min-confidence) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-margin) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-coverage) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --overflow) COMPREPLY=($(compgen -W 'error chunk' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --form) COMPREPLY=($(compgen -W 'chat completion' -- "$cur")); return ;;
                --top) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --expect) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --fail-on) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --each) COMPREPLY=($(compgen -W 'line jsonl csv file' -- "$cur")); return ;;
                --field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --limit) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words='eval'
            options='--label -l --examples --prior --calibrate --no-fit --raw --balanced --min-confidence --min-margin --min-coverage --overflow --system -s --template -t --param -p --multi --form --top --scores --explain --expect --fail-on --file -f --no-stdin --errors --output -o --json --stats --dry-run --each --field --jsonl --resume --overwrite --limit --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "classify eval")
            case "$prev" in
                --label|-l) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --examples) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --prior) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --calibrate) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --text-field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --label-field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --split) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --plot) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --form) COMPREPLY=($(compgen -W 'chat completion' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--label -l --examples --prior --calibrate --no-fit --raw --balanced --text-field --label-field --split --baselines --compare --plot --system -s --template -t --param -p --multi --form --output -o --json --stats --dry-run --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "sum")
            case "$prev" in
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --length) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --style) COMPREPLY=($(compgen -W 'paragraph bullets headline tldr' -- "$cur")); return ;;
                --focus) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --strategy) COMPREPLY=($(compgen -W 'auto stuff map-reduce refine' -- "$cur")); return ;;
                --chunk-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --each) COMPREPLY=($(compgen -W 'line jsonl csv file' -- "$cur")); return ;;
                --field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --limit) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --length --style --focus --sections --strategy --chunk-tokens --together --file -f --no-stdin --errors --output -o --json --stats --dry-run --no-stream --each --field --jsonl --resume --overwrite --limit --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "translate")
            case "$prev" in
                --to) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --from) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --format) COMPREPLY=($(compgen -W 'auto txt md html srt vtt po json' -- "$cur")); return ;;
                --glossary) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --each) COMPREPLY=($(compgen -W 'line jsonl csv file' -- "$cur")); return ;;
                --field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --limit) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--to --system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --from --format --bilingual --strict --glossary --file -f --no-stdin --errors --output -o --json --stats --dry-run --no-stream --each --field --jsonl --resume --overwrite --limit --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "code")
            case "$prev" in
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --language|-l) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repair) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --run-tests) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --test-timeout) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --each) COMPREPLY=($(compgen -W 'line jsonl csv file' -- "$cur")); return ;;
                --field) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --limit) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words='explain review fix complete tests commit'
            options='--system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --language -l --check --no-check --repair --tidy --no-tidy --strict --run-tests --test-timeout --file -f --no-stdin --errors --output -o --json --stats --dry-run --each --field --jsonl --resume --overwrite --limit --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "code explain")
            case "$prev" in
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --output -o --json --stats --dry-run --no-stream --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "code review")
            case "$prev" in
                --fail-on) COMPREPLY=($(compgen -W 'error warning note' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--staged --fail-on --sarif --system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --file -f --no-stdin --errors --output -o --json --stats --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "code fix")
            case "$prev" in
                --error|-e) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --language|-l) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repair) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --run-tests) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --test-timeout) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--error -e --write --system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --language -l --check --no-check --repair --tidy --no-tidy --strict --run-tests --test-timeout --output -o --json --stats --dry-run --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "code complete")
            case "$prev" in
                --language|-l) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--language -l --strict --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --output -o --json --stats --dry-run --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "code tests")
            case "$prev" in
                --framework) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --language|-l) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repair) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --run-tests) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --test-timeout) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--framework --system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --language -l --check --no-check --repair --tidy --no-tidy --strict --run-tests --test-timeout --output -o --json --stats --dry-run --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "code commit")
            case "$prev" in
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--body --hook --system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --output -o --json --stats --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "chat")
            case "$prev" in
                --session) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --overflow) COMPREPLY=($(compgen -W 'summarize drop' -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --each) COMPREPLY=($(compgen -W 'line' -- "$cur")); return ;;
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --kv-type) COMPREPLY=($(compgen -W 'f16 q8_0' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--continue -c --session --no-save --overflow --system -s --template -t --param -p --think --no-think --max-tokens --temperature --seed --stop --top-p --top-k --min-p --repeat-penalty --file -f --no-stdin --errors --each --json --model -m --ctx-size --threads --n-gpu-layers -ngl --parallel --kv-type --no-cache --offline --quiet -q --color --debug --help -h' ;;
        "sessions")
            case "$prev" in
            esac
            words='ls show rm export search'
            options='--help -h' ;;
        "sessions ls")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--here --json --quiet -q --color --debug --help -h' ;;
        "sessions show")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "sessions rm")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--dry-run --json --quiet -q --color --debug --help -h' ;;
        "sessions export")
            case "$prev" in
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --format) COMPREPLY=($(compgen -W 'md json html' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--output -o --format --quiet -q --color --debug --help -h' ;;
        "sessions search")
            case "$prev" in
                --limit) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--limit --json --quiet -q --color --debug --help -h' ;;
        "models")
            case "$prev" in
            esac
            words='ls info pull rm prune verify import alias recommend'
            options='--help -h' ;;
        "models ls")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "models info")
            case "$prev" in
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--ctx-size --json --quiet -q --color --debug --help -h' ;;
        "models pull")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--dry-run --json --offline --quiet -q --color --debug --help -h' ;;
        "models rm")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--dry-run --json --quiet -q --color --debug --help -h' ;;
        "models prune")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--dry-run --json --quiet -q --color --debug --help -h' ;;
        "models verify")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "models import")
            case "$prev" in
                --name) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--name --json --quiet -q --color --debug --help -h' ;;
        "models alias")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--remove --json --quiet -q --color --debug --help -h' ;;
        "models recommend")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "cache")
            case "$prev" in
            esac
            words='ls clear'
            options='--help -h' ;;
        "cache ls")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "cache clear")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--dry-run --json --quiet -q --color --debug --help -h' ;;
        "config")
            case "$prev" in
            esac
            words='show set unset'
            options='--help -h' ;;
        "config show")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "config set")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--quiet -q --color --debug --help -h' ;;
        "config unset")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--quiet -q --color --debug --help -h' ;;
        "bench")
            case "$prev" in
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --n-parallel) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repetitions|-r) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --plot) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--model -m --quick --n-parallel --repetitions -r --threads --n-gpu-layers -ngl --plot --json --offline --quiet -q --color --debug --help -h' ;;
        "doctor")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --quiet -q --color --debug --help -h' ;;
        "completions")
            case "$prev" in
            esac
            words='bash zsh fish'
            options='--help -h' ;;
    esac
    if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W "$options" -- "$cur"))
    elif [[ -n $words ]]; then COMPREPLY=($(compgen -W "$words" -- "$cur"))
    else COMPREPLY=($(compgen -f -- "$cur")); fi
}
complete -o filenames -F _llmtool llmtool
