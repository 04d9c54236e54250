#!/usr/bin/env bash
# In a container: a command with the image's ROS sourced, if it has one, and this checkout's environment, once it is set up.
set -e
cd "$(dirname "$0")/../.."
for setup in /opt/ros/*/setup.bash; do
  [ ! -f "$setup" ] || . "$setup"
done
if [ -x "${PW_VENV:-.venv}/bin/python" ] && [ "$1" != make ]; then . scripts/env.sh; fi
exec "$@"
