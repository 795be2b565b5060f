"""Measures pksm on this machine and stores the result as JSON, with the data of the machine and the command.

Every answer is checked against the load's true one. CPU time, medians; memory is touched before.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

from pksm.bench import engine_jobs
from pksm.bench.run import bench
from pksm.engine.checksums.strategies import DEFAULT
from pksm.errors import PksmError
from pksm.report.bench import table
from pksm.simulation.workloads import LOADS

RESULTS = Path(__file__).resolve().parent / "results"


def parse(argv):
    parser = argparse.ArgumentParser(prog="python benchmarks/run.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--loads", default=",".join(LOADS), help="names with commas between (%(default)s)")
    parser.add_argument("--pages", type=int, default=65536, help="pages of each load (%(default)s)")
    parser.add_argument("--page-size", type=int, default=4096, help="bytes (%(default)s)")
    parser.add_argument("--orders", default="checksum-content", help="tree orders with commas between (%(default)s)")
    parser.add_argument("--checksum", default=DEFAULT, help="strategy (%(default)s)")
    parser.add_argument("--batch", type=int, default=engine_jobs.BATCH, help="pages a wake-up (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="threads that sum pages (%(default)s)")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each row, for the median (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the loads (%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to store (benchmarks/results/PAGES.json)")
    return parser.parse_args(argv)


def main(argv):
    options = parse(argv)
    try:
        document = bench(
            loads=options.loads.split(","),
            n_pages=options.pages,
            orders=options.orders.split(","),
            page_size=options.page_size,
            batch=options.batch,
            threads=options.threads,
            checksum=options.checksum,
            repeats=options.repeats,
            seed=options.seed,
        )
        path = options.json or RESULTS / f"{options.pages}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        document = {"command": shlex.join(["python", "benchmarks/run.py", *argv]), **document}
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    except (PksmError, OSError) as error:
        print(f"benchmarks/run.py: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    except KeyboardInterrupt:
        return 130
    print(table(document), end="")
    print(f"\nstored in {path}; for the documentation: python ci/make_tables.py {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
