"""The script for a graphics card, rehearsed on a CPU, and what pages make of its records."""

import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
import on_a_card  # noqa: E402
import pack_for_a_card  # noqa: E402
from card.memory import at_peak, least  # noqa: E402
from card.study import longest_first  # noqa: E402
from test_full_disk import room  # noqa: E402

from groundwork.errors import InputError  # noqa: E402
from trial.register import card, claims, committed, register_cards, register_page, verdicts  # noqa: E402
from yolo_core import experiments  # noqa: E402

REHEARSED = ("memory", "correctness", "speed", "processes", "photographs")


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    """What a rehearsal writes and prints."""
    folder = tmp_path_factory.mktemp("card")
    command = [sys.executable, str(ROOT / "scripts/on_a_card.py"), "--rehearse", "--seconds", "840", "--package", str(folder)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [*command, "--out", str(folder / "out"), "--work", str(folder / "work")], capture_output=True, text=True, env=environment
    )
    files = {file.name: json.loads(file.read_text())["parts"] for file in (folder / "out").glob("*.json")}
    return ended, {part: result for parts in files.values() for part, result in parts.items()}, folder / "out"


def test_a_rehearsal_goes_through_every_part_and_brings_back_few_small_files(rehearsal):
    ended, parts, out = rehearsal
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert {part: result["status"] for part, result in parts.items()} == dict.fromkeys(REHEARSED, "done")
    files = list(out.iterdir())
    assert len(files) <= 8 and all(file.is_file() and file.stat().st_size < 2**24 for file in files)
    with tarfile.open(out / "smoke.tar.gz") as archive:
        assert any(name.endswith("/record.json") for name in archive.getnames())
    summary = ended.stdout.split("summary, in ")[1]
    assert all(f"{part}: done" in summary for part in REHEARSED) and "smoke.tar.gz: 1 records" in summary


def test_the_rehearsed_peaks_stand_beside_their_predictions_and_the_least_memory_is_that_of_the_peak(rehearsal):
    found = rehearsal[1]["memory"]["found"]
    one, two = found["peaks"].values()
    assert one["allocated"] < two["allocated"] and one["predicted"] < two["predicted"]
    (head,) = found["six_gib"]["heads"].values()
    assert head["trains"] and 0 <= head["needs_gib"] * 2**30 - one["allocated"] < 2**30 / 32


def test_the_rehearsed_checks_pass(rehearsal):
    checks = rehearsal[1]["correctness"]["found"]
    assert [name for name, check in checks.items() if not check["passed"]] == []
    assert {"16-mixed trains", "bf16-mixed trains", "out of memory", "kill and resume", "compiled"} < set(checks)
    assert checks["out of memory"]["halvings"] and checks["kill and resume"]["losses_apart"] == 0


def test_the_rehearsed_times_are_of_every_way_and_every_number_of_processes(rehearsal):
    speed, processes = (rehearsal[1][part]["found"] for part in ("speed", "processes"))
    assert len(speed["loops"]) == 5 and set(speed["waiting"]) == {"from the cache", "kept on the device"} and speed["arms"]
    assert set(processes["steps_a_second"]) == {"2"} and processes["pays"] == 2


def test_a_rehearsal_is_no_record_of_a_card(rehearsal):
    with pytest.raises(InputError, match="a rehearsal on a CPU says nothing of a card"):
        card.part("memory", rehearsal[2])


@pytest.fixture
def script(tmp_path, monkeypatch):
    """Runs the script with parts that are one line of Python each; its exit status, and what its files say of the parts."""
    folder = tmp_path / "out"

    def run(seconds, **lines):
        note = f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); from on_a_card import note; from pathlib import Path; "
        note += f"folder = Path({str(folder)!r}); "
        monkeypatch.setattr(on_a_card, "command", lambda part, *_: [sys.executable, "-c", note + lines[part]])
        options = ["--seconds", str(seconds), "--out", str(folder), "--work", str(tmp_path / "work"), "--package", str(tmp_path)]
        status = on_a_card.main([*options, "--parts", *lines])
        return status, {part: json.loads((folder / on_a_card.PARTS[part][0]).read_text())["parts"][part] for part in lines}

    return run


