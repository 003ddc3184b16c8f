"""`wacoex template pull | diff | push | archive | delete | lint`: what they do and say."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from wacoex_cli.channels.registry import choose_channel, meta_for
from wacoex_cli.errors import DeclinedError, RefusedError, UsageError, counted
from wacoex_cli.foundation.http import FilePart
from wacoex_cli.foundation.state import open_regular
from wacoex_cli.templates import files, lint, push
from wacoex_cli.templates.model import Template
from wacoex_cli.templates.reading import find_versions
from wacoex_cli.terminal.render import Result, Table, Verbatim

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from wacoex_cli.foundation.workspace import Workspace
    from wacoex_cli.platforms.meta import Meta
    from wacoex_cli.terminal.dialogue import TerminalDialogue
    from wacoex_cli.terminal.options import Invocation

_DIFFERS, _INPUT, _PARTIAL = 1, 2, 7
_ARCHIVABLE = ("APPROVED", "REJECTED")


@dataclass(frozen=True)
class _Account:
    """The WABA of a channel, and Meta with the channel's token; the id of our app, if it is set."""

    meta: Meta
    waba_id: str
    app_id: str | None


def _account(workspace: Workspace, invocation: Invocation) -> _Account:
    """Also for a channel that sends through respond.io: the templates are Meta's."""
    channel = choose_channel(workspace, invocation)
    app_id = workspace.settings_for(channel.name).meta_app_id
    return _Account(meta_for(workspace, channel), channel.demand_waba_id(), app_id)


def pull(
    workspace: Workspace,
    invocation: Invocation,
    directory: Path,
    dialogue: TerminalDialogue,
    *,
    yes: bool,
    dry_run: bool,
) -> Result:
    """Write Meta's templates into the directory; asks before a file that differs is replaced."""
    account = _account(workspace, invocation)
    records = push.present(workspace.run(account.meta.templates(account.waba_id)))
    local = files.read_directory(directory) if directory.exists() else {}
    remote = [files.Draft.from_meta(record) for record in records.values()]
    found = files.pulled(directory, local, remote)
    replaced = [each for each in found if each.state == "replaced"]
    if replaced and not dry_run:
        names = ", ".join(each.path.name for each in replaced[:5])
        more = f" and {len(replaced) - 5} more" if len(replaced) > 5 else ""
        question = f"replace {names}{more}, which differ from Meta?"
        if not (yes or dialogue.confirm(question, flag="--yes")):
            raise DeclinedError(
                "nothing was pulled", hint=f"`wacoex template diff {directory}` shows what differs"
            )
    if not dry_run:
        for each in found:
            if each.state != "same":
                files.write_file(each.path, each.text)
    names_here = {name for name, _ in local}
    kept = sorted(names_here - {each.name for each in found})
    data = {
        "directory": str(directory),
        "dry_run": dry_run,
        "files": [
            {"template": each.name, "file": str(each.path), "state": each.state} for each in found
        ],
        "not_at_meta": kept,
    }
    states = [each.state for each in found]
    would = "would be " if dry_run else ""
    text = [
        f"{counted(len(found), 'template')} at Meta: {states.count('new')} {would}new,"
        f" {states.count('replaced')} {would}replaced, {states.count('same')} the same"
    ]
    text += [f"{each.path.name}: {would}{each.state}" for each in found if each.state != "same"]
    text += [f"`{name}` is not at Meta; its file stays" for name in kept]
    return Result(data, tuple(text))


def diff(workspace: Workspace, invocation: Invocation, directory: Path) -> Result:
    """What a push would change; exit status 1 when something differs."""
    account = _account(workspace, invocation)
    compared = _compared(workspace, account, directory)
    lines = [line for write in compared.writes for line in _shown(write)]
    text = [Verbatim("\n".join(lines) + "\n")] if lines else []
    data = _comparison_json(directory, compared)
    return Result(data, (*text, *_around(compared)), exit_code=_DIFFERS if compared.writes else 0)


