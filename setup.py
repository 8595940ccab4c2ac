"""What pyproject.toml cannot say: the cffi module, that one of its sources is assembly, and what an sdist needs."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext
from setuptools.command.sdist import sdist


class BuildEngine(build_ext):
    def build_extensions(self):
        compiler = self.compiler.compiler[0]
        if shutil.which(compiler) is None:
            raise SystemExit(
                f"jumplabel: building the engine needs a C compiler, and {compiler!r} was not found. "
                "Install one (Debian, Ubuntu: apt install gcc libc6-dev) or name one in the environment variable CC."
            )
        if ".S" not in self.compiler.src_extensions:
            self.compiler.src_extensions.append(".S")
        super().build_extensions()


class CompleteSdist(sdist):
    def make_release_tree(self, base_dir, files):
        folders = ("benchmarks", "csrc", "tests")
        paths = [path for folder in folders for path in Path(folder).rglob("*") if "__pycache__" not in path.parts]
        super().make_release_tree(base_dir, sorted({*files, *(str(path) for path in paths if path.is_file())}))


setup(cffi_modules=["csrc/ffi_build.py:ffi"], cmdclass={"build_ext": BuildEngine, "sdist": CompleteSdist})
