#compdef llmtool
# llmtool completion for zsh, made by `llmtool completions zsh`.

_llmtool() {
    local line state
    _arguments -s -S \
        '*--version[Print the version]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'gen:Generate text from a prompt, with standard input or files as material'
            'run:Run a prompt template\: a reply, a value or a label'
            'prompts:List, show, write, check, import and test prompt templates'
            'classify:Choose the label that fits a text, with a score for each'
            'sum:Summarize files or standard input, however long'
            'translate:Translate a text or a document; code, links and markup stay as they are'
            'code:Write code that parses; explain, review, fix and complete it'
            'chat:Converse with a model, at the terminal or through a pipe'
            'sessions:List, show, search, export and remove saved conversations'
            'models:List, inspect, download and remove models'
            'cache:List and clear the cached prompts'
            'config:Show and change the settings'
            'bench:Measure how fast a model loads, reads and writes on this machine'
            'doctor:Report what is installed, what this machine has, and what to change'
            'completions:Print the completion script of a shell'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        gen) _llmtool_gen ;;
        run) _llmtool_run ;;
        prompts) _llmtool_prompts ;;
        classify) _llmtool_classify ;;
        sum) _llmtool_sum ;;
        translate) _llmtool_translate ;;
        code) _llmtool_code ;;
        chat) _llmtool_chat ;;
        sessions) _llmtool_sessions ;;
        models) _llmtool_models ;;
        cache) _llmtool_cache ;;
        config) _llmtool_config ;;
        bench) _llmtool_bench ;;
        doctor) _llmtool_doctor ;;
        completions) _llmtool_completions ;;
        esac ;;
    esac
}

_llmtool_gen() {
    _arguments -s -S \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--extract[Print only the reply'\''s code; exit 17 if it has none]' \
        '*-x[Print only the reply'\''s code; exit 17 if it has none]' \
        '*--log[Save prompt and reply in the session log-YEAR-MONTH]' \
        '*--no-log[Save prompt and reply in the session log-YEAR-MONTH]' \
        '*--each[Run once for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column or key with the text]:NAME:' \
        '*--jsonl[Write the rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--samples[Number of replies]:N:' \
        '*-n[Number of replies]:N:' \
        '*--prefill[Start of the reply; not printed]:TEXT:' \
        '*--logprobs[Print log-probabilities, with N alternatives]:N:' \
        '*--schema[Reply with JSON\: '\''name, age int, tags list'\'' or a JSON Schema]:TEXT|FILE:_files' \
        '*--regex[Reply with a match of a regular expression]:TEXT:' \
        '*--grammar[Reply with text of a GBNF grammar]:FILE:_files' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_run() {
    _arguments -s -S \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--extract[Print only the reply'\''s code; exit 17 if it has none]' \
        '*-x[Print only the reply'\''s code; exit 17 if it has none]' \
        '*--log[Save prompt and reply in the session log-YEAR-MONTH]' \
        '*--no-log[Save prompt and reply in the session log-YEAR-MONTH]' \
        '*--each[Run once for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column or key with the text]:NAME:' \
        '*--jsonl[Write the rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--samples[Number of replies]:N:' \
        '*-n[Number of replies]:N:' \
        '*--prefill[Start of the reply; not printed]:TEXT:' \
        '*--logprobs[Print log-probabilities, with N alternatives]:N:' \
        '*--schema[Reply with JSON\: '\''name, age int, tags list'\'' or a JSON Schema]:TEXT|FILE:_files' \
        '*--regex[Reply with a match of a regular expression]:TEXT:' \
        '*--grammar[Reply with text of a GBNF grammar]:FILE:_files' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts() {
    local line state
    _arguments -s -S \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'ls:List your templates, and the built-in ones that they do not override'
            'show:Show a template\: its file, its parsed form (--json), or its messages'
            'schema:Print the JSON Schema of template files, for editors'
            'new:Create a template in your folder, and print its path'
            'import:Import a template of llm, fabric or prompty, and print the new file'\''s path'
            'lint:Check templates for errors and for what could be better'
            'test:Run the tests of templates on one or more models; exit 17 if one fails'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        ls) _llmtool_prompts_ls ;;
        show) _llmtool_prompts_show ;;
        schema) _llmtool_prompts_schema ;;
        new) _llmtool_prompts_new ;;
        import) _llmtool_prompts_import ;;
        lint) _llmtool_prompts_lint ;;
        test) _llmtool_prompts_test ;;
        esac ;;
    esac
}

