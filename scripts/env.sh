# Source this (bash or zsh) to work in the repository: the virtual environment, the built interfaces, and this checkout's
# Python packages ahead of the installed copies, so that an edit counts at once.
#   PW_VENV   the virtual environment (default: .venv beside the Makefile)

_pw_root=$(cd "$(dirname "${BASH_SOURCE[0]:-${(%):-%x}}")/.." && pwd)
_pw_venv=${PW_VENV:-$_pw_root/.venv}
case $_pw_venv in /*) ;; *) _pw_venv=$_pw_root/$_pw_venv ;; esac

if [ ! -f "$_pw_venv/bin/activate" ]; then
  echo "no virtual environment at $_pw_venv: run 'make setup' first" >&2
  return 1
fi
. "$_pw_venv/bin/activate"

# The wheels' rclpy re-executes Python once to set LD_LIBRARY_PATH and marks that it did. A stale mark (inherited from a
# process of another environment) would skip it and leave the libraries unfound, so start without one.
unset _ROS_WHEELS_BOOTSTRAP_COMPLETE

# Without a sourced ROS the virtual environment is itself the ROS prefix.
if [ -d "$_pw_venv/share/rclpy" ]; then
  export AMENT_PREFIX_PATH=$_pw_venv CMAKE_PREFIX_PATH=$_pw_venv
fi
if [ -f "$_pw_root/install/local_setup.bash" ]; then
  if [ -n "${ZSH_VERSION:-}" ]; then . "$_pw_root/install/local_setup.zsh"; else . "$_pw_root/install/local_setup.bash"; fi
fi
# local_setup leaves an empty element behind, which the loader would read as the current folder.
LD_LIBRARY_PATH=${LD_LIBRARY_PATH%:}
export LD_LIBRARY_PATH
export PYTHONPATH=$_pw_root${PYTHONPATH:+:$PYTHONPATH}
unset _pw_root _pw_venv
