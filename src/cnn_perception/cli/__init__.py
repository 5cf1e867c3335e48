"""The ``cnn-perception`` command."""
