"""Build the message packages beside this file into a venv whose ROS 2 comes from PyPI wheels.

    pip install --no-build-isolation ./interfaces

The wheels bring the rosidl generators but neither vision_msgs, octomap_msgs and tf2_msgs nor our
own cnn_perception_msgs. Each folder beside this file with a package.xml becomes an importable
message package with C type support for Fast DDS: the generators write the sources, setuptools'
compiler compiles and links them; no CMake, no ament. A robot with ROS from its distribution has the
originals of the first three and builds the fourth by colcon (docs/robot.md); it needs nothing of
this.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

HERE = Path(__file__).resolve().parent
PREFIX = Path(sys.prefix)
GENERATED = HERE / "build" / "rosidl"
PACKAGES = sorted(path.parent.name for path in HERE.glob("*/package.xml"))
# Packages whose messages ours contain; service_msgs and builtin_interfaces come in with services.
DEPENDENCIES = ("builtin_interfaces", "geometry_msgs", "sensor_msgs", "service_msgs", "std_msgs")
TYPE_SUPPORTS = ("rosidl_typesupport_fastrtps_c", "rosidl_typesupport_introspection_c")
RUNTIME_LIBRARIES = (
    "rosidl_runtime_c",
    "rosidl_typesupport_c",
    "rosidl_typesupport_fastrtps_c",
    "rosidl_typesupport_fastrtps_cpp",
    "rosidl_typesupport_introspection_c",
    "fastcdr",
    "rmw",
    "rcutils",
)
# Generated code is large and dull: no debug information, no warnings, little optimisation.
COMPILER_FLAGS = ["-O1", "-g0", "-w"]
# Libraries are found beside each other and in the venv's lib folder, wherever the venv lies.
LINKER_FLAGS = ["-Wl,-rpath,$ORIGIN:$ORIGIN/../../..", "-Wl,--no-as-needed"]

# The generators look for their templates through the ament index, which a bare venv does not set.
os.environ["AMENT_PREFIX_PATH"] = str(PREFIX)


def definitions(package: str) -> list[Path]:
    """Return the .msg and .srv files of a package, relative to its folder."""
    folder = HERE / package
    found = [path for kind in ("msg", "srv") for path in folder.glob(f"{kind}/*.{kind}")]
    return sorted(path.relative_to(folder) for path in found)


def generate_sources(package: str) -> list[Path]:
    """Write the C and Python code of a package below GENERATED; return what has to be compiled."""
    from rosidl_cli.command.hash.api import generate_type_hashes
    from rosidl_cli.command.translate.api import translate
    from rosidl_generator_c.cli import GenerateC
    from rosidl_generator_py.cli import GeneratePython
    from rosidl_typesupport_c.cli import GenerateCTypesupport
    from rosidl_typesupport_fastrtps_c.cli import GenerateFastRTPSCTypesupport
    from rosidl_typesupport_introspection_c.cli import GenerateIntrospectionCTypesupport

    target = GENERATED / package
    # This generator names its files as GenerateC does: they must not share a folder.
    introspection = GENERATED / "introspection" / package
    for folder in (target, introspection):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)

    include = [str(PREFIX / "share" / dependency) for dependency in DEPENDENCIES]
    idl = translate(
        package_name=package,
        interface_files=[f"{HERE / package}:{path}" for path in definitions(package)],
        include_paths=[],
        output_format="idl",
        output_path=target,
    )
    hashes = generate_type_hashes(
        package_name=package, interface_files=idl, include_paths=include, output_path=target
    )
    GenerateC("c").generate(package, idl, include, target, type_description_files=hashes)
    GenerateCTypesupport("c", typesupport_implementations=list(TYPE_SUPPORTS)).generate(
        package, idl, include, target
    )
    GenerateFastRTPSCTypesupport("fastrtps_c").generate(package, idl, include, target)
    GenerateIntrospectionCTypesupport("introspection_c").generate(
        package, idl, include, introspection
    )
    GeneratePython("py", typesupport_implementations=["rosidl_typesupport_c"]).generate(
        package, idl, include, target
    )
    (target / "__init__.py").touch()
    return sorted(
        path
        for folder in (target, introspection)
        for suffix in ("*.c", "*.cpp")
        for path in folder.rglob(suffix)
    )


class BuildMessagePackage(build_ext):
    """Generates, compiles and links one message package for each declared extension."""

    def build_extension(self, ext: Extension) -> None:
        """Build the extension module that the Python package loads, and what it links to."""
        package = ext.name.split(".")[0]
        objects = self._compile(generate_sources(package))
        self._link(ext, package, objects)
        self._copy_python(package)

    def _compile(self, sources: list[Path]) -> list[str]:
        import numpy

        include = [GENERATED, GENERATED / "introspection", numpy.get_include()]
        # Each ROS package keeps its headers in include/<package>/<package>/.
        include += sorted(path for path in (PREFIX / "include").iterdir() if path.is_dir())

        def compile_one(source: Path) -> list[str]:
            return self.compiler.compile(
                [os.path.relpath(source, HERE)],
                output_dir=self.build_temp,
                include_dirs=[str(path) for path in include],
                extra_postargs=COMPILER_FLAGS,
            )

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return [item for objects in pool.map(compile_one, sources) for item in objects]

    def _link(self, ext: Extension, package: str, objects: list[str]) -> None:
        """Link the type support library, its introspection alias and the extension module."""
        folder = Path(self.get_ext_fullpath(ext.name)).parent
        folder.mkdir(parents=True, exist_ok=True)
        libraries = [*RUNTIME_LIBRARIES]
        for dependency in DEPENDENCIES:
            kinds = ("rosidl_generator_c", "rosidl_generator_py", "rosidl_typesupport_c")
            libraries += [f"{dependency}__{kind}" for kind in (*kinds, *TYPE_SUPPORTS)]
        # The entry point of the extension module needs Python; everything else is plain C.
        entry = [path for path in objects if "_s.ep." in path]
        code = [path for path in objects if "_s.ep." not in path]
        # rosidl_typesupport_c opens one library per type support by its name. All code is in the
        # first; the second is empty and depends on it, so that its symbols are found there.
        first, second = (f"lib{package}__{kind}.so" for kind in TYPE_SUPPORTS)
        module = Path(self.get_ext_filename(ext.name)).name

        def link(name: str, inputs: list[str], needed: list[str], soname: bool = True) -> None:
            self.compiler.link_shared_object(
                inputs,
                str(folder / name),
                libraries=needed,
                library_dirs=[str(folder), str(PREFIX / "lib")],
                target_lang="c++",
                extra_preargs=LINKER_FLAGS,
                extra_postargs=[f"-Wl,-soname,{name}"] if soname else [],
            )

        link(first, code, libraries)
        link(second, [], [f":{first}"])
        link(module, entry, [f":{first}", f":{second}", *libraries], soname=False)

    def _copy_python(self, package: str) -> None:
        """Put the generated Python modules where the wheel is assembled from."""
        source, target = GENERATED / package, Path(self.build_lib) / package
        for path in sorted(source.rglob("*.py")):
            relative = path.relative_to(source)
            if relative.parts[0] != "tmp":
                self.mkpath(str((target / relative).parent))
                self.copy_file(str(path), str(target / relative))


def share_files(package: str) -> list[tuple[str, list[str]]]:
    """Return data files: definitions, package.xml and ament index markers, as CMake installs them.

    They are what ``ros2 interface show`` and other readers of the ament index look at.
    """
    files: dict[str, list[str]] = defaultdict(list)
    files[f"share/{package}"].append(f"{package}/package.xml")
    for path in definitions(package):
        files[f"share/{package}/{path.parent}"].append(f"{package}/{path}")
    listing = "".join(f"{path}\n" for path in definitions(package))
    for kind, text in (("packages", ""), ("rosidl_interfaces", listing)):
        marker = GENERATED / "index" / kind / package
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(text, encoding="utf-8")
        files[f"share/ament_index/resource_index/{kind}"].append(str(marker.relative_to(HERE)))
    return sorted(files.items())


setup(
    name="cnn-perception-interfaces",
    version="0.1.0",
    description="vision_msgs, octomap_msgs, tf2_msgs, cnn_perception_msgs for ROS 2 from PyPI",
    license="Apache-2.0",
    packages=[],
    py_modules=[],
    # setuptools wants a source per extension; the real ones exist only after generation.
    ext_modules=[
        Extension(f"{package}.{package}_s__rosidl_typesupport_c", [f"{package}/package.xml"])
        for package in PACKAGES
    ],
    data_files=[entry for package in PACKAGES for entry in share_files(package)],
    cmdclass={"build_ext": BuildMessagePackage},
)
