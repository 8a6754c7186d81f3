"""The one exception that means "you can mend this yourself".

`utils.cli.run` prints its message as one sentence and exits with code 2; any other exception is a
defect of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence


class UserError(Exception):
    """A user's mistake or a lack on this machine, said in one clear sentence."""


class MissingDataError(UserError):
    """A data set is not here; `alternatives` are embedded sets, the most similar one first."""

    def __init__(self, sentence: str, alternatives: Sequence[str]) -> None:
        self.sentence, self.alternatives = sentence, alternatives
        super().__init__(self.advice())

    def advice(self, choices: Collection[str] | None = None, option: str = "--dataset") -> str:
        """The sentence with the first alternative that is among a script's choices (None: all)."""
        for name in self.alternatives:
            if choices is None or name in choices:
                return f"{self.sentence}, or use the embedded set with `{option} {name}`."
        return f"{self.sentence}."


def confirm(holds: bool, words: str) -> None:
    """A script's check of its own result; `python -O` takes an `assert` away, but not this."""
    if not holds:
        raise AssertionError(words)
