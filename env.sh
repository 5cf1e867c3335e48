# The shell environment of the tree's own venv:
#
#     source env.sh
#
# Afterwards `cnn-perception`, `detector`, `mapper` and their siblings run from .venv, with ROS from
# there. Made by `make setup`; a robot with ROS from its distribution does not need this file.
# shellcheck shell=bash

if [ -n "${BASH_SOURCE:-}" ]; then
    _cnn_root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
else
    _cnn_root=$(cd "$(dirname "$0")" && pwd) # zsh: $0 is the sourced file
fi

# Two ROS installations must not mix: of one that was sourced before, neither the Python packages
# nor the libraries may be found. Other library folders, CUDA's for instance, stay.
_cnn_libraries=$(
    tr ':' '\n' <<< "${LD_LIBRARY_PATH:-}" |
        grep -vFf <(tr ':' '\n' <<< "${AMENT_PREFIX_PATH:-}" | sed '/^$/d; s:$:/:') |
        paste -sd: -
) || true
if [ -n "$_cnn_libraries" ]; then
    export LD_LIBRARY_PATH="$_cnn_libraries"
else
    unset LD_LIBRARY_PATH
fi
unset PYTHONPATH PYTHONHOME ROS_DISTRO
# Left behind in the processes of another venv with ROS wheels, this keeps ours from starting.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE

export AMENT_PREFIX_PATH="$_cnn_root/.venv"
export RMW_IMPLEMENTATION=rmw_fastrtps_cpp
case ":$PATH:" in
    *":$_cnn_root/.venv/bin:"*) ;;
    *) export PATH="$_cnn_root/.venv/bin:$PATH" ;;
esac

# What the user has set stays. Without the profile raw images are lost between processes.
export FASTDDS_DEFAULT_PROFILES_FILE="${FASTDDS_DEFAULT_PROFILES_FILE:-$_cnn_root/config/fastdds_large_images.xml}"
export ROS_AUTOMATIC_DISCOVERY_RANGE="${ROS_AUTOMATIC_DISCOVERY_RANGE:-LOCALHOST}"
export ROS_LOG_DIR="${ROS_LOG_DIR:-$_cnn_root/out/log}"

unset _cnn_root _cnn_libraries
