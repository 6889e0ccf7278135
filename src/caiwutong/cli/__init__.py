"""The command line.

``caiwutong up | init | demo | pay | payments | import | ledger | sandbox | bench | simulate |
audit | migrate``, each with ``--json``.

A command is a function of its arguments that returns what to print; errors of the house are told
in words with what helps, and end with exit status 1 (2: the command was not understood).
"""

from caiwutong.cli.main import main

__all__ = ["main"]
