"""Published networks: what there is, how it is fetched, and the bundles it becomes."""
