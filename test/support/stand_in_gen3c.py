"""Stands in for gen3c_single_image.py: the same arguments, the same file, the same ways to go wrong.

Environment: STAND_IN_FRAMES: folder of <trajectory>.npy, uint8 (N, H, W, 3); STAND_IN_MODE: what goes wrong;
STAND_IN_CALLS: a file that each start adds a line to.
"""

import argparse
import os
import subprocess
import sys
import time

import cv2
import numpy as np

parser = argparse.ArgumentParser()
for name in ("checkpoint_dir", "input_image_path", "video_save_folder", "video_save_name"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--trajectory", choices=["left", "right", "up", "down", "zoom_in", "zoom_out"], default="left")
parser.add_argument("--camera_rotation", default="center_facing")
parser.add_argument("--movement_distance", type=float, default=0.3)
parser.add_argument("--num_video_frames", type=int, default=121)
for name, kind in (("guidance", float), ("num_steps", int), ("height", int), ("width", int), ("seed", int)):
    parser.add_argument(f"--{name}", type=kind)
parser.add_argument("--foreground_masking", action="store_true")
args = parser.parse_args()
assert (args.num_video_frames - 1) % 120 == 0
mode = os.environ.get("STAND_IN_MODE", "")
mode = mode.removeprefix(f"{args.trajectory}:") if ":" in mode and mode.startswith(args.trajectory) else mode
with open(os.environ["STAND_IN_CALLS"], "a") as calls:
    calls.write(f"{args.trajectory} {os.environ.get('HF_HUB_OFFLINE')} {os.environ.get('PYTHONPATH', '')}\n")
assert cv2.imread(args.input_image_path) is not None
if mode == "fail":
    print("loading the pipeline")
    print("torch.OutOfMemoryError: CUDA out of memory", file=sys.stderr)
    sys.exit(3)
if mode == "blocked":
    print("[CRITICAL] Guardrail blocked video2world generation.")
    sys.exit(0)
if mode == "hang":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])  # as torchrun's workers
    print(f"child {child.pid}", flush=True)
    print("Sampling:  40%|####      | 14/35", end="\r", flush=True)
    time.sleep(600)
frames = np.load(os.path.join(os.environ["STAND_IN_FRAMES"], f"{args.trajectory}.npy"))
assert len(frames) == args.num_video_frames, len(frames)
if mode == "partial":
    frames = frames[:57]
if mode == "small":
    frames = np.ascontiguousarray(frames[:, ::2, ::2])
path = os.path.join(args.video_save_folder, f"{args.video_save_name}.mp4")
if mode == "broken":
    with open(path, "wb") as file:
        file.write(b"\0\0\0\x20ftypisom")
    sys.exit(0)
film = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"mp4v"), 24, frames.shape[2:0:-1])
for frame in frames:
    film.write(np.ascontiguousarray(frame[..., ::-1]))
film.release()
print("100%|##########| 35/35")
print(f"Saved video to {path}")
