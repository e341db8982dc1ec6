"""The HTTP service: settings, schemas, routes, app; `python -m service`."""
