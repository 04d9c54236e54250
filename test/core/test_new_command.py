"""`pw new`: a scene file that works, from what is known of a photo; what is guessed says so."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from pw_core.cli import app
from pw_core.cli.own.camera import Known, Thing, solve
from pw_core.cli.own.presets import PRESETS
from pw_core.config import Material, SceneConfig
from pw_core.gaussians import Camera
from support.ball_photo import CENTRE, HEIGHT, RADIUS, WIDTH, ball_config, ball_photo


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["new", *words])
    return done.exit_code, " ".join((done.output + (done.stderr or "")).split())


def test_a_size_a_pitch_and_a_row_give_the_camera_and_the_table() -> None:
    camera = Camera.above_table(height_m=0.3, pitch_deg=20, hfov_deg=50, width=1280, height=720)
    (left, bottom), (right, _) = camera.project([[0.7, 0.05, 0], [0.7, -0.05, 0]])[0]
    edge = float(camera.project([[1.4, 0, 0]])[0][0, 1])
    box = (float(left), float(bottom) - 100, float(right), float(bottom))
    known = Known(width=1280, height=720, focal_px=float(camera.K[0, 0]), pitch_deg=20, size_m=0.1, edge_row=edge,
                  things=(Thing(name="cup", material="ceramic", box=box),))  # fmt: skip
    solved = solve(known)
    assert solved.height_m == pytest.approx(0.3, rel=1e-3) and solved.foot_m == pytest.approx(0.7, rel=1e-3)
    assert solved.edge_m == pytest.approx(1.4, rel=1e-3) and solved.hfov_deg == pytest.approx(50)
    with pytest.raises(ValueError, match="above the horizon"):
        cup = Thing(name="cup", material="ceramic", box=(10, 10, 90, 90))
        solve(Known(width=1280, height=720, pitch_deg=0, things=(cup,)))


def test_the_file_is_read_back_and_guesses_are_counted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    Image.fromarray(ball_photo()).save(tmp_path / "my photo.jpg", exif=exif, quality=95)
    code, text = run(str(tmp_path / "my photo.jpg"))
    assert code == 0 and "2 guesses in it" in text and "pw reconstruct" in text
    assert "# [degrees] downwards from the horizontal; estimated, +- " in (tmp_path / "my_photo.yaml").read_text()
    config = SceneConfig.load(tmp_path / "my_photo.yaml")
    assert config.name == "my_photo" and Path(config.photo) == (tmp_path / "my photo.jpg").resolve()
    diagonal = math.hypot(WIDTH, HEIGHT) / math.hypot(36, 24)
    assert config.camera.hfov_deg == pytest.approx(2 * math.degrees(math.atan(WIDTH / 2 / (26 * diagonal))), rel=1e-3)
    code, text = run(str(tmp_path / "my photo.jpg"))
    assert code == 1 and "is there already" in text
    wrong = ((("--entity", "cup=glas"), "'glas' is none of clay"), (("--box", "1,2,3"), "left,top,right,bottom"))
    for words, said in wrong:
        code, text = run(str(tmp_path / "my photo.jpg"), *words, "--out", str(tmp_path / "b.yaml"))
        assert code == 1 and said in text and not (tmp_path / "b.yaml").exists()


@pytest.mark.parametrize(("words", "said"), [
    (("--box", "9000,10,9100,90"), "is outside the photo, which is 320 x 176 px"),
    (("--box", "-50,20,90,120"), "outside the photo, which is 320 x 176 px: what of it is inside is 0,20,90,120"),
    (("--box", "50,20,50,120"), "box 50,20,50,120 of 'pear' is 0 x 100 px"),
    (("--box", "90,120,50,20"), "is -40 x -100 px: left,top,right,bottom"),
    (("--box", "50,20,90,nan"), "expected numbers"),
    (("--size", "80"), "the size 80 is no length in metres from 0.001 to 20; 80 mm are 0.08"),
    (("--size", "-0.1"), "the size -0.1 is no length in metres"),
    (("--size", "nan"), "the size nan is no length in metres"),
    (("--camera-height", "350"), "350 mm are 0.35"),
    (("--size", "0.08", "--camera-height", "0.3"), "both give the metre: give one of them"),
    (("--pitch", "-10"), "over a table a camera looks down by 0 (level) to less"),
    (("--pitch", "90"), "over a table a camera looks down by 0 (level) to less"),
    (("--pitch", "-95", "--ground", "none"), "a pitch of -95 degrees: more than -90, less than 90"),
    (("--hfov", "200"), "a field of view of 200 degrees is none of a photo"),
    (("--hfov", "-5"), "a field of view of -5 degrees is none of a photo"),
    (("--edge-row", "5000"), "row 5000 px is none of the photo's 176"),
    (("--edge-row", "150"), "edge at row 150 px is below 'pear', whose box ends at row 120 px"),
    (("--entity", "pear=fruit"), "'pear' names 2 things"),
    (("--entity", "my cup=ceramic"), "not 'my cup'"),
    (("--entity", "cup"), "'cup' has no material: cup=MATERIAL, which is one of clay"),
])  # fmt: skip
def test_what_cannot_be_is_told_in_the_words_of_the_options_and_nothing_is_written(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    Image.fromarray(ball_photo()).save(tmp_path / "pear.png")
    box = () if "--box" in words else ("--box", "50,20,90,120")
    code, text = run(str(tmp_path / "pear.png"), "--entity", "pear=fruit", *box, *words)
    assert code == 1 and said in text and "error 104" in text
    assert not (tmp_path / "pear.yaml").exists()


def test_a_photo_that_no_scene_can_be_made_of_is_refused_at_once(tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "tiny.png")
    Image.new("RGB", (900, 3)).save(tmp_path / "strip.png")
    Image.new("RGBA", (300, 200), (9, 9, 9, 0)).save(tmp_path / "clear.png")
    (tmp_path / "text.png").write_text("hello")
    for name, said in (
        ("tiny.png", "is 20 x 20 px: each side must be 32 to"), ("strip.png", "is 900 x 3 px"),
        ("clear.png", "0 % of it shows something (alpha"), ("text.png", "is no picture that is known"),
    ):  # fmt: skip
        code, text = run(str(tmp_path / name), "--entity", "cup=ceramic")
        assert code == 1 and "error 101" in text and said in text
        assert not (tmp_path / name).with_suffix(".yaml").exists()


def test_what_was_done_to_a_photo_is_told(tmp_path: Path) -> None:
    still = Image.fromarray(ball_photo())
    still.save(tmp_path / "film.gif", save_all=True, append_images=[still.rotate(180)])
    code, text = run(str(tmp_path / "film.gif"), "--entity", "ball=fruit")
    assert code == 0 and "the first of its 2 frames" in text and "leans" not in text


def test_a_photo_taken_askew_is_told(tmp_path: Path) -> None:
    still = Image.fromarray(ball_photo())
    still.rotate(6, resample=Image.Resampling.BICUBIC).crop((20, 20, 300, 156)).save(tmp_path / "askew.png")
    left, top, right, bottom = ball_config().entities[0].prompt.box
    box = f"{left - 20:g},{top - 20:g},{right - 20:g},{bottom - 20:g}"
    code, text = run(str(tmp_path / "askew.png"), "--entity", "ball=fruit", "--box", box)
    assert code == 0 and "leans by 6" in text and "to the right" in text


def test_every_material_can_be_used() -> None:
    for name, preset in PRESETS.items():
        assert Material.model_validate(preset.material) and len(preset.source) > 10, name
        assert name in run("--materials")[1]


def test_a_scene_of_ones_own_has_the_right_metre(tmp_path: Path) -> None:
    from pw_core.reconstruct import reconstruct

    Image.fromarray(ball_photo()).save(tmp_path / "ball.png")
    box = ",".join(f"{x:g}" for x in ball_config().entities[0].prompt.box)
    code, _ = run(str(tmp_path / "ball.png"), "--entity", "ball=fruit", "--box", box, "--size", str(2 * RADIUS),
                  "--pitch", "15", "--hfov", "40")  # fmt: skip
    assert code == 0
    config = SceneConfig.load(tmp_path / "ball.yaml")
    assert config.camera.height_m == pytest.approx(0.2, rel=0.15)
    fewer = config.model_copy(update={"simulation": config.simulation.model_copy(update={"particles": 1000})})
    scene = reconstruct(fewer)
    assert scene.entities[0].origin[0] == pytest.approx(CENTRE[0], rel=0.15)
    assert scene.entities[0].volume_m3 == pytest.approx(4 / 3 * math.pi * RADIUS**3, rel=0.4)


def test_what_hangs_is_as_far_away_as_its_width_says_and_its_file_is_a_scene(tmp_path: Path) -> None:
    import numpy as np

    from support.hanging_ball import RADIUS as radius
    from support.hanging_ball import camera, shot

    picture, _, mask = shot(camera(np.zeros(3), 0.0), np.zeros(3))
    Image.fromarray(picture).save(tmp_path / "fruit.png")
    rows, columns = np.nonzero(mask)
    box = f"{columns.min()},{rows.min()},{columns.max() + 1},{rows.max() + 1}"
    words = ("--entity", "fruit=fruit", "--box", box, "--entity", "leaf=foam", "--ground", "none")
    lens = ("--pitch", "-14", "--hfov", "47")
    code, text = run(str(tmp_path / "fruit.png"), *words, *lens, "--size", str(2 * radius))
    assert code == 0 and "4 guesses in it" in text  # how both are held, where the leaf is and how far away
    config = SceneConfig.load(tmp_path / "fruit.yaml")
    assert config.ground == "none" and config.camera.pitch_deg == -14
    assert [e.fixed for e in config.entities] == ["top", "top"]
    assert config.entity("fruit").distance_m == pytest.approx(0.4, rel=0.05)
    push = config.rounds[0].actions[0]
    np.testing.assert_allclose(push.center, [0.4, 0, 1.5 + 0.1], rtol=0.05, atol=0.01)
    code, text = run(str(tmp_path / "fruit.png"), *words, "--out", str(tmp_path / "b.yaml"))
    assert code == 0 and "7 guesses in it" in text and SceneConfig.load(tmp_path / "b.yaml").camera.pitch_deg == 0
    code, text = run(str(tmp_path / "fruit.png"), *words, "--edge-row", "9", "--out", str(tmp_path / "c.yaml"))
    assert code == 1 and "--edge-row" in text
    code, text = run(str(tmp_path / "fruit.png"), "--ground", "none", "--browse")
    assert code == 2 and "page draws things on a table" in text
