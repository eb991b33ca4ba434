"""From what the author meant to bytes on the wire and back. Pure: no I/O, no clock, no Airflow, no HTTP library."""
