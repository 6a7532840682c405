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
            'classify:Say which label fits a text, with a score for each'
            'sum:Summarize files or standard input, however long'
            'translate:Translate a text or a document; what is not language stays as it is'
            'code:Write code that parses; explain, review, mend and complete it'
            'chat:Converse with a model, at the terminal or through a pipe'
            'sessions:List, show, search, export and remove kept conversations'
            'models:List models, look into them, fetch and remove them'
            'cache:List the prompts kept for reuse, and throw them away'
            'config:Show the settings and change them'
            'bench:Measure how fast a model loads, reads and writes here'
            'doctor:Say what is installed, what this machine offers, and what to change'
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
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--each[A batch\: one call for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column of a batch that is the text]:NAME:' \
        '*--resume[Go on with the batch whose results -o FILE holds]' \
        '*--overwrite[Replace what -o FILE holds of an earlier batch]' \
        '*--limit[Only the first N records of a batch]:N:' \
        '*--jsonl[Write a batch as JSON lines]' \
        '*--samples[How many replies to write]:N:' \
        '*-n[How many replies to write]:N:' \
        '*--schema[The JSON to reply with\: '\''name, age int, tags list'\'', or a JSON Schema]:TEXT|FILE:_files' \
        '*--grammar[A GBNF grammar that the reply follows]:FILE:_files' \
        '*--regex[A regular expression that the whole reply matches]:TEXT:' \
        '*--logprobs[Tell each token'\''s log-probability, and those of the N likeliest]:N:' \
        '*--prefill[How the reply begins; not printed]:TEXT:' \
        '*--extract[Print the code of the reply alone; 17 without any]' \
        '*-x[Print the code of the reply alone; 17 without any]' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--log[Keep prompt and reply in a session, log-YEAR-MONTH]' \
        '*--no-log[Keep prompt and reply in a session, log-YEAR-MONTH]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_run() {
    _arguments -s -S \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--each[A batch\: one call for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column of a batch that is the text]:NAME:' \
        '*--resume[Go on with the batch whose results -o FILE holds]' \
        '*--overwrite[Replace what -o FILE holds of an earlier batch]' \
        '*--limit[Only the first N records of a batch]:N:' \
        '*--jsonl[Write a batch as JSON lines]' \
        '*--samples[How many replies to write]:N:' \
        '*-n[How many replies to write]:N:' \
        '*--schema[The JSON to reply with\: '\''name, age int, tags list'\'', or a JSON Schema]:TEXT|FILE:_files' \
        '*--grammar[A GBNF grammar that the reply follows]:FILE:_files' \
        '*--regex[A regular expression that the whole reply matches]:TEXT:' \
        '*--logprobs[Tell each token'\''s log-probability, and those of the N likeliest]:N:' \
        '*--prefill[How the reply begins; not printed]:TEXT:' \
        '*--extract[Print the code of the reply alone; 17 without any]' \
        '*-x[Print the code of the reply alone; 17 without any]' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--log[Keep prompt and reply in a session, log-YEAR-MONTH]' \
        '*--no-log[Keep prompt and reply in a session, log-YEAR-MONTH]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
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
            'ls:List the templates\: your own, and the built-in ones that they do not hide'
            'show:Show a template\: its file, with --json as it is understood, or rendered'
            'schema:Print the JSON Schema of template files, for editors'
            'new:Write a template to start from into your folder, and print its path'
            'import:Take in a template of llm, fabric or prompty, and print the new file'\''s path'
            'lint:Check templates\: what is wrong in a file and where, and what could be better'
            'test:Run the tests of templates on one model or several; 17 when one fails'
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
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_show() {
    _arguments -s -S \
        '*--rendered[Show the messages; what is not given is <name>]' \
        '*--tokens[Count the tokens of the messages as well]' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--json[Print the whole result as JSON]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_schema() {
    _arguments -s -S \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_new() {
    _arguments -s -S \
        '*--from[Extend this template; it may be its own]:NAME:' \
        '*--task[What it is for]: :(gen sum classify translate code chat)' \
        '*--force[Replace a file that is there]' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_import() {
    _arguments -s -S \
        '*--name[The new template'\''s name]:NAME:' \
        '*--format[What FILE is; found out if left out]: :(llm fabric prompty)' \
        '*--output[Write it there; - is stdout]:FILE:_files' \
        '*-o[Write it there; - is stdout]:FILE:_files' \
        '*--force[Replace a file that is there]' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_lint() {
    _arguments -s -S \
        '*--strict[Let warnings fail as errors do]' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_prompts_test() {
    _arguments -s -S \
        '*--model[A model to test on; may be repeated]:REF:_files' \
        '*-m[A model to test on; may be repeated]:REF:_files' \
        '*--split[Only rows of a dataset with this split]:NAME:' \
        '*--junit[Write a report for a CI system there]:FILE:_files' \
        '*--baseline[What failed there may fail again]:FILE:_files' \
        '*--update-baseline[Write the outcomes to the baseline]' \
        '*--tolerance[How much a metric may fall below the baseline]:X:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--no-cache[Keep no replies on disk, and read none]' \
        '*--json[Print the whole result as JSON]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_classify() {
    local line state
    _arguments -s -S \
        '*--label[Labels; may be repeated]:A,B|NAME=TEXT|@FILE:_files' \
        '*-l[Labels; may be repeated]:A,B|NAME=TEXT|@FILE:_files' \
        '*--template[A template with labels (sentiment, …)]:NAME|PATH:_files' \
        '*-t[A template with labels (sentiment, …)]:NAME|PATH:_files' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--examples[Labelled texts to learn from\: .jsonl or .csv]:FILE:_files' \
        '*--multi[Any number of labels may fit]' \
        '*--prior[How frequent each label is; all alike if left out]:A=9,B=1:' \
        '*--calibrate[Fit the scores to labelled texts, and keep the fit]:FILE:_files' \
        '*--raw[The model'\''s own scores, its favourites not taken out]' \
        '*--no-fit[Leave a fit aside that --calibrate has kept]' \
        '*--balanced[Assume that all labels are about as frequent in this batch, and score by that]' \
        '*--form[How the model is asked; the template'\''s own if left out]: :(chat completion)' \
        '*--top[Print the K best labels]:K:' \
        '*--scores[Print scores, not the label alone]' \
        '*--min-confidence[No label below this score; ends in 15 but in a batch]:P:' \
        '*--min-margin[The same, of the best score less the second]:M:' \
        '*--min-coverage[The same, of what the model gives all labels together]:Z:' \
        '*--fail-on[End in 15 if this is the label; may be repeated]:LABEL:' \
        '*--expect[End in 15 if this is not the label; may be repeated]:LABEL:' \
        '*--explain[Show which sentences speak for the label]' \
        '*--overflow[A text longer than the context\: an error, or in parts]: :(error chunk)' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--each[A batch\: one call for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column of a batch that is the text]:NAME:' \
        '*--resume[Go on with the batch whose results -o FILE holds]' \
        '*--overwrite[Replace what -o FILE holds of an earlier batch]' \
        '*--limit[Only the first N records of a batch]:N:' \
        '*--jsonl[Write a batch as JSON lines]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
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
        '*--text-field[The column of the text]:NAME:' \
        '*--label-field[The column of the label]:NAME:' \
        '*--split[Only the rows whose `split` is this]:NAME:' \
        '*--label[Labels; may be repeated]:A,B|NAME=TEXT|@FILE:_files' \
        '*-l[Labels; may be repeated]:A,B|NAME=TEXT|@FILE:_files' \
        '*--template[A template with labels (sentiment, …)]:NAME|PATH:_files' \
        '*-t[A template with labels (sentiment, …)]:NAME|PATH:_files' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--examples[Labelled texts to learn from\: .jsonl or .csv]:FILE:_files' \
        '*--multi[Any number of labels may fit]' \
        '*--prior[How frequent each label is; all alike if left out]:A=9,B=1:' \
        '*--calibrate[Fit the scores to labelled texts, and keep the fit]:FILE:_files' \
        '*--raw[The model'\''s own scores, its favourites not taken out]' \
        '*--no-fit[Leave a fit aside that --calibrate has kept]' \
        '*--balanced[Assume that all labels are about as frequent in this batch, and score by that]' \
        '*--form[How the model is asked; the template'\''s own if left out]: :(chat completion)' \
        '*--baselines[Also let the model write labels, as others do]' \
        '*--compare[Measure both forms, and with and without anchors]' \
        '*--plot[Draw reliability and confusion\: .svg, .png or .pdf]:FILE:_files' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sum() {
    _arguments -s -S \
        '*--length[short, medium, long, '\''100 words'\'', '\''3 sentences'\'', 5]:LENGTH:' \
        '*--style[What it looks like]: :(paragraph bullets headline tldr)' \
        '*--focus[What it is about first of all]:TEXT:' \
        '*--sections[One summary for each top-level section]' \
        '*--together[One summary of all files, not one for each]' \
        '*--strategy[As a whole, by notes on all parts, or part by part]: :(auto stuff map-reduce refine)' \
        '*--chunk-tokens[The longest part, in tokens (1024)]:N:' \
        '*--template[The prompt of the summary]:NAME|PATH:_files' \
        '*-t[The prompt of the summary]:NAME|PATH:_files' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--each[A batch\: one call for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column of a batch that is the text]:NAME:' \
        '*--resume[Go on with the batch whose results -o FILE holds]' \
        '*--overwrite[Replace what -o FILE holds of an earlier batch]' \
        '*--limit[Only the first N records of a batch]:N:' \
        '*--jsonl[Write a batch as JSON lines]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_translate() {
    _arguments -s -S \
        '*--to[A language\: German, de, pt-BR]:LANG:' \
        '*--from[The text'\''s language; auto finds it out]:LANG:' \
        '*--format[The text'\''s format; auto goes by its name, then its text]: :(auto txt md html srt vtt po json)' \
        '*--glossary[Terms and their translations, in two columns]:FILE.csv:_files' \
        '*--bilingual[Keep each passage above its translation (txt, srt, vtt)]' \
        '*--strict[End in 17, with no output, if a passage stays as it was]' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--each[A batch\: one call for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column of a batch that is the text]:NAME:' \
        '*--resume[Go on with the batch whose results -o FILE holds]' \
        '*--overwrite[Replace what -o FILE holds of an earlier batch]' \
        '*--limit[Only the first N records of a batch]:N:' \
        '*--jsonl[Write a batch as JSON lines]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code() {
    local line state
    _arguments -s -S \
        '*--language[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*-l[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*--check[Look at the syntax of what was written]' \
        '*--no-check[Look at the syntax of what was written]' \
        '*--repair[Rounds of repair at most]:N:' \
        '*--tidy[Lay it out with a formatter on PATH]' \
        '*--no-tidy[Lay it out with a formatter on PATH]' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--run-tests[Run CMD on the code; {} is its file]:CMD:' \
        '*--test-timeout[Stop CMD after so long]:SECONDS:' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--each[A batch\: one call for each line, JSON line, CSV row or file]: :(line jsonl csv file)' \
        '*--field[The column of a batch that is the text]:NAME:' \
        '*--resume[Go on with the batch whose results -o FILE holds]' \
        '*--overwrite[Replace what -o FILE holds of an earlier batch]' \
        '*--limit[Only the first N records of a batch]:N:' \
        '*--jsonl[Write a batch as JSON lines]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '1: :->command' \
        '*:: :->rest'
    case $state in
    command)
        local -a commands=(
            'explain:Say in words what some code does'
            'review:Review a diff\: what is wrong, and in which line'
            'fix:Mend code that fails\: print a patch, and change nothing unless --write says so'
            'complete:Fill a gap in a file, by the model'\''s own tokens for that'
            'tests:Write tests for some code; they are printed and not run'
            'commit:Write a message for what git has staged\: type(scope)\: subject, in 72 characters'
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
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--no-stream[Print the reply when it is complete]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_review() {
    _arguments -s -S \
        '*--staged[Review what git has staged here]' \
        '*--fail-on[End in 15 if there is a finding as bad as this, or worse]: :(error warning note)' \
        '*--sarif[Print SARIF 2.1.0, for CI]' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_fix() {
    _arguments -s -S \
        '*--error[How it fails; - is stdin]:TEXT:' \
        '*-e[How it fails; - is stdin]:TEXT:' \
        '*--write[Change FILE; the old one stays as FILE.orig]' \
        '*--language[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*-l[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*--check[Look at the syntax of what was written]' \
        '*--no-check[Look at the syntax of what was written]' \
        '*--repair[Rounds of repair at most]:N:' \
        '*--tidy[Lay it out with a formatter on PATH]' \
        '*--no-tidy[Lay it out with a formatter on PATH]' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--run-tests[Run CMD on the code; {} is its file]:CMD:' \
        '*--test-timeout[Stop CMD after so long]:SECONDS:' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_complete() {
    _arguments -s -S \
        '*--language[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*-l[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_tests() {
    _arguments -s -S \
        '*--framework[What runs the tests, such as pytest]:NAME:' \
        '*--language[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*-l[python, js, ts, sh, rs, sql, … ]:LANG:' \
        '*--check[Look at the syntax of what was written]' \
        '*--no-check[Look at the syntax of what was written]' \
        '*--repair[Rounds of repair at most]:N:' \
        '*--tidy[Lay it out with a formatter on PATH]' \
        '*--no-tidy[Lay it out with a formatter on PATH]' \
        '*--strict[Print nothing rather than code with an error]' \
        '*--run-tests[Run CMD on the code; {} is its file]:CMD:' \
        '*--test-timeout[Stop CMD after so long]:SECONDS:' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--dry-run[Print the rendered prompt and its token count; run nothing]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_code_commit() {
    _arguments -s -S \
        '*--body[Write points below the subject]' \
        '*--hook[Print a prepare-commit-msg hook, and run no model]' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--no-think[Let a reasoning model think; its reasoning goes to stderr]' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--stats[Say on stderr where the time went]' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_chat() {
    _arguments -s -S \
        '*--session[Begin this session, or go on with it]:NAME:' \
        '*--continue[Go on with the last session of this directory]' \
        '*-c[Go on with the last session of this directory]' \
        '*--no-save[Keep nothing of this conversation]' \
        '*--system[The system prompt]:TEXT:' \
        '*-s[The system prompt]:TEXT:' \
        '*--template[The prompt template]:NAME|PATH:_files' \
        '*-t[The prompt template]:NAME|PATH:_files' \
        '*--param[A value for the template; may be repeated]:KEY=VALUE:' \
        '*-p[A value for the template; may be repeated]:KEY=VALUE:' \
        '*--overflow[What becomes of the oldest turns in a full context]: :(summarize drop)' \
        '*--each[Every line of standard input is a message of its own]: :(line)' \
        '*--json[Print events as JSON lines; the last is the turn]' \
        '*--think[Let a thinking model think; it is folded away]' \
        '*--no-think[Let a thinking model think; it is folded away]' \
        '*--file[Material; may be repeated]:FILE:_files' \
        '*-f[Material; may be repeated]:FILE:_files' \
        '*--no-stdin[Do not look at standard input]' \
        '*--errors[What to do with input that is not UTF-8]: :(strict replace)' \
        '*--max-tokens[Tokens of the reply at the most; left out, as the task says]:N:' \
        '*--temperature[Randomness; 0 always takes the likeliest]:T:' \
        '*--top-p[Only the likeliest tokens that make up P together]:P:' \
        '*--top-k[Only the K likeliest tokens; 0 is off]:K:' \
        '*--min-p[Drop tokens rarer than P x the likeliest]:P:' \
        '*--repeat-penalty[Above 1 discourages repetition, below 1 invites it]:R:' \
        '*--seed[Makes a run repeatable\: 0 to 4294967294]:N:' \
        '*--stop[End the reply before this text; may be repeated]:TEXT:' \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--parallel[Replies written together, at most (32)]:N:' \
        '*--kv-type[How the context is kept in memory; q8_0 takes half]: :(f16 q8_0)' \
        '*--no-cache[Keep no evaluated prompts on disk, and read none]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
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
            'ls:List the sessions, the last used first'
            'show:Show a session\: what was asked, and what was answered'
            'rm:Remove sessions, all of them or none; 18 when one is open in another process'
            'export:Write a session as Markdown, as JSON, or as a page of HTML that needs nothing else'
            'search:Find words in all sessions\: in what was asked, in replies and in attached files'
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
        '*--here[Only those that were begun in this directory]' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_show() {
    _arguments -s -S \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_rm() {
    _arguments -s -S \
        '*--dry-run[Say what would be removed, and remove nothing]' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_export() {
    _arguments -s -S \
        '*--output[Write the result there, not to stdout]:FILE:_files' \
        '*-o[Write the result there, not to stdout]:FILE:_files' \
        '*--format[As which; else by the name of FILE, or md]: :(md json html)' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_sessions_search() {
    _arguments -s -S \
        '*--limit[Hits that are shown, at most]:N:' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
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
            'ls:List the models that are here\: the starter model, the Hub'\''s cache, imported files'
            'info:Say what a model is\: architecture, size, context, template, and whether it fits in memory'
            'pull:Fetch a model from the Hub\: resumed where it was cut, verified, in the Hub'\''s own cache'
            'rm:Remove a model'\''s files; without @REV, from every revision'
            'prune:Remove what nothing uses\: cut downloads, blobs without a name, dangling links'
            'verify:Compare the hashes of one model'\''s files, or of all; 16 when one is wrong'
            'import:Take a model file into the data folder, under a name of its own'
            'alias:Give a model another name; without arguments, list the aliases'
            'recommend:Name the models that fit this machine, best first, and say why'
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
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_info() {
    _arguments -s -S \
        '*--ctx-size[Context in tokens; sized by need if left out]:N:' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_pull() {
    _arguments -s -S \
        '*--dry-run[Say what would be fetched, and fetch nothing]' \
        '*--json[Print the whole result as JSON]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_rm() {
    _arguments -s -S \
        '*--dry-run[Say what would be removed, and remove nothing]' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_prune() {
    _arguments -s -S \
        '*--dry-run[Say what would be removed, and remove nothing]' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_verify() {
    _arguments -s -S \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_import() {
    _arguments -s -S \
        '*--name[Its name; the file'\''s without .gguf]:NAME:' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_alias() {
    _arguments -s -S \
        '*--remove[Take the alias away]' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_models_recommend() {
    _arguments -s -S \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
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
            'ls:List the beginnings of prompts that are kept, the last used first'
            'clear:Remove all that is kept for reuse; the next runs are slower once'
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
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_cache_clear() {
    _arguments -s -S \
        '*--dry-run[Say what would be removed, and remove nothing]' \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
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
            'show:Show every setting as it is in force\: variables win over config.toml'
            'set:Set a key of config.toml; comments and other keys stay'
            'unset:Take a key out of config.toml, so that its default is in force'
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
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_config_set() {
    _arguments -s -S \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_config_unset() {
    _arguments -s -S \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_bench() {
    _arguments -s -S \
        '*--model[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*-m[starter, FILE.gguf, org/name\[\:QUANT\], an alias]:REF:_files' \
        '*--quick[A few seconds instead of a minute; rougher]' \
        '*--n-parallel[Replies at once (1,2,4,8,16,32; fewer with --quick)]:N,N:' \
        '*--repetitions[How often each figure is measured (3; 1 with --quick)]:N:' \
        '*-r[How often each figure is measured (3; 1 with --quick)]:N:' \
        '*--threads[Processor threads; as suits the machine if left out]:N:' \
        '*--n-gpu-layers[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*-ngl[Layers on the GPU; auto if left out]:auto|all|N:' \
        '*--plot[Draw speed over replies at once\: .svg, .png or .pdf]:FILE:_files' \
        '*--json[Print the whole result as JSON]' \
        '*--offline[Use no network]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
        '*--help[Show the help and exit]' \
        '*-h[Show the help and exit]' \
        '*: :_files'
}

_llmtool_doctor() {
    _arguments -s -S \
        '*--json[Print the whole result as JSON]' \
        '*--color[When to colour]: :(auto always never)' \
        '*--quiet[No notes on stderr, only errors]' \
        '*-q[No notes on stderr, only errors]' \
        '*--debug[Log and show tracebacks on stderr]' \
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