_llmtool_prompts_ls() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_show() {
    _arguments -s -S \
        '*--rendered[Show the messages; missing values are shown as <name>]' \
        '*--tokens[Count the tokens of the messages]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_schema() {
    _arguments -s -S \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_new() {
    _arguments -s -S \
        '*--from[Extend this template, which may have the same name]:NAME:' \
        '*--task[Task of the template]: :(gen sum classify translate code chat)' \
        '*--force[Replace an existing file]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_import() {
    _arguments -s -S \
        '*--name[The new template'\''s name]:NAME:' \
        '*--format[Format of FILE]: :(llm fabric prompty)' \
        '*--output[Write to FILE; - is stdout]:FILE:_files' \
        '*-o[Write to FILE; - is stdout]:FILE:_files' \
        '*--force[Replace an existing file]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_lint() {
    _arguments -s -S \
        '*--strict[Treat warnings as errors]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_test() {
    _arguments -s -S \
        '*--model[A model to test on (repeatable)]:REF:_files' \
        '*-m[A model to test on (repeatable)]:REF:_files' \
        '*--split[Read only rows of a dataset with this split]:NAME:' \
        '*--junit[Write a JUnit report for a CI system]:FILE:_files' \
        '*--baseline[Allow the failures that are recorded in FILE]:FILE:_files' \
        '*--update-baseline[Record the outcomes in the baseline]' \
        '*--tolerance[Maximum drop of a metric below the baseline]:X:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--no-cache[Do not save replies, or reuse saved ones]' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_classify() {
    local line state
    _arguments -s -S \
        '*--label[Labels (repeatable); @FILE has one on each line]:A,B|NAME=TEXT|@FILE:_files' \
        '*-l[Labels (repeatable); @FILE has one on each line]:A,B|NAME=TEXT|@FILE:_files' \
        '*--examples[Labelled texts to learn from (.jsonl, .csv)]:FILE:_files' \
        '*--prior[Frequency of each label]:A=9,B=1:' \
        '*--calibrate[Fit the scores to labelled texts, and save the fit]:FILE:_files' \
        '*--no-fit[Do not use a fit that --calibrate has saved]' \
        '*--raw[Do not correct the scores for the model'\''s bias]' \
        '*--balanced[Assume that all labels of a batch are equally frequent]' \
        '*--min-confidence[No label if the best score is below P (exit 15)]:P:' \
        '*--min-margin[No label if the second score is closer than M]:M:' \
        '*--min-coverage[No label if all labels have less than Z together]:Z:' \
        '*--overflow[Reject or split a text that is too long]: :(error chunk)' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--multi[Accept any number of labels]' \
        '*--form[How to ask the model]: :(chat completion)' \
        '*--top[Print the K best labels]:K:' \
        '*--scores[Print scores with the labels]' \
        '*--explain[Show which sentences decide the label]' \
        '*--expect[Exit 15 if the label is another (repeatable)]:LABEL:' \
        '*--fail-on[Exit 15 if this is the label (repeatable)]:LABEL:' \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--each[Run once for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column or key with the text]:NAME:' \
        '*--jsonl[Write the rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'eval:Measure how well texts are classified\: accuracy, macro-F1, calibration, mistakes'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        eval) _llmtool_classify_eval ;;
        esac ;;
    esac
}

_llmtool_classify_eval() {
    _arguments -s -S \
        '*--label[Labels (repeatable); @FILE has one on each line]:A,B|NAME=TEXT|@FILE:_files' \
        '*-l[Labels (repeatable); @FILE has one on each line]:A,B|NAME=TEXT|@FILE:_files' \
        '*--examples[Labelled texts to learn from (.jsonl, .csv)]:FILE:_files' \
        '*--prior[Frequency of each label]:A=9,B=1:' \
        '*--calibrate[Fit the scores to labelled texts, and save the fit]:FILE:_files' \
        '*--no-fit[Do not use a fit that --calibrate has saved]' \
        '*--raw[Do not correct the scores for the model'\''s bias]' \
        '*--balanced[Assume that all labels of a batch are equally frequent]' \
        '*--text-field[The column of the text]:NAME:' \
        '*--label-field[The column of the label]:NAME:' \
        '*--split[Read only rows whose `split` is NAME]:NAME:' \
        '*--baselines[Compare with labels that the model generates]' \
        '*--compare[Compare both forms, with and without anchors]' \
        '*--plot[Plot reliability and confusion\: .svg, .png or .pdf]:FILE:_files' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--multi[Accept any number of labels]' \
        '*--form[How to ask the model]: :(chat completion)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sum() {
    _arguments -s -S \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--length[short, medium, long, '\''100 words'\'', '\''3 sentences'\'', 5]:LENGTH:' \
        '*--style[Form of the summary]: :(paragraph bullets headline tldr)' \
        '*--focus[Topic to concentrate on]:TEXT:' \
        '*--sections[Summarize each top-level section on its own]' \
        '*--strategy[Read the text whole, in parts, or part after part]: :(auto stuff map-reduce refine)' \
        '*--chunk-tokens[Maximum tokens of a part]:N:' \
        '*--together[Summarize all files in one summary]' \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--each[Run once for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column or key with the text]:NAME:' \
        '*--jsonl[Write the rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_translate() {
    _arguments -s -S \
        '*--to[Target language\: German, de, pt-BR]:LANG:' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--from[Source language]:LANG:' \
        '*--format[Format of the text]: :(auto txt md html srt vtt po json)' \
        '*--bilingual[Print each passage above its translation (txt, srt, vtt)]' \
        '*--strict[Print nothing and exit 17 if a passage is not translated]' \
        '*--glossary[Terms and their translations, in two columns]:FILE.csv:_files' \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--each[Run once for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column or key with the text]:NAME:' \
        '*--jsonl[Write the rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code() {
    local line state
    _arguments -s -S \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--check[Check the syntax]' \
        '*--no-check[Check the syntax]' \
        '*--repair[Maximum rounds of repair]:N:' \
        '*--tidy[Format the code with a formatter on PATH]' \
        '*--no-tidy[Format the code with a formatter on PATH]' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--run-tests[Run CMD on the code; {} is its file]:CMD:' \
        '*--test-timeout[Stop CMD after this many seconds]:SECONDS:' \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--each[Run once for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column or key with the text]:NAME:' \
        '*--jsonl[Write the rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'explain:Explain in words what code does'
            'review:Review a diff\: what is wrong, and in which line'
            'fix:Fix code that fails\: print a patch, or change the file with --write'
            'complete:Fill a gap in a file, with a model trained for it'
            'tests:Write tests for code; they are printed and not run'
            'commit:Write a commit message for what is staged\: type(scope)\: subject, in 72 characters'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        explain) _llmtool_code_explain ;;
        review) _llmtool_code_review ;;
        fix) _llmtool_code_fix ;;
        complete) _llmtool_code_complete ;;
        tests) _llmtool_code_tests ;;
        commit) _llmtool_code_commit ;;
        esac ;;
    esac
}