FOUND = 'note(folder / "{}.json", "{}", {{"found": {{"answer": 1}}}})'


def test_a_part_that_fails_is_told_with_its_error_and_leaves_what_it_found_and_the_others(script, capsys):
    broken = FOUND.format("memory", "memory") + "; raise ValueError('the card is on fire')"
    status, parts = script(60, memory=broken, correctness="sys.exit(3)", speed=FOUND.format("speed", "speed"))
    assert status == 1
    assert [parts[name]["status"] for name in parts] == ["failed", "failed", "done"]
    assert parts["memory"]["found"] == parts["speed"]["found"] == {"answer": 1}
    assert parts["memory"]["error"] == "ValueError: the card is on fire" and "3" in parts["correctness"]["error"]
    assert "memory: failed: ValueError: the card is on fire" in capsys.readouterr().out


def test_the_limit_is_kept_by_ending_a_part_with_all_that_it_has_started(script, tmp_path):
    endless = "import subprocess, time; child = subprocess.Popen(['sleep', '600']); "
    endless += f"Path({str(tmp_path / 'pid')!r}).write_text(str(child.pid)); time.sleep(600)"
    status, parts = script(12, memory=FOUND.format("memory", "memory"), photographs=endless, pocket="pass")
    assert status == 0
    assert [parts[name]["status"] for name in parts] == ["done", "out of time", "no time left"]
    child = Path("/proc") / (tmp_path / "pid").read_text() / "stat"
    assert not child.exists() or child.read_text().split()[2] == "Z"


def test_an_archive_holds_the_oldest_records_that_have_room_and_the_others_are_told(tmp_path, monkeypatch):
    for i, name in enumerate(("b", "a", "c")):
        run = tmp_path / "records" / "pocket" / name
        run.mkdir(parents=True)
        (run / "record.json").write_bytes(os.urandom(400))
        os.utime(run / "record.json", (i, i))
    monkeypatch.setattr(on_a_card, "LARGEST", 1000)
    (tmp_path / "out").mkdir()
    (said,) = on_a_card.bundle(tmp_path / "records", tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "pocket.tar.gz") as archive:
        assert [name for name in archive.getnames() if name.endswith("json")] == ["pocket/b/record.json", "pocket/a/record.json"]
    assert said.startswith("pocket.tar.gz: 2 records, 1 had no room")


def test_the_least_that_fits_is_found_to_a_step():
    for low, high in ((0.5, 8.0), (0.5, 1.0)):
        assert 2.7 <= least(lambda gib: gib >= 2.7, low, high) < 2.7 + 1 / 32


def test_the_blocks_alive_at_the_peak_by_hand():
    mib = 2**20
    at = [{"filename": "heads.py", "line": 7}]
    events = [
        {"action": "alloc", "addr": 1, "size": 3 * mib, "frames": at},
        {"action": "alloc", "addr": 2, "size": 5 * mib},
        {"action": "free_completed", "addr": 1, "size": 3 * mib},
        {"action": "alloc", "addr": 1, "size": 1 * mib},
    ]
    assert at_peak(events) == [{"mib": 5.0, "line": ""}, {"mib": 3.0, "line": "heads.py:7"}]


def test_the_claims_whose_runs_take_longest_come_first(monkeypatch):
    took = {("baseline", "compressed"): 5.0, ("baseline", "full"): 50.0, ("transfer", "scratch"): 40.0, ("focal", "mse"): 1.0}
    monkeypatch.setattr(committed, "seconds_by_arm", lambda profile: took)
    order = longest_first("photographs")
    assert order[:2] == ["baseline/compressed", "baseline/full"] and order.index("transfer/scratch") < order.index("focal/focal")
    assert set(order) == {"/".join(arm) for claim in claims.CLAIMS for arm in claim.arms}
    assert set(longest_first("long")) < set(order) and "remedies/base" not in longest_first("long")


