"""
Test Dags of your own without a key and without paying: the pytest fixture ``qwenimage`` (docs/testing.md).

pytest finds it by the entry point ``pytest11``, so nothing has to be imported or registered. ``plugin`` holds the
fixtures and is all that a run without them loads; ``local`` is what they give, ``s3`` the server that keeps the images.
Needs the extra ``[testing]``.
"""
