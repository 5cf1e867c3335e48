"""Many bags: on one machine or a cluster, and only those that have changed."""