def push_files(
    workspace: Workspace,
    invocation: Invocation,
    directory: Path,
    dialogue: TerminalDialogue,
    *,
    waits: bool,
    yes: bool,
    dry_run: bool,
) -> Result:
    """Show what differs, ask, and write what is still as it was shown."""
    account = _account(workspace, invocation)
    compared = _compared(workspace, account, directory)
    data = {**_comparison_json(directory, compared), "dry_run": dry_run}
    lines = [line for write in compared.writes for line in _shown(write)]
    possible = compared.possible
    if dry_run or not possible:
        text = [Verbatim("\n".join(lines) + "\n")] if lines else []
        ending = _PARTIAL if compared.writes and not dry_run else 0
        nothing = [] if possible or dry_run else ["nothing was pushed"]
        whole = {**data, "written": []}
        return Result(whole, (*text, *_around(compared), *nothing), exit_code=ending)
    for line in (*lines, *_around(compared)):
        dialogue.note(line)
    if not (yes or dialogue.confirm(f"{_offer(possible)} at Meta?", flag="--yes")):
        raise DeclinedError("nothing was pushed", hint="Meta has what it had before")
    log = push.WriteLog(workspace.state, account.waba_id)

    async def work() -> list[push.Written]:
        done = await push.push(
            account.meta,
            account.waba_id,
            possible,
            log,
            workspace.clock,
            lambda each: dialogue.note(_result_line(each)),
            lambda example: _uploaded(account, example),
        )
        if not waits:
            return done
        dialogue.note("waiting for Meta's review, which usually takes less than a day")
        return await push.wait_for_review(
            account.meta,
            account.waba_id,
            done,
            workspace.clock,
            lambda each: dialogue.note(_result_line(each)),
        )

    written = workspace.run(work())
    return _push_result(data, compared, written)


def _push_result(
    data: dict[str, Any], compared: push.Differences, written: Sequence[push.Written]
) -> Result:
    left = len(compared.possible) - len(written)
    done = sum(each.is_done for each in written)
    is_rejected = any(each.status == "REJECTED" for each in written)
    is_whole = done == len(compared.writes) and not is_rejected
    text = [f"{done} of {counted(len(compared.writes), 'template')} written"]
    if left:
        text.append(f"{left} not tried: run the same command again")
    rows = [
        (each.write.place, each.outcome, each.status, each.category, each.why) for each in written
    ]
    table = Table(("file", "outcome", "status", "category", "why"), rows)
    errors = [each.error for each in written if each.outcome == "stopped" and each.error]
    whole = {
        **data,
        "left": left,
        "written": [
            {
                "template": each.write.wanted.name,
                "language": each.write.wanted.language,
                "file": str(each.write.filed.path),
                "outcome": each.outcome,
                "status": each.status,
                "category": each.category,
                "why": each.why,
            }
            for each in written
        ],
    }
    if errors:
        return Result(whole, (table, *text), exit_code=errors[0].exit_status, errors=errors)
    return Result(whole, (table, *text), exit_code=0 if is_whole else _PARTIAL)


def _compared(workspace: Workspace, account: _Account, directory: Path) -> push.Differences:
    local = files.read_directory(directory)
    if not local:
        raise UsageError(
            f"{directory} holds no template",
            hint="`wacoex template pull DIR` fills it with the templates at Meta",
            code="template_directory",
        )
    records = workspace.run(account.meta.templates(account.waba_id))
    now = workspace.clock.now()
    spent = push.WriteLog(workspace.state, account.waba_id).spent(now)
    return push.with_examples(push.compare(local, records, spent, now))


async def _uploaded(account: _Account, example: files.ExampleFile) -> str:
    """The handle of an example file; it belongs to the app of the token.

    Raises:
        UsageError: nobody says which app that is, or the file is gone.
        CredentialError, RefusedError, TemporaryError: Meta does not take it.
    """
    app_id = account.app_id or (await account.meta.debug_token()).app_id
    if app_id is None:
        raise UsageError(
            "Meta does not say to which app the token belongs, and an example is uploaded to it",
            hint="set `WACOEX_META_APP_ID` to the id of your Meta app",
            code="no_app_id",
        )
    try:
        with open_regular(example.path) as content:
            part = FilePart(example.path.name, content, example.media_type, example.size)
            return await account.meta.upload_example(app_id, part)
    except OSError as error:
        raise UsageError(
            f"the example {example.path} cannot be read: {error.strerror or error}",
            hint="put it back, then push again",
            code="template_file",
        ) from None


def _shown(write: push.Write) -> list[str]:
    """The change of a template as it is shown before anything is asked."""
    verb = "new at Meta" if write.action == push.CREATE else "differs"
    lines = [f"{write.place}: {verb}"]
    after = write.wanted if write.why_not is None else write.filed.draft
    lines += files.diff_lines(write.before, after, write.filed.path.name)
    lines += [f"{write.place}: {note}" for note in write.notes]
    if write.why_not:
        lines.append(f"{write.place}: cannot be pushed: {write.why_not}")
    return lines


