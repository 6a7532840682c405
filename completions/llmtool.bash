# llmtool completion for bash, made by `llmtool completions bash`.
_llmtool() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command="" word words options
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        case "$command $word" in
            ' gen') command="gen" ;;
            ' models') command="models" ;;
            'models ls') command="models ls" ;;
            'models info') command="models info" ;;
            ' doctor') command="doctor" ;;
            ' completions') command="completions" ;;
        esac
    done
    case "$command" in
        "")
            case "$prev" in
            esac
            words='gen models doctor completions'
            options='--version --help -h' ;;
        "gen")
            case "$prev" in
                --model|-m) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --system|-s) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --template|-t) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --param|-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --file|-f) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --output|-o) COMPREPLY=($(compgen -f -- "$cur")); return ;;
                --samples|-n) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --prefill) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --max-tokens) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --temperature) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --top-k) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --min-p) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --repeat-penalty) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --seed) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --stop) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --threads) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --n-gpu-layers|-ngl) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --errors) COMPREPLY=($(compgen -W 'strict replace' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--model -m --system -s --template -t --param -p --file -f --output -o --samples -n --prefill --max-tokens --temperature --top-p --top-k --min-p --repeat-penalty --seed --stop --think --no-think --ctx-size --threads --n-gpu-layers -ngl --json --no-stream --stats --dry-run --no-stdin --errors --offline --color --quiet -q --debug --help -h' ;;
        "models")
            case "$prev" in
            esac
            words='ls info'
            options='--help -h' ;;
        "models ls")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --color --quiet -q --debug --help -h' ;;
        "models info")
            case "$prev" in
                --ctx-size) COMPREPLY=($(compgen -W '' -- "$cur")); return ;;
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --ctx-size --color --quiet -q --debug --help -h' ;;
        "doctor")
            case "$prev" in
                --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
            esac
            words=''
            options='--json --color --quiet -q --debug --help -h' ;;
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
