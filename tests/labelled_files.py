"""Small labelled files, and rows of every kind."""

import json

CSV = "text,label\n" + "".join(f'"Text, number {n}",{"ab"[n % 2]}\n' for n in range(40))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def everything(task):
    return [*task.train, *task.validation, *task.test]


def jsonl(path, rows):
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))


ANSWERS = [{"text": "b 1", "start": 2}]
ROWS = {
    "classification": lambda n: {"text": f"t {n}", "text_pair": "p", "label": "xy"[n % 2]},
    "multi-label": lambda n: {"text": f"t {n}", "label": ["x", "y"][: n % 3]},
    "regression": lambda n: {"text": f"t {n}", "label": n / 4},
    "tagging": lambda n: {"words": ["a", f"b{n}"], "tags": ["X", "Y"]},
    "question-answering": lambda n: {
        "question": f"q {n}",
        "context": f"a b 1 {n}",
        "answers": ANSWERS if n % 3 else [],
    },
    "multiple-choice": lambda n: {"text": f"t {n}", "choices": ["a", "b c"], "label": n % 2},
}
