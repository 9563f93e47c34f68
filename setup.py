"""Finds what is installed: the packages below ``hyperofa/``, and the folders that ship as ``hyperofa._data``."""

from setuptools import find_namespace_packages, find_packages, setup

SHIPPED = {f"hyperofa._data.{folder}": folder for folder in ("recipes", "launch", "ds_configs")}

packages = find_packages(include=["hyperofa", "hyperofa.*"])
for name, folder in SHIPPED.items():
    packages += [name, *(f"{name}.{inner}" for inner in find_namespace_packages(folder))]

setup(packages=packages, package_dir=SHIPPED)
