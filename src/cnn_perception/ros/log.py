"""What a component logs, in the node's own log and on /rosout."""

from __future__ import annotations

import logging

from rclpy.node import Node

__all__ = ["NodeLog"]


class NodeLog(logging.Handler):
    """Hands the records of `logger` to a node's logger, until it is closed."""

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._log = node.get_logger()
        self.logger = logging.getLogger(f"cnn_perception{node.get_fully_qualified_name()}")
        self.logger.setLevel(logging.INFO)
        self.logger.addHandler(self)
        self.logger.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Log a record by its severity."""
        if record.levelno >= logging.ERROR:
            self._log.error(record.getMessage())
        elif record.levelno >= logging.WARNING:
            self._log.warning(record.getMessage())
        else:
            self._log.info(record.getMessage())

    def close(self) -> None:
        """Hear of no further records."""
        self.logger.removeHandler(self)
        super().close()
