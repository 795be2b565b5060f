"""Images that are large: what is mapped takes no memory of ours, what is a hole takes none at all."""

import json
import os
import random
import subprocess
import sys

from support.cli_runs import environment, run

PAGE = 4096
MEASURE = """
import sys
from pksm import sources
from pksm.scan import Settings, scan
from pksm.sources import opened

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))

def look(*_):
    peaks.append(anonymous())

for path in sys.argv[1:]:
    before, peaks = anonymous(), []
    with opened([lambda: sources.open_target(path)]) as (found, _):
        scan(found, Settings(), look)
    print(max(peaks) - before, flush=True)
"""


def test_a_mapped_image_takes_a_fraction_of_its_size(tmp_path):
    """300 MiB for 4 GiB are 75 bytes a page; here on smaller files, by the difference of two."""
    paths, sizes = [], (1 << 26, 1 << 28)
    block = random.Random(1).randbytes(1 << 24)
    for size in (1 << 20, *sizes):
        paths.append(tmp_path / str(size))
        with open(paths[-1], "wb") as file:
            for number in range(size >> 24 or 1):
                file.write(block[number * 64 :] + block[: number * 64])  # other pages each time
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, *paths], capture_output=True, text=True, env=environment(), check=True
    )
    _, small, large = map(int, done.stdout.split())
    assert small < large, "what is kept grows with the pages"
    assert (large - small) / (sizes[1] - sizes[0]) * PAGE <= 75, f"{large - small} bytes for {sizes[1] - sizes[0]}"


def test_3_gib_of_holes_and_64_kib_of_data(tmp_path, capfd):
    path = tmp_path / "ram"
    with open(path, "wb") as file:
        for gib in (0, 1, 2):
            file.seek((gib << 30) + (gib << 20))
            file.write(b"%d" % (gib // 2) * (20 << 10))
        file.seek(3 << 30)
        file.seek(-(4 << 10), os.SEEK_CUR)
        file.write(b"x" * (4 << 10))
    assert os.path.getsize(path) == 3 << 30 and os.stat(path).st_blocks * 512 <= 1 << 20
    done = run(capfd, "scan", "--json", path)
    result = json.loads(done.out)
    assert done.code == 0 and result["totals"]["pages"] == 16 and result["totals"]["distinct"] == 3
    assert result["sources"][0]["pages"]["hole"] == (3 << 18) - 16
    assert result["sources"][0]["out_of_reach"] == {"not_resident": (3 << 18) - 16}
    assert result["saving"]["engine_bytes"] < 16 << 20
