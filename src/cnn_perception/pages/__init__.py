"""Pages: HTML files that need nothing else, all of one look."""