@pytest.mark.parametrize("lies", ["memory.json", "pocket.tar.gz", "a file"])
def test_what_a_card_has_said_and_what_is_the_users_is_not_written_over(tmp_path, monkeypatch, capsys, lies):
    out = tmp_path / "out"
    out.mkdir()
    if lies == "a file":
        out = out / lies
    (out if lies == "a file" else out / lies).write_text("mine")
    monkeypatch.setattr(on_a_card, "run_part", lambda *_: pytest.fail("it ran"))
    assert on_a_card.main(["--rehearse", "--out", str(out), "--work", str(tmp_path / "work")]) == 2
    assert f"error: {out}: expected a new or empty folder; name another --out" in capsys.readouterr().err
    assert (out if lies == "a file" else out / lies).read_text() == "mine"


def test_without_room_a_card_says_so_after_its_summary_and_leaves_no_torn_archive(tmp_path, monkeypatch, capsys):
    """As it would be told where a disk fills up after the last part; and where it takes nothing at all."""
    (tmp_path / "work/records/pocket/one").mkdir(parents=True)
    (tmp_path / "work/records/pocket/one/record.json").write_bytes(os.urandom(9000))
    monkeypatch.setattr(on_a_card, "run_part", lambda *_: {"status": "done", "seconds": 0, "says": ["7 GiB"]})
    words = ["--out", str(tmp_path / "out"), "--work", str(tmp_path / "work"), "--parts", "memory", "--seconds", "60"]
    with room(3000):
        assert on_a_card.main(words) == 2
    said = capsys.readouterr()
    assert "memory: done\n  7 GiB" in said.out and "cannot be written (File too large); make room" in said.err
    monkeypatch.undo()
    with room(0):
        assert on_a_card.main(words) == 2
    assert capsys.readouterr().err.startswith("error: ") and not (tmp_path / "out").exists()


