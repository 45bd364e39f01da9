"""Row 9: the memory of a process that runs over few and over many records.

    python -m tests.bench.memory URL

prints the most that this process ever took, in MB, after it has changed every row of the table there.
"""

import resource
import subprocess
import sys
from pathlib import Path

from action_ledger.domain.columns import col
from action_ledger.ops import open_ledger
from action_ledger.ops.embedded_server import Server

from .result import Result
from .site import site

BUDGET_MB = 64
FEWER = 10
"""How many times fewer records the small run has."""


def measure_memory(server: Server, rows: int) -> Result:
    """Run over all rows, and over a tenth of them, each in a process of its own."""
    sizes = (max(1, rows // FEWER), rows)
    few, many = (_most_of_a_run(server, size) for size in sizes)
    return Result(
        "memory",
        f"memory of a run over {sizes[1]:,} records, against {sizes[0]:,}",
        "at most",
        BUDGET_MB,
        (many - few,),
        "MB more",
        f"{few:.0f} and {many:.0f} MB",
    )


def _most_of_a_run(server: Server, rows: int) -> float:
    with site(server, f"memory_{rows}", rows) as place:
        place.reset()
        command = [sys.executable, "-m", "tests.bench.memory", place.url]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Change every row, take it back, and say what it took."""
    with open_ledger(sys.argv[1]) as ledger:
        target = ledger.on("public.subject").all()
        request = target.update(status="archived", score=col("score") + 1).by("user:bench")
        request.streaming().run(workers=2).undo(by="user:bench").run()
    sys.stdout.write(f"{_most():.1f}\n")


def _most() -> float:
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage counts what the parent took when it started this process.
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2  # bytes on macOS


if __name__ == "__main__":
    main()
