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
            'gen:Generate text from a prompt, standard input and files'
            'run:Run a prompt template'
            'prompts:List, show, create, check, import and test prompt templates'
            'classify:Choose the label that fits a text, with scores'
            'sum:Summarize files or standard input of any length'
            'translate:Translate text or a document, preserving code, links and markup'
            'code:Write, explain, review, fix, complete and test code'
            'chat:Chat with a model, in a terminal or through a pipe'
            'sessions:List, show, search, export and remove saved conversations'
            'models:List, inspect, download and remove models'
            'cache:List and clear cached prompts'
            'config:Show and change settings'
            'bench:Measure the speed of a model on this machine'
            'doctor:Check the installation and hardware, and suggest changes'
            'completions:Print a shell completion script'
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
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--no-stream[Print output only when it is complete]' \
        '*--extract[Print only the code; exit 17 if none]' \
        '*-x[Print only the code; exit 17 if none]' \
        '*--log[Save prompt and reply to session log-YYYY-MM]' \
        '*--no-log[Save prompt and reply to session log-YYYY-MM]' \
        '*--each[Run once per line, JSON line, row or file]: :(line jsonl csv file)' \
        '*--field[Column or key of the text]:NAME:' \
        '*--jsonl[Write rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--samples[Number of replies]:N:' \
        '*-n[Number of replies]:N:' \
        '*--prefill[Start of the reply, not printed]:TEXT:' \
        '*--logprobs[Print logprobs, with N alternatives]:N:' \
        '*--schema[Constrain the reply to JSON\: '\''name, age int'\'' or a JSON Schema]:TEXT|FILE:_files' \
        '*--regex[Constrain the reply to a regular expression]:TEXT:' \
        '*--grammar[Constrain the reply to a GBNF grammar]:FILE:_files' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_run() {
    _arguments -s -S \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--no-stream[Print output only when it is complete]' \
        '*--extract[Print only the code; exit 17 if none]' \
        '*-x[Print only the code; exit 17 if none]' \
        '*--log[Save prompt and reply to session log-YYYY-MM]' \
        '*--no-log[Save prompt and reply to session log-YYYY-MM]' \
        '*--each[Run once per line, JSON line, row or file]: :(line jsonl csv file)' \
        '*--field[Column or key of the text]:NAME:' \
        '*--jsonl[Write rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--samples[Number of replies]:N:' \
        '*-n[Number of replies]:N:' \
        '*--prefill[Start of the reply, not printed]:TEXT:' \
        '*--logprobs[Print logprobs, with N alternatives]:N:' \
        '*--schema[Constrain the reply to JSON\: '\''name, age int'\'' or a JSON Schema]:TEXT|FILE:_files' \
        '*--regex[Constrain the reply to a regular expression]:TEXT:' \
        '*--grammar[Constrain the reply to a GBNF grammar]:FILE:_files' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
            'ls:List your templates, and built-in ones that they do not override'
            'show:Show a template file, its parsed form (--json) or its messages (--rendered)'
            'schema:Print the JSON Schema of template files, for editors'
            'new:Create a template in your folder and print its path'
            'import:Import a template from llm, fabric or prompty, and print the path of the new file'
            'lint:Check templates for errors and possible improvements'
            'test:Run template tests on one or more models; exit 17 if one fails'
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
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_show() {
    _arguments -s -S \
        '*--rendered[Show the messages, with <name> for missing values]' \
        '*--tokens[Show token counts of the messages]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_schema() {
    _arguments -s -S \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_new() {
    _arguments -s -S \
        '*--from[Extend this template (may have the same name)]:NAME:' \
        '*--task[Task of the template]: :(gen sum classify translate code chat)' \
        '*--force[Replace an existing file]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_import() {
    _arguments -s -S \
        '*--name[Name of the new template]:NAME:' \
        '*--format[Format of FILE]: :(llm fabric prompty)' \
        '*--output[Write to FILE; - is stdout]:FILE:_files' \
        '*-o[Write to FILE; - is stdout]:FILE:_files' \
        '*--force[Replace an existing file]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_lint() {
    _arguments -s -S \
        '*--strict[Treat warnings as errors]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_test() {
    _arguments -s -S \
        '*--model[Model to test (repeatable)]:REF:_files' \
        '*-m[Model to test (repeatable)]:REF:_files' \
        '*--split[Use only dataset rows with this split]:NAME:' \
        '*--junit[Write a JUnit report for CI]:FILE:_files' \
        '*--baseline[Allow failures recorded in FILE]:FILE:_files' \
        '*--update-baseline[Record the outcomes in the baseline]' \
        '*--tolerance[Allowed drop of a metric below the baseline]:X:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--no-cache[Do not read or write cached replies]' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_classify() {
    local line state
    _arguments -s -S \
        '*--label[Labels (repeatable); @FILE has one per line]:A,B|NAME=TEXT|@FILE:_files' \
        '*-l[Labels (repeatable); @FILE has one per line]:A,B|NAME=TEXT|@FILE:_files' \
        '*--examples[Labelled example texts (.jsonl or .csv)]:FILE:_files' \
        '*--prior[Relative label frequencies]:A=9,B=1:' \
        '*--calibrate[Fit scores to labelled texts and save the fit]:FILE:_files' \
        '*--no-fit[Ignore the fit saved by --calibrate]' \
        '*--raw[Do not correct scores for model bias]' \
        '*--balanced[Assume equally frequent labels in a batch]' \
        '*--min-confidence[Abstain if the best score is below P]:P:' \
        '*--min-margin[Abstain if the second score is closer than M]:M:' \
        '*--min-coverage[Abstain if the labels total less than Z]:Z:' \
        '*--overflow[Reject or split a text that is too long]: :(error chunk)' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--multi[Allow any number of labels]' \
        '*--form[Form of the prompt]: :(chat completion)' \
        '*--top[Print the K best labels]:K:' \
        '*--scores[Print scores with the labels]' \
        '*--explain[Show which sentences determine the label]' \
        '*--expect[Exit 15 for any other label (repeatable)]:LABEL:' \
        '*--fail-on[Exit 15 for this label (repeatable)]:LABEL:' \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--each[Run once per line, JSON line, row or file]: :(line jsonl csv file)' \
        '*--field[Column or key of the text]:NAME:' \
        '*--jsonl[Write rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'eval:Measure accuracy, macro-F1 and calibration on labelled texts'
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
        '*--label[Labels (repeatable); @FILE has one per line]:A,B|NAME=TEXT|@FILE:_files' \
        '*-l[Labels (repeatable); @FILE has one per line]:A,B|NAME=TEXT|@FILE:_files' \
        '*--examples[Labelled example texts (.jsonl or .csv)]:FILE:_files' \
        '*--prior[Relative label frequencies]:A=9,B=1:' \
        '*--calibrate[Fit scores to labelled texts and save the fit]:FILE:_files' \
        '*--no-fit[Ignore the fit saved by --calibrate]' \
        '*--raw[Do not correct scores for model bias]' \
        '*--balanced[Assume equally frequent labels in a batch]' \
        '*--text-field[Column of the text]:NAME:' \
        '*--label-field[Column of the label]:NAME:' \
        '*--split[Use only rows whose `split` is NAME]:NAME:' \
        '*--baselines[Compare with labels generated as text]' \
        '*--compare[Compare both forms, with and without --raw]' \
        '*--plot[Plot reliability and confusion (.svg, .png, .pdf)]:FILE:_files' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--multi[Allow any number of labels]' \
        '*--form[Form of the prompt]: :(chat completion)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--length[short, medium, long, '\''100 words'\'' or '\''3 sentences'\'']:LENGTH:' \
        '*--style[Style of the summary]: :(paragraph bullets headline tldr)' \
        '*--focus[Topic to focus on]:TEXT:' \
        '*--sections[Summarize each top-level section separately]' \
        '*--strategy[How to process a long text]: :(auto stuff map-reduce refine)' \
        '*--chunk-tokens[Maximum tokens per chunk]:N:' \
        '*--together[Write one summary of all files]' \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--no-stream[Print output only when it is complete]' \
        '*--each[Run once per line, JSON line, row or file]: :(line jsonl csv file)' \
        '*--field[Column or key of the text]:NAME:' \
        '*--jsonl[Write rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_translate() {
    _arguments -s -S \
        '*--to[Target language (German, de)]:LANG:' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--from[Source language]:LANG:' \
        '*--format[Document format]: :(auto txt md html srt vtt po json)' \
        '*--bilingual[Print each segment above its translation (txt, srt, vtt)]' \
        '*--strict[Exit 17 without output if a segment is not translated]' \
        '*--glossary[Terms and their translations (two columns)]:FILE.csv:_files' \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--no-stream[Print output only when it is complete]' \
        '*--each[Run once per line, JSON line, row or file]: :(line jsonl csv file)' \
        '*--field[Column or key of the text]:NAME:' \
        '*--jsonl[Write rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--check[Check the syntax]' \
        '*--no-check[Check the syntax]' \
        '*--repair[Maximum repair attempts]:N:' \
        '*--tidy[Format the code if a formatter is on PATH]' \
        '*--no-tidy[Format the code if a formatter is on PATH]' \
        '*--strict[Print nothing if the code has an error]' \
        '*--run-tests[Test the code with CMD; {} is its file]:CMD:' \
        '*--test-timeout[Time limit for CMD]:SECONDS:' \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--each[Run once per line, JSON line, row or file]: :(line jsonl csv file)' \
        '*--field[Column or key of the text]:NAME:' \
        '*--jsonl[Write rows as JSON lines]' \
        '*--resume[Resume the batch saved in -o FILE]' \
        '*--overwrite[Replace the batch saved in -o FILE]' \
        '*--limit[Process only the first N records]:N:' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'explain:Explain what code does'
            'review:Review a diff and list problems by line'
            'fix:Fix code\: print a patch, or change the file with --write'
            'complete:Complete code at a position, with a fill-in-the-middle model'
            'tests:Write tests for code; they run only with --run-tests'
            'commit:Write a commit message for the staged changes'
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
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--no-stream[Print output only when it is complete]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_review() {
    _arguments -s -S \
        '*--staged[Review the changes staged in git]' \
        '*--fail-on[Exit 15 on findings this severe or worse]: :(error warning note)' \
        '*--sarif[Print SARIF 2.1.0 (for CI)]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_fix() {
    _arguments -s -S \
        '*--error[Error message; - is stdin]:TEXT:' \
        '*-e[Error message; - is stdin]:TEXT:' \
        '*--write[Change FILE; save the original as FILE.orig]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--check[Check the syntax]' \
        '*--no-check[Check the syntax]' \
        '*--repair[Maximum repair attempts]:N:' \
        '*--tidy[Format the code if a formatter is on PATH]' \
        '*--no-tidy[Format the code if a formatter is on PATH]' \
        '*--strict[Print nothing if the code has an error]' \
        '*--run-tests[Test the code with CMD; {} is its file]:CMD:' \
        '*--test-timeout[Time limit for CMD]:SECONDS:' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_complete() {
    _arguments -s -S \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--strict[Print nothing if the code has an error]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--language[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*-l[Language\: python, js, ts, sh, rs, …]:LANG:' \
        '*--check[Check the syntax]' \
        '*--no-check[Check the syntax]' \
        '*--repair[Maximum repair attempts]:N:' \
        '*--tidy[Format the code if a formatter is on PATH]' \
        '*--no-tidy[Format the code if a formatter is on PATH]' \
        '*--strict[Print nothing if the code has an error]' \
        '*--run-tests[Test the code with CMD; {} is its file]:CMD:' \
        '*--test-timeout[Time limit for CMD]:SECONDS:' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--dry-run[Print the prompt and token count, then exit]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_commit() {
    _arguments -s -S \
        '*--body[Add a body with a list of changes]' \
        '*--hook[Print a prepare-commit-msg hook, then exit]' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--stats[Print token counts and timings to stderr]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_chat() {
    _arguments -s -S \
        '*--continue[Continue the last session of this directory]' \
        '*-c[Continue the last session of this directory]' \
        '*--session[Start or continue session NAME]:NAME:' \
        '*--no-save[Do not save the session]' \
        '*--overflow[How to make room when the context is full]: :(summarize drop)' \
        '*--system[System prompt]:TEXT:' \
        '*-s[System prompt]:TEXT:' \
        '*--template[Prompt template]:NAME|PATH:_files' \
        '*-t[Prompt template]:NAME|PATH:_files' \
        '*--param[Set a template input (repeatable)]:KEY=VALUE:' \
        '*-p[Set a template input (repeatable)]:KEY=VALUE:' \
        '*--think[Enable reasoning, shown on stderr]' \
        '*--no-think[Enable reasoning, shown on stderr]' \
        '*--max-tokens[Maximum reply tokens]:N:' \
        '*--temperature[Sampling temperature; 0 is deterministic]:T:' \
        '*--seed[Random seed, 0 to 4294967294]:N:' \
        '*--stop[Stop before TEXT (repeatable)]:TEXT:' \
        '*--top-p[Sample from tokens with total probability P]:P:' \
        '*--top-k[Sample from the top K tokens; 0 means all]:K:' \
        '*--min-p[Minimum probability, relative to the best]:P:' \
        '*--repeat-penalty[Penalty for repeated tokens; 1 disables it]:R:' \
        '*--file[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*-f[Read FILE (repeatable); - is stdin]:FILE:_files' \
        '*--no-stdin[Do not read stdin]' \
        '*--errors[How to handle invalid UTF-8]: :(strict replace)' \
        '*--each[Send each line of stdin as a message]: :(line)' \
        '*--json[Print events as JSON lines]' \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--parallel[Maximum parallel replies]:N:' \
        '*--kv-type[KV cache type; q8_0 uses half the memory]: :(f16 q8_0)' \
        '*--no-cache[Do not read or write the prompt cache]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
            'ls:List sessions, most recent first'
            'show:Show the messages and replies of a session'
            'rm:Remove sessions; exit 18 and remove none if one is in use'
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
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_show() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_rm() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, then exit]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_export() {
    _arguments -s -S \
        '*--output[Write to FILE instead of stdout]:FILE:_files' \
        '*-o[Write to FILE instead of stdout]:FILE:_files' \
        '*--format[Export format]: :(md json html)' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_search() {
    _arguments -s -S \
        '*--limit[Maximum number of hits]:N:' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
            'ls:List installed models\: the starter, the Hub cache and imported files'
            'info:Show a model'\''s architecture, size, context length, chat template and memory use'
            'pull:Download a model from the Hugging Face Hub'
            'rm:Remove a model'\''s files, in all revisions unless @REV selects one'
            'prune:Remove partial downloads, unused blobs and dangling links'
            'verify:Verify the file hashes of one model or all; exit 16 on a mismatch'
            'import:Copy a model file into the data folder'
            'alias:Set or remove a model alias; without arguments, list aliases'
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
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_info() {
    _arguments -s -S \
        '*--ctx-size[Context size in tokens]:N:' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_pull() {
    _arguments -s -S \
        '*--dry-run[Show what would be downloaded, then exit]' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_rm() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, then exit]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_prune() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, then exit]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_verify() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_import() {
    _arguments -s -S \
        '*--name[Model name]:NAME:' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_alias() {
    _arguments -s -S \
        '*--remove[Remove the alias]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_recommend() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
            'ls:List cached prompt prefixes, most recent first'
            'clear:Clear all caches'
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
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_cache_clear() {
    _arguments -s -S \
        '*--dry-run[Show what would be removed, then exit]' \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
            'show:Show all settings; environment variables override config.toml'
            'set:Set a key in config.toml, preserving comments and other keys'
            'unset:Remove a key from config.toml to restore its default'
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
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_config_set() {
    _arguments -s -S \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_config_unset() {
    _arguments -s -S \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_bench() {
    _arguments -s -S \
        '*--model[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*-m[Model\: starter, FILE.gguf, org/name\[\:QUANT\] or an alias]:REF:_files' \
        '*--quick[Finish in seconds instead of a minute]' \
        '*--n-parallel[Numbers of parallel replies]:N,N:' \
        '*--repetitions[Repetitions of each test]:N:' \
        '*-r[Repetitions of each test]:N:' \
        '*--threads[Number of CPU threads]:N:' \
        '*--n-gpu-layers[Layers to offload to the GPU]:auto|all|N:' \
        '*-ngl[Layers to offload to the GPU]:auto|all|N:' \
        '*--plot[Plot speed by parallel replies (.svg, .png, .pdf)]:FILE:_files' \
        '*--json[Print the result as JSON]' \
        '*--offline[Do not use the network]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_doctor() {
    _arguments -s -S \
        '*--json[Print the result as JSON]' \
        '*--quiet[Print only errors to stderr]' \
        '*-q[Print only errors to stderr]' \
        '*--color[When to use colours]: :(auto always never)' \
        '*--debug[Print logs and tracebacks to stderr]' \
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