def _around(compared: push.Differences) -> list[str]:
    lines = [
        f"{filed.path.name} ({filed.draft.language}): Meta rejected it: {reason}"
        for filed, reason in compared.refused
    ]
    possible = compared.possible
    creates = sum(write.action == push.CREATE for write in possible)
    lines.append(
        f"{creates} to create, {len(possible) - creates} to edit,"
        f" {len(compared.writes) - len(possible)} not possible, {compared.same} the same"
    )
    if compared.only_at_meta:
        names = dict.fromkeys(name for name, _ in compared.only_at_meta)
        lines.append(
            f"{counted(len(names), 'template')} at Meta without a file;"
            " `wacoex template pull` fetches, `wacoex template delete` deletes"
        )
    return lines


def _offer(writes: Sequence[push.Write]) -> str:
    creates = sum(write.action == push.CREATE for write in writes)
    parts = [("create", creates), ("edit", len(writes) - creates)]
    return " and ".join(f"{verb} {counted(number, 'template')}" for verb, number in parts if number)


def _result_line(each: push.Written) -> str:
    words = {
        "there": "it is at Meta already",
        "changed": "left",
        "refused": "Meta refused it",
        "unclear": "no answer, and Meta does not have it yet",
        "stopped": "stopped",
    }
    said = f"{each.write.place}: {words.get(each.outcome, each.outcome)}"
    if each.status:
        said += f", {each.status}"
    if each.category and each.category != each.write.filed.draft.category:
        said += f", category {each.category} instead of {each.write.filed.draft.category}"
    return f"{said}: {each.why}" if each.why else said


def _comparison_json(directory: Path, compared: push.Differences) -> dict[str, Any]:
    return {
        "directory": str(directory),
        "changes": [
            {
                "template": write.wanted.name,
                "language": write.wanted.language,
                "file": str(write.filed.path),
                "action": write.action,
                "why_not": write.why_not,
                "notes": list(write.notes),
                "diff": files.diff_lines(
                    write.before,
                    write.wanted if write.why_not is None else write.filed.draft,
                    write.filed.path.name,
                ),
            }
            for write in compared.writes
        ],
        "same": compared.same,
        "without_file": [
            {"template": name, "language": language} for name, language in compared.only_at_meta
        ],
        "rejected": [
            {
                "template": filed.draft.name,
                "language": filed.draft.language,
                "file": str(filed.path),
                "reason": reason,
            }
            for filed, reason in compared.refused
        ],
    }


def lint_files(paths: Sequence[Path]) -> Result:
    """What Meta would refuse in these files; exit status 2 for an error, 1 for a warning."""
    found: list[tuple[Path, files.Draft, lint.BrokenRule]] = []
    count = 0
    for path in paths:
        for draft in files.read_file(path):
            count += 1
            found += [(path, draft, problem) for problem in lint.lint(draft)]
    levels = [problem.level for _, _, problem in found]
    rows = [
        (path.name, draft.language, problem.level, problem.place, problem.text, problem.hint)
        for path, draft, problem in found
    ]
    fine = f"{counted(count, 'template')}: they keep Meta's rules; the review decides"
    table = Table(("file", "language", "level", "place", "what", "what to do"), rows, fine)
    data = {
        "templates": count,
        "problems": [
            {
                "file": str(path),
                "template": draft.name,
                "language": draft.language,
                **problem._asdict(),
            }
            for path, draft, problem in found
        ],
    }
    ending = _INPUT if lint.ERROR in levels else _DIFFERS if levels else 0
    return Result(data, (table,), exit_code=ending)


