#!/usr/bin/env bash
# Names what is missing before anything is installed, with the command that installs it. Argument: the Python to use.
set -eo pipefail
python=${1:-python3}
missing=()
need() { missing+=("$1"); echo "missing: $2" >&2; }

command -v "$python" >/dev/null || need python3 "Python 3.10 or later ($python)"
command -v cmake >/dev/null || need cmake "CMake, which builds the interfaces"
command -v make >/dev/null || need make "make"
command -v c++ >/dev/null || command -v g++ >/dev/null || need g++ "a C++ compiler, which builds the interfaces"
if command -v "$python" >/dev/null; then
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    need python3 "Python 3.10 or later; $python is $("$python" -V)"
  "$python" -c 'import venv, ensurepip' 2>/dev/null || need python3-venv "Python's venv module (with ensurepip)"
  "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' ||
    need python3-dev "Python's headers (Python.h), for the interfaces' Python modules"
fi

if [ ${#missing[@]} -gt 0 ]; then
  if command -v apt-get >/dev/null; then install="sudo apt-get install -y"
  elif command -v dnf >/dev/null; then install="sudo dnf install -y"
    missing=("${missing[@]/g++/gcc-c++}"); missing=("${missing[@]/python3-dev/python3-devel}")
  else install="install with your package manager:"; fi
  echo "install it with:  $install ${missing[*]}" >&2
  exit 1
fi
