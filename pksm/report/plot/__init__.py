"""Pictures of documents, fit for a paper: one file per picture; drawn by matplotlib, the extra `plot`."""
