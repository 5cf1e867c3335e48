"""Pages: HTML files that need nothing else, all in the look of ``style.css``, light and dark."""
