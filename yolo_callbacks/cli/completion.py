"""Write scripts that complete the arguments of the command in a shell.

The scripts contain all words, so that a shell starts no Python for a completion. They are written from the parsers. No
library does that here: argcomplete starts Python for each completion, and shtab knows no arguments like `callbacks=`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from yolo_callbacks.cli.parser import Argument, Parser
from yolo_callbacks.cli.yolo_command import TASKS, yolo_arguments

__all__ = ["script"]

Commands = Mapping[str, tuple[str, Callable[[], Parser]]]

# The conditions of `case` are the words before the one that is completed; `value` is what follows `name=`.
_BASH = """\
# Completion of yolo-callbacks, written by: yolo-callbacks completion {shell}
_yolo_callbacks() {{
    local IFS=$'\\n'
    local line="${{COMP_LINE:0:$COMP_POINT}}"
    local rest="${{line#* }}"
    local cur="${{line##* }}"
    local before="${{line% *}}"
    local previous="${{before##* }}"
    local command="${{rest%% *}}"
    local words="" kinds="" prefix="" value=""
    COMPREPLY=()
    if [ "$command" = "$rest" ]; then
        words={commands}
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        return 0
    fi
    case "$command $previous" in
{options}
        *) case "$command" in
{arguments}
        esac ;;
    esac
    value="$cur"
    case "$cur" in
        *=*)
            prefix="${{cur%%=*}}="
            value="${{cur#*=}}"
            words="" kinds=""
            case "$command $prefix" in
{assignments}
            esac
            # bash splits a word at the characters of COMP_WORDBREAKS, zsh has none
            case "${{COMP_WORDBREAKS-}}" in *=*) prefix="" ;; esac ;;
    esac
    local found="" each
    [ -z "$words" ] || found="$(compgen -W "$words" -- "$value")"
    if [ -n "$kinds" ]; then
        [ -z "${{ZSH_VERSION-}}" ] || setopt localoptions no_nomatch
        for each in "$value"*; do
            if [ -d "$each" ]; then
                found="$found"$'\n'"$each/"
            elif [ -e "$each" ]; then
                case "$kinds $each" in "file "* | "yaml "*.yaml | "yaml "*.yml) found="$found"$'\n'"$each" ;; esac
            fi
        done
        # readline would escape the `=` of a word
        case "$words" in *=*) ;; *) compopt -o filenames 2>/dev/null ;; esac
    fi
    for each in $(printf '%s\n' "$found"); do
        COMPREPLY+=("$prefix$each")
    done
    case "${{COMPREPLY[*]-}}" in *=|*/) compopt -o nospace 2>/dev/null ;; esac
    return 0
}}
{register}
"""
_REGISTER = {
    "bash": "complete -F _yolo_callbacks yolo-callbacks",
    "zsh": "autoload -U +X bashcompinit && bashcompinit\ncomplete -o nospace -F _yolo_callbacks yolo-callbacks",
}


def script(shell: str, commands: Commands) -> str:
    """Return the script of a shell: bash, zsh or fish."""
    described = {name: (summary, _expanded(make().arguments)) for name, (summary, make) in commands.items()}
    return _fish(described) if shell == "fish" else _bash(shell, described)


Described = Mapping[str, tuple[str, Sequence[Argument]]]


def _expanded(arguments: Sequence[Argument]) -> list[Argument]:
    """Return the arguments with the names of callbacks and of Ultralytics' arguments in place of their kinds."""
    from yolo_callbacks.config.registry import own

    words = {
        "<callback>": tuple(own()),
        "<yolo>": (*(f"{name}=" for name in yolo_arguments() if name != "mode"), *TASKS),
    }
    return [
        replace(each, values=tuple(word for value in each.values for word in words.get(value, (value,))))
        for each in arguments
    ]


def _bash(shell: str, described: Described) -> str:
    options, arguments, assignments = [], [], []
    for command, (_, known) in described.items():
        words: list[str] = []
        for argument in known:
            if argument.options:
                words += argument.options
                if argument.takes_value:
                    pattern = "|".join(f'"{command} {option}"' for option in argument.options)
                    options.append(f"        {pattern}) {_sets(argument.values)} ;;")
            elif argument.prefix:
                words.append(argument.prefix)
                assignments.append(f'                "{command} {argument.prefix}") {_sets(argument.values)} ;;')
            else:
                words += argument.values
        if "model=" in words:
            assignments.append(f'                "{command} "*) kinds="file" ;;')
        arguments.append(f"            {command}) {_sets(words)} ;;")
    return _BASH.format(
        shell=shell,
        commands=_quoted([*described, "--help", "--version"]),
        options="\n".join(options),
        arguments="\n".join(arguments),
        assignments="\n".join(assignments),
        register=_REGISTER[shell],
    )


def _sets(values: Sequence[str]) -> str:
    """Return the assignment of words and kinds, as one statement of a shell."""
    words = [value for value in values if not value.startswith("<")]
    kinds = [value.strip("<>") for value in values if value.startswith("<")]
    return f"words={_quoted(words)} kinds={shlex.quote(' '.join(kinds))}"


def _quoted(words: Sequence[str]) -> str:
    """Return words as one string with a line for each."""
    return "$'" + "\\n".join(word.replace("\\", "\\\\").replace("'", "\\'") for word in words) + "'"


_FISH_VALUES = {
    "<folder>": "(__fish_complete_directories)",
    "<yaml>": "(__fish_complete_suffix .yaml; __fish_complete_suffix .yml)",
    "<file>": "(__fish_complete_path)",
}


def _fish(described: Described) -> str:
    lines = [
        "# Completion of yolo-callbacks, written by: yolo-callbacks completion fish",
        "complete -c yolo-callbacks -f",
        "complete -c yolo-callbacks -n __fish_use_subcommand -l help -d 'show the help'",
        "complete -c yolo-callbacks -n __fish_use_subcommand -l version -d 'show the versions'",
    ]
    for command, (summary, known) in described.items():
        lines.append(f"complete -c yolo-callbacks -n __fish_use_subcommand -a {command} -d {_fish_quoted(summary)}")
        start = f"complete -c yolo-callbacks -n '__fish_seen_subcommand_from {command}'"
        for argument in known:
            description = f" -d {_fish_quoted(argument.description)}" if argument.description else ""
            if argument.options:
                names = [f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in argument.options]
                values = f" -xa {_fish_values(argument.values)}" if argument.takes_value else ""
                lines.append(f"{start} {' '.join(names)}{values}{description}")
            elif argument.prefix:  # fish itself completes the file after `name=`
                words = [argument.prefix, *(f"{argument.prefix}{word}" for word in argument.values if word[0] != "<")]
                files = " -F" if "<yaml>" in argument.values else ""
                lines.append(f"{start}{files} -a {_fish_values(words)}{description}")
            elif argument.values:
                lines.append(f"{start} -a {_fish_values(argument.values)}{description}")
    return "\n".join(lines) + "\n"


def _fish_values(values: Sequence[str]) -> str:
    return _fish_quoted(" ".join(_FISH_VALUES.get(value, value) for value in values))


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
