"""
Thousands of requests in one task; what is paid is never paid again.

::

    rows ─► items ─► fan-out ──► asking ──► storing ──► manifest
                        │           │           │
                      pacing     journal ◄──────┘      progress
"""
