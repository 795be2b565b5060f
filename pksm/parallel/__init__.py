"""Many tasks side by side: in processes of our own, or on a Dask cluster."""
