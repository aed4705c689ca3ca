"""A pretraining run under every fault that a computer has, again and again: `make soak`.

    python tests/soak.py --minutes 20

It is ended, killed, killed while it saves, stopped and woken, its disk is filled, its newest
checkpoint damaged; and each time it is resumed. In the end its weights must be bitwise those of the
same run in quiet. A line of JSON at the end says how often each fault was survived.

The disk is a small one of its own (tmpfs), which takes a right that not every user has; without it
no file may grow any longer instead, which stops a write in its middle likewise.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path

DISK_MEGABYTES = 128
STEPS = 1200  # with two checkpoints on the way
RUN = f"--steps {STEPS} --batch-size 8 --max-length 16 --vocab-size 300".split()
RECIPES = ("original", "fast")


@dataclass
class Disk:
    """A place for runs that can be full."""

    path: Path
    is_real: bool = field(init=False)

    def __post_init__(self) -> None:
        self.path.mkdir()
        options = ["-t", "tmpfs", "-o", f"size={DISK_MEGABYTES}m", "tmpfs", str(self.path)]
        try:
            mounted = subprocess.run(["mount", *options], capture_output=True)
            self.is_real = mounted.returncode == 0
        except FileNotFoundError:
            self.is_real = False

    def fill(self, process: subprocess.Popen) -> None:
        """Nothing more can be written to it by this process."""
        if not self.is_real:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (4096, 4096))
            return
        with suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as ballast:
            while ballast.write(bytes(1 << 16)):
                pass

    def free(self) -> None:
        """There is room again."""
        (self.path / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.is_real:
            subprocess.run(["umount", str(self.path)], check=True)
        shutil.rmtree(self.path)


def write_texts(folder: Path) -> None:
    """A few documents of made-up sentences."""
    words = random.Random(0)
    vocabulary = ["".join(words.choices("abcdefghij", k=words.randint(2, 7))) for _ in range(200)]
    folder.mkdir()
    for number in range(24):
        sentences = [" ".join(words.choices(vocabulary, k=8)).capitalize() for _ in range(40)]
        (folder / f"{number:02}.txt").write_text(". ".join(sentences) + ".", encoding="utf-8")


def start(texts: Path, out: Path, recipe: str) -> subprocess.Popen:
    """A run as a user starts it, or goes on with it."""
    options = ["--resume"] if (out / "run.json").exists() else ["--recipe", recipe, *RUN]
    return subprocess.Popen(
        [sys.executable, "-m", "minibert", "pretrain", str(texts), "-o", str(out), *options],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(process: subprocess.Popen) -> tuple[int, str]:
    """Exit code and everything that it said."""
    said, _ = process.communicate(timeout=600)
    return process.returncode, said


def weights_of(out: Path) -> str:
    """The checksum of a finished run's weights."""
    return hashlib.sha256((out / "model.safetensors").read_bytes()).hexdigest()


