# fish completion for pksm; `pksm completion fish` prints it.
# What can stand at the end of the line, pksm itself says. It is read line by line and never evaluated.

function __pksm_complete
    set -l command (commandline -opc)[1]
    set command (string replace -r '^~/' "$HOME/" -- $command)
    set -l answer ($command completion --line (commandline -cp | string collect) 2>/dev/null)
    set -l flags "$answer[1]"
    set -e answer[1]
    if test (count $answer) -gt 0
        printf '%s\n' $answer
    end
    if string match -q '*command*' -- $flags
        complete -C (commandline -ct)
    else if string match -q '*files*' -- $flags
        __fish_complete_path (commandline -ct)
    end
end

complete -c pksm -f -a '(__pksm_complete)'