_llmtool_code_explain() {
    _arguments -s -S \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_review() {
    _arguments -s -S \
        '*--staged[Review what is staged in git]' \
        '*--fail-on[Exit 15 if a finding is as bad as this, or worse]: :(error warning note)' \
        '*--sarif[Print SARIF 2.1.0, for CI]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_fix() {
    _arguments -s -S \
        '*--error[How it fails; - is stdin]:TEXT:' \
        '*-e[How it fails; - is stdin]:TEXT:' \
        '*--write[Change FILE, and save the old one as FILE.orig]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--check[Check the syntax]' \
        '*--no-check[Check the syntax]' \
        '*--repair[Maximum rounds of repair]:N:' \
        '*--tidy[Format the code with a formatter on PATH]' \
        '*--no-tidy[Format the code with a formatter on PATH]' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--run-tests[Run CMD on the code; {} is its file]:CMD:' \
        '*--test-timeout[Stop CMD after this many seconds]:SECONDS:' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_complete() {
    _arguments -s -S \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_tests() {
    _arguments -s -S \
        '*--framework[Test framework, such as pytest]:NAME:' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--check[Check the syntax]' \
        '*--no-check[Check the syntax]' \
        '*--repair[Maximum rounds of repair]:N:' \
        '*--tidy[Format the code with a formatter on PATH]' \
        '*--no-tidy[Format the code with a formatter on PATH]' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--run-tests[Run CMD on the code; {} is its file]:CMD:' \
        '*--test-timeout[Stop CMD after this many seconds]:SECONDS:' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--dry-run[Print the prompt and its token count; run nothing]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_commit() {
    _arguments -s -S \
        '*--body[Add a list of points]' \
        '*--hook[Print a prepare-commit-msg hook; run no model]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print timings to standard error]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_chat() {
    _arguments -s -S \
        '*--continue[Continue this directory'\''s last session]' \
        '*-c[Continue this directory'\''s last session]' \
        '*--session[Start or continue a named session]:NAME:' \
        '*--no-save[Do not save the session]' \
        '*--overflow[What to do with old turns if the context is full]: :(summarize drop)' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template (repeatable)]:KEY=VALUE:' \
        '*-p[A value for the template (repeatable)]:KEY=VALUE:' \
        '*--think[Let a model reason first; shown on stderr]' \
        '*--no-think[Let a model reason first; shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Randomness; 0 is deterministic]:T:' \
        '*--seed[Make the run repeatable; 0 to 4294967294]:N:' \
        '*--stop[End the reply before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from the most likely tokens that add up to P]:P:' \
        '*--top-k[Sample from the K most likely tokens; 0 is all]:K:' \
        '*--min-p[Drop tokens less likely than P times the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 is none]:R:' \
        '*--file[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read a file (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read standard input]' \
        '*--errors[How to read what is not UTF-8]: :(strict replace)' \
        '*--each[Take each line of standard input as a message]: :(line)' \
        '*--json[Print events as JSON lines, last the turn]' \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--parallel[Maximum replies to decode at once]:N:' \
        '*--kv-type[Type of the context memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Do not save evaluated prompts, or reuse saved ones]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions() {
    local line state
    _arguments -s -S \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'ls:List the sessions, the most recent first'
            'show:Show the messages and replies of a session'
            'rm:Remove sessions, all of them or none; exit 18 if one is open elsewhere'
            'export:Export a session as Markdown, JSON or a self-contained HTML page'
            'search:Search the messages, replies and attached files of all sessions'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        ls) _llmtool_sessions_ls ;;
        show) _llmtool_sessions_show ;;
        rm) _llmtool_sessions_rm ;;
        export) _llmtool_sessions_export ;;
        search) _llmtool_sessions_search ;;
        esac ;;
    esac
}

