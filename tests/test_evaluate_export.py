"""Where exported items are put."""

import numpy as np
from PIL import Image
from test_evaluate_foreign import blur, call

import omnitok
from omnitok.training.recorded import exported


def test_a_dataset_in_a_folder_of_a_folder_is_exported_beside_others(tmp_path, runs_root, monkeypatch):
    monkeypatch.setenv("OMNITOK_DATA", str(tmp_path / "data"))
    pets = tmp_path / "data" / "mine" / "pets"
    for i, split in enumerate(["train", "val", "test", "test"]):
        (pets / split).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 255, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(pets / split / f"{i}.png")
    found = omnitok.check_folder(pets)
    data = f"{{type: folder, name: mine/pets, fingerprint: {found.fingerprint}, short_side: native}}"
    items = tmp_path / "items"
    for more in (data, "{type: embedded, short_side: 32}"):
        call("evaluate", "--export-items", items, "--data", more, "--frames", 1, "--resolution", 16)
    assert exported(items) == tuple(sorted(items.iterdir())) and len(exported(items)) == 2
    found = omnitok.evaluate_pairs(items, blur(items, tmp_path / "theirs"), "psnr")
    assert sorted(one["n"] for one in found) == [2, 8]
