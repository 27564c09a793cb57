# SPDX-License-Identifier: Apache-2.0
# bash completion of carnot. Options come from the program's own help, so that they are never out of date.

_carnot()
{
    local current=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} i

    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        mapfile -t COMPREPLY < <(compgen -W "run top trace aliasing-demo doctor calibrate help version --help --version" -- "$current")
        return
    fi
    if [[ $verb == help ]]; then
        mapfile -t COMPREPLY < <(compgen -W "run top trace aliasing-demo doctor calibrate version" -- "$current")
        return
    fi
    if [[ $verb == run || $verb == trace ]]; then
        # Behind "--", or behind the first word that is no option, the command has its own completion.
        for ((i = 2; i < COMP_CWORD; i++)); do
            if [[ ${COMP_WORDS[i]} == -- ]]; then
                if declare -F _command_offset > /dev/null; then
                    _command_offset $((i + 1))
                else
                    mapfile -t COMPREPLY < <(compgen -c -- "$current")
                fi
                return
            fi
        done
    fi
    case ${COMP_WORDS[COMP_CWORD - 1]} in
        --output | -o | --svg | --socket | --calibration.file | --path.*)
            mapfile -t COMPREPLY < <(compgen -f -- "$current")
            return
            ;;
        --agent)
            mapfile -t COMPREPLY < <(compgen -W "auto required never" -- "$current")
            return
            ;;
        --format | -f)
            mapfile -t COMPREPLY < <(compgen -W "$([[ $verb == calibrate ]] && echo carnot energat bio_pype || echo auto csv json svg)" -- "$current")
            return
            ;;
        --by)
            mapfile -t COMPREPLY < <(compgen -W "process cgroup user" -- "$current")
            return
            ;;
        --sort)
            mapfile -t COMPREPLY < <(compgen -W "power energy cpu pid name" -- "$current")
            return
            ;;
    esac
    if [[ $current == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(carnot help "$verb" 2> /dev/null | grep -o -- '--\(\[no-\]\)\?[a-z][a-z0-9.-]*' | sed 's/\[no-\]//' | sort -u)" -- "$current")
    fi
}

complete -F _carnot carnot
