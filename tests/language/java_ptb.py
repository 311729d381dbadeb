"""The tokenizer that captions are scored with elsewhere: Java's, as pycocoevalcap calls it, but in one go."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from pycocoevalcap.tokenizer import ptbtokenizer

JAR = Path(ptbtokenizer.__file__).parent / ptbtokenizer.STANFORD_CORENLP_3_4_1_JAR
MAIN = "edu.stanford.nlp.process.PTBTokenizer"


def java_tokens(captions: list[str]) -> list[list[str]]:
    """The words of each caption, which must not hold line separators."""
    with tempfile.NamedTemporaryFile(suffix=".txt") as text:
        text.write("\n".join(captions).encode())
        text.flush()
        command = ["java", "-cp", str(JAR), MAIN, "-preserveLines", "-lowerCase", text.name]
        done = subprocess.run(command, capture_output=True, check=True)
    lines = done.stdout.decode().removesuffix("\n").split("\n")
    assert len(lines) == len(captions), f"Java gave {len(lines)} lines for {len(captions)} captions"
    return [[word for word in line.split(" ") if word and word not in ptbtokenizer.PUNCTUATIONS] for line in lines]