_llmtool_sessions_ls() {
    _arguments -s -S \
        '*--here[List only sessions started in this directory]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_show() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_rm() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, and remove nothing]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_export() {
    _arguments -s -S \
        '*--output[Write to FILE, not to standard output]:FILE:_files' \
        '*-o[Write to FILE, not to standard output]:FILE:_files' \
        '*--format[Format]: :(md json html)' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_search() {
    _arguments -s -S \
        '*--limit[Maximum hits to show]:N:' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models() {
    local line state
    _arguments -s -S \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'ls:List the installed models\: the starter, the Hub'\''s cache and imported files'
            'info:Describe a model\: architecture, size, context, template, and memory use'
            'pull:Download a model from the Hub into its cache; resumed and verified'
            'rm:Remove a model'\''s files, of every revision unless @REV names one'
            'prune:Remove partial downloads, unused blobs and dangling links'
            'verify:Verify the hashes of one model'\''s files, or of all; exit 16 if one is wrong'
            'import:Import a model file into the data folder under a name'
            'alias:Give a model an alias; without arguments, list the aliases'
            'recommend:Recommend models that fit this machine, best first'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        ls) _llmtool_models_ls ;;
        info) _llmtool_models_info ;;
        pull) _llmtool_models_pull ;;
        rm) _llmtool_models_rm ;;
        prune) _llmtool_models_prune ;;
        verify) _llmtool_models_verify ;;
        import) _llmtool_models_import ;;
        alias) _llmtool_models_alias ;;
        recommend) _llmtool_models_recommend ;;
        esac ;;
    esac
}

_llmtool_models_ls() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_info() {
    _arguments -s -S \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_pull() {
    _arguments -s -S \
        '*--dry-run[Show what would be downloaded, and download nothing]' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_rm() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, and remove nothing]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_prune() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, and remove nothing]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_verify() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_import() {
    _arguments -s -S \
        '*--name[Name of the model]:NAME:' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_alias() {
    _arguments -s -S \
        '*--remove[Remove the alias]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_recommend() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_cache() {
    local line state
    _arguments -s -S \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'ls:List the cached prompt prefixes, the most recent first'
            'clear:Clear the cache; the next runs are slower once'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        ls) _llmtool_cache_ls ;;
        clear) _llmtool_cache_clear ;;
        esac ;;
    esac
}

_llmtool_cache_ls() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_cache_clear() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, and remove nothing]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_config() {
    local line state
    _arguments -s -S \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'show:Show every setting; environment variables override config.toml'
            'set:Set a key of config.toml; comments and other keys are preserved'
            'unset:Remove a key from config.toml, so that its default applies'
        )
        _describe command commands ;;
    rest)
        case $line[1] in
        show) _llmtool_config_show ;;
        set) _llmtool_config_set ;;
        unset) _llmtool_config_unset ;;
        esac ;;
    esac
}

_llmtool_config_show() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_config_set() {
    _arguments -s -S \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_config_unset() {
    _arguments -s -S \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_bench() {
    _arguments -s -S \
        '*--model[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[A model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--quick[Measure for seconds instead of a minute]' \
        '*--n-parallel[Replies to decode at once (1,2,4,8,16,32)]:N,N:' \
        '*--repetitions[Repetitions of each test (3; 1 with --quick)]:N:' \
        '*-r[Repetitions of each test (3; 1 with --quick)]:N:' \
        '*--threads[Processor threads]:N:' \
        '*--n-gpu-layers[Layers to run on the GPU]:auto|all|N:' \
        '*-ngl[Layers to run on the GPU]:auto|all|N:' \
        '*--plot[Plot speed by replies at once\: .svg, .png or .pdf]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_doctor() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print no notes to standard error, only errors]' \
        '*-q[Print no notes to standard error, only errors]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print the log and tracebacks to standard error]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_completions() {
    _arguments -s -S \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :(bash zsh fish)'
}

_llmtool "$@"
