"""How the stages are wired and placed, and the `headstart` command line that runs them."""