def test_a_package_for_a_card_that_finds_no_room_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(experiments, "profile_data", lambda _: [])
    monkeypatch.setattr(pack_for_a_card, "tracked", lambda: 0)
    monkeypatch.setattr(pack_for_a_card, "site", lambda file, _: file.write_bytes(bytes(9000)))
    with room(3000):
        assert pack_for_a_card.main(["--out", str(tmp_path / "new/package")]) == 2
    assert "new/package: cannot be written (File too large)" in capsys.readouterr().err and list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    assert pack_for_a_card.main(["--out", str(tmp_path / "file/package")]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_results_go_to_a_new_folder_each_time_and_a_rehearsals_to_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(on_a_card, "ROOT", tmp_path)
    monkeypatch.setattr(on_a_card, "run_part", lambda *_: {"status": "done", "seconds": 0, "says": []})
    for options in ([], [], ["--rehearse"]):
        assert on_a_card.main([*options, "--work", str(tmp_path / "work"), "--parts", "memory", "--seconds", "60"]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"on-a-card", "on-a-card-2", "on-a-card-rehearsed", "work"}


# What pages and the register make of a record


@pytest.fixture
def said(tmp_path, monkeypatch):
    """Writes a card's records; what is not given is absent."""
    monkeypatch.setattr(card, "FOLDER", tmp_path)

    def write(full=6.4, compressed=2.0):
        heads = {name: {"needs_gib": gib, "trains": gib <= 6} for name, gib in (("full", full), ("compressed", compressed))}
        peaks = {"a step": {"predicted": 2**30, "allocated": 1.25 * 2**30, "training": 1.5 * 2**30, "reserved": 2 * 2**30}}
        loop = {"pictures_a_second": [100.0, 300.0, 200.0], "flops": 2e12, "peak": 8e12, "predicted": [150, 400]}
        parts = {
            "memory.json": ("memory", {"peaks": peaks, "six_gib": {"card_gib": 6.0, "context_gib": 0.5, "heads": heads}}),
            "speed.json": ("speed", {"loops": {"ours": loop}, "waiting": {"kept": 0.01}}),
            "correctness.json": ("correctness", {"compiled": {"passed": False}}),
            "study.json": ("processes", {"steps_a_second": {"1": 50.0, "4": 120.0}}),
        }
        for file, (name, found) in parts.items():
            part = {"status": "done", "found": found, "card": {"name": "Card X"}, "rehearsal": False}
            (tmp_path / file).write_text(json.dumps({"parts": {name: part}}))

    return write


def test_without_a_record_pages_say_predicted(said):
    told = card.told()
    assert told["name"] == "none"
    assert all(told[name] == card.NONE and "redicted" in told[name] for name in ("memory", "speed", "correctness"))


def test_with_a_record_pages_show_measured_beside_predicted_with_the_cards_name(said):
    said()
    told = card.told()
    assert all(told[name].startswith("Measured on Card X.") for name in ("memory", "speed", "correctness")) and told["name"] == "Card X"
    assert "| a step | 1.00 | 1.25 | 1.50 | 2.00 | 0.80 |" in told["memory"]
    assert "full head 6.40 GiB, and it does not train" in told["memory"]
    assert "| ours | 200 | 150 to 400 | 2.0 | 25.0% |" in told["speed"] and "50 with 1, 120 with 4" in told["speed"]
    assert "compiled: **no**" in told["correctness"]


@pytest.mark.parametrize(
    ("full", "compressed", "verdict", "effect"), [(6.4, 2.0, "HOLDS", 0.4), (5.5, 2.0, "FAILS", -0.5), (8.0, 6.5, "FAILS", -0.5)]
)
def test_claim_h2_is_judged_by_the_card_where_there_is_one(said, full, compressed, verdict, effect):
    claim = next(c for c in claims.CLAIMS if c.id == "H2")
    assert verdicts.judge(claim, []).verdict == "INCONCLUSIVE"
    said(full, compressed)
    finding = verdicts.judge(claim, [])
    assert finding.verdict == verdict and finding.effect == pytest.approx(effect) and finding.why == ""
    assert "measured on Card X" in register_page.told(finding) and "()" not in register_cards.cards([finding])


@pytest.mark.parametrize("content", ["", "[]", '{"parts": {"memory": {"found": {"peaks": 1}}}}', '{"parts": []}'])
def test_what_is_no_record_of_a_card_is_refused_in_a_sentence(said, tmp_path, content):
    (tmp_path / "memory.json").write_text(content)
    with pytest.raises(InputError, match=r"memory.json: expected what scripts/on_a_card.py writes") as caught:
        card.part("memory")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("needs", [{}, {"needs_gib": "7"}, [1], None])
def test_a_record_of_a_card_with_odd_figures_is_refused_in_a_sentence(said, tmp_path, needs):
    said()
    record = json.loads((tmp_path / "memory.json").read_text())
    record["parts"]["memory"]["found"]["six_gib"]["heads"]["full"] = needs
    (tmp_path / "memory.json").write_text(json.dumps(record))
    for read in (card.margin, card.told):
        with pytest.raises(InputError, match="expected what scripts/on_a_card.py writes"):
            read()
    record["parts"]["memory"] |= {"found": {"other": 1}, "card": {"name": ["Card X"]}}
    (tmp_path / "memory.json").write_text(json.dumps(record))
    with pytest.raises(InputError, match="expected what scripts/on_a_card.py writes"):
        card.told()
    record["parts"]["memory"]["found"] = [1]
    (tmp_path / "memory.json").write_text(json.dumps(record))
    for read in (card.margin, card.told):
        with pytest.raises(InputError, match="expected what scripts/on_a_card.py writes"):
            read()
