"""The node's main program; alone it needs ROS."""

from cnn_perception.ros.run import run
from own_component.people_counter import PeopleCounter


def main() -> None:
    """Run the component as a lifecycle node until Ctrl-C."""
    run(PeopleCounter)


if __name__ == "__main__":
    main()
