# bash completion for pksm; `pksm completion bash` prints it.
# What can stand at the end of the line, pksm itself says. It is read line by line and never evaluated.

_pksm() {
    local line="${COMP_LINE:0:COMP_POINT}" command="${COMP_WORDS[0]}" flags="" value word breaks="" kept=""
    COMPREPLY=()
    case "$command" in "~/"*) command="$HOME/${command#"~/"}" ;; esac
    word="${line##*[[:space:]]}"
    # readline takes a word to begin behind these, and keeps what stands before.
    case "$COMP_WORDBREAKS" in *:*) breaks=":" ;; esac
    case "$COMP_WORDBREAKS" in *=*) breaks="$breaks=" ;; esac
    if [ -n "$breaks" ]; then
        kept="${word%"${word##*[$breaks]}"}"
    fi
    {
        IFS= read -r flags
        while IFS=$'\t' read -r value _; do
            printf -v value %q "${value#"$kept"}"
            COMPREPLY+=("$value")
        done
    } < <("$command" completion --line "$line" 2>/dev/null)
    case " $flags " in *" more "*) compopt -o nospace 2>/dev/null ;; esac
    case " $flags " in
        *" command "*) while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -c -- "$word") ;;
        *" files "*)
            if [ "${#COMPREPLY[@]}" -eq 0 ]; then
                compopt -o default 2>/dev/null
            else
                while IFS= read -r value; do
                    if [ -d "$value" ]; then value="$value/"; fi
                    printf -v value %q "$value"
                    COMPREPLY+=("${value#"$kept"}")
                done < <(compgen -f -- "$word")
            fi
            ;;
    esac
}

complete -F _pksm pksm
