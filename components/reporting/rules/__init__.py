"""The rules of `verify`, by what they look at; see `headstart.components.reporting.verify`."""
