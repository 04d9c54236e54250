#!/usr/bin/env bash
# Really runs `ros2 launch` on the packaged launch file, as anybody with ROS 2 and a built workspace can: starts, waits
# for the services, asks as README does, ends by Ctrl-C. Needs `ros2` and pw_ros in the sourced environment (a workspace
# of your own, or `. scripts/env.sh` here); without ROS, scripts/ros/ros2_from_source.sh makes a `ros2`.
#   SCENE=jam    another scene of config/scenes
set -eo pipefail
scene=${SCENE:-jam}
stop() { echo "launch: $*" >&2; [ ! -f "$work/launch.txt" ] || tail -n 40 "$work/launch.txt" >&2; exit 1; }
work=$(mktemp -d)
launched=
# Whatever happens, nothing of what was started stays: the launch has a session of its own.
trap '[ -z "$launched" ] || kill -KILL -- "-$launched" 2>/dev/null || true; rm -rf "$work"' EXIT
command -v ros2 >/dev/null || stop "no ros2 here: source /opt/ros/<distro>/setup.bash, or see ros2_from_source.sh"
prefix=$(ros2 pkg prefix pw_ros) || stop "pw_ros is not built or not sourced"

export ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST ROS_DOMAIN_ID=${ROS_DOMAIN_ID:-$((60 + $$ % 40))}
export XDG_DATA_HOME=$work/data ROS_LOG_DIR=$work/log
ros2 launch pw_ros world.launch.py --show-args > "$work/arguments.txt" || stop "--show-args"
for argument in scene device params_file namespace use_sim_time rviz log_level; do
  grep -q "'$argument'" "$work/arguments.txt" || stop "no argument $argument: $(cat "$work/arguments.txt")"
done

began=$SECONDS
setsid ros2 launch pw_ros world.launch.py "scene:=$scene" namespace:=robot > "$work/launch.txt" 2>&1 &
launched=$!
world=/robot/perpetual_wonder
until_said() {  # until_said SECONDS TEXT COMMAND...: asks again until the answer holds the text
  local until=$((SECONDS + $1)) text=$2
  shift 2
  while :; do
    kill -0 "$launched" 2>/dev/null || stop "it ended by itself while waiting for '$text'"
    if timeout 20 "$@" 2>&1 | tee "$work/answer.txt" | grep -q -- "$text"; then return; fi
    [ $SECONDS -lt $until ] || { cat "$work/answer.txt" >&2; stop "no '$text' from: $*"; }
    sleep 1
  done
}
# The daemon would outlive this script: everything is asked without it.
until_said 60 "$world/rollout/_action/send_goal" ros2 service list --no-daemon --include-hidden-services
echo "launch: the node is there after $((SECONDS - began)) s"
for service in reconstruct list_states commit render_view; do
  grep -q "$world/$service" "$work/answer.txt" || stop "no service $service"
done
until_said 300 "error_code=0" ros2 service call $world/list_states pw_msgs/srv/ListStates
echo "launch: scene $scene is open after $((SECONDS - began)) s"
timeout 300 ros2 action send_goal $world/rollout pw_msgs/action/Rollout "{duration: 0.1}" --feedback > "$work/goal.txt" 2>&1 ||
  { cat "$work/goal.txt" >&2; stop "send_goal"; }
grep -q "error_code: 0" "$work/goal.txt" && grep -q "SUCCEEDED" "$work/goal.txt" && grep -q "Feedback:" "$work/goal.txt" ||
  { tail -n 30 "$work/goal.txt" >&2; stop "the goal did not succeed"; }
echo "launch: a goal with feedback succeeded after $((SECONDS - began)) s"

kill -INT -- "-$launched"
for _ in $(seq 30); do kill -0 "$launched" 2>/dev/null || break; sleep 1; done
kill -0 "$launched" 2>/dev/null && stop "it did not end within 30 s of Ctrl-C"
launched=
grep -q "process has finished cleanly" "$work/launch.txt" || stop "the node did not end cleanly"
! grep -q Traceback "$work/launch.txt" || stop "a traceback"
echo "launch: $prefix: started, served, ended"
