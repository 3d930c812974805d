"""Run `yolo-callbacks completion`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from yolo_callbacks.cli.parser import Parser, one_of

__all__ = ["SHELLS", "parser", "print_completion"]

SHELLS = ("bash", "zsh", "fish")


def parser() -> Parser:
    """Return the parser."""
    made = Parser(
        "completion",
        "Print a script that completes commands, options, arguments, YAML files and folders in a shell.",
        "yolo-callbacks completion bash > ~/.local/share/bash-completion/completions/yolo-callbacks",
        "yolo-callbacks completion zsh > ~/.yolo-callbacks.zsh    # and in ~/.zshrc: source ~/.yolo-callbacks.zsh",
        "yolo-callbacks completion fish > ~/.config/fish/completions/yolo-callbacks.fish",
    )
    made.add_argument("shell", metavar="SHELL", type=one_of(SHELLS), completed=SHELLS, help=", ".join(SHELLS))
    return made


def print_completion(arguments: Sequence[str], commands: Mapping[str, tuple[str, Callable[[], Parser]]]) -> None:
    """Print the script of a shell.

    Args:
        arguments: The arguments of the command.
        commands: The summary and the parser of each command.
    """
    from yolo_callbacks.cli.completion import script

    print(script(parser().parse_args(arguments).shell, commands), end="")
