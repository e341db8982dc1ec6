"""Load and faults against the real server process over loopback: ``make soak``.

The test suite runs the same code in short forms. Only the public contract of docs/http-api.md is
relied on, and the tables of the store where that says nothing.
"""
