"""The subcommands of `headstart`, one module each; `cli.py` imports a module only when its command is called."""
