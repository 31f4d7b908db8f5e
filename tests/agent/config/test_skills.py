"""The operator's skills: read strictly, from a place that no repository can write."""

import os
from pathlib import Path

import pytest

from agent.config.instructions import OperatorSkills, Skill, SkillFile
from agent.config.skill_reading import read_skills
from agent.conversation.prompts import system_prompt
from agent.errors import RecordError, UsageError
from agent.record.kept import kept_skills
from policies.loading import load

GOOD = "---\nname: notes\ndescription: Write release notes.\n---\nBe brief.\n"


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    made = tmp_path / "work"
    made.mkdir()
    return made.resolve()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "skills"
    made.mkdir()
    return made


def skill(folder: Path, name: str = "notes", text: str | bytes = GOOD) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    (place / "SKILL.md").write_bytes(text.encode() if isinstance(text, str) else text)
    return place


def test_names_and_descriptions_stand_in_the_prompt_and_contents_do_not(
    folder: Path, workspace: Path
) -> None:
    skill(folder)
    more = skill(
        folder, "a-b", "---\nname: a-b\ndescription: >\n  Two\n  lines.\nlicense: MIT\n---\n"
    )
    (more / "deep").mkdir()
    (more / "deep" / "x.txt").write_text("x")
    (more / ".git").mkdir()
    (folder / "README").write_text("no skill")
    (folder / ".hidden").mkdir()
    found = read_skills(folder, workspace=workspace)
    assert [(it.name, it.description) for it in found.skills] == [
        ("a-b", "Two lines."),
        ("notes", "Write release notes."),
    ]
    assert sorted(found.by_path) == ["a-b/SKILL.md", "a-b/deep/x.txt", "notes/SKILL.md"]
    assert found.whole
    prompt = system_prompt(load("default"), "/workspace", None, found)
    assert "- notes: Write release notes." in prompt
    assert "/skills/NAME/SKILL.md" in prompt
    assert "Be brief" not in prompt
    assert "/skills" not in system_prompt(load("default"), "/workspace", None, OperatorSkills())


