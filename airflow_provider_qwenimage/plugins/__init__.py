"""What Airflow's user interface shows of this provider."""
