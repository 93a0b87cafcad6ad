"""The subcommands of `headstart`, one module each; `pipelines.cli` imports a module only when its command is called."""
