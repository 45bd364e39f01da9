"""The exit codes of the command line, and which error ends with which. docs/guide/command-line.md lists them."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ended."""

    DONE = 0
    PARTLY = 1
    """It failed, or records failed, were in conflict or are not there, or a verified view differs."""
    INVALID = 2
    """The command line or the command is not valid; nothing was written."""
    REFUSED = 3
    """It is valid, and the ledger refuses it as things stand; nothing was written."""
    STORE = 4
    """The store cannot be reached, is not migrated, or is not in order."""
    UNCONFIRMED = 5
    """It wants a yes or a token, and there was none, or one that is not good; nothing was written."""
    AGAIN = 6
    """A worker has reached its limit of units or memory and left in good order: start it again."""
    INTERRUPTED = 130
    """Ctrl-C, as shells count it."""
