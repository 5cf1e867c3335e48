"""ROS messages read by attribute and made, without ROS; and why one of them is not used."""

from __future__ import annotations

from cnn_perception.errors import PerceptionError

__all__ = ["DROP_REASONS", "drop_reason"]

DROP_REASONS: dict[str, str] = {
    "bad_intrinsics": "camera_info is uncalibrated, not finite, or for an image without pixels",
    "bad_labels": "label_info gives one class id two names",
    "bad_transform": "a transform is not a rigid motion between two named frames",
    "cleared": "the message waited for a partner when the node stopped or was reset",
    "corrupt_image": "compressed data do not decode",
    "duplicate_stamp": "a second message of the same topic and stamp replaced it",
    "empty_image": "the image has no pixels",
    "frame_mismatch": "a depth image and its camera_info, or its mask, are of different frames",
    "image_too_large": "compressed data claim more pixels than a camera has",
    "internal_error": "a defect of the node's package; the log has the traceback",
    "late": "the message is older than a pair that was already processed",
    "map_failed": "the map could not take the scan in",
    "missing_fields": "a point cloud lacks x, y or z, or has them in an unusable type",
    "model_failed": "the network did not answer as its model.yaml says",
    "no_labels": "a mask came before any label_info, so nobody knows what its class ids mean",
    "no_match": "no camera_info came, or no depth near the image's stamp",
    "no_transform": "the transform at the stamp did not come in time, or never can",
    "not_explainable": "the network's answer to this image cannot be explained as asked",
    "odd_size": "the encoding cannot have this width or height",
    "rate_limited": "max_rate is reached: the image came too soon after the last explained one",
    "sensor_off_map": "the sensor is where a map of this resolution does not reach",
    "size_mismatch": "an image and its camera_info, or its mask, differ in size",
    "stopped": "the node was deactivated before the message's turn came",
    "superseded": "a newer message came before this one's turn",
    "time_went_back": "the message still waited when time jumped back",
    "truncated_data": "there are fewer bytes than the message's own fields say",
    "unknown_encoding": "the encoding or format cannot be used for this input",
    "unpaired": "no message with a matching stamp came on the other topic",
    "unread": "nobody subscribes to any output of the explainer",
    "waited_too_long": "too many scans wait for their transforms or camera_infos",
    "wrong_step": "a row or point step is shorter than its content",
}
"""Every reason of a MessageError, and every other under which a message is counted as dropped."""


def drop_reason(error: Exception) -> str:
    """Return the reason under which a message is counted whose processing raised this."""
    return error.reason if isinstance(error, PerceptionError) else "internal_error"
