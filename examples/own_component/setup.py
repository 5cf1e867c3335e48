"""Build description of own_component (ament_python): used by colcon and by pip."""

from setuptools import setup

PACKAGE = "own_component"

setup(
    name=PACKAGE,
    version="0.1.0",
    description="People counted in a zone of the image: a component of cnn_perception's kind",
    maintainer="cnn_perception maintainers",
    maintainer_email="maintainers@cnn-perception.example",
    license="Apache-2.0",
    packages=[PACKAGE],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
    ],
    zip_safe=False,
    python_requires=">=3.10",
    install_requires=["setuptools"],
    extras_require={"test": ["pytest"]},
    entry_points={
        # By this name a plan of `cnn-perception replay` asks for it.
        "cnn_perception.components": [
            f"people_counter = {PACKAGE}.people_counter:PeopleCounter",
        ],
        "console_scripts": [f"people_counter = {PACKAGE}.node:main"],
    },
)
