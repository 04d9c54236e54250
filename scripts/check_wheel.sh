#!/usr/bin/env bash
# Builds the wheel, installs it alone in a fresh environment outside the checkout, and uses it as somebody without ROS
# would: help, doctor, a photo's reconstruction, a rollout, a picture, an export.
#   PW_WHEEL_FULL=1      dependencies by pip, as a user gets them (minutes, gigabytes); else links to this environment's
#   PW_WHEEL_FIGURES=F   figures as JSON to file F
set -eo pipefail
cd "$(dirname "$0")/.."
root=$PWD
. scripts/env.sh
unset PYTHONPATH  # it would show this checkout to pip and to the new environment
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
stop() { echo "wheel: $*" >&2; exit 1; }

# From a clean copy: an old build folder would lend the wheel files that are no longer in the repository.
mkdir "$work/source" "$work/there"
git ls-files -z --cached --others --exclude-standard -- pw_core pyproject.toml README.md LICENSE |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || cp --parents "$file" "$work/source"; done
(cd "$work/source" && python -m pip wheel -qq --disable-pip-version-check --no-deps --no-build-isolation -w "$work" .)
wheel=$(echo "$work"/*.whl)
python - "$wheel" "$work/source" <<'PY'
import sys
from pathlib import Path
from zipfile import ZipFile

source = Path(sys.argv[2])
wanted = {str(p.relative_to(source)) for p in source.glob("pw_core/**/*") if p.is_file()}
packed = {n for n in ZipFile(sys.argv[1]).namelist() if n.startswith("pw_core/")}
if wanted != packed:
    sys.exit(f"wheel: lacks {sorted(wanted - packed)}; has beside them {sorted(packed - wanted)}")
print(f"wheel: {len(packed)} files of pw_core, {sum(not n.endswith('.py') for n in packed)} of them not Python")
PY

new=$work/venv
base=$(python -c 'import sys; print(sys._base_executable)')
if [ -n "$PW_WHEEL_FULL" ]; then
  "$base" -m venv "$new"
  "$new/bin/python" -m pip install -qq torch ${PW_PIP_ARGS:-}
  "$new/bin/python" -m pip install -qq "$wheel" ${PW_PIP_ARGS:-}
else
  "$base" -m venv --without-pip "$new"
  "$VIRTUAL_ENV/bin/python" -m pip --python "$new/bin/python" install -qq --disable-pip-version-check --no-deps --no-index "$wheel"
  echo "wheel: requires $(python scripts/wheel_dependencies.py "$wheel" "$work/links")"
  echo "$work/links" > "$("$new/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/links.pth"
fi

# Neither this checkout's variables nor its files: what is named below is all that the program is given.
cp config/scenes/jam.yaml examples/photos/jam.png "$work/there"
sed -i 's|^photo:.*|photo: jam.png|' "$work/there/jam.yaml"
cd "$work/there"
alone() { env -i HOME="$work" LANG=C.UTF-8 PATH="$new/bin:/usr/bin:/bin" OMP_NUM_THREADS="${OMP_NUM_THREADS:-}" "$@"; }
alone python - "$work" <<'PY' || stop "not alone"
import sys
from importlib.util import find_spec

import pw_core

assert pw_core.__file__.startswith(sys.argv[1]), pw_core.__file__
ros = [n for n in ("rclpy", "pw_ros", "pw_msgs", "sensor_msgs", "ament_index_python") if find_spec(n)]
assert not ros, f"ROS is here: {ros}"
PY
timed() {  # timed NAME COMMAND...: its seconds, kept under that name
  local name=$1 began
  shift
  began=$(date +%s.%N)
  alone "$@" > "$work/said.txt" 2>&1 || { cat "$work/said.txt" >&2; stop "failed: $*"; }
  echo "$name $(echo "$(date +%s.%N) $began" | awk '{printf "%.2f", $1 - $2}')" | tee -a "$work/seconds.txt"
}
timed first_help pw --help
for _ in 1 2 3 4 5; do timed help pw --help; done
alone pw doctor --json > "$work/doctor.json" || true   # a small machine is no fault of the wheel
python - "$work/doctor.json" <<'PY' || stop "pw doctor"
import json
import sys

said = json.load(open(sys.argv[1]))
lacking = [f for f in said["findings"] if f["verdict"] == "missing"]
# Two packages of OpenCV are what pip makes of Genesis's requirement and ours; the doctor says so, with the remedy.
assert not [f for f in lacking if "pip install" in f["remedy"] and f["what"] != "OpenCV"], lacking
assert any(f["what"] == "ROS 2" and f["verdict"] == "optional" for f in said["findings"]), "ROS was found"
PY
timed reconstruct pw reconstruct jam.yaml --store store
timed rollout pw rollout jam --round 1 --duration 0.1 --store store
timed view pw view jam --store store --out jam.png
timed export pw export jam --store store --to jam.ply
for made in jam.png jam.ply; do [ -s $made ] || stop "$made is empty"; done
python - "$work/seconds.txt" "$wheel" "${PW_WHEEL_FIGURES:-/dev/null}" <<'PY'
import json
import statistics
import sys
from pathlib import Path

rows = [line.split() for line in Path(sys.argv[1]).read_text().splitlines()]
seconds = {name: statistics.median(float(s) for n, s in rows if n == name) for name, _ in rows}
Path(sys.argv[3]).write_text(json.dumps({"seconds": seconds, "bytes": Path(sys.argv[2]).stat().st_size}))
print(f"wheel: installed alone; pw --help {seconds['help']:.2f} s, reconstruct {seconds['reconstruct']:.0f} s, "
      f"first rollout {seconds['rollout']:.0f} s (its kernels compiled)")
PY
