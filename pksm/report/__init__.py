"""How a document looks: pure functions of documents."""