def archive(
    workspace: Workspace,
    invocation: Invocation,
    name: str,
    language: str | None,
    dialogue: TerminalDialogue,
    *,
    takes_back: bool,
    yes: bool,
    dry_run: bool,
) -> Result:
    """Archive a template in all its languages or in one, or take it out of the archive."""
    account = _account(workspace, invocation)
    found = _versions(workspace, account, name, language)
    wanted = ("ARCHIVED",) if takes_back else _ARCHIVABLE
    fitting = [template for template in found if template.status in wanted]
    if not fitting:
        states = ", ".join(f"{template.language} {template.status}" for template in found)
        what = "only an archived one is taken out" if takes_back else "Meta archives approved or"
        what += "" if takes_back else " rejected ones only"
        raise RefusedError(f"`{name}` ({states}): {what}", code="template_status")
    listed = ", ".join(template.language for template in fitting)
    verb = "take out of the archive" if takes_back else "archive"
    if not dry_run:
        if not takes_back:
            dialogue.note(
                "an archived template cannot be sent; Meta deletes it after 28 days unless"
                " `--undo` takes it out"
            )
        if not (yes or dialogue.confirm(f"{verb} `{name}` ({listed})?", flag="--yes")):
            raise DeclinedError("nothing was changed")
        _demand_unchanged(workspace, account, name, fitting)
        ids = [template.template_id for template in fitting]
        failed = workspace.run(
            account.meta.archive_templates(account.waba_id, ids, takes_back=takes_back)
        )
    else:
        failed = {}
    state = "unarchived" if takes_back else "archived"
    return _change_result(name, fitting, state, failed, dry_run=dry_run)


def delete(
    workspace: Workspace,
    invocation: Invocation,
    name: str,
    language: str | None,
    dialogue: TerminalDialogue,
    *,
    yes: bool,
    dry_run: bool,
) -> Result:
    """Delete a template in all its languages or in one, each by its id."""
    account = _account(workspace, invocation)
    found = _versions(workspace, account, name, language)
    failed: dict[str, str] = {}
    if not dry_run:
        listed = ", ".join(f"{template.language} {template.status}" for template in found)
        dialogue.note("a deleted template is gone; `wacoex template pull DIR` keeps a copy before")
        if any(template.status == "APPROVED" for template in found):
            dialogue.note(f"Meta takes no new template with the name `{name}` for 30 days")
        if not (yes or dialogue.confirm(f"delete `{name}` ({listed})?", flag="--yes")):
            raise DeclinedError("nothing was deleted")
        _demand_unchanged(workspace, account, name, found)
        failed = workspace.run(_delete_each(account, found))
    return _change_result(name, found, "deleted", failed, dry_run=dry_run)


async def _delete_each(account: _Account, found: Sequence[Template]) -> dict[str, str]:
    failed = {}
    for template in found:
        try:
            await account.meta.delete_template(account.waba_id, template.name, template.template_id)
        except RefusedError as error:
            failed[template.template_id] = push.said_by_meta(error)
    return failed


def _versions(
    workspace: Workspace, account: _Account, name: str, language: str | None
) -> list[Template]:
    found = workspace.run(find_versions(account.meta, account.waba_id, name))
    there = [template for template in found if template.status not in files.GONE]
    chosen = [template for template in there if language in (None, template.language)]
    if not chosen:
        known = ", ".join(f"`{template.language}`" for template in there) or "none"
        raise UsageError(
            f"template `{name}` does not exist in language `{language}`",
            hint=f"it exists in {known}",
            code="unknown_template",
        )
    return sorted(chosen, key=lambda template: template.language)


def _demand_unchanged(
    workspace: Workspace, account: _Account, name: str, shown: Sequence[Template]
) -> None:
    """Raise RefusedError when Meta does not have what was shown any more."""

    def fixed(template: Template) -> Template:
        return replace(template, quality=None)

    now = workspace.run(find_versions(account.meta, account.waba_id, name))
    current = {template.template_id: fixed(template) for template in now}
    for template in shown:
        if current.get(template.template_id) != fixed(template):
            raise RefusedError(
                f"`{name}` ({template.language}) has changed at Meta since it was shown",
                hint="nothing was done; run the command again",
                code="template_changed",
            )


def _change_result(
    name: str,
    templates: Sequence[Template],
    state: str,
    failed: dict[str, str],
    *,
    dry_run: bool,
) -> Result:
    would = "would be " if dry_run else ""
    rows = [
        (template.language, failed.get(template.template_id) or f"{would}{state}")
        for template in templates
    ]
    data = {
        "template": name,
        "dry_run": dry_run,
        "languages": [
            {
                "language": template.language,
                "id": template.template_id,
                "state": "failed" if template.template_id in failed else state,
                "why": failed.get(template.template_id),
            }
            for template in templates
        ],
    }
    text = tuple(f"{name} ({language}): {said}" for language, said in rows)
    if len(failed) == len(templates) and failed:
        why = next(iter(failed.values()))
        raise RefusedError(f"Meta refused: {why}", code="template_refused")
    return Result(data, text, exit_code=_PARTIAL if failed else 0)
