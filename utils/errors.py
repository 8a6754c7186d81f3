"""The one exception that means "you can mend this yourself".

`utils.cli.run` prints its message as one sentence and exits with code 2; any other exception is a
defect of ours and keeps its traceback.
"""


class UserError(Exception):
    """A user's mistake or a lack on this machine, said in one clear sentence."""
