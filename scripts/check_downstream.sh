#!/usr/bin/env bash
# Builds this repository as a user does (under src/ of a workspace, plain `colcon build`), then a ten-line package that
# depends on it, and runs what that package installed.
#   SYMLINK=1   with --symlink-install
set -eo pipefail
cd "$(dirname "$0")/.."
root=$PWD
. scripts/env.sh
# The user's workspace must stand alone: none of this checkout's own build and modules.
export AMENT_PREFIX_PATH=${AMENT_PREFIX_PATH#"$root/install/pw_ros"} CMAKE_PREFIX_PATH=${CMAKE_PREFIX_PATH#"$root/install/pw_ros"}
export AMENT_PREFIX_PATH=${AMENT_PREFIX_PATH#:} CMAKE_PREFIX_PATH=${CMAKE_PREFIX_PATH#:} LD_LIBRARY_PATH=
PYTHONPATH=$(tr : '\n' <<<"$PYTHONPATH" | { grep -v "^$root" || true; } | paste -sd:)
export PYTHONPATH

workspace=$(mktemp -d)
trap 'rm -rf "$workspace"' EXIT
mkdir -p "$workspace/src/perpetual_wonder"
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' file; do
  case $file in examples/photos/*|test/core/*) continue ;; esac # not built, and large
  [ -e "$file" ] && cp --parents "$file" "$workspace/src/perpetual_wonder"
done
cp -r test/downstream "$workspace/src/downstream_example"
cd "$workspace"
colcon build ${SYMLINK:+--symlink-install} --event-handlers console_cohesion- > build.txt 2>&1 || { tail -n 60 build.txt; exit 1; }
grep -q "2 packages finished" build.txt || { echo "colcon did not find both packages:"; cat build.txt; exit 1; }
. install/local_setup.bash
for program in install/downstream_example/lib/downstream_example/push{,.py}; do
  # The wheels keep their libraries in the environment's lib, where only Python's bootstrap looks by itself.
  said=$(LD_LIBRARY_PATH=$LD_LIBRARY_PATH:$VIRTUAL_ENV/lib "$program")
  [ "$said" = "push 0.5" ] || { echo "$program said '$said'"; exit 1; }
done
python - "$workspace" <<'PY'
import sys
from pathlib import Path

import pw_core
import pw_msgs
import pw_ros

for module in (pw_core, pw_ros, pw_msgs):
    assert Path(module.__file__).is_relative_to(sys.argv[1]), f"{module.__name__} came from {module.__file__}"
PY
test -x install/pw_ros/lib/pw_ros/world_node
echo "downstream package: built and run (C++ and Python)"
