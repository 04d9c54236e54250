#!/usr/bin/env bash
# A `ros2` with launch for the ROS of wheels, which has none: launch, launch_ros, ros2cli and composition_interfaces from
# source into a folder of their own. The virtual environment is left as it is.
#   scripts/ros/ros2_from_source.sh SOURCES FOLDER
# SOURCES holds clones of ros2/launch, ros2/launch_ros, ros2/ros2cli, ros2/rosidl_runtime_py and ros2/rcl_interfaces under
# these names, of the release that the wheels are of. Then: `. scripts/env.sh; . FOLDER/setup.bash; bash scripts/ros/check_launch.sh`.
set -eo pipefail
[ $# = 2 ] || { grep '^#' "$0" >&2; exit 2; }
sources=$(realpath "$1")
mkdir -p "$2"
folder=$(realpath "$2")
cd "$(dirname "$0")/../.."
. scripts/env.sh
pip() { python -m pip install -qq --disable-pip-version-check --no-deps --upgrade --target "$folder/site" "$@"; }
pip osrf_pycommon argcomplete lark
copies=$(mktemp -d)
trap 'rm -rf "$copies"' EXIT
cp -r "$sources"/{launch,launch_ros,ros2cli,rosidl_runtime_py,rcl_interfaces} "$copies"
pip --no-build-isolation "$copies"/launch/launch{,_yaml,_xml} "$copies/rosidl_runtime_py" \
  "$copies"/launch_ros/{launch_ros,ros2launch} \
  "$copies"/ros2cli/ros2{cli,pkg,run,service,action,node,topic,param,interface}
# pip drops programs of packages that it lays into a folder.
mkdir -p "$folder/site/bin"
printf '%s\n' '#!/usr/bin/env python3' 'import sys' 'from ros2cli.cli import main' 'sys.exit(main())' > "$folder/site/bin/ros2"
chmod +x "$folder/site/bin/ros2"
# launch_ros imports it, for nodes that are composed, wherever nothing is.
(cd "$folder" && colcon build --base-paths "$copies/rcl_interfaces/composition_interfaces" --event-handlers console_cohesion- \
  --cmake-args -DBUILD_TESTING=OFF)
cat > "$folder/setup.bash" <<END
export PYTHONPATH=$folder/site:\$(echo $folder/install/composition_interfaces/lib/python3.*/site-packages):\$PYTHONPATH
export PATH=$folder/site/bin:\$PATH AMENT_PREFIX_PATH=\$AMENT_PREFIX_PATH:$folder/install/composition_interfaces
export LD_LIBRARY_PATH=\$LD_LIBRARY_PATH:$folder/install/composition_interfaces/lib
END
echo "ros2: . $folder/setup.bash"