class Soak:
    """Runs, the faults that strike them, and how often each was survived."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.dice = random.Random(seed)
        self.texts = folder / "texts"
        self.quiet = {recipe: folder / recipe for recipe in RECIPES}
        write_texts(self.texts)
        self.disk = Disk(folder / "disk")
        self.out = self.disk.path / "run"
        self.put_aside: Path | None = None  # where a damaged checkpoint must be moved
        self.survived = dict.fromkeys(FAULTS, 0)
        self.runs = 0

    def run_in_quiet(self, recipe: str) -> None:
        """What the others are compared with."""
        if not self.quiet[recipe].exists():
            code, said = finish(start(self.texts, self.quiet[recipe], recipe))
            assert code == 0, said

    def run(self, recipe: str, names: Iterator[str]) -> None:
        """One run, from its beginning to its end, with a fault every few seconds."""
        self.run_in_quiet(recipe)
        shutil.rmtree(self.out, ignore_errors=True)
        self.put_aside = None
        is_finished = False
        while not is_finished:
            put_aside = self.put_aside
            process = start(self.texts, self.out, recipe)
            survived = self.strike(process, names)
            code, said = finish(process)
            self.disk.free()
            assert "Traceback" not in said, said
            if "Training" in said and put_aside:  # it came so far as to read a checkpoint
                assert put_aside.exists(), f"{put_aside} is not there: {said}"
            is_finished = code == 0 and "Stopped" not in said
            assert is_finished or survived, f"it ended by itself, with exit code {code}: {said}"
            if survived:
                self.survived[survived] += 1
        assert weights_of(self.out) == weights_of(self.quiet[recipe]), f"{recipe}: other weights"
        self.runs += 1

    def strike(self, process: subprocess.Popen, names: Iterator[str]) -> str | None:
        """Faults until one ends the process, whose name is returned; None if it ends by itself."""
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(self.dice.uniform(2, 8))
                return None
            name = next(names)
            if not FAULTS[name](self, process):
                return None
            if name != SLEEP:
                return name
            self.survived[name] += 1

    def checkpoints(self) -> list[Path]:
        """From the oldest to the newest."""
        return sorted((self.out / "checkpoints").glob("step-*"))

    # Faults. Each returns whether it struck a process that was still running.

    def terminate(self, process: subprocess.Popen) -> bool:
        process.send_signal(signal.SIGTERM)
        return True

    def kill(self, process: subprocess.Popen) -> bool:
        process.kill()
        return True

    def kill_in_a_save(self, process: subprocess.Popen) -> bool:
        while process.poll() is None:
            if any((self.out / "checkpoints").glob("writing-*")):
                process.kill()
                return True
        return False

    def stop_and_wake(self, process: subprocess.Popen) -> bool:
        process.send_signal(signal.SIGSTOP)
        time.sleep(self.dice.uniform(0.1, 2))
        process.send_signal(signal.SIGCONT)
        return True

    def fill_the_disk(self, process: subprocess.Popen) -> bool:
        self.disk.fill(process)
        return process.wait() != 0

    def damage_the_newest_checkpoint(self, process: subprocess.Popen) -> bool:
        while len(self.checkpoints()) < 2:  # there is another one to go on from
            if process.poll() is not None:
                return False
        process.kill()
        process.wait()
        newest = self.checkpoints()[-1]
        self.put_aside = newest.with_name(newest.name.replace("step", "damaged"))
        file = self.dice.choice(sorted(newest.iterdir()))
        content = bytearray(file.read_bytes())
        place = self.dice.randrange(len(content))
        if self.dice.random() < 0.5:
            del content[place:]
        else:
            content[place] ^= 1 << self.dice.randrange(8)
        file.write_bytes(content)
        return True


SLEEP = "SIGSTOP, then SIGCONT"
FAULTS: dict[str, Callable[[Soak, subprocess.Popen], bool]] = {
    "SIGTERM": Soak.terminate,
    "SIGKILL": Soak.kill,
    "SIGKILL in a save": Soak.kill_in_a_save,
    SLEEP: Soak.stop_and_wake,
    "a filled disk": Soak.fill_the_disk,
    "a damaged newest checkpoint": Soak.damage_the_newest_checkpoint,
}


def shuffled(dice: random.Random) -> Iterator[str]:
    """Faults without end, each as often as the others."""
    while True:
        yield from dice.sample(list(FAULTS), len(FAULTS))


def main() -> None:
    """Run after run until the time is over, and every fault was survived."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), arguments.seed)
        try:
            names = shuffled(soak.dice)
            for recipe in cycle(RECIPES):
                soak.run(recipe, names)
                is_over = time.monotonic() - begun > 60 * arguments.minutes
                if is_over and all(soak.survived.values()):
                    break
        finally:
            soak.disk.close()
    print(
        json.dumps({"runs": soak.runs, "real disk": soak.disk.is_real, "survived": soak.survived})
    )


if __name__ == "__main__":
    main()
