"""What goes wrong with a local stack, said so that a person can act on it."""


class StackError(Exception):
    """The stack cannot start, or cannot go on. The message is meant for people."""


class UnavailableError(StackError):
    """Something this machine lacks (a program, a platform); the message names it and the way out."""
