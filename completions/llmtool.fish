# llmtool completion for fish, made by `llmtool completions fish`.
function __llmtool_at
    set -l plain (string match -v -- '-*' (commandline -opc)[2..])
    set -l n (count $argv)
    if test $n -eq 0
        test (count $plain) -eq 0
    else
        test (count $plain) -ge $n
        and test "$plain[1..$n]" = "$argv"
    end
end

complete -c llmtool -f -n '__llmtool_at' -a gen -d 'Generate text from a prompt, with standard input or files as material'
complete -c llmtool -f -n '__llmtool_at' -a models -d 'List models and look into them'
complete -c llmtool -f -n '__llmtool_at' -a doctor -d 'Say what is installed, what this machine offers, and what to change'
complete -c llmtool -f -n '__llmtool_at' -a completions -d 'Print the completion script of a shell'
complete -c llmtool -n '__llmtool_at' -l version -d 'Print the version'
complete -c llmtool -n '__llmtool_at' -l help -s h -d 'Show the help and exit'
complete -c llmtool -n '__llmtool_at gen' -l model -s m -r -d 'starter, FILE.gguf, org/name[:QUANT], an alias'
complete -c llmtool -n '__llmtool_at gen' -l system -s s -x -d 'The system prompt'
complete -c llmtool -n '__llmtool_at gen' -l template -s t -r -d 'The prompt template'
complete -c llmtool -n '__llmtool_at gen' -l param -s p -x -d 'A value for the template'
complete -c llmtool -n '__llmtool_at gen' -l file -s f -r -d 'Material; may be repeated'
complete -c llmtool -n '__llmtool_at gen' -l output -s o -r -d 'Write the result there, not to stdout'
complete -c llmtool -n '__llmtool_at gen' -l samples -s n -x -d 'How many replies to write'
complete -c llmtool -n '__llmtool_at gen' -l prefill -x -d 'How the reply begins; the model goes on'
complete -c llmtool -n '__llmtool_at gen' -l max-tokens -x -d 'Tokens of the reply at the most (512)'
complete -c llmtool -n '__llmtool_at gen' -l temperature -x -d 'Randomness; 0 always takes the likeliest'
complete -c llmtool -n '__llmtool_at gen' -l top-p -x -d 'Nucleus'
complete -c llmtool -n '__llmtool_at gen' -l top-k -x -d 'Only the K likeliest; 0 is off'
complete -c llmtool -n '__llmtool_at gen' -l min-p -x -d 'Drop what is rarer than P x the likeliest'
complete -c llmtool -n '__llmtool_at gen' -l repeat-penalty -x -d 'Above 1 discourages repetition'
complete -c llmtool -n '__llmtool_at gen' -l seed -x -d 'Makes a run repeatable: 0 to 4294967294'
complete -c llmtool -n '__llmtool_at gen' -l stop -x -d 'End the reply before this text; may be repeated'
complete -c llmtool -n '__llmtool_at gen' -l think -l no-think -d 'Let a thinking model think; the thought goes to stderr'
complete -c llmtool -n '__llmtool_at gen' -l ctx-size -x -d 'Context in tokens; sized by need if left out'
complete -c llmtool -n '__llmtool_at gen' -l threads -x -d 'Processor threads'
complete -c llmtool -n '__llmtool_at gen' -l n-gpu-layers -o ngl -x -d 'Layers on the GPU'
complete -c llmtool -n '__llmtool_at gen' -l json -d 'Print the whole result as JSON'
complete -c llmtool -n '__llmtool_at gen' -l no-stream -d 'Print the reply when it is complete'
complete -c llmtool -n '__llmtool_at gen' -l stats -d 'Say on stderr where the time went'
complete -c llmtool -n '__llmtool_at gen' -l dry-run -d 'Print the rendered prompt and its token count; run nothing'
complete -c llmtool -n '__llmtool_at gen' -l no-stdin -d 'Do not look at standard input'
complete -c llmtool -n '__llmtool_at gen' -l errors -x -a 'strict replace' -d 'What to do with input that is not UTF-8'
complete -c llmtool -n '__llmtool_at gen' -l offline -d 'Use no network'
complete -c llmtool -n '__llmtool_at gen' -l color -x -a 'auto always never' -d 'When to colour'
complete -c llmtool -n '__llmtool_at gen' -l quiet -s q -d 'No notes on stderr, only errors'
complete -c llmtool -n '__llmtool_at gen' -l debug -d 'Log and show tracebacks on stderr'
complete -c llmtool -n '__llmtool_at gen' -l help -s h -d 'Show the help and exit'
complete -c llmtool -f -n '__llmtool_at models' -a ls -d 'List the models that are here: the starter model, the Hub\'s cache, imported files'
complete -c llmtool -f -n '__llmtool_at models' -a info -d 'Say what a model is: architecture, size, context, template, and whether it fits in memory'
complete -c llmtool -n '__llmtool_at models' -l help -s h -d 'Show the help and exit'
complete -c llmtool -n '__llmtool_at models ls' -l json -d 'Print the whole result as JSON'
complete -c llmtool -n '__llmtool_at models ls' -l color -x -a 'auto always never' -d 'When to colour'
complete -c llmtool -n '__llmtool_at models ls' -l quiet -s q -d 'No notes on stderr, only errors'
complete -c llmtool -n '__llmtool_at models ls' -l debug -d 'Log and show tracebacks on stderr'
complete -c llmtool -n '__llmtool_at models ls' -l help -s h -d 'Show the help and exit'
complete -c llmtool -n '__llmtool_at models info' -l json -d 'Print the whole result as JSON'
complete -c llmtool -n '__llmtool_at models info' -l ctx-size -x -d 'Context in tokens; sized by need if left out'
complete -c llmtool -n '__llmtool_at models info' -l color -x -a 'auto always never' -d 'When to colour'
complete -c llmtool -n '__llmtool_at models info' -l quiet -s q -d 'No notes on stderr, only errors'
complete -c llmtool -n '__llmtool_at models info' -l debug -d 'Log and show tracebacks on stderr'
complete -c llmtool -n '__llmtool_at models info' -l help -s h -d 'Show the help and exit'
complete -c llmtool -n '__llmtool_at doctor' -l json -d 'Print the whole result as JSON'
complete -c llmtool -n '__llmtool_at doctor' -l color -x -a 'auto always never' -d 'When to colour'
complete -c llmtool -n '__llmtool_at doctor' -l quiet -s q -d 'No notes on stderr, only errors'
complete -c llmtool -n '__llmtool_at doctor' -l debug -d 'Log and show tracebacks on stderr'
complete -c llmtool -n '__llmtool_at doctor' -l help -s h -d 'Show the help and exit'
complete -c llmtool -f -n '__llmtool_at completions' -a bash
complete -c llmtool -f -n '__llmtool_at completions' -a zsh
complete -c llmtool -f -n '__llmtool_at completions' -a fish
complete -c llmtool -n '__llmtool_at completions' -l help -s h -d 'Show the help and exit'