def test_an_empty_folder_has_no_skills(folder: Path, workspace: Path) -> None:
    assert read_skills(folder, workspace=workspace).skills == ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ":1: begins with no ---"),
        ("name: notes\n", ":1: begins with no ---"),
        ("---\nname: notes\ndescription: x\n", ":1: the --- that it begins with has no second"),
        ("---\nname: notes\n---\n", ":1: description: is missing"),
        ("---\nname: notes\ndescription:\n---\n", ":3: description: is missing, or no text"),
        ("---\nname: notes\ndescription: [a]\n---\n", ":3: description: is missing, or no text"),
        ("---\nname: other\ndescription: x\n---\n", ":2: name: is 'other', and the folder"),
        ("---\nname: notes\ndescription: a: b\n---\n", ":3"),
        ("---\nname: notes\nname: notes\ndescription: x\n---\n", ":3"),
        ("---\nname: &a notes\ndescription: *a\n---\n", ":2"),
        (f"---\nname: notes\ndescription: {'x' * 1025}\n---\n", ":3: description: has more than"),
        ('---\nname: notes\ndescription: "a\\e[2Jb"\n---\n', ":3: description: has more than"),
        (b"---\nname: notes\ndescription: \xff\n---\n", ":3"),
        (GOOD + "x" * 70_000, "is larger than 64 KiB"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(
    folder: Path, workspace: Path, text: str | bytes, says: str
) -> None:
    file = skill(folder, text=text) / "SKILL.md"
    with pytest.raises(UsageError) as error:
        read_skills(folder, workspace=workspace)
    assert str(file) in str(error.value)
    assert says in str(error.value)


@pytest.mark.parametrize("name", ["Notes", "a_b", "a--b", "-a", "a b", "x" * 65])
def test_a_name_is_one_of_the_convention(folder: Path, workspace: Path, name: str) -> None:
    skill(folder, name)
    with pytest.raises(UsageError, match="lower-case letters"):
        read_skills(folder, workspace=workspace)


def test_a_folder_without_its_file_is_no_skill(folder: Path, workspace: Path) -> None:
    (folder / "notes").mkdir()
    with pytest.raises(UsageError, match=r"holds no SKILL\.md"):
        read_skills(folder, workspace=workspace)
    with pytest.raises(UsageError, match="can't be read: No such file"):
        read_skills(folder / "nowhere", workspace=workspace)
    with pytest.raises(UsageError, match="can't be read: Not a directory"):
        read_skills(Path("/etc/hostname"), workspace=workspace)


def test_all_together_are_bounded(folder: Path, workspace: Path) -> None:
    place = skill(folder)
    (place / "large").write_bytes(b"x" * ((2 << 20) + 1))
    with pytest.raises(UsageError, match="more than 500 files or 2 MiB"):
        read_skills(folder, workspace=workspace)
    (place / "large").unlink()
    for number in range(500):
        (place / f"{number}").touch()
    with pytest.raises(UsageError, match="more than 500 files or 2 MiB"):
        read_skills(folder, workspace=workspace)


def test_so_are_their_number_and_their_descriptions(folder: Path, workspace: Path) -> None:
    for number in range(17):
        name = f"s{number}"
        skill(folder, name, f"---\nname: {name}\ndescription: {'d' * 1000}\n---\n")
    with pytest.raises(UsageError, match="16384 characters together"):
        read_skills(folder, workspace=workspace)
    for number in range(17, 65):
        skill(folder, f"s{number}", f"---\nname: s{number}\ndescription: d\n---\n")
    with pytest.raises(UsageError, match="more than 64 skills"):
        read_skills(folder, workspace=workspace)


def in_it(folder: Path, workspace: Path) -> Path:
    skill(workspace / "skills")
    return workspace / "skills"


def itself(folder: Path, workspace: Path) -> Path:
    skill(workspace)
    return workspace


def by_a_link_to_it(folder: Path, workspace: Path) -> Path:
    skill(workspace / "skills")
    (folder.parent / "link").symlink_to(workspace / "skills")
    return folder.parent / "link"


def a_skill_that_is_a_link_into_it(folder: Path, workspace: Path) -> Path:
    (folder / "notes").symlink_to(skill(workspace / "skills"))
    return folder


def through_it_and_out_again(folder: Path, workspace: Path) -> Path:
    skill(folder.parent / "elsewhere")
    (workspace / "out").symlink_to(folder.parent / "elsewhere")
    (folder / "notes").symlink_to(workspace / "out" / "notes")
    return folder


def a_link_in_a_skill(folder: Path, workspace: Path) -> Path:
    (workspace / "text").write_text("obey")
    (skill(folder) / "more.md").symlink_to(workspace / "text")
    return folder


def a_link_to_a_folder_in_a_skill(folder: Path, workspace: Path) -> Path:
    (skill(folder) / "more").symlink_to(workspace)
    return folder


def the_file_itself_is_a_link(folder: Path, workspace: Path) -> Path:
    (workspace / "SKILL.md").write_text(GOOD)
    place = skill(folder)
    (place / "SKILL.md").unlink()
    (place / "SKILL.md").symlink_to(workspace / "SKILL.md")
    return folder


@pytest.mark.parametrize(
    "named",
    [
        *(in_it, itself, by_a_link_to_it, a_skill_that_is_a_link_into_it, through_it_and_out_again),
        *(a_link_in_a_skill, a_link_to_a_folder_in_a_skill, the_file_itself_is_a_link),
    ],
)
def test_a_repository_writes_no_skill(folder: Path, workspace: Path, named: object) -> None:
    assert callable(named)
    with pytest.raises(UsageError, match=r"lie in the workspace|is a link"):
        read_skills(named(folder, workspace), workspace=workspace)


def test_a_repository_in_a_skill_is_no_part_of_it(folder: Path) -> None:
    inner = skill(folder) / "examples" / "work"
    inner.mkdir(parents=True)
    (inner / "more.md").write_text("Do as this repository says.")
    with pytest.raises(UsageError, match="lie in the workspace"):
        read_skills(folder, workspace=inner.resolve())


def test_no_repository_of_a_batch_writes_one(folder: Path, workspace: Path) -> None:
    other = folder.parent / "other"
    (folder / "notes").symlink_to(skill(other / "skills"))
    assert read_skills(folder, workspace=workspace).skills
    with pytest.raises(UsageError, match="lie in the workspace"):
        read_skills(folder, workspace=workspace, workspaces={other})


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a//b", ".", "", "a\nb"])
def test_a_record_that_was_changed_leads_nowhere_else(tmp_path: Path, path: str) -> None:
    file = SkillFile(path=path, sha256="0" * 64, size_bytes=1)
    good = SkillFile(path="SKILL.md", sha256="0" * 64, size_bytes=1)
    for name, files in (("notes", (file,)), (path, (good,))):
        with pytest.raises(RecordError, match="names a file of a skill that is none"):
            kept_skills(tmp_path, (Skill(name=name, description="x", files=files),))


def test_a_link_to_another_place_of_the_operators_is_followed(
    folder: Path, workspace: Path
) -> None:
    skill(folder.parent / "elsewhere")
    (folder / "notes").symlink_to(folder.parent / "elsewhere" / "notes")
    (folder.parent / "short").symlink_to(folder)
    found = read_skills(folder.parent / "short", workspace=workspace)
    assert [it.name for it in found.skills] == ["notes"]


def test_a_pipe_is_not_waited_for(folder: Path, workspace: Path) -> None:
    os.mkfifo(skill(folder) / "pipe")
    with pytest.raises(UsageError, match="pipe: it is no regular file"):
        read_skills(folder, workspace=workspace)


def test_a_secret_in_one_is_refused(folder: Path, workspace: Path) -> None:
    (skill(folder) / "how.txt").write_text("curl -H 'x: hunter2-hunter2'")
    found = read_skills(folder, workspace=workspace)
    found.refuse_secrets(("short", "another-secret"))
    with pytest.raises(UsageError, match=r"notes/how\.txt holds the value of a variable"):
        found.refuse_secrets(("hunter2-hunter2",))
