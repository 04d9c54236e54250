#!/usr/bin/env bash
# Everything `make demo` and `make test` need, from nothing: a virtual environment, ROS 2 as wheels where no ROS is
# sourced, and this repository's interfaces. A second run finds the stamps and does nothing.
#
#   PW_VENV      the virtual environment (default: .venv)
#   PW_PYTHON    the Python to make it with (default: python3, or the sourced ROS's)
#   PW_PIP_ARGS  more arguments for pip, for example an index with CPU builds of torch
set -eo pipefail
cd "$(dirname "$0")/.."
venv=${PW_VENV:-.venv}
python=${PW_PYTHON:-python3}
began=$SECONDS

stage() { echo "==> $* (at $((SECONDS - began)) s)"; }
stop() { echo "setup: $*" >&2; exit 1; }

# --- what is here -----------------------------------------------------------------------------------------------------
ros=wheels
if [ -n "${ROS_DISTRO:-}${AMENT_PREFIX_PATH:-}" ]; then
  # The system's Python, not that of a virtual environment that happens to be active.
  system_python=${PW_PYTHON:-$(command -v /usr/bin/python3 || command -v python3)}
  if "$system_python" -c 'import rclpy' 2>/dev/null; then ros=sourced python=$system_python; fi
fi
bash scripts/prerequisites.sh "$python"

# The stamp covers all that decides what is installed; [tool] tables of pyproject.toml do not.
wanted=$({ cat requirements/*.txt scripts/setup.sh scripts/*.py; sed '/^\[tool/,$d' pyproject.toml
           [ $ros = wheels ] || echo "$ROS_DISTRO"; echo "$ros $("$python" -VV)"; } | sha256sum | cut -d' ' -f1)
stamp=$venv/.pw_setup

if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
  echo "==> environment $venv is up to date"
else
  # --- the environment ------------------------------------------------------------------------------------------------
  made_with=$(cat "$venv/.pw_ros" 2>/dev/null || echo $ros)
  if [ "$made_with" != "$ros" ]; then
    stop "$venv was made for ROS '$made_with', and this shell has ROS '$ros' (wheels: no ROS is sourced)." \
      "Source as you did then, or use another folder with PW_VENV=<folder>, or remove this one with 'make distclean'"
  fi
  rm -f "$stamp"
  if [ ! -x "$venv/bin/python" ]; then
    stage "creating $venv with $("$python" -V)"
    if [ $ros = sourced ]; then "$python" -m venv --system-site-packages "$venv"; else "$python" -m venv "$venv"; fi
  fi
  echo $ros > "$venv/.pw_ros"
  py=$venv/bin/python
  constraints=$venv/constraints.txt
  numpy_major=2
  if [ $ros = sourced ]; then numpy_major=$("$python" -c 'import numpy; print(numpy.__version__.split(".")[0])'); fi
  "$py" scripts/constraints.py --numpy "$numpy_major" > "$constraints"
  pip() { "$py" -m pip install -qq --disable-pip-version-check -c "$constraints" ${PW_PIP_ARGS:-} "$@"; }

  stage "build tools"
  pip 'setuptools<80' wheel
  stage "torch, first and alone, so that nothing else chooses its build"
  pip torch
  if [ $ros = wheels ]; then
    stage "ROS 2 as wheels"
    pip -r requirements/ros.txt
    "$py" scripts/fix_wheel_paths.py
  else
    stage "ROS 2 $ROS_DISTRO is sourced: no ROS wheel is installed; NumPy $numpy_major as it was built with"
  fi
  if [ $ros = wheels ] || ! command -v colcon >/dev/null; then pip colcon-common-extensions; fi
  stage "physics, fits, tests (the longest part)"
  pip --no-build-isolation -e '.[cuda,views,sam,video,inputs,exports,ray,examples,docs,dev]'
  # sam2 and torchvision ask for a torch of another build; neither needs it for what is used here.
  SAM2_BUILD_CUDA=0 pip --no-build-isolation --no-deps sam2 torchvision
  # Genesis pulls the OpenCV with windows, whose files shadow those of the headless one: remove it, lay the other anew.
  if "$py" -m pip show --quiet opencv-python 2>/dev/null; then
    "$py" -m pip uninstall --quiet --yes opencv-python
    pip --no-deps --force-reinstall opencv-python-headless
  fi
  stage "checking the environment"
  "$py" scripts/check_env.py
  echo "$wanted" > "$stamp"
fi

# --- the interfaces ---------------------------------------------------------------------------------------------------
# Python is run from the checkout (scripts/env.sh), so only these files decide whether colcon must build again.
built=install/.pw_built
# Tests speak simulation_interfaces; where the package is not installed, its fields are built from test/interfaces.
test_interfaces=OFF
"$venv/bin/python" - <<'EOP' && test_interfaces=ON
import importlib.util, os, sys
found = importlib.util.find_spec("simulation_interfaces")
sys.exit(found is not None and not (found.origin or "").startswith(os.path.join(os.getcwd(), "install", "")))
EOP
files=$({ find pw_msgs test/interfaces -type f | sort | xargs cat; cat CMakeLists.txt package.xml; cat "$stamp"
          echo "$PWD $venv $test_interfaces"; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$built" 2>/dev/null)" = "$files" ]; then
  echo "==> interfaces are up to date"
else
  stage "building the interfaces with colcon"
  . scripts/env.sh
  build=(--symlink-install --event-handlers console_cohesion- --cmake-args -DPW_TEST_INTERFACES=$test_interfaces)
  # A moved checkout or environment leaves paths in CMake's cache that it refuses to change.
  if ! colcon build "${build[@]}" > colcon.log 2>&1; then
    rm -rf build install
    colcon build "${build[@]}" > colcon.log 2>&1 ||
      { tail -n 60 colcon.log >&2; stop "colcon build failed; the whole output is in colcon.log"; }
  fi
  mkdir -p log && mv colcon.log log/colcon_build.txt
  echo "$files" > "$built"
fi

# --- the kernels ------------------------------------------------------------------------------------------------------
# numba keeps what it compiles beside the sources, for this processor: the first rollout and its pictures then wait for
# nothing.
warm=install/.pw_warm
sources=$({ cat pw_core/kernels/*.py pw_core/simulate/fast/*.py pw_core/render/kernels/*.py pw_core/skinning.py; cat "$stamp"
            grep -m1 'model name' /proc/cpuinfo 2>/dev/null || uname -m; } | sha256sum | cut -d' ' -f1)
if [ "$(cat "$warm" 2>/dev/null)" = "$sources" ]; then
  echo "==> kernels are up to date"
else
  stage "compiling the kernels of physics and pictures (once, about a minute and a half)"
  PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} "$venv/bin/python" -m pw_core.simulate.fast.warm
  PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH} "$venv/bin/python" -m pw_core.render.warm
  echo "$sources" > "$warm"
fi
stage "ready"
