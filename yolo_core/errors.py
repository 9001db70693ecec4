"""The one exception that speaks to the reader.

Inside: `InputError`.
"""


class InputError(ValueError):
    """Input that cannot be used, told in one sentence.

    The message names the file or option at fault, what was expected, what came, and what to do.
    The command line prints it after `error:` and exits with status 2; nothing half-written stays behind.
    """
