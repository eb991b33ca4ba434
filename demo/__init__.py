"""The demo (``python -m demo``, ``make demo``) and the local services it shares with the tests."""
