"""What pyproject.toml cannot say: the cffi module, and that one of its sources is assembly."""

import shutil

from setuptools import setup
from setuptools.command.build_ext import build_ext


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


setup(cffi_modules=["csrc/ffi_build.py:ffi"], cmdclass={"build_ext": BuildEngine})
